//! Cells: inputs, blocks, output; and the space they may stand in.

use super::choices::Holes;
use super::expand::{self, Budget};
use super::exprs::{Builder, FIXUP, OpHead, Place, Scope};
use super::names::{Names, Seen};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Block, Cell, Expr, ExprKind, LocalId, Module, Space};
use crate::space::{Decision, SearchSpace};
use crate::syntax::ast::{self, CellBody, CellStmt, Ident};

/// The largest stride of a cell.
const MAX_STRIDE: u64 = 8;

/// Resolves every cell of the file, and its space, into `module`.
pub(super) fn resolve(names: &Names, module: &mut Module, faults: &mut Vec<Diagnostic>) {
    let heads = OpHead::all(&module.ops);
    let mut decisions = Vec::new();
    let mut expanded = Vec::new();
    let mut budget = Budget::default();
    for (cell, in_space) in &names.cells {
        let Some(written_out) = expand::expand(cell, names, &mut budget, faults) else {
            if budget.is_spent() {
                return;
            }
            continue;
        };
        let resolved = CellResolver {
            names,
            heads: &heads,
            in_space: *in_space,
            faults,
            decisions: &mut decisions,
        }
        .cell(&written_out);
        if let Some(resolved) = resolved {
            module.cells.push(resolved);
            expanded.push(written_out);
        }
    }
    let Some(space) = names.space else { return };
    if !names.cells.iter().any(|(_, in_space)| *in_space) {
        faults.push(
            Diagnostic::new(
                Code::MalformedSpace,
                space.name.span,
                format!("space `{}` has no cells", space.name.name),
            )
            .note("a space holds at least one `cell`"),
        );
    }
    if decisions.is_empty() && faults.is_empty() {
        faults.push(
            Diagnostic::new(
                Code::MalformedSpace,
                space.name.span,
                format!("space `{}` has no holes", space.name.name),
            )
            .note("write its cells outside of a `space`, or open a hole with `?`"),
        );
    }
    let decisions = SearchSpace { name: space.name.name.clone(), decisions };
    module.space = Some(Space { decisions, expanded });
}

struct CellResolver<'x> {
    names: &'x Names<'x>,
    heads: &'x [OpHead],
    in_space: bool,
    faults: &'x mut Vec<Diagnostic>,
    decisions: &'x mut Vec<Decision>,
}

impl CellResolver<'_> {
    fn cell(&mut self, cell: &ast::Cell) -> Option<Cell> {
        let before = self.faults.len();
        let stride = self.stride(cell);
        let CellBody::Block(statements) = &cell.body else {
            unreachable!("`= other` is written out by check::expand")
        };
        let mut seen = Seen::default();
        for input in &cell.inputs {
            seen.note("block", input, self.faults);
        }
        let bound: Vec<&Ident> = statements
            .iter()
            .filter_map(|statement| match statement {
                CellStmt::Let { name, .. } => Some(name),
                CellStmt::Repeat { .. } | CellStmt::Out { .. } => None,
            })
            .collect();
        for name in &bound {
            seen.note("block", name, self.faults);
        }
        let mut locals: Vec<String> = cell.inputs.iter().map(|input| input.name.clone()).collect();
        let mut blocks = Vec::new();
        let mut out = None;
        let mut out_span = None;
        for statement in statements {
            match statement {
                CellStmt::Let { name, value, span } => {
                    if out.is_some() {
                        self.faults.push(
                            Diagnostic::new(
                                Code::MalformedCell,
                                *span,
                                "a block stands after `out`",
                            )
                            .note("`out` is the last line of a cell"),
                        );
                    }
                    let later =
                        bound.iter().skip(blocks.len()).map(|name| name.name.clone()).collect();
                    let block = self.block(cell, name, value, &locals, later, false);
                    locals.push(name.name.clone());
                    blocks.push(block);
                }
                CellStmt::Out { value, span } => {
                    if let Some(first) = out_span.replace(*span) {
                        self.faults.push(
                            Diagnostic::new(Code::MalformedCell, *span, "a cell has one `out`")
                                .also(first, "the first one")
                                .note("remove one of them"),
                        );
                    }
                    let name = Ident { name: "out".into(), span: *span };
                    let later =
                        bound.iter().skip(blocks.len()).map(|name| name.name.clone()).collect();
                    out = Some(self.block(cell, &name, value, &locals, later, true));
                }
                CellStmt::Repeat { .. } => {
                    unreachable!("`repeat` is written out by check::expand")
                }
            }
        }
        if out.is_none() {
            self.faults.push(
                Diagnostic::new(
                    Code::MalformedCell,
                    cell.name.span,
                    format!("cell `{}` has no `out`", cell.name.name),
                )
                .note("end the cell with `out concat(...)`"),
            );
        }
        if self.faults.len() > before {
            return None;
        }
        Some(Cell {
            name: cell.name.clone(),
            inputs: cell.inputs.clone(),
            stride,
            blocks: blocks.into_iter().collect::<Option<_>>()?,
            out: out??,
        })
    }

    fn stride(&mut self, cell: &ast::Cell) -> usize {
        match cell.stride {
            None => 1,
            Some(stride) if (1..=MAX_STRIDE).contains(&stride.value) => stride.value as usize,
            Some(stride) => {
                self.faults.push(
                    Diagnostic::new(
                        Code::AttributeOutOfRange,
                        stride.span,
                        format!("a cell's stride is 1 to {MAX_STRIDE}, found {}", stride.value),
                    )
                    .note("reduction cells have stride 2"),
                );
                1
            }
        }
    }

    fn block(
        &mut self,
        cell: &ast::Cell,
        name: &Ident,
        value: &ast::Expr,
        locals: &[String],
        later: Vec<String>,
        is_out: bool,
    ) -> Option<Block> {
        let place = Place::Cell { in_space: self.in_space, is_out, later };
        let scope = Scope { place, params: Vec::new(), locals: locals.to_vec() };
        let mut builder = Builder {
            names: self.names,
            op_params: self.heads,
            scope,
            holes: Holes::default(),
            stages: 0,
            faults: self.faults,
        };
        let mut value = builder.expr(value)?;
        if matches!(value.kind, ExprKind::ConcatUnused) {
            if locals.len() == cell.inputs.len() {
                builder.faults.push(
                    Diagnostic::new(
                        Code::MalformedCell,
                        value.span,
                        format!(
                            "cell `{}` has no block that `unused` could stand for",
                            cell.name.name
                        ),
                    )
                    .note("bind a block first, such as `a = squeeze(h)`"),
                );
                return None;
            }
            // The fault, if `fixup` cannot be applied to a bare block, is that of any of them.
            let bare = Expr { kind: ExprKind::Local(LocalId(0)), span: value.span };
            builder.adapt(bare, FIXUP)?;
        }
        let holes = builder.finish(&cell.name.name, &name.name, &mut value, self.decisions);
        Some(Block { name: name.clone(), value, holes })
    }
}
