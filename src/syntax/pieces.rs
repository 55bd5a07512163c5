//! Parses a text piece by piece, each of some whole items.
//!
//! The parser keeps a queue of everything it has read until the end of what it is given. In pieces, a large
//! text needs no large queue, and the pieces are read on all cores. Since the keyword that starts an item
//! cannot stand inside another one outside of its brackets, the pieces hold the items that the whole text
//! holds. For the same reason a large space is read in pieces of what it holds.

use std::ops::Range;

use pest::Parser;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::ast::{Item, Space, SpaceItem};
use super::build::Builder;
use super::grammar::{CellParser, Rule};
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Pieces are cut where they have at least this many bytes.
const PIECE_BYTES: usize = 16 << 10;

/// A piece of a text.
enum Piece {
    /// Whole items.
    Items(Range<usize>),
    /// A space without what it holds: its text up to its `{`, and the end of its `}`.
    Shell(Range<usize>, usize),
    /// Some of what the space before holds.
    Part(Range<usize>),
}

/// What a piece was read as.
enum Read {
    Items(Vec<Item>),
    Shell(Space),
    Part(Vec<SpaceItem>),
}

/// The items of a text in which items start at `starts` and what is one level of brackets deep at `inner`,
/// and what the tree builder says of them; `None` if some piece does not parse.
pub(super) fn parse(
    text: &str,
    starts: &[usize],
    inner: &[usize],
) -> Option<(Vec<Item>, Vec<Diagnostic>)> {
    let pieces = cut(text, starts, inner);
    let parsed: Vec<_> = if pieces.len() == 1 {
        // Nothing to share out.
        pieces.into_iter().map(|piece| read(text, piece)).collect::<Option<_>>()?
    } else {
        pieces.into_par_iter().map(|piece| read(text, piece)).collect::<Option<_>>()?
    };
    let (mut items, mut faults) = (Vec::new(), Vec::new());
    for (of_piece, mut found) in parsed {
        match of_piece {
            Read::Items(more) => items.extend(more),
            Read::Shell(space) => items.push(Item::Space(space)),
            Read::Part(more) => match items.last_mut() {
                Some(Item::Space(space)) => space.items.extend(more),
                _ => unreachable!("the parts of a space follow its shell"),
            },
        }
        faults.append(&mut found);
    }
    Some((items, faults))
}

fn cut(text: &str, starts: &[usize], inner: &[usize]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    for (&at, end) in starts.iter().zip(ends) {
        let space = cut_space(text, at..end, inner);
        let is_enough = at - start >= PIECE_BYTES && text.len() - at >= PIECE_BYTES;
        if is_enough || (!space.is_empty() && at > start) {
            pieces.push(Piece::Items(start..at));
            start = at;
        }
        if !space.is_empty() {
            pieces.extend(space);
            start = end;
        }
    }
    if start < text.len() || pieces.is_empty() {
        pieces.push(Piece::Items(start..text.len()));
    }
    pieces
}

/// The pieces of the item that stands alone in `range`, if it is a space worth cutting.
fn cut_space(text: &str, range: Range<usize>, inner: &[usize]) -> Vec<Piece> {
    let item = without_comments(&text[range.clone()]);
    if item.len() < 2 * PIECE_BYTES || !item.starts_with("space") {
        return Vec::new();
    }
    // A comment may hide a brace; then the space is one piece, or the last part does not parse.
    let head = item.split_inclusive('{').next().filter(|head| !head.contains("//"));
    let (Some(head), Some(_)) = (head, item.strip_suffix('}')) else { return Vec::new() };
    let (open, close) = (range.start + head.len(), range.start + item.len() - 1);
    let mut pieces = vec![Piece::Shell(range.start..open, close + 1)];
    let mut start = open;
    let first = inner.partition_point(|&at| at < open);
    for &at in inner[first..].iter().take_while(|&&at| at < close) {
        if at - start >= PIECE_BYTES {
            pieces.push(Piece::Part(start..at));
            start = at;
        }
    }
    pieces.push(Piece::Part(start..close));
    pieces
}

/// An item without the comments behind it.
fn without_comments(item: &str) -> &str {
    let mut item = item.trim_end();
    loop {
        let last_line = item.rfind('\n').map_or(0, |at| at + 1);
        let Some(comment) = item[last_line..].find("//") else { return item };
        item = item[..last_line + comment].trim_end();
    }
}

fn read(text: &str, piece: Piece) -> Option<(Read, Vec<Diagnostic>)> {
    let mut faults = Vec::new();
    let read = match piece {
        Piece::Items(range) => {
            let root = root(Rule::file, &text[range.clone()])?;
            Read::Items(Builder::new(range.start, &mut faults).items(root))
        }
        Piece::Shell(range, end) => {
            let empty = format!("{}}}", &text[range.clone()]);
            let root = root(Rule::file, &empty)?;
            let mut items = Builder::new(range.start, &mut faults).items(root);
            let Some(Item::Space(mut space)) = items.pop().filter(|_| items.is_empty()) else {
                return None;
            };
            space.span = Span::new(space.span.start, end);
            Read::Shell(space)
        }
        Piece::Part(range) => {
            let root = root(Rule::space_part, &text[range.clone()])?;
            Read::Part(Builder::new(range.start, &mut faults).space_items(root))
        }
    };
    Some((read, faults))
}

fn root(rule: Rule, text: &str) -> Option<pest::iterators::Pair<'_, Rule>> {
    let mut roots = CellParser::parse(rule, text).ok()?;
    Some(roots.next().expect("a parse has one root"))
}
