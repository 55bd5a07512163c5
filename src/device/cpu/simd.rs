//! Sixteen numbers at a time, for the loops that the compiler does not turn into vector code by
//! itself.
//!
//! Every instruction set works on the same sixteen lanes, in one register or in several, so that
//! sums that are interleaved over the lanes have the same bits on all of them.

/// Numbers in a vector.
pub(super) const LANES: usize = 16;

/// Vector operations of one instruction set.
///
/// A value is proof that the processor has the instruction set. Everything is inlined into the
/// function that is compiled for it; see [`for_each_isa`](super::isa::for_each_isa).
pub(super) trait Simd: Copy {
    /// [`LANES`] numbers.
    type Vector: Copy;

    /// A truth value for each lane.
    type Mask: Copy;

    /// [`LANES`] sums in double precision.
    type Sums: Copy;

    /// What one register holds of a vector.
    type Register: Copy;

    /// Registers of a vector.
    const REGISTERS: usize;

    /// The same number in all lanes.
    fn splat(self, x: f32) -> Self::Vector;

    /// The numbers of an array.
    fn load(self, from: &[f32; LANES]) -> Self::Vector;

    /// Writes the lanes to an array.
    fn store(self, x: Self::Vector, to: &mut [f32; LANES]);

    /// Asks for numbers to be brought into the second cache, where the processor gains by it: AVX-512 was measured
    /// to, AVX2 to lose.
    fn prefetch(self, from: &[f32; LANES]);

    /// `a + b`
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a * b`
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a * b + c`, rounded once if the instruction set can, and otherwise twice.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `max(x, 0)` as [`relu`].
    fn relu(self, x: Self::Vector) -> Self::Vector;

    /// `a` where the mask is true, otherwise `b`.
    fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `x > 0`
    fn is_positive(self, x: Self::Vector) -> Self::Mask;

    /// `a == b`
    fn is_equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;

    /// True where `x` takes the place of the largest number so far: it is larger, or the first NaN.
    fn beats(self, x: Self::Vector, best: Self::Vector) -> Self::Mask;

    /// The sum of the lanes, by halves, as [`sum_lanes`].
    fn sum(self, x: Self::Vector) -> f32;

    /// Sums of nothing.
    fn zero_sums(self) -> Self::Sums;

    /// The sums and the lanes.
    fn add_to_sums(self, sums: Self::Sums, x: Self::Vector) -> Self::Sums;

    /// The sums and the squares of the lanes, which are exact.
    fn add_squares_to_sums(self, sums: Self::Sums, x: Self::Vector) -> Self::Sums;

    /// The sums as an array.
    fn store_sums(self, sums: Self::Sums) -> [f64; LANES];

    /// One register of a vector of zeros.
    fn zero_register(self) -> Self::Register;

    /// Register `index` of the vector of an array.
    fn load_register(self, from: &[f32; LANES], index: usize) -> Self::Register;

    /// Writes register `index` of a vector to an array.
    fn store_register(self, x: Self::Register, to: &mut [f32; LANES], index: usize);

    /// [`Self::mul_add`] of one register.
    fn mul_add_register(
        self,
        a: Self::Register,
        b: Self::Register,
        c: Self::Register,
    ) -> Self::Register;

    /// [`Self::relu`] of one register.
    fn relu_register(self, x: Self::Register) -> Self::Register;

