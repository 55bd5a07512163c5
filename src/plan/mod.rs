//! From a simplified [`Graph`] to a [`Plan`]: the kernels of one forward and one backward pass in
//! order, with every tensor placed in one arena.
//!
//! A plan is data. It holds no numbers and no function: a [`Device`](crate::device::Device) runs it on
//! parameters that live elsewhere, and its [`Display`](std::fmt::Display) is what
//! `cellc show --stage plan` prints. The stages of planning, one file each:
//!
//! 1. `wiring`: dead nodes go, dropout that is off is bypassed, a relu that only convolutions read is
//!    folded into their loads, in inference a normalization into the convolution before it, and a sum into the
//!    stores of its operands.
//! 2. `forward`: values get buffers, an operand of a concatenation as a channel range of the result's
//!    buffer, and nodes become [`Forward`] steps.
//! 3. `backward`: reverse mode. Gradients get buffers and nodes become [`Backward`] steps, last node
//!    first.
//! 4. `groups`: steps that treat every channel on its own become a [`Group`], run channel by channel; in inference a
//!    depthwise convolution and the 1x1 convolution behind it do, run place by place.
//! 5. `buffers`: lifetimes over both lists of steps, and offsets such that two buffers share memory
//!    only if their lifetimes are disjoint.
//!
//! # What is fused
//! A map is moved through memory as few times as the planner can see to. None of this changes a result by
//! more than the order of a sum does. The shares are of training steps with `cellc bench train --profile` on
//! two cores with AVX-512: NASNet-A 1@96 and 2@768 with batches of 32, DARTS V2 8@256 of 64.
//!
//! - A relu that only convolutions read is no step: they take `max(x, 0)` while they load `x`, and their
//!   gradient is masked by the sign of the same `x` while it is stored. Neither the rectified map nor its
//!   gradient exists. Without it 1@96 takes 6 % longer, and the workspaces are 81 MiB instead of 67, 972
//!   instead of 770 and 793 instead of 629.
//! - The operands of a concatenation are computed in their channels of the result, and their gradients are
//!   read from its gradient: with channels outermost both are contiguous. The copies would be at most 2 % of
//!   a step, and 2 % of the workspace of DARTS V2.
//! - The gradient of a sum is the gradient of its operands. An operand that nobody else reads has no gradient
//!   of its own, and the step that would copy it is left out: less than can be measured.
//! - A gradient that several steps contribute to is written by the first and added to by the others, in the
//!   same pass that computes their share, so that nothing is zeroed before and no sum is taken after.
//! - A sum of two results that nobody else reads is no step: the operand that is computed last adds to the other
//!   one where that lies. The sum of two numbers does not depend on their order, and of the operations that do this
//!   the backward pass needs no result. Drop path lies between an operation and its sum, so that a network that
//!   trains with it keeps its sums.
//! - In inference a convolution scales and shifts its results as the normalization behind it does with its running
//!   statistics: the scale is multiplied into the weights when they are packed, and the shift added on the way out,
//!   so that the map is written and read once less. Packed weights and shifts are kept as long as parameters,
//!   statistics and settings stay as they are.
//! - In inference a depthwise convolution and the 1x1 convolution that alone reads it are a [`Group`], too: they run
//!   for the places of one tile of the map after the other, so that what lies between them stays in the second cache
//!   and is never written to memory. The 1x1 convolution needs of each place all channels at the same place alone.
//!   Inference of 2@768 takes 2 % longer without it, of DARTS V2 3 % and of 6@768 with batches of 16 4 %.
//! - A device runs a whole pass on one thread of its pool, which hands out parts of kernels to the others.
//!   Handing every kernel to the pool takes 1@96, of 556 kernels, 24 % longer. The others look for work until the
//!   pass is done instead of falling asleep between two kernels: without that, medians of three alternating runs on
//!   two cores with AVX2 were 12 % longer (2@768) and 3 % (1@96), and those of inference 9 % (2@768).
//! - Steps that treat every channel on its own and touch the same maps are a [`Group`]: they run for a few
//!   channels, one step after the other, before the next few, so that a map that one leaves in the second cache
//!   is still there for the next: the gradients of a depthwise convolution for its weight and its input and the
//!   batch normalization before it, for example. This is right because a channel of what such a step writes
//!   depends on that channel of what it reads alone; all views of a group are the same or apart, and no two of
//!   its buffers share memory.
//!
//! Images are innermost for the kernels' sake, see [`crate::device::cpu`]: a window then reads whole vectors
//! at any stride. With images side by side the windowed kernels of 1@96 took 24 of 46 ms on one thread, with
//! images innermost 12 of 31. Where the batch is whole vectors, windows read the maps where they lie: copying
//! them into padded rows first takes 1@96 14 %, 2@768 9 % and DARTS V2 7 % longer. What remains at 2@768 is for
//! 60 % the matrix products of 1x1 convolutions.
//!
//! # Shapes
//! Inside a plan a batch has its channels outermost and its images innermost, `[C, H, W, N]`: a range of
//! channels is contiguous, a concatenation is its operands side by side, and a vector holds one place of
//! a map for several images, whatever the size of the map. Sizes and offsets are counted in numbers an
//! image; with a batch of N everything is N times as large and as far, and one plan serves any N.
//!
//! # Determinism
//! The same graph and mode give the same plan.

