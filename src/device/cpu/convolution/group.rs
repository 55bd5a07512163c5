//! The convolution of one group, as matrix products over tiles of output pixels.
//!
//! A 1x1 kernel at stride 1 multiplies the batch `[C_in, H * W * N]` where it lies; other windows
//! are gathered into a matrix first (`im2col`), one tile at a time.

use std::ops::Range;

use rayon::prelude::*;

use super::{ConvSizes, Filters};
use crate::device::cpu::matmul::{
    Left, Right, Rows, Target, pack_left, packed_len, panels_len, product, product_of_rows,
};
use crate::device::cpu::scratch::with_scratch;
use crate::device::cpu::threads::{SharedOutput, min_tiles};
use crate::device::cpu::{Kernels, im2col};

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

impl ConvSizes<'_> {
    /// True if the matrix of the windows is the input itself.
    fn is_pointwise(&self) -> bool {
        self.window.is_pointwise()
            && self.window.pad == [0, 0]
            && self.window.input == self.window.output
    }

    /// Inner dimension of the product: inputs of one output pixel.
    fn fan_in(&self) -> usize {
        self.ci * self.window.taps()
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
        if self.is_pointwise() {
            (1, self.output_row())
        } else {
            (self.n, self.window.output_area())
        }
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
}

impl Kernels {
    /// Numbers of the packed filters of a group.
    pub(super) fn group_filters_len(&self, group: ConvSizes<'_>) -> usize {
        let (rows, fan_in) = (group.outputs_at_once(), group.fan_in());
        group.co / rows * packed_len(*self, rows, fan_in)
            + packed_len(*self, group.co % rows, fan_in)
    }

