//! Asynchronous successive halving: whenever a worker is free, the best child that is among the better part of
//! its rung goes on, and if there is none the next child begins.
//!
//! # Determinism
//! In the paper a decision depends on what happens to be done by then. Here it depends on what would be done if
//! a given number of workers took equally long for every epoch of every child: [`Schedule`] plays that on a
//! clock that counts epochs, and a worker of it that ends a job decides, by Algorithm 2 and by the rewards that
//! were known at that moment of the clock, what it does next. Real workers, of whatever number and speed, do the
//! jobs in the order in which the schedule begins them. A job is known as soon as the rewards are that it
//! depends on: of as many real workers as the schedule has, one waits only while a job that should have ended
//! before its own takes longer than its epochs let expect.
//!
//! # Source
//! Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020), section 3.2, Algorithm 2.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use super::super::ledger::Record;
use super::super::workers::{Done, Job};
use super::race::{Moves, promoted, reward_at, until};

/// The children of one batch, among all of the search.
pub(in crate::search) struct Asha {
    schedule: Schedule,
    /// Epochs and rewards of the batch's trials that are finished.
    finished: BTreeMap<usize, Vec<(usize, f64)>>,
    /// Jobs that were not begun, by trial.
    fresh: BTreeMap<usize, Job>,
    /// Children that wait at a rung, by trial.
    waiting: BTreeMap<usize, Done>,
}

impl Asha {
    pub(super) fn new<'r>(
        rungs: &[usize],
        workers: usize,
        earlier: &[Record],
        recorded: impl Iterator<Item = &'r Record>,
    ) -> Self {
        let mut schedule = Schedule::new(rungs.to_vec(), workers);
        for record in earlier.iter().filter(|record| record.repeat_of.is_none()) {
            for (&rung, scores) in rungs.iter().zip(&mut schedule.scores) {
                scores.extend(reward_at(&record.curve, rung).map(|at| (record.trial, at)));
            }
        }
        let finished = recorded.map(|record| (record.trial, record.curve.clone())).collect();
        Asha { schedule, finished, fresh: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    pub(super) fn begin(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        self.fresh = jobs.into_iter().map(|job| (job.provenance.trial, job)).collect();
        // Finished ones too, or a search that was resumed would decide otherwise than one that was not.
        let trials: BTreeSet<usize> =
            self.finished.keys().chain(self.fresh.keys()).copied().collect();
        self.schedule.fresh = trials.into_iter().collect();
        self.decide()
    }

    pub(super) fn take(&mut self, done: Vec<Done>) -> Moves {
        let mut ended = Vec::new();
        for done in done {
            let (trial, course) = (done.job.provenance.trial, &done.job.course);
            let rung = course.stops.last().expect("`until` makes one").until;
            let reward = reward_at(&course.curve, rung);
            self.schedule.outcomes.insert(trial, reward);
            if done.outcome.is_err() || reward.is_none() || self.schedule.is_last(rung) {
                self.finished.insert(trial, course.curve.clone());
                ended.push(done);
            } else {
                self.waiting.insert(trial, done);
            }
        }
        Moves { ended, jobs: self.decide() }
    }

    /// Leaves the children that wait where they are, when nothing is left that could let one of them go on.
    /// `None` if there are none.
    pub(super) fn end(&mut self) -> Option<Moves> {
        let ended: Vec<Done> = mem::take(&mut self.waiting).into_values().collect();
        (!ended.is_empty()).then_some(Moves { ended, jobs: Vec::new() })
    }

    /// The jobs that begin by what is known.
    fn decide(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        while let Some((trial, rung)) = self.schedule.next() {
            let epochs = self.schedule.rungs[rung];
            if let Some(curve) = self.finished.get(&trial) {
                self.schedule.outcomes.insert(trial, reward_at(curve, epochs));
            } else if let Some(job) = self.fresh.remove(&trial) {
                jobs.push(until(job, epochs));
            } else {
                let done = self.waiting.remove(&trial).expect("what is promoted waits");
                jobs.push(promoted(done, epochs));
            }
        }
        jobs
    }
}

/// Algorithm 2 for workers that need equally long for every epoch. It knows trials by their numbers.
struct Schedule {
    /// Epochs of the rungs.
    rungs: Vec<usize>,
    workers: usize,
    /// Trials that have not begun, the next one first.
    fresh: VecDeque<usize>,
    /// For each rung, rewards of all trials that reached it, those of earlier batches included.
    scores: Vec<BTreeMap<usize, f64>>,
    /// For each rung, trials that reached it and did not go on. Those of earlier batches cannot go on.
    waiting: Vec<BTreeSet<usize>>,
    /// The time, in epochs.
    now: usize,
    /// Trial and rung of the jobs that workers are at, by when they end and the number of the job.
    running: BTreeMap<(usize, usize), (usize, usize)>,
    /// Jobs begun so far.
    begun: usize,
    /// What is known to come of trials that are running: the reward, or none if they fail.
    outcomes: BTreeMap<usize, Option<f64>>,
}

impl Schedule {
    fn new(rungs: Vec<usize>, workers: usize) -> Self {
        Schedule {
            scores: vec![BTreeMap::new(); rungs.len()],
            waiting: vec![BTreeSet::new(); rungs.len()],
            rungs,
            workers,
            fresh: VecDeque::new(),
            now: 0,
            running: BTreeMap::new(),
            begun: 0,
            outcomes: BTreeMap::new(),
        }
    }

    fn is_last(&self, epochs: usize) -> bool {
        self.rungs.last() == Some(&epochs)
    }

    /// The next job that begins: trial and rung. `None` if that depends on outcomes that are not known, or there
    /// are no more jobs.
    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            if self.running.len() < self.workers
                && let Some((trial, rung)) = self.choose()
            {
                let from = rung.checked_sub(1).map_or(0, |before| self.rungs[before]);
                let end = self.now + self.rungs[rung] - from;
                self.running.insert((end, self.begun), (trial, rung));
                self.begun += 1;
                return Some((trial, rung));
            }
            let first = self.running.first_entry()?;
            let (trial, rung) = *first.get();
            let outcome = self.outcomes.remove(&trial)?;
            self.now = first.remove_entry().0.0;
            if let Some(reward) = outcome {
                self.scores[rung].insert(trial, reward);
                self.waiting[rung].insert(trial);
            }
        }
    }

    /// What a free worker does: `get_job` of Algorithm 2.
    fn choose(&mut self) -> Option<(usize, usize)> {
        for rung in (0..self.rungs.len() - 1).rev() {
            if let Some(trial) = self.promotable(rung) {
                self.waiting[rung].remove(&trial);
                return Some((trial, rung + 1));
            }
        }
        Some((self.fresh.pop_front()?, 0))
    }

    /// The best trial that waits at a rung, if it is in the better part of all that reached it.
    fn promotable(&self, rung: usize) -> Option<usize> {
        let scores = &self.scores[rung];
        let is_better =
            |a: usize, b: usize| scores[&b].total_cmp(&scores[&a]).then(a.cmp(&b)).is_lt();
        let waiting = self.waiting[rung].iter().copied();
        let best = waiting.reduce(|a, b| if is_better(b, a) { b } else { a })?;
        let better = scores.keys().filter(|&&other| is_better(other, best)).count();
        let part = scores.len() * self.rungs[rung] / self.rungs[rung + 1];
        (better < part).then_some(best)
    }
}
