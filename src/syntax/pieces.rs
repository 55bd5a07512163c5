//! Parses a text piece by piece, each of some whole items.
//!
//! The parser keeps a queue of everything it has read until the end of what it is given. In pieces, a large
//! text needs no large queue, and the pieces are read on all cores. Since the keyword that starts an item
//! cannot stand inside another one outside of its brackets, the pieces hold the items that the whole text
//! holds.

use std::ops::Range;

use pest::Parser;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::ast::Item;
use super::build::Builder;
use super::grammar::{CellParser, Rule};
use crate::diagnostic::Diagnostic;

/// Pieces are cut where they have at least this many bytes.
const PIECE_BYTES: usize = 16 << 10;

/// The items of a text in which items start at `starts`, and what the tree builder says of them; `None` if
/// some piece does not parse.
pub(super) fn parse(text: &str, starts: &[usize]) -> Option<(Vec<Item>, Vec<Diagnostic>)> {
    let pieces = cut(text, starts);
    let parsed: Vec<_> = match pieces.as_slice() {
        // Nothing to share out.
        [whole] => vec![piece(text, whole.clone())?],
        _ => pieces.into_par_iter().map(|range| piece(text, range)).collect::<Option<_>>()?,
    };
    let (mut items, mut faults) = (Vec::new(), Vec::new());
    for (of_piece, mut found) in parsed {
        items.extend(of_piece);
        faults.append(&mut found);
    }
    Some((items, faults))
}

fn cut(text: &str, starts: &[usize]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for &at in starts.iter().filter(|&&at| text.len() - at >= PIECE_BYTES) {
        if at - start >= PIECE_BYTES {
            pieces.push(start..at);
            start = at;
        }
    }
    pieces.push(start..text.len());
    pieces
}

fn piece(text: &str, range: Range<usize>) -> Option<(Vec<Item>, Vec<Diagnostic>)> {
    let mut roots = CellParser::parse(Rule::file, &text[range.clone()]).ok()?;
    let root = roots.next().expect("a parse has one root");
    let mut faults = Vec::new();
    let items = Builder::new(range.start, &mut faults).items(root);
    Some((items, faults))
}
