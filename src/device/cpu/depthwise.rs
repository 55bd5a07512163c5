//! Depthwise convolutions: one window of weights for each channel.

use std::ops::Range;

use rayon::prelude::*;
use smallvec::SmallVec;

use super::Kernels;
use super::scratch::with_scratch;
use super::simd::{LANES, sum_lanes};
use super::sliding::{
    Axis, Entry, Exit, Layout, Phase, over_channels, weighted_sums, weighted_sums_backward,
};
use super::threads::min_tiles;
use crate::graph::Window;

impl Kernels {
    /// Depthwise convolution: each channel with its own `[KH, KW]` weights, of `x` or of `max(x,
    /// 0)` if `relu_in`.
    ///
    /// # Shapes
    /// - `x`: `[C, H, W, N]`, `weight`: `[C, KH, KW]`
    /// - `y`: `[C, H', W', N]`
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
        let weight =
            |channels: Range<usize>| &weight[channels.start * w.taps()..channels.end * w.taps()];
        window_sums(*self, w, n, x, entry, weight, None, y, false);
    }

    /// Gradient of [`Kernels::dwconv_forward`] for `x`.
    ///
    /// # Shapes
    /// - `gy`: `[C, H', W', N]`, `weight`: `[C, KH, KW]`
    /// - `gx`, `x`: `[C, H, W, N]`; `x` is only read if `relu_in` is set
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
    /// - `x`: `[C, H, W, N]`, `gy`: `[C, H', W', N]`
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
        let layout = Layout::new(*self, Axis::forward(w, 0), Axis::forward(w, 1), n);
        let inputs = x.par_chunks((n * w.input_area()).max(1));
        let gradients = gy.par_chunks((n * w.output_area()).max(1));
        let channels = gweight.par_chunks_mut(w.taps()).zip(inputs).zip(gradients);
        channels.with_min_len(min_tiles(gy.len() * w.taps() / 8)).for_each(|((gweight, x), gy)| {
            let sizes = [w.taps() * LANES, layout.buffer_len()];
            with_scratch(sizes.iter().sum(), |buffer| {
                let (sums, source) = buffer.split_at_mut(sizes[0]);
                sums.fill(0.0);
                let sums = sums.as_chunks_mut::<LANES>().0;
                weighted_sums_backward(*self, &layout, entry, x, gy, sums, source);
                for (g, sums) in gweight.iter_mut().zip(sums) {
                    *g += sum_lanes(sums);
                }
            });
        });
    }
}

/// Weighted sums over the windows of every map, with the weights that `weight` gives for some channels, times the
/// factors, for each place [`factors_of_place`](super::sliding::factors_of_place) of the channels that lie together, if
/// there are any.
#[expect(clippy::too_many_arguments, reason = "shared by depthwise convolution and average pool")]
pub(super) fn window_sums<'w>(
    kernels: Kernels,
    w: &Window,
    n: usize,
    x: &[f32],
    entry: Entry<'_>,
    weight: impl Fn(Range<usize>) -> &'w [f32] + Sync,
    factors: Option<&[f32]>,
    y: &mut [f32],
    accumulate: bool,
) {
    over_channels(kernels, w, n, x, y, accumulate, |layout, channels, x, y, accumulate| {
        let exit = Exit { factors, accumulate, ..Exit::whole(w.output) };
        with_scratch(layout.buffer_len(), |buffer| {
            weighted_sums(kernels, layout, entry, weight(channels), exit, x, y, buffer);
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
    let pairs = (0..w.stride[0]).flat_map(|y| (0..w.stride[1]).map(move |x| [y, x]));
    let mut phases: SmallVec<[PhasePair; 4]> = pairs.map(|pair| PhasePair::of(w, pair)).collect();
    phases.retain(|PhasePair { y, x }| y.axis.output * x.axis.output > 0);
    let is_all_read = phases.iter().all(PhasePair::is_read);
    phases.retain(|pair| pair.is_read());
    let layouts = phases.iter().map(|PhasePair { y, x }| Layout::new(kernels, y.axis, x.axis, n));
    let layouts: SmallVec<[Layout; 4]> = layouts.collect();
    let least = min_tiles(gy.len() * w.taps() / 8);
    let gradients = gy.par_chunks((n * w.output_area()).max(1));
    let channels = gx.par_chunks_mut(channel_len.max(1)).zip(gradients).enumerate();
    channels.with_min_len(least).for_each(|(channel, (gx, gy))| {
        if !is_all_read && !accumulate {
            gx.fill(0.0);
        }
        let weight = weight(channel);
        let mask = mask.map(|mask| &mask[channel * channel_len..][..channel_len]);
        for (PhasePair { y, x }, layout) in phases.iter().zip(&layouts) {
            let taps = y.axis.taps * x.axis.taps;
            // The weights take whole cache lines, so that what follows starts on one.
            let sizes = [taps.next_multiple_of(LANES), layout.buffer_len()];
            with_scratch(sizes.iter().sum(), |buffer| {
                let (reversed, buffer) = buffer.split_at_mut(sizes[0]);
                let reversed = &mut reversed[..taps];
                for (tap, value) in reversed.iter_mut().enumerate() {
                    let ky = y.window_tap(tap / x.axis.taps);
                    let kx = x.window_tap(tap % x.axis.taps);
                    *value = weight[ky * w.kernel[1] + kx];
                }
                let (first, stride) = ([y.first, x.first], w.stride);
                let exit = Exit { map: w.input, first, stride, mask, factors: None, accumulate };
                weighted_sums(kernels, layout, entry, reversed, exit, gy, gx, buffer);
            });
        }
    });
}

/// The part of a data gradient that belongs to one remainder of the row and one of the column.
struct PhasePair {
    y: Phase,
    x: Phase,
}

impl PhasePair {
    fn of(w: &Window, [y, x]: [usize; 2]) -> PhasePair {
        PhasePair { y: Phase::of(w, 0, y), x: Phase::of(w, 1, x) }
    }

    /// True if an output read something at these positions.
    fn is_read(&self) -> bool {
        self.y.axis.taps * self.x.axis.taps > 0
    }
}

fn check(w: &Window, n: usize, c: usize, x: &[f32], y: &[f32], weight: &[f32]) {
    assert_eq!(x.len(), c * n * w.input_area(), "length of the input");
    assert_eq!(y.len(), c * n * w.output_area(), "length of the output");
    assert_eq!(weight.len(), c * w.taps(), "length of the weight");
}
