//! Passes that simplify a graph without changing what it computes, one a file.
//!
//! A pass gives for each node the earlier node that stands for it (itself if it stays); `rebuild`
//! drops the others with their parameters. The graph is verified after each pass in debug builds.

mod dead_nodes;
mod drop_identity;
mod merge_equal;

use super::{Graph, NodeId, Param, ParamId};

/// One pass: for each node, the node that stands for it, or `None` if nothing needs it. Beside the graph's
/// results, the nodes in the list are needed.
type Pass = fn(&Graph, &[NodeId]) -> Vec<Option<NodeId>>;

/// The passes in order, with the names that dumps use.
pub const PASSES: [(&str, Pass); 3] = [
    ("drop_identity", drop_identity::pass),
    ("merge_equal", merge_equal::pass),
    ("dead_nodes", dead_nodes::pass),
];

/// Runs every pass once, in order.
pub fn simplify(graph: &Graph) -> Graph {
    simplified(graph.clone())
}

/// [`simplify`] for a graph that is not needed any more.
pub(crate) fn simplified(graph: Graph) -> Graph {
    simplify_keeping(graph, &mut [])
}

/// The same for a graph of which nodes beside its results are read: what `kept` names stays, and afterwards
/// `kept` names the nodes that stand for them in the simpler graph.
pub fn simplify_keeping(graph: Graph, kept: &mut [NodeId]) -> Graph {
    PASSES.iter().fold(graph, |graph, (name, pass)| {
        let stands_for = pass(&graph, kept);
        let simpler = rebuild(graph, &stands_for, kept);
        debug_assert_eq!(simpler.verify(), Ok(()), "after pass {name}");
        simpler
    })
}

/// The graph of the nodes that stand for themselves, every reference replaced, those in `kept` too.
fn rebuild(graph: Graph, stands_for: &[Option<NodeId>], kept: &mut [NodeId]) -> Graph {
    let Graph { nodes, params, sections, input, output, aux } = graph;
    let mut params: Vec<Option<Param>> = params.into_iter().map(Some).collect();
    let mut kept_nodes = Vec::with_capacity(nodes.len());
    let mut kept_params = Vec::with_capacity(params.len());
    let mut moved: Vec<Option<NodeId>> = vec![None; nodes.len()];
    for (index, mut node) in nodes.into_iter().enumerate() {
        match stands_for[index] {
            Some(stand_in) if stand_in.0 == index => {}
            Some(stand_in) => {
                moved[index] = moved[stand_in.0];
                continue;
            }
            None => continue,
        }
        for input in &mut node.inputs {
            *input = moved[input.0].expect("a node that stays has operands that stay");
        }
        for id in &mut node.params {
            kept_params.push(params[id.0].take().expect("a parameter belongs to one node"));
            *id = ParamId(kept_params.len() - 1);
        }
        moved[index] = Some(NodeId(kept_nodes.len()));
        kept_nodes.push(node);
    }
    let new = |id: NodeId| moved[id.0].expect("input, output, aux and what is to be kept stay");
    kept.iter_mut().for_each(|id| *id = new(*id));
    Graph {
        nodes: kept_nodes,
        params: kept_params,
        sections,
        input: new(input),
        output: new(output),
        aux: aux.map(new),
    }
}
