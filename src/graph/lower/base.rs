//! The base width of a scale: [`solve_base`] finds the one at which the last cell has F channels.
//!
//! F grows with the base width, in proportion but for divisions that round down and for layers of a fixed
//! width. The proportion gives a first guess; where it misses, the smallest base width that gives at least
//! F is looked for, from the guess outwards in steps that double, then by bisection. Each width that is
//! tried costs a lowering of the whole network for its shapes.

use std::collections::BTreeMap;

use super::shapes::Shapes;
use super::{Lowering, MAX_CHANNELS, Target, Work, build};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Stage};
use crate::graph::TensorType;
use crate::ir::Module;
use crate::space::Genotype;

/// The width that the proportion is taken at. It divides by all the ratios that cells write.
const PROBE: usize = 96;

/// The one that it is taken at instead where that has channels in groups that do not fit.
const OTHER_PROBE: usize = 840;

/// What the last cell has at base widths, each lowered once.
struct Filters<'a, 'm> {
    module: &'m Module,
    genotype: &'m Genotype,
    target: &'a Target<'m>,
    work: &'a mut Work,
    known: BTreeMap<usize, Result<usize, Diagnostics>>,
    /// True if the last lowering was stopped for want of an end.
    is_endless: bool,
}

impl Filters<'_, '_> {
    /// Channels of the last cell; 0 for a net without cells.
    fn at(&mut self, base: usize) -> Result<usize, Diagnostics> {
        if let Some(found) = self.known.get(&base) {
            return found.clone();
        }
        self.work.check(self.target)?;
        let mut lowering = Lowering {
            shapes: Some(Shapes::default()),
            ..Lowering::new(self.module, self.genotype, self.target, base)
        };
        let filters = lowering.body(self.target).map(|body| lowering.graph.ty(body.last).channels);
        self.work.add(&lowering);
        self.is_endless = lowering.is_stopped;
        let found = Diagnostics::or(Stage::Network, lowering.faults, filters.unwrap_or(0));
        self.known.insert(base, found.clone());
        found
    }

    /// True if a base width gives less than F. Below what can be built there is nothing, above it too
    /// much.
    fn is_less(&mut self, base: usize, f: usize) -> bool {
        match self.at(base) {
            Ok(found) => found < f,
            Err(_) => base < PROBE,
        }
    }
}

/// The base width at which the last cell has `f` channels.
///
/// # Errors
/// E0603 if there is none, the faults of the cells if they have some at every width, E0102 beyond what
/// `work` allows.
pub(super) fn solve_base(
    module: &Module,
    genotype: &Genotype,
    target: &Target,
    f: usize,
    work: &mut Work,
) -> Result<usize, Diagnostics> {
    let known = BTreeMap::new();
    let mut filters = Filters { module, genotype, target, work, known, is_endless: false };
    let at_probe = filters.at(PROBE);
    let guess_from = match &at_probe {
        Ok(found) => Some((PROBE, *found)),
        Err(_) if filters.is_endless => None,
        Err(faults) if faults.iter().all(|fault| fault.code == Code::ChannelsDoNotFit) => {
            filters.at(OTHER_PROBE).ok().map(|found| (OTHER_PROBE, found))
        }
        Err(_) => None,
    };
    if let Err(faults) = &at_probe
        && filters.is_endless
    {
        // No width makes the network smaller.
        return Err(faults.clone());
    }
    let guess =
        guess_from.map(|(probe, found)| (f * probe).div_ceil(found.max(1)).clamp(1, MAX_CHANNELS));
    if let Some(guess) = guess
        && filters.at(guess) == Ok(f)
    {
        return Ok(guess);
    }
    let (low, high) = bracket(&mut filters, f, guess);
    if filters.at(high) == Ok(f) {
        return Ok(high);
    }
    filters.work.check(target)?;
    // A fault at every width is the cells' own and says more than that F cannot be had.
    at_probe?;
    Err(no_base(&mut filters, f, [low, high]).into())
}

/// Two neighbors of which the smaller gives less than F, or is 0, and the larger at least F.
fn bracket(filters: &mut Filters, f: usize, guess: Option<usize>) -> (usize, usize) {
    // Below `low` there is less than F or nothing at all, from `high` on at least F or too much.
    let (mut low, mut high) = (0, MAX_CHANNELS + 1);
    if let Some(guess) = guess {
        let mut step = 1;
        if filters.is_less(guess, f) {
            low = guess;
            while low + step < high {
                if !filters.is_less(low + step, f) {
                    high = low + step;
                    break;
                }
                low += step;
                step *= 2;
            }
        } else {
            high = guess;
            while low + step < high {
                if filters.is_less(high - step, f) {
                    low = high - step;
                    break;
                }
                high -= step;
                step *= 2;
            }
        }
    }
    while low + 1 < high {
        let middle = low.midpoint(high);
        if filters.is_less(middle, f) { low = middle } else { high = middle }
    }
    (low, high)
}

/// E0603, with the nearest scales that can be built.
fn no_base(filters: &mut Filters, f: usize, neighbors: [usize; 2]) -> Diagnostic {
    let Filters { module, genotype, target, .. } = *filters;
    let mut near: Vec<usize> = Vec::new();
    for base in neighbors {
        if let Ok(lowered) = build(module, genotype, target, base, filters.work)
            && !near.contains(&lowered.scale.f)
        {
            near.push(lowered.scale.f);
        }
    }
    let last = target.net.stacked().last().and_then(|entry| module.cell(&entry.cell.name));
    let own = last.filter(|cell| !cell.origin.is_foreign());
    let out = own.map(|cell| cell.outputs[0].block.value.span);
    let span = target.scale_span.or(out).unwrap_or_default();
    let mut text = format!("no base width of net `{}` gives F = {f}", target.net.name.name);
    // Where maps get too small to be halved, widths are others than the net has with its own images.
    if let Some(TensorType { height, width, .. }) = target.image {
        text.push_str(&format!(" for images of {height}x{width} pixels"));
    }
    let fault = Diagnostic::new(Code::FiltersDoNotDivide, span, text);
    let fault = match (filters.at(1), filters.at(PROBE)) {
        (Ok(one), Ok(many)) if one * PROBE == many => {
            fault.label(format!("the last cell has {one} x the base width"))
        }
        (Ok(one), Ok(many)) if one == many => {
            fault.label(format!("the last cell has {one} channels at any base width"))
        }
        _ => fault,
    };
    let near: Vec<String> = near.iter().map(|f| format!("{}@{f}", target.n)).collect();
    let fault = match target.scale_span {
        Some(written) => near.iter().fold(fault, |fault, scale| {
            fault.propose(written, scale, "write a scale that can be built")
        }),
        None => fault,
    };
    match near.as_slice() {
        _ if !fault.help.is_empty() => fault,
        [] => fault.note("use another N or other cells"),
        [only] => fault.note(format!("the nearest scale that can be built: {only}")),
        _ => fault.note(format!("the nearest scales that can be built: {}", near.join(" and "))),
    }
}
