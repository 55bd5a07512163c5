//! Operations: attributes with their defaults, conditions, bindings, result.

use super::choices::Holes;
use super::exprs::{Builder, OpHead, Place, Scope};
use super::names::{BUILTINS, Names, Seen, has_meaning};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Module, OpResult, Param, Require};
use crate::syntax::ast::{self, Item, OpBody, OpStmt};

/// Resolves every operation of the file into `module`.
pub(super) fn resolve(
    file: &ast::File,
    names: &Names,
    module: &mut Module,
    faults: &mut Vec<Diagnostic>,
) {
    let heads = OpHead::all(&module.ops);
    let ops = file.items.iter().filter_map(|item| match item {
        Item::Op(op) => Some(op),
        Item::Cell(_) | Item::Space(_) | Item::Net(_) | Item::Expect(_) => None,
    });
    for (index, op) in ops.enumerate() {
        let mut seen = Seen::default();
        for name in op.params.iter().map(|param| &param.name) {
            seen.note("attribute", name, faults);
            if BUILTINS.iter().any(|(known, _)| *known == name.name) {
                faults.push(has_meaning("attribute", name));
            }
        }
        for name in &op.args {
            seen.note("tensor", name, faults);
        }
        let scope = Scope {
            place: Place::Op,
            params: Vec::new(),
            locals: op.args.iter().map(|arg| arg.name.clone()).collect(),
        };
        let mut builder =
            Builder { names, op_params: &heads, scope, holes: Holes::default(), stages: 0, faults };
        let target = names.first_own_op + index;
        let params = builder.params(&op.params);
        let (requires, bindings, result) = builder.body(op, &mut seen);
        let slot = &mut module.ops[target];
        slot.params = params;
        slot.requires = requires;
        slot.bindings = bindings;
        if let Some(result) = result {
            slot.result = result;
        }
    }
}

impl Builder<'_> {
    /// Attributes in order; a default sees the attributes before its own.
    fn params(&mut self, params: &[ast::Param]) -> Vec<Param> {
        let mut resolved = Vec::new();
        for param in params {
            let default = param.default.as_ref().and_then(|value| self.value(value));
            self.scope.params.push(param.name.name.clone());
            resolved.push(Param { name: param.name.name.clone(), default });
        }
        resolved
    }

    fn body(
        &mut self,
        op: &ast::Op,
        seen: &mut Seen,
    ) -> (Vec<Require>, Vec<crate::ir::Expr>, Option<OpResult>) {
        let (mut requires, mut bindings) = (Vec::new(), Vec::new());
        let statements = match &op.body {
            OpBody::Short(expr) => {
                return (requires, bindings, self.expr(expr).map(OpResult::Always));
            }
            OpBody::Block(statements) => statements,
        };
        let mut result: Option<OpResult> = None;
        let mut has_result = false;
        for statement in statements {
            match statement {
                OpStmt::Require(require) => {
                    let message = require.message.as_ref().map(|literal| literal.text.clone());
                    if let Some(cond) = self.value(&require.cond) {
                        let after = self.scope.locals.len() - op.args.len();
                        requires.push(Require { cond, message, after, span: require.span });
                    }
                }
                OpStmt::Let { name, value, .. } => {
                    seen.note("tensor", name, self.faults);
                    if let Some(value) = self.expr(value) {
                        bindings.push(value);
                    }
                    self.scope.locals.push(name.name.clone());
                }
                OpStmt::When { cond, value, span } => {
                    let arm = (self.value(cond), self.expr(value));
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
                    let value = self.expr(value);
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
        (requires, bindings, result)
    }

    fn second_result(&mut self, span: crate::source::Span) {
        self.faults.push(
            Diagnostic::new(Code::MisplacedStatement, span, "the operation already has a result")
                .note("an operation ends with one expression, or with `when` arms and one `otherwise`"),
        );
    }
}
