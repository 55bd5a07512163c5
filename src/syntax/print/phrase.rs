//! Expressions, values and lists to pieces; no lines yet.

use super::layout::Piece;
use crate::graph::cost::grouped;
use crate::source::Span;
use crate::syntax::ast::*;

/// How tightly a tensor expression binds, loosest first.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Level {
    Pipe,
    Sum,
    Product,
    Operand,
}

/// How tightly a static value binds, loosest first.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum ValueLevel {
    Or,
    And,
    Not,
    Compare,
    Sum,
    Term,
    Atom,
}

/// Collects pieces.
#[derive(Default)]
pub(super) struct Phrase(pub(super) Vec<Piece>);

impl Phrase {
    pub(super) fn text(&mut self, text: impl Into<String>) {
        self.0.push(Piece::Text(text.into()));
    }

    pub(super) fn break_before(&mut self, next: Span) {
        self.0.push(Piece::Break { before: next.start });
    }

    pub(super) fn ident(&mut self, ident: &Ident) {
        self.text(ident.name.as_str());
    }

    pub(super) fn parens(&mut self, content: impl FnOnce(&mut Self)) {
        self.text("(");
        self.0.push(Piece::Open(0));
        content(self);
        self.0.push(Piece::Close);
        self.text(")");
    }

    /// A list with a break after each comma, lines under its first element.
    pub(super) fn list<T>(
        &mut self,
        open: &str,
        items: &[T],
        close: &str,
        span: impl Fn(&T) -> Span,
        each: impl Fn(&mut Self, &T),
    ) {
        self.text(open);
        self.0.push(Piece::Open(0));
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text(",");
                self.break_before(span(item));
            }
            each(self, item);
        }
        self.0.push(Piece::Close);
        self.text(close);
    }

    /// A list in braces with a blank inside each.
    pub(super) fn braces<T>(
        &mut self,
        open: &str,
        items: &[T],
        span: impl Fn(&T) -> Span,
        each: impl Fn(&mut Self, &T),
    ) {
        if items.is_empty() {
            self.text(format!("{open}}}"));
        } else {
            self.list(&format!("{open} "), items, " }", span, each);
        }
    }

    pub(super) fn output(&mut self, output: &Output) {
        self.expr(&output.value, Level::Pipe);
        if let Some(to) = output.to {
            self.text(format!(" to {}", number(to.value)));
        }
    }

    pub(super) fn param(&mut self, param: &Param) {
        self.ident(&param.name);
        if let Some(default) = &param.default {
            self.text(" = ");
            self.value(default, ValueLevel::Or, true);
        }
    }

    pub(super) fn arm(&mut self, value: &Expr) {
        self.text(" =>");
        self.break_before(value.span);
        self.expr(value, Level::Pipe);
    }

    pub(super) fn stack_entry(&mut self, entry: &StackEntry) {
        if let Some(times) = &entry.times {
            self.times(times);
            self.text(" * ");
        }
        match &entry.what {
            StackItem::Cell(stacked) => self.stacked(stacked),
            StackItem::Group(entries) => {
                // Only behind a count does the grammar have a group.
                if entry.times.is_none() {
                    self.text("1 * ");
                }
                self.list("(", entries, ")", |entry| entry.span, Phrase::stack_entry);
            }
        }
    }

    fn stacked(&mut self, stacked: &StackedCell) {
        if stacked.is_skipped {
            self.text("skip ");
        }
        self.cell_use(&stacked.cell);
        if let Some(stride) = stacked.stride {
            self.text(format!(" stride {}", number(stride.value)));
        }
        match &stacked.width {
            None => {}
            Some(WidthChange::Times(factor)) => self.text(format!(" * {}", number(factor.value))),
            Some(WidthChange::At(width)) => {
                self.text(" at ");
                self.value(width, ValueLevel::Sum, false);
            }
        }
    }

    pub(super) fn cell_use(&mut self, cell: &CellUse) {
        self.ident(&cell.name);
        self.attrs(&cell.attrs);
    }

    fn attrs(&mut self, attrs: &[Attr]) {
        if !attrs.is_empty() {
            self.list("<", attrs, ">", |attr| attr.value.span, Phrase::attr);
        }
    }

    /// The options of a hole in braces, each with its weight.
    fn options<T>(
        &mut self,
        open: &str,
        options: &[Alternative<T>],
        span: impl Fn(&T) -> Span,
        each: impl Fn(&mut Self, &T),
    ) {
        self.braces(
            open,
            options,
            |option| span(&option.item),
            |phrase, option| phrase.alternative(option, &each),
        );
    }

    fn alternative<T>(&mut self, option: &Alternative<T>, each: impl Fn(&mut Self, &T)) {
        each(self, &option.item);
        if let Some(weight) = option.weight {
            self.text(format!(": {}", number(weight.value)));
        }
    }

    pub(super) fn op_options(&mut self, open: &str, options: &[Alternative<OpRef>]) {
        self.options(open, options, |op| op.span, Phrase::op_ref);
    }

    pub(super) fn combine_ref(&mut self, combine: &CombineRef) {
        match combine {
            CombineRef::Op { op, .. } => self.text(combine_op(*op)),
            CombineRef::Named(op) => self.op_ref(op),
        }
    }

    /// A count before a cell's name; only a number, a name and a call need no parentheses there.
    fn times(&mut self, times: &Value) {
        match times.kind {
            ValueKind::Number(_)
            | ValueKind::Name(_)
            | ValueKind::Call { .. }
            | ValueKind::Paren(_) => self.value(times, ValueLevel::Atom, true),
            ValueKind::Pair(..)
            | ValueKind::Cost { .. }
            | ValueKind::Binary { .. }
            | ValueKind::Not(_)
            | ValueKind::Choice(_) => {
                self.parens(|phrase| phrase.value(times, ValueLevel::Or, false));
            }
        }
    }

    pub(super) fn stages(&mut self, stages: &[OpRef]) {
        self.0.push(Piece::Open(2));
        for (index, stage) in stages.iter().enumerate() {
            if index > 0 {
                self.break_before(stage.span);
                self.text("|> ");
            }
            self.op_ref(stage);
        }
        self.0.push(Piece::Close);
    }

    /// An expression where only those that bind at least as tightly as `level` need no parentheses.
    pub(super) fn expr(&mut self, expr: &Expr, level: Level) {
        if expr_level(expr) < level {
            self.parens(|phrase| phrase.expr(expr, Level::Pipe));
            return;
        }
        match &expr.kind {
            ExprKind::Name(name) => self.text(name.as_str()),
            ExprKind::Call { op, args } => {
                self.op_ref(op);
                self.list(
                    "(",
                    args,
                    ")",
                    |arg| arg.span,
                    |phrase, arg| {
                        phrase.expr(arg, Level::Pipe);
                    },
                );
            }
            ExprKind::Pipe { input, stages } => {
                self.0.push(Piece::Open(2));
                self.expr(input, Level::Sum);
                for stage in stages {
                    self.break_before(stage.span);
                    self.text("|> ");
                    self.op_ref(stage);
                }
                self.0.push(Piece::Close);
            }
            ExprKind::Binary { combine: Combine::Fixed(CombineOp::Concat), left, right } => {
                self.list(
                    "concat(",
                    &[left, right],
                    ")",
                    |arg| arg.span,
                    |phrase, arg| {
                        phrase.expr(arg, Level::Pipe);
                    },
                );
            }
            ExprKind::Binary { combine, left, right } => {
                let (left_level, right_level) = match combine {
                    Combine::Fixed(CombineOp::Mul) => (Level::Product, Level::Operand),
                    _ => (Level::Sum, Level::Product),
                };
                self.0.push(Piece::Open(2));
                self.expr(left, left_level);
                match combine {
                    Combine::Fixed(op) => {
                        self.break_before(right.span);
                        self.text(format!("{} ", combine_op(*op)));
                    }
                    Combine::Choice { options, span } => {
                        self.break_before(*span);
                        self.options("?{", options, CombineRef::span, Phrase::combine_ref);
                        self.text(" ");
                    }
                }
                self.expr(right, right_level);
                self.0.push(Piece::Close);
            }
            ExprKind::Earlier => self.text("?earlier"),
            ExprKind::Choice(options) => {
                self.options(
                    "?{",
                    options,
                    |option| option.span,
                    |phrase, option| phrase.expr(option, Level::Pipe),
                );
            }
            ExprKind::Paren(inner) => self.parens(|phrase| phrase.expr(inner, Level::Pipe)),
        }
    }

    pub(super) fn op_ref(&mut self, op: &OpRef) {
        match &op.kind {
            OpRefKind::Named { name, attrs } => {
                self.ident(name);
                self.attrs(attrs);
            }
            OpRefKind::Set(name) => self.text(format!("?{}", name.name)),
            OpRefKind::Choice(options) => {
                self.op_options("?{", options);
            }
        }
    }

    fn attr(&mut self, attr: &Attr) {
        if let Some(name) = &attr.name {
            self.text(format!("{} = ", name.name));
        }
        self.value(&attr.value, ValueLevel::Or, true);
    }

    /// A value where only those that bind at least as tightly as `level` need no parentheses;
    /// between angle brackets comparisons always do.
    pub(super) fn value(&mut self, value: &Value, level: ValueLevel, is_angled: bool) {
        let own_level = value_level(value);
        if own_level < level || (is_angled && own_level == ValueLevel::Compare) {
            self.parens(|phrase| phrase.value(value, ValueLevel::Or, false));
            return;
        }
        match &value.kind {
            ValueKind::Number(value) => self.text(number(*value)),
            ValueKind::Name(name) => self.text(name.as_str()),
            ValueKind::Pair(height, width) => {
                self.text(format!("{}x{}", side(height), side(width)));
            }
            ValueKind::Call { function, args } => {
                self.ident(function);
                self.list(
                    "(",
                    args,
                    ")",
                    |arg| arg.span,
                    |phrase, arg| {
                        phrase.value(arg, ValueLevel::Or, false);
                    },
                );
            }
            ValueKind::Cost { count, net, scale } => {
                self.text(format!("{}({} {})", count.name, net.name, scale_lit(scale)));
            }
            ValueKind::Binary { op, left, right } => {
                let (left_level, right_level) = match own_level {
                    ValueLevel::Or => (ValueLevel::Or, ValueLevel::And),
                    ValueLevel::And => (ValueLevel::And, ValueLevel::Not),
                    ValueLevel::Compare => (ValueLevel::Sum, ValueLevel::Sum),
                    ValueLevel::Sum => (ValueLevel::Sum, ValueLevel::Term),
                    _ => (ValueLevel::Term, ValueLevel::Atom),
                };
                self.value(left, left_level, is_angled);
                self.break_before(right.span);
                self.text(format!("{} ", value_op(*op)));
                self.value(right, right_level, is_angled);
            }
            ValueKind::Not(operand) => {
                self.text("not ");
                self.value(operand, ValueLevel::Not, is_angled);
            }
            ValueKind::Choice(options) => {
                self.list(
                    "?{",
                    options,
                    "}",
                    |option| option.item.span,
                    |phrase, option| {
                        phrase.alternative(option, |phrase, value| {
                            phrase.value(value, ValueLevel::Or, false);
                        });
                    },
                );
            }
            ValueKind::Paren(inner) => {
                self.parens(|phrase| phrase.value(inner, ValueLevel::Or, false));
            }
        }
    }
}