mod backward;
mod buffers;
mod display;
mod forward;
mod groups;
mod layout;
mod step;
mod update;
mod verify;
mod wiring;
mod work;

use std::ops::Range;

use crate::graph::{Graph, NodeId, TensorType};

pub use groups::{Group, Parts};
pub use layout::{Layout, LayoutEntry, Slot};
pub use step::{Backward, Forward, Norm, Output, Saved, Step};
pub use update::{Loss, Penalty, StepReport, StepScalars, Update, UpdateRule};
pub use work::Work;

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Forward with batch or running statistics, then backward: what the backward pass reads is kept.
    Train {
        /// Dropout nodes act; if false they are bypassed and cost nothing.
        dropout: bool,
        /// Drop-path nodes act; if false they are bypassed as well.
        drop_path: bool,
        /// The gradient with respect to the image is computed too.
        image_gradient: bool,
    },
    /// Forward with running statistics; a buffer is reused as soon as nothing reads it any more. The
    /// auxiliary head is left out.
    Infer,
}

/// Index of a buffer in [`Plan::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub usize);

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Values of a forward pass; moments of a normalization of single images among them.
    Value,
    /// Gradients of the loss with respect to such values.
    Gradient,
}

/// A piece of the arena that holds one tensor, or several that are concatenated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The node that the buffer was made for.
    pub node: NodeId,
    /// The node's value or its gradient.
    pub content: Content,
    /// Shape of the whole buffer.
    pub ty: TensorType,
    /// Where it starts in the arena, in numbers an image.
    pub offset: usize,
    /// First and last step that touches it, or that is in a group with one that does; backward steps are counted
    /// after the forward steps.
    pub lifetime: [usize; 2],
}

/// A range of a buffer's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The buffer.
    pub buffer: BufferId,
    /// First channel.
    pub channel: usize,
    /// Number of channels.
    pub channels: usize,
}

impl View {
    /// True if the two share a channel.
    pub fn overlaps(&self, other: &View) -> bool {
        self.buffer == other.buffer
            && self.channel < other.channel + other.channels
            && other.channel < self.channel + self.channels
    }
}

/// Where a step puts a gradient, or a value that may be an operand of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The place.
    pub view: View,
    /// True if it is added to what an earlier step put there.
    pub accumulate: bool,
}

/// A schedule for a graph on any batch size.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it was made for.
    pub mode: Mode,
    /// Shape of an image.
    pub image: TensorType,
    /// Number of logits.
    pub classes: usize,
    /// Number of auxiliary logits, if the graph has an auxiliary head and the mode runs it.
    pub aux_classes: Option<usize>,
    /// Kernels of the forward pass, in order.
    pub forward: Vec<Step<Forward>>,
    /// Kernels of the backward pass, in order; none in [`Mode::Infer`].
    pub backward: Vec<Step<Backward>>,
    /// The steps of [`Plan::forward`] that run channel by channel.
    pub forward_groups: Vec<Group>,
    /// The steps of [`Plan::backward`] that do.
    pub backward_groups: Vec<Group>,
    /// All buffers, in the order in which they are first written.
    pub buffers: Vec<Buffer>,
    /// Length of the arena in numbers an image.
    pub arena_len: usize,
    /// Numbers kept beside the arena whatever the batch: means and inverse deviations of batch
    /// normalizations.
    pub fixed_len: usize,
    /// Numbers in the flat store of trained parameters.
    pub params_len: usize,
    /// Numbers in the flat store of running statistics.
    pub statistics_len: usize,
    /// Paths of the graph's nodes, for the dump.
    paths: Vec<String>,
}

