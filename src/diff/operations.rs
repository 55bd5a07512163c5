//! What changed in an operation.

use super::align::differences;
use super::changes::{Found, found};
use super::edit::Edit;
use super::skeletons::{text, texts};
use super::statics::{self, Static};
use super::{Change, ChangeKind};
use crate::syntax::ast::{Constant, Expr, ExprKind, Op, OpBody, OpStmt, Value};
use crate::syntax::print;

/// Compares two operations of one name; `edit` puts one in the place of the old one. An operation with
/// another signature is another as a whole.
pub(super) fn between(old: &Op, new: &Op, edit: &dyn Fn(Op) -> Edit, all: &mut Vec<Found>) {
    let place = format!("op {}", new.name.name);
    let change = Change::new(place.as_str(), ChangeKind::Changed);
    let signatures = (signature(old), signature(new));
    if signatures.0 != signatures.1 {
        let change = change.before(signatures.0).after(signatures.1);
        all.push(found(change, edit(new.clone())));
        return;
    }
    let statics =
        |op: &Op| -> Vec<Static> { statements(op).iter().filter_map(Static::of_op).collect() };
    let (old_statics, new_statics) = (statics(old), statics(new));
    all.extend(statics::between(&place, &old_statics, &new_statics, &|index, value| {
        edit(with_constant(old, index, value))
    }));
    let (old_lines, new_lines) = (lines(old), lines(new));
    let runs = differences(&old_lines, &new_lines);
    let change = if runs.is_empty() {
        return;
    } else if let [(gone, fresh)] = runs.as_slice() {
        let narrowed = match (only_result(old), only_result(new)) {
            (Some(old), Some(new)) => narrow(old, new),
            (None, _) | (_, None) => None,
        };
        let (before, after) = narrowed.unwrap_or_else(|| {
            (text(&old_lines[gone.clone()], "; "), text(&new_lines[fresh.clone()], "; "))
        });
        Change { before, after, ..change }
    } else {
        let count = |lines: &[String]| format!("{} statements", lines.len());
        change.before(count(&old_lines)).after(format!(
            "{}, {} places differ",
            count(&new_lines),
            runs.len()
        ))
    };
    all.push(found(change, edit(with_values_of(old, new))));
}

/// The statements of a block body.
fn statements(op: &Op) -> &[OpStmt] {
    match &op.body {
        OpBody::Short(_) => &[],
        OpBody::Block(statements) => statements,
    }
}

/// What an operation computes, line by line, without named values and conditions.
fn lines(op: &Op) -> Vec<String> {
    match &op.body {
        OpBody::Short(value) => vec![print::expr(value)],
        OpBody::Block(statements) => statements.iter().filter_map(line).collect(),
    }
}

fn line(statement: &OpStmt) -> Option<String> {
    match statement {
        OpStmt::Constant(_) | OpStmt::Require(_) => None,
        OpStmt::Let { name, value, .. } => Some(format!("{} = {}", name.name, print::expr(value))),
        OpStmt::When { cond, value, .. } => {
            Some(format!("when {} => {}", print::value(cond), print::expr(value)))
        }
        OpStmt::Otherwise { value, .. } => Some(format!("otherwise => {}", print::expr(value))),
        OpStmt::Result(value) => Some(print::expr(value)),
    }
}

/// The operation with another value for one of its named values.
fn with_constant(op: &Op, index: usize, value: &Value) -> Op {
    let mut op = op.clone();
    if let Some(constant) = constants(&mut op).nth(index) {
        constant.value = value.clone();
    }
    op
}

/// The new operation with the old one's named values, as far as both have them.
fn with_values_of(old: &Op, new: &Op) -> Op {
    let (mut old, mut new) = (old.clone(), new.clone());
    let old: Vec<_> = constants(&mut old).map(|constant| constant.clone()).collect();
    for constant in constants(&mut new) {
        if let Some(old) = old.iter().find(|old| old.name.name == constant.name.name) {
            constant.value = old.value.clone();
        }
    }
    new
}

fn constants(op: &mut Op) -> impl Iterator<Item = &mut Constant> {
    let statements = match &mut op.body {
        OpBody::Short(_) => &mut [],
        OpBody::Block(statements) => statements.as_mut_slice(),
    };
    statements.iter_mut().filter_map(|statement| match statement {
        OpStmt::Constant(constant) => Some(constant),
        OpStmt::Require(_)
        | OpStmt::Let { .. }
        | OpStmt::When { .. }
        | OpStmt::Otherwise { .. }
        | OpStmt::Result(_) => None,
    })
}

/// Its name, attributes and arguments.
pub(super) fn signature(op: &Op) -> String {
    let params: Vec<String> = op
        .params
        .iter()
        .map(|param| match &param.default {
            Some(default) => format!("{} = {}", param.name.name, print::value(default)),
            None => param.name.name.clone(),
        })
        .collect();
    let args: Vec<&str> = op.args.iter().map(|arg| arg.name.as_str()).collect();
    let params = if params.is_empty() { String::new() } else { format!("<{}>", params.join(", ")) };
    format!("{}{params}({})", op.name.name, args.join(", "))
}

/// The result of an operation that has one.
fn only_result(op: &Op) -> Option<&Expr> {
    match &op.body {
        OpBody::Short(value) => Some(value),
        OpBody::Block(statements) => match statements.last()? {
            OpStmt::Result(value) => Some(value),
            OpStmt::Constant(_)
            | OpStmt::Require(_)
            | OpStmt::Let { .. }
            | OpStmt::When { .. }
            | OpStmt::Otherwise { .. } => None,
        },
    }
}

/// The stages in which two pipelines of one input differ, if they do so in one place.
fn narrow(old: &Expr, new: &Expr) -> Option<(Option<String>, Option<String>)> {
    let (
        ExprKind::Pipe { input: old_input, stages: old },
        ExprKind::Pipe { input: new_input, stages: new },
    ) = (&old.kind, &new.kind)
    else {
        return None;
    };
    if print::expr(old_input) != print::expr(new_input) {
        return None;
    }
    let (old, new) = (texts(old), texts(new));
    match differences(&old, &new).as_slice() {
        [(gone, fresh)] => {
            Some((text(&old[gone.clone()], " |> "), text(&new[fresh.clone()], " |> ")))
        }
        _ => None,
    }
}
