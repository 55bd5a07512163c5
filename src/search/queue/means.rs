//! What a worker has by itself: data, a table or a program. It makes evaluators of tasks with it.

use std::fmt;

use super::super::child::{ChildConfig, TimeLimit, TrainEvaluator};
use super::super::command::{CommandConfig, CommandEvaluator};
use super::super::evaluator::Evaluator;
use super::super::identity::{space_hash, text_hash};
use super::super::proxy::{Proxy, ProxyEvaluator};
use super::super::table::{Table, TableEvaluator};
use super::super::task::{Scoring, Task};
use crate::data::Dataset;
use crate::device::AnyDevice;
use crate::source::{Library, SourceFile};
use crate::space::SearchSpace;

/// The version of everything that is sent.
const FORMAT: u32 = 2;

/// What the scores of a worker come from.
#[derive(Clone, Debug)]
pub enum Means {
    /// A data set.
    Data {
        /// The images.
        data: Box<Dataset>,
        /// What they are called in messages.
        name: String,
        /// The longest that a training may take.
        time_limit: Option<TimeLimit>,
        /// At least one. The trainings of thread `i` of this worker are on device `i` modulo their number; scores of
        /// fresh networks are the processor's.
        devices: Vec<AnyDevice>,
    },
    /// A tabular benchmark.
    Table(Table),
    /// Another program. Which one is never part of a job.
    Command(CommandConfig),
}

impl Means {
    /// The word for jobs that this is enough for.
    pub(super) fn needs(&self) -> String {
        match self {
            Means::Data { data, .. } => versioned("data", &data.hash()),
            Means::Table(table) => versioned("table", &table.hash()),
            Means::Command(_) => versioned("command", ""),
        }
    }

    /// The evaluator of a task, with the space that it is of.
    ///
    /// # Errors
    /// One sentence if the task is for other means, or not what it says it is.
    pub(super) fn evaluator(&self, task: &Task) -> Result<Made, String> {
        let source = SourceFile::new("the space of the job", task.file.as_str());
        let scale = task.scale.clone();
        // Files of this machine are none of the job's business.
        let loader = &Library;
        let made = match (&task.scoring, self) {
            (
                Scoring::Train { data: _, validation, seed, train, max_memory_mib },
                Means::Data { data, name, time_limit, devices },
            ) => {
                let (validation, train) = (*validation, (**train).clone());
                let max_memory_mib = *max_memory_mib;
                let config = ChildConfig { scale, validation, train, max_memory_mib };
                let data = (**data).clone();
                TrainEvaluator::new_with(&source, loader, data, name, config, *seed)
                    .map(|evaluator| evaluator.with_time_limit(time_limit.clone()))
                    .map(|evaluator| evaluator.with_devices(devices.clone()))
                    .map(|evaluator| Made::new(evaluator.space().clone(), evaluator))
            }
            (Scoring::Proxy { kind, images, seed, .. }, Means::Data { data, name, .. }) => {
                let proxy = Proxy::new(*kind, data, *images, *seed).map_err(|e| e.to_string())?;
                ProxyEvaluator::new(&source, loader, data, name, proxy, scale)
                    .map(|evaluator| Made::new(evaluator.space().clone(), evaluator))
            }
            (Scoring::Table { config, .. }, Means::Table(table)) => {
                TableEvaluator::new(&source, loader, table, config, scale)
                    .map(|evaluator| Made::new(evaluator.space().clone(), evaluator))
            }
            (Scoring::Command, Means::Command(config)) => {
                CommandEvaluator::new(&source, loader, config.clone(), scale)
                    .map(|evaluator| Made::new(evaluator.space().clone(), evaluator))
            }
            _ => return Err("this worker has no means for such a job".into()),
        };
        let made = made.map_err(|fault| fault.to_string())?;
        if made.evaluator.task().as_ref() != Some(task)
            || space_hash(&made.space) != task.space_hash
        {
            return Err("this worker makes another task of its text and settings".into());
        }
        Ok(made)
    }
}

/// An evaluator with its space.
pub(super) struct Made {
    pub(super) space: SearchSpace,
    pub(super) evaluator: Box<dyn Evaluator + Send + Sync>,
}

impl Made {
    fn new(space: SearchSpace, evaluator: impl Evaluator + Send + 'static) -> Self {
        Made { space, evaluator: Box::new(evaluator) }
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").field("space", &self.space.name).finish_non_exhaustive()
    }
}

/// A word for the means that a scoring needs, equal to that of the means.
pub(super) fn needs(scoring: &Scoring) -> String {
    match scoring {
        Scoring::Train { data, .. } | Scoring::Proxy { data, .. } => versioned("data", data),
        Scoring::Table { table, .. } => versioned("table", table),
        Scoring::Command => versioned("command", ""),
    }
}

/// Two versions of this program may score one network differently.
fn versioned(kind: &str, hash: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("{kind}-{}", text_hash(&format!("{version} {FORMAT} {hash}")))
}
