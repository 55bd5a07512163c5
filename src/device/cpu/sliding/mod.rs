//! Sliding windows over single channels: depthwise convolutions and pools, and their gradients.
//!
//! The numbers of all images at one place of a map lie together, so a vector holds the same place of
//! several images, and a window slides over all of them at once. Where the images are whole vectors, maps are
//! read where they lie (`direct`). Where they are not, forward passes lay several channels together that are
//! (`together`). Otherwise, for gradients, unusual windows and `maxima`, a channel is copied into a padded source
//! first, some rows at a time, so that no window is cut off at the border. A horizontal stride is taken out while the
//! source is filled: columns are sorted by their remainder, so that what one tap reads is contiguous.
//!
//! A data gradient is a sliding window, too: over the gradient of the output, one for each
//! remainder of the input position by the stride, with the taps that meet this remainder in reverse
//! order.

mod axis;
mod direct;
mod layout;
mod maxima;
mod taps;
mod together;

pub(super) use axis::{Axis, Phase};
pub(super) use layout::{Entry, Exit, Layout};
pub(super) use maxima::{maxima, maxima_backward};
pub(super) use together::{channels_together, over_channels};

use super::Kernels;
use super::simd::LANES;
use crate::graph::Window;
use direct::{Source, Weights, is_usual, slide_directly, slide_weights_directly};
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
            slide(kernels, layout, source, weights, outputs, results);
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
            slide(kernels, layout, source, weights, outputs, results);
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
    if matches!(entry, Entry::Rectified) {
        slide_directly::<true>(kernels, layout, source, weights, exit, output);
    } else {
        slide_directly::<false>(kernels, layout, source, weights, exit, output);
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
