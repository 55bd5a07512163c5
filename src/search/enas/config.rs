//! Settings of weight sharing.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::search::strategy::{above_zero, at_least_one, below_one, share};
use crate::train::cosine;

/// Settings of [`Enas`](super::Enas). Images, the size of their batches, augmentation and clipping are those of
/// the children's own training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnasConfig {
    /// Passes over the training images with shared weights, the controller learning after each.
    pub epochs: usize,
    /// Learning rate of the shared weights at the start of each period of the cosine.
    pub lr: f64,
    /// Learning rate at its end.
    pub lr_min: f64,
    /// Epochs of the first period.
    pub lr_period: usize,
    /// Each period has so many times the epochs of the one before.
    pub lr_period_factor: usize,
    /// Nesterov's momentum of the shared weights.
    pub momentum: f64,
    /// Their L2 penalty.
    pub weight_decay: f64,
    /// Share of the features before the classifier that dropout zeroes while they learn.
    pub dropout: f64,
    /// Steps of the controller after each epoch.
    pub controller_updates: usize,
    /// Children that reward each of those steps.
    pub controller_batch: usize,
    /// Learning rate of the controller.
    pub controller_lr: f64,
    /// Share of the mean gradient that the controller's Adam keeps.
    pub adam_beta1: f64,
    /// Epsilon of that Adam.
    pub adam_eps: f64,
    /// Logits of the controller stay within plus and minus this.
    pub tanh_constant: f64,
    /// Weight of the entropy bonus, in reward for each nat of one decision.
    pub ent_coef: f64,
    /// Weight of the past in the moving average of rewards.
    pub baseline_decay: f64,
    /// Children drawn for each trial in the end; the best of them with shared weights is trained from scratch.
    pub samples: usize,
    /// Trials asked for at a time.
    pub batch_size: usize,
}

impl EnasConfig {
    /// The settings of the released code's micro search.
    ///
    /// # Source
    /// `cifar10_micro_search.sh` and `micro_controller.py` of melodyguan/enas; 10 samples as in section 2.3 of the
    /// paper.
    pub fn paper() -> Self {
        EnasConfig {
            epochs: 150,
            lr: 0.05,
            lr_min: 0.0005,
            lr_period: 10,
            lr_period_factor: 2,
            momentum: 0.9,
            weight_decay: 1e-4,
            dropout: 0.1,
            controller_updates: 30,
            controller_batch: 10,
            controller_lr: 0.0035,
            adam_beta1: 0.0,
            adam_eps: 1e-3,
            tanh_constant: 1.1,
            ent_coef: 0.0001,
            baseline_decay: 0.99,
            samples: 10,
            batch_size: 4,
        }
    }

    /// The learning rate of the shared weights in an epoch, counted from 1; the same for all of its steps, as in
    /// the released code.
    ///
    /// # Source
    /// I. Loshchilov and F. Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, equation 5.
    pub(super) fn lr_of(&self, epoch: usize) -> f64 {
        let (mut at, mut period) = (epoch - 1, self.lr_period);
        while at >= period {
            at -= period;
            period = period.saturating_mul(self.lr_period_factor);
        }
        self.lr_min + cosine(self.lr - self.lr_min, at, period)
    }

    /// All settings as TOML keys and values.
    pub(in crate::search) fn settings(&self) -> Vec<(&'static str, String)> {
        let EnasConfig {
            epochs,
            lr,
            lr_min,
            lr_period,
            lr_period_factor,
            momentum,
            weight_decay,
            dropout,
            controller_updates,
            controller_batch,
            controller_lr,
            adam_beta1,
            adam_eps,
            tanh_constant,
            ent_coef,
            baseline_decay,
            samples,
            batch_size,
        } = self;
        vec![
            ("epochs", epochs.to_string()),
            ("lr", format!("{lr:?}")),
            ("lr_min", format!("{lr_min:?}")),
            ("lr_period", lr_period.to_string()),
            ("lr_period_factor", lr_period_factor.to_string()),
            ("momentum", format!("{momentum:?}")),
            ("weight_decay", format!("{weight_decay:?}")),
            ("dropout", format!("{dropout:?}")),
            ("controller_updates", controller_updates.to_string()),
            ("controller_batch", controller_batch.to_string()),
            ("controller_lr", format!("{controller_lr:?}")),
            ("adam_beta1", format!("{adam_beta1:?}")),
            ("adam_eps", format!("{adam_eps:?}")),
            ("tanh_constant", format!("{tanh_constant:?}")),
            ("ent_coef", format!("{ent_coef:?}")),
            ("baseline_decay", format!("{baseline_decay:?}")),
            ("samples", samples.to_string()),
            ("batch_size", batch_size.to_string()),
        ]
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        for (setting, count) in [
            ("epochs", self.epochs),
            ("lr_period", self.lr_period),
            ("lr_period_factor", self.lr_period_factor),
            ("controller_updates", self.controller_updates),
            ("controller_batch", self.controller_batch),
            ("samples", self.samples),
            ("batch_size", self.batch_size),
        ] {
            at_least_one(setting, count)?;
        }
        for (setting, value) in [
            ("lr", self.lr),
            ("lr_min", self.lr_min),
            ("controller_lr", self.controller_lr),
            ("adam_eps", self.adam_eps),
            ("tanh_constant", self.tanh_constant),
        ] {
            above_zero(setting, value)?;
        }
        for (setting, value) in [
            ("momentum", self.momentum),
            ("dropout", self.dropout),
            ("adam_beta1", self.adam_beta1),
            ("baseline_decay", self.baseline_decay),
        ] {
            below_one(setting, value)?;
        }
        share("weight_decay", self.weight_decay)?;
        share("ent_coef", self.ent_coef)
    }
}

/// For a run of minutes: fewer epochs, in one period, and larger steps of the controller, which is to learn in
/// hundreds of children instead of tens of thousands.
impl Default for EnasConfig {
    fn default() -> Self {
        EnasConfig {
            epochs: 20,
            lr_period: 20,
            controller_updates: 10,
            controller_lr: 0.01,
            tanh_constant: 2.5,
            baseline_decay: 0.95,
            ..EnasConfig::paper()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_starts_again() {
        let config = EnasConfig::paper();
        let rates: Vec<f64> = (1..=150).map(|epoch| config.lr_of(epoch)).collect();
        // Periods of 10, 20, 40 and 80 epochs, each from 0.05 down towards 0.0005.
        let starts: Vec<usize> = (0..150).filter(|&at| rates[at] == 0.05).collect();
        assert_eq!(starts, [0, 10, 30, 70]);
        assert!((rates[5] - 0.02525).abs() < 1e-12, "the middle of the first: {}", rates[5]);
        let falls = |from: usize, to: usize| (from + 1..to).all(|at| rates[at] < rates[at - 1]);
        assert!(falls(0, 10) && falls(10, 30) && falls(30, 70) && falls(70, 150));
        assert!(rates.iter().all(|&rate| rate > 0.0005));
    }
}
