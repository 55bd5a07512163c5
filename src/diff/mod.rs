//! What changed between two files, in blocks and operands, and what each change costs.
//!
//! [`diff`] is total: it compares what two texts mean as far as they can be understood. Two files that
//! compile are compared as trees, with counts; files that only parse, as trees; others line by line.
//!
//! # How
//!
//! 1. `cells` reads the cells of both files as lists of blocks, shorthands written out.
//! 2. `matching` says which block is which, by name and by structure.
//! 3. `changes` compares matched blocks, `operands` their values down to the operand, `statics` named
//!    values and conditions, `header` the rest of a cell; `definitions`, `operations` and `skeletons`
//!    compare everything that is no cell. `term` knows which expressions differ in layout alone and
//!    `joint` how two tensors become one, `names` translates new names to old ones, `align` aligns lists.
//! 4. `cost` makes each change alone in the old file (`edit`), compiles it at one `scale`, and counts.
//! 5. `text` writes the result for people.
//!
//! ```
//! use cellc::diff::{Options, Verdict, diff};
//! use cellc::source::SourceFile;
//!
//! let old = SourceFile::new("old.cell", "cell normal(h) { x = sep<3>(h) out x + h }");
//! let new = SourceFile::new("new.cell", "cell normal(h) { y = sep<5>(h) out h + y }");
//! let found = diff(&old, &new, &Options::default());
//! let texts: Vec<String> = found.changes.iter().map(ToString::to_string).collect();
//! assert_eq!(texts[0], "normal: x -> y (renamed)");
//! assert_eq!(texts[1], "normal.y: sep<3>(h) -> sep<5>(h)");
//! assert_eq!(found.verdict, Verdict::Different);
//! ```

mod align;
mod cells;
mod changes;
mod cost;
mod definitions;
mod edit;
mod header;
mod joint;
mod matching;
mod names;
mod operands;
mod operations;
mod report;
mod scale;
mod skeletons;
mod statics;
mod term;
mod text;

use std::collections::BTreeMap;

use crate::graph::lower::Scale;
use crate::source::{Library, Loader, SourceFile};
use crate::syntax::{self, ast::File};
use cells::CellView;
use changes::{Found, Own};
use edit::Edit;
pub use report::{Change, ChangeKind, Diff, Effect, Network, Points, Verdict};

/// Where to count, and where used files come from.
#[derive(Clone)]
pub struct Options<'l> {
    /// The net; if `None`, that of the first claim, or the one that the first file that compiles means, see
    /// [`Module::default_net`](crate::ir::Module::default_net).
    pub net: Option<String>,
    /// The scale; if `None`, that of the first claim about the net, or N = 2 and base width 32.
    pub scale: Option<Scale>,
    /// Finds the files that the two use; the library of cells alone unless another is given.
    pub loader: &'l dyn Loader,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { net: None, scale: None, loader: &Library }
    }
}

/// Compares two files. A file without text is one that does not exist.
///
/// # Cost
/// Quadratic in the blocks of a cell; one compilation for each change.
pub fn diff(old: &SourceFile, new: &SourceFile, options: &Options<'_>) -> Diff {
    let mut result = Diff {
        verdict: Verdict::Identical,
        changes: Vec::new(),
        network: None,
        space: None,
        old_fault: None,
        new_fault: None,
        uncounted: None,
        lines: Vec::new(),
    };
    if old.text == new.text {
        return result;
    }
    match (syntax::parse(old), syntax::parse(new)) {
        (Ok(old_file), Ok(new_file)) => {
            trees([old, new], [&old_file, &new_file], options, &mut result);
        }
        (old_file, new_file) => {
            let fault = |file: Result<File, _>, source| {
                file.err().map(|faults| cost::reason(&faults, source))
            };
            result.old_fault = fault(old_file, old);
            result.new_fault = fault(new_file, new);
            result.lines = text::lines(&old.text, &new.text);
            result.verdict = Verdict::Different;
        }
    }
    result
}

