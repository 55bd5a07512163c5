//! Where the name under the cursor is defined.

use lsp_types::{Position, Range};

use super::definitions::Kind;
use super::names::{self, Name, Owner, Role};
use super::uses::Used;
use super::{Document, Known, bindings};
use crate::source::Span;
use crate::syntax::ast::Item;

/// A place in a document or in a file that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'d> {
    /// The file, by its [`identity`](crate::source::Loader::identity); none for the document itself.
    pub file: Option<&'d str>,
    /// Where in it.
    pub range: Range,
}

/// Where the name at a position is defined, and of the path of a `use` the file itself. Nothing for what
/// the prelude or the language defines, which stands in no file, and for names that nothing defines.
pub fn definition(document: &Document, position: Position) -> Option<Target<'_>> {
    let offset = document.offset(position);
    let Some(name) = names::at(&document.file, offset) else {
        let used = used_at(document, offset)?;
        return Some(Target { file: Some(&used.identity), range: Range::default() });
    };
    let (used, span) = place(document, &name)?;
    Some(match used {
        Some(used) => {
            Target { file: Some(&used.identity), range: used.lines.range(&used.source.text, span) }
        }
        None => Target { file: None, range: document.range(span) },
    })
}

/// The used file whose path stands at an offset.
fn used_at(document: &Document, offset: usize) -> Option<&Used> {
    document.file.items.iter().find_map(|item| {
        let Item::Use(used) = item else { return None };
        let is_here = (used.path.span.start..=used.path.span.end).contains(&offset);
        is_here.then(|| document.uses.at(&used.path.text)).flatten()
    })
}

/// The name in the definition of what another name stands for, with the file if it is a used one.
fn place<'d>(document: &'d Document, name: &Name<'_>) -> Option<(Option<&'d Used>, Span)> {
    let defined = |kind| {
        let Known { definition, used } = document.define(kind, name.text)?;
        Some((used, definition.span?))
    };
    let here = |span| (None, span);
    match name.role {
        Role::Op => defined(Kind::Op),
        Role::Cell => defined(Kind::Cell),
        Role::Set => defined(Kind::Set),
        Role::Net => defined(Kind::Net),
        Role::Tensor(owner) => tensor(owner, name.text).map(here),
        Role::Static(owner) => bindings::static_of(owner, name.text)
            .or_else(|| tensor(owner, name.text))
            .map(here)
            .or_else(|| defined(Kind::Constant)),
        Role::Attribute(kind, of) => {
            let Known { definition, used } = document.define(kind, of)?;
            let param = definition.params.iter().find(|param| param.name == name.text)?;
            Some((used, param.span?))
        }
        Role::Function | Role::Claim | Role::Published => None,
    }
}

fn tensor(owner: Owner<'_>, name: &str) -> Option<Span> {
    match owner {
        Owner::Op(op) => bindings::tensor_of_op(op, name),
        Owner::Cell(cell) => bindings::tensor_of_cell(cell, name),
        Owner::Net(_) | Owner::File => None,
    }
}
