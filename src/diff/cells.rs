//! The cells of a file as lists of blocks, whichever way they are written.

use super::names::{has_hole, reads};
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
}

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
    (1..=count.min(crate::check::MAX_BLOCKS as u64)).map(move |number| format!("{stem}{number}"))
}

/// The cells of two files. Repeated blocks with holes stay as they are if both files have some; a file
/// found in a space is compared with the space block by block.
pub(super) fn of_both<'f>([old, new]: [&'f File; 2]) -> [Vec<CellView<'f>>; 2] {
    let views = [cells(old, false), cells(new, false)];
    let repeats = |views: &[CellView<'_>]| {
        views.iter().any(|view| view.blocks.iter().any(|block| block.repeat.is_some()))
    };
    if repeats(&views[0]) == repeats(&views[1]) {
        return views;
    }
    [cells(old, true), cells(new, true)]
}

/// The cells of a file, those of its spaces with them, in order.
fn cells(file: &File, unroll: bool) -> Vec<CellView<'_>> {
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
    for &(cell, item, part) in &found {
        let (blocks, outs) = statements(written_out(cell, &found), unroll);
        views.push(CellView { cell, item, part, blocks, outs });
    }
    views
}

/// The statements of a cell, followed through `= other`.
fn written_out<'f>(cell: &'f Cell, all: &[(&'f Cell, usize, Option<usize>)]) -> &'f [CellStmt] {
    let mut current = cell;
    // A file that is not fine may have a circle.
    for _ in 0..=all.len() {
        match &current.body {
            CellBody::Block(statements) => return statements,
            CellBody::SameAs(other) => {
                match all.iter().find(|(cell, ..)| cell.name.name == other.name) {
                    Some((next, ..)) => current = next,
                    None => return &[],
                }
            }
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