fn trees(sources: [&SourceFile; 2], files: [&File; 2], options: &Options<'_>, result: &mut Diff) {
    let Some([mut old, new]) = cells::of_both(files) else {
        let too_long = format!("cells of more than {} statements", cells::MOST_STATEMENTS);
        result.uncounted = Some(too_long);
        result.lines = text::lines(&sources[0].text, &sources[1].text);
        result.verdict = Verdict::Different;
        return;
    };
    let old_names = cell_names(&old, &new);
    for view in &mut old {
        let name_of = |new: &CellView<'_>| old_names.get(new.name()).map(String::as_str);
        let other = new.iter().find(|new| name_of(new) == Some(view.name()));
        view.is_detached = view.same_as().is_some()
            && other.is_some_and(|other| !is_same_text(view, other, &old_names));
    }
    let mut found = in_cells(&old, &new, &old_names);
    found.extend(definitions::between(files[0], files[1], &old_names));
    let counted = cost::count(sources, files, [&old, &new], &mut found, options);
    result.verdict = if found.is_empty() {
        Verdict::SameMeaning
    } else {
        let names: Vec<String> =
            old.iter().chain(&new).map(|view| view.name().to_string()).collect();
        counted.verdict(&found, &names)
    };
    result.changes = found.into_iter().map(|found| found.change).collect();
    (result.network, result.space) = (counted.network, counted.space);
    [result.old_fault, result.new_fault] = counted.faults;
    result.uncounted = counted.uncounted;
}

/// The old names of the new file's cells: equal names first, then cells of the same blocks.
fn cell_names(old: &[CellView<'_>], new: &[CellView<'_>]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for view in new.iter().filter(|new| old.iter().any(|old| old.name() == new.name())) {
        names.insert(view.name().to_string(), view.name().to_string());
    }
    // Files with more cells than anybody stacks are compared by name alone.
    let few = if old.len().saturating_mul(new.len()) > 1 << 14 { &[] } else { new };
    for view in few {
        if names.contains_key(view.name()) {
            continue;
        }
        let free = old.iter().filter(|old| !names.values().any(|taken| taken == old.name()));
        let alike = free.map(|old| (matching::cells(old, view), old));
        if let Some((likeness, old)) = alike.max_by(|a, b| a.0.total_cmp(&b.0))
            && likeness >= 0.5
        {
            names.insert(view.name().to_string(), old.name().to_string());
        }
    }
    names
}

/// True if both cells repeat the text of one other cell.
fn is_same_text(old: &CellView<'_>, new: &CellView<'_>, names: &BTreeMap<String, String>) -> bool {
    let other = new.same_as().and_then(|other| names.get(&other.name.name));
    other.is_some_and(|other| old.same_as().is_some_and(|same| same.name.name == *other))
}

fn in_cells(
    old: &[CellView<'_>],
    new: &[CellView<'_>],
    old_names: &BTreeMap<String, String>,
) -> Vec<Found> {
    let mut found = Vec::new();
    let of = |name: &str| old.iter().position(|view| view.name() == name);
    for view in new {
        let Some(index) = old_names.get(view.name()).and_then(|name| of(name)) else {
            let change = Change::new(format!("cell {}", view.name()), ChangeKind::Added);
            let own = Own { old: None, new: Some((view.name().into(), String::new())) };
            found.push(Found {
                change: change.after(format!("{} blocks", view.blocks.len())),
                edit: Edit::OwnOnly,
                own,
            });
            continue;
        };
        let before = &old[index];
        if before.name() != view.name() {
            let change = Change::new("cell", ChangeKind::Renamed);
            let change = change.before(before.name()).after(view.name());
            found.push(Found { change, edit: Edit::None, own: Own::default() });
        }
        if is_same_text(before, view, old_names) {
            // The statements are those of another cell, where they are compared.
            found.extend(changes::headers(index, before, view, old_names));
        } else {
            found.extend(changes::between(index, before, view));
        }
    }
    for view in old.iter().filter(|view| !old_names.values().any(|name| name == view.name())) {
        let change = Change::new(format!("cell {}", view.name()), ChangeKind::Removed);
        let own = Own { old: Some((view.name().into(), String::new())), new: None };
        found.push(Found {
            change: change.before(format!("{} blocks", view.blocks.len())),
            edit: Edit::OwnOnly,
            own,
        });
    }
    found
}
