//! Tensor expressions and uses of operations: names resolved, attributes bound, bare operands wrapped.

use std::rc::Rc;

use super::bind;
use super::choices::{Holes, Phase};
use super::names::{Names, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{
    AttrDefault, Combine, CombineUse, Expr, ExprKind, LocalId, OpId, OpUse, OpUseKind, Primitive,
    Value,
};
use crate::source::Span;
use crate::syntax::ast;
use crate::syntax::print;

/// The operation a bare operand of a combination stands for.
pub(crate) const IDENTITY: &str = "id";

/// The operation a bare operand of `out concat(...)` stands for.
pub(crate) const FIXUP: &str = "fixup";

/// The largest weight of an option.
const MAX_WEIGHT: u64 = 1_000_000;

/// The most stages of a pipeline, those of pipelines at its start counted with it.
const MAX_STAGES: usize = 512;

/// What kind of definition an expression stands in.
pub(super) enum Place {
    /// The body of an operation.
    Op {
        /// True inside a space, where holes may stand.
        in_space: bool,
    },
    /// The value of a constant.
    Constant {
        /// True inside a space, where holes may stand.
        in_space: bool,
        /// Where it stands among the file's constants.
        at: usize,
    },
    /// A condition of a space.
    SpaceRequire,
    /// A block of a cell.
    Cell {
        /// True inside a space, where holes may stand.
        in_space: bool,
        /// True in the cell's `out`.
        is_out: bool,
        /// Names bound in the cell.
        bound: Rc<[String]>,
        /// How many of them are bound before the block at hand.
        at: usize,
    },
    /// A net, with the names of its two scale parameters.
    Net {
        /// N and F as this net calls them.
        scale: [String; 2],
    },
}

impl Place {
    /// True where holes may stand.
    fn takes_holes(&self) -> bool {
        match self {
            Place::Op { in_space }
            | Place::Constant { in_space, .. }
            | Place::Cell { in_space, .. } => *in_space,
            Place::SpaceRequire | Place::Net { .. } => false,
        }
    }
}

/// What an expression can see.
pub(super) struct Scope {
    /// Where it stands.
    pub place: Place,
    /// Attributes of the operation around.
    pub params: Vec<String>,
    /// Tensors bound so far; the index is the [`LocalId`].
    pub locals: Vec<String>,
}

/// Builds the expressions of one definition.
pub(super) struct Builder<'x> {
    /// Names of the file.
    pub names: &'x Names<'x>,
    /// Parameter names of every operation.
    pub op_params: &'x [OpHead],
    /// What can be seen.
    pub scope: Scope,
    /// Holes of the block at hand.
    pub holes: Holes,
    /// Stages of the pipelines around the expression at hand.
    pub stages: usize,
    /// Faults so far.
    pub faults: &'x mut Vec<Diagnostic>,
}

/// What a use must know of an operation.
pub(super) struct OpHead {
    name: String,
    params: Vec<String>,
    args: usize,
}

impl OpHead {
    /// The heads of a module's operations, in order.
    pub(super) fn all(ops: &[crate::ir::Op]) -> Vec<OpHead> {
        ops.iter()
            .map(|op| OpHead {
                name: op.name.name.clone(),
                params: op.params.iter().map(|param| param.name.clone()).collect(),
                args: op.args,
            })
            .collect()
    }
}

