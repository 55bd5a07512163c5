//! A point of a space as text: the space's cells with every hole filled.
//!
//! What a search writes is the language it reads: the file of a trial holds the operations and nets
//! its space's file defined, and the cells with the chosen options in place of the holes, so it compiles
//! alone at any scale.

use std::collections::BTreeSet;

use super::Genotype;
use crate::ir::Module;
use crate::syntax::ast::{
    Cell, CellBody, CellStmt, Combine, Expr, ExprKind, File, Item, OpRef, OpRefKind, Value,
    ValueKind,
};

/// The file of `genotype`, a point of the space in `module`, which was checked from `file`.
///
/// Blocks that `concat(unused)` stands for are named. Items outside the space are kept as they are,
/// comments are not.
///
/// # Panics
/// If `module` has no space, or `genotype` is no point of it.
pub fn fill(file: &File, module: &Module, genotype: &Genotype) -> File {
    let space = module.space.as_ref().expect("a file is filled from a module with a space");
    assert!(space.decisions.contains(genotype), "the genotype is a point of the space");
    let mut items: Vec<Item> = file
        .items
        .iter()
        .filter(|item| matches!(item, Item::Op(_) | Item::Net(_)))
        .cloned()
        .collect();
    for (cell, expanded) in module.cells.iter().zip(&space.expanded) {
        let mut holes = cell.blocks.iter().chain([&cell.out]).map(|block| block.holes.as_slice());
        let CellBody::Block(statements) = &expanded.body else {
            unreachable!("check::expand writes cells out")
        };
        let mut filled = Vec::new();
        for statement in statements {
            let holes = holes.next().expect("check::cells makes one block a statement");
            let mut filler = Filler { choices: &genotype.choices, holes: holes.iter() };
            filled.push(match statement {
                CellStmt::Let { name, value, span } => {
                    CellStmt::Let { name: name.clone(), value: filler.expr(value), span: *span }
                }
                CellStmt::Out { value, span } => {
                    CellStmt::Out { value: filler.expr(value), span: *span }
                }
                CellStmt::Repeat { .. } => unreachable!("check::expand writes `repeat` out"),
            });
        }
        name_unused(&mut filled);
        items.push(Item::Cell(Cell { body: CellBody::Block(filled), ..expanded.clone() }));
    }
    File { items, ..File::default() }
}

/// Fills the holes of one block, met in the order of the text.
struct Filler<'x> {
    choices: &'x [usize],
    holes: std::slice::Iter<'x, usize>,
}

impl Filler<'_> {
    fn choice(&mut self) -> usize {
        let decision = self.holes.next().expect("check::choices numbers every hole of a block");
        self.choices[*decision]
    }

    /// Fills every option, so that the holes of those not taken are passed over, and gives the taken one.
    fn chosen<T>(&mut self, options: &[T], mut fill: impl FnMut(&mut Self, &T) -> T) -> T {
        let choice = self.choice();
        let mut filled: Vec<T> = options.iter().map(|option| fill(self, option)).collect();
        filled.swap_remove(choice)
    }

    fn expr(&mut self, expr: &Expr) -> Expr {
        let kind = match &expr.kind {
            ExprKind::Name(name) => ExprKind::Name(name.clone()),
            ExprKind::Call { op, args } => {
                let op = self.op(op);
                ExprKind::Call { op, args: args.iter().map(|arg| self.expr(arg)).collect() }
            }
            ExprKind::Pipe { input, stages } => {
                let input = Box::new(self.expr(input));
                ExprKind::Pipe {
                    input,
                    stages: stages.iter().map(|stage| self.op(stage)).collect(),
                }
            }
            ExprKind::Binary { combine, left, right } => {
                let left = Box::new(self.expr(left));
                let combine = match combine {
                    Combine::Fixed(op) => Combine::Fixed(*op),
                    Combine::Choice { options, .. } => Combine::Fixed(options[self.choice()].0),
                };
                ExprKind::Binary { combine, left, right: Box::new(self.expr(right)) }
            }
            ExprKind::Choice(options) => return self.chosen(options, Self::expr),
            ExprKind::Paren(inner) => ExprKind::Paren(Box::new(self.expr(inner))),
            ExprKind::Earlier => unreachable!("check::expand writes `?earlier` out"),
        };
        Expr { kind, span: expr.span }
    }

    fn op(&mut self, op: &OpRef) -> OpRef {
        let kind = match &op.kind {
            OpRefKind::Named { name, attrs } => {
                let mut attrs = attrs.clone();
                attrs.iter_mut().for_each(|attr| attr.value = self.value(&attr.value));
                OpRefKind::Named { name: name.clone(), attrs }
            }
            OpRefKind::Choice(options) => return self.chosen(options, Self::op),
            OpRefKind::Set(_) => unreachable!("check::expand writes option sets out"),
        };
        OpRef { kind, span: op.span }
    }

    fn value(&mut self, value: &Value) -> Value {
        let kind = match &value.kind {
            ValueKind::Number(_) | ValueKind::Name(_) => value.kind.clone(),
            ValueKind::Pair(left, right) => {
                let left = Box::new(self.value(left));
                ValueKind::Pair(left, Box::new(self.value(right)))
            }
            ValueKind::Call { function, args } => ValueKind::Call {
                function: function.clone(),
                args: args.iter().map(|arg| self.value(arg)).collect(),
            },
            ValueKind::Binary { op, left, right } => {
                let left = Box::new(self.value(left));
                ValueKind::Binary { op: *op, left, right: Box::new(self.value(right)) }
            }
            ValueKind::Not(inner) => ValueKind::Not(Box::new(self.value(inner))),
            ValueKind::Paren(inner) => ValueKind::Paren(Box::new(self.value(inner))),
            ValueKind::Choice(options) => return self.chosen(options, Self::value),
        };
        Value { kind, span: value.span }
    }
}

/// Replaces `concat(unused)` by the names of the blocks that no block reads.
pub(crate) fn name_unused(statements: &mut [CellStmt]) {
    let mut read = BTreeSet::new();
    let mut bound = Vec::new();
    for statement in statements.iter() {
        if let CellStmt::Let { name, value, .. } = statement {
            bound.push(name.name.clone());
            note_reads(value, &mut read);
        }
    }
    let Some(CellStmt::Out { value, .. }) = statements.last_mut() else { return };
    let span = value.span;
    if let ExprKind::Call { args, .. } = &mut value.kind {
        let is_unused = matches!(args.as_slice(), [Expr { kind: ExprKind::Name(name), .. }]
            if name == "unused" && !bound.contains(name));
        if is_unused {
            let names = bound.into_iter().filter(|name| !read.contains(name));
            *args = names.map(|name| Expr { kind: ExprKind::Name(name), span }).collect();
        }
    }
}

fn note_reads(expr: &Expr, read: &mut BTreeSet<String>) {
    match &expr.kind {
        ExprKind::Name(name) => {
            read.insert(name.clone());
        }
        ExprKind::Call { args, .. } | ExprKind::Choice(args) => {
            args.iter().for_each(|arg| note_reads(arg, read));
        }
        ExprKind::Pipe { input, .. } => note_reads(input, read),
        ExprKind::Binary { left, right, .. } => {
            note_reads(left, read);
            note_reads(right, read);
        }
        ExprKind::Paren(inner) => note_reads(inner, read),
        ExprKind::Earlier => {}
    }
}
