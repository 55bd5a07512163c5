//! The innermost loops: what every tap of a window reads, for many outputs at once.
//!
//! A vector of a source is read once for all the output rows whose windows it is in, so a window of
//! height `K` over `R` rows takes `R + K - 1` loads for each of its columns instead of `R * K`.

use super::layout::{Exit, Layout};
use crate::device::cpu::Kernels;
use crate::device::cpu::isa::for_each_isa;
use crate::device::cpu::simd::{LANES, Simd, masked};

/// Columns that a pass over a block of rows takes at a time, so that they stay in the first cache.
pub(super) const STRIP: usize = 256;

/// Calls a function with the height of a window as constants: its taps, its stride and the rows from one tap to
/// the next. Other windows than the usual ones take the last branch, and so do all where nothing is specialized.
macro_rules! for_heights {
    ($kernels:expr, $axis:expr, $function:ident[$($own:tt),*]$args:tt, else $other:expr) => {
        match ($axis.taps, $axis.stride, $axis.step) {
            _ if !$kernels.isa().is_specialized() => $other,
            (1, 1, _) => $function::<$($own,)* 1, 1, 1>$args,
            (2, 1, 1) => $function::<$($own,)* 2, 1, 1>$args,
            (3, 1, 1) => $function::<$($own,)* 3, 1, 1>$args,
            (4, 1, 1) => $function::<$($own,)* 4, 1, 1>$args,
            (5, 1, 1) => $function::<$($own,)* 5, 1, 1>$args,
            (7, 1, 1) => $function::<$($own,)* 7, 1, 1>$args,
            (3, 1, 2) => $function::<$($own,)* 3, 1, 2>$args,
            (5, 1, 2) => $function::<$($own,)* 5, 1, 2>$args,
            (3, 2, 1) => $function::<$($own,)* 3, 2, 1>$args,
            (5, 2, 1) => $function::<$($own,)* 5, 2, 1>$args,
            (7, 2, 1) => $function::<$($own,)* 7, 2, 1>$args,
            _ => $other,
        }
    };
}

pub(super) use for_heights;

/// Rows of results and where they go.
pub(super) struct Results<'a, 'b> {
    /// Numbers of the first result row on.
    pub(super) out: &'a mut [f32],
    /// From one row to the next.
    pub(super) pitch: usize,
    /// Numbers of a row that are written.
    pub(super) width: usize,
    /// As in [`Exit`], from the first result row on.
    pub(super) mask: Option<&'b [f32]>,
    /// As in [`Exit`], from the first result row on.
    pub(super) factors: Option<&'b [f32]>,
    /// As in [`Exit`].
    pub(super) accumulate: bool,
}

/// Slides a window over a source: a result is the weighted sum of what the taps read, taken column by column.
pub(super) fn slide(
    kernels: Kernels,
    layout: &Layout,
    source: &[f32],
    weights: &[f32],
    outputs: usize,
    results: Results<'_, '_>,
) {
    for_heights!(
        kernels,
        layout.y,
        rows_of[](kernels, layout, source, weights, outputs, results),
        else any_sums(kernels, layout, source, weights, outputs, results)
    );
}

for_each_isa! {
    fn rows_of<
        S: Simd, const ROWS: usize;
        const K: usize, const STRIDE: usize, const STEP: usize
    >(
        simd: S,
        layout: &Layout,
        source: &[f32],
        weights: &[f32],
        outputs: usize,
        results: Results<'_, '_>,
    ) {
        layout.rows_of::<S, ROWS, K, STRIDE, STEP>(
            simd, source, weights, outputs, results,
        );
    }
    [avx2 <2>, avx512 <8>, elsewhere <2>]
}

for_each_isa! {
    fn any_sums<S: Simd, const ROWS: usize>(
        simd: S,
        layout: &Layout,
        source: &[f32],
        weights: &[f32],
        outputs: usize,
        results: Results<'_, '_>,
    ) {
        layout.rows_of::<S, ROWS, 0, 0, 0>(simd, source, weights, outputs, results);
    }
    [portable <2>, avx2 <2>, avx512 <8>]
}

/// Adds to the sums of each tap the products of gradients, rows of [`Layout::width`] numbers, with what the tap has
/// read from the source.
pub(super) fn slide_weights(
    kernels: Kernels,
    layout: &Layout,
    source: &[f32],
    gradient: &[f32],
    sums: &mut [[f32; LANES]],
) {
    for_heights!(
        kernels,
        layout.y,
        weights_of[](kernels, layout, source, gradient, sums),
        else any_weights(kernels, layout, source, gradient, sums)
    );
}

/// Rows of gradients in a block, the same for all instruction sets, because sums are taken in the order of the
/// blocks.
pub(super) const GRADIENT_ROWS: usize = 8;

for_each_isa! {
    fn weights_of<S: Simd; const K: usize, const STRIDE: usize, const STEP: usize>(
        simd: S,
        layout: &Layout,
        source: &[f32],
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
    ) {
        layout.weights_of::<S, GRADIENT_ROWS, K, STRIDE, STEP>(simd, source, gradient, sums);
    }
    [avx2 <>, avx512 <>, elsewhere <>]
}

