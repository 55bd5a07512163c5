//! Static values where there is no network: constants of a module, conditions of its space, and what a
//! condition leaves open while only some decisions are taken.
//!
//! A condition comes out as a [`Truth`], which beside its outcome says how far it is from the other one,
//! so that a search can tell which of two points that break a condition is nearer to meeting it.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::lower::floor_div;
use crate::ir::{Builtin, ClaimKind, Constant, Value, ValueKind};
use crate::source::Span;
use crate::syntax::ast::{Ident, ScaleLit, ValueOp};

/// The value of a static expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Known {
    /// A number.
    Int(i64),
    /// Height by width.
    Pair([i64; 2]),
    /// The outcome of a condition.
    Truth(Truth),
    /// `same`, `zeros`, `valid` or `full`.
    Word(Builtin),
}

/// The outcome of a condition, and how far it is from the opposite: above 0, and at most 1 for a
/// comparison of counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Truth {
    pub(crate) holds: bool,
    pub(crate) by: f64,
}

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unknown {
    /// It depends on a decision that is not taken, or on the place where it stands.
    Open,
    /// A part of it is of another kind than its place needs.
    Kind {
        /// The part.
        span: Span,
        /// What its place needs.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A division by zero, or a number that is too large.
    Arithmetic,
    /// The network whose cost it asks for cannot be built; why.
    Unbuildable(String),
}

/// What a cost in a condition comes to.
pub(crate) type CostOf<'x> = &'x dyn Fn(ClaimKind, &Ident, ScaleLit) -> Result<i64, Unknown>;

/// Evaluates values of a module under some choices.
pub(crate) struct Evaluation<'x> {
    constants: &'x [Constant],
    /// The option taken by a decision, if it is taken.
    choice: &'x dyn Fn(usize) -> Option<usize>,
    cost: CostOf<'x>,
    known: BTreeMap<usize, Result<Known, Unknown>>,
}

impl<'x> Evaluation<'x> {
    pub(crate) fn new(
        constants: &'x [Constant],
        choice: &'x dyn Fn(usize) -> Option<usize>,
        cost: CostOf<'x>,
    ) -> Self {
        Evaluation { constants, choice, cost, known: BTreeMap::new() }
    }

    /// A value that asks for no cost.
    pub(crate) fn without_costs(
        constants: &'x [Constant],
        choice: &'x dyn Fn(usize) -> Option<usize>,
    ) -> Self {
        Evaluation::new(constants, choice, &|_, _, _| Err(Unknown::Open))
    }

    /// Evaluates a value.
    pub(crate) fn value(&mut self, value: &Value) -> Result<Known, Unknown> {
        // In order of their numbers, since a constant reads those before it: a chain of constants may be
        // far longer than calls may nest.
        for index in Reads::of(self.constants, value).constants {
            if !self.known.contains_key(&index) {
                let constant = self.part(&self.constants[index].value);
                self.known.insert(index, constant);
            }
        }
        self.part(value)
    }

    /// Evaluates a condition.
    pub(crate) fn truth(&mut self, value: &Value) -> Result<Truth, Unknown> {
        let known = self.value(value)?;
        condition(known, value.span)
    }

    /// A value whose constants are known.
    fn part(&self, value: &Value) -> Result<Known, Unknown> {
        Ok(match &value.kind {
            ValueKind::Int(number) => Known::Int(*number),
            ValueKind::Pair(height, width) => Known::Pair([self.int(height)?, self.int(width)?]),
            ValueKind::Constant(index) => return self.known[index].clone(),
            ValueKind::Builtin(
                word @ (Builtin::Same | Builtin::Zeros | Builtin::Valid | Builtin::Full),
            ) => Known::Word(*word),
            ValueKind::Builtin(Builtin::True) => Known::Truth(Truth::plain(true)),
            ValueKind::Builtin(Builtin::False) => Known::Truth(Truth::plain(false)),
            ValueKind::Builtin(
                Builtin::Width
                | Builtin::Stride
                | Builtin::Size
                | Builtin::First
                | Builtin::Base
                | Builtin::Classes
                | Builtin::ScaleN
                | Builtin::ScaleF,
            )
            | ValueKind::Param(_)
            | ValueKind::Channels(_)
            | ValueKind::SizeOf(_) => return Err(Unknown::Open),
            ValueKind::Odd(inner) => Known::Truth(Truth::plain(match self.part(inner)? {
                Known::Int(number) => number % 2 != 0,
                Known::Pair(sides) => sides.iter().all(|side| side % 2 != 0),
                other @ (Known::Truth(_) | Known::Word(_)) => {
                    return Err(other.instead_of("a number or a pair", inner.span));
                }
            })),
            ValueKind::Cost { count, net, scale } => Known::Int((self.cost)(*count, net, *scale)?),
            ValueKind::Min(left, right) => Known::Int(self.int(left)?.min(self.int(right)?)),
            ValueKind::Max(left, right) => Known::Int(self.int(left)?.max(self.int(right)?)),
            ValueKind::Not(inner) => Known::Truth(self.cond(inner)?.not()),
            ValueKind::Choice { decision, options } => {
                let option = (self.choice)(*decision).ok_or(Unknown::Open)?;
                return self.part(&options[option]);
            }
            ValueKind::Binary { op, left, right } => return self.binary(*op, left, right),
        })
    }

