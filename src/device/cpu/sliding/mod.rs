//! Sliding windows over single maps: depthwise convolutions and pools, and their gradients.
//!
//! Maps of a network are often smaller than a vector register is wide, so several maps of one
//! channel are laid side by side into one wide, padded source, and a window slides over all of them
//! at once. The gap between two maps is the padding of both. A horizontal stride is taken out while
//! the source is filled: columns are sorted by their remainder, so that what one tap reads is
//! contiguous.
//!
//! A data gradient is a sliding window, too: over the gradient of the output, one for each
//! remainder of the input position by the stride, with the taps that meet this remainder in reverse
//! order.

mod axis;
mod grid;
mod layout;
mod taps;

pub(super) use axis::{Axis, Phase};
pub(super) use layout::{Entry, Exit, Layout};

use super::isa::for_each_isa;
use super::simd::LANES;

for_each_isa! {
    /// Weighted sums over windows for the maps of one channel; the buffer is for a source and a
    /// result.
    pub(super) fn weighted_sums<S: Simd, const ROWS: usize>(
        simd: S,
        layout: &Layout,
        entry: Entry<'_>,
        weights: &[f32],
        exit: Exit<'_>,
        inputs: &[f32],
        outputs: &mut [f32],
        buffer: &mut [f32],
    ) {
        let (source, result) = buffer.split_at_mut(layout.source_len());
        source.fill(0.0);
        let area = exit.map[0] * exit.map[1];
        let groups = inputs.chunks(layout.group * layout.input_area());
        for (i, (input, output)) in groups.zip(outputs.chunks_mut(layout.group * area)).enumerate() {
            layout.pack(input, entry, source);
            let add = |sum, weight, x| simd.add(sum, simd.mul(weight, x));
            layout.slide::<S, ROWS>(simd, source, weights, 0.0, add, result);
            exit.write(layout, result, i * layout.group, output);
        }
    }
    [portable <2>, avx2 <4>, avx512 <8>]
}

for_each_isa! {
    /// Gradients of the weights of [`weighted_sums`], `LANES` partial sums for each.
    pub(super) fn weighted_sums_backward<S: Simd, const TAPS: usize>(
        simd: S,
        layout: &Layout,
        entry: Entry<'_>,
        inputs: &[f32],
        gradients: &[f32],
        sums: &mut [[f32; LANES]],
        buffer: &mut [f32],
    ) {
        let (source, result) = buffer.split_at_mut(layout.source_len());
        source.fill(0.0);
        let area = layout.y.output * layout.x.output;
        let groups = inputs.chunks(layout.group * layout.input_area());
        for (input, gradient) in groups.zip(gradients.chunks(layout.group * area)) {
            layout.pack(input, entry, source);
            layout.pack_result(gradient, result);
            layout.slide_weights::<S, TAPS>(simd, source, result, sums);
        }
    }
    [portable <2>, avx2 <4>, avx512 <8>]
}

for_each_isa! {
    /// Largest numbers in windows for the maps of one channel.
    pub(super) fn maxima<S: Simd, const ROWS: usize>(
        simd: S,
        layout: &Layout,
        beyond: f32,
        weights: &[f32],
        inputs: &[f32],
        outputs: &mut [f32],
        buffer: &mut [f32],
    ) {
        let (source, result) = buffer.split_at_mut(layout.source_len());
        source.fill(beyond);
        let map = [layout.y.output, layout.x.output];
        let groups = inputs.chunks(layout.group * layout.input_area());
        for (input, output) in groups.zip(outputs.chunks_mut(layout.group * map[0] * map[1])) {
            layout.pack(input, Entry::Plain, source);
            let better = |best, _, x| simd.select(simd.beats(x, best), x, best);
            layout.slide::<S, ROWS>(simd, source, weights, f32::NEG_INFINITY, better, result);
            Exit::whole(map).write(layout, result, 0, output);
        }
    }
    [portable <2>, avx2 <4>, avx512 <8>]
}

/// Length of the buffer of [`maxima_backward`].
pub(super) fn maxima_backward_len(layout: &Layout) -> usize {
    2 * layout.source_len() + layout.result_len() + layout.winners_len()
}

for_each_isa! {
    /// The gradient of [`maxima`]: it goes to the first tap that reads the largest number.
    pub(super) fn maxima_backward<S: Simd>(
        simd: S,
        layout: &Layout,
        beyond: f32,
        inputs: &[f32],
        gradients: &[f32],
        accumulate: bool,
        input_gradients: &mut [f32],
        buffer: &mut [f32],
    ) {
        let (source, buffer) = buffer.split_at_mut(layout.source_len());
        let (source_gradient, buffer) = buffer.split_at_mut(layout.source_len());
        let (result, planes) = buffer.split_at_mut(layout.result_len());
        source.fill(beyond);
        let in_len = layout.group * layout.input_area();
        let out_len = layout.group * layout.y.output * layout.x.output;
        let groups = inputs.chunks(in_len).zip(gradients.chunks(out_len));
        for ((input, gradient), target) in groups.zip(input_gradients.chunks_mut(in_len)) {
            layout.pack(input, Entry::Plain, source);
            layout.pack_result(gradient, result);
            layout.slide_winners(simd, source, result, planes, source_gradient);
            layout.unpack(source_gradient, accumulate, target);
        }
    }
    [portable <>, avx2 <>, avx512 <>]
}
