//! Largest numbers of windows, and their gradients.
//!
//! The largest number of a window is the largest of its rows' largest, so it is found along one axis after the
//! other, and its gradient is handed back along one after the other: the taps of the two axes add up and do not
//! multiply. The first row of those that have the largest number, and in it the first column, is the first of the
//! window in row order.

use smallvec::SmallVec;

use super::layout::{Entry, Layout};
use super::taps::{load_part, store_part, vector, vector_mut};
use crate::device::cpu::isa::for_each_isa;
use crate::device::cpu::simd::{LANES, Simd};

/// Numbers of a row that are treated at a time, for all rows: what lies between the axes stays in the first cache.
const STRIP: usize = 4 * LANES;

/// A tap along one axis.
#[derive(Clone, Copy)]
struct Tap {
    /// From what the first tap reads to what this one does.
    offset: usize,
    /// 0 for the first, 1 for the second and so on: what a vector of winners holds.
    number: f32,
}

/// The taps along one axis, in order.
struct Taps {
    taps: SmallVec<[Tap; 8]>,
    /// The least length of what all of them read.
    reach: usize,
}

impl Taps {
    fn new(offsets: impl Iterator<Item = usize>) -> Taps {
        let taps = offsets.enumerate().map(|(index, offset)| Tap { offset, number: index as f32 });
        let taps: SmallVec<[Tap; 8]> = taps.collect();
        let last = taps.iter().map(|tap| tap.offset).max();
        Taps { taps, reach: last.map_or(0, |last| last + LANES) }
    }

    /// Those of a row, which read a source.
    fn of_row(layout: &Layout) -> Taps {
        Taps::new(layout.columns.iter().copied())
    }

    /// Those of a column, which read what strips hold of the rows.
    fn of_column(layout: &Layout) -> Taps {
        Taps::new((0..layout.y.taps).map(|ky| ky * layout.y.step * STRIP))
    }

    /// The largest of what they read and the first that reads it, -1 if all read negative infinity.
    #[inline(always)]
    fn largest<S: Simd>(&self, simd: S, from: &[f32]) -> (S::Vector, S::Vector) {
        assert!(from.len() >= self.reach, "{INSIDE}");
        let mut best = simd.splat(f32::NEG_INFINITY);
        let mut winner = simd.splat(-1.0);
        for tap in &self.taps {
            // SAFETY: all of them are within reach, which is inside by the assertion.
            let value = simd.load(unsafe { vector(from, tap.offset) });
            let wins = simd.beats(value, best);
            best = simd.select(wins, value, best);
            winner = simd.select(wins, simd.splat(tap.number), winner);
        }
        (best, winner)
    }

    /// Adds a gradient to what the winner of [`Taps::largest`] has read.
    #[inline(always)]
    fn hand_back<S: Simd>(&self, simd: S, winner: S::Vector, gradient: S::Vector, to: &mut [f32]) {
        assert!(to.len() >= self.reach, "{INSIDE}");
        for tap in &self.taps {
            let wins = simd.is_equal(winner, simd.splat(tap.number));
            let share = simd.select(wins, gradient, simd.splat(0.0));
            // SAFETY: as in `largest`.
            let to = unsafe { vector_mut(to, tap.offset) };
            simd.store(simd.add(simd.load(to), share), to);
        }
    }
}

const INSIDE: &str = "what a tap reads is inside of a row, in `Layout::new`";

impl Layout {
    /// Length of the buffer of [`maxima`].
    pub(in super::super) fn maxima_len(&self) -> usize {
        self.slab_len() + self.rows(self.slab) * STRIP
    }

    /// Length of the buffer of [`maxima_backward`].
    pub(in super::super) fn maxima_backward_len(&self) -> usize {
        2 * self.source_len(self.y.output) + 3 * self.rows(self.y.output) * STRIP
    }

    /// The columns of the results' rows, in strips.
    fn strips(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let width = self.width;
        (0..width).step_by(STRIP).map(move |column| (column, STRIP.min(width - column)))
    }
}

