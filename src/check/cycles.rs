//! Operations that use each other in a circle have no meaning.

use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Combine, CombineUse, Expr, ExprKind, Module, OpId, OpResult, OpUse, OpUseKind};
use crate::source::Span;

/// Reports every circle of operations once, at the use that closes it.
pub(super) fn check(module: &Module, faults: &mut Vec<Diagnostic>) {
    let edges: Vec<Vec<(OpId, Span)>> = module.ops.iter().map(callees).collect();
    let mut state = vec![State::New; module.ops.len()];
    for start in 0..module.ops.len() {
        // Depth first with an explicit stack: a file may chain thousands of operations.
        let mut stack = vec![(start, 0)];
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        while let Some((op, next)) = stack.last_mut() {
            let Some(&(callee, span)) = edges[*op].get(*next) else {
                state[*op] = State::Done;
                stack.pop();
                continue;
            };
            *next += 1;
            match state[callee.0] {
                State::New => {
                    state[callee.0] = State::Open;
                    stack.push((callee.0, 0));
                }
                State::Open => {
                    let from = stack.iter().position(|(op, _)| *op == callee.0).unwrap_or(0);
                    let mut circle: Vec<String> = stack[from..]
                        .iter()
                        .take(8)
                        .map(|(op, _)| format!("`{}`", module.ops[*op].name.name))
                        .collect();
                    if stack.len() - from > 8 {
                        circle.push("...".into());
                    }
                    circle.push(format!("`{}`", module.ops[callee.0].name.name));
                    faults.push(
                        Diagnostic::new(
                            Code::CyclicDefinition,
                            span,
                            "operations use each other in a circle",
                        )
                        .label(circle.join(" uses "))
                        .note("break the circle: an operation must come down to primitives"),
                    );
                }
                State::Done => {}
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

fn callees(op: &crate::ir::Op) -> Vec<(OpId, Span)> {
    let mut found = Vec::new();
    op.bindings.iter().for_each(|expr| in_expr(expr, &mut found));
    match &op.result {
        OpResult::Always(expr) => in_expr(expr, &mut found),
        OpResult::When { arms, otherwise } => {
            arms.iter()
                .map(|(_, expr)| expr)
                .chain(otherwise)
                .for_each(|expr| in_expr(expr, &mut found));
        }
    }
    found
}

fn in_expr(expr: &Expr, found: &mut Vec<(OpId, Span)>) {
    match &expr.kind {
        ExprKind::Local(_) | ExprKind::ConcatUnused => {}
        ExprKind::Apply { op, args } => {
            in_use(op, found);
            args.iter().for_each(|arg| in_expr(arg, found));
        }
        ExprKind::Combine { combine, left, right } => {
            match combine {
                Combine::Fixed(_) => {}
                Combine::Choice { options, .. } => {
                    for option in options {
                        match option {
                            CombineUse::Op(_) => {}
                            CombineUse::Apply(op) => in_use(op, found),
                        }
                    }
                }
            }
            in_expr(left, found);
            in_expr(right, found);
        }
        ExprKind::Choice { options, .. } => {
            options.iter().for_each(|option| in_expr(option, found))
        }
    }
}

fn in_use(op: &OpUse, found: &mut Vec<(OpId, Span)>) {
    match &op.kind {
        OpUseKind::Op { op: callee, .. } => found.push((*callee, op.span)),
        OpUseKind::Primitive { .. } => {}
        OpUseKind::Choice { options, .. } => {
            options.iter().for_each(|option| in_use(option, found))
        }
    }
}
