//! Forward kernels in order, and the buffers of the values.
//!
//! An operand of a concatenation is computed directly into its channels of the result, unless another
//! concatenation already has it there; then it is copied. The concatenation itself is no kernel.

use crate::graph::{Graph, Node, NodeId, Op, Param};

use super::wiring::Wiring;
use super::{Content, Forward, Layout, Mode, Output, Plan, Slot, Step, View};

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
    pub saved: Vec<Option<Slot>>,
    /// By node; slots of its parameters in the order the graph has them.
    pub params: Vec<Vec<Slot>>,
}

impl Values {
    /// The view of a live node's value.
    pub fn view(&self, node: NodeId) -> View {
        self.views[node.0].expect("operands are live and computed before they are read")
    }
}

/// Appends buffers and forward steps to the plan.
pub(super) fn emit(plan: &mut Plan, graph: &Graph, wiring: &Wiring, layout: &Layout) -> Values {
    let mut values = Values {
        places: places(graph, wiring),
        views: vec![None; graph.nodes.len()],
        saved: vec![None; graph.nodes.len()],
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
            let slot = Slot { offset: plan.fixed_len, len: 2 * y.channels };
            plan.fixed_len += slot.len;
            values.saved[id.0] = Some(slot);
        }
        if matches!(graph.node(id).op, Op::Concat) {
            copy_operands(plan, wiring, &values, id, y);
        } else {
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

/// Gives every live node its place, the last concatenation first, so that nested ones share a buffer.
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
    match &graph.node(id).op {
        Op::Input => Forward::Load { y },
        Op::Conv { window, .. } => {
            Forward::Conv { window: *window, x: operand(0), relu_in, weight: slots[0], y }
        }
        Op::DepthwiseConv { window } => {
            Forward::DepthwiseConv { window: *window, x: operand(0), relu_in, weight: slots[0], y }
        }
        Op::BatchNorm => Forward::BatchNorm {
            x: operand(0),
            gamma: slots[0],
            beta: slots[1],
            running_mean: slots[2],
            running_var: slots[3],
            saved: values.saved[id.0],
            y,
        },
        Op::Relu => Forward::Relu { x: operand(0), y },
        Op::Sigmoid => Forward::Sigmoid { x: operand(0), y },
        Op::Add => Forward::Add { a: operand(0), b: operand(1), y },
        Op::Mul => Forward::Mul { a: operand(0), b: operand(1), y },
        Op::Concat => unreachable!("a concatenation is no kernel"),
        Op::MaxPool { window } => Forward::MaxPool { window: *window, x: operand(0), y },
        Op::AvgPool { window } => Forward::AvgPool { window: *window, x: operand(0), y },
        Op::GlobalAvgPool => Forward::GlobalAvgPool { x: operand(0), y },
        Op::Dense { .. } => Forward::Dense { x: operand(0), weight: slots[0], bias: slots[1], y },
        Op::Dropout => Forward::Dropout { stream: id.0 as u64, x: operand(0), y },
        Op::Shift => Forward::Shift { x: operand(0), y },
    }
}

/// Slots of a node's parameters and statistics.
fn slots(graph: &Graph, node: &Node, layout: &Layout) -> Vec<Slot> {
    let slot = |param: &Param| {
        let entry = layout.get(&param.path).filter(|entry| entry.shape == param.shape);
        entry.unwrap_or_else(|| panic!("the layout has no `{}` of its shape", param.path)).slot
    };
    node.params.iter().map(|id| slot(&graph.params[id.0])).collect()
}