for_each_isa! {
    /// Largest numbers in the windows of one channel or of channels that lie together, with a buffer of
    /// [`Layout::maxima_len`]. What is outside of the map is `beyond`.
    pub(in super::super) fn maxima<S: Simd>(
        simd: S,
        layout: &Layout,
        beyond: f32,
        input: &[f32],
        output: &mut [f32],
        buffer: &mut [f32],
    ) {
        let (row_taps, column_taps) = (Taps::of_row(layout), Taps::of_column(layout));
        let (source, in_rows) = buffer.split_at_mut(layout.slab_len());
        let in_rows = in_rows.as_chunks_mut().0;
        let slabs = output.chunks_mut((layout.slab * layout.width).max(1));
        for (slab, output) in slabs.enumerate() {
            let outputs = output.len() / layout.width;
            let source = &mut source[..layout.source_len(outputs)];
            layout.pack(slab * layout.slab, input, Entry::Plain, beyond, source);
            for (column, len) in layout.strips() {
                let lanes = || (0..len).step_by(LANES);
                for row in 0..layout.rows(outputs) {
                    for lane in lanes() {
                        let start = row * layout.row() + column + lane;
                        let (best, _) = row_taps.largest(simd, &source[start..]);
                        simd.store(best, &mut in_rows[(row * STRIP + lane) / LANES]);
                    }
                }
                for (row, output) in output.chunks_exact_mut(layout.width).enumerate() {
                    for lane in lanes() {
                        let start = row * layout.y.stride * STRIP + lane;
                        let (best, _) = column_taps.largest(simd, &in_rows.as_flattened()[start..]);
                        store_part(simd, best, &mut output[column + lane..column + len]);
                    }
                }
            }
        }
    }
    [portable <>, avx2 <>, avx512 <>]
}

for_each_isa! {
    /// The gradient of [`maxima`] for a channel, which goes to the first tap that reads the largest number, with a
    /// buffer of [`Layout::maxima_backward_len`].
    pub(in super::super) fn maxima_backward<S: Simd>(
        simd: S,
        layout: &Layout,
        beyond: f32,
        input: &[f32],
        gradient: &[f32],
        accumulate: bool,
        input_gradient: &mut [f32],
        buffer: &mut [f32],
    ) {
        let (row_taps, column_taps) = (Taps::of_row(layout), Taps::of_column(layout));
        let (source, buffer) = buffer.split_at_mut(layout.source_len(layout.y.output));
        let (source_gradient, strips) = buffer.split_at_mut(source.len());
        let (in_rows, strips) = strips.split_at_mut(strips.len() / 3);
        let (winners, gradients) = strips.split_at_mut(in_rows.len());
        let (in_rows, winners) = (in_rows.as_chunks_mut().0, winners.as_chunks_mut().0);
        let gradients = gradients.as_chunks_mut::<LANES>().0;
        layout.pack(0, input, Entry::Plain, beyond, source);
        source_gradient.fill(0.0);
        for (column, len) in layout.strips() {
            let lanes = || (0..len).step_by(LANES);
            for row in 0..layout.rows(layout.y.output) {
                for lane in lanes() {
                    let start = row * layout.row() + column + lane;
                    let at = (row * STRIP + lane) / LANES;
                    let (best, winner) = row_taps.largest(simd, &source[start..]);
                    simd.store(best, &mut in_rows[at]);
                    simd.store(winner, &mut winners[at]);
                }
            }
            gradients.fill([0.0; LANES]);
            for (row, gradient) in gradient.chunks_exact(layout.width.max(1)).enumerate() {
                for lane in lanes() {
                    let start = row * layout.y.stride * STRIP + lane;
                    let (_, winner) = column_taps.largest(simd, &in_rows.as_flattened()[start..]);
                    let gradient = load_part(simd, &gradient[column + lane..column + len]);
                    column_taps.hand_back(
                        simd,
                        winner,
                        gradient,
                        &mut gradients.as_flattened_mut()[start..],
                    );
                }
            }
            for row in 0..layout.rows(layout.y.output) {
                for lane in lanes() {
                    let start = row * layout.row() + column + lane;
                    let at = (row * STRIP + lane) / LANES;
                    let (winner, gradient) = (simd.load(&winners[at]), simd.load(&gradients[at]));
                    row_taps.hand_back(simd, winner, gradient, &mut source_gradient[start..]);
                }
            }
        }
        layout.unpack(source_gradient, accumulate, input_gradient);
    }
    [portable <>, avx2 <>, avx512 <>]
}
