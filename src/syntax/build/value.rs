//! Static values.

use std::cmp::Ordering;

use pest::iterators::Pair;

use super::{Builder, first, is_rule, next, only};
use crate::diagnostic::{Applicability, Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::*;
use crate::syntax::grammar::Rule;
use crate::syntax::print;

impl Builder<'_> {
    /// `value` or `attr_value`, and every level below them down to `value_term`.
    pub(super) fn value(&mut self, pair: Pair<'_, Rule>) -> Value {
        match pair.as_rule() {
            Rule::negation | Rule::attr_negation => self.negation(pair),
            Rule::value_atom => self.value_atom(first(pair)),
            _ => self.value_chain(pair),
        }
    }

    /// Operands joined by operators, grouped to the left.
    fn value_chain(&mut self, pair: Pair<'_, Rule>) -> Value {
        let span = self.span(&pair);
        let is_comparison = pair.as_rule() == Rule::comparison;
        let mut parts = pair.into_inner();
        let links = parts.len() / 2;
        if !self.enter(links, span) {
            return placeholder(span);
        }
        let mut left = self.value(next(&mut parts));
        while let Some(operator) = parts.next() {
            let op = value_op(&operator);
            if is_comparison
                && let ValueKind::Binary { op: before, right: shared, .. } = &left.kind
                && compares(*before)
            {
                let at = self.span(&operator);
                let fault = Diagnostic::new(
                    Code::UnexpectedToken,
                    at,
                    format!("expected one comparison, found `{}` after it", operator.as_str()),
                )
                .also(left.span, "the comparison");
                let again = format!("and {} ", print::value(shared));
                let why = "comparisons do not chain: write `a < b and b < c`";
                let place = Span::new(at.start, at.start);
                let applicability = match direction(*before).zip(direction(op)) {
                    Some((before, op)) if before == op => Applicability::MachineApplicable,
                    // `a < b > c` may mean anything.
                    _ => Applicability::MaybeIncorrect,
                };
                self.faults.push(fault.offer(place, again, why, applicability));
                break;
            }
            let right = self.value(next(&mut parts));
            let span = left.span.to(right.span);
            let (left_box, right) = (Box::new(left), Box::new(right));
            left = Value { kind: ValueKind::Binary { op, left: left_box, right }, span };
        }
        self.leave(links);
        left
    }

    fn negation(&mut self, pair: Pair<'_, Rule>) -> Value {
        let span = self.span(&pair);
        let parts: Vec<_> = pair.into_inner().collect();
        let (operand, nots) = parts.split_last().expect("`negation` has an operand");
        if !self.enter(nots.len(), span) {
            return placeholder(span);
        }
        let mut value = self.value(operand.clone());
        for not in nots.iter().rev() {
            let span = self.span(not).to(value.span);
            value = Value { kind: ValueKind::Not(Box::new(value)), span };
        }
        self.leave(nots.len());
        value
    }

    /// One of the alternatives of `value_atom` or `times`.
    pub(super) fn value_atom(&mut self, pair: Pair<'_, Rule>) -> Value {
        let span = self.span(&pair);
        if !self.enter(1, span) {
            return placeholder(span);
        }
        let kind = match pair.as_rule() {
            Rule::number => ValueKind::Number(self.number(&pair).value),
            Rule::pair => self.pair(&pair),
            Rule::value_paren => ValueKind::Paren(Box::new(self.value(only(pair, Rule::value)))),
            Rule::value_choice => {
                let options = only(pair, Rule::value_options);
                ValueKind::Choice(self.each(options, Rule::value_option, |builder, option| {
                    builder.alternative(option, Self::value)
                }))
            }
            Rule::value_cost => self.cost(pair),
            Rule::value_named => self.value_named(pair),
            rule => unreachable!("`value_atom` has no alternative {rule:?}"),
        };
        self.leave(1);
        Value { kind, span }
    }

    fn value_named(&mut self, pair: Pair<'_, Rule>) -> ValueKind {
        let mut parts = pair.into_inner();
        let name = next(&mut parts);
        match parts.find(is_rule(&[Rule::value_call])) {
            None => ValueKind::Name(name.as_str().to_owned()),
            Some(call) => ValueKind::Call {
                function: self.ident(&name),
                args: self.each(call, Rule::value, Self::value),
            },
        }
    }

    fn cost(&mut self, pair: Pair<'_, Rule>) -> ValueKind {
        let mut parts = pair.into_inner();
        let count = self.ident(&next(&mut parts));
        let mut of = next(&mut parts).into_inner().filter(is_rule(&[Rule::name, Rule::cost_scale]));
        let net = self.ident(&next(&mut of));
        ValueKind::Cost { count, net, scale: self.scale(&next(&mut of)) }
    }

    fn pair(&mut self, pair: &Pair<'_, Rule>) -> ValueKind {
        let span = self.span(pair);
        let (height, width) = pair.as_str().split_once('x').expect("`pair` has an `x`");
        let height = self.side(height, span.start);
        let width = self.side(width, span.end - width.len());
        ValueKind::Pair(Box::new(height), Box::new(width))
    }

    fn side(&mut self, side: &str, start: usize) -> Value {
        let span = Span::new(start, start + side.len());
        let is_number = side.starts_with(|c: char| c.is_ascii_digit());
        let kind = if is_number {
            ValueKind::Number(self.digits(side, start).value)
        } else {
            ValueKind::Name(side.to_owned())
        };
        Value { kind, span }
    }
}

/// What stands for a value beside a fault; the tree is not given out then.
fn placeholder(span: Span) -> Value {
    Value { kind: ValueKind::Number(0), span }
}

fn value_op(pair: &Pair<'_, Rule>) -> ValueOp {
    match pair.as_str() {
        "+" => ValueOp::Add,
        "-" => ValueOp::Sub,
        "*" => ValueOp::Mul,
        "/" => ValueOp::Div,
        "%" => ValueOp::Rem,
        "==" => ValueOp::Eq,
        "!=" => ValueOp::Ne,
        "<" => ValueOp::Lt,
        "<=" => ValueOp::Le,
        ">" => ValueOp::Gt,
        ">=" => ValueOp::Ge,
        "and" => ValueOp::And,
        "or" => ValueOp::Or,
        other => unreachable!("the grammar has no operator {other:?} between values"),
    }
}

/// How the sides of a comparison are ordered, of those that chain in mathematics.
fn direction(op: ValueOp) -> Option<Ordering> {
    use ValueOp::*;
    match op {
        Lt | Le => Some(Ordering::Less),
        Gt | Ge => Some(Ordering::Greater),
        Eq => Some(Ordering::Equal),
        Ne | Add | Sub | Mul | Div | Rem | And | Or => None,
    }
}

fn compares(op: ValueOp) -> bool {
    use ValueOp::*;
    matches!(op, Eq | Ne | Lt | Le | Gt | Ge)
}
