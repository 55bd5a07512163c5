//! The outline of a document.

use lsp_types::{DocumentSymbol, SymbolKind};

use super::Document;
use crate::source::Span;
use crate::syntax::ast::{Cell, CellBody, CellStmt, Ident, Item, SpaceItem};
use crate::syntax::print;

/// Its items, cells with their blocks, spaces with their option sets and cells.
pub fn symbols(document: &Document) -> Vec<DocumentSymbol> {
    let items = document.file.items.iter();
    items
        .map(|item| match item {
            Item::Op(op) => {
                named(document, &op.name, SymbolKind::FUNCTION, op.span, "op".into(), Vec::new())
            }
            Item::Cell(cell) => of_cell(document, cell),
            Item::Space(space) => {
                let children = space.items.iter().map(|item| match item {
                    SpaceItem::Options { name, options, span } => {
                        let detail = format!("{} options", options.len());
                        named(document, name, SymbolKind::ENUM, *span, detail, Vec::new())
                    }
                    SpaceItem::Cell(cell) => of_cell(document, cell),
                });
                let children = children.collect();
                let kind = SymbolKind::NAMESPACE;
                named(document, &space.name, kind, space.span, "space".into(), children)
            }
            Item::Net(net) => {
                let kind = SymbolKind::MODULE;
                named(document, &net.name, kind, net.span, "net".into(), Vec::new())
            }
            Item::Expect(expect) => {
                let (n, f) = (expect.scale.n.value, expect.scale.f.value);
                let name = format!("expect {} {n}@{f}", expect.net.name);
                let places = (expect.span, expect.net.span);
                symbol(document, name, SymbolKind::CONSTANT, places, String::new(), Vec::new())
            }
        })
        .collect()
}

fn of_cell(document: &Document, cell: &Cell) -> DocumentSymbol {
    let (detail, blocks) = match &cell.body {
        CellBody::SameAs(other) => (format!("cell = {}", other.name), Vec::new()),
        CellBody::Block(statements) => {
            let blocks = statements.iter().map(|statement| match statement {
                CellStmt::Let { name, value, span }
                | CellStmt::Repeat { name, value, span, .. } => {
                    let detail = print::expr(value);
                    named(document, name, SymbolKind::VARIABLE, *span, detail, Vec::new())
                }
                CellStmt::Out { value, span } => {
                    let places = (*span, Span::new(span.start, span.start + "out".len()));
                    let detail = print::expr(value);
                    symbol(document, "out".into(), SymbolKind::VARIABLE, places, detail, Vec::new())
                }
            });
            ("cell".to_owned(), blocks.collect())
        }
    };
    named(document, &cell.name, SymbolKind::CLASS, cell.span, detail, blocks)
}

fn named(
    document: &Document,
    name: &Ident,
    kind: SymbolKind,
    span: Span,
    detail: String,
    children: Vec<DocumentSymbol>,
) -> DocumentSymbol {
    symbol(document, name.name.clone(), kind, (span, name.span), detail, children)
}

/// `places` are the whole and the name in it.
fn symbol(
    document: &Document,
    name: String,
    kind: SymbolKind,
    places: (Span, Span),
    detail: String,
    children: Vec<DocumentSymbol>,
) -> DocumentSymbol {
    #[allow(deprecated, reason = "the protocol crate has no other way to make one")]
    DocumentSymbol {
        name,
        detail: (!detail.is_empty()).then_some(detail),
        kind,
        tags: None,
        deprecated: None,
        range: document.range(places.0),
        selection_range: document.range(places.1),
        children: (!children.is_empty()).then_some(children),
    }
}
