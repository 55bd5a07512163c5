//! Which numbers of the shared store a parameter of a child stands for.
//!
//! A parameter belongs to where it is (its path: the cell, the block, the side of the combination), to the
//! choices that made it (the operation and the input that were taken there, but not those of other blocks), to
//! its shape, and to the tensor that its operation reads. Children that agree in all of these share it; others
//! do not.
//!
//! # Adapters
//! How many tensors arrive at an operation depends on choices elsewhere: on which blocks of a cell are loose
//! ends, what follows that cell reads a different concatenation. ENAS keeps one weight for each block there and
//! takes those of the blocks at hand, and so does this, wherever a parameter has one row, column or number for
//! each channel of a concatenation: it is cut into one piece for each tensor that was concatenated, and the
//! piece belongs to that tensor. A weight for each number of loose ends instead would have the same column stand
//! for block 2 in one child and for block 4 in the next; a weight for each set of them would be trained in one
//! step out of dozens. What cannot be cut, a convolution in groups, belongs to all tensors that it reads.
//!
//! All of this is told from the network as it is written: simplification merges what two blocks have in common,
//! and would make one's names depend on the other.
//!
//! # Source
//! `_enas_layer`, `_enas_conv` and `final_conv` in `micro_child.py` of melodyguan/enas.

use std::collections::BTreeMap;

use crate::graph::lower::{Lowered, Taken};
use crate::graph::{Graph, Node, NodeId, Op, Param, ParamKind};

/// A parameter as `[outer, channels, inner]` numbers, cut along its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub outer: usize,
    pub inner: usize,
    pub pieces: Vec<Piece>,
}

/// The numbers of a parameter that belong to one tensor, `[outer, channels, inner]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The name of its place, such as `cells.0.n2.left.dw1.weight 5=1 6=0 of cells.0.a [4, 1, 3, 3]`.
    pub key: String,
    pub channels: usize,
    /// Its shape, for its initial values.
    pub shape: Vec<usize>,
}

/// The pieces of a parameter of `node`, a node of the network as it is written.
pub(super) fn cut(written: &Lowered, node: &Node, param: &Param) -> Cut {
    let choices: String = match written.made_by.get(&node.path) {
        None => String::new(),
        Some(choices) => {
            let text = |Taken { decision, option }: &Taken| format!(" {decision}={option}");
            choices.iter().map(text).collect()
        }
    };
    let key =
        |tensors: &str, shape: &[usize]| format!("{}{choices} of {tensors} {shape:?}", param.path);
    let tensors = tensors_read(&written.graph, node);
    if let Some(axis) = channel_axis(&node.op, param.kind)
        && param.shape[axis] == tensors.iter().map(|(_, channels)| channels).sum::<usize>()
    {
        let pieces = tensors.into_iter().map(|(tensor, channels)| {
            let mut shape = param.shape.clone();
            shape[axis] = channels;
            Piece { key: key(&tensor, &shape), channels, shape }
        });
        return Cut {
            outer: param.shape[..axis].iter().product(),
            inner: param.shape[axis + 1..].iter().product(),
            pieces: pieces.collect(),
        };
    }
    let names: Vec<String> = tensors.into_iter().map(|(tensor, _)| tensor).collect();
    let (channels, shape) = (param.len(), param.shape.clone());
    let piece = Piece { key: key(&names.join(" + "), &shape), channels, shape };
    Cut { outer: 1, inner: 1, pieces: vec![piece] }
}

/// The dimension of a parameter that has an entry for each channel of the operand.
fn channel_axis(op: &Op, kind: ParamKind) -> Option<usize> {
    match (op, kind) {
        (Op::Conv { groups: 1, .. } | Op::Dense { .. }, ParamKind::Weight) => Some(1),
        (Op::DepthwiseConv { .. }, ParamKind::Weight) => Some(0),
        (Op::BatchNorm | Op::LayerNorm | Op::InstanceNorm, ParamKind::Gamma | ParamKind::Beta) => {
            Some(0)
        }
        _ => None,
    }
}

/// The tensors that a node's operand consists of, each by where it was computed, with its channels.
fn tensors_read(graph: &Graph, node: &Node) -> Vec<(String, usize)> {
    let scope = scope(&node.path);
    let mut read = node.inputs[0];
    // What the same operation did to it before is no tensor of its own.
    let is_of_operation = |id: NodeId| self::scope(&graph.node(id).path) == scope;
    while is_of_operation(read) && keeps_channels(&graph.node(read).op) {
        read = graph.node(read).inputs[0];
    }
    let mut tensors = Vec::new();
    match is_of_operation(read) {
        true => tensors.push((scope.to_owned(), graph.ty(read).channels)),
        false => flatten(graph, read, &mut tensors),
    }
    // The same tensor a second time has weights of its own.
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (tensor, _) in &mut tensors {
        let times = times.entry(tensor.clone()).or_insert(0);
        *times += 1;
        if *times > 1 {
            *tensor += &format!("#{times}");
        }
    }
    tensors
}

/// The operands of a concatenation, those of concatenations in it too; any other tensor itself.
fn flatten(graph: &Graph, id: NodeId, tensors: &mut Vec<(String, usize)>) {
    let node = graph.node(id);
    match node.op {
        Op::Concat => node.inputs.iter().for_each(|&input| flatten(graph, input, tensors)),
        _ => tensors.push((scope(&node.path).to_owned(), node.ty.channels)),
    }
}

/// Where a node stands: its path without its own name.
fn scope(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(scope, _)| scope)
}

/// True if channel `i` of what an operation gives comes of channel `i` of what it reads.
fn keeps_channels(op: &Op) -> bool {
    match op {
        Op::BatchNorm
        | Op::LayerNorm
        | Op::InstanceNorm
        | Op::Relu
        | Op::Relu6
        | Op::Sigmoid
        | Op::MaxPool { .. }
        | Op::AvgPool { .. }
        | Op::GlobalAvgPool
        | Op::Dropout
        | Op::DropPath
        | Op::Shift => true,
        Op::Input
        | Op::Conv { .. }
        | Op::DepthwiseConv { .. }
        | Op::Add
        | Op::Mul
        | Op::Concat
        | Op::Dense { .. }
        | Op::Shuffle { .. }
        | Op::Slice { .. }
        | Op::Mix
        | Op::Zero { .. } => false,
    }
}
