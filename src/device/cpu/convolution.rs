//! Convolutions that mix all channels, as matrix products over tiles of output pixels.
//!
//! A 1x1 kernel at stride 1 multiplies the batch `[C_in, H * W * N]` where it lies; other windows
//! are gathered into a matrix first (`im2col`), one tile at a time.

use std::ops::Range;

use rayon::prelude::*;

use super::Kernels;
use super::im2col;
use super::matmul::{
    Left, Right, Target, pack_left, packed_len, panels_len, product, product_of_rows,
};
use super::scratch::with_scratch;
use super::threads::{SharedOutput, min_tiles};
use crate::graph::Window;

/// Numbers in the gathered matrix of a tile, at most (unless one place of the map needs more).
const TILE: usize = 1 << 17;

/// Output pixels of a tile that needs no gathering.
const POINTWISE_TILE: usize = 1 << 10;

/// With fewer tiles than these the output channels are cut, too, or the tiles where they are gathered.
const FEW_TILES: usize = 4;

/// Output pixels of a tile that is cut, a multiple of them.
const FULL_BLOCKS: usize = 32;

/// A number of output channels that leaves no row of a block of a product empty.
const WHOLE_BLOCKS: usize = 24;

/// Rows of the gathered matrix in a tile of the data gradient, about: enough that what multiplies them is not
/// packed for a few rows at a time.
const GRADIENT_ROWS: usize = 32;

/// Most partial sums of a weight gradient.
const PARTS: usize = 8;

/// Numbers in all partial sums of a weight gradient together, at most (unless one needs more).
const PARTIAL_SUMS: usize = 1 << 19;

/// A scale and a shift for every channel: `scale * x + shift`.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Factors, `[C]`.
    pub scale: &'a [f32],
    /// What is added after them, `[C]`.
    pub shift: &'a [f32],
}

/// The sizes of one convolution.
#[derive(Clone, Copy)]
struct Problem<'w> {
    w: &'w Window,
    n: usize,
    ci: usize,
    co: usize,
}

impl Problem<'_> {
    /// True if the matrix of the windows is the input itself.
    fn is_pointwise(&self) -> bool {
        self.w.is_pointwise() && self.w.pad == [0, 0] && self.w.input == self.w.output
    }

    /// Numbers of one input channel.
    fn input_row(&self) -> usize {
        self.n * self.w.input_area()
    }

    /// Numbers of one output channel.
    fn output_row(&self) -> usize {
        self.n * self.w.output_area()
    }

    /// Inner dimension of the product: inputs of one output pixel.
    fn fan_in(&self) -> usize {
        self.ci * self.w.taps()
    }

    /// Output channels of a task: all of them, but a part where there are too few tiles for several threads.
    fn outputs_at_once(&self) -> usize {
        let few = self.is_pointwise() && self.output_row() < FEW_TILES * POINTWISE_TILE;
        let outputs = match few {
            true => self.co.div_ceil(FEW_TILES).next_multiple_of(WHOLE_BLOCKS),
            false => self.co,
        };
        outputs.max(1)
    }

    fn work(&self) -> usize {
        self.co * self.fan_in() * self.output_row() / 16
    }

    /// The unit in which output pixels are counted into tiles and the number of units: single
    /// pixels if nothing is gathered, otherwise places of the output map with all images.
    fn units(&self) -> (usize, usize) {
        if self.is_pointwise() { (1, self.output_row()) } else { (self.n, self.w.output_area()) }
    }

    /// Units in a tile of which `fan_in` rows are gathered.
    fn tile(&self, fan_in: usize) -> usize {
        let (unit, units) = self.units();
        let tile = if self.is_pointwise() { POINTWISE_TILE } else { TILE / (fan_in * unit).max(1) };
        tile.clamp(1, units.max(1))
    }

    /// Units in a tile of a product that does not care how many there are.
    fn product_tile(&self) -> usize {
        let tile = self.tile(self.fan_in());
        if self.is_pointwise() {
            return tile;
        }
        let (unit, units) = self.units();
        let whole = FULL_BLOCKS.div_ceil(unit.max(1));
        tile.min(units.div_ceil(FEW_TILES).next_multiple_of(whole)).max(1)
    }

    fn check(&self, x: &[f32], y: &[f32], weight: &[f32]) {
        assert_eq!(x.len(), self.ci * self.input_row(), "length of the input");
        assert_eq!(y.len(), self.co * self.output_row(), "length of the output");
        assert_eq!(weight.len(), self.co * self.fan_in(), "length of the weight");
    }
}

