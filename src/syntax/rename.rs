//! Text that moves to another file: names replaced by those that mean the same there.
//!
//! Operations are named without regard to what stands around; a constant is meant only where no
//! attribute, named value or scale parameter has its name; the cells of a `stack` are found by name
//! wherever the net is used and so keep theirs.

use super::ast::{
    Alternative, Attr, Cell, CellBody, CellStmt, CellUse, Combine, CombineRef, Constant, Expr,
    ExprKind, Ident, Item, Net, NetItem, Op, OpBody, OpRef, OpRefKind, OpStmt, Output, Param,
    Require, Space, SpaceItem, StackEntry, StackItem, Value, ValueKind, WidthChange,
};
use super::unused::{name_unused, reads_unused, write_repeats_out};
use crate::source::Span;

/// What the names of a text are called where it moves to. `None` keeps a name.
pub(crate) trait NewNames {
    /// An operation or primitive.
    fn op(&mut self, name: &str) -> Option<String>;
    /// A constant, or a name that the language defines.
    fn constant(&mut self, name: &str) -> Option<String>;
    /// The cell that another one is the same as.
    fn cell(&mut self, name: &str) -> Option<String>;
    /// The operation that a bare operand in a cell goes through, `id` or `fixup`. `None` if it is the
    /// one that bare operands go through where the text moves to.
    fn adapter(&mut self, name: &str) -> Option<String>;
}

/// Moves text.
pub(crate) struct Mover<'n> {
    names: &'n mut dyn NewNames,
    /// Where everything stands afterwards, if not where it stood.
    span: Option<Span>,
    /// Names that hide constants.
    locals: Vec<String>,
    /// True in a cell, where bare operands are adapted.
    in_cell: bool,
    /// True in the output of a cell.
    is_out: bool,
}

impl<'n> Mover<'n> {
    /// Moves text whose spans stay what they are.
    pub(crate) fn new(names: &'n mut dyn NewNames) -> Self {
        Mover { names, span: None, locals: Vec::new(), in_cell: false, is_out: false }
    }

    /// Moves text to one place, at which everything about it is reported.
    pub(crate) fn to(names: &'n mut dyn NewNames, span: Span) -> Self {
        Mover { span: Some(span), ..Mover::new(names) }
    }

    /// A definition, claim or `use`.
    pub(crate) fn item(&mut self, item: &mut Item) {
        match item {
            Item::Use(_) | Item::Expect(_) => {}
            Item::Constant(constant) => self.value(&mut constant.value),
            Item::Op(op) => self.op(op),
            Item::Cell(cell) => self.cell(cell),
            Item::Space(space) => self.space(space),
            Item::Net(net) => self.net(net),
        }
    }

    /// The statements of a cell, `repeat` written out, under the attributes `params`.
    pub(crate) fn statements(&mut self, statements: &mut Vec<CellStmt>, params: &[Param]) {
        self.locals = params.iter().map(|param| param.name.name.clone()).collect();
        self.in_cell = true;
        self.cell_statements(statements);
        self.in_cell = false;
    }

    /// A value for an attribute of a cell, under the attributes `params`.
    pub(crate) fn attribute(&mut self, value: &mut Value, params: &[Param]) {
        self.locals = params.iter().map(|param| param.name.name.clone()).collect();
        self.value(value);
    }

    fn at(&self, span: &mut Span) {
        *span = self.span.unwrap_or(*span);
    }

    fn ident(&self, ident: &mut Ident) {
        self.at(&mut ident.span);
    }

    /// A named value, which hides a constant of its name from here on.
    fn constant(&mut self, constant: &mut Constant) {
        self.at(&mut constant.span);
        self.ident(&mut constant.name);
        self.value(&mut constant.value);
        self.locals.push(constant.name.name.clone());
    }

    fn require(&mut self, require: &mut Require) {
        self.at(&mut require.span);
        self.value(&mut require.cond);
    }

    fn params(&mut self, params: &mut [Param]) {
        self.locals.clear();
        for param in params {
            if let Some(default) = &mut param.default {
                self.value(default);
            }
            self.locals.push(param.name.name.clone());
        }
    }

