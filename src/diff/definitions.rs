//! What changed outside of cells: constants, claims, other files used, and which definitions came and
//! went.

use std::collections::BTreeMap;

use super::changes::{Found, found};
use super::edit::{At, Edit};
use super::skeletons::{net, space};
use super::statics;
use super::{Change, ChangeKind, operations};
use crate::graph::cost::grouped;
use crate::syntax::ast::{Claim, Constant, Expect, File, Item, Net, Op, Space, SpaceItem, Use};
use crate::syntax::print;

/// Compares the items that are not cells. `cell_names` are the old names of the new file's cells.
pub(super) fn between(old: &File, new: &File, cell_names: &BTreeMap<String, String>) -> Vec<Found> {
    let mut all = Vec::new();
    uses(old, new, &mut all);
    let (old_items, new_items) = (named(old), named(new));
    for (key, (at, old)) in &old_items {
        match new_items.get(key) {
            Some((_, new)) => changed(*at, *old, *new, cell_names, &mut all),
            None => {
                let change = Change::new(old.place(), ChangeKind::Removed).before(old.summary());
                all.push(found(change, Edit::Item { at: *at, item: None }));
            }
        }
    }
    for (_, (at, new)) in new_items.iter().filter(|(key, _)| !old_items.contains_key(*key)) {
        let edit = Edit::Added { item: Box::new(new.item()), in_space: at.part.is_some() };
        let change = Change::new(new.place(), ChangeKind::Added);
        all.push(found(change.after(new.summary()), edit));
    }
    claims(old, new, &mut all);
    all
}

