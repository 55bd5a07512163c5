//! Convolution windows as the rows of a matrix, and back.
//!
//! The matrix of a tile has one row for each (channel, kernel row, kernel column) and one column
//! for each output pixel of the tile; a tile is a run of output rows of the batch, counted over all
//! images.
//!
//! If the output has the size of the input, a matrix row is the channel shifted by a constant,
//! except that pixels whose tap is outside the map are 0. Otherwise it is put together row by row.

use std::ops::Range;

use super::isa::for_each_isa;
use super::simd::relu;
use crate::graph::Window;

for_each_isa! {
    /// Fills `columns`, `[C * KH * KW, rows * W']`, for the output rows `rows` of the batch; taps
    /// outside the map are 0.
    ///
    /// `x` are at least the needed channels of `[C, N, H, W]`, of `channel_len` numbers each.
    pub(super) fn gather(
        w: &Window,
        channel_len: usize,
        x: &[f32],
        rectify: bool,
        rows: Range<usize>,
        columns: &mut [f32],
    ) {
        let len = rows.len() * w.output[1];
        for (index, out) in columns.chunks_exact_mut(len.max(1)).enumerate() {
            let tap = Tap::new(w, index % w.taps());
            let x = &x[index / w.taps() * channel_len..][..channel_len];
            if keeps_size(w) {
                gather_shifted(w, &tap, x, rectify, rows.clone(), out);
            } else {
                gather_rows(w, &tap, x, rectify, rows.clone(), out);
            }
        }
    }
}

for_each_isa! {
    /// The transpose of [`gather`] for whole images: adds `columns`, `[C * KH * KW, images * H' *
    /// W']`, to the maps `gx`, `[C, images, H, W]`. What `columns` has for taps outside the map is
    /// erased.
    pub(super) fn scatter(w: &Window, images: usize, columns: &mut [f32], gx: &mut [f32]) {
        let channel_len = images * w.input_area();
        let len = images * w.output_area();
        for (index, gradient) in columns.chunks_exact_mut(len.max(1)).enumerate() {
            let tap = Tap::new(w, index % w.taps());
            let gx = &mut gx[index / w.taps() * channel_len..][..channel_len];
            if keeps_size(w) {
                erase_outside(w, &tap, 0..images * w.output[0], gradient);
                let (to, from) = tap.overlap(0, len, channel_len);
                for (gx, g) in gx[from..].iter_mut().zip(&gradient[to]) {
                    *gx += g;
                }
            } else {
                scatter_rows(w, &tap, gradient, gx);
            }
        }
    }
}

/// True if an output pixel lies at the place of the input pixel of the same index.
fn keeps_size(w: &Window) -> bool {
    w.stride == [1, 1] && w.input == w.output
}

/// What one tap of a window reads.
struct Tap {
    /// Kernel row.
    ky: usize,
    /// Output columns for which the tap is inside the map.
    inside: Range<usize>,
    /// Input column that it reads for the first of them.
    first: usize,
    /// From an output pixel's index to the input pixel's, if the sizes are equal.
    shift: isize,
}

impl Tap {
    fn new(w: &Window, tap: usize) -> Tap {
        let (ky, kx) = (tap / w.kernel[1], tap % w.kernel[1]);
        let (stride, at) = (w.stride[1], kx * w.dilation[1]);
        let limit = w.input[1] + w.pad[1];
        let start = w.pad[1].saturating_sub(at).div_ceil(stride).min(w.output[1]);
        let end = limit.saturating_sub(at).div_ceil(stride).clamp(start, w.output[1]);
        let first = (start * stride + at).saturating_sub(w.pad[1]).min(w.input[1]);
        let down = (ky * w.dilation[0]) as isize - w.pad[0] as isize;
        let right = at as isize - w.pad[1] as isize;
        Tap { ky, inside: start..end, first, shift: down * w.input[1] as isize + right }
    }

