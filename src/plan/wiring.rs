//! Which nodes of a graph become kernels, and what each of them reads.
//!
//! Takes a graph; gives, for every node, whether it is computed and its operands after folding.
//! Assumes that the graph is verified.

use crate::graph::{Graph, Node, NodeId, Op};

use super::Mode;

/// What a node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// The node whose value it is.
    pub node: NodeId,
    /// The reader rectifies it on the way in.
    pub relu: bool,
}

/// The graph as it will be computed.
#[derive(Debug)]
pub(super) struct Wiring {
    /// Whether a node's value is ever stored. A folded relu's is not, nor is a dead node's.
    pub live: Vec<bool>,
    /// Operands of the live nodes; empty for the others.
    pub operands: Vec<Vec<Operand>>,
    /// The live nodes that read a node, once for each operand.
    pub users: Vec<Vec<NodeId>>,
    /// The logits.
    pub output: NodeId,
    /// The auxiliary logits, in training.
    pub aux: Option<NodeId>,
}

impl Wiring {
    /// Decides liveness and folding for a mode.
    pub fn of(graph: &Graph, mode: Mode) -> Wiring {
        let source = bypass_drops(graph, mode);
        let output = source[graph.output.0];
        let aux = match mode {
            Mode::Train { .. } => graph.aux.map(|aux| source[aux.0]),
            Mode::Infer => None,
        };
        let mut wiring = Wiring {
            live: reachable(graph, &source, output, aux),
            operands: vec![Vec::new(); graph.nodes.len()],
            users: vec![Vec::new(); graph.nodes.len()],
            output,
            aux,
        };
        for (index, node) in graph.nodes.iter().enumerate() {
            if wiring.live[index] {
                let operands = reads(node).iter().map(|input| source[input.0]);
                wiring.operands[index] =
                    operands.map(|node| Operand { node, relu: false }).collect();
            }
        }
        wiring.collect_users();
        wiring.fold_relus(graph);
        wiring.collect_users();
        wiring
    }

    /// True if the node's value leaves the network.
    pub fn is_output(&self, node: NodeId) -> bool {
        node == self.output || Some(node) == self.aux
    }

    /// The live nodes in order of execution.
    pub fn live_nodes(&self) -> impl DoubleEndedIterator<Item = NodeId> + '_ {
        (0..self.live.len()).filter(|&index| self.live[index]).map(NodeId)
    }

    fn collect_users(&mut self) {
        self.users.iter_mut().for_each(Vec::clear);
        for (index, operands) in self.operands.iter().enumerate() {
            for operand in operands {
                self.users[operand.node.0].push(NodeId(index));
            }
        }
    }

    /// Makes convolutions rectify while they load, where nothing else needs the rectified map.
    fn fold_relus(&mut self, graph: &Graph) {
        for (index, node) in graph.nodes.iter().enumerate() {
            let folds = matches!(node.op, Op::Relu)
                && self.live[index]
                && !self.is_output(NodeId(index))
                && self.users[index].iter().all(|&user| {
                    matches!(graph.node(user).op, Op::Conv { .. } | Op::DepthwiseConv { .. })
                });
            if !folds {
                continue;
            }
            let rectified = Operand { relu: true, ..self.operands[index][0] };
            for &user in &self.users[index] {
                self.operands[user.0] = vec![rectified];
            }
            self.operands[index].clear();
            self.live[index] = false;
        }
    }
}

/// What a node reads in the graph whose value its own depends on: zeros only have a shape from it.
fn reads(node: &Node) -> &[NodeId] {
    if matches!(node.op, Op::Zero { .. }) { &[] } else { &node.inputs }
}

/// For each node the node whose value it has: itself, but for a dropout or drop path that does nothing.
fn bypass_drops(graph: &Graph, mode: Mode) -> Vec<NodeId> {
    let (dropout, drop_path) = match mode {
        Mode::Train { dropout, drop_path, .. } => (dropout, drop_path),
        Mode::Infer => (false, false),
    };
    let mut source: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let bypassed = match node.op {
            Op::Dropout => !dropout,
            Op::DropPath => !drop_path,
            _ => false,
        };
        source.push(if bypassed { source[node.inputs[0].0] } else { NodeId(index) });
    }
    source
}

/// The nodes that the outputs depend on.
fn reachable(graph: &Graph, source: &[NodeId], output: NodeId, aux: Option<NodeId>) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    live[output.0] = true;
    if let Some(aux) = aux {
        live[aux.0] = true;
    }
    for index in (0..graph.nodes.len()).rev() {
        if live[index] {
            for input in reads(&graph.nodes[index]) {
                live[source[input.0].0] = true;
            }
        }
    }
    live
}
