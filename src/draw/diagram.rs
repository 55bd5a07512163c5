//! What there is to draw, without places: boxes in groups.
//!
//! A group is what one block of a cell is made of: a tree of boxes whose root gives the block's result.
//! Groups read the results of groups before them.

use super::Kind;

/// A cell or a net as boxes.
pub(super) struct Diagram {
    /// Its name.
    pub title: String,
    /// All boxes.
    pub nodes: Vec<Node>,
    /// The groups, each after those it reads.
    pub groups: Vec<Group>,
}

/// A box.
pub(super) struct Node {
    /// What it stands for.
    pub kind: Kind,
    /// What is written in it.
    pub lines: Vec<String>,
    /// The block it is the result of.
    pub caption: Option<String>,
    /// What it reads, from left to right.
    pub args: Vec<Arg>,
}

/// What a box reads.
#[derive(Clone, Copy)]
pub(super) enum Arg {
    /// A box of the same group, by index.
    Node(usize),
    /// The result of another group.
    Group {
        /// Index of that group.
        group: usize,
        /// True if it depends on a hole whether it is read.
        is_possible: bool,
    },
}

/// The boxes of a block.
pub(super) struct Group {
    /// The box that gives the result.
    pub root: usize,
    /// True if nothing may stand above it.
    pub is_last: bool,
    /// Groups that its open holes choose between; no edges are drawn for them.
    pub candidates: Vec<usize>,
}

impl Diagram {
    /// Adds a box; gives its index.
    pub(super) fn node(&mut self, kind: Kind, lines: Vec<String>, args: Vec<Arg>) -> usize {
        self.nodes.push(Node { kind, lines, caption: None, args });
        self.nodes.len() - 1
    }

    /// The groups that the boxes of a group read, in the order of the boxes.
    pub(super) fn reads(&self, group: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = vec![self.groups[group].root];
        while let Some(node) = open.pop() {
            for arg in &self.nodes[node].args {
                match arg {
                    Arg::Node(inner) => open.push(*inner),
                    Arg::Group { group, .. } => found.push(*group),
                }
            }
        }
        found
    }
}