fn expr_level(expr: &Expr) -> Level {
    match &expr.kind {
        ExprKind::Pipe { .. } => Level::Pipe,
        ExprKind::Binary { combine, .. } => match combine {
            Combine::Fixed(CombineOp::Mul) => Level::Product,
            Combine::Fixed(CombineOp::Concat) => Level::Operand,
            Combine::Fixed(CombineOp::Add) | Combine::Choice { .. } => Level::Sum,
        },
        ExprKind::Name(_)
        | ExprKind::Call { .. }
        | ExprKind::Earlier
        | ExprKind::Choice(_)
        | ExprKind::Paren(_) => Level::Operand,
    }
}

fn value_level(value: &Value) -> ValueLevel {
    match &value.kind {
        ValueKind::Binary { op, .. } => match op {
            ValueOp::Or => ValueLevel::Or,
            ValueOp::And => ValueLevel::And,
            ValueOp::Eq | ValueOp::Ne | ValueOp::Lt | ValueOp::Le | ValueOp::Gt | ValueOp::Ge => {
                ValueLevel::Compare
            }
            ValueOp::Add | ValueOp::Sub => ValueLevel::Sum,
            ValueOp::Mul | ValueOp::Div | ValueOp::Rem => ValueLevel::Term,
        },
        ValueKind::Not(_) => ValueLevel::Not,
        ValueKind::Number(_)
        | ValueKind::Name(_)
        | ValueKind::Pair(..)
        | ValueKind::Call { .. }
        | ValueKind::Cost { .. }
        | ValueKind::Choice(_)
        | ValueKind::Paren(_) => ValueLevel::Atom,
    }
}

