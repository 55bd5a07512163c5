//! Steps that run part by part: what one leaves of a part in the cache, the next one finds there.
//!
//! # Channel by channel
//! A depthwise convolution, a normalization of the batch and everything that treats numbers one by one make a
//! channel of what they write from the same channel of what they read, and so do their gradients. A run of such
//! steps may therefore be done for a few channels at a time instead of one step after the other. That changes
//! no result: every number is computed from the same numbers in the same order.
//!
//! # Place by place
//! In inference a 1x1 convolution needs of a depthwise convolution before it, at some places of the map, all
//! channels at the same places. Both may therefore be done for some places at a time, and if nobody else reads what
//! lies between them, it need not be kept. Training keeps it for the gradient of the filters.

use std::ops::Range;

use super::{Backward, Forward, Mode, Norm, Plan, Saved, Slot, Target, View};

/// Numbers of the largest view of a few channels, about: several such views stay in the second cache.
const BLOCK: usize = 1 << 15;

/// Fewest blocks of channels, as far as there are channels, for several threads to share.
const BLOCKS: usize = 8;

/// How the steps of a group are cut into parts that may run one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// All steps for some channels, then for the next ones.
    Channels,
    /// A depthwise convolution and the 1x1 convolution of what it gives, for some places of the map, then for the
    /// next ones; nobody else reads what lies between them.
    Places,
}

/// Steps that run one after the other or, if there are several, part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Indices of the steps.
    pub steps: Range<usize>,
    /// How several steps are cut.
    pub parts: Parts,
    /// Channels of every view that they touch.
    pub channels: usize,
    /// Numbers of one channel of the largest of these views, for each image.
    pub area: usize,
}

impl Group {
    /// How many channels to run at a time for batches of `n` images.
    pub fn channels_at_once(&self, n: usize) -> usize {
        let largest = self.channels.div_ceil(BLOCKS).max(1);
        (BLOCK / (self.area * n).max(1)).clamp(1, largest)
    }
}

impl Forward {
    /// The same for some of the channels, if the kernel treats each on its own.
    pub fn of_channels(&self, c: &Range<usize>) -> Option<Forward> {
        Some(match *self {
            Forward::DepthwiseConv { window, x, relu_in, weight, y } => {
                let weight = weight.of_channels(c, y.channels);
                let (x, y) = (x.of_channels(c), y.of_channels(c));
                Forward::DepthwiseConv { window, x, relu_in, weight, y }
            }
            Forward::BatchNorm { x, norm, saved, fixed, y } => Forward::BatchNorm {
                x: x.of_channels(c),
                norm: norm.of_channels(c, x.channels),
                saved: saved.map(|saved| saved.of_channels(c)),
                fixed,
                y: y.of_channels(c),
            },
            Forward::Relu { x, y } => Forward::Relu { x: x.of_channels(c), y: y.of_channels(c) },
            Forward::Relu6 { x, y } => Forward::Relu6 { x: x.of_channels(c), y: y.of_channels(c) },
            Forward::Sigmoid { x, y } => {
                Forward::Sigmoid { x: x.of_channels(c), y: y.of_channels(c) }
            }
            Forward::Add { a, b, y } => {
                Forward::Add { a: a.of_channels(c), b: b.of_channels(c), y: y.of_channels(c) }
            }
            Forward::Copy { x, y } => Forward::Copy { x: x.of_channels(c), y: y.of_channels(c) },
            Forward::MaxPool { window, x, y } => {
                Forward::MaxPool { window, x: x.of_channels(c), y: y.of_channels(c) }
            }
            Forward::Shift { x, y } => Forward::Shift { x: x.of_channels(c), y: y.of_channels(c) },
            // Average pools have a table for all channels that is as long as one of them, and dropout counts
            // its numbers through all channels; the others mix channels or are rare.
            Forward::Load { .. }
            | Forward::Conv { .. }
            | Forward::GroupNorm { .. }
            | Forward::Mul { .. }
            | Forward::Mix { .. }
            | Forward::Zero { .. }
            | Forward::AvgPool { .. }
            | Forward::GlobalAvgPool { .. }
            | Forward::Dense { .. }
            | Forward::Dropout { .. }
            | Forward::DropPath { .. }
            | Forward::Shuffle { .. }
            | Forward::Store { .. } => return None,
        })
    }
}

