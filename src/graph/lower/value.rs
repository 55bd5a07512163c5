//! Static values at work: attributes, conditions, and the names the language defines.

use std::fmt;

use super::{Frame, Lowering};
use crate::diagnostic::Code;
use crate::graph::Padding;
use crate::ir::{Builtin, Value, ValueKind};
use crate::source::Span;
use crate::syntax::ast::ValueOp;

/// The value of a static expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Static {
    /// A number.
    Int(i64),
    /// Height by width.
    Pair([i64; 2]),
    /// The outcome of a comparison.
    Bool(bool),
    /// `same` or `valid`.
    Padding(Padding),
    /// `full`.
    Full,
}

impl Static {
    fn kind(self) -> &'static str {
        match self {
            Static::Int(_) => "a number",
            Static::Pair(_) => "a pair",
            Static::Bool(_) => "a condition",
            Static::Padding(_) => "a padding",
            Static::Full => "a kernel size",
        }
    }
}

impl fmt::Display for Static {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Static::Int(value) => write!(f, "{value}"),
            Static::Pair([height, width]) => write!(f, "{height}x{width}"),
            Static::Bool(value) => write!(f, "{value}"),
            Static::Padding(Padding::Same) => f.write_str("same"),
            Static::Padding(Padding::Zeros) => f.write_str("zeros"),
            Static::Padding(Padding::Valid) => f.write_str("valid"),
            Static::Full => f.write_str("full"),
        }
    }
}

