//! Writes a cell's shorthands out: `repeat`, `cell b = a`, `?set` and `?earlier`.
//!
//! The result is again a syntax tree, every hole an explicit choice. It is what [`choices`](super::choices)
//! numbers and what a found architecture is written from. Copies keep the spans of the text they were
//! written in, so a fault in a repeated block points at the block.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::bind;
use super::names::{Names, unknown};
use super::{MAX_BLOCKS, MAX_OPTIONS};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::Origin;
use crate::source::Span;
use crate::syntax::ast::{
    Alternative, Cell, CellBody, CellStmt, Combine, CombineRef, Constant, Expr, ExprKind, Ident,
    Number, Op, OpBody, OpRef, OpRefKind, OpStmt, Output,
};
use crate::syntax::rename::{Mover, NewNames};

/// The most blocks of all cells of a file.
const MAX_BLOCKS_OF_ALL: usize = 1 << 17;

/// The most options of all holes of a file.
const MAX_ALTERNATIVES_OF_ALL: usize = 1 << 18;

/// The longest chain of cells that are each the same as the next.
pub(crate) const MAX_SAME: usize = 64;

/// The most bytes of text that the shorthands of a file may repeat.
const MAX_COPIED: usize = 1 << 21;

/// How much has been written out: a short file can stand for a long one.
#[derive(Default)]
pub(super) struct Budget {
    blocks: usize,
    alternatives: usize,
    copied: usize,
}

impl Budget {
    /// True once the file stands for more than is read.
    pub(super) fn is_spent(&self) -> bool {
        self.blocks > MAX_BLOCKS_OF_ALL
            || self.alternatives > MAX_ALTERNATIVES_OF_ALL
            || self.copied > MAX_COPIED
    }

    /// E0102 at the statement that spends it.
    fn fault(&self, span: Span) -> Diagnostic {
        let message = if self.copied > MAX_COPIED {
            format!("what the shorthands of a file stand for may have at most {MAX_COPIED} bytes")
        } else {
            format!(
                "the cells of a file may have at most {MAX_BLOCKS_OF_ALL} blocks and \
                 {MAX_ALTERNATIVES_OF_ALL} alternatives in all"
            )
        };
        Diagnostic::new(Code::TooLarge, span, message)
            .note("use fewer cells, or move some of them to a file of their own")
    }
}

/// A cell without shorthands, or `None` after reporting why there is none.
pub(super) fn expand<'c>(
    cell: &'c Cell,
    names: &Names,
    budget: &mut Budget,
    faults: &mut Vec<Diagnostic>,
) -> Option<Cow<'c, Cell>> {
    if let CellBody::Block(statements) = &cell.body
        && statements.len() <= MAX_BLOCKS
        && statements.iter().all(is_plain)
    {
        budget.blocks += statements.len();
        if !budget.is_spent() {
            return Some(Cow::Borrowed(cell));
        }
        // Which statement spends it is found below.
        budget.blocks -= statements.len();
    }
    let (bound, statements) = statements(cell, names, budget, faults)?;
    let before = faults.len();
    let mut earlier: Vec<String> = Vec::new();
    let mut result: Vec<CellStmt> = bound.into_iter().map(CellStmt::Constant).collect();
    for statement in statements.iter() {
        match statement {
            CellStmt::Constant(_) | CellStmt::Require(_) => result.push(statement.clone()),
            CellStmt::Let { name, value, span } => {
                let value = Expander::block(value, names, &earlier, budget, faults);
                earlier.push(name.name.clone());
                result.push(CellStmt::Let { name: name.clone(), value, span: *span });
            }
            CellStmt::Repeat { count, name, value, span } => {
                let times = repeat_count(count, faults);
                for number in 1..=times {
                    budget.blocks += 1;
                    budget.copied += if number == 1 { 0 } else { value.span.range().len() };
                    if budget.is_spent() {
                        break;
                    }
                    let name = Ident { name: format!("{}{number}", name.name), span: name.span };
                    let value = Expander::block(value, names, &earlier, budget, faults);
                    earlier.push(name.name.clone());
                    result.push(CellStmt::Let { name, value, span: *span });
                }
            }
            CellStmt::Out { outputs, span } => {
                let outputs = outputs
                    .iter()
                    .map(|output| Output {
                        value: Expander::block(&output.value, names, &earlier, budget, faults),
                        to: output.to,
                    })
                    .collect();
                result.push(CellStmt::Out { outputs, span: *span });
            }
        }
        budget.blocks += 1;
        if result.len() > MAX_BLOCKS {
            faults.push(
                Diagnostic::new(
                    Code::MalformedCell,
                    cell.name.span,
                    format!("a cell may have at most {MAX_BLOCKS} blocks"),
                )
                .note("split the cell, or repeat it in a net's `stack`"),
            );
            return None;
        }
        if budget.is_spent() {
            faults.push(budget.fault(statement.span()));
            return None;
        }
    }
    let Cell { name, params, inputs, stride, body: _, span } = cell;
    (faults.len() == before).then(|| {
        Cow::Owned(Cell {
            name: name.clone(),
            params: params.clone(),
            inputs: inputs.clone(),
            stride: *stride,
            body: CellBody::Block(result),
            span: *span,
        })
    })
}

