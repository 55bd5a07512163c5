//! Cells: inputs, blocks, output; and the space they may stand in.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::choices::{Holes, Renumber};
use super::expand::{self, Budget};
use super::exprs::{Builder, FIXUP, OpHead, Place, Scope};
use super::names::{Names, Seen};
use super::ops::note_params;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{
    Block, Cell, Expr, ExprKind, LocalId, Module, OpId, Origin, Output, Param, Space, Static,
    StaticKind,
};
use crate::space::{Decision, SearchSpace};
use crate::syntax::ast::{self, CellBody, CellStmt, Ident, SpaceItem};

/// The largest stride of a cell.
pub(super) const MAX_STRIDE: u64 = 8;

/// How many cells later an output may arrive.
const MAX_DELAY: u64 = 64;

/// Resolves every cell of the file, and its space, into `module`; `space` holds what operations and
/// constants have added to it.
pub(super) fn resolve(
    names: &Names,
    budget: &mut Budget,
    mut parts: SpaceParts,
    module: &mut Module,
    origin: Origin,
    faults: &mut Vec<Diagnostic>,
) {
    let heads = OpHead::all(&module.ops);
    let mut expanded = Vec::new();
    let keeps = names.space.is_some();
    let repeated: BTreeSet<&str> = names
        .cells
        .iter()
        .filter_map(|(cell, _)| match &cell.body {
            CellBody::SameAs(other) => Some(other.name.name.as_str()),
            CellBody::Block(_) => None,
        })
        .collect();
    for (cell, in_space) in &names.cells {
        let Some(written_out) = expand::expand(cell, names, budget, faults) else {
            if budget.is_spent() {
                return;
            }
            continue;
        };
        let resolved = CellResolver {
            names,
            heads: &heads,
            in_space: *in_space,
            origin,
            faults,
            decisions: &mut parts.decisions,
        }
        .cell(&written_out);
        if let Some(mut resolved) = resolved {
            resolved.is_repeated = repeated.contains(cell.name.name.as_str());
            module.cells.push(resolved);
            if keeps {
                expanded.push(written_out.into_owned());
            }
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
    let SpaceParts { decisions, ops, constants } = parts;
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
    let mut requires = Vec::new();
    for item in &space.items {
        if let SpaceItem::Require(require) = item {
            let scope =
                Scope { place: Place::SpaceRequire, params: Vec::new(), locals: Vec::new() };
            let mut builder = Builder {
                names,
                op_params: &heads,
                scope,
                holes: Holes::default(),
                stages: 0,
                faults,
            };
            if let Some(Static { kind: StaticKind::Require(require), .. }) =
                builder.require(require, 0)
            {
                requires.push(require);
            }
        }
    }
    let decisions = SearchSpace { name: space.name.name.clone(), decisions };
    module.space = Some(Space { decisions, expanded, ops, constants, requires });
}

/// What a space holds beside its cells.
#[derive(Default)]
pub(super) struct SpaceParts {
    /// The decisions of the holes read so far.
    pub decisions: Vec<Decision>,
    /// Operations with option sets written out.
    pub ops: Vec<(OpId, ast::Op)>,
    /// Constants by their index in the module.
    pub constants: Vec<(usize, ast::Constant)>,
}

/// What is known in a cell so far.
struct Known {
    /// Names of its attributes and named values.
    params: Vec<String>,
    /// Names of its inputs and of the blocks above.
    locals: Vec<String>,
    /// Names of all of its blocks.
    bound: Rc<[String]>,
    n_inputs: usize,
}

impl Known {
    fn take_back(&mut self, scope: &mut Scope) {
        self.params = std::mem::take(&mut scope.params);
        self.locals = std::mem::take(&mut scope.locals);
    }
}

struct CellResolver<'x> {
    names: &'x Names<'x>,
    heads: &'x [OpHead],
    in_space: bool,
    origin: Origin,
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
                CellStmt::Constant(_)
                | CellStmt::Require(_)
                | CellStmt::Repeat { .. }
                | CellStmt::Out { .. } => None,
            })
            .collect();
        for name in &bound {
            seen.note("block", name, self.faults);
        }
        let (params, param_names) = self.params(cell);
        let mut attributes = Seen::default();
        note_params(&cell.params, &mut attributes, self.faults);
        let mut statics = Vec::new();
        let mut known = Known {
            params: param_names,
            locals: cell.inputs.iter().map(|input| input.name.clone()).collect(),
            bound: bound.iter().map(|name| name.name.clone()).collect(),
            n_inputs: cell.inputs.len(),
        };
        let mut blocks = Vec::new();
        let mut outputs = None;
        let mut out_span = None;
        for statement in statements {
            match statement {
                CellStmt::Constant(constant) => {
                    let owner = format!("{}.{}", cell.name.name, constant.name.name);
                    statics.extend(self.statement(&owner, &mut known, |builder| {
                        builder.constant(constant, &mut attributes, blocks.len())
                    }));
                }
                CellStmt::Require(require) => {
                    let owner = format!("{}.require", cell.name.name);
                    statics.extend(self.statement(&owner, &mut known, |builder| {
                        builder.require(require, blocks.len())
                    }));
                }
                CellStmt::Let { name, value, span } => {
                    if outputs.is_some() {
                        self.faults.push(
                            Diagnostic::new(
                                Code::MalformedCell,
                                *span,
                                "a block stands after `out`",
                            )
                            .note("`out` is the last line of a cell"),
                        );
                    }
                    blocks.push(self.block(cell, name, value, &mut known, false));
                    known.locals.push(name.name.clone());
                }
                CellStmt::Out { outputs: written, span } => {
                    if let Some(first) = out_span.replace(*span) {
                        self.faults.push(
                            Diagnostic::new(Code::MalformedCell, *span, "a cell has one `out`")
                                .also(first, "the first one")
                                .note("write all outputs behind it, as in `out a, b`"),
                        );
                    }
                    let mut resolved = Vec::new();
                    for (at, output) in written.iter().enumerate() {
                        let name = match written.len() {
                            1 => "out".into(),
                            _ => format!("out{}", at + 1),
                        };
                        let name = Ident { name, span: *span };
                        let block = self.block(cell, &name, &output.value, &mut known, true);
                        let to = self.arrival(output, written.len() == 1);
                        resolved.push(block.map(|block| Output { block, to }));
                    }
                    outputs = Some(resolved.into_iter().collect::<Option<Vec<_>>>());
                }
                CellStmt::Repeat { .. } => {
                    unreachable!("`repeat` is written out by check::expand")
                }
            }
        }
        if outputs.is_none() {
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
            params,
            inputs: cell.inputs.clone(),
            stride,
            statics,
            blocks: blocks.into_iter().collect::<Option<_>>()?,
            outputs: outputs??,
            is_repeated: false,
            origin: self.origin,
        })
    }

    /// How many cells later an output arrives.
    fn arrival(&mut self, output: &ast::Output, is_only: bool) -> Option<usize> {
        match output.to {
            None => (!is_only).then_some(1),
            Some(to) if (1..=MAX_DELAY).contains(&to.value) => Some(to.value as usize),
            Some(to) => {
                self.faults.push(
                    Diagnostic::new(
                        Code::AttributeOutOfRange,
                        to.span,
                        format!(
                            "an output arrives 1 to {MAX_DELAY} cells later, found {}",
                            to.value
                        ),
                    )
                    .note("`to 1` is the next cell"),
                );
                None
            }
        }
    }

    /// The scope of a statement. It takes the names over; [`Known::take_back`] gives them back.
    fn scope(&self, known: &mut Known, is_out: bool) -> Scope {
        let bound = Rc::clone(&known.bound);
        let at = known.locals.len() - known.n_inputs;
        Scope {
            place: Place::Cell { in_space: self.in_space, is_out, bound, at },
            params: std::mem::take(&mut known.params),
            locals: std::mem::take(&mut known.locals),
        }
    }

    fn builder(&mut self, scope: Scope) -> Builder<'_> {
        Builder {
            names: self.names,
            op_params: self.heads,
            scope,
            holes: Holes::default(),
            stages: 0,
            faults: self.faults,
        }
    }

    /// The cell's attributes, and their names.
    fn params(&mut self, cell: &ast::Cell) -> (Vec<Param>, Vec<String>) {
        let place = Place::Cell { in_space: false, is_out: false, bound: Rc::new([]), at: 0 };
        let scope = Scope { place, params: Vec::new(), locals: Vec::new() };
        let mut builder = self.builder(scope);
        let params = builder.params(&cell.params);
        (params, builder.scope.params)
    }

    /// A static statement with its holes numbered.
    fn statement(
        &mut self,
        owner: &str,
        known: &mut Known,
        build: impl FnOnce(&mut Builder) -> Option<Static>,
    ) -> Option<Static> {
        let mut scope = self.scope(known, false);
        // A block below is as unknown to it as one that is nowhere.
        if let Place::Cell { bound, at, .. } = &mut scope.place {
            *at = bound.len();
        }
        let mut builder = self.builder(scope);
        let statement = build(&mut builder);
        known.take_back(&mut builder.scope);
        let holes = std::mem::take(&mut builder.holes);
        let mut statement = statement?;
        let span = match &statement.kind {
            StaticKind::Let { value, .. } => value.span,
            StaticKind::Require(require) => require.span,
        };
        statement.holes = holes.number(owner, span, self.decisions, self.faults);
        let decision_of = statement.holes.clone();
        statement.renumber(&decision_of);
        Some(statement)
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
        known: &mut Known,
        is_out: bool,
    ) -> Option<Block> {
        let n_locals = known.locals.len();
        let scope = self.scope(known, is_out);
        let mut builder = self.builder(scope);
        let value = builder.expr(value);
        known.take_back(&mut builder.scope);
        let mut value = value?;
        if matches!(value.kind, ExprKind::ConcatUnused) {
            if n_locals == cell.inputs.len() {
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
        let holes = std::mem::take(&mut builder.holes);
        let owner = format!("{}.{}", cell.name.name, name.name);
        let holes = holes.number(&owner, value.span, self.decisions, self.faults);
        value.renumber(&holes);
        Some(Block { name: name.clone(), value, holes })
    }
}
