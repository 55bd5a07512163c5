//! Tries every cell of the file, and every used one that its nets stack, in the contexts a net can put it
//! in, and every net of the file.
//!
//! A cell's shapes depend on its place: the first cell of a net reads the raw stem, the cell after a
//! reduction reads an earlier state of another size, the one after a change of width one of other
//! channels. Lowering the cell at one small size in each of these finds what is wrong with its text
//! before any net is built. Which places there are is read off the stacks of the file's nets, or of one of
//! the prelude's, see [`nets_of`].
//!
//! In a space each genotype that is tried takes another option of every hole, so that as few as the
//! largest hole has options take every option once. A space too large for that is tried in part: what
//! is missed here is found when its point is lowered. Points that break a condition of the space for which
//! nothing has to be counted are left out.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Help};
use crate::graph::TensorType;
use crate::graph::lower::{self, ProbeContext, Prober, Scale, Target, Width};
use crate::ir::{Cell, Module, Net, StackEntry, StackItem, StackedCell, ValueKind};
use crate::space::{Decision, Genotype, Requirements, When};

/// Width and size of the probe; large enough that divisions such as `c / 4` leave something.
const SMALL: [usize; 2] = [32, 16];

/// Where a width or a map was too small, it may still be large enough in a net: width and size at which
/// that is tried again.
const LARGE: [usize; 2] = [960, 256];

/// Where channels did not divide, or an author's condition did not hold, another width may be meant: one
/// that the usual ratios divide. No width suits every file: 11 groups divide neither this one nor others.
const DIVISIBLE: [usize; 2] = [1680, 16];

/// The base width at which the file's nets are tried.
const WIDTH: usize = 32;

/// How many expressions may be evaluated for one probe, those of calls that are known included.
const MAX_STEPS: usize = 1 << 18;

/// How many may be evaluated for all probes together. The cells of a file of 1 MB take a quarter of it.
const MAX_STEPS_OF_ALL: usize = 1 << 21;

/// How many points of a space are tried side by side; each may take an equal share of what is left.
const AT_ONCE: usize = 4;

/// Faults after which no more are looked for.
const MOST_FAULTS: usize = 10 * Diagnostics::SHOWN;

/// How many operations the file's nets may have together before the rest of them is left out.
const MAX_NODES: usize = 1 << 16;

/// N at which the file's nets are tried.
const N: usize = 2;

/// Adds the shape faults of every cell and net of the module.
pub(super) fn check(module: &Module, faults: &mut Vec<Diagnostic>) {
    cells(module, faults);
    if faults.is_empty() {
        nets(module, faults);
    }
}

fn cells(module: &Module, faults: &mut Vec<Diagnostic>) {
    if module.own_cells().next().is_none() && module.nets.iter().all(|net| net.origin.is_foreign())
    {
        // The files of the prelude are checked before it has a net that could be meant.
        return;
    }
    let by_name = cells_by_name(module);
    let nets = nets_of(module, &by_name);
    let tried = tried_cells(module, &by_name);
    let all_places = all_places(module, &tried, &nets, &by_name);
    let cover = Cover::new(module.space.as_ref().map_or(&[], |space| &space.decisions.decisions));
    let mut left = MAX_STEPS_OF_ALL;
    for start in (0..cover.len()).step_by(AT_ONCE) {
        let numbers: Vec<usize> = (start..cover.len()).take(AT_ONCE).collect();
        let share = left / numbers.len();
        let at_point = |&number: &usize| {
            let genotype = cover.genotype(number);
            match Requirements::of(module).exclude(&genotype) {
                true => (Vec::new(), 0),
                false => at_point(module, &genotype, &tried, &all_places, share),
            }
        };
        let found: Vec<(Vec<Diagnostic>, usize)> = match numbers.as_slice() {
            // Nothing to share out.
            [only] => vec![at_point(only)],
            _ => numbers.par_iter().map(at_point).collect(),
        };
        for (found, steps) in found {
            found.into_iter().for_each(|fault| add(fault, faults));
            left = left.saturating_sub(steps);
        }
        if left == 0 || faults.len() > MOST_FAULTS {
            return;
        }
    }
}