    fn op(&mut self, op: &mut Op) {
        self.params(&mut op.params);
        match &mut op.body {
            OpBody::Short(expr) => self.expr(expr),
            OpBody::Block(statements) => {
                for statement in statements {
                    match statement {
                        OpStmt::Constant(constant) => self.constant(constant),
                        OpStmt::Require(require) => self.require(require),
                        OpStmt::Let { value, .. }
                        | OpStmt::Otherwise { value, .. }
                        | OpStmt::Result(value) => self.expr(value),
                        OpStmt::When { cond, value, .. } => {
                            self.value(cond);
                            self.expr(value);
                        }
                    }
                }
            }
        }
        self.locals.clear();
    }

    fn cell(&mut self, cell: &mut Cell) {
        self.params(&mut cell.params);
        match &mut cell.body {
            CellBody::SameAs(CellUse { name, attrs, .. }) => {
                if let Some(new) = self.names.cell(&name.name) {
                    name.name = new;
                }
                self.attrs(attrs);
            }
            CellBody::Block(statements) => {
                self.in_cell = true;
                self.cell_statements(statements);
                self.in_cell = false;
            }
        }
        self.locals.clear();
    }

    fn cell_statements(&mut self, statements: &mut Vec<CellStmt>) {
        if reads_unused(statements) && self.names.adapter("fixup").is_some() {
            write_repeats_out(statements);
            name_unused(statements);
        }
        for statement in statements {
            match statement {
                CellStmt::Constant(constant) => self.constant(constant),
                CellStmt::Require(require) => self.require(require),
                CellStmt::Let { name, value, span } => {
                    self.ident(name);
                    self.at(span);
                    self.expr(value);
                }
                CellStmt::Repeat { count, name, value, span } => {
                    self.at(&mut count.span);
                    self.ident(name);
                    self.at(span);
                    self.expr(value);
                }
                CellStmt::Out { outputs, span } => {
                    self.at(span);
                    self.is_out = true;
                    for Output { value, to } in outputs {
                        self.expr(value);
                        if let Some(to) = to {
                            self.at(&mut to.span);
                        }
                    }
                    self.is_out = false;
                }
            }
        }
    }

    fn space(&mut self, space: &mut Space) {
        for item in &mut space.items {
            match item {
                SpaceItem::Constant(constant) => self.value(&mut constant.value),
                SpaceItem::Require(require) => self.require(require),
                SpaceItem::Op(op) => self.op(op),
                SpaceItem::Options { options, .. } => self.options(options, Self::op_ref),
                SpaceItem::Cell(cell) => self.cell(cell),
            }
        }
    }

    fn net(&mut self, net: &mut Net) {
        self.locals = net.params.iter().map(|param| param.name.clone()).collect();
        for item in &mut net.items {
            match item {
                NetItem::Constant(constant) => self.constant(constant),
                NetItem::Require(require) => self.require(require),
                NetItem::Input { .. } | NetItem::Classes { .. } => {}
                NetItem::Stem { stages, .. }
                | NetItem::Head { stages, .. }
                | NetItem::Aux { stages, .. } => {
                    stages.iter_mut().for_each(|stage| self.op_ref(stage));
                }
                NetItem::Stack { entries, .. } => self.stack(entries),
            }
        }
        self.locals.clear();
    }

    fn stack(&mut self, entries: &mut [StackEntry]) {
        for entry in entries {
            if let Some(times) = &mut entry.times {
                self.value(times);
            }
            match &mut entry.what {
                StackItem::Cell(stacked) => {
                    self.attrs(&mut stacked.cell.attrs);
                    if let Some(WidthChange::At(width)) = &mut stacked.width {
                        self.value(width);
                    }
                }
                StackItem::Group(entries) => self.stack(entries),
            }
        }
    }

    fn options<T>(
        &mut self,
        options: &mut [Alternative<T>],
        mut each: impl FnMut(&mut Self, &mut T),
    ) {
        options.iter_mut().for_each(|option| each(self, &mut option.item));
    }

