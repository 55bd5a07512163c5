//! Kernels that treat every element, or every map, on its own.

use rayon::prelude::*;

use super::Kernels;
use super::isa::for_each_isa;
use super::simd::{masked, relu};
use super::threads::{CHUNK, min_tiles};
use crate::device::draws::dropout_threshold;

impl Kernels {
    /// `y = max(x, 0)`; NaN stays NaN.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn relu_forward(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "length of the output");
        in_chunks(y, |start, y| relu_chunk(*self, part(x, start, y.len()), y));
    }

    /// Gradient of [`Kernels::relu_forward`]: `gy` where `x > 0`, else 0.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn relu_backward(&self, x: &[f32], gy: &[f32], gx: &mut [f32], accumulate: bool) {
        assert_eq!(x.len(), gx.len(), "length of the input's gradient");
        assert_eq!(gy.len(), gx.len(), "length of the output's gradient");
        in_chunks(gx, |start, gx| {
            let (x, gy) = (part(x, start, gx.len()), part(gy, start, gx.len()));
            relu_backward_chunk(*self, x, gy, accumulate, gx);
        });
    }

    /// `y = min(max(x, 0), 6)`; NaN stays NaN.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn relu6_forward(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "length of the output");
        in_chunks(y, |start, y| relu6_chunk(*self, part(x, start, y.len()), y));
    }

    /// Gradient of [`Kernels::relu6_forward`]: `gy` where `0 < x < 6`, else 0.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn relu6_backward(&self, x: &[f32], gy: &[f32], gx: &mut [f32], accumulate: bool) {
        assert_eq!(x.len(), gx.len(), "length of the input's gradient");
        assert_eq!(gy.len(), gx.len(), "length of the output's gradient");
        in_chunks(gx, |start, gx| {
            let (x, gy) = (part(x, start, gx.len()), part(gy, start, gx.len()));
            relu6_backward_chunk(*self, x, gy, accumulate, gx);
        });
    }

    /// `y = 1 / (1 + exp(-x))`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn sigmoid_forward(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "length of the output");
        in_chunks(y, |start, y| sigmoid_chunk(*self, part(x, start, y.len()), y));
    }

    /// Gradient of [`Kernels::sigmoid_forward`] from its result: `gy * y * (1 - y)`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn sigmoid_backward(&self, y: &[f32], gy: &[f32], gx: &mut [f32], accumulate: bool) {
        assert_eq!(y.len(), gx.len(), "length of the input's gradient");
        assert_eq!(gy.len(), gx.len(), "length of the output's gradient");
        in_chunks(gx, |start, gx| {
            let (y, gy) = (part(y, start, gx.len()), part(gy, start, gx.len()));
            sigmoid_backward_chunk(*self, y, gy, accumulate, gx);
        });
    }

    /// `y = a + b`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add_forward(&self, a: &[f32], b: &[f32], y: &mut [f32]) {
        assert_eq!(a.len(), y.len(), "length of the first input");
        assert_eq!(b.len(), y.len(), "length of the second input");
        in_chunks(y, |start, y| {
            add_chunk(*self, part(a, start, y.len()), part(b, start, y.len()), y);
        });
    }

    /// `dst = src`, or `dst += src` if `accumulate`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn copy_or_add(&self, src: &[f32], dst: &mut [f32], accumulate: bool) {
        assert_eq!(src.len(), dst.len(), "length of the source");
        in_chunks(dst, |start, dst| {
            let src = part(src, start, dst.len());
            if accumulate {
                add_to_chunk(*self, src, dst);
            } else {
                dst.copy_from_slice(src);
            }
        });
    }

    /// `y = a * b`, where one of the two may have a single number for each map.
    ///
    /// # Shapes
    /// - `a`: `[C, area_a, N]`, `b`: `[C, area_b, N]`; the areas are equal or one of them is 1
    /// - `y`: `[C, max(area_a, area_b), N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the areas do not fit.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn mul_forward(
        &self,
        c: usize,
        n: usize,
        area_a: usize,
        area_b: usize,
        a: &[f32],
        b: &[f32],
        y: &mut [f32],
    ) {
        let area = broadcast_area(area_a, area_b);
        assert_eq!(a.len(), c * n * area_a, "length of the first input");
        assert_eq!(b.len(), c * n * area_b, "length of the second input");
        assert_eq!(y.len(), c * n * area, "length of the output");
        if area_a == area_b {
            in_chunks(y, |start, y| {
                mul_chunk(*self, part(a, start, y.len()), part(b, start, y.len()), y);
            });
            return;
        }
        let (maps, factors) = if area_a == area { (a, b) } else { (b, a) };
        let work = y.len();
        let rows = y.par_chunks_mut((n * area).max(1)).zip(maps.par_chunks((n * area).max(1)));
        let rows = rows.zip(factors.par_chunks(n.max(1))).with_min_len(min_tiles(work));
        rows.for_each(|((y, maps), factors)| scale_maps(*self, maps, factors, false, y));
    }

    /// Gradients of [`Kernels::mul_forward`]; each of `ga` and `gb` comes with its own
    /// `accumulate`.
    ///
    /// # Shapes
    /// - `a`, `ga`: `[C, area_a, N]`, `b`, `gb`: `[C, area_b, N]`
    /// - `gy`: `[C, max(area_a, area_b), N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the areas do not fit.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn mul_backward(
        &self,
        c: usize,
        n: usize,
        area_a: usize,
        area_b: usize,
        a: &[f32],
        b: &[f32],
        gy: &[f32],
        ga: Option<(&mut [f32], bool)>,
        gb: Option<(&mut [f32], bool)>,
    ) {
        let area = broadcast_area(area_a, area_b);
        assert_eq!(a.len(), c * n * area_a, "length of the first input");
        assert_eq!(b.len(), c * n * area_b, "length of the second input");
        assert_eq!(gy.len(), c * n * area, "length of the output's gradient");
        if let Some((ga, accumulate)) = ga {
            assert_eq!(ga.len(), a.len(), "length of the first input's gradient");
            self.mul_backward_one(n, area, area_a, area_b, b, gy, ga, accumulate);
        }
        if let Some((gb, accumulate)) = gb {
            assert_eq!(gb.len(), b.len(), "length of the second input's gradient");
            self.mul_backward_one(n, area, area_b, area_a, a, gy, gb, accumulate);
        }
    }

    /// The gradient of one factor, given the other.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    fn mul_backward_one(
        self,
        n: usize,
        area: usize,
        own_area: usize,
        other_area: usize,
        other: &[f32],
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let rows = gx.par_chunks_mut((n * own_area).max(1));
        let rows = rows.zip(other.par_chunks((n * other_area).max(1)));
        let rows = rows.zip(gy.par_chunks((n * area).max(1)));
        rows.with_min_len(min_tiles(gy.len())).for_each(|((gx, other), gy)| {
            if own_area < area {
                dot_maps(self, gy, other, accumulate, gx);
            } else if other_area < area {
                scale_maps(self, gy, other, accumulate, gx);
            } else if accumulate {
                mul_add_chunk(self, gy, other, gx);
            } else {
                mul_chunk(self, gy, other, gx);
            }
        });
    }

    /// Dropout: each number is 0 with probability `rate`, otherwise multiplied by `1 / (1 - rate)`.
    ///
    /// # Panics
    /// If the lengths differ or `rate` is not in `0 <= rate < 1`.
    ///
    /// # Determinism
    /// Whether a number is dropped depends on `seed` and its index alone.
    pub fn dropout_forward(&self, rate: f32, seed: u64, x: &[f32], y: &mut [f32]) {
        self.dropout_backward(rate, seed, x, y, false);
    }

    /// Gradient of [`Kernels::dropout_forward`] of the same `rate` and `seed`.
    ///
    /// # Panics
    /// If the lengths differ or `rate` is not in `0 <= rate < 1`.
    pub fn dropout_backward(
        &self,
        rate: f32,
        seed: u64,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        assert!((0.0..1.0).contains(&rate), "a dropout rate is at least 0 and below 1");
        assert_eq!(gy.len(), gx.len(), "length of the input's gradient");
        let threshold = dropout_threshold(rate);
        let scale = 1.0 / (1.0 - rate);
        in_chunks(gx, |start, gx| {
            let gy = part(gy, start, gx.len());
            dropout_chunk(*self, threshold, scale, seed, start as u64, gy, accumulate, gx);
        });
    }
}

