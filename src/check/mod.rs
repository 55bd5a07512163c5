//! From tree to meaning: [`check`] turns an [`ast::File`] into an [`ir::Module`](crate::ir::Module),
//! or says everything that is wrong with it.
//!
//! Sub-passes run in order; each gathers all of its faults, and a later one starts only if the ones
//! before it found none, so that no fault is reported that merely follows from another:
//!
//! 1. `names`: what the file defines, each name once.
//! 2. `expand`: `repeat`, `cell b = a`, option sets and `?earlier` written out; then `constants`,
//!    `ops`, `cells` and `nets` resolve every name and `bind` every attribute, and `choices` numbers the
//!    holes.
//! 3. `requires`: the conditions of a space are conditions, and not broken by all of its points.
//! 4. `cycles`: operations do not use each other in a circle.
//! 5. `shapes`: every cell is lowered in the contexts a net can put it in, with every option of every
//!    hole taken once.
//! 6. `claims`: every `expect` is counted.
//!
//! What is left to [`lower`](crate::graph::lower::lower) is what depends on the image and scale a user
//! asks for later.

mod bind;
mod cells;
mod choices;
mod claims;
mod constants;
mod cycles;
mod expand;
mod exprs;
mod names;
mod nets;
mod ops;
mod requires;
mod shapes;
mod values;

pub(crate) use exprs::{FIXUP, IDENTITY};
pub(crate) use names::alias;
#[cfg(feature = "lsp")]
pub(crate) use {expand::MAX_SAME, names::BUILTINS};

use std::collections::{BTreeMap, BTreeSet};

use self::cells::SpaceParts;
use self::expand::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics, Stage};
use crate::ir::{Module, Origin};
use crate::syntax::ast::{self, Item, SpaceItem};

/// The most blocks a cell may have, and the most often a `repeat` may repeat.
pub const MAX_BLOCKS: usize = 256;

/// The most alternatives one hole may have.
pub const MAX_OPTIONS: usize = 1024;

/// The most holes one space may have.
pub const MAX_DECISIONS: usize = 4096;

/// The largest kernel side, stride and dilation.
pub const MAX_KERNEL: i64 = 63;

/// Checks a file whose definitions may build on those of `before`: the prelude, and the files it uses.
///
/// # Errors
/// All faults of the first sub-pass that found any, sorted by position.
pub fn check(file: &ast::File, before: &Module) -> Result<Module, Diagnostics> {
    let mut module = before.clone();
    resolve(file, &mut module, Origin::Own)?;
    Ok(module)
}

/// [`check`], which adds to the module itself. After a fault, operations and constants that it did not have
/// are of no use.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_onto(file: &ast::File, module: &mut Module) -> Result<(), Diagnostics> {
    resolve(file, module, Origin::Own)
}

/// Checks a file of the prelude itself, whose definitions build on primitives and those in `before`.
///
/// # Errors
/// As [`check`]; for the embedded text a test sees to it that there are none.
pub(crate) fn check_prelude(file: &ast::File, before: &Module) -> Result<Module, Diagnostics> {
    let mut module = before.clone();
    resolve(file, &mut module, Origin::Prelude)?;
    Ok(module)
}

fn resolve(file: &ast::File, module: &mut Module, origin: Origin) -> Result<(), Diagnostics> {
    (module.space, module.expects) = (None, Vec::new());
    hide(file, module);
    let mut faults = Vec::new();

    let mut names = names::declare(file, module, origin, &mut faults);
    barrier(Stage::Names, &mut faults)?;

    let mut budget = Budget::default();
    let mut parts = SpaceParts::default();
    constants::resolve(&mut names, &mut parts, module, origin, &mut faults);
    let SpaceParts { decisions, ops, .. } = &mut parts;
    ops::resolve(&names, &mut budget, decisions, ops, module, &mut faults);
    cells::resolve(&names, &mut budget, parts, module, origin, &mut faults);
    nets::resolve(file, &names, module, origin, &mut faults);
    requires::names(file, module, &mut faults);
    barrier(Stage::Meaning, &mut faults)?;

    requires::check(module, &mut faults);
    barrier(Stage::Conditions, &mut faults)?;

    cycles::check(module, &mut faults);
    barrier(Stage::Cycles, &mut faults)?;

    shapes::check(module, &mut faults);
    barrier(Stage::Shapes, &mut faults)?;

    claims::check(module, &mut faults);
    barrier(Stage::Claims, &mut faults)
}

/// Leaves out the cells and nets of other files that this one does not see. Operations and constants
/// stay, since others refer to them by index.
fn hide(file: &ast::File, module: &mut Module) {
    let mut own_cells = BTreeSet::new();
    for item in &file.items {
        match item {
            Item::Cell(cell) => {
                own_cells.insert(cell.name.name.as_str());
            }
            Item::Space(space) => {
                own_cells.extend(space.items.iter().filter_map(|item| match item {
                    SpaceItem::Cell(cell) => Some(cell.name.name.as_str()),
                    SpaceItem::Constant(_)
                    | SpaceItem::Require(_)
                    | SpaceItem::Op(_)
                    | SpaceItem::Options { .. } => None,
                }))
            }
            Item::Use(_) | Item::Constant(_) | Item::Op(_) | Item::Net(_) | Item::Expect(_) => {}
        }
    }
    let Module { cells, nets, sees, .. } = module;
    let is_seen = |origin: Origin| match origin {
        Origin::Prelude | Origin::Own => true,
        Origin::Used(index) => sees.contains(&index),
    };
    nets.retain(|net| is_seen(net.origin));
    cells.retain(|cell| is_seen(cell.origin) && !own_cells.contains(cell.name.name.as_str()));
    let nearest: BTreeMap<String, Origin> =
        cells.iter().map(|cell| (cell.name.name.clone(), cell.origin)).collect();
    cells.retain(|cell| nearest[&cell.name.name] == cell.origin);
}

/// Stops if there are faults.
fn barrier(stage: Stage, faults: &mut Vec<Diagnostic>) -> Result<(), Diagnostics> {
    Diagnostics::or(stage, std::mem::take(faults), ())
}
