//! Parts of a network that training leaves as they are.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::Network;
use crate::error::Error;
use crate::graph::{NodeId, Op};

/// Which parts are frozen: sections of the network, or blocks of its cells.
///
/// # Examples
/// ```
/// use cellc::network::Freeze;
///
/// // The stem and the first four cells, said twice.
/// let freeze: Freeze = "stem,cell_0..cell_3".parse()?;
/// assert_eq!(freeze, "4".parse()?);
/// assert_eq!(freeze.to_string(), "stem,cells.0,cells.1,cells.2,cells.3");
/// // A block of a cell.
/// assert_eq!("cells.7.n1".parse::<Freeze>()?.to_string(), "cells.7.n1");
/// # Ok::<(), cellc::error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze {
    /// The beginnings of their parameters' paths, up to a dot.
    prefixes: Vec<String>,
}

/// The most cells that a range or a number names.
const MAX_CELLS: usize = 10_000;

impl FromStr for Freeze {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Config {
            setting: "freeze",
            value: text.into(),
            reason: reason.into(),
        };
        let form = "expected parts such as `stem,cell_0..cell_5`, or a number of cells";
        let mut prefixes = Vec::new();
        for item in text.split(',').map(str::trim) {
            if let Ok(cells) = item.parse::<usize>() {
                if cells > MAX_CELLS {
                    return Err(refuse("there are not so many cells"));
                }
                prefixes.push("stem".into());
                prefixes.extend((0..cells).map(|cell| format!("cells.{cell}")));
            } else if let Some((first, last)) = item.split_once("..") {
                let (first, last) = (cell_number(first), cell_number(last));
                let (Some(first), Some(last)) = (first, last) else { return Err(refuse(form)) };
                if first > last || last > MAX_CELLS {
                    return Err(refuse("a range goes from a cell to one behind it"));
                }
                prefixes.extend((first..=last).map(|cell| format!("cells.{cell}")));
            } else if let Some(cell) = cell_number(item) {
                prefixes.push(format!("cells.{cell}"));
            } else if item.is_empty() {
                return Err(refuse(form));
            } else {
                prefixes.push(item.into());
            }
        }
        Ok(Freeze { prefixes })
    }
}

/// The number in `cell_3` or `cells.3`.
fn cell_number(text: &str) -> Option<usize> {
    let text = text.trim();
    text.strip_prefix("cell_").or_else(|| text.strip_prefix("cells."))?.parse().ok()
}

/// The number of the cell that a parameter is of, if it is of one.
fn cell_of(path: &str) -> Option<usize> {
    path.strip_prefix("cells.")?.split('.').next()?.parse().ok()
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefixes.join(","))
    }
}

/// What is frozen of a network.
#[derive(Clone, Debug, Default)]
pub(super) struct Frozen {
    /// In the flat store of parameters, in order.
    pub params: Vec<Range<usize>>,
    /// Batch normalizations, which compute with their running statistics.
    pub norms: BTreeSet<NodeId>,
}

impl Network {
    /// Freezes parts, and no others: training leaves their parameters as they are. Their batch
    /// normalizations compute as in inference, with the running statistics, which stay as they are too.
    ///
    /// The forward pass and the gradient of the image respect it by themselves. Whoever updates parameters
    /// must leave [`Network::frozen`] out; [`train::fit`](crate::train::fit) does.
    ///
    /// # Errors
    /// [`Error::Config`] names the first part that has no parameter; the network is then unchanged.
    pub fn freeze(&mut self, freeze: &Freeze) -> Result<(), Error> {
        let is_in = |path: &str, prefix: &str| {
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let entries = self.layout.entries();
        for prefix in &freeze.prefixes {
            if !entries.iter().any(|entry| is_in(&entry.path, prefix)) {
                return Err(Error::Config {
                    setting: "freeze",
                    value: prefix.clone(),
                    reason: format!(
                        "no parameter of the network is called so; it has {} cells, numbered from 0",
                        entries
                            .iter()
                            .filter_map(|entry| cell_of(&entry.path))
                            .max()
                            .map_or(0, |last| last + 1)
                    ),
                });
            }
        }
        let is_frozen = |path: &str| freeze.prefixes.iter().any(|prefix| is_in(path, prefix));
        let params = entries
            .iter()
            .filter(|entry| entry.kind.is_trainable() && is_frozen(&entry.path))
            .map(|entry| entry.slot.range())
            .collect();
        let nodes = self.graph.nodes.iter().enumerate();
        let norms = nodes
            .filter(|(_, node)| node.op == Op::BatchNorm && is_frozen(&node.path))
            .map(|(index, _)| NodeId(index))
            .collect();
        self.frozen = std::sync::Arc::new(Frozen { params, norms });
        // Made for other normalizations.
        self.train = None;
        Ok(())
    }

    /// The ranges of the flat store of parameters that are frozen, in order.
    pub fn frozen(&self) -> &[Range<usize>] {
        &self.frozen.params
    }
}