/// Runs `f` on chunks of `output` with the index of their first element.
fn in_chunks(output: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
    let work = output.len();
    let chunks = output.par_chunks_mut(CHUNK).enumerate().with_min_len(min_tiles(work));
    chunks.for_each(|(i, chunk)| f(i * CHUNK, chunk));
}

fn part(slice: &[f32], start: usize, len: usize) -> &[f32] {
    &slice[start..start + len]
}

fn broadcast_area(area_a: usize, area_b: usize) -> usize {
    assert!(area_a == area_b || area_a == 1 || area_b == 1, "areas are equal or 1");
    area_a.max(area_b)
}

for_each_isa! {
    fn relu_chunk(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = relu(x);
        }
    }
}

for_each_isa! {
    fn relu_backward_chunk(x: &[f32], gy: &[f32], accumulate: bool, gx: &mut [f32]) {
        for ((gx, &x), &gy) in gx.iter_mut().zip(x).zip(gy) {
            let g = masked(gy, x);
            *gx = if accumulate { *gx + g } else { g };
        }
    }
}

for_each_isa! {
    fn relu6_chunk(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            let x = relu(x);
            *y = if x > 6.0 { 6.0 } else { x };
        }
    }
}

for_each_isa! {
    fn relu6_backward_chunk(x: &[f32], gy: &[f32], accumulate: bool, gx: &mut [f32]) {
        for ((gx, &x), &gy) in gx.iter_mut().zip(x).zip(gy) {
            let g = masked(masked(gy, x), 6.0 - x);
            *gx = if accumulate { *gx + g } else { g };
        }
    }
}

