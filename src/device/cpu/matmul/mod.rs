//! Single-threaded matrix products on tiles; the callers split the work and own the tiles.
//!
//! There are two forms. [`product`] is `A B` with contiguous rows in `B`: weights times
//! activations. It packs both sides into panels of a few rows or columns and keeps a block of the
//! result in registers (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
//! 2008). [`product_of_rows`] is `A B^T` with contiguous rows in both and a long inner dimension:
//! weight gradients. It packs `B` as columns and reads `A` where it lies; few rows of `B` are not
//! packed either, because both sides can be read along the inner dimension.
//!
//! # Determinism
//! An element of [`product`] and of [`product_of_rows`] is summed in the order of the inner
//! dimension, in blocks of [`DEPTH`]; with few rows of `B` in [`LANES`] interleaved sums. None of
//! this depends on the size of the block in registers, so all instruction sets that fuse multiply
//! and add give the same bits.

mod rows;

use std::ops::Range;

use super::Kernels;
use super::isa::{Isa, for_each_isa};
use super::simd::{LANES, Simd, masked, relu};
use super::threads::SharedOutput;
pub(super) use rows::{Rows, product_of_rows};

/// Inner dimension of a block of [`product`]: a panel of the right side stays in the first cache.
pub(super) const DEPTH: usize = 256;

/// Numbers of the right side that [`product`] packs at a time, about.
const PACKED: usize = 1 << 14;

/// Longest inner dimension for which [`product`] reads the right side where it lies: its rows are too far apart
/// for the caches to keep many at once.
const IN_PLACE: usize = 12;

/// The left side of a product, element `[i, k]` at `data[i * row + k * col]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    pub(super) col: usize,
    /// What the numbers of each row are multiplied by.
    pub(super) scale: Option<&'a [f32]>,
}

/// The right side of a product, element `[k, j]` at `data[k * row + j]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    /// Takes `max(b, 0)` for every element.
    pub(super) relu: bool,
}

/// Columns of a matrix that a product is written to.
pub(super) struct Target<'a> {
    output: SharedOutput<'a>,
    /// Numbers of a row of the matrix.
    row: usize,
    columns: Range<usize>,
    accumulate: bool,
    mask: Option<&'a [f32]>,
    shift: Option<&'a [f32]>,
}

impl<'a> Target<'a> {
    /// A whole matrix with rows of `row` numbers.
    pub(super) fn whole(output: &'a mut [f32], row: usize) -> Target<'a> {
        let output = SharedOutput::new(output);
        Target { output, row, columns: 0..row, accumulate: false, mask: None, shift: None }
    }

    /// Some columns of a matrix with rows of `row` numbers.
    ///
    /// # Safety
    /// As long as the target lives, nobody else touches these columns.
    pub(super) unsafe fn columns(
        output: SharedOutput<'a>,
        row: usize,
        columns: Range<usize>,
    ) -> Target<'a> {
        assert!(columns.start <= columns.end && columns.end <= row, "columns are inside of a row");
        Target { output, row, columns, accumulate: false, mask: None, shift: None }
    }

    /// Adds to what is there.
    pub(super) fn accumulate(self, accumulate: bool) -> Target<'a> {
        Target { accumulate, ..self }
    }

    /// Adds a number to each row, one for every row of the left side.
    pub(super) fn shifted(self, shift: Option<&'a [f32]>) -> Target<'a> {
        Target { shift, ..self }
    }

    /// Where the number at the same place of the mask, a matrix of the same size, is not positive,
    /// the product counts as 0.
    pub(super) fn masked(self, mask: Option<&'a [f32]>) -> Target<'a> {
        Target { mask, ..self }
    }
}

/// The block of a product that is kept in registers: as many multiply-adds a step in either shape, but fewer
/// for missing rows of a narrow left side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Many rows of few columns.
    Tall,
    /// Few rows of many columns.
    Flat,
}

