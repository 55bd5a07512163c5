//! Kernels that only move numbers: the shift by one pixel, the shuffle of channels, and the two orders of
//! axes.

use super::Kernels;
use super::threads::min_tiles;
use rayon::prelude::*;

impl Kernels {
    /// Shift by one pixel up and to the left: `y[i, j] = x[i + 1, j + 1]`, 0 in the last row and
    /// column.
    ///
    /// # Shapes
    /// - `x`, `y`: `[C, N, H, W]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    ///
    /// # Source
    /// The second path of a factorized reduction in NASNet.
    pub fn shift_forward(&self, n: usize, c: usize, h: usize, w: usize, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), c * n * h * w, "length of the input");
        assert_eq!(y.len(), x.len(), "length of the output");
        let maps = y.par_chunks_exact_mut((h * w).max(1)).zip(x.par_chunks_exact((h * w).max(1)));
        maps.with_min_len(min_tiles(x.len())).for_each(|(y, x)| {
            for (i, y) in y.chunks_exact_mut(w).enumerate() {
                match x.get((i + 1) * w + 1..(i + 2) * w) {
                    Some(x) => {
                        y[..w - 1].copy_from_slice(x);
                        y[w - 1] = 0.0;
                    }
                    None => y.fill(0.0),
                }
            }
        });
    }

    /// Gradient of [`Kernels::shift_forward`].
    ///
    /// # Shapes
    /// - `gx`, `gy`: `[C, N, H, W]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn shift_backward(
        &self,
        n: usize,
        c: usize,
        h: usize,
        w: usize,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        assert_eq!(gy.len(), c * n * h * w, "length of the output's gradient");
        assert_eq!(gx.len(), gy.len(), "length of the input's gradient");
        let maps = gx.par_chunks_exact_mut((h * w).max(1)).zip(gy.par_chunks_exact((h * w).max(1)));
        maps.with_min_len(min_tiles(gy.len())).for_each(|(gx, gy)| {
            if !accumulate {
                gx.fill(0.0);
            }
            for (gx, gy) in gx.chunks_exact_mut(w).skip(1).zip(gy.chunks_exact(w)) {
                for (gx, gy) in gx[1..].iter_mut().zip(gy) {
                    *gx += gy;
                }
            }
        });
    }

    /// Shuffle of channels: as a matrix `[groups, C / groups]` they are transposed. Its gradient is the
    /// shuffle in `C / groups` groups.
    ///
    /// # Shapes
    /// - `x`, `y`: `[C, row]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the groups do not divide the channels.
    pub fn shuffle(
        &self,
        groups: usize,
        c: usize,
        row: usize,
        x: &[f32],
        y: &mut [f32],
        accumulate: bool,
    ) {
        assert_eq!(c.checked_rem(groups), Some(0), "groups divide the channels");
        assert_eq!(x.len(), c * row, "length of the input");
        assert_eq!(y.len(), x.len(), "length of the output");
        let rows = y.par_chunks_mut(row.max(1)).enumerate();
        rows.with_min_len(min_tiles(x.len())).for_each(|(to, y)| {
            let from = to % groups * (c / groups) + to / groups;
            self.copy_or_add(&x[from * row..][..row], y, accumulate);
        });
    }

    /// Image-major to channel-major.
    ///
    /// # Shapes
    /// - `src`: `[N, C, area]`
    /// - `dst`: `[C, N, area]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn nchw_to_cnhw(&self, n: usize, c: usize, area: usize, src: &[f32], dst: &mut [f32]) {
        assert_eq!(src.len(), n * c * area, "length of the source");
        assert_eq!(dst.len(), src.len(), "length of the target");
        swap_outer(n, c, area, src, dst);
    }

    /// Channel-major to image-major, the inverse of [`Kernels::nchw_to_cnhw`].
    ///
    /// # Shapes
    /// - `src`: `[C, N, area]`
    /// - `dst`: `[N, C, area]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn cnhw_to_nchw(&self, n: usize, c: usize, area: usize, src: &[f32], dst: &mut [f32]) {
        assert_eq!(src.len(), n * c * area, "length of the source");
        assert_eq!(dst.len(), src.len(), "length of the target");
        swap_outer(c, n, area, src, dst);
    }
}

/// `[A, B, area]` to `[B, A, area]`.
fn swap_outer(a: usize, b: usize, area: usize, src: &[f32], dst: &mut [f32]) {
    if src.is_empty() {
        return;
    }
    let rows = dst.par_chunks_exact_mut(a * area).enumerate();
    rows.with_min_len(min_tiles(src.len())).for_each(|(j, dst)| {
        for (i, dst) in dst.chunks_exact_mut(area).enumerate() {
            dst.copy_from_slice(&src[(i * b + j) * area..][..area]);
        }
    });
}
