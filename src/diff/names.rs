//! Names inside expressions: which are read, and the new file's in the words of the old one.

use std::collections::BTreeMap;

use crate::syntax::ast::{Attr, Combine, Expr, ExprKind, OpRef, OpRefKind, Value, ValueKind};

/// Marks the name of a block that the old file does not have; no file can have it.
pub(super) const ADDED: char = '+';

/// What the tensors of a new cell are called in the old one.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// New name to old name.
    pub(super) old: BTreeMap<String, String>,
}

impl Names {
    /// The name in the old cell.
    pub(super) fn name(&self, name: &str) -> String {
        self.old.get(name).cloned().unwrap_or_else(|| name.into())
    }

    /// An expression of the new cell in names of the old one.
    pub(super) fn expr(&self, expr: &Expr) -> Expr {
        let all = |exprs: &[Expr]| exprs.iter().map(|expr| self.expr(expr)).collect();
        let kind = match &expr.kind {
            ExprKind::Name(name) => ExprKind::Name(self.name(name)),
            ExprKind::Call { op, args } => ExprKind::Call { op: self.op(op), args: all(args) },
            ExprKind::Pipe { input, stages } => ExprKind::Pipe {
                input: Box::new(self.expr(input)),
                stages: stages.iter().map(|stage| self.op(stage)).collect(),
            },
            ExprKind::Binary { combine, left, right } => ExprKind::Binary {
                combine: combine.clone(),
                left: Box::new(self.expr(left)),
                right: Box::new(self.expr(right)),
            },
            ExprKind::Earlier => ExprKind::Earlier,
            ExprKind::Choice(options) => ExprKind::Choice(all(options)),
            ExprKind::Paren(inner) => ExprKind::Paren(Box::new(self.expr(inner))),
        };
        Expr { kind, span: expr.span }
    }

    fn op(&self, op: &OpRef) -> OpRef {
        let kind = match &op.kind {
            OpRefKind::Named { name, attrs } => {
                let attr = |attr: &Attr| Attr {
                    name: attr.name.clone(),
                    value: self.value(&attr.value, false),
                };
                OpRefKind::Named { name: name.clone(), attrs: attrs.iter().map(attr).collect() }
            }
            OpRefKind::Set(name) => OpRefKind::Set(name.clone()),
            OpRefKind::Choice(options) => {
                OpRefKind::Choice(options.iter().map(|option| self.op(option)).collect())
            }
        };
        OpRef { kind, span: op.span }
    }

    /// Only inside a call, as in `channels(x)`, does a value name a tensor.
    fn value(&self, value: &Value, in_call: bool) -> Value {
        let boxed = |value: &Value| Box::new(self.value(value, in_call));
        let kind = match &value.kind {
            ValueKind::Number(number) => ValueKind::Number(*number),
            ValueKind::Name(name) if in_call => ValueKind::Name(self.name(name)),
            ValueKind::Name(name) => ValueKind::Name(name.clone()),
            ValueKind::Pair(height, width) => ValueKind::Pair(boxed(height), boxed(width)),
            ValueKind::Call { function, args } => ValueKind::Call {
                function: function.clone(),
                args: args.iter().map(|arg| self.value(arg, true)).collect(),
            },
            ValueKind::Binary { op, left, right } => {
                ValueKind::Binary { op: *op, left: boxed(left), right: boxed(right) }
            }
            ValueKind::Not(inner) => ValueKind::Not(boxed(inner)),
            ValueKind::Choice(options) => ValueKind::Choice(
                options.iter().map(|option| self.value(option, in_call)).collect(),
            ),
            ValueKind::Paren(inner) => ValueKind::Paren(boxed(inner)),
        };
        Value { kind, span: value.span }
    }
}

/// Every tensor an expression names, in order.
pub(super) fn reads<'e>(expr: &'e Expr, found: &mut Vec<&'e str>) {
    match &expr.kind {
        ExprKind::Name(name) => found.push(name),
        ExprKind::Call { args, .. } | ExprKind::Choice(args) => {
            args.iter().for_each(|arg| reads(arg, found));
        }
        ExprKind::Pipe { input, .. } => reads(input, found),
        ExprKind::Binary { left, right, .. } => {
            reads(left, found);
            reads(right, found);
        }
        ExprKind::Paren(inner) => reads(inner, found),
        ExprKind::Earlier => {}
    }
}

/// True if an expression leaves something to choose.
pub(super) fn has_hole(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Name(_) => false,
        ExprKind::Earlier | ExprKind::Choice(_) => true,
        ExprKind::Call { op, args } => op_has_hole(op) || args.iter().any(has_hole),
        ExprKind::Pipe { input, stages } => has_hole(input) || stages.iter().any(op_has_hole),
        ExprKind::Binary { combine, left, right } => {
            let is_open = match combine {
                Combine::Fixed(_) => false,
                Combine::Choice { .. } => true,
            };
            is_open || has_hole(left) || has_hole(right)
        }
        ExprKind::Paren(inner) => has_hole(inner),
    }
}

fn op_has_hole(op: &OpRef) -> bool {
    match &op.kind {
        OpRefKind::Set(_) | OpRefKind::Choice(_) => true,
        // A hole in an attribute changes what is computed, never which blocks are read.
        OpRefKind::Named { .. } => false,
    }
}
