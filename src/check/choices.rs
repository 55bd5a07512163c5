//! Numbers the holes of a space.
//!
//! # How holes become decisions
//!
//! Decisions are ordered cell by cell and block by block as the file is read. Within a block the
//! operands are decided first, then the operations, then the combination, each from left to right:
//! for `?ops(?earlier) ?{ +, concat } ?ops(?earlier)` that is input, input, operation, operation,
//! combination, the order of the paper's controller (section 3.1). A hole inside an option (such as
//! `max<?{3, 5}>` in a set) is decided right after the hole it stands in, and only if that option was
//! taken.

use super::{MAX_DECISIONS, MAX_OPTIONS};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{
    Combine, CombineUse, Expr, ExprKind, OpResult, OpUse, OpUseKind, Static, StaticKind, Value,
    ValueKind,
};
use crate::source::Span;
use crate::space::Decision;

/// What a hole chooses; also the order within a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// A tensor.
    Input,
    /// An operation or an attribute.
    Op,
    /// A way to combine.
    Combine,
}

impl Phase {
    fn label(self) -> &'static str {
        match self {
            Phase::Input => "input",
            Phase::Op => "op",
            Phase::Combine => "combine",
        }
    }
}

/// A hole of the block at hand, in the order of the text.
struct Hole {
    phase: Phase,
    options: Vec<String>,
    weights: Vec<u64>,
    /// The hole and option it stands in.
    when: Option<(usize, usize)>,
}

/// The holes of the block at hand.
#[derive(Default)]
pub(super) struct Holes {
    found: Vec<Hole>,
    inside: Option<(usize, usize)>,
}

impl Holes {
    /// Opens a hole; its index within the block stands for its decision until [`Holes::number`].
    pub(super) fn open(
        &mut self,
        phase: Phase,
        options: Vec<(String, u64)>,
        span: Span,
        faults: &mut Vec<Diagnostic>,
    ) -> usize {
        let (options, weights): (Vec<String>, Vec<u64>) = options.into_iter().unzip();
        if options.len() > MAX_OPTIONS {
            faults.push(
                Diagnostic::new(
                    Code::MalformedSpace,
                    span,
                    format!(
                        "a hole may have at most {MAX_OPTIONS} options, found {}",
                        options.len()
                    ),
                )
                .note("split the choice in two"),
            );
        }
        self.found.push(Hole { phase, options, weights, when: self.inside });
        self.found.len() - 1
    }

    /// Marks the holes opened from here on as standing in option `option` of `hole`; gives what was marked
    /// before, for [`Holes::leave`].
    pub(super) fn enter(&mut self, hole: usize, option: usize) -> Option<(usize, usize)> {
        self.inside.replace((hole, option))
    }

    /// Undoes [`Holes::enter`].
    pub(super) fn leave(&mut self, outer: Option<(usize, usize)>) {
        self.inside = outer;
    }

    /// Turns the holes of the definition called `owner`, which stands at `span`, into decisions after
    /// those in `decisions`; gives the decision of each hole in the order of the text.
    pub(super) fn number(
        self,
        owner: &str,
        span: Span,
        decisions: &mut Vec<Decision>,
        faults: &mut Vec<Diagnostic>,
    ) -> Vec<usize> {
        let root = |mut hole: usize| {
            while let Some((outer, _)) = self.found[hole].when {
                hole = outer;
            }
            hole
        };
        let mut order: Vec<usize> = (0..self.found.len()).collect();
        order.sort_by_key(|&hole| (self.found[root(hole)].phase, root(hole), hole));

        let first = decisions.len();
        let mut decision_of = vec![0; order.len()];
        for (position, &hole) in order.iter().enumerate() {
            decision_of[hole] = first + position;
        }
        let mut labels = vec![String::new(); order.len()];
        for &hole in &order {
            let Hole { phase, options, weights, when } = &self.found[hole];
            let siblings: Vec<usize> = (0..self.found.len())
                .filter(|&other| {
                    self.found[other].phase == *phase && self.found[other].when == *when
                })
                .collect();
            let mut label = match when {
                None => format!("{owner}.{}", phase.label()),
                Some((outer, option)) => {
                    format!(
                        "{}[{}].{}",
                        labels[*outer],
                        self.found[*outer].options[*option],
                        phase.label()
                    )
                }
            };
            if siblings.len() > 1 {
                let number = siblings.iter().position(|&other| other == hole).unwrap_or(0) + 1;
                label += &number.to_string();
            }
            labels[hole].clone_from(&label);
            let when = when.map(|(outer, option)| (decision_of[outer], option));
            decisions.push(Decision {
                label,
                options: options.clone(),
                weights: weights.clone(),
                when,
            });
        }
        if first <= MAX_DECISIONS && decisions.len() > MAX_DECISIONS {
            faults.push(
                Diagnostic::new(
                    Code::MalformedSpace,
                    span,
                    format!("a space may have at most {MAX_DECISIONS} holes"),
                )
                .note("use fewer blocks or fewer holes in each"),
            );
        }
        decision_of
    }
}

