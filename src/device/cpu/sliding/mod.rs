//! Sliding windows over single channels: depthwise convolutions and pools, and their gradients.
//!
//! The numbers of all images at one place of a map lie together, so a vector holds the same place of
//! several images, and a window slides over all of them at once. Where the images are whole vectors, maps are
//! read where they lie (`direct`). Where they are not, forward passes lay several channels together that are
//! (`together`). Otherwise, for gradients and unusual windows, a channel is copied into a padded source first, some
//! rows at a time, so that no window is cut off at the border. A horizontal stride is taken out while the source
//! is filled: columns are sorted by their remainder, so that what one tap reads is contiguous.
//!
//! A data gradient is a sliding window, too: over the gradient of the output, one for each
//! remainder of the input position by the stride, with the taps that meet this remainder in reverse
//! order.

mod axis;
mod direct;
mod layout;
mod taps;
mod together;

pub(super) use axis::{Axis, Phase};
pub(super) use layout::{Entry, Exit, Layout};
pub(super) use together::{channels_together, over_channels};

use super::Kernels;
use super::isa::for_each_isa;
use super::simd::LANES;
use crate::graph::Window;
use direct::{Source, Start, Weights, is_usual, slide_directly, slide_weights_directly};
use layout::pack;
use taps::{Results, scatter, slide, slide_weights};

/// Weighted sums over the windows of one channel or of channels that lie together, with weights `[channels, taps]`
/// and a buffer of [`Layout::buffer_len`].
#[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
pub(super) fn weighted_sums(
    kernels: Kernels,
    layout: &Layout,
    entry: Entry<'_>,
    weights: &[f32],
    exit: Exit<'_>,
    input: &[f32],
    output: &mut [f32],
    buffer: &mut [f32],
) {
    let (singles, buffer) = buffer.split_at_mut(layout.weights_len());
    if layout.is_direct {
        let weights = layout.weights(weights, singles);
        let (outside, scaled) = buffer.split_at_mut(layout.outside_len());
        outside.fill(0.0);
        let source = Source { channel: entry.scaled(kernels, input, scaled), outside };
        sums_directly(kernels, layout, entry, source, weights, exit, output);
        return;
    }
    let (source, result) = buffer.split_at_mut(layout.slab_len());
    for first in (0..layout.y.output).step_by(layout.slab) {
        let outputs = layout.slab.min(layout.y.output - first);
        let source = &mut source[..layout.source_len(outputs)];
        pack(kernels, layout, first, input, entry, 0.0, source);
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
            slide::<false>(kernels, layout, source, weights, 0.0, outputs, results);
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
            slide::<false>(kernels, layout, source, weights, 0.0, outputs, results);
            scatter(kernels, exit, layout, first, result, output);
        }
    }
}

/// True if windows of this kind over `n` images read maps where they lie.
pub(super) fn is_direct(kernels: Kernels, w: &Window, n: usize) -> bool {
    n.is_multiple_of(LANES) && is_usual(kernels, &Axis::forward(w, 0))
}

/// How many times [`Exit::factors`] hold the factor of a place that has `n` numbers.
pub(super) fn factors_of_place(kernels: Kernels, w: &Window, n: usize) -> usize {
    if is_direct(kernels, w, n) { 1 } else { n }
}

/// [`weighted_sums`] of every channel by weights `[C, taps]`, for a layout of some places of maps that are read where
/// they lie.
pub(super) fn sums_of_channels(
    kernels: Kernels,
    layout: &Layout,
    entry: Entry<'_>,
    weights: &[f32],
    input: &[f32],
    output: &mut [f32],
    buffer: &mut [f32],
) {
    assert!(layout.is_direct, "maps are read where they lie");
    let (outside, scaled) = buffer.split_at_mut(layout.outside_len());
    outside.fill(0.0);
    let (taps, len) = (layout.y.taps * layout.x.taps, layout.n * layout.y.input * layout.x.input);
    let channels = output.chunks_exact_mut(layout.y.output * layout.width);
    let inputs = input.chunks_exact(len).zip(weights.chunks_exact(taps));
    let exit = Exit::whole([layout.y.output, layout.x.output]);
    for (output, (input, weights)) in channels.zip(inputs) {
        let source = Source { channel: entry.scaled(kernels, input, scaled), outside };
        let weights = Weights::Shared(weights);
        sums_directly(kernels, layout, entry, source, weights, exit, output);
    }
}

/// Weighted sums over the windows of maps that are read where they lie, with zeros outside.
fn sums_directly(
    kernels: Kernels,
    layout: &Layout,
    entry: Entry<'_>,
    source: Source<'_>,
    weights: Weights<'_>,
    exit: Exit<'_>,
    output: &mut [f32],
) {
    let start = Start { inside: 0.0, clipped: 0.0 };
    if matches!(entry, Entry::Rectified) {
        slide_directly::<false, true>(kernels, layout, source, weights, start, exit, output);
    } else {
        slide_directly::<false, false>(kernels, layout, source, weights, start, exit, output);
    }
}

/// Gradients of the weights of [`weighted_sums`], `LANES` partial sums for each, with a buffer as there.
pub(super) fn weighted_sums_backward(
    kernels: Kernels,
    layout: &Layout,
    entry: Entry<'_>,
    input: &[f32],
    gradient: &[f32],
    sums: &mut [[f32; LANES]],
    buffer: &mut [f32],
) {
    if layout.is_direct {
        let (outside, scaled) = buffer.split_at_mut(layout.outside_len());
        outside.fill(0.0);
        let source = Source { channel: entry.scaled(kernels, input, scaled), outside };
        if matches!(entry, Entry::Rectified) {
            slide_weights_directly::<true>(kernels, layout, source, gradient, sums);
        } else {
            slide_weights_directly::<false>(kernels, layout, source, gradient, sums);
        }
        return;
    }
    for first in (0..layout.y.output).step_by(layout.slab) {
        let outputs = layout.slab.min(layout.y.output - first);
        let source = &mut buffer[..layout.source_len(outputs)];
        pack(kernels, layout, first, input, entry, 0.0, source);
        let gradient = &gradient[first * layout.width..][..outputs * layout.width];
        slide_weights(kernels, layout, source, gradient, sums);
    }
}

/// Largest numbers in the windows of one channel or of channels that lie together, with a buffer as for
/// [`weighted_sums`]. They have no weights, but the loops that they share with sums read one for each tap.
pub(super) fn maxima(
    kernels: Kernels,
    layout: &Layout,
    beyond: f32,
    weights: &[f32],
    input: &[f32],
    output: &mut [f32],
    buffer: &mut [f32],
) {
    let least = f32::NEG_INFINITY;
    if layout.is_direct {
        let weights = Weights::Shared(weights);
        let outside = &mut buffer[..layout.outside_len()];
        outside.fill(beyond);
        let source = Source { channel: input, outside };
        let start = Start { inside: least, clipped: beyond };
        let exit = Exit::whole([layout.y.output, layout.x.output]);
        slide_directly::<true, false>(kernels, layout, source, weights, start, exit, output);
        return;
    }
    for first in (0..layout.y.output).step_by(layout.slab) {
        let outputs = layout.slab.min(layout.y.output - first);
        let source = &mut buffer[..layout.source_len(outputs)];
        pack(kernels, layout, first, input, Entry::Plain, beyond, source);
        let results = Results {
            out: &mut output[first * layout.width..],
            pitch: layout.width,
            width: layout.width,
            mask: None,
            factors: None,
            accumulate: false,
        };
        slide::<true>(kernels, layout, source, weights, least, outputs, results);
    }
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
