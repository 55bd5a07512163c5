//! The settings of a training run.

use serde::{Deserialize, Serialize};

use crate::data::Augment;
use crate::error::Error;

/// Everything about a training run but the network and the data.
///
/// The default is the recipe of NASNet on CIFAR-10, but for its 600 epochs.
///
/// # Source
/// Comments of `nasnet.py` in TensorFlow's slim: momentum 0.9, learning rate 0.025 in one cosine
/// period, batches of 32, weight decay 5e-4, gradients clipped to norm 5, auxiliary loss times 0.4, no
/// dropout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images, at least 1.
    pub epochs: usize,
    /// Images in a batch, at least 1.
    pub batch: usize,
    /// Learning rate of the first step, above 0; it falls to 0 along half a cosine.
    pub lr: f64,
    /// Share of the last step's velocity that is kept, from 0 up to, but without, 1.
    pub momentum: f64,
    /// Looks ahead along the velocity (Nesterov's momentum) instead of following it.
    pub nesterov: bool,
    /// Factor of the parameters that is added to their gradients (L2 penalty), at least 0.
    pub weight_decay: f64,
    /// Largest Euclidean norm of the whole gradient, above 0; longer ones are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Share of elements that dropout zeroes, from 0 up to, but without, 1.
    pub dropout: f64,
    /// Factor of the auxiliary head's loss, if the network has that head, at least 0.
    pub aux_weight: f64,
    /// Random changes to the training images.
    pub augment: Augment,
    /// Seed of the order of the images, of augmentation and of dropout.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            epochs: 20,
            batch: 32,
            lr: 0.025,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 5e-4,
            clip_norm: Some(5.0),
            dropout: 0.0,
            aux_weight: 0.4,
            augment: Augment::NONE,
            seed: 0,
        }
    }
}

impl TrainConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] names the first setting whose value makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        check("epochs", self.epochs, self.epochs > 0, "at least 1")?;
        check("batch", self.batch, self.batch > 0, "at least 1")?;
        check("lr", self.lr, self.lr > 0.0 && self.lr.is_finite(), "above 0 and finite")?;
        let share = "from 0 up to, but without, 1";
        check("momentum", self.momentum, (0.0..1.0).contains(&self.momentum), share)?;
        let has_velocity = !self.nesterov || self.momentum > 0.0;
        check("momentum", self.momentum, has_velocity, "above 0 for Nesterov's momentum")?;
        let is_penalty = self.weight_decay >= 0.0 && self.weight_decay.is_finite();
        check("weight_decay", self.weight_decay, is_penalty, "at least 0 and finite")?;
        if let Some(norm) = self.clip_norm {
            check("clip_norm", norm, norm > 0.0 && norm.is_finite(), "above 0 and finite")?;
        }
        check("dropout", self.dropout, (0.0..1.0).contains(&self.dropout), share)?;
        let is_factor = self.aux_weight >= 0.0 && self.aux_weight.is_finite();
        check("aux_weight", self.aux_weight, is_factor, "at least 0 and finite")
    }
}

/// [`Error::Config`] unless the value `is_allowed`.
fn check(
    setting: &'static str,
    value: impl ToString,
    is_allowed: bool,
    allowed: &str,
) -> Result<(), Error> {
    if is_allowed {
        return Ok(());
    }
    let (value, reason) = (value.to_string(), format!("it must be {allowed}"));
    Err(Error::Config { setting, value, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut TrainConfig)) -> String {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.check().expect_err("the change breaks it").to_string()
    }

    #[test]
    fn values_are_checked() {
        TrainConfig::default().check().expect("the default is sound");
        assert_eq!(fault(|c| c.epochs = 0), "epochs is 0: it must be at least 1");
        assert_eq!(fault(|c| c.batch = 0), "batch is 0: it must be at least 1");
        assert_eq!(fault(|c| c.lr = 0.0), "lr is 0: it must be above 0 and finite");
        for broken in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(fault(|c| c.lr = broken).starts_with("lr is "));
            assert!(fault(|c| c.momentum = broken).starts_with("momentum is "));
            assert!(fault(|c| c.weight_decay = broken).starts_with("weight_decay is "));
            assert!(fault(|c| c.clip_norm = Some(broken)).starts_with("clip_norm is "));
            assert!(fault(|c| c.dropout = broken).starts_with("dropout is "));
            assert!(fault(|c| c.aux_weight = broken).starts_with("aux_weight is "));
        }
        assert!(fault(|c| c.dropout = 1.0).contains("without, 1"));
        let nesterov = fault(|c| (c.momentum, c.nesterov) = (0.0, true));
        assert_eq!(nesterov, "momentum is 0: it must be above 0 for Nesterov's momentum");
    }
}
