//! Where parameters and statistics live: a map from paths to ranges of two flat stores.
//!
//! Trained parameters share one store, which an optimizer sees as one tensor; the running statistics of
//! batch normalization share another, which no optimizer sees.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::graph::{Graph, Param, ParamKind};

/// A range of a flat store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// First number.
    pub offset: usize,
    /// How many.
    pub len: usize,
}

impl Slot {
    /// As a range for indexing.
    pub fn range(self) -> Range<usize> {
        self.offset..self.offset + self.len
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{}]", self.offset, self.offset + self.len)
    }
}

/// One parameter or statistic of a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutEntry {
    /// Its path, such as `cells.3.n2.left.dw1.weight`.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is for; tells the store it lives in.
    pub kind: ParamKind,
    /// Where in the store of its kind.
    pub slot: Slot,
}

/// Places of all parameters and statistics of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<LayoutEntry>,
    index: BTreeMap<String, usize>,
    params_len: usize,
    statistics_len: usize,
}

impl Layout {
    /// The parameters of a graph in their order there, without gaps.
    pub fn of(graph: &Graph) -> Layout {
        let mut end = 0;
        Layout::in_store(graph, |param| {
            let offset = end;
            end += param.len();
            offset
        })
    }

    /// The parameters of a graph in a store that holds more than them: each trained one from where
    /// `offset_of` says, the statistics in their order without gaps. The store is counted as far as the last
    /// parameter reaches.
    pub fn in_store(graph: &Graph, mut offset_of: impl FnMut(&Param) -> usize) -> Layout {
        let mut layout = Layout::default();
        for param in &graph.params {
            let Param { path, shape, kind } = param;
            let len = param.len();
            let slot = if kind.is_trainable() {
                let slot = Slot { offset: offset_of(param), len };
                layout.params_len = layout.params_len.max(slot.range().end);
                slot
            } else {
                layout.statistics_len += len;
                Slot { offset: layout.statistics_len - len, len }
            };
            layout.index.insert(path.clone(), layout.entries.len());
            layout.entries.push(LayoutEntry {
                path: path.clone(),
                shape: shape.clone(),
                kind: *kind,
                slot,
            });
        }
        layout
    }

    /// Everything, in the graph's order.
    pub fn entries(&self) -> &[LayoutEntry] {
        &self.entries
    }

    /// The entry of a path.
    pub fn get(&self, path: &str) -> Option<&LayoutEntry> {
        self.index.get(path).map(|&index| &self.entries[index])
    }

    /// Numbers in the store of trained parameters.
    pub fn params_len(&self) -> usize {
        self.params_len
    }

    /// Numbers in the store of running statistics.
    pub fn statistics_len(&self) -> usize {
        self.statistics_len
    }
}
