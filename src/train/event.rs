//! What a training run tells while it runs, and what is left of it afterwards.

use serde::{Deserialize, Serialize};

/// Something that happened in [`fit`](super::fit).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An optimizer step.
    Step {
        /// Its number, counted from 0 over the whole run.
        step: usize,
        /// Number of steps of the whole run.
        steps: usize,
        /// Epoch, counted from 1.
        epoch: usize,
        /// Mean cross-entropy of the batch before the step, in nats.
        loss: f64,
        /// Learning rate of the step.
        lr: f64,
        /// Euclidean norm of the gradient before clipping.
        grad_norm: f64,
    },
    /// The end of an epoch.
    Epoch(EpochRecord),
}

/// One epoch of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number, counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy over the epoch's batches as they were learned from, in nats.
    pub train_loss: f64,
    /// Share of those images whose largest logit was the label's, 0 to 1.
    pub train_accuracy: f64,
    /// Share of validation images classified correctly after the epoch; none without such images.
    pub val_accuracy: Option<f64>,
}

/// All epochs of a training run.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct History {
    /// In order; as many as were asked for.
    pub epochs: Vec<EpochRecord>,
}

impl History {
    /// Validation accuracy after the last epoch.
    pub fn val_accuracy(&self) -> Option<f64> {
        self.epochs.last()?.val_accuracy
    }
}
