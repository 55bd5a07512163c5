//! The kernels of a plan: what each reads and where it writes.
//!
//! The names follow the operations of the [graph](crate::graph::Op); `x` is what a kernel reads, `y` what
//! it writes, `gx` and `gy` their gradients. The mathematics of each is documented with
//! [`Kernels`](crate::device::cpu::Kernels).

use std::fmt;

use crate::graph::{NodeId, Window};

use super::{Slot, Target, View};

/// A kernel and the node that it computes or differentiates.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<K> {
    /// The kernel.
    pub kernel: K,
    /// The node.
    pub node: NodeId,
}

/// A result of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// The logits.
    Logits,
    /// The auxiliary logits.
    Aux,
}

/// Where a batch normalization keeps the statistics of a batch, in the fixed part: one number a channel of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Saved {
    /// Means.
    pub mean: Slot,
    /// Inverse deviations.
    pub inv_std: Slot,
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{}]", self.mean.offset, self.inv_std.offset + self.inv_std.len)
    }
}

/// The parameters and running statistics of a batch normalization: one number a channel of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Norm {
    /// Scales.
    pub gamma: Slot,
    /// Shifts.
    pub beta: Slot,
    /// Means, in the store of running statistics.
    pub running_mean: Slot,
    /// Variances, there too.
    pub running_var: Slot,
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Norm { gamma, beta, running_mean, running_var } = self;
        write!(f, "w{gamma} w{beta} r{running_mean} r{running_var}")
    }
}

/// A kernel of the forward pass.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are operands, explained in the module's docs")]
pub enum Forward {
    /// The image, from `[N, C, H, W]`.
    Load { y: View },
    /// Convolution, of `max(x, 0)` if `relu_in`, and normalized by the running statistics of `norm` if there is one.
    Conv {
        window: Window,
        groups: usize,
        x: View,
        relu_in: bool,
        weight: Slot,
        norm: Option<Norm>,
        y: Target,
    },
    /// Depthwise convolution, of `max(x, 0)` if `relu_in`.
    DepthwiseConv { window: Window, x: View, relu_in: bool, weight: Slot, y: View },
    /// Batch normalization. In training the mean and the inverse deviation of each channel are kept in
    /// the fixed part, at `saved`; a plan for inference has no such place. If it is `fixed`, it computes with
    /// the running statistics in training too, and leaves them alone.
    BatchNorm { x: View, norm: Norm, saved: Option<Saved>, fixed: bool, y: Target },
    /// Normalization of each image by the moments of each of `groups` equal groups of channels: layer
    /// normalization has one, instance normalization as many as channels. Means and inverse deviations
    /// go to `moments`, whose first half of channels are the means.
    GroupNorm { groups: usize, x: View, gamma: Slot, beta: Slot, moments: View, y: View },
    /// `max(x, 0)`.
    Relu { x: View, y: View },
    /// `min(max(x, 0), 6)`.
    Relu6 { x: View, y: View },
    /// `1 / (1 + exp(-x))`.
    Sigmoid { x: View, y: View },
    /// `a + b`.
    Add { a: View, b: View, y: View },
    /// `a * b`, a 1x1 map broadcast over the other.
    Mul { a: View, b: View, y: View },
    /// An operand of a concatenation that could not be computed in its place, or a slice.
    Copy { x: View, y: View },
    /// A random mean of both in training, an even one otherwise.
    Mix { stream: u64, a: View, b: View, y: View },
    /// Zeros.
    Zero { y: View },
    /// Maximum over the window.
    MaxPool { window: Window, x: View, y: View },
    /// Mean over the window inside the map.
    AvgPool { window: Window, x: View, y: Target },
    /// Mean over the map.
    GlobalAvgPool { x: View, y: View },
    /// `W x + b`, or `W x`.
    Dense { x: View, weight: Slot, bias: Option<Slot>, y: View },
    /// Dropout with its own stream of random numbers.
    Dropout { stream: u64, x: View, y: View },
    /// Drop path with its own stream of random numbers, in the cell `depth[0]`, counted from 1, of
    /// `depth[1]`.
    DropPath { stream: u64, depth: [usize; 2], x: View, y: View },
    /// Shift by one pixel up and left.
    Shift { x: View, y: View },
    /// Shuffle of the channels.
    Shuffle { groups: usize, x: View, y: View },
    /// A result, to `[N, classes]`.
    Store { output: Output, x: View },
}