    fn int(&self, value: &Value) -> Result<i64, Unknown> {
        match self.part(value)? {
            Known::Int(number) => Ok(number),
            other @ (Known::Pair(_) | Known::Truth(_) | Known::Word(_)) => {
                Err(other.instead_of("a number", value.span))
            }
        }
    }

    fn cond(&self, value: &Value) -> Result<Truth, Unknown> {
        condition(self.part(value)?, value.span)
    }

    fn binary(&self, op: ValueOp, left: &Value, right: &Value) -> Result<Known, Unknown> {
        let arithmetic = |number: Option<i64>| number.map(Known::Int).ok_or(Unknown::Arithmetic);
        match op {
            ValueOp::And => return self.both(left, right, false).map(Known::Truth),
            ValueOp::Or => return self.both(left, right, true).map(Known::Truth),
            ValueOp::Eq | ValueOp::Ne => {
                let equal = equal(self.part(left)?, self.part(right)?, right.span)?;
                return Ok(Known::Truth(if op == ValueOp::Eq { equal } else { equal.not() }));
            }
            ValueOp::Add
            | ValueOp::Sub
            | ValueOp::Mul
            | ValueOp::Div
            | ValueOp::Rem
            | ValueOp::Lt
            | ValueOp::Le
            | ValueOp::Gt
            | ValueOp::Ge => {}
        }
        let (a, b) = (self.int(left)?, self.int(right)?);
        match op {
            ValueOp::Add => arithmetic(a.checked_add(b)),
            ValueOp::Sub => arithmetic(a.checked_sub(b)),
            ValueOp::Mul => arithmetic(a.checked_mul(b)),
            ValueOp::Div if b != 0 => arithmetic(floor_div(a, b)),
            ValueOp::Rem if b != 0 => arithmetic(floor_div(a, b).map(|quotient| a - b * quotient)),
            ValueOp::Div | ValueOp::Rem => Err(Unknown::Arithmetic),
            ValueOp::Le => Ok(Known::Truth(Truth::at_most(a, b))),
            ValueOp::Ge => Ok(Known::Truth(Truth::at_most(b, a))),
            ValueOp::Lt => Ok(Known::Truth(Truth::at_most(b, a).not())),
            ValueOp::Gt => Ok(Known::Truth(Truth::at_most(a, b).not())),
            ValueOp::Eq | ValueOp::Ne | ValueOp::And | ValueOp::Or => {
                unreachable!("handled above, before both sides are numbers")
            }
        }
    }

    /// `and`, or `or` if `settles`: one side may settle the outcome while the other is open.
    fn both(&self, left: &Value, right: &Value, settles: bool) -> Result<Truth, Unknown> {
        let left = match self.cond(left) {
            Err(fault) if fault != Unknown::Open => return Err(fault),
            left => left,
        };
        if let Ok(left) = &left
            && left.holds
            && settles
        {
            return Ok(*left);
        }
        let is_settled =
            |side: &Result<Truth, Unknown>| side.as_ref().is_ok_and(|truth| truth.holds == settles);
        let right = self.cond(right);
        match (left, right) {
            (Ok(left), Ok(right)) => Ok(if settles { left.or(right) } else { left.and(right) }),
            (Ok(left), Err(_)) if is_settled(&Ok(left)) => Ok(left),
            (Err(_), Ok(right)) if is_settled(&Ok(right)) => Ok(right),
            (_, Err(fault)) | (Err(fault), _) => Err(fault),
        }
    }
}

fn condition(known: Known, span: Span) -> Result<Truth, Unknown> {
    match known {
        Known::Truth(truth) => Ok(truth),
        other @ (Known::Int(_) | Known::Pair(_) | Known::Word(_)) => {
            Err(other.instead_of("a condition", span))
        }
    }
}

/// `a == b`; `span` is where `b` stands.
fn equal(a: Known, b: Known, span: Span) -> Result<Truth, Unknown> {
    Ok(match (a, b) {
        (Known::Int(a), Known::Int(b)) if a == b => Truth { holds: true, by: relative(1, a, b) },
        (Known::Int(a), Known::Int(b)) => {
            Truth { holds: false, by: relative(i128::from(a) - i128::from(b), a, b) }
        }
        (Known::Pair(a), Known::Pair(b)) => Truth::plain(a == b),
        (Known::Truth(a), Known::Truth(b)) => Truth::plain(a.holds == b.holds),
        (Known::Word(a), Known::Word(b)) => Truth::plain(a == b),
        (a, b) => return Err(b.instead_of(a.kind(), span)),
    })
}

