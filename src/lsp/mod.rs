//! The language server without its transport: functions of a [`Document`] that answer what an editor asks.
//!
//! A [`Document`] is a text with all that is known of it: its faults, what of it parses, what that
//! defines, and, once asked for, what its network costs. It is made afresh from each version of the text.
//! The functions beside it take positions and give messages of the protocol:
//!
//! | request | function |
//! |---|---|
//! | `publishDiagnostics` | [`diagnostics()`] |
//! | `hover` | [`hover()`] |
//! | `completion` | [`completion()`] |
//! | `definition` | [`definition()`] |
//! | `codeAction` | [`quick_fixes`], [`fix_all`] |
//! | `documentSymbol` | [`symbols()`] |
//! | `formatting` | [`Document::format`] |
//!
//! What is under the cursor is found in the tree (`names`); what could be written at the cursor is found
//! in the tokens before it (`place`), since a text that is being written seldom parses. The names of files
//! that are used are known as well (`uses`). Nothing here panics, whatever the text and the position.

mod actions;
mod bindings;
mod completion;
mod definition;
mod definitions;
mod diagnostics;
mod hover;
mod measure;
mod names;
mod place;
mod position;
mod symbols;
mod tokens;
mod uses;

pub use actions::{FIX_ALL, fix_all, quick_fixes};
pub use completion::completion;
pub use definition::{Target, definition};
pub use diagnostics::diagnostics;
pub use hover::hover;
pub use position::LineIndex;
pub use symbols::symbols;

use std::cell::OnceCell;

use lsp_types::{Position, Range, TextEdit};

use self::definitions::{Definition, Kind};
use self::measure::Measured;
use self::uses::{Used, Uses};
use crate::diagnostic::Diagnostic;
use crate::ir::Module;
use crate::link::check_parsed;
use crate::source::{Library, Loader, SourceFile, Span};
use crate::syntax::{self, ast};

/// One version of a text and what is known of it.
#[derive(Debug)]
pub struct Document {
    /// The text.
    pub source: SourceFile,
    /// Where its lines start.
    pub lines: LineIndex,
    /// Everything that is wrong with it, in order of position.
    pub faults: Vec<Diagnostic>,
    /// What of it parses.
    file: ast::File,
    does_parse: bool,
    /// Its meaning; none while it has faults other than claims that do not hold.
    module: Option<Module>,
    /// What it defines. While it does not parse, also what only the last version that did defines.
    definitions: Vec<Definition>,
    /// The files that it uses.
    uses: Uses,
    /// The counts of its network, or why there are none.
    measured: OnceCell<Result<Measured, String>>,
}

impl Document {
    /// Parses and checks a text, which may use files of the library of cells. `before` is the version that
    /// it replaces.
    pub fn new(source: SourceFile, before: Option<&Document>) -> Self {
        Self::new_with(source, before, &Library)
    }

    /// Parses and checks a text, which may use the files that `loader` finds.
    pub fn new_with(source: SourceFile, before: Option<&Document>, loader: &dyn Loader) -> Self {
        let (file, outcome) = syntax::parse_leniently(&source);
        let does_parse = outcome.is_ok();
        let mut definitions = definitions::of_file(&source.text, &file);
        let mut module = None;
        let mut faults = Vec::new();
        match outcome.and_then(|()| check_parsed(&source, &file, loader)) {
            Ok(checked) => module = Some(checked),
            Err(found) => {
                faults.extend(found);
                if does_parse {
                    module = without_claims(&source, &file, loader);
                }
            }
        }
        if let Some(before) = before.filter(|_| !does_parse) {
            definitions::inherit(&mut definitions, &before.definitions);
        }
        let uses = Uses::of(&source, &file, loader, before.map(|before| &before.uses));
        let lines = LineIndex::new(&source.text);
        let measured = OnceCell::new();
        Document { source, lines, faults, file, does_parse, module, definitions, uses, measured }
    }

    /// The text as `cellc fmt` lays it out: nothing if it does not parse, no edit if it is formatted.
    pub fn format(&self) -> Option<Vec<TextEdit>> {
        if !self.does_parse {
            return None;
        }
        let formatted = syntax::print(&self.file);
        if formatted == self.source.text {
            return Some(Vec::new());
        }
        let all = Span::new(0, self.source.text.len());
        Some(vec![TextEdit::new(self.range(all), formatted)])
    }

    /// Whether what the document means depends on other files.
    pub fn uses_files(&self) -> bool {
        self.file.items.iter().any(|item| matches!(item, ast::Item::Use(_)))
    }

    fn range(&self, span: Span) -> Range {
        self.lines.range(&self.source.text, span)
    }

    fn offset(&self, position: Position) -> usize {
        self.lines.offset(&self.source.text, position)
    }

    /// What a name stands for here: a definition of the file, else of one that it uses, else of the
    /// prelude, else a primitive.
    fn define(&self, kind: Kind, name: &str) -> Option<Known<'_>> {
        self.known(kind).find(|known| known.definition.name == name)
    }

    /// Every definition of a kind that the file can use; of several with one name the first counts.
    fn known(&self, kind: Kind) -> impl Iterator<Item = Known<'_>> {
        let here = |definition| Known { definition, used: None };
        let used = self.uses.files.iter().flat_map(|used| {
            let there = |definition| Known { definition, used: Some(&**used) };
            used.definitions.iter().map(there)
        });
        let own = self.definitions.iter().map(here);
        let prelude = definitions::prelude().iter().chain(definitions::primitives()).map(here);
        own.chain(used).chain(prelude).filter(move |known| known.definition.kind == kind)
    }

    /// What the file's network costs, counted when first asked for.
    fn measured(&self) -> Result<&Measured, &str> {
        let measured = self.measured.get_or_init(|| match &self.module {
            Some(module) => Measured::of(module, &self.file),
            None => Err("not counted while the file has faults".into()),
        });
        measured.as_ref().map_err(String::as_str)
    }
}

/// A definition with the file it stands in, if that is one that the document uses.
#[derive(Clone, Copy)]
struct Known<'d> {
    definition: &'d Definition,
    used: Option<&'d Used>,
}

/// The meaning of a file apart from its claims: a claim goes wrong with every change of a block, which is
/// when the counts are wanted most.
fn without_claims(source: &SourceFile, file: &ast::File, loader: &dyn Loader) -> Option<Module> {
    let items = file.items.iter().filter(|item| !matches!(item, ast::Item::Expect(_)));
    let file = ast::File { items: items.cloned().collect(), ..ast::File::default() };
    check_parsed(source, &file, loader).ok()
}
