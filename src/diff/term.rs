//! Expressions in normal form, for telling whether two of them mean the same.
//!
//! Parentheses, pipelines as opposed to calls, and the two ways of writing a combination are layout;
//! the operands of `+` and `*` may be swapped. [`Parts`] takes an expression apart into what a change
//! can name: the operands of a combination, the arguments of a concatenation.

use super::joint::Joint;
use crate::syntax::ast::{Alternative, Combine, CombineOp, Expr, ExprKind, OpRef, OpRefKind};
use crate::syntax::print;

/// A tensor expression without layout.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Term {
    /// A tensor's name.
    Name(String),
    /// `?earlier`
    Earlier,
    /// Operations on one tensor, first to last. Calls and pipelines become one list, so that a long
    /// pipeline is not a deep tree.
    Chain { input: Box<Term>, stages: Vec<String> },
    /// An operation on any other number of tensors.
    Call { op: String, args: Vec<Term> },
    /// Two tensors combined.
    Pair { combine: String, is_commutative: bool, left: Box<Term>, right: Box<Term> },
    /// `?{ a: 2, b }` with the weights.
    Choice(Vec<(Term, u64)>),
}

impl Term {
    /// The normal form of an expression in a block, or in a cell's output.
    pub(super) fn of(expr: &Expr, is_out: bool) -> Term {
        let expr = bare(expr);
        let of = |expr: &Expr| Box::new(Term::of(expr, is_out));
        if let Parts::Pair { joint, left, right } = Parts::of(expr, is_out) {
            let is_commutative = joint.is_commutative();
            return Term::Pair {
                combine: joint.text(),
                is_commutative,
                left: of(left),
                right: of(right),
            };
        }
        match &expr.kind {
            ExprKind::Name(name) => Term::Name(name.clone()),
            ExprKind::Call { op, args } => match args.as_slice() {
                [arg] if !is_concat(op) => of(arg).then(op),
                args => Term::Call {
                    op: print::op_ref(op),
                    args: args.iter().map(|arg| Term::of(arg, is_out)).collect(),
                },
            },
            ExprKind::Pipe { input, stages } => {
                stages.iter().fold(Term::of(input, is_out), Term::then)
            }
            ExprKind::Earlier => Term::Earlier,
            ExprKind::Choice(options) => {
                let option = |option: &Alternative<Expr>| {
                    let weight = option.weight.map_or(1, |weight| weight.value);
                    (Term::of(&option.item, is_out), weight)
                };
                Term::Choice(options.iter().map(option).collect())
            }
            ExprKind::Paren(_) => unreachable!("`bare` leaves no parentheses"),
            ExprKind::Binary { .. } => unreachable!("`Parts` makes a pair of every combination"),
        }
    }

    fn then(self, op: &OpRef) -> Term {
        let text = print::op_ref(op);
        match self {
            Term::Chain { input, mut stages } => {
                stages.push(text);
                Term::Chain { input, stages }
            }
            Term::Name(_)
            | Term::Earlier
            | Term::Call { .. }
            | Term::Pair { .. }
            | Term::Choice(_) => Term::Chain { input: Box::new(self), stages: vec![text] },
        }
    }

    /// The same with the operands of every commutative combination in one order, and names replaced.
    pub(super) fn canonical(&self, rename: &dyn Fn(&str) -> String) -> Term {
        match self {
            Term::Name(name) => Term::Name(rename(name)),
            Term::Earlier => Term::Earlier,
            Term::Chain { input, stages } => {
                Term::Chain { input: Box::new(input.canonical(rename)), stages: stages.clone() }
            }
            Term::Call { op, args } => Term::Call {
                op: op.clone(),
                args: args.iter().map(|arg| arg.canonical(rename)).collect(),
            },
            Term::Pair { combine, is_commutative, left, right } => {
                let (mut left, mut right) = (left.canonical(rename), right.canonical(rename));
                if *is_commutative && left > right {
                    std::mem::swap(&mut left, &mut right);
                }
                Term::Pair {
                    combine: combine.clone(),
                    is_commutative: *is_commutative,
                    left: Box::new(left),
                    right: Box::new(right),
                }
            }
            Term::Choice(options) => {
                let option = |(option, weight): &(Term, u64)| (option.canonical(rename), *weight);
                Term::Choice(options.iter().map(option).collect())
            }
        }
    }
}

