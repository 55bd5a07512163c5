//! Canonical hash of a graph: the identity of an architecture.
//!
//! Two graphs get the same hash if they differ only in names, in the order of their nodes, in swapped
//! operands of commutative operations, in the order and grouping of a sum, or in the order of a
//! concatenation that only a channel mixer (convolution or dense layer) tells apart. Parameters have no values here: equal hashes mean equal
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
    let operands = operands(graph);
    let consumers = consumers(&operands);
    let is_order_free = order_free(graph, &operands, &consumers);
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
            let mut words: Vec<u64> = operands[index].iter().map(|input| colors[input.0]).collect();
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
    // Every other node has a reader or is a root; what a sum took in is no node of its own.
    let is_own = |index: usize| !consumers[index].is_empty() || graph.is_root(NodeId(index));
    let mut colors: Vec<u64> =
        (0..colors.len()).filter(|&index| is_own(index)).map(|index| colors[index]).collect();
    colors.sort_unstable();
    colors.push(output);
    digest(&colors)
}

/// For each node, what it reads. A sum that only a sum reads is taken into it: `(a + b) + c` reads three,
/// and what `a + b` was reads nothing and is read by nothing.
fn operands(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut readers = vec![0; graph.nodes.len()];
    let mut operands: Vec<Vec<NodeId>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        node.inputs.iter().for_each(|input| readers[input.0] += 1);
        operands.push(node.inputs.clone());
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.op != Op::Add {
            continue;
        }
        let is_taken_in = |input: NodeId| {
            graph.node(input).op == Op::Add && readers[input.0] == 1 && !graph.is_root(input)
        };
        for input in std::mem::take(&mut operands[index]) {
            let taken = if is_taken_in(input) {
                std::mem::take(&mut operands[input.0])
            } else {
                vec![input]
            };
            operands[index].extend(taken);
        }
    }
    operands
}

/// For each node, who reads it and as which operand.
fn consumers(operands: &[Vec<NodeId>]) -> Vec<Vec<(NodeId, usize)>> {
    let mut consumers = vec![Vec::new(); operands.len()];
    for (index, inputs) in operands.iter().enumerate() {
        for (position, input) in inputs.iter().enumerate() {
            consumers[input.0].push((NodeId(index), position));
        }
    }
    consumers
}

/// For each node, true if permuting its channels could be undone by permuting weights around it.
/// Only meaningful for concatenations, whose operand order is such a permutation.
fn order_free(
    graph: &Graph,
    operands: &[Vec<NodeId>],
    consumers: &[Vec<(NodeId, usize)>],
) -> Vec<bool> {
    let can_follow = can_follow(graph, operands, consumers);
    let mut is_free = vec![true; graph.nodes.len()];
    for index in (0..graph.nodes.len()).rev() {
        // A reader that mixes channels can permute its weights; one that keeps their order hands the
        // question on, and what a sum adds to it must be able to follow.
        let follows = |input: &NodeId| input.0 == index || can_follow[input.0];
        is_free[index] = !graph.is_root(NodeId(index))
            && consumers[index].iter().all(|&(consumer, _)| match &graph.node(consumer).op {
                Op::Conv { groups, .. } => *groups == 1,
                // Of its operand, zeros have the shape alone.
                Op::Dense { .. } | Op::Zero { .. } => true,
                Op::Add => is_free[consumer.0] && operands[consumer.0].iter().all(follows),
                Op::Mul | Op::Mix | Op::Shuffle { .. } | Op::Slice { .. } => false,
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
                | Op::DropPath
                | Op::Shift => is_free[consumer.0],
            });
    }
    let is_concat = graph.nodes.iter().map(|node| node.op == Op::Concat);
    is_concat.zip(is_free).map(|(concat, free)| concat && free).collect()
}

/// For each node, true if its channels come in any order one likes, by permuting weights before it,
/// without anybody but its one reader seeing a difference.
fn can_follow(
    graph: &Graph,
    operands: &[Vec<NodeId>],
    consumers: &[Vec<(NodeId, usize)>],
) -> Vec<bool> {
    let mut can_follow: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let do_operands = || operands[index].iter().all(|input| can_follow[input.0]);
        let does = match &node.op {
            Op::Conv { groups, .. } => *groups == 1,
            Op::Dense { .. } | Op::Zero { .. } => true,
            Op::Input | Op::Concat | Op::Mul | Op::Mix | Op::Shuffle { .. } | Op::Slice { .. } => {
                false
            }
            Op::DepthwiseConv { .. }
            | Op::BatchNorm
            | Op::LayerNorm
            | Op::InstanceNorm
            | Op::Relu
            | Op::Relu6
            | Op::Sigmoid
            | Op::Add
            | Op::MaxPool { .. }
            | Op::AvgPool { .. }
            | Op::GlobalAvgPool
            | Op::Dropout
            | Op::DropPath
            | Op::Shift => do_operands(),
        };
        can_follow.push(does && consumers[index].len() == 1);
    }
    can_follow
}

/// A number for an operation with its attributes.
fn op_code(op: &Op) -> u64 {
    let window = |code: u64, window: &Window| {
        let Window { kernel, stride, dilation, pad, input, output, zeros } = window;
        let pairs = [kernel, stride, dilation, pad, input, output];
        let mut words: Vec<u64> =
            pairs.iter().flat_map(|pair| pair.map(|side| side as u64)).collect();
        words.push(code);
        // As for groups below: what had no zeros hashes as before there were any.
        words.extend(zeros.then_some(1));
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
        Op::DropPath => 23,
        Op::Zero { stride: [vertical, horizontal] } => {
            digest(&[22, *vertical as u64, *horizontal as u64])
        }
    }
}

/// The hash of a text, the same on every machine and in every release of this format.
pub(crate) fn of_text(text: &str) -> u64 {
    let words = text.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    digest(&words.chain([text.len() as u64]).collect::<Vec<_>>())
}

/// Mixes words into one, order mattering.
fn digest(words: &[u64]) -> u64 {
    words.iter().fold(0x243f_6a88_85a3_08d3, |state, word| {
        let mixed = crate::rng::mix(state ^ word);
        mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}
