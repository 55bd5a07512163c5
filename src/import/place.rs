//! Where a parameter stands in a network of two-input cells: what its path says.

use std::collections::BTreeSet;

use crate::graph::Graph;

/// The cells of a network, and which parameters there are.
pub(super) struct Places<'g> {
    paths: BTreeSet<&'g str>,
    /// The name of each cell of the stack.
    cells: Vec<&'g str>,
}

/// Where a parameter stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'p> {
    pub(super) part: Part<'p>,
    pub(super) layer: Layer,
    /// `weight`, `bias`, `running_mean` or `running_var`.
    pub(super) leaf: &'p str,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'p> {
    Stem,
    /// The block `a` of a cell: the input from the last cell.
    Newer {
        cell: usize,
    },
    /// The block `b`: the input from the cell before that.
    Older {
        cell: usize,
        is_halved: bool,
    },
    /// One side of a numbered block such as `n1`; separable if it has depthwise filters.
    Branch {
        cell: usize,
        block: usize,
        side: &'p str,
        is_separable: bool,
    },
    Head,
}

/// A layer of a part, counted from 1 among its kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Conv(usize),
    Depthwise(usize),
    Norm(usize),
    Dense,
}

impl<'g> Places<'g> {
    pub(super) fn of(graph: &'g Graph) -> Self {
        Places {
            paths: graph.params.iter().map(|param| param.path.as_str()).collect(),
            cells: graph.sections.iter().filter_map(|section| section.cell.as_deref()).collect(),
        }
    }

    /// True for the cells behind the stem that are called `reduction`.
    pub(super) fn is_reduction(&self, cell: usize) -> bool {
        self.cells[cell] == "reduction"
    }

    /// How many cells from `from` on come before this one and are reductions, and how many are not.
    pub(super) fn before(&self, from: usize, cell: usize) -> (usize, usize) {
        let reductions = (from..cell).filter(|&cell| self.is_reduction(cell)).count();
        (reductions, cell.saturating_sub(from) - reductions)
    }

    /// Takes a path such as `cells.3.n2.left.dw1.weight` apart; `None` for one of another form.
    pub(super) fn parse<'p>(&self, path: &'p str) -> Option<Place<'p>> {
        let words: Vec<&str> = path.split('.').collect();
        let (part, [layer, leaf]) = match words[..] {
            ["stem", layer, leaf] => (Part::Stem, [layer, leaf]),
            ["head", layer, leaf] => (Part::Head, [layer, leaf]),
            ["cells", cell, "a", layer, leaf] => {
                (Part::Newer { cell: self.cell(cell)? }, [layer, leaf])
            }
            ["cells", cell, "b", layer, leaf] => {
                let is_halved =
                    self.paths.contains(format!("cells.{cell}.b.conv2.weight").as_str());
                (Part::Older { cell: self.cell(cell)?, is_halved }, [layer, leaf])
            }
            ["cells", cell, block, side @ ("left" | "right"), layer, leaf] => {
                let depthwise = format!("cells.{cell}.{block}.{side}.dw1.weight");
                let is_separable = self.paths.contains(depthwise.as_str());
                let block = block.strip_prefix(['n', 'r'])?.parse().ok()?;
                (Part::Branch { cell: self.cell(cell)?, block, side, is_separable }, [layer, leaf])
            }
            _ => return None,
        };
        let number = |kind: &str| layer.strip_prefix(kind)?.parse().ok();
        let layer = number("conv")
            .map(Layer::Conv)
            .or_else(|| number("dw").map(Layer::Depthwise))
            .or_else(|| number("bn").map(Layer::Norm))
            .or_else(|| (number("dense") == Some(1)).then_some(Layer::Dense))?;
        Some(Place { part, layer, leaf })
    }

    fn cell(&self, number: &str) -> Option<usize> {
        number.parse().ok().filter(|&cell: &usize| cell < self.cells.len())
    }
}
