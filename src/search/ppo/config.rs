//! Settings of PPO: those of the paper and those for small budgets.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Settings of [`Ppo`](super::Ppo), named as in CleanRL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PpoConfig {
    /// Learning rate of Adam.
    pub lr: f64,
    /// Epsilon of Adam.
    pub adam_eps: f64,
    /// Architectures for one update.
    pub batch_size: usize,
    /// Passes over a batch in one update.
    pub update_epochs: usize,
    /// Minibatches in one pass; divides `batch_size`.
    pub num_minibatches: usize,
    /// The probability ratio is clipped to `[1 - clip_coef, 1 + clip_coef]`.
    pub clip_coef: f64,
    /// Weight of the entropy bonus, in reward for each nat of one decision.
    pub ent_coef: f64,
    /// Largest norm of the gradient.
    pub max_grad_norm: f64,
    /// Whether the advantages of each minibatch are brought to mean 0 and standard deviation 1. With
    /// one minibatch the baseline then has no effect.
    pub norm_adv: bool,
    /// An update ends after the pass in which the approximate KL divergence exceeds this.
    pub target_kl: Option<f64>,
    /// Weight of the past in the moving average of rewards.
    pub baseline_decay: f64,
    /// How often an architecture is drawn again that was proposed before.
    pub redraws: usize,
}

impl PpoConfig {
    /// The settings of the NASNet paper (appendix A), meant for 20,000 children.
    ///
    /// Given there: learning rate, entropy weight, baseline decay, 20 architectures for each update.
    /// Not given, and taken from CleanRL: clip, passes, minibatches, gradient norm, Adam's epsilon.
    pub fn paper() -> Self {
        PpoConfig {
            lr: 0.000_35,
            adam_eps: 1e-5,
            batch_size: 20,
            update_epochs: 4,
            num_minibatches: 1,
            clip_coef: 0.2,
            ent_coef: 0.000_01,
            max_grad_norm: 0.5,
            norm_adv: false,
            target_kl: None,
            baseline_decay: 0.95,
            redraws: 0,
        }
    }

    /// All settings as TOML keys and values.
    pub(in crate::search) fn settings(&self) -> Vec<(&'static str, String)> {
        let PpoConfig {
            lr,
            adam_eps,
            batch_size,
            update_epochs,
            num_minibatches,
            clip_coef,
            ent_coef,
            max_grad_norm,
            norm_adv,
            target_kl,
            baseline_decay,
            redraws,
        } = self;
        let mut settings = vec![
            // `{:?}` writes a float so that it reads back as the same one, always with a point.
            ("lr", format!("{lr:?}")),
            ("adam_eps", format!("{adam_eps:?}")),
            ("batch_size", batch_size.to_string()),
            ("update_epochs", update_epochs.to_string()),
            ("num_minibatches", num_minibatches.to_string()),
            ("clip_coef", format!("{clip_coef:?}")),
            ("ent_coef", format!("{ent_coef:?}")),
            ("max_grad_norm", format!("{max_grad_norm:?}")),
            ("norm_adv", norm_adv.to_string()),
            ("baseline_decay", format!("{baseline_decay:?}")),
            ("redraws", redraws.to_string()),
        ];
        // TOML has no null: an absent key is `None`.
        settings.extend(target_kl.map(|kl| ("target_kl", format!("{kl:?}"))));
        settings
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let positive = [
            ("lr", self.lr),
            ("adam_eps", self.adam_eps),
            ("clip_coef", self.clip_coef),
            ("max_grad_norm", self.max_grad_norm),
            ("target_kl", self.target_kl.unwrap_or(1.0)),
        ];
        let refused = |setting, value: String, reason: &str| {
            Err(Error::Config { setting, value, reason: reason.into() })
        };
        for (setting, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return refused(setting, value.to_string(), "it must be above 0");
            }
        }
        if !(self.ent_coef.is_finite() && self.ent_coef >= 0.0) {
            return refused("ent_coef", self.ent_coef.to_string(), "it must be at least 0");
        }
        if !(0.0..1.0).contains(&self.baseline_decay) {
            return refused(
                "baseline_decay",
                self.baseline_decay.to_string(),
                "it must be in [0, 1)",
            );
        }
        for (setting, value) in
            [("batch_size", self.batch_size), ("update_epochs", self.update_epochs)]
        {
            if value == 0 {
                return refused(setting, value.to_string(), "it must be at least 1");
            }
        }
        if self.num_minibatches == 0 || !self.batch_size.is_multiple_of(self.num_minibatches) {
            let reason = format!("it must divide `batch_size`, which is {}", self.batch_size);
            return refused("num_minibatches", self.num_minibatches.to_string(), &reason);
        }
        Ok(())
    }
}

/// Settings for tens to hundreds of children. They differ from [`PpoConfig::paper`] because a thousand
/// updates at its learning rate are not to be had: a larger learning rate, smaller batches (more
/// updates for the same number of children), normalized advantages (rewards of briefly trained
/// children differ in the second or third digit only), an entropy bonus and a limit on the
/// divergence that keep so eager a policy from settling on its first lucky draw, and no repeats where
/// there is something new.
///
/// Learning rate, entropy bonus and passes were chosen by the validation columns of NAS-Bench-201 and
/// NAS-Bench-Macro, 300 trials and 30 seeds from 100,000 on.
impl Default for PpoConfig {
    fn default() -> Self {
        PpoConfig {
            lr: 0.005,
            batch_size: 8,
            ent_coef: 0.1,
            norm_adv: true,
            target_kl: Some(0.05),
            redraws: 20,
            ..PpoConfig::paper()
        }
    }
}
