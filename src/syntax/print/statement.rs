//! Statements and headers to pieces, one function for each form; no lines yet.

use super::layout::{Piece, width};
use super::phrase::{Level, Phrase, ValueLevel, number, scale_lit};
use crate::syntax::ast::*;

pub(super) fn op_short(op: &Op, value: &Expr) -> Vec<Piece> {
    let mut phrase = Phrase(op_header(op));
    phrase.text(" =");
    phrase.break_before(value.span);
    phrase.expr(value, Level::Pipe);
    phrase.0
}

pub(super) fn op_header(op: &Op) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text(format!("op {}", op.name.name));
    if !op.params.is_empty() {
        phrase.list("<", &op.params, ">", |param| param.name.span, Phrase::param);
    }
    phrase.list("(", &op.args, ")", |arg| arg.span, Phrase::ident);
    phrase.0
}

/// The width of an arm up to its `=>`.
pub(super) fn arm_width(stmt: &OpStmt) -> Option<usize> {
    match stmt {
        OpStmt::When { cond, .. } => Some(width(&when(cond))),
        OpStmt::Otherwise { .. } => Some("otherwise".len()),
        OpStmt::Constant(_) | OpStmt::Require(_) | OpStmt::Let { .. } | OpStmt::Result(_) => None,
    }
}

fn when(cond: &Value) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text("when ");
    phrase.value(cond, ValueLevel::Or, false);
    phrase.0
}

pub(super) fn op_stmt(
    stmt: &OpStmt,
    name_width: usize,
    arm_width: usize,
    follows_binding: bool,
) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    match stmt {
        OpStmt::Constant(constant) => phrase.0 = self::constant(constant),
        OpStmt::Require(require) => phrase.0 = self::require(require),
        OpStmt::Let { name, value, .. } => {
            phrase.text(format!("{:name_width$} = ", name.name));
            phrase.expr(value, Level::Pipe);
        }
        OpStmt::When { cond, value, .. } => {
            let head = when(cond);
            let pad = arm_width.saturating_sub(width(&head));
            phrase.0 = head;
            phrase.text(" ".repeat(pad));
            phrase.arm(value);
        }
        OpStmt::Otherwise { value, .. } => {
            phrase.text(format!("{:arm_width$}", "otherwise"));
            phrase.arm(value);
        }
        // After a binding, a leading `?{` would read as a way to combine.
        OpStmt::Result(value) if follows_binding && starts_with_choice(value) => {
            phrase.parens(|phrase| phrase.expr(value, Level::Pipe));
        }
        OpStmt::Result(value) => phrase.expr(value, Level::Pipe),
    }
    phrase.0
}

/// `let k = c / 2`
pub(super) fn constant(constant: &Constant) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text(format!("let {} = ", constant.name.name));
    phrase.value(&constant.value, ValueLevel::Or, false);
    phrase.0
}

/// `require odd(k) : "..."`
pub(super) fn require(require: &Require) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text("require ");
    phrase.value(&require.cond, ValueLevel::Or, false);
    if let Some(message) = &require.message {
        phrase.text(" :");
        phrase.break_before(message.span);
        phrase.text(quoted(message));
    }
    phrase.0
}

/// `use "stems.cell"`
pub(super) fn used(used: &Use) -> Vec<Piece> {
    vec![Piece::text(format!("use {}", quoted(&used.path)))]
}

/// A text in quotes; one that was made may hold what no text in a file can.
fn quoted(literal: &StringLit) -> String {
    format!("\"{}\"", literal.text.replace('"', "'").replace('\n', " "))
}

fn starts_with_choice(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Choice(_) => true,
        ExprKind::Call { op, .. } => matches!(op.kind, OpRefKind::Choice(_)),
        ExprKind::Pipe { input, .. } => starts_with_choice(input),
        ExprKind::Binary { combine: Combine::Fixed(CombineOp::Concat), .. } => false,
        ExprKind::Binary { left, .. } => starts_with_choice(left),
        ExprKind::Name(_) | ExprKind::Earlier | ExprKind::Paren(_) => false,
    }
}

pub(super) fn cell_header(cell: &Cell) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text(format!("cell {}", cell.name.name));
    if !cell.params.is_empty() {
        phrase.list("<", &cell.params, ">", |param| param.name.span, Phrase::param);
    }
    phrase.list("(", &cell.inputs, ")", |input| input.span, Phrase::ident);
    if let Some(stride) = cell.stride {
        phrase.text(format!(" stride {}", number(stride.value)));
    }
    phrase.0
}

