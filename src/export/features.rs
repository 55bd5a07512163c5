//! A network's body as the backbone of a detector: the last map at each stride, for images of any size.
//!
//! Table 4 of the NASNet paper puts the cells under Faster R-CNN in this way. The body is lowered again at
//! the detector's image size, without heads, and takes its parameters over from the classifier by path.

use std::collections::BTreeMap;

use crate::compile::{self, Fault, Request};
use crate::graph::passes::{simplified, simplify_keeping};
use crate::graph::{Graph, NodeId, Op};
use crate::ir::Module;
use crate::network::{NamedTensor, Network, StateFault};

/// The strides that detectors read.
pub const STRIDES: [usize; 4] = [4, 8, 16, 32];

/// A body with the maps that are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Stem and cells; the output is the last map of all.
    pub graph: Graph,
    /// The last map between cells at each stride that was asked for and exists, by stride.
    pub maps: BTreeMap<usize, NodeId>,
}

impl Features {
    /// The body of the requested network, whose image gives the size, with its maps at `strides`.
    ///
    /// A map has stride s if its pixels are s pixels of the image apart in both directions.
    ///
    /// # Errors
    /// As [`compile::network`].
    pub fn of(module: &Module, request: &Request, strides: &[usize]) -> Result<Features, Fault> {
        let body = compile::body(module, request)?;
        let of_nodes = node_strides(&body.graph);
        let mut last = BTreeMap::new();
        for map in body.maps {
            if let Some([vertical, horizontal]) = of_nodes[map.0]
                && vertical == horizontal
                && strides.contains(&vertical)
            {
                last.insert(vertical, map);
            }
        }
        let mut kept: Vec<NodeId> = last.values().copied().collect();
        let graph = simplify_keeping(body.graph, &mut kept);
        Ok(Features { graph, maps: last.into_keys().zip(kept).collect() })
    }

    /// The part of the body that the map at a stride depends on, as a graph whose output is that map.
    /// `None` if there is no map at this stride.
    pub fn only(&self, stride: usize) -> Option<Graph> {
        let output = *self.maps.get(&stride)?;
        Some(simplified(Graph { output, ..self.graph.clone() }))
    }

    /// The body with the parameters and statistics of a network of the same cells at the same N and width;
    /// what the body lacks, such as the head's, is left behind.
    ///
    /// # Errors
    /// As [`adopt`].
    pub fn network(&self, state: &BTreeMap<String, NamedTensor>) -> Result<Network, StateFault> {
        adopt(&self.graph, state)
    }
}

/// A network of this graph with those parameters and statistics of `state` that it has.
///
/// # Errors
/// [`StateFault::Missing`] or [`StateFault::Shape`] if `state` lacks some: the image is so small that cells
/// choose other operations for it, or the cells are others.
pub fn adopt(graph: &Graph, state: &BTreeMap<String, NamedTensor>) -> Result<Network, StateFault> {
    let mut network = Network::new(graph, 0);
    let known = graph.params.iter().filter_map(|param| state.get_key_value(&param.path));
    let known = known.map(|(path, tensor)| (path.clone(), tensor.clone())).collect();
    network.load_state_dict(&known)?;
    Ok(network)
}

/// How many pixels of the image a step on each node's map is, vertically and horizontally. `None` where no
/// map is left, behind a mean over all of it.
fn node_strides(graph: &Graph) -> Vec<Option<[usize; 2]>> {
    let mut strides: Vec<Option<[usize; 2]>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let operand = node.inputs.iter().find_map(|input| strides[input.0]);
        let times = |step: [usize; 2]| {
            operand.map(|[y, x]| [y.saturating_mul(step[0]), x.saturating_mul(step[1])])
        };
        strides.push(match &node.op {
            Op::Input => Some([1, 1]),
            Op::Conv { window, .. }
            | Op::DepthwiseConv { window }
            | Op::MaxPool { window }
            | Op::AvgPool { window } => times(window.stride),
            Op::Zero { stride } => times(*stride),
            Op::GlobalAvgPool | Op::Dense { .. } => None,
            Op::BatchNorm
            | Op::LayerNorm
            | Op::InstanceNorm
            | Op::Relu
            | Op::Relu6
            | Op::Sigmoid
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Dropout
            | Op::DropPath
            | Op::Shift
            | Op::Shuffle { .. }
            | Op::Slice { .. }
            | Op::Mix => operand,
        });
    }
    strides
}
