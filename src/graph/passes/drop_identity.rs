//! Drops operations that give back their operand: a second relu in a row, the concatenation of one
//! tensor, a 1x1 pool at stride 1, a slice of all channels.

use crate::graph::{Graph, NodeId, Op};

/// Replaces each identity by its operand.
pub(super) fn pass(graph: &Graph, _: &[NodeId]) -> Vec<Option<NodeId>> {
    let mut stands_for: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let operand = node.inputs.first().map(|input| stands_for[input.0]);
        let is_identity = match &node.op {
            Op::Relu => operand
                .is_some_and(|operand| matches!(graph.node(operand).op, Op::Relu | Op::Relu6)),
            Op::Relu6 => operand.is_some_and(|operand| graph.node(operand).op == Op::Relu6),
            Op::Slice { .. } => operand.is_some_and(|operand| graph.ty(operand) == node.ty),
            Op::Shuffle { groups } => *groups == 1 || *groups == node.ty.channels,
            Op::Concat => node.inputs.len() == 1,
            Op::MaxPool { window } | Op::AvgPool { window } => {
                window.is_pointwise() && window.input == window.output
            }
            Op::Input
            | Op::Conv { .. }
            | Op::DepthwiseConv { .. }
            | Op::BatchNorm
            | Op::LayerNorm
            | Op::InstanceNorm
            | Op::Sigmoid
            | Op::Add
            | Op::Mul
            | Op::GlobalAvgPool
            | Op::Dense { .. }
            | Op::Dropout
            | Op::DropPath
            | Op::Shift
            | Op::Mix
            | Op::Zero { .. } => false,
        };
        stands_for.push(operand.filter(|_| is_identity).unwrap_or(NodeId(index)));
    }
    stands_for.into_iter().map(Some).collect()
}
