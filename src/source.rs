//! Source text and positions in it: what every stage points at when it has something to say.
//!
//! A [`SourceFile`] is a name and a text; a [`Span`] is a byte range of one text. Spans are plain
//! numbers, so constructing a diagnostic needs no source text; only rendering does.

mod loader;

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use crate::error::Error;
pub use loader::{Folders, Library, Loader};

/// Files above this size are refused before parsing: the largest published cell is under 4 KiB.
pub const MAX_SOURCE_BYTES: u64 = 4 << 20;

/// A named text, either read from a file or embedded in the binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the user wrote it, or a name in angle brackets for embedded text.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// A source from a name and a text already in memory.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        SourceFile { name: name.into(), text: text.into() }
    }

    /// Reads a source file.
    ///
    /// # Errors
    /// [`Error::Read`] if the file cannot be read, [`Error::SourceTooLarge`] above
    /// [`MAX_SOURCE_BYTES`], [`Error::NotUtf8`] if it is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = std::fs::File::open(path).map_err(Error::read(path))?;
        let bytes = file.metadata().map_err(Error::read(path))?.len();
        Self::read_from(path, file, bytes)
    }

    /// Reads a source that stands in no file under the name `path`.
    ///
    /// # Errors
    /// As [`SourceFile::read`].
    pub fn read_stream(path: &Path, stream: impl Read) -> Result<Self, Error> {
        Self::read_from(path, stream, 0)
    }

    /// Reads a source that has at least so many bytes.
    fn read_from(path: &Path, stream: impl Read, least: u64) -> Result<Self, Error> {
        let check = |bytes| match bytes {
            ..=MAX_SOURCE_BYTES => Ok(()),
            _ => {
                Err(Error::SourceTooLarge { path: path.to_owned(), bytes, limit: MAX_SOURCE_BYTES })
            }
        };
        check(least)?;
        let mut bytes = Vec::new();
        stream.take(MAX_SOURCE_BYTES + 1).read_to_end(&mut bytes).map_err(Error::read(path))?;
        check(bytes.len() as u64)?;
        let text = String::from_utf8(bytes).map_err(|error| Error::NotUtf8 {
            path: path.to_owned(),
            offset: error.utf8_error().valid_up_to(),
        })?;
        Ok(SourceFile { name: path.display().to_string(), text })
    }

    /// A span with its whole line, if nothing else stands on that: what to remove with it.
    pub fn with_line(&self, span: Span) -> Span {
        let (Some(before), Some(behind)) = (self.text.get(..span.start), self.text.get(span.end..))
        else {
            return span;
        };
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let len = behind.find('\n').map_or(behind.len(), |at| at + 1);
        let is_alone = before[start..].trim().is_empty() && behind[..len].trim().is_empty();
        if is_alone { Span::new(start, span.end + len) } else { span }
    }

    /// Line and column of a byte offset, both counted from 1, columns in characters.
    pub fn line_col(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// A byte range `start..end` of one source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The span of `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The span as a range of byte offsets.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}
