//! Tensor expressions and operation references.

use pest::iterators::Pair;

use super::{Builder, first, is_rule, next, only, shorten};
use crate::diagnostic::suggest::{is_slip, nearest};
use crate::diagnostic::{Applicability, Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::*;
use crate::syntax::grammar::Rule;

/// How many stages a pipeline may have. Longer ones are machine-made, and every stage is a layer.
const MAX_STAGES: usize = 256;

impl Builder<'_> {
    /// `expr`: operands and operators in one row, and the stages they are piped through.
    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let mut parts = pair.clone().into_inner();
        let first = next(&mut parts);
        if parts.is_empty() {
            return self.operand(first);
        }
        let mut row = vec![first];
        row.extend(parts.by_ref().take_while(|part| part.as_rule() != Rule::pipe));
        let stages: Vec<_> = parts.filter(is_rule(&[Rule::op_ref])).collect();
        if stages.is_empty() {
            return self.sum(&row);
        }
        let span = self.span(&pair);
        if !self.enter(1, span) {
            return placeholder(span);
        }
        let input = Box::new(self.sum(&row));
        let stages = self.op_refs(stages, span);
        self.leave(1);
        Expr { kind: ExprKind::Pipe { input, stages }, span }
    }

    /// `stages`: a pipeline without a start.
    pub(super) fn stages(&mut self, pair: Pair<'_, Rule>) -> Vec<OpRef> {
        let span = self.span(&pair);
        let stages = pair.into_inner().filter(is_rule(&[Rule::op_ref])).collect();
        self.op_refs(stages, span)
    }

    fn op_refs(&mut self, stages: Vec<Pair<'_, Rule>>, span: Span) -> Vec<OpRef> {
        if stages.len() > MAX_STAGES {
            self.faults.push(
                Diagnostic::new(
                    Code::TooLarge,
                    span,
                    format!("expected at most {MAX_STAGES} stages, found {}", stages.len()),
                )
                .label("this pipeline is too long")
                .note("make operations of parts of it"),
            );
            return Vec::new();
        }
        stages.into_iter().map(|stage| self.op_ref(stage)).collect()
    }

    fn sum(&mut self, row: &[Pair<'_, Rule>]) -> Expr {
        self.chain(row, &[Rule::plus, Rule::combine_hole], Self::product)
    }

    fn product(&mut self, row: &[Pair<'_, Rule>]) -> Expr {
        self.chain(row, &[Rule::star], |builder, operand| builder.operand(operand[0].clone()))
    }

    /// Operands joined by these operators, grouped to the left; an operand may hold tighter ones.
    fn chain(
        &mut self,
        row: &[Pair<'_, Rule>],
        operators: &[Rule],
        operand: fn(&mut Self, &[Pair<'_, Rule>]) -> Expr,
    ) -> Expr {
        let is_operator = |part: &Pair<'_, Rule>| operators.contains(&part.as_rule());
        let links = row.iter().filter(|part| is_operator(part)).count();
        if links == 0 {
            return operand(self, row);
        }
        let span = self.span_of(row);
        if !self.enter(links, span) {
            return placeholder(span);
        }
        let mut operands = row.split(is_operator);
        let mut left = operand(self, operands.next().expect("a row has an operand"));
        for (operator, right) in row.iter().filter(|part| is_operator(part)).zip(operands) {
            let combine = match operator.as_rule() {
                Rule::plus => Combine::Fixed(CombineOp::Add),
                Rule::star => Combine::Fixed(CombineOp::Mul),
                _ => self.combine_hole(operator.clone()),
            };
            let right = operand(self, right);
            let span = left.span.to(right.span);
            let (left_box, right) = (Box::new(left), Box::new(right));
            left = Expr { kind: ExprKind::Binary { combine, left: left_box, right }, span };
        }
        self.leave(links);
        left
    }

    fn combine_hole(&mut self, pair: Pair<'_, Rule>) -> Combine {
        let span = self.span(&pair);
        let options = only(pair, Rule::combine_options);
        let options = self.each(options, Rule::combine_option, |builder, option| {
            builder.alternative(option, Self::combine)
        });
        Combine::Choice { options, span }
    }

    fn combine(&mut self, pair: Pair<'_, Rule>) -> CombineRef {
        let span = self.span(&pair);
        let op = match pair.as_str() {
            "+" => CombineOp::Add,
            "*" | "mul" => CombineOp::Mul,
            "concat" => CombineOp::Concat,
            _ => return CombineRef::Named(self.named_in(pair)),
        };
        CombineRef::Op { op, span }
    }

    fn operand(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        if !self.enter(1, span) {
            return placeholder(span);
        }
        let pair = first(pair);
        let kind = match pair.as_rule() {
            Rule::paren => ExprKind::Paren(Box::new(self.expr(only(pair, Rule::expr)))),
            Rule::applied => self.applied(pair),
            Rule::hole => self.hole(pair),
            rule => unreachable!("`operand` has no alternative {rule:?}"),
        };
        self.leave(1);
        Expr { kind, span }
    }

    fn applied(&mut self, pair: Pair<'_, Rule>) -> ExprKind {
        let mut parts = pair.into_inner();
        let name = next(&mut parts);
        let (mut attrs, mut call) = (None, None);
        for part in parts {
            if part.as_rule() == Rule::call { call = Some(part) } else { attrs = Some(part) }
        }
        if call.is_none() && attrs.is_none() {
            return ExprKind::Name(name.as_str().to_owned());
        }
        let op = self.named(&name, attrs);
        let Some(call) = call else {
            self.faults.push(
                Diagnostic::new(
                    Code::UnexpectedToken,
                    op.span,
                    "expected a tensor, found an operation that is not applied to one",
                )
                .label("has no `(...)`")
                .note("write what it is applied to in parentheses, as in `sep<3>(x)`"),
            );
            return ExprKind::Name(String::new());
        };
        ExprKind::Call { op, args: self.each(call, Rule::expr, Self::expr) }
    }

    /// A hole where an operand stands: a tensor, or an operation and what it is applied to.
    fn hole(&mut self, pair: Pair<'_, Rule>) -> ExprKind {
        let span = self.span(&pair);
        let call = pair.clone().into_inner().find(is_rule(&[Rule::call]));
        let chosen = pair
            .into_inner()
            .find(is_rule(&[Rule::choice, Rule::name]))
            .expect("`hole` has a name or a choice");
        match (chosen.as_rule(), call) {
            (Rule::choice, None) => {
                ExprKind::Choice(self.each(chosen, Rule::option, |builder, option| {
                    builder.alternative(option, Self::expr)
                }))
            }
            (Rule::choice, Some(call)) => {
                let op_span = Span::new(span.start, self.span(&chosen).end);
                let options = self.choice_of_ops(chosen);
                let op = OpRef { kind: OpRefKind::Choice(options), span: op_span };
                ExprKind::Call { op, args: self.each(call, Rule::expr, Self::expr) }
            }
            (_, None) if chosen.as_str() == "earlier" => ExprKind::Earlier,
            (_, None) => {
                self.faults.push(set_as_tensor(span, chosen.as_str()));
                ExprKind::Name(String::new())
            }
            (_, Some(call)) => {
                let op = self.option_set(&chosen, Span::new(span.start, self.span(&chosen).end));
                ExprKind::Call { op, args: self.each(call, Rule::expr, Self::expr) }
            }
        }
    }

    fn choice_of_ops(&mut self, pair: Pair<'_, Rule>) -> Vec<Alternative<OpRef>> {
        self.each(pair, Rule::option, |builder, option| {
            builder.alternative(option, Self::expr_as_op)
        })
    }

    /// An option of `?{ ... }(x)`, which the grammar read as a tensor expression.
    fn expr_as_op(&mut self, pair: Pair<'_, Rule>) -> OpRef {
        let span = self.span(&pair);
        let mut inner = pair;
        while matches!(inner.as_rule(), Rule::expr | Rule::operand) {
            let mut parts = inner.into_inner();
            inner = next(&mut parts);
            if parts.next().is_some() {
                return self.tensor_as_op(span);
            }
        }
        let is_called = inner.clone().into_inner().any(|part| part.as_rule() == Rule::call);
        match inner.as_rule() {
            Rule::applied if !is_called => self.named_in(inner),
            Rule::hole if !is_called => {
                let chosen = inner
                    .into_inner()
                    .find(is_rule(&[Rule::choice, Rule::name]))
                    .expect("`hole` has a name or a choice");
                if chosen.as_rule() == Rule::name {
                    return self.option_set(&chosen, span);
                }
                if !self.enter(1, span) {
                    return OpRef { kind: OpRefKind::Choice(Vec::new()), span };
                }
                let options = self.choice_of_ops(chosen);
                self.leave(1);
                OpRef { kind: OpRefKind::Choice(options), span }
            }
            _ => self.tensor_as_op(span),
        }
    }

    fn tensor_as_op(&mut self, span: Span) -> OpRef {
        self.faults.push(
            Diagnostic::new(
                Code::UnexpectedToken,
                span,
                "expected an operation to choose, found a tensor",
            )
            .note("the parentheses after the hole hold what the chosen operation is applied to"),
        );
        OpRef { kind: OpRefKind::Choice(Vec::new()), span }
    }

    pub(super) fn op_ref(&mut self, pair: Pair<'_, Rule>) -> OpRef {
        let span = self.span(&pair);
        let mut parts = pair.clone().into_inner().filter(|part| part.as_rule() != Rule::question);
        let chosen = next(&mut parts);
        let is_hole = pair.as_str().starts_with('?');
        match chosen.as_rule() {
            Rule::op_choice => {
                if !self.enter(1, span) {
                    return OpRef { kind: OpRefKind::Choice(Vec::new()), span };
                }
                let options = self.op_choice(chosen);
                self.leave(1);
                OpRef { kind: OpRefKind::Choice(options), span }
            }
            _ if is_hole => self.option_set(&chosen, span),
            _ => self.named_in(pair),
        }
    }

    pub(super) fn op_choice(&mut self, pair: Pair<'_, Rule>) -> Vec<Alternative<OpRef>> {
        self.each(pair, Rule::op_option, |builder, option| {
            builder.alternative(option, Self::op_ref)
        })
    }

    fn option_set(&mut self, name: &Pair<'_, Rule>, span: Span) -> OpRef {
        let name = self.ident(name);
        if name.name == "earlier" {
            self.faults.push(
                Diagnostic::new(
                    Code::UnexpectedToken,
                    span,
                    "expected a hole for an operation, found `?earlier`",
                )
                .label("chooses a tensor"),
            );
        }
        OpRef { kind: OpRefKind::Set(name), span }
    }

    /// An operation, from a pair that holds its name and may hold its attributes.
    fn named_in(&mut self, pair: Pair<'_, Rule>) -> OpRef {
        let mut parts = pair.into_inner();
        let name = next(&mut parts);
        self.named(&name, parts.find(is_rule(&[Rule::attrs])))
    }

    fn named(&mut self, name: &Pair<'_, Rule>, attrs: Option<Pair<'_, Rule>>) -> OpRef {
        let name = self.ident(name);
        let span = attrs.as_ref().map_or(name.span, |list| name.span.to(self.span(list)));
        OpRef { kind: OpRefKind::Named { name, attrs: self.attrs(attrs) }, span }
    }

    pub(super) fn name_and_attrs(&mut self, pair: Pair<'_, Rule>) -> (Ident, Vec<Attr>) {
        let mut parts = pair.into_inner();
        let name = self.ident(&next(&mut parts));
        (name, self.attrs(parts.find(is_rule(&[Rule::attrs]))))
    }

    fn attrs(&mut self, list: Option<Pair<'_, Rule>>) -> Vec<Attr> {
        list.map_or_else(Vec::new, |list| self.each(list, Rule::attr, Self::attr))
    }

    fn attr(&mut self, pair: Pair<'_, Rule>) -> Attr {
        let mut name = None;
        let mut value = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::attr_name => name = Some(self.ident(&part)),
                Rule::attr_value => value = Some(self.value(part)),
                _ => {}
            }
        }
        Attr { name, value: value.expect("`attr` has a value") }
    }
}

/// What stands for an expression beside a fault; the tree is not given out then.
fn placeholder(span: Span) -> Expr {
    Expr { kind: ExprKind::Name(String::new()), span }
}

fn set_as_tensor(span: Span, name: &str) -> Diagnostic {
    let shown = shorten(name);
    let fault = Diagnostic::new(
        Code::UnexpectedToken,
        span,
        format!("expected a tensor, found `?{shown}`, which chooses an operation"),
    )
    .label("has no `(...)`");
    if nearest(name, ["earlier"]).is_some() {
        let applicability = match is_slip(name, "earlier", []) {
            true => Applicability::MachineApplicable,
            false => Applicability::MaybeIncorrect,
        };
        let why = "this chooses among the blocks before";
        return fault.offer(span, "?earlier", why, applicability);
    }
    fault.note(format!(
        "write `?{shown}(x)` for a chosen operation, `?earlier` for an earlier block"
    ))
}
