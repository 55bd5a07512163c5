//! What each change costs: the old file with this change alone, counted again.
//!
//! Claims are set aside before a file is checked. They are about the whole, so a file with one changed
//! operand would break them, and what a file claims wrongly does not keep it from being counted.

use super::cells::CellView;
use super::changes::{Found, Own};
use super::edit::{Edit, apply};
use super::{Effect, Network, Options, Points, Verdict, scale};
use crate::compile::{self, Fault, Request};
use crate::diagnostic::Diagnostics;
use crate::graph::Graph;
use crate::graph::cost::{Cost, Counts, of_part};
use crate::graph::hash;
use crate::graph::lower::{Lowered, Scale, Width};
use crate::ir::Module;
use crate::link;
use crate::source::{Loader, SourceFile};
use crate::syntax::ast::{File, Item};

/// Files compiled to count changes; the parts' own counts stand for the changes after these.
const MOST_COMPILED: usize = 256;

/// What the comparison of two compiled files says.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) network: Option<Network>,
    pub(super) space: Option<Points>,
    /// If both are networks, whether they are one architecture.
    pub(super) is_same: Option<bool>,
    /// Cells that the networks are made of.
    pub(super) used: Vec<String>,
    /// Why a side does not compile.
    pub(super) faults: [Option<String>; 2],
    /// Why a side that compiles has no counts.
    pub(super) uncounted: Option<String>,
}

/// A side with what could be made of it.
struct Side {
    module: Option<Module>,
    lowered: Option<Lowered>,
    fault: Option<String>,
    uncounted: Option<String>,
}

