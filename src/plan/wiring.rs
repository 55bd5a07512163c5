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
    /// For a batch normalization the convolution whose results it normalizes on their way out; the operands are
    /// then those of the convolution.
    pub convolution: Vec<Option<NodeId>>,
    /// For an operand that is added to another one in its place the sum.
    pub added_to: Vec<Option<NodeId>>,
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
            convolution: vec![None; graph.nodes.len()],
            added_to: vec![None; graph.nodes.len()],
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
        if mode == Mode::Infer {
            wiring.collect_users();
            wiring.fold_norms(graph);
        }
        wiring.collect_users();
        wiring.fold_sums(graph);
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

    /// True if a sum is computed by its operands, the second of them adding to the first.
    pub fn is_folded_sum(&self, node: NodeId) -> bool {
        self.operands[node.0].iter().any(|operand| self.added_to[operand.node.0] == Some(node))
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

impl Wiring {
    /// Makes convolutions normalize what only a batch normalization reads, by statistics that are known before.
    fn fold_norms(&mut self, graph: &Graph) {
        for (index, node) in graph.nodes.iter().enumerate() {
            if !matches!(node.op, Op::BatchNorm) || !self.live[index] {
                continue;
            }
            let convolution = self.operands[index][0].node;
            if matches!(graph.node(convolution).op, Op::Conv { .. })
                && self.is_only_read_by(convolution, NodeId(index))
            {
                self.operands[index] = std::mem::take(&mut self.operands[convolution.0]);
                self.live[convolution.0] = false;
                self.convolution[index] = Some(convolution);
            }
        }
    }

    /// Makes the operand of a sum that is computed last add to the other one, where nothing else reads either. Of
    /// these operations the backward pass needs no result.
    fn fold_sums(&mut self, graph: &Graph) {
        for (index, node) in graph.nodes.iter().enumerate() {
            if !matches!(node.op, Op::Add) || !self.live[index] {
                continue;
            }
            let [mut first, mut last] = [0, 1].map(|side: usize| self.operands[index][side].node);
            if first > last {
                (first, last) = (last, first);
            }
            let overwritten = matches!(
                graph.node(first).op,
                Op::Conv { .. }
                    | Op::DepthwiseConv { .. }
                    | Op::BatchNorm
                    | Op::AvgPool { .. }
                    | Op::MaxPool { .. }
                    | Op::Add
            );
            let adds =
                matches!(graph.node(last).op, Op::Conv { .. } | Op::BatchNorm | Op::AvgPool { .. });
            let sum = NodeId(index);
            if overwritten && adds && [first, last].iter().all(|&x| self.is_only_read_by(x, sum)) {
                self.added_to[last.0] = Some(sum);
            }
        }
    }

    /// True if a node's value goes nowhere but once into `user`.
    fn is_only_read_by(&self, node: NodeId, user: NodeId) -> bool {
        self.users[node.0] == [user] && !self.is_output(node)
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
