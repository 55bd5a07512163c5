//! Takes out of a tree what a round trip through text may change: spans, comments, parentheses.

use cellc::source::Span;
use cellc::syntax::ast::*;

/// The tree with empty spans and without comments and blank lines.
pub fn spans(mut file: File) -> File {
    Eraser { parens: false }.file(&mut file);
    file
}

/// The same, also without parentheses and with `a concat b` written as the call it prints as.
pub fn spans_and_parens(mut file: File) -> File {
    Eraser { parens: true }.file(&mut file);
    file
}

struct Eraser {
    parens: bool,
}

impl Eraser {
    fn file(&self, file: &mut File) {
        file.comments.clear();
        file.blank_lines.clear();
        for item in &mut file.items {
            match item {
                Item::Use(used) => {
                    clear(&mut used.span);
                    clear(&mut used.path.span);
                }
                Item::Constant(constant) => self.constant(constant),
                Item::Op(op) => self.op(op),
                Item::Cell(cell) => self.cell(cell),
                Item::Space(space) => self.space(space),
                Item::Net(net) => self.net(net),
                Item::Expect(expect) => {
                    clear(&mut expect.span);
                    ident(&mut expect.net);
                    scale(&mut expect.scale);
                    expect.image.iter_mut().flatten().for_each(|dim| clear(&mut dim.span));
                    expect.classes.iter_mut().for_each(|count| clear(&mut count.span));
                    for claim in &mut expect.claims {
                        ident(&mut claim.name);
                        clear(&mut claim.value.span);
                    }
                    expect.published.iter_mut().for_each(published);
                }
            }
        }
    }

    fn constant(&self, constant: &mut Constant) {
        clear(&mut constant.span);
        ident(&mut constant.name);
        self.value(&mut constant.value);
    }

    fn require(&self, require: &mut Require) {
        clear(&mut require.span);
        self.value(&mut require.cond);
        require.message.iter_mut().for_each(|message| clear(&mut message.span));
    }

    fn params(&self, params: &mut [Param]) {
        for param in params {
            ident(&mut param.name);
            param.default.iter_mut().for_each(|value| self.value(value));
        }
    }

    fn attrs(&self, attrs: &mut [Attr]) {
        for attr in attrs {
            attr.name.iter_mut().for_each(ident);
            self.value(&mut attr.value);
        }
    }

    fn cell_use(&self, cell: &mut CellUse) {
        clear(&mut cell.span);
        ident(&mut cell.name);
        self.attrs(&mut cell.attrs);
    }

    fn op(&self, op: &mut Op) {
        clear(&mut op.span);
        ident(&mut op.name);
        op.args.iter_mut().for_each(ident);
        self.params(&mut op.params);
        match &mut op.body {
            OpBody::Short(value) => self.expr(value),
            OpBody::Block(stmts) => stmts.iter_mut().for_each(|stmt| match stmt {
                OpStmt::Constant(constant) => self.constant(constant),
                OpStmt::Require(require) => self.require(require),
                OpStmt::Let { name, value, span } => {
                    ident(name);
                    self.expr(value);
                    clear(span);
                }
                OpStmt::When { cond, value, span } => {
                    self.value(cond);
                    self.expr(value);
                    clear(span);
                }
                OpStmt::Otherwise { value, span } => {
                    self.expr(value);
                    clear(span);
                }
                OpStmt::Result(value) => self.expr(value),
            }),
        }
    }

    fn cell(&self, cell: &mut Cell) {
        clear(&mut cell.span);
        ident(&mut cell.name);
        self.params(&mut cell.params);
        cell.inputs.iter_mut().for_each(ident);
        cell.stride.iter_mut().for_each(|stride| clear(&mut stride.span));
        match &mut cell.body {
            CellBody::SameAs(other) => self.cell_use(other),
            CellBody::Block(stmts) => stmts.iter_mut().for_each(|stmt| match stmt {
                CellStmt::Constant(constant) => self.constant(constant),
                CellStmt::Require(require) => self.require(require),
                CellStmt::Let { name, value, span } => {
                    ident(name);
                    self.expr(value);
                    clear(span);
                }
                CellStmt::Repeat { count, name, value, span } => {
                    clear(&mut count.span);
                    ident(name);
                    self.expr(value);
                    clear(span);
                }
                CellStmt::Out { outputs, span } => {
                    for output in outputs {
                        self.expr(&mut output.value);
                        output.to.iter_mut().for_each(|to| clear(&mut to.span));
                    }
                    clear(span);
                }
            }),
        }
    }

    fn space(&self, space: &mut Space) {
        clear(&mut space.span);
        ident(&mut space.name);
        for item in &mut space.items {
            match item {
                SpaceItem::Options { name, options, span } => {
                    ident(name);
                    alternatives(options, |op| self.op_ref(op));
                    clear(span);
                }
                SpaceItem::Constant(constant) => self.constant(constant),
                SpaceItem::Require(require) => self.require(require),
                SpaceItem::Op(op) => self.op(op),
                SpaceItem::Cell(cell) => self.cell(cell),
            }
        }
    }

