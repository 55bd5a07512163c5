//! Adam.

use super::{Rule, assert_lengths};
use crate::plan::UpdateRule;

/// `m = b1 * m + (1 - b1) * g; s = b2 * s + (1 - b2) * g^2` and, in step `t` counted from 1,
/// `p -= lr * (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps)`.
///
/// # Source
/// D. Kingma and J. Ba, Adam: A Method for Stochastic Optimization, 2015, algorithm 1; so does
/// `torch.optim.Adam`.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    betas: [f64; 2],
    eps: f32,
    mean: Vec<f32>,
    mean_square: Vec<f32>,
}

impl Adam {
    /// At rest.
    pub fn new(betas: [f64; 2], eps: f64, len: usize) -> Self {
        Adam { betas, eps: eps as f32, mean: vec![0.0; len], mean_square: vec![0.0; len] }
    }

    fn new_shares(&self) -> [f32; 2] {
        self.betas.map(|beta| (1.0 - beta) as f32)
    }
}

impl Rule for Adam {
    fn step(&mut self, params: &mut [f32], gradient: &[f32], lr: f64, step: usize) {
        assert_lengths(params, gradient, &self.mean);
        let [rate, root] = self.scalars(lr, step);
        let [new1, new2] = self.new_shares();
        let states = self.mean.iter_mut().zip(&mut self.mean_square);
        for ((p, &g), (m, s)) in params.iter_mut().zip(gradient).zip(states) {
            *m += new1 * (g - *m);
            *s += new2 * (g * g - *s);
            *p -= rate * *m / (s.sqrt() / root + self.eps);
        }
    }

    fn update_rule(&self) -> UpdateRule {
        UpdateRule::Adam { new: self.new_shares(), eps: self.eps }
    }

    fn scalars(&self, lr: f64, step: usize) -> [f32; 2] {
        // In double precision, since the second is close to 1 at first.
        let [bias1, bias2] = self.betas.map(|beta| 1.0 - beta.powf((step + 1) as f64));
        [(lr / bias1) as f32, bias2.sqrt() as f32]
    }

    fn state(&self) -> Vec<(&'static str, &[f32])> {
        vec![("mean", &self.mean), ("mean_square", &self.mean_square)]
    }

    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        vec![("mean", &mut self.mean), ("mean_square", &mut self.mean_square)]
    }
}
