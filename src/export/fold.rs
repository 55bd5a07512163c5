//! Batch normalizations folded into the convolutions before them.
//!
//! In inference a batch normalization is `scale * x + shift` for each channel, with
//! `scale = gamma / sqrt(running_var + eps)` and `shift = beta - scale * running_mean`. Where `x` is the
//! result of a convolution that nothing else reads, the scale can be multiplied into its filters, and what
//! is left of the normalization is a shift: a bias. The result of several convolutions that are
//! concatenated and then normalized, as in a factorized reduction, is folded in the same way, each
//! convolution with its channels' share.
//!
//! A normalization *before* a convolution stays: with padding its shift is not the same at the border.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, NodeId, Op};
use crate::network::{NamedTensor, Network};

/// A network whose convolutions have taken over the scales of the normalizations behind them.
#[derive(Clone, Debug)]
pub struct Folded {
    /// The same graph with other numbers: filters are scaled, and a folded normalization has gamma 1,
    /// running mean 0, running variance `1 - eps`, and the shift as beta, so that it does nothing but add
    /// it. In inference it computes what the network did before, up to rounding; training would undo it.
    pub network: Network,
    /// The convolutions, depthwise convolutions and dense layers that were scaled, with the place of
    /// their shift.
    pub shifts: BTreeMap<NodeId, Shift>,
}

/// Where the shift of a scaled convolution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The folded normalization.
    pub norm: NodeId,
    /// Its channel that the convolution's first one became.
    pub channel: usize,
}

impl Folded {
    /// The normalizations that only shift.
    pub fn norms(&self) -> BTreeSet<NodeId> {
        self.shifts.values().map(|shift| shift.norm).collect()
    }
}

/// Folds every batch normalization for which that is exact; the others stay as they are. What is read
/// beside the graph's results, such as maps of a body, is listed in `kept` and keeps its value.
///
/// # Cost
/// Copies the parameters once.
pub fn fold(network: &Network, kept: &[NodeId]) -> Folded {
    let graph = network.graph();
    let eps = network.config().bn_eps;
    let mut state = network.state_dict();
    let mut shifts = BTreeMap::new();
    let readers = readers(graph, kept);
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.op != Op::BatchNorm {
            continue;
        }
        let norm = NodeId(index);
        let mut convolutions = Vec::new();
        if !collect(graph, &readers, node.inputs[0], 0, &mut convolutions) {
            continue;
        }
        let scale = flatten(graph, norm, eps, &mut state);
        for (id, channel) in convolutions {
            let channels = channel..channel + graph.ty(id).channels;
            scale_filters(graph, id, &scale[channels], &mut state);
            shifts.insert(id, Shift { norm, channel });
        }
    }
    let mut network = network.clone();
    network.load_state_dict(&state).expect("the state has the network's own paths and shapes");
    Folded { network, shifts }
}

/// How many operands and results each node is.
fn readers(graph: &Graph, kept: &[NodeId]) -> Vec<usize> {
    let mut readers = vec![0; graph.nodes.len()];
    let operands = graph.nodes.iter().flat_map(|node| &node.inputs);
    for id in operands.chain([&graph.output]).chain(&graph.aux).chain(kept) {
        readers[id.0] += 1;
    }
    readers
}

/// Appends the convolutions that `id` is made of, with the channel that each starts at. False if it is
/// made of anything else or read by others too.
fn collect(
    graph: &Graph,
    readers: &[usize],
    id: NodeId,
    channel: usize,
    convolutions: &mut Vec<(NodeId, usize)>,
) -> bool {
    if readers[id.0] != 1 {
        return false;
    }
    match graph.node(id).op {
        Op::Conv { .. } | Op::DepthwiseConv { .. } | Op::Dense { .. } => {
            convolutions.push((id, channel));
            true
        }
        Op::Concat => {
            let mut channel = channel;
            graph.node(id).inputs.iter().all(|&operand| {
                let start = channel;
                channel += graph.ty(operand).channels;
                collect(graph, readers, operand, start, convolutions)
            })
        }
        Op::Input
        | Op::BatchNorm
        | Op::LayerNorm
        | Op::InstanceNorm
        | Op::Relu
        | Op::Relu6
        | Op::Sigmoid
        | Op::Add
        | Op::Mul
        | Op::MaxPool { .. }
        | Op::AvgPool { .. }
        | Op::GlobalAvgPool
        | Op::Dropout
        | Op::DropPath
        | Op::Shift
        | Op::Shuffle { .. }
        | Op::Slice { .. }
        | Op::Mix
        | Op::Zero { .. } => false,
    }
}

/// Makes a normalization a mere shift and gives the scale it had, for each channel.
fn flatten(
    graph: &Graph,
    norm: NodeId,
    eps: f32,
    state: &mut BTreeMap<String, NamedTensor>,
) -> Vec<f64> {
    let paths: Vec<&str> =
        graph.node(norm).params.iter().map(|id| graph.params[id.0].path.as_str()).collect();
    let [gamma, beta, mean, var] = paths[..] else {
        unreachable!("a batch normalization has four parameters, see Graph::wire")
    };
    let of = |path: &str| state[path].values.iter().map(|&value| f64::from(value));
    let scale: Vec<f64> =
        of(gamma).zip(of(var)).map(|(gamma, var)| gamma / (var + f64::from(eps)).sqrt()).collect();
    let moved = of(beta).zip(of(mean)).zip(&scale);
    let shift = moved.map(|((beta, mean), scale)| (beta - scale * mean) as f32).collect();
    let mut set = |path: &str, values: Vec<f32>| {
        state.get_mut(path).expect("the state has every path of the graph").values = values;
    };
    set(gamma, vec![1.0; scale.len()]);
    set(beta, shift);
    set(mean, vec![0.0; scale.len()]);
    set(var, vec![1.0 - eps; scale.len()]);
    scale
}

/// Multiplies each filter, and its bias if it has one, by its scale.
fn scale_filters(
    graph: &Graph,
    id: NodeId,
    scale: &[f64],
    state: &mut BTreeMap<String, NamedTensor>,
) {
    for param in &graph.node(id).params {
        let tensor = state
            .get_mut(&graph.params[param.0].path)
            .expect("the state has every path of the graph");
        let filter = tensor.values.len() / scale.len();
        for (weights, scale) in tensor.values.chunks_exact_mut(filter).zip(scale) {
            for weight in weights {
                *weight = (f64::from(*weight) * scale) as f32;
            }
        }
    }
}
