//! The end of a queue where a search is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{self, Stream as Messages};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use futures_util::{FutureExt, StreamExt};
use tokio::time;

use super::connection::{Connection, Kind};
use super::means::needs;
use super::{Answer, Assignment, QueueConfig, Scored};
use crate::error::Error;
use crate::search::budget::Paused;
use crate::search::evaluator::Evaluator;
use crate::search::event::Event;
use crate::search::strategy::at_least_one;
use crate::search::task::Task;
use crate::search::workers::{Done, Found, Job, Workers, caught, cell_text, size};

/// The wait for an answer before the jobs that are out are queued again, for a server that lost them. It does
/// not take those that it has. The wait doubles each time.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the server waits for an answer to be acknowledged before it comes again.
const ACKNOWLEDGED: Duration = Duration::from_secs(20);
/// The longest such wait.
const LONGEST: Duration = Duration::from_secs(600);
/// The time between two signs of life of the server.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The longest wait for answers of an earlier process, once the server said how many there are.
const EARLIER: Duration = Duration::from_secs(10);
/// Answers that are asked for at a time.
const BATCH: usize = 256;

/// A connection over which an evaluator's architectures can be scored.
pub(in crate::search) struct Way<'a> {
    connection: Connection,
    evaluator: &'a dyn Evaluator,
    task: Task,
    attempts: u64,
}

