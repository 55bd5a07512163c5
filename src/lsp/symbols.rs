//! The outline of a document.

use lsp_types::{DocumentSymbol, SymbolKind};

use super::Document;
use crate::source::Span;
use crate::syntax::ast::{Cell, CellBody, CellStmt, Constant, Ident, Item, Op, SpaceItem};
use crate::syntax::print;

/// Its items, cells with their blocks, spaces with their option sets and cells.
pub fn symbols(document: &Document) -> Vec<DocumentSymbol> {
    let items = document.file.items.iter();
    items
        .map(|item| match item {
            Item::Use(used) => {
                let places = (used.span, used.path.span);
                let name = format!("use \"{}\"", used.path.text);
                symbol(document, name, SymbolKind::FILE, places, String::new(), Vec::new())
            }
            Item::Constant(constant) => of_constant(document, constant),
            Item::Op(op) => of_op(document, op),
            Item::Cell(cell) => of_cell(document, cell),
            Item::Space(space) => {
                let children = space.items.iter().filter_map(|item| {
                    Some(match item {
                        SpaceItem::Constant(constant) => of_constant(document, constant),
                        SpaceItem::Require(_) => return None,
                        SpaceItem::Op(op) => of_op(document, op),
                        SpaceItem::Options { name, options, span } => {
                            let detail = format!("{} options", options.len());
                            named(document, name, SymbolKind::ENUM, *span, detail, Vec::new())
                        }
                        SpaceItem::Cell(cell) => of_cell(document, cell),
                    })
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

fn of_constant(document: &Document, constant: &Constant) -> DocumentSymbol {
    let detail = print::value(&constant.value);
    named(document, &constant.name, SymbolKind::CONSTANT, constant.span, detail, Vec::new())
}

fn of_op(document: &Document, op: &Op) -> DocumentSymbol {
    named(document, &op.name, SymbolKind::FUNCTION, op.span, "op".into(), Vec::new())
}

fn of_cell(document: &Document, cell: &Cell) -> DocumentSymbol {
    let (detail, blocks) = match &cell.body {
        CellBody::SameAs(other) => (format!("cell = {}", other.name.name), Vec::new()),
        CellBody::Block(statements) => {
            let blocks = statements.iter().filter_map(|statement| {
                Some(match statement {
                    CellStmt::Constant(constant) => of_constant(document, constant),
                    CellStmt::Require(_) => return None,
                    CellStmt::Let { name, value, span }
                    | CellStmt::Repeat { name, value, span, .. } => {
                        let detail = print::expr(value);
                        named(document, name, SymbolKind::VARIABLE, *span, detail, Vec::new())
                    }
                    CellStmt::Out { outputs, span } => {
                        let places = (*span, Span::new(span.start, span.start + "out".len()));
                        let values = outputs.iter().map(|output| print::expr(&output.value));
                        let detail = values.collect::<Vec<_>>().join(", ");
                        let kind = SymbolKind::VARIABLE;
                        symbol(document, "out".into(), kind, places, detail, Vec::new())
                    }
                })
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
