//! Channels side by side: the images of a small batch are no whole vectors, but those of several channels are.
//!
//! `[C, H, W, N]` becomes `[C / g, H, W, g, N]` for one group of `g` channels at a time, so that a vector holds one
//! place of several channels. Two transpositions cost less than windows that slide over rows of a few numbers or
//! over every other one.

use std::ops::Range;

use rayon::prelude::*;

use super::axis::Axis;
use super::direct::is_usual;
use super::layout::Layout;
use crate::device::cpu::Kernels;
use crate::device::cpu::isa::for_each_isa;
use crate::device::cpu::scratch::with_scratch;
use crate::device::cpu::simd::{LANES, SIDE, Simd};
use crate::device::cpu::threads::min_tiles;
use crate::graph::Window;

/// Numbers of an output row from which on it is not worth it.
const LONG_ROW: usize = 4 * LANES;

/// Channels that lie together while a window slides over maps of `n` images: as many as make whole vectors, or one
/// where rows are long enough for vectors of their own.
pub(in super::super) fn channels_together(kernels: Kernels, w: &Window, n: usize) -> usize {
    let is_split = w.stride[1] > 1 || n * w.output[1] < LONG_ROW;
    let is_usual = is_usual(kernels, &Axis::forward(w, 0));
    if is_usual && is_split && n > 0 && LANES.is_multiple_of(n) { LANES / n } else { 1 }
}

/// Slides a window over all channels: calls `slide` with a layout, the numbers of one channel or of several that
/// lie together, which they are, where their results go, and whether these are added.
pub(in super::super) fn over_channels(
    kernels: Kernels,
    w: &Window,
    n: usize,
    x: &[f32],
    y: &mut [f32],
    accumulate: bool,
    slide: impl Fn(&Layout, Range<usize>, &[f32], &mut [f32], bool) + Sync,
) {
    let group = channels_together(kernels, w, n);
    let layout = Layout::together(kernels, Axis::forward(w, 0), Axis::forward(w, 1), n, group);
    let (x_len, y_len) = (n * w.input_area(), n * w.output_area());
    let work = y.len() * w.taps() / 8;
    let outputs = y.par_chunks_mut((group * y_len).max(1));
    let groups = outputs.zip(x.par_chunks((group * x_len).max(1))).enumerate();
    groups.with_min_len(min_tiles(work)).for_each(|(index, (y, x))| {
        let channels = index * group..index * group + x.len() / x_len.max(1);
        if group == 1 {
            slide(&layout, channels, x, y, accumulate);
            return;
        }
        let sizes = [group * x_len, group * y_len].map(|len| len.next_multiple_of(LANES));
        with_scratch(sizes.iter().sum(), |buffer| {
            let (inputs, outputs) = buffer.split_at_mut(sizes[0]);
            let (inputs, outputs) = (&mut inputs[..group * x_len], &mut outputs[..group * y_len]);
            gather(kernels, n, group, x, inputs);
            slide(&layout, channels, inputs, outputs, false);
            scatter(kernels, n, group, outputs, accumulate, y);
        });
    });
}

for_each_isa! {
    /// `[channels, places, N]` to `[places, group, N]`, for at most `group` channels. What stands for those that
    /// there are not is unspecified.
    fn gather<S: Simd>(simd: S, n: usize, group: usize, from: &[f32], to: &mut [f32]) {
        match n {
            1 => gather_single(simd, from, to),
            2 => gather_runs::<2>(group, from, to),
            4 => gather_runs::<4>(group, from, to),
            8 => gather_runs::<8>(group, from, to),
            _ => unreachable!("{DIVIDE}"),
        }
    }
    [portable <>, avx2 <>, avx512 <>]
}

for_each_isa! {
    /// `[places, group, N]` to `[channels, places, N]`, for at most `group` channels.
    fn scatter<S: Simd>(
        simd: S,
        n: usize,
        group: usize,
        from: &[f32],
        accumulate: bool,
        to: &mut [f32],
    ) {
        match n {
            1 => scatter_single(simd, from, accumulate, to),
            2 => scatter_runs::<2>(group, from, accumulate, to),
            4 => scatter_runs::<4>(group, from, accumulate, to),
            8 => scatter_runs::<8>(group, from, accumulate, to),
            _ => unreachable!("{DIVIDE}"),
        }
    }
    [portable <>, avx2 <>, avx512 <>]
}

