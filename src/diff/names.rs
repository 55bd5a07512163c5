//! Names inside expressions: which are read, and the new file's in the words of the old one.

use std::collections::BTreeMap;

use super::statics::Static;
use crate::syntax::ast::{
    Alternative, Attr, Combine, CombineRef, Constant, Expr, ExprKind, OpRef, OpRefKind, Require,
    Value, ValueKind,
};

/// Marks the name of a block that the old file does not have; no file can have it.
pub(super) const ADDED: char = '+';

/// The functions of a static value that take a tensor.
const OF_TENSORS: [&str; 2] = ["channels", "size"];

/// What the names of a new cell are in the old one. Every translation also drops the weights that an
/// option has without them.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Tensors: new name to old name.
    pub(super) old: BTreeMap<String, String>,
    /// Static values in place of names.
    pub(super) values: BTreeMap<String, Value>,
}

impl Names {
    /// The name in the old cell.
    pub(super) fn name(&self, name: &str) -> String {
        self.old.get(name).cloned().unwrap_or_else(|| name.into())
    }

    /// An expression of the new cell in names of the old one.
    pub(super) fn expr(&self, expr: &Expr) -> Expr {
        let kind = match &expr.kind {
            ExprKind::Name(name) => ExprKind::Name(self.name(name)),
            ExprKind::Call { op, args } => ExprKind::Call {
                op: self.op(op),
                args: args.iter().map(|arg| self.expr(arg)).collect(),
            },
            ExprKind::Pipe { input, stages } => ExprKind::Pipe {
                input: Box::new(self.expr(input)),
                stages: stages.iter().map(|stage| self.op(stage)).collect(),
            },
            ExprKind::Binary { combine, left, right } => ExprKind::Binary {
                combine: self.combine(combine),
                left: Box::new(self.expr(left)),
                right: Box::new(self.expr(right)),
            },
            ExprKind::Earlier => ExprKind::Earlier,
            ExprKind::Choice(options) => {
                ExprKind::Choice(alternatives(options, |option| self.expr(option)))
            }
            ExprKind::Paren(inner) => ExprKind::Paren(Box::new(self.expr(inner))),
        };
        Expr { kind, span: expr.span }
    }

    /// A way to combine two tensors.
    pub(super) fn combine(&self, combine: &Combine) -> Combine {
        match combine {
            Combine::Fixed(op) => Combine::Fixed(*op),
            Combine::Choice { options, span } => Combine::Choice {
                options: alternatives(options, |option| match option {
                    CombineRef::Op { .. } => option.clone(),
                    CombineRef::Named(op) => CombineRef::Named(self.op(op)),
                }),
                span: *span,
            },
        }
    }

    /// An operation with its attributes.
    pub(super) fn op(&self, op: &OpRef) -> OpRef {
        let kind = match &op.kind {
            OpRefKind::Named { name, attrs } => {
                let attr =
                    |attr: &Attr| Attr { name: attr.name.clone(), value: self.value(&attr.value) };
                OpRefKind::Named { name: name.clone(), attrs: attrs.iter().map(attr).collect() }
            }
            OpRefKind::Set(name) => OpRefKind::Set(name.clone()),
            OpRefKind::Choice(options) => {
                OpRefKind::Choice(alternatives(options, |option| self.op(option)))
            }
        };
        OpRef { kind, span: op.span }
    }

    /// A named value or a condition.
    pub(super) fn statement(&self, statement: &Static) -> Static {
        match statement {
            Static::Constant(constant) => Static::Constant(Constant {
                value: self.value(&constant.value),
                ..constant.clone()
            }),
            Static::Require(require) => {
                Static::Require(Require { cond: self.value(&require.cond), ..require.clone() })
            }
        }
    }

