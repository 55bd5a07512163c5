//! What the name under the cursor is, and what it costs.

use std::collections::BTreeMap;

use lsp_types::{Hover, HoverContents, MarkupContent, MarkupKind, Position};

use super::definitions::Kind;
use super::measure::TensorCost;
use super::names::{self, Name, Owner, Role};
use super::{Document, Known, bindings};
use crate::check::{BUILTINS, MAX_BLOCKS, MAX_SAME};
use crate::ir::{Builtin, ClaimKind};
use crate::syntax::ast::{Cell, CellBody, CellStmt, Item, Param, SpaceItem};
use crate::syntax::print;

/// Describes the name at a position: of a tensor of a cell its shape `[C, H, W]`, parameters and
/// multiply-adds; of a definition its signature and comment. Nothing where there is no name.
///
/// # Cost
/// The first hover over a tensor lowers the file's network: a few milliseconds for published nets.
pub fn hover(document: &Document, position: Position) -> Option<Hover> {
    let name = names::at(&document.file, document.offset(position))?;
    let value = describe(document, &name)?;
    Some(Hover {
        contents: HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value }),
        range: Some(document.range(name.span)),
    })
}

fn describe(document: &Document, name: &Name<'_>) -> Option<String> {
    let defined = |kind| document.define(kind, name.text);
    match name.role {
        Role::Op => defined(Kind::Op).map(|op| described("op ", op)),
        Role::Set => defined(Kind::Set).map(|set| described("", set)),
        Role::Net => defined(Kind::Net).map(|net| described("net ", net)),
        Role::Cell => {
            let cell = defined(Kind::Cell)?;
            Some(described("cell ", cell) + &cost_of_cell(document, name.text))
        }
        Role::Tensor(Owner::Cell(cell)) => tensor(document, cell, name.text),
        Role::Tensor(owner) => of_owner(owner, name.text),
        Role::Static(owner) => of_owner(owner, name.text)
            .or_else(|| defined(Kind::Constant).map(|constant| described("let ", constant)))
            .or_else(|| builtin(name.text)),
        Role::Attribute(kind, of) => {
            let of = document.define(kind, of)?.definition;
            let param = of.params.iter().find(|param| param.name == name.text)?;
            Some(format!("{}attribute of `{}`", code(&param.text), of.signature))
        }
        Role::Function => function(name.text).map(str::to_owned),
        Role::Claim => {
            let kind = ClaimKind::ALL.into_iter().find(|kind| kind.name() == name.text)?;
            Some(claim(kind).to_owned())
        }
        Role::Published => published(name.text).map(str::to_owned),
    }
}

/// A block of the language, as Markdown.
fn code(text: &str) -> String {
    format!("```cell\n{text}\n```\n")
}

fn described(keyword: &str, Known { definition, used }: Known<'_>) -> String {
    let mut text = code(&format!("{keyword}{}", definition.signature));
    if !definition.doc.is_empty() {
        text += "\n";
        text += &definition.doc;
        text += "\n";
    }
    if let Some(used) = used {
        let name = used.source.name.rsplit(['/', '\\']).next().unwrap_or_default();
        text += &format!("\nin `{name}`\n");
    }
    text
}

/// What all cells of a name cost together.
fn cost_of_cell(document: &Document, cell: &str) -> String {
    match document.measured() {
        Ok(measured) => {
            let (number, params, macs) = measured.cell(cell);
            let (params, macs) = (print::number(params), print::number(macs));
            let network = &measured.network;
            format!("\n{params} parameters and {macs} multiply-adds in {number} cells; {network}\n")
        }
        Err(reason) => format!("\nNo counts: {reason}\n"),
    }
}

/// A tensor of a cell, in each cell of the file that has the text it stands in.
fn tensor(document: &Document, cell: &Cell, name: &str) -> Option<String> {
    let names = tensors_named(cell, name)?;
    let mut text = code(&written(cell, name));
    let (module, measured) = match (&document.module, document.measured()) {
        (Some(module), Ok(measured)) => (module, measured),
        (_, Err(reason)) => return Some(format!("{text}\nNo counts: {reason}\n")),
        (None, Ok(_)) => return Some(text),
    };
    text += "\n| tensor | shape `[C, H, W]` | parameters | multiply-adds |\n|---|---|--:|--:|\n";
    for cell in same_text(document, cell) {
        let Some(checked) = module.cell(&cell.name.name) else { continue };
        for name in &names {
            let label = format!("{}.{name}", cell.name.name);
            text += &match measured.tensor(checked, name) {
                Some(cost) => row(&label, &cost),
                None => format!("| `{label}` | not in the net | | |\n"),
            };
        }
    }
    Some(format!("{text}\nCounts are of all cells of a name together; {}\n", measured.network))
}

