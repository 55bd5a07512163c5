//! Max and average pools, and the mean over whole maps.

use std::ops::Range;

use rayon::prelude::*;

use super::Kernels;
use super::depthwise::{window_sums, window_sums_backward};
use super::elementwise::{mean_of_maps, spread_over_maps};
use super::scratch::with_scratch;
use super::sliding::{
    Axis, Entry, Layout, channels_together, factors_of_place, maxima, maxima_backward,
    over_channels,
};
use super::threads::min_tiles;
use crate::graph::Window;

impl Kernels {
    /// Max pool: the largest number in each window, NaN if the window has one. Taps outside the map
    /// read 0 if the window says so; else they do not take part, and a window without any tap inside gives
    /// negative infinity.
    ///
    /// # Shapes
    /// - `x`: `[C, H, W, N]`
    /// - `y`: `[C, H', W', N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn maxpool_forward(&self, w: &Window, n: usize, c: usize, x: &[f32], y: &mut [f32]) {
        check(w, n, c, x, y);
        over_channels(*self, w, n, x, y, false, |layout, _, x, y, _| {
            with_scratch(layout.maxima_len(), |buffer| {
                maxima(*self, layout, beyond(w), x, y, buffer);
            });
        });
    }

    /// Gradient of [`Kernels::maxpool_forward`]: the gradient of a window goes to its largest
    /// number, to the first of several in row order. It is dropped by a window whose largest is a zero
    /// outside the map, and by one of nothing but negative infinity.
    ///
    /// # Shapes
    /// - `x`, `gx`: `[C, H, W, N]`
    /// - `gy`: `[C, H', W', N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn maxpool_backward(
        &self,
        w: &Window,
        n: usize,
        c: usize,
        x: &[f32],
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        check(w, n, c, x, gy);
        assert_eq!(gx.len(), x.len(), "length of the input's gradient");
        let layout = Layout::new(*self, Axis::forward(w, 0), Axis::forward(w, 1), n);
        let work = gy.len() * w.taps() / 4;
        let channel_len = (n * w.input_area()).max(1);
        let gradients = gy.par_chunks((n * w.output_area()).max(1));
        let channels = gx.par_chunks_mut(channel_len).zip(x.par_chunks(channel_len)).zip(gradients);
        channels.with_min_len(min_tiles(work)).for_each(|((gx, x), gy)| {
            with_scratch(layout.maxima_backward_len(), |buffer| {
                maxima_backward(*self, &layout, beyond(w), x, gy, accumulate, gx, buffer);
            });
        });
    }

    /// Average pool over the taps inside the map, or over all if the window has zeros outside; a window
    /// without any gives 0.
    ///
    /// # Shapes
    /// - `x`: `[C, H, W, N]`
    /// - `y`: `[C, H', W', N]`, added to if `accumulate`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn avgpool_forward(
        &self,
        w: &Window,
        n: usize,
        c: usize,
        x: &[f32],
        y: &mut [f32],
        accumulate: bool,
    ) {
        check(w, n, c, x, y);
        let together = channels_together(*self, w, n);
        let each = factors_of_place(*self, w, n * together);
        let sizes = [w.taps() * together, each * w.output_area()];
        with_scratch(sizes.iter().sum(), |buffer| {
            let (ones, shares) = buffer.split_at_mut(sizes[0]);
            ones.fill(1.0);
            shares_of_taps(w, each, shares);
            let (ones, shares) = (&*ones, &*shares);
            let weight = |channels: Range<usize>| &ones[..channels.len() * w.taps()];
            window_sums(*self, w, n, x, Entry::Plain, weight, Some(shares), y, accumulate);
        });
    }

    /// Gradient of [`Kernels::avgpool_forward`].
    ///
    /// # Shapes
    /// - `gy`: `[C, H', W', N]`
    /// - `gx`: `[C, H, W, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn avgpool_backward(
        &self,
        w: &Window,
        n: usize,
        c: usize,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        check(w, n, c, gx, gy);
        with_scratch(w.taps() + n * w.output_area(), |buffer| {
            let (ones, shares) = buffer.split_at_mut(w.taps());
            ones.fill(1.0);
            shares_of_taps(w, n, shares);
            let (ones, entry) = (&*ones, Entry::Scaled(shares));
            window_sums_backward(*self, w, n, gy, entry, |_| ones, None, gx, accumulate);
        });
    }

    /// Mean over each map.
    ///
    /// # Shapes
    /// - `x`: `[C, area, N]`
    /// - `y`: `[C, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or a map is empty.
    pub fn gap_forward(&self, c: usize, n: usize, area: usize, x: &[f32], y: &mut [f32]) {
        assert!(area > 0, "maps are not empty");
        assert_eq!(x.len(), c * n * area, "length of the input");
        assert_eq!(y.len(), c * n, "length of the output");
        let outputs = y.par_chunks_mut(n.max(1)).zip(x.par_chunks((n * area).max(1)));
        outputs.with_min_len(min_tiles(x.len())).for_each(|(y, x)| mean_of_maps(*self, x, y));
    }

    /// Gradient of [`Kernels::gap_forward`].
    ///
    /// # Shapes
    /// - `gy`: `[C, N]`
    /// - `gx`: `[C, area, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or a map is empty.
    pub fn gap_backward(
        &self,
        c: usize,
        n: usize,
        area: usize,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        assert!(area > 0, "maps are not empty");
        assert_eq!(gx.len(), c * n * area, "length of the input's gradient");
        assert_eq!(gy.len(), c * n, "length of the output's gradient");
        let work = gx.len();
        let channels = gx.par_chunks_mut((n * area).max(1)).zip(gy.par_chunks(n.max(1)));
        channels
            .with_min_len(min_tiles(work))
            .for_each(|(gx, gy)| spread_over_maps(*self, gy, accumulate, gx));
    }
}

/// What a max pool reads outside the map.
fn beyond(w: &Window) -> f32 {
    if w.zeros { 0.0 } else { f32::NEG_INFINITY }
}

/// What each tap of an output pixel counts in the mean, `n` times for each pixel: one part of as many as there are taps
/// inside the map, at least 1, or of all.
fn shares_of_taps(w: &Window, n: usize, shares: &mut [f32]) {
    if w.zeros {
        shares.fill(1.0 / w.taps() as f32);
        return;
    }
    let inside = |axis: usize, i: usize| {
        let start = i * w.stride[axis];
        let taps = (0..w.kernel[axis]).map(|k| start + k * w.dilation[axis]);
        taps.filter(|u| (w.pad[axis]..w.pad[axis] + w.input[axis]).contains(u)).count()
    };
    for (oy, row) in shares.chunks_exact_mut((w.output[1] * n).max(1)).enumerate() {
        let rows = inside(0, oy);
        for (ox, share) in row.chunks_exact_mut(n).enumerate() {
            share.fill(1.0 / (rows * inside(1, ox)).max(1) as f32);
        }
    }
}

fn check(w: &Window, n: usize, c: usize, x: &[f32], y: &[f32]) {
    assert_eq!(x.len(), c * n * w.input_area(), "length of the input");
    assert_eq!(y.len(), c * n * w.output_area(), "length of the output");
}
