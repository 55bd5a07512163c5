//! What changed in nets, and in the option sets and conditions of spaces.

use std::collections::BTreeMap;
use std::ops::Range;

use super::align::differences;
use super::changes::{Found, found};
use super::edit::Edit;
use super::joint::weighted;
use super::names::Names;
use super::statics::{self, Static};
use super::{Change, ChangeKind};
use crate::syntax::ast::{
    Net, NetItem, Number, OpRef, Space, SpaceItem, StackEntry, StackItem, Value,
};
use crate::syntax::print;

/// Compares two nets of one name, part by part; `edit` puts one in the place of the old one.
pub(super) fn net(
    old: &Net,
    new: &Net,
    cell_names: &BTreeMap<String, String>,
    edit: &dyn Fn(Net) -> Edit,
    all: &mut Vec<Found>,
) {
    let place = format!("net {}", new.name.name);
    let edit = |items: Vec<NetItem>| edit(Net { items, ..old.clone() });
    let statics =
        |net: &Net| -> Vec<Static> { net.items.iter().filter_map(Static::of_net).collect() };
    all.extend(statics::between(&place, &statics(old), &statics(new), &|index, value| {
        edit(with_constant(&old.items, index, value))
    }));
    let of = |net: &Net, keyword: &str| net.items.iter().position(|item| item.keyword() == keyword);
    for (at, item) in old.items.iter().enumerate() {
        if Static::of_net(item).is_some() {
            continue;
        }
        let place = format!("{place}.{}", item.keyword());
        let Some(other) = of(new, item.keyword()).map(|at| &new.items[at]) else {
            let mut items = old.items.clone();
            items.remove(at);
            let change = Change::new(place, ChangeKind::Removed).before(parts(item).join(", "));
            all.push(found(change, edit(items)));
            continue;
        };
        let other = in_old_names(other, cell_names);
        let (old_parts, new_parts) = (parts(item), parts(&other));
        let separator = separator(item);
        for (gone, fresh) in differences(&old_parts, &new_parts) {
            let mut items = old.items.clone();
            items[at] = with_run(item, &other, gone.clone(), fresh.clone());
            let change = Change {
                before: text(&old_parts[gone], separator),
                after: text(&new_parts[fresh], separator),
                ..Change::new(place.clone(), ChangeKind::Changed)
            };
            all.push(found(change, edit(items)));
        }
    }
    for item in &new.items {
        if Static::of_net(item).is_none() && of(old, item.keyword()).is_none() {
            let items = old.items.iter().cloned().chain([in_old_names(item, cell_names)]).collect();
            let change = Change::new(format!("{place}.{}", item.keyword()), ChangeKind::Added);
            all.push(found(change.after(parts(item).join(", ")), edit(items)));
        }
    }
}

fn with_constant(items: &[NetItem], index: usize, value: &Value) -> Vec<NetItem> {
    let mut items = items.to_vec();
    let mut constants = items.iter_mut().filter_map(|item| match item {
        NetItem::Constant(constant) => Some(constant),
        NetItem::Require(_)
        | NetItem::Input { .. }
        | NetItem::Classes { .. }
        | NetItem::Stem { .. }
        | NetItem::Stack { .. }
        | NetItem::Head { .. }
        | NetItem::Aux { .. } => None,
    });
    if let Some(constant) = constants.nth(index) {
        constant.value = value.clone();
    }
    items
}

/// A part of a net as the list of what can change in it.
fn parts(item: &NetItem) -> Vec<String> {
    match item {
        // Compared by `statics`.
        NetItem::Constant(_) | NetItem::Require(_) => Vec::new(),
        NetItem::Input { dims: [height, width, channels], .. } => {
            vec![format!("{}x{}x{}", height.value, width.value, channels.value)]
        }
        NetItem::Classes { count, .. } => vec![count.value.to_string()],
        NetItem::Stem { stages, .. } | NetItem::Head { stages, .. } => texts(stages),
        NetItem::Stack { entries, .. } => entries.iter().map(print::stack_entry).collect(),
        NetItem::Aux { stage, stages, .. } => {
            [vec![format!("after stage {}", stage.value)], texts(stages)].concat()
        }
    }
}