/// True for a statement that stands for itself: none of the shorthands, and no hole at all.
fn is_plain(statement: &CellStmt) -> bool {
    match statement {
        CellStmt::Constant(_) | CellStmt::Require(_) => true,
        CellStmt::Let { value, .. } => has_no_hole(value),
        CellStmt::Repeat { .. } => false,
        CellStmt::Out { outputs, .. } => outputs.iter().all(|output| has_no_hole(&output.value)),
    }
}

/// Holes in attributes do not count: nothing in them is written out.
fn has_no_hole(expr: &Expr) -> bool {
    let is_named = |op: &OpRef| match op.kind {
        OpRefKind::Named { .. } => true,
        OpRefKind::Set(_) | OpRefKind::Choice(_) => false,
    };
    match &expr.kind {
        ExprKind::Name(_) => true,
        ExprKind::Call { op, args } => is_named(op) && args.iter().all(has_no_hole),
        ExprKind::Pipe { input, stages } => has_no_hole(input) && stages.iter().all(is_named),
        ExprKind::Binary { combine: Combine::Fixed(_), left, right } => {
            has_no_hole(left) && has_no_hole(right)
        }
        ExprKind::Binary { combine: Combine::Choice { .. }, .. }
        | ExprKind::Earlier
        | ExprKind::Choice(_) => false,
        ExprKind::Paren(inner) => has_no_hole(inner),
    }
}

/// An operation of a space without shorthands.
pub(super) fn op(op: &Op, names: &Names, budget: &mut Budget, faults: &mut Vec<Diagnostic>) -> Op {
    let mut expander =
        Expander { names, earlier: &[], budget, faults, open_sets: Vec::new(), written: 0 };
    let body = match &op.body {
        OpBody::Short(expr) => OpBody::Short(expander.expr(expr)),
        OpBody::Block(statements) => {
            let expanded = statements.iter().map(|statement| match statement {
                OpStmt::Constant(_) | OpStmt::Require(_) => statement.clone(),
                OpStmt::Let { name, value, span } => {
                    OpStmt::Let { name: name.clone(), value: expander.expr(value), span: *span }
                }
                OpStmt::When { cond, value, span } => {
                    OpStmt::When { cond: cond.clone(), value: expander.expr(value), span: *span }
                }
                OpStmt::Otherwise { value, span } => {
                    OpStmt::Otherwise { value: expander.expr(value), span: *span }
                }
                OpStmt::Result(value) => OpStmt::Result(expander.expr(value)),
            });
            OpBody::Block(expanded.collect())
        }
    };
    Op { body, ..op.clone() }
}

