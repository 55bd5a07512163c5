//! `A B^T` with contiguous rows in both: see [`product_of_rows`].

use super::{Block, DEPTH, Target, load_row, store_block};
use crate::device::cpu::Kernels;
use crate::device::cpu::isa::for_each_isa;
use crate::device::cpu::scratch::with_scratch;
use crate::device::cpu::simd::{LANES, SIDE, Simd, relu};

/// With fewer rows of its right side than these, [`product_of_rows`] does not pack them as columns, which pays where
/// every column meets many rows. Dot products read both sides from the second cache for each block.
const NARROW: usize = 40;

/// Inner dimension of a block of a narrow [`product_of_rows`].
const ROW_BLOCK: usize = 1024;

/// Rows of `len` numbers, one every `row` numbers.
#[derive(Clone, Copy)]
pub(in super::super) struct Rows<'a> {
    pub(in super::super) data: &'a [f32],
    pub(in super::super) row: usize,
    pub(in super::super) len: usize,
}

/// `sums[i * n + j] += sum over p of a[i, p] * b[j, p]` for `[m, n]` sums, with `max(b, 0)` for `b` if `relu` is set.
pub(in super::super) fn product_of_rows(
    kernels: Kernels,
    sizes: [usize; 2],
    a: Rows<'_>,
    b: Rows<'_>,
    relu: bool,
    sums: &mut [f32],
) {
    let [m, n] = sizes;
    assert_eq!(sums.len(), m * n, "length of the sums");
    assert_eq!(a.len, b.len, "length of the inner dimension");
    if n < NARROW {
        return narrow_product_of_rows(kernels, sizes, a, b, relu, sums);
    }
    let block = Block::of(kernels, m);
    with_scratch(a.len.min(DEPTH) * block.columns(kernels), |panel| match block {
        Block::Tall => tall_product_of_rows(kernels, sizes, a, b, relu, sums, panel),
        Block::Flat => flat_product_of_rows(kernels, sizes, a, b, relu, sums, panel),
    });
}

for_each_isa! {
    fn tall_product_of_rows<S: Simd, const MR: usize, const NV: usize>(
        simd: S,
        sizes: [usize; 2],
        a: Rows<'_>,
        b: Rows<'_>,
        relu: bool,
        sums: &mut [f32],
        panel: &mut [f32],
    ) {
        product_of_row_blocks::<S, MR, NV>(simd, sizes, a, b, relu, sums, panel);
    }
    [portable <2, 1>, avx2 <6, 1>, avx512 <8, 2>]
}

for_each_isa! {
    fn flat_product_of_rows<S: Simd, const MR: usize, const NV: usize>(
        simd: S,
        sizes: [usize; 2],
        a: Rows<'_>,
        b: Rows<'_>,
        relu: bool,
        sums: &mut [f32],
        panel: &mut [f32],
    ) {
        product_of_row_blocks::<S, MR, NV>(simd, sizes, a, b, relu, sums, panel);
    }
    [portable <2, 1>, avx2 <4, 1>, avx512 <4, 4>]
}

/// [`product_of_rows`] in blocks of `MR` rows and `NV` vectors: the rows of the right side are packed as columns,
/// those of the left side are read where they lie.
#[inline(always)]
fn product_of_row_blocks<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    [m, n]: [usize; 2],
    a: Rows<'_>,
    b: Rows<'_>,
    relu: bool,
    sums: &mut [f32],
    panel: &mut [f32],
) {
    let (k, width) = (a.len, NV * LANES);
    let target = Target::whole(sums, n);
    for k0 in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - k0);
        let panel = panel[..depth * width].as_chunks_mut().0;
        let panel = panel.as_chunks_mut::<NV>().0;
        for j in (0..n).step_by(width) {
            let len = width.min(n - j);
            let row = |i| if i < len { b.part(j + i, k0, depth) } else { &ZEROS[..depth] };
            pack_rows::<S, NV>(simd, row, relu, panel);
            // The panel stays in the first cache while the rows of the left side pass.
            for i in (0..m).step_by(MR) {
                let left = std::array::from_fn(|r| a.part((i + r).min(m - 1), k0, depth));
                let sums = multiply_rows::<S, MR, NV>(simd, left, panel);
                store_block(simd, sums, i, m, &target, false, j, len);
            }
        }
    }
}

