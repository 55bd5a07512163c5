//! Stochastic gradient descent, with momentum.

use super::{Rule, assert_lengths};
use crate::plan::UpdateRule;

/// `v = momentum * v + g; p -= lr * v`, and for Nesterov's momentum `p -= lr * (g + momentum * v)`.
///
/// # Source
/// `torch.optim.SGD` without dampening.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    momentum: f32,
    nesterov: bool,
    /// Empty without momentum.
    velocity: Vec<f32>,
}

impl Sgd {
    /// At rest.
    pub fn new(momentum: f64, nesterov: bool, len: usize) -> Self {
        let velocity = vec![0.0; if momentum > 0.0 { len } else { 0 }];
        Sgd { momentum: momentum as f32, nesterov, velocity }
    }
}

impl Rule for Sgd {
    fn step(&mut self, params: &mut [f32], gradient: &[f32], lr: f64, step: usize) {
        let ([lr, _], momentum) = (self.scalars(lr, step), self.momentum);
        if momentum == 0.0 {
            assert_lengths(params, gradient, params);
            for (p, &g) in params.iter_mut().zip(gradient) {
                *p -= lr * g;
            }
            return;
        }
        assert_lengths(params, gradient, &self.velocity);
        for ((p, &g), v) in params.iter_mut().zip(gradient).zip(&mut self.velocity) {
            *v = g + momentum * *v;
            *p -= if self.nesterov { lr * (g + momentum * *v) } else { lr * *v };
        }
    }

    fn update_rule(&self) -> UpdateRule {
        UpdateRule::Sgd { momentum: self.momentum, nesterov: self.nesterov }
    }

    fn state(&self) -> Vec<(&'static str, &[f32])> {
        if self.momentum == 0.0 { Vec::new() } else { vec![("velocity", &self.velocity)] }
    }

    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        if self.momentum == 0.0 { Vec::new() } else { vec![("velocity", &mut self.velocity)] }
    }
}