/// The old part with the run `fresh` of the new one's elements in place of its own run `gone`; elements
/// as in [`parts`].
fn with_run(old: &NetItem, new: &NetItem, gone: Range<usize>, fresh: Range<usize>) -> NetItem {
    let mut item = old.clone();
    match (&mut item, new) {
        (NetItem::Stack { entries, .. }, NetItem::Stack { entries: new, .. }) => {
            entries.splice(gone, new[fresh].iter().cloned());
        }
        (NetItem::Stem { stages, .. }, NetItem::Stem { stages: new, .. })
        | (NetItem::Head { stages, .. }, NetItem::Head { stages: new, .. }) => {
            stages.splice(gone, new[fresh].iter().cloned());
        }
        // The others have one element, or, as the auxiliary head, no counts.
        (
            NetItem::Constant(_)
            | NetItem::Require(_)
            | NetItem::Input { .. }
            | NetItem::Classes { .. }
            | NetItem::Stem { .. }
            | NetItem::Stack { .. }
            | NetItem::Head { .. }
            | NetItem::Aux { .. },
            _,
        ) => return new.clone(),
    }
    item
}

fn separator(item: &NetItem) -> &'static str {
    match item {
        NetItem::Stem { .. } | NetItem::Head { .. } | NetItem::Aux { .. } => " |> ",
        NetItem::Constant(_)
        | NetItem::Require(_)
        | NetItem::Stack { .. }
        | NetItem::Input { .. }
        | NetItem::Classes { .. } => ", ",
    }
}

fn in_old_names(item: &NetItem, cell_names: &BTreeMap<String, String>) -> NetItem {
    let mut item = item.clone();
    match &mut item {
        NetItem::Stack { entries, .. } => rename(entries, cell_names),
        NetItem::Constant(_)
        | NetItem::Require(_)
        | NetItem::Input { .. }
        | NetItem::Classes { .. }
        | NetItem::Stem { .. }
        | NetItem::Head { .. }
        | NetItem::Aux { .. } => {}
    }
    item
}

fn rename(entries: &mut [StackEntry], cell_names: &BTreeMap<String, String>) {
    for entry in entries {
        match &mut entry.what {
            StackItem::Cell(stacked) => {
                if let Some(old) = cell_names.get(&stacked.cell.name.name) {
                    stacked.cell.name.name.clone_from(old);
                }
            }
            StackItem::Group(entries) => rename(entries, cell_names),
        }
    }
}

/// Compares the option sets and conditions of two spaces; their cells, operations and named values are
/// compared with the others. `edit` puts a space in the place of the old one.
pub(super) fn space(old: &Space, new: &Space, edit: &dyn Fn(Space) -> Edit, all: &mut Vec<Found>) {
    if old.name.name != new.name.name {
        let change = Change::new("space", ChangeKind::Renamed);
        let change = change.before(old.name.name.as_str()).after(new.name.name.as_str());
        all.push(found(change, Edit::None));
    }
    let edit = |items: Vec<SpaceItem>| edit(Space { items, ..old.clone() });
    let (old_sets, new_sets) = (sets(old), sets(new));
    for (name, (at, options)) in &old_sets {
        let place = format!("{}.{name}", new.name.name);
        let mut items = old.items.clone();
        let Some((new_at, new_options)) = new_sets.get(name) else {
            items.remove(*at);
            let change = Change::new(place, ChangeKind::Removed).before(listed(options).join(", "));
            all.push(found(change, edit(items)));
            continue;
        };
        items[*at] = new.items[*new_at].clone();
        set(&place, options, new_options, &edit(items), all);
    }
    for (name, (at, options)) in new_sets.iter().filter(|(name, _)| !old_sets.contains_key(*name)) {
        let items = old.items.iter().cloned().chain([new.items[*at].clone()]).collect();
        let change = Change::new(format!("{}.{name}", new.name.name), ChangeKind::Added);
        all.push(found(change.after(listed(options).join(", ")), edit(items)));
    }
    let place = format!("{}.require", new.name.name);
    all.extend(statics::requires(&place, &conditions(old), &conditions(new)));
}

