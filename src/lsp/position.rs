//! Positions of the protocol and byte offsets of the compiler.
//!
//! The protocol counts lines from 0 and characters in UTF-16 units; `\n`, `\r\n` and `\r` each end a
//! line. Every position and every offset is accepted: what lies outside the text or inside a character is
//! moved back to the nearest place that does not.

use lsp_types::{Position, Range};

use crate::source::Span;

/// Where the lines of a text start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// Indexes a text. Linear in its length.
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            let ends_line = match byte {
                b'\n' => true,
                b'\r' => bytes.get(at + 1) != Some(&b'\n'),
                _ => false,
            };
            if ends_line {
                starts.push(at + 1);
            }
        }
        LineIndex { starts }
    }

    /// The line without what ends it, and where it starts.
    fn line<'t>(&self, text: &'t str, line: usize) -> (usize, &'t str) {
        let start = self.starts[line];
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        (start, text[start..end].trim_end_matches(['\r', '\n']))
    }

    /// The byte offset of a position in `text`, which is the text that was indexed.
    pub fn offset(&self, text: &str, position: Position) -> usize {
        let line = position.line as usize;
        if line >= self.starts.len() {
            return text.len();
        }
        let (start, line) = self.line(text, line);
        let mut units = 0;
        for (at, character) in line.char_indices() {
            units += character.len_utf16();
            if units > position.character as usize {
                return start + at;
            }
        }
        start + line.len()
    }

    /// The position of a byte offset in `text`, which is the text that was indexed.
    pub fn position(&self, text: &str, offset: usize) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|&start| start <= offset) - 1;
        let (start, content) = self.line(text, line);
        let before = &content[..(offset - start).min(content.len())];
        let character = before.chars().map(char::len_utf16).sum::<usize>();
        Position::new(line as u32, character as u32)
    }

    /// The range of a span in `text`, which is the text that was indexed. Never ends before it starts.
    pub fn range(&self, text: &str, span: Span) -> Range {
        let start = self.position(text, span.start);
        Range::new(start, self.position(text, span.end).max(start))
    }

    /// The span of a range in `text`, which is the text that was indexed.
    pub fn span(&self, text: &str, range: Range) -> Span {
        let start = self.offset(text, range.start);
        Span::new(start, self.offset(text, range.end).max(start))
    }
}