/// The statements of a cell's body, followed through `= other<...>`, and the attributes of the cells on
/// the way as constants. What is copied from another file stands at the use in this one.
fn statements<'c>(
    cell: &'c Cell,
    names: &'c Names,
    budget: &mut Budget,
    faults: &mut Vec<Diagnostic>,
) -> Option<(Vec<Constant>, Cow<'c, [CellStmt]>)> {
    let (mut current, mut origin) = (cell, Origin::Own);
    let mut copied_at = cell.span;
    let mut bound = Vec::new();
    for _ in 0..=MAX_SAME {
        let other = match &current.body {
            CellBody::Block(statements) => {
                let is_copy = origin.is_foreign() || current.name != cell.name;
                budget.copied += if is_copy { current.span.range().len() } else { 0 };
                if budget.is_spent() {
                    faults.push(budget.fault(cell.span));
                    return None;
                }
                let mut statements = Cow::Borrowed(statements.as_slice());
                if origin.is_foreign() {
                    Mover::to(&mut Copied { names, origin }, copied_at)
                        .statements(statements.to_mut(), &current.params);
                }
                return Some((bound, statements));
            }
            CellBody::SameAs(other) => other,
        };
        if !origin.is_foreign() {
            copied_at = other.span;
        }
        let name = other.name.name.as_str();
        let own = names.cell_of.get(name).filter(|_| !origin.is_foreign());
        let used = || {
            let (file, cell) = names.scopes.cell(origin, name)?;
            Some((Origin::Used(file), cell))
        };
        let Some((next_origin, next)) = own.map(|&cell| (Origin::Own, cell)).or_else(used) else {
            let own = names.cell_of.keys().copied().filter(|&known| known != cell.name.name);
            let known = || own.chain(names.scopes.cells()).collect::<BTreeSet<&str>>();
            let known = std::iter::once_with(known).flatten();
            let fault = unknown("cell", name, other.name.span, known, faults);
            faults.push(fault);
            return None;
        };
        if !next_origin.is_foreign() && next.name == cell.name {
            faults.push(
                Diagnostic::new(
                    Code::CyclicDefinition,
                    other.span,
                    format!("cell `{}` is defined as itself", cell.name.name),
                )
                .note("write the blocks of one of the cells out"),
            );
            return None;
        }
        if !next.inputs.iter().map(|input| &input.name).eq(current.inputs.iter().map(|i| &i.name)) {
            let written: Vec<&str> = next.inputs.iter().map(|input| input.name.as_str()).collect();
            let fault = Diagnostic::new(
                Code::MalformedCell,
                other.span,
                format!("cell `{name}` has other inputs than `{}`", current.name.name),
            );
            let written = written.join(", ");
            let why = format!("write `cell {}({written})`", current.name.name);
            let ends = current.inputs.first().zip(current.inputs.last());
            faults.push(match ends.filter(|_| !origin.is_foreign()) {
                Some((first, last)) => {
                    let inputs = first.span.to(last.span);
                    // Other names mean nothing, but with other numbers the cells around may be wrong.
                    if next.inputs.len() == current.inputs.len() {
                        fault.replace(inputs, written, why)
                    } else {
                        fault.propose(inputs, written, why)
                    }
                }
                None => fault.note(why),
            });
            return None;
        }
        let specs: Vec<(&str, bool)> = next
            .params
            .iter()
            .map(|param| (param.name.name.as_str(), param.default.is_none()))
            .collect();
        let given = bind::places(name, &specs, &other.attrs, other.span, faults)?;
        for (index, (param, at)) in next.params.iter().zip(given).enumerate() {
            let (from, params, value) = match at {
                Some(at) => (origin, &*current.params, &other.attrs[at].value),
                None => {
                    let default = param.default.as_ref();
                    let default = default.expect("bind::places reports missing attributes");
                    (next_origin, &next.params[..index], default)
                }
            };
            let mut value = value.clone();
            if from.is_foreign() {
                Mover::to(&mut Copied { names, origin: from }, copied_at)
                    .attribute(&mut value, params);
            }
            let name = Ident { name: param.name.name.clone(), span: copied_at };
            bound.push(Constant { name, value, span: copied_at });
        }
        (current, origin) = (next, next_origin);
    }
    faults.push(
        Diagnostic::new(
            Code::TooLarge,
            cell.name.span,
            format!("cell `{}` is another cell by way of more than {MAX_SAME}", cell.name.name),
        )
        .note("name the cell whose blocks are written out"),
    );
    None
}

/// Names of another file in a copy that stands in this one.
struct Copied<'x, 'a> {
    names: &'x Names<'a>,
    origin: Origin,
}

impl NewNames for Copied<'_, '_> {
    fn op(&mut self, name: &str) -> Option<String> {
        self.names.alias_of_op(self.origin, name)
    }

    fn constant(&mut self, name: &str) -> Option<String> {
        self.names.alias_of_constant(self.origin, name)
    }

    fn cell(&mut self, _: &str) -> Option<String> {
        unreachable!("only the statements of a cell are copied")
    }

    fn adapter(&mut self, name: &str) -> Option<String> {
        self.op(name)
    }
}

fn repeat_count(count: &Number, faults: &mut Vec<Diagnostic>) -> u64 {
    if (1..=MAX_BLOCKS as u64).contains(&count.value) {
        return count.value;
    }
    faults.push(
        Diagnostic::new(
            Code::AttributeOutOfRange,
            count.span,
            format!("a block is repeated 1 to {MAX_BLOCKS} times, found {}", count.value),
        )
        .note("write a count in that range"),
    );
    0
}

/// Writes the shorthands of one block out.
struct Expander<'x, 'a> {
    names: &'x Names<'a>,
    earlier: &'x [String],
    budget: &'x mut Budget,
    faults: &'x mut Vec<Diagnostic>,
    /// Option sets being written out, outermost first.
    open_sets: Vec<String>,
    /// Options written so far.
    written: usize,
}

impl<'x, 'a> Expander<'x, 'a> {
    fn block(
        value: &Expr,
        names: &'x Names<'a>,
        earlier: &'x [String],
        budget: &'x mut Budget,
        faults: &'x mut Vec<Diagnostic>,
    ) -> Expr {
        Expander { names, earlier, budget, faults, open_sets: Vec::new(), written: 0 }.expr(value)
    }
}