/// The faults of the cells at one point of the space, and how many expressions that took, which are about
/// `most` at most.
fn at_point(
    module: &Module,
    genotype: &[usize],
    tried: &[&Cell],
    all_places: &[Places],
    most: usize,
) -> (Vec<Diagnostic>, usize) {
    let (mut faults, mut steps) = (Vec::new(), 0);
    let mut prober = Prober::new(module, genotype);
    for (&cell, places) in tried.iter().zip(all_places) {
        let mut at_fault = None;
        for (at, context) in contexts_of(cell, places, SMALL).iter().enumerate() {
            // The same fault in another context of this entry would only repeat itself, and so would
            // one of a used cell, whose text is not shown, in another entry.
            let entry = context.entry.map(|(_, entry)| std::ptr::from_ref(entry));
            if at_fault.is_some_and(|known| known == entry || cell.origin.is_foreign()) {
                continue;
            }
            let mut attempt = |context: &ProbeContext| {
                let (found, taken) = prober.probe(cell, context, MAX_STEPS);
                steps += taken;
                found
            };
            let mut found = attempt(context);
            if found.iter().any(|fault| is_about_size(fault.code)) {
                found = attempt(&contexts_of(cell, places, LARGE)[at]);
                found.retain(|fault| fault.code != Code::WindowTooLarge);
            }
            if found.iter().any(|fault| is_about_width(fault.code)) {
                let again = attempt(&contexts_of(cell, places, DIVISIBLE)[at]);
                keep_lasting(&mut found, &again);
            }
            if !found.is_empty() {
                at_fault = Some(entry);
            }
            for fault in found {
                add(in_context(fault, cell, context), &mut faults);
            }
        }
        if steps >= most || faults.len() > MOST_FAULTS {
            break;
        }
    }
    (faults, steps)
}

/// Adds a fault unless there is one of its code at its place.
fn add(fault: Diagnostic, faults: &mut Vec<Diagnostic>) {
    let is_known =
        |known: &Diagnostic| (known.code, known.primary.span) == (fault.code, fault.primary.span);
    if !faults.iter().any(is_known) {
        faults.push(fault);
    }
}

/// Tries the file's own nets that find their cells. Faults that another scale would not have are left
/// to whoever asks for a scale.
fn nets(module: &Module, faults: &mut Vec<Diagnostic>) {
    let cover = Cover::new(module.space.as_ref().map_or(&[], |space| &space.decisions.decisions));
    let requirements = Requirements::of(module);
    let mut points = (0..cover.len()).map(|number| cover.genotype(number));
    let Some(choices) = points.find(|choices| !requirements.exclude(choices)) else { return };
    let genotype = Genotype { choices };
    let by_name = cells_by_name(module);
    let own = module.nets.iter().filter(|net| !net.origin.is_foreign());
    let mut nodes = 0;
    for net in own.filter(|net| completes(&by_name, &net.stack)) {
        let attempt = |width: usize| {
            let target = Target::new(net, Scale { n: N, f: 1 });
            let target = Target { width: Width::Base(width), with_aux: true, ..target };
            lower::lower(module, &genotype, &target)
        };
        let mut found: Vec<Diagnostic> = match attempt(WIDTH) {
            Ok(lowered) => {
                nodes += lowered.graph.nodes.len() + module.constants.len();
                if nodes > MAX_NODES {
                    return;
                }
                continue;
            }
            Err(found) => found.into_iter().collect(),
        };
        if found.iter().any(|fault| is_about_width(fault.code)) {
            let again = attempt(DIVISIBLE[0]).err().into_iter().flatten();
            keep_lasting(&mut found, &again.collect::<Vec<_>>());
        }
        faults.extend(found.into_iter().filter(|fault| {
            !matches!(fault.code, Code::ScaleOutOfRange | Code::SizeOutOfRange | Code::TooLarge)
        }));
    }
}

/// The cells that nets find.
type CellsByName<'m> = BTreeMap<&'m str, &'m Cell>;

fn cells_by_name(module: &Module) -> CellsByName<'_> {
    // One of the file comes after one of another file, which it hides.
    module.cells.iter().map(|cell| (cell.name.name.as_str(), cell)).collect()
}

