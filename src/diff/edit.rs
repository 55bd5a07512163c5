//! The old file with one change made: what every change is counted by.

use std::collections::BTreeSet;

use super::cells::{Block, CellView};
use super::names::{StaticReads, reads};
use super::statics::Static;
use crate::source::Span;
use crate::syntax::ast::{
    Cell, CellBody, CellStmt, CellUse, Expr, File, Item, Number, Output, Param, SpaceItem, Value,
};

/// Where a definition stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// Index of its item in the file.
    pub(super) item: usize,
    /// Index of its item in the space that it stands in.
    pub(super) part: Option<usize>,
}

/// An edit of the old file. Cells, named values, blocks and outputs are counted as in its
/// [`CellView`]s.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Nothing that could be counted.
    None,
    /// Only the parts' own counts can say.
    OwnOnly,
    /// A block, or with `block` one past the last an output, computes something else.
    Value { cell: usize, block: usize, value: Box<Expr> },
    /// A cell has other outputs.
    Outputs { cell: usize, outs: Vec<Output> },
    /// A named value of a cell is another.
    Constant { cell: usize, index: usize, value: Value },
    /// A block is repeated so many times.
    Repeat { cell: usize, block: usize, count: u64 },
    /// A cell has other attributes, or another stride.
    Header { cell: usize, params: Vec<Param>, stride: Option<Number> },
    /// A cell repeats the text of another one with other attributes.
    SameAs { cell: usize, other: CellUse },
    /// A definition is another, or is gone.
    Item { at: At, item: Option<Box<Item>> },
    /// A definition is new, and stands in a space.
    Added { item: Box<Item>, in_space: bool },
}

