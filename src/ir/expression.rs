//! What a cell computes, written out: blocks put in place of their names, `zero` and identities folded.
//!
//! [`architecture_id`](crate::compile::architecture_id) tells networks apart, down to which parameters are
//! shared. Tabular benchmarks tell less: to them two cells are one if they read the same once what has no
//! effect is struck out. An [`Expression`] is a cell in that form; equal expressions are one class.
//!
//! # The rewriting
//!
//! 1. A block's name stands for what it computes, so a block read twice is written twice.
//! 2. An operation that gives back its argument, such as `op skip(x) = x`, is dropped.
//! 3. An operation that is `zero` of its argument is [`Term::Zero`], and so is any operation of nothing
//!    but zeros. A zero stays a term of the sum it stands in: what is added is not what is left out.
//! 4. The terms of a sum are sorted, and a sum inside a sum gives its terms, in their order, to the place
//!    it sorts to. Terms go by what they are applied to, then by the operation as it is written; zeros
//!    first, inputs last.
//!
//! Rule 3 takes a convolution of zeros with batch norm for zeros, which it is until its `beta` is trained,
//! and rule 1 forgets sharing: equal expressions may differ in parameters. Rule 4 keeps the order of inner
//! sums, so sums that are equal by associativity may differ. This is the benchmark's relation, not a better one.
//!
//! # Source
//! `Structure.to_unique_str(consider_zero=True)` of NAS-Bench-201 (Dong and Yang, ICLR 2020): 6,466 classes
//! of its 15,625 cells.

use std::fmt;
use std::sync::Arc;

use super::{
    Cell, Combine, CombineOp, CombineUse, Expr, ExprKind, Module, Op, OpResult, OpUse, OpUseKind,
    Primitive, StaticKind, Value, ValueKind,
};
use crate::space::Genotype;

/// Most terms of an expression, counted as they are written out.
const MAX_TERMS: usize = 1 << 10;

/// The outputs of a cell, written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expression {
    /// One sum an output; a single term is a sum too.
    pub outputs: Vec<Sum>,
}

/// Terms in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum {
    terms: Vec<Arc<Term>>,
}

/// What a sum adds. The order of the variants and of their fields is the order of terms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// Zeros.
    Zero,
    /// An operation of tensors.
    Applied {
        /// The tensors; sorted if the operation does not tell them apart.
        operands: Vec<Sum>,
        /// The operation as it is written, attributes included.
        op: String,
    },
    /// An input of the cell, most recent first.
    Input(usize),
}

impl Module {
    /// What a cell computes at a point of the space; without a space any genotype will do.
    ///
    /// `None` if it has more than 1,024 terms written out, as may be where many blocks are read twice.
    ///
    /// # Panics
    /// If the genotype is no point of the module's space.
    pub fn expression(&self, cell: &Cell, genotype: &Genotype) -> Option<Expression> {
        let inputs = cell.inputs.len();
        let mut writer = Writer {
            module: self,
            choices: &genotype.choices,
            names: cell.params.iter().map(|param| param.name.as_str()).collect(),
            statics: vec![None; cell.params.len()],
            locals: (0..inputs).map(|input| Sum::of(Term::Input(input))).collect(),
            is_read: vec![false; inputs + cell.blocks.len()],
        };
        for statement in &cell.statics {
            if let StaticKind::Let { value, .. } = &statement.kind {
                writer.statics.push(Some(writer.settled(value, &writer.statics)));
            }
        }
        for block in &cell.blocks {
            let sum = writer.expr(&block.value)?;
            writer.locals.push(sum);
        }
        let unread: Vec<Sum> = (inputs..writer.locals.len())
            .filter(|&local| !writer.is_read[local])
            .map(|local| writer.locals[local].clone())
            .collect();
        let outputs = cell.outputs.iter().map(|output| match &output.block.value.kind {
            ExprKind::ConcatUnused => Sum::applied("concat".into(), unread.clone()),
            ExprKind::Local(_)
            | ExprKind::Apply { .. }
            | ExprKind::Combine { .. }
            | ExprKind::Choice { .. } => writer.expr(&output.block.value),
        });
        Some(Expression { outputs: outputs.collect::<Option<_>>()? })
    }
}

/// What an operation does to its one argument, as far as rules 2 and 3 ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Identity,
    Zero,
    Other,
}

/// Writes the blocks of one cell out.
struct Writer<'m> {
    module: &'m Module,
    choices: &'m [usize],
    /// Names of the cell's attributes.
    names: Vec<&'m str>,
    /// What its attributes and named values are; an attribute is known where the cell stands only.
    statics: Vec<Option<Value>>,
    /// What the cell's inputs and the blocks so far stand for.
    locals: Vec<Sum>,
    is_read: Vec<bool>,
}

