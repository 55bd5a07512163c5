//! Sliding windows over single channels: depthwise convolutions and pools, and their gradients.
//!
//! The numbers of all images at one place of a map lie together, so a vector holds the same place of
//! several images, and a window slides over all of them at once. Where the images are whole vectors, maps are
//! read where they lie (`direct`). Otherwise a channel is copied into a padded source first, some rows at a
//! time, so that no window is cut off at the border. A horizontal stride is taken out while the source is
//! filled: columns are sorted by their remainder, so that what one tap reads is contiguous.
//!
//! A data gradient is a sliding window, too: over the gradient of the output, one for each
//! remainder of the input position by the stride, with the taps that meet this remainder in reverse
//! order.

mod axis;
mod direct;
mod layout;
mod taps;

pub(super) use axis::{Axis, Phase};
pub(super) use layout::{Entry, Exit, Layout};

use super::isa::for_each_isa;
use super::simd::LANES;
use direct::{Source, Start};
use taps::Results;

for_each_isa! {
    /// Weighted sums over the windows of one channel, with a buffer of [`Layout::buffer_len`].
    pub(super) fn weighted_sums<S: Simd, const ROWS: usize, const HALF: usize>(
        simd: S,
        layout: &Layout,
        entry: Entry<'_>,
        weights: &[f32],
        exit: Exit<'_>,
        input: &[f32],
        output: &mut [f32],
        buffer: &mut [f32],
    ) {
        let add = |sum, weight, x| simd.add(sum, simd.mul(weight, x));
        if layout.is_direct() {
            let (outside, scaled) = buffer.split_at_mut(layout.outside_len());
            outside.fill(0.0);
            let (start, outside) = (Start { inside: 0.0, clipped: 0.0 }, &*outside);
            if matches!(entry, Entry::Rectified) {
                let source = Source { channel: input, outside };
                layout.slide_directly::<S, ROWS, HALF, true>(
                    simd, source, weights, start, add, exit, output,
                );
            } else {
                let source = Source { channel: entry.scaled(input, scaled), outside };
                layout.slide_directly::<S, ROWS, HALF, false>(
                    simd, source, weights, start, add, exit, output,
                );
            }
            return;
        }
        let (source, result) = buffer.split_at_mut(layout.slab_len());
        for first in (0..layout.y.output).step_by(layout.slab) {
            let outputs = layout.slab.min(layout.y.output - first);
            let source = &mut source[..layout.source_len(outputs)];
            layout.pack(first, input, entry, 0.0, source);
            if exit.is_whole(layout) {
                let start = first * layout.width;
                let results = Results {
                    out: &mut output[start..],
                    pitch: layout.width,
                    width: layout.width,
                    mask: exit.mask.map(|mask| &mask[start..]),
                    factors: exit.factors.map(|factors| &factors[start..]),
                    accumulate: exit.accumulate,
                };
                layout.slide::<S, ROWS>(simd, source, weights, 0.0, add, outputs, results);
            } else {
                let pitch = layout.pitch();
                let result = &mut result[..outputs * pitch];
                let results = Results {
                    out: &mut *result,
                    pitch,
                    width: pitch,
                    mask: None,
                    factors: None,
                    accumulate: false,
                };
                layout.slide::<S, ROWS>(simd, source, weights, 0.0, add, outputs, results);
                exit.scatter(layout, first, result, output);
            }
        }
    }
    [portable <2, 1>, avx2 <2, 1>, avx512 <8, 4>]
}

for_each_isa! {
    /// Gradients of the weights of [`weighted_sums`], `LANES` partial sums for each, with a buffer as there.
    pub(super) fn weighted_sums_backward<S: Simd, const ROWS: usize>(
        simd: S,
        layout: &Layout,
        entry: Entry<'_>,
        input: &[f32],
        gradient: &[f32],
        sums: &mut [[f32; LANES]],
        buffer: &mut [f32],
    ) {
        if layout.is_direct() {
            let (outside, scaled) = buffer.split_at_mut(layout.outside_len());
            outside.fill(0.0);
            if matches!(entry, Entry::Rectified) {
                let source = Source { channel: input, outside };
                layout.slide_weights_directly::<S, true>(simd, source, gradient, sums);
            } else {
                let source = Source { channel: entry.scaled(input, scaled), outside };
                layout.slide_weights_directly::<S, false>(simd, source, gradient, sums);
            }
            return;
        }
        for first in (0..layout.y.output).step_by(layout.slab) {
            let outputs = layout.slab.min(layout.y.output - first);
            let source = &mut buffer[..layout.source_len(outputs)];
            layout.pack(first, input, entry, 0.0, source);
            let gradient = &gradient[first * layout.width..][..outputs * layout.width];
            layout.slide_weights::<S, ROWS>(simd, source, gradient, sums);
        }
    }
    // The same for all, because sums are taken in the order of the blocks.
    [portable <8>, avx2 <8>, avx512 <8>]
}

for_each_isa! {
    /// Largest numbers in the windows of one channel, with a buffer as for [`weighted_sums`].
    pub(super) fn maxima<S: Simd, const ROWS: usize, const HALF: usize>(
        simd: S,
        layout: &Layout,
        beyond: f32,
        weights: &[f32],
        input: &[f32],
        output: &mut [f32],
        buffer: &mut [f32],
    ) {
        let better = |best, _, x| simd.select(simd.beats(x, best), x, best);
        let least = f32::NEG_INFINITY;
        if layout.is_direct() {
            let outside = &mut buffer[..layout.outside_len()];
            outside.fill(beyond);
            let source = Source { channel: input, outside };
            let start = Start { inside: least, clipped: beyond };
            let exit = Exit::whole([layout.y.output, layout.x.output]);
            layout.slide_directly::<S, ROWS, HALF, false>(
                simd, source, weights, start, better, exit, output,
            );
            return;
        }
        for first in (0..layout.y.output).step_by(layout.slab) {
            let outputs = layout.slab.min(layout.y.output - first);
            let source = &mut buffer[..layout.source_len(outputs)];
            layout.pack(first, input, Entry::Plain, beyond, source);
            let results = Results {
                out: &mut output[first * layout.width..],
                pitch: layout.width,
                width: layout.width,
                mask: None,
                factors: None,
                accumulate: false,
            };
            layout.slide::<S, ROWS>(simd, source, weights, least, better, outputs, results);
        }
    }
    [portable <2, 1>, avx2 <2, 1>, avx512 <8, 4>]
}

/// Length of the buffer of [`maxima_backward`].
pub(super) fn maxima_backward_len(layout: &Layout) -> usize {
    2 * layout.source_len(layout.y.output)
}

for_each_isa! {
    /// The gradient of [`maxima`]: it goes to the first tap that reads the largest number.
    pub(super) fn maxima_backward<S: Simd>(
        simd: S,
        layout: &Layout,
        beyond: f32,
        input: &[f32],
        gradient: &[f32],
        accumulate: bool,
        input_gradient: &mut [f32],
        buffer: &mut [f32],
    ) {
        let (source, source_gradient) = buffer.split_at_mut(buffer.len() / 2);
        layout.pack(0, input, Entry::Plain, beyond, source);
        source_gradient.fill(0.0);
        layout.slide_winners(simd, source, gradient, source_gradient);
        layout.unpack(source_gradient, accumulate, input_gradient);
    }
    [portable <>, avx2 <>, avx512 <>]
}
