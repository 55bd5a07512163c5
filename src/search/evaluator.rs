//! Performance estimation: what a search needs to know about an architecture, behind one trait.
//!
//! An [`Evaluator`] takes a [`Genotype`] and gives an [`Evaluation`] or a [`Failure`]. The search
//! assumes nothing else of it: no compiler, no data set, no clock. Whatever a panic or a diverged
//! loss does to one trial, the search goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::budget::Stepwise;
use super::enas::Sharing;
use super::objective::NetScale;
use super::task::Task;
use crate::graph::Graph;
use crate::space::{Genotype, Requirements};

/// Scores architectures. Called from several worker threads at once.
///
/// # Determinism
/// All methods must be functions of their arguments alone; then a ledger does not depend on the
/// number of workers. In particular a child draws its random numbers from `seed`.
pub trait Evaluator: Sync {
    /// Canonical id of the architecture: equal ids are the same network, and it is trained once.
    fn id(&self, genotype: &Genotype) -> String;

    /// Builds, trains and scores the architecture. `seed` depends on the search's seed and on the id.
    ///
    /// # Errors
    /// A [`Failure`] for an architecture that has no score. A panic counts as one.
    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure>;

    /// This evaluator as one that trains in steps, for [budgets](super::budget); `None` if it does not.
    fn stepwise(&self) -> Option<&dyn Stepwise> {
        None
    }

    /// What children need to share weights, for [`enas`](super::enas); `None` if they cannot.
    fn sharing(&self) -> Option<Sharing<'_>> {
        None
    }

    /// The architecture as formatted `.cell` text under a header that says where it came from.
    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String;

    /// What an architecture must meet to be proposed at all; nothing, unless an evaluator says more.
    /// Strategies propose none that does not.
    fn requirements(&self) -> Requirements<'_> {
        Requirements::default()
    }

    /// The network of an architecture, for what a search counts and measures beside its reward: the child
    /// that is scored, or the network at a scale.
    ///
    /// # Errors
    /// One sentence if the architecture has no such network, or this evaluator none at all.
    fn network(&self, _genotype: &Genotype, _at: Option<&NetScale>) -> Result<Graph, String> {
        Err("this evaluator builds no networks".into())
    }

    /// Number of images that children learn from, of those held out for the reward, and of those for the final
    /// test, which no search sees; none where nothing is trained.
    fn images(&self) -> Option<[usize; 3]> {
        None
    }

    /// What another process must know to score as this evaluator does; `None` if none can.
    fn task(&self) -> Option<Task> {
        None
    }

    /// Everything else that the scores depend on (data set, epochs, scale, batch size ...) as names
    /// and values. A run is resumed only under equal settings.
    fn settings(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The score of one architecture and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What the search maximizes; finite.
    pub reward: f64,
    /// Share of validation images classified correctly, 0 to 1.
    pub val_accuracy: f64,
    /// Trainable parameters at the scale of the search.
    pub params: u64,
    /// Multiply-adds for one image at the scale of the search.
    pub macs: u64,
    /// Scale at which the child was trained, such as `1@96` for N@F.
    pub scale: String,
    /// Epochs trained.
    pub epochs: usize,
}

/// Why an architecture has no score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// One line for the reader of a ledger.
    pub reason: String,
}

/// Kinds of failed trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The loss or the reward stopped being a finite number.
    NotFinite,
    /// The evaluator panicked.
    Panic,
    /// The network exceeds a limit on its size.
    TooLarge,
    /// The network breaks a `require` of its space.
    Rejected,
    /// The network takes longer than a limit on its latency.
    TooSlow,
    /// The evaluation took longer than it may.
    TimedOut,
    /// The evaluation takes more memory than it may, or than there was.
    OutOfMemory,
    /// Every process that began it ended before it did.
    Crashed,
    /// Anything else, such as a data set that cannot be read.
    Error,
}

impl Failure {
    /// A failure from its kind and reason.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Failure { kind, reason: reason.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FailureKind::NotFinite => "not finite",
            FailureKind::Panic => "panic",
            FailureKind::TooLarge => "too large",
            FailureKind::Rejected => "rejected",
            FailureKind::TooSlow => "too slow",
            FailureKind::TimedOut => "timed out",
            FailureKind::OutOfMemory => "out of memory",
            FailureKind::Crashed => "crashed",
            FailureKind::Error => "error",
        };
        write!(f, "{kind}: {}", self.reason)
    }
}

/// Where a found architecture came from; the header of its `.cell` file.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// Name of the search space.
    pub space: String,
    /// [`space_hash`](super::identity::space_hash) of the search space.
    pub space_hash: String,
    /// Name of the strategy.
    pub strategy: String,
    /// Seed of the search.
    pub seed: u64,
    /// Number of the trial, counted from 1.
    pub trial: usize,
    /// Its reward.
    pub reward: f64,
    /// Epochs it was trained for.
    pub epochs: usize,
}

/// One line without its end, so that an evaluator can add what it knows: ``Found by `cellc search`:
/// space nasnet (hash 5f3a9c0011223344), ppo, seed 7, trial 142, reward 0.9312``.
impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Found by `cellc search`: space {} (hash {}), {}, seed {}, trial {}, reward {:.4}",
            self.space, self.space_hash, self.strategy, self.seed, self.trial, self.reward
        )
    }
}
