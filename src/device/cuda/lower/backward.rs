//! The commands of the steps of a backward pass.

use super::super::command::{Matrix, Place, Product};
use super::forward::len;
use super::{BLOCK, Draw, Lowering, WARP, flat, rows};
use crate::graph::Window;
use crate::plan::{Backward, Output, Slot, Target, View};

impl Lowering<'_> {
    pub(super) fn backward(&mut self, kernel: &Backward) {
        let n = self.n;
        match *kernel {
            Backward::Load { output, gy } => {
                let row = gy.view.channels * self.plan.area(gy.view);
                let from = match output {
                    Output::Logits => Place::LogitsGradient,
                    Output::Aux => Place::AuxGradient,
                };
                self.load(Self::whole(from, n * row), self.at(gy.view), row, gy.accumulate);
            }
            Backward::Zero { gx } => self.zero(self.at(gx)),
            Backward::ConvData { window, groups, mask, weight, gy, gx } => {
                self.conv_data(&window, groups, mask, weight, gy, gx);
            }
            Backward::ConvWeight { window, groups, x, relu_in, gy, weight } => {
                self.conv_weight(&window, groups, x, relu_in, gy, weight);
            }
            Backward::DepthwiseData { window, mask, weight, gy, gx } => {
                self.depthwise_data(&window, mask, weight, gy, gx);
            }
            Backward::DepthwiseWeight { window, x, relu_in, gy, weight } => {
                self.depthwise_weight(&window, x, relu_in, gy, weight);
            }
            Backward::BatchNorm { .. } => self.batch_norm_backward(kernel),
            Backward::GroupNorm { groups, x, gamma, beta, moments, gy, gx } => {
                self.group_norm_backward(groups, x, [gamma, beta], moments, gy, gx);
            }
            Backward::Relu { x, gy, gx } => self.gated("relu_backward", x, gy, gx),
            Backward::Relu6 { x, gy, gx } => self.gated("relu6_backward", x, gy, gx),
            Backward::Sigmoid { y, gy, gx } => self.gated("sigmoid_backward", y, gy, gx),
            Backward::Copy { gy, gx } => self.copy(self.at(gy), self.at(gx.view), gx.accumulate),
            Backward::Mix { stream, is_first, gy, gx } => {
                let shares = self.draw(Draw::Shares { stream, is_backward: true });
                let (c, row) = (gy.channels, self.row(gy));
                let (gy, to) = (self.at(gy), self.at(gx.view));
                let kernel = if is_first { "scale_images" } else { "scale_images_by_rest" };
                self.scale(kernel, gy, shares, to, c, row, gx.accumulate);
            }
            Backward::Mul { a, b, gy, ga, gb } => {
                for (other, target) in [(b, ga), (a, gb)] {
                    if let Some(target) = target {
                        self.factor_gradient(other, gy, target);
                    }
                }
            }
            Backward::MaxPool { window, x, gy, gx } => self.max_pool_backward(&window, x, gy, gx),
            Backward::AvgPool { window, gy, gx } => {
                let (c, row) = (gx.view.channels, self.row(gx.view));
                let (gy, to) = (self.at(gy), self.at(gx.view));
                let sizes = [(&window).into(), n.into(), c.into()];
                let args = [&sizes[..], &[gy.into(), to.into(), gx.accumulate.into()]].concat();
                self.launch("average_pool_backward", rows(c, row), &args);
            }
            Backward::GlobalAvgPool { gy, gx } => {
                let (c, row) = (gx.view.channels, self.row(gx.view));
                let (gy, to) = (self.at(gy), self.at(gx.view));
                let sizes = [c.into(), row.into(), n.into(), gx.accumulate.into()];
                let args = [&[gy.into(), to.into()][..], &sizes].concat();
                self.launch("spread_over_maps", rows(c, row), &args);
            }
            Backward::Dense { x, weight, bias, gy, gx } => {
                self.dense_backward(x, weight, bias, gy, gx)
            }
            Backward::Dropout { stream, gy, gx } => {
                self.dropout(stream, self.at(gy), self.at(gx.view), gx.accumulate);
            }
            Backward::DropPath { stream, depth, gy, gx } => {
                let kept = self.draw(Draw::Kept { stream, depth });
                let (c, row) = (gy.channels, self.row(gy));
                let (gy, to) = (self.at(gy), self.at(gx.view));
                self.scale("scale_images", gy, kept, to, c, row, gx.accumulate);
            }
            Backward::Shift { gy, gx } => self.shift(gy, self.at(gx.view), true, gx.accumulate),
            Backward::Shuffle { groups, gy, gx } => {
                let groups = gy.channels / groups;
                self.shuffle(groups, gy, self.at(gx.view), gx.accumulate);
            }
            Backward::Store { gx } => {
                let row = gx.channels * self.plan.area(gx);
                let to = Self::whole(Place::ImageGradient, n * row);
                self.store(self.at(gx), to, row, true);
            }
        }
    }

    /// A gradient that depends on a value and the gradient of the same place.
    fn gated(&mut self, kernel: &'static str, value: View, gy: View, gx: Target) {
        let (value, gy, to) = (self.at(value), self.at(gy), self.at(gx.view));
        let args = [value.into(), gy.into(), to.into(), len(to), gx.accumulate.into()];
        self.launch(kernel, flat(to.len), &args);
    }

    /// The gradient of one factor, given the other.
    fn factor_gradient(&mut self, other: View, gy: View, gx: Target) {
        let (own, area) = (self.plan.area(gx.view), self.plan.area(gy));
        if own < area {
            let both = [self.at(gy), self.at(other)];
            self.dot(both, false, 1.0, self.at(gx.view), gy.channels, area, gx.accumulate);
        } else {
            self.multiply(gy, other, self.at(gx.view), area, gx.accumulate);
        }
    }

    fn max_pool_backward(&mut self, window: &Window, x: View, gy: View, gx: Target) {
        let (c, n) = (x.channels, self.n);
        let (outputs, inputs) = (self.row(gy), self.row(x));
        let winners = self.scratch(c * outputs);
        let sizes = [window.into(), n.into(), c.into()];
        let operands = [self.at(x).into(), None.into(), winners.into()];
        self.launch("max_pool", rows(c, outputs), &[&sizes[..], &operands].concat());
        let (gy, to) = (self.at(gy), self.at(gx.view));
        let operands = [winners.into(), gy.into(), to.into(), gx.accumulate.into()];
        self.launch("max_pool_backward", rows(c, inputs), &[&sizes[..], &operands].concat());
    }

    fn dense_backward(
        &mut self,
        x: View,
        weight: Slot,
        bias: Option<Slot>,
        gy: View,
        gx: Option<Target>,
    ) {
        let (n, inputs, outputs) = (self.n, x.channels, gy.channels);
        let (x, gy) = (self.at(x), self.at(gy));
        if let Some(gx) = gx {
            let a = Matrix::of(self.weight(weight), inputs).transposed();
            let (b, c) = (Matrix::of(gy, n), Matrix::of(self.at(gx.view), n));
            let accumulate = gx.accumulate;
            self.product(Product { m: inputs, n, k: outputs, batch: 1, a, b, c, accumulate });
        }
        let (a, b) = (Matrix::of(gy, n), Matrix::of(x, n).transposed());
        let c = Matrix::of(Self::gradient(weight), inputs);
        let [m, k] = [outputs, n];
        self.product(Product { m, n: inputs, k, batch: 1, a, b, c, accumulate: true });
        if let Some(bias) = bias {
            let args = [gy.into(), Self::gradient(bias).into(), outputs.into(), n.into()];
            let grid = [outputs.div_ceil(BLOCK / WARP), 1];
            self.launch("add_row_sums", [grid, [WARP, BLOCK / WARP]], &args);
        }
    }
}
