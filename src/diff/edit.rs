//! The old file with one change made: what every change is counted by.

use std::collections::BTreeSet;

use super::cells::{Block, CellView};
use super::names::reads;
use crate::source::Span;
use crate::syntax::ast::{Cell, CellBody, CellStmt, Expr, File, Item, Number, SpaceItem};

/// An edit of the old file. Cells and blocks are counted as in its [`CellView`]s.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Nothing that could be counted.
    None,
    /// Only the parts' own counts can say.
    OwnOnly,
    /// A block, or with `block` one past the last the output, computes something else.
    Value { cell: usize, block: usize, value: Box<Expr> },
    /// A block is repeated so many times.
    Repeat { cell: usize, block: usize, count: u64 },
    /// A cell has another stride.
    Stride { cell: usize, stride: Option<Number> },
    /// An item of the file is another, is gone, or is new.
    Item { index: Option<usize>, item: Option<Box<Item>> },
}

/// The file after an edit; `None` if the edit cannot be made.
pub(super) fn apply(file: &File, views: &[CellView<'_>], edit: &Edit) -> Option<File> {
    match edit {
        Edit::None | Edit::OwnOnly => None,
        Edit::Value { cell, block, value } => {
            let view = &views[*cell];
            let (mut blocks, mut outs) = (view.blocks.clone(), view.outs.clone());
            match blocks.get_mut(*block) {
                Some(block) => block.value = (**value).clone(),
                None => *outs.first_mut()? = (**value).clone(),
            }
            replace(file, views, *cell, |cell| cell.body = body(blocks, outs))
        }
        Edit::Repeat { cell, block, count } => {
            let view = &views[*cell];
            let mut blocks = view.blocks.clone();
            blocks[*block].repeat = Some(*count);
            replace(file, views, *cell, |cell| cell.body = body(blocks, view.outs.clone()))
        }
        Edit::Stride { cell, stride } => replace(file, views, *cell, |cell| cell.stride = *stride),
        Edit::Item { index, item } => {
            let mut file = file.clone();
            let item = item.as_ref().map(|item| (**item).clone());
            match (index, item) {
                (Some(index), Some(item)) => file.items[*index] = item,
                (Some(index), None) => drop(file.items.remove(*index)),
                (None, Some(item)) => file.items.push(item),
                (None, None) => return None,
            }
            Some(file)
        }
    }
}

/// The file with a cell edited, and the cells written out that must not follow it.
fn replace(
    file: &File,
    views: &[CellView<'_>],
    edited: usize,
    edit: impl FnOnce(&mut Cell),
) -> Option<File> {
    let mut file = file.clone();
    for view in views.iter().filter(|view| view.is_detached) {
        let cell = cell_at(&mut file, view)?;
        cell.body = body(view.blocks.clone(), view.outs.clone());
    }
    edit(cell_at(&mut file, &views[edited])?);
    Some(file)
}

fn cell_at<'f>(file: &'f mut File, view: &CellView<'_>) -> Option<&'f mut Cell> {
    match (&mut file.items[view.item], view.part) {
        (Item::Cell(cell), None) => Some(cell),
        (Item::Space(space), Some(part)) => match &mut space.items[part] {
            SpaceItem::Cell(cell) => Some(cell),
            SpaceItem::Options { .. } => None,
        },
        (Item::Cell(_) | Item::Space(_) | Item::Op(_) | Item::Net(_) | Item::Expect(_), _) => None,
    }
}

/// Blocks and outputs as statements, each block below those it reads: an operand may now be a block
/// that stood further down.
fn body(blocks: Vec<Block>, outs: Vec<Expr>) -> CellBody {
    let span = Span::default();
    let all: BTreeSet<String> = blocks.iter().flat_map(Block::bound).collect();
    let mut placed: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<Block> = blocks;
    let mut statements = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |block: &Block| {
            let mut read = Vec::new();
            reads(&block.value, &mut read);
            read.iter().all(|name| !all.contains(*name) || placed.contains(*name))
        };
        // Blocks in a circle stay where they are, for the check to refuse.
        let next = waiting.iter().position(is_ready).unwrap_or(0);
        let block = waiting.remove(next);
        placed.extend(block.bound());
        let Block { name, repeat, value } = block;
        statements.push(match repeat {
            None => CellStmt::Let { name, value, span },
            Some(count) => {
                CellStmt::Repeat { count: Number { value: count, span }, name, value, span }
            }
        });
    }
    statements.extend(outs.into_iter().map(|value| CellStmt::Out { value, span }));
    CellBody::Block(statements)
}
