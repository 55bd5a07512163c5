//! How long children are trained: all of them to the end, or the hopeless ones less.
//!
//! | written | is |
//! |---|---|
//! | `whole` | every child is trained for all its epochs |
//! | `halving:1,3,9` | successive halving: the children of a batch are trained for 1 epoch, the better third of them up to 3, the best of those up to 9 |
//! | `hyperband:1,3,9` | one batch begins with 1 epoch, the next with 3, the next with 9, and so on in turn |
//! | `asha:1,3,9@8` | asynchronous successive halving, as 8 workers do it: a child goes on as soon as it is in the better third of all so far |
//! | `median` | a child ends after an epoch in which its best reward so far is below what half of the earlier children had on average |
//!
//! Of the `n` children that are scored at a rung of `a` epochs, before one of `b`, the `n * a / b` best go on,
//! rounded down, so that every rung has about the same number of epochs to train. In `halving` and `hyperband`
//! these are children of one batch, and at least one goes on. In `asha` they are all children of the search so
//! far, failures and repeats aside, and a child that is not among them when it comes to a rung may be later, as
//! more come; it waits for that until its batch is over, since then the strategy learns from it. Of a batch that
//! is better than those before it more go on than that part.
//!
//! All are trained on the learning rates of the last rung, so that what is compared has had the same; a child
//! that goes on goes on where it was. The reward of a child is that of the last epoch it had, and the strategy
//! learns from that, in the batch and across batches: what was stopped was worse at the same age than what
//! went on, and has had less time to become better.
//!
//! # Determinism
//! Who goes on at a rung of `halving` and `hyperband` depends on all that reached it, so a rung is a barrier
//! within its batch, and the median is that of the batches before. `asha` has no barrier within a batch: what its
//! workers would know at the time of a decision is found out on a clock of epochs, see the source of `Asha`. The
//! number of those workers is a setting of its own, best at least that of the real ones. So nothing depends on
//! the number of real workers, nor on how long they take.
//!
//! # Resuming
//! The ledger has the rewards at the rungs or after the epochs, as `curve`. A child between two rungs is in
//! no ledger: if a search is killed then, that child is trained again, from the beginning and with the same
//! result. With `asha` these are all children of a batch that have not come to the last rung.
//!
//! # Source
//! Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS
//! 2016), for successive halving; Li et al., "Hyperband" (JMLR 2018); Li et al., "A System for Massively Parallel
//! Hyperparameter Tuning" (2020), Algorithm 2, for the asynchronous form; Golovin et al., "Google Vizier"
//! (KDD 2017), section 3.2.2, for the median rule.

mod asha;
mod halving;
mod median;
mod race;
mod retrain;

use std::any::Any;
use std::fmt;
use std::str::FromStr;

use super::evaluator::{Evaluation, Failure};
use crate::error::Error;
use crate::space::Genotype;
pub use median::LEAST_FOR_MEDIAN;
pub(super) use race::{Moves, Race};
pub use retrain::Retrain;

/// The workers that [`Budget::Asha`] decides for where nothing says more.
pub const ASHA_WORKERS: usize = 8;

/// An evaluator whose evaluations can be looked at, put aside and gone on with.
pub trait Stepwise: Sync {
    /// Epochs of a whole evaluation, at least 1.
    fn epochs(&self) -> usize;

    /// Trains until so many epochs are done, at most [`epochs`](Self::epochs), from where `paused` was or
    /// from the beginning, and scores the child as it is then. In several steps it comes to what it comes to
    /// in one.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`](super::Evaluator::evaluate).
    fn advance(
        &self,
        genotype: &Genotype,
        seed: u64,
        paused: Option<Paused>,
        until: usize,
    ) -> Result<(Evaluation, Paused), Failure>;

    /// A state as bytes, for another process to go on with; `None` if it must begin anew.
    fn save(&self, _paused: Paused) -> Option<Vec<u8>> {
        None
    }