impl Plan {
    /// The plan of a graph whose parameters are laid out as [`Layout::of`] does.
    pub fn new(graph: &Graph, mode: Mode) -> Plan {
        Plan::with_layout(graph, mode, &Layout::of(graph))
    }

    /// The plan of a graph whose parameters are found, by their paths, in a store that may hold more
    /// than them.
    ///
    /// # Panics
    /// If the layout lacks a parameter of the graph or has it with another shape.
    pub fn with_layout(graph: &Graph, mode: Mode, layout: &Layout) -> Plan {
        let wiring = wiring::Wiring::of(graph, mode);
        let mut plan = Plan {
            mode,
            image: graph.ty(graph.input),
            classes: graph.ty(graph.output).elements(),
            aux_classes: wiring.aux.map(|aux| graph.ty(aux).elements()),
            forward: Vec::new(),
            backward: Vec::new(),
            forward_groups: Vec::new(),
            backward_groups: Vec::new(),
            buffers: Vec::new(),
            arena_len: 0,
            fixed_len: 0,
            params_len: layout.params_len(),
            statistics_len: layout.statistics_len(),
            paths: graph.nodes.iter().map(|node| node.path.clone()).collect(),
        };
        let values = forward::emit(&mut plan, graph, &wiring, layout);
        if let Mode::Train { image_gradient, .. } = mode {
            backward::emit(&mut plan, graph, &wiring, &values, image_gradient);
        }
        groups::form(&mut plan);
        buffers::place(&mut plan);
        debug_assert_eq!(plan.verify(), Ok(()));
        plan
    }

    /// Makes batch normalizations compute with their running statistics in training too, and leave those
    /// alone; their scales and shifts get no gradient.
    pub fn fix_norms(&mut self, is_fixed: impl Fn(NodeId) -> bool) {
        for step in &mut self.forward {
            if let Forward::BatchNorm { fixed, .. } = &mut step.kernel {
                *fixed = is_fixed(step.node);
            }
        }
        for step in &mut self.backward {
            if let Backward::BatchNorm { fixed, .. } = &mut step.kernel {
                *fixed = is_fixed(step.node);
            }
        }
    }

    /// Bytes that a workspace for `batch` images takes: the arena, with `value_bytes` for each of its numbers, and the
    /// fixed part in single precision.
    pub fn arena_bytes(&self, batch: usize, value_bytes: usize) -> usize {
        self.arena_len * batch * value_bytes + self.fixed_len * size_of::<f32>()
    }

    /// Bytes that an inference for `batch` images takes, with `value_bytes` for each number of the arena: the workspace,
    /// and the parameters as they are and as products take them. On the processor these round channels up to what a
    /// product computes at a time, which is not counted.
    pub fn inference_bytes(&self, batch: usize, value_bytes: usize) -> usize {
        self.arena_bytes(batch, value_bytes) + 2 * self.params_len * size_of::<f32>()
    }

    /// Where a view lies in the arena of a workspace for `batch` images.
    pub fn range(&self, view: View, batch: usize) -> Range<usize> {
        let buffer = &self.buffers[view.buffer.0];
        let area = buffer.ty.area();
        let start = buffer.offset + view.channel * area;
        start * batch..(start + view.channels * area) * batch
    }

    /// Height and width of a view's maps.
    pub fn size(&self, view: View) -> [usize; 2] {
        self.buffers[view.buffer.0].ty.size()
    }

    /// Pixels of a view's maps.
    pub fn area(&self, view: View) -> usize {
        self.buffers[view.buffer.0].ty.area()
    }

    /// Adds a buffer that [`buffers::place`] places later.
    fn buffer(&mut self, node: NodeId, content: Content, ty: TensorType) -> BufferId {
        // An empty lifetime; the first step that touches the buffer sets it.
        let lifetime = [usize::MAX, 0];
        self.buffers.push(Buffer { node, content, ty, offset: 0, lifetime });
        BufferId(self.buffers.len() - 1)
    }

    /// The view of all channels of a buffer.
    fn whole(&self, buffer: BufferId) -> View {
        View { buffer, channel: 0, channels: self.buffers[buffer.0].ty.channels }
    }
}
