//! Mixes of two branches, each image with a share of its own, and images scaled one by one.

use rayon::prelude::*;

use super::Kernels;
use super::elementwise::scale_maps;
use super::scratch::with_scratch;
use super::threads::min_tiles;

impl Kernels {
    /// `y = share * a + (1 - share) * b`, one share an image.
    ///
    /// # Shapes
    /// - `shares`: `[N]`
    /// - `a`, `b`, `y`: `[C, area, N]`
    ///
    /// # Panics
    /// If the lengths differ or are no multiple of `N * area`.
    pub fn mix_forward(&self, area: usize, shares: &[f32], a: &[f32], b: &[f32], y: &mut [f32]) {
        assert_eq!([a.len(), b.len()], [y.len(); 2], "lengths of the inputs");
        with_scratch(shares.len(), |rest| {
            rest.iter_mut().zip(shares).for_each(|(rest, share)| *rest = 1.0 - share);
            let rest = &*rest;
            let rows = rows(area, shares, a, y).zip(b.par_chunks_exact(shares.len() * area));
            rows.for_each(|((y, a), b)| {
                scale_maps(*self, a, shares, false, y);
                scale_maps(*self, b, rest, true, y);
            });
        });
    }

    /// `y = factor * x`, one factor an image: drop path, its gradient, and the gradient of one operand of a
    /// mix. Adds to `y` if `accumulate`.
    ///
    /// # Shapes
    /// - `factors`: `[N]`
    /// - `x`, `y`: `[C, area, N]`
    ///
    /// # Panics
    /// If the lengths differ or are no multiple of `N * area`.
    pub fn scale_images(
        &self,
        area: usize,
        factors: &[f32],
        x: &[f32],
        y: &mut [f32],
        accumulate: bool,
    ) {
        assert_eq!(x.len(), y.len(), "length of the result");
        let rows = rows(area, factors, x, y);
        rows.for_each(|(y, x)| scale_maps(*self, x, factors, accumulate, y));
    }
}

/// The channels of a target and a source.
fn rows<'a>(
    area: usize,
    shares: &[f32],
    from: &'a [f32],
    to: &'a mut [f32],
) -> impl IndexedParallelIterator<Item = (&'a mut [f32], &'a [f32])> + use<'a> {
    let row = shares.len() * area;
    assert!(row > 0 && from.len().is_multiple_of(row), "a channel has a map for each share");
    let work = from.len();
    let rows = to.par_chunks_exact_mut(row).zip(from.par_chunks_exact(row));
    rows.with_min_len(min_tiles(work))
}