    /// The state that was [saved](Self::save); `None` if these bytes are none.
    fn restore(&self, _bytes: &[u8]) -> Option<Paused> {
        None
    }

    /// Scores the architecture after a training of its own that is planned for so many epochs.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`](super::Evaluator::evaluate).
    fn evaluate_for(
        &self,
        genotype: &Genotype,
        seed: u64,
        epochs: usize,
    ) -> Result<Evaluation, Failure>;
}

/// All that an evaluator needs to go on with a child.
pub struct Paused(Box<dyn Any + Send>);

impl Paused {
    /// Wraps a state.
    pub fn new(state: impl Any + Send) -> Self {
        Paused(Box::new(state))
    }

    /// A look at the state; `None` if it is of another type.
    pub fn state<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    /// The state again; `None` if it is of another type.
    pub fn into_state<T: Any>(self) -> Option<T> {
        self.0.downcast().ok().map(|state| *state)
    }
}

impl fmt::Debug for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paused")
    }
}

/// How long children are trained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Budget {
    /// To the end.
    #[default]
    Whole,
    /// Successive halving with rungs after so many epochs, ascending and at least two.
    Halving(Vec<usize>),
    /// The same; batches begin at one rung after the other.
    Hyperband(Vec<usize>),
    /// Asynchronous successive halving.
    Asha {
        /// As those of successive halving.
        rungs: Vec<usize>,
        /// How many workers it decides for, at least 1.
        workers: usize,
    },
    /// The median rule.
    Median,
}

impl Budget {
    /// The epochs of a child that is never stopped, if the budget decides that.
    pub fn epochs(&self) -> Option<usize> {
        match self {
            Budget::Whole | Budget::Median => None,
            Budget::Halving(rungs) | Budget::Hyperband(rungs) | Budget::Asha { rungs, .. } => {
                rungs.last().copied()
            }
        }
    }

    /// Checks that trials are in whole batches, where the children of one compete: a batch cut short would
    /// have let others go on than the whole one.
    ///
    /// # Errors
    /// [`Error::Config`] if they are not, or if the last rung is not the end of an evaluation, or there is
    /// no going on with one.
    pub(super) fn check(
        &self,
        evaluator: Option<&dyn Stepwise>,
        trials: usize,
        batch: usize,
    ) -> Result<(), Error> {
        let refuse =
            |setting, value: String, reason: String| Err(Error::Config { setting, value, reason });
        let Some(evaluator) = evaluator else {
            return match self {
                Budget::Whole => Ok(()),
                Budget::Halving(_)
                | Budget::Hyperband(_)
                | Budget::Asha { .. }
                | Budget::Median => refuse(
                    "budget",
                    format!("`{self}`"),
                    "only what is trained can be stopped, with `--evaluator train`".into(),
                ),
            };
        };
        let Some(last) = self.epochs() else { return Ok(()) };
        if last != evaluator.epochs() {
            let reason = format!("children are trained for {} epochs", evaluator.epochs());
            return refuse("budget", format!("`{self}`"), reason);
        }
        if !trials.is_multiple_of(batch) {
            let next = trials.next_multiple_of(batch);
            let reason = format!(
                "the children of a batch compete, so it must be a multiple of {batch}, such as {next}"
            );
            return refuse("trials", trials.to_string(), reason);
        }
        Ok(())
    }

    /// The rungs of a batch, counted from 0.
    fn rungs(&self, batch: usize) -> &[usize] {
        match self {
            Budget::Whole | Budget::Median => &[],
            Budget::Halving(rungs) | Budget::Asha { rungs, .. } => rungs,
            Budget::Hyperband(rungs) => &rungs[batch % rungs.len()..],
        }
    }

