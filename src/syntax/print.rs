//! Tree to text: the formatter. Takes any tree and gives the one text that stands for it.
//!
//! Layout depends on the tree alone, so equal trees print equal bytes. Spans are used for two
//! things that are not in the tree: where a comment goes, and whether a blank line separated two
//! statements. A tree that was made rather than read has empty spans and prints without blank lines
//! between statements, its comments first.
//!
//! The rules: four blanks of indent; lines of at most [`WIDTH`] characters where the text allows it;
//! `=` of a cell's blocks, `=>` of an operation's arms, `{` of adjacent claims and the comments at
//! the ends of adjacent lines stand under each other; one blank line between items, except between
//! two operations of one line or two claims that had none. A comment that stood inside a statement
//! moves to the next place where a line can end.

mod layout;
mod phrase;
mod statement;
mod text;

pub(crate) use phrase::{combine_op as combine, number, value_op};
pub(crate) use statement::expect_head;
pub(crate) use text::{cell_use, combine_ref, expr, op_ref, stack_entry, value};

use self::layout::{Line, Piece, lay_out};
use super::ast::*;
use crate::source::Span;

/// How long lines get, in characters, comments not counted.
pub const WIDTH: usize = 100;

const INDENT: usize = 4;

/// Prints a tree in canonical form.
///
/// Total: a tree that no text could have given prints too, with parentheses where the tree needs
/// them. Idempotent: printing what parsing the result gives changes nothing.
///
/// # Examples
/// ```
/// use cellc::{source::SourceFile, syntax};
///
/// let file = syntax::parse(&SourceFile::new("twice.cell", "op twice(x)=x|>relu\n|>relu"))?;
/// assert_eq!(syntax::print(&file), "op twice(x) = x |> relu |> relu\n");
/// # Ok::<(), cellc::diagnostic::Diagnostics>(())
/// ```
pub fn print(file: &File) -> String {
    let mut printer = Printer {
        comments: &file.comments,
        blank_lines: &file.blank_lines,
        lines: Vec::new(),
        indent: 0,
        read_to: 0,
        is_block_start: true,
    };
    printer.file(file);
    layout::join(&printer.lines)
}

struct Printer<'a> {
    /// Comments not printed yet.
    comments: &'a [Comment],
    blank_lines: &'a [usize],
    lines: Vec<Line>,
    indent: usize,
    /// Where in the text the last printed thing ended.
    read_to: usize,
    /// True if nothing precedes the next line in its block.
    is_block_start: bool,
}

