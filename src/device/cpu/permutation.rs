//! Kernels that only move numbers: the shift by one pixel, the shuffle of channels, and the two orders of
//! axes.

use super::Kernels;
use super::threads::min_tiles;
use rayon::prelude::*;

/// Rows of the target that a transposition writes at a time.
const BLOCK: usize = 16;

impl Kernels {
    /// Shift by one pixel up and to the left: `y[i, j] = x[i + 1, j + 1]`, 0 in the last row and
    /// column.
    ///
    /// # Shapes
    /// - `x`, `y`: `[C, H, W, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    ///
    /// # Source
    /// The second path of a factorized reduction in NASNet.
    pub fn shift_forward(&self, n: usize, c: usize, h: usize, w: usize, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), c * n * h * w, "length of the input");
        assert_eq!(y.len(), x.len(), "length of the output");
        let (len, row) = ((h * w * n).max(1), w * n);
        let channels = y.par_chunks_exact_mut(len).zip(x.par_chunks_exact(len));
        channels.with_min_len(min_tiles(x.len())).for_each(|(y, x)| {
            for (i, y) in y.chunks_exact_mut(row).enumerate() {
                match x.get((i + 1) * row + n..(i + 2) * row) {
                    Some(x) => {
                        y[..row - n].copy_from_slice(x);
                        y[row - n..].fill(0.0);
                    }
                    None => y.fill(0.0),
                }
            }
        });
    }

    /// Gradient of [`Kernels::shift_forward`].
    ///
    /// # Shapes
    /// - `gx`, `gy`: `[C, H, W, N]`
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
        let (len, row) = ((h * w * n).max(1), w * n);
        let channels = gx.par_chunks_exact_mut(len).zip(gy.par_chunks_exact(len));
        channels.with_min_len(min_tiles(gy.len())).for_each(|(gx, gy)| {
            if !accumulate {
                gx.fill(0.0);
            }
            for (gx, gy) in gx.chunks_exact_mut(row).skip(1).zip(gy.chunks_exact(row)) {
                for (gx, gy) in gx[n..].iter_mut().zip(gy) {
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

    /// From images side by side to images innermost.
    ///
    /// # Shapes
    /// - `src`: `[N, C, H, W]`, `row = C * H * W`
    /// - `dst`: `[C, H, W, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn nchw_to_chwn(&self, n: usize, row: usize, src: &[f32], dst: &mut [f32]) {
        assert_eq!(src.len(), n * row, "length of the source");
        assert_eq!(dst.len(), src.len(), "length of the target");
        transpose(n, row, src, dst);
    }

    /// From images innermost to images side by side, the inverse of [`Kernels::nchw_to_chwn`].
    ///
    /// # Shapes
    /// - `src`: `[C, H, W, N]`, `row = C * H * W`
    /// - `dst`: `[N, C, H, W]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn chwn_to_nchw(&self, n: usize, row: usize, src: &[f32], dst: &mut [f32]) {
        assert_eq!(src.len(), n * row, "length of the source");
        assert_eq!(dst.len(), src.len(), "length of the target");
        transpose(row, n, src, dst);
    }
}

/// `[A, B]` to `[B, A]`.
fn transpose(a: usize, b: usize, src: &[f32], dst: &mut [f32]) {
    if src.is_empty() {
        return;
    }
    // Some rows of the target at a time, so that what is read of a cache line is read together.
    let blocks = dst.par_chunks_mut(BLOCK * a).enumerate();
    blocks.with_min_len(min_tiles(src.len())).for_each(|(block, dst)| {
        for i in 0..a {
            let from = &src[i * b + block * BLOCK..(i + 1) * b];
            for (to, &from) in dst[i..].iter_mut().step_by(a).zip(from) {
                *to = from;
            }
        }
    });
}
