//! Numbers the holes of a space.
//!
//! # How holes become decisions
//!
//! The constants of the space come first, then its operations, then cell by cell, statement by statement
//! as the file is read. Within a statement of a cell, or a whole operation, the operands are decided first,
//! then the operations and values, then the combinations, each from left to right: for
//! `?ops(?earlier) ?{ +, concat } ?ops(?earlier)` that is input, input, operation, operation,
//! combination, the order of the paper's controller (section 3.1). A hole inside an option (such as
//! `max<?{3, 5}>` in a set) is decided right after the hole it stands in, and only if that option was
//! taken. A hole inside a `when` of an operation is decided only for those options of a shared choice for
//! which its case can be taken, as far as one shared choice alone tells.
//!
//! # Labels
//!
//! `OWNER.KIND`, where the owner is `k` for a constant of the space, `f` for an operation, `normal.n1` for
//! a block of a cell, `normal.k` for a constant of a cell; the kind is `input`, `op`, `value` or `combine`,
//! numbered from 1 if the owner has several of it. A hole inside an option adds the option and its own
//! kind, `normal.n1.op[max<?{3, 5}>].value`. Where names of different kinds of things meet, such as a constant
//! and an operation both called `f`, the owner that comes later ends in `#2`.

use super::{MAX_DECISIONS, MAX_OPTIONS};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{
    Combine, CombineUse, Constant, Expr, ExprKind, OpResult, OpUse, OpUseKind, Static, StaticKind,
    Value, ValueKind,
};
use crate::source::Span;
use crate::space::condition::{Evaluation, Reads};
use crate::space::{Decision, When};

/// What a hole chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A tensor.
    Input,
    /// An operation.
    Op,
    /// An attribute or another static value.
    Value,
    /// A way to combine.
    Combine,
}

impl Phase {
    fn label(self) -> &'static str {
        match self {
            Phase::Input => "input",
            Phase::Op => "op",
            Phase::Value => "value",
            Phase::Combine => "combine",
        }
    }

    /// Its place in the order within a definition.
    fn rank(self) -> usize {
        match self {
            Phase::Input => 0,
            Phase::Op | Phase::Value => 1,
            Phase::Combine => 2,
        }
    }
}

/// A hole of the block at hand, in the order of the text.
struct Hole {
    phase: Phase,
    options: Vec<String>,
    weights: Vec<u64>,
    inside: Inside,
}

impl Hole {
    /// The hole and option it stands in.
    fn outer(&self) -> Option<(usize, usize)> {
        match self.inside {
            Inside::Option { hole, option } => Some((hole, option)),
            Inside::Definition | Inside::Case(_) => None,
        }
    }
}

/// What a hole stands in.
#[derive(Clone, Default)]
pub(super) enum Inside {
    /// Nothing that could be left out.
    #[default]
    Definition,
    /// A case of a `when` that is taken for some options of a decision only.
    Case(When),
    /// An option of a hole of the same block.
    Option {
        /// The hole.
        hole: usize,
        /// The option.
        option: usize,
    },
}