/// Counts two files, and writes into each change what it does alone.
pub(super) fn count(
    sources: [&SourceFile; 2],
    files: [&File; 2],
    views: [&[CellView<'_>]; 2],
    found: &mut [Found],
    options: &Options<'_>,
) -> Counted {
    let mut sides = [0, 1].map(|at| Side::new(sources[at], files[at], options.loader));
    let modules = sides.iter().filter_map(|side| side.module.as_ref());
    let net = scale::net(modules.clone(), files, options);
    let (n, base) = scale::of(modules, files, &net, options);
    let request = Request { width: Width::Base(base), n, ..Request::new(&net, Scale { n, f: 0 }) };
    for (side, views) in sides.iter_mut().zip(views) {
        side.lower(&request, !views.is_empty());
    }
    let [old, new] = &sides;
    let mut compiled = 0;
    let checks = |file: &File| checked(sources[0], file, options.loader).ok();
    for found in found {
        found.change.effect =
            effect(found, checks, (files[0], views[0]), [old, new], &request, &mut compiled);
    }
    let total = |side: &Side| side.lowered.as_ref().map(|net| Cost::of(&net.graph).total);
    let (before, after) = (total(old), total(new));
    let network = (before.is_some() || after.is_some()).then(|| Network {
        net: net.clone(),
        n,
        base,
        before,
        after,
    });
    let (points_before, points_after) = (old.points(), new.points());
    let space = (points_before.is_some() || points_after.is_some())
        .then_some(Points { before: points_before, after: points_after });
    let graphs = [old, new].map(|side| side.lowered.as_ref().map(|lowered| &lowered.graph));
    let used = graphs.iter().flatten().flat_map(|graph| &graph.sections);
    Counted {
        network,
        space,
        is_same: is_same([old, new], &net),
        used: used.filter_map(|section| section.cell.clone()).collect(),
        uncounted: old.uncounted.clone().or_else(|| new.uncounted.clone()),
        faults: sides.map(|side| side.fault),
    }
}

impl Counted {
    /// The verdict on files that differ in some way.
    pub(super) fn verdict(&self, found: &[Found], cells: &[String]) -> Verdict {
        let is_stacked = |cell: &str| self.used.iter().any(|used| used == cell);
        let has_spare = !cells.iter().all(|cell| is_stacked(cell));
        let net = self.network.as_ref().map_or("", |network| network.net.as_str());
        let is_used = |found: &Found| {
            let place = found.change.place.split('.').next().unwrap_or_default();
            match place.split_once(' ') {
                Some(("cell", cell)) => is_stacked(cell),
                // What every cell may read is read in cells that no net stacks, too.
                Some(("op" | "let", _)) => !has_spare,
                Some(("net", name)) => name == net,
                Some(_) => true,
                None if place == "use" => !has_spare,
                None => !cells.iter().any(|cell| cell == place) || is_stacked(place),
            }
        };
        let is_layout = |found: &Found| found.change.kind.is_layout();
        match self.is_same {
            // The networks say nothing about cells that they do not use.
            Some(true) if found.iter().all(|found| is_layout(found) || is_used(found)) => {
                Verdict::SameArchitecture
            }
            // Order is what `?earlier` chooses from, so in a space it is not layout alone.
            None if self.space.is_none() && found.iter().all(is_layout) => {
                Verdict::SameArchitecture
            }
            Some(_) | None => Verdict::Different,
        }
    }
}

impl Side {
    fn new(source: &SourceFile, file: &File, loader: &dyn Loader) -> Side {
        match checked(source, file, loader) {
            Ok(module) => {
                Side { module: Some(module), lowered: None, fault: None, uncounted: None }
            }
            Err(faults) => Side {
                module: None,
                lowered: None,
                fault: Some(reason(&faults, source)),
                uncounted: None,
            },
        }
    }

    /// Builds the network, if there is a module and nothing is left to choose.
    fn lower(&mut self, request: &Request, has_cells: bool) {
        let Some(module) = self.module.as_ref().filter(|module| module.space.is_none()) else {
            return;
        };
        match compile::network(module, request) {
            Ok(lowered) => self.lowered = Some(lowered),
            // Files of operations alone have no network, and nobody misses it.
            Err(_) if !has_cells => {}
            Err(Fault::Cells(faults)) => {
                self.uncounted = Some(format!("net {}: {faults}", request.net));
            }
            Err(Fault::Request(error)) => self.uncounted = Some(error.to_string()),
        }
    }

    fn points(&self) -> Option<f64> {
        Some(self.module.as_ref()?.space.as_ref()?.decisions.size())
    }
}

/// The first fault with its line and column, and how many follow.
pub(super) fn reason(faults: &Diagnostics, source: &SourceFile) -> String {
    let start = faults.iter().next().map_or(0, |first| first.primary.span.start);
    let (line, column) = source.line_col(start);
    format!("{line}:{column}: {faults}")
}

fn checked(source: &SourceFile, file: &File, loader: &dyn Loader) -> Result<Module, Diagnostics> {
    let items = file.items.iter().filter(|item| match item {
        Item::Expect(_) => false,
        Item::Use(_)
        | Item::Constant(_)
        | Item::Op(_)
        | Item::Cell(_)
        | Item::Space(_)
        | Item::Net(_) => true,
    });
    let file = File { items: items.cloned().collect(), ..File::default() };
    link::check_parsed(source, &file, loader)
}

/// Whether two networks are one architecture: where they are counted, and at the scale that identities
/// are taken at.
fn is_same(sides: [&Side; 2], net: &str) -> Option<bool> {
    let [old, new] = sides.map(|side| Some((side.module.as_ref()?, side.lowered.as_ref()?)));
    let ((old, old_net), (new, new_net)) = old.zip(new)?;
    let id = |module| compile::architecture_id(module, net, None).ok();
    let is_same_here = hash::canonical(&old_net.graph) == hash::canonical(&new_net.graph);
    Some(is_same_here && id(old) == id(new))
}

fn effect(
    found: &Found,
    checks: impl Fn(&File) -> Option<Module>,
    (file, views): (&File, &[CellView<'_>]),
    [old, new]: [&Side; 2],
    request: &Request,
    compiled: &mut usize,
) -> Option<Effect> {
    let is_counted = match &found.edit {
        Edit::None => return None,
        Edit::OwnOnly => false,
        Edit::Value { .. }
        | Edit::Outputs { .. }
        | Edit::Constant { .. }
        | Edit::Repeat { .. }
        | Edit::Header { .. }
        | Edit::SameAs { .. }
        | Edit::Item { .. }
        | Edit::Added { .. } => *compiled < MOST_COMPILED,
    };
    let is_countable = old.lowered.is_some() || old.points().is_some();
    let alone = if is_counted && is_countable { apply(file, views, &found.edit) } else { None };
    if let Some(module) = alone.and_then(|file| checks(&file)) {
        *compiled += 1;
        if let Some(before) = old.points() {
            let after = module.space?.decisions.size();
            return (after != before).then_some(Effect::Points { factor: after / before });
        }
        if let (Some(before), Ok(after)) = (&old.lowered, compile::network(&module, request)) {
            let [before, after] = [&before.graph, &after.graph].map(|graph| Cost::of(graph).total);
            return counts(before, after, true);
        }
    }
    let [before, after] = own_counts(&found.own, old, new)?;
    // What came and went has counts of its own; what changed has them only for want of better.
    counts(before, after, matches!(found.edit, Edit::OwnOnly))
}

fn counts(before: Counts, after: Counts, is_exact: bool) -> Option<Effect> {
    let params = after.params as i64 - before.params as i64;
    let macs = after.macs as i64 - before.macs as i64;
    (params != 0 || macs != 0).then_some(Effect::Counts { params, macs, is_exact })
}

/// The counts of the changed part itself before and after.
fn own_counts(own: &Own, old: &Side, new: &Side) -> Option<[Counts; 2]> {
    let of = |part: &Option<(String, String)>, side: &Side| match part {
        None => Some(Counts::default()),
        Some((cell, path)) => {
            let graph: &Graph = &side.lowered.as_ref()?.graph;
            Some(of_part(graph, cell, path))
        }
    };
    if own.old.is_none() && own.new.is_none() {
        return None;
    }
    Some([of(&own.old, old)?, of(&own.new, new)?])
}
