//! Where two files are counted: in which net, and how large.

use super::Options;
use crate::compile::{self, Request};
use crate::graph::lower::Scale;
use crate::ir::Module;
use crate::syntax::ast::{Expect, File, Item, Net};

/// N and base width where neither the user nor a claim names a scale: the smallest net with cells of
/// every kind in a row, at the width of the published CIFAR nets.
const DEFAULT: (usize, usize) = (2, 32);

/// The net of files that name none.
const DEFAULT_NET: &str = "cifar";

/// The net asked for, or that of the first claim, or the only one a file defines.
pub(super) fn net(files: [&File; 2], options: &Options<'_>) -> String {
    let claimed = || files.into_iter().flat_map(claims).next().map(|claim| claim.net.name.clone());
    let defined = |file| {
        let mut nets = nets(file).map(|net| net.name.name.clone());
        nets.next().filter(|_| nets.next().is_none())
    };
    let asked = options.net.clone().or_else(claimed);
    asked
        .or_else(|| defined(files[0]).or_else(|| defined(files[1])))
        .unwrap_or_else(|| DEFAULT_NET.into())
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
        let claim = files.into_iter().flat_map(claims).find(|claim| claim.net.name == net)?;
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

fn claims(file: &File) -> impl Iterator<Item = &Expect> {
    file.items.iter().filter_map(|item| match item {
        Item::Expect(expect) => Some(expect),
        Item::Use(_)
        | Item::Constant(_)
        | Item::Op(_)
        | Item::Cell(_)
        | Item::Space(_)
        | Item::Net(_) => None,
    })
}

fn nets(file: &File) -> impl Iterator<Item = &Net> {
    file.items.iter().filter_map(|item| match item {
        Item::Net(net) => Some(net),
        Item::Use(_)
        | Item::Constant(_)
        | Item::Op(_)
        | Item::Cell(_)
        | Item::Space(_)
        | Item::Expect(_) => None,
    })
}
