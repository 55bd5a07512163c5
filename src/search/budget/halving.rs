//! Successive halving in one batch: all children come to a rung, then the better part of them goes on.

use std::collections::BTreeMap;
use std::mem;

use super::super::ledger::Record;
use super::super::workers::{Done, Job};
use super::race::{Moves, promoted, reward_at, until};

/// The children of one batch.
pub(in crate::search) struct Halving {
    /// Epochs of the rungs.
    rungs: Vec<usize>,
    /// The rung that children are trained towards.
    rung: usize,
    /// For each rung, rewards of the trials that reached it.
    rewards: Vec<BTreeMap<usize, f64>>,
    /// Children that wait at the rung, by trial.
    waiting: BTreeMap<usize, Done>,
}

impl Halving {
    pub(super) fn new<'r>(rungs: &[usize], recorded: impl Iterator<Item = &'r Record>) -> Self {
        let rungs = rungs.to_vec();
        let mut rewards = vec![BTreeMap::new(); rungs.len()];
        for record in recorded {
            for (&rung, rewards) in rungs.iter().zip(&mut rewards) {
                rewards.extend(reward_at(&record.curve, rung).map(|at| (record.trial, at)));
            }
        }
        Halving { rungs, rung: 0, rewards, waiting: BTreeMap::new() }
    }

    pub(super) fn begin(&self, jobs: Vec<Job>) -> Vec<Job> {
        jobs.into_iter().map(|job| until(job, self.rungs[0])).collect()
    }

    /// Takes what a worker has done; gives it back if nothing is left to do.
    pub(super) fn take(&mut self, done: Done) -> Option<Done> {
        let trial = done.job.provenance.trial;
        let reward = reward_at(&done.job.course.curve, self.rungs[self.rung]);
        self.rewards[self.rung].extend(reward.map(|reward| (trial, reward)));
        if done.outcome.is_err() || self.rung + 1 == self.rungs.len() {
            return Some(done);
        }
        self.waiting.insert(trial, done);
        None
    }

    /// Ends a rung that all have come to. `None` if nobody waits.
    pub(super) fn next_rung(&mut self) -> Option<Moves> {
        if self.waiting.is_empty() {
            return None;
        }
        let (here, next) = (self.rungs[self.rung], self.rungs[self.rung + 1]);
        let reached = &self.rewards[self.rung];
        let mut order: Vec<usize> = reached.keys().copied().collect();
        order.sort_by(|a, b| reached[b].total_cmp(&reached[a]));
        order.truncate((order.len() * here / next).max(1));
        let mut moves = Moves::default();
        for (trial, done) in mem::take(&mut self.waiting) {
            match order.contains(&trial) {
                true => moves.jobs.push(promoted(done, next)),
                false => moves.ended.push(done),
            }
        }
        self.rung += 1;
        Some(moves)
    }
}
