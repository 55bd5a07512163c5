//! A point of a space as text: the space's cells with every hole filled.
//!
//! What a search writes is the language it reads: the file of a trial holds the operations and nets
//! its space's file defined, and the cells with the chosen options in place of the holes, so it compiles
//! alone at any scale and in any folder.

use super::Genotype;
use crate::check::IDENTITY;
use crate::ir::{Module, Primitive};
use crate::link::write_out;
use crate::source::Span;
use crate::syntax::ast::{
    Alternative, Cell, CellBody, CellStmt, Combine, CombineOp, CombineRef, Constant, Expr,
    ExprKind, File, Ident, Item, Op, OpBody, OpRef, OpRefKind, OpStmt, Output, Require, Value,
    ValueKind,
};
use crate::syntax::unused::name_unused;

/// The file of `genotype`, a point of the space in `module`, which was checked from `file`.
///
/// Blocks that `concat(unused)` stands for are named. Items outside the space are kept as they are,
/// comments are not. What the file reaches of those it uses is written out, see [`write_out`].
///
/// # Panics
/// If `module` has no space, or `genotype` is no point of it.
pub fn fill(file: &File, module: &Module, genotype: &Genotype) -> File {
    let space = module.space.as_ref().expect("a file is filled from a module with a space");
    assert!(space.decisions.contains(genotype), "the genotype is a point of the space");
    let choices = genotype.choices.as_slice();
    let of_kind = |is_kind: fn(&Item) -> bool| {
        file.items.iter().filter(move |item| is_kind(item)).cloned().collect::<Vec<Item>>()
    };
    let mut items = of_kind(|item| matches!(item, Item::Use(_)));
    // A constant may read those above it, whether they stand in the space or not.
    let mut constants: Vec<Constant> = file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Constant(constant) => Some(constant.clone()),
            Item::Use(_)
            | Item::Op(_)
            | Item::Cell(_)
            | Item::Space(_)
            | Item::Net(_)
            | Item::Expect(_) => None,
        })
        .collect();
    constants.extend(space.constants.iter().map(|(index, constant)| {
        let mut filler = Filler::new(choices, &module.constants[*index].holes);
        Constant { value: filler.value(&constant.value), ..constant.clone() }
    }));
    constants.sort_by_key(|constant| constant.span.start);
    items.extend(constants.into_iter().map(Item::Constant));
    items.extend(of_kind(|item| matches!(item, Item::Op(_))));
    items.extend(
        space
            .ops
            .iter()
            .map(|(id, op)| Item::Op(Filler::new(choices, &module.ops[id.0].holes).definition(op))),
    );
    items.extend(of_kind(|item| matches!(item, Item::Net(_))));
    for (cell, expanded) in module.own_cells().zip(&space.expanded) {
        let CellBody::Block(statements) = &expanded.body else {
            unreachable!("check::expand writes cells out")
        };
        let mut blocks = cell.blocks.iter().map(|block| &block.holes);
        let mut statics = cell.statics.iter().map(|statement| &statement.holes);
        let mut filled = Vec::new();
        for statement in statements {
            const IN_STEP: &str = "check::cells keeps statements and what they become in step";
            filled.push(match statement {
                CellStmt::Constant(constant) => {
                    let mut filler = Filler::new(choices, statics.next().expect(IN_STEP));
                    CellStmt::Constant(Constant {
                        value: filler.value(&constant.value),
                        ..constant.clone()
                    })
                }
                CellStmt::Require(require) => {
                    let mut filler = Filler::new(choices, statics.next().expect(IN_STEP));
                    CellStmt::Require(Require {
                        cond: filler.value(&require.cond),
                        ..require.clone()
                    })
                }
                CellStmt::Let { name, value, span } => {
                    let mut filler = Filler::new(choices, blocks.next().expect(IN_STEP));
                    CellStmt::Let { name: name.clone(), value: filler.expr(value), span: *span }
                }
                CellStmt::Out { outputs, span } => {
                    let holes = cell.outputs.iter().map(|output| &output.block.holes);
                    let outputs = outputs.iter().zip(holes).map(|(output, holes)| Output {
                        value: Filler { is_out: true, ..Filler::new(choices, holes) }
                            .expr(&output.value),
                        to: output.to,
                    });
                    CellStmt::Out { outputs: outputs.collect(), span: *span }
                }
                CellStmt::Repeat { .. } => unreachable!("check::expand writes `repeat` out"),
            });
        }
        name_unused(&mut filled);
        items.push(Item::Cell(Cell { body: CellBody::Block(filled), ..expanded.clone() }));
    }
    write_out(&File { items, ..File::default() }, module)
}

/// Fills the holes of one definition, met in the order of the text.
struct Filler<'x> {
    choices: &'x [usize],
    holes: std::slice::Iter<'x, usize>,
    /// Whether this is what a cell gives.
    is_out: bool,
}

impl<'x> Filler<'x> {
    fn new(choices: &'x [usize], holes: &'x [usize]) -> Self {
        Filler { choices, holes: holes.iter(), is_out: false }
    }