/// A definition that is no cell.
#[derive(Clone, Copy)]
enum Definition<'f> {
    Constant(&'f Constant),
    Op(&'f Op),
    Net(&'f Net),
    Space(&'f Space),
}

impl Definition<'_> {
    /// What kind it is, and its name. A file has one space, so spaces of two names are one that was
    /// renamed.
    fn key(self) -> (u8, String) {
        match self {
            Definition::Constant(constant) => (0, constant.name.name.clone()),
            Definition::Op(op) => (1, op.name.name.clone()),
            Definition::Net(net) => (2, net.name.name.clone()),
            Definition::Space(_) => (3, String::new()),
        }
    }

    fn place(self) -> String {
        match self {
            Definition::Constant(constant) => format!("let {}", constant.name.name),
            Definition::Op(op) => format!("op {}", op.name.name),
            Definition::Net(net) => format!("net {}", net.name.name),
            Definition::Space(space) => format!("space {}", space.name.name),
        }
    }

    fn summary(self) -> String {
        match self {
            Definition::Constant(constant) => statics::value(&constant.value),
            Definition::Op(op) => operations::signature(op),
            Definition::Net(_) => "a net".into(),
            Definition::Space(_) => "a search space".into(),
        }
    }

    fn item(self) -> Item {
        match self {
            Definition::Constant(constant) => Item::Constant(constant.clone()),
            Definition::Op(op) => Item::Op(op.clone()),
            Definition::Net(net) => Item::Net(net.clone()),
            Definition::Space(space) => Item::Space(space.clone()),
        }
    }
}

/// Definitions by what they define. Constants and operations of a file and of its space are in one list:
/// a file found in a space has those of the space outside of any.
fn named(file: &File) -> BTreeMap<(u8, String), (At, Definition<'_>)> {
    let mut all = Vec::new();
    for (item, definition) in file.items.iter().enumerate() {
        let at = At { item, part: None };
        match definition {
            Item::Constant(constant) => all.push((at, Definition::Constant(constant))),
            Item::Op(op) => all.push((at, Definition::Op(op))),
            Item::Net(net) => all.push((at, Definition::Net(net))),
            Item::Space(space) => {
                all.push((at, Definition::Space(space)));
                for (part, definition) in space.items.iter().enumerate() {
                    let at = At { item, part: Some(part) };
                    match definition {
                        SpaceItem::Constant(constant) => {
                            all.push((at, Definition::Constant(constant)));
                        }
                        SpaceItem::Op(op) => all.push((at, Definition::Op(op))),
                        SpaceItem::Require(_) | SpaceItem::Options { .. } | SpaceItem::Cell(_) => {}
                    }
                }
            }
            Item::Use(_) | Item::Cell(_) | Item::Expect(_) => {}
        }
    }
    all.into_iter().map(|(at, definition)| (definition.key(), (at, definition))).collect()
}

fn changed(
    at: At,
    old: Definition<'_>,
    new: Definition<'_>,
    cell_names: &BTreeMap<String, String>,
    all: &mut Vec<Found>,
) {
    let edit = |item: Item| Edit::Item { at, item: Some(Box::new(item)) };
    match (old, new) {
        (Definition::Constant(old), Definition::Constant(new)) => {
            let place = Definition::Constant(new).place();
            let with = || Constant { value: new.value.clone(), ..old.clone() };
            all.extend(statics::constant(place, old, new, || edit(Item::Constant(with()))));
        }
        (Definition::Op(old), Definition::Op(new)) => {
            operations::between(old, new, &|op| edit(Item::Op(op)), all);
        }
        (Definition::Net(old), Definition::Net(new)) => {
            net(old, new, cell_names, &|net| edit(Item::Net(net)), all);
        }
        (Definition::Space(old), Definition::Space(new)) => {
            space(old, new, &|space| edit(Item::Space(space)), all);
        }
        (
            Definition::Constant(_) | Definition::Op(_) | Definition::Net(_) | Definition::Space(_),
            _,
        ) => unreachable!("definitions are matched by kind"),
    }
}

/// Other files that are used. Their order means nothing.
fn uses(old: &File, new: &File, all: &mut Vec<Found>) {
    let (old, new) = (used(old), used(new));
    let is_in = |(_, one): &&(usize, &Use), list: &[(usize, &Use)]| {
        list.iter().any(|(_, other)| other.path.text == one.path.text)
    };
    let mut gone = old.iter().filter(|one| !is_in(one, &new));
    let mut fresh = new.iter().filter(|one| !is_in(one, &old));
    loop {
        let (before, after) = (gone.next(), fresh.next());
        let item = after.map(|(_, used)| Box::new(Item::Use((*used).clone())));
        let (kind, edit) = match (before, item) {
            (None, None) => return,
            (None, Some(item)) => (ChangeKind::Added, Edit::Added { item, in_space: false }),
            (Some((item, _)), new) => {
                let kind = if new.is_some() { ChangeKind::Changed } else { ChangeKind::Removed };
                (kind, Edit::Item { at: At { item: *item, part: None }, item: new })
            }
        };
        let text = |used: &(usize, &Use)| format!("\"{}\"", used.1.path.text);
        let (before, after) = (before.map(text), after.map(text));
        all.push(found(Change { before, after, ..Change::new("use", kind) }, edit));
    }
}

/// The files that a file uses, with the indices of their items.
fn used(file: &File) -> Vec<(usize, &Use)> {
    let items = file.items.iter().enumerate().filter_map(|(at, item)| match item {
        Item::Use(used) => Some((at, used)),
        Item::Constant(_)
        | Item::Op(_)
        | Item::Cell(_)
        | Item::Space(_)
        | Item::Net(_)
        | Item::Expect(_) => None,
    });
    items.collect()
}

/// Claims and published figures, by net, scale, image, classes, source and count.
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
        let mut change = Change::new(format!("{} {}", name.0, name.1), kind);
        (change.before, change.after) = (before.cloned(), after.cloned());
        all.push(found(change, Edit::None));
    }
}

fn claims_of(file: &File) -> BTreeMap<(String, String), String> {
    let of = |expect: &Expect| {
        let claim = |claim: &Claim| {
            let value = grouped(claim.value.value, ',');
            ((print::expect_head(expect), claim.name.name.clone()), value)
        };
        let published = expect.published.iter().flat_map(|published| {
            let name = published.name.as_ref().map(|name| format!(" as \"{}\"", name.text));
            let name = name.unwrap_or_default();
            published.figures.iter().map(move |figure| {
                let what = format!("published \"{}\" {}", published.source.text, figure.name.name);
                ((print::expect_head(expect), what), format!("{}{name}", figure.value))
            })
        });
        expect.claims.iter().map(claim).chain(published).collect::<Vec<_>>()
    };
    file.items
        .iter()
        .flat_map(|item| match item {
            Item::Expect(expect) => of(expect),
            Item::Use(_)
            | Item::Constant(_)
            | Item::Op(_)
            | Item::Cell(_)
            | Item::Space(_)
            | Item::Net(_) => Vec::new(),
        })
        .collect()
}
