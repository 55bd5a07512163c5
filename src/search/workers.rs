//! Workers that evaluate architectures, and those of them that are threads of this process.
//!
//! Each thread has a thread pool of its own, of one thread, so that a child trained beside others
//! takes no more than its share and no result depends on who else is at work. A panic inside an
//! evaluation ends that evaluation only.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use super::Clock;
use super::budget::Paused;
use super::evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
use super::event::Event;
use super::ledger::Size;
use super::objective::Costs;
use crate::error::Error;
use crate::graph::cost::{Cost, Counts};
use crate::space::Genotype;

/// One architecture to evaluate.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    /// What is to be done with it.
    pub(super) course: Course,
    /// Where an earlier job has left it.
    pub(super) paused: Option<Paused>,
    /// What is known of its costs.
    pub(super) costs: Costs,
    /// The time of earlier jobs.
    pub(super) time: Duration,
    /// For the header of the cell; reward and epochs are filled in where it is written.
    pub(super) provenance: Provenance,
}

/// How an architecture is evaluated; plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Course {
    pub(super) genotype: Genotype,
    pub(super) train_seed: u64,
    /// Where to stop on the way, the last one where this job ends; the evaluator decides if there are none.
    pub(super) stops: Vec<Stop>,
    /// Epochs and reward at every stop so far.
    pub(super) curve: Vec<(usize, f64)>,
    /// Epochs of a training that is planned for them alone, in place of the search's own evaluation.
    pub(super) retrain: Option<usize>,
}

impl Course {
    /// The search's own evaluation, from the beginning to the end.
    pub(super) fn whole(genotype: Genotype, train_seed: u64) -> Self {
        Course { genotype, train_seed, stops: Vec::new(), curve: Vec::new(), retrain: None }
    }
}

/// Where an evaluation is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// Who does the jobs of a search, wherever that is. What comes of a job does not depend on it.
pub(super) trait Workers {
    /// Queues a job.
    fn submit(&mut self, job: Job);

    /// Waits for a job to finish and takes all that have finished by then; empty when none is left. What there is to
    /// say about the wait goes to `tell`.
    ///
    /// # Errors
    /// Those of the way to the workers. A job that fails is a finished one.
    fn next(&mut self, tell: &mut dyn FnMut(Event<'_>)) -> Result<Vec<Done>, Error>;

    /// Drops the jobs that no worker has begun.
    fn cancel(&mut self);
}

/// The caller's end of a queue to threads. Dropping it ends them after the jobs they are at.
struct Pool<'a> {
    jobs: Sender<Job>,
    done: Receiver<Option<Done>>,
    cancelled: &'a AtomicBool,
    /// Jobs sent and not yet received back.
    outstanding: usize,
}

impl Workers for Pool<'_> {
    fn submit(&mut self, job: Job) {
        self.outstanding += 1;
        self.jobs.send(job).expect("workers live until this end of the queue is dropped");
    }