/// What stands for missing rows.
static ZEROS: [f32; DEPTH] = [0.0; DEPTH];

/// Packs rows of as many numbers as the panel has vectors as the columns of the panel.
#[inline(always)]
fn pack_rows<'a, S: Simd, const NV: usize>(
    simd: S,
    row: impl Fn(usize) -> &'a [f32],
    rectify: bool,
    panel: &mut [[[f32; LANES]; NV]],
) {
    for first in (0..NV * LANES).step_by(SIDE) {
        let rows: [_; SIDE] = std::array::from_fn(|i| row(first + i).as_chunks::<SIDE>());
        for (block, panel) in panel.chunks_mut(SIDE).enumerate() {
            let columns = if panel.len() == SIDE {
                simd.transpose(rows.map(|(blocks, _)| &blocks[block]))
            } else {
                let mut columns = [[0.0; SIDE]; SIDE];
                for (p, column) in columns.iter_mut().enumerate().take(panel.len()) {
                    *column = rows.map(|(_, rest)| rest[p]);
                }
                columns
            };
            for (vectors, column) in panel.iter_mut().zip(&columns) {
                let to = &mut vectors.as_flattened_mut()[first..first + SIDE];
                for (to, &x) in to.iter_mut().zip(column) {
                    *to = if rectify { relu(x) } else { x };
                }
            }
        }
    }
}

/// The products of `MR` rows where they lie with a panel.
#[inline(always)]
fn multiply_rows<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    left: [&[f32]; MR],
    right: &[[[f32; LANES]; NV]],
) -> [[S::Vector; NV]; MR] {
    let left = left.map(|row| &row[..right.len()]);
    let mut sums = [[simd.splat(0.0); NV]; MR];
    for (p, row) in right.iter().enumerate() {
        let row = load_row(simd, row);
        for i in 0..MR {
            // SAFETY: all rows are as long as the right side, by the first line.
            let a = simd.splat(unsafe { *left[i].get_unchecked(p) });
            for v in 0..NV {
                sums[i][v] = simd.mul_add(a, row[v], sums[i][v]);
            }
        }
    }
    sums
}

for_each_isa! {
    /// [`product_of_rows`] for few rows of the right side: as vectors along the inner dimension.
    fn narrow_product_of_rows<S: Simd, const MR: usize, const NR: usize>(
        simd: S,
        sizes: [usize; 2],
        a: Rows<'_>,
        b: Rows<'_>,
        relu: bool,
        sums: &mut [f32],
    ) {
        let ([m, n], k) = (sizes, a.len);
        for k0 in (0..k).step_by(ROW_BLOCK) {
            let depth = ROW_BLOCK.min(k - k0);
            let mut j = 0;
            while j < n {
                let columns = if n - j >= NR { NR } else { 1 };
                let mut i = 0;
                while i < m {
                    let rows = if m - i >= MR { MR } else { 1 };
                    let (a, b) = (a.from(i, k0, depth), b.from(j, k0, depth));
                    let sums = &mut sums[i * n + j..];
                    match (rows == MR, columns == NR) {
                        (true, true) => dots::<S, MR, NR>(simd, a, b, relu, sums, n),
                        (true, false) => dots::<S, MR, 1>(simd, a, b, relu, sums, n),
                        (false, true) => dots::<S, 1, NR>(simd, a, b, relu, sums, n),
                        (false, false) => dots::<S, 1, 1>(simd, a, b, relu, sums, n),
                    }
                    i += rows;
                }
                j += columns;
            }
        }
    }
    [portable <1, 2>, avx2 <4, 3>, avx512 <4, 4>]
}

