//! `RMSProp` as TensorFlow has it.

use super::{Rule, assert_lengths};
use crate::plan::UpdateRule;

/// `s = decay * s + (1 - decay) * g^2; v = momentum * v + lr * g / sqrt(s + eps); p -= v`.
///
/// Three things differ from `torch.optim.RMSprop`: eps is inside the root, the mean squares start at 1
/// instead of 0, and the velocity holds the learning rate, so that a falling rate takes effect slowly.
///
/// # Source
/// `tf.train.RMSPropOptimizer`, not centered.
#[derive(Clone, Debug, PartialEq)]
pub struct RmsProp {
    decay: f32,
    momentum: f32,
    eps: f32,
    mean_square: Vec<f32>,
    velocity: Vec<f32>,
}

impl RmsProp {
    /// At rest.
    pub fn new(decay: f64, momentum: f64, eps: f64, len: usize) -> Self {
        RmsProp {
            decay: decay as f32,
            momentum: momentum as f32,
            eps: eps as f32,
            mean_square: vec![1.0; len],
            velocity: vec![0.0; len],
        }
    }
}

impl Rule for RmsProp {
    fn step(&mut self, params: &mut [f32], gradient: &[f32], lr: f64, step: usize) {
        assert_lengths(params, gradient, &self.velocity);
        let RmsProp { decay, momentum, eps, .. } = *self;
        let [lr, _] = self.scalars(lr, step);
        let states = self.mean_square.iter_mut().zip(&mut self.velocity);
        for ((p, &g), (s, v)) in params.iter_mut().zip(gradient).zip(states) {
            *s += (1.0 - decay) * (g * g - *s);
            *v = momentum * *v + lr * g / (*s + eps).sqrt();
            *p -= *v;
        }
    }

    fn update_rule(&self) -> UpdateRule {
        let RmsProp { decay, momentum, eps, .. } = *self;
        UpdateRule::RmsProp { decay, momentum, eps }
    }

    fn state(&self) -> Vec<(&'static str, &[f32])> {
        vec![("mean_square", &self.mean_square), ("velocity", &self.velocity)]
    }

    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        vec![("mean_square", &mut self.mean_square), ("velocity", &mut self.velocity)]
    }
}