/// [`Module::completes`] for many nets.
fn completes(cells: &CellsByName, entries: &[StackEntry]) -> bool {
    entries.iter().all(|entry| {
        entry.times.kind == ValueKind::Int(0)
            || match &entry.item {
                StackItem::Cell(stacked) => cells.contains_key(stacked.cell.name.as_str()),
                StackItem::Group(entries) => completes(cells, entries),
            }
    })
}

/// Where a cell can stand.
#[derive(Default)]
struct Places<'m> {
    /// No cell is before it.
    is_first: bool,
    /// Strides between its inputs, each other than 1.
    strides: BTreeSet<usize>,
    /// The entries it stands in that differ in what they make of it; none if it is in no stack.
    entries: Vec<(&'m Net, &'m StackedCell)>,
    /// What tells them apart: their strides, and the address of the entry itself if it gives attributes.
    known: BTreeSet<(Option<usize>, Option<usize>)>,
}

impl<'m> Places<'m> {
    /// Adds the place `at` in a stack for a cell that looks back on `reach` cells.
    fn add(
        &mut self,
        net: &'m Net,
        stacked: &[(&'m Cell, &'m StackedCell)],
        at: usize,
        reach: usize,
    ) {
        self.is_first |= at == 0;
        let before = stacked[..at].iter().rev().take(reach.saturating_sub(1));
        let strides = before.map(|(other, entry)| entry.stride.unwrap_or(other.stride));
        self.strides.extend(strides.filter(|&stride| stride != 1));
        let (_, entry) = stacked[at];
        let itself = (!entry.attrs.is_empty()).then(|| std::ptr::from_ref(entry).addr());
        if self.known.insert((entry.stride, itself)) {
            self.entries.push((net, entry));
        }
    }
}

/// The file's own cells, and those of other files that its own nets stack.
fn tried_cells<'m>(module: &'m Module, cells: &CellsByName<'m>) -> Vec<&'m Cell> {
    let own_nets = module.nets.iter().filter(|net| !net.origin.is_foreign());
    let stacked: BTreeSet<&str> = own_nets
        .filter(|net| completes(cells, &net.stack))
        .flat_map(|net| net.stacked())
        .map(|entry| entry.cell.name.as_str())
        .collect();
    // Others of the same name are hidden.
    let used = cells.values().copied().filter(|cell| cell.origin.is_foreign());
    let used = used.filter(|cell| stacked.contains(cell.name.name.as_str()));
    module.own_cells().chain(used).collect()
}

/// The places of every cell that is tried, in order.
fn all_places<'m>(
    module: &'m Module,
    tried: &[&'m Cell],
    nets: &[&'m Net],
    cells: &CellsByName<'m>,
) -> Vec<Places<'m>> {
    let index_of: BTreeMap<&str, usize> =
        tried.iter().enumerate().map(|(index, cell)| (cell.name.name.as_str(), index)).collect();
    let mut found: Vec<Places> = tried.iter().map(|_| Places::default()).collect();
    for net in nets {
        let stacked = net.stacked();
        let in_net = stacked.iter().filter_map(|entry| index_of.get(entry.cell.name.as_str()));
        // How far a cell looks back decides how many copies of the others there have to be.
        let reaches: BTreeSet<usize> = in_net.map(|&index| tried[index].inputs.len()).collect();
        // How the counts of a stack come out decides which cells are neighbors.
        for (unknown_count, &reach) in
            [1, 2].iter().flat_map(|count| reaches.iter().map(move |reach| (*count, reach)))
        {
            let mut stacked = Vec::new();
            unroll(cells, &net.stack, unknown_count, reach, &mut stacked);
            for (at, (cell, _)) in stacked.iter().enumerate() {
                let index = index_of.get(cell.name.name.as_str()).copied();
                if let Some(index) = index.filter(|&index| tried[index].inputs.len() == reach) {
                    found[index].add(net, &stacked, at, reach);
                }
            }
        }
    }
    let strides: BTreeSet<usize> =
        module.cells.iter().map(|cell| cell.stride).filter(|&stride| stride != 1).collect();
    for places in found.iter_mut().filter(|places| places.entries.is_empty()) {
        (places.is_first, places.strides) = (true, strides.clone());
    }
    found
}