/// A part of a definition whose holes are numbered within the definition until the whole is read.
pub(super) trait Renumber {
    /// Replaces the numbers of holes by those of their decisions.
    fn renumber(&mut self, decision_of: &[usize]);
}

impl Renumber for Expr {
    fn renumber(&mut self, decision_of: &[usize]) {
        renumber(self, decision_of);
    }
}

impl Renumber for Value {
    fn renumber(&mut self, decision_of: &[usize]) {
        renumber_value(self, decision_of);
    }
}

impl Renumber for Static {
    fn renumber(&mut self, decision_of: &[usize]) {
        match &mut self.kind {
            StaticKind::Let { value, .. } => value.renumber(decision_of),
            StaticKind::Require(require) => require.cond.renumber(decision_of),
        }
    }
}

impl Renumber for OpResult {
    fn renumber(&mut self, decision_of: &[usize]) {
        match self {
            OpResult::Always(expr) => expr.renumber(decision_of),
            OpResult::When { arms, otherwise } => {
                for (cond, expr) in arms {
                    cond.renumber(decision_of);
                    expr.renumber(decision_of);
                }
                if let Some(expr) = otherwise {
                    expr.renumber(decision_of);
                }
            }
        }
    }
}

fn renumber(expr: &mut Expr, decision_of: &[usize]) {
    match &mut expr.kind {
        ExprKind::Local(_) | ExprKind::ConcatUnused => {}
        ExprKind::Apply { op, args } => {
            renumber_op(op, decision_of);
            args.iter_mut().for_each(|arg| renumber(arg, decision_of));
        }
        ExprKind::Combine { combine, left, right } => {
            if let Combine::Choice { decision, options } = combine {
                *decision = decision_of[*decision];
                for option in options {
                    match option {
                        CombineUse::Op(_) => {}
                        CombineUse::Apply(op) => renumber_op(op, decision_of),
                    }
                }
            }
            renumber(left, decision_of);
            renumber(right, decision_of);
        }
        ExprKind::Choice { decision, options } => {
            *decision = decision_of[*decision];
            options.iter_mut().for_each(|option| renumber(option, decision_of));
        }
    }
}

fn renumber_op(op: &mut OpUse, decision_of: &[usize]) {
    match &mut op.kind {
        OpUseKind::Op { attrs, .. } | OpUseKind::Primitive { attrs, .. } => {
            attrs.iter_mut().flatten().for_each(|value| renumber_value(value, decision_of));
        }
        OpUseKind::Choice { decision, options } => {
            *decision = decision_of[*decision];
            options.iter_mut().for_each(|option| renumber_op(option, decision_of));
        }
    }
}

fn renumber_value(value: &mut Value, decision_of: &[usize]) {
    match &mut value.kind {
        ValueKind::Int(_)
        | ValueKind::Param(_)
        | ValueKind::Constant(_)
        | ValueKind::Builtin(_)
        | ValueKind::Cost { .. }
        | ValueKind::Channels(_)
        | ValueKind::SizeOf(_) => {}
        ValueKind::Pair(left, right)
        | ValueKind::Min(left, right)
        | ValueKind::Max(left, right)
        | ValueKind::Binary { left, right, .. } => {
            renumber_value(left, decision_of);
            renumber_value(right, decision_of);
        }
        ValueKind::Odd(inner) | ValueKind::Not(inner) => renumber_value(inner, decision_of),
        ValueKind::Choice { decision, options } => {
            *decision = decision_of[*decision];
            options.iter_mut().for_each(|option| renumber_value(option, decision_of));
        }
    }
}