/// A kernel of the backward pass. Gradients of parameters are added to their store.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are operands, explained in the module's docs")]
pub enum Backward {
    /// The gradient of a result, from `[N, classes]`.
    Load { output: Output, gy: Target },
    /// Zeroes, where a later step will add or read and no earlier one wrote.
    Zero { gx: View },
    /// Gradient of a convolution's input; zero where `mask` is not positive.
    ConvData {
        window: Window,
        groups: usize,
        mask: Option<View>,
        weight: Slot,
        gy: View,
        gx: Target,
    },
    /// Gradient of a convolution's weight.
    ConvWeight { window: Window, groups: usize, x: View, relu_in: bool, gy: View, weight: Slot },
    /// Gradient of a depthwise convolution's input; zero where `mask` is not positive.
    DepthwiseData { window: Window, mask: Option<View>, weight: Slot, gy: View, gx: Target },
    /// Gradient of a depthwise convolution's weight.
    DepthwiseWeight { window: Window, x: View, relu_in: bool, gy: View, weight: Slot },
    /// Gradients of a batch normalization with batch statistics, or of the input alone if it is `fixed`.
    BatchNorm { x: View, gamma: Slot, beta: Slot, saved: Saved, fixed: bool, gy: View, gx: Target },
    /// Gradients of a normalization by the moments of each image.
    GroupNorm {
        groups: usize,
        x: View,
        gamma: Slot,
        beta: Slot,
        moments: View,
        gy: View,
        gx: Target,
    },
    /// `gx = gy` where `x` is positive.
    Relu { x: View, gy: View, gx: Target },
    /// `gx = gy` where `x` is between 0 and 6.
    Relu6 { x: View, gy: View, gx: Target },
    /// `gx = gy * y * (1 - y)`.
    Sigmoid { y: View, gy: View, gx: Target },
    /// `gx = gy`: an operand of a sum, a copied operand of a concatenation, or what was sliced.
    Copy { gy: View, gx: Target },
    /// The share of the first operand of a mix, or of the second, with draws of the backward pass.
    Mix { stream: u64, is_first: bool, gy: View, gx: Target },
    /// Gradients of one or both factors.
    Mul { a: View, b: View, gy: View, ga: Option<Target>, gb: Option<Target> },
    /// To the first maximum of each window.
    MaxPool { window: Window, x: View, gy: View, gx: Target },
    /// Spread evenly over the window inside the map.
    AvgPool { window: Window, gy: View, gx: Target },
    /// Spread evenly over the map.
    GlobalAvgPool { gy: View, gx: Target },
    /// Gradients of a dense layer's weight and bias, and of its input if that is wanted.
    Dense { x: View, weight: Slot, bias: Option<Slot>, gy: View, gx: Option<Target> },
    /// The mask of the forward pass again.
    Dropout { stream: u64, gy: View, gx: Target },
    /// The images that the forward pass kept.
    DropPath { stream: u64, depth: [usize; 2], gy: View, gx: Target },
    /// Shift back.
    Shift { gy: View, gx: Target },
    /// Shuffle back.
    Shuffle { groups: usize, gy: View, gx: Target },
    /// The image's gradient, added to one in `[N, C, H, W]`.
    Store { gx: View },
}

/// How a step touches a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It only reads.
    Read,
    /// It overwrites everything.
    Write,
    /// It adds to what is there.
    Update,
}

impl From<Target> for (View, Access) {
    fn from(target: Target) -> Self {
        (target.view, if target.accumulate { Access::Update } else { Access::Write })
    }
}