    fn next(&mut self, _tell: &mut dyn FnMut(Event<'_>)) -> Result<Vec<Done>, Error> {
        let mut finished = Vec::new();
        while self.outstanding > 0 && finished.is_empty() {
            let first = self.done.recv().expect("workers answer every job, even one that panics");
            for answer in std::iter::once(first).chain(self.done.try_iter()) {
                self.outstanding -= 1;
                finished.extend(answer);
            }
        }
        Ok(finished)
    }

    fn cancel(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Runs `body` beside workers that are `threads` threads.
///
/// # Errors
/// [`Error::Threads`] if a thread cannot be started, else what `body` returns.
pub(super) fn with_workers<R>(
    evaluator: &dyn Evaluator,
    threads: usize,
    clock: Clock<'_>,
    body: impl FnOnce(&mut dyn Workers) -> Result<R, Error>,
) -> Result<R, Error> {
    let cancelled = AtomicBool::new(false);
    let (job_sender, job_receiver) = mpsc::channel::<Job>();
    let job_receiver = Mutex::new(job_receiver);
    let failed = |source| Error::Threads { threads, source };
    thread::scope(|scope| {
        let (done_sender, done) = mpsc::channel();
        let mut pool = Pool { jobs: job_sender, done, cancelled: &cancelled, outstanding: 0 };
        for index in 0..threads {
            let threads = one_thread(index).map_err(failed)?;
            let (jobs, cancelled, done) = (&job_receiver, &cancelled, done_sender.clone());
            let work = move || {
                while let Some(job) = next_job(jobs) {
                    let answer = if cancelled.load(Ordering::Relaxed) {
                        None
                    } else {
                        Some(evaluate(evaluator, &threads, clock, job))
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
        body(&mut pool)
    })
}

thread_local! {
    /// The worker that a thread evaluates for.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker that the calling thread evaluates for, counted from 0; 0 for other threads.
pub(super) fn current_worker() -> usize {
    WORKER.get()
}

/// The threads of one worker.
pub(super) fn one_thread(worker: usize) -> io::Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(move |_| format!("evaluation-{worker}"))
        .start_handler(move |_| WORKER.set(worker))
        .build()
        .map_err(io::Error::other)
}

/// Waits for a job; `None` when there will be no more.
fn next_job(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn evaluate(evaluator: &dyn Evaluator, pool: &ThreadPool, clock: Clock<'_>, mut job: Job) -> Done {
    let start = clock();
    let paused = job.paused.take();
    let attempt = || {
        let (evaluation, paused) = score(evaluator, &mut job.course, paused)?;
        let cell_text = cell_text(evaluator, &job, &evaluation);
        Ok(Found { evaluation, cell_text, paused })
    };
    let outcome = caught(|| pool.install(attempt))
        .map_err(|failure| (failure, size(evaluator, &job.course.genotype)));
    Done { outcome, time: job.time + clock().saturating_sub(start), job }
}

/// What an evaluation comes to; a panic is a failure.
pub(super) fn caught<T>(evaluation: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(evaluation)).unwrap_or_else(|payload| Err(panicked(&*payload)))
}

/// Evaluates an architecture, from where an earlier job has left it. What it is where it stops on the way
/// is added to the curve, even if it fails later.
pub(super) fn score(
    evaluator: &dyn Evaluator,
    course: &mut Course,
    paused: Option<Paused>,
) -> Result<(Evaluation, Option<Paused>), Failure> {
    let Course { genotype, train_seed, stops, retrain, .. } = &*course;
    let (evaluation, paused) = match (retrain, &stops[..]) {
        (None, []) => (evaluator.evaluate(genotype, *train_seed)?, None),
        (Some(epochs), _) => {
            let stepwise = evaluator.stepwise().expect("`SearchConfig::check` refuses others");
            (stepwise.evaluate_for(genotype, *train_seed, *epochs)?, None)
        }
        (None, _) => in_steps(evaluator, course, paused)?,
    };
    check_finite(&evaluation)?;
    Ok((evaluation, paused))
}

/// The cell of a job with what it was found to be.
pub(super) fn cell_text(evaluator: &dyn Evaluator, job: &Job, evaluation: &Evaluation) -> String {
    let Evaluation { reward, epochs, .. } = *evaluation;
    let provenance = Provenance { reward, epochs, ..job.provenance.clone() };
    evaluator.cell_text(&job.course.genotype, &provenance)
}

/// Goes from stop to stop, to the last or to the first where there is no hope.
fn in_steps(
    evaluator: &dyn Evaluator,
    course: &mut Course,
    mut paused: Option<Paused>,
) -> Result<(Evaluation, Option<Paused>), Failure> {
    let stepwise = evaluator.stepwise().expect("`SearchConfig::check` refuses others");
    let mut last = None;
    for Stop { until, least } in &course.stops {
        let (evaluation, state) =
            stepwise.advance(&course.genotype, course.train_seed, paused.take(), *until)?;
        check_finite(&evaluation)?;
        course.curve.push((evaluation.epochs, evaluation.reward));
        paused = Some(state);
        last = Some(evaluation);
        let best = course.curve.iter().map(|(_, reward)| *reward).fold(f64::NEG_INFINITY, f64::max);
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