    /// The output channels of a group that were packed together, and their part of its packed filters.
    pub(in super::super) fn filter_blocks<'p>(
        &self,
        group: ConvSizes<'_>,
        packed: &'p [f32],
    ) -> impl Iterator<Item = (Range<usize>, &'p [f32])> + use<'p> {
        let (rows, co) = (group.outputs_at_once(), group.co);
        let blocks = packed.chunks(packed_len(*self, rows, group.fan_in()).max(1)).enumerate();
        blocks.map(move |(block, packed)| (block * rows..co.min((block + 1) * rows), packed))
    }

    /// Packs the filters of a group, each multiplied by its scale.
    pub(super) fn pack_group(
        &self,
        group: ConvSizes<'_>,
        weight: &[f32],
        scale: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        let (rows, fan_in) = (group.outputs_at_once(), group.fan_in());
        let blocks = packed.par_chunks_mut(packed_len(*self, rows, fan_in).max(1));
        let blocks = blocks.zip(weight.par_chunks((rows * fan_in).max(1))).enumerate();
        blocks.with_min_len(min_tiles(weight.len())).for_each(|(block, (packed, weight))| {
            let first = block * rows;
            let outputs = first..group.co.min(first + rows);
            let m = outputs.len();
            let left =
                Left { data: weight, row: fan_in, col: 1, scale: scale.map(|s| &s[outputs]) };
            pack_left(*self, m, fan_in, left, packed);
        });
    }

    /// The convolution of a group by its filters.
    pub(super) fn group_by_filters(
        &self,
        group: ConvSizes<'_>,
        x: &[f32],
        filters: Filters<'_>,
        relu_in: bool,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let (rows, fan_in) = (group.outputs_at_once(), group.fan_in());
        let outputs = y.par_chunks_mut((rows * group.output_row()).max(1));
        let packed = filters.packed.par_chunks(packed_len(*self, rows, fan_in).max(1));
        let blocks = outputs.zip(packed).enumerate();
        blocks.with_min_len(min_tiles(group.work())).for_each(|(block, (y, packed))| {
            let outputs = block * rows..group.co.min((block + 1) * rows);
            let some = ConvSizes { co: outputs.len(), ..group };
            let shift = filters.shift.map(|shift| &shift[outputs]);
            self.some_outputs(some, x, Filters { packed, shift }, relu_in, y, accumulate);
        });
    }

    /// The convolution for some of the output channels.
    fn some_outputs(
        self,
        some: ConvSizes<'_>,
        x: &[f32],
        filters: Filters<'_>,
        relu_in: bool,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let ConvSizes { window, n, co, .. } = some;
        let (kernels, fan_in) = (self, some.fan_in());
        let (unit, units) = some.units();
        let tile = some.product_tile();
        let output = SharedOutput::new(y);
        let tiles = units.div_ceil(tile);
        (0..tiles).into_par_iter().with_min_len(min_tiles(some.work())).for_each(|t| {
            let rows = t * tile..units.min((t + 1) * tile);
            let pixels = rows.len() * unit;
            let columns = rows.start * unit..rows.end * unit;
            // SAFETY: the columns of the tiles are disjoint.
            let target = unsafe { Target::columns(output, some.output_row(), columns) };
            let target = target.accumulate(accumulate).shifted(filters.shift);
            let gathered = if some.is_pointwise() { 0 } else { fan_in * pixels };
            with_scratch(gathered + panels_len(kernels, co, fan_in), |buffer| {
                let (columns, panels) = buffer.split_at_mut(gathered);
                let right = if some.is_pointwise() {
                    Right { data: &x[rows.start..], row: some.input_row(), relu: relu_in }
                } else {
                    im2col::gather(kernels, window, n, x, relu_in, rows, columns);
                    Right { data: columns, row: pixels, relu: false }
                };
                product(kernels, [co, fan_in], filters.packed, right, target, panels);
            });
        });
    }

    /// The gradient of a group's convolution for its input, 0 where the mask is not positive.
    pub(super) fn group_backward_data(
        self,
        group: ConvSizes<'_>,
        mask: Option<&[f32]>,
        weight: &[f32],
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        if group.is_pointwise() {
            self.pointwise_backward_data(group, mask, weight, gy, gx, accumulate);
        } else {
            self.windowed_backward_data(group, mask, weight, gy, gx, accumulate);
        }
    }

    /// The gradient of a group's convolution for its weight, added to `gweight`.
    pub(super) fn group_backward_weight(
        &self,
        group: ConvSizes<'_>,
        x: &[f32],
        relu_in: bool,
        gy: &[f32],
        gweight: &mut [f32],
    ) {
        let ConvSizes { window, n, ci, co, .. } = group;
        let (kernels, taps) = (*self, window.taps());
        let (unit, units) = group.units();

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
            tasks.with_min_len(min_tiles(group.work())).for_each(|(task, sums)| {
                let (block, rows) = (task / parts, task % parts * part);
                let first = block * channels;
                let fan_in = channels.min(ci - first) * taps;
                let end = units.min(rows + part);
                let x = &x[first * group.input_row()..];
                let sums = &mut sums[..co * fan_in];
                let gy_row = group.output_row();
                if group.is_pointwise() {
                    let len = end - rows;
                    let gy = Rows { data: &gy[rows..], row: gy_row, len };
                    let x = Rows { data: &x[rows..], row: group.input_row(), len };
                    product_of_rows(kernels, [co, fan_in], gy, x, relu_in, sums);
                    return;
                }
                let tile = group.tile(fan_in);
                for start in (rows..end).step_by(tile) {
                    let rows = start..end.min(start + tile);
                    let len = rows.len() * unit;
                    with_scratch(fan_in * len, |columns| {
                        im2col::gather(kernels, window, n, x, relu_in, rows, columns);
                        let gy = Rows { data: &gy[start * unit..], row: gy_row, len };
                        let columns = Rows { data: columns, row: len, len };
                        product_of_rows(kernels, [co, fan_in], gy, columns, false, sums);
                    });
                }
            });
            for (task, sums) in sums.chunks_exact(task_len.max(1)).enumerate() {
                let first = task / parts * channels;
                let fan_in = channels.min(ci - first) * taps;
                let gradients = gweight.chunks_exact_mut(group.fan_in());
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
        group: ConvSizes<'_>,
        mask: Option<&[f32]>,
        weight: &[f32],
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let (ci, co, row) = (group.ci, group.co, group.input_row());
        let output = SharedOutput::new(gx);
        with_scratch(packed_len(self, ci, co), |packed| {
            let left = Left { data: weight, row: 1, col: ci, scale: None };
            pack_left(self, ci, co, left, packed);
            let packed = &*packed;
            let tiles = row.div_ceil(POINTWISE_TILE);
            (0..tiles).into_par_iter().with_min_len(min_tiles(group.work())).for_each(|t| {
                let offset = t * POINTWISE_TILE;
                let pixels = POINTWISE_TILE.min(row - offset);
                // SAFETY: the columns of the tiles are disjoint.
                let target = unsafe { Target::columns(output, row, offset..offset + pixels) };
                let target = target.accumulate(accumulate).masked(mask);
                let right = Right { data: &gy[offset..], row, relu: false };
                with_scratch(panels_len(self, ci, co), |panels| {
                    product(self, [ci, co], packed, right, target, panels);
                });
            });
        });
    }

    fn windowed_backward_data(
        self,
        group: ConvSizes<'_>,
        mask: Option<&[f32]>,
        weight: &[f32],
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let ConvSizes { window, n, ci, co, .. } = group;
        let (taps, fan_in, places) = (window.taps(), group.fan_in(), window.output_area());
        let channels = (GRADIENT_ROWS / taps).clamp(1, ci.div_ceil(4).max(1));
        let tile = (TILE / (channels * taps * n).max(1)).clamp(1, places.max(1));
        let channels_len = (channels * group.input_row()).max(1);
        let blocks = gx.par_chunks_mut(channels_len).enumerate();
        blocks.with_min_len(min_tiles(group.work())).for_each(|(block, gx)| {
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
                    let (data, row) = (&gy[start * n..], group.output_row());
                    let right = Right { data, row, relu: false };
                    product(self, [rows, co], packed, right, target, panels);
                    im2col::scatter(self, window, n, places, columns, mask, gx);
                }
            });
        });
    }
}
