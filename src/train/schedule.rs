//! What changes over a training run: the learning rate, and how much drop path drops.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::TrainConfig;
use crate::data::Batches;

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// To 0 along half a [`cosine`].
    Cosine,
    /// By a factor every so many epochs, in steps: [`TrainConfig::lr_decay`].
    Exponential,
}

/// What the share that drop path drops depends on, up to its final value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropPathSchedule {
    /// It grows from 0 with the step, in all cells alike. Version 1 of slim's `nasnet_utils.py`.
    Time,
    /// It grows with the place of the cell, in all steps alike. Version 2.
    Depth,
    /// Both: cell `i` of `n`, counted from 1, drops `i / n` of what the step allows. Version 3.
    TimeAndDepth,
}

/// The learning rate of step `step` of `steps`: from `lr` along half a cosine to 0, which the step
/// after the last would have.
///
/// `lr * (1 + cos(pi * step / steps)) / 2`
///
/// # Source
/// I. Loshchilov and F. Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, equation
/// 5, with one period and no restart.
pub fn cosine(lr: f64, step: usize, steps: usize) -> f64 {
    lr * 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos())
}

/// The learning rate of every step of a run.
///
/// It first rises linearly to its full value through `w` steps of warm-up, `lr * (step + 1) / (w + 1)`; the
/// schedule begins after them, and the cosine runs over what is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSchedule {
    schedule: Schedule,
    /// At the end of the warm-up.
    lr: f64,
    warmup: usize,
    steps: usize,
    decay: f64,
    /// Steps between two decays.
    decay_steps: usize,
}

impl LrSchedule {
    /// The schedule of a run on so many images. Where [`TrainConfig::lr_batch`] is set, the rate is scaled
    /// to the batches there are.
    ///
    /// # Panics
    /// If the settings' batch is 0.
    ///
    /// # Source
    /// Of the number of steps between two decays, `int(images / batch * epochs)`: `_configure_learning_rate`
    /// in slim's `train_image_classifier.py`, which decays in a staircase.
    pub fn new(config: &TrainConfig, images: usize) -> Self {
        let (per_epoch, batch) = Batches::batches_per_epoch(images, config.batch);
        let in_epochs = |epochs: f64| (images as f64 / batch as f64 * epochs) as usize;
        let steps = config.epochs * per_epoch;
        LrSchedule {
            schedule: config.schedule,
            lr: config.lr_of(batch),
            warmup: in_epochs(config.warmup_epochs).min(steps),
            steps,
            decay: config.lr_decay,
            decay_steps: in_epochs(config.lr_decay_epochs).max(1),
        }
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The learning rate of a step, counted from 0.
    pub fn lr(&self, step: usize) -> f64 {
        let Some(step) = step.checked_sub(self.warmup) else {
            return self.lr * (step + 1) as f64 / (self.warmup + 1) as f64;
        };
        match self.schedule {
            Schedule::Constant => self.lr,
            Schedule::Cosine => cosine(self.lr, step, self.steps - self.warmup),
            Schedule::Exponential => self.lr * self.decay.powf((step / self.decay_steps) as f64),
        }
    }
}

impl DropPathSchedule {
    /// The share that the last cell drops in step `step` of `steps`, where it comes to be `last`.
    ///
    /// # Source
    /// `_apply_drop_path` in slim's `nasnet_utils.py`: `keep = 1 - min(1, step / steps) * (1 - keep)`.
    pub fn share(self, last: f64, step: usize, steps: usize) -> f64 {
        match self {
            DropPathSchedule::Depth => last,
            DropPathSchedule::Time | DropPathSchedule::TimeAndDepth => {
                last * (step as f64 / steps as f64).min(1.0)
            }
        }
    }

    /// True if a cell near the image drops less than one near the end.
    pub fn is_by_depth(self) -> bool {
        match self {
            DropPathSchedule::Time => false,
            DropPathSchedule::Depth | DropPathSchedule::TimeAndDepth => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cosine() {
        let lr = |step| cosine(0.2, step, 6);
        // cos(pi / 3) = 1 / 2, cos(pi / 2) = 0, cos(2 pi / 3) = -1 / 2.
        for (step, expected) in [(0, 0.2), (2, 0.15), (3, 0.1), (4, 0.05), (6, 0.0)] {
            assert!((lr(step) - expected).abs() < 1e-15, "step {step}: {}", lr(step));
        }
        assert!((0..6).all(|step| lr(step) > lr(step + 1)));
    }

    /// Rates of the steps of a run on 40 images in batches of 4.
    fn rates(change: impl FnOnce(&mut TrainConfig)) -> Vec<f64> {
        let mut config = TrainConfig { lr: 0.8, epochs: 3, batch: 4, ..TrainConfig::default() };
        change(&mut config);
        let schedule = LrSchedule::new(&config, 40);
        assert_eq!(schedule.steps(), 30);
        (0..30).map(|step| schedule.lr(step)).collect()
    }

    fn assert_near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn exponential_decay_is_a_staircase() {
        // 1.25 epochs of 10 steps are 12 steps.
        let found = rates(|config| {
            (config.schedule, config.lr_decay) = (Schedule::Exponential, 0.5);
            config.lr_decay_epochs = 1.25;
        });
        let expected = [vec![0.8; 12], vec![0.4; 12], vec![0.2; 6]].concat();
        assert_near(&found, &expected);
    }

    #[test]
    fn warm_up_comes_first() {
        let found = rates(|config| {
            (config.schedule, config.warmup_epochs) = (Schedule::Constant, 0.3);
        });
        assert_near(&found[..4], &[0.2, 0.4, 0.6, 0.8]);
        assert!(found[4..].iter().all(|&lr| lr == 0.8));
        let found = rates(|config| config.warmup_epochs = 1.0);
        let cosine: Vec<f64> = (0..20).map(|step| cosine(0.8, step, 20)).collect();
        assert_near(&found[10..], &cosine);
        // Longer than the run, it never gets there.
        let found = rates(|config| config.warmup_epochs = 9.0);
        assert!(found.is_sorted() && found[29] < 0.8);
    }

    #[test]
    fn rates_follow_the_batch_they_are_stated_for() {
        let constant = |batch, lr_batch| {
            let config = TrainConfig { lr: 1.5, batch, lr_batch, ..TrainConfig::default() };
            LrSchedule::new(&config, 8000).lr(0)
        };
        assert_near(
            &[constant(16, 1600), constant(1600, 1600), constant(64, 0)],
            &[0.015, 1.5, 1.5],
        );
        // Fewer images than a batch are a smaller batch.
        let config = TrainConfig { lr: 1.0, batch: 100, lr_batch: 50, ..TrainConfig::default() };
        assert_near(&[LrSchedule::new(&config, 25).lr(0)], &[0.5]);
    }

    #[test]
    fn drop_path_grows_with_time() {
        // By hand, from `keep = 1 - min(1, step / steps) * (1 - 0.6)`.
        let kept = |schedule: DropPathSchedule, step| 1.0 - schedule.share(0.4, step, 200);
        let found = [0, 50, 100, 200, 300].map(|step| kept(DropPathSchedule::TimeAndDepth, step));
        assert_near(&found, &[1.0, 0.9, 0.8, 0.6, 0.6]);
        assert_near(
            &[kept(DropPathSchedule::Time, 50), kept(DropPathSchedule::Depth, 0)],
            &[0.9, 0.6],
        );
    }
}