    /// Rows as columns.
    fn transpose(self, rows: [&[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE];
}

/// Rows and columns of the matrix that [`Simd::transpose`] takes.
pub(super) const SIDE: usize = 8;

/// `max(x, 0)`; NaN stays NaN, so that a diverged network is noticed.
#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `g` where `x > 0`, otherwise 0: the gradient of [`relu`].
#[inline(always)]
pub(super) fn masked(g: f32, x: f32) -> f32 {
    // With bits and no branch, which the compiler would keep in short rows.
    f32::from_bits(g.to_bits() & u32::from(x > 0.0).wrapping_neg())
}

/// The sum of the lanes, by halves.
#[inline(always)]
pub(super) fn sum_lanes(lanes: &[f32; LANES]) -> f32 {
    let mut lanes = *lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The part of [`Simd`] about registers where a vector is one.
macro_rules! vector_is_register {
    () => {
        type Register = Self::Vector;
        const REGISTERS: usize = 1;

        #[inline(always)]
        fn zero_register(self) -> Self::Register {
            self.splat(0.0)
        }

        #[inline(always)]
        fn load_register(self, from: &[f32; LANES], _: usize) -> Self::Register {
            self.load(from)
        }

        #[inline(always)]
        fn store_register(self, x: Self::Register, to: &mut [f32; LANES], _: usize) {
            self.store(x, to);
        }

        #[inline(always)]
        fn mul_add_register(
            self,
            a: Self::Register,
            b: Self::Register,
            c: Self::Register,
        ) -> Self::Register {
            self.mul_add(a, b, c)
        }

        #[inline(always)]
        fn relu_register(self, x: Self::Register) -> Self::Register {
            self.relu(x)
        }
    };
}

/// Plain arrays.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {
    type Vector = [f32; LANES];
    type Mask = [bool; LANES];
    type Sums = [f64; LANES];

    vector_is_register!();

    #[inline(always)]
    fn splat(self, x: f32) -> Self::Vector {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::Vector {
        *from
    }

    #[inline(always)]
    fn store(self, x: Self::Vector, to: &mut [f32; LANES]) {
        *to = x;
    }

    #[inline(always)]
    fn prefetch(self, _: &[f32; LANES]) {}

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn relu(self, x: Self::Vector) -> Self::Vector {
        zip(x, x, |x, _| relu(x))
    }

    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        let mut selected = b;
        for l in 0..LANES {
            selected[l] = if mask[l] { a[l] } else { b[l] };
        }
        selected
    }

    #[inline(always)]
    fn is_positive(self, x: Self::Vector) -> Self::Mask {
        zip(x, x, |x, _| x > 0.0)
    }

    #[inline(always)]
    fn is_equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask {
        zip(a, b, |a, b| a == b)
    }

    #[inline(always)]
    fn beats(self, x: Self::Vector, best: Self::Vector) -> Self::Mask {
        // Without short circuits, which would be branches in a vector loop.
        zip(x, best, |x, best| (x > best) | (x.is_nan() & !best.is_nan()))
    }

    #[inline(always)]
    fn sum(self, x: Self::Vector) -> f32 {
        sum_lanes(&x)
    }

    #[inline(always)]
    fn zero_sums(self) -> Self::Sums {
        [0.0; LANES]
    }

    #[inline(always)]
    fn add_to_sums(self, mut sums: Self::Sums, x: Self::Vector) -> Self::Sums {
        for l in 0..LANES {
            sums[l] += f64::from(x[l]);
        }
        sums
    }

    #[inline(always)]
    fn add_squares_to_sums(self, mut sums: Self::Sums, x: Self::Vector) -> Self::Sums {
        for l in 0..LANES {
            sums[l] += f64::from(x[l]) * f64::from(x[l]);
        }
        sums
    }

    #[inline(always)]
    fn store_sums(self, sums: Self::Sums) -> [f64; LANES] {
        sums
    }

    #[inline(always)]
    fn transpose(self, rows: [&[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
        std::array::from_fn(|column| rows.map(|row| row[column]))
    }
}

/// `f` of each pair of lanes; a loop, because `std::array::from_fn` is not always inlined.
#[inline(always)]
fn zip<T: Copy + Default>(
    a: [f32; LANES],
    b: [f32; LANES],
    f: impl Fn(f32, f32) -> T,
) -> [T; LANES] {
    let mut result = [T::default(); LANES];
    for l in 0..LANES {
        result[l] = f(a[l], b[l]);
    }
    result
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{LANES, SIDE, Simd};
    use std::arch::x86_64::*;

    /// AVX2 and FMA, two registers for a vector.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(());

    /// AVX-512, one register for a vector.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(());

    impl Avx2 {
        /// Inside a function compiled for AVX2 and FMA, the proof is given.
        #[target_feature(enable = "avx2,fma")]
        #[inline]
        pub(in super::super) fn new() -> Avx2 {
            Avx2(())
        }
    }

    impl Avx512 {
        /// Inside a function compiled for AVX-512, the proof is given.
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
        #[inline]
        pub(in super::super) fn new() -> Avx512 {
            Avx512(())
        }
    }

    /// Calls intrinsics of the instruction set that `self` proves.
    macro_rules! proven {
        ($call:expr) => {
            // SAFETY: `self` is only made in functions compiled for the instruction set of the
            // call; loads and stores are of whole arrays, at any alignment.
            unsafe { $call }
        };
    }

    impl Avx2 {
        /// The lanes in double precision.
        #[inline(always)]
        fn doubles(self, [low, high]: [__m256; 2]) -> [__m256d; 4] {
            proven!([
                _mm256_cvtps_pd(_mm256_castps256_ps128(low)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(low)),
                _mm256_cvtps_pd(_mm256_castps256_ps128(high)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(high)),
            ])
        }
    }

    impl Avx512 {
        /// The lanes in double precision.
        #[inline(always)]
        fn doubles(self, x: __m512) -> [__m512d; 2] {
            proven!([
                _mm512_cvtps_pd(_mm512_castps512_ps256(x)),
                _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(x)),
            ])
        }
    }

    /// The sum of eight lanes, by halves.
    macro_rules! sum_of_eight {
        ($x:expr) => {{
            let x = $x;
            let low = proven!(_mm256_castps256_ps128(x));
            let four = proven!(_mm_add_ps(low, _mm256_extractf128_ps::<1>(x)));
            let two = proven!(_mm_add_ps(four, _mm_movehl_ps(four, four)));
            let one = proven!(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)));
            proven!(_mm_cvtss_f32(one))
        }};
    }

    /// Eight rows of eight numbers as columns: pairs of rows, pairs of pairs, and halves are interleaved.
    macro_rules! transpose_of_eight {
        ($rows:expr) => {{
            let r = $rows.map(|row| proven!(_mm256_loadu_ps(row.as_ptr())));
            let mut pairs = r;
            for i in 0..4 {
                pairs[2 * i] = proven!(_mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]));
                pairs[2 * i + 1] = proven!(_mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]));
            }
            let mut fours = pairs;
            for i in [0, 4] {
                for j in 0..2 {
                    let (low, high) = (pairs[i + j], pairs[i + j + 2]);
                    fours[i + 2 * j] = proven!(_mm256_shuffle_ps::<0x44>(low, high));
                    fours[i + 2 * j + 1] = proven!(_mm256_shuffle_ps::<0xee>(low, high));
                }
            }
            let mut columns = [[0.0; SIDE]; SIDE];
            for i in 0..4 {
                let low = proven!(_mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]));
                let high = proven!(_mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]));
                proven!(_mm256_storeu_ps(columns[i].as_mut_ptr(), low));
                proven!(_mm256_storeu_ps(columns[i + 4].as_mut_ptr(), high));
            }
            columns
        }};
    }

    impl Simd for Avx2 {
        type Vector = [__m256; 2];
        type Mask = [__m256; 2];
        type Sums = [__m256d; 4];
        type Register = __m256;
        const REGISTERS: usize = 2;

        #[inline(always)]
        fn splat(self, x: f32) -> Self::Vector {
            [proven!(_mm256_set1_ps(x)); 2]
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::Vector {
            let from = from.as_ptr();
            proven!([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(LANES / 2))])
        }

        #[inline(always)]
        fn store(self, [low, high]: Self::Vector, to: &mut [f32; LANES]) {
            let to = to.as_mut_ptr();
            proven!(_mm256_storeu_ps(to, low));
            proven!(_mm256_storeu_ps(to.add(LANES / 2), high));
        }

        #[inline(always)]
        fn prefetch(self, _: &[f32; LANES]) {}

        #[inline(always)]
        fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            proven!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
        }

        #[inline(always)]
        fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            proven!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
        }

        #[inline(always)]
        fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            proven!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
        }

        #[inline(always)]
        fn relu(self, x: Self::Vector) -> Self::Vector {
            // The instruction gives its second operand if either is NaN or both are equal.
            let zero = proven!(_mm256_setzero_ps());
            proven!([_mm256_max_ps(zero, x[0]), _mm256_max_ps(zero, x[1])])
        }

        #[inline(always)]
        fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            proven!([_mm256_blendv_ps(b[0], a[0], mask[0]), _mm256_blendv_ps(b[1], a[1], mask[1]),])
        }

        #[inline(always)]
        fn is_positive(self, x: Self::Vector) -> Self::Mask {
            let zero = proven!(_mm256_setzero_ps());
            proven!([
                _mm256_cmp_ps::<_CMP_GT_OQ>(x[0], zero),
                _mm256_cmp_ps::<_CMP_GT_OQ>(x[1], zero),
            ])
        }

        #[inline(always)]
        fn is_equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask {
            proven!([
                _mm256_cmp_ps::<_CMP_EQ_OQ>(a[0], b[0]),
                _mm256_cmp_ps::<_CMP_EQ_OQ>(a[1], b[1]),
            ])
        }

        #[inline(always)]
        fn beats(self, x: Self::Vector, best: Self::Vector) -> Self::Mask {
            // "Not less or equal" is true if either is NaN.
            let beats = |x, best| {
                let larger = proven!(_mm256_cmp_ps::<_CMP_NLE_UQ>(x, best));
                let best_is_number = proven!(_mm256_cmp_ps::<_CMP_ORD_Q>(best, best));
                proven!(_mm256_and_ps(larger, best_is_number))
            };
            [beats(x[0], best[0]), beats(x[1], best[1])]
        }

        #[inline(always)]
        fn sum(self, x: Self::Vector) -> f32 {
            sum_of_eight!(proven!(_mm256_add_ps(x[0], x[1])))
        }

        #[inline(always)]
        fn zero_sums(self) -> Self::Sums {
            [proven!(_mm256_setzero_pd()); 4]
        }

        #[inline(always)]
        fn add_to_sums(self, sums: Self::Sums, x: Self::Vector) -> Self::Sums {
            let x = self.doubles(x);
            proven!([
                _mm256_add_pd(sums[0], x[0]),
                _mm256_add_pd(sums[1], x[1]),
                _mm256_add_pd(sums[2], x[2]),
                _mm256_add_pd(sums[3], x[3]),
            ])
        }

        #[inline(always)]
        fn add_squares_to_sums(self, sums: Self::Sums, x: Self::Vector) -> Self::Sums {
            let x = self.doubles(x);
            proven!([
                _mm256_fmadd_pd(x[0], x[0], sums[0]),
                _mm256_fmadd_pd(x[1], x[1], sums[1]),
                _mm256_fmadd_pd(x[2], x[2], sums[2]),
                _mm256_fmadd_pd(x[3], x[3], sums[3]),
            ])
        }

        #[inline(always)]
        fn store_sums(self, sums: Self::Sums) -> [f64; LANES] {
            let mut lanes = [0.0; LANES];
            for (to, sums) in lanes.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
                proven!(_mm256_storeu_pd(to.as_mut_ptr(), sums));
            }
            lanes
        }

        #[inline(always)]
        fn zero_register(self) -> Self::Register {
            proven!(_mm256_setzero_ps())
        }

        #[inline(always)]
        fn load_register(self, from: &[f32; LANES], index: usize) -> Self::Register {
            let (halves, _) = from.as_chunks::<{ LANES / 2 }>();
            proven!(_mm256_loadu_ps(halves[index].as_ptr()))
        }

        #[inline(always)]
        fn store_register(self, x: Self::Register, to: &mut [f32; LANES], index: usize) {
            let (halves, _) = to.as_chunks_mut::<{ LANES / 2 }>();
            proven!(_mm256_storeu_ps(halves[index].as_mut_ptr(), x));
        }

        #[inline(always)]
        fn mul_add_register(
            self,
            a: Self::Register,
            b: Self::Register,
            c: Self::Register,
        ) -> Self::Register {
            proven!(_mm256_fmadd_ps(a, b, c))
        }

        #[inline(always)]
        fn relu_register(self, x: Self::Register) -> Self::Register {
            proven!(_mm256_max_ps(_mm256_setzero_ps(), x))
        }

        #[inline(always)]
        fn transpose(self, rows: [&[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
            transpose_of_eight!(rows)
        }
    }

    impl Simd for Avx512 {
        type Vector = __m512;
        type Mask = __mmask16;
        type Sums = [__m512d; 2];

        vector_is_register!();

        #[inline(always)]
        fn splat(self, x: f32) -> Self::Vector {
            proven!(_mm512_set1_ps(x))
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::Vector {
            proven!(_mm512_loadu_ps(from.as_ptr()))
        }

        #[inline(always)]
        fn store(self, x: Self::Vector, to: &mut [f32; LANES]) {
            proven!(_mm512_storeu_ps(to.as_mut_ptr(), x));
        }

        #[inline(always)]
        fn prefetch(self, from: &[f32; LANES]) {
            proven!(_mm_prefetch::<_MM_HINT_T1>(from.as_ptr().cast()));
        }

        #[inline(always)]
        fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            proven!(_mm512_add_ps(a, b))
        }

        #[inline(always)]
        fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            proven!(_mm512_mul_ps(a, b))
        }

        #[inline(always)]
        fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            proven!(_mm512_fmadd_ps(a, b, c))
        }

        #[inline(always)]
        fn relu(self, x: Self::Vector) -> Self::Vector {
            // The instruction gives its second operand if either is NaN or both are equal.
            proven!(_mm512_max_ps(_mm512_setzero_ps(), x))
        }

        #[inline(always)]
        fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            proven!(_mm512_mask_blend_ps(mask, b, a))
        }

        #[inline(always)]
        fn is_positive(self, x: Self::Vector) -> Self::Mask {
            proven!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps()))
        }

        #[inline(always)]
        fn is_equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask {
            proven!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b))
        }

        #[inline(always)]
        fn beats(self, x: Self::Vector, best: Self::Vector) -> Self::Mask {
            // "Not less or equal" is true if either is NaN.
            let larger = proven!(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(x, best));
            larger & proven!(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(best, best))
        }

        #[inline(always)]
        fn sum(self, x: Self::Vector) -> f32 {
            let high = proven!(_mm512_extractf32x8_ps::<1>(x));
            sum_of_eight!(proven!(_mm256_add_ps(_mm512_castps512_ps256(x), high)))
        }

        #[inline(always)]
        fn zero_sums(self) -> Self::Sums {
            [proven!(_mm512_setzero_pd()); 2]
        }

        #[inline(always)]
        fn add_to_sums(self, sums: Self::Sums, x: Self::Vector) -> Self::Sums {
            let x = self.doubles(x);
            proven!([_mm512_add_pd(sums[0], x[0]), _mm512_add_pd(sums[1], x[1])])
        }

        #[inline(always)]
        fn add_squares_to_sums(self, sums: Self::Sums, x: Self::Vector) -> Self::Sums {
            let x = self.doubles(x);
            proven!([_mm512_fmadd_pd(x[0], x[0], sums[0]), _mm512_fmadd_pd(x[1], x[1], sums[1]),])
        }

        #[inline(always)]
        fn store_sums(self, sums: Self::Sums) -> [f64; LANES] {
            let mut lanes = [0.0; LANES];
            for (to, sums) in lanes.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                proven!(_mm512_storeu_pd(to.as_mut_ptr(), sums));
            }
            lanes
        }

        #[inline(always)]
        fn transpose(self, rows: [&[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
            transpose_of_eight!(rows)
        }
    }
}