impl Kernels {
    /// Convolution of `x`, or of `max(x, 0)` if `relu_in`, whose channels are then scaled and shifted if `affine` is
    /// given; added to `y` if `accumulate`.
    ///
    /// # Shapes
    /// - `x`: `[C_in, H, W, N]`, `weight`: `[C_out, C_in, KH, KW]`
    /// - `y`: `[C_out, H', W', N]`, `affine`: `[C_out]` each
    ///
    /// # Cost
    /// `N * H' * W' * C_out * C_in * KH * KW` multiply-adds.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn conv_forward(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        affine: Option<Affine<'_>>,
        y: &mut [f32],
        accumulate: bool,
    ) {
        self.grouped_conv_forward(w, n, ci, co, 1, x, weight, relu_in, affine, y, accumulate);
    }

    /// Numbers of the packed filters of one group.
    pub(super) fn packed_filters_len(&self, w: &Window, n: usize, ci: usize, co: usize) -> usize {
        let problem = Problem { w, n, ci, co };
        let (rows, fan_in) = (problem.outputs_at_once(), problem.fan_in());
        co / rows * packed_len(*self, rows, fan_in) + packed_len(*self, co % rows, fan_in)
    }

    /// The output channels that were packed together, and their part of the packed filters of one group.
    pub(super) fn filter_blocks<'p>(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        packed: &'p [f32],
    ) -> impl Iterator<Item = (Range<usize>, &'p [f32])> {
        let problem = Problem { w, n, ci, co };
        let rows = problem.outputs_at_once();
        let blocks = packed.chunks(packed_len(*self, rows, problem.fan_in()).max(1)).enumerate();
        blocks.map(move |(block, packed)| (block * rows..co.min((block + 1) * rows), packed))
    }

    /// Packs the filters of one group for [`conv_by_filters`](Self::conv_by_filters), each multiplied by its scale.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub(super) fn pack_filters(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        weight: &[f32],
        scale: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        let problem = Problem { w, n, ci, co };
        let (rows, fan_in) = (problem.outputs_at_once(), problem.fan_in());
        assert_eq!(weight.len(), co * fan_in, "length of the weight");
        assert_eq!(scale.map_or(co, |scale| scale.len()), co, "length of the scale");
        let blocks = packed.par_chunks_mut(packed_len(*self, rows, fan_in).max(1));
        let blocks = blocks.zip(weight.par_chunks((rows * fan_in).max(1))).enumerate();
        blocks.with_min_len(min_tiles(weight.len())).for_each(|(block, (packed, weight))| {
            let first = block * rows;
            let outputs = first..co.min(first + rows);
            let m = outputs.len();
            let left =
                Left { data: weight, row: fan_in, col: 1, scale: scale.map(|s| &s[outputs]) };
            pack_left(*self, m, fan_in, left, packed);
        });
    }

    /// [`conv_forward`](Self::conv_forward) by packed filters, of one group. `shift` is added to each channel.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub(super) fn conv_by_filters(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        x: &[f32],
        packed: &[f32],
        relu_in: bool,
        shift: Option<&[f32]>,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let problem = Problem { w, n, ci, co };
        let (rows, fan_in) = (problem.outputs_at_once(), problem.fan_in());
        assert_eq!(x.len(), ci * problem.input_row(), "length of the input");
        assert_eq!(y.len(), co * problem.output_row(), "length of the output");
        assert_eq!(packed.len(), self.packed_filters_len(w, n, ci, co), "length of the filters");
        assert_eq!(shift.map_or(co, |shift| shift.len()), co, "length of the shift");
        let outputs = y.par_chunks_mut((rows * problem.output_row()).max(1));
        let packed = packed.par_chunks(packed_len(*self, rows, fan_in).max(1));
        let blocks = outputs.zip(packed).enumerate();
        blocks.with_min_len(min_tiles(problem.work())).for_each(|(block, (y, packed))| {
            let outputs = block * rows..co.min((block + 1) * rows);
            let problem = Problem { co: outputs.len(), ..problem };
            let shift = shift.map(|shift| &shift[outputs]);
            self.some_outputs(&problem, x, packed, relu_in, shift, y, accumulate);
        });
    }

    /// The convolution for some of the output channels.
    #[expect(clippy::too_many_arguments, reason = "a part of `conv_by_filters`")]
    fn some_outputs(
        self,
        problem: &Problem<'_>,
        x: &[f32],
        packed: &[f32],
        relu_in: bool,
        shift: Option<&[f32]>,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let &Problem { w, n, co, .. } = problem;
        let (kernels, fan_in) = (self, problem.fan_in());
        let (unit, units) = problem.units();
        let tile = problem.product_tile();
        let output = SharedOutput::new(y);
        let tiles = units.div_ceil(tile);
        (0..tiles).into_par_iter().with_min_len(min_tiles(problem.work())).for_each(|t| {
            let rows = t * tile..units.min((t + 1) * tile);
            let pixels = rows.len() * unit;
            let columns = rows.start * unit..rows.end * unit;
            // SAFETY: the columns of the tiles are disjoint.
            let target = unsafe { Target::columns(output, problem.output_row(), columns) };
            let target = target.accumulate(accumulate).shifted(shift);
            let gathered = if problem.is_pointwise() { 0 } else { fan_in * pixels };
            with_scratch(gathered + panels_len(kernels, co, fan_in), |buffer| {
                let (columns, panels) = buffer.split_at_mut(gathered);
                let right = if problem.is_pointwise() {
                    Right { data: &x[rows.start..], row: problem.input_row(), relu: relu_in }
                } else {
                    im2col::gather(kernels, w, n, x, relu_in, rows, columns);
                    Right { data: columns, row: pixels, relu: false }
                };
                product(kernels, co, fan_in, packed, right, target, panels);
            });
        });
    }

    /// Gradient of [`Kernels::conv_forward`] for `x`.
    ///
    /// # Shapes
    /// - `gy`: `[C_out, H', W', N]`, `weight`: `[C_out, C_in, KH, KW]`
    /// - `gx`, `x`: `[C_in, H, W, N]`; `x` is only read if `relu_in` is set
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn conv_backward_data(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let problem = Problem { w, n, ci, co };
        problem.check(gx, gy, weight);
        if relu_in {
            assert_eq!(x.len(), gx.len(), "length of the input");
        }
        let mask = relu_in.then_some(x);
        if problem.is_pointwise() {
            self.pointwise_backward_data(&problem, mask, weight, gy, gx, accumulate);
        } else {
            self.windowed_backward_data(&problem, mask, weight, gy, gx, accumulate);
        }
    }

    /// Gradient of [`Kernels::conv_forward`] for the weight, added to `gweight`.
    ///
    /// # Shapes
    /// - `x`: `[C_in, H, W, N]`, `gy`: `[C_out, H', W', N]`
    /// - `gweight`: `[C_out, C_in, KH, KW]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    ///
    /// # Determinism
    /// The batch is cut into parts by its shape; the sums of the parts are added in order.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn conv_backward_weight(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        x: &[f32],
        relu_in: bool,
        gy: &[f32],
        gweight: &mut [f32],
    ) {
        let problem = Problem { w, n, ci, co };
        problem.check(x, gy, gweight);
        let (kernels, taps) = (*self, w.taps());
        let (unit, units) = problem.units();

        // A task is a block of input channels over a part of the batch.
        let blocks = (gweight.len() >> 14).clamp(1, ci.clamp(1, PARTS));
        let channels = ci.div_ceil(blocks).max(1);
        let blocks = ci.div_ceil(channels);
        let parts = (PARTIAL_SUMS / gweight.len().max(1)).clamp(1, PARTS);
        let part = units.div_ceil(parts).max(POINTWISE_TILE.div_ceil(unit));
        let parts = units.div_ceil(part);
        let task_len = co * channels * taps;
        with_scratch(blocks * parts * task_len, |sums| {
            sums.fill(0.0);
            let tasks = sums.par_chunks_mut(task_len.max(1)).enumerate();
            tasks.with_min_len(min_tiles(problem.work())).for_each(|(task, sums)| {
                let (block, rows) = (task / parts, task % parts * part);
                let first = block * channels;
                let fan_in = channels.min(ci - first) * taps;
                let end = units.min(rows + part);
                let x = &x[first * problem.input_row()..];
                let sums = &mut sums[..co * fan_in];
                let gy_row = problem.output_row();
                if problem.is_pointwise() {
                    let (k, gy, x) = (end - rows, &gy[rows..], &x[rows..]);
                    let x_row = problem.input_row();
                    product_of_rows(kernels, co, fan_in, k, gy, gy_row, x, x_row, relu_in, sums);
                    return;
                }
                let tile = problem.tile(fan_in);
                for start in (rows..end).step_by(tile) {
                    let rows = start..end.min(start + tile);
                    let k = rows.len() * unit;
                    with_scratch(fan_in * k, |columns| {
                        im2col::gather(kernels, w, n, x, relu_in, rows, columns);
                        let gy = &gy[start * unit..];
                        product_of_rows(
                            kernels, co, fan_in, k, gy, gy_row, columns, k, false, sums,
                        );
                    });
                }
            });
            for (task, sums) in sums.chunks_exact(task_len.max(1)).enumerate() {
                let first = task / parts * channels;
                let fan_in = channels.min(ci - first) * taps;
                let gradients = gweight.chunks_exact_mut(problem.fan_in());
                for (gradient, sums) in gradients.zip(sums.chunks_exact(fan_in)) {
                    for (g, s) in gradient[first * taps..].iter_mut().zip(sums) {
                        *g += s;
                    }
                }
            }
        });
    }

    fn pointwise_backward_data(
        self,
        problem: &Problem<'_>,
        mask: Option<&[f32]>,
        weight: &[f32],
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let (ci, co, row) = (problem.ci, problem.co, problem.input_row());
        let output = SharedOutput::new(gx);
        with_scratch(packed_len(self, ci, co), |packed| {
            let left = Left { data: weight, row: 1, col: ci, scale: None };
            pack_left(self, ci, co, left, packed);
            let packed = &*packed;
            let tiles = row.div_ceil(POINTWISE_TILE);
            (0..tiles).into_par_iter().with_min_len(min_tiles(problem.work())).for_each(|t| {
                let offset = t * POINTWISE_TILE;
                let pixels = POINTWISE_TILE.min(row - offset);
                // SAFETY: the columns of the tiles are disjoint.
                let target = unsafe { Target::columns(output, row, offset..offset + pixels) };
                let target = target.accumulate(accumulate).masked(mask);
                let right = Right { data: &gy[offset..], row, relu: false };
                with_scratch(panels_len(self, ci, co), |panels| {
                    product(self, ci, co, packed, right, target, panels);
                });
            });
        });
    }

    fn windowed_backward_data(
        self,
        problem: &Problem<'_>,
        mask: Option<&[f32]>,
        weight: &[f32],
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let &Problem { w, n, ci, co } = problem;
        let (taps, fan_in, places) = (w.taps(), problem.fan_in(), w.output_area());
        let channels = (GRADIENT_ROWS / taps).clamp(1, ci.div_ceil(4).max(1));
        let tile = (TILE / (channels * taps * n).max(1)).clamp(1, places.max(1));
        let channels_len = (channels * problem.input_row()).max(1);
        let blocks = gx.par_chunks_mut(channels_len).enumerate();
        blocks.with_min_len(min_tiles(problem.work())).for_each(|(block, gx)| {
            if !accumulate {
                gx.fill(0.0);
            }
            let first = block * channels;
            let rows = channels.min(ci - first) * taps;
            let mask = mask.map(|x| &x[block * channels_len..][..gx.len()]);
            let sizes = [packed_len(self, rows, co), panels_len(self, rows, co), rows * tile * n];
            with_scratch(sizes.iter().sum(), |buffer| {
                let (packed, buffer) = buffer.split_at_mut(sizes[0]);
                let (panels, columns) = buffer.split_at_mut(sizes[1]);
                let data = &weight[first * taps..];
                let left = Left { data, row: 1, col: fan_in, scale: None };
                pack_left(self, rows, co, left, packed);
                for start in (0..places).step_by(tile) {
                    let places = start..places.min(start + tile);
                    let pixels = places.len() * n;
                    let columns = &mut columns[..rows * pixels];
                    let target = Target::whole(columns, pixels);
                    let (data, row) = (&gy[start * n..], problem.output_row());
                    let right = Right { data, row, relu: false };
                    product(self, rows, co, packed, right, target, panels);
                    im2col::scatter(self, w, n, places, columns, mask, gx);
                }
            });
        });
    }
}