/// The nets that say where a file's cells stand: its own; without any, those it claims something about;
/// without any, the one that is meant by default, if it finds its cells in the file.
fn nets_of<'m>(module: &'m Module, cells: &CellsByName) -> Vec<&'m Net> {
    let applies = |net: &&Net| completes(cells, &net.stack);
    let own: Vec<&Net> =
        module.nets.iter().filter(|net| !net.origin.is_foreign()).filter(applies).collect();
    if !own.is_empty() {
        return own;
    }
    let claims: BTreeSet<&str> =
        module.expects.iter().map(|expect| expect.net.name.as_str()).collect();
    let is_claimed = |net: &&Net| claims.contains(net.name.name.as_str());
    let claimed: Vec<&Net> = module.nets.iter().filter(is_claimed).filter(applies).collect();
    if !claimed.is_empty() {
        return claimed;
    }
    module.net(module.default_net()).filter(applies).into_iter().collect()
}

/// The cells of a stack in order, as many of each as a cell with `reach` inputs can look back on.
fn unroll<'m>(
    cells: &CellsByName<'m>,
    entries: &'m [StackEntry],
    unknown_count: usize,
    reach: usize,
    found: &mut Vec<(&'m Cell, &'m StackedCell)>,
) {
    /// Stacks with more cells than this are looked at in part.
    const MAX_CELLS: usize = 1 << 12;
    for entry in entries {
        let count = match entry.times.kind {
            ValueKind::Int(count) => (count as usize).min(reach),
            _ => unknown_count,
        };
        for _ in 0..count {
            if found.len() >= MAX_CELLS {
                return;
            }
            match &entry.item {
                StackItem::Cell(stacked) => {
                    let cell = cells.get(stacked.cell.name.as_str());
                    found.extend(cell.map(|&cell| (cell, stacked)));
                }
                StackItem::Group(entries) => {
                    unroll(cells, entries, unknown_count, reach, found);
                }
            }
        }
    }
}

/// The places to try a cell in. One in no stack has none if others repeat it, for it is tried in their
/// places, or if it has attributes that a stack would have to give.
fn contexts_of<'m>(cell: &Cell, places: &Places<'m>, size: [usize; 2]) -> Vec<ProbeContext<'m>> {
    if places.entries.is_empty() {
        let is_complete = cell.params.iter().all(|param| param.default.is_some());
        let is_tried = is_complete && !cell.is_repeated;
        return if is_tried { contexts_in(places, None, size) } else { Vec::new() };
    }
    places.entries.iter().flat_map(|&entry| contexts_in(places, Some(entry), size)).collect()
}

fn contexts_in<'m>(
    places: &Places,
    entry: Option<(&'m Net, &'m StackedCell)>,
    [width, size]: [usize; 2],
) -> Vec<ProbeContext<'m>> {
    let same = TensorType::new(6 * width, size, size);
    let mut contexts = vec![ProbeContext { width, recent: same, previous: Some(same), entry }];
    if places.is_first {
        let stem = TensorType::new(3 * width, size, size);
        contexts.push(ProbeContext { width, recent: stem, previous: None, entry });
    }
    contexts.extend(places.strides.iter().map(|stride| ProbeContext {
        width,
        recent: TensorType::new(4 * width, size, size),
        previous: Some(TensorType::new(3 * width, stride * size, stride * size)),
        entry,
    }));
    contexts
}

/// True for faults that a wider net or a larger image may not have.
fn is_about_size(code: Code) -> bool {
    matches!(code, Code::SizeOutOfRange | Code::WindowTooLarge)
}

/// True for faults that a net of another width may not have.
fn is_about_width(code: Code) -> bool {
    matches!(code, Code::ChannelsDoNotFit | Code::RequirementNotMet)
}

/// Drops the faults about a width that were not found again at another one.
fn keep_lasting(found: &mut Vec<Diagnostic>, again: &[Diagnostic]) {
    found.retain(|fault| {
        let is_same = |other: &Diagnostic| {
            other.code == fault.code && other.primary.span == fault.primary.span
        };
        !is_about_width(fault.code) || again.iter().any(is_same)
    });
}