impl Backward {
    /// The same for some of the channels, if the kernel treats each on its own.
    pub fn of_channels(&self, c: &Range<usize>) -> Option<Backward> {
        Some(match *self {
            Backward::DepthwiseData { window, mask, weight, gy, gx } => Backward::DepthwiseData {
                window,
                mask: mask.map(|mask| mask.of_channels(c)),
                weight: weight.of_channels(c, gy.channels),
                gy: gy.of_channels(c),
                gx: gx.of_channels(c),
            },
            Backward::DepthwiseWeight { window, x, relu_in, gy, weight } => {
                let weight = weight.of_channels(c, gy.channels);
                let (x, gy) = (x.of_channels(c), gy.of_channels(c));
                Backward::DepthwiseWeight { window, x, relu_in, gy, weight }
            }
            Backward::BatchNorm { x, gamma, beta, saved, fixed, gy, gx } => {
                let part = |slot: Slot| slot.of_channels(c, gy.channels);
                Backward::BatchNorm {
                    x: x.of_channels(c),
                    gamma: part(gamma),
                    beta: part(beta),
                    saved: saved.of_channels(c),
                    fixed,
                    gy: gy.of_channels(c),
                    gx: gx.of_channels(c),
                }
            }
            Backward::Relu { x, gy, gx } => {
                let (x, gy, gx) = (x.of_channels(c), gy.of_channels(c), gx.of_channels(c));
                Backward::Relu { x, gy, gx }
            }
            Backward::Relu6 { x, gy, gx } => {
                let (x, gy, gx) = (x.of_channels(c), gy.of_channels(c), gx.of_channels(c));
                Backward::Relu6 { x, gy, gx }
            }
            Backward::Sigmoid { y, gy, gx } => {
                let (y, gy, gx) = (y.of_channels(c), gy.of_channels(c), gx.of_channels(c));
                Backward::Sigmoid { y, gy, gx }
            }
            Backward::Copy { gy, gx } => {
                Backward::Copy { gy: gy.of_channels(c), gx: gx.of_channels(c) }
            }
            Backward::MaxPool { window, x, gy, gx } => {
                let (x, gy, gx) = (x.of_channels(c), gy.of_channels(c), gx.of_channels(c));
                Backward::MaxPool { window, x, gy, gx }
            }
            Backward::Shift { gy, gx } => {
                Backward::Shift { gy: gy.of_channels(c), gx: gx.of_channels(c) }
            }
            Backward::Load { .. }
            | Backward::Zero { .. }
            | Backward::ConvData { .. }
            | Backward::ConvWeight { .. }
            | Backward::GroupNorm { .. }
            | Backward::Mix { .. }
            | Backward::Mul { .. }
            | Backward::AvgPool { .. }
            | Backward::GlobalAvgPool { .. }
            | Backward::Dense { .. }
            | Backward::Dropout { .. }
            | Backward::DropPath { .. }
            | Backward::Shuffle { .. }
            | Backward::Store { .. } => return None,
        })
    }
}

impl View {
    fn of_channels(self, c: &Range<usize>) -> View {
        View { channel: self.channel + c.start, channels: c.len(), ..self }
    }
}

impl Target {
    fn of_channels(self, c: &Range<usize>) -> Target {
        Target { view: self.view.of_channels(c), ..self }
    }
}

impl Slot {
    /// What belongs to some of `channels` channels that have equal parts of the slot.
    fn of_channels(self, c: &Range<usize>, channels: usize) -> Slot {
        let each = self.len / channels;
        Slot { offset: self.offset + c.start * each, len: c.len() * each }
    }
}

