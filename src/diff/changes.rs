//! What changed in a pair of cells, block by block, and the edit that makes each change alone.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{Block, CellView};
use super::edit::Edit;
use super::matching::{self, Pairs};
use super::names::Names;
use super::operands::Site;
use super::statics::{self, Static};
use super::{Change, ChangeKind};
use crate::syntax::ast::{Number, Output};
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

/// A change without parts of its own.
pub(super) fn found(change: Change, edit: Edit) -> Found {
    Found { change, edit, own: Own::default() }
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

/// The header, for cells whose statements are compared elsewhere or not at all. `old_names` are those of
/// the new file's cells.
pub(super) fn headers(
    index: usize,
    old: &CellView<'_>,
    new: &CellView<'_>,
    old_names: &BTreeMap<String, String>,
) -> Vec<Found> {
    let none = vec![None; new.blocks.len()];
    let mut comparison = CellComparison::new(index, old, new, &none);
    comparison.header();
    comparison.same_as(old_names);
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
        self.statics();
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
        self.outputs();
        let kept: Vec<usize> = self.pairs.iter().flatten().copied().collect();
        if kept.windows(2).any(|pair| pair[0] > pair[1]) {
            let place = new.name().to_string();
            self.push(Change::new(place, ChangeKind::Reordered).after("blocks"), Edit::None);
        }
        self.found
    }

    pub(super) fn push(&mut self, change: Change, edit: Edit) {
        self.found.push(found(change, edit));
    }

    /// Outputs are matched by position: where they arrive is what they are.
    fn outputs(&mut self) {
        let (old, new) = (self.old, self.new);
        let common = old.outs.len().min(new.outs.len());
        let edit = |outs: Vec<Output>| Edit::Outputs { cell: self.index, outs };
        let mut found = Vec::new();
        for at in 0..common {
            let (old_to, new_to) = (old.outs[at].to, new.outs[at].to);
            let is_written_so = old_to.map(|to| to.value) == new_to.map(|to| to.value);
            if is_written_so || old.arrival(at) == new.arrival(at) {
                continue;
            }
            let text = |to: Option<Number>| to.map(|to| format!("to {}", to.value));
            let change = Change::new(self.out_place(at), ChangeKind::Changed);
            let change = Change { before: text(old_to), after: text(new_to), ..change };
            let mut outs = old.outs.clone();
            outs[at].to = new_to;
            found.push((change, edit(outs), Own::default()));
        }
        for at in common..old.outs.len() {
            let change =
                Change::new(format!("{}.{}", new.name(), old.out_name(at)), ChangeKind::Removed);
            let mut outs = old.outs.clone();
            outs.remove(at);
            let own = Own { old: Some((old.name().into(), old.out_name(at))), new: None };
            found.push((change.before(output(&old.outs[at])), edit(outs), own));
        }
        for at in common..new.outs.len() {
            let change = Change::new(self.out_place(at), ChangeKind::Added);
            let mut outs = old.outs.clone();
            let value = self.names.expr(&new.outs[at].value);
            outs.push(Output { value, to: new.outs[at].to });
            let own = Own { old: None, new: Some((new.name().into(), new.out_name(at))) };
            found.push((change.after(output(&new.outs[at])), edit(outs), own));
        }
        for at in 0..common {
            let (old_name, new_name) = (old.out_name(at), new.out_name(at));
            let site = Site {
                block: old.blocks.len() + at,
                old_name: &old_name,
                new_name: &new_name,
                is_out: true,
            };
            self.walk(&site, "", &old.outs[at].value, &new.outs[at].value, &|value| value);
        }
        self.found.extend(found.into_iter().map(|(change, edit, own)| Found { change, edit, own }));
    }

    fn out_place(&self, index: usize) -> String {
        format!("{}.{}", self.new.name(), self.new.out_name(index))
    }

    fn statics(&mut self) {
        let new: Vec<Static> =
            self.new.statics.iter().map(|statement| self.names.statement(statement)).collect();
        let cell = self.index;
        let found = statics::between(self.new.name(), &self.old.statics, &new, &|index, value| {
            Edit::Constant { cell, index, value: value.clone() }
        });
        self.found.extend(found);
    }

    pub(super) fn renamed(&mut self, old: &str, new: &str) {
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

/// An output as it is written.
fn output(output: &Output) -> String {
    let to = output.to.map(|to| format!(" to {}", to.value));
    print::expr(&output.value) + &to.unwrap_or_default()
}
