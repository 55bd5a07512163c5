//! Comma-separated values: a header and rows of as many fields, plain or gzipped.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::Error;
use crate::search::identity::text_hash;

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A table in memory.
///
/// Fields may stand in double quotes, where a comma and two double quotes in a row mean themselves; a
/// field does not go over the end of a line. Empty lines mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    path: PathBuf,
    columns: Vec<String>,
    /// Each with its line, counted from 1.
    rows: Vec<(usize, Vec<String>)>,
}

impl Table {
    /// Reads a file; one that begins as gzip does is unpacked.
    ///
    /// # Errors
    /// [`Error::Read`] if it cannot be read, [`Error::Table`] if it is no table.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(Error::read(path))?;
        let mut text = Vec::new();
        if bytes.starts_with(&GZIP) {
            MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).map_err(Error::read(path))?;
        } else {
            text = bytes;
        }
        let text = String::from_utf8(text).map_err(|error| Error::Table {
            path: path.to_owned(),
            line: 1 + text_lines(&error.as_bytes()[..error.utf8_error().valid_up_to()]),
            fault: "it is not UTF-8 text".into(),
        })?;
        Self::parse(path, &text)
    }

    /// The table in a text; `path` is named by errors.
    ///
    /// # Errors
    /// [`Error::Table`] for rows of different lengths, quotes that do not close, a column that is there
    /// twice, and a table without rows.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let fault = |line, fault| Error::Table { path: path.to_owned(), line, fault };
        // Spreadsheets write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                let fields = fields(line).map_err(|what| fault(index + 1, what.into()))?;
                lines.push((index + 1, fields));
            }
        }
        let mut lines = lines.into_iter();
        let (header, columns) = lines.next().ok_or_else(|| fault(1, "it is empty".into()))?;
        for (index, column) in columns.iter().enumerate() {
            if columns[..index].contains(column) {
                return Err(fault(header, format!("column `{column}` is there twice")));
            }
        }
        let rows: Vec<(usize, Vec<String>)> = lines.collect();
        if rows.is_empty() {
            return Err(fault(header, "there are no rows behind the header".into()));
        }
        if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() != columns.len()) {
            let (found, wanted) = (row.len(), columns.len());
            return Err(fault(*line, format!("{found} fields, the header has {wanted}")));
        }
        Ok(Table { path: path.to_owned(), columns, rows })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// 16 hexadecimal digits that stand for all columns and fields, wherever the file is.
    pub fn hash(&self) -> String {
        let rows = self.rows.iter().map(|(_, fields)| fields);
        let lines = std::iter::once(&self.columns).chain(rows);
        text_hash(&lines.map(|fields| format!("{fields:?}\n")).collect::<String>())
    }

    /// Names of the columns in order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The fields of a column, each with its line; `None` if there is no such column.
    pub(super) fn column<'a>(
        &'a self,
        name: &str,
    ) -> Option<impl Iterator<Item = (usize, &'a str)> + use<'a>> {
        let index = self.columns.iter().position(|column| column == name)?;
        Some(self.rows.iter().map(move |(line, row)| (*line, row[index].as_str())))
    }

    /// A fault on a line.
    pub(super) fn fault(&self, line: usize, fault: String) -> Error {
        Error::Table { path: self.path.clone(), line, fault }
    }
}

fn text_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// The fields of a line without spaces around them, or what is wrong with it.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let after;
        let trimmed = rest.trim_start();
        if let Some(quoted) = trimmed.strip_prefix('"') {
            let (field, left) = unquote(quoted).ok_or("a quote is not closed")?;
            fields.push(field);
            after = left.trim_start();
            if !(after.is_empty() || after.starts_with(',')) {
                return Err("there is text behind a closing quote");
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            fields.push(rest[..end].trim().to_owned());
            after = &rest[end..];
        }
        match after.strip_prefix(',') {
            Some(left) => rest = left,
            None => return Ok(fields),
        }
    }
}

/// What stands before the closing quote, and what behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(left) => {
                field.push('"');
                rest = left;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_spreadsheets_write_them() {
        for (line, expected) in [
            ("a,b", vec!["a", "b"]),
            ("a, b ,", vec!["a", "b", ""]),
            ("\"0,1\",2", vec!["0,1", "2"]),
            ("\"say \"\"x\"\"\" , y", vec!["say \"x\"", "y"]),
        ] {
            assert_eq!(fields(line), Ok(expected.iter().map(ToString::to_string).collect()));
        }
        assert_eq!(fields("\"a,b"), Err("a quote is not closed"));
        assert_eq!(fields("\"a\"b"), Err("there is text behind a closing quote"));
    }
}
