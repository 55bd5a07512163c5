//! The conditions of a space: what they ask about exists, they are conditions, and some point may meet them.
//!
//! Whether a point's networks are as small as a condition says is counted when points are drawn. Here the
//! costs are left open, so that only a condition no cost can save is reported.

use super::claims;
use super::names::unknown;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Module, Require};
use crate::space::Decision;
use crate::space::condition::{Evaluation, Reads, Unknown, costs};
use crate::syntax::ast::{self, Item};

/// The most combinations of options that are tried for one condition.
const MAX_COMBINATIONS: usize = 1 << 12;

/// How many values may be evaluated for all conditions together.
const MAX_STEPS: usize = 1 << 20;

/// Reports nets that do not exist and scales that no network can have.
pub(super) fn names(file: &ast::File, module: &Module, faults: &mut Vec<Diagnostic>) {
    for require in conditions(module) {
        for (_, net, scale) in costs(&require.cond) {
            let is_own = file
                .items
                .iter()
                .any(|item| matches!(item, Item::Net(own) if own.name.name == net.name));
            if !is_own && module.net(&net.name).is_none() {
                let known = module.nets.iter().map(|net| net.name.name.as_str());
                let fault = unknown("net", &net.name, net.span, known, faults);
                faults.push(fault);
            }
            claims::scale(scale, faults);
        }
    }
}

/// Reports conditions that are none, and those that no point meets whatever it costs.
pub(super) fn check(module: &Module, faults: &mut Vec<Diagnostic>) {
    let decisions = module.space.as_ref().map_or(&[][..], |space| &space.decisions.decisions);
    let mut steps = 0;
    for require in conditions(module) {
        let reads = Reads::of(&module.constants, &require.cond);
        let read: Vec<usize> = reads.decisions.into_iter().collect();
        let mut may_hold = false;
        let mut fault = None;
        for choices in combinations(&read, decisions) {
            steps += 1 + reads.constants.len();
            if steps > MAX_STEPS {
                return;
            }
            let choice =
                |decision: usize| read.binary_search(&decision).ok().and_then(|at| choices[at]);
            // A cost is a number, whatever it comes to.
            let kinds = |_, _: &ast::Ident, _| Ok(1);
            let outcome = Evaluation::new(&module.constants, &choice, &kinds).truth(&require.cond);
            if let Err(Unknown::Kind { span, wanted, found }) = outcome {
                fault = Some(
                    Diagnostic::new(
                        Code::WrongKind,
                        span,
                        format!("expected {wanted}, found {found}"),
                    )
                    .note("compare numbers with `<=`, join conditions with `and`"),
                );
                break;
            }
            let mut open = Evaluation::without_costs(&module.constants, &choice);
            may_hold |= match open.truth(&require.cond) {
                Ok(truth) => truth.holds,
                Err(Unknown::Arithmetic) => false,
                Err(Unknown::Open | Unknown::Kind { .. } | Unknown::Unbuildable(_)) => true,
            };
        }
        if let Some(fault) = fault {
            faults.push(fault);
        } else if !may_hold {
            faults.push(
                Diagnostic::new(
                    Code::MalformedSpace,
                    require.span,
                    "no point of the space meets this condition",
                )
                .note("loosen it, or give a hole it reads an option for which it holds"),
            );
        }
    }
}

fn conditions(module: &Module) -> &[Require] {
    module.space.as_ref().map_or(&[], |space| &space.requires)
}

/// Every combination of options of the decisions `read`; where those are too many, one with all of them
/// open and then every option alone. Nested decisions are combined with options that rule them out, which
/// a condition cannot tell.
fn combinations(read: &[usize], decisions: &[Decision]) -> Vec<Vec<Option<usize>>> {
    let counts: Vec<usize> = read.iter().map(|&at| decisions[at].options.len()).collect();
    let product = counts.iter().try_fold(1usize, |product, count| product.checked_mul(*count));
    if let Some(product) = product.filter(|&product| product <= MAX_COMBINATIONS) {
        let nth = |number: usize| {
            let mut rest = number;
            let option = |count: &usize| {
                let option = rest % count;
                rest /= count;
                Some(option)
            };
            counts.iter().map(option).collect()
        };
        return (0..product).map(nth).collect();
    }
    let mut found = vec![vec![None; read.len()]];
    for (at, &count) in counts.iter().enumerate() {
        for option in 0..count {
            if found.len() > MAX_COMBINATIONS {
                return found;
            }
            let mut choices = vec![None; read.len()];
            choices[at] = Some(option);
            found.push(choices);
        }
    }
    found
}