for_each_isa! {
    fn any_weights<S: Simd>(
        simd: S,
        layout: &Layout,
        source: &[f32],
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
    ) {
        for ky in 0..layout.y.taps {
            let source = &source[ky * layout.y.step * layout.row()..];
            let sums = &mut sums[ky * layout.x.taps..][..layout.x.taps];
            layout.weights_of::<S, GRADIENT_ROWS, 1, 0, 0>(simd, source, gradient, sums);
        }
    }
    [portable <>, avx2 <>, avx512 <>]
}

impl Layout {
    #[inline(always)]
    fn rows_of<
        S: Simd,
        const ROWS: usize,
        const K: usize,
        const STRIDE: usize,
        const STEP: usize,
    >(
        &self,
        simd: S,
        source: &[f32],
        weights: &[f32],
        outputs: usize,
        mut results: Results<'_, '_>,
    ) {
        let results = &mut results;
        let mut row = 0;
        while row < outputs {
            if outputs - row >= ROWS {
                self.block::<S, ROWS, K, STRIDE, STEP>(simd, row, source, weights, results);
                row += ROWS;
            } else if ROWS > 2 && outputs - row >= 2 {
                self.block::<S, 2, K, STRIDE, STEP>(simd, row, source, weights, results);
                row += 2;
            } else {
                self.block::<S, 1, K, STRIDE, STEP>(simd, row, source, weights, results);
                row += 1;
            }
        }
    }