impl<'a> Rows<'a> {
    /// `len` numbers of the rows from `row` on, from `start` on.
    #[inline(always)]
    fn from(&self, row: usize, start: usize, len: usize) -> Rows<'a> {
        Rows { data: &self.data[row * self.row + start..], row: self.row, len }
    }

    /// `len` numbers of a row from `start` on.
    #[inline(always)]
    fn part(&self, row: usize, start: usize, len: usize) -> &'a [f32] {
        &self.data[row * self.row + start..][..len]
    }

    /// The whole vectors of the first rows, and what is left of each.
    #[inline(always)]
    fn first<const R: usize>(&self) -> ([&'a [[f32; LANES]]; R], [&'a [f32]; R]) {
        let rows: [_; R] =
            std::array::from_fn(|i| self.data[i * self.row..][..self.len].as_chunks::<LANES>());
        (rows.map(|(whole, _)| whole), rows.map(|(_, rest)| rest))
    }
}

/// Adds the dot products of `MR` rows of `a` and `NR` rows of `b` to `sums`.
#[inline(always)]
fn dots<S: Simd, const MR: usize, const NR: usize>(
    simd: S,
    a: Rows<'_>,
    b: Rows<'_>,
    rectify: bool,
    sums: &mut [f32],
    sums_row: usize,
) {
    let lanes = if rectify {
        dot_lanes::<S, MR, NR, true>(simd, a, b)
    } else {
        dot_lanes::<S, MR, NR, false>(simd, a, b)
    };
    for i in 0..MR {
        for j in 0..NR {
            sums[i * sums_row + j] += simd.sum(simd.load(&lanes[i][j]));
        }
    }
}

/// Interleaved sums of the products of rows, one register of each vector after the other, so that all sums of a block
/// are in registers.
#[inline(always)]
fn dot_lanes<S: Simd, const MR: usize, const NR: usize, const RELU: bool>(
    simd: S,
    a: Rows<'_>,
    b: Rows<'_>,
) -> [[[f32; LANES]; NR]; MR] {
    let mut lanes = [[[0.0; LANES]; NR]; MR];
    let (a, a_rest) = a.first::<MR>();
    let (b, b_rest) = b.first::<NR>();
    let steps = a[0].len();
    let (a, b) = (a.map(|a| &a[..steps]), b.map(|b| &b[..steps]));
    let rest = (!a_rest[0].is_empty()).then(|| (a_rest.map(filled_up), b_rest.map(filled_up)));
    for index in 0..S::REGISTERS {
        let mut sums = [[simd.zero_register(); NR]; MR];
        for p in 0..steps {
            add_products::<S, MR, NR, RELU>(
                simd,
                index,
                a.map(|a| &a[p]),
                b.map(|b| &b[p]),
                &mut sums,
            );
        }
        if let Some((a, b)) = &rest {
            add_products::<S, MR, NR, RELU>(simd, index, a.each_ref(), b.each_ref(), &mut sums);
        }
        for i in 0..MR {
            for j in 0..NR {
                simd.store_register(sums[i][j], &mut lanes[i][j], index);
            }
        }
    }
    lanes
}

#[inline(always)]
fn add_products<S: Simd, const MR: usize, const NR: usize, const RELU: bool>(
    simd: S,
    index: usize,
    a: [&[f32; LANES]; MR],
    b: [&[f32; LANES]; NR],
    sums: &mut [[S::Register; NR]; MR],
) {
    let mut right = [simd.zero_register(); NR];
    for j in 0..NR {
        right[j] = simd.load_register(b[j], index);
        if RELU {
            right[j] = simd.relu_register(right[j]);
        }
    }
    for i in 0..MR {
        let left = simd.load_register(a[i], index);
        for j in 0..NR {
            sums[i][j] = simd.mul_add_register(left, right[j], sums[i][j]);
        }
    }
}

/// The numbers of a slice of at most [`LANES`], and zeros.
#[inline(always)]
fn filled_up(slice: &[f32]) -> [f32; LANES] {
    let mut chunk = [0.0; LANES];
    chunk[..slice.len()].copy_from_slice(slice);
    chunk
}
