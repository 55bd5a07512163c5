//! Reads a text that does not parse once more, to report all of its faults and not only the first.
//!
//! The text is cut where items start. An item that does not parse is read again without the
//! statement the fault is in, until it parses or the fault is not inside a statement. The result is
//! diagnostics, and what is left of the items for tools that work on unfinished text. A statement starts
//! on a line that begins with a keyword of a statement or with a name and `=`, whatever the brackets
//! before it say.

use std::ops::Range;

use pest::Parser;

use super::ast::Item;
use super::build::Builder;
use super::fault;
use super::grammar::{CellParser, Rule};
use super::scan::MAX_FAULTS;
use crate::diagnostic::{Code, Diagnostic};

/// How many statements of one item are left out before the rest of it is given up.
const MAX_REPAIRS: usize = 16;

/// Items above this size are read once only, which bounds the time.
const LONGEST_REPAIRED_BYTES: usize = 16 << 10;

/// Adds what is wrong in the items that start at `starts` to `faults`, which holds what the scan has
/// found. A piece in which it has found something is left out: what the grammar would say about it
/// follows from that. Gives the items that parse, without the statements left out.
pub(super) fn find_faults(text: &str, starts: &[usize], faults: &mut Vec<Diagnostic>) -> Vec<Item> {
    let mut items = Vec::new();
    let scanned: Vec<usize> = faults.iter().map(|fault| fault.primary.span.start).collect();
    let mut start = 0;
    for end in starts.iter().copied().chain([text.len()]) {
        let piece = start..end;
        start = end;
        if faults.len() >= MAX_FAULTS {
            break;
        }
        let next_scanned = scanned.partition_point(|&at| at < piece.start);
        let is_scanned = scanned.get(next_scanned).is_some_and(|&at| at < piece.end);
        if !is_scanned && fault::skip_trivia(text, piece.start) < piece.end {
            items.append(&mut find_faults_in(text, piece, faults));
        }
    }
    items
}

fn find_faults_in(text: &str, piece: Range<usize>, faults: &mut Vec<Diagnostic>) -> Vec<Item> {
    let mut rest = text[piece.clone()].to_owned();
    let mut last_at = None;
    for n_repairs in 0..=MAX_REPAIRS {
        let error = match CellParser::parse(Rule::lone_item, &rest) {
            Ok(mut roots) => {
                let root = roots.next().expect("a parse has one root");
                let mut built = Vec::new();
                let items = Builder::new(piece.start, &mut built).items(root);
                // Without some of its statements, the order of the others says nothing.
                built.retain(|fault| n_repairs == 0 || fault.code != Code::MisplacedStatement);
                faults.append(&mut built);
                return items;
            }
            Err(error) => error,
        };
        let (fault, at) = fault::unexpected(text, piece.start, &error);
        let is_same = at.is_some() && at == last_at;
        if !is_same {
            faults.push(fault);
        }
        last_at = at;
        let Some(at) = at else { break };
        if rest.len() > LONGEST_REPAIRED_BYTES {
            break;
        }
        let at = at - piece.start;
        // A token that begins its line is blamed on the statement before it, which is often not
        // finished, unless that has been left out already.
        let unfinished = if is_same { None } else { statement_before(&rest, at) };
        let Some(statement) = unfinished.or_else(|| statement_at(&rest, at)) else { break };
        // Blanks keep the positions of what follows.
        let blanks = " ".repeat(statement.len());
        rest.replace_range(statement, &blanks);
    }
    Vec::new()
}

/// The statement before a token that begins its line.
fn statement_before(item: &str, at: usize) -> Option<Range<usize>> {
    let line_start = item[..at].rfind('\n').map_or(0, |at| at + 1);
    if !item[line_start..at].trim().is_empty() {
        return None;
    }
    statement_around(item, item[..at].trim_end().len().saturating_sub(1))
}

/// The statement that a token is in, or else the lines from the token's on.
fn statement_at(item: &str, at: usize) -> Option<Range<usize>> {
    statement_around(item, at).or_else(|| {
        let line_start = item[..at].rfind('\n').map_or(0, |at| at + 1);
        let end = next_start(item, at).unwrap_or(item.len());
        let is_inside = item.find('{').is_some_and(|brace| brace < line_start);
        (is_inside && !item[line_start..].trim_start().starts_with('}')).then_some(line_start..end)
    })
}

/// From the last start of a statement before `at` to the next one behind it.
fn statement_around(item: &str, at: usize) -> Option<Range<usize>> {
    let header_end = item.find('{')?;
    let starts = line_starts(item).filter(|&start| start > header_end && start <= at);
    let start = starts.filter(|&start| ends_statement(&item[start..])).last()?;
    let is_statement = !item[start..].trim_start().starts_with('}');
    is_statement.then(|| start..next_start(item, at).unwrap_or(item.len()))
}

/// The first line behind `at` that starts a statement or closes a block.
fn next_start(item: &str, at: usize) -> Option<usize> {
    line_starts(item).find(|&start| start > at && ends_statement(&item[start..]))
}

fn line_starts(item: &str) -> impl Iterator<Item = usize> {
    item.match_indices('\n').map(|(at, _)| at + 1)
}

fn ends_statement(line: &str) -> bool {
    line.trim_start_matches([' ', '\t']).starts_with('}') || starts_statement(line)
}

fn starts_statement(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t']);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (word, rest) = line.split_at(line.find(|c| !is_word(c)).unwrap_or(line.len()));
    let rest = rest.trim_start_matches([' ', '\t']);
    let is_assigned = rest.starts_with('=') && !rest.starts_with("==") && !rest.starts_with("=>");
    match word {
        "" => false,
        "let" | "out" | "repeat" | "require" | "when" | "otherwise" | "cell" | "op" => true,
        "input" | "classes" | "stem" | "stack" | "head" | "aux" => {
            !rest.starts_with(['(', '<', '|'])
        }
        _ => is_assigned,
    }
}