    fn attrs(&mut self, attrs: &mut [Attr]) {
        for Attr { name, value } in attrs {
            if let Some(name) = name {
                self.ident(name);
            }
            self.value(value);
        }
    }

    fn op_ref(&mut self, op: &mut OpRef) {
        self.at(&mut op.span);
        match &mut op.kind {
            OpRefKind::Named { name, attrs } => {
                self.ident(name);
                if let Some(new) = self.names.op(&name.name) {
                    name.name = new;
                }
                self.attrs(attrs);
            }
            OpRefKind::Set(name) => self.ident(name),
            OpRefKind::Choice(options) => self.options(options, Self::op_ref),
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        self.at(&mut expr.span);
        match &mut expr.kind {
            ExprKind::Name(_) | ExprKind::Earlier => {}
            ExprKind::Call { op, args } => {
                let is_concat = matches!(&op.kind, OpRefKind::Named { name, .. }
                    if name.name == "concat");
                self.op_ref(op);
                let adapter = if is_concat && self.is_out { "fixup" } else { "id" };
                for arg in args.iter_mut() {
                    self.expr(arg);
                }
                if is_concat || args.len() > 1 {
                    args.iter_mut().for_each(|arg| self.adapt(arg, adapter));
                }
            }
            ExprKind::Pipe { input, stages } => {
                self.expr(input);
                stages.iter_mut().for_each(|stage| self.op_ref(stage));
            }
            ExprKind::Binary { combine, left, right } => {
                match combine {
                    Combine::Fixed(_) => {}
                    Combine::Choice { options, span } => {
                        self.at(span);
                        self.options(options, |mover, option| match option {
                            CombineRef::Op { span, .. } => mover.at(span),
                            CombineRef::Named(op) => mover.op_ref(op),
                        });
                    }
                }
                for operand in [left, right] {
                    self.expr(operand);
                    self.adapt(operand, "id");
                }
            }
            ExprKind::Choice(options) => self.options(options, Self::expr),
            ExprKind::Paren(inner) => self.expr(inner),
        }
    }

    /// Writes the operation out that a bare operand goes through, if it is another one where the text
    /// moves to.
    fn adapt(&mut self, operand: &mut Expr, adapter: &str) {
        if !self.in_cell {
            return;
        }
        let span = operand.span;
        match &mut operand.kind {
            ExprKind::Paren(inner) => self.adapt(inner, adapter),
            ExprKind::Choice(options) => {
                self.options(options, |mover, option| mover.adapt(option, adapter));
            }
            ExprKind::Name(_) => {
                // No `unused` is left here: `cell_statements` has named what it stands for.
                let Some(new) = self.names.adapter(adapter) else { return };
                let name = Ident { name: new, span };
                let op = OpRef { kind: OpRefKind::Named { name, attrs: Vec::new() }, span };
                let bare = operand.clone();
                operand.kind = ExprKind::Call { op, args: vec![bare] };
            }
            ExprKind::Call { .. }
            | ExprKind::Pipe { .. }
            | ExprKind::Binary { .. }
            | ExprKind::Earlier => {}
        }
    }

    fn value(&mut self, value: &mut Value) {
        self.at(&mut value.span);
        match &mut value.kind {
            ValueKind::Number(_) | ValueKind::Cost { .. } => {}
            ValueKind::Name(name) => {
                if !self.locals.contains(name)
                    && let Some(new) = self.names.constant(name)
                {
                    *name = new;
                }
            }
            ValueKind::Pair(left, right) | ValueKind::Binary { left, right, .. } => {
                self.value(left);
                self.value(right);
            }
            ValueKind::Call { function, args } => {
                self.ident(function);
                // Those of `channels` and `size` are tensors.
                let names_tensors = matches!(function.name.as_str(), "channels" | "size");
                for arg in args {
                    if names_tensors { self.at(&mut arg.span) } else { self.value(arg) }
                }
            }
            ValueKind::Not(inner) | ValueKind::Paren(inner) => self.value(inner),
            ValueKind::Choice(options) => self.options(options, Self::value),
        }
    }
}
