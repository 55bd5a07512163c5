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
    /// `value`, `attr_value` or `value_sum`: operands and operators in one row.
    pub(super) fn value(&mut self, pair: Pair<'_, Rule>) -> Value {
        let mut parts = pair.into_inner();
        let atom = next(&mut parts);
        if parts.is_empty() {
            return self.value_atom(first(atom));
        }
        let mut row = vec![atom];
        row.extend(parts);
        self.value_chain(&row, Level::Or)
    }

    /// Operands joined by the operators of a level, grouped to the left.
    fn value_chain(&mut self, row: &[Pair<'_, Rule>], level: Level) -> Value {
        let is_operator = |part: &Pair<'_, Rule>| Level::of(part.as_rule()) == Some(level);
        let links = row.iter().filter(|part| is_operator(part)).count();
        if links == 0 {
            return self.tighter(row, level);
        }
        let span = self.span_of(row);
        if !self.enter(links, span) {
            return placeholder(span);
        }
        let mut operands = row.split(is_operator);
        let mut left = self.tighter(operands.next().expect("a row has an operand"), level);
        for (operator, right) in row.iter().filter(|part| is_operator(part)).zip(operands) {
            let op = value_op(operator);
            if level == Level::Comparison
                && let ValueKind::Binary { op: before, right: shared, .. } = &left.kind
                && compares(*before)
            {
                let at = self.span(operator);
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
            let right = self.tighter(right, level);
            let span = left.span.to(right.span);
            let (left_box, right) = (Box::new(left), Box::new(right));
            left = Value { kind: ValueKind::Binary { op, left: left_box, right }, span };
        }
        self.leave(links);
        left
    }

    /// An operand of a level.
    fn tighter(&mut self, row: &[Pair<'_, Rule>], level: Level) -> Value {
        match level {
            Level::Or => self.value_chain(row, Level::And),
            Level::And => self.negation(row),
            Level::Comparison => self.value_chain(row, Level::Sum),
            Level::Sum => self.value_chain(row, Level::Product),
            Level::Product => self.value_atom(first(row[0].clone())),
        }
    }

    fn negation(&mut self, row: &[Pair<'_, Rule>]) -> Value {
        let nots = row.iter().take_while(|part| part.as_rule() == Rule::kw_not).count();
        if nots == 0 {
            return self.value_chain(row, Level::Comparison);
        }
        let span = self.span_of(row);
        if !self.enter(nots, span) {
            return placeholder(span);
        }
        let (nots_written, operand) = row.split_at(nots);
        let mut value = self.value_chain(operand, Level::Comparison);
        for not in nots_written.iter().rev() {
            let span = self.span(not).to(value.span);
            value = Value { kind: ValueKind::Not(Box::new(value)), span };
        }
        self.leave(nots);
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

/// How tight operators bind, loosest first. `not` binds tighter than `and` and looser than comparisons.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Or,
    And,
    Comparison,
    Sum,
    Product,
}

impl Level {
    /// The level of an operator between two values; `None` for every other rule.
    fn of(rule: Rule) -> Option<Self> {
        match rule {
            Rule::kw_or => Some(Level::Or),
            Rule::kw_and => Some(Level::And),
            Rule::compare => Some(Level::Comparison),
            Rule::plus | Rule::minus => Some(Level::Sum),
            Rule::star | Rule::slash | Rule::percent => Some(Level::Product),
            _ => None,
        }
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