impl Writer<'_> {
    fn expr(&mut self, expr: &Expr) -> Option<Sum> {
        // A pipeline nests to the left, deeper than anything else; see Lowering::expr.
        let mut start = expr;
        let mut stages = Vec::new();
        while let ExprKind::Apply { op, args } = &start.kind
            && let [input] = args.as_slice()
        {
            stages.push(op);
            start = input;
        }
        let mut sum = self.operand(start)?;
        for op in stages.into_iter().rev() {
            sum = self.apply(op, vec![sum])?;
        }
        Some(sum)
    }

    /// An expression that is no stage of a pipeline.
    fn operand(&mut self, expr: &Expr) -> Option<Sum> {
        match &expr.kind {
            ExprKind::Local(local) => {
                self.is_read[local.0] = true;
                Some(self.locals[local.0].clone())
            }
            ExprKind::Choice { decision, options } => self.expr(&options[self.choices[*decision]]),
            ExprKind::Apply { op, args } => {
                let operands = args.iter().map(|arg| self.expr(arg)).collect::<Option<_>>()?;
                self.apply(op, operands)
            }
            ExprKind::Combine { combine, left, right } => match self.combine(combine) {
                CombineUse::Op(CombineOp::Add) => {
                    let mut addends = Vec::new();
                    self.addends(expr, &mut addends)?;
                    Sum::joined(addends)
                }
                CombineUse::Op(CombineOp::Mul) => {
                    let mut operands = vec![self.expr(left)?, self.expr(right)?];
                    operands.sort();
                    Sum::applied("*".into(), operands)
                }
                CombineUse::Op(CombineOp::Concat) => {
                    let operands = vec![self.expr(left)?, self.expr(right)?];
                    Sum::applied("concat".into(), operands)
                }
                CombineUse::Apply(op) => {
                    let operands = vec![self.expr(left)?, self.expr(right)?];
                    self.apply(op, operands)
                }
            },
            ExprKind::ConcatUnused => {
                unreachable!("`concat(unused)` is a cell's whole output, see Module::expression")
            }
        }
    }

    /// What `a + b + c` adds: one sum of three, however it is bracketed.
    fn addends(&mut self, expr: &Expr, found: &mut Vec<Sum>) -> Option<()> {
        if let ExprKind::Combine { combine, left, right } = &expr.kind
            && matches!(self.combine(combine), CombineUse::Op(CombineOp::Add))
        {
            self.addends(left, found)?;
            return self.addends(right, found);
        }
        found.push(self.expr(expr)?);
        Some(())
    }

    fn combine<'c>(&self, combine: &'c Combine) -> &'c CombineUse {
        match combine {
            Combine::Fixed(CombineOp::Add) => &CombineUse::Op(CombineOp::Add),
            Combine::Fixed(CombineOp::Mul) => &CombineUse::Op(CombineOp::Mul),
            Combine::Fixed(CombineOp::Concat) => &CombineUse::Op(CombineOp::Concat),
            Combine::Choice { decision, options } => &options[self.choices[*decision]],
        }
    }

    fn apply(&self, op: &OpUse, operands: Vec<Sum>) -> Option<Sum> {
        let op = self.chosen(op);
        let effect = match operands.as_slice() {
            [_] => self.effect(op),
            _ => Effect::Other,
        };
        match effect {
            Effect::Identity => operands.into_iter().next(),
            Effect::Zero => Some(Sum::of(Term::Zero)),
            Effect::Other => Sum::applied(self.written(op), operands),
        }
    }

    fn chosen<'o>(&self, op: &'o OpUse) -> &'o OpUse {
        let mut op = op;
        while let OpUseKind::Choice { decision, options } = &op.kind {
            op = &options[self.choices[*decision]];
        }
        op
    }

    /// Operations do not call each other in a cycle, so this ends.
    fn effect(&self, op: &OpUse) -> Effect {
        match &self.chosen(op).kind {
            OpUseKind::Primitive { primitive: Primitive::Zero, .. } => Effect::Zero,
            OpUseKind::Primitive { .. } => Effect::Other,
            OpUseKind::Op { op, .. } => {
                let Op { bindings, result, .. } = &self.module.ops[op.0];
                match result {
                    OpResult::Always(result) if bindings.is_empty() => match &result.kind {
                        ExprKind::Local(_) => Effect::Identity,
                        ExprKind::Apply { op, args } => match args.as_slice() {
                            [Expr { kind: ExprKind::Local(_), .. }] => self.effect(op),
                            _ => Effect::Other,
                        },
                        ExprKind::Combine { .. }
                        | ExprKind::Choice { .. }
                        | ExprKind::ConcatUnused => Effect::Other,
                    },
                    OpResult::Always(_) | OpResult::When { .. } => Effect::Other,
                }
            }
            OpUseKind::Choice { .. } => unreachable!("Writer::chosen follows choices to the end"),
        }
    }

    /// A use with every attribute, those left to their defaults too.
    fn written(&self, op: &OpUse) -> String {
        let mut op = op.clone();
        match &mut op.kind {
            OpUseKind::Op { op, attrs } => {
                for index in 0..attrs.len() {
                    let default = &self.module.ops[op.0].params[index].default;
                    attrs[index] = match (&attrs[index], default) {
                        (Some(given), _) => Some(self.settled(given, &self.statics)),
                        (None, Some(default)) => Some(self.settled(default, attrs)),
                        (None, None) => None,
                    };
                }
            }
            OpUseKind::Primitive { attrs, .. } => {
                for attr in attrs.iter_mut().flatten() {
                    *attr = self.settled(attr, &self.statics);
                }
            }
            OpUseKind::Choice { .. } => unreachable!("Writer::chosen follows choices to the end"),
        }
        self.module.op_use(&op, &self.names)
    }

    /// A value with its holes filled, and constants and those of `statics` that are known in place of
    /// their names.
    fn settled(&self, value: &Value, statics: &[Option<Value>]) -> Value {
        let settled = |value: &Value| Box::new(self.settled(value, statics));
        let kind = match &value.kind {
            ValueKind::Param(index) => match statics.get(*index) {
                Some(Some(known)) => return known.clone(),
                Some(None) | None => ValueKind::Param(*index),
            },
            ValueKind::Constant(index) => {
                return self.settled(&self.module.constants[*index].value, &[]);
            }
            ValueKind::Choice { decision, options } => {
                return self.settled(&options[self.choices[*decision]], statics);
            }
            ValueKind::Pair(height, width) => ValueKind::Pair(settled(height), settled(width)),
            ValueKind::Odd(inner) => ValueKind::Odd(settled(inner)),
            ValueKind::Min(left, right) => ValueKind::Min(settled(left), settled(right)),
            ValueKind::Max(left, right) => ValueKind::Max(settled(left), settled(right)),
            ValueKind::Binary { op, left, right } => {
                ValueKind::Binary { op: *op, left: settled(left), right: settled(right) }
            }
            ValueKind::Not(inner) => ValueKind::Not(settled(inner)),
            ValueKind::Int(_)
            | ValueKind::Builtin(_)
            | ValueKind::Channels(_)
            | ValueKind::SizeOf(_)
            | ValueKind::Cost { .. } => value.kind.clone(),
        };
        Value { kind, span: value.span }
    }
}

