//! Optimizers of the flat store of parameters, with their state in the open.
//!
//! Each is a rule for one number; numbers do not depend on each other, nor on the order they are taken in.
//! What a rule remembers between steps are tensors as long as the parameters, under names, and nothing
//! else: a run that is interrupted goes on with the same bits from [`Optimizer::state`] and the number of
//! the step. L2 penalties are part of the gradient by then, see [`WeightDecayOn`](super::WeightDecayOn).

mod adam;
mod rms_prop;
mod sgd;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TrainConfig;
use super::state::check_fits;
use crate::network::StateFault;
use crate::plan::UpdateRule;

pub use adam::Adam;
pub use rms_prop::RmsProp;
pub use sgd::Sgd;

/// Which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// [`Sgd`].
    Sgd,
    /// [`RmsProp`].
    #[serde(rename = "rmsprop")]
    RmsProp,
    /// [`Adam`].
    Adam,
}

/// A rule that moves parameters against their gradient.
pub trait Rule {
    /// Moves `params`, given the gradient, the learning rate and the number of the step, counted from 0.
    ///
    /// # Panics
    /// If the lengths are not those the rule was made for.
    fn step(&mut self, params: &mut [f32], gradient: &[f32], lr: f64, step: usize);

    /// What it does, for devices that do it themselves.
    fn update_rule(&self) -> UpdateRule;

    /// `rate` and `root` of the [`UpdateRule`] in a step, counted from 0.
    fn scalars(&self, lr: f64, _step: usize) -> [f32; 2] {
        [lr as f32, 1.0]
    }

    /// What it remembers, by name, each as long as the parameters.
    fn state(&self) -> Vec<(&'static str, &[f32])>;

    /// The same, to overwrite it.
    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])>;
}

/// The optimizer of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Gradients divided by the root of their mean square.
    RmsProp(RmsProp),
    /// Moments of first and second order.
    Adam(Adam),
}

impl Optimizer {
    /// The optimizer that the settings ask for, of `len` parameters, before its first step.
    pub fn new(config: &TrainConfig, len: usize) -> Self {
        match config.optimizer {
            OptimizerKind::Sgd => Optimizer::Sgd(Sgd::new(config.momentum, config.nesterov, len)),
            OptimizerKind::RmsProp => {
                let TrainConfig { rms_decay, rms_eps, momentum, .. } = *config;
                Optimizer::RmsProp(RmsProp::new(rms_decay, momentum, rms_eps, len))
            }
            OptimizerKind::Adam => {
                let TrainConfig { adam_beta1, adam_beta2, adam_eps, .. } = *config;
                Optimizer::Adam(Adam::new([adam_beta1, adam_beta2], adam_eps, len))
            }
        }
    }

    fn rule(&self) -> &dyn Rule {
        match self {
            Optimizer::Sgd(rule) => rule,
            Optimizer::RmsProp(rule) => rule,
            Optimizer::Adam(rule) => rule,
        }
    }

    fn rule_mut(&mut self) -> &mut dyn Rule {
        match self {
            Optimizer::Sgd(rule) => rule,
            Optimizer::RmsProp(rule) => rule,
            Optimizer::Adam(rule) => rule,
        }
    }

    /// Moves the parameters against their gradient; `step` is counted from 0.
    ///
    /// # Panics
    /// If the lengths are not those the optimizer was made for.
    pub fn step(&mut self, params: &mut [f32], gradient: &[f32], lr: f64, step: usize) {
        self.rule_mut().step(params, gradient, lr, step);
    }

    /// What it does, for devices that do it themselves.
    pub fn update_rule(&self) -> UpdateRule {
        self.rule().update_rule()
    }

    /// `rate` and `root` of the [`UpdateRule`] in a step, counted from 0.
    pub fn scalars(&self, lr: f64, step: usize) -> [f32; 2] {
        self.rule().scalars(lr, step)
    }

    /// What it remembers, by name, to overwrite it.
    pub fn state_mut(&mut self) -> BTreeMap<&'static str, &mut [f32]> {
        self.rule_mut().state_mut().into_iter().collect()
    }

    /// What it remembers, by name.
    pub fn state(&self) -> BTreeMap<&'static str, &[f32]> {
        self.rule().state().into_iter().collect()
    }

    /// Takes over what another optimizer of the same kind and length remembered.
    ///
    /// # Errors
    /// The first [`StateFault`]; the optimizer is then unchanged.
    pub fn load_state(&mut self, state: &BTreeMap<String, Vec<f32>>) -> Result<(), StateFault> {
        check_fits(&self.state(), state)?;
        for (name, values) in self.rule_mut().state_mut() {
            values.copy_from_slice(&state[name]);
        }
        Ok(())
    }
}

/// Panics unless all three have one length.
fn assert_lengths(params: &[f32], gradient: &[f32], state: &[f32]) {
    assert_eq!(params.len(), gradient.len(), "a gradient for each parameter");
    assert_eq!(params.len(), state.len(), "the number of parameters does not change");
}