impl Block {
    /// For a left side of `m` rows: the flat one, which loads more for as many multiply-adds, where that leaves out
    /// more than a few missing rows.
    fn of(kernels: Kernels, m: usize) -> Block {
        let padded = |block: Block| m.next_multiple_of(block.rows(kernels));
        let (tall, flat) = (padded(Block::Tall), padded(Block::Flat));
        if flat + tall / 32 < tall { Block::Flat } else { Block::Tall }
    }

    /// Rows, the first constant of the products below.
    fn rows(self, kernels: Kernels) -> usize {
        match (self, kernels.isa()) {
            (_, Isa::Portable) => 2,
            (Block::Tall, Isa::Avx2) => 6,
            (Block::Tall, Isa::Avx512) => 8,
            (Block::Flat, Isa::Avx2 | Isa::Avx512) => 4,
        }
    }

    /// Columns, the second constant of the products below.
    fn columns(self, kernels: Kernels) -> usize {
        match (self, kernels.isa()) {
            (_, Isa::Portable | Isa::Avx2) => LANES,
            (Block::Tall, Isa::Avx512) => 2 * LANES,
            (Block::Flat, Isa::Avx512) => 4 * LANES,
        }
    }
}

/// Length of the buffer for a packed left side `[m, k]`.
pub(super) fn packed_len(kernels: Kernels, m: usize, k: usize) -> usize {
    m.next_multiple_of(Block::of(kernels, m).rows(kernels)) * k
}

/// Columns of the right side that are packed at a time: long enough runs of memory for the
/// prefetcher, few enough for the second cache.
fn packed_columns(depth: usize, width: usize) -> usize {
    (PACKED / depth.max(1)).next_multiple_of(width)
}

/// Length of the buffer that [`product`] needs.
pub(super) fn panels_len(kernels: Kernels, m: usize, k: usize) -> usize {
    let depth = k.min(DEPTH);
    depth * packed_columns(depth, Block::of(kernels, m).columns(kernels))
}

