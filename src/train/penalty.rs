//! The L2 penalty: which parameters have it, and whether clipping sees it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{TrainConfig, clip_norm};
use crate::graph::ParamKind;
use crate::network::Network;

/// Which parameters are decayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightDecayOn {
    /// All, the scales and shifts of normalizations too: what PyTorch does unless told otherwise.
    All,
    /// Weights of convolutions and dense layers; neither biases nor normalizations. What slim does, whose
    /// layers have their regularizer on weights.
    Weights,
}

/// Where in a step the penalty comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightDecayAt {
    /// The gradient of the data's loss is clipped, then the penalty's is added: PyTorch's
    /// `clip_grad_norm_` before an optimizer with `weight_decay`, as in DARTS.
    AfterClip,
    /// The penalty `weight_decay * |p|^2 / 2` is a part of the loss, so its gradient is clipped along: slim's
    /// `total_loss` with `clip_gradient_norm`.
    InLoss,
}

/// What is done to a gradient before an optimizer gets it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Penalty {
    clip_norm: Option<f64>,
    weight_decay: f32,
    at: WeightDecayAt,
    /// The decayed parameters in their store.
    decayed: Vec<Range<usize>>,
    /// The frozen parameters, which have no gradient at all.
    frozen: Vec<Range<usize>>,
}

impl Penalty {
    pub(super) fn new(config: &TrainConfig, network: &Network) -> Self {
        let layout = network.layout();
        let decayed = match config.weight_decay_on {
            _ if config.weight_decay == 0.0 => Vec::new(),
            WeightDecayOn::All => std::iter::once(0..layout.params_len()).collect(),
            WeightDecayOn::Weights => {
                let weights = layout.entries().iter().filter(|e| e.kind == ParamKind::Weight);
                weights.map(|entry| entry.slot.range()).collect()
            }
        };
        let (weight_decay, at) = (config.weight_decay as f32, config.weight_decay_at);
        let frozen = network.frozen().to_vec();
        Penalty { clip_norm: config.clip_norm, weight_decay, at, decayed, frozen }
    }

    /// Clips and decays; gives the norm before clipping. Without a gradient an optimizer that never had
    /// one leaves a parameter as it is.
    pub(super) fn apply(&self, params: &[f32], gradient: &mut [f32]) -> f64 {
        self.mask(gradient);
        match self.at {
            WeightDecayAt::InLoss => {
                self.decay(params, gradient);
                clip_norm(gradient, self.clip_norm)
            }
            WeightDecayAt::AfterClip => {
                let norm = clip_norm(gradient, self.clip_norm);
                self.decay(params, gradient);
                norm
            }
        }
    }

    fn decay(&self, params: &[f32], gradient: &mut [f32]) {
        for range in &self.decayed {
            for (g, &p) in gradient[range.clone()].iter_mut().zip(&params[range.clone()]) {
                *g += self.weight_decay * p;
            }
        }
        self.mask(gradient);
    }

    fn mask(&self, gradient: &mut [f32]) {
        for range in &self.frozen {
            gradient[range.clone()].fill(0.0);
        }
    }
}