    /// The input row of output row `oy`, if it is inside the map.
    fn input_row(&self, w: &Window, oy: usize) -> Option<usize> {
        let position = oy * w.stride[0] + self.ky * w.dilation[0];
        position.checked_sub(w.pad[0]).filter(|&iy| iy < w.input[0])
    }

    /// Of the `len` output pixels of a channel from `start` on, those whose shifted index is in the
    /// channel, and the shifted index of the first.
    fn overlap(&self, start: usize, len: usize, channel_len: usize) -> (Range<usize>, usize) {
        let shifted = start as isize + self.shift;
        let lo = (-shifted).clamp(0, len as isize);
        let hi = (channel_len as isize - shifted).clamp(lo, len as isize);
        (lo as usize..hi as usize, (shifted + lo).clamp(0, channel_len as isize) as usize)
    }
}

#[inline(always)]
fn gather_shifted(
    w: &Window,
    tap: &Tap,
    x: &[f32],
    rectify: bool,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let (to, from) = tap.overlap(rows.start * w.output[1], out.len(), x.len());
    out[..to.start].fill(0.0);
    out[to.end..].fill(0.0);
    let x = &x[from..][..to.len()];
    if rectify {
        for (out, &x) in out[to].iter_mut().zip(x) {
            *out = relu(x);
        }
    } else {
        out[to].copy_from_slice(x);
    }
    erase_outside(w, tap, rows, out);
}

/// Sets to 0 the output pixels for which the tap is outside the map.
#[inline(always)]
fn erase_outside(w: &Window, tap: &Tap, rows: Range<usize>, pixels: &mut [f32]) {
    let [height, width] = w.output;
    let is_outside = |oy: &usize| tap.input_row(w, *oy).is_none();
    let above = (0..height).take_while(is_outside).count();
    let below = (above..height).rev().take_while(is_outside).count();
    if above + below > 0 {
        for image in rows.start / height..rows.end.div_ceil(height) {
            let top = image * height;
            for range in [top..top + above, top + height - below..top + height] {
                let (start, end) = (range.start.max(rows.start), range.end.min(rows.end));
                if start < end {
                    pixels[(start - rows.start) * width..(end - rows.start) * width].fill(0.0);
                }
            }
        }
    }
    // Column by column: a loop over the few columns of each row would be all overhead.
    for column in (0..tap.inside.start).chain(tap.inside.end..width) {
        for pixel in pixels[column..].iter_mut().step_by(width) {
            *pixel = 0.0;
        }
    }
}

#[inline(always)]
fn gather_rows(
    w: &Window,
    tap: &Tap,
    x: &[f32],
    rectify: bool,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let [height, width] = w.output;
    let (mut image, mut oy) = (rows.start / height, rows.start % height);
    for out in out.chunks_exact_mut(width) {
        match tap.input_row(w, oy).filter(|_| !tap.inside.is_empty()) {
            Some(iy) => {
                let x = &x[image * w.input_area() + iy * w.input[1]..][tap.first..w.input[1]];
                out[..tap.inside.start].fill(0.0);
                out[tap.inside.end..].fill(0.0);
                let out = &mut out[tap.inside.clone()];
                for (out, &x) in out.iter_mut().zip(x.iter().step_by(w.stride[1])) {
                    *out = if rectify { relu(x) } else { x };
                }
            }
            None => out.fill(0.0),
        }
        oy += 1;
        if oy == height {
            (image, oy) = (image + 1, 0);
        }
    }
}

#[inline(always)]
fn scatter_rows(w: &Window, tap: &Tap, gradient: &[f32], gx: &mut [f32]) {
    let [height, width] = w.output;
    let images = gradient.chunks_exact(height * width).zip(gx.chunks_exact_mut(w.input_area()));
    for (gradient, gx) in images {
        for (oy, gradient) in gradient.chunks_exact(width).enumerate() {
            let Some(iy) = tap.input_row(w, oy) else { continue };
            let gx = gx[iy * w.input[1]..][tap.first..].iter_mut().step_by(w.stride[1]);
            for (gx, &g) in gx.zip(&gradient[tap.inside.clone()]) {
                *gx += g;
            }
        }
    }
}
