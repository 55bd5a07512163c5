//! What inference makes of parameters and statistics, kept for the passes that compute with the same ones.
//!
//! Filters are packed for their products, with the scales of the normalizations behind them multiplied in, and the
//! shifts of these normalizations lie behind the filters. A pass over a single image reads every filter a few times
//! only, so that packing them is a part of its work that can be seen.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::device::cpu::memory::Memory;
use crate::device::cpu::pages::zeros;
use crate::device::cpu::{ConvSizes, Kernels};
use crate::device::{ForwardPass, Version};
use crate::plan::{Forward, Mode, Plan, Slot};

/// What packed filters were made of, and for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    version: Version,
    batch: usize,
    kernels: Kernels,
}

/// Packed filters and shifts of a plan's convolutions.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Once all of them are there.
    source: Option<Source>,
    /// By the first number of the weight.
    places: BTreeMap<usize, Range<usize>>,
    numbers: Vec<f32>,
}

impl Kept {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.numbers.len() * size_of::<f32>()
    }

    /// Makes room for what a pass of a plan will keep, unless it finds it there. `None` if it keeps nothing.
    pub(super) fn lend(
        &mut self,
        kernels: Kernels,
        plan: &Plan,
        pass: &ForwardPass<'_>,
    ) -> Option<Lent<'_>> {
        let version = pass.version.filter(|_| plan.mode == Mode::Infer)?;
        let source = Source { version, batch: pass.batch, kernels };
        let is_there = self.source == Some(source);
        if !is_there {
            self.source = None;
            self.places = places(kernels, plan, pass.batch);
            let len = self.places.values().map(|place| place.end).max().unwrap_or(0);
            if self.numbers.len() != len {
                // Nothing in it is worth copying, so the old memory goes first.
                self.numbers = Vec::new();
                self.numbers = zeros(len);
            }
        }
        let Kept { places, numbers, .. } = self;
        Some(Lent { places, numbers: Memory::new(numbers), source, is_there })
    }

    /// Notes that a pass has filled the room that was made for it.
    pub(super) fn is_filled(&mut self, source: Source) {
        self.source = Some(source);
    }
}

/// Where filters, and the shift of each output channel if there are any, lie.
fn places(kernels: Kernels, plan: &Plan, n: usize) -> BTreeMap<usize, Range<usize>> {
    let mut end = 0;
    let steps = plan.forward.iter().filter_map(|step| match step.kernel {
        Forward::Conv { window, groups, x, weight, norm, y, .. } => {
            let (ci, co) = (x.channels, y.view.channels);
            let sizes = ConvSizes { window: &window, n, ci, co, groups };
            let shifts = if norm.is_some() { co } else { 0 };
            Some((weight, kernels.filters_len(sizes) + shifts))
        }
        _ => None,
    });
    let place = |(weight, len): (Slot, usize)| {
        end += len;
        (weight.offset, end - len..end)
    };
    steps.map(place).collect()
}

/// What a pass finds, or fills.
pub(super) struct Lent<'a> {
    places: &'a BTreeMap<usize, Range<usize>>,
    pub(super) numbers: Memory<'a>,
    pub(super) source: Source,
    /// It was filled by an earlier pass.
    pub(super) is_there: bool,
}

impl Lent<'_> {
    /// Where the filters of a weight lie.
    pub(super) fn place(&self, weight: Slot) -> Range<usize> {
        self.places[&weight.offset].clone()
    }
}
