//! Max and average pools, and the mean over whole maps.

use rayon::prelude::*;

use super::Kernels;
use super::depthwise::{window_sums, window_sums_backward};
use super::elementwise::{mean_of_maps, spread_over_maps};
use super::scratch::with_scratch;
use super::sliding::{Axis, Entry, Layout, maxima, maxima_backward, maxima_backward_len};
use super::threads::min_tiles;
use crate::graph::Window;

impl Kernels {
    /// Max pool: the largest number in each window, NaN if the window has one. Taps outside the map
    /// read 0 if the window says so; else they do not take part, and a window without any tap inside gives
    /// negative infinity.
    ///
    /// # Shapes
    /// - `x`: `[C, N, H, W]`
    /// - `y`: `[C, N, H', W']`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn maxpool_forward(&self, w: &Window, n: usize, c: usize, x: &[f32], y: &mut [f32]) {
        check(w, n, c, x, y);
        let layout = Layout::new(Axis::forward(w, 0), Axis::forward(w, 1), n);
        let work = y.len() * w.taps() / 8;
        let outputs = y.par_chunks_mut((n * w.output_area()).max(1));
        let channels = outputs.zip(x.par_chunks((n * w.input_area()).max(1)));
        channels.with_min_len(min_tiles(work)).for_each(|(y, x)| {
            let sizes = [w.taps(), layout.source_len() + layout.result_len()];
            with_scratch(sizes.iter().sum(), |buffer| {
                // Maxima have no weights, but the loop that they share with sums reads some.
                let (weights, buffer) = buffer.split_at_mut(sizes[0]);
                maxima(*self, &layout, beyond(w), weights, x, y, buffer);
            });
        });
    }

    /// Gradient of [`Kernels::maxpool_forward`]: the gradient of a window goes to its largest
    /// number, to the first of several in row order. It is dropped by a window whose largest is a zero
    /// outside the map, and by one of nothing but negative infinity.
    ///
    /// # Shapes
    /// - `x`, `gx`: `[C, N, H, W]`
    /// - `gy`: `[C, N, H', W']`
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
        let layout = Layout::new(Axis::forward(w, 0), Axis::forward(w, 1), n);
        let work = gy.len() * w.taps() / 4;
        let channel_len = (n * w.input_area()).max(1);
        let gradients = gy.par_chunks((n * w.output_area()).max(1));
        let channels = gx.par_chunks_mut(channel_len).zip(x.par_chunks(channel_len)).zip(gradients);
        channels.with_min_len(min_tiles(work)).for_each(|((gx, x), gy)| {
            with_scratch(maxima_backward_len(&layout), |buffer| {
                maxima_backward(*self, &layout, beyond(w), x, gy, accumulate, gx, buffer);
            });
        });
    }

    /// Average pool over the taps inside the map, or over all if the window has zeros outside; a window
    /// without any gives 0.
    ///
    /// # Shapes
    /// - `x`: `[C, N, H, W]`
    /// - `y`: `[C, N, H', W']`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn avgpool_forward(&self, w: &Window, n: usize, c: usize, x: &[f32], y: &mut [f32]) {
        check(w, n, c, x, y);
        with_scratch(w.taps() + w.output_area(), |buffer| {
            let (ones, counts) = buffer.split_at_mut(w.taps());
            ones.fill(1.0);
            count_taps(w, counts);
            let (ones, counts) = (&*ones, &*counts);
            window_sums(*self, w, n, x, Entry::Plain, |_| ones, y);
            let work = y.len();
            let maps = y.par_chunks_exact_mut(w.output_area().max(1));
            maps.with_min_len(min_tiles(work)).for_each(|y| {
                for (y, count) in y.iter_mut().zip(counts) {
                    *y /= count;
                }
            });
        });
    }

    /// Gradient of [`Kernels::avgpool_forward`].
    ///
    /// # Shapes
    /// - `gy`: `[C, N, H', W']`
    /// - `gx`: `[C, N, H, W]`
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
        with_scratch(w.taps() + w.output_area(), |buffer| {
            let (ones, counts) = buffer.split_at_mut(w.taps());
            ones.fill(1.0);
            count_taps(w, counts);
            let (ones, entry) = (&*ones, Entry::Divided(counts));
            window_sums_backward(*self, w, n, gy, entry, |_| ones, None, gx, accumulate);
        });
    }

    /// Mean over each map.
    ///
    /// # Shapes
    /// - `x`: `[C, N, area]`
    /// - `y`: `[C, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or a map is empty.
    pub fn gap_forward(&self, c: usize, n: usize, area: usize, x: &[f32], y: &mut [f32]) {
        assert!(area > 0, "maps are not empty");
        assert_eq!(x.len(), c * n * area, "length of the input");
        assert_eq!(y.len(), c * n, "length of the output");
        let outputs = y.par_chunks_mut(n.max(1)).zip(x.par_chunks((n * area).max(1)));
        outputs.with_min_len(min_tiles(x.len())).for_each(|(y, x)| mean_of_maps(*self, area, x, y));
    }

    /// Gradient of [`Kernels::gap_forward`].
    ///
    /// # Shapes
    /// - `gy`: `[C, N]`
    /// - `gx`: `[C, N, area]`
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
            .for_each(|(gx, gy)| spread_over_maps(*self, area, gy, accumulate, gx));
    }
}

/// What a max pool reads outside the map.
fn beyond(w: &Window) -> f32 {
    if w.zeros { 0.0 } else { f32::NEG_INFINITY }
}

/// The number of taps that are averaged for each output pixel: those inside the map, at least 1, or all.
fn count_taps(w: &Window, counts: &mut [f32]) {
    if w.zeros {
        counts.fill(w.taps() as f32);
        return;
    }
    let inside = |axis: usize, i: usize| {
        let start = i * w.stride[axis];
        let taps = (0..w.kernel[axis]).map(|k| start + k * w.dilation[axis]);
        taps.filter(|u| (w.pad[axis]..w.pad[axis] + w.input[axis]).contains(u)).count()
    };
    for (oy, row) in counts.chunks_exact_mut(w.output[1]).enumerate() {
        let rows = inside(0, oy);
        for (ox, count) in row.iter_mut().enumerate() {
            *count = (rows * inside(1, ox)).max(1) as f32;
        }
    }
}

fn check(w: &Window, n: usize, c: usize, x: &[f32], y: &[f32]) {
    assert_eq!(x.len(), c * n * w.input_area(), "length of the input");
    assert_eq!(y.len(), c * n * w.output_area(), "length of the output");
}
