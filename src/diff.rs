//! What changed between two files, in blocks and operands, and what it costs.
//!
//! [`diff`] compares the cells of two concrete files by name and their blocks by name. Counts are those
//! of the whole network at one scale, so a block's share is summed over all cells it appears in.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::graph::Graph;
use crate::graph::cost::{Cost, Counts, by_block};
use crate::syntax::ast::{Cell, CellBody, CellStmt, Combine, Expr, ExprKind, File, Item};
use crate::syntax::print::{self, print};

/// A file with the network it was compiled to.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The tree of the file.
    pub file: &'a File,
    /// Its network, simplified.
    pub graph: &'a Graph,
}

/// The difference between two files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Changed blocks, cell by cell in the order of the files.
    pub blocks: Vec<BlockChange>,
    /// Definitions other than cells that were added, removed or changed.
    pub others: Vec<String>,
    /// Counts of the network before.
    pub before: Counts,
    /// Counts of the network after.
    pub after: Counts,
}

/// A block that is not the same in both files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockChange {
    /// The cell.
    pub cell: String,
    /// The block; `out` for the output.
    pub block: String,
    /// `left` or `right` if only that operand changed.
    pub side: Option<&'static str>,
    /// Its text before, none if it is new.
    pub before: Option<String>,
    /// Its text after, none if it is gone.
    pub after: Option<String>,
    /// Trainable parameters gained, in all cells of this name.
    pub params: i64,
    /// Multiply-adds gained for one image, in all cells of this name.
    pub macs: i64,
}

impl Diff {
    /// True if the files say the same.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.others.is_empty()
    }
}

/// Compares two files.
pub fn diff(before: Side<'_>, after: Side<'_>) -> Diff {
    let costs = (by_block(before.graph), by_block(after.graph));
    let mut blocks = Vec::new();
    let (old_cells, new_cells) = (cells(before.file), cells(after.file));
    let mut names: Vec<&str> = old_cells.iter().map(|(name, _)| *name).collect();
    names.extend(
        new_cells.iter().map(|(name, _)| *name).filter(|name| find(&old_cells, name).is_none()),
    );
    for name in names {
        let empty = Vec::new();
        let old = find(&old_cells, name).unwrap_or(&empty);
        let new = find(&new_cells, name).unwrap_or(&empty);
        changes(name, old, new, &costs, &mut blocks);
    }
    Diff {
        blocks,
        others: others(before.file, after.file),
        before: Cost::of(before.graph).total,
        after: Cost::of(after.graph).total,
    }
}

type Blocks<'a> = Vec<(&'a str, &'a Expr)>;

/// The cells of a file with their blocks in order.
fn cells(file: &File) -> Vec<(&str, Blocks<'_>)> {
    let cells: Vec<&Cell> = file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Cell(cell) => Some(cell),
            Item::Use(_)
            | Item::Constant(_)
            | Item::Op(_)
            | Item::Space(_)
            | Item::Net(_)
            | Item::Expect(_) => None,
        })
        .collect();
    cells
        .iter()
        .map(|cell| {
            let mut body = *cell;
            while let CellBody::SameAs(other) = &body.body {
                match cells.iter().find(|cell| cell.name.name == other.name.name) {
                    Some(cell) => body = cell,
                    None => break,
                }
            }
            let blocks = match &body.body {
                CellBody::SameAs(_) => Vec::new(),
                CellBody::Block(statements) => statements
                    .iter()
                    .flat_map(|statement| match statement {
                        CellStmt::Constant(_) | CellStmt::Require(_) => Vec::new(),
                        CellStmt::Let { name, value, .. }
                        | CellStmt::Repeat { name, value, .. } => {
                            vec![(name.name.as_str(), value)]
                        }
                        CellStmt::Out { outputs, .. } => {
                            outputs.iter().map(|output| ("out", &output.value)).collect()
                        }
                    })
                    .collect(),
            };
            (cell.name.name.as_str(), blocks)
        })
        .collect()
}