pub(super) fn cell_same(cell: &Cell, other: &CellUse) -> Vec<Piece> {
    let mut phrase = Phrase(cell_header(cell));
    phrase.text(" = ");
    phrase.cell_use(other);
    phrase.0
}

/// A block or the output; `repeat` has its own form.
pub(super) fn cell_stmt(stmt: &CellStmt, name_width: usize) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    match stmt {
        CellStmt::Let { name, value, .. } => {
            phrase.text(format!("{:name_width$} = ", name.name));
            phrase.expr(value, Level::Pipe);
        }
        CellStmt::Constant(constant) => phrase.0 = self::constant(constant),
        CellStmt::Require(require) => phrase.0 = self::require(require),
        CellStmt::Out { outputs, .. } => {
            phrase.list("out ", outputs, "", |output| output.value.span, Phrase::output);
        }
        CellStmt::Repeat { count, name, value, .. } => {
            phrase.0 = repeat_header(*count, name);
            phrase.text(" { ");
            phrase.expr(value, Level::Pipe);
            phrase.text(" }");
        }
    }
    phrase.0
}

pub(super) fn repeat_header(count: Number, name: &Ident) -> Vec<Piece> {
    vec![Piece::text(format!("repeat {} as {}", number(count.value), name.name))]
}

pub(super) fn expr(value: &Expr) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.expr(value, Level::Pipe);
    phrase.0
}

pub(super) fn options(name: &Ident, options: &[Alternative<OpRef>]) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text(format!("{} = ", name.name));
    phrase.op_options("{", options);
    phrase.0
}

pub(super) fn net_header(net: &Net) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text(format!("net {}", net.name.name));
    phrase.list("<", &net.params, ">", |name| name.span, Phrase::ident);
    phrase.0
}

/// A part of a net with its keyword padded to `width`; of `aux`, what precedes its `{`.
pub(super) fn net_item(item: &NetItem, keyword_width: usize) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    match item {
        NetItem::Constant(constant) => return self::constant(constant),
        NetItem::Require(require) => return self::require(require),
        NetItem::Input { .. }
        | NetItem::Classes { .. }
        | NetItem::Stem { .. }
        | NetItem::Stack { .. }
        | NetItem::Head { .. }
        | NetItem::Aux { .. } => phrase.text(format!("{:keyword_width$} ", item.keyword())),
    }
    match item {
        NetItem::Constant(_) | NetItem::Require(_) => unreachable!("returned above"),
        NetItem::Input { dims: [height, width, channels], .. } => {
            phrase.text(dims([height, width, channels]));
        }
        NetItem::Classes { count, .. } => phrase.text(number(count.value)),
        NetItem::Stem { stages, .. } | NetItem::Head { stages, .. } => phrase.stages(stages),
        NetItem::Stack { entries, .. } => {
            phrase.list("", entries, "", |entry| entry.span, Phrase::stack_entry);
        }
        NetItem::Aux { stage, .. } => phrase.text(format!("after stage {}", number(stage.value))),
    }
    phrase.0
}

pub(super) fn stages(stages: &[OpRef]) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.stages(stages);
    phrase.0
}

fn dims([height, width, channels]: [&Number; 3]) -> String {
    format!("{}x{}x{}", height.value, width.value, channels.value)
}

/// A claim up to its `{`.
pub(crate) fn expect_head(expect: &Expect) -> String {
    let mut head = format!("expect {} {}", expect.net.name, scale_lit(&expect.scale));
    if let Some(image) = &expect.image {
        head += &format!(" on {}", dims(image.each_ref()));
    }
    if let Some(classes) = expect.classes {
        head += &format!(" classes {}", number(classes.value));
    }
    head
}

pub(super) fn expect(expect: &Expect, column: usize) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text(format!("{:column$} ", expect_head(expect)));
    phrase.braces(
        "{",
        &expect.claims,
        |claim| claim.name.span,
        |phrase, claim| {
            phrase.text(format!("{} {}", claim.name.name, number(claim.value.value)));
        },
    );
    phrase.0
}

pub(super) fn published(published: &Published) -> Vec<Piece> {
    let mut phrase = Phrase::default();
    phrase.text(format!("published {}", quoted(&published.source)));
    if let Some(name) = &published.name {
        phrase.break_before(name.span);
        phrase.text(format!("as {}", quoted(name)));
    }
    phrase.text(" ");
    phrase.braces(
        "{",
        &published.figures,
        |figure| figure.name.span,
        |phrase, figure| phrase.text(format!("{} {}", figure.name.name, figure.value)),
    );
    phrase.0
}