    fn net(&self, net: &mut Net) {
        clear(&mut net.span);
        ident(&mut net.name);
        net.params.iter_mut().for_each(ident);
        for item in &mut net.items {
            match item {
                NetItem::Constant(constant) => self.constant(constant),
                NetItem::Require(require) => self.require(require),
                NetItem::Input { dims, span } => {
                    dims.iter_mut().for_each(|dim| clear(&mut dim.span));
                    clear(span);
                }
                NetItem::Classes { count, span } => {
                    clear(&mut count.span);
                    clear(span);
                }
                NetItem::Stem { stages, span } | NetItem::Head { stages, span } => {
                    stages.iter_mut().for_each(|stage| self.op_ref(stage));
                    clear(span);
                }
                NetItem::Stack { entries, span } => {
                    entries.iter_mut().for_each(|entry| self.entry(entry));
                    clear(span);
                }
                NetItem::Aux { stage, stages, span } => {
                    clear(&mut stage.span);
                    stages.iter_mut().for_each(|stage| self.op_ref(stage));
                    clear(span);
                }
            }
        }
    }

    fn entry(&self, entry: &mut StackEntry) {
        clear(&mut entry.span);
        entry.times.iter_mut().for_each(|times| self.value(times));
        match &mut entry.what {
            StackItem::Cell(stacked) => {
                self.cell_use(&mut stacked.cell);
                stacked.stride.iter_mut().for_each(|stride| clear(&mut stride.span));
                match &mut stacked.width {
                    None => {}
                    Some(WidthChange::Times(factor)) => clear(&mut factor.span),
                    Some(WidthChange::At(width)) => self.value(width),
                }
            }
            StackItem::Group(entries) => entries.iter_mut().for_each(|entry| self.entry(entry)),
        }
    }

    fn expr(&self, expr: &mut Expr) {
        clear(&mut expr.span);
        match &mut expr.kind {
            ExprKind::Name(_) | ExprKind::Earlier => {}
            ExprKind::Call { op, args } => {
                self.op_ref(op);
                args.iter_mut().for_each(|arg| self.expr(arg));
            }
            ExprKind::Pipe { input, stages } => {
                self.expr(input);
                stages.iter_mut().for_each(|stage| self.op_ref(stage));
            }
            ExprKind::Binary { combine, left, right } => {
                if let Combine::Choice { options, span } = combine {
                    alternatives(options, |option| match option {
                        CombineRef::Op { span, .. } => clear(span),
                        CombineRef::Named(op) => self.op_ref(op),
                    });
                    clear(span);
                }
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Choice(options) => alternatives(options, |option| self.expr(option)),
            ExprKind::Paren(inner) => self.expr(inner),
        }
        if !self.parens {
            return;
        }
        match &mut expr.kind {
            ExprKind::Paren(inner) => {
                let inner = (**inner).clone();
                *expr = inner;
            }
            ExprKind::Binary { combine: Combine::Fixed(CombineOp::Concat), left, right } => {
                let name = Ident { name: "concat".to_owned(), span: Span::default() };
                let kind = OpRefKind::Named { name, attrs: Vec::new() };
                expr.kind = ExprKind::Call {
                    op: OpRef { kind, span: Span::default() },
                    args: vec![(**left).clone(), (**right).clone()],
                };
            }
            _ => {}
        }
    }

    fn op_ref(&self, op: &mut OpRef) {
        clear(&mut op.span);
        match &mut op.kind {
            OpRefKind::Named { name, attrs } => {
                ident(name);
                self.attrs(attrs);
            }
            OpRefKind::Set(name) => ident(name),
            OpRefKind::Choice(options) => alternatives(options, |option| self.op_ref(option)),
        }
    }

    fn value(&self, value: &mut Value) {
        clear(&mut value.span);
        match &mut value.kind {
            ValueKind::Number(_) | ValueKind::Name(_) => {}
            ValueKind::Pair(left, right) | ValueKind::Binary { left, right, .. } => {
                self.value(left);
                self.value(right);
            }
            ValueKind::Call { function, args } => {
                ident(function);
                args.iter_mut().for_each(|arg| self.value(arg));
            }
            ValueKind::Not(inner) | ValueKind::Paren(inner) => self.value(inner),
            ValueKind::Cost { count, net, scale: of } => {
                ident(count);
                ident(net);
                scale(of);
            }
            ValueKind::Choice(options) => alternatives(options, |option| self.value(option)),
        }
        if self.parens
            && let ValueKind::Paren(inner) = &value.kind
        {
            let inner = (**inner).clone();
            *value = inner;
        }
    }
}

fn alternatives<T>(options: &mut [Alternative<T>], each: impl Fn(&mut T)) {
    for option in options {
        each(&mut option.item);
        option.weight.iter_mut().for_each(|weight| clear(&mut weight.span));
    }
}

fn published(published: &mut Published) {
    clear(&mut published.span);
    clear(&mut published.source.span);
    published.name.iter_mut().for_each(|name| clear(&mut name.span));
    for figure in &mut published.figures {
        ident(&mut figure.name);
        clear(&mut figure.value.span);
    }
}

fn scale(scale: &mut ScaleLit) {
    clear(&mut scale.span);
    clear(&mut scale.n.span);
    clear(&mut scale.f.span);
}

fn ident(ident: &mut Ident) {
    clear(&mut ident.span);
}

fn clear(span: &mut Span) {
    *span = Span::default();
}
