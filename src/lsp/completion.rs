//! What can be written at the cursor.

use std::collections::BTreeSet;

use lsp_types::{
    CompletionItem, CompletionItemKind, Documentation, MarkupContent, MarkupKind, Position,
};

use super::definitions::{Definition, Kind};
use super::hover::{FUNCTIONS, claim, meaning, published};
use super::place::{Body, Context, PARTS, Place, context};
use super::{Document, Known};
use crate::check::BUILTINS;
use crate::ir::{Builtin, ClaimKind};

/// What can be written at a position, in no order that matters and whatever part of it is written
/// already: editors sort and filter. Nothing inside comments, strings and numbers.
pub fn completion(document: &Document, position: Position) -> Vec<CompletionItem> {
    let offset = document.offset(position);
    let Some(context) = context(&document.source.text[..offset]) else { return Vec::new() };
    let mut offers = Offers { document, context: &context, items: Vec::new() };
    offers.at(context.place);
    offers.items
}

struct Offers<'d> {
    document: &'d Document,
    context: &'d Context<'d>,
    items: Vec<CompletionItem>,
}

impl Offers<'_> {
    fn at(&mut self, place: Place<'_>) {
        match place {
            Place::Nothing => {}
            Place::Item => self.words(&["use", "let", "op", "cell", "space", "net", "expect"]),
            Place::Words(words) => self.words(words),
            Place::Statement(Body::Op) => {
                self.words(&["let", "require", "when", "otherwise", "and", "or"]);
                self.operands();
            }
            Place::Statement(Body::Cell) => {
                self.words(&["let", "require", "repeat", "out", "to", "and", "or"]);
            }
            Place::Statement(Body::Space) => {
                self.words(&["let", "require", "op", "cell", "and", "or"]);
            }
            Place::Statement(Body::Net) => {
                self.words(&PARTS);
                self.words(&["let", "require", "and", "or"]);
                if self.context.is_in_stack {
                    self.words(&["stride", "at"]);
                }
            }
            Place::Statement(Body::Expect | Body::Published) => {}
            Place::Operand => self.operands(),
            Place::Stage => self.definitions(Kind::Op, |op| op.arity == (1, 1)),
            Place::Combine => self.definitions(Kind::Op, |op| op.arity.0 <= 2 && op.arity.1 >= 2),
            Place::Hole => {
                self.definitions(Kind::Set, |_| true);
                if self.context.body == Some(Body::Cell) {
                    self.push("earlier", CompletionItemKind::KEYWORD, "any block bound above");
                }
            }
            Place::Attribute(op) => {
                self.attributes(op);
                self.values();
            }
            Place::Value => self.values(),
            Place::Cell => self.definitions(Kind::Cell, |_| true),
            Place::StackEntry => {
                self.definitions(Kind::Cell, |_| true);
                self.statics();
                self.words(&["skip"]);
            }
            Place::Net => self.definitions(Kind::Net, |_| true),
            Place::Claim => {
                for kind in ClaimKind::ALL {
                    self.push(kind.name(), CompletionItemKind::FIELD, claim(kind));
                }
            }
            Place::Published => {
                for name in ["params", "macs"] {
                    let detail = published(name).unwrap_or_default();
                    self.push(name, CompletionItemKind::FIELD, detail);
                }
            }
        }
    }

    fn push(&mut self, label: &str, kind: CompletionItemKind, detail: &str) {
        self.items.push(CompletionItem {
            label: label.into(),
            kind: Some(kind),
            detail: (!detail.is_empty()).then(|| detail.into()),
            ..CompletionItem::default()
        });
    }

    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.push(word, CompletionItemKind::KEYWORD, "");
        }
    }

    fn definitions(&mut self, kind: Kind, is_wanted: impl Fn(&Definition) -> bool) {
        let icon = match kind {
            Kind::Op => CompletionItemKind::FUNCTION,
            Kind::Cell => CompletionItemKind::CLASS,
            Kind::Set => CompletionItemKind::ENUM,
            Kind::Net => CompletionItemKind::MODULE,
            Kind::Constant => CompletionItemKind::CONSTANT,
        };
        let mut offered = BTreeSet::new();
        for Known { definition, .. } in self.document.known(kind) {
            // The first of a name hides the others.
            if !offered.insert(definition.name.as_str()) || !is_wanted(definition) {
                continue;
            }
            let doc = definition.doc.as_str();
            let markdown = || MarkupContent { kind: MarkupKind::Markdown, value: doc.into() };
            self.items.push(CompletionItem {
                label: definition.name.clone(),
                kind: Some(icon),
                detail: Some(definition.signature.clone()),
                documentation: (!doc.is_empty()).then(|| Documentation::MarkupContent(markdown())),
                ..CompletionItem::default()
            });
        }
    }

    fn operands(&mut self) {
        for tensor in &self.context.tensors {
            self.push(tensor, CompletionItemKind::VARIABLE, "tensor");
        }
        if self.context.body == Some(Body::Cell) {
            self.push("unused", CompletionItemKind::KEYWORD, "in `out concat(unused)`");
        }
        self.definitions(Kind::Op, |_| true);
    }

    /// Attributes by name.
    fn attributes(&mut self, op: &str) {
        let kinds = [Kind::Op, Kind::Cell];
        let Some(of) = kinds.into_iter().find_map(|kind| self.document.define(kind, op)) else {
            return;
        };
        for param in &of.definition.params {
            self.items.push(CompletionItem {
                label: param.name.clone(),
                kind: Some(CompletionItemKind::PROPERTY),
                detail: Some(param.text.clone()),
                insert_text: Some(format!("{} = ", param.name)),
                ..CompletionItem::default()
            });
        }
    }

    /// Attributes, scales and named values around.
    fn statics(&mut self) {
        for name in &self.context.statics {
            self.push(name, CompletionItemKind::CONSTANT, "");
        }
        self.definitions(Kind::Constant, |_| true);
    }

    fn values(&mut self) {
        self.statics();
        let in_net = self.context.body == Some(Body::Net);
        for (name, builtin) in BUILTINS {
            let is_known = match builtin {
                Builtin::Width
                | Builtin::Same
                | Builtin::Zeros
                | Builtin::Valid
                | Builtin::Full
                | Builtin::True
                | Builtin::False => true,
                Builtin::Stride | Builtin::Size | Builtin::First => !in_net,
                Builtin::Base | Builtin::Classes | Builtin::ScaleN | Builtin::ScaleF => in_net,
            };
            if is_known {
                self.push(name, CompletionItemKind::CONSTANT, meaning(builtin));
            }
        }
        for (name, text) in FUNCTIONS {
            // A net has no names for tensors that a function could be asked about.
            if !in_net || matches!(name, "max" | "min" | "odd") {
                self.push(name, CompletionItemKind::FUNCTION, text);
            }
        }
        if self.context.body == Some(Body::Space) {
            for kind in ClaimKind::ALL {
                self.push(kind.name(), CompletionItemKind::FUNCTION, claim(kind));
            }
        }
        self.words(&["not"]);
    }
}
