//! What changed in nets and in the option sets of spaces.

use std::collections::BTreeMap;

use super::align::differences;
use super::changes::Found;
use super::definitions::found;
use super::edit::Edit;
use super::{Change, ChangeKind};
use crate::syntax::ast::{Item, Net, NetItem, OpRef, Space, SpaceItem, StackEntry};
use crate::syntax::print;

/// Compares two nets of one name, part by part.
pub(super) fn net(
    index: usize,
    old: &Net,
    new: &Net,
    cell_names: &BTreeMap<String, String>,
    all: &mut Vec<Found>,
) {
    let edit = |items: Vec<NetItem>| {
        let net = Net { items, ..old.clone() };
        Edit::Item { index: Some(index), item: Some(Box::new(Item::Net(net))) }
    };
    let of = |net: &Net, keyword: &str| net.items.iter().position(|item| item.keyword() == keyword);
    for (at, item) in old.items.iter().enumerate() {
        let place = format!("net {}.{}", new.name.name, item.keyword());
        let mut items = old.items.clone();
        let Some(other) = of(new, item.keyword()).map(|at| &new.items[at]) else {
            items.remove(at);
            let change = Change::new(place, ChangeKind::Removed).before(parts(item).join(", "));
            all.push(found(change, edit(items)));
            continue;
        };
        let other = in_old_names(other, cell_names);
        let (old_parts, new_parts) = (parts(item), parts(&other));
        let separator = separator(item);
        items[at] = other;
        for (gone, fresh) in differences(&old_parts, &new_parts) {
            let change = Change {
                before: text(&old_parts[gone], separator),
                after: text(&new_parts[fresh], separator),
                ..Change::new(place.clone(), ChangeKind::Changed)
            };
            all.push(found(change, edit(items.clone())));
        }
    }
    for item in new.items.iter().filter(|item| of(old, item.keyword()).is_none()) {
        let items = old.items.iter().cloned().chain([in_old_names(item, cell_names)]).collect();
        let place = format!("net {}.{}", new.name.name, item.keyword());
        let change = Change::new(place, ChangeKind::Added).after(parts(item).join(", "));
        all.push(found(change, edit(items)));
    }
}

/// A part of a net as the list of what can change in it.
fn parts(item: &NetItem) -> Vec<String> {
    match item {
        NetItem::Input { dims: [height, width, channels], .. } => {
            vec![format!("{}x{}x{}", height.value, width.value, channels.value)]
        }
        NetItem::Classes { count, .. } => vec![count.value.to_string()],
        NetItem::Stem { stages, .. } | NetItem::Head { stages, .. } => texts(stages),
        NetItem::Stack { entries, .. } => entries.iter().map(entry).collect(),
        NetItem::Aux { stage, stages, .. } => {
            [vec![format!("after stage {}", stage.value)], texts(stages)].concat()
        }
    }
}

fn separator(item: &NetItem) -> &'static str {
    match item {
        NetItem::Stem { .. } | NetItem::Head { .. } | NetItem::Aux { .. } => " |> ",
        NetItem::Stack { .. } | NetItem::Input { .. } | NetItem::Classes { .. } => ", ",
    }
}

fn entry(entry: &StackEntry) -> String {
    let times = entry.times.as_ref().map(|times| format!("{} * ", print::value(times)));
    let widen = entry.widen.map(|widen| format!(" * {}", widen.value));
    format!("{}{}{}", times.unwrap_or_default(), entry.cell.name, widen.unwrap_or_default())
}

fn in_old_names(item: &NetItem, cell_names: &BTreeMap<String, String>) -> NetItem {
    let mut item = item.clone();
    match &mut item {
        NetItem::Stack { entries, .. } => {
            for entry in entries {
                if let Some(old) = cell_names.get(&entry.cell.name) {
                    entry.cell.name.clone_from(old);
                }
            }
        }
        NetItem::Input { .. }
        | NetItem::Classes { .. }
        | NetItem::Stem { .. }
        | NetItem::Head { .. }
        | NetItem::Aux { .. } => {}
    }
    item
}

/// Compares the option sets of two spaces; their cells are compared with the others.
pub(super) fn space(index: usize, old: &Space, new: &Space, all: &mut Vec<Found>) {
    if old.name.name != new.name.name {
        let change = Change::new("space", ChangeKind::Renamed);
        all.push(found(
            change.before(old.name.name.as_str()).after(new.name.name.as_str()),
            Edit::None,
        ));
    }
    let edit = |items: Vec<SpaceItem>| {
        let space = Space { items, ..old.clone() };
        Edit::Item { index: Some(index), item: Some(Box::new(Item::Space(space))) }
    };
    let (old_sets, new_sets) = (sets(old), sets(new));
    for (name, (at, options)) in &old_sets {
        let place = format!("{}.{name}", new.name.name);
        let mut items = old.items.clone();
        let Some((new_at, new_options)) = new_sets.get(name) else {
            items.remove(*at);
            let change = Change::new(place, ChangeKind::Removed).before(options.join(", "));
            all.push(found(change, edit(items)));
            continue;
        };
        items[*at] = new.items[*new_at].clone();
        set(&place, options, new_options, &edit(items), all);
    }
    for (name, (at, options)) in new_sets.iter().filter(|(name, _)| !old_sets.contains_key(*name)) {
        let items = old.items.iter().cloned().chain([new.items[*at].clone()]).collect();
        let change = Change::new(format!("{}.{name}", new.name.name), ChangeKind::Added);
        all.push(found(change.after(options.join(", ")), edit(items)));
    }
}

/// The option sets of a space, by name: where they stand, and their options.
fn sets<'s>(space: &'s Space) -> BTreeMap<&'s str, (usize, Vec<String>)> {
    let set = |(at, item): (usize, &'s SpaceItem)| match item {
        SpaceItem::Options { name, options, .. } => {
            Some((name.name.as_str(), (at, texts(options))))
        }
        SpaceItem::Cell(_) => None,
    };
    space.items.iter().enumerate().filter_map(set).collect()
}

/// Options that came and went, each in one place of one line.
fn set(place: &str, old: &[String], new: &[String], edit: &Edit, all: &mut Vec<Found>) {
    let without = |list: &[String], other: &[String]| -> Vec<String> {
        list.iter().filter(|option| !other.contains(option)).cloned().collect()
    };
    let (gone, fresh) = (without(old, new), without(new, old));
    let kind = match (gone.is_empty(), fresh.is_empty()) {
        (true, true) if old == new => return,
        (true, true) => ChangeKind::Permuted,
        (true, false) => ChangeKind::OperandAdded,
        (false, true) => ChangeKind::OperandRemoved,
        (false, false) => ChangeKind::Changed,
    };
    let mut change = Change::new(place, kind);
    (change.before, change.after) = (text(&gone, ", "), text(&fresh, ", "));
    if kind == ChangeKind::Permuted {
        change.after = Some("options".into());
    }
    all.push(found(change, edit.clone()));
}

/// Operations as they are written.
pub(super) fn texts(stages: &[OpRef]) -> Vec<String> {
    stages.iter().map(print::op_ref).collect()
}

/// Parts in one text, if there are any.
pub(super) fn text(parts: &[String], separator: &str) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(separator))
}
