//! The rungs of one batch.

use std::collections::BTreeMap;

use super::super::ledger::Record;
use super::super::workers::{Course, Done, Job, Stop};
use super::{Budget, medians};

/// The children of one batch under a budget.
pub(in crate::search) struct Race {
    /// What is trained at once, until the next rung or to the end; empty where there is nothing to stop at.
    stops: Vec<Stop>,
    /// Epochs of the rungs; none without a race.
    rungs: Vec<usize>,
    /// The rung that children are trained towards.
    rung: usize,
    /// For each rung, rewards of the trials that reached it.
    rewards: Vec<BTreeMap<usize, f64>>,
    /// Children that wait at the rung, by trial.
    waiting: BTreeMap<usize, Done>,
}

impl Race {
    /// A batch with number `batch`, counted from 0, whose trials in `recorded` an earlier process finished;
    /// `earlier` are those of the batches before, and a whole evaluation has so many `epochs`.
    pub(in crate::search) fn new<'r>(
        budget: &Budget,
        batch: usize,
        earlier: &[Record],
        recorded: impl Iterator<Item = &'r Record>,
        epochs: usize,
    ) -> Self {
        let rungs = budget.rungs(batch).to_vec();
        let mut rewards = vec![BTreeMap::new(); rungs.len()];
        for record in recorded.filter(|record| record.repeat_of.is_none()) {
            for &(epoch, reward) in &record.curve {
                if let Some(rung) = rungs.iter().position(|&rung| rung == epoch) {
                    rewards[rung].insert(record.trial, reward);
                }
            }
        }
        let stops = match budget {
            Budget::Whole => Vec::new(),
            Budget::Halving(_) | Budget::Hyperband(_) => {
                vec![Stop { until: rungs[0], least: None }]
            }
            Budget::Median => {
                let least = medians(earlier, epochs);
                (1..).zip(least).map(|(until, least)| Stop { until, least }).collect()
            }
        };
        Race { stops, rungs, rung: 0, rewards, waiting: BTreeMap::new() }
    }

    /// A job of the batch with where it stops.
    pub(in crate::search) fn begin(&self, job: Job) -> Job {
        let course = Course { stops: self.stops.clone(), ..job.course };
        Job { course, ..job }
    }

    /// Takes what a worker has done; gives it back if nothing is left to do.
    pub(in crate::search) fn take(&mut self, done: Done) -> Option<Done> {
        let trial = done.job.provenance.trial;
        let (Some(&until), Ok(found)) = (self.rungs.get(self.rung), &done.outcome) else {
            return Some(done);
        };
        if found.evaluation.epochs == until {
            self.rewards[self.rung].insert(trial, found.evaluation.reward);
        }
        if self.rung + 1 == self.rungs.len() {
            return Some(done);
        }
        self.waiting.insert(trial, done);
        None
    }

    /// Ends a rung that all have come to: what stops there, and what goes on. `None` if nobody waits.
    pub(in crate::search) fn next_rung(&mut self) -> Option<(Vec<Done>, Vec<Job>)> {
        if self.waiting.is_empty() {
            return None;
        }
        let (here, next) = (self.rungs[self.rung], self.rungs[self.rung + 1]);
        let reached = &self.rewards[self.rung];
        let mut order: Vec<usize> = reached.keys().copied().collect();
        order.sort_by(|a, b| reached[b].total_cmp(&reached[a]));
        order.truncate((order.len() * here / next).max(1));
        let (mut stopped, mut promoted) = (Vec::new(), Vec::new());
        for (trial, done) in std::mem::take(&mut self.waiting) {
            if !order.contains(&trial) {
                stopped.push(done);
                continue;
            }
            let Done { job, outcome, time } = done;
            let paused = outcome.ok().and_then(|found| found.paused);
            let stops = vec![Stop { until: next, least: None }];
            let course = Course { stops, ..job.course };
            promoted.push(Job { course, paused, time, ..job });
        }
        self.rung += 1;
        Some((stopped, promoted))
    }
}
