//! What changed in the header of a cell, and in what a cell gives the one whose text it repeats.

use std::collections::BTreeMap;

use super::cells::CellView;
use super::changes::{CellComparison, found};
use super::edit::Edit;
use super::{Change, ChangeKind, statics};
use crate::syntax::ast::Param;
use crate::syntax::print;

impl CellComparison<'_> {
    /// Attributes, stride and inputs.
    pub(super) fn header(&mut self) {
        let (old, new) = (self.old, self.new);
        let place = new.name();
        let stride = |view: &CellView<'_>| view.cell.stride.map_or(1, |stride| stride.value);
        if stride(old) != stride(new) {
            let change = Change::new(format!("{place}.stride"), ChangeKind::Changed)
                .before(stride(old).to_string())
                .after(stride(new).to_string());
            let (params, stride) = (old.cell.params.clone(), new.cell.stride);
            self.push(change, Edit::Header { cell: self.index, params, stride });
        }
        self.params();
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

    /// Attributes are matched by name.
    fn params(&mut self) {
        let (old, new) = (self.old.cell, self.new.cell);
        let text = |param: &Param| {
            param.default.as_ref().map_or_else(|| "no default".to_string(), statics::value)
        };
        let find =
            |params: &[Param], name: &str| params.iter().position(|param| param.name.name == name);
        let place = |param: &Param| format!("{}.attribute {}", new.name.name, param.name.name);
        let edit = |params| Edit::Header { cell: self.index, params, stride: old.stride };
        let mut found_all = Vec::new();
        for (at, param) in old.params.iter().enumerate() {
            let mut params = old.params.clone();
            match find(&new.params, &param.name.name).map(|at| &new.params[at]) {
                Some(other) if text(param) == text(other) => {}
                Some(other) => {
                    params[at].default.clone_from(&other.default);
                    let change = Change::new(place(param), ChangeKind::Changed);
                    let change = change.before(text(param)).after(text(other));
                    found_all.push(found(change, edit(params)));
                }
                None => {
                    params.remove(at);
                    let change = Change::new(place(param), ChangeKind::Removed);
                    found_all.push(found(change.before(text(param)), edit(params)));
                }
            }
        }
        for param in &new.params {
            if find(&old.params, &param.name.name).is_none() {
                let params = old.params.iter().chain([param]).cloned().collect();
                let change = Change::new(place(param), ChangeKind::Added);
                found_all.push(found(change.after(text(param)), edit(params)));
            }
        }
        let order: Vec<usize> =
            new.params.iter().filter_map(|param| find(&old.params, &param.name.name)).collect();
        if order.windows(2).any(|pair| pair[0] > pair[1]) {
            let gone = (0..old.params.len()).filter(|at| !order.contains(at));
            let params = order.iter().copied().chain(gone).map(|at| old.params[at].clone());
            let change = Change::new(new.name.name.clone(), ChangeKind::Permuted);
            found_all.push(found(change.after("attributes"), edit(params.collect())));
        }
        self.found.extend(found_all);
    }

    /// Two cells that repeat the text of one other cell may give it other attributes.
    pub(super) fn same_as(&mut self, old_names: &BTreeMap<String, String>) {
        let (Some(old), Some(new)) = (self.old.same_as(), self.new.same_as()) else { return };
        let mut other = new.clone();
        if let Some(name) = old_names.get(&new.name.name) {
            other.name.name.clone_from(name);
        }
        let (before, after) = (print::cell_use(old), print::cell_use(&other));
        if before != after {
            let change = Change::new(self.new.name(), ChangeKind::Changed);
            let change = change.before(before).after(print::cell_use(new));
            self.push(change, Edit::SameAs { cell: self.index, other });
        }
    }
}