impl Forward {
    /// Calls `f` on every view the kernel touches.
    pub(super) fn visit(&self, mut f: impl FnMut(View, Access)) {
        let mut touch = |reads: &[View], y: View| {
            reads.iter().for_each(|&x| f(x, Access::Read));
            f(y, Access::Write);
        };
        match *self {
            Forward::Load { y } | Forward::Zero { y } => touch(&[], y),
            Forward::GroupNorm { x, moments, y, .. } => {
                touch(&[x], y);
                f(moments, Access::Write);
            }
            Forward::Conv { x, y, .. }
            | Forward::BatchNorm { x, y, .. }
            | Forward::AvgPool { x, y, .. } => {
                f(x, Access::Read);
                let (y, access) = y.into();
                f(y, access);
            }
            Forward::DepthwiseConv { x, y, .. }
            | Forward::Relu { x, y }
            | Forward::Relu6 { x, y }
            | Forward::Sigmoid { x, y }
            | Forward::Copy { x, y }
            | Forward::MaxPool { x, y, .. }
            | Forward::GlobalAvgPool { x, y }
            | Forward::Dense { x, y, .. }
            | Forward::Dropout { x, y, .. }
            | Forward::DropPath { x, y, .. }
            | Forward::Shift { x, y }
            | Forward::Shuffle { x, y, .. } => touch(&[x], y),
            Forward::Add { a, b, y } | Forward::Mul { a, b, y } | Forward::Mix { a, b, y, .. } => {
                touch(&[a, b], y);
            }
            Forward::Store { x, .. } => f(x, Access::Read),
        }
    }
}

impl Backward {
    /// Calls `f` on every view the kernel touches.
    pub(super) fn visit(&self, mut f: impl FnMut(View, Access)) {
        let mut touch = |reads: &[View], targets: &[Option<Target>]| {
            reads.iter().for_each(|&x| f(x, Access::Read));
            for &target in targets.iter().flatten() {
                let (view, access) = target.into();
                f(view, access);
            }
        };
        match *self {
            Backward::Load { gy, .. } => touch(&[], &[Some(gy)]),
            Backward::Zero { gx } => f(gx, Access::Write),
            Backward::ConvData { mask, gy, gx, .. }
            | Backward::DepthwiseData { mask, gy, gx, .. } => match mask {
                Some(mask) => touch(&[mask, gy], &[Some(gx)]),
                None => touch(&[gy], &[Some(gx)]),
            },
            Backward::ConvWeight { x, gy, .. } | Backward::DepthwiseWeight { x, gy, .. } => {
                touch(&[x, gy], &[]);
            }
            Backward::GroupNorm { x, moments, gy, gx, .. } => {
                touch(&[x, moments, gy], &[Some(gx)]);
            }
            Backward::BatchNorm { x, gy, gx, .. }
            | Backward::Relu { x, gy, gx }
            | Backward::Relu6 { x, gy, gx }
            | Backward::MaxPool { x, gy, gx, .. } => touch(&[x, gy], &[Some(gx)]),
            Backward::Sigmoid { y, gy, gx } => touch(&[y, gy], &[Some(gx)]),
            Backward::Copy { gy, gx }
            | Backward::AvgPool { gy, gx, .. }
            | Backward::GlobalAvgPool { gy, gx }
            | Backward::Dropout { gy, gx, .. }
            | Backward::DropPath { gy, gx, .. }
            | Backward::Mix { gy, gx, .. }
            | Backward::Shuffle { gy, gx, .. }
            | Backward::Shift { gy, gx } => touch(&[gy], &[Some(gx)]),
            Backward::Mul { a, b, gy, ga, gb } => touch(&[a, b, gy], &[ga, gb]),
            Backward::Dense { x, gy, gx, .. } => touch(&[x, gy], &[gx]),
            Backward::Store { gx } => f(gx, Access::Read),
        }
    }
}