/// How alike two terms are, 0 to 1; `leaf` says it of two names.
pub(super) fn similarity(old: &Term, new: &Term, leaf: &dyn Fn(&str, &str) -> f64) -> f64 {
    let alike = |old: &Term, new: &Term| similarity(old, new, leaf);
    let lists = |old: &[Term], new: &[Term]| {
        let sum: f64 = old.iter().zip(new).map(|(old, new)| alike(old, new)).sum();
        sum / old.len().max(new.len()).max(1) as f64
    };
    match (old, new) {
        (Term::Name(old), Term::Name(new)) => leaf(old, new),
        (Term::Earlier, Term::Earlier) => 1.0,
        (
            Term::Chain { input: old_input, stages: old_stages },
            Term::Chain { input: new_input, stages: new_stages },
        ) => 0.6 * stages(old_stages, new_stages) + 0.4 * alike(old_input, new_input),
        (Term::Call { op: old_op, args: old }, Term::Call { op: new_op, args: new }) => {
            0.2 * f64::from(old_op == new_op) + 0.8 * lists(old, new)
        }
        (
            Term::Pair { combine, is_commutative, left, right },
            Term::Pair { combine: new_combine, left: new_left, right: new_right, .. },
        ) => {
            let straight = alike(left, new_left) + alike(right, new_right);
            let operands = if *is_commutative {
                straight.max(alike(left, new_right) + alike(right, new_left))
            } else {
                straight
            };
            0.2 * f64::from(combine == new_combine) + 0.4 * operands
        }
        (Term::Choice(old), Term::Choice(new)) => {
            let pairs = old.iter().zip(new);
            let sum: f64 = pairs.map(|((old, _), (new, _))| alike(old, new)).sum();
            sum / old.len().max(new.len()).max(1) as f64
        }
        (
            Term::Name(_)
            | Term::Earlier
            | Term::Chain { .. }
            | Term::Call { .. }
            | Term::Pair { .. }
            | Term::Choice(_),
            _,
        ) => 0.0,
    }
}

/// Operations in the same place count whole, those that differ in attributes alone count half.
fn stages(old: &[String], new: &[String]) -> f64 {
    let head = |stage: &str| stage.split('<').next().unwrap_or_default().to_string();
    let sum: f64 = old
        .iter()
        .zip(new)
        .map(|(old, new)| 0.5 * f64::from(head(old) == head(new)) + 0.5 * f64::from(old == new))
        .sum();
    sum / old.len().max(new.len()).max(1) as f64
}

/// An expression taken apart.
pub(super) enum Parts<'e> {
    /// A combination: operands `left` and `right`.
    Pair {
        /// How they are combined.
        joint: Joint,
        /// Left operand.
        left: &'e Expr,
        /// Right operand.
        right: &'e Expr,
    },
    /// A concatenation.
    List {
        /// The operation, `concat`.
        op: &'e OpRef,
        /// What is concatenated.
        args: &'e [Expr],
    },
    /// Anything else changes as a whole.
    Whole,
}

impl<'e> Parts<'e> {
    /// The parts of an expression. In a cell's output `concat(x, y)` is a list even if it is one of
    /// two: its operands are adapted otherwise than those of a combination.
    pub(super) fn of(expr: &'e Expr, is_out: bool) -> Parts<'e> {
        match &bare(expr).kind {
            ExprKind::Binary { combine, left, right } => {
                Parts::Pair { joint: Joint::Combine(combine.clone()), left, right }
            }
            ExprKind::Call { op, args } => {
                let fixed = |op| Joint::Combine(Combine::Fixed(op));
                match (is_concat(op), is_named(op, "mul"), args.as_slice()) {
                    (true, _, [left, right]) if !is_out => {
                        Parts::Pair { joint: fixed(CombineOp::Concat), left, right }
                    }
                    (true, _, args) => Parts::List { op, args },
                    (false, true, [left, right]) => {
                        Parts::Pair { joint: fixed(CombineOp::Mul), left, right }
                    }
                    (false, false, [left, right]) => {
                        Parts::Pair { joint: Joint::Op(op.clone()), left, right }
                    }
                    (false, ..) => Parts::Whole,
                }
            }
            ExprKind::Name(_)
            | ExprKind::Pipe { .. }
            | ExprKind::Earlier
            | ExprKind::Choice(_)
            | ExprKind::Paren(_) => Parts::Whole,
        }
    }
}

/// The expression inside any parentheses.
pub(super) fn bare(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

fn is_concat(op: &OpRef) -> bool {
    is_named(op, "concat")
}

fn is_named(op: &OpRef, wanted: &str) -> bool {
    match &op.kind {
        OpRefKind::Named { name, attrs } => name.name == wanted && attrs.is_empty(),
        OpRefKind::Set(_) | OpRefKind::Choice(_) => false,
    }
}