impl Printer<'_> {
    fn file(&mut self, file: &File) {
        let claim_columns = claim_columns(file);
        let mut before: Option<&Item> = None;
        let mut was_line = false;
        for (item, claim_column) in file.items.iter().zip(claim_columns) {
            let span = item.span();
            // Laid out twice, the first time only to see whether it takes one line.
            let is_line = Self::line(item, claim_column).is_some_and(|pieces| {
                lay_out(pieces, 0, &mut [].as_slice()).len() == 1 && !self.has_comment_in(span)
            });
            let may_touch = match (before, item) {
                (Some(Item::Op(_)), Item::Op(_)) => was_line && is_line,
                (Some(Item::Expect(_)), Item::Expect(_))
                | (Some(Item::Use(_)), Item::Use(_))
                | (Some(Item::Constant(_)), Item::Constant(_)) => true,
                _ => false,
            };
            let is_blank_due =
                before.is_some() && (!may_touch || self.has_blank(self.read_to, span.start));
            self.lead(span.start, is_blank_due);
            self.item(item, claim_column);
            before = Some(item);
            was_line = is_line;
        }
        self.flush(usize::MAX, false);
    }

    /// The pieces of an item that has no block of statements.
    fn line(item: &Item, claim_column: usize) -> Option<Vec<Piece>> {
        match item {
            Item::Use(used) => Some(statement::used(used)),
            Item::Constant(constant) => Some(statement::constant(constant)),
            Item::Op(op) => match &op.body {
                OpBody::Short(value) => Some(statement::op_short(op, value)),
                OpBody::Block(_) => None,
            },
            Item::Cell(cell) => match &cell.body {
                CellBody::SameAs(other) => Some(statement::cell_same(cell, other)),
                CellBody::Block(_) => None,
            },
            Item::Expect(expect) => Some(statement::expect(expect, claim_column)),
            Item::Space(_) | Item::Net(_) => None,
        }
    }

    fn item(&mut self, item: &Item, claim_column: usize) {
        match item {
            Item::Use(used) => self.put(used.span, statement::used(used)),
            Item::Constant(constant) => self.put(constant.span, statement::constant(constant)),
            Item::Op(op) => self.op(op),
            Item::Cell(cell) => self.cell(cell),
            Item::Space(space) => self.space(space),
            Item::Net(net) => self.net(net),
            Item::Expect(expect) => self.expect(expect, claim_column),
        }
    }

    /// Claims, and what is published about the same network on lines of its own.
    fn expect(&mut self, expect: &Expect, claim_column: usize) {
        self.put(expect.span, statement::expect(expect, claim_column));
        self.indent += INDENT;
        for published in &expect.published {
            self.flush(published.span.start, false);
            self.put(expect.span, statement::published(published));
        }
        self.indent -= INDENT;
    }

    fn op(&mut self, op: &Op) {
        let stmts = match &op.body {
            OpBody::Block(stmts) => stmts,
            OpBody::Short(value) => {
                self.put(op.span, statement::op_short(op, value));
                return;
            }
        };
        let name_width = widest(stmts.iter().filter_map(|stmt| match stmt {
            OpStmt::Let { name, .. } => Some(name.name.as_str()),
            _ => None,
        }));
        let arm_width = stmts.iter().filter_map(statement::arm_width).max().unwrap_or(0);
        self.block(op.span, statement::op_header(op), stmts.is_empty(), |printer| {
            for (index, stmt) in stmts.iter().enumerate() {
                let follows_binding = index > 0 && matches!(stmts[index - 1], OpStmt::Let { .. });
                let span = stmt.span();
                printer.lead(span.start, false);
                printer.put(span, statement::op_stmt(stmt, name_width, arm_width, follows_binding));
            }
        });
    }

    fn cell(&mut self, cell: &Cell) {
        let stmts = match &cell.body {
            CellBody::Block(stmts) => stmts,
            CellBody::SameAs(other) => {
                self.put(cell.span, statement::cell_same(cell, other));
                return;
            }
        };
        let name_width = widest(stmts.iter().filter_map(|stmt| match stmt {
            CellStmt::Let { name, .. } => Some(name.name.as_str()),
            _ => None,
        }));
        self.block(cell.span, statement::cell_header(cell), stmts.is_empty(), |printer| {
            for stmt in stmts {
                let span = stmt.span();
                printer.lead(span.start, false);
                if let CellStmt::Repeat { count, name, value, .. } = stmt {
                    let header = statement::repeat_header(*count, name);
                    printer.braced(span, header, statement::expr(value), value.span.start);
                } else {
                    printer.put(span, statement::cell_stmt(stmt, name_width));
                }
            }
        });
    }

    fn space(&mut self, space: &Space) {
        let header = vec![Piece::text(format!("space {}", space.name.name))];
        self.block(space.span, header, space.items.is_empty(), |printer| {
            for item in &space.items {
                match item {
                    SpaceItem::Options { name, options, span } => {
                        printer.lead(span.start, false);
                        printer.put(*span, statement::options(name, options));
                    }
                    SpaceItem::Constant(constant) => {
                        printer.lead(constant.span.start, false);
                        printer.put(constant.span, statement::constant(constant));
                    }
                    SpaceItem::Require(require) => {
                        printer.lead(require.span.start, false);
                        printer.put(require.span, statement::require(require));
                    }
                    SpaceItem::Op(op) => {
                        printer.lead(op.span.start, false);
                        printer.op(op);
                    }
                    SpaceItem::Cell(cell) => {
                        printer.lead(cell.span.start, false);
                        printer.cell(cell);
                    }
                }
            }
        });
    }

    fn net(&mut self, net: &Net) {
        let keywords = net
            .items
            .iter()
            .filter(|item| !matches!(item, NetItem::Constant(_) | NetItem::Require(_)));
        let width = widest(keywords.map(NetItem::keyword));
        self.block(net.span, statement::net_header(net), net.items.is_empty(), |printer| {
            for item in &net.items {
                let span = item.span();
                printer.lead(span.start, false);
                let pieces = statement::net_item(item, width);
                if let NetItem::Aux { stages, .. } = item {
                    let start = stages.first().map_or(span.start, |stage| stage.span.start);
                    printer.braced(span, pieces, statement::stages(stages), start);
                } else {
                    printer.put(span, pieces);
                }
            }
        });
    }

    /// A header, `{`, statements and `}` on lines of their own.
    fn block(
        &mut self,
        span: Span,
        mut header: Vec<Piece>,
        is_empty: bool,
        body: impl FnOnce(&mut Self),
    ) {
        if is_empty && !self.has_comment_in(span) {
            header.push(Piece::text(" {}"));
            self.put(span, header);
            return;
        }
        header.push(Piece::text(" {"));
        // Only what stands in the header may be printed with it, not the block's own comments.
        self.put(Span::new(span.start, span.start), header);
        self.indent += INDENT;
        self.is_block_start = true;
        body(self);
        self.flush(span.end, false);
        self.indent -= INDENT;
        self.is_block_start = false;
        self.lines.push(Line::code(self.indent, "}"));
        self.read_to = span.end;
    }

    /// `header { content }` on one line, or the content on lines of its own.
    fn braced(&mut self, span: Span, mut header: Vec<Piece>, content: Vec<Piece>, start: usize) {
        let is_short = self.indent + layout::width(&header) + layout::width(&content) + 4 <= WIDTH;
        if is_short && !self.has_comment_in(span) {
            header.push(Piece::text(" { "));
            header.extend(content);
            header.push(Piece::text(" }"));
            self.put(span, header);
            return;
        }
        self.block(span, header, false, |printer| {
            printer.lead(start, false);
            printer.put(Span::new(start, span.end), content);
        });
    }

    /// Prints a statement and the comments in it.
    fn put(&mut self, span: Span, pieces: Vec<Piece>) {
        self.lines.extend(lay_out(pieces, self.indent, &mut self.comments));
        self.read_to = span.end;
        self.is_block_start = false;
    }

    /// What stands before a statement that starts at `start`: comments, and a blank line if there
    /// was one or if one is due.
    fn lead(&mut self, start: usize, is_blank_due: bool) {
        // A comment never starts where a statement does; one that was made has no place and goes
        // first.
        let is_blank_due = !self.flush(start.saturating_add(1), is_blank_due) && is_blank_due;
        if is_blank_due || (!self.is_block_start && self.has_blank(self.read_to, start)) {
            self.blank();
        }
    }

    /// Prints the comments before `end`: the first after the line before it if it stood so, others
    /// on lines of their own. True if a line of its own was printed, with the blank line that was
    /// due before it.
    fn flush(&mut self, end: usize, mut is_blank_due: bool) -> bool {
        let mut has_own_line = false;
        while let [comment, rest @ ..] = self.comments
            && comment.span.start < end
        {
            self.comments = rest;
            if !comment.own_line
                && !has_own_line
                && let Some(line) = self.lines.last_mut()
                && line.takes_comment()
            {
                line.comment = Some(comment.text.clone());
            } else {
                // A blank line inside a statement is not one before or after it.
                let is_outside = comment.span.start >= self.read_to;
                if is_blank_due || (comment.blank_before && is_outside && !self.is_block_start) {
                    self.blank();
                }
                self.lines.push(Line::comment(self.indent, &comment.text));
                is_blank_due = false;
                has_own_line = true;
                self.is_block_start = false;
            }
            self.read_to = self.read_to.max(comment.span.end);
        }
        has_own_line
    }

    fn blank(&mut self) {
        if self.lines.last().is_some_and(|line| !line.is_blank()) {
            self.lines.push(Line::blank());
        }
    }

    fn has_blank(&self, from: usize, to: usize) -> bool {
        has_blank(self.blank_lines, from, to)
    }

    fn has_comment_in(&self, span: Span) -> bool {
        let before = self.comments.partition_point(|comment| comment.span.start <= span.start);
        self.comments.get(before).is_some_and(|comment| comment.span.start < span.end)
    }
}

/// The column of `{` for each item that is a claim: the same in each run of claims without a blank
/// line between them.
fn claim_columns(file: &File) -> Vec<usize> {
    let mut columns = vec![0; file.items.len()];
    let mut start = 0;
    while start < file.items.len() {
        let mut end = start;
        let mut column = 0;
        while let Some(Item::Expect(expect)) = file.items.get(end)
            && (end == start
                || !has_blank(&file.blank_lines, file.items[end - 1].span().end, expect.span.start))
        {
            column = column.max(expect_head(expect).len());
            end += 1;
        }
        columns[start..end].fill(column);
        start = end.max(start + 1);
    }
    columns
}

fn has_blank(blank_lines: &[usize], from: usize, to: usize) -> bool {
    let after = blank_lines.partition_point(|&at| at < from);
    blank_lines.get(after).is_some_and(|&at| at < to)
}

fn widest<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0)
}
