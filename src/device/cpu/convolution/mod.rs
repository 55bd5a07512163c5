//! Convolutions that mix channels: all of them, or those of each group. The channels of a group are adjacent, and so
//! are its filters: each is a convolution of its own on slices (`group`).

mod group;

use rayon::prelude::*;

use super::Kernels;
use super::scratch::with_scratch;
use crate::graph::Window;

/// The sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvSizes<'w> {
    /// Where it slides.
    pub window: &'w Window,
    /// Number of images N.
    pub n: usize,
    /// Number of input channels `C_in`.
    pub ci: usize,
    /// Number of output channels `C_out`.
    pub co: usize,
    /// Number of groups; divides both.
    pub groups: usize,
}

/// A scale and a shift for every channel: `scale * x + shift`.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Factors, `[C]`.
    pub scale: &'a [f32],
    /// What is added after them, `[C]`.
    pub shift: &'a [f32],
}

/// The weights of a convolution as its products take them.
#[derive(Clone, Copy)]
pub(super) struct Filters<'a> {
    /// By [`Kernels::pack_filters`].
    pub(super) packed: &'a [f32],
    /// What is added to each output channel.
    pub(super) shift: Option<&'a [f32]>,
}

impl ConvSizes<'_> {
    /// The convolution of one group.
    fn of_group(self) -> Self {
        let Self { ci, co, groups, .. } = self;
        let divides = [ci, co].map(|channels| channels.checked_rem(groups));
        assert_eq!(divides, [Some(0); 2], "groups divide channels and filters");
        Self { ci: ci / groups, co: co / groups, groups: 1, ..self }
    }

    /// Numbers of the input.
    fn input_len(&self) -> usize {
        self.ci * self.input_row()
    }

    /// Numbers of the output.
    fn output_len(&self) -> usize {
        self.co * self.output_row()
    }

    /// Numbers of the weight of all groups.
    fn weight_len(&self) -> usize {
        self.co * self.ci / self.groups * self.window.taps()
    }

    /// Numbers of one input channel.
    fn input_row(&self) -> usize {
        self.n * self.window.input_area()
    }

    /// Numbers of one output channel.
    fn output_row(&self) -> usize {
        self.n * self.window.output_area()
    }

    fn check(&self, x: &[f32], y: &[f32], weight: &[f32]) {
        assert_eq!(x.len(), self.input_len(), "length of the input");
        assert_eq!(y.len(), self.output_len(), "length of the output");
        assert_eq!(weight.len(), self.weight_len(), "length of the weight");
    }
}

impl Kernels {
    /// Convolution of `x`, or of `max(x, 0)` if `relu_in`, whose channels are then scaled and shifted if `affine` is
    /// given; added to `y` if `accumulate`.
    ///
    /// # Shapes
    /// - `x`: `[C_in, H, W, N]`, `weight`: `[C_out, C_in / groups, KH, KW]`
    /// - `y`: `[C_out, H', W', N]`, `affine`: `[C_out]` each
    ///
    /// # Cost
    /// `N * H' * W' * C_out * C_in / groups * KH * KW` multiply-adds.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the groups do not divide the channels.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its slices one by one")]
    pub fn conv_forward(
        &self,
        sizes: ConvSizes<'_>,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        affine: Option<Affine<'_>>,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let (scale, shift) = affine.map(|affine| (affine.scale, affine.shift)).unzip();
        with_scratch(self.filters_len(sizes), |packed| {
            self.pack_filters(sizes, weight, scale, packed);
            self.conv_by_filters(sizes, x, Filters { packed, shift }, relu_in, y, accumulate);
        });
    }

    /// Numbers of packed [`Filters`].
    pub(super) fn filters_len(&self, sizes: ConvSizes<'_>) -> usize {
        sizes.groups * self.group_filters_len(sizes.of_group())
    }

