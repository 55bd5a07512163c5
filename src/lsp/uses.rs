//! The files that a document uses, for the names that they define.
//!
//! They are read whether or not they compile: who writes a name wants to know what it stands for all the
//! more while something else is at fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::LineIndex;
use super::definitions::{self, Definition};
use crate::compile::PRELUDE;
use crate::link::{MAX_DEPTH, MAX_FILES};
use crate::source::{Loader, SourceFile};
use crate::syntax::ast::{self, Item};
use crate::syntax::parse_leniently;

/// A file that a document uses, maybe through others.
#[derive(Debug)]
pub(super) struct Used {
    /// Its text.
    pub source: SourceFile,
    /// What the loader knows it by.
    pub identity: String,
    /// Where its lines start.
    pub lines: LineIndex,
    /// What it offers: all that it defines outside of a space.
    pub definitions: Vec<Definition>,
    file: ast::File,
}

impl Used {
    fn new(source: SourceFile, identity: String) -> Self {
        let (mut file, _) = parse_leniently(&source);
        file.items.retain(|item| !matches!(item, Item::Space(_)));
        let definitions = definitions::of_file(&source.text, &file);
        let lines = LineIndex::new(&source.text);
        Used { source, identity, lines, definitions, file }
    }
}

/// All files that a document uses.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// The files, those first whose definitions hide those of others.
    pub files: Vec<Arc<Used>>,
    /// The identity of each file by the path that the document writes.
    paths: BTreeMap<String, String>,
}

impl Uses {
    /// Those of `source`, whose tree is `file`. What is in `before` with the same text is not read again.
    /// Files that cannot be read are left out.
    pub(super) fn of(
        source: &SourceFile,
        file: &ast::File,
        loader: &dyn Loader,
        before: Option<&Uses>,
    ) -> Uses {
        let known = BTreeSet::from([loader.identity(source)]);
        let before = before.map_or(&[][..], |before| &before.files);
        let mut walk = Walk { loader, before, known, found: Uses::default() };
        walk.uses(source, file, 0);
        // What a file defines hides what those define that it uses, and those are read first.
        walk.found.files.reverse();
        walk.found
    }

    /// The file that the document means by a path.
    pub(super) fn at(&self, path: &str) -> Option<&Used> {
        let identity = self.paths.get(path)?;
        self.files.iter().map(|used| &**used).find(|used| used.identity == *identity)
    }
}

struct Walk<'w> {
    loader: &'w dyn Loader,
    before: &'w [Arc<Used>],
    known: BTreeSet<String>,
    found: Uses,
}

impl Walk<'_> {
    fn uses(&mut self, source: &SourceFile, file: &ast::File, depth: usize) {
        for item in &file.items {
            let Item::Use(used) = item else { continue };
            let is_too_much = depth >= MAX_DEPTH || self.known.len() > MAX_FILES;
            let Some(next) =
                (!is_too_much).then(|| self.loader.load(&used.path.text, source).ok()).flatten()
            else {
                continue;
            };
            let identity = self.loader.identity(&next);
            if depth == 0 {
                self.found.paths.insert(used.path.text.clone(), identity.clone());
            }
            let is_prelude = PRELUDE.iter().any(|name| identity == format!("<{name}>"));
            if is_prelude || !self.known.insert(identity.clone()) {
                continue;
            }
            let same = self.before.iter().find(|used| used.source == next);
            let used = match same {
                Some(same) => Arc::clone(same),
                None => Arc::new(Used::new(next, identity)),
            };
            self.uses(&used.source, &used.file, depth + 1);
            self.found.files.push(used);
        }
    }
}
