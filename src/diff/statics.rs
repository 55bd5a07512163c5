//! What changed in named values and conditions, wherever they stand: `let` and `require`.

use super::align::differences;
use super::changes::{Found, found};
use super::edit::Edit;
use super::names::Names;
use super::{Change, ChangeKind};
use crate::syntax::ast::{CellStmt, Constant, NetItem, OpStmt, Require, Value, ValueKind};
use crate::syntax::print;

/// A statement that names a value or states a condition.
#[derive(Clone, Debug)]
pub(super) enum Static {
    Constant(Constant),
    Require(Require),
}

impl Static {
    /// The statement in a cell.
    pub(super) fn in_cell(self) -> CellStmt {
        match self {
            Static::Constant(constant) => CellStmt::Constant(constant),
            Static::Require(require) => CellStmt::Require(require),
        }
    }

    /// Those of an operation.
    pub(super) fn of_op(statement: &OpStmt) -> Option<Static> {
        match statement {
            OpStmt::Constant(constant) => Some(Static::Constant(constant.clone())),
            OpStmt::Require(require) => Some(Static::Require(require.clone())),
            OpStmt::Let { .. }
            | OpStmt::When { .. }
            | OpStmt::Otherwise { .. }
            | OpStmt::Result(_) => None,
        }
    }

    /// Those of a net.
    pub(super) fn of_net(item: &NetItem) -> Option<Static> {
        match item {
            NetItem::Constant(constant) => Some(Static::Constant(constant.clone())),
            NetItem::Require(require) => Some(Static::Require(require.clone())),
            NetItem::Input { .. }
            | NetItem::Classes { .. }
            | NetItem::Stem { .. }
            | NetItem::Stack { .. }
            | NetItem::Head { .. }
            | NetItem::Aux { .. } => None,
        }
    }

    fn constant(&self) -> Option<&Constant> {
        match self {
            Static::Constant(constant) => Some(constant),
            Static::Require(_) => None,
        }
    }

    fn condition(&self) -> Option<String> {
        match self {
            Static::Constant(_) => None,
            Static::Require(require) => Some(condition(require)),
        }
    }
}

/// Compares the statements of one place, named values by name and conditions in order. `edit` gives one
/// of the old ones, by its number among the named values, another value.
pub(super) fn between(
    place: &str,
    old: &[Static],
    new: &[Static],
    edit: &dyn Fn(usize, &Value) -> Edit,
) -> Vec<Found> {
    let mut all = Vec::new();
    let constants = |statics: &[Static]| -> Vec<Constant> {
        statics.iter().filter_map(Static::constant).cloned().collect()
    };
    let (old_constants, new_constants) = (constants(old), constants(new));
    let find = |constants: &[Constant], name: &str| {
        constants.iter().position(|constant| constant.name.name == name)
    };
    let at = |constant: &Constant| format!("{place}.let {}", constant.name.name);
    for (index, old) in old_constants.iter().enumerate() {
        match find(&new_constants, &old.name.name) {
            Some(other) => {
                let new = &new_constants[other];
                all.extend(constant(at(new), old, new, || edit(index, &new.value)));
            }
            // What reads it does not compile without it; what does not is the same without it.
            None => {
                let change = Change::new(at(old), ChangeKind::Removed);
                all.push(found(change.before(value(&old.value)), Edit::None));
            }
        }
    }
    for new in &new_constants {
        if find(&old_constants, &new.name.name).is_none() {
            let change = Change::new(at(new), ChangeKind::Added);
            all.push(found(change.after(value(&new.value)), Edit::None));
        }
    }
    let conditions = |statics: &[Static]| -> Vec<String> {
        statics.iter().filter_map(Static::condition).collect()
    };
    all.extend(requires(&format!("{place}.require"), &conditions(old), &conditions(new)));
    all
}

/// Compares two named values of one name.
pub(super) fn constant(
    place: String,
    old: &Constant,
    new: &Constant,
    edit: impl FnOnce() -> Edit,
) -> Option<Found> {
    let (before, after) = (value(&old.value), value(&new.value));
    let change = Change::new(place, ChangeKind::Changed);
    (before != after).then(|| found(change.before(before).after(after), edit()))
}

/// Compares two lists of conditions. A condition that holds computes nothing, so it has no counts.
pub(super) fn requires(place: &str, old: &[String], new: &[String]) -> Vec<Found> {
    let mut all = Vec::new();
    for (gone, fresh) in differences(old, new) {
        let (gone, fresh) = (&old[gone], &new[fresh]);
        for at in 0..gone.len().max(fresh.len()) {
            let (before, after) = (gone.get(at).cloned(), fresh.get(at).cloned());
            let kind = match (&before, &after) {
                (Some(_), None) => ChangeKind::Removed,
                (None, _) => ChangeKind::Added,
                (Some(_), Some(_)) => ChangeKind::Changed,
            };
            all.push(found(Change { before, after, ..Change::new(place, kind) }, Edit::None));
        }
    }
    all
}

/// A condition with its message.
pub(super) fn condition(require: &Require) -> String {
    let message = require.message.as_ref().map(|text| format!(" : \"{}\"", text.text));
    format!("{}{}", value(&require.cond), message.unwrap_or_default())
}

/// A value as it is written, without parentheses around it.
pub(super) fn value(mut value: &Value) -> String {
    while let ValueKind::Paren(inner) = &value.kind {
        value = inner;
    }
    print::value(&Names::default().value(value))
}