/// Packs a left side `[m, k]`: blocks of [`DEPTH`] along `k`, in each block panels of a few rows,
/// in each panel one column after the other, missing rows as zeros.
pub(super) fn pack_left(kernels: Kernels, m: usize, k: usize, left: Left<'_>, packed: &mut [f32]) {
    let rows = Block::of(kernels, m).rows(kernels);
    assert_eq!(packed.len(), packed_len(kernels, m, k), "length of a packed left side");
    let mut rest = packed;
    for k0 in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - k0);
        for i0 in (0..m).step_by(rows) {
            let (panel, tail) = rest.split_at_mut(depth * rows);
            rest = tail;
            for (p, column) in panel.chunks_exact_mut(rows).enumerate() {
                for (r, value) in column.iter_mut().enumerate() {
                    let i = i0 + r;
                    *value = if i < m {
                        let scale = left.scale.map_or(1.0, |scale| scale[i]);
                        left.data[i * left.row + (k0 + p) * left.col] * scale
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

/// `target = left right`, with `left` packed `[m, k]` and `right` `[k, n]`; `panels` is a buffer of
/// [`panels_len`].
///
/// `n` is the number of the target's columns.
pub(super) fn product(
    kernels: Kernels,
    sizes: [usize; 2],
    left: &[f32],
    right: Right<'_>,
    target: Target<'_>,
    panels: &mut [f32],
) {
    match Block::of(kernels, sizes[0]) {
        Block::Tall => tall_product(kernels, sizes, left, right, target, panels),
        Block::Flat => flat_product(kernels, sizes, left, right, target, panels),
    }
}

for_each_isa! {
    fn tall_product<S: Simd, const MR: usize, const NV: usize>(
        simd: S,
        sizes: [usize; 2],
        left: &[f32],
        right: Right<'_>,
        target: Target<'_>,
        panels: &mut [f32],
    ) {
        product_of_blocks::<S, MR, NV>(simd, sizes, left, right, target, panels);
    }
    [portable <2, 1>, avx2 <6, 1>, avx512 <8, 2>]
}

for_each_isa! {
    fn flat_product<S: Simd, const MR: usize, const NV: usize>(
        simd: S,
        sizes: [usize; 2],
        left: &[f32],
        right: Right<'_>,
        target: Target<'_>,
        panels: &mut [f32],
    ) {
        product_of_blocks::<S, MR, NV>(simd, sizes, left, right, target, panels);
    }
    [portable <2, 1>, avx2 <4, 1>, avx512 <4, 4>]
}

/// [`product`] in blocks of `MR` rows and `NV` vectors.
#[inline(always)]
fn product_of_blocks<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    [m, k]: [usize; 2],
    left: &[f32],
    right: Right<'_>,
    target: Target<'_>,
    panels: &mut [f32],
) {
    let n = target.columns.len();
    let padded = m.next_multiple_of(MR);
    let width = NV * LANES;
    assert_eq!(left.len(), padded * k, "length of a packed left side");
    let in_place = if k <= IN_PLACE { n / width * width } else { 0 };
    for j0 in (0..in_place).step_by(width) {
        for (i, left) in left.as_chunks::<MR>().0.chunks_exact(k.max(1)).enumerate() {
            let rows = (0..k).map(|p| {
                let from = &right.data[p * right.row + j0..][..width];
                let from = from.as_chunks().0.first_chunk().expect("as long as a block is wide");
                let row = load_row(simd, from);
                if right.relu { row.map(|x| simd.relu(x)) } else { row }
            });
            let sums = multiply::<S, MR, NV>(simd, left, rows);
            store_block(simd, sums, i * MR, m, &target, true, j0, width);
        }
    }
    let step = packed_columns(k.min(DEPTH), width);
    for k0 in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - k0);
        let left = left[k0 * padded..][..depth * padded].as_chunks::<MR>().0;
        for j0 in (in_place..n).step_by(step) {
            let columns = step.min(n - j0);
            let panels = panels[..depth * columns.next_multiple_of(width)].as_chunks_mut().0;
            let panels = panels.as_chunks_mut::<NV>().0;
            pack_right::<S, NV>(simd, right, k0, j0, depth, columns, panels);
            // The inner loop runs along rows of the target, so that they are written in long
            // runs.
            for (i, left) in left.chunks_exact(depth).enumerate() {
                for (j, panel) in panels.chunks_exact(depth).enumerate() {
                    let rows = panel.iter().map(|row| load_row(simd, row));
                    // The columns that are packed next are on their way while the first rows are multiplied.
                    let next = j0 + step + j * width;
                    let sums = if i == 0 && next + width <= n {
                        let rows = rows.enumerate().map(|(p, row)| {
                            let next = &right.data[(k0 + p) * right.row + next..][..width];
                            next.as_chunks().0.iter().for_each(|next| simd.prefetch(next));
                            row
                        });
                        multiply::<S, MR, NV>(simd, left, rows)
                    } else {
                        multiply::<S, MR, NV>(simd, left, rows)
                    };
                    let len = width.min(columns - j * width);
                    store_block(simd, sums, i * MR, m, &target, k0 == 0, j0 + j * width, len);
                }
            }
        }
    }
}

/// Copies `columns` columns from `j0` of `depth` rows from `k0` into panels of `NV` vectors by
/// `depth`, missing columns as zeros.
#[inline(always)]
fn pack_right<S: Simd, const NV: usize>(
    simd: S,
    right: Right<'_>,
    k0: usize,
    j0: usize,
    depth: usize,
    columns: usize,
    panels: &mut [[[f32; LANES]; NV]],
) {
    for p in 0..depth {
        let from = &right.data[(k0 + p) * right.row + j0..][..columns];
        let (whole, rest) = from.as_chunks::<LANES>();
        let (blocks, single) = whole.as_chunks::<NV>();
        let mut to = panels[p..].iter_mut().step_by(depth);
        for (from, to) in blocks.iter().zip(&mut to) {
            for v in 0..NV {
                let values = simd.load(&from[v]);
                simd.store(if right.relu { simd.relu(values) } else { values }, &mut to[v]);
            }
        }
        if let Some(to) = to.next() {
            *to = [[0.0; LANES]; NV];
            let to = to.as_flattened_mut();
            let from = single.as_flattened().iter().chain(rest);
            for (to, &x) in to.iter_mut().zip(from) {
                *to = if right.relu { relu(x) } else { x };
            }
        }
    }
}

/// Writes a block of a product, the first along the inner dimension or one to add to it: `len` columns from `j` of
/// the rows from `i` on, of `m` that there are.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a part of `product_of_blocks`")]
fn store_block<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    sums: [[S::Vector; NV]; MR],
    i: usize,
    m: usize,
    target: &Target<'_>,
    is_first: bool,
    j: usize,
    len: usize,
) {
    if i + MR <= m {
        // A loop without a condition, or the sums would go through memory.
        for (r, &sums) in sums.iter().enumerate() {
            store_row(simd, sums, i + r, target, is_first, j, len);
        }
    } else {
        for (r, sums) in sums.into_iter().enumerate().take(m - i) {
            store_row(simd, sums, i + r, target, is_first, j, len);
        }
    }
}

