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
//! 3. `cycles`: operations do not use each other in a circle.
//! 4. `shapes`: every cell is lowered in the contexts a net can put it in, with every option of every
//!    hole taken once.
//! 5. `claims`: every `expect` is counted.
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
mod shapes;
mod values;

pub(crate) use exprs::{FIXUP, IDENTITY};
#[cfg(feature = "lsp")]
pub(crate) use {claims::grouped, expand::MAX_SAME, names::BUILTINS};

use self::cells::SpaceParts;
use self::expand::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::ir::Module;
use crate::syntax::ast;

/// The most blocks a cell may have, and the most often a `repeat` may repeat.
pub const MAX_BLOCKS: usize = 256;

/// The most alternatives one hole may have.
pub const MAX_OPTIONS: usize = 1024;

/// The most holes one space may have.
pub const MAX_DECISIONS: usize = 4096;

/// The largest kernel side, stride and dilation.
pub const MAX_KERNEL: i64 = 63;

/// Checks a file whose operations and nets may build on those of `prelude`.
///
/// # Errors
/// All faults of the first sub-pass that found any, sorted by position.
pub fn check(file: &ast::File, prelude: &Module) -> Result<Module, Diagnostics> {
    resolve(file, prelude, false)
}

/// Checks a file of the prelude itself, whose definitions build on primitives and those in `before`.
///
/// # Errors
/// As [`check`]; for the embedded text a test sees to it that there are none.
pub(crate) fn check_prelude(file: &ast::File, before: &Module) -> Result<Module, Diagnostics> {
    resolve(file, before, true)
}

fn resolve(file: &ast::File, prelude: &Module, is_prelude: bool) -> Result<Module, Diagnostics> {
    let mut module = Module {
        constants: prelude.constants.clone(),
        ops: prelude.ops.clone(),
        nets: prelude.nets.clone(),
        ..Module::default()
    };
    let mut faults = Vec::new();

    let mut names = names::declare(file, &mut module, is_prelude, &mut faults);
    barrier(&mut faults)?;

    let mut budget = Budget::default();
    let mut parts = SpaceParts::default();
    constants::resolve(&mut names, &mut parts, &mut module, is_prelude, &mut faults);
    let SpaceParts { decisions, ops, .. } = &mut parts;
    ops::resolve(&names, &mut budget, decisions, ops, &mut module, &mut faults);
    cells::resolve(&names, &mut budget, parts, &mut module, &mut faults);
    nets::resolve(file, &names, &mut module, is_prelude, &mut faults);
    barrier(&mut faults)?;

    cycles::check(&module, &mut faults);
    barrier(&mut faults)?;

    shapes::check(&module, &mut faults);
    barrier(&mut faults)?;

    claims::check(&module, &mut faults);
    barrier(&mut faults)?;
    Ok(module)
}

/// Stops if there are faults.
fn barrier(faults: &mut Vec<Diagnostic>) -> Result<(), Diagnostics> {
    Diagnostics::or(std::mem::take(faults), ())
}
