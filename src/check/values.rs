//! Static values: names to parameters and language names, calls to the functions that exist.

use super::choices::Phase;
use super::exprs::{Builder, Place};
use super::names::{BUILTINS, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Builtin, ClaimKind, LocalId, Value, ValueKind};
use crate::source::Span;
use crate::syntax::ast;
use crate::syntax::print;

/// The largest number a file may write; keeps every later product far from overflow.
const MAX_NUMBER: u64 = 1 << 40;

impl Builder<'_> {
    /// Resolves a value; `None` after reporting a fault.
    pub(super) fn value(&mut self, value: &ast::Value) -> Option<Value> {
        let kind = match &value.kind {
            ast::ValueKind::Number(number) if *number > MAX_NUMBER => {
                self.faults.push(
                    Diagnostic::new(
                        Code::AttributeOutOfRange,
                        value.span,
                        format!("{number} is too large a number"),
                    )
                    .note(format!("the largest number is {MAX_NUMBER}")),
                );
                return None;
            }
            ast::ValueKind::Number(number) => ValueKind::Int(*number as i64),
            ast::ValueKind::Name(name) => self.name(name, value.span)?,
            ast::ValueKind::Pair(left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                ValueKind::Pair(Box::new(left?), Box::new(right?))
            }
            ast::ValueKind::Call { function, args } => self.function(function, args, value.span)?,
            ast::ValueKind::Cost { count, net, scale } => {
                self.cost(count, net, *scale, value.span)?
            }
            ast::ValueKind::Binary { op, left, right } => {
                let (left, right) = (self.value(left), self.value(right));
                ValueKind::Binary { op: *op, left: Box::new(left?), right: Box::new(right?) }
            }
            ast::ValueKind::Not(inner) => ValueKind::Not(Box::new(self.value(inner)?)),
            ast::ValueKind::Paren(inner) => return self.value(inner),
            ast::ValueKind::Choice(options) => {
                let decision = self.open_hole(Phase::Value, options, print::value, value.span)?;
                let mut resolved = Vec::new();
                for (index, option) in options.iter().enumerate() {
                    let outer = self.holes.enter(decision, index);
                    resolved.push(self.value(&option.item));
                    self.holes.leave(outer);
                }
                ValueKind::Choice {
                    decision,
                    options: resolved.into_iter().collect::<Option<_>>()?,
                }
            }
        };
        Some(Value { kind, span: value.span })
    }

    fn name(&mut self, name: &str, span: Span) -> Option<ValueKind> {
        if let Some(index) = self.scope.params.iter().position(|param| param == name) {
            return Some(ValueKind::Param(index));
        }
        if let Place::Net { scale } = &self.scope.place
            && let Some(at) = scale.iter().position(|param| param == name)
        {
            let builtin = if at == 0 { Builtin::ScaleN } else { Builtin::ScaleF };
            return Some(ValueKind::Builtin(builtin));
        }
        if let Place::Constant { at, .. } = &self.scope.place
            && self.names.constant_places.get(name).is_some_and(|place| place >= at)
        {
            self.faults.push(
                Diagnostic::new(
                    Code::UsedBeforeBound,
                    span,
                    format!("constant `{name}` is used before it is bound"),
                )
                .note("a constant may use those above it"),
            );
            return None;
        }
        if let Some(constant) = self.names.find_constant(name) {
            return Some(ValueKind::Constant(constant));
        }
        let Some(&(_, builtin)) = BUILTINS.iter().find(|(known, _)| *known == name) else {
            let known = self.scope.params.iter().map(String::as_str);
            let known = known.chain(self.names.constants.keys().map(String::as_str));
            let known = known.chain(BUILTINS.iter().map(|(known, _)| *known));
            let fault = unknown("value", name, span, known, self.faults);
            self.faults.push(fault);
            return None;
        };
        let in_net = matches!(self.scope.place, Place::Net { .. });
        let is_placeless = matches!(self.scope.place, Place::Constant { .. } | Place::SpaceRequire);
        let fits = match builtin {
            Builtin::Same
            | Builtin::Zeros
            | Builtin::Valid
            | Builtin::Full
            | Builtin::True
            | Builtin::False => true,
            Builtin::Width | Builtin::Stride | Builtin::Size | Builtin::First => {
                !in_net && !is_placeless
            }
            Builtin::Base | Builtin::Classes | Builtin::ScaleN | Builtin::ScaleF => in_net,
        };
        if !fits {
            let (here, there) = match self.scope.place {
                Place::Net { .. } => ("a net", "operations and cells"),
                Place::Cell { .. } => ("a cell", "nets"),
                Place::Op { .. } => ("an operation", "nets"),
                Place::Constant { .. } | Place::SpaceRequire => {
                    let here = match self.scope.place {
                        Place::SpaceRequire => "a condition of a space",
                        _ => "a constant",
                    };
                    let there = if matches!(
                        builtin,
                        Builtin::Width | Builtin::Stride | Builtin::Size | Builtin::First
                    ) {
                        "operations and cells"
                    } else {
                        "nets"
                    };
                    (here, there)
                }
            };
            self.faults.push(
                Diagnostic::new(
                    Code::NotAvailableHere,
                    span,
                    format!("`{name}` has no value in {here}"),
                )
                .note(format!("`{name}` is known in {there}")),
            );
            return None;
        }
        Some(ValueKind::Builtin(builtin))
    }

    fn function(
        &mut self,
        function: &ast::Ident,
        args: &[ast::Value],
        span: Span,
    ) -> Option<ValueKind> {
        const FUNCTIONS: [&str; 5] = ["channels", "max", "min", "odd", "size"];
        if !FUNCTIONS.contains(&function.name.as_str()) {
            let fault = unknown("function", &function.name, function.span, FUNCTIONS, self.faults);
            self.faults.push(fault);
            return None;
        }
        if matches!(function.name.as_str(), "min" | "max") {
            let [left, right] = args else {
                self.faults.push(
                    Diagnostic::new(
                        Code::WrongArgumentCount,
                        span,
                        format!("`{}` takes two arguments, found {}", function.name, args.len()),
                    )
                    .note(format!("write `{}(a, b)`", function.name)),
                );
                return None;
            };
            let (left, right) = (self.value(left), self.value(right));
            let (left, right) = (Box::new(left?), Box::new(right?));
            return Some(match function.name.as_str() {
                "min" => ValueKind::Min(left, right),
                _ => ValueKind::Max(left, right),
            });
        }
        let [arg] = args else {
            self.faults.push(
                Diagnostic::new(
                    Code::WrongArgumentCount,
                    span,
                    format!("`{}` takes one argument, found {}", function.name, args.len()),
                )
                .note(format!("write `{}(x)`", function.name)),
            );
            return None;
        };
        if function.name == "odd" {
            return Some(ValueKind::Odd(Box::new(self.value(arg)?)));
        }
        let local = self.tensor_name(&function.name, arg)?;
        Some(if function.name == "size" {
            ValueKind::SizeOf(local)
        } else {
            ValueKind::Channels(local)
        })
    }

    /// A count of the file's cells in a net, which conditions of a space may ask for.
    fn cost(
        &mut self,
        count: &ast::Ident,
        net: &ast::Ident,
        scale: ast::ScaleLit,
        span: Span,
    ) -> Option<ValueKind> {
        if !matches!(self.scope.place, Place::SpaceRequire) {
            self.faults.push(
                Diagnostic::new(
                    Code::NotAvailableHere,
                    span,
                    format!("`{}` of a net has no value here", count.name),
                )
                .note("only a `require` of a space asks what its points cost"),
            );
            return None;
        }
        let Some(kind) = ClaimKind::ALL.into_iter().find(|kind| kind.name() == count.name) else {
            let known = ClaimKind::ALL.map(ClaimKind::name);
            let mut fault = unknown("count", &count.name, count.span, known, self.faults);
            fault.code = Code::UnknownClaim;
            self.faults.push(fault);
            return None;
        };
        Some(ValueKind::Cost { count: kind, net: net.clone(), scale })
    }

    fn tensor_name(&mut self, function: &str, arg: &ast::Value) -> Option<LocalId> {
        let ast::ValueKind::Name(name) = &arg.kind else {
            self.faults.push(
                Diagnostic::new(
                    Code::WrongKind,
                    arg.span,
                    format!("`{function}` takes the name of a tensor"),
                )
                .note("bind the tensor to a name first"),
            );
            return None;
        };
        self.local(name, arg.span)
    }
}