impl Expander<'_, '_> {
    fn expr(&mut self, expr: &Expr) -> Expr {
        let kind = match &expr.kind {
            ExprKind::Name(name) => ExprKind::Name(name.clone()),
            ExprKind::Call { op, args } => ExprKind::Call {
                op: self.op(op),
                args: args.iter().map(|arg| self.expr(arg)).collect(),
            },
            ExprKind::Pipe { input, stages } => ExprKind::Pipe {
                input: Box::new(self.expr(input)),
                stages: stages.iter().map(|stage| self.op(stage)).collect(),
            },
            ExprKind::Binary { combine, left, right } => ExprKind::Binary {
                combine: self.combine(combine),
                left: Box::new(self.expr(left)),
                right: Box::new(self.expr(right)),
            },
            ExprKind::Earlier => {
                if self.earlier.is_empty() {
                    self.faults.push(
                        Diagnostic::new(
                            Code::NothingEarlier,
                            expr.span,
                            "`?earlier` has nothing to choose from",
                        )
                        .label("no block is bound before this one")
                        .note("bind a block first, such as `a = squeeze(h)`"),
                    );
                }
                self.budget.alternatives += self.earlier.len();
                let block = |name: &String| {
                    Alternative::new(Expr { kind: ExprKind::Name(name.clone()), span: expr.span })
                };
                ExprKind::Choice(self.earlier.iter().map(block).collect())
            }
            ExprKind::Choice(options) => {
                let option = |option: &Alternative<Expr>| Alternative {
                    item: self.expr(&option.item),
                    weight: option.weight,
                };
                ExprKind::Choice(options.iter().map(option).collect())
            }
            ExprKind::Paren(inner) => ExprKind::Paren(Box::new(self.expr(inner))),
        };
        Expr { kind, span: expr.span }
    }

    fn combine(&mut self, combine: &Combine) -> Combine {
        match combine {
            Combine::Fixed(_) => combine.clone(),
            Combine::Choice { options, span } => {
                let option = |option: &Alternative<CombineRef>| Alternative {
                    item: match &option.item {
                        CombineRef::Op { .. } => option.item.clone(),
                        CombineRef::Named(op) => CombineRef::Named(self.op(op)),
                    },
                    weight: option.weight,
                };
                Combine::Choice { options: options.iter().map(option).collect(), span: *span }
            }
        }
    }

    fn op(&mut self, op: &OpRef) -> OpRef {
        let kind = match &op.kind {
            OpRefKind::Named { .. } => op.kind.clone(),
            OpRefKind::Set(name) => match self.names.sets.get(name.name.as_str()) {
                Some(_) if self.open_sets.contains(&name.name) => {
                    self.faults.push(
                        Diagnostic::new(
                            Code::CyclicDefinition,
                            name.span,
                            format!("option set `{}` contains itself", name.name),
                        )
                        .note("write the options out"),
                    );
                    OpRefKind::Choice(Vec::new())
                }
                // Whoever reads the statement to its end reports it.
                Some(_) if self.budget.is_spent() => OpRefKind::Choice(Vec::new()),
                Some(options) => {
                    let bytes = options.iter().map(|option| option.item.span.range().len());
                    self.budget.copied += bytes.sum::<usize>();
                    self.open_sets.push(name.name.clone());
                    let kind = self.choice(options, op.span);
                    self.open_sets.pop();
                    kind
                }
                None => {
                    let known = self.names.sets.keys().copied();
                    let fault = unknown("option set", &name.name, name.span, known, self.faults);
                    self.faults.push(fault);
                    OpRefKind::Choice(Vec::new())
                }
            },
            OpRefKind::Choice(options) => self.choice(options, op.span),
        };
        OpRef { kind, span: op.span }
    }

    /// Options written out; option sets inside option sets multiply, so their number is bounded.
    fn choice(&mut self, options: &[Alternative<OpRef>], span: Span) -> OpRefKind {
        self.written += options.len();
        self.budget.alternatives += options.len();
        if self.written > MAX_OPTIONS {
            if self.written - options.len() <= MAX_OPTIONS {
                self.faults.push(
                    Diagnostic::new(
                        Code::MalformedSpace,
                        span,
                        format!("a block may have at most {MAX_OPTIONS} alternatives"),
                    )
                    .note("use fewer or smaller option sets"),
                );
            }
            return OpRefKind::Choice(Vec::new());
        }
        let option = |option: &Alternative<OpRef>| Alternative {
            item: self.op(&option.item),
            weight: option.weight,
        };
        OpRefKind::Choice(options.iter().map(option).collect())
    }
}
