//! Two values compared down to the operand.
//!
//! A change is reported at the smallest place that has a name: the `left` or `right` of a combination,
//! the combination itself, an element of a concatenation, else the whole value.

use super::changes::{CellComparison, Found, Own};
use super::edit::Edit;
use super::joint::Joint;
use super::term::{Parts, Term};
use super::{Change, ChangeKind};
use crate::check::MAX_BLOCKS;
use crate::syntax::ast::{Expr, ExprKind};
use crate::syntax::print;

/// One value at a place: a block, or the output.
pub(super) struct Site<'s> {
    /// Index of the old block; those of the outputs follow.
    pub(super) block: usize,
    /// Names of the block before and after.
    pub(super) old_name: &'s str,
    pub(super) new_name: &'s str,
    /// True for an output.
    pub(super) is_out: bool,
}

impl CellComparison<'_> {
    /// Compares two values at `path` below a block; `rebuild` puts a new one into the old block.
    pub(super) fn walk(
        &mut self,
        site: &Site<'_>,
        path: &str,
        old: &Expr,
        new: &Expr,
        rebuild: &dyn Fn(Expr) -> Expr,
    ) {
        let (old_term, new_term) = self.terms(old, new, site.is_out);
        if old_term == new_term {
            return;
        }
        let same = |name: &str| name.to_string();
        if old_term.canonical(&same) == new_term.canonical(&same) {
            self.report(site, path, ChangeKind::Reordered, (Some(old), Some(new)), Edit::None);
            return;
        }
        match (Parts::of(old, site.is_out), Parts::of(new, site.is_out)) {
            (
                Parts::Pair { joint, left, right },
                Parts::Pair { joint: new_joint, left: new_left, right: new_right },
            ) => {
                let pair = |joint: &Joint, left: Expr, right: Expr| {
                    rebuild(Expr { kind: joint.of(left, right), span: old.span })
                };
                let in_old_names = new_joint.renamed(&self.names);
                if joint.text() != in_old_names.text() {
                    let value = pair(&in_old_names, left.clone(), right.clone());
                    let change = Change::new(self.place(site, path), ChangeKind::Changed)
                        .before(joint.text())
                        .after(new_joint.text());
                    self.push_at(site, path, change, self.value(site, value));
                }
                let swapped = [(left, new_right), (right, new_left)];
                let straight = [(left, new_left), (right, new_right)];
                let may_swap = joint.is_commutative() && new_joint.is_commutative();
                if joint.is_concat() && new_joint.is_concat() && self.differing(site, swapped) == 0
                {
                    self.permuted(site, path);
                    return;
                }
                let (new_left, new_right) =
                    if may_swap && self.differing(site, swapped) < self.differing(site, straight) {
                        (new_right, new_left)
                    } else {
                        (new_left, new_right)
                    };
                self.walk(site, &format!("{path}.left"), left, new_left, &|value| {
                    pair(&joint, value, right.clone())
                });
                self.walk(site, &format!("{path}.right"), right, new_right, &|value| {
                    pair(&joint, left.clone(), value)
                });
            }
            (Parts::List { op, args }, Parts::List { args: new_args, .. })
                if is_list(args) && is_list(new_args) =>
            {
                self.list(site, path, args, new_args, &|args| {
                    let kind = ExprKind::Call { op: op.clone(), args };
                    rebuild(Expr { kind, span: old.span })
                });
            }
            (Parts::Pair { .. } | Parts::List { .. } | Parts::Whole, _) => {
                let edit = self.value(site, rebuild(self.names.expr(new)));
                self.report(site, path, ChangeKind::Changed, (Some(old), Some(new)), edit);
            }
        }
    }

    /// Compares what is concatenated: equal operands first, then what is left in order.
    fn list(
        &mut self,
        site: &Site<'_>,
        path: &str,
        old: &[Expr],
        new: &[Expr],
        rebuild: &dyn Fn(Vec<Expr>) -> Expr,
    ) {
        let mut kept: Vec<Option<usize>> = vec![None; new.len()];
        for (j, new) in new.iter().enumerate() {
            kept[j] = (0..old.len())
                .find(|&i| !kept.contains(&Some(i)) && self.differing(site, [(&old[i], new)]) == 0);
        }
        let mut gone: Vec<usize> = (0..old.len()).filter(|i| !kept.contains(&Some(*i))).collect();
        let fresh: Vec<usize> = (0..new.len()).filter(|&j| kept[j].is_none()).collect();
        let replaced = gone.len().min(fresh.len());
        let with = |index: usize, value: Option<Expr>| {
            let mut args = old.to_vec();
            match value {
                Some(value) if index < args.len() => args[index] = value,
                Some(value) => args.push(value),
                None => drop(args.remove(index)),
            }
            rebuild(args)
        };
        let rest = gone.split_off(replaced);
        for (&i, &j) in gone.iter().zip(&fresh) {
            self.walk(site, path, &old[i], &new[j], &|value| with(i, Some(value)));
        }
        for &i in &rest {
            let edit = self.value(site, with(i, None));
            self.report(site, path, ChangeKind::OperandRemoved, (Some(&old[i]), None), edit);
        }
        for &j in &fresh[replaced..] {
            let edit = self.value(site, with(old.len(), Some(self.names.expr(&new[j]))));
            self.report(site, path, ChangeKind::OperandAdded, (None, Some(&new[j])), edit);
        }
        let order: Vec<usize> = kept.iter().flatten().copied().collect();
        if order.windows(2).any(|pair| pair[0] > pair[1]) {
            self.permuted(site, path);
        }
    }

    fn permuted(&mut self, site: &Site<'_>, path: &str) {
        let change = Change::new(self.place(site, path), ChangeKind::Permuted);
        self.push(change.after("concatenated"), Edit::None);
    }

    /// How many of these pairs differ.
    fn differing<const N: usize>(&self, site: &Site<'_>, pairs: [(&Expr, &Expr); N]) -> usize {
        let differ = |&(old, new): &(&Expr, &Expr)| {
            let (old, new) = self.terms(old, new, site.is_out);
            let same = |name: &str| name.to_string();
            old.canonical(&same) != new.canonical(&same)
        };
        pairs.iter().filter(|pair| differ(pair)).count()
    }

    fn terms(&self, old: &Expr, new: &Expr, is_out: bool) -> (Term, Term) {
        (Term::of(old, is_out), Term::of(&self.names.expr(new), is_out))
    }

    fn place(&self, site: &Site<'_>, path: &str) -> String {
        format!("{}.{}{path}", self.new.name(), site.new_name)
    }

    fn value(&self, site: &Site<'_>, value: Expr) -> Edit {
        Edit::Value { cell: self.index, block: site.block, value: Box::new(value) }
    }

    fn report(
        &mut self,
        site: &Site<'_>,
        path: &str,
        kind: ChangeKind,
        (old, new): (Option<&Expr>, Option<&Expr>),
        edit: Edit,
    ) {
        let mut change = Change::new(self.place(site, path), kind);
        change.before = old.map(print::expr);
        change.after = new.map(print::expr);
        self.push_at(site, path, change, edit);
    }

    fn push_at(&mut self, site: &Site<'_>, path: &str, change: Change, edit: Edit) {
        let own = Own {
            old: Some((self.old.name().into(), format!("{}{path}", site.old_name))),
            new: Some((self.new.name().into(), format!("{}{path}", site.new_name))),
        };
        self.found.push(Found { change, edit, own });
    }
}

/// True for what is compared element by element: not `concat(unused)`, which stands for a list and is
/// none, and not what is longer than any that means something.
fn is_list(args: &[Expr]) -> bool {
    match args {
        [Expr { kind: ExprKind::Name(name), .. }] => name != "unused",
        args => args.len() <= 2 * MAX_BLOCKS,
    }
}