fn conditions(space: &Space) -> Vec<String> {
    let condition = |item: &SpaceItem| match item {
        SpaceItem::Require(require) => Some(statics::condition(require)),
        SpaceItem::Constant(_)
        | SpaceItem::Op(_)
        | SpaceItem::Options { .. }
        | SpaceItem::Cell(_) => None,
    };
    space.items.iter().filter_map(condition).collect()
}

/// An option of a set as it is written, and its weight.
type Weighted = (String, Option<Number>);

/// The option sets of a space, by name: where they stand, and their options.
fn sets(space: &Space) -> BTreeMap<&str, (usize, Vec<Weighted>)> {
    let mut all = BTreeMap::new();
    for (at, item) in space.items.iter().enumerate() {
        match item {
            SpaceItem::Options { name, options, .. } => {
                let options = options.iter().map(|option| {
                    (print::op_ref(&Names::default().op(&option.item)), option.weight)
                });
                all.insert(name.name.as_str(), (at, options.collect()));
            }
            SpaceItem::Constant(_)
            | SpaceItem::Require(_)
            | SpaceItem::Op(_)
            | SpaceItem::Cell(_) => {}
        }
    }
    all
}

fn listed<'o>(options: impl IntoIterator<Item = &'o Weighted>) -> Vec<String> {
    options.into_iter().map(|(option, weight)| weighted(option.clone(), *weight)).collect()
}

/// Options that came and went, each in one place of one line, then those that are drawn more or less
/// often than before.
fn set(place: &str, old: &[Weighted], new: &[Weighted], edit: &Edit, all: &mut Vec<Found>) {
    let of = |list: &[Weighted], option: &str| {
        list.iter().find(|(other, _)| other == option).map(|(_, weight)| *weight)
    };
    let without = |list: &[Weighted], other: &[Weighted]| -> Vec<String> {
        listed(list.iter().filter(|(option, _)| of(other, option).is_none()))
    };
    let (gone, fresh) = (without(old, new), without(new, old));
    let kind = match (gone.is_empty(), fresh.is_empty()) {
        (true, true) if old.iter().map(|(option, _)| option).eq(new.iter().map(|(o, _)| o)) => None,
        (true, true) => Some(ChangeKind::Permuted),
        (true, false) => Some(ChangeKind::OperandAdded),
        (false, true) => Some(ChangeKind::OperandRemoved),
        (false, false) => Some(ChangeKind::Changed),
    };
    if let Some(kind) = kind {
        let mut change = Change::new(place, kind);
        (change.before, change.after) = (text(&gone, ", "), text(&fresh, ", "));
        if kind == ChangeKind::Permuted {
            change.after = Some("options".into());
        }
        all.push(found(change, edit.clone()));
    }
    let value = |weight: Option<Number>| weight.map_or(1, |weight| weight.value);
    let is_reweighted = |(option, weight): &&Weighted| {
        of(new, option).is_some_and(|other| value(other) != value(*weight))
    };
    let reweighted: Vec<&Weighted> = old.iter().filter(is_reweighted).collect();
    if !reweighted.is_empty() {
        let after = reweighted
            .iter()
            .map(|(option, _)| weighted(option.clone(), of(new, option).flatten()));
        let after: Vec<String> = after.collect();
        let change = Change::new(place, ChangeKind::Changed)
            .before(listed(reweighted).join(", "))
            .after(after.join(", "));
        // A weight says how often a point is drawn, not whether it is one.
        all.push(found(change, Edit::None));
    }
}

/// Operations as they are written.
pub(super) fn texts(stages: &[OpRef]) -> Vec<String> {
    stages.iter().map(print::op_ref).collect()
}

/// Parts in one text, if there are any.
pub(super) fn text(parts: &[String], separator: &str) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(separator))
}