for_each_isa! {
    fn sigmoid_chunk(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = 1.0 / (1.0 + exp(-x));
        }
    }
}

for_each_isa! {
    fn sigmoid_backward_chunk(y: &[f32], gy: &[f32], accumulate: bool, gx: &mut [f32]) {
        for ((gx, &y), &gy) in gx.iter_mut().zip(y).zip(gy) {
            let g = gy * y * (1.0 - y);
            *gx = if accumulate { *gx + g } else { g };
        }
    }
}

for_each_isa! {
    fn add_chunk(a: &[f32], b: &[f32], y: &mut [f32]) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }
}

for_each_isa! {
    fn add_to_chunk(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

for_each_isa! {
    fn mul_chunk(a: &[f32], b: &[f32], y: &mut [f32]) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a * b;
        }
    }
}

for_each_isa! {
    fn mul_add_chunk(a: &[f32], b: &[f32], y: &mut [f32]) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y += a * b;
        }
    }
}

for_each_isa! {
    /// The maps of a channel, `[area, N]`, each times its factor.
    pub(super) fn scale_maps(maps: &[f32], factors: &[f32], accumulate: bool, y: &mut [f32]) {
        let n = factors.len().max(1);
        for (y, x) in y.chunks_exact_mut(n).zip(maps.chunks_exact(n)) {
            for ((y, &x), &factor) in y.iter_mut().zip(x).zip(factors) {
                *y = if accumulate { *y + x * factor } else { x * factor };
            }
        }
    }
}

for_each_isa! {
    /// The inner product of each map of `a`, `[area, N]`, with the one of `b`.
    fn dot_maps(a: &[f32], b: &[f32], accumulate: bool, y: &mut [f32]) {
        if !accumulate {
            y.fill(0.0);
        }
        let n = y.len().max(1);
        for (a, b) in a.chunks_exact(n).zip(b.chunks_exact(n)) {
            for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                *y += a * b;
            }
        }
    }
}

for_each_isa! {
    /// The mean of each map of a channel, `[area, N]`.
    pub(super) fn mean_of_maps(x: &[f32], y: &mut [f32]) {
        let n = y.len().max(1);
        y.fill(0.0);
        for x in x.chunks_exact(n) {
            for (y, x) in y.iter_mut().zip(x) {
                *y += x;
            }
        }
        let area = (x.len() / n) as f32;
        for y in y {
            *y /= area;
        }
    }
}

for_each_isa! {
    /// The gradient of [`mean_of_maps`].
    pub(super) fn spread_over_maps(gy: &[f32], accumulate: bool, gx: &mut [f32]) {
        let n = gy.len().max(1);
        let area = (gx.len() / n) as f32;
        for gx in gx.chunks_exact_mut(n) {
            for (gx, gy) in gx.iter_mut().zip(gy) {
                let g = gy / area;
                *gx = if accumulate { *gx + g } else { g };
            }
        }
    }
}

for_each_isa! {
    fn dropout_chunk(
        threshold: u32,
        scale: f32,
        seed: u64,
        start: u64,
        x: &[f32],
        accumulate: bool,
        y: &mut [f32],
    ) {
        // Chunks are shorter than 2^32, so the upper half of an index only changes between chunks.
        let key = [(seed as u32), (seed >> 32) as u32 ^ (start >> 32) as u32];
        let start = start as u32;
        for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
            let hash = mix(mix(start.wrapping_add(i as u32) ^ key[0]).wrapping_add(key[1]));
            let value = if hash < threshold { 0.0 } else { x * scale };
            *y = if accumulate { *y + value } else { value };
        }
    }
}

/// A bijection of 32 bits that spreads every input bit ("lowbias32" of Chris Wellons' hash search).
#[inline(always)]
fn mix(mut z: u32) -> u32 {
    z ^= z >> 16;
    z = z.wrapping_mul(0x7feb_352d);
    z ^= z >> 15;
    z = z.wrapping_mul(0x846c_a68b);
    z ^ (z >> 16)
}

/// `e^x` to within 2 units in the last place, the same bits on every machine.
///
/// # Source
/// The reduction and polynomial of Cephes `expf`: `x = n ln 2 + r`, `|r| <= ln 2 / 2`.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// `ln 2` in two parts, the first with few enough bits that `n` times it is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// `1.5 * 2^23`: adding it rounds to a whole number, which is then in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    // Beyond these the result is infinite or so small that only 1 + exp matters.
    let clamped = if x > 88.0 { 88.0 } else { x };
    let clamped = if clamped < -87.0 { -87.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = clamped - n * LN2[0] - n * LN2[1];
    let mut p = 1.987_569_2e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    // The exponent's bits of 2^n.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (p * r * r + r + 1.0) * power
}
