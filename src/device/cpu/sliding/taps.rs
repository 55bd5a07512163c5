//! The innermost loops: what every tap of a window reads, for many outputs at once.

use super::layout::Layout;
use crate::device::cpu::simd::{LANES, Simd};

impl Layout {
    /// Slides the window: `result` is the fold of `op(previous, weight, value)` over the taps,
    /// starting from `init`.
    #[inline(always)]
    pub(super) fn slide<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        source: &[f32],
        weights: &[f32],
        init: f32,
        op: impl Fn(S::Vector, S::Vector, S::Vector) -> S::Vector + Copy,
        result: &mut [f32],
    ) {
        let mut row = 0;
        while row < self.y.output {
            let rows = self.y.output - row;
            if rows >= ROWS {
                self.slide_rows::<S, ROWS>(simd, row, source, weights, init, op, result);
                row += ROWS;
            } else if ROWS > 4 && rows >= 4 {
                self.slide_rows::<S, 4>(simd, row, source, weights, init, op, result);
                row += 4;
            } else if ROWS > 2 && rows >= 2 {
                self.slide_rows::<S, 2>(simd, row, source, weights, init, op, result);
                row += 2;
            } else {
                self.slide_rows::<S, 1>(simd, row, source, weights, init, op, result);
                row += 1;
            }
        }
    }

    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "a part of `slide`, and inlined into it")]
    fn slide_rows<S: Simd, const R: usize>(
        &self,
        simd: S,
        row: usize,
        source: &[f32],
        weights: &[f32],
        init: f32,
        op: impl Fn(S::Vector, S::Vector, S::Vector) -> S::Vector,
        result: &mut [f32],
    ) {
        assert!(source.len() >= self.source_len() && row + R <= self.y.output);
        let step = self.row_step();
        for column in (0..self.width).step_by(LANES) {
            let mut sums = [simd.splat(init); R];
            for (&offset, &weight) in self.offsets.iter().zip(weights) {
                let weight = simd.splat(weight);
                for (r, sum) in sums.iter_mut().enumerate() {
                    let start = (row + r) * step + offset + column;
                    // SAFETY: the row is one of the output and the column one of its width, for
                    // which `Layout::new` asserts that all taps are inside a source.
                    let values = unsafe { vector(source, start) };
                    *sum = op(*sum, weight, simd.load(values));
                }
            }
            for (r, sum) in sums.iter().enumerate() {
                let start = (row + r) * self.width + column;
                simd.store(*sum, vector_mut(&mut result[start..]));
            }
        }
    }

    /// Adds to the sums of each tap the products of `gradient`, laid out as a result, with what the
    /// tap has read from the source.
    #[inline(always)]
    pub(super) fn slide_weights<S: Simd, const TAPS: usize>(
        &self,
        simd: S,
        source: &[f32],
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
    ) {
        let (offsets, offsets_rest) = self.offsets.as_chunks::<TAPS>();
        let (blocks, sums_rest) = sums.as_chunks_mut::<TAPS>();
        for (offsets, sums) in offsets.iter().zip(blocks) {
            self.slide_taps(simd, offsets, source, gradient, sums);
        }
        let rest = offsets_rest.as_chunks::<1>().0.iter().zip(sums_rest.as_chunks_mut::<1>().0);
        for (offset, sums) in rest {
            self.slide_taps(simd, offset, source, gradient, sums);
        }
    }

    #[inline(always)]
    fn slide_taps<S: Simd, const T: usize>(
        &self,
        simd: S,
        offsets: &[usize; T],
        source: &[f32],
        gradient: &[f32],
        sums: &mut [[f32; LANES]; T],
    ) {
        assert!(source.len() >= self.source_len() && gradient.len() == self.result_len());
        let mut totals = [simd.splat(0.0); T];
        for t in 0..T {
            totals[t] = simd.load(&sums[t]);
        }
        for (row, gradient) in gradient.chunks_exact(self.width).enumerate() {
            for (column, gradient) in gradient.as_chunks().0.iter().enumerate() {
                let gradient = simd.load(gradient);
                let start = row * self.row_step() + column * LANES;
                for t in 0..T {
                    // SAFETY: as in `slide_rows`; the offset is one of this layout.
                    let values = unsafe { vector(source, start + offsets[t]) };
                    totals[t] = simd.add(totals[t], simd.mul(gradient, simd.load(values)));
                }
            }
        }
        for t in 0..T {
            simd.store(totals[t], &mut sums[t]);
        }
    }

    /// Length of the buffer of [`Layout::slide_winners`].
    pub(super) fn winners_len(&self) -> usize {
        self.x.taps * self.rows * (self.lead() + self.section)
    }

    /// Sends the gradient of each output to the place where its first largest number was read.
    ///
    /// `gradient` is laid out as a result; `source_gradient` is overwritten. What goes to one
    /// kernel column is collected in a plane of its own, where all outputs are in line with their
    /// vectors: a vector load of numbers just stored by two other stores would have to wait for
    /// both.
    #[inline(always)]
    pub(super) fn slide_winners<S: Simd>(
        &self,
        simd: S,
        source: &[f32],
        gradient: &[f32],
        planes: &mut [f32],
        source_gradient: &mut [f32],
    ) {
        assert_eq!(planes.len(), self.winners_len(), "length of the buffer");
        planes.fill(0.0);
        let mut row = 0;
        while row < self.y.output {
            if self.y.output - row >= 4 {
                self.collect_winners::<S, 4>(simd, row, source, gradient, planes);
                row += 4;
            } else {
                self.collect_winners::<S, 1>(simd, row, source, gradient, planes);
                row += 1;
            }
        }
        self.merge_planes(simd, planes, source_gradient);
    }

    /// The planes of [`Layout::slide_winners`] for `R` rows of outputs, whose searches go on side
    /// by side.
    #[inline(always)]
    fn collect_winners<S: Simd, const R: usize>(
        &self,
        simd: S,
        row: usize,
        source: &[f32],
        gradient: &[f32],
        planes: &mut [f32],
    ) {
        assert!(source.len() >= self.source_len() && row + R <= self.y.output);
        let plane_row = self.lead() + self.section;
        let plane = self.rows * plane_row;
        for column in (0..self.width).step_by(LANES) {
            let mut best = [simd.splat(f32::NEG_INFINITY); R];
            let mut winner = [simd.splat(-1.0); R];
            let mut tap = 0.0;
            for &offset in &self.offsets {
                for r in 0..R {
                    let start = (row + r) * self.row_step() + offset + column;
                    // SAFETY: as in `slide_rows`.
                    let values = simd.load(unsafe { vector(source, start) });
                    let wins = simd.beats(values, best[r]);
                    best[r] = simd.select(wins, values, best[r]);
                    winner[r] = simd.select(wins, simd.splat(tap), winner[r]);
                }
                tap += 1.0;
            }
            for (r, winner) in winner.into_iter().enumerate() {
                let start = (row + r) * self.width + column;
                let gradient = simd.load(gradient[start..].first_chunk().expect(WHOLE));
                let mut tap = 0.0;
                for ky in 0..self.y.taps {
                    let to = ((row + r) * self.y.stride + ky * self.y.step) * plane_row;
                    for kx in 0..self.x.taps {
                        let wins = simd.is_equal(winner, simd.splat(tap));
                        let share = simd.select(wins, gradient, simd.splat(0.0));
                        let to = kx * plane + to + self.lead() + column;
                        let to = vector_mut(&mut planes[to..]);
                        simd.store(simd.add(simd.load(to), share), to);
                        tap += 1.0;
                    }
                }
            }
        }
    }

    /// Adds up the planes of [`Layout::slide_winners`], each shifted by its kernel column.
    #[inline(always)]
    fn merge_planes<S: Simd>(&self, simd: S, planes: &[f32], source_gradient: &mut [f32]) {
        let plane_row = self.lead() + self.section;
        let plane = self.rows * plane_row;
        for phase in 0..self.x.stride {
            let mut taps = (0..self.x.taps).filter(|kx| kx * self.x.step % self.x.stride == phase);
            let mut is_first = true;
            loop {
                // Up to four kernel columns at a time, so that the sums stay in registers.
                let starts: [Option<usize>; 4] = std::array::from_fn(|_| {
                    let kx = taps.next()?;
                    Some(kx * plane + self.lead() - kx * self.x.step / self.x.stride)
                });
                if starts[0].is_none() && !is_first {
                    break;
                }
                for (row, to) in source_gradient.chunks_exact_mut(self.row()).enumerate() {
                    let to = &mut to[phase * self.section..][..self.section];
                    for (column, to) in to.as_chunks_mut().0.iter_mut().enumerate() {
                        let mut sum = if is_first { simd.splat(0.0) } else { simd.load(to) };
                        for start in starts.into_iter().flatten() {
                            let from = &planes[start + row * plane_row + column * LANES..];
                            sum = simd.add(sum, simd.load(from.first_chunk().expect(WHOLE)));
                        }
                        simd.store(sum, to);
                    }
                }
                is_first = false;
            }
        }
    }

    /// Zeros in front of a row of a plane of [`Layout::slide_winners`], as many as the last tap
    /// needs.
    fn lead(&self) -> usize {
        (self.x.last_tap() / self.x.stride).next_multiple_of(LANES)
    }
}

const WHOLE: &str = "rows are whole vectors wide, in `Layout::new`";

/// The vector at `start`.
///
/// # Safety
/// It must be inside the slice.
#[inline(always)]
unsafe fn vector(slice: &[f32], start: usize) -> &[f32; LANES] {
    debug_assert!(start + LANES <= slice.len(), "vector outside of a source");
    // SAFETY: inside the slice by the caller's promise; an array has the alignment of its numbers.
    unsafe { &*slice.as_ptr().add(start).cast() }
}

#[inline(always)]
fn vector_mut(slice: &mut [f32]) -> &mut [f32; LANES] {
    slice.first_chunk_mut().expect(WHOLE)
}