    /// Packs weights `[C_out, C_in / groups, KH, KW]`, multiplied by a scale for each output channel, as [`Filters`].
    pub(super) fn pack_filters(
        &self,
        sizes: ConvSizes<'_>,
        weight: &[f32],
        scale: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        let group = sizes.of_group();
        assert_eq!(weight.len(), sizes.weight_len(), "length of the weight");
        assert_eq!(scale.map_or(sizes.co, <[f32]>::len), sizes.co, "length of the scale");
        let weights = weight.par_chunks(group.weight_len().max(1));
        let parts = packed.par_chunks_mut(self.group_filters_len(group).max(1)).zip(weights);
        parts.enumerate().for_each(|(index, (packed, weight))| {
            let scale = scale.map(|scale| &scale[index * group.co..][..group.co]);
            self.pack_group(group, weight, scale, packed);
        });
    }

    /// [`Kernels::conv_forward`] by filters that were [packed](Self::pack_filters).
    pub(super) fn conv_by_filters(
        &self,
        sizes: ConvSizes<'_>,
        x: &[f32],
        filters: Filters<'_>,
        relu_in: bool,
        y: &mut [f32],
        accumulate: bool,
    ) {
        let group = sizes.of_group();
        let Filters { packed, shift } = filters;
        assert_eq!(x.len(), sizes.input_len(), "length of the input");
        assert_eq!(y.len(), sizes.output_len(), "length of the output");
        assert_eq!(packed.len(), self.filters_len(sizes), "length of the filters");
        assert_eq!(shift.map_or(sizes.co, <[f32]>::len), sizes.co, "length of the shift");
        let outputs = y.par_chunks_mut(group.output_len().max(1));
        let parts = outputs.zip(x.par_chunks(group.input_len().max(1)));
        let packed = packed.par_chunks(self.group_filters_len(group).max(1));
        parts.zip(packed).enumerate().for_each(|(index, ((y, x), packed))| {
            let shift = shift.map(|shift| &shift[index * group.co..][..group.co]);
            self.group_by_filters(group, x, Filters { packed, shift }, relu_in, y, accumulate);
        });
    }

    /// Gradient of [`Kernels::conv_forward`] for `x`.
    ///
    /// # Shapes
    /// - `x`, `gx`: `[C_in, H, W, N]`, `weight`: `[C_out, C_in / groups, KH, KW]`
    /// - `gy`: `[C_out, H', W', N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the groups do not divide the channels. `x` is
    /// not looked at unless `relu_in`.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its slices one by one")]
    pub fn conv_backward_data(
        &self,
        sizes: ConvSizes<'_>,
        x: &[f32],
        weight: &[f32],
        relu_in: bool,
        gy: &[f32],
        gx: &mut [f32],
        accumulate: bool,
    ) {
        let group = sizes.of_group();
        sizes.check(gx, gy, weight);
        if relu_in {
            assert_eq!(x.len(), gx.len(), "length of the input");
        }
        let gradients = gy.par_chunks(group.output_len().max(1));
        let parts = gx.par_chunks_mut(group.input_len().max(1)).zip(gradients);
        let weights = weight.par_chunks(group.weight_len().max(1));
        parts.zip(weights).enumerate().for_each(|(index, ((gx, gy), weight))| {
            let mask = relu_in.then(|| &x[index * group.input_len()..][..gx.len()]);
            self.group_backward_data(group, mask, weight, gy, gx, accumulate);
        });
    }

    /// Gradient of [`Kernels::conv_forward`] for the weight, added to `gweight`.
    ///
    /// # Shapes
    /// - `x`: `[C_in, H, W, N]`, `gweight`: `[C_out, C_in / groups, KH, KW]`
    /// - `gy`: `[C_out, H', W', N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape, or the groups do not divide the channels.
    ///
    /// # Determinism
    /// The batch is cut into parts by its shape; the sums of the parts are added in order.
    pub fn conv_backward_weight(
        &self,
        sizes: ConvSizes<'_>,
        x: &[f32],
        relu_in: bool,
        gy: &[f32],
        gweight: &mut [f32],
    ) {
        let group = sizes.of_group();
        sizes.check(x, gy, gweight);
        let inputs = x.par_chunks(group.input_len().max(1));
        let parts = gweight.par_chunks_mut(group.weight_len().max(1)).zip(inputs);
        parts.zip(gy.par_chunks(group.output_len().max(1))).for_each(|((gweight, x), gy)| {
            self.group_backward_weight(group, x, relu_in, gy, gweight);
        });
    }
}
