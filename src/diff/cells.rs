//! The cells of a file as lists of blocks, whichever way they are written.

use std::collections::BTreeMap;

use super::names::{has_hole, reads};
use crate::check::MAX_BLOCKS;
use crate::space;
use crate::syntax::ast::{Cell, CellBody, CellStmt, Expr, File, Ident, Item, SpaceItem};

/// A cell with its statements.
#[derive(Clone, Debug)]
pub(super) struct CellView<'f> {
    /// The cell as it is written.
    pub(super) cell: &'f Cell,
    /// Index of its item in the file.
    pub(super) item: usize,
    /// Index of its item in the space that it stands in.
    pub(super) part: Option<usize>,
    /// Its blocks in order.
    pub(super) blocks: Vec<Block>,
    /// Its outputs: one, if the file is fine.
    pub(super) outs: Vec<Expr>,
    /// True if it repeats another cell's text and its counterpart in the other file does not: then the
    /// two are compared statement by statement, and edits of the other cell are not edits of this one.
    pub(super) is_detached: bool,
}

/// The longest chain of cells that are followed, each the same as the next.
const MOST_SAME: usize = 65;

/// The most statements of all cells of a file, shorthands written out; files that check have fewer.
pub(super) const MOST_STATEMENTS: usize = 1 << 15;

/// A named block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its name; the stem of its names if it is repeated.
    pub(super) name: Ident,
    /// How often it is repeated, where that stands in the file and leaves something to choose.
    pub(super) repeat: Option<u64>,
    /// What it computes.
    pub(super) value: Expr,
}

impl Block {
    /// The names that it binds.
    pub(super) fn bound(&self) -> Vec<String> {
        match self.repeat {
            None => vec![self.name.name.clone()],
            Some(count) => numbered(&self.name.name, count).collect(),
        }
    }
}

impl CellView<'_> {
    /// The name of the cell.
    pub(super) fn name(&self) -> &str {
        &self.cell.name.name
    }

    /// The cell whose text it repeats.
    pub(super) fn same_as(&self) -> Option<&str> {
        match &self.cell.body {
            CellBody::SameAs(other) => Some(&other.name),
            CellBody::Block(_) => None,
        }
    }

    /// For each block, the names that it reads.
    pub(super) fn block_reads(&self) -> Vec<Vec<&str>> {
        let mut all = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let mut found = Vec::new();
            reads(&block.value, &mut found);
            all.push(found);
        }
        all
    }
}

/// The names `n1`, `n2`, ... of a repeated block; more than a checked file can have are cut off.
pub(super) fn numbered(stem: &str, count: u64) -> impl Iterator<Item = String> {
    (1..=count.min(MAX_BLOCKS as u64)).map(move |number| format!("{stem}{number}"))
}

/// The cells of two files. Repeated blocks with holes stay as they are if both files have some; a file
/// found in a space is compared with the space block by block. `None` if there are too many.
pub(super) fn of_both<'f>([old, new]: [&'f File; 2]) -> Option<[Vec<CellView<'f>>; 2]> {
    let views = [cells(old, false)?, cells(new, false)?];
    let repeats = |views: &[CellView<'_>]| {
        views.iter().any(|view| view.blocks.iter().any(|block| block.repeat.is_some()))
    };
    if repeats(&views[0]) == repeats(&views[1]) {
        return Some(views);
    }
    Some([cells(old, true)?, cells(new, true)?])
}

/// The cells of a file, those of its spaces with them, in order.
fn cells(file: &File, unroll: bool) -> Option<Vec<CellView<'_>>> {
    let mut found: Vec<(&Cell, usize, Option<usize>)> = Vec::new();
    for (index, item) in file.items.iter().enumerate() {
        match item {
            Item::Cell(cell) => found.push((cell, index, None)),
            Item::Space(space) => {
                for (part, item) in space.items.iter().enumerate() {
                    match item {
                        SpaceItem::Cell(cell) => found.push((cell, index, Some(part))),
                        SpaceItem::Options { .. } => {}
                    }
                }
            }
            Item::Op(_) | Item::Net(_) | Item::Expect(_) => {}
        }
    }
    let mut views = Vec::with_capacity(found.len());
    let mut by_name = BTreeMap::new();
    for &(cell, ..) in &found {
        by_name.entry(cell.name.name.as_str()).or_insert(cell);
    }
    let mut count = 0;
    for &(cell, item, part) in &found {
        let written = written_out(cell, &by_name);
        count += written.iter().map(times).sum::<usize>();
        if count > MOST_STATEMENTS {
            return None;
        }
        let (blocks, outs) = statements(written, unroll);
        views.push(CellView { cell, item, part, blocks, outs, is_detached: false });
    }
    Some(views)
}

/// How many statements one stands for.
fn times(statement: &CellStmt) -> usize {
    match statement {
        CellStmt::Let { .. } | CellStmt::Out { .. } => 1,
        CellStmt::Repeat { count, .. } => count.value.min(MAX_BLOCKS as u64) as usize,
    }
}

/// The statements of a cell, followed through `= other`.
fn written_out<'f>(cell: &'f Cell, all: &BTreeMap<&str, &'f Cell>) -> &'f [CellStmt] {
    let mut current = cell;
    // A file that is not fine may have a circle.
    for _ in 0..MOST_SAME {
        match &current.body {
            CellBody::Block(statements) => return statements,
            CellBody::SameAs(other) => match all.get(other.name.as_str()) {
                Some(next) => current = next,
                None => return &[],
            },
        }
    }
    &[]
}

/// Blocks and outputs. Where nothing is left to choose, repeated blocks are written out and
/// `concat(unused)` is named; elsewhere the one need not be, and the other cannot.
fn statements(written: &[CellStmt], unroll: bool) -> (Vec<Block>, Vec<Expr>) {
    let is_open = written.iter().any(|statement| match statement {
        CellStmt::Let { value, .. }
        | CellStmt::Repeat { value, .. }
        | CellStmt::Out { value, .. } => has_hole(value),
    });
    let mut statements = Vec::new();
    for statement in written {
        match statement {
            CellStmt::Repeat { count, name, value, span } if unroll || !is_open => {
                statements.extend(numbered(&name.name, count.value).map(|numbered| {
                    let name = Ident { name: numbered, span: name.span };
                    CellStmt::Let { name, value: value.clone(), span: *span }
                }));
            }
            CellStmt::Let { .. } | CellStmt::Repeat { .. } | CellStmt::Out { .. } => {
                statements.push(statement.clone());
            }
        }
    }
    if !is_open {
        space::name_unused(&mut statements);
    }
    let (mut blocks, mut outs) = (Vec::new(), Vec::new());
    for statement in statements {
        match statement {
            CellStmt::Let { name, value, .. } => blocks.push(Block { name, repeat: None, value }),
            CellStmt::Repeat { count, name, value, .. } => {
                blocks.push(Block { name, repeat: Some(count.value), value });
            }
            CellStmt::Out { value, .. } => outs.push(value),
        }
    }
    (blocks, outs)
}