fn row(label: &str, cost: &TensorCost) -> String {
    let shapes = cost.shapes.iter().map(|(shape, number)| {
        format!("{number} x `[{}, {}, {}]`", shape.channels, shape.height, shape.width)
    });
    let shapes = shapes.collect::<Vec<_>>().join(", ");
    let (params, macs) = match &cost.counts {
        Some(counts) => (print::number(counts.params), print::number(counts.macs)),
        None => Default::default(),
    };
    format!("| `{label}` | {shapes} | {params} | {macs} |\n")
}

/// The tensors that a name stands for: itself, or all blocks of a `repeat` for their stem.
fn tensors_named(cell: &Cell, name: &str) -> Option<Vec<String>> {
    if name == "out" {
        let numbers = statements(cell).iter().find_map(|statement| match statement {
            CellStmt::Out { outputs, .. } => Some(outputs.len()),
            CellStmt::Constant(_)
            | CellStmt::Require(_)
            | CellStmt::Let { .. }
            | CellStmt::Repeat { .. } => None,
        });
        return Some(match numbers {
            Some(count @ 2..) => (1..=count).map(|number| format!("out{number}")).collect(),
            _ => vec![name.to_owned()],
        });
    }
    bindings::tensor_of_cell(cell, name)?;
    let repeat = statements(cell).iter().find_map(|statement| match statement {
        CellStmt::Repeat { count, name: stem, .. } => (stem.name == name).then_some(count.value),
        CellStmt::Constant(_)
        | CellStmt::Require(_)
        | CellStmt::Let { .. }
        | CellStmt::Out { .. } => None,
    });
    let most = MAX_BLOCKS as u64;
    Some(match repeat {
        Some(count) => (1..=count.min(most)).map(|number| format!("{name}{number}")).collect(),
        None => vec![name.to_owned()],
    })
}

fn statements(cell: &Cell) -> &[CellStmt] {
    match &cell.body {
        CellBody::Block(statements) => statements,
        CellBody::SameAs(_) => &[],
    }
}

/// The statement that binds a tensor, or else its name.
fn written(cell: &Cell, name: &str) -> String {
    let bound = bindings::tensor_of_cell(cell, name);
    let statement = statements(cell).iter().find_map(|statement| match statement {
        CellStmt::Let { name: block, value, .. } => {
            (bound == Some(block.span)).then(|| format!("{} = {}", block.name, print::expr(value)))
        }
        CellStmt::Repeat { count, name: stem, value, .. } => {
            (bound == Some(stem.span)).then(|| {
                format!("repeat {} as {} {{ {} }}", count.value, stem.name, print::expr(value))
            })
        }
        CellStmt::Out { outputs, .. } => (name == "out").then(|| {
            let values = outputs.iter().map(|output| print::expr(&output.value));
            format!("out {}", values.collect::<Vec<_>>().join(", "))
        }),
        CellStmt::Constant(_) | CellStmt::Require(_) => None,
    });
    statement.unwrap_or_else(|| format!("{name}  // input {}", cell.name.name))
}

/// The cell and those that are written as `= cell`, in the order of the file.
fn same_text<'d>(document: &'d Document, text: &Cell) -> Vec<&'d Cell> {
    let cells = document.file.items.iter().flat_map(|item| match item {
        Item::Cell(cell) => vec![cell],
        Item::Space(space) => {
            let cells = space.items.iter().filter_map(|item| match item {
                SpaceItem::Cell(cell) => Some(cell),
                SpaceItem::Constant(_)
                | SpaceItem::Require(_)
                | SpaceItem::Op(_)
                | SpaceItem::Options { .. } => None,
            });
            cells.collect()
        }
        Item::Use(_) | Item::Constant(_) | Item::Op(_) | Item::Net(_) | Item::Expect(_) => {
            Vec::new()
        }
    });
    let cells: Vec<&Cell> = cells.collect();
    let by_name: BTreeMap<&str, &Cell> =
        cells.iter().map(|cell| (cell.name.name.as_str(), *cell)).collect();
    let has_text = |cell: &Cell| {
        let mut at = cell;
        for _ in 0..MAX_SAME {
            match &at.body {
                CellBody::Block(_) => return at.name.span == text.name.span,
                CellBody::SameAs(other) => match by_name.get(other.name.name.as_str()) {
                    Some(cell) => at = cell,
                    None => return false,
                },
            }
        }
        false
    };
    cells.iter().copied().filter(|cell| has_text(cell)).collect()
}

