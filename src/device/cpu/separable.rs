//! A depthwise convolution and the 1x1 convolution behind it, tile by tile.
//!
//! What the windows give at some places, for all channels, is multiplied by the filters while it is in the second
//! cache. The map between the two is neither written to memory nor read from there.

use rayon::prelude::*;

use super::Kernels;
use super::convolution::{ConvSizes, Filters};
use super::matmul::{Right, Target, panels_len, product};
use super::scratch::with_scratch;
use super::sliding::{Axis, Entry, Layout, is_direct, sums_of_channels};
use super::threads::{SharedOutput, min_tiles};
use crate::graph::Window;

/// Numbers of the map between the convolutions in a tile, about.
const TILE: usize = 1 << 16;

/// Rows of a tile, as far as there are rows: with less, windows read the same numbers more often.
const ROWS: usize = 8;

/// Fewest tiles, as far as there are places, for several threads to share.
const TILES: usize = 4;

/// A depthwise convolution.
#[derive(Clone, Copy)]
pub(super) struct Depthwise<'a> {
    pub(super) window: &'a Window,
    /// `[C, H, W, N]`
    pub(super) x: &'a [f32],
    /// `max(x, 0)` is read.
    pub(super) relu_in: bool,
    /// `[C, KH, KW]`
    pub(super) weight: &'a [f32],
}

/// A depthwise convolution and the 1x1 convolution of what it gives, or of `max(x, 0)` of that.
#[derive(Clone, Copy)]
pub(super) struct Separable<'a> {
    pub(super) depthwise: Depthwise<'a>,
    /// The sizes of the 1x1 convolution, which has one group.
    pub(super) pointwise: ConvSizes<'a>,
    pub(super) relu_between: bool,
}

impl Kernels {
    /// True if [`Kernels::separable_by_filters`] has code for this window and this number of images.
    pub(super) fn runs_separable(&self, window: &Window, n: usize) -> bool {
        is_direct(*self, window, n)
    }

    /// A depthwise convolution and a 1x1 convolution by packed filters of what it gives.
    pub(super) fn separable_by_filters(
        &self,
        problem: Separable<'_>,
        filters: Filters<'_>,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let Separable { depthwise, pointwise, relu_between } = problem;
        let ConvSizes { n, ci, co, .. } = pointwise;
        let Depthwise { window: w, x, relu_in, weight } = depthwise;
        assert_eq!(x.len(), ci * n * w.input_area(), "length of the input");
        assert_eq!(weight.len(), ci * w.taps(), "length of the weight");
        assert_eq!(y.len(), co * n * w.output_area(), "length of the output");
        let [height, width] = w.output;
        let rows = ROWS.min(height).max(1);
        let columns = (TILE / (ci * rows * n).max(1)).clamp(1, width.div_ceil(TILES).max(1));
        let across = width.div_ceil(columns);
        let tiles = height.div_ceil(rows) * across;
        let work = y.len() * ci / 16;
        let output = SharedOutput::new(y);
        let entry = if relu_in { Entry::Rectified } else { Entry::Plain };
        (0..tiles).into_par_iter().with_min_len(min_tiles(work)).for_each(|tile| {
            let part = |at: usize, size: usize, end: usize| at * size..end.min((at + 1) * size);
            let rows = part(tile / across, rows, height);
            let columns = part(tile % across, columns, width);
            let (y_axis, x_axis) = (Axis::forward(w, 0), Axis::forward(w, 1));
            let layout = Layout::new(*self, y_axis.part(&rows), x_axis.part(&columns), n);
            let pixels = rows.len() * columns.len() * n;
            let blocks = || self.filter_blocks(pointwise, filters.packed);
            let panels = blocks().map(|(outputs, _)| panels_len(*self, outputs.len(), ci)).max();
            let sizes = [ci * pixels, panels.unwrap_or(0), layout.buffer_len()];
            with_scratch(sizes.iter().sum(), |buffer| {
                let (between, buffer) = buffer.split_at_mut(sizes[0]);
                let (panels, buffer) = buffer.split_at_mut(sizes[1]);
                sums_of_channels(*self, &layout, entry, weight, x, between, buffer);
                let (run, row_len) = (columns.len() * n, n * w.output_area());
                for (row, y) in rows.enumerate() {
                    let start = (y * width + columns.start) * n;
                    let right =
                        Right { data: &between[row * run..], row: pixels, relu: relu_between };
                    for (outputs, packed) in blocks() {
                        let output = output.from(outputs.start * row_len);
                        // SAFETY: the places of the tiles are disjoint.
                        let target =
                            unsafe { Target::columns(output, row_len, start..start + run) };
                        let shift = filters.shift.map(|shift| &shift[outputs.clone()]);
                        let target = target.accumulate(accumulate).shifted(shift);
                        product(*self, [outputs.len(), ci], packed, right, target, panels);
                    }
                }
            });
        });
    }
}
