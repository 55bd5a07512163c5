//! Batch normalization: one channel is one contiguous row of the batch.
//!
//! Sums over a row are taken in `f64` in interleaved partial sums, in one pass. The square of an `f32` is exact
//! there, so that the variance as the mean of the squares less the square of the mean keeps its digits as long as
//! the mean is less than a hundred thousand deviations, of which an `f32` holds less than two digits.

use rayon::prelude::*;

use super::Kernels;
use super::isa::for_each_isa;
use super::simd::{LANES, Simd};
use super::threads::min_tiles;

impl Kernels {
    /// Batch normalization with the statistics of the batch:
    /// `y = gamma * (x - mean) / sqrt(variance + eps) + beta`, or `y +=` that if `accumulate`.
    ///
    /// `mean` and `inv_std` receive the mean and `1 / sqrt(variance + eps)` of each channel; the
    /// variance is the biased one.
    ///
    /// # Shapes
    /// - `x`, `y`: `[C, row]` with `row = H * W * N`
    /// - `gamma`, `beta`, `mean`, `inv_std`: `[C]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or a row is empty.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn bn_forward_train(
        &self,
        c: usize,
        row: usize,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        eps: f32,
        y: &mut [f32],
        accumulate: bool,
        mean: &mut [f32],
        inv_std: &mut [f32],
    ) {
        assert!(row > 0, "a channel has at least one number");
        assert_eq!(x.len(), c * row, "length of the input");
        assert_eq!(y.len(), c * row, "length of the output");
        assert_eq!([gamma.len(), beta.len()], [c, c], "lengths of gamma and beta");
        assert_eq!([mean.len(), inv_std.len()], [c, c], "lengths of the statistics");
        let outputs = y.par_chunks_exact_mut(row).zip(mean).zip(inv_std);
        let channels = outputs.zip(x.par_chunks_exact(row)).zip(gamma).zip(beta);
        channels.with_min_len(min_tiles(x.len())).for_each(
            |(((((y, mean), inv_std), x), &gamma), &beta)| {
                statistics(*self, x, eps, mean, inv_std);
                normalize(*self, x, *mean, *inv_std * gamma, beta, accumulate, y);
            },
        );
    }

    /// Moves the running statistics towards those of a batch:
    /// `running = (1 - momentum) * running + momentum * batch`, where the batch's variance is the
    /// unbiased one, as in PyTorch.
    ///
    /// # Shapes
    /// - all slices: `[C]`; `row` is the number of values the batch's statistics are from
    ///
    /// # Panics
    /// If the lengths differ.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn bn_update_running(
        &self,
        mean: &[f32],
        inv_std: &[f32],
        eps: f32,
        row: usize,
        momentum: f32,
        running_mean: &mut [f32],
        running_var: &mut [f32],
    ) {
        let c = mean.len();
        assert_eq!(inv_std.len(), c, "length of the deviations");
        assert_eq!([running_mean.len(), running_var.len()], [c, c], "lengths of the running ones");
        let unbias = if row > 1 { row as f64 / (row as f64 - 1.0) } else { 1.0 };
        let momentum = f64::from(momentum);
        let towards = |running: &mut f32, batch: f64| {
            *running = ((1.0 - momentum) * f64::from(*running) + momentum * batch) as f32;
        };
        for (running, &mean) in running_mean.iter_mut().zip(mean) {
            towards(running, f64::from(mean));
        }
        for (running, &inv_std) in running_var.iter_mut().zip(inv_std) {
            let biased = (f64::from(inv_std).powi(-2) - f64::from(eps)).max(0.0);
            towards(running, biased * unbias);
        }
    }

    /// Batch normalization with given statistics, added to `y` if `accumulate`.
    ///
    /// # Shapes
    /// - `x`, `y`: `[C, row]`
    /// - `gamma`, `beta`, `running_mean`, `running_var`: `[C]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn bn_forward_eval(
        &self,
        c: usize,
        row: usize,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        running_mean: &[f32],
        running_var: &[f32],
        eps: f32,
        y: &mut [f32],
        accumulate: bool,
    ) {
        assert_eq!(x.len(), c * row, "length of the input");
        assert_eq!(y.len(), c * row, "length of the output");
        assert_eq!([gamma.len(), beta.len()], [c, c], "lengths of gamma and beta");
        assert_eq!([running_mean.len(), running_var.len()], [c, c], "lengths of the statistics");
        let statistics = running_mean.par_iter().zip(running_var).zip(gamma).zip(beta);
        let channels = y.par_chunks_mut(row.max(1)).zip(x.par_chunks(row.max(1))).zip(statistics);
        channels.with_min_len(min_tiles(x.len())).for_each(
            |((y, x), (((&mean, &var), &gamma), &beta))| {
                let scale = inverse_root(f64::from(var), eps) * gamma;
                normalize(*self, x, mean, scale, beta, accumulate, y);
            },
        );
    }

    /// Gradients of [`Kernels::bn_forward_train`] from its `mean` and `inv_std`; those of `gamma`
    /// and `beta` are added to `ggamma` and `gbeta`.
    ///
    /// With `z = (x - mean) * inv_std`:
    /// `gx = gamma * inv_std * (gy - mean(gy) - z * mean(gy * z))`.
    ///
    /// # Shapes
    /// - `x`, `gy`, `gx`: `[C, row]`
    /// - `gamma`, `mean`, `inv_std`, `ggamma`, `gbeta`: `[C]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or a row is empty.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn bn_backward(
        &self,
        c: usize,
        row: usize,
        x: &[f32],
        gy: &[f32],
        gamma: &[f32],
        mean: &[f32],
        inv_std: &[f32],
        gx: &mut [f32],
        accumulate: bool,
        ggamma: &mut [f32],
        gbeta: &mut [f32],
    ) {
        assert!(row > 0, "a channel has at least one number");
        assert_eq!(x.len(), c * row, "length of the input");
        assert_eq!(gy.len(), c * row, "length of the output's gradient");
        assert_eq!(gx.len(), c * row, "length of the input's gradient");
        assert_eq!([mean.len(), inv_std.len()], [c, c], "lengths of the statistics");
        assert_eq!([gamma.len(), ggamma.len(), gbeta.len()], [c; 3], "lengths of gamma and beta");
        let outputs = gx.par_chunks_exact_mut(row).zip(ggamma).zip(gbeta);
        let inputs = x.par_chunks_exact(row).zip(gy.par_chunks_exact(row));
        let channels = outputs.zip(inputs).zip(gamma.par_iter().zip(mean).zip(inv_std));
        channels.with_min_len(min_tiles(2 * x.len())).for_each(
            |((((gx, ggamma), gbeta), (x, gy)), ((&gamma, &mean), &inv_std))| {
                let mut sums = [0.0; 2];
                gradient_sums(*self, x, gy, mean, &mut sums);
                let [sum, sum_centered] = sums;
                let inv = f64::from(inv_std);
                *gbeta += sum as f32;
                *ggamma += (sum_centered * inv) as f32;
                let coefficients = Coefficients {
                    scale: gamma * inv_std,
                    mean,
                    mean_gy: (sum / row as f64) as f32,
                    slope: (sum_centered * inv * inv / row as f64) as f32,
                };
                input_gradient(*self, x, gy, coefficients, accumulate, gx);
            },
        );
    }
}

