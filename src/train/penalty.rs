//! The L2 penalty: which parameters have it, and whether clipping sees it.

use serde::{Deserialize, Serialize};

use super::{TrainConfig, clip_norm};
use crate::graph::ParamKind;
use crate::network::Network;
use crate::plan::Penalty;

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

impl Penalty {
    /// The penalty and the clipping that the settings ask for.
    pub fn new(config: &TrainConfig, network: &Network) -> Self {
        let layout = network.layout();
        let decayed = match config.weight_decay_on {
            _ if config.weight_decay == 0.0 => Vec::new(),
            WeightDecayOn::All => std::iter::once(0..layout.params_len()).collect(),
            WeightDecayOn::Weights => {
                let weights = layout.entries().iter().filter(|e| e.kind == ParamKind::Weight);
                weights.map(|entry| entry.slot.range()).collect()
            }
        };
        Penalty {
            clip_norm: config.clip_norm,
            weight_decay: config.weight_decay as f32,
            is_clipped: config.weight_decay_at == WeightDecayAt::InLoss,
            decayed,
            frozen: network.frozen().to_vec(),
        }
    }

    /// Clips and decays on the host; gives the norm before clipping. Without a gradient an optimizer that never had
    /// one leaves a parameter as it is.
    ///
    /// # Panics
    /// If a range lies outside of the slices.
    pub fn apply(&self, params: &[f32], gradient: &mut [f32]) -> f64 {
        self.mask(gradient);
        if self.is_clipped {
            self.decay(params, gradient);
            return clip_norm(gradient, self.clip_norm);
        }
        let norm = clip_norm(gradient, self.clip_norm);
        self.decay(params, gradient);
        norm
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
