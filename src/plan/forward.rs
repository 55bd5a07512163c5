//! Forward kernels in order, and the buffers of the values.
//!
//! An operand of a concatenation is computed directly into its channels of the result, unless another
//! concatenation already has it there; then it is copied. The concatenation itself is no kernel. Nor is a sum
//! whose second operand is added to the first where that lies.

use crate::graph::{Graph, Node, NodeId, Op, Param, Section, TensorType};

use super::wiring::Wiring;
use super::{Content, Forward, Layout, Mode, Norm, Output, Plan, Saved, Slot, Step, Target, View};

/// Where a node's value lies: in the buffer made for `root`, from channel `channel` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub root: NodeId,
    pub channel: usize,
}

/// Where the values are, for the backward pass.
#[derive(Debug)]
pub(super) struct Values {
    /// By node; `None` for those that are not live.
    pub places: Vec<Option<Place>>,
    /// By node; the same as a view of a buffer.
    pub views: Vec<Option<View>>,
    /// By node; where batch normalizations keep their statistics.
    pub saved: Vec<Option<Saved>>,
    /// By node; where normalizations of single images keep the moments.
    pub moments: Vec<Option<View>>,
    /// By node; slots of its parameters in the order the graph has them.
    pub params: Vec<Vec<Slot>>,
}

impl Values {
    /// The view of a live node's value.
    pub fn view(&self, node: NodeId) -> View {
        self.views[node.0].expect("operands are live and computed before they are read")
    }

    /// Where a normalization of single images keeps its moments.
    pub fn moments(&self, node: NodeId) -> View {
        self.moments[node.0].expect("a normalization gets its moments with its value")
    }
}

/// Appends buffers and forward steps to the plan.
pub(super) fn emit(plan: &mut Plan, graph: &Graph, wiring: &Wiring, layout: &Layout) -> Values {
    let mut values = Values {
        places: places(graph, wiring),
        views: vec![None; graph.nodes.len()],
        saved: vec![None; graph.nodes.len()],
        moments: vec![None; graph.nodes.len()],
        params: graph.nodes.iter().map(|node| slots(graph, node, layout)).collect(),
    };
    let mut buffers = vec![None; graph.nodes.len()];
    for id in wiring.live_nodes() {
        let place = values.places[id.0].expect("every live node has a place");
        let buffer = *buffers[place.root.0]
            .get_or_insert_with(|| plan.buffer(place.root, Content::Value, graph.ty(place.root)));
        let y = View { buffer, channel: place.channel, channels: graph.ty(id).channels };
        values.views[id.0] = Some(y);
        if matches!(graph.node(id).op, Op::BatchNorm) && plan.mode != Mode::Infer {
            let mut slot = || {
                plan.fixed_len += y.channels;
                Slot { offset: plan.fixed_len - y.channels, len: y.channels }
            };
            values.saved[id.0] = Some(Saved { mean: slot(), inv_std: slot() });
        }
        if let Some(groups) = moment_groups(&graph.node(id).op, y.channels) {
            let ty = TensorType::new(2 * groups, 1, 1);
            let buffer = plan.buffer(id, Content::Value, ty);
            values.moments[id.0] = Some(plan.whole(buffer));
        }
        if matches!(graph.node(id).op, Op::Concat) {
            copy_operands(plan, wiring, &values, id, y);
        } else if !wiring.is_folded_sum(id) {
            let kernel = kernel(graph, wiring, &values, id, y);
            plan.forward.push(Step { kernel, node: id });
        }
    }
    let outputs = [(Output::Logits, Some(wiring.output)), (Output::Aux, wiring.aux)];
    for (output, node) in outputs {
        if let Some(node) = node {
            let kernel = Forward::Store { output, x: values.view(node) };
            plan.forward.push(Step { kernel, node });
        }
    }
    values
}

/// Into how many groups a normalization of single images divides the channels; `None` for other
/// operations.
pub(super) fn moment_groups(op: &Op, channels: usize) -> Option<usize> {
    let groups = if matches!(op, Op::LayerNorm) { 1 } else { channels };
    matches!(op, Op::LayerNorm | Op::InstanceNorm).then_some(groups)
}

/// Gives every live node its place, the last concatenation or sum first, so that nested ones share a buffer.
fn places(graph: &Graph, wiring: &Wiring) -> Vec<Option<Place>> {
    let mut places: Vec<Option<Place>> = vec![None; graph.nodes.len()];
    for id in wiring.live_nodes().rev() {
        let place = *places[id.0].get_or_insert(Place { root: id, channel: 0 });
        if matches!(graph.node(id).op, Op::Concat) {
            let mut channel = place.channel;
            for operand in &wiring.operands[id.0] {
                places[operand.node.0].get_or_insert(Place { root: place.root, channel });
                channel += graph.ty(operand.node).channels;
            }
        } else if wiring.is_folded_sum(id) {
            for operand in &wiring.operands[id.0] {
                places[operand.node.0].get_or_insert(place);
            }
        }
    }
    places
}

/// The parts of a concatenation's view that belong to its operands, given their numbers of channels.
pub(super) fn parts(
    channels: impl Iterator<Item = usize>,
    whole: View,
) -> impl Iterator<Item = View> {
    channels.scan(whole.channel, move |next, channels| {
        let part = View { channel: *next, channels, ..whole };
        *next += channels;
        Some(part)
    })
}