/// An attribute, a named value, a scale, or a tensor of an operation.
fn of_owner(owner: Owner<'_>, name: &str) -> Option<String> {
    let (params, of): (&[Param], _) = match owner {
        Owner::Op(op) => (&op.params, &op.name.name),
        Owner::Cell(cell) => (&cell.params, &cell.name.name),
        Owner::Net(net) => {
            if let Some(at) = net.params.iter().position(|param| param.name == name) {
                let what = if at == 0 { Builtin::ScaleN } else { Builtin::ScaleF };
                return Some(format!("`{name}`: {}", meaning(what)));
            }
            (&[], &net.name.name)
        }
        Owner::File => return None,
    };
    if let Some(param) = params.iter().find(|param| param.name.name == name) {
        let default = param.default.as_ref().map(|value| format!(" = {}", print::value(value)));
        let text = format!("{name}{}", default.unwrap_or_default());
        return Some(format!("{}attribute of `{of}`", code(&text)));
    }
    if bindings::static_of(owner, name).is_some() {
        return Some(format!("`{name}`: named value in `{of}`"));
    }
    match owner {
        Owner::Op(op) => {
            bindings::tensor_of_op(op, name)?;
            Some(format!("`{name}`: tensor in operation `{of}`"))
        }
        Owner::Cell(_) | Owner::Net(_) | Owner::File => None,
    }
}

fn builtin(name: &str) -> Option<String> {
    let (name, builtin) = BUILTINS.into_iter().find(|(known, _)| *known == name)?;
    Some(format!("`{name}`: {}", meaning(builtin)))
}

/// A static name of the language in a line.
pub(super) fn meaning(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::Width => "the cell's width; in a net, the channels at hand",
        Builtin::Stride => {
            "the cell's stride if the first argument still has the size of the cell's first input, else 1"
        }
        Builtin::Size => "the size of the cell's first input",
        Builtin::First => "true in the first cell of a net",
        Builtin::Same => "padding: the output is `ceil(n / s)`",
        Builtin::Zeros => "padding: sizes as `same`, but zeros that a pool counts and may pick",
        Builtin::Valid => "padding: none",
        Builtin::Full => "a kernel as large as the map",
        Builtin::True => "a condition that holds",
        Builtin::False => "a condition that does not hold",
        Builtin::Base => "the width of the first cell, solved from F",
        Builtin::Classes => "the number of classes",
        Builtin::ScaleN => "N of the scale N@F, normal cells in a stage",
        Builtin::ScaleF => "F of the scale N@F, filters in the penultimate layer",
    }
}

/// The functions of static values, each in a line.
pub(super) const FUNCTIONS: [(&str, &str); 5] = [
    ("channels", "`channels(x)`: the number of channels of a tensor"),
    ("max", "`max(a, b)`: the larger of two numbers"),
    ("min", "`min(a, b)`: the smaller of two numbers"),
    ("odd", "`odd(k)`: whether a number, or both sides of a pair, are odd"),
    ("size", "`size(x)`: height by width of a tensor"),
];

fn function(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// What a paper prints, in a line.
pub(super) fn published(name: &str) -> Option<&'static str> {
    Some(match name {
        "params" => "parameters as published, whether with or without batch-norm statistics",
        "macs" => "multiply-adds for one image as published",
        _ => return None,
    })
}

/// What is claimed, in a line.
pub(super) fn claim(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Params => "trainable parameters without the auxiliary head",
        ClaimKind::ParamsWithAux => "trainable parameters with the auxiliary head",
        ClaimKind::ParamsWithStatistics => {
            "parameters and batch-norm statistics without the auxiliary head"
        }
        ClaimKind::Macs => {
            "multiply-adds of convolutions and dense layers for one image, without the auxiliary head"
        }
    }
}
