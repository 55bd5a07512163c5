//! What changed in a pair of cells, block by block, and the edit that makes each change alone.

use std::collections::BTreeSet;

use super::cells::{Block, CellView};
use super::edit::Edit;
use super::matching::{self, Pairs};
use super::names::Names;
use super::operands::Site;
use super::{Change, ChangeKind};
use crate::syntax::print;

/// A change with what is needed to count it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What is reported.
    pub(super) change: Change,
    /// How the old file becomes one with this change alone.
    pub(super) edit: Edit,
    /// Whose counts differ, where the change cannot be made alone.
    pub(super) own: Own,
}

/// Parts of the two networks: a cell and a path in it such as `n3.left`, empty for the whole cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    pub(super) old: Option<(String, String)>,
    pub(super) new: Option<(String, String)>,
}

/// Compares two cells under the matching of their blocks that gives fewer changes.
pub(super) fn between(index: usize, old: &CellView<'_>, new: &CellView<'_>) -> Vec<Found> {
    let [by_name, by_structure] = matching::candidates(old, new);
    let first = CellComparison::new(index, old, new, &by_name).run();
    if by_name == by_structure {
        return first;
    }
    let second = CellComparison::new(index, old, new, &by_structure).run();
    let weight =
        |found: &[Found]| -> f64 { found.iter().map(|found| found.change.kind.weight()).sum() };
    if weight(&second) < weight(&first) { second } else { first }
}

/// The header, for cells whose statements are compared elsewhere or not at all.
pub(super) fn headers(index: usize, old: &CellView<'_>, new: &CellView<'_>) -> Vec<Found> {
    let none = vec![None; new.blocks.len()];
    let mut comparison = CellComparison::new(index, old, new, &none);
    comparison.header();
    comparison.found
}

/// Two cells and what was found to differ.
pub(super) struct CellComparison<'c> {
    /// Index of the old cell.
    pub(super) index: usize,
    pub(super) old: &'c CellView<'c>,
    pub(super) new: &'c CellView<'c>,
    pairs: &'c Pairs,
    /// What the new cell's tensors are called in the old one.
    pub(super) names: Names,
    pub(super) found: Vec<Found>,
}

impl<'c> CellComparison<'c> {
    fn new(
        index: usize,
        old: &'c CellView<'c>,
        new: &'c CellView<'c>,
        pairs: &'c Pairs,
    ) -> CellComparison<'c> {
        let names = matching::names(old, new, pairs);
        CellComparison { index, old, new, pairs, names, found: Vec::new() }
    }

    fn run(mut self) -> Vec<Found> {
        let (old, new) = (self.old, self.new);
        self.header();
        for (block, pair) in new.blocks.iter().zip(self.pairs) {
            match pair {
                Some(index) => self.block(*index, block),
                None => self.added(block),
            }
        }
        let kept: BTreeSet<usize> = self.pairs.iter().flatten().copied().collect();
        for (index, block) in old.blocks.iter().enumerate() {
            if !kept.contains(&index) {
                self.removed(block);
            }
        }
        for (old_out, new_out) in old.outs.iter().zip(&new.outs) {
            let site =
                Site { block: old.blocks.len(), old_name: "out", new_name: "out", is_out: true };
            self.walk(&site, "", old_out, new_out, &|value| value);
        }
        let common = old.outs.len().min(new.outs.len());
        let place = format!("{}.out", new.name());
        for gone in &old.outs[common..] {
            let change = Change::new(place.clone(), ChangeKind::Removed);
            self.push(change.before(print::expr(gone)), Edit::None);
        }
        for added in &new.outs[common..] {
            let change = Change::new(place.clone(), ChangeKind::Added);
            self.push(change.after(print::expr(added)), Edit::None);
        }
        let kept: Vec<usize> = self.pairs.iter().flatten().copied().collect();
        if kept.windows(2).any(|pair| pair[0] > pair[1]) {
            let place = new.name().to_string();
            self.push(Change::new(place, ChangeKind::Reordered).after("blocks"), Edit::None);
        }
        self.found
    }

    pub(super) fn push(&mut self, change: Change, edit: Edit) {
        self.found.push(Found { change, edit, own: Own::default() });
    }

    fn header(&mut self) {
        let (old, new) = (self.old, self.new);
        let place = new.name();
        let stride = |view: &CellView<'_>| view.cell.stride.map_or(1, |stride| stride.value);
        if stride(old) != stride(new) {
            let change = Change::new(format!("{place}.stride"), ChangeKind::Changed)
                .before(stride(old).to_string())
                .after(stride(new).to_string());
            self.push(change, Edit::Stride { cell: self.index, stride: new.cell.stride });
        }
        let (old_inputs, new_inputs) = (&old.cell.inputs, &new.cell.inputs);
        for (old, new) in old_inputs.iter().zip(new_inputs) {
            if old.name != new.name {
                self.renamed(&old.name, &new.name);
            }
        }
        for gone in old_inputs.iter().skip(new_inputs.len()) {
            let change = Change::new(format!("{place}.{}", gone.name), ChangeKind::Removed);
            self.push(change.before("an input"), Edit::None);
        }
        for added in new_inputs.iter().skip(old_inputs.len()) {
            let change = Change::new(format!("{place}.{}", added.name), ChangeKind::Added);
            self.push(change.after("an input"), Edit::None);
        }
    }

    fn renamed(&mut self, old: &str, new: &str) {
        let change = Change::new(self.new.name().to_string(), ChangeKind::Renamed);
        self.push(change.before(old).after(new), Edit::None);
    }

    fn added(&mut self, block: &Block) {
        let name = &block.name.name;
        let change = Change::new(format!("{}.{name}", self.new.name()), ChangeKind::Added)
            .after(written(block));
        let own = Own { old: None, new: Some((self.new.name().into(), name.clone())) };
        self.found.push(Found { change, edit: Edit::OwnOnly, own });
    }

    fn removed(&mut self, block: &Block) {
        let name = &block.name.name;
        let change = Change::new(format!("{}.{name}", self.new.name()), ChangeKind::Removed)
            .before(written(block));
        let own = Own { old: Some((self.old.name().into(), name.clone())), new: None };
        self.found.push(Found { change, edit: Edit::OwnOnly, own });
    }

    fn block(&mut self, index: usize, new: &Block) {
        let old = &self.old.blocks[index];
        let (old_name, new_name) = (&old.name.name, &new.name.name);
        if old_name != new_name {
            self.renamed(old_name, new_name);
        }
        if old.repeat != new.repeat {
            let times = |block: &Block| match block.repeat {
                None => "once".to_string(),
                Some(count) => format!("repeat {count}"),
            };
            let change =
                Change::new(format!("{}.{new_name}", self.new.name()), ChangeKind::Changed)
                    .before(times(old))
                    .after(times(new));
            let edit = match (old.repeat, new.repeat) {
                (Some(_), Some(count)) => Edit::Repeat { cell: self.index, block: index, count },
                (None, _) | (_, None) => Edit::None,
            };
            self.push(change, edit);
        }
        let site = Site { block: index, old_name, new_name, is_out: false };
        self.walk(&site, "", &old.value, &new.value, &|value| value);
    }
}

/// A block's value as it is written.
fn written(block: &Block) -> String {
    let value = print::expr(&block.value);
    match block.repeat {
        None => value,
        Some(count) => format!("repeat {count} {{ {value} }}"),
    }
}
