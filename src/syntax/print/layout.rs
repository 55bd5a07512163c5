//! Pieces to lines: fills lines up to [`WIDTH`], breaking as far out as it can.
//!
//! A small form of Oppen's algorithm ("Prettyprinting", 1980). A break is taken if what follows it,
//! up to the next break that is not deeper, does not fit on the line.

use super::WIDTH;
use crate::syntax::ast::Comment;

/// A piece of a statement.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Text without line breaks.
    Text(String),
    /// A blank, or the end of a line. `before` is where in the source the next piece stood:
    /// comments before it are printed here.
    Break { before: usize },
    /// From here on, lines after a break start this much right of the current column.
    Open(usize),
    /// Ends the matching [`Piece::Open`].
    Close,
}

impl Piece {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Piece::Text(text.into())
    }
}

/// A line of the result.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    indent: usize,
    text: String,
    /// A comment at its end.
    pub comment: Option<String>,
    is_comment: bool,
}

impl Line {
    pub(super) fn code(indent: usize, text: impl Into<String>) -> Self {
        Line { indent, text: text.into(), comment: None, is_comment: false }
    }

    pub(super) fn comment(indent: usize, text: &str) -> Self {
        Line { indent, text: comment_text(text), comment: None, is_comment: true }
    }

    pub(super) fn blank() -> Self {
        Line::default()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty()
    }

    /// True if a comment can stand at the end of the line.
    pub(super) fn takes_comment(&self) -> bool {
        !self.is_blank() && !self.is_comment && self.comment.is_none()
    }

    fn width(&self) -> usize {
        self.indent + self.text.chars().count()
    }
}

/// How wide pieces are on one line.
pub(super) fn width(pieces: &[Piece]) -> usize {
    pieces.iter().map(piece_width).sum()
}

fn piece_width(piece: &Piece) -> usize {
    match piece {
        Piece::Text(text) => text.chars().count(),
        Piece::Break { .. } => 1,
        Piece::Open(_) | Piece::Close => 0,
    }
}

/// Lays out one statement, taking the comments in it off the front of `comments`.
pub(super) fn lay_out(pieces: Vec<Piece>, indent: usize, comments: &mut &[Comment]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::code(indent, "");
    let mut columns = vec![indent + super::INDENT];
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => line.text.push_str(text),
            Piece::Open(offset) => columns.push(line.width() + offset),
            Piece::Close => {
                columns.pop();
            }
            Piece::Break { before } => {
                let column = *columns.last().unwrap_or(&indent);
                let mut is_taken = false;
                while let [comment, rest @ ..] = *comments
                    && comment.span.start < *before
                {
                    *comments = rest;
                    if line.takes_comment() && !comment.own_line && !is_taken {
                        line.comment = Some(comment.text.clone());
                        is_taken = true;
                    } else {
                        push(&mut lines, &mut line, Line::comment(column, &comment.text));
                        is_taken = true;
                    }
                }
                let depth = columns.len();
                if is_taken || line.width() + 1 + until_break(&pieces[index + 1..], depth) > WIDTH {
                    push(&mut lines, &mut line, Line::code(column, ""));
                } else {
                    line.text.push(' ');
                }
            }
        }
    }
    lines.push(line);
    lines
}

/// Ends the line and starts the next one.
fn push(lines: &mut Vec<Line>, line: &mut Line, next: Line) {
    let mut done = std::mem::replace(line, next);
    done.text.truncate(done.text.trim_end().len());
    if !done.is_blank() {
        lines.push(done);
    }
}

/// The width up to the next break that is not deeper than `depth`, as far as it matters.
fn until_break(pieces: &[Piece], depth: usize) -> usize {
    let mut at = depth;
    let mut width = 0;
    for piece in pieces {
        match piece {
            Piece::Break { .. } if at <= depth => break,
            Piece::Open(_) => at += 1,
            Piece::Close => at -= 1,
            Piece::Text(_) | Piece::Break { .. } => {}
        }
        width += piece_width(piece);
        if width > WIDTH {
            break;
        }
    }
    width
}

/// Joins lines, comments at the ends of adjacent lines under each other.
pub(super) fn join(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut start = 0;
    while start < lines.len() {
        let run = lines[start..].iter().take_while(|line| line.comment.is_some()).count();
        let column = lines[start..start + run].iter().map(Line::width).max().unwrap_or(0) + 2;
        for line in &lines[start..start + run.max(1)] {
            if !line.is_blank() {
                text.extend(std::iter::repeat_n(' ', line.indent));
                text.push_str(&line.text);
            }
            if let Some(comment) = &line.comment {
                text.extend(std::iter::repeat_n(' ', column - line.width()));
                text.push_str(&comment_text(comment));
            }
            text.push('\n');
        }
        start += run.max(1);
    }
    text
}

/// A comment that is one whatever a program has put into it.
fn comment_text(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.starts_with("//") { line } else { format!("// {line}").trim_end().to_owned() }
}