impl Builder<'_> {
    /// Resolves an expression; `None` after reporting a fault.
    pub(super) fn expr(&mut self, expr: &ast::Expr) -> Option<Expr> {
        let kind = match &expr.kind {
            ast::ExprKind::Name(name) => {
                if name == "unused" && !self.scope.locals.contains(name) {
                    self.faults.push(
                        Diagnostic::new(
                            Code::MisplacedUnused,
                            expr.span,
                            "`unused` stands only for the whole of `out concat(unused)`",
                        )
                        .note("name the blocks here"),
                    );
                    return None;
                }
                ExprKind::Local(self.local(name, expr.span)?)
            }
            ast::ExprKind::Paren(inner) => return self.expr(inner),
            ast::ExprKind::Call { op, args } => return self.call(op, args, expr.span),
            ast::ExprKind::Pipe { input, stages } => {
                // Stages nest in the result although they do not in the text.
                if self.stages + stages.len() > MAX_STAGES {
                    self.faults.push(
                        Diagnostic::new(
                            Code::TooLarge,
                            expr.span,
                            format!(
                                "pipelines inside pipelines have more than {MAX_STAGES} stages"
                            ),
                        )
                        .note("make operations of parts of it"),
                    );
                    return None;
                }
                self.stages += stages.len();
                let mut value = self.expr(input);
                self.stages -= stages.len();
                for stage in stages {
                    let op = self.op_use(stage, 1);
                    value = match (value, op) {
                        (Some(input), Some(op)) => {
                            let span = input.span.to(stage.span);
                            Some(Expr { kind: ExprKind::Apply { op, args: vec![input] }, span })
                        }
                        _ => None,
                    };
                }
                return value;
            }
            ast::ExprKind::Binary { combine, left, right } => {
                let left = self.operand(left);
                let combine = match combine {
                    ast::Combine::Fixed(op) => Some(Combine::Fixed(*op)),
                    ast::Combine::Choice { options, span } => {
                        let decision =
                            self.open_hole(Phase::Combine, options, print::combine_ref, *span)?;
                        let mut resolved = Vec::new();
                        for (index, option) in options.iter().enumerate() {
                            let outer = self.holes.enter(decision, index);
                            resolved.push(match &option.item {
                                ast::CombineRef::Op { op, .. } => Some(CombineUse::Op(*op)),
                                ast::CombineRef::Named(op) => {
                                    self.op_use(op, 2).map(CombineUse::Apply)
                                }
                            });
                            self.holes.leave(outer);
                        }
                        let options = resolved.into_iter().collect::<Option<Vec<_>>>();
                        options.map(|options| Combine::Choice { decision, options })
                    }
                };
                let right = self.operand(right);
                ExprKind::Combine {
                    combine: combine?,
                    left: Box::new(left?),
                    right: Box::new(right?),
                }
            }
            ast::ExprKind::Earlier => unreachable!("`?earlier` is written out by check::expand"),
            ast::ExprKind::Choice(options) => {
                let decision = self.open_hole(Phase::Input, options, print::expr, expr.span)?;
                let mut resolved = Vec::new();
                for (index, option) in options.iter().enumerate() {
                    let outer = self.holes.enter(decision, index);
                    resolved.push(self.expr(&option.item));
                    self.holes.leave(outer);
                }
                ExprKind::Choice { decision, options: resolved.into_iter().collect::<Option<_>>()? }
            }
        };
        Some(Expr { kind, span: expr.span })
    }

    /// The tensor of this name.
    pub(super) fn local(&mut self, name: &str, span: Span) -> Option<LocalId> {
        if let Some(index) = self.scope.locals.iter().rposition(|local| local == name) {
            return Some(LocalId(index));
        }
        if let Place::Cell { bound, at, is_out, .. } = &self.scope.place
            && let Some(at) = bound[*at..].iter().position(|block| block == name)
        {
            if at == 0 && !*is_out {
                self.faults.push(
                    Diagnostic::new(
                        Code::UsedBeforeBound,
                        span,
                        format!("block `{name}` uses itself"),
                    )
                    .note("a block may use the cell's inputs and the blocks above it"),
                );
                return None;
            }
            self.faults.push(
                Diagnostic::new(
                    Code::UsedBeforeBound,
                    span,
                    format!("block `{name}` is used before it is bound"),
                )
                .note(format!("move `{name}` above this line")),
            );
            return None;
        }
        let what = if matches!(self.scope.place, Place::Cell { .. }) { "block" } else { "tensor" };
        let known = self.scope.locals.iter().map(String::as_str);
        let fault = unknown(what, name, span, known, self.faults);
        self.faults.push(fault);
        None
    }

    /// Opens a hole, or reports that none may stand here.
    pub(super) fn open_hole<T>(
        &mut self,
        phase: Phase,
        options: &[ast::Alternative<T>],
        text: impl Fn(&T) -> String,
        span: Span,
    ) -> Option<usize> {
        if let Place::SpaceRequire = self.scope.place {
            self.faults.push(
                Diagnostic::new(Code::HoleOutsideSpace, span, "a condition has no hole of its own")
                    .note("name the choice, as in `let k = ?{3, 5}`, and write the name here"),
            );
            return None;
        }
        if !self.scope.place.takes_holes() {
            self.faults.push(
                Diagnostic::new(Code::HoleOutsideSpace, span, "a hole stands outside a space")
                    .note("holes may stand in a `space`; choose an option here"),
            );
            return None;
        }
        if options.is_empty() {
            self.faults.push(
                Diagnostic::new(Code::EmptyHole, span, "this hole has no options")
                    .note("write at least one option between the braces"),
            );
            return None;
        }
        let mut weighted = Vec::with_capacity(options.len());
        for option in options {
            let weight = option.weight.map_or(1, |weight| weight.value);
            if let Some(number) = option.weight
                && !(1..=MAX_WEIGHT).contains(&weight)
            {
                self.faults.push(
                    Diagnostic::new(
                        Code::AttributeOutOfRange,
                        number.span,
                        format!("a weight is 1 to {MAX_WEIGHT}, found {weight}"),
                    )
                    .note("leave out an option that is never to be drawn"),
                );
                return None;
            }
            weighted.push((text(&option.item), weight));
        }
        Some(self.holes.open(phase, weighted, span, self.faults))
    }

    /// A call; one of several tensors is a combination, whose bare operands are adapted.
    fn call(&mut self, op: &ast::OpRef, args: &[ast::Expr], span: Span) -> Option<Expr> {
        let primitive = match &op.kind {
            ast::OpRefKind::Named { name, .. } => Primitive::of(&name.name),
            ast::OpRefKind::Set(_) | ast::OpRefKind::Choice(_) => None,
        };
        let is_out = matches!(self.scope.place, Place::Cell { is_out: true, .. });
        if primitive == Some(Primitive::Concat)
            && is_out
            && let [ast::Expr { kind: ast::ExprKind::Name(name), .. }] = args
            && name == "unused"
            && !self.scope.locals.contains(name)
        {
            return Some(Expr { kind: ExprKind::ConcatUnused, span });
        }
        let is_combination = args.len() > 1 || primitive == Some(Primitive::Concat);
        let op = self.op_use(op, args.len());
        let args: Vec<Option<Expr>> = args
            .iter()
            .map(|arg| {
                if !is_combination {
                    return self.expr(arg);
                }
                let adapter =
                    if is_out && primitive == Some(Primitive::Concat) { FIXUP } else { IDENTITY };
                let arg = self.expr(arg)?;
                self.adapt(arg, adapter)
            })
            .collect();
        let args = args.into_iter().collect::<Option<Vec<Expr>>>()?;
        Some(Expr { kind: ExprKind::Apply { op: op?, args }, span })
    }

    /// An operand of an infix combination.
    fn operand(&mut self, operand: &ast::Expr) -> Option<Expr> {
        let operand = self.expr(operand)?;
        self.adapt(operand, IDENTITY)
    }

    /// In a cell, a bare operand goes through the operation called `adapter`.
    pub(super) fn adapt(&mut self, operand: Expr, adapter: &str) -> Option<Expr> {
        if !matches!(self.scope.place, Place::Cell { .. }) {
            return Some(operand);
        }
        let span = operand.span;
        match operand.kind {
            ExprKind::Local(_) => {
                let op = self.adapter(adapter, span)?;
                Some(Expr { kind: ExprKind::Apply { op, args: vec![operand] }, span })
            }
            ExprKind::Choice { decision, options } => {
                let options = options.into_iter().map(|option| self.adapt(option, adapter));
                let options = options.collect::<Option<Vec<_>>>()?;
                Some(Expr { kind: ExprKind::Choice { decision, options }, span })
            }
            ExprKind::Apply { .. } | ExprKind::Combine { .. } | ExprKind::ConcatUnused => {
                Some(operand)
            }
        }
    }

    /// A use of the operation called `name` that the language inserts.
    fn adapter(&mut self, name: &str, span: Span) -> Option<OpUse> {
        let head = self.names.find_op(name).map(|id| (id, &self.op_params[id.0]));
        match head {
            Some((op, head)) if head.args == 1 && !self.names.required[op.0].contains(&true) => {
                let attrs = vec![None; head.params.len()];
                Some(OpUse { kind: OpUseKind::Op { op, attrs }, span })
            }
            Some(_) => {
                self.faults.push(
                    Diagnostic::new(
                        Code::WrongArgumentCount,
                        span,
                        format!(
                            "a bare operand needs `{name}` to take one tensor and no attributes"
                        ),
                    )
                    .note(format!("rename your `{name}`, or give its attributes defaults")),
                );
                None
            }
            None => {
                let fault = unknown("operation", name, span, [], self.faults);
                self.faults.push(fault);
                None
            }
        }
    }

    /// Resolves a use of an operation on `args` tensors.
    pub(super) fn op_use(&mut self, op: &ast::OpRef, args: usize) -> Option<OpUse> {
        let kind = match &op.kind {
            ast::OpRefKind::Named { name, attrs } => self.named(name, attrs, args, op.span)?,
            ast::OpRefKind::Set(_) => {
                self.faults.push(
                    Diagnostic::new(
                        Code::HoleOutsideSpace,
                        op.span,
                        "a hole stands outside a space",
                    )
                    .note("holes may stand in a `space`; choose an option here"),
                );
                return None;
            }
            ast::OpRefKind::Choice(options) => {
                let decision = self.open_hole(Phase::Op, options, print::op_ref, op.span)?;
                let mut resolved = Vec::new();
                for (index, option) in options.iter().enumerate() {
                    let outer = self.holes.enter(decision, index);
                    resolved.push(self.op_use(&option.item, args));
                    self.holes.leave(outer);
                }
                OpUseKind::Choice {
                    decision,
                    options: resolved.into_iter().collect::<Option<_>>()?,
                }
            }
        };
        Some(OpUse { kind, span: op.span })
    }

    fn named(
        &mut self,
        name: &ast::Ident,
        attrs: &[ast::Attr],
        args: usize,
        span: Span,
    ) -> Option<OpUseKind> {
        if let Some(primitive) = Primitive::of(&name.name) {
            let specs: Vec<(&str, bool)> = primitive
                .attrs()
                .iter()
                .map(|spec| (spec.name, spec.default == AttrDefault::Required))
                .collect();
            let attrs = self.bind(&name.name, &specs, attrs, span);
            self.arity(&name.name, primitive.arity(), args, span)?;
            return Some(OpUseKind::Primitive { primitive, attrs: attrs? });
        }
        let Some(op) = self.names.find_op(&name.name) else {
            let known = self.names.ops.keys().map(String::as_str);
            let known = known.chain(Primitive::ALL.map(Primitive::name));
            let fault = unknown("operation", &name.name, name.span, known, self.faults);
            self.faults.push(fault);
            return None;
        };
        let OpId(index) = op;
        let head = &self.op_params[index];
        let required = &self.names.required[index];
        let specs: Vec<(&str, bool)> =
            head.params.iter().map(String::as_str).zip(required.iter().copied()).collect();
        let attrs = self.bind(&head.name, &specs, attrs, span);
        self.arity(&head.name, (head.args, head.args), args, span)?;
        Some(OpUseKind::Op { op, attrs: attrs? })
    }

    fn arity(
        &mut self,
        name: &str,
        (least, most): (usize, usize),
        found: usize,
        span: Span,
    ) -> Option<()> {
        if (least..=most).contains(&found) {
            return Some(());
        }
        let tensors = |n: usize| if n == 1 { "1 tensor".into() } else { format!("{n} tensors") };
        let wanted = if most == usize::MAX {
            format!("at least {}", tensors(least))
        } else {
            tensors(least)
        };
        self.faults.push(
            Diagnostic::new(
                Code::WrongArgumentCount,
                span,
                format!("`{name}` takes {wanted}, found {found}"),
            )
            .note(format!("give `{name}` {wanted}")),
        );
        None
    }

    /// Binds attributes to parameters.
    fn bind(
        &mut self,
        callee: &str,
        specs: &[(&str, bool)],
        attrs: &[ast::Attr],
        span: Span,
    ) -> Option<Vec<Option<Value>>> {
        let values: Vec<Option<Value>> = attrs.iter().map(|attr| self.value(&attr.value)).collect();
        let places = bind::places(callee, specs, attrs, span, self.faults)?;
        let values = values.into_iter().collect::<Option<Vec<Value>>>()?;
        Some(places.into_iter().map(|at| at.map(|at| values[at].clone())).collect())
    }

    /// Numbers the holes of a finished definition; gives the decision of each in the order of the text.
    pub(super) fn finish(
        &mut self,
        owner: &str,
        span: Span,
        decisions: &mut Vec<crate::space::Decision>,
    ) -> Vec<usize> {
        std::mem::take(&mut self.holes).number(owner, span, decisions, self.faults)
    }
}
