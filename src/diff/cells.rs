//! The cells of a file as lists of blocks, whichever way they are written.

use std::collections::BTreeMap;

use super::names::{Names, has_hole, reads};
use super::statics::Static;
use crate::check::MAX_BLOCKS;
use crate::syntax::ast::{
    Cell, CellBody, CellStmt, CellUse, Constant, Expr, File, Ident, Item, Number, Output,
    SpaceItem, Value, ValueKind,
};
use crate::syntax::unused::name_unused;

/// A cell with its statements.
#[derive(Clone, Debug)]
pub(super) struct CellView<'f> {
    /// The cell as it is written.
    pub(super) cell: &'f Cell,
    /// Index of its item in the file.
    pub(super) item: usize,
    /// Index of its item in the space that it stands in.
    pub(super) part: Option<usize>,
    /// Its named values and conditions in order.
    pub(super) statics: Vec<Static>,
    /// Its blocks in order.
    pub(super) blocks: Vec<Block>,
    /// Its outputs in order: at least one, if the file is fine.
    pub(super) outs: Vec<Output>,
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

    /// The cell whose text it repeats, with values for its attributes.
    pub(super) fn same_as(&self) -> Option<&CellUse> {
        match &self.cell.body {
            CellBody::SameAs(other) => Some(other),
            CellBody::Block(_) => None,
        }
    }

    /// What an output is called: `out`, or `out1`, `out2`, ... if there are several.
    pub(super) fn out_name(&self, index: usize) -> String {
        match self.outs.len() {
            0 | 1 => "out".into(),
            _ => format!("out{}", index + 1),
        }
    }

    /// How many cells later an output arrives; `None` if at every later one.
    pub(super) fn arrival(&self, index: usize) -> Option<u64> {
        match self.outs[index].to {
            Some(Number { value, .. }) => Some(value),
            None => (self.outs.len() > 1).then_some(1),
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
                        SpaceItem::Constant(_)
                        | SpaceItem::Require(_)
                        | SpaceItem::Op(_)
                        | SpaceItem::Options { .. } => {}
                    }
                }
            }
            Item::Use(_) | Item::Constant(_) | Item::Op(_) | Item::Net(_) | Item::Expect(_) => {}
        }
    }
    let mut views = Vec::with_capacity(found.len());
    let mut by_name = BTreeMap::new();
    for &(cell, ..) in &found {
        by_name.entry(cell.name.name.as_str()).or_insert(cell);
    }
    let mut count = 0;
    for &(cell, item, part) in &found {
        let (bound, written) = written_out(cell, &by_name);
        count += bound.len() + written.iter().map(times).sum::<usize>();
        if count > MOST_STATEMENTS {
            return None;
        }
        let view = CellView {
            cell,
            item,
            part,
            statics: vec![],
            blocks: vec![],
            outs: vec![],
            is_detached: false,
        };
        views.push(with_statements(view, bound, written, unroll));
    }
    Some(views)
}

/// How many statements one stands for.
fn times(statement: &CellStmt) -> usize {
    match statement {
        CellStmt::Constant(_)
        | CellStmt::Require(_)
        | CellStmt::Let { .. }
        | CellStmt::Out { .. } => 1,
        CellStmt::Repeat { count, .. } => count.value.min(MAX_BLOCKS as u64) as usize,
    }
}

/// The statements of a cell, followed through `= other<...>`, and the attributes of the cells on the way.
fn written_out<'f>(
    cell: &'f Cell,
    all: &BTreeMap<&str, &'f Cell>,
) -> (Vec<Constant>, &'f [CellStmt]) {
    let mut current = cell;
    let mut bound = Vec::new();
    // A file that is not fine may have a circle.
    for _ in 0..MOST_SAME {
        match &current.body {
            CellBody::Block(statements) => return (bound, statements),
            CellBody::SameAs(other) => match all.get(other.name.name.as_str()) {
                Some(next) => {
                    bound.extend(attributes(next, other));
                    current = next;
                }
                None => return (bound, &[]),
            },
        }
    }
    (bound, &[])
}

/// The attributes of a cell with the values that a use of it gives them, as far as it does.
fn attributes(cell: &Cell, other: &CellUse) -> Vec<Constant> {
    let mut given: Vec<Option<&Value>> = vec![None; cell.params.len()];
    for attr in &other.attrs {
        let at = match &attr.name {
            Some(name) => cell.params.iter().position(|param| param.name.name == name.name),
            None => given.iter().position(Option::is_none),
        };
        if let Some(at) = at {
            given[at] = Some(&attr.value);
        }
    }
    let bound = cell.params.iter().zip(given).filter_map(|(param, given)| {
        let value = given.or(param.default.as_ref())?.clone();
        Some(Constant { name: param.name.clone(), value, span: other.span })
    });
    bound.collect()
}

/// The view with its statements. Where nothing is left to choose, repeated blocks are written out and
/// `concat(unused)` is named; elsewhere the one need not be, and the other cannot. Attributes that a
/// cell gives another one, `bound`, are replaced by their values if these mean the same everywhere.
fn with_statements<'f>(
    mut view: CellView<'f>,
    bound: Vec<Constant>,
    written: &[CellStmt],
    unroll: bool,
) -> CellView<'f> {
    let mut names = Names::default();
    for constant in bound {
        let value = names.value(&constant.value);
        if is_literal(&value) {
            names.values.insert(constant.name.name, value);
        } else {
            names.values.remove(&constant.name.name);
            view.statics.push(Static::Constant(Constant { value, ..constant }));
        }
    }
    let is_open = written.iter().any(|statement| match statement {
        // A hole in a static value never changes which blocks are read.
        CellStmt::Constant(_) | CellStmt::Require(_) => false,
        CellStmt::Let { value, .. } | CellStmt::Repeat { value, .. } => has_hole(value),
        CellStmt::Out { outputs, .. } => outputs.iter().any(|output| has_hole(&output.value)),
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
            CellStmt::Constant(_)
            | CellStmt::Require(_)
            | CellStmt::Let { .. }
            | CellStmt::Repeat { .. }
            | CellStmt::Out { .. } => statements.push(statement.clone()),
        }
    }
    if !is_open {
        name_unused(&mut statements);
    }
    for statement in statements {
        match statement {
            CellStmt::Constant(constant) => {
                view.statics.push(names.statement(&Static::Constant(constant)));
            }
            CellStmt::Require(require) => {
                view.statics.push(names.statement(&Static::Require(require)));
            }
            CellStmt::Let { name, value, .. } => {
                view.blocks.push(Block { name, repeat: None, value: names.expr(&value) });
            }
            CellStmt::Repeat { count, name, value, .. } => {
                let value = names.expr(&value);
                view.blocks.push(Block { name, repeat: Some(count.value), value });
            }
            CellStmt::Out { outputs, .. } => view.outs.extend(
                outputs
                    .into_iter()
                    .map(|Output { value, to }| Output { value: names.expr(&value), to }),
            ),
        }
    }
    view
}

/// True for numbers and pairs of numbers.
fn is_literal(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Number(_) => true,
        ValueKind::Pair(height, width) => is_literal(height) && is_literal(width),
        ValueKind::Name(_)
        | ValueKind::Call { .. }
        | ValueKind::Binary { .. }
        | ValueKind::Not(_)
        | ValueKind::Cost { .. }
        | ValueKind::Choice(_)
        | ValueKind::Paren(_) => false,
    }
}
