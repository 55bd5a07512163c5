//! What a search tells while it runs, and what is left of it afterwards.

use super::enas::SharedEpoch;
use super::ledger::Record;
use super::strategy::Metrics;

/// Something that happened in a search.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The folder holds this many trials of an earlier process.
    Resumed {
        /// Trials in its ledger.
        trials: usize,
    },
    /// A strategy that learns before it is asked has done an epoch.
    Learned {
        /// The epoch.
        epoch: &'a SharedEpoch,
        /// Epochs in all.
        epochs: usize,
    },
    /// Architectures wait in a queue, and none of its workers has what they need. It may be that one comes.
    NobodyWorks {
        /// Architectures that wait.
        waiting: usize,
        /// Workers of the queue that ask for other jobs: they have other data, or are of another version.
        others: usize,
    },
    /// A trial was evaluated. These come in the order in which the evaluations end.
    Evaluated {
        /// The trial.
        record: &'a Record,
    },
    /// One of the best was trained again, and is in `retrained.jsonl`.
    Retrained {
        /// The trial with its new outcome.
        record: &'a Record,
    },
    /// A trial is in the ledger. These come in order of trials.
    Recorded {
        /// The trial.
        record: &'a Record,
        /// True if no trial so far is better.
        is_best: bool,
    },
    /// The strategy has learned from a batch.
    Updated {
        /// Last trial of the batch.
        trial: usize,
        /// What the strategy says about it.
        metrics: &'a Metrics,
    },
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// All trials are done.
    Trials,
    /// The receiver of events asked for it.
    Requested,
}

/// A finished search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchHistory {
    /// All trials of the ledger in order.
    pub trials: Vec<Record>,
    /// Index of the trial with the largest reward, the first of equals; none if all failed.
    pub best: Option<usize>,
    /// Indices of the trials on the Pareto front, the largest first coordinate first; none unless one is
    /// asked for.
    pub front: Vec<usize>,
    /// The best trials with the outcomes of their second training, in the order of the first.
    pub retrained: Vec<Record>,
    /// What the strategy learned before it was asked.
    pub learned: Vec<SharedEpoch>,
    /// What the strategy said about each batch, with the batch's last trial.
    pub updates: Vec<(usize, Metrics)>,
    /// Why it ended.
    pub stop: StopReason,
}