/// The file after an edit; `None` if the edit cannot be made.
pub(super) fn apply(file: &File, views: &[CellView<'_>], edit: &Edit) -> Option<File> {
    let with_body = |cell: usize, edit: &dyn Fn(&mut CellView<'_>) -> Option<()>| {
        let mut view = views[cell].clone();
        edit(&mut view)?;
        replace(file, views, cell, |cell| cell.body = body(view))
    };
    match edit {
        Edit::None | Edit::OwnOnly => None,
        Edit::Value { cell, block, value } => with_body(*cell, &|view| {
            let past = view.blocks.len();
            match view.blocks.get_mut(*block) {
                Some(block) => block.value = (**value).clone(),
                None => view.outs.get_mut(*block - past)?.value = (**value).clone(),
            }
            Some(())
        }),
        Edit::Outputs { cell, outs } => with_body(*cell, &|view| {
            view.outs.clone_from(outs);
            Some(())
        }),
        Edit::Constant { cell, index, value } => with_body(*cell, &|view| {
            let mut constants = view.statics.iter_mut().filter_map(|statement| match statement {
                Static::Constant(constant) => Some(constant),
                Static::Require(_) => None,
            });
            constants.nth(*index)?.value = value.clone();
            Some(())
        }),
        Edit::Repeat { cell, block, count } => with_body(*cell, &|view| {
            view.blocks[*block].repeat = Some(*count);
            Some(())
        }),
        Edit::Header { cell, params, stride } => replace(file, views, *cell, |cell| {
            cell.params.clone_from(params);
            cell.stride = *stride;
        }),
        Edit::SameAs { cell, other } => {
            replace(file, views, *cell, |cell| cell.body = CellBody::SameAs(other.clone()))
        }
        Edit::Item { at, item } => {
            let mut file = file.clone();
            let item = item.as_ref().map(|item| (**item).clone());
            match (at.part, item) {
                (None, Some(item)) => file.items[at.item] = item,
                (None, None) => drop(file.items.remove(at.item)),
                (Some(part), item) => {
                    let Item::Space(space) = &mut file.items[at.item] else { return None };
                    match item {
                        Some(item) => space.items[part] = in_space(item)?,
                        None => drop(space.items.remove(part)),
                    }
                }
            }
            Some(file)
        }
        Edit::Added { item, in_space: is_inside } => {
            let mut file = file.clone();
            let space = file.items.iter_mut().find_map(|item| match item {
                Item::Space(space) => Some(space),
                Item::Use(_)
                | Item::Constant(_)
                | Item::Op(_)
                | Item::Cell(_)
                | Item::Net(_)
                | Item::Expect(_) => None,
            });
            match space.filter(|_| *is_inside) {
                Some(space) => space.items.push(in_space((**item).clone())?),
                None => file.items.push((**item).clone()),
            }
            Some(file)
        }
    }
}

/// An item as a part of a space, where it can be one.
fn in_space(item: Item) -> Option<SpaceItem> {
    match item {
        Item::Constant(constant) => Some(SpaceItem::Constant(constant)),
        Item::Op(op) => Some(SpaceItem::Op(op)),
        Item::Cell(cell) => Some(SpaceItem::Cell(cell)),
        Item::Use(_) | Item::Space(_) | Item::Net(_) | Item::Expect(_) => None,
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
        cell.body = body(view.clone());
    }
    edit(cell_at(&mut file, &views[edited])?);
    Some(file)
}

fn cell_at<'f>(file: &'f mut File, view: &CellView<'_>) -> Option<&'f mut Cell> {
    match (&mut file.items[view.item], view.part) {
        (Item::Cell(cell), None) => Some(cell),
        (Item::Space(space), Some(part)) => match &mut space.items[part] {
            SpaceItem::Cell(cell) => Some(cell),
            SpaceItem::Constant(_)
            | SpaceItem::Require(_)
            | SpaceItem::Op(_)
            | SpaceItem::Options { .. } => None,
        },
        (
            Item::Use(_)
            | Item::Constant(_)
            | Item::Cell(_)
            | Item::Space(_)
            | Item::Op(_)
            | Item::Net(_)
            | Item::Expect(_),
            _,
        ) => None,
    }
}

/// A statement of a cell with the names that it binds and those that it reads.
struct Waiting {
    statement: CellStmt,
    bound: Vec<String>,
    tensors: Vec<String>,
    values: Vec<String>,
}

impl Waiting {
    fn of_static(statement: Static) -> Waiting {
        let mut read = StaticReads::default();
        match &statement {
            Static::Constant(constant) => read.value(&constant.value),
            Static::Require(require) => read.value(&require.cond),
        }
        let (tensors, values) = (owned(&read.tensors), owned(&read.values));
        Waiting { statement: statement.in_cell(), bound: Vec::new(), tensors, values }
    }

    fn of_block(block: Block) -> Waiting {
        let mut read = StaticReads::default();
        read.expr(&block.value);
        reads(&block.value, &mut read.tensors);
        let (tensors, values) = (owned(&read.tensors), owned(&read.values));
        let bound = block.bound();
        let Block { name, repeat, value } = block;
        let span = Span::default();
        let statement = match repeat {
            None => CellStmt::Let { name, value, span },
            Some(count) => {
                CellStmt::Repeat { count: Number { value: count, span }, name, value, span }
            }
        };
        Waiting { statement, bound, tensors, values }
    }

    /// The value that it names.
    fn named(&self) -> Option<&str> {
        match &self.statement {
            CellStmt::Constant(constant) => Some(&constant.name.name),
            CellStmt::Require(_)
            | CellStmt::Let { .. }
            | CellStmt::Repeat { .. }
            | CellStmt::Out { .. } => None,
        }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The statements of a view, each below those it reads: an operand may now be a block that stood
/// further down.
fn body(view: CellView<'_>) -> CellBody {
    let statics = view.statics.into_iter().map(Waiting::of_static);
    let mut waiting: Vec<Waiting> =
        statics.chain(view.blocks.into_iter().map(Waiting::of_block)).collect();
    // What no statement above has bound, of what some statement of the cell binds.
    let mut tensors: BTreeSet<String> =
        waiting.iter().flat_map(|statement| statement.bound.iter().cloned()).collect();
    let mut values: BTreeSet<String> =
        waiting.iter().filter_map(|statement| statement.named()).map(str::to_string).collect();
    let mut statements = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |statement: &Waiting| {
            !statement.tensors.iter().any(|name| tensors.contains(name))
                && !statement.values.iter().any(|name| values.contains(name))
        };
        // Statements in a circle stay where they are, for the check to refuse.
        let next = waiting.iter().position(is_ready).unwrap_or(0);
        let next = waiting.remove(next);
        for name in &next.bound {
            tensors.remove(name);
        }
        if let Some(name) = next.named() {
            values.remove(name);
        }
        statements.push(next.statement);
    }
    if !view.outs.is_empty() {
        statements.push(CellStmt::Out { outputs: view.outs, span: Span::default() });
    }
    CellBody::Block(statements)
}
