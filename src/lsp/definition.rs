//! Where the name under the cursor is defined.

use lsp_types::{Position, Range};

use super::definitions::Kind;
use super::names::{self, Name, Owner, Role};
use super::{Document, bindings};
use crate::source::Span;

/// Where the name at a position is defined. Nothing for what the prelude or the language defines, which
/// stands in no file, and for names that nothing defines.
pub fn definition(document: &Document, position: Position) -> Option<Range> {
    let name = names::at(&document.file, document.offset(position))?;
    span(document, &name).map(|span| document.range(span))
}

/// The name in the definition of what another name stands for.
pub(super) fn span(document: &Document, name: &Name<'_>) -> Option<Span> {
    let defined = |kind| document.define(kind, name.text).and_then(|definition| definition.span);
    match name.role {
        Role::Op => defined(Kind::Op),
        Role::Cell => defined(Kind::Cell),
        Role::Set => defined(Kind::Set),
        Role::Net => defined(Kind::Net),
        Role::Tensor(owner) => tensor(owner, name.text),
        Role::Static(owner) => bindings::static_of(owner, name.text)
            .or_else(|| tensor(owner, name.text))
            .or_else(|| defined(Kind::Constant)),
        Role::Attribute(kind, of) => {
            let params = &document.define(kind, of)?.params;
            params.iter().find(|param| param.name == name.text)?.span
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
