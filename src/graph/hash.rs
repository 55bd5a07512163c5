//! Canonical hash of a graph: the identity of an architecture.
//!
//! Two graphs get the same hash if they differ only in names, in the order of their nodes, in swapped
//! operands of commutative operations, or in the order of a concatenation that only a channel mixer
//! (convolution or dense layer) tells apart. Parameters have no values here: equal hashes mean equal
//! networks before training. Dead nodes must be gone (see [`passes`](super::passes)).
//!
//! # Source
//! Color refinement (Weisfeiler and Leman 1968) over the directed graph: colors are refined along the
//! edges, then against them, each sweep in topological order so that it reaches all ancestors or
//! descendants.

use super::{Graph, NodeId, Op, Window};

/// Sweeps in each direction; colors of the published cells are stable after the second.
const SWEEPS: usize = 3;

/// The hash of a graph, the same on every machine and in every release of this format.
pub fn canonical(graph: &Graph) -> u64 {
    let consumers = consumers(graph);
    let is_order_free = order_free(graph, &consumers);
    let mut colors: Vec<u64> = graph
        .nodes
        .iter()
        .map(|node| {
            let [a, b, c] = [node.ty.channels, node.ty.height, node.ty.width];
            digest(&[op_code(&node.op), a as u64, b as u64, c as u64])
        })
        .collect();
    colors[graph.output.0] = digest(&[colors[graph.output.0], 1]);
    if let Some(aux) = graph.aux {
        colors[aux.0] = digest(&[colors[aux.0], 2]);
    }
    for _ in 0..SWEEPS {
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut words: Vec<u64> = node.inputs.iter().map(|input| colors[input.0]).collect();
            if node.op.is_commutative() || is_order_free[index] {
                words.sort_unstable();
            }
            words.push(colors[index]);
            colors[index] = digest(&words);
        }
        for index in (0..graph.nodes.len()).rev() {
            let mut words: Vec<u64> = consumers[index]
                .iter()
                .map(|&(consumer, position)| {
                    let op = &graph.node(consumer).op;
                    let ordered = !op.is_commutative() && !is_order_free[consumer.0];
                    digest(&[colors[consumer.0], if ordered { position as u64 } else { 0 }])
                })
                .collect();
            words.sort_unstable();
            words.push(colors[index]);
            colors[index] = digest(&words);
        }
    }
    let output = colors[graph.output.0];
    colors.sort_unstable();
    colors.push(output);
    digest(&colors)
}

/// For each node, who reads it and as which operand.
fn consumers(graph: &Graph) -> Vec<Vec<(NodeId, usize)>> {
    let mut consumers = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for (position, input) in node.inputs.iter().enumerate() {
            consumers[input.0].push((NodeId(index), position));
        }
    }
    consumers
}

/// For each node, true if permuting its channels could be undone by permuting weights behind it.
/// Only meaningful for concatenations, whose operand order is such a permutation.
fn order_free(graph: &Graph, consumers: &[Vec<(NodeId, usize)>]) -> Vec<bool> {
    // What reads the channels of a node in their order.
    let mut is_free = vec![true; graph.nodes.len()];
    for index in (0..graph.nodes.len()).rev() {
        let is_root = graph.output.0 == index || graph.aux.is_some_and(|aux| aux.0 == index);
        is_free[index] = !is_root
            && consumers[index].iter().all(|&(consumer, _)| match &graph.node(consumer).op {
                Op::Conv { groups, .. } => *groups == 1,
                // Of its operand, zeros have the shape alone.
                Op::Dense { .. } | Op::Zero { .. } => true,
                Op::Add | Op::Mul | Op::Mix | Op::Shuffle { .. } | Op::Slice { .. } => false,
                Op::Input
                | Op::DepthwiseConv { .. }
                | Op::BatchNorm
                | Op::LayerNorm
                | Op::InstanceNorm
                | Op::Relu
                | Op::Relu6
                | Op::Sigmoid
                | Op::Concat
                | Op::MaxPool { .. }
                | Op::AvgPool { .. }
                | Op::GlobalAvgPool
                | Op::Dropout
                | Op::Shift => is_free[consumer.0],
            });
    }
    let is_concat = graph.nodes.iter().map(|node| node.op == Op::Concat);
    is_concat.zip(is_free).map(|(concat, free)| concat && free).collect()
}

/// A number for an operation with its attributes.
fn op_code(op: &Op) -> u64 {
    let window = |code: u64, window: &Window| {
        let Window { kernel, stride, dilation, pad, input, output } = window;
        let pairs = [kernel, stride, dilation, pad, input, output];
        let mut words: Vec<u64> =
            pairs.iter().flat_map(|pair| pair.map(|side| side as u64)).collect();
        words.push(code);
        digest(&words)
    };
    match op {
        Op::Input => 1,
        // Hashes of what this format had from its start stay as they were.
        Op::Conv { window: w, out_channels, groups: 1 } => {
            digest(&[window(2, w), *out_channels as u64])
        }
        Op::Conv { window: w, out_channels, groups } => {
            digest(&[window(2, w), *out_channels as u64, *groups as u64])
        }
        Op::DepthwiseConv { window: w } => window(3, w),
        Op::BatchNorm => 4,
        Op::Relu => 5,
        Op::Sigmoid => 6,
        Op::Add => 7,
        Op::Mul => 8,
        Op::Concat => 9,
        Op::MaxPool { window: w } => window(10, w),
        Op::AvgPool { window: w } => window(11, w),
        Op::GlobalAvgPool => 12,
        Op::Dense { out_features, bias: true } => digest(&[13, *out_features as u64]),
        Op::Dense { out_features, bias: false } => digest(&[13, *out_features as u64, 0]),
        Op::Dropout => 14,
        Op::Shift => 15,
        Op::LayerNorm => 16,
        Op::InstanceNorm => 17,
        Op::Relu6 => 18,
        Op::Shuffle { groups } => digest(&[19, *groups as u64]),
        Op::Slice { start, count } => digest(&[20, *start as u64, *count as u64]),
        Op::Mix => 21,
        Op::Zero { stride: [vertical, horizontal] } => {
            digest(&[22, *vertical as u64, *horizontal as u64])
        }
    }
}

/// Mixes words into one, order mattering.
fn digest(words: &[u64]) -> u64 {
    words.iter().fold(0x243f_6a88_85a3_08d3, |state, word| {
        let mixed = crate::rng::mix(state ^ word);
        mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}
