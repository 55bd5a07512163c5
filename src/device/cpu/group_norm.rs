//! Normalization of single images: by the moments of groups of channels over the map.
//!
//! One group of all channels is layer normalization, a group for each channel instance normalization.
//! The images of a batch lie side by side, so the sums of all of them are taken at once: for each channel
//! in `f64`, and then added in the order of the channels.

use rayon::prelude::*;

use super::Kernels;
use super::batch_norm::inverse_root;
use super::isa::for_each_isa;
use super::scratch::{with_doubles, with_scratch};
use super::threads::min_tiles;

/// The sizes of one normalization: `[C, area, N]` in `groups` equal groups of channels.
#[derive(Clone, Copy, Debug)]
pub struct GroupSizes {
    /// Number of images N.
    pub n: usize,
    /// Number of channels C.
    pub c: usize,
    /// Numbers in a map.
    pub area: usize,
    /// Number of groups; divides the channels.
    pub groups: usize,
}

impl GroupSizes {
    /// Numbers of a channel in the batch.
    fn row(self) -> usize {
        self.n * self.area
    }

    /// Channels of a group.
    fn channels(self) -> usize {
        self.c / self.groups
    }

    /// Numbers that a moment is taken of.
    fn count(self) -> f64 {
        (self.channels() * self.area) as f64
    }

    fn check(self, x: &[f32], gamma: &[f32], moments: &[f32]) {
        assert!(self.row() > 0, "a channel has at least one number");
        assert!(self.c.is_multiple_of(self.groups), "groups divide the channels");
        assert_eq!(x.len(), self.c * self.row(), "length of the input");
        assert_eq!(gamma.len(), self.c, "length of gamma");
        assert_eq!(moments.len(), 2 * self.groups * self.n, "length of the moments");
    }
}

impl Kernels {
    /// Normalization of each image: `y = gamma * (x - mean) / sqrt(variance + eps) + beta`, mean and
    /// biased variance of each group of channels over the map.
    ///
    /// # Shapes
    /// - `x`, `y`: `[C, area, N]`; `gamma`, `beta`: `[C]`
    /// - `moments`: `[2, groups, N]`, overwritten: the means, then `1 / sqrt(variance + eps)`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, a row is empty, or the groups do not divide the
    /// channels.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn group_norm_forward(
        &self,
        sizes: GroupSizes,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        eps: f32,
        moments: &mut [f32],
        y: &mut [f32],
    ) {
        let GroupSizes { n, groups, .. } = sizes;
        sizes.check(x, gamma, moments);
        assert_eq!(beta.len(), sizes.c, "length of beta");
        assert_eq!(y.len(), x.len(), "length of the output");
        let (mean, inv_std) = moments.split_at_mut(groups * n);
        let (row, least) = (sizes.row(), min_tiles(x.len()));
        let group =
            |channel: usize| channel / sizes.channels() * n..(channel / sizes.channels() + 1) * n;
        let add_up = |sums: &[f64], totals: &mut [f64]| {
            totals.fill(0.0);
            for (channel, sums) in sums.chunks_exact(n).enumerate() {
                for (total, sum) in totals[group(channel)].iter_mut().zip(sums) {
                    *total += sum;
                }
            }
        };
        with_doubles((sizes.c + 2 * groups) * n, |buffer| {
            let (sums, buffer) = buffer.split_at_mut(sizes.c * n);
            let (totals, exact) = buffer.split_at_mut(groups * n);
            let channels = sums.par_chunks_exact_mut(n).zip(x.par_chunks_exact(row));
            channels.with_min_len(least).for_each(|(sums, x)| sums_of_images(*self, x, sums));
            add_up(sums, totals);
            exact.iter_mut().zip(&*totals).for_each(|(mean, sum)| *mean = sum / sizes.count());
            let exact = &*exact;
            let channels = sums.par_chunks_exact_mut(n).zip(x.par_chunks_exact(row)).enumerate();
            channels.with_min_len(least).for_each(|(channel, (sums, x))| {
                squares_of_images(*self, x, &exact[group(channel)], sums);
            });
            add_up(sums, totals);
            for ((mean, inv_std), (exact, squares)) in
                mean.iter_mut().zip(&mut *inv_std).zip(exact.iter().zip(totals))
            {
                *mean = *exact as f32;
                *inv_std = inverse_root(*squares / sizes.count(), eps);
            }
        });
        let channels = y.par_chunks_exact_mut(row).zip(x.par_chunks_exact(row));
        let channels = channels.zip(gamma.par_iter().zip(beta)).enumerate();
        channels.with_min_len(least).for_each(|(channel, ((y, x), (&gamma, &beta)))| {
            let places = group(channel);
            normalize_images(*self, x, &mean[places.clone()], &inv_std[places], gamma, beta, y);
        });
    }

    /// Gradients of [`Kernels::group_norm_forward`] from its `moments`; those of `gamma` and `beta` are
    /// added to `ggamma` and `gbeta`.
    ///
    /// With `z = (x - mean) * inv_std` and `h = gamma * gy`:
    /// `gx = inv_std * (h - mean(h) - z * mean(h * z))`, the means over the group.
    ///
    /// # Shapes
    /// - `x`, `gy`, `gx`: `[C, area, N]`; `gamma`, `ggamma`, `gbeta`: `[C]`
    /// - `moments`: `[2, groups, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, a row is empty, or the groups do not divide the
    /// channels.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn group_norm_backward(
        &self,
        sizes: GroupSizes,
        x: &[f32],
        gy: &[f32],
        gamma: &[f32],
        moments: &[f32],
        gx: &mut [f32],
        accumulate: bool,
        ggamma: &mut [f32],
        gbeta: &mut [f32],
    ) {
        let GroupSizes { n, c, groups, .. } = sizes;
        sizes.check(x, gamma, moments);
        assert_eq!([gy.len(), gx.len()], [x.len(); 2], "lengths of the gradients");
        assert_eq!([ggamma.len(), gbeta.len()], [c; 2], "lengths of gamma's and beta's gradients");
        let (mean, inv_std) = moments.split_at(groups * n);
        let (row, least) = (sizes.row(), min_tiles(2 * x.len()));
        let place = |map: usize| map / n / sizes.channels() * n + map % n;
        let group =
            |channel: usize| channel / sizes.channels() * n..(channel / sizes.channels() + 1) * n;

        with_doubles(2 * (c + groups) * n, |buffer| {
            let (sums, taken) = buffer.split_at_mut(2 * c * n);

            // For each map the sums of `gy` and of `gy * (x - mean)`.
            let sums = sums.as_chunks_mut::<2>().0;
            let channels = sums.par_chunks_exact_mut(n).zip(x.par_chunks_exact(row));
            let channels = channels.zip(gy.par_chunks_exact(row)).enumerate();
            channels.with_min_len(least).for_each(|(channel, ((sums, x), gy))| {
                gradient_sums_of_images(*self, x, gy, &mean[group(channel)], sums);
            });
            for (channel, (ggamma, gbeta)) in ggamma.iter_mut().zip(&mut *gbeta).enumerate() {
                let maps = channel * n..(channel + 1) * n;
                *gbeta += sums[maps.clone()].iter().map(|[sum, _]| sum).sum::<f64>() as f32;
                let scaled = maps.map(|map| sums[map][1] * f64::from(inv_std[place(map)]));
                *ggamma += scaled.sum::<f64>() as f32;
            }

            // For each group of each image, what is taken off its gradients: a constant and a slope.
            let taken = taken.as_chunks_mut::<2>().0;
            taken.fill([0.0; 2]);
            for (map, [sum, centered]) in sums.iter().enumerate() {
                let gamma = f64::from(gamma[map / n]);
                let [constant, slope] = &mut taken[place(map)];
                *constant += gamma * sum;
                *slope += gamma * centered;
            }
            let channels = gx.par_chunks_exact_mut(row).zip(x.par_chunks_exact(row));
            let channels = channels.zip(gy.par_chunks_exact(row)).enumerate();
            channels.with_min_len(least).for_each(|(channel, ((gx, x), gy))| {
                with_scratch(4 * n, |buffer| {
                    let coefficients = buffer.as_chunks_mut::<4>().0;
                    for (coefficients, at) in coefficients.iter_mut().zip(group(channel)) {
                        let inv = f64::from(inv_std[at]);
                        let [constant, slope] = taken[at].map(|sum| sum * inv / sizes.count());
                        let (constant, slope) = (constant as f32, (slope * inv * inv) as f32);
                        *coefficients = [gamma[channel] * inv_std[at], mean[at], constant, slope];
                    }
                    input_gradient(*self, x, gy, coefficients, accumulate, gx);
                });
            });
        });
    }
}

