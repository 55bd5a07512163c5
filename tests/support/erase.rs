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
                Item::Op(op) => self.op(op),
                Item::Cell(cell) => self.cell(cell),
                Item::Space(space) => self.space(space),
                Item::Net(net) => self.net(net),
                Item::Expect(expect) => {
                    clear(&mut expect.span);
                    ident(&mut expect.net);
                    clear(&mut expect.scale.span);
                    clear(&mut expect.scale.n.span);
                    clear(&mut expect.scale.f.span);
                    for claim in &mut expect.claims {
                        ident(&mut claim.name);
                        clear(&mut claim.value.span);
                    }
                }
            }
        }
    }

    fn op(&self, op: &mut Op) {
        clear(&mut op.span);
        ident(&mut op.name);
        op.args.iter_mut().for_each(ident);
        for param in &mut op.params {
            ident(&mut param.name);
            param.default.iter_mut().for_each(|value| self.value(value));
        }
        match &mut op.body {
            OpBody::Short(value) => self.expr(value),
            OpBody::Block(stmts) => stmts.iter_mut().for_each(|stmt| match stmt {
                OpStmt::Require(require) => {
                    clear(&mut require.span);
                    self.value(&mut require.cond);
                    require.message.iter_mut().for_each(|message| clear(&mut message.span));
                }
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
        cell.inputs.iter_mut().for_each(ident);
        cell.stride.iter_mut().for_each(|stride| clear(&mut stride.span));
        match &mut cell.body {
            CellBody::SameAs(other) => ident(other),
            CellBody::Block(stmts) => stmts.iter_mut().for_each(|stmt| match stmt {
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
                CellStmt::Out { value, span } => {
                    self.expr(value);
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
                    options.iter_mut().for_each(|option| self.op_ref(option));
                    clear(span);
                }
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
                    for entry in entries {
                        entry.times.iter_mut().for_each(|times| self.value(times));
                        ident(&mut entry.cell);
                        entry.widen.iter_mut().for_each(|widen| clear(&mut widen.span));
                        clear(&mut entry.span);
                    }
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
                    options.iter_mut().for_each(|option| clear(&mut option.1));
                    clear(span);
                }
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Choice(options) => options.iter_mut().for_each(|option| self.expr(option)),
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
                for attr in attrs {
                    attr.name.iter_mut().for_each(ident);
                    self.value(&mut attr.value);
                }
            }
            OpRefKind::Set(name) => ident(name),
            OpRefKind::Choice(options) => {
                options.iter_mut().for_each(|option| self.op_ref(option));
            }
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
            ValueKind::Choice(options) => options.iter_mut().for_each(|option| self.value(option)),
        }
        if self.parens
            && let ValueKind::Paren(inner) = &value.kind
        {
            let inner = (**inner).clone();
            *value = inner;
        }
    }
}

fn ident(ident: &mut Ident) {
    clear(&mut ident.span);
}

fn clear(span: &mut Span) {
    *span = Span::default();
}
