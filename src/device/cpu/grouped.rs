//! Convolutions in groups: the channels and the filters in equal parts, each part a convolution of its
//! own. Parts are adjacent, so each is the kernel of `convolution` on slices.

use rayon::prelude::*;

use super::scratch::with_scratch;
use super::{Affine, Kernels};
use crate::graph::Window;

/// The weights of a convolution as its products take them.
#[derive(Clone, Copy)]
pub(super) struct Filters<'a> {
    /// By [`Kernels::pack`].
    pub(super) packed: &'a [f32],
    /// What is added to each output channel.
    pub(super) shift: Option<&'a [f32]>,
}

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
        let (scale, shift) = affine.map(|affine| (affine.scale, affine.shift)).unzip();
        with_scratch(self.filters_len(w, n, ci, co, groups), |packed| {
            self.pack(w, n, ci, co, groups, weight, scale, packed);
            let filters = Filters { packed, shift };
            self.grouped_conv_by_filters(w, n, ci, co, groups, x, filters, relu_in, y, accumulate);
        });
    }

    /// Numbers of packed [`Filters`] for batches of `n`.
    pub(super) fn filters_len(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        groups: usize,
    ) -> usize {
        let [ci, co] = of_group([ci, co], groups);
        groups * self.packed_filters_len(w, n, ci, co)
    }

    /// Packs weights `[C_out, C_in / groups, KH, KW]`, multiplied by a scale for each output channel, as
    /// [`Filters`] for batches of `n`.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub(super) fn pack(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        groups: usize,
        weight: &[f32],
        scale: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        let [ci, co] = of_group([ci, co], groups);
        let lens = [weight.len(), packed.len()].map(|len| (len / groups).max(1));
        let parts = packed.par_chunks_mut(lens[1]).zip(weight.par_chunks(lens[0])).enumerate();
        parts.for_each(|(group, (packed, weight))| {
            let scale = scale.map(|scale| &scale[group * co..(group + 1) * co]);
            self.pack_filters(w, n, ci, co, weight, scale, packed);
        });
    }

    /// [`Kernels::grouped_conv_forward`] by filters that were [packed](Self::pack).
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub(super) fn grouped_conv_by_filters(
        &self,
        w: &Window,
        n: usize,
        ci: usize,
        co: usize,
        groups: usize,
        x: &[f32],
        filters: Filters<'_>,
        relu_in: bool,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let [ci, co] = of_group([ci, co], groups);
        let Filters { packed, shift } = filters;
        let lens = [x.len(), packed.len(), y.len()].map(|len| (len / groups).max(1));
        let parts = y.par_chunks_mut(lens[2]).zip(x.par_chunks(lens[0]));
        parts.zip(packed.par_chunks(lens[1])).enumerate().for_each(|(group, ((y, x), packed))| {
            let shift = shift.map(|shift| &shift[group * co..(group + 1) * co]);
            self.conv_by_filters(w, n, ci, co, x, packed, relu_in, shift, y, accumulate);
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
