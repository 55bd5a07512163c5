//! Workers on other machines: the jobs of a search go through a NATS server with `JetStream`.
//!
//! # Who does what
//! The process that searches, the controller, puts a job into the queue for every architecture it wants to be
//! scored, and takes answers out. A worker leases one job at a time, scores the architecture with its own data
//! and answers. The ledger on the controller's disk is the truth: the server does not force to its disk what it
//! acknowledges, and may lose all of it.
//!
//! # What is where
//! | stream of queue `NAME` | subjects | holds |
//! |---|---|---|
//! | `cellc-NAME-jobs` | `cellc.NAME.job.NEEDS.SEARCH.KEY` | jobs until they are answered, for workers that have what they need |
//! | `cellc-NAME-answers` | `cellc.NAME.answer.SEARCH.KEY` | answers until the search ends |
//! | `cellc-NAME-poison` | `cellc.NAME.poison.SEARCH.KEY` | jobs that were set aside, for people to look at |
//! | object store `cellc-NAME-states` | | trainings that wait at a rung of a [budget](super::budget) |
//!
//! A subject of the first two holds at most one message, and a second one is refused. So a job that is queued
//! or leased cannot be queued again, whoever tries and however late, and of two answers the first one counts.
//!
//! # What can happen
//! - A worker dies: its lease ends, as nobody extends it, and another worker begins the job anew.
//! - A job ends every worker that begins it: the next one to get it sets it aside, and the trial has failed.
//! - The controller dies: workers go on, and a controller that resumes finds their answers. What its ledger has
//!   is not asked for again.
//! - The server dies: both ends wait for it. What it lost is queued again.
//! - A lease ends although its worker is alive, such as on a laptop that slept: two workers do one job, with
//!   the same result.
//!
//! # What is sent
//! A job is the text of a space, a point of it, and numbers: see [`Task`]. It names no file and no program, and
//! its text can `use` only the files inside the program. A worker compiles it under the limits of the language;
//! still, who may write to the queue can keep its workers busy.
//!
//! # Determinism
//! The ledger is that of a search on this machine, times aside, as long as all processors compute with the
//! same kernels (see [`Isa`](crate::device::cpu::Isa)), or all cards are alike, and no job is set aside.

mod connection;
mod controller;
mod means;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use controller::Way;
pub use means::Means;
pub use worker::{WorkerConfig, WorkerEvent, work};

use super::evaluator::{Evaluation, Failure};
use super::task::Task;
use super::workers::Course;

/// Answers and states that nobody asks for any more are kept so long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where a queue is, and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// `nats://HOST:PORT`, or `tls://HOST:PORT` for TLS; `USER:PASSWORD@` or `TOKEN@` may stand before the
    /// host, with special characters as in other URLs (`%40`). Several servers of one cluster with commas
    /// between.
    pub url: String,
    /// Name of the queue: letters, digits, `-` and `_`. Searches and workers of other names do not see it.
    pub name: String,
    /// A file with `USER:PASSWORD` or a token, in place of what the URL has.
    pub credentials: Option<PathBuf>,
    /// A `.creds` file of a user, as `nsc` writes it: a token signed by an account and the key that it is for, in
    /// place of user, password and token.
    pub creds: Option<PathBuf>,
    /// A file of root certificates (PEM) that are trusted beside those of the system.
    pub ca: Option<PathBuf>,
    /// A certificate of this end and its key (PEM), for servers that ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How often a job is begun before it is set aside.
    pub attempts: u64,
}

impl QueueConfig {
    /// Attempts where nothing says more.
    pub const ATTEMPTS: u64 = 5;

    /// The queue `cellc` of a server.
    pub fn new(url: impl Into<String>) -> Self {
        QueueConfig {
            url: url.into(),
            name: "cellc".into(),
            credentials: None,
            creds: None,
            ca: None,
            certificate: None,
            attempts: Self::ATTEMPTS,
        }
    }

    /// The URL without user, password and token.
    pub fn shown(&self) -> String {
        let shown = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            (None, Some((_, host))) => host.to_owned(),
            (_, None) => url.to_owned(),
        };
        self.url.split(',').map(shown).collect::<Vec<_>>().join(",")
    }
}

/// Without secrets.
impl fmt::Debug for QueueConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, name) = (self.shown(), &self.name);
        f.debug_struct("QueueConfig").field("url", &url).field("name", name).finish_non_exhaustive()
    }
}

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assignment {
    /// What of the search it is.
    key: String,
    /// Id of the architecture, which the worker must come to as well.
    id: String,
    /// How often it may be begun.
    attempts: u64,
    /// Name of the state where an earlier job left it.
    state: Option<String>,
    course: Course,
    task: Task,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    key: String,
    id: String,
    /// For people who wonder.
    worker: String,
    secs: f64,
    /// As far as the evaluation came, even if it failed then.
    curve: Vec<(usize, f64)>,
    outcome: Result<Scored, Failure>,
}

impl Answer {
    /// Name of the state where the job was left.
    fn state(&self) -> Option<&str> {
        self.outcome.as_ref().ok()?.state.as_deref()
    }
}

/// A score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scored {
    evaluation: Evaluation,
    /// Name of the state where this job left it.
    state: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (url, shown) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("tls://me:p%40ss@host:4222", "tls://host:4222"),
            ("nats://token@a,nats://token@b", "nats://a,nats://b"),
            ("token@host", "host"),
        ] {
            let config = QueueConfig::new(url);
            assert_eq!(config.shown(), shown);
            assert!(!format!("{config:?}").contains('@'));
        }
    }
}
