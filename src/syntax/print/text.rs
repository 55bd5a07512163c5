//! Parts of a tree as text on one line, for labels, reports and diffs.

use super::layout::Piece;
use super::phrase::{Level, Phrase, ValueLevel};
use crate::syntax::ast::{CellUse, CombineRef, Expr, OpRef, StackEntry, Value};

/// An expression.
pub(crate) fn expr(expr: &Expr) -> String {
    flat(|phrase| phrase.expr(expr, Level::Pipe))
}

/// An operation with its attributes.
pub(crate) fn op_ref(op: &OpRef) -> String {
    flat(|phrase| phrase.op_ref(op))
}

/// A way to combine, as an infix hole lists it.
pub(crate) fn combine_ref(combine: &CombineRef) -> String {
    flat(|phrase| phrase.combine_ref(combine))
}

/// A static value.
pub(crate) fn value(value: &Value) -> String {
    flat(|phrase| phrase.value(value, ValueLevel::Or, false))
}

/// A cell with values for its attributes.
pub(crate) fn cell_use(cell: &CellUse) -> String {
    flat(|phrase| phrase.cell_use(cell))
}

/// An entry of a stack.
pub(crate) fn stack_entry(entry: &StackEntry) -> String {
    flat(|phrase| phrase.stack_entry(entry))
}

fn flat(fill: impl FnOnce(&mut Phrase)) -> String {
    let mut phrase = Phrase::default();
    fill(&mut phrase);
    let mut text = String::new();
    for piece in phrase.0 {
        match piece {
            Piece::Text(part) => text.push_str(&part),
            Piece::Break { .. } => text.push(' '),
            Piece::Open(_) | Piece::Close => {}
        }
    }
    text
}
