//! The children of one batch under a budget: what is trained next, and what is left as it is.

use super::super::ledger::Record;
use super::super::workers::{Course, Done, Job, Stop};
use super::asha::Asha;
use super::halving::Halving;
use super::median::medians;
use super::{Budget, Stepwise};

/// The children of one batch.
pub(in crate::search) enum Race {
    /// None goes by the others of its batch: these stops are for all, none where there is nothing to stop at.
    Apart(Vec<Stop>),
    /// All come to a rung before any goes on.
    Halving(Halving),
    /// Each goes on as soon as it may.
    Asha(Asha),
}

/// What follows from what workers have done.
#[derive(Default)]
pub(in crate::search) struct Moves {
    /// Children of which nothing is left to do.
    pub(in crate::search) ended: Vec<Done>,
    /// What workers are to do next.
    pub(in crate::search) jobs: Vec<Job>,
}

impl Race {
    /// A batch with number `batch`, counted from 0, whose trials in `recorded` are finished, by an earlier
    /// process or before they began; `earlier` are those of the batches before.
    pub(in crate::search) fn new<'r>(
        budget: &Budget,
        batch: usize,
        earlier: &[Record],
        recorded: impl Iterator<Item = &'r Record>,
        evaluator: Option<&dyn Stepwise>,
    ) -> Self {
        let recorded = recorded.filter(|record| record.repeat_of.is_none());
        match budget {
            Budget::Whole => Race::Apart(Vec::new()),
            Budget::Median => {
                let least = medians(earlier, evaluator.map_or(0, Stepwise::epochs));
                let stop = |(until, least)| Stop { until, least };
                Race::Apart((1..).zip(least).map(stop).collect())
            }
            Budget::Halving(_) | Budget::Hyperband(_) => {
                Race::Halving(Halving::new(budget.rungs(batch), recorded))
            }
            Budget::Asha { rungs, workers } => {
                Race::Asha(Asha::new(rungs, *workers, earlier, recorded))
            }
        }
    }

    /// What workers are to do first of the batch's jobs; no others are begun later than with this.
    pub(in crate::search) fn begin(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        match self {
            Race::Apart(stops) => {
                let with_stops = |course| Course { stops: stops.clone(), ..course };
                jobs.into_iter().map(|job| Job { course: with_stops(job.course), ..job }).collect()
            }
            Race::Halving(race) => race.begin(jobs),
            Race::Asha(race) => race.begin(jobs),
        }
    }

    /// Takes what workers have done.
    pub(in crate::search) fn take(&mut self, done: Vec<Done>) -> Moves {
        match self {
            Race::Apart(_) => Moves { ended: done, jobs: Vec::new() },
            Race::Halving(race) => {
                let ended = done.into_iter().filter_map(|done| race.take(done)).collect();
                Moves { ended, jobs: Vec::new() }
            }
            Race::Asha(race) => race.take(done),
        }
    }

    /// What follows when no worker has anything to do. `None` if no child waits.
    pub(in crate::search) fn idle(&mut self) -> Option<Moves> {
        match self {
            Race::Apart(_) => None,
            Race::Halving(race) => race.next_rung(),
            Race::Asha(race) => race.end(),
        }
    }
}

/// The job, ending after so many epochs.
pub(super) fn until(job: Job, epochs: usize) -> Job {
    let stops = vec![Stop { until: epochs, least: None }];
    Job { course: Course { stops, ..job.course }, ..job }
}

/// The job that takes a child from where it waits to a later rung.
pub(super) fn promoted(done: Done, epochs: usize) -> Job {
    let Done { job, outcome, time } = done;
    let paused = outcome.ok().and_then(|found| found.paused);
    until(Job { paused, time, ..job }, epochs)
}

/// The reward of a child at a rung, if it came so far.
pub(super) fn reward_at(curve: &[(usize, f64)], rung: usize) -> Option<f64> {
    curve.iter().find(|(epoch, _)| *epoch == rung).map(|(_, reward)| *reward)
}