    /// All settings as TOML keys and values; none for whole trainings.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Budget::Whole => Vec::new(),
            Budget::Halving(_) | Budget::Hyperband(_) | Budget::Asha { .. } | Budget::Median => {
                vec![("budget", format!("\"{self}\""))]
            }
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, rungs) = match self {
            Budget::Whole => return f.write_str("whole"),
            Budget::Median => return f.write_str("median"),
            Budget::Halving(rungs) => ("halving", rungs),
            Budget::Hyperband(rungs) => ("hyperband", rungs),
            Budget::Asha { rungs, .. } => ("asha", rungs),
        };
        let rungs: Vec<String> = rungs.iter().map(usize::to_string).collect();
        write!(f, "{name}:{}", rungs.join(","))?;
        match self {
            Budget::Asha { workers, .. } => write!(f, "@{workers}"),
            Budget::Whole | Budget::Halving(_) | Budget::Hyperband(_) | Budget::Median => Ok(()),
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rungs = |text: &str| {
            let rungs = text.split(',').map(|rung| rung.trim().parse().ok());
            let rungs: Option<Vec<usize>> = rungs.collect();
            rungs
                .filter(|rungs| {
                    rungs.len() >= 2 && rungs[0] > 0 && rungs.is_sorted_by(|a, b| a < b)
                })
                .ok_or_else(|| format!("`{text}` are no epochs that ascend, such as 1,3,9"))
        };
        match text.split_once(':') {
            None if text == "whole" => Ok(Budget::Whole),
            None if text == "median" => Ok(Budget::Median),
            Some(("halving", text)) => Ok(Budget::Halving(rungs(text)?)),
            Some(("hyperband", text)) => Ok(Budget::Hyperband(rungs(text)?)),
            Some(("asha", text)) => {
                let (text, workers) = match text.split_once('@') {
                    None => (text, ASHA_WORKERS),
                    Some((text, workers)) => {
                        let number = workers.trim().parse().ok().filter(|&number| number > 0);
                        let fault =
                            || format!("`{workers}` is no number of workers, as in asha:1,3,9@8");
                        (text, number.ok_or_else(fault)?)
                    }
                };
                Ok(Budget::Asha { rungs: rungs(text)?, workers })
            }
            None | Some(_) => Err("it is none of `whole`, `halving:1,3,9`, `hyperband:1,3,9`, \
                                   `asha:1,3,9@8` and `median`"
                .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_as_they_are_written() {
        for text in ["whole", "median", "halving:1,3,9", "hyperband:2,5", "asha:1,3,9@12"] {
            assert_eq!(text.parse::<Budget>().unwrap().to_string(), text);
        }
        for text in ["halving:3", "halving:3,1", "halving:0,1", "halving:1,1", "hyperband:1,x"] {
            let fault = text.parse::<Budget>().unwrap_err();
            assert!(fault.ends_with("are no epochs that ascend, such as 1,3,9"), "{fault}");
        }
        for text in ["asha:3", "asha:3,1@8", "asha:@8"] {
            let fault = text.parse::<Budget>().unwrap_err();
            assert!(fault.ends_with("are no epochs that ascend, such as 1,3,9"), "{fault}");
        }
        for text in ["asha:1,3@0", "asha:1,3@", "asha:1,3@many"] {
            let fault = text.parse::<Budget>().unwrap_err();
            assert!(fault.contains("is no number of workers"), "{fault}");
        }
        assert_eq!("asha:1,3".parse(), Ok(Budget::Asha { rungs: vec![1, 3], workers: 8 }));
        assert!("pbt:1,3".parse::<Budget>().unwrap_err().starts_with("it is none of `whole`"));
    }

    #[test]
    fn hyperband_begins_at_one_rung_after_the_other() {
        let budget = Budget::Hyperband(vec![1, 3, 9]);
        let rungs: Vec<&[usize]> = (0..5).map(|batch| budget.rungs(batch)).collect();
        assert_eq!(rungs, [&[1, 3, 9][..], &[3, 9], &[9], &[1, 3, 9], &[3, 9]]);
    }
}
