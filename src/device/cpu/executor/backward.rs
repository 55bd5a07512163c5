//! The steps of a backward pass.

use super::{Cpu, CpuWorkspace, Run, lend};
use crate::device::cpu::ConvSizes;
use crate::device::cpu::memory::Memory;
use crate::device::draws::{self, Direction};
use crate::device::{BackwardPass, RunConfig};
use crate::plan::{Backward, Output, Plan, Slot, Target, View};

/// A backward pass.
pub(super) struct BackwardRun<'a> {
    pub(super) shared: Run<'a>,
    logits: &'a [f32],
    aux: Option<&'a [f32]>,
    gradients: Memory<'a>,
    image: Option<Memory<'a>>,
}

impl<'a> BackwardRun<'a> {
    pub(super) fn new(
        cpu: Cpu,
        plan: &'a Plan,
        workspace: &'a mut CpuWorkspace,
        config: &'a RunConfig,
        pass: BackwardPass<'a>,
    ) -> BackwardRun<'a> {
        assert_eq!(pass.logits.len(), pass.batch * plan.classes, "length of the logits");
        assert_eq!(pass.gradients.len(), plan.params_len, "length of the gradients");
        let (arena, fixed, _) = workspace.parts();
        BackwardRun {
            shared: Run::new(cpu, plan, [arena, fixed], config, pass.batch, pass.params),
            logits: pass.logits,
            aux: pass.aux,
            gradients: Memory::new(pass.gradients),
            image: pass.image.map(Memory::new),
        }
    }

    /// Where gradients of parameters are added.
    fn gradients<const W: usize>(&self, slots: [Slot; W]) -> [&mut [f32]; W] {
        lend(self.gradients, [], slots.map(Slot::range)).1
    }

    pub(super) fn step(&self, kernel: &Backward) {
        let run = &self.shared;
        let (k, n) = (&run.kernels, run.n);
        let param = |slot| run.param(slot);
        match *kernel {
            Backward::Load { output, gy } => {
                let ([], [gy_]) = run.slices([], [gy.view]);
                let from = match output {
                    Output::Logits => self.logits,
                    Output::Aux => self.aux.expect("the plan has auxiliary logits"),
                };
                // Mostly a few numbers an image, so a plain loop, which can also add.
                let row = gy.view.channels * run.plan.area(gy.view);
                for (i, place) in gy_.chunks_exact_mut(n).enumerate() {
                    for (g, &add) in place.iter_mut().zip(from[i..].iter().step_by(row)) {
                        *g = if gy.accumulate { *g + add } else { add };
                    }
                }
            }
            Backward::Zero { gx } => {
                let ([], [gx]) = run.slices([], [gx]);
                gx.fill(0.0);
            }
            Backward::ConvData { window, groups, mask, weight, gy, gx } => {
                let ([mask_, gy_], [gx_]) = run.slices([mask.unwrap_or(gy), gy], [gx.view]);
                let (ci, co, weight) = (gx.view.channels, gy.channels, param(weight));
                let sizes = ConvSizes { window: &window, n, ci, co, groups };
                let (relu_in, acc) = (mask.is_some(), gx.accumulate);
                k.conv_backward_data(sizes, mask_, weight, relu_in, gy_, gx_, acc);
            }
            Backward::ConvWeight { window, groups, x, relu_in, gy, weight } => {
                let ([x_, gy_], []) = run.slices([x, gy], []);
                let (ci, co) = (x.channels, gy.channels);
                let sizes = ConvSizes { window: &window, n, ci, co, groups };
                let [gweight] = self.gradients([weight]);
                k.conv_backward_weight(sizes, x_, relu_in, gy_, gweight);
            }
            Backward::DepthwiseData { window, mask, weight, gy, gx } => {
                let ([mask_, gy_], [gx_]) = run.slices([mask.unwrap_or(gy), gy], [gx.view]);
                let (c, weight) = (gy.channels, param(weight));
                let (relu_in, acc) = (mask.is_some(), gx.accumulate);
                k.dwconv_backward_data(&window, n, c, mask_, weight, relu_in, gy_, gx_, acc);
            }
            Backward::DepthwiseWeight { window, x, relu_in, gy, weight } => {
                let ([x_, gy_], []) = run.slices([x, gy], []);
                let [gweight] = self.gradients([weight]);
                k.dwconv_backward_weight(&window, n, x.channels, x_, relu_in, gy_, gweight);
            }
            Backward::BatchNorm { x, gamma, saved, fixed: true, gy, gx, .. } => {
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                let (c, row, acc) = (x.channels, run.row(x), gx.accumulate);
                let [_, inv_std] = run.saved(saved);
                k.bn_backward_eval(c, row, gy_, param(gamma), inv_std, gx_, acc);
            }
            Backward::BatchNorm { x, gamma, beta, saved, fixed: false, gy, gx } => {
                let ([x_, gy_], [gx_]) = run.slices([x, gy], [gx.view]);
                let (c, row, acc) = (x.channels, run.row(x), gx.accumulate);
                let [mean, inv_std] = run.saved(saved);
                let [ggamma, gbeta] = self.gradients([gamma, beta]);
                let gamma = param(gamma);
                k.bn_backward(c, row, x_, gy_, gamma, mean, inv_std, gx_, acc, ggamma, gbeta);
            }
            Backward::GroupNorm { groups, x, gamma, beta, moments, gy, gx } => {
                let reads = [x, gy, moments];
                let ([x_, gy_, moments], [gx_]) = run.slices(reads, [gx.view]);
                let (sizes, acc) = (run.group_sizes(x, groups), gx.accumulate);
                let [ggamma, gbeta] = self.gradients([gamma, beta]);
                let gamma = param(gamma);
                k.group_norm_backward(sizes, x_, gy_, gamma, moments, gx_, acc, ggamma, gbeta);
            }
            Backward::Relu { x, gy, gx } => {
                let ([x, gy], [gx_]) = run.slices([x, gy], [gx.view]);
                k.relu_backward(x, gy, gx_, gx.accumulate);
            }
            Backward::Relu6 { x, gy, gx } => {
                let ([x, gy], [gx_]) = run.slices([x, gy], [gx.view]);
                k.relu6_backward(x, gy, gx_, gx.accumulate);
            }
            Backward::Sigmoid { y, gy, gx } => {
                let ([y, gy], [gx_]) = run.slices([y, gy], [gx.view]);
                k.sigmoid_backward(y, gy, gx_, gx.accumulate);
            }
            Backward::Copy { gy, gx } => {
                let ([gy], [gx_]) = run.slices([gy], [gx.view]);
                k.copy_or_add(gy, gx_, gx.accumulate);
            }
            Backward::Mix { stream, is_first, gy, gx } => {
                let mut share = draws::shares(run.config, stream, Direction::Backward);
                let share = || if is_first { share() } else { 1.0 - share() };
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                run.with_images(share, |shares| {
                    k.scale_images(run.plan.area(gy), shares, gy_, gx_, gx.accumulate);
                });
            }
            Backward::Mul { a, b, gy, ga, gb } => self.mul_backward(a, b, gy, ga, gb),
            Backward::MaxPool { window, x, gy, gx } => {
                let ([x_, gy], [gx_]) = run.slices([x, gy], [gx.view]);
                k.maxpool_backward(&window, n, x.channels, x_, gy, gx_, gx.accumulate);
            }
            Backward::AvgPool { window, gy, gx } => {
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                k.avgpool_backward(&window, n, gy.channels, gy_, gx_, gx.accumulate);
            }
            Backward::GlobalAvgPool { gy, gx } => {
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                let area = run.plan.area(gx.view);
                k.gap_backward(gy.channels, n, area, gy_, gx_, gx.accumulate);
            }
            Backward::Dense { x, weight, bias, gy, gx } => {
                let (gweight, gbias) = match bias {
                    Some(bias) => {
                        let [gweight, gbias] = self.gradients([weight, bias]);
                        (gweight, Some(gbias))
                    }
                    None => (self.gradients([weight]).into_iter().next().expect("one"), None),
                };
                let (weight, inputs, outputs) = (param(weight), x.channels, gy.channels);
                if let Some(gx) = gx {
                    let ([x, gy], [gx_]) = run.slices([x, gy], [gx.view]);
                    let gx = Some((gx_, gx.accumulate));
                    k.dense_backward(n, inputs, outputs, x, weight, gy, gx, gweight, gbias);
                } else {
                    let ([x, gy], []) = run.slices([x, gy], []);
                    k.dense_backward(n, inputs, outputs, x, weight, gy, None, gweight, gbias);
                }
            }
            Backward::Dropout { stream, gy, gx } => {
                let ([gy], [gx_]) = run.slices([gy], [gx.view]);
                let (rate, seed) = (run.config.dropout, draws::seed(run.config, stream));
                k.dropout_backward(rate, seed, gy, gx_, gx.accumulate);
            }
            Backward::DropPath { stream, depth, gy, gx } => {
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                run.with_images(draws::kept(run.config, stream, depth), |kept| {
                    k.scale_images(run.plan.area(gy), kept, gy_, gx_, gx.accumulate);
                });
            }
            Backward::Shift { gy, gx } => {
                let [height, width] = run.plan.size(gy);
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                k.shift_backward(n, gy.channels, height, width, gy_, gx_, gx.accumulate);
            }
            Backward::Shuffle { groups, gy, gx } => {
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                let (c, row) = (gy.channels, run.row(gy));
                k.shuffle(c / groups, c, row, gy_, gx_, gx.accumulate);
            }
            Backward::Store { gx } => {
                let ([gx_], []) = run.slices([gx], []);
                let to = self.image.expect("the plan computes the image's gradient");
                let whole = Slot { offset: 0, len: gx_.len() };
                let ([], [to]) = lend(to, [], [whole.range()]);
                add_to_nchw(n, gx_, to);
            }
        }
    }

    fn mul_backward(&self, a: View, b: View, gy: View, ga: Option<Target>, gb: Option<Target>) {
        let run = &self.shared;
        let (c, n) = (gy.channels, run.n);
        let (area_a, area_b) = (run.plan.area(a), run.plan.area(b));
        let reads = [a, b, gy];
        match (ga, gb) {
            (Some(ga), Some(gb)) => {
                let ([a, b, gy], [ga_, gb_]) = run.slices(reads, [ga.view, gb.view]);
                let (ga, gb) = (Some((ga_, ga.accumulate)), Some((gb_, gb.accumulate)));
                run.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, ga, gb);
            }
            (Some(ga), None) => {
                let ([a, b, gy], [ga_]) = run.slices(reads, [ga.view]);
                let ga = Some((ga_, ga.accumulate));
                run.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, ga, None);
            }
            (None, Some(gb)) => {
                let ([a, b, gy], [gb_]) = run.slices(reads, [gb.view]);
                let gb = Some((gb_, gb.accumulate));
                run.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, None, gb);
            }
            (None, None) => {}
        }
    }
}

/// Adds `[C, H, W, N]` to `[N, C, H, W]`.
fn add_to_nchw(n: usize, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "length of the image's gradient");
    for (image, to) in to.chunks_exact_mut((from.len() / n).max(1)).enumerate() {
        for (to, from) in to.iter_mut().zip(from[image..].iter().step_by(n)) {
            *to += from;
        }
    }
}