/// A way to combine, as an infix hole lists it.
pub(crate) fn combine_op(op: CombineOp) -> &'static str {
    match op {
        CombineOp::Add => "+",
        CombineOp::Mul => "*",
        CombineOp::Concat => "concat",
    }
}

/// An operator between static values.
pub(crate) fn value_op(op: ValueOp) -> &'static str {
    match op {
        ValueOp::Add => "+",
        ValueOp::Sub => "-",
        ValueOp::Mul => "*",
        ValueOp::Div => "/",
        ValueOp::Rem => "%",
        ValueOp::Eq => "==",
        ValueOp::Ne => "!=",
        ValueOp::Lt => "<",
        ValueOp::Le => "<=",
        ValueOp::Gt => ">",
        ValueOp::Ge => ">=",
        ValueOp::And => "and",
        ValueOp::Or => "or",
    }
}

/// A side of a pair; the grammar has numbers and names of one letter there.
fn side(value: &Value) -> String {
    match &value.kind {
        ValueKind::Number(value) => value.to_string(),
        ValueKind::Name(name) => name.clone(),
        _ => "1".to_owned(),
    }
}

/// `6@768`
pub(super) fn scale_lit(scale: &ScaleLit) -> String {
    format!("{}@{}", number(scale.n.value), number(scale.f.value))
}

/// Digits, in groups of three if there are five or more.
pub(crate) fn number(value: u64) -> String {
    if value < 10_000 { value.to_string() } else { grouped(value, '_') }
}