/// A difference beside the numbers it is between, so that conditions on counts of millions and on kernel
/// sizes weigh the same.
fn relative(difference: i128, a: i64, b: i64) -> f64 {
    difference.unsigned_abs() as f64 / a.unsigned_abs().max(b.unsigned_abs()).max(1) as f64
}

impl Known {
    /// What it is, for a message.
    fn kind(self) -> &'static str {
        match self {
            Known::Int(_) => "a number",
            Known::Pair(_) => "a pair",
            Known::Truth(_) => "a condition",
            Known::Word(_) => "a padding",
        }
    }

    /// The fault of standing, at `span`, where something else is needed.
    fn instead_of(self, wanted: &'static str, span: Span) -> Unknown {
        Unknown::Kind { span, wanted, found: self.kind() }
    }
}

impl Truth {
    /// An outcome without a distance.
    fn plain(holds: bool) -> Self {
        Truth { holds, by: 1.0 }
    }

    /// `a <= b`.
    fn at_most(a: i64, b: i64) -> Self {
        let excess = i128::from(a) - i128::from(b);
        // `a <= b` ends where `a` is `b + 1`.
        let distance = if excess <= 0 { excess - 1 } else { excess };
        Truth { holds: excess <= 0, by: relative(distance, a, b) }
    }

    fn not(self) -> Self {
        Truth { holds: !self.holds, ..self }
    }

    fn and(self, other: Truth) -> Self {
        let by = match (self.holds, other.holds) {
            (true, true) => self.by.min(other.by),
            (false, false) => self.by + other.by,
            (false, true) => self.by,
            (true, false) => other.by,
        };
        Truth { holds: self.holds && other.holds, by }
    }

    fn or(self, other: Truth) -> Self {
        self.not().and(other.not()).not()
    }
}

/// What a value reads beside the place it stands in, through constants too.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Constants by index.
    pub(crate) constants: BTreeSet<usize>,
    /// Decisions.
    pub(crate) decisions: BTreeSet<usize>,
}

impl Reads {
    pub(crate) fn of(constants: &[Constant], value: &Value) -> Reads {
        let mut found = Reads::default();
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match &value.kind {
                ValueKind::Int(_)
                | ValueKind::Param(_)
                | ValueKind::Builtin(_)
                | ValueKind::Channels(_)
                | ValueKind::SizeOf(_)
                | ValueKind::Cost { .. } => {}
                ValueKind::Constant(index) => {
                    if found.constants.insert(*index) {
                        open.push(&constants[*index].value);
                    }
                }
                ValueKind::Odd(inner) | ValueKind::Not(inner) => open.push(inner),
                ValueKind::Pair(left, right)
                | ValueKind::Min(left, right)
                | ValueKind::Max(left, right)
                | ValueKind::Binary { left, right, .. } => open.extend([&**left, &**right]),
                ValueKind::Choice { decision, options } => {
                    found.decisions.insert(*decision);
                    open.extend(options);
                }
            }
        }
        found
    }
}

/// The costs that a condition asks for, in the order of the text.
pub(crate) fn costs(value: &Value) -> Vec<(ClaimKind, &Ident, ScaleLit)> {
    match &value.kind {
        ValueKind::Int(_)
        | ValueKind::Param(_)
        | ValueKind::Constant(_)
        | ValueKind::Builtin(_)
        | ValueKind::Channels(_)
        | ValueKind::SizeOf(_) => Vec::new(),
        ValueKind::Cost { count, net, scale } => vec![(*count, net, *scale)],
        ValueKind::Odd(inner) | ValueKind::Not(inner) => costs(inner),
        ValueKind::Pair(left, right)
        | ValueKind::Min(left, right)
        | ValueKind::Max(left, right)
        | ValueKind::Binary { left, right, .. } => [costs(left), costs(right)].concat(),
        ValueKind::Choice { options, .. } => options.iter().flat_map(costs).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_says_how_far_it_is_from_the_opposite() {
        assert_eq!(Truth::at_most(5, 4), Truth { holds: false, by: 0.2 });
        assert_eq!(Truth::at_most(4, 4), Truth { holds: true, by: 0.25 });
        assert_eq!(Truth::at_most(10, 4), Truth { holds: false, by: 0.6 });
        // `a < b` is `not b <= a`: it misses by one at equality.
        assert_eq!(Truth::at_most(4, 4).not(), Truth { holds: false, by: 0.25 });
        let (near, far) = (Truth { holds: false, by: 0.1 }, Truth { holds: false, by: 0.5 });
        assert_eq!(near.or(far), near);
        assert_eq!(near.and(far), Truth { holds: false, by: 0.6 });
        assert_eq!(near.not().or(far.not()), Truth { holds: true, by: 0.6 });
        assert_eq!(near.not().and(far), far);
    }
}