    /// An operation of the space.
    fn definition(&mut self, op: &Op) -> Op {
        let mut op = op.clone();
        for default in op.params.iter_mut().filter_map(|param| param.default.as_mut()) {
            *default = self.value(default);
        }
        match &mut op.body {
            OpBody::Short(expr) => *expr = self.expr(expr),
            OpBody::Block(statements) => {
                for statement in statements {
                    match statement {
                        OpStmt::Constant(constant) => constant.value = self.value(&constant.value),
                        OpStmt::Require(require) => require.cond = self.value(&require.cond),
                        OpStmt::Let { value, .. }
                        | OpStmt::Otherwise { value, .. }
                        | OpStmt::Result(value) => *value = self.expr(value),
                        OpStmt::When { cond, value, .. } => {
                            *cond = self.value(cond);
                            *value = self.expr(value);
                        }
                    }
                }
            }
        }
        op
    }

    fn choice(&mut self) -> usize {
        let decision = self.holes.next().expect("check::choices numbers every hole of a block");
        self.choices[*decision]
    }

    /// Fills every option, so that the holes of those not taken are passed over, and gives the taken one.
    fn chosen<T>(
        &mut self,
        options: &[Alternative<T>],
        mut fill: impl FnMut(&mut Self, &T) -> T,
    ) -> T {
        let choice = self.choice();
        let mut filled: Vec<T> = options.iter().map(|option| fill(self, &option.item)).collect();
        filled.swap_remove(choice)
    }

    fn expr(&mut self, expr: &Expr) -> Expr {
        let kind = match &expr.kind {
            ExprKind::Name(name) => ExprKind::Name(name.clone()),
            ExprKind::Call { op, args } => {
                let filled = self.op(op);
                let args = args.iter().map(|arg| self.expr(arg)).collect();
                match op.kind {
                    OpRefKind::Choice(_) => self.call(filled, args, expr.span),
                    OpRefKind::Named { .. } | OpRefKind::Set(_) => {
                        ExprKind::Call { op: filled, args }
                    }
                }
            }
            ExprKind::Pipe { input, stages } => {
                let input = Box::new(self.expr(input));
                ExprKind::Pipe {
                    input,
                    stages: stages.iter().map(|stage| self.op(stage)).collect(),
                }
            }
            ExprKind::Binary { combine, left, right } => {
                let left = self.expr(left);
                let combine = match combine {
                    Combine::Fixed(op) => CombineRef::Op { op: *op, span: expr.span },
                    Combine::Choice { options, .. } => {
                        self.chosen(options, |filler, option| match option {
                            CombineRef::Op { .. } => option.clone(),
                            CombineRef::Named(op) => CombineRef::Named(filler.op(op)),
                        })
                    }
                };
                let right = self.expr(right);
                match combine {
                    CombineRef::Op { op, .. } => {
                        let [left, right] = [left, right].map(|operand| match op {
                            // It is written as a call.
                            CombineOp::Concat => self.operand_of_concat(operand),
                            CombineOp::Add | CombineOp::Mul => operand,
                        });
                        ExprKind::Binary {
                            combine: Combine::Fixed(op),
                            left: Box::new(left),
                            right: Box::new(right),
                        }
                    }
                    CombineRef::Named(op) => self.call(op, vec![left, right], expr.span),
                }
            }
            ExprKind::Choice(options) => return self.chosen(options, Self::expr),
            ExprKind::Paren(inner) => ExprKind::Paren(Box::new(self.expr(inner))),
            ExprKind::Earlier => unreachable!("check::expand writes `?earlier` out"),
        };
        Expr { kind, span: expr.span }
    }

    /// A call of what was a hole. `concat` of one tensor adapts a bare operand, the hole did not.
    fn call(&self, op: OpRef, mut args: Vec<Expr>, span: Span) -> ExprKind {
        let is_concat = match &op.kind {
            OpRefKind::Named { name, .. } => Primitive::of(&name.name) == Some(Primitive::Concat),
            OpRefKind::Set(_) | OpRefKind::Choice(_) => unreachable!("the operation is filled"),
        };
        if !is_concat {
            return ExprKind::Call { op, args };
        }
        if args.len() == 1 {
            let kind = ExprKind::Pipe { input: Box::new(args.swap_remove(0)), stages: vec![op] };
            return ExprKind::Paren(Box::new(Expr { kind, span }));
        }
        let args = args.into_iter().map(|arg| self.operand_of_concat(arg)).collect();
        ExprKind::Call { op, args }
    }

    /// An operand of a `concat` that was a hole. In `out` a bare operand of `concat` is adapted without a relu,
    /// but that of another combination as by `id`.
    fn operand_of_concat(&self, operand: Expr) -> Expr {
        if !self.is_out || !is_bare(&operand) {
            return operand;
        }
        let span = operand.span;
        let name = Ident { name: IDENTITY.to_owned(), span };
        let op = OpRef { kind: OpRefKind::Named { name, attrs: Vec::new() }, span };
        Expr { kind: ExprKind::Call { op, args: vec![operand] }, span }
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
            ValueKind::Number(_) | ValueKind::Name(_) | ValueKind::Cost { .. } => {
                value.kind.clone()
            }
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

/// True for the name of a block or an input.
fn is_bare(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Name(_) => true,
        ExprKind::Paren(inner) => is_bare(inner),
        ExprKind::Call { .. }
        | ExprKind::Pipe { .. }
        | ExprKind::Binary { .. }
        | ExprKind::Choice(_)
        | ExprKind::Earlier => false,
    }
}
