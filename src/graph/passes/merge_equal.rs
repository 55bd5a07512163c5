//! Merges operations that compute the same thing: same operation, same operands, no parameters.
//!
//! Operations with parameters are never merged: two convolutions of one tensor start equal only by
//! chance and learn apart. Dropout, drop path and mixes are not merged either, since each has its own
//! draws.

use std::collections::HashMap;

use crate::graph::{Graph, NodeId, Op};

/// Replaces each repeated operation by its first occurrence.
pub(super) fn pass(graph: &Graph, _: &[NodeId]) -> Vec<Option<NodeId>> {
    let mut first: HashMap<(&Op, Vec<NodeId>), NodeId> = HashMap::new();
    let mut stands_for: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = NodeId(index);
        let is_random = matches!(node.op, Op::Dropout | Op::DropPath | Op::Mix);
        if !node.params.is_empty() || is_random || node.op == Op::Input {
            stands_for.push(id);
            continue;
        }
        let mut operands: Vec<NodeId> =
            node.inputs.iter().map(|input| stands_for[input.0]).collect();
        if node.op.is_commutative() {
            operands.sort_unstable();
        }
        stands_for.push(*first.entry((&node.op, operands)).or_insert(id));
    }
    stands_for.into_iter().map(Some).collect()
}
