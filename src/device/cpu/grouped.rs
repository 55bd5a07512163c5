//! Convolutions in groups: the channels and the filters in equal parts, each part a convolution of its
//! own. Parts are adjacent, so each is the kernel of `convolution` on slices.

use rayon::prelude::*;

use super::{Affine, Kernels};
use crate::graph::Window;

impl Kernels {
    /// [`Kernels::conv_forward`] in `groups` groups.
    ///
    /// # Shapes
    /// - `x`: `[C_in, H, W, N]`, `weight`: `[C_out, C_in / groups, KH, KW]`
    /// - `y`: `[C_out, H', W', N]`, `affine`: `[C_out]` each
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the groups do not divide the channels.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn grouped_conv_forward(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        groups: usize,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        affine: Option<Affine<'_>>,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let [ci, co] = of_group([ci, co], groups);
        let lens = [x.len(), weight.len(), y.len()].map(|len| (len / groups).max(1));
        let parts = y.par_chunks_mut(lens[2]).zip(x.par_chunks(lens[0]));
        parts.zip(weight.par_chunks(lens[1])).enumerate().for_each(|(group, ((y, x), weight))| {
            let affine = affine.map(|affine| affine.part(group * co..(group + 1) * co));
            self.conv_forward(w, n, ci, co, x, weight, relu_in, affine, y, accumulate);
        });
    }

    /// [`Kernels::conv_backward_data`] in `groups` groups.
    ///
    /// # Shapes
    /// - `x`, `gx`: `[C_in, H, W, N]`, `weight`: `[C_out, C_in / groups, KH, KW]`
    /// - `gy`: `[C_out, H', W', N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the groups do not divide the channels. `x` is
    /// not looked at unless `relu_in`.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn grouped_conv_backward_data(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        groups: usize,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let [ci, co] = of_group([ci, co], groups);
        let lens = [gx.len(), weight.len(), gy.len()].map(|len| (len / groups).max(1));
        let parts = gx.par_chunks_mut(lens[0]).zip(gy.par_chunks(lens[2]));
        parts.zip(weight.par_chunks(lens[1])).enumerate().for_each(
            |(group, ((gx, gy), weight))| {
                let x = if relu_in { &x[group * lens[0]..][..gx.len()] } else { x };
                self.conv_backward_data(w, n, ci, co, x, weight, relu_in, gy, gx, accumulate);
            },
        );
    }

    /// [`Kernels::conv_backward_weight`] in `groups` groups.
    ///
    /// # Shapes
    /// - `x`: `[C_in, H, W, N]`, `gweight`: `[C_out, C_in / groups, KH, KW]`
    /// - `gy`: `[C_out, H', W', N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the groups do not divide the channels.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn grouped_conv_backward_weight(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        groups: usize,
        x: &[f32],
        relu_in: bool,
        gy: &[f32],
        gweight: &mut [f32],
    ) {
        let [ci, co] = of_group([ci, co], groups);
        let lens = [x.len(), gweight.len(), gy.len()].map(|len| (len / groups).max(1));
        let parts = gweight.par_chunks_mut(lens[1]).zip(x.par_chunks(lens[0]));
        parts.zip(gy.par_chunks(lens[2])).for_each(|((gweight, x), gy)| {
            self.conv_backward_weight(w, n, ci, co, x, relu_in, gy, gweight);
        });
    }
}

/// The channels of one group.
fn of_group(channels: [usize; 2], groups: usize) -> [usize; 2] {
    let divides = channels.iter().all(|channels| channels.checked_rem(groups) == Some(0));
    assert!(divides, "groups divide channels and filters");
    channels.map(|channels| channels / groups)
}
