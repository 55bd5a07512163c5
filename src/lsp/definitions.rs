//! What a file can refer to by name outside of cells and operations: its own definitions, those of the
//! prelude, the primitives; each as an editor shows it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::compile;
use crate::ir::{AttrDefault, Primitive};
use crate::source::{SourceFile, Span};
use crate::syntax::ast::{self, Comment, Item, SpaceItem};
use crate::syntax::{self, print};

/// What a definition defines. Each kind has names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An operation or a primitive.
    Op,
    /// A cell.
    Cell,
    /// An option set of a space.
    Set,
    /// A net.
    Net,
    /// A named static value.
    Constant,
}

/// A named definition.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// What it defines.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How it is used, such as `sep<k, s = stride>(x)`.
    pub signature: String,
    /// The `///` lines above it without their slashes; may be empty.
    pub doc: String,
    /// Of an operation or a cell, its attributes.
    pub params: Vec<Param>,
    /// Of an operation, the fewest and the most tensors it takes.
    pub arity: (usize, usize),
    /// Where its name stands in the document; none if it stands elsewhere.
    pub span: Option<Span>,
}

impl Definition {
    /// The same where it cannot be pointed at.
    fn elsewhere(self) -> Self {
        let params = self.params.into_iter().map(|param| Param { span: None, ..param }).collect();
        Definition { span: None, params, ..self }
    }
}

/// An attribute of an operation or a cell.
#[derive(Clone, Debug)]
pub(super) struct Param {
    /// Its name.
    pub name: String,
    /// As it is written in a signature, with its default.
    pub text: String,
    /// Where its name stands in the document; none if it stands elsewhere.
    pub span: Option<Span>,
}

/// The definitions of a file, in order.
pub(super) fn of_file(text: &str, file: &ast::File) -> Vec<Definition> {
    let mut found = Vec::new();
    for item in &file.items {
        let doc_of_item = doc(text, &file.comments, item.span().start);
        match item {
            Item::Use(_) | Item::Expect(_) => {}
            Item::Constant(constant) => found.push(of_constant(constant, doc_of_item)),
            Item::Op(op) => found.push(of_op(op, doc_of_item)),
            Item::Cell(cell) => found.push(of_cell(cell, doc_of_item)),
            Item::Net(net) => found.push(Definition {
                signature: format!("{}{}", net.name.name, angles(&texts(&net.params))),
                ..named(Kind::Net, &net.name, doc_of_item)
            }),
            Item::Space(space) => {
                let doc = |span: Span| doc(text, &file.comments, span.start);
                found.extend(space.items.iter().filter_map(|item| {
                    Some(match item {
                        SpaceItem::Constant(constant) => of_constant(constant, doc(constant.span)),
                        SpaceItem::Require(_) => return None,
                        SpaceItem::Op(op) => of_op(op, doc(op.span)),
                        SpaceItem::Cell(cell) => of_cell(cell, doc(cell.span)),
                        SpaceItem::Options { name, options, span } => {
                            of_set(name, options, doc(*span))
                        }
                    })
                }));
            }
        }
    }
    found
}

/// Adds the definitions of an earlier version whose names are not defined any more. Where they stood is
/// not where they stand, if they do.
pub(super) fn inherit(definitions: &mut Vec<Definition>, earlier: &[Definition]) {
    let defined: BTreeSet<(Kind, &str)> =
        definitions.iter().map(|new| (new.kind, new.name.as_str())).collect();
    let is_gone = |old: &&Definition| !defined.contains(&(old.kind, old.name.as_str()));
    let gone = earlier.iter().filter(is_gone).map(|old| old.clone().elsewhere());
    let mut gone: Vec<Definition> = gone.collect();
    definitions.append(&mut gone);
}

/// The definitions of the prelude.
pub(super) fn prelude() -> &'static [Definition] {
    static FOUND: OnceLock<Vec<Definition>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Vec::new();
        for name in compile::PRELUDE {
            let text = compile::embedded(name).expect("the prelude is embedded");
            let (file, _) = syntax::parse_leniently(&SourceFile::new(name, text));
            found.extend(of_file(text, &file).into_iter().map(Definition::elsewhere));
        }
        found
    })
}

/// The primitives.
pub(super) fn primitives() -> &'static [Definition] {
    static FOUND: OnceLock<Vec<Definition>> = OnceLock::new();
    FOUND.get_or_init(|| Primitive::ALL.into_iter().map(of_primitive).collect())
}

fn named(kind: Kind, name: &ast::Ident, doc: String) -> Definition {
    Definition {
        kind,
        name: name.name.clone(),
        signature: String::new(),
        doc,
        params: Vec::new(),
        arity: (0, 0),
        span: Some(name.span),
    }
}

fn of_constant(constant: &ast::Constant, doc: String) -> Definition {
    Definition {
        signature: format!("{} = {}", constant.name.name, print::value(&constant.value)),
        ..named(Kind::Constant, &constant.name, doc)
    }
}

fn of_set(name: &ast::Ident, options: &[ast::Alternative<ast::OpRef>], doc: String) -> Definition {
    let options: Vec<String> = options
        .iter()
        .map(|option| {
            let weight = option.weight.map(|weight| format!(": {}", weight.value));
            print::op_ref(&option.item) + &weight.unwrap_or_default()
        })
        .collect();
    Definition {
        signature: format!("{} = {{ {} }}", name.name, options.join(", ")),
        ..named(Kind::Set, name, doc)
    }
}

