//! Text to tree and back: the grammar of `.cell` files, the parser made from it, the formatter.
//!
//! `scan` looks at the characters, the generated parser in `grammar` at the tokens, `pieces` runs it,
//! `build` makes the tree, `fault` the messages, `recover` reads on after a fault. [`parse`] is total: any text
//! gives a tree or diagnostics.

pub mod ast;
mod build;
mod fault;
mod grammar;
mod pieces;
pub(crate) mod print;
mod recover;
pub(crate) mod rename;
mod scan;
pub(crate) mod unused;

pub use self::print::{WIDTH, print};

use pest::Parser;

use self::grammar::{CellParser, Rule};
use self::scan::Scan;
use crate::diagnostic::{Diagnostic, Diagnostics, Stage};
use crate::source::SourceFile;

/// Parses a source file.
///
/// If the whole does not parse, its items are parsed one by one and without the statements that do
/// not parse, so that all faults are reported together.
///
/// # Errors
/// Codes E0101 to E0106.
///
/// # Examples
/// ```
/// use cellc::{source::SourceFile, syntax};
///
/// let file = syntax::parse(&SourceFile::new("relu.cell", "op twice(x) = x |> relu |> relu"))?;
/// assert_eq!(file.items.len(), 1);
/// # Ok::<(), cellc::diagnostic::Diagnostics>(())
/// ```
pub fn parse(source: &SourceFile) -> Result<ast::File, Diagnostics> {
    let (file, faults) = read(source);
    Diagnostics::or(Stage::Syntax, faults, file)
}

/// Parses what can be parsed of a text that is being written, for tools that must know what it defines.
///
/// The tree is that of [`parse`] if there are no faults. Otherwise it holds the items that parse, and
/// those that parse once the statements the faults are in are left out; it is not fit to be checked.
pub fn parse_leniently(source: &SourceFile) -> (ast::File, Result<(), Diagnostics>) {
    let (file, faults) = read(source);
    (file, Diagnostics::or(Stage::Syntax, faults, ()))
}

/// The tree, or what there is of it, and all faults.
fn read(source: &SourceFile) -> (ast::File, Vec<Diagnostic>) {
    let text = source.text.as_str();
    let Scan { comments, blank_lines, items: starts, mut faults, is_too_long } = scan::scan(text);
    if is_too_long {
        return (ast::File::default(), faults);
    }
    let items = if faults.is_empty() {
        match pieces::parse(text, &starts) {
            Some((items, found)) => {
                faults = found;
                items
            }
            None => {
                let items = recover::find_faults(text, &starts, &mut faults);
                if faults.is_empty()
                    && let Err(error) = CellParser::parse(Rule::file, text)
                {
                    faults.push(fault::unexpected(text, 0, &error).0);
                }
                items
            }
        }
    } else {
        recover::find_faults(text, &starts, &mut faults)
    };
    (ast::File { items, comments, blank_lines }, faults)
}

/// Formats a source file: parses it and prints the tree.
///
/// # Errors
/// As [`parse`]; a file that does not parse is not formatted.
pub fn format(source: &SourceFile) -> Result<String, Diagnostics> {
    parse(source).map(|file| print(&file))
}