    /// A static value.
    pub(super) fn value(&self, value: &Value) -> Value {
        let boxed = |value: &Value| Box::new(self.value(value));
        let kind = match &value.kind {
            ValueKind::Number(number) => ValueKind::Number(*number),
            ValueKind::Name(name) => match self.values.get(name) {
                Some(value) => value.kind.clone(),
                None => ValueKind::Name(name.clone()),
            },
            ValueKind::Pair(height, width) => ValueKind::Pair(boxed(height), boxed(width)),
            ValueKind::Call { function, args } => {
                let is_of_tensors = OF_TENSORS.contains(&function.name.as_str());
                let arg = |arg: &Value| match &arg.kind {
                    ValueKind::Name(name) if is_of_tensors => {
                        Value { kind: ValueKind::Name(self.name(name)), span: arg.span }
                    }
                    ValueKind::Number(_)
                    | ValueKind::Name(_)
                    | ValueKind::Pair(..)
                    | ValueKind::Call { .. }
                    | ValueKind::Binary { .. }
                    | ValueKind::Not(_)
                    | ValueKind::Cost { .. }
                    | ValueKind::Choice(_)
                    | ValueKind::Paren(_) => self.value(arg),
                };
                let args = args.iter().map(arg).collect();
                ValueKind::Call { function: function.clone(), args }
            }
            ValueKind::Binary { op, left, right } => {
                ValueKind::Binary { op: *op, left: boxed(left), right: boxed(right) }
            }
            ValueKind::Not(inner) => ValueKind::Not(boxed(inner)),
            ValueKind::Cost { .. } => value.kind.clone(),
            ValueKind::Choice(options) => {
                ValueKind::Choice(alternatives(options, |option| self.value(option)))
            }
            ValueKind::Paren(inner) => ValueKind::Paren(boxed(inner)),
        };
        Value { kind, span: value.span }
    }
}

fn alternatives<T>(options: &[Alternative<T>], each: impl Fn(&T) -> T) -> Vec<Alternative<T>> {
    let alternative = |option: &Alternative<T>| Alternative {
        item: each(&option.item),
        weight: option.weight.filter(|weight| weight.value != 1),
    };
    options.iter().map(alternative).collect()
}

/// Every tensor an expression names, in order.
pub(super) fn reads<'e>(expr: &'e Expr, found: &mut Vec<&'e str>) {
    match &expr.kind {
        ExprKind::Name(name) => found.push(name),
        ExprKind::Call { args, .. } => args.iter().for_each(|arg| reads(arg, found)),
        ExprKind::Choice(options) => options.iter().for_each(|option| reads(&option.item, found)),
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

/// What a statement reads in static values: tensors through functions, and named values.
#[derive(Debug, Default)]
pub(super) struct StaticReads<'e> {
    pub(super) tensors: Vec<&'e str>,
    pub(super) values: Vec<&'e str>,
}

impl<'e> StaticReads<'e> {
    /// Adds what the attributes in an expression read.
    pub(super) fn expr(&mut self, expr: &'e Expr) {
        match &expr.kind {
            ExprKind::Name(_) | ExprKind::Earlier => {}
            ExprKind::Call { op, args } => {
                self.op(op);
                args.iter().for_each(|arg| self.expr(arg));
            }
            ExprKind::Pipe { input, stages } => {
                self.expr(input);
                stages.iter().for_each(|stage| self.op(stage));
            }
            ExprKind::Binary { combine, left, right } => {
                self.expr(left);
                self.expr(right);
                match combine {
                    Combine::Fixed(_) => {}
                    Combine::Choice { options, .. } => {
                        for option in options {
                            match &option.item {
                                CombineRef::Op { .. } => {}
                                CombineRef::Named(op) => self.op(op),
                            }
                        }
                    }
                }
            }
            ExprKind::Choice(options) => options.iter().for_each(|option| self.expr(&option.item)),
            ExprKind::Paren(inner) => self.expr(inner),
        }
    }

    fn op(&mut self, op: &'e OpRef) {
        match &op.kind {
            OpRefKind::Named { attrs, .. } => {
                attrs.iter().for_each(|attr| self.value(&attr.value));
            }
            OpRefKind::Set(_) => {}
            OpRefKind::Choice(options) => options.iter().for_each(|option| self.op(&option.item)),
        }
    }

    /// Adds what a value reads.
    pub(super) fn value(&mut self, value: &'e Value) {
        match &value.kind {
            ValueKind::Number(_) | ValueKind::Cost { .. } => {}
            ValueKind::Name(name) => self.values.push(name),
            ValueKind::Call { function, args } => {
                for arg in args {
                    match &arg.kind {
                        ValueKind::Name(name) if OF_TENSORS.contains(&function.name.as_str()) => {
                            self.tensors.push(name);
                        }
                        ValueKind::Number(_)
                        | ValueKind::Name(_)
                        | ValueKind::Pair(..)
                        | ValueKind::Call { .. }
                        | ValueKind::Binary { .. }
                        | ValueKind::Not(_)
                        | ValueKind::Cost { .. }
                        | ValueKind::Choice(_)
                        | ValueKind::Paren(_) => self.value(arg),
                    }
                }
            }
            ValueKind::Pair(left, right) | ValueKind::Binary { left, right, .. } => {
                self.value(left);
                self.value(right);
            }
            ValueKind::Not(inner) | ValueKind::Paren(inner) => self.value(inner),
            ValueKind::Choice(options) => {
                options.iter().for_each(|option| self.value(&option.item))
            }
        }
    }
}
