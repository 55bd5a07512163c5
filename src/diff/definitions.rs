//! What changed outside of cells: operations, claims, and which definitions came and went.

use std::collections::BTreeMap;

use super::align::differences;
use super::changes::{Found, Own};
use super::edit::Edit;
use super::skeletons::{net, space, text, texts};
use super::text::grouped;
use super::{Change, ChangeKind};
use crate::syntax::ast::{Claim, Expect, Expr, ExprKind, File, Item, Op, OpBody, OpStmt};
use crate::syntax::print;

/// Compares the items that are not cells. `cell_names` are the old names of the new file's cells.
pub(super) fn between(old: &File, new: &File, cell_names: &BTreeMap<String, String>) -> Vec<Found> {
    let mut found = Vec::new();
    let (old_items, new_items) = (named(old), named(new));
    for (key, (index, item)) in &old_items {
        match new_items.get(key) {
            Some((_, new)) => changed(*index, item, new, cell_names, &mut found),
            None => {
                let edit = Edit::Item { index: Some(*index), item: None };
                found.push(whole(key, ChangeKind::Removed, item, edit));
            }
        }
    }
    for (key, (_, item)) in new_items.iter().filter(|(key, _)| !old_items.contains_key(*key)) {
        let edit = Edit::Item { index: None, item: Some(Box::new((*item).clone())) };
        found.push(whole(key, ChangeKind::Added, item, edit));
    }
    claims(old, new, &mut found);
    found
}

/// Items by what they define. A file has one space, so spaces of two names are one that was renamed.
fn named(file: &File) -> BTreeMap<(u8, String), (usize, &Item)> {
    let key = |item: &Item| match item {
        Item::Op(op) => Some((0, op.name.name.clone())),
        Item::Net(net) => Some((1, net.name.name.clone())),
        Item::Space(_) => Some((2, String::new())),
        Item::Cell(_) | Item::Expect(_) => None,
    };
    let items = file.items.iter().enumerate();
    items.filter_map(|(index, item)| Some((key(item)?, (index, item)))).collect()
}

pub(super) fn found(change: Change, edit: Edit) -> Found {
    Found { change, edit, own: Own::default() }
}

fn whole(key: &(u8, String), kind: ChangeKind, item: &Item, edit: Edit) -> Found {
    let (place, text) = match item {
        Item::Op(op) => (format!("op {}", key.1), op_signature(op)),
        Item::Net(_) => (format!("net {}", key.1), "a net".into()),
        Item::Space(space) => (format!("space {}", space.name.name), "a search space".into()),
        Item::Cell(_) | Item::Expect(_) => unreachable!("`named` lists neither"),
    };
    let mut change = Change::new(place, kind);
    match kind {
        ChangeKind::Removed => change.before = Some(text),
        ChangeKind::Added
        | ChangeKind::Changed
        | ChangeKind::Renamed
        | ChangeKind::OperandAdded
        | ChangeKind::OperandRemoved
        | ChangeKind::Reordered
        | ChangeKind::Permuted => change.after = Some(text),
    }
    found(change, edit)
}

fn changed(
    index: usize,
    old: &Item,
    new: &Item,
    cell_names: &BTreeMap<String, String>,
    all: &mut Vec<Found>,
) {
    match (old, new) {
        (Item::Op(old), Item::Op(new)) => op(index, old, new, all),
        (Item::Net(old), Item::Net(new)) => net(index, old, new, cell_names, all),
        (Item::Space(old), Item::Space(new)) => space(index, old, new, all),
        (Item::Op(_) | Item::Net(_) | Item::Space(_) | Item::Cell(_) | Item::Expect(_), _) => {
            unreachable!("items are matched by kind, and `named` lists neither cells nor claims")
        }
    }
}

fn op(index: usize, old: &Op, new: &Op, all: &mut Vec<Found>) {
    let lines = |op: &Op| -> Vec<String> {
        match &op.body {
            OpBody::Short(value) => vec![print::expr(value)],
            OpBody::Block(statements) => statements.iter().map(op_statement).collect(),
        }
    };
    let place = format!("op {}", new.name.name);
    let edit = Edit::Item { index: Some(index), item: Some(Box::new(Item::Op(new.clone()))) };
    let signatures = (op_signature(old), op_signature(new));
    let (old_lines, new_lines) = (lines(old), lines(new));
    let runs = differences(&old_lines, &new_lines);
    let change = Change::new(place, ChangeKind::Changed);
    let change = if signatures.0 != signatures.1 {
        change.before(signatures.0).after(signatures.1)
    } else if let [(gone, fresh)] = runs.as_slice() {
        let narrowed = match (only_result(old), only_result(new)) {
            (Some(old), Some(new)) => narrow(old, new),
            (None, _) | (_, None) => None,
        };
        let (before, after) = narrowed.unwrap_or_else(|| {
            (text(&old_lines[gone.clone()], "; "), text(&new_lines[fresh.clone()], "; "))
        });
        Change { before, after, ..change }
    } else if runs.is_empty() {
        return;
    } else {
        let count = |lines: &[String]| format!("{} statements", lines.len());
        change.before(count(&old_lines)).after(format!(
            "{}, {} places differ",
            count(&new_lines),
            runs.len()
        ))
    };
    all.push(found(change, edit));
}

fn op_signature(op: &Op) -> String {
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

fn op_statement(statement: &OpStmt) -> String {
    match statement {
        OpStmt::Require(require) => {
            let message = require.message.as_ref().map(|text| format!(" : \"{}\"", text.text));
            format!("require {}{}", print::value(&require.cond), message.unwrap_or_default())
        }
        OpStmt::Let { name, value, .. } => format!("{} = {}", name.name, print::expr(value)),
        OpStmt::When { cond, value, .. } => {
            format!("when {} => {}", print::value(cond), print::expr(value))
        }
        OpStmt::Otherwise { value, .. } => format!("otherwise => {}", print::expr(value)),
        OpStmt::Result(value) => print::expr(value),
    }
}

/// The result of an operation that has one.
fn only_result(op: &Op) -> Option<&Expr> {
    match &op.body {
        OpBody::Short(value) => Some(value),
        OpBody::Block(statements) => match statements.last()? {
            OpStmt::Result(value) => Some(value),
            OpStmt::Require(_)
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

/// Claims, by net, scale and count.
fn claims(old: &File, new: &File, all: &mut Vec<Found>) {
    let (old, new) = (claims_of(old), claims_of(new));
    let mut names: Vec<&(String, String)> = old.keys().collect();
    names.extend(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        let kind = match (before, after) {
            (Some(_), None) => ChangeKind::Removed,
            (None, _) => ChangeKind::Added,
            (Some(_), Some(_)) => ChangeKind::Changed,
        };
        let mut change = Change::new(format!("expect {} {}", name.0, name.1), kind);
        (change.before, change.after) = (before.cloned(), after.cloned());
        all.push(found(change, Edit::None));
    }
}

fn claims_of(file: &File) -> BTreeMap<(String, String), String> {
    let of = |expect: &Expect| {
        let scale =
            format!("{} {}@{}", expect.net.name, expect.scale.n.value, expect.scale.f.value);
        let claim = |claim: &Claim| {
            let value = grouped(claim.value.value);
            ((scale.clone(), claim.name.name.clone()), value)
        };
        expect.claims.iter().map(claim).collect::<Vec<_>>()
    };
    file.items
        .iter()
        .flat_map(|item| match item {
            Item::Expect(expect) => of(expect),
            Item::Op(_) | Item::Cell(_) | Item::Space(_) | Item::Net(_) => Vec::new(),
        })
        .collect()
}
