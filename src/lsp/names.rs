//! The names written in a tree, each with what kind of thing it names: what stands under the cursor.

use super::definitions::Kind;
use crate::source::Span;
use crate::syntax::ast::{
    Alternative, Attr, Cell, CellBody, CellStmt, CellUse, Combine, CombineRef, Constant, Expr,
    ExprKind, File, Ident, Item, Net, NetItem, Op, OpBody, OpRef, OpRefKind, OpStmt, Param,
    SpaceItem, StackEntry, StackItem, Value, ValueKind, WidthChange,
};

/// A name where it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    /// The name.
    pub text: &'a str,
    /// Where it stands.
    pub span: Span,
    /// What kind of thing it names.
    pub role: Role<'a>,
}

/// What a name names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role<'a> {
    /// An operation or a primitive.
    Op,
    /// A cell.
    Cell,
    /// An option set.
    Set,
    /// A net.
    Net,
    /// A tensor in a cell or an operation; `out` is the output of a cell.
    Tensor(Owner<'a>),
    /// A static name: an attribute, a scale, a constant, or a name of the language.
    Static(Owner<'a>),
    /// `s` in `s = 2`, of this operation or cell.
    Attribute(Kind, &'a str),
    /// A function of static values.
    Function,
    /// A count that is claimed.
    Claim,
    /// A count that a paper prints.
    Published,
}

/// The definition that a name stands in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    /// In an operation.
    Op(&'a Op),
    /// In a cell.
    Cell(&'a Cell),
    /// In a net.
    Net(&'a Net),
    /// Outside of them.
    File,
}

/// The name at an offset, its ends included; of two that touch there, the one behind it.
pub(super) fn at(file: &File, offset: usize) -> Option<Name<'_>> {
    let mut walk = Walk { offset, found: None };
    for item in &file.items {
        if walk.is_in(item.span()) {
            walk.item(item);
        }
    }
    walk.found
}

struct Walk<'a> {
    offset: usize,
    found: Option<Name<'a>>,
}

impl<'a> Walk<'a> {
    fn is_in(&self, span: Span) -> bool {
        span.start <= self.offset && self.offset <= span.end
    }

    fn name(&mut self, text: &'a str, span: Span, role: Role<'a>) {
        if self.is_in(span) {
            self.found = Some(Name { text, span, role });
        }
    }

    fn ident(&mut self, ident: &'a Ident, role: Role<'a>) {
        self.name(&ident.name, ident.span, role);
    }

    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Use(_) => {}
            Item::Constant(constant) => self.constant(constant, Owner::File),
            Item::Op(op) => self.op(op),
            Item::Cell(cell) => self.cell(cell),
            Item::Space(space) => {
                for item in &space.items {
                    match item {
                        SpaceItem::Constant(constant) => self.constant(constant, Owner::File),
                        SpaceItem::Require(require) => self.value(&require.cond, Owner::File),
                        SpaceItem::Op(op) => self.op(op),
                        SpaceItem::Options { name, options, .. } => {
                            self.ident(name, Role::Set);
                            self.op_options(options, Owner::File);
                        }
                        SpaceItem::Cell(cell) => self.cell(cell),
                    }
                }
            }
            Item::Net(net) => self.net(net),
            Item::Expect(expect) => {
                self.ident(&expect.net, Role::Net);
                for claim in &expect.claims {
                    self.ident(&claim.name, Role::Claim);
                }
                for figure in expect.published.iter().flat_map(|published| &published.figures) {
                    self.ident(&figure.name, Role::Published);
                }
            }
        }
    }

    fn op(&mut self, op: &'a Op) {
        let owner = Owner::Op(op);
        self.ident(&op.name, Role::Op);
        self.params(&op.params, owner);
        for arg in &op.args {
            self.ident(arg, Role::Tensor(owner));
        }
        let statements = match &op.body {
            OpBody::Short(value) => return self.expr(value, owner),
            OpBody::Block(statements) => statements,
        };
        for statement in statements {
            match statement {
                OpStmt::Constant(constant) => self.constant(constant, owner),
                OpStmt::Require(require) => self.value(&require.cond, owner),
                OpStmt::Let { name, value, .. } => {
                    self.ident(name, Role::Tensor(owner));
                    self.expr(value, owner);
                }
                OpStmt::When { cond, value, .. } => {
                    self.value(cond, owner);
                    self.expr(value, owner);
                }
                OpStmt::Otherwise { value, .. } | OpStmt::Result(value) => self.expr(value, owner),
            }
        }
    }

    fn cell(&mut self, cell: &'a Cell) {
        let owner = Owner::Cell(cell);
        self.ident(&cell.name, Role::Cell);
        self.params(&cell.params, owner);
        for input in &cell.inputs {
            self.ident(input, Role::Tensor(owner));
        }
        let statements = match &cell.body {
            CellBody::SameAs(other) => return self.cell_use(other, owner),
            CellBody::Block(statements) => statements,
        };
        for statement in statements {
            match statement {
                CellStmt::Constant(constant) => self.constant(constant, owner),
                CellStmt::Require(require) => self.value(&require.cond, owner),
                CellStmt::Let { name, value, .. } | CellStmt::Repeat { name, value, .. } => {
                    self.ident(name, Role::Tensor(owner));
                    self.expr(value, owner);
                }
                CellStmt::Out { outputs, span } => {
                    let keyword = Span::new(span.start, span.start + "out".len());
                    self.name("out", keyword, Role::Tensor(owner));
                    outputs.iter().for_each(|output| self.expr(&output.value, owner));
                }
            }
        }
    }

    fn net(&mut self, net: &'a Net) {
        let owner = Owner::Net(net);
        self.ident(&net.name, Role::Net);
        for param in &net.params {
            self.ident(param, Role::Static(owner));
        }
        for item in &net.items {
            match item {
                NetItem::Constant(constant) => self.constant(constant, owner),
                NetItem::Require(require) => self.value(&require.cond, owner),
                NetItem::Input { .. } | NetItem::Classes { .. } => {}
                NetItem::Stem { stages, .. }
                | NetItem::Head { stages, .. }
                | NetItem::Aux { stages, .. } => self.op_refs(stages, owner),
                NetItem::Stack { entries, .. } => self.stack(entries, owner),
            }
        }
    }

    fn stack(&mut self, entries: &'a [StackEntry], owner: Owner<'a>) {
        for entry in entries {
            if let Some(times) = &entry.times {
                self.value(times, owner);
            }
            match &entry.what {
                StackItem::Group(entries) => self.stack(entries, owner),
                StackItem::Cell(stacked) => {
                    self.cell_use(&stacked.cell, owner);
                    match &stacked.width {
                        Some(WidthChange::At(value)) => self.value(value, owner),
                        Some(WidthChange::Times(_)) | None => {}
                    }
                }
            }
        }
    }

    fn cell_use(&mut self, cell: &'a CellUse, owner: Owner<'a>) {
        self.ident(&cell.name, Role::Cell);
        self.attrs(&cell.attrs, Kind::Cell, &cell.name.name, owner);
    }

    fn params(&mut self, params: &'a [Param], owner: Owner<'a>) {
        for param in params {
            self.ident(&param.name, Role::Static(owner));
            if let Some(default) = &param.default {
                self.value(default, owner);
            }
        }
    }

    fn constant(&mut self, constant: &'a Constant, owner: Owner<'a>) {
        self.ident(&constant.name, Role::Static(owner));
        self.value(&constant.value, owner);
    }

    fn expr(&mut self, expr: &'a Expr, owner: Owner<'a>) {
        if !self.is_in(expr.span) {
            return;
        }
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, expr.span, Role::Tensor(owner)),
            ExprKind::Call { op, args } => {
                self.op_ref(op, owner);
                args.iter().for_each(|arg| self.expr(arg, owner));
            }
            ExprKind::Pipe { input, stages } => {
                self.expr(input, owner);
                self.op_refs(stages, owner);
            }
            ExprKind::Binary { combine, left, right } => {
                self.expr(left, owner);
                match combine {
                    Combine::Fixed(_) => {}
                    Combine::Choice { options, .. } => {
                        for option in options {
                            match &option.item {
                                CombineRef::Op { .. } => {}
                                CombineRef::Named(op) => self.op_ref(op, owner),
                            }
                        }
                    }
                }
                self.expr(right, owner);
            }
            ExprKind::Earlier => {}
            ExprKind::Choice(options) => {
                options.iter().for_each(|option| self.expr(&option.item, owner));
            }
            ExprKind::Paren(inner) => self.expr(inner, owner),
        }
    }

    fn op_refs(&mut self, ops: &'a [OpRef], owner: Owner<'a>) {
        ops.iter().for_each(|op| self.op_ref(op, owner));
    }

    fn op_options(&mut self, options: &'a [Alternative<OpRef>], owner: Owner<'a>) {
        options.iter().for_each(|option| self.op_ref(&option.item, owner));
    }

    fn attrs(&mut self, attrs: &'a [Attr], kind: Kind, of: &'a str, owner: Owner<'a>) {
        for Attr { name, value } in attrs {
            if let Some(name) = name {
                self.ident(name, Role::Attribute(kind, of));
            }
            self.value(value, owner);
        }
    }

    fn op_ref(&mut self, op: &'a OpRef, owner: Owner<'a>) {
        match &op.kind {
            OpRefKind::Named { name, attrs } => {
                self.ident(name, Role::Op);
                self.attrs(attrs, Kind::Op, &name.name, owner);
            }
            OpRefKind::Set(name) => self.ident(name, Role::Set),
            OpRefKind::Choice(options) => self.op_options(options, owner),
        }
    }

    fn value(&mut self, value: &'a Value, owner: Owner<'a>) {
        if !self.is_in(value.span) {
            return;
        }
        match &value.kind {
            ValueKind::Number(_) => {}
            ValueKind::Name(name) => self.name(name, value.span, Role::Static(owner)),
            ValueKind::Pair(height, width) => {
                self.value(height, owner);
                self.value(width, owner);
            }
            ValueKind::Call { function, args } => {
                self.ident(function, Role::Function);
                args.iter().for_each(|arg| self.value(arg, owner));
            }
            ValueKind::Cost { count, net, scale: _ } => {
                self.ident(count, Role::Claim);
                self.ident(net, Role::Net);
            }
            ValueKind::Binary { left, right, .. } => {
                self.value(left, owner);
                self.value(right, owner);
            }
            ValueKind::Not(inner) | ValueKind::Paren(inner) => self.value(inner, owner),
            ValueKind::Choice(options) => {
                options.iter().for_each(|option| self.value(&option.item, owner));
            }
        }
    }
}
