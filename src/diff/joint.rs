//! The ways in which two tensors become one, as a change names them.

use super::names::Names;
use crate::syntax::ast::{
    Alternative, Combine, CombineOp, CombineRef, Expr, ExprKind, Number, OpRef,
};
use crate::syntax::print;

/// How two tensors become one.
#[derive(Clone, Debug)]
pub(super) enum Joint {
    /// By an infix operator, or a hole for one.
    Combine(Combine),
    /// By an operation of two tensors.
    Op(OpRef),
}

impl Joint {
    /// True if swapped operands are the same combination.
    pub(super) fn is_commutative(&self) -> bool {
        match self {
            Joint::Combine(Combine::Fixed(CombineOp::Add | CombineOp::Mul)) => true,
            Joint::Combine(Combine::Fixed(CombineOp::Concat) | Combine::Choice { .. })
            | Joint::Op(_) => false,
        }
    }

    /// True for `concat`.
    pub(super) fn is_concat(&self) -> bool {
        match self {
            Joint::Combine(Combine::Fixed(CombineOp::Concat)) => true,
            Joint::Combine(
                Combine::Fixed(CombineOp::Add | CombineOp::Mul) | Combine::Choice { .. },
            )
            | Joint::Op(_) => false,
        }
    }

    /// What is written between the operands, or before them.
    pub(super) fn text(&self) -> String {
        match self {
            Joint::Combine(Combine::Fixed(op)) => print::combine(*op).into(),
            Joint::Combine(Combine::Choice { options, .. }) => {
                let option = |option: &Alternative<CombineRef>| {
                    weighted(print::combine_ref(&option.item), option.weight)
                };
                let options: Vec<String> = options.iter().map(option).collect();
                format!("?{{ {} }}", options.join(", "))
            }
            Joint::Op(op) => print::op_ref(op),
        }
    }

    /// The same in a cell of other names.
    pub(super) fn renamed(&self, names: &Names) -> Joint {
        match self {
            Joint::Combine(combine) => Joint::Combine(names.combine(combine)),
            Joint::Op(op) => Joint::Op(names.op(op)),
        }
    }

    /// Two tensors combined so.
    pub(super) fn of(&self, left: Expr, right: Expr) -> ExprKind {
        match self {
            Joint::Combine(combine) => ExprKind::Binary {
                combine: combine.clone(),
                left: Box::new(left),
                right: Box::new(right),
            },
            Joint::Op(op) => ExprKind::Call { op: op.clone(), args: vec![left, right] },
        }
    }
}

/// An option with its weight, if it has one.
pub(super) fn weighted(option: String, weight: Option<Number>) -> String {
    match weight {
        Some(Number { value: weight, .. }) if weight != 1 => format!("{option}: {weight}"),
        Some(_) | None => option,
    }
}
