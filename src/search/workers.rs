//! Worker threads that evaluate architectures.
//!
//! Each worker has a thread pool of its own, of one thread, so that a child trained beside others
//! takes no more than its share and no result depends on who else is at work. A panic inside an
//! evaluation ends that evaluation only.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Clock;
use super::budget::Paused;
use super::evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
use super::ledger::Size;
use super::objective::Costs;
use crate::error::Error;
use crate::graph::cost::{Cost, Counts};
use crate::space::Genotype;

/// One architecture to evaluate.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) genotype: Genotype,
    pub(super) train_seed: u64,
    /// What is known of its costs.
    pub(super) costs: Costs,
    /// Where to stop on the way, the last one where this job ends; the evaluator decides if there are none.
    pub(super) stops: Vec<Stop>,
    /// Where an earlier job has left it.
    pub(super) paused: Option<Paused>,
    /// Epochs and reward at every stop so far.
    pub(super) curve: Vec<(usize, f64)>,
    /// The time of earlier jobs.
    pub(super) time: Duration,
    /// Epochs of a training that is planned for them alone, in place of the search's own evaluation.
    pub(super) retrain: Option<usize>,
    /// For the header of the cell; the worker fills in reward and epochs.
    pub(super) provenance: Provenance,
}

/// Where an evaluation is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stop {
    /// Epochs that are done then.
    pub(super) until: usize,
    /// It ends there if its best reward so far is below this.
    pub(super) least: Option<f64>,
}

/// A score with what else is left of an evaluation.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) evaluation: Evaluation,
    pub(super) cell_text: String,
    /// For a later job to go on with.
    pub(super) paused: Option<Paused>,
}

/// A finished job.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: Job,
    /// The score, or why there is none and what the network counts.
    pub(super) outcome: Result<Found, (Failure, Option<Size>)>,
    /// That of earlier jobs is in it.
    pub(super) time: Duration,
}

/// The caller's end of the queue. Dropping it ends the workers after the jobs they are at.
pub(super) struct Workers<'a> {
    jobs: Sender<Job>,
    done: Receiver<Option<Done>>,
    cancelled: &'a AtomicBool,
    /// Jobs sent and not yet received back.
    outstanding: usize,
}

impl Workers<'_> {
    /// Queues a job.
    pub(super) fn submit(&mut self, job: Job) {
        self.outstanding += 1;
        self.jobs.send(job).expect("workers live until this end of the queue is dropped");
    }

    /// Waits for a job to finish and takes all that have finished by then; empty when none is left.
    pub(super) fn next(&mut self) -> Vec<Done> {
        let mut finished = Vec::new();
        while self.outstanding > 0 && finished.is_empty() {
            let first = self.done.recv().expect("workers answer every job, even one that panics");
            for answer in std::iter::once(first).chain(self.done.try_iter()) {
                self.outstanding -= 1;
                finished.extend(answer);
            }
        }
        finished
    }

    /// Drops the jobs that no worker has begun.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Runs `body` beside `threads` workers.
