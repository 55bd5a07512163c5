//! The end of a queue where architectures are scored.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::message::{Acker, Message};
use futures_util::StreamExt;
use rayon::ThreadPool;
use tokio::time;

use super::connection::{Connection, Kind};
use super::means::{Made, Means};
use super::{Answer, Assignment, QueueConfig, Scored};
use crate::error::Error;
use crate::search::Clock;
use crate::search::evaluator::{Evaluation, Failure, FailureKind};
use crate::search::strategy::at_least_one;
use crate::search::task::Task;
use crate::search::workers::{Course, caught, one_thread, score};

/// How long a worker waits for a job before it asks again.
const ASK: Duration = Duration::from_secs(2);
/// A lease is extended so often before it ends.
const BEATS: u32 = 3;

/// Settings of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerConfig {
    /// What it is called in answers.
    pub name: String,
    /// Architectures scored at the same time, each on one thread, with one of the [devices](Means::Data).
    pub workers: usize,
    /// How long after the last sign of life of a worker its job goes to another. The first worker of a kind
    /// decides for all of that queue.
    pub lease: Duration,
    /// How long it waits for a job before it ends; for ever if `None`.
    pub idle: Option<Duration>,
}

/// Something that happened to a worker.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum WorkerEvent<'a> {
    /// A job was answered.
    Answered {
        /// What of its search it is: the trial, and for some budgets how far it goes.
        key: &'a str,
        /// The reward, or why there is none.
        outcome: Result<f64, &'a Failure>,
        /// Seconds that it took.
        secs: f64,
    },
    /// A message that is no job of this version was set aside.
    SetAside {
        /// What is wrong with it.
        fault: &'a str,
    },
}

/// Receives events, from several threads.
pub type OnWorkerEvent<'a> = &'a (dyn Fn(WorkerEvent<'_>) + Sync);

/// Does the jobs of a queue that `means` are enough for, until there are none for a while.
///
/// # Errors
/// [`Error::Config`] for settings that make no sense; [`Error::Read`] for files that cannot be read;
/// [`Error::Threads`]; [`Error::Queue`] if there is no server, or it was away for too long.
pub fn work(
    queue: &QueueConfig,
    means: &Means,
    config: &WorkerConfig,
    clock: Clock<'_>,
    on_event: OnWorkerEvent<'_>,
) -> Result<(), Error> {
    at_least_one("workers", config.workers)?;
    if config.lease < Duration::from_secs(1) {
        let value = format!("{} s", config.lease.as_secs_f64());
        let reason = "it must be at least 1 s, since it is extended now and then".into();
        return Err(Error::Config { setting: "lease", value, reason });
    }
    let connection = &Connection::open(queue)?;
    let needs = &means.needs();
    let made = &Mutex::new(None);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for index in 0..config.workers {
            let failed = |source| Error::Threads { threads: config.workers, source };
            let pool = one_thread(index).map_err(failed)?;
            let worker = Worker { connection, means, needs, made, config, pool, clock, on_event };
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            threads.push(thread.spawn_scoped(scope, move || worker.run()).map_err(failed)?);
        }
        let ended =
            threads.into_iter().map(|thread| thread.join().expect("evaluations are caught"));
        ended.collect::<Result<Vec<()>, Error>>().map(drop)
    })
}

/// The evaluator of the latest task.
type Latest = Mutex<Option<(Task, Arc<Made>)>>;

/// One of the threads.
struct Worker<'a> {
    connection: &'a Connection,
    means: &'a Means,
    needs: &'a str,
    made: &'a Latest,
    config: &'a WorkerConfig,
    pool: ThreadPool,
    clock: Clock<'a>,
    on_event: OnWorkerEvent<'a>,
}

