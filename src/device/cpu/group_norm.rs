//! Normalization of single images: by the moments of groups of channels over the map.
//!
//! One group of all channels is layer normalization, a group for each channel instance normalization.
//! The maps of a group are one row apart in the batch, so its sums are taken map by map, in `f64`, and
//! added in the order of the channels.

use rayon::prelude::*;

use super::Kernels;
use super::batch_norm::{gradient_sums, inverse_root, normalize, row_sum};
use super::isa::for_each_isa;
use super::threads::min_tiles;

/// The sizes of one normalization: `[C, N, area]` in `groups` equal groups of channels.
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
    /// - `x`, `y`: `[C, N, area]`; `gamma`, `beta`: `[C]`
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
        let GroupSizes { n, area, groups, .. } = sizes;
        sizes.check(x, gamma, moments);
        assert_eq!(beta.len(), sizes.c, "length of beta");
        assert_eq!(y.len(), x.len(), "length of the output");
        let (mean, inv_std) = moments.split_at_mut(groups * n);
        let (least, group_len) = (min_tiles(x.len()), sizes.channels() * sizes.row());
        let places = mean.par_iter_mut().zip(&mut *inv_std).enumerate();
        places.with_min_len(least).for_each(|(place, (mean, inv_std))| {
            let group = &x[place / n * group_len..][..group_len];
            let maps = || group.chunks_exact(area).skip(place % n).step_by(n);
            let mut sum = 0.0;
            maps().for_each(|map| sum_of_map(*self, map, &mut sum));
            let exact = sum / sizes.count();
            let mut squares = 0.0;
            maps().for_each(|map| squares_of_map(*self, map, exact, &mut squares));
            *mean = exact as f32;
            *inv_std = inverse_root(squares / sizes.count(), eps);
        });
        let channels = y.par_chunks_exact_mut(sizes.row()).zip(x.par_chunks_exact(sizes.row()));
        let channels = channels.zip(gamma.par_iter().zip(beta)).enumerate();
        channels.with_min_len(least).for_each(|(channel, ((y, x), (&gamma, &beta)))| {
            let places = channel / sizes.channels() * n..;
            let moments = mean[places.clone()].iter().zip(&inv_std[places]);
            let maps = y.chunks_exact_mut(area).zip(x.chunks_exact(area));
            for ((y, x), (&mean, &inv_std)) in maps.zip(moments) {
                normalize(*self, x, mean, inv_std * gamma, beta, y);
            }
        });
    }

    /// Gradients of [`Kernels::group_norm_forward`] from its `moments`; those of `gamma` and `beta` are
    /// added to `ggamma` and `gbeta`.
    ///
    /// With `z = (x - mean) * inv_std` and `h = gamma * gy`:
    /// `gx = inv_std * (h - mean(h) - z * mean(h * z))`, the means over the group.
    ///
    /// # Shapes
    /// - `x`, `gy`, `gx`: `[C, N, area]`; `gamma`, `ggamma`, `gbeta`: `[C]`
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
        let GroupSizes { n, c, area, groups } = sizes;
        sizes.check(x, gamma, moments);
        assert_eq!([gy.len(), gx.len()], [x.len(); 2], "lengths of the gradients");
        assert_eq!([ggamma.len(), gbeta.len()], [c; 2], "lengths of gamma's and beta's gradients");
        let (mean, inv_std) = moments.split_at(groups * n);
        let (row, least) = (sizes.row(), min_tiles(2 * x.len()));
        let place = |map: usize| map / n / sizes.channels() * n + map % n;

        // For each map the sums of `gy` and of `gy * (x - mean)`.
        let mut sums = vec![[0.0f64; 2]; c * n];
        let maps = sums.par_iter_mut().zip(x.par_chunks_exact(area)).zip(gy.par_chunks_exact(area));
        maps.enumerate().with_min_len(least).for_each(|(map, ((sums, x), gy))| {
            gradient_sums(*self, x, gy, mean[place(map)], sums);
        });
        for (channel, (ggamma, gbeta)) in ggamma.iter_mut().zip(&mut *gbeta).enumerate() {
            let maps = channel * n..(channel + 1) * n;
            *gbeta += sums[maps.clone()].iter().map(|[sum, _]| sum).sum::<f64>() as f32;
            let scaled = maps.map(|map| sums[map][1] * f64::from(inv_std[place(map)]));
            *ggamma += scaled.sum::<f64>() as f32;
        }

        // For each group of each image, what is taken off its gradients: a constant and a slope.
        let mut taken = vec![[0.0f64; 2]; groups * n];
        for (map, [sum, centered]) in sums.iter().enumerate() {
            let gamma = f64::from(gamma[map / n]);
            let [constant, slope] = &mut taken[place(map)];
            *constant += gamma * sum;
            *slope += gamma * centered;
        }
        let channels = gx.par_chunks_exact_mut(row).zip(x.par_chunks_exact(row));
        let channels = channels.zip(gy.par_chunks_exact(row)).enumerate();
        channels.with_min_len(least).for_each(|(channel, ((gx, x), gy))| {
            let maps = gx.chunks_exact_mut(area).zip(x.chunks_exact(area));
            for (image, ((gx, x), gy)) in maps.zip(gy.chunks_exact(area)).enumerate() {
                let at = place(channel * n + image);
                let inv = f64::from(inv_std[at]);
                let [constant, slope] = taken[at].map(|sum| sum * inv / sizes.count());
                let coefficients = Coefficients {
                    scale: gamma[channel] * inv_std[at],
                    mean: mean[at],
                    constant: constant as f32,
                    slope: (slope * inv * inv) as f32,
                };
                input_gradient(*self, x, gy, coefficients, accumulate, gx);
            }
        });
    }
}

/// The numbers that the gradient of a map is computed with.
#[derive(Clone, Copy)]
struct Coefficients {
    scale: f32,
    mean: f32,
    constant: f32,
    slope: f32,
}

for_each_isa! {
    fn sum_of_map(x: &[f32], sum: &mut f64) {
        *sum += row_sum(x, x, |x, _| f64::from(x));
    }
}

for_each_isa! {
    fn squares_of_map(x: &[f32], mean: f64, sum: &mut f64) {
        *sum += row_sum(x, x, |x, _| {
            let centered = f64::from(x) - mean;
            centered * centered
        });
    }
}

for_each_isa! {
    fn input_gradient(x: &[f32], gy: &[f32], c: Coefficients, accumulate: bool, gx: &mut [f32]) {
        for ((gx, x), gy) in gx.iter_mut().zip(x).zip(gy) {
            let g = c.scale * gy - c.constant - (x - c.mean) * c.slope;
            *gx = if accumulate { *gx + g } else { g };
        }
    }
}
