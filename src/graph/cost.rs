//! Counts: parameters, statistics, multiply-adds, activation sizes; in total and for each section.
//!
//! Multiply-adds are those of convolutions and dense layers for one image, the convention of the
//! published tables; batch normalisation, pools and additions are not counted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Graph, Node, Op};

/// Counts of a network or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Trainable parameters.
    pub params: u64,
    /// Running means and variances of batch normalisation.
    pub statistics: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// Bytes of all results for one image, in 32-bit floats.
    pub activation_bytes: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.params += other.params;
        self.statistics += other.statistics;
        self.macs += other.macs;
        self.activation_bytes += other.activation_bytes;
    }
}

/// Counts of one section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionCost {
    /// Path of the section: `stem`, `cells.0`, `head`, `aux`.
    pub section: String,
    /// For a cell, its name in the file.
    pub cell: Option<String>,
    /// Its counts.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Counts of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Of the whole.
    pub total: Counts,
    /// Of its sections in order, the image aside.
    pub sections: Vec<SectionCost>,
}

impl Cost {
    /// Counts a graph.
    pub fn of(graph: &Graph) -> Cost {
        let mut sections: Vec<SectionCost> = graph
            .sections
            .iter()
            .map(|section| SectionCost {
                section: section.path.clone(),
                cell: section.cell.clone(),
                counts: Counts::default(),
            })
            .collect();
        let mut total = Counts::default();
        for node in &graph.nodes {
            let counts = of_node(graph, node);
            sections[node.section.0].counts.add(counts);
            total.add(counts);
        }
        // The first section holds the image alone.
        sections.remove(0);
        Cost { total, sections }
    }
}

/// Counts of every block of every cell, summed over the cells of one name: `(cell, block)` to counts.
/// The output counts as block `out`.
pub fn by_block(graph: &Graph) -> BTreeMap<(String, String), Counts> {
    let mut blocks: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for node in &graph.nodes {
        let section = &graph.sections[node.section.0];
        let Some(cell) = &section.cell else { continue };
        // Paths are `cells.3.n2.left.dw1`; the block follows the section.
        let rest = node.path.strip_prefix(&section.path).unwrap_or(&node.path);
        let block = rest.trim_start_matches('.').split('.').next().unwrap_or_default();
        blocks.entry((cell.clone(), block.to_string())).or_default().add(of_node(graph, node));
    }
    blocks
}

/// Counts of a part of a cell, summed over the cells of its name: a block such as `n2`, an operand such
/// as `n2.left`, or the whole cell if `part` is empty.
pub fn of_part(graph: &Graph, cell: &str, part: &str) -> Counts {
    let mut counts = Counts::default();
    for node in &graph.nodes {
        let section = &graph.sections[node.section.0];
        let path = node.path.strip_prefix(&section.path).and_then(|path| path.strip_prefix('.'));
        let is_inside = path
            .and_then(|path| path.strip_prefix(part))
            .is_some_and(|rest| part.is_empty() || rest.is_empty() || rest.starts_with('.'));
        if is_inside && section.cell.as_deref() == Some(cell) {
            counts.add(of_node(graph, node));
        }
    }
    counts
}

fn of_node(graph: &Graph, node: &Node) -> Counts {
    let mut counts = Counts {
        macs: macs(graph, node),
        activation_bytes: 4 * node.ty.elements() as u64,
        ..Counts::default()
    };
    for id in &node.params {
        let param = &graph.params[id.0];
        if param.kind.is_trainable() {
            counts.params += param.len() as u64;
        } else {
            counts.statistics += param.len() as u64;
        }
    }
    counts
}

fn macs(graph: &Graph, node: &Node) -> u64 {
    match &node.op {
        Op::Conv { window, out_channels, groups } => {
            let channels = graph.ty(node.inputs[0]).channels / groups;
            (window.output_area() * window.taps()) as u64 * channels as u64 * *out_channels as u64
        }
        Op::DepthwiseConv { window } => {
            (window.output_area() * window.taps()) as u64 * node.ty.channels as u64
        }
        Op::Dense { out_features, .. } => {
            graph.ty(node.inputs[0]).channels as u64 * *out_features as u64
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
        | Op::Concat
        | Op::MaxPool { .. }
        | Op::AvgPool { .. }
        | Op::GlobalAvgPool
        | Op::Dropout
        | Op::DropPath
        | Op::Shift
        | Op::Shuffle { .. }
        | Op::Slice { .. }
        | Op::Mix
        | Op::Zero { .. } => 0,
    }
}

/// A number with `separator` between groups of three digits, as `3,346,538`.
pub fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}
