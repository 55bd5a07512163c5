//! Depthwise convolutions: one window of weights for each channel.

use rayon::prelude::*;

use super::Kernels;
use super::scratch::with_scratch;
use super::simd::{LANES, sum_lanes};
use super::sliding::{Axis, Entry, Exit, Layout, Phase, weighted_sums, weighted_sums_backward};
use super::threads::min_tiles;
use crate::graph::Window;

impl Kernels {
    /// Depthwise convolution: each channel with its own `[KH, KW]` weights, of `x` or of `max(x,
    /// 0)` if `relu_in`.
    ///
    /// # Shapes
    /// - `x`: `[C, N, H, W]`, `weight`: `[C, KH, KW]`
    /// - `y`: `[C, N, H', W']`
    ///
    /// # Cost
    /// `N * C * H' * W' * KH * KW` multiply-adds.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn dwconv_forward(
        &self,
        w: &Window,
        n: usize,
        c: usize,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        y: &mut [f32],
    ) {
        check(w, n, c, x, y, weight);
        let entry = if relu_in { Entry::Rectified } else { Entry::Plain };
        window_sums(*self, w, n, x, entry, |channel| &weight[channel * w.taps()..][..w.taps()], y);
    }

    /// Gradient of [`Kernels::dwconv_forward`] for `x`.
    ///
    /// # Shapes
    /// - `gy`: `[C, N, H', W']`, `weight`: `[C, KH, KW]`
    /// - `gx`, `x`: `[C, N, H, W]`; `x` is only read if `relu_in` is set
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn dwconv_backward_data(
        &self,
        w: &Window,
        n: usize,
        c: usize,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        check(w, n, c, gx, gy, weight);
        if relu_in {
            assert_eq!(x.len(), gx.len(), "length of the input");
        }
        let mask = relu_in.then_some(x);
        let weight = |channel: usize| &weight[channel * w.taps()..][..w.taps()];
        window_sums_backward(*self, w, n, gy, Entry::Plain, weight, mask, gx, accumulate);
    }

    /// Gradient of [`Kernels::dwconv_forward`] for the weight, added to `gweight`.
    ///
    /// # Shapes
    /// - `x`: `[C, N, H, W]`, `gy`: `[C, N, H', W']`
    /// - `gweight`: `[C, KH, KW]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn dwconv_backward_weight(
        &self,
        w: &Window,
        n: usize,
        c: usize,
        x: &[f32],
        relu_in: bool,
        gy: &[f32],
        gweight: &mut [f32],
    ) {
        check(w, n, c, x, gy, gweight);
        let entry = if relu_in { Entry::Rectified } else { Entry::Plain };
        let layout = Layout::new(Axis::forward(w, 0), Axis::forward(w, 1), n);
        let inputs = x.par_chunks((n * w.input_area()).max(1));
        let gradients = gy.par_chunks((n * w.output_area()).max(1));
        let channels = gweight.par_chunks_mut(w.taps()).zip(inputs).zip(gradients);
        channels.with_min_len(min_tiles(gy.len() * w.taps() / 8)).for_each(|((gweight, x), gy)| {
            let sizes = [w.taps() * LANES, layout.source_len() + layout.result_len()];
            with_scratch(sizes.iter().sum(), |buffer| {
                let (sums, buffer) = buffer.split_at_mut(sizes[0]);
                sums.fill(0.0);
                let sums = sums.as_chunks_mut::<LANES>().0;
                weighted_sums_backward(*self, &layout, entry, x, gy, sums, buffer);
                for (g, sums) in gweight.iter_mut().zip(sums) {
                    *g += sum_lanes(sums);
                }
            });
        });
    }
}

/// Weighted sums over the windows of every map, with the weights that `weight` gives for a channel.
pub(super) fn window_sums<'w>(
    kernels: Kernels,
    w: &Window,
    n: usize,
    x: &[f32],
    entry: Entry<'_>,
    weight: impl Fn(usize) -> &'w [f32] + Sync,
    y: &mut [f32],
) {
    let layout = Layout::new(Axis::forward(w, 0), Axis::forward(w, 1), n);
    let work = y.len() * w.taps() / 8;
    let outputs = y.par_chunks_mut((n * w.output_area()).max(1));
    let channels = outputs.zip(x.par_chunks((n * w.input_area()).max(1))).enumerate();
    channels.with_min_len(min_tiles(work)).for_each(|(channel, (y, x))| {
        with_scratch(layout.source_len() + layout.result_len(), |buffer| {
            let exit = Exit::whole(w.output);
            weighted_sums(kernels, &layout, entry, weight(channel), exit, x, y, buffer);
        });
    });
}

/// The gradient of [`window_sums`] for `x`.
#[expect(clippy::too_many_arguments, reason = "shared by depthwise convolution and average pool")]
pub(super) fn window_sums_backward<'w>(
    kernels: Kernels,
    w: &Window,
    n: usize,
    gy: &[f32],
    entry: Entry<'_>,
    weight: impl Fn(usize) -> &'w [f32] + Sync,
    mask: Option<&[f32]>,
    gx: &mut [f32],
    accumulate: bool,
) {
    let channel_len = n * w.input_area();
    let work = gy.len() * w.taps() / 8;
    let phases = |axis| move |phase| Phase::of(w, axis, phase);
    let is_read = |y: &Phase, x: &Phase| y.axis.taps * x.axis.taps > 0;
    let all_read = (0..w.stride[0])
        .map(phases(0))
        .all(|y| (0..w.stride[1]).map(phases(1)).all(|x| is_read(&y, &x)));
    if !all_read && !accumulate {
        gx.fill(0.0);
    }
    for y in (0..w.stride[0]).map(phases(0)) {
        for x in (0..w.stride[1]).map(phases(1)) {
            if !is_read(&y, &x) || y.axis.output * x.axis.output == 0 {
                continue;
            }
            let layout = Layout::new(y.axis, x.axis, n);
            let taps = y.axis.taps * x.axis.taps;
            let gradients = gy.par_chunks((n * w.output_area()).max(1));
            let channels = gx.par_chunks_mut(channel_len.max(1)).zip(gradients).enumerate();
            channels.with_min_len(min_tiles(work)).for_each(|(channel, (gx, gy))| {
                let sizes = [taps, layout.source_len() + layout.result_len()];
                with_scratch(sizes.iter().sum(), |buffer| {
                    let (reversed, buffer) = buffer.split_at_mut(sizes[0]);
                    let weight = weight(channel);
                    for (tap, value) in reversed.iter_mut().enumerate() {
                        let ky = y.window_tap(tap / x.axis.taps);
                        let kx = x.window_tap(tap % x.axis.taps);
                        *value = weight[ky * w.kernel[1] + kx];
                    }
                    let exit = Exit {
                        map: w.input,
                        first: [y.first, x.first],
                        stride: w.stride,
                        mask: mask.map(|mask| &mask[channel * channel_len..][..channel_len]),
                        accumulate,
                    };
                    weighted_sums(kernels, &layout, entry, reversed, exit, gy, gx, buffer);
                });
            });
        }
    }
}

fn check(w: &Window, n: usize, c: usize, x: &[f32], y: &[f32], weight: &[f32]) {
    assert_eq!(x.len(), c * n * w.input_area(), "length of the input");
    assert_eq!(y.len(), c * n * w.output_area(), "length of the output");
    assert_eq!(weight.len(), c * w.taps(), "length of the weight");
}