fn find<'c, T>(list: &'c [(&str, T)], name: &str) -> Option<&'c T> {
    list.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

type Costs = BTreeMap<(String, String), Counts>;

fn changes(
    cell: &str,
    old: &Blocks<'_>,
    new: &Blocks<'_>,
    costs: &(Costs, Costs),
    found: &mut Vec<BlockChange>,
) {
    let mut names: Vec<&str> = old.iter().map(|(name, _)| *name).collect();
    for (position, (name, _)) in new.iter().enumerate() {
        if !names.contains(name) {
            // A new block stands where it stands in the new file.
            names.insert(position.min(names.len()), name);
        }
    }
    for name in names {
        let (old, new) = (find(old, name).copied(), find(new, name).copied());
        let (before, after) = (old.map(print::expr), new.map(print::expr));
        if before == after {
            continue;
        }
        let changed = old.zip(new).and_then(|(old, new)| changed_side(old, new));
        let (side, before, after) = match changed {
            Some((side, old, new)) => (Some(side), Some(print::expr(old)), Some(print::expr(new))),
            None => (None, before, after),
        };
        let key = (cell.to_string(), name.to_string());
        let (had, has) = (costs.0.get(&key).copied(), costs.1.get(&key).copied());
        let (had, has) = (had.unwrap_or_default(), has.unwrap_or_default());
        found.push(BlockChange {
            cell: cell.into(),
            block: name.into(),
            side,
            before,
            after,
            params: has.params as i64 - had.params as i64,
            macs: has.macs as i64 - had.macs as i64,
        });
    }
}

/// The one operand in which two combinations of the same kind differ.
fn changed_side<'a>(old: &'a Expr, new: &'a Expr) -> Option<(&'static str, &'a Expr, &'a Expr)> {
    let (
        ExprKind::Binary { combine: Combine::Fixed(a), left: old_left, right: old_right },
        ExprKind::Binary { combine: Combine::Fixed(b), left: new_left, right: new_right },
    ) = (&old.kind, &new.kind)
    else {
        return None;
    };
    let is_left_same = print::expr(old_left) == print::expr(new_left);
    let is_right_same = print::expr(old_right) == print::expr(new_right);
    match (a == b, is_left_same, is_right_same) {
        (true, false, true) => Some(("left", old_left, new_left)),
        (true, true, false) => Some(("right", old_right, new_right)),
        _ => None,
    }
}

/// Operations, nets and claims that differ, one line each.
fn others(before: &File, after: &File) -> Vec<String> {
    let texts = |file: &File| -> Vec<(String, String)> {
        file.items
            .iter()
            .filter_map(|item| {
                let name = match item {
                    Item::Use(used) => format!("use \"{}\"", used.path.text),
                    Item::Constant(constant) => format!("let {}", constant.name.name),
                    Item::Op(op) => format!("op {}", op.name.name),
                    Item::Net(net) => format!("net {}", net.name.name),
                    Item::Space(space) => format!("space {}", space.name.name),
                    Item::Expect(expect) => {
                        let (n, f) = (expect.scale.n.value, expect.scale.f.value);
                        format!("expect {} {n}@{f}", expect.net.name)
                    }
                    Item::Cell(_) => return None,
                };
                let alone = File { items: vec![item.clone()], ..File::default() };
                Some((name, print(&alone)))
            })
            .collect()
    };
    let (old, new) = (texts(before), texts(after));
    // A name may stand several times, as claims of one scale do.
    let knows = |list: &[(String, String)], name: &str| list.iter().any(|(known, _)| known == name);
    let mut lines = Vec::new();
    for (name, text) in &old {
        if !knows(&new, name) {
            lines.push(format!("{name}: removed"));
        } else if !new.iter().any(|(known, other)| known == name && other == text) {
            lines.push(format!("{name}: changed"));
        }
    }
    let added = new.iter().filter(|(name, _)| !knows(&old, name));
    lines.extend(added.map(|(name, _)| format!("{name}: added")));
    lines.dedup();
    lines
}