fn of_params(params: &[ast::Param]) -> Vec<Param> {
    params
        .iter()
        .map(|param| {
            let name = param.name.name.clone();
            let text = match &param.default {
                Some(default) => format!("{name} = {}", print::value(default)),
                None => name.clone(),
            };
            Param { name, text, span: Some(param.name.span) }
        })
        .collect()
}

fn of_op(op: &ast::Op, doc: String) -> Definition {
    let params = of_params(&op.params);
    let args = texts(&op.args).join(", ");
    Definition {
        signature: format!("{}{}({args})", op.name.name, attributes(&params)),
        params,
        arity: (op.args.len(), op.args.len()),
        ..named(Kind::Op, &op.name, doc)
    }
}

fn of_cell(cell: &ast::Cell, doc: String) -> Definition {
    let inputs = texts(&cell.inputs).join(", ");
    let stride = cell.stride.map(|stride| format!(" stride {}", stride.value));
    let params = of_params(&cell.params);
    let (name, stride) = (&cell.name.name, stride.unwrap_or_default());
    Definition {
        signature: format!("{name}{}({inputs}){stride}", attributes(&params)),
        params,
        ..named(Kind::Cell, &cell.name, doc)
    }
}

fn of_primitive(primitive: Primitive) -> Definition {
    let params: Vec<Param> = primitive
        .attrs()
        .iter()
        .map(|attr| {
            let text = match attr.default {
                AttrDefault::Required => attr.name.to_owned(),
                AttrDefault::One => format!("{} = 1", attr.name),
                AttrDefault::Width => format!("{} = c", attr.name),
                AttrDefault::Same => format!("{} = same", attr.name),
                AttrDefault::True => format!("{} = true", attr.name),
            };
            Param { name: attr.name.into(), text, span: None }
        })
        .collect();
    let args = match primitive.arity() {
        (1, 1) => "x",
        (2, 2) => "x, y",
        _ => "x, ...",
    };
    Definition {
        kind: Kind::Op,
        name: primitive.name().into(),
        signature: format!("{}{}({args})", primitive.name(), attributes(&params)),
        doc: describe(primitive).into(),
        params,
        arity: primitive.arity(),
        span: None,
    }
}

/// A primitive in a line.
fn describe(primitive: Primitive) -> &'static str {
    match primitive {
        Primitive::Conv => "Primitive: convolution to `out` channels, without bias.",
        Primitive::DepthwiseConv => "Primitive: one filter for each channel, without bias.",
        Primitive::BatchNorm => "Primitive: batch normalization with scale and shift.",
        Primitive::LayerNorm => {
            "Primitive: each image normalized over C, H and W, with scale and shift for each channel."
        }
        Primitive::InstanceNorm => {
            "Primitive: each channel of each image normalized over H and W, with scale and shift."
        }
        Primitive::Relu => "Primitive: `max(x, 0)`.",
        Primitive::Relu6 => "Primitive: `min(max(x, 0), 6)`.",
        Primitive::Sigmoid => "Primitive: `1 / (1 + exp(-x))`.",
        Primitive::MaxPool => {
            "Primitive: the largest value in the window; padding never wins unless `zeros`."
        }
        Primitive::AvgPool => {
            "Primitive: the mean over the window; padding is not counted unless `zeros`."
        }
        Primitive::GlobalAvgPool => "Primitive: the mean over the map, to 1x1.",
        Primitive::Dense => "Primitive: a dense layer on a 1x1 map.",
        Primitive::Dropout => "Primitive: dropout; its rate is a setting of training.",
        Primitive::Shift => {
            "Primitive: the map moved up and left by a pixel, zero beyond the border."
        }
        Primitive::Shuffle => {
            "Primitive: the channels in `g` groups, now the first of each, then the second, and so on."
        }
        Primitive::Slice => "Primitive: `count` channels from channel `start` on, counted from 0.",
        Primitive::Zero => "Primitive: zeros, as many channels as the operand's.",
        Primitive::Concat => "Primitive: channels one after the other, of maps of one size.",
        Primitive::Mul => "Primitive: as `x * y`; one of them may have a 1x1 map.",
        Primitive::Mix => {
            "Primitive: a mean with random weights for each image; outside training `(x + y) / 2`."
        }
    }
}

fn texts(names: &[ast::Ident]) -> Vec<&str> {
    names.iter().map(|ident| ident.name.as_str()).collect()
}

fn attributes(params: &[Param]) -> String {
    let texts: Vec<&str> = params.iter().map(|param| param.text.as_str()).collect();
    angles(&texts)
}

fn angles(parts: &[&str]) -> String {
    if parts.is_empty() { String::new() } else { format!("<{}>", parts.join(", ")) }
}

/// The `///` comments right above `start`, one line each, without their slashes.
fn doc(text: &str, comments: &[Comment], start: usize) -> String {
    let mut lines = Vec::new();
    let mut below = start;
    let above = comments.partition_point(|comment| comment.span.end <= start);
    for comment in comments[..above].iter().rev() {
        let between = text.get(comment.span.end..below).unwrap_or("?");
        let touches = between.trim().is_empty() && between.matches('\n').count() == 1;
        let Some(line) = comment.text.strip_prefix("///").filter(|_| touches && comment.own_line)
        else {
            break;
        };
        lines.push(line.strip_prefix(' ').unwrap_or(line));
        below = comment.span.start;
    }
    lines.reverse();
    lines.join("\n")
}