const DIVIDE: &str = "the images of channels that lie together divide a vector";

/// [`gather`] of [`LANES`] channels of single images.
#[inline(always)]
fn gather_single<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let to = to.as_chunks_mut::<LANES>().0;
    let places = to.len();
    for first in (0..LANES).step_by(SIDE) {
        // Where there are no more channels, the first one stands for them.
        let channels: [&[f32]; SIDE] = std::array::from_fn(|channel| {
            let start = (first + channel) * places;
            from.get(start..start + places).unwrap_or(&from[..places])
        });
        let channels = channels.map(|channel| channel.as_chunks::<SIDE>());
        let (blocks, last) = to.as_chunks_mut::<SIDE>();
        for (block, to) in blocks.iter_mut().enumerate() {
            let columns = simd.transpose(rows_of(|channel| &channels[channel].0[block]));
            for (to, column) in to.iter_mut().zip(&columns) {
                to[first..first + SIDE].copy_from_slice(column);
            }
        }
        for (place, to) in last.iter_mut().enumerate() {
            for (to, (_, rest)) in to[first..first + SIDE].iter_mut().zip(&channels) {
                *to = rest[place];
            }
        }
    }
}

/// [`scatter`] of [`LANES`] channels of single images.
#[inline(always)]
fn scatter_single<S: Simd>(simd: S, from: &[f32], accumulate: bool, to: &mut [f32]) {
    let from = from.as_chunks::<LANES>().0;
    let places = from.len();
    for (group, to) in to.chunks_mut(SIDE * places).enumerate() {
        let lanes = group * SIDE..(group + 1) * SIDE;
        let (blocks, rest) = from.as_chunks::<SIDE>();
        for (block, from) in blocks.iter().enumerate() {
            let columns = simd.transpose(rows_of(|place| {
                from[place][lanes.clone()].first_chunk().expect("half of the lanes")
            }));
            for (to, column) in to.chunks_exact_mut(places).zip(&columns) {
                // As long as the compiler can see, or it calls a function to copy so few.
                write(column, accumulate, &mut to.as_chunks_mut::<SIDE>().0[block]);
            }
        }
        for (from, place) in rest.iter().zip(blocks.len() * SIDE..) {
            for (to, &x) in to.chunks_exact_mut(places).zip(&from[lanes.clone()]) {
                write(&[x], accumulate, &mut to[place..=place]);
            }
        }
    }
}

/// The rows of a transposition; a loop, because `std::array::from_fn` is not always inlined.
#[inline(always)]
fn rows_of<'a>(row: impl Fn(usize) -> &'a [f32; SIDE]) -> [&'a [f32; SIDE]; SIDE] {
    let mut rows = [row(0); SIDE];
    for (index, to) in rows.iter_mut().enumerate() {
        *to = row(index);
    }
    rows
}

#[inline(always)]
fn gather_runs<const N: usize>(group: usize, from: &[f32], to: &mut [f32]) {
    for (channel, from) in from.chunks_exact(to.len() / group).enumerate() {
        let to = to.as_chunks_mut::<N>().0[channel..].iter_mut().step_by(group);
        to.zip(from.as_chunks::<N>().0).for_each(|(to, from)| *to = *from);
    }
}

#[inline(always)]
fn scatter_runs<const N: usize>(group: usize, from: &[f32], accumulate: bool, to: &mut [f32]) {
    for (channel, to) in to.chunks_exact_mut(from.len() / group).enumerate() {
        let from = from.as_chunks::<N>().0[channel..].iter().step_by(group);
        let runs = to.as_chunks_mut::<N>().0.iter_mut().zip(from);
        runs.for_each(|(to, from)| write(from, accumulate, to));
    }
}

#[inline(always)]
fn write(from: &[f32], accumulate: bool, to: &mut [f32]) {
    for (to, &x) in to.iter_mut().zip(from) {
        *to = if accumulate { *to + x } else { x };
    }
}
