//! Names that two used files define differently.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Module, Origin};
use crate::syntax::ast::{self, Item, SpaceItem, Use};

/// How many names of a clash are written out.
const SHOWN_NAMES: usize = 4;

/// Reports names that two used files define differently and that the file itself does not define.
pub(super) fn clashes(
    world: &Module,
    file: &ast::File,
    direct: &[(&Use, usize)],
    faults: &mut Vec<Diagnostic>,
) {
    let own = defined(file);
    let mut seen: BTreeMap<(&str, &str), (usize, &Use)> = BTreeMap::new();
    for (used, index) in direct {
        let mut clashing: BTreeMap<usize, (&Use, Vec<String>)> = BTreeMap::new();
        for ((kind, name), from) in offers(world, *index) {
            if own.contains(&(kind, name)) {
                continue;
            }
            let (first, first_use) = *seen.entry((kind, name)).or_insert((from, used));
            if first != from {
                let at = first_use.span.start;
                let (_, names) = clashing.entry(at).or_insert((first_use, Vec::new()));
                names.push(format!("{kind} `{name}`"));
            }
        }
        for (first, names) in clashing.into_values() {
            let more = names.len().saturating_sub(SHOWN_NAMES);
            let mut list = names[..names.len() - more].join(", ");
            if more > 0 {
                list += &format!(" and {more} more");
            }
            let (a, b) = (&first.path.text, &used.path.text);
            faults.push(
                Diagnostic::new(
                    Code::ClashingUses,
                    used.path.span,
                    format!("`{a}` and `{b}` both define {list}"),
                )
                .also(first.path.span, "the other use")
                .note("define what is meant in this file, or rename it in one of the others"),
            );
        }
    }
}

/// What a used file offers: for each kind of definition and name, where the nearest stands.
fn offers(world: &Module, index: usize) -> BTreeMap<(&'static str, &str), usize> {
    let sees = &world.used[index].sees;
    let mut offers = BTreeMap::new();
    let mut offer = |kind, name, origin| {
        if let Origin::Used(file) = origin
            && sees.contains(&file)
        {
            offers.insert((kind, name), file);
        }
    };
    let Module { constants, ops, cells, nets, .. } = world;
    ops.iter().for_each(|op| offer("operation", op.name.name.as_str(), op.origin));
    constants.iter().for_each(|one| offer("constant", one.name.name.as_str(), one.origin));
    cells.iter().for_each(|cell| offer("cell", cell.name.name.as_str(), cell.origin));
    nets.iter().for_each(|net| offer("net", net.name.name.as_str(), net.origin));
    offers
}

/// What a file itself defines.
fn defined(file: &ast::File) -> BTreeSet<(&'static str, &str)> {
    let mut own = BTreeSet::new();
    for item in &file.items {
        own.extend(named(item));
        if let Item::Space(space) = item {
            own.extend(space.items.iter().filter_map(|item| match item {
                SpaceItem::Constant(one) => Some(("constant", one.name.name.as_str())),
                SpaceItem::Op(op) => Some(("operation", op.name.name.as_str())),
                SpaceItem::Cell(cell) => Some(("cell", cell.name.name.as_str())),
                SpaceItem::Require(_) | SpaceItem::Options { .. } => None,
            }));
        }
    }
    own
}

/// The kind and the name of what an item defines for other files.
pub(super) fn named(item: &Item) -> Option<(&'static str, &str)> {
    match item {
        Item::Constant(one) => Some(("constant", one.name.name.as_str())),
        Item::Op(op) => Some(("operation", op.name.name.as_str())),
        Item::Cell(cell) => Some(("cell", cell.name.name.as_str())),
        Item::Net(net) => Some(("net", net.name.name.as_str())),
        Item::Use(_) | Item::Space(_) | Item::Expect(_) => None,
    }
}
