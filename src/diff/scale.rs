//! Where two files are counted: in which net, and how large.

use super::Options;
use crate::compile::{self, Request};
use crate::graph::lower::Scale;
use crate::ir::Module;
use crate::syntax::ast::File;

/// N and base width where neither the user nor a claim names a scale: the smallest net with cells of
/// every kind in a row, at the width of the published CIFAR nets.
const DEFAULT: (usize, usize) = (2, 32);

/// The net asked for, or that of the first claim, or the one that the first file that compiles means.
pub(super) fn net<'m>(
    mut modules: impl Iterator<Item = &'m Module>,
    files: [&File; 2],
    options: &Options<'_>,
) -> String {
    let claimed = || files.into_iter().flat_map(File::claims).next().map(|claim| &claim.net.name);
    let asked = options.net.as_ref().or_else(claimed).map(String::as_str);
    asked.unwrap_or_else(|| modules.next().unwrap_or(compile::prelude()).default_net()).into()
}

/// N, and the base width that F gives in the old file, or in the new one if it has none there. Both
/// files are counted at this base width, so that a change of the output does not change every block.
pub(super) fn of<'m>(
    mut modules: impl Iterator<Item = &'m Module>,
    files: [&File; 2],
    net: &str,
    options: &Options<'_>,
) -> (usize, usize) {
    let claimed = || {
        let claim = files.into_iter().flat_map(File::claims).find(|claim| claim.net.name == net)?;
        Some(Scale { n: claim.scale.n.value as usize, f: claim.scale.f.value as usize })
    };
    let Some(scale) = options.scale.or_else(claimed) else { return DEFAULT };
    let base = modules.find_map(|module| {
        let is_network = module.space.is_none();
        let lowered = || compile::lower_only(module, &Request::new(net, scale)).ok();
        Some(is_network.then(lowered)??.base)
    });
    base.map_or(DEFAULT, |base| (scale.n, base))
}