    /// `R` rows of results. A window of `K` taps every `STEP` rows at the stride `STRIDE`, or any if `K` is 0.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const K: usize, const STRIDE: usize, const STEP: usize>(
        &self,
        simd: S,
        row: usize,
        source: &[f32],
        weights: &[f32],
        results: &mut Results<'_, '_>,
    ) {
        assert!(source.len() >= self.source_len(row + R), "the windows are inside of the source");
        let (pitch, taps) = (self.row(), self.x.taps);
        let source = &source[row * self.y.stride * pitch..];
        for column in (0..self.width).step_by(LANES) {
            let mut sums = [simd.splat(0.0); R];
            for (kx, &offset) in self.columns.iter().enumerate() {
                let base = offset + column;
                if K > 0 {
                    let mut weight = [simd.splat(0.0); K];
                    for (ky, weight) in weight.iter_mut().enumerate() {
                        *weight = simd.splat(weights[ky * taps + kx]);
                    }
                    for (r, sum) in sums.iter_mut().enumerate() {
                        for (ky, &weight) in weight.iter().enumerate() {
                            let start = base + (r * STRIDE + ky * STEP) * pitch;
                            // SAFETY: the row is one of the windows', by the assertion above; the
                            // column is inside of a row, by the one in `Layout::new`.
                            let value = simd.load(unsafe { vector(source, start) });
                            *sum = simd.mul_add(weight, value, *sum);
                        }
                    }
                } else {
                    for ky in 0..self.y.taps {
                        let weight = simd.splat(weights[ky * taps + kx]);
                        for (r, sum) in sums.iter_mut().enumerate() {
                            let start = base + (r * self.y.stride + ky * self.y.step) * pitch;
                            // SAFETY: as above.
                            let value = simd.load(unsafe { vector(source, start) });
                            *sum = simd.mul_add(weight, value, *sum);
                        }
                    }
                }
            }
            for (r, sum) in sums.into_iter().enumerate() {
                results.write(simd, row + r, column, sum);
            }
        }
    }

    #[inline(always)]
    fn weights_of<
        S: Simd,
        const ROWS: usize,
        const K: usize,
        const STRIDE: usize,
        const STEP: usize,
    >(
        &self,
        simd: S,
        source: &[f32],
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
    ) {
        let outputs = gradient.len() / self.width.max(1);
        let mut row = 0;
        while row < outputs {
            if outputs - row >= ROWS {
                self.weight_block::<S, ROWS, K, STRIDE, STEP>(simd, row, source, gradient, sums);
                row += ROWS;
            } else {
                self.weight_block::<S, 1, K, STRIDE, STEP>(simd, row, source, gradient, sums);
                row += 1;
            }
        }
    }

    #[inline(always)]
    fn weight_block<
        S: Simd,
        const R: usize,
        const K: usize,
        const STRIDE: usize,
        const STEP: usize,
    >(
        &self,
        simd: S,
        row: usize,
        source: &[f32],
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
    ) {
        let (pitch, taps) = (self.row(), self.x.taps);
        let stride = if STRIDE == 0 { self.y.stride } else { STRIDE };
        let source = &source[row * self.y.stride * pitch..];
        assert!(
            source.len() >= ((R - 1) * stride + (K - 1) * STEP + 1) * pitch,
            "windows are inside of the source"
        );
        let gradient = &gradient[row * self.width..][..R * self.width];
        for strip in (0..self.width).step_by(STRIP) {
            let end = self.width.min(strip + STRIP);
            for (kx, &offset) in self.columns.iter().enumerate() {
                let mut totals = [simd.splat(0.0); K];
                for (ky, total) in totals.iter_mut().enumerate() {
                    *total = simd.load(&sums[ky * taps + kx]);
                }
                for column in (strip..end).step_by(LANES) {
                    for r in 0..R {
                        let gradient =
                            &gradient[r * self.width + column..][..LANES.min(end - column)];
                        let gradient = load_part(simd, gradient);
                        for (ky, total) in totals.iter_mut().enumerate() {
                            let start = offset + column + (r * stride + ky * STEP) * pitch;
                            // SAFETY: as in `block`.
                            let value = simd.load(unsafe { vector(source, start) });
                            *total = simd.mul_add(gradient, value, *total);
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

impl Results<'_, '_> {
    #[inline(always)]
    fn write<S: Simd>(&mut self, simd: S, row: usize, column: usize, value: S::Vector) {
        let start = row * self.pitch + column;
        let len = LANES.min(self.width - column);
        let out = &mut self.out[start..][..len];
        if let Some(out) = out.first_chunk_mut::<LANES>() {
            let mut value = value;
            if let Some(factors) = self.factors {
                value = simd.mul(value, simd.load(factors[start..].first_chunk().expect(WHOLE)));
            }
            if let Some(mask) = self.mask {
                let mask = simd.load(mask[start..].first_chunk().expect(WHOLE));
                value = simd.select(simd.is_positive(mask), value, simd.splat(0.0));
            }
            if self.accumulate {
                value = simd.add(simd.load(out), value);
            }
            simd.store(value, out);
            return;
        }
        let mut values = [0.0; LANES];
        simd.store(value, &mut values);
        for (i, (out, mut value)) in out.iter_mut().zip(values).enumerate() {
            value *= self.factors.map_or(1.0, |factors| factors[start + i]);
            value = self.mask.map_or(value, |mask| masked(value, mask[start + i]));
            *out = if self.accumulate { *out + value } else { value };
        }
    }
}

impl Exit<'_> {
    /// Writes the results of rows that do not lie together in the map, in order from row `row` on.
    #[inline(always)]
    fn scatter(&self, layout: &Layout, row: usize, results: &[f32], channel: &mut [f32]) {
        let (n, width) = (layout.n, self.map[1] * layout.n);
        for (r, from) in results.chunks_exact(layout.pitch()).enumerate() {
            let start = (self.first[0] + (row + r) * self.stride[0]) * width + self.first[1] * n;
            let step = self.stride[1] * n;
            for (i, from) in from[..layout.width].chunks_exact(n).enumerate() {
                let start = start + i * step;
                let to = &mut channel[start..][..n];
                match self.mask {
                    Some(mask) => {
                        let mask = &mask[start..][..n];
                        for ((to, &from), &x) in to.iter_mut().zip(from).zip(mask) {
                            let value = masked(from, x);
                            *to = if self.accumulate { *to + value } else { value };
                        }
                    }
                    None => {
                        for (to, &from) in to.iter_mut().zip(from) {
                            *to = if self.accumulate { *to + from } else { from };
                        }
                    }
                }
            }
        }
    }
}

for_each_isa! {
    /// [`Exit::scatter`]
    pub(super) fn scatter(
        exit: Exit<'_>,
        layout: &Layout,
        row: usize,
        results: &[f32],
        channel: &mut [f32],
    ) {
        exit.scatter(layout, row, results, channel);
    }
}

const WHOLE: &str = "a channel of masks or factors is as long as one of results";

/// A vector of at most [`LANES`] numbers, and zeros.
#[inline(always)]
pub(super) fn load_part<S: Simd>(simd: S, from: &[f32]) -> S::Vector {
    match from.first_chunk() {
        Some(from) => simd.load(from),
        None => {
            let mut values = [0.0; LANES];
            values[..from.len()].copy_from_slice(from);
            simd.load(&values)
        }
    }
}

/// The first lanes of a vector, as many as there is room for.
#[inline(always)]
pub(super) fn store_part<S: Simd>(simd: S, x: S::Vector, to: &mut [f32]) {
    match to.first_chunk_mut() {
        Some(to) => simd.store(x, to),
        None => {
            let mut values = [0.0; LANES];
            simd.store(x, &mut values);
            to.copy_from_slice(&values[..to.len()]);
        }
    }
}

/// The vector at `start`.
///
/// # Safety
/// It must be inside the slice.
#[inline(always)]
pub(super) unsafe fn vector(slice: &[f32], start: usize) -> &[f32; LANES] {
    debug_assert!(start + LANES <= slice.len(), "vector outside of a source");
    // SAFETY: inside the slice by the caller's promise; an array has the alignment of its numbers.
    unsafe { &*slice.as_ptr().add(start).cast() }
}

/// The vector at `start` to write to.
///
/// # Safety
/// As for [`vector`].
#[inline(always)]
pub(super) unsafe fn vector_mut(slice: &mut [f32], start: usize) -> &mut [f32; LANES] {
    debug_assert!(start + LANES <= slice.len(), "vector outside of a source");
    // SAFETY: as in `vector`.
    unsafe { &mut *slice.as_mut_ptr().add(start).cast() }
}