impl Norm {
    fn of_channels(self, c: &Range<usize>, channels: usize) -> Norm {
        let part = |slot: Slot| slot.of_channels(c, channels);
        Norm {
            gamma: part(self.gamma),
            beta: part(self.beta),
            running_mean: part(self.running_mean),
            running_var: part(self.running_var),
        }
    }
}

impl Saved {
    fn of_channels(self, c: &Range<usize>) -> Saved {
        let Saved { mean, inv_std } = self;
        let channels = mean.len;
        Saved { mean: mean.of_channels(c, channels), inv_std: inv_std.of_channels(c, channels) }
    }
}

/// Sets the groups of both lists of steps.
pub(super) fn form(plan: &mut Plan) {
    let forward = plan.forward.iter().map(|step| {
        let mut views = Vec::new();
        step.kernel.visit(|view, _| views.push(view));
        (step.kernel.of_channels(&(0..1)).is_some(), views)
    });
    let mut forward = groups(plan, forward);
    if plan.mode == Mode::Infer {
        forward = by_places(plan, forward);
    }
    let backward = plan.backward.iter().map(|step| {
        let mut views = Vec::new();
        step.kernel.visit(|view, _| views.push(view));
        (step.kernel.of_channels(&(0..1)).is_some(), views)
    });
    let backward = groups(plan, backward);
    (plan.forward_groups, plan.backward_groups) = (forward, backward);
}

/// Cuts steps into groups, given whether each treats channels on their own and what it touches: a step joins
/// the group before it if it touches a view that the group has touched. All views of a group are the same or
/// have no channel in common.
fn groups(plan: &Plan, steps: impl Iterator<Item = (bool, Vec<View>)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut touched: Vec<View> = Vec::new();
    let mut is_open = false;
    for (index, (is_channelwise, views)) in steps.enumerate() {
        let is_apart = |a: &View, b: &View| a == b || !a.overlaps(b);
        let among = |others: &[View]| views.iter().all(|a| others.iter().all(|b| is_apart(a, b)));
        let can_join = is_channelwise && among(&views);
        let joins = can_join && among(&touched) && views.iter().any(|view| touched.contains(view));
        let channels = views.first().map_or(0, |view| view.channels);
        let area = views.iter().map(|&view| plan.area(view)).max().unwrap_or(0);
        match groups.last_mut() {
            Some(group) if is_open && joins && group.channels == channels => {
                group.steps.end = index + 1;
                group.area = group.area.max(area);
            }
            _ => {
                let (steps, parts) = (index..index + 1, Parts::Channels);
                groups.push(Group { steps, parts, channels, area });
                touched.clear();
            }
        }
        is_open = can_join;
        touched.extend(views);
    }
    groups
}

/// Joins depthwise convolutions with the 1x1 convolutions that alone read what they give.
fn by_places(plan: &Plan, groups: Vec<Group>) -> Vec<Group> {
    let mut touches = vec![0; plan.buffers.len()];
    for step in &plan.forward {
        step.kernel.visit(|view, _| touches[view.buffer.0] += 1);
    }
    let mut joined: Vec<Group> = Vec::with_capacity(groups.len());
    for group in groups {
        let last = joined.last_mut().filter(|last| last.steps.len() == 1 && group.steps.len() == 1);
        let kernel = |group: &Group| &plan.forward[group.steps.start].kernel;
        match last {
            Some(last)
                if between(kernel(last), kernel(&group))
                    .is_some_and(|view| touches[view.buffer.0] == 2) =>
            {
                last.steps.end = group.steps.end;
                last.parts = Parts::Places;
            }
            _ => joined.push(group),
        }
    }
    joined
}

/// What lies between a depthwise convolution and a 1x1 convolution of it.
fn between(first: &Forward, second: &Forward) -> Option<View> {
    let Forward::DepthwiseConv { y, .. } = first else { return None };
    let Forward::Conv { window, groups: 1, x, .. } = second else { return None };
    (x == y && window.is_pointwise() && window.input == window.output).then_some(*y)
}
