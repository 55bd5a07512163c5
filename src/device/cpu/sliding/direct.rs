//! Windows over maps whose images, or whose channels with their images, fill whole vectors: what a tap reads is
//! loaded from where it lies.
//!
//! A vector then holds one place of the map, so a tap reads either a whole vector inside the map or nothing.
//! Rows outside the map are one row of what is read there; columns outside it are left out of the loop over
//! the taps. Nothing is copied, at any stride.

use std::ops::Range;

use super::axis::Axis;
use super::layout::{Exit, Layout};
use super::taps::{GRADIENT_ROWS, STRIP, for_heights, vector};
use crate::device::cpu::Kernels;
use crate::device::cpu::isa::for_each_isa;
use crate::device::cpu::simd::{LANES, Simd};

/// Rows of input that a block of output rows reaches, at most: eight at a stride of two under seven taps.
const REACH: usize = 7 * 2 + 7;

/// A channel of maps, and a row of what is read outside of them, at least as long as any row.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) channel: &'a [f32],
    pub(super) outside: &'a [f32],
}

impl<'a> Source<'a> {
    /// The row of a map with rows of `width` numbers, or the one outside.
    #[inline(always)]
    fn row(&self, row: isize, width: usize) -> &'a [f32] {
        let start = usize::try_from(row).ok().map(|row| row * width);
        let inside = start.and_then(|start| self.channel.get(start..start + width));
        inside.unwrap_or(&self.outside[..width])
    }
}