///
/// # Errors
/// [`Error::Threads`] if a thread cannot be started, else what `body` returns.
pub(super) fn with_workers<R>(
    evaluator: &dyn Evaluator,
    threads: usize,
    clock: Clock<'_>,
    body: impl FnOnce(Workers<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let cancelled = AtomicBool::new(false);
    let (job_sender, job_receiver) = mpsc::channel::<Job>();
    let job_receiver = Mutex::new(job_receiver);
    let failed = |source| Error::Threads { threads, source };
    thread::scope(|scope| {
        let (done_sender, done) = mpsc::channel();
        let workers = Workers { jobs: job_sender, done, cancelled: &cancelled, outstanding: 0 };
        for index in 0..threads {
            let pool = ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(move |_| format!("evaluation-{index}"))
                .build()
                .map_err(|error| failed(std::io::Error::other(error)))?;
            let (jobs, cancelled, done) = (&job_receiver, &cancelled, done_sender.clone());
            let work = move || {
                while let Some(job) = next_job(jobs) {
                    let answer = if cancelled.load(Ordering::Relaxed) {
                        None
                    } else {
                        Some(evaluate(evaluator, &pool, clock, job))
                    };
                    if done.send(answer).is_err() {
                        break;
                    }
                }
            };
            let name = format!("worker-{index}");
            thread::Builder::new().name(name).spawn_scoped(scope, work).map_err(failed)?;
        }
        drop(done_sender);
        body(workers)
    })
}

/// Waits for a job; `None` when there will be no more.
fn next_job(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn evaluate(evaluator: &dyn Evaluator, pool: &ThreadPool, clock: Clock<'_>, mut job: Job) -> Done {
    let start = clock();
    let outcome = catch_unwind(AssertUnwindSafe(|| pool.install(|| attempt(evaluator, &mut job))))
        .unwrap_or_else(|payload| Err(panicked(&*payload)))
        .map_err(|failure| (failure, size(evaluator, &job.genotype)));
    Done { outcome, time: job.time + clock().saturating_sub(start), job }
}

fn attempt(evaluator: &dyn Evaluator, job: &mut Job) -> Result<Found, Failure> {
    let (evaluation, paused) = match (job.retrain, &job.stops[..]) {
        (None, []) => (evaluator.evaluate(&job.genotype, job.train_seed)?, None),
        (Some(epochs), _) => {
            let stepwise = evaluator.stepwise().expect("`SearchConfig::check` refuses others");
            (stepwise.evaluate_for(&job.genotype, job.train_seed, epochs)?, None)
        }
        (None, _) => in_steps(evaluator, job)?,
    };
    check_finite(&evaluation)?;
    let (reward, epochs) = (evaluation.reward, evaluation.epochs);
    let provenance = Provenance { reward, epochs, ..job.provenance.clone() };
    let cell_text = evaluator.cell_text(&job.genotype, &provenance);
    Ok(Found { evaluation, cell_text, paused })
}

/// Goes from stop to stop, to the last or to the first where there is no hope.
fn in_steps(
    evaluator: &dyn Evaluator,
    job: &mut Job,
) -> Result<(Evaluation, Option<Paused>), Failure> {
    let stepwise = evaluator.stepwise().expect("`SearchConfig::check` refuses others");
    let mut paused = job.paused.take();
    let mut last = None;
    for Stop { until, least } in &job.stops {
        let (evaluation, state) =
            stepwise.advance(&job.genotype, job.train_seed, paused.take(), *until)?;
        check_finite(&evaluation)?;
        job.curve.push((evaluation.epochs, evaluation.reward));
        paused = Some(state);
        last = Some(evaluation);
        let best = job.curve.iter().map(|(_, reward)| *reward).fold(f64::NEG_INFINITY, f64::max);
        if least.is_some_and(|least| best < least) {
            break;
        }
    }
    Ok((last.expect("a job of steps has one"), paused))
}

fn check_finite(evaluation: &Evaluation) -> Result<(), Failure> {
    for (name, value) in [("reward", evaluation.reward), ("val_accuracy", evaluation.val_accuracy)]
    {
        if !value.is_finite() {
            return Err(Failure::new(FailureKind::NotFinite, format!("{name} is {value}")));
        }
    }
    Ok(())
}

/// What the network of an architecture counts; none if it has none.
pub(super) fn size(evaluator: &dyn Evaluator, genotype: &Genotype) -> Option<Size> {
    let network = catch_unwind(AssertUnwindSafe(|| evaluator.network(genotype, None)));
    let Counts { params, macs, .. } = Cost::of(&network.ok()?.ok()?).total;
    Some(Size { params, macs })
}

/// The failure that a panic with this payload is.
pub(super) fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Failure::new(FailureKind::Panic, text.unwrap_or("no message"))
}
