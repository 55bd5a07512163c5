//! The best of a search, trained again and longer.
//!
//! A search orders its children by short trainings; section 4 of the NASNet paper trains the best 250 of its
//! 20,000 to the end, and takes the best of those. Where a search is for a Pareto front, the candidates are
//! the front. What comes of it is in `retrained.jsonl`, a ledger of its own in the order of the candidates.
//! It is no setting of the search: a finished search can be resumed with another number, and trains again
//! only what was not.

use std::ops::ControlFlow;
use std::time::Duration;

use super::super::ledger::Record;
use super::super::workers::{Course, Done, Job};
use super::super::{Event, Search, best, front, join, record};
use super::Stepwise;
use crate::error::Error;

/// How many of the best are trained again, and how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retrain {
    /// How many.
    pub count: usize,
    /// Epochs of each.
    pub epochs: usize,
}

impl Retrain {
    /// Checks that they can be.
    ///
    /// # Errors
    /// [`Error::Config`] if they cannot.
    pub(in crate::search) fn check(&self, evaluator: Option<&dyn Stepwise>) -> Result<(), Error> {
        let refuse = |setting, value: usize, reason: &str| {
            Err(Error::Config { setting, value: value.to_string(), reason: reason.into() })
        };
        match self {
            Retrain { count: 0, .. } => Ok(()),
            Retrain { count, .. } if evaluator.is_none() => {
                let reason = "only what is trained can be trained again, with `--evaluator train`";
                refuse("retrain", *count, reason)
            }
            Retrain { epochs: 0, .. } => refuse("retrain_epochs", 0, "it must be at least 1"),
            Retrain { .. } => Ok(()),
        }
    }
}

impl Search<'_> {
    /// Trains the best again, but for those that were, and keeps what comes of each as it comes.
    pub(in crate::search) fn retrain(&mut self) -> Result<ControlFlow<()>, Error> {
        let Retrain { count, epochs } = self.config.retrain;
        if count == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let records = self.run_dir.records();
        let pareto = &self.config.objectives.pareto;
        let mut candidates: Vec<Record> = match pareto.is_empty() {
            true => best(records, count).into_iter().cloned().collect(),
            false => front(records, pareto).into_iter().map(|at| records[at].clone()).collect(),
        };
        candidates.truncate(count);
        let before = self.run_dir.retrained()?;
        let is_wanted = |record: &&Record| record.epochs() == epochs || record.outcome.is_err();
        let known = |trial: usize| before.iter().filter(is_wanted).find(|old| old.trial == trial);
        let mut outcomes: Vec<Option<Record>> =
            candidates.iter().map(|candidate| known(candidate.trial).cloned()).collect();
        for (candidate, _) in candidates.iter().zip(&outcomes).filter(|(_, known)| known.is_none())
        {
            let course = Course::whole(candidate.genotype.clone(), candidate.train_seed);
            self.workers.submit(Job {
                id: candidate.id.clone(),
                course: Course { retrain: Some(epochs), ..course },
                paused: None,
                costs: candidate.costs.clone(),
                time: Duration::ZERO,
                provenance: self.provenance_of(candidate),
            });
        }
        let mut flow = ControlFlow::Continue(());
        loop {
            self.retrained = outcomes.iter().flatten().cloned().collect();
            self.run_dir.write_retrained(&self.retrained)?;
            let on_event = &mut self.on_event;
            let done: Vec<Done> =
                self.workers.next(&mut |event| flow = join(flow, on_event(event)))?;
            if done.is_empty() {
                return Ok(flow);
            }
            for done in done {
                let (record, _) = record(done);
                flow = join(flow, (self.on_event)(Event::Retrained { record: &record }));
                let place = candidates.iter().position(|candidate| candidate.trial == record.trial);
                outcomes[place.expect("a candidate is trained")] = Some(record);
            }
            if flow.is_break() {
                self.workers.cancel();
            }
        }
    }
}
