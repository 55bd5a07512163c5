//! What a training step does between and behind the passes, as data: loss, penalty, clipping, the optimizer's rule
//! and averages. Each device that trains does it its own way; what it means is said here once.

use std::ops::Range;

/// All of it, the same for every step of a run. What changes from step to step is [`StepScalars`].
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// What is minimized.
    pub loss: Loss,
    /// What is done to the gradient first.
    pub penalty: Penalty,
    /// How it moves the parameters then.
    pub rule: UpdateRule,
    /// Parameters and running statistics are averaged at last: `a += average * (x - a)`.
    pub has_averages: bool,
}

/// Mean softmax cross-entropy of a batch, in nats, and `aux_weight` times that of the auxiliary logits.
///
/// The loss of an image of label `l` is `-sum_c t_c log softmax(logits)_c` with
/// `t = (1 - e) * one_hot(l) + e / classes`, where `e` is the label smoothing; its gradient for the logits is
/// `softmax(logits) * sum(t) - t`, of which each image of the batch has its N-th part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// `e`, from 0 up to, but without, 1.
    pub label_smoothing: f64,
    /// Factor of the auxiliary loss, at least 0.
    pub aux_weight: f64,
}

impl Loss {
    /// The target of every class, and what the label's has beside it.
    pub fn target(self, classes: usize) -> [f32; 2] {
        let e = self.label_smoothing;
        [(e / classes as f64) as f32, (1.0 - e) as f32]
    }
}

/// What is done to the gradient of the parameters before an optimizer gets it, in this order: that of frozen
/// parameters is zero; decayed ones get `weight_decay * p` more, if that is clipped; the whole is scaled down to the
/// norm; decayed ones get theirs now, if that is not clipped; that of frozen parameters is zero still.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalty {
    /// The largest Euclidean norm; longer gradients are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Factor of the parameters in their gradients.
    pub weight_decay: f32,
    /// Whether clipping sees what the decay adds.
    pub is_clipped: bool,
    /// The decayed parameters in their store.
    pub decayed: Vec<Range<usize>>,
    /// The frozen parameters, which have no gradient at all.
    pub frozen: Vec<Range<usize>>,
}

/// A rule for one parameter `p` of gradient `g`, with its settings. `rate` and `root` are the step's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// `p -= rate * g`; with momentum `v = g + momentum * v; p -= rate * v`, or `p -= rate * (g + momentum * v)` with
    /// Nesterov's.
    Sgd {
        /// Share of the velocity that is kept; without it nothing is remembered.
        momentum: f32,
        /// Nesterov's momentum.
        nesterov: bool,
    },
    /// `s += (1 - decay) * (g^2 - s); v = momentum * v + rate * g / sqrt(s + eps); p -= v`.
    RmsProp {
        /// Share of the mean square that is kept.
        decay: f32,
        /// Share of the velocity that is kept.
        momentum: f32,
        /// Added to the mean square.
        eps: f32,
    },
    /// `m += new[0] * (g - m); s += new[1] * (g^2 - s); p -= rate * m / (sqrt(s) / root + eps)`.
    Adam {
        /// Shares of the new in the mean and the mean square.
        new: [f32; 2],
        /// Added to the root of the mean square.
        eps: f32,
    },
}

impl UpdateRule {
    /// How many numbers it remembers for each parameter: the velocity; mean square and velocity; mean and mean square.
    pub fn states(self) -> usize {
        match self {
            UpdateRule::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            UpdateRule::RmsProp { .. } | UpdateRule::Adam { .. } => 2,
        }
    }
}

/// What a step's number and learning rate come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepScalars {
    /// The learning rate, for Adam divided by `1 - beta1^t`.
    pub rate: f32,
    /// `sqrt(1 - beta2^t)` for Adam, 1 for the other rules.
    pub root: f32,
    /// Share of the new in the averages.
    pub average: f32,
}

/// What a step found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean cross-entropy of the logits before the step, in nats; without the auxiliary head's.
    pub loss: f64,
    /// Images whose largest logit was their label's; of equal ones the first counts.
    pub correct: usize,
    /// Euclidean norm of the gradient before clipping.
    pub grad_norm: f64,
}

impl StepReport {
    /// Whether the step was done. It is not where loss or norm are no finite numbers: parameters, what the optimizer
    /// remembers and averages then are as before.
    pub fn is_finite(self) -> bool {
        self.loss.is_finite() && self.grad_norm.is_finite()
    }
}