impl Kernels {
    /// [`Kernels::bn_forward_eval`] as a scale and a shift for every channel.
    ///
    /// # Shapes
    /// - all slices: `[C]`
    ///
    /// # Panics
    /// If the lengths differ.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn bn_affine(
        &self,
        gamma: &[f32],
        beta: &[f32],
        running_mean: &[f32],
        running_var: &[f32],
        eps: f32,
        scale: &mut [f32],
        shift: &mut [f32],
    ) {
        self.bn_keep_running(running_mean, running_var, eps, shift, scale);
        assert_eq!([gamma.len(), beta.len()], [scale.len(); 2], "lengths of gamma and beta");
        let channels = scale.iter_mut().zip(shift).zip(gamma.iter().zip(beta));
        for ((scale, shift), (gamma, beta)) in channels {
            *scale *= gamma;
            *shift = beta - *shift * *scale;
        }
    }

    /// The mean and `1 / sqrt(variance + eps)` that [`Kernels::bn_forward_eval`] computes with, in the form
    /// of those that [`Kernels::bn_forward_train`] leaves.
    ///
    /// # Shapes
    /// - all slices: `[C]`
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn bn_keep_running(
        &self,
        running_mean: &[f32],
        running_var: &[f32],
        eps: f32,
        mean: &mut [f32],
        inv_std: &mut [f32],
    ) {
        mean.copy_from_slice(running_mean);
        assert_eq!(inv_std.len(), running_var.len(), "lengths of the statistics");
        for (inv_std, &var) in inv_std.iter_mut().zip(running_var) {
            *inv_std = inverse_root(f64::from(var), eps);
        }
    }

    /// Gradient of the input of [`Kernels::bn_forward_eval`], whose statistics do not depend on it:
    /// `gx = gamma * inv_std * gy`.
    ///
    /// # Shapes
    /// - `gy`, `gx`: `[C, row]`
    /// - `gamma`, `inv_std`: `[C]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or a row is empty.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn bn_backward_eval(
        &self,
        c: usize,
        row: usize,
        gy: &[f32],
        gamma: &[f32],
        inv_std: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        assert!(row > 0, "a channel has at least one number");
        assert_eq!([gy.len(), gx.len()], [c * row; 2], "lengths of the gradients");
        assert_eq!([gamma.len(), inv_std.len()], [c; 2], "lengths of gamma and deviations");
        let channels = gx.par_chunks_exact_mut(row).zip(gy.par_chunks_exact(row));
        let channels = channels.zip(gamma.par_iter().zip(inv_std));
        channels.with_min_len(min_tiles(gy.len())).for_each(|((gx, gy), (&gamma, &inv_std))| {
            let coefficients =
                Coefficients { scale: gamma * inv_std, mean: 0.0, mean_gy: 0.0, slope: 0.0 };
            input_gradient(*self, gy, gy, coefficients, accumulate, gx);
        });
    }
}

