//! Drops what neither the logits nor the auxiliary logits nor a node that is to be kept depend on, parameters
//! included: a block that nothing reads is no part of the network, and is not counted as one.

use crate::graph::{Graph, NodeId};

/// Keeps the image and every node that an output depends on.
pub(super) fn pass(graph: &Graph, kept: &[NodeId]) -> Vec<Option<NodeId>> {
    let mut is_live = vec![false; graph.nodes.len()];
    is_live[graph.input.0] = true;
    for root in [graph.output].into_iter().chain(graph.aux).chain(kept.iter().copied()) {
        is_live[root.0] = true;
    }
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if is_live[index] {
            node.inputs.iter().for_each(|input| is_live[input.0] = true);
        }
    }
    is_live.iter().enumerate().map(|(index, live)| live.then_some(NodeId(index))).collect()
}