impl Lowering<'_> {
    /// Evaluates a value; `None` after reporting a fault, or where a tensor it asks about has one.
    pub(super) fn value(&mut self, value: &Value, frame: &Frame) -> Option<Static> {
        Some(match &value.kind {
            ValueKind::Int(value) => Static::Int(*value),
            ValueKind::Pair(height, width) => {
                let (height, width) = (self.int(height, frame), self.int(width, frame));
                Static::Pair([height?, width?])
            }
            ValueKind::Param(index) => frame.params[*index],
            ValueKind::Constant(index) => self.constants[*index]?,
            ValueKind::Cost { .. } => {
                unreachable!("check::values allows costs in conditions of spaces only")
            }
            ValueKind::Min(left, right) => {
                let (left, right) = (self.int(left, frame), self.int(right, frame));
                Static::Int(left?.min(right?))
            }
            ValueKind::Max(left, right) => {
                let (left, right) = (self.int(left, frame), self.int(right, frame));
                Static::Int(left?.max(right?))
            }
            ValueKind::Builtin(builtin) => return self.builtin(*builtin, value.span, frame),
            ValueKind::Channels(local) => {
                Static::Int(self.graph.ty(frame.locals[local.0]?).channels as i64)
            }
            ValueKind::SizeOf(local) => {
                Static::Pair(self.graph.ty(frame.locals[local.0]?).size().map(|side| side as i64))
            }
            ValueKind::Odd(inner) => match self.value(inner, frame)? {
                Static::Int(value) => Static::Bool(value % 2 != 0),
                Static::Pair([height, width]) => Static::Bool(height % 2 != 0 && width % 2 != 0),
                other @ (Static::Bool(_) | Static::Padding(_) | Static::Full) => {
                    return self.wrong_kind("a number or a pair", other, inner.span, frame);
                }
            },
            ValueKind::Binary { op, left, right } => {
                return self.binary(*op, left, right, value.span, frame);
            }
            ValueKind::Not(inner) => Static::Bool(!self.cond(inner, frame)?),
            ValueKind::Choice { decision, options } => {
                let option = self.take(*decision);
                return self.value(&options[option], frame);
            }
        })
    }

    /// Evaluates a condition.
    pub(super) fn cond(&mut self, value: &Value, frame: &Frame) -> Option<bool> {
        match self.value(value, frame)? {
            Static::Bool(value) => Some(value),
            other @ (Static::Int(_) | Static::Pair(_) | Static::Padding(_) | Static::Full) => {
                self.wrong_kind("a condition", other, value.span, frame)
            }
        }
    }

    /// Evaluates a number.
    pub(super) fn int(&mut self, value: &Value, frame: &Frame) -> Option<i64> {
        match self.value(value, frame)? {
            Static::Int(value) => Some(value),
            other @ (Static::Bool(_) | Static::Pair(_) | Static::Padding(_) | Static::Full) => {
                self.wrong_kind("a number", other, value.span, frame)
            }
        }
    }

    /// Reports a value of another kind than the place needs.
    pub(super) fn wrong_kind<T>(
        &mut self,
        wanted: &str,
        found: Static,
        span: Span,
        frame: &Frame,
    ) -> Option<T> {
        let message = format!("expected {wanted}, found {} `{found}`", found.kind());
        self.fault(Code::WrongKind, span, frame, message, &format!("write {wanted} here"));
        None
    }

    fn builtin(&mut self, builtin: Builtin, span: Span, frame: &Frame) -> Option<Static> {
        let name = match builtin {
            Builtin::Width => return Some(Static::Int(frame.width as i64)),
            Builtin::Stride => return Some(Static::Int(frame.stride as i64)),
            Builtin::Same => return Some(Static::Padding(Padding::Same)),
            Builtin::Zeros => return Some(Static::Padding(Padding::Zeros)),
            Builtin::Valid => return Some(Static::Padding(Padding::Valid)),
            Builtin::Full => return Some(Static::Full),
            Builtin::True => return Some(Static::Bool(true)),
            Builtin::False => return Some(Static::Bool(false)),
            Builtin::Base => return Some(Static::Int(self.scale.base as i64)),
            Builtin::Classes => return Some(Static::Int(self.scale.classes as i64)),
            Builtin::ScaleN => return Some(Static::Int(self.scale.n as i64)),
            Builtin::ScaleF => return Some(Static::Int(self.scale.f as i64)),
            Builtin::Size => match frame.cell {
                Some(cell) => return Some(Static::Pair(cell.size.map(|side| side as i64))),
                None => "size",
            },
            Builtin::First => match frame.cell {
                Some(cell) => return Some(Static::Bool(cell.is_first)),
                None => "first",
            },
        };
        let message = format!("`{name}` has no value outside a cell");
        self.fault(Code::NotAvailableHere, span, frame, message, "use the operation inside a cell");
        None
    }

    fn binary(
        &mut self,
        op: ValueOp,
        left: &Value,
        right: &Value,
        span: Span,
        frame: &Frame,
    ) -> Option<Static> {
        if matches!(op, ValueOp::And | ValueOp::Or) {
            let left = self.cond(left, frame)?;
            return Some(Static::Bool(match (op, left) {
                (ValueOp::And, false) => false,
                (ValueOp::Or, true) => true,
                _ => self.cond(right, frame)?,
            }));
        }
        if matches!(op, ValueOp::Eq | ValueOp::Ne) {
            let (a, b) = (self.value(left, frame)?, self.value(right, frame)?);
            if std::mem::discriminant(&a) != std::mem::discriminant(&b) {
                return self.wrong_kind(a.kind(), b, right.span, frame);
            }
            return Some(Static::Bool((a == b) == (op == ValueOp::Eq)));
        }
        let (a, b) = (self.int(left, frame)?, self.int(right, frame)?);
        let number = match op {
            ValueOp::Add => a.checked_add(b),
            ValueOp::Sub => a.checked_sub(b),
            ValueOp::Mul => a.checked_mul(b),
            ValueOp::Div | ValueOp::Rem if b == 0 => {
                self.fault(
                    Code::AttributeOutOfRange,
                    span,
                    frame,
                    "division by zero".into(),
                    "divide by 1 or more",
                );
                return None;
            }
            ValueOp::Div => floor_div(a, b),
            ValueOp::Rem => floor_div(a, b).map(|quotient| a - b * quotient),
            ValueOp::Lt => return Some(Static::Bool(a < b)),
            ValueOp::Le => return Some(Static::Bool(a <= b)),
            ValueOp::Gt => return Some(Static::Bool(a > b)),
            ValueOp::Ge => return Some(Static::Bool(a >= b)),
            ValueOp::Eq | ValueOp::Ne | ValueOp::And | ValueOp::Or => {
                unreachable!("handled above, before both sides are numbers")
            }
        };
        if number.is_none() {
            let message = "the result is too large a number".to_string();
            self.fault(Code::AttributeOutOfRange, span, frame, message, "use smaller numbers");
        }
        number.map(Static::Int)
    }
}

/// The quotient rounded down, whatever the signs.
pub(crate) fn floor_div(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}