/// Copies those operands of a concatenation that are not in their place already.
fn copy_operands(plan: &mut Plan, wiring: &Wiring, values: &Values, id: NodeId, y: View) {
    let operands = wiring.operands[id.0].iter().map(|operand| values.view(operand.node));
    let channels = operands.clone().map(|view| view.channels);
    for (x, y) in operands.zip(parts(channels, y)) {
        if x != y {
            plan.forward.push(Step { kernel: Forward::Copy { x, y }, node: id });
        }
    }
}

/// The kernel of a node that is not a concatenation.
fn kernel(graph: &Graph, wiring: &Wiring, values: &Values, id: NodeId, y: View) -> Forward {
    let operand = |index: usize| values.view(wiring.operands[id.0][index].node);
    let relu_in = wiring.operands[id.0].first().is_some_and(|operand| operand.relu);
    let slots = &values.params[id.0];
    let target = Target { view: y, accumulate: wiring.added_to[id.0].is_some() };
    match &graph.node(id).op {
        Op::Input => Forward::Load { y },
        Op::Conv { window, groups, .. } => {
            let (window, groups, weight) = (*window, *groups, slots[0]);
            let (x, y) = (operand(0), target);
            Forward::Conv { window, groups, x, relu_in, weight, norm: None, y }
        }
        Op::DepthwiseConv { window } => {
            Forward::DepthwiseConv { window: *window, x: operand(0), relu_in, weight: slots[0], y }
        }
        Op::BatchNorm => {
            let (x, y) = (operand(0), target);
            let norm = Norm {
                gamma: slots[0],
                beta: slots[1],
                running_mean: slots[2],
                running_var: slots[3],
            };
            if let Some(convolution) = wiring.convolution[id.0]
                && let Op::Conv { window, groups, .. } = graph.node(convolution).op
            {
                let (weight, norm) = (values.params[convolution.0][0], Some(norm));
                return Forward::Conv { window, groups, x, relu_in, weight, norm, y };
            }
            Forward::BatchNorm { x, norm, saved: values.saved[id.0], fixed: false, y }
        }
        Op::LayerNorm | Op::InstanceNorm => {
            let moments = values.moments(id);
            let (groups, gamma, beta) = (moments.channels / 2, slots[0], slots[1]);
            Forward::GroupNorm { groups, x: operand(0), gamma, beta, moments, y }
        }
        Op::Relu => Forward::Relu { x: operand(0), y },
        Op::Relu6 => Forward::Relu6 { x: operand(0), y },
        Op::Sigmoid => Forward::Sigmoid { x: operand(0), y },
        Op::Add => Forward::Add { a: operand(0), b: operand(1), y },
        Op::Mul => Forward::Mul { a: operand(0), b: operand(1), y },
        Op::Concat => unreachable!("a concatenation is no kernel"),
        Op::MaxPool { window } => Forward::MaxPool { window: *window, x: operand(0), y },
        Op::AvgPool { window } => Forward::AvgPool { window: *window, x: operand(0), y: target },
        Op::GlobalAvgPool => Forward::GlobalAvgPool { x: operand(0), y },
        Op::Dense { .. } => {
            Forward::Dense { x: operand(0), weight: slots[0], bias: slots.get(1).copied(), y }
        }
        Op::Dropout => Forward::Dropout { stream: id.0 as u64, x: operand(0), y },
        Op::DropPath => {
            let (stream, depth) = (id.0 as u64, depth(graph, id));
            Forward::DropPath { stream, depth, x: operand(0), y }
        }
        Op::Shift => Forward::Shift { x: operand(0), y },
        Op::Shuffle { groups } => Forward::Shuffle { groups: *groups, x: operand(0), y },
        Op::Slice { start, .. } => Forward::Copy { x: sliced(operand(0), *start, y), y },
        Op::Mix => Forward::Mix { stream: id.0 as u64, a: operand(0), b: operand(1), y },
        Op::Zero { .. } => Forward::Zero { y },
    }
}

/// Which cell of how many, counted from 1, a node stands in; the first of one if it stands in none.
pub(super) fn depth(graph: &Graph, id: NodeId) -> [usize; 2] {
    let is_cell = |section: &&Section| section.cell.is_some();
    let cells = graph.sections.iter().filter(is_cell).count();
    let cell = graph.sections[..=graph.node(id).section.0].iter().filter(is_cell).count();
    [cell.max(1), cells.max(1)]
}

/// The channels of `x` that a slice starting at `start` makes `y` of.
pub(super) fn sliced(x: View, start: usize, y: View) -> View {
    View { channel: x.channel + start, channels: y.channels, ..x }
}

/// Slots of a node's parameters and statistics.
fn slots(graph: &Graph, node: &Node, layout: &Layout) -> Vec<Slot> {
    let slot = |param: &Param| {
        let entry = layout.get(&param.path).filter(|entry| entry.shape == param.shape);
        entry.unwrap_or_else(|| panic!("the layout has no `{}` of its shape", param.path)).slot
    };
    node.params.iter().map(|id| slot(&graph.params[id.0])).collect()
}