impl Sum {
    /// The sum of one term.
    fn of(term: Term) -> Sum {
        Sum { terms: vec![Arc::new(term)] }
    }

    /// Rule 3 on an operation that does not drop out.
    fn applied(op: String, operands: Vec<Sum>) -> Option<Sum> {
        if operands.iter().all(|sum| matches!(sum.terms.as_slice(), [term] if **term == Term::Zero))
        {
            return Some(Sum::of(Term::Zero));
        }
        Sum::of(Term::Applied { operands, op }).within_bounds()
    }

    /// Rule 4.
    fn joined(mut addends: Vec<Sum>) -> Option<Sum> {
        addends.sort();
        Sum { terms: addends.into_iter().flat_map(|sum| sum.terms).collect() }.within_bounds()
    }

    fn within_bounds(self) -> Option<Sum> {
        (self.size() <= MAX_TERMS).then_some(self)
    }

    /// Number of terms, those inside terms too.
    fn size(&self) -> usize {
        self.terms.iter().map(|term| term.size()).sum()
    }
}

impl Term {
    fn size(&self) -> usize {
        match self {
            Term::Zero | Term::Input(_) => 1,
            Term::Applied { operands, .. } => 1 + operands.iter().map(Sum::size).sum::<usize>(),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, output) in self.outputs.iter().enumerate() {
            write!(f, "{}{output}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            write!(f, "{}{term}", if index == 0 { "" } else { " + " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Zero => f.write_str("0"),
            Term::Input(index) => write!(f, "x{index}"),
            Term::Applied { operands, op } => {
                let operands: Vec<String> = operands.iter().map(Sum::to_string).collect();
                write!(f, "{op}({})", operands.join(", "))
            }
        }
    }
}