/// Says where in a net a fault shows, if it does not show everywhere.
fn in_context(mut fault: Diagnostic, cell: &Cell, context: &ProbeContext) -> Diagnostic {
    match context.previous {
        None => fault.note("this shows where no other cell comes before this one"),
        Some(previous) if previous.size() != context.recent.size() => {
            if fault.code == Code::ShapeMismatch {
                fault.help.retain(|help| !matches!(help, Help::Note(_)));
            }
            let earlier: Vec<String> =
                cell.inputs[1..].iter().map(|input| format!("`fit({})`", input.name)).collect();
            let stride = previous.height / context.recent.height;
            let behind = format!("the inputs differ in size behind a cell of stride {stride}");
            fault.note(match stride {
                // The prelude's `fit` halves up to three times.
                2 | 4 | 8 => format!("{behind}: use {}", earlier.join(", ")),
                _ => format!("{behind}: bring earlier ones to the size of the first"),
            })
        }
        Some(_) => fault,
    }
}

/// A few genotypes that together take every option of every hole.
struct Cover<'d> {
    decisions: &'d [Decision],
    /// The holes inside each option of each decision.
    inner: Vec<Vec<Vec<usize>>>,
    /// How many genotypes it takes to take every option of a decision and of those inside it.
    lengths: Vec<usize>,
}

impl<'d> Cover<'d> {
    fn new(decisions: &'d [Decision]) -> Self {
        let mut inner: Vec<Vec<Vec<usize>>> =
            decisions.iter().map(|decision| vec![Vec::new(); decision.options.len()]).collect();
        let mut lengths = vec![0; decisions.len()];
        // A hole inside an option comes after the one it stands in.
        for (index, decision) in decisions.iter().enumerate().rev() {
            if let Some(When { decision, options }) = &decision.when {
                options.iter().for_each(|&option| inner[*decision][option].push(index));
            }
            lengths[index] =
                inner[index].iter().map(|holes| Self::of_option(holes, &lengths)).sum();
        }
        Cover { decisions, inner, lengths }
    }

    fn of_option(holes: &[usize], lengths: &[usize]) -> usize {
        holes.iter().map(|&hole| lengths[hole]).max().unwrap_or(1)
    }

    fn len(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(1)
    }

    /// The genotype of this number; the first takes every first option.
    fn genotype(&self, number: usize) -> Vec<usize> {
        let mut choices = vec![0; self.decisions.len()];
        // What each decision has to take, once it is known to be active.
        let mut turns: Vec<Option<usize>> = vec![None; self.decisions.len()];
        for (index, decision) in self.decisions.iter().enumerate() {
            let turn = if decision.when.is_none() { Some(number) } else { turns[index] };
            let Some(turn) = turn else { continue };
            let mut turn = turn % self.lengths[index];
            for (option, holes) in self.inner[index].iter().enumerate() {
                let length = Self::of_option(holes, &self.lengths);
                if turn < length {
                    choices[index] = option;
                    holes.iter().for_each(|&hole| turns[hole] = Some(turn));
                    break;
                }
                turn -= length;
            }
        }
        choices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::SearchSpace;

    #[test]
    fn a_cover_takes_every_option_in_few_points() {
        let hole = |label: &str, options: usize, when: Option<(usize, &[usize])>| Decision {
            when: when.map(|(decision, options)| When { decision, options: options.to_vec() }),
            ..Decision::new(label, vec!["o".into(); options])
        };
        let decisions = vec![
            hole("a", 3, None),
            hole("a1", 4, Some((0, &[1]))),
            hole("a2", 2, Some((0, &[1]))),
            hole("a21", 3, Some((2, &[1]))),
            hole("b", 5, None),
            hole("c", 2, Some((0, &[0, 2]))),
        ];
        let cover = Cover::new(&decisions);
        // a: four points for the second option (1 + 3 in `a2`), two for each other (`c`).
        assert_eq!(cover.len(), 8);
        let space = SearchSpace { name: "s".into(), decisions: decisions.clone() };
        let mut taken = BTreeSet::new();
        for number in 0..cover.len() {
            let choices = cover.genotype(number);
            let active = (0..choices.len()).filter(|&index| space.is_active(index, &choices));
            taken.extend(active.map(|index| (index, choices[index])));
            assert!(space.contains(&Genotype { choices }));
        }
        assert_eq!(taken.len(), 3 + 4 + 2 + 3 + 5 + 2);
        assert_eq!(cover.genotype(0), [0; 6]);
    }
}
