//! Which file a definition stands in, and what a name means in each file.
//!
//! Every file sees its own definitions, those of the files it uses, those that these see, and the
//! prelude's; nearer ones hide farther ones. Since a used file comes before those that use it, the last
//! definition that a file sees is the nearest.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Module, OpId};
use crate::syntax::ast;

/// The file that a definition stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// One of the prelude.
    Prelude,
    /// A used one, by index in [`Module::used`].
    Used(usize),
    /// The file itself.
    #[default]
    Own,
}

impl Origin {
    /// True unless it is the file itself: spans then point into another text.
    pub fn is_foreign(self) -> bool {
        self != Origin::Own
    }
}

/// A file that another one uses.
#[derive(Clone, Debug, PartialEq)]
pub struct UsedFile {
    /// Its path as the first `use` of it says.
    pub name: String,
    /// Its tree without its space and its claims, which nobody else sees.
    pub file: Arc<ast::File>,
    /// The files whose definitions it sees by index in [`Module::used`], itself included.
    pub sees: BTreeSet<usize>,
}

impl UsedFile {
    /// The cell that is defined in this file under this name.
    pub(crate) fn cell(&self, name: &str) -> Option<&ast::Cell> {
        self.cells().find(|cell| cell.name.name == name)
    }

    fn cells(&self) -> impl Iterator<Item = &ast::Cell> {
        self.file.items.iter().filter_map(|item| {
            let ast::Item::Cell(cell) = item else { return None };
            Some(cell)
        })
    }
}

pub(super) fn does_see(
    used: &[UsedFile],
    sees: &BTreeSet<usize>,
    from: Origin,
    of: Origin,
) -> bool {
    match (from, of) {
        (_, Origin::Prelude) | (Origin::Own, Origin::Own) => true,
        (Origin::Own, Origin::Used(index)) => sees.contains(&index),
        (Origin::Used(file), Origin::Used(index)) => used[file].sees.contains(&index),
        (Origin::Prelude | Origin::Used(_), Origin::Own) | (Origin::Prelude, Origin::Used(_)) => {
            false
        }
    }
}

/// What names mean in each file, for whoever copies text from one file to another.
pub(crate) struct Scopes {
    ops: Vec<(String, Origin)>,
    constants: Vec<(String, Origin)>,
    /// The files, as [`Module::used`].
    pub used: Vec<UsedFile>,
    sees: BTreeSet<usize>,
}

impl Scopes {
    /// Those of a module as it is now.
    pub fn of(module: &Module) -> Self {
        let ops = module.ops.iter().map(|op| (op.name.name.clone(), op.origin));
        let constants = module.constants.iter();
        let constants = constants.map(|constant| (constant.name.name.clone(), constant.origin));
        Scopes {
            ops: ops.collect(),
            constants: constants.collect(),
            used: module.used.clone(),
            sees: module.sees.clone(),
        }
    }

    /// The operation that a name means in the file of `from`.
    pub fn op(&self, from: Origin, name: &str) -> Option<OpId> {
        self.last(&self.ops, from, name).map(OpId)
    }

    /// The constant that a name means in the file of `from`, by index.
    pub fn constant(&self, from: Origin, name: &str) -> Option<usize> {
        self.last(&self.constants, from, name)
    }

    fn last(&self, all: &[(String, Origin)], from: Origin, name: &str) -> Option<usize> {
        all.iter()
            .rposition(|(known, of)| known == name && does_see(&self.used, &self.sees, from, *of))
    }

    /// The cell of a used file that a name means in the file of `from`, with that used file. The file
    /// itself has its own cells besides, which come first.
    pub fn cell(&self, from: Origin, name: &str) -> Option<(usize, &ast::Cell)> {
        let all = self.used.iter().enumerate().rev();
        all.filter(|(index, _)| does_see(&self.used, &self.sees, from, Origin::Used(*index)))
            .find_map(|(index, used)| Some((index, used.cell(name)?)))
    }

    /// The names of all cells of other files that the file itself sees.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        let seen = self.sees.iter().flat_map(|&index| self.used[index].cells());
        seen.map(|cell| cell.name.name.as_str())
    }

    /// Where an operation stands and what it is called there.
    pub fn op_at(&self, op: OpId) -> (Origin, &str) {
        let (name, origin) = &self.ops[op.0];
        (*origin, name)
    }

    /// Where a constant stands and what it is called there.
    pub fn constant_at(&self, constant: usize) -> (Origin, &str) {
        let (name, origin) = &self.constants[constant];
        (*origin, name)
    }
}