/// The weights of a window.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// One for each tap.
    Shared(&'a [f32]),
    /// As many for each tap as a place has numbers.
    Single(&'a [f32]),
}

/// True if there is code for windows of this height that reads maps where they lie, provided that the numbers of
/// a place are whole vectors.
pub(super) fn is_usual(kernels: Kernels, y: &Axis) -> bool {
    fn is_usual<const K: usize, const STRIDE: usize, const STEP: usize>() -> bool {
        true
    }
    for_heights!(kernels, y, is_usual[](), else false)
}

const USUAL: &str = "`is_usual` knows the windows";

/// Slides a window over a channel: a result is the weighted sum of what the taps inside the map read, or of
/// `max(x, 0)` of it if `RELU`, taken column by column; `source.outside` are zeros.
pub(super) fn slide_directly<const RELU: bool>(
    kernels: Kernels,
    layout: &Layout,
    source: Source<'_>,
    weights: Weights<'_>,
    exit: Exit<'_>,
    output: &mut [f32],
) {
    for_heights!(
        kernels,
        layout.y,
        direct_rows[RELU](kernels, layout, source, weights, exit, output),
        else unreachable!("{USUAL}")
    );
}

/// Adds to the sums of each tap the products of a channel of gradients with what the tap has read;
/// `source.outside` are zeros.
pub(super) fn slide_weights_directly<const RELU: bool>(
    kernels: Kernels,
    layout: &Layout,
    source: Source<'_>,
    gradient: &[f32],
    sums: &mut [[f32; LANES]],
) {
    for_heights!(
        kernels,
        layout.y,
        direct_weights[RELU](kernels, layout, source, gradient, sums),
        else unreachable!("{USUAL}")
    );
}

for_each_isa! {
    fn direct_rows<
        S: Simd, const ROWS: usize, const HALF: usize;
        const RELU: bool, const K: usize, const STRIDE: usize, const STEP: usize
    >(
        simd: S,
        layout: &Layout,
        source: Source<'_>,
        weights: Weights<'_>,
        exit: Exit<'_>,
        output: &mut [f32],
    ) {
        let mut row = 0;
        while row < layout.y.output {
            if layout.y.output - row > HALF {
                layout.direct_block::<S, ROWS, RELU, K, STRIDE, STEP>(
                    simd, row, source, weights, exit, output,
                );
                row += ROWS;
            } else {
                layout.direct_block::<S, HALF, RELU, K, STRIDE, STEP>(
                    simd, row, source, weights, exit, output,
                );
                row += HALF;
            }
        }
    }
    [avx2 <4, 2>, avx512 <8, 4>, elsewhere <2, 1>]
}

for_each_isa! {
    fn direct_weights<
        S: Simd;
        const RELU: bool, const K: usize, const STRIDE: usize, const STEP: usize
    >(
        simd: S,
        layout: &Layout,
        source: Source<'_>,
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
    ) {
        for row in (0..layout.y.output).step_by(GRADIENT_ROWS) {
            layout.direct_weights::<S, RELU, K, STRIDE, STEP>(simd, row, source, gradient, sums);
        }
    }
    [avx2 <>, avx512 <>, elsewhere <>]
}

impl Layout {
    /// Numbers of the longest row, of the input or the output.
    pub(super) fn outside_len(&self) -> usize {
        self.n * self.x.input.max(self.x.output)
    }

    /// `R` rows of results from `row` on, those that there are.
    #[inline(always)]
    fn direct_block<
        S: Simd,
        const R: usize,
        const RELU: bool,
        const K: usize,
        const STRIDE: usize,
        const STEP: usize,
    >(
        &self,
        simd: S,
        row: usize,
        source: Source<'_>,
        weights: Weights<'_>,
        exit: Exit<'_>,
        output: &mut [f32],
    ) {
        let (n, taps) = (self.n, self.x.taps);
        let rows = self.direct_sources::<R, K, STRIDE, STEP>(row, source);
        let weights_len = match weights {
            Weights::Shared(weights) => weights.len(),
            Weights::Single(weights) => weights.len() / n,
        };
        assert!(weights_len >= K * taps, "each tap has weights");
        for column in 0..self.x.output {
            let inside = self.x.taps_inside(column);
            let first = self.x.position(column, inside.start) * n;
            for lane in (0..n).step_by(LANES) {
                let mut sums = [simd.splat(0.0); R];
                for (i, kx) in inside.clone().enumerate() {
                    let at = first + i * self.x.step * n + lane;
                    let mut weight = [simd.splat(0.0); K];
                    for (ky, weight) in weight.iter_mut().enumerate() {
                        let tap = ky * taps + kx;
                        *weight = match weights {
                            Weights::Shared(weights) => {
                                // SAFETY: there are weights for all taps, by the assertion above.
                                simd.splat(unsafe { *weights.get_unchecked(tap) })
                            }
                            Weights::Single(weights) => {
                                // SAFETY: as above, and the lane is one of a place.
                                simd.load(unsafe { vector(weights, tap * n + lane) })
                            }
                        };
                    }
                    for (r, sum) in sums.iter_mut().enumerate() {
                        for (ky, &weight) in weight.iter().enumerate() {
                            // SAFETY: all rows are as long as the map's, and the tap is inside of it.
                            let value = unsafe { vector(rows[r * STRIDE + ky * STEP], at) };
                            let value = simd.load(value);
                            let value = if RELU { simd.relu(value) } else { value };
                            *sum = simd.mul_add(weight, value, *sum);
                        }
                    }
                }
                for (r, sum) in sums.into_iter().enumerate() {
                    if row + r < self.y.output {
                        exit.write(simd, n, [row + r, column], lane, sum, output);
                    }
                }
            }
        }
    }

    /// The rows that the windows of `R` output rows from `row` on reach.
    #[inline(always)]
    fn direct_sources<
        'a,
        const R: usize,
        const K: usize,
        const STRIDE: usize,
        const STEP: usize,
    >(
        &self,
        row: usize,
        source: Source<'a>,
    ) -> [&'a [f32]; REACH] {
        const { assert!((R - 1) * STRIDE + (K - 1) * STEP < REACH, "a block reaches further") };
        let width = self.x.input * self.n;
        let first = (row * STRIDE) as isize - self.y.pad;
        let mut rows = [source.outside; REACH];
        for (u, to) in rows.iter_mut().enumerate().take((R - 1) * STRIDE + (K - 1) * STEP + 1) {
            *to = source.row(first + u as isize, width);
        }
        rows
    }

    /// The products of a block of rows of gradients.
    #[inline(always)]
    fn direct_weights<
        S: Simd,
        const RELU: bool,
        const K: usize,
        const STRIDE: usize,
        const STEP: usize,
    >(
        &self,
        simd: S,
        row: usize,
        source: Source<'_>,
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
    ) {
        let (n, taps, width) = (self.n, self.x.taps, self.width);
        let rows = self.direct_sources::<GRADIENT_ROWS, K, STRIDE, STEP>(row, source);
        let gradient = Source { channel: gradient, outside: source.outside };
        let mut gradients = [source.outside; GRADIENT_ROWS];
        for (r, to) in gradients.iter_mut().enumerate() {
            *to = gradient.row((row + r) as isize, width);
        }
        let strip = (STRIP / n).max(1);
        for first in (0..self.x.output).step_by(strip) {
            for kx in 0..taps {
                let columns = self.x.outputs_inside(kx);
                let columns = columns.start.max(first)..columns.end.min(first + strip);
                let mut totals = [simd.splat(0.0); K];
                for (ky, total) in totals.iter_mut().enumerate() {
                    *total = simd.load(&sums[ky * taps + kx]);
                }
                for column in columns {
                    let at = self.x.position(column, kx) * n;
                    for lane in (0..n).step_by(LANES) {
                        for (r, gradient) in gradients.iter().enumerate() {
                            // SAFETY: all rows of gradients are as long as the output's.
                            let gradient = unsafe { vector(gradient, column * n + lane) };
                            let gradient = simd.load(gradient);
                            for (ky, total) in totals.iter_mut().enumerate() {
                                // SAFETY: as in `direct_block`.
                                let value =
                                    unsafe { vector(rows[r * STRIDE + ky * STEP], at + lane) };
                                let value = simd.load(value);
                                let value = if RELU { simd.relu(value) } else { value };
                                *total = simd.mul_add(gradient, value, *total);
                            }
                        }
                    }
                }
                for (ky, &total) in totals.iter().enumerate() {
                    simd.store(total, &mut sums[ky * taps + kx]);
                }
            }
        }
    }
}

impl Axis {
    /// The taps of an output that are inside the map.
    #[inline(always)]
    fn taps_inside(&self, output: usize) -> Range<usize> {
        let first = (output * self.stride) as isize - self.pad;
        if first >= 0 && first as usize + self.last_tap() < self.input {
            return 0..self.taps;
        }
        let steps = |to: isize| (to.max(0) as usize).div_ceil(self.step.max(1)).min(self.taps);
        let end = steps(self.input as isize - first);
        steps(-first).min(end)..end
    }

    /// The outputs for which a tap is inside the map.
    #[inline(always)]
    fn outputs_inside(&self, tap: usize) -> Range<usize> {
        let first = (tap * self.step) as isize - self.pad;
        let outputs = |to: isize| (to.max(0) as usize).div_ceil(self.stride).min(self.output);
        let end = outputs(self.input as isize - first);
        outputs(-first).min(end)..end
    }

    /// The place in the map that a tap reads, 0 if it is not inside.
    #[inline(always)]
    fn position(&self, output: usize, tap: usize) -> usize {
        ((output * self.stride + tap * self.step) as isize - self.pad).max(0) as usize
    }
}

impl Exit<'_> {
    /// Writes the vector of `n` images from `lane` on of a result, counted in rows and columns.
    #[inline(always)]
    fn write<S: Simd>(
        &self,
        simd: S,
        n: usize,
        [row, column]: [usize; 2],
        lane: usize,
        mut value: S::Vector,
        output: &mut [f32],
    ) {
        let row = self.first[0] + row * self.stride[0];
        let column = self.first[1] + column * self.stride[1];
        let place = row * self.map[1] + column;
        let start = place * n + lane;
        let of = |channel: &[f32]| *channel[start..].first_chunk::<LANES>().expect(WHOLE);
        if let Some(factors) = self.factors {
            value = simd.mul(value, simd.splat(factors[place]));
        }
        if let Some(mask) = self.mask {
            let mask = simd.is_positive(simd.load(&of(mask)));
            value = simd.select(mask, value, simd.splat(0.0));
        }
        let out = output[start..].first_chunk_mut::<LANES>().expect(WHOLE);
        if self.accumulate {
            value = simd.add(simd.load(out), value);
        }
        simd.store(value, out);
    }
}

const WHOLE: &str = "every place of a channel has whole vectors";
