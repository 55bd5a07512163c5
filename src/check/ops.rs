//! Operations: attributes with their defaults, conditions, bindings, result.

use super::choices::{Cases, Holes, Renumber};
use super::expand::{self, Budget};
use super::exprs::{Builder, OpHead, Place, Scope};
use super::names::{BUILTINS, Names, Seen, has_meaning};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Module, OpId, OpResult, Param, Require, Static, StaticKind, Value};
use crate::space::Decision;
use crate::syntax::ast::{self, OpBody, OpStmt};
use crate::syntax::print;

/// Resolves every operation of the file into `module`. Holes of those in a space become decisions
/// after those in `decisions`.
pub(super) fn resolve(
    names: &Names,
    budget: &mut Budget,
    decisions: &mut Vec<Decision>,
    expanded: &mut Vec<(OpId, ast::Op)>,
    module: &mut Module,
    faults: &mut Vec<Diagnostic>,
) {
    let heads = OpHead::all(&module.ops);
    let mut steps = Cases::MAX_STEPS;
    for (index, &(op, in_space)) in names.own_ops.iter().enumerate() {
        let target = names.first_own_op + index;
        let written_out;
        let mut op = op;
        if in_space {
            written_out = expand::op(op, names, budget, faults);
            op = &written_out;
        }
        let mut seen = Seen::default();
        note_params(&op.params, &mut seen, faults);
        for name in &op.args {
            seen.note("tensor", name, faults);
        }
        let scope = Scope {
            place: Place::Op { in_space },
            params: Vec::new(),
            locals: op.args.iter().map(|arg| arg.name.clone()).collect(),
        };
        let mut builder =
            Builder { names, op_params: &heads, scope, holes: Holes::default(), stages: 0, faults };
        let mut params = builder.params(&op.params);
        let mut cases = Cases::new(&module.constants, decisions, steps);
        let (mut statics, mut bindings, mut result) = builder.body(op, &mut seen, &mut cases);
        steps = cases.steps();
        let holes = builder.finish(&op.name.name, op.span, decisions);
        params
            .iter_mut()
            .filter_map(|param| param.default.as_mut())
            .for_each(|value| value.renumber(&holes));
        statics.iter_mut().for_each(|statement| statement.renumber(&holes));
        bindings.iter_mut().for_each(|binding| binding.renumber(&holes));
        if let Some(result) = &mut result {
            result.renumber(&holes);
        }
        let slot = &mut module.ops[target];
        (slot.params, slot.statics, slot.bindings, slot.holes) = (params, statics, bindings, holes);
        if let Some(result) = result {
            slot.result = result;
        }
        if in_space {
            expanded.push((OpId(target), op.clone()));
        }
    }
}

/// Notes the attributes of an operation or cell.
pub(super) fn note_params(params: &[ast::Param], seen: &mut Seen, faults: &mut Vec<Diagnostic>) {
    for name in params.iter().map(|param| &param.name) {
        seen.note("attribute", name, faults);
        if BUILTINS.iter().any(|(known, _)| *known == name.name) {
            faults.push(has_meaning("attribute", name));
        }
    }
}