for_each_isa! {
    /// The sum of each image of a channel, `[area, N]`.
    fn sums_of_images(x: &[f32], sums: &mut [f64]) {
        sums.fill(0.0);
        for x in x.chunks_exact(sums.len()) {
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += f64::from(x);
            }
        }
    }
}

for_each_isa! {
    /// The sum of squares around the mean of each image.
    fn squares_of_images(x: &[f32], mean: &[f64], sums: &mut [f64]) {
        sums.fill(0.0);
        for x in x.chunks_exact(sums.len()) {
            for ((sum, &x), mean) in sums.iter_mut().zip(x).zip(mean) {
                let centered = f64::from(x) - mean;
                *sum += centered * centered;
            }
        }
    }
}

for_each_isa! {
    fn normalize_images(
        x: &[f32],
        mean: &[f32],
        inv_std: &[f32],
        gamma: f32,
        beta: f32,
        y: &mut [f32],
    ) {
        let n = mean.len();
        for (y, x) in y.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
            for ((y, x), (mean, inv_std)) in y.iter_mut().zip(x).zip(mean.iter().zip(inv_std)) {
                *y = (x - mean) * (inv_std * gamma) + beta;
            }
        }
    }
}

for_each_isa! {
    /// The sums of `gy` and of `gy * (x - mean)` of each image.
    fn gradient_sums_of_images(x: &[f32], gy: &[f32], mean: &[f32], sums: &mut [[f64; 2]]) {
        sums.fill([0.0; 2]);
        let n = mean.len();
        for (x, gy) in x.chunks_exact(n).zip(gy.chunks_exact(n)) {
            for ((sums, mean), (x, &gy)) in sums.iter_mut().zip(mean).zip(x.iter().zip(gy)) {
                sums[0] += f64::from(gy);
                sums[1] += f64::from(gy * (x - mean));
            }
        }
    }
}

for_each_isa! {
    /// `coefficients` has for each image a scale, the mean, and what is taken off: a constant and a slope.
    fn input_gradient(
        x: &[f32],
        gy: &[f32],
        coefficients: &[[f32; 4]],
        accumulate: bool,
        gx: &mut [f32],
    ) {
        let n = coefficients.len();
        for ((gx, x), gy) in gx.chunks_exact_mut(n).zip(x.chunks_exact(n)).zip(gy.chunks_exact(n)) {
            for ((gx, &[scale, mean, constant, slope]), (x, gy)) in
                gx.iter_mut().zip(coefficients).zip(x.iter().zip(gy))
            {
                let g = scale * gy - constant - (x - mean) * slope;
                *gx = if accumulate { *gx + g } else { g };
            }
        }
    }
}