/// One row of [`store_block`].
#[inline(always)]
fn store_row<S: Simd, const NV: usize>(
    simd: S,
    mut sums: [S::Vector; NV],
    i: usize,
    target: &Target<'_>,
    is_first: bool,
    j: usize,
    len: usize,
) {
    if let Some(shift) = target.shift.filter(|_| is_first) {
        let shift = simd.splat(shift[i]);
        sums = sums.map(|sum| simd.add(sum, shift));
    }
    let start = i * target.row + target.columns.start + j;
    // SAFETY: the segment is in a row of the target's columns, which nobody else touches, and no other
    // segment is in use here.
    let out = unsafe { target.output.segment(start, len) };
    let mask = target.mask.map(|mask| &mask[start..][..len]);
    store::<S, NV>(simd, sums, mask, target.accumulate || !is_first, out);
}

/// One block of a product, from a panel of the left side and as many rows of vectors of the right.
#[inline(always)]
fn multiply<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    left: &[[f32; MR]],
    right: impl Iterator<Item = [S::Vector; NV]>,
) -> [[S::Vector; NV]; MR] {
    let mut sums = [[simd.splat(0.0); NV]; MR];
    for (a, row) in left.iter().zip(right) {
        for i in 0..MR {
            let a = simd.splat(a[i]);
            for v in 0..NV {
                sums[i][v] = simd.mul_add(a, row[v], sums[i][v]);
            }
        }
    }
    sums
}

/// The vectors of an array of them.
#[inline(always)]
fn load_row<S: Simd, const NV: usize>(simd: S, from: &[[f32; LANES]; NV]) -> [S::Vector; NV] {
    let mut row = [simd.splat(0.0); NV];
    for v in 0..NV {
        row[v] = simd.load(&from[v]);
    }
    row
}

#[inline(always)]
fn store<S: Simd, const NV: usize>(
    simd: S,
    sums: [S::Vector; NV],
    mask: Option<&[f32]>,
    accumulate: bool,
    out: &mut [f32],
) {
    if out.len() == NV * LANES {
        let out = out.as_chunks_mut::<LANES>().0;
        let mask = mask.map(|mask| mask.as_chunks::<LANES>().0);
        for v in 0..NV {
            let mut value = sums[v];
            if let Some(mask) = mask {
                let mask = simd.is_positive(simd.load(&mask[v]));
                value = simd.select(mask, value, simd.splat(0.0));
            }
            if accumulate {
                value = simd.add(simd.load(&out[v]), value);
            }
            simd.store(value, &mut out[v]);
        }
        return;
    }
    let mut values = [[0.0; LANES]; NV];
    for v in 0..NV {
        simd.store(sums[v], &mut values[v]);
    }
    for (i, (out, &value)) in out.iter_mut().zip(values.as_flattened()).enumerate() {
        let value = mask.map_or(value, |mask| masked(value, mask[i]));
        *out = if accumulate { *out + value } else { value };
    }
}