impl Builder<'_> {
    /// Attributes in order; a default sees the attributes before its own.
    pub(super) fn params(&mut self, params: &[ast::Param]) -> Vec<Param> {
        let mut resolved = Vec::new();
        for param in params {
            let default = param.default.as_ref().and_then(|value| self.value(value));
            self.scope.params.push(param.name.name.clone());
            resolved.push(Param { name: param.name.name.clone(), default });
        }
        resolved
    }

    /// A named value: from here on a parameter like the attributes.
    pub(super) fn constant(
        &mut self,
        constant: &ast::Constant,
        seen: &mut Seen,
        after: usize,
    ) -> Option<Static> {
        let name = &constant.name;
        seen.note("attribute", name, self.faults);
        if BUILTINS.iter().any(|(known, _)| *known == name.name) {
            self.faults.push(has_meaning("constant", name));
        }
        let value = self.value(&constant.value);
        self.scope.params.push(name.name.clone());
        let kind = StaticKind::Let { name: name.name.clone(), value: value? };
        Some(Static { after, kind, holes: Vec::new() })
    }

    /// A condition.
    pub(super) fn require(&mut self, require: &ast::Require, after: usize) -> Option<Static> {
        let message = require.message.as_ref().map(|literal| literal.text.clone());
        let cond = self.value(&require.cond)?;
        let text = print::value(&require.cond);
        let kind = StaticKind::Require(Require { cond, text, message, span: require.span });
        Some(Static { after, kind, holes: Vec::new() })
    }

    fn body(
        &mut self,
        op: &ast::Op,
        seen: &mut Seen,
        cases: &mut Cases,
    ) -> (Vec<Static>, Vec<crate::ir::Expr>, Option<OpResult>) {
        let (mut statics, mut bindings) = (Vec::new(), Vec::new());
        let mut conditions: Vec<Value> = Vec::new();
        let statements = match &op.body {
            OpBody::Short(expr) => {
                return (statics, bindings, self.expr(expr).map(OpResult::Always));
            }
            OpBody::Block(statements) => statements,
        };
        let mut result: Option<OpResult> = None;
        let mut has_result = false;
        for statement in statements {
            match statement {
                OpStmt::Constant(constant) => {
                    let after = self.scope.locals.len() - op.args.len();
                    statics.extend(self.constant(constant, seen, after));
                }
                OpStmt::Require(require) => {
                    let after = self.scope.locals.len() - op.args.len();
                    statics.extend(self.require(require, after));
                }
                OpStmt::Let { name, value, .. } => {
                    seen.note("tensor", name, self.faults);
                    if let Some(value) = self.expr(value) {
                        bindings.push(value);
                    }
                    self.scope.locals.push(name.name.clone());
                }
                OpStmt::When { cond, value, span } => {
                    let holes = self.holes.len();
                    let cond = self.value(cond);
                    // A condition with a hole of its own tells nothing before that is numbered.
                    let known = cond.as_ref().filter(|_| self.holes.len() == holes);
                    let case = cases.when(&conditions, known);
                    conditions.extend(known.cloned());
                    let outer = self.holes.enter_case(case);
                    let arm = (cond, self.expr(value));
                    self.holes.leave(outer);
                    has_result = true;
                    match &mut result {
                        None => {
                            let arms = if let (Some(cond), Some(value)) = arm {
                                vec![(cond, value)]
                            } else {
                                vec![]
                            };
                            result = Some(OpResult::When { arms, otherwise: None });
                        }
                        Some(OpResult::When { arms, otherwise: None }) => {
                            if let (Some(cond), Some(value)) = arm {
                                arms.push((cond, value));
                            }
                        }
                        Some(_) => self.second_result(*span),
                    }
                }
                OpStmt::Otherwise { value, span } => {
                    let outer = self.holes.enter_case(cases.when(&conditions, None));
                    let value = self.expr(value);
                    self.holes.leave(outer);
                    has_result = true;
                    match &mut result {
                        Some(OpResult::When { otherwise: otherwise @ None, .. }) => {
                            *otherwise = value
                        }
                        None => {
                            self.faults.push(
                                Diagnostic::new(
                                    Code::MisplacedStatement,
                                    *span,
                                    "`otherwise` follows no `when`",
                                )
                                .note("write the result alone, without `otherwise =>`"),
                            );
                        }
                        Some(_) => self.second_result(*span),
                    }
                }
                OpStmt::Result(value) => {
                    let span = value.span;
                    let value = self.expr(value);
                    if has_result {
                        self.second_result(span);
                    }
                    has_result = true;
                    result = value.map(OpResult::Always);
                }
            }
        }
        if !has_result {
            self.faults.push(
                Diagnostic::new(
                    Code::MisplacedStatement,
                    op.name.span,
                    format!("operation `{}` has no result", op.name.name),
                )
                .note("end the body with an expression, or with `when` arms"),
            );
        }
        (statics, bindings, result)
    }

    fn second_result(&mut self, span: crate::source::Span) {
        self.faults.push(
            Diagnostic::new(Code::MisplacedStatement, span, "the operation already has a result")
                .note("an operation ends with one expression, or with `when` arms and one `otherwise`"),
        );
    }
}