/// The numbers that the gradient of a channel's input is computed with.
#[derive(Clone, Copy)]
struct Coefficients {
    scale: f32,
    mean: f32,
    mean_gy: f32,
    slope: f32,
}

pub(super) fn inverse_root(variance: f64, eps: f32) -> f32 {
    (1.0 / (variance + f64::from(eps)).sqrt()) as f32
}

for_each_isa! {
    fn statistics<S: Simd>(simd: S, x: &[f32], eps: f32, mean: &mut f32, inv_std: &mut f32) {
        let row = x.len() as f64;
        let mut sums = Sums::new(simd);
        for x in parts(x) {
            let x = simd.load(&x);
            sums.plain = simd.add_to_sums(sums.plain, x);
            sums.other = simd.add_squares_to_sums(sums.other, x);
        }
        let [sum, squares] = sums.totals(simd);
        let exact_mean = sum / row;
        *mean = exact_mean as f32;
        *inv_std = inverse_root((squares / row - exact_mean * exact_mean).max(0.0), eps);
    }
    [portable <>, avx2 <>, avx512 <>]
}

for_each_isa! {
    fn normalize(x: &[f32], mean: f32, scale: f32, beta: f32, accumulate: bool, y: &mut [f32]) {
        // Not folded into one multiply-add: with a large mean, that would lose the digits of x -
        // mean.
        for (y, x) in y.iter_mut().zip(x) {
            let value = (x - mean) * scale + beta;
            *y = if accumulate { *y + value } else { value };
        }
    }
}

for_each_isa! {
    /// The sums of `gy` and of `gy * (x - mean)`.
    fn gradient_sums<S: Simd>(
        simd: S,
        x: &[f32],
        gy: &[f32],
        mean: f32,
        totals: &mut [f64; 2],
    ) {
        let minus_mean = simd.splat(-mean);
        let mut sums = Sums::new(simd);
        for (x, gy) in parts(x).zip(parts(gy)) {
            let (x, gy) = (simd.load(&x), simd.load(&gy));
            sums.plain = simd.add_to_sums(sums.plain, gy);
            let product = simd.mul(gy, simd.add(x, minus_mean));
            sums.other = simd.add_to_sums(sums.other, product);
        }
        *totals = sums.totals(simd);
    }
    [portable <>, avx2 <>, avx512 <>]
}

for_each_isa! {
    fn input_gradient(
        x: &[f32],
        gy: &[f32],
        c: Coefficients,
        accumulate: bool,
        gx: &mut [f32],
    ) {
        for ((gx, x), gy) in gx.iter_mut().zip(x).zip(gy) {
            let g = c.scale * (gy - c.mean_gy - (x - c.mean) * c.slope);
            *gx = if accumulate { *gx + g } else { g };
        }
    }
}

/// Two interleaved sums over a row.
struct Sums<S: Simd> {
    plain: S::Sums,
    other: S::Sums,
}

impl<S: Simd> Sums<S> {
    #[inline(always)]
    fn new(simd: S) -> Sums<S> {
        Sums { plain: simd.zero_sums(), other: simd.zero_sums() }
    }

    #[inline(always)]
    fn totals(self, simd: S) -> [f64; 2] {
        [self.plain, self.other].map(|sums| simd.store_sums(sums).iter().sum())
    }
}

/// The vectors of a row, the last one filled with zeros.
#[inline(always)]
fn parts(row: &[f32]) -> impl Iterator<Item = [f32; LANES]> {
    let (whole, rest) = row.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    whole.iter().copied().chain((!rest.is_empty()).then_some(last))
}