/// The holes of the block at hand.
#[derive(Default)]
pub(super) struct Holes {
    found: Vec<Hole>,
    inside: Inside,
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
        self.found.push(Hole { phase, options, weights, inside: self.inside.clone() });
        self.found.len() - 1
    }

    /// How many were opened.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Marks the holes opened from here on as standing in option `option` of `hole`; gives what was marked
    /// before, for [`Holes::leave`].
    pub(super) fn enter(&mut self, hole: usize, option: usize) -> Inside {
        std::mem::replace(&mut self.inside, Inside::Option { hole, option })
    }

    /// Marks the holes opened from here on as standing in a case of a `when`, until [`Holes::leave`].
    pub(super) fn enter_case(&mut self, when: Option<When>) -> Inside {
        let inside = when.map_or(Inside::Definition, Inside::Case);
        std::mem::replace(&mut self.inside, inside)
    }

    /// Undoes [`Holes::enter`] and [`Holes::enter_case`].
    pub(super) fn leave(&mut self, outer: Inside) {
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
            while let Some((outer, _)) = self.found[hole].outer() {
                hole = outer;
            }
            hole
        };
        let mut order: Vec<usize> = (0..self.found.len()).collect();
        order.sort_by_key(|&hole| (self.found[root(hole)].phase.rank(), root(hole), hole));

        let first = decisions.len();
        let owner = if order.is_empty() { owner.into() } else { unique(owner, decisions) };
        let mut decision_of = vec![0; order.len()];
        for (position, &hole) in order.iter().enumerate() {
            decision_of[hole] = first + position;
        }
        let mut labels = vec![String::new(); order.len()];
        for &hole in &order {
            let Hole { phase, options, weights, inside } = &self.found[hole];
            let outer = self.found[hole].outer();
            let siblings: Vec<usize> = (0..self.found.len())
                .filter(|&other| {
                    self.found[other].phase == *phase && self.found[other].outer() == outer
                })
                .collect();
            let mut label = match outer {
                None => format!("{owner}.{}", phase.label()),
                Some((outer, option)) => {
                    let option = &self.found[outer].options[option];
                    format!("{}[{option}].{}", labels[outer], phase.label())
                }
            };
            if siblings.len() > 1 {
                let number = siblings.iter().position(|&other| other == hole).unwrap_or(0) + 1;
                label += &number.to_string();
            }
            labels[hole].clone_from(&label);
            let when = match inside {
                Inside::Definition => None,
                Inside::Case(when) => Some(when.clone()),
                Inside::Option { hole, option } => {
                    Some(When { decision: decision_of[*hole], options: vec![*option] })
                }
            };
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

/// The name of an owner of labels, with a number where an earlier one has the same.
fn unique(owner: &str, decisions: &[Decision]) -> String {
    let is_taken = |owner: &str| {
        decisions.iter().any(|decision| {
            decision.label.strip_prefix(owner).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    if !is_taken(owner) {
        return owner.into();
    }
    let mut number = 2;
    while is_taken(&format!("{owner}#{number}")) {
        number += 1;
    }
    format!("{owner}#{number}")
}

/// What is known of the conditions of an operation's cases before a point is drawn.
pub(super) struct Cases<'x> {
    constants: &'x [Constant],
    decisions: &'x [Decision],
    /// Values that may still be evaluated; a file that would need more leaves its holes always active.
    steps: usize,
}

impl<'x> Cases<'x> {
    /// How many values may be evaluated for all cases of a file.
    pub(super) const MAX_STEPS: usize = 1 << 20;

    pub(super) fn new(
        constants: &'x [Constant],
        decisions: &'x [Decision],
        steps: usize,
    ) -> Cases<'x> {
        Cases { constants, decisions, steps }
    }

    /// Steps that are left.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// The options of a shared choice for which a case can be taken, if that is not all of them: none of
    /// the conditions `above` it is known to hold then, and its own is not known not to. Of several choices
    /// that rule the case out the first one read counts, since a decision depends on one other.
    pub(super) fn when(&mut self, above: &[Value], own: Option<&Value>) -> Option<When> {
        let mut tried = Vec::new();
        for condition in own.into_iter().chain(above) {
            let reads = Reads::of(self.constants, condition);
            for decision in reads.decisions {
                if tried.contains(&decision) {
                    continue;
                }
                tried.push(decision);
                let count = self.decisions[decision].options.len();
                let cost = count * (1 + above.len()) * (1 + reads.constants.len());
                self.steps = self.steps.checked_sub(cost)?;
                let options: Vec<usize> = (0..count)
                    .filter(|&option| self.can_be_taken(above, own, (decision, option)))
                    .collect();
                if options.len() < count {
                    return Some(When { decision, options });
                }
            }
        }
        None
    }

    fn can_be_taken(
        &self,
        above: &[Value],
        own: Option<&Value>,
        (decision, option): (usize, usize),
    ) -> bool {
        let choice = |other: usize| (other == decision).then_some(option);
        let mut evaluation = Evaluation::without_costs(self.constants, &choice);
        let mut is = |condition: &Value, outcome: bool| {
            evaluation.truth(condition).is_ok_and(|truth| truth.holds == outcome)
        };
        !above.iter().any(|condition| is(condition, true)) && !own.is_some_and(|own| is(own, false))
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