impl Worker<'_> {
    fn run(&self) -> Result<(), Error> {
        let mut consumer = self.connection.insist(|c| c.wait(self.consumer()))?;
        let mut idle = Duration::ZERO;
        while self.config.idle.is_none_or(|limit| idle < limit) {
            match self.connection.wait(lease(&consumer)) {
                Ok(Some(message)) => {
                    idle = Duration::ZERO;
                    self.serve(message, consumer.cached_info().config.ack_wait)?;
                }
                Ok(None) => {
                    idle += ASK;
                    // A server that has lost its disk says nothing to who asks for a list that is gone.
                    consumer = self.connection.insist(|c| c.wait(self.consumer()))?;
                }
                // The server was restarted.
                Err(_) => consumer = self.connection.insist(|c| c.wait(self.consumer()))?,
            }
        }
        Ok(())
    }

    /// The list of jobs that this worker takes from, which all workers of its kind share.
    async fn consumer(&self) -> Result<Consumer<pull::Config>, String> {
        let stream = self.connection.stream(Kind::Job).await?;
        let config = pull::Config {
            durable_name: Some(self.needs.to_owned()),
            filter_subject: self.connection.subject(Kind::Job, &format!("{}.>", self.needs)),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.config.lease,
            // Who sets a job aside is a worker: one that the server gave up would stay without an answer.
            max_deliver: -1,
            max_ack_pending: 100_000,
            ..Default::default()
        };
        let consumer = stream.get_or_create_consumer(self.needs, config).await;
        consumer.map_err(|error| error.to_string())
    }

    /// Does a job, answers, and gives the lease back.
    fn serve(&self, message: Message, lease: Duration) -> Result<(), Error> {
        let begun = message.info().map_or(1, |info| info.delivered.max(1) as u64);
        let (message, acker) = message.split();
        let acker = Arc::new(acker);
        let beat = self.connection.spawn(keep(acker.clone(), lease / BEATS));
        let job = message.subject.as_str().to_owned();
        // A subject is `cellc.NAME.job.NEEDS.SEARCH.KEY`.
        let rest: String = job.splitn(5, '.').nth(4).unwrap_or_default().to_owned();
        let search = rest.split('.').next().unwrap_or_default();
        let served = match serde_json::from_slice::<Assignment>(&message.payload) {
            Ok(assignment) if begun <= assignment.attempts => {
                self.answer(&rest, &self.evaluate(search, begun, assignment))
            }
            Ok(assignment) => {
                let Assignment { key, id, attempts, course, .. } = assignment;
                let reason = format!("{attempts} workers began it and none of them ended it");
                let outcome = Err(Failure::new(FailureKind::Crashed, reason));
                let (worker, curve) = (self.config.name.clone(), course.curve);
                self.set_aside(&rest, &message.payload)?;
                self.answer(&rest, &Answer { key, id, worker, secs: 0.0, curve, outcome })
            }
            Err(error) => {
                (self.on_event)(WorkerEvent::SetAside { fault: &error.to_string() });
                self.set_aside(&rest, &message.payload)
            }
        };
        beat.abort();
        if served.is_ok() {
            // A job that is not taken out of the queue for want of a connection is done again, and its second
            // answer refused.
            let _ = self.connection.wait(acker.double_ack());
        }
        served
    }

    fn evaluate(&self, search: &str, begun: u64, assignment: Assignment) -> Answer {
        let start = (self.clock)();
        let Assignment { key, id, attempts: _, state, mut course, task } = assignment;
        let outcome = caught(|| self.pool.install(|| self.score(&task, &id, &mut course, state)));
        let outcome = outcome.map(|(evaluation, bytes)| {
            // Two workers that do one job do not write one object.
            let name = format!("{search}/{key}/{begun}/{}", self.connection.unique());
            // A training that cannot be kept is done again from its beginning.
            let put = |bytes: Vec<u8>| self.connection.put(&name, &bytes).ok();
            let state = bytes.and_then(put).map(|()| name.clone());
            Scored { evaluation, state }
        });
        let secs = (self.clock)().saturating_sub(start).as_secs_f64();
        let (worker, curve) = (self.config.name.clone(), course.curve);
        Answer { key, id, worker, secs, curve, outcome }
    }

    /// The score of a job, and the state for a later one.
    fn score(
        &self,
        task: &Task,
        id: &str,
        course: &mut Course,
        state: Option<String>,
    ) -> Result<(Evaluation, Option<Vec<u8>>), Failure> {
        let refuse = |reason: String| Failure::new(FailureKind::Error, reason);
        let made = self.made(task).map_err(refuse)?;
        let evaluator = &*made.evaluator;
        if !made.space.contains(&course.genotype) || evaluator.id(&course.genotype) != id {
            return Err(refuse("the job is of another architecture than it says".into()));
        }
        let stepwise = evaluator.stepwise();
        if stepwise.is_none() && (course.retrain.is_some() || !course.stops.is_empty()) {
            return Err(refuse("the job is to stop on the way, and it is no training".into()));
        }
        // Without the state it comes to the same from the beginning.
        let paused = state.and_then(|name| {
            let bytes = self.connection.get(&name).ok()?;
            stepwise?.restore(&bytes)
        });
        let (evaluation, paused) = score(evaluator, course, paused)?;
        // Only what stops at a rung before the last one may have to go on.
        let stepwise = stepwise.filter(|stepwise| {
            course.stops.last().is_some_and(|last| last.until < stepwise.epochs())
        });
        Ok((evaluation, paused.and_then(|paused| stepwise?.save(paused))))
    }

    /// The evaluator of a task, made once for all threads as long as the task stays the same.
    fn made(&self, task: &Task) -> Result<Arc<Made>, String> {
        let mut latest = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some((known, made)) if known == task => Ok(made.clone()),
            _ => {
                let made = Arc::new(self.means.evaluator(task)?);
                *latest = Some((task.clone(), made.clone()));
                Ok(made)
            }
        }
    }

    fn answer(&self, rest: &str, answer: &Answer) -> Result<(), Error> {
        let bytes = serde_json::to_vec(answer).expect("an answer is plain data");
        let subject = self.connection.subject(Kind::Answer, rest);
        // One that is refused is the second to its job.
        self.connection.insist(|c| c.publish(vec![(subject.clone(), bytes.clone())]))?;
        let outcome = answer.outcome.as_ref().map(|scored| scored.evaluation.reward);
        let (key, secs) = (answer.key.as_str(), answer.secs);
        (self.on_event)(WorkerEvent::Answered { key, outcome, secs });
        Ok(())
    }

    fn set_aside(&self, rest: &str, bytes: &[u8]) -> Result<(), Error> {
        let subject = self.connection.subject(Kind::Poison, rest);
        self.connection.insist(|c| c.publish(vec![(subject.clone(), bytes.to_vec())]))
    }
}

/// Waits for a job; none if the time is over.
async fn lease(consumer: &Consumer<pull::Config>) -> Result<Option<Message>, String> {
    let batch = consumer.batch().max_messages(1).expires(ASK).messages().await;
    let mut batch = batch.map_err(|error| error.to_string())?;
    batch.next().await.transpose().map_err(|error| error.to_string())
}

/// Extends a lease for as long as it runs.
async fn keep(acker: Arc<Acker>, every: Duration) {
    loop {
        time::sleep(every).await;
        // Without a connection there is nothing to extend; the next time there may be one.
        let _ = acker.ack_with(AckKind::Progress).await;
    }
}
