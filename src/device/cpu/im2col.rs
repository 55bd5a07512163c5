//! Convolution windows as the rows of a matrix, and back.
//!
//! The matrix of a tile has one row for each (channel, kernel row, kernel column) and one column
//! for each output pixel of the tile; a tile is a run of places of the output map, each with the pixels of
//! all images. What a tap reads for one row of the output map is then contiguous, or at a horizontal
//! stride a run of `N` numbers for each place.

use std::ops::Range;

use super::isa::for_each_isa;
use super::simd::{masked, relu};
use crate::graph::Window;

for_each_isa! {
    /// Fills `columns`, `[C * KH * KW, places * N]`, for these places of the output map; taps outside the
    /// map are 0.
    ///
    /// `x` are at least the needed channels of `[C, H, W, N]`.
    pub(super) fn gather(
        w: &Window,
        n: usize,
        x: &[f32],
        rectify: bool,
        places: Range<usize>,
        columns: &mut [f32],
    ) {
        let channel_len = n * w.input_area();
        for (index, out) in columns.chunks_exact_mut((places.len() * n).max(1)).enumerate() {
            let tap = Tap::new(w, index % w.taps());
            let x = &x[index / w.taps() * channel_len..][..channel_len];
            for run in tap.runs(w, places.clone()) {
                let out = &mut out[run.at * n..][..run.len * n];
                out[..run.before * n].fill(0.0);
                out[(run.before + run.inside) * n..].fill(0.0);
                let out = &mut out[run.before * n..][..run.inside * n];
                let from = &x[run.from * n..];
                if w.stride[1] == 1 {
                    copy(&from[..out.len()], rectify, out);
                } else {
                    copy_every(w.stride[1], n, from, rectify, out);
                }
            }
        }
    }
}

for_each_isa! {
    /// The transpose of [`gather`]: adds `columns` to the channels `gx`, `[C, H, W, N]`, where the mask of
    /// the same shape is positive. What `columns` has for taps outside the map is dropped.
    pub(super) fn scatter(
        w: &Window,
        n: usize,
        places: Range<usize>,
        columns: &[f32],
        mask: Option<&[f32]>,
        gx: &mut [f32],
    ) {
        let channel_len = n * w.input_area();
        for (index, gradient) in columns.chunks_exact((places.len() * n).max(1)).enumerate() {
            let tap = Tap::new(w, index % w.taps());
            let channel = index / w.taps() * channel_len..;
            let mask = mask.map(|mask| &mask[channel.clone()][..channel_len]);
            let gx = &mut gx[channel][..channel_len];
            for run in tap.runs(w, places.clone()).filter(|run| run.inside > 0) {
                let from = &gradient[(run.at + run.before) * n..][..run.inside * n];
                // At stride 1 all columns of the run are one piece.
                let piece = if w.stride[1] == 1 { from.len() } else { n };
                for (i, from) in from.chunks_exact(piece.max(1)).enumerate() {
                    let start = (run.from + i * w.stride[1]) * n;
                    let to = &mut gx[start..][..from.len()];
                    match mask {
                        Some(mask) => {
                            for ((to, &g), &x) in to.iter_mut().zip(from).zip(&mask[start..]) {
                                *to += masked(g, x);
                            }
                        }
                        None => {
                            for (to, g) in to.iter_mut().zip(from) {
                                *to += g;
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn copy(from: &[f32], rectify: bool, to: &mut [f32]) {
    if rectify {
        for (to, &x) in to.iter_mut().zip(from) {
            *to = relu(x);
        }
    } else {
        to.copy_from_slice(from);
    }
}

/// Copies the first `n` numbers of every `stride * n`. Numbers of images that the compiler knows are copied without
/// a call of a function for so few.
#[inline(always)]
fn copy_every(stride: usize, n: usize, from: &[f32], rectify: bool, to: &mut [f32]) {
    match n {
        1 => copy_chunks::<1>(stride, from, rectify, to),
        2 => copy_chunks::<2>(stride, from, rectify, to),
        4 => copy_chunks::<4>(stride, from, rectify, to),
        8 => copy_chunks::<8>(stride, from, rectify, to),
        16 => copy_chunks::<16>(stride, from, rectify, to),
        32 => copy_chunks::<32>(stride, from, rectify, to),
        _ => {
            for (to, from) in to.chunks_exact_mut(n).zip(from.chunks(stride * n)) {
                copy(&from[..n], rectify, to);
            }
        }
    }
}

#[inline(always)]
fn copy_chunks<const N: usize>(stride: usize, from: &[f32], rectify: bool, to: &mut [f32]) {
    let from = from.as_chunks::<N>().0.iter().step_by(stride);
    for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from) {
        for (to, &x) in to.iter_mut().zip(from) {
            *to = if rectify { relu(x) } else { x };
        }
    }
}

/// What one tap of a window reads.
struct Tap {
    /// Kernel row.
    ky: usize,
    /// Output columns for which the tap is inside the map.
    inside: Range<usize>,
    /// Input column that it reads for the first of them.
    first: usize,
}

/// Places of a tile that lie in one row of the output map.
struct Run {
    /// The first of them, counted in the tile.
    at: usize,
    /// All of them.
    len: usize,
    /// The first ones whose tap is outside the map.
    before: usize,
    /// Those after them whose tap is inside.
    inside: usize,
    /// The place in the input map that the tap of the first of those reads.
    from: usize,
}

impl Tap {
    fn new(w: &Window, tap: usize) -> Tap {
        let (ky, kx) = (tap / w.kernel[1], tap % w.kernel[1]);
        let (stride, at) = (w.stride[1], kx * w.dilation[1]);
        let limit = w.input[1] + w.pad[1];
        let start = w.pad[1].saturating_sub(at).div_ceil(stride).min(w.output[1]);
        let end = limit.saturating_sub(at).div_ceil(stride).clamp(start, w.output[1]);
        let first = (start * stride + at).saturating_sub(w.pad[1]).min(w.input[1]);
        Tap { ky, inside: start..end, first }
    }

    /// The input row of output row `oy`, if it is inside the map.
    fn input_row(&self, w: &Window, oy: usize) -> Option<usize> {
        let position = oy * w.stride[0] + self.ky * w.dilation[0];
        position.checked_sub(w.pad[0]).filter(|&iy| iy < w.input[0])
    }

    /// The runs of a tile.
    #[inline(always)]
    fn runs(&self, w: &Window, places: Range<usize>) -> impl Iterator<Item = Run> {
        let width = w.output[1].max(1);
        let rows = places.start / width..places.end.div_ceil(width);
        rows.map(move |oy| {
            let start = places.start.max(oy * width);
            let end = places.end.min((oy + 1) * width);
            let columns = start - oy * width..end - oy * width;
            let (at, len) = (start - places.start, end - start);
            let Some(iy) = self.input_row(w, oy) else {
                return Run { at, len, before: len, inside: 0, from: 0 };
            };
            let first = self.inside.start.clamp(columns.start, columns.end);
            let last = self.inside.end.clamp(first, columns.end);
            if first == last {
                return Run { at, len, before: len, inside: 0, from: 0 };
            }
            let column = self.first + (first - self.inside.start) * w.stride[1];
            let before = first - columns.start;
            Run { at, len, before, inside: last - first, from: iy * w.input[1] + column }
        })
    }
}