impl<'a> Way<'a> {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Config`] for an evaluator that cannot be had somewhere else; those of [`Connection::open`].
    pub(in crate::search) fn open(
        config: &QueueConfig,
        evaluator: &'a dyn Evaluator,
    ) -> Result<Self, Error> {
        at_least_one("attempts", config.attempts as usize)?;
        let task = evaluator.task().ok_or_else(|| Error::Config {
            setting: "queue",
            value: format!("`{}`", config.shown()),
            reason: "this evaluator is of this process alone".into(),
        })?;
        let connection = Connection::open(config)?;
        Ok(Way { connection, evaluator, task, attempts: config.attempts })
    }

    /// Begins a search, or goes on with it, and takes the answers that wait for it. `named` gives its name:
    /// that of an earlier process if there was one, else the one given to it.
    ///
    /// # Errors
    /// Those of `named`; [`Error::Queue`].
    pub(in crate::search) fn of_search(
        self,
        named: impl FnOnce(&str) -> Result<String, Error>,
    ) -> Result<Controller<'a>, Error> {
        let Way { connection, evaluator, task, attempts } = self;
        let search = named(&connection.unique())?;
        let (answers, waiting) =
            connection.wait(subscribe(&connection, &search)).map_err(|e| connection.error(e))?;
        let (out, unsent) = (BTreeMap::new(), Vec::new());
        let (earlier, states) = (BTreeMap::new(), BTreeSet::new());
        let mut controller = Controller {
            connection,
            evaluator,
            task,
            attempts,
            search,
            answers,
            out,
            unsent,
            earlier,
            states,
            held: BTreeMap::new(),
            is_served: true,
        };
        for answer in controller.catch_up(waiting) {
            controller.earlier.insert(answer.key.clone(), answer);
        }
        Ok(controller)
    }
}

/// Workers somewhere else.
pub(in crate::search) struct Controller<'a> {
    connection: Connection,
    evaluator: &'a dyn Evaluator,
    task: Task,
    attempts: u64,
    /// What tells the subjects of this search from those of others.
    search: String,
    answers: Messages,
    /// Jobs that are out, by key.
    out: BTreeMap<String, Job>,
    /// Those of them that the server does not have yet.
    unsent: Vec<String>,
    /// Answers to jobs that nobody has submitted, by key: an earlier process has.
    earlier: BTreeMap<String, Answer>,
    /// Names of the states that the server keeps.
    states: BTreeSet<String>,
    /// Those of them that a child may go on with, for as long as somebody has the child.
    held: BTreeMap<String, Weak<str>>,
    /// Somebody does the jobs, as far as is known.
    is_served: bool,
}

impl Controller<'_> {
    /// Removes what the server has of a search that is over. A search that ended otherwise leaves it there,
    /// for a process that goes on with it.
    pub(in crate::search) fn close(mut self) {
        self.cancel();
        self.earlier.clear();
        self.forget_states();
        // The search is in its ledger whatever the server says; what stays there is removed by age.
        let _ = self.connection.purge(Kind::Answer, &format!("{}.>", self.search));
        let _ = self.connection.wait(async {
            let stream = self.connection.stream(Kind::Answer).await?;
            stream.delete_consumer(&self.search).await.map_err(|error| error.to_string())
        });
    }

    /// Waits for an answer and takes all that are there then; none if the time is over.
    fn receive(&mut self, wait: Duration) -> Result<Vec<Answer>, String> {
        let answers = &mut self.answers;
        let received = self.connection.wait(async {
            let mut received: Vec<Answer> = Vec::new();
            let Ok(mut next) = time::timeout(wait, answers.next()).await else {
                return Ok(received);
            };
            loop {
                let message = match next {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("the answers came to an end".to_owned()),
                };
                // A message that is nobody's answer is no reason to stop.
                received.extend(serde_json::from_slice(&message.payload));
                // One that is not acknowledged for want of a connection comes again, and is dropped.
                let _ = message.ack().await;
                match answers.next().now_or_never() {
                    Some(found) => next = found,
                    None => return Ok(received),
                }
            }
        })?;
        self.states.extend(received.iter().filter_map(Answer::state).map(str::to_owned));
        Ok(received)
    }

    /// The first so many answers, or fewer if they do not come.
    fn catch_up(&mut self, waiting: u64) -> Vec<Answer> {
        let mut found = Vec::new();
        while (found.len() as u64) < waiting {
            match self.receive(EARLIER) {
                Ok(some) if !some.is_empty() => found.extend(some),
                Ok(_) | Err(_) => break,
            }
        }
        found
    }

    /// Takes all answers again after the connection was lost.
    fn begin_again(&mut self) -> Result<Vec<Answer>, Error> {
        let search = &self.search;
        let (answers, waiting) = self.connection.insist(|c| c.wait(subscribe(c, search)))?;
        self.answers = answers;
        Ok(self.catch_up(waiting))
    }

    /// Queues these jobs; those that are queued or leased stay so.
    fn send(&self, keys: &[String]) -> Result<(), Error> {
        let messages = || -> Vec<(String, Vec<u8>)> {
            keys.iter().filter_map(|key| Some(self.message(key, self.out.get(key)?))).collect()
        };
        self.connection.insist(|connection| connection.publish(messages()))
    }

    fn message(&self, key: &str, job: &Job) -> (String, Vec<u8>) {
        let rest = format!("{}.{}.{key}", needs(&self.task.scoring), self.search);
        let assignment = Assignment {
            key: key.to_owned(),
            id: job.id.clone(),
            attempts: self.attempts,
            state: state_of(job).map(str::to_owned),
            course: job.course.clone(),
            task: self.task.clone(),
        };
        let bytes = serde_json::to_vec(&assignment).expect("an assignment is plain data");
        (self.connection.subject(Kind::Job, &rest), bytes)
    }

    /// Looks who works, and says so when it is nobody any more.
    fn look_for_workers(&mut self, tell: &mut dyn FnMut(Event<'_>)) {
        let own = needs(&self.task.scoring);
        let was_served = self.is_served;
        let mut others = 0;
        // Twice, since a worker may be between one question and the next.
        for pause in [Duration::ZERO, Duration::from_secs(1)] {
            self.connection.wait(async { time::sleep(pause).await });
            // A server that cannot be asked is the business of the next try.
            let Ok(workers) = self.connection.workers() else { return };
            self.is_served = workers.contains_key(&own);
            if self.is_served {
                return;
            }
            others = workers.values().sum();
        }
        if was_served {
            tell(Event::NobodyWorks { waiting: self.out.len(), others });
        }
    }

    /// Removes the states that no child goes on with, nor may go on with once its answer is taken.
    fn forget_states(&mut self) {
        self.held.retain(|_, state| state.strong_count() > 0);
        let earlier = self.earlier.values().filter_map(Answer::state);
        let needed: BTreeSet<&str> = self.held.keys().map(String::as_str).chain(earlier).collect();
        let (kept, left): (BTreeSet<String>, BTreeSet<String>) =
            std::mem::take(&mut self.states).into_iter().partition(|s| needed.contains(s.as_str()));
        for state in left {
            // One that stays is removed by age.
            let _ = self.connection.delete(&state);
        }
        self.states = kept;
    }

    /// What a job came to.
    fn done(&mut self, mut job: Job, answer: Answer) -> Done {
        job.course.curve = answer.curve;
        // Where it went on from is of no use any more.
        job.paused = None;
        let outcome = answer.outcome.and_then(|Scored { evaluation, state }| {
            let cell_text = caught(|| Ok(cell_text(self.evaluator, &job, &evaluation)))?;
            let paused = state.map(|name| {
                let state: Arc<str> = name.as_str().into();
                self.held.insert(name, Arc::downgrade(&state));
                Paused::new(state)
            });
            Ok(Found { evaluation, cell_text, paused })
        });
        let outcome =
            outcome.map_err(|failure| (failure, size(self.evaluator, &job.course.genotype)));
        let secs = Duration::try_from_secs_f64(answer.secs).unwrap_or_default();
        Done { outcome, time: job.time + secs, job }
    }
}

impl Workers for Controller<'_> {
    fn submit(&mut self, job: Job) {
        let key = key(&job);
        if !self.earlier.contains_key(&key) {
            self.unsent.push(key.clone());
        }
        self.out.insert(key, job);
    }

    fn next(&mut self, tell: &mut dyn FnMut(Event<'_>)) -> Result<Vec<Done>, Error> {
        if self.out.is_empty() {
            return Ok(Vec::new());
        }
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
            self.forget_states();
        }
        let mut wait = AGAIN;
        let mut answers: Vec<Answer> =
            self.out.keys().filter_map(|key| self.earlier.remove(key)).collect();
        loop {
            let mut finished = Vec::new();
            for answer in answers {
                // Of a job that was done twice the second answer finds no job.
                if self.out.get(&answer.key).is_some_and(|job| job.id == answer.id) {
                    let job = self.out.remove(&answer.key).expect("it was just seen");
                    finished.push(self.done(job, answer));
                }
            }
            if !finished.is_empty() {
                return Ok(finished);
            }
            answers = match self.receive(wait) {
                Ok(answers) if !answers.is_empty() => answers,
                Ok(none) => {
                    let all: Vec<String> = self.out.keys().cloned().collect();
                    self.send(&all)?;
                    self.look_for_workers(tell);
                    wait = (2 * wait).min(LONGEST);
                    none
                }
                Err(_) => self.begin_again()?,
            };
        }
    }

    /// The jobs that workers are at are dropped too; their answers wait for a process that goes on.
    fn cancel(&mut self) {
        self.out.clear();
        self.unsent.clear();
        // Jobs that stay in the queue are done in vain, which is the smaller fault.
        let _ = self.connection.purge(Kind::Job, &format!("*.{}.>", self.search));
    }
}

/// Begins to take the answers of a search, from its first, and says how many there are.
async fn subscribe(connection: &Connection, search: &str) -> Result<(Messages, u64), String> {
    let stream = connection.stream(Kind::Answer).await?;
    // What an earlier process has acknowledged is wanted again.
    let _ = stream.delete_consumer(search).await;
    let config = pull::Config {
        durable_name: Some(search.to_owned()),
        filter_subject: connection.subject(Kind::Answer, &format!("{search}.>")),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACKNOWLEDGED,
        max_ack_pending: 2 * BATCH as i64,
        ..Default::default()
    };
    let consumer: Consumer<pull::Config> =
        stream.create_consumer(config).await.map_err(|error| error.to_string())?;
    let waiting = consumer.cached_info().num_pending;
    let messages = consumer.stream().max_messages_per_batch(BATCH).heartbeat(HEARTBEAT);
    let messages = messages.messages().await;
    Ok((messages.map_err(|error| error.to_string())?, waiting))
}

/// What of a search a job is; the same in every process that goes on with it.
fn key(job: &Job) -> String {
    let trial = job.provenance.trial;
    match (job.course.retrain, job.course.stops.last()) {
        (Some(epochs), _) => format!("{trial}-again-{epochs}"),
        (None, Some(stop)) => format!("{trial}-until-{}", stop.until),
        (None, None) => trial.to_string(),
    }
}

/// The state that a job goes on with.
fn state_of(job: &Job) -> Option<&str> {
    job.paused.as_ref()?.state::<Arc<str>>().map(|state| &**state)
}
