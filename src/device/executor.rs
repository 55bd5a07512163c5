//! Runs plans on the processor: each step is one call of a kernel on slices of the arena.

use rand::RngCore;

use crate::plan::{Backward, Forward, Output, Plan, Slot, Target, View};
use crate::rng::{Pcg64, Purpose, derive, stream};

use super::arena::borrow;
use super::cpu::pages::zeros;
use super::cpu::{GroupSizes, Kernels};
use super::{BackwardPass, Device, ForwardPass, RunConfig, Statistics};

/// The processor. Work is split over the threads of the current rayon pool.
///
/// # Determinism
/// Results have the same bits for any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    kernels: Kernels,
}

impl Cpu {
    /// With the kernels of a given instruction set.
    pub fn new(kernels: Kernels) -> Cpu {
        Cpu { kernels }
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Cpu::new(Kernels::detect())
    }
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// Memory of a run on [`Cpu`].
#[derive(Debug, Default)]
pub struct CpuWorkspace {
    /// Values and gradients, where the plan places them. Longer than needed while a smaller batch runs.
    arena: Vec<f32>,
    /// Means and inverse deviations of batch normalizations.
    fixed: Vec<f32>,
}

impl CpuWorkspace {
    /// Bytes held, but for the one cache line that the arena is longer so that it can start on one.
    pub fn bytes(&self) -> usize {
        (self.arena.len().saturating_sub(LINE) + self.fixed.len()) * size_of::<f32>()
    }

    /// What a view holds after a pass over `batch` images, `[C, H, W, N]`: its own values for as long as the
    /// plan has a use for them.
    ///
    /// # Panics
    /// If the workspace was not prepared for the plan and the batch.
    pub fn values(&mut self, plan: &Plan, view: View, batch: usize) -> &[f32] {
        &self.parts().0[plan.range(view, batch)]
    }

    /// The arena from its first whole cache line on, and the fixed part: at batches of whole vectors, every
    /// vector of the arena is then in one line.
    fn parts(&mut self) -> (&mut [f32], &mut [f32]) {
        let start = self.arena.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        (self.arena.get_mut(start..).unwrap_or_default(), &mut self.fixed)
    }
}

impl Device for Cpu {
    type Workspace = CpuWorkspace;

    fn prepare(&self, plan: &Plan, batch: usize, workspace: &mut CpuWorkspace) {
        let grow = |numbers: &mut Vec<f32>, len: usize| {
            if numbers.len() < len {
                // Nothing in it is worth copying, so the old memory goes first. The system zeroes the new
                // page by page, when it is first touched.
                *numbers = Vec::new();
                *numbers = zeros(len);
            }
        };
        grow(&mut workspace.arena, plan.arena_len * batch + LINE);
        grow(&mut workspace.fixed, plan.fixed_len);
    }

    fn forward(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: ForwardPass<'_>,
    ) {
        self.forward_stepwise(plan, workspace, config, pass, &mut |_| ());
    }

    fn backward(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
    ) {
        self.backward_stepwise(plan, workspace, config, pass, &mut |_| ());
    }
}

impl Cpu {
    /// [`Device::forward`] that calls `after` when a step is done, with the step's index in
    /// [`Plan::forward`]: for profiles.
    ///
    /// # Panics
    /// As [`Device::forward`].
    pub fn forward_stepwise(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        mut pass: ForwardPass<'_>,
        after: &mut (dyn FnMut(usize) + Send),
    ) {
        let n = pass.batch;
        assert_eq!(pass.image.len(), n * plan.image.elements(), "length of the image");
        assert_eq!(pass.logits.len(), n * plan.classes, "length of the logits");
        let aux = pass.aux.as_ref().map(|aux| aux.len());
        assert_eq!(aux, plan.aux_classes.map(|classes| n * classes), "length of the aux logits");
        assert_eq!(pass.params.len(), plan.params_len, "length of the parameters");
        let run = Run { kernels: self.kernels, plan, config, n };
        in_pool(|| {
            for (index, step) in plan.forward.iter().enumerate() {
                run.forward(&step.kernel, workspace, &mut pass);
                after(index);
            }
        });
    }

    /// [`Device::backward`] that calls `after` when a step is done, with the step's index in
    /// [`Plan::backward`]: for profiles.
    ///
    /// # Panics
    /// As [`Device::backward`].
    pub fn backward_stepwise(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        mut pass: BackwardPass<'_>,
        after: &mut (dyn FnMut(usize) + Send),
    ) {
        assert_eq!(pass.logits.len(), pass.batch * plan.classes, "length of the logits");
        assert_eq!(pass.params.len(), plan.params_len, "length of the parameters");
        assert_eq!(pass.gradients.len(), plan.params_len, "length of the gradients");
        let run = Run { kernels: self.kernels, plan, config, n: pass.batch };
        in_pool(|| {
            for (index, step) in plan.backward.iter().enumerate() {
                run.backward(&step.kernel, workspace, &mut pass);
                after(index);
            }
        });
    }
}

/// Runs a pass on a thread of the pool, where a kernel that splits its work wakes no thread that is awake
/// already and waits for none to take it over.
fn in_pool(pass: impl FnOnce() + Send) {
    rayon::scope(|_| pass());
}

/// Which of a mix's two draws.
#[derive(Clone, Copy)]
enum Direction {
    Forward = 0,
    Backward = 1,
}

/// What all steps of a pass share.
struct Run<'a> {
    kernels: Kernels,
    plan: &'a Plan,
    config: &'a RunConfig,
    n: usize,
}

impl Run<'_> {
    fn seed(&self, stream: u64) -> u64 {
        derive(self.config.dropout_seed, Purpose::Dropout, stream)
    }

    /// The shares of a mix's first operand, one an image, for a direction.
    fn shares(&self, node: u64, direction: Direction) -> Vec<f32> {
        let mut rng = stream(self.config.dropout_seed, Purpose::Mix, 2 * node + direction as u64);
        (0..self.n).map(|_| unit(&mut rng)).collect()
    }

    /// What a drop-path node multiplies each image by: 0, or what keeps the mean as it is.
    fn kept(&self, node: u64, depth: [usize; 2]) -> Vec<f32> {
        let keep = self.config.drop_path_keep(depth);
        let mut rng = stream(self.config.dropout_seed, Purpose::DropPath, node);
        let draw = |_| if unit(&mut rng) < keep { 1.0 / keep } else { 0.0 };
        (0..self.n).map(draw).collect()
    }

    /// The sizes of a normalization of single images.
    fn group_sizes(&self, x: View, groups: usize) -> GroupSizes {
        GroupSizes { n: self.n, c: x.channels, area: self.plan.area(x), groups }
    }

    /// Numbers in one channel of a view.
    fn row(&self, view: View) -> usize {
        self.n * self.plan.area(view)
    }

    /// Slices of the arena for the views that a step reads and writes.
    fn slices<'a, const R: usize, const W: usize>(
        &self,
        arena: &'a mut [f32],
        reads: [View; R],
        writes: [View; W],
    ) -> ([&'a [f32]; R], [&'a mut [f32]; W]) {
        let range = |view| self.plan.range(view, self.n);
        borrow(arena, reads.map(range), writes.map(range))
    }

    fn forward(&self, kernel: &Forward, workspace: &mut CpuWorkspace, pass: &mut ForwardPass<'_>) {
        let (k, n) = (&self.kernels, self.n);
        let (arena, fixed) = workspace.parts();
        let param = |slot: Slot| &pass.params[slot.range()];
        match *kernel {
            Forward::Load { y } => {
                let ([], [y_]) = self.slices(arena, [], [y]);
                k.nchw_to_chwn(n, y.channels * self.plan.area(y), pass.image, y_);
            }
            Forward::Conv { window, groups, x, relu_in, weight, y } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                let (ci, co, weight) = (x.channels, y.channels, param(weight));
                k.grouped_conv_forward(&window, n, ci, co, groups, x_, weight, relu_in, y_);
            }
            Forward::DepthwiseConv { window, x, relu_in, weight, y } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                k.dwconv_forward(&window, n, x.channels, x_, param(weight), relu_in, y_);
            }
            Forward::BatchNorm {
                x,
                gamma,
                beta,
                running_mean,
                running_var,
                saved,
                fixed: is_fixed,
                y,
            } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                let (c, row, eps) = (x.channels, self.row(x), self.config.bn_eps);
                let (gamma, beta) = (param(gamma), param(beta));
                match &mut pass.statistics {
                    Statistics::Update(running) if is_fixed => {
                        let rm = &running[running_mean.range()];
                        let rv = &running[running_var.range()];
                        k.bn_forward_eval(c, row, x_, gamma, beta, rm, rv, eps, y_);
                        let saved = saved.expect("a plan for inference does not update statistics");
                        let (mean, inv_std) = fixed[saved.range()].split_at_mut(c);
                        k.bn_keep_running(rm, rv, eps, mean, inv_std);
                    }
                    Statistics::Update(running) => {
                        let saved = saved.expect("a plan for inference does not update statistics");
                        let (mean, inv_std) = fixed[saved.range()].split_at_mut(c);
                        k.bn_forward_train(c, row, x_, gamma, beta, eps, y_, mean, inv_std);
                        let slots = [running_mean.range(), running_var.range()];
                        let ([], [rm, rv]) = borrow(running, [], slots);
                        let momentum = self.config.bn_momentum;
                        k.bn_update_running(mean, inv_std, eps, row, momentum, rm, rv);
                    }
                    Statistics::Running(running) => {
                        let rm = &running[running_mean.range()];
                        let rv = &running[running_var.range()];
                        k.bn_forward_eval(c, row, x_, gamma, beta, rm, rv, eps, y_);
                    }
                }
            }
            Forward::GroupNorm { groups, x, gamma, beta, moments, y } => {
                let ([x_], [moments, y_]) = self.slices(arena, [x], [moments, y]);
                let (sizes, eps) = (self.group_sizes(x, groups), self.config.bn_eps);
                k.group_norm_forward(sizes, x_, param(gamma), param(beta), eps, moments, y_);
            }
            Forward::Relu { x, y } => {
                let ([x], [y]) = self.slices(arena, [x], [y]);
                k.relu_forward(x, y);
            }
            Forward::Relu6 { x, y } => {
                let ([x], [y]) = self.slices(arena, [x], [y]);
                k.relu6_forward(x, y);
            }
            Forward::Sigmoid { x, y } => {
                let ([x], [y]) = self.slices(arena, [x], [y]);
                k.sigmoid_forward(x, y);
            }
            Forward::Add { a, b, y } => {
                let ([a, b], [y]) = self.slices(arena, [a, b], [y]);
                k.add_forward(a, b, y);
            }
            Forward::Mul { a, b, y } => {
                let ([a_, b_], [y_]) = self.slices(arena, [a, b], [y]);
                let (area_a, area_b) = (self.plan.area(a), self.plan.area(b));
                k.mul_forward(y.channels, n, area_a, area_b, a_, b_, y_);
            }
            Forward::Copy { x, y } => {
                let ([x], [y]) = self.slices(arena, [x], [y]);
                k.copy_or_add(x, y, false);
            }
            Forward::Mix { stream, a, b, y } => {
                let shares = match pass.statistics {
                    Statistics::Update(_) => self.shares(stream, Direction::Forward),
                    Statistics::Running(_) => vec![0.5; n],
                };
                let ([a, b], [y_]) = self.slices(arena, [a, b], [y]);
                k.mix_forward(self.plan.area(y), &shares, a, b, y_);
            }
            Forward::Zero { y } => {
                let ([], [y]) = self.slices(arena, [], [y]);
                y.fill(0.0);
            }
            Forward::MaxPool { window, x, y } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                k.maxpool_forward(&window, n, x.channels, x_, y_);
            }
            Forward::AvgPool { window, x, y } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                k.avgpool_forward(&window, n, x.channels, x_, y_);
            }
            Forward::GlobalAvgPool { x, y } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                k.gap_forward(x.channels, n, self.plan.area(x), x_, y_);
            }
            Forward::Dense { x, weight, bias, y } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                let (weight, bias) = (param(weight), bias.map(param));
                k.dense_forward(n, x.channels, y.channels, x_, weight, bias, y_);
            }
            Forward::Dropout { stream, x, y } => {
                let ([x], [y]) = self.slices(arena, [x], [y]);
                match pass.statistics {
                    Statistics::Update(_) => {
                        k.dropout_forward(self.config.dropout, self.seed(stream), x, y);
                    }
                    Statistics::Running(_) => k.copy_or_add(x, y, false),
                }
            }
            Forward::DropPath { stream, depth, x, y } => {
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                match pass.statistics {
                    Statistics::Update(_) => {
                        let kept = self.kept(stream, depth);
                        k.scale_images(self.plan.area(x), &kept, x_, y_, false);
                    }
                    Statistics::Running(_) => k.copy_or_add(x_, y_, false),
                }
            }
            Forward::Shift { x, y } => {
                let [height, width] = self.plan.size(x);
                let ([x_], [y_]) = self.slices(arena, [x], [y]);
                k.shift_forward(n, x.channels, height, width, x_, y_);
            }
            Forward::Shuffle { groups, x, y } => {
                let ([x_], [y]) = self.slices(arena, [x], [y]);
                k.shuffle(groups, x.channels, self.row(x), x_, y, false);
            }
            Forward::Store { output, x } => {
                let ([x_], []) = self.slices(arena, [x], []);
                let to = match output {
                    Output::Logits => &mut *pass.logits,
                    Output::Aux => pass.aux.as_deref_mut().expect("checked in `Cpu::forward`"),
                };
                k.chwn_to_nchw(n, x.channels * self.plan.area(x), x_, to);
            }
        }
    }

    fn backward(
        &self,
        kernel: &Backward,
        workspace: &mut CpuWorkspace,
        pass: &mut BackwardPass<'_>,
    ) {
        let (k, n) = (&self.kernels, self.n);
        let (arena, fixed) = workspace.parts();
        let param = |slot: Slot| &pass.params[slot.range()];
        match *kernel {
            Backward::Load { output, gy } => {
                let ([], [gy_]) = self.slices(arena, [], [gy.view]);
                let from = match output {
                    Output::Logits => pass.logits,
                    Output::Aux => pass.aux.expect("the plan has auxiliary logits"),
                };
                // Mostly a few numbers an image, so a plain loop, which can also add.
                let row = gy.view.channels * self.plan.area(gy.view);
                for (i, place) in gy_.chunks_exact_mut(n).enumerate() {
                    for (g, &add) in place.iter_mut().zip(from[i..].iter().step_by(row)) {
                        *g = if gy.accumulate { *g + add } else { add };
                    }
                }
            }
            Backward::Zero { gx } => {
                let ([], [gx]) = self.slices(arena, [], [gx]);
                gx.fill(0.0);
            }
            Backward::ConvData { window, groups, mask, weight, gy, gx } => {
                let ([mask_, gy_], [gx_]) = self.slices(arena, [mask.unwrap_or(gy), gy], [gx.view]);
                let (ci, co, weight) = (gx.view.channels, gy.channels, param(weight));
                let (relu_in, acc) = (mask.is_some(), gx.accumulate);
                k.grouped_conv_backward_data(
                    &window, n, ci, co, groups, mask_, weight, relu_in, gy_, gx_, acc,
                );
            }
            Backward::ConvWeight { window, groups, x, relu_in, gy, weight } => {
                let ([x_, gy_], []) = self.slices(arena, [x, gy], []);
                let (ci, co) = (x.channels, gy.channels);
                let to = &mut pass.gradients[weight.range()];
                k.grouped_conv_backward_weight(&window, n, ci, co, groups, x_, relu_in, gy_, to);
            }
            Backward::DepthwiseData { window, mask, weight, gy, gx } => {
                let ([mask_, gy_], [gx_]) = self.slices(arena, [mask.unwrap_or(gy), gy], [gx.view]);
                let (c, weight) = (gy.channels, param(weight));
                let (relu_in, acc) = (mask.is_some(), gx.accumulate);
                k.dwconv_backward_data(&window, n, c, mask_, weight, relu_in, gy_, gx_, acc);
            }
            Backward::DepthwiseWeight { window, x, relu_in, gy, weight } => {
                let ([x_, gy_], []) = self.slices(arena, [x, gy], []);
                let gweight = &mut pass.gradients[weight.range()];
                k.dwconv_backward_weight(&window, n, x.channels, x_, relu_in, gy_, gweight);
            }
            Backward::BatchNorm { x, gamma, saved, fixed: true, gy, gx, .. } => {
                let ([gy_], [gx_]) = self.slices(arena, [gy], [gx.view]);
                let (c, row, acc) = (x.channels, self.row(x), gx.accumulate);
                let (_, inv_std) = fixed[saved.range()].split_at(c);
                k.bn_backward_eval(c, row, gy_, param(gamma), inv_std, gx_, acc);
            }
            Backward::BatchNorm { x, gamma, beta, saved, fixed: false, gy, gx } => {
                let ([x_, gy_], [gx_]) = self.slices(arena, [x, gy], [gx.view]);
                let (c, row, acc) = (x.channels, self.row(x), gx.accumulate);
                let (mean, inv_std) = fixed[saved.range()].split_at(c);
                let slots = [gamma.range(), beta.range()];
                let ([], [ggamma, gbeta]) = borrow(pass.gradients, [], slots);
                let gamma = param(gamma);
                k.bn_backward(c, row, x_, gy_, gamma, mean, inv_std, gx_, acc, ggamma, gbeta);
            }
            Backward::GroupNorm { groups, x, gamma, beta, moments, gy, gx } => {
                let reads = [x, gy, moments];
                let ([x_, gy_, moments], [gx_]) = self.slices(arena, reads, [gx.view]);
                let (sizes, acc) = (self.group_sizes(x, groups), gx.accumulate);
                let slots = [gamma.range(), beta.range()];
                let ([], [ggamma, gbeta]) = borrow(pass.gradients, [], slots);
                let gamma = param(gamma);
                k.group_norm_backward(sizes, x_, gy_, gamma, moments, gx_, acc, ggamma, gbeta);
            }
            Backward::Relu { x, gy, gx } => {
                let ([x, gy], [gx_]) = self.slices(arena, [x, gy], [gx.view]);
                k.relu_backward(x, gy, gx_, gx.accumulate);
            }
            Backward::Relu6 { x, gy, gx } => {
                let ([x, gy], [gx_]) = self.slices(arena, [x, gy], [gx.view]);
                k.relu6_backward(x, gy, gx_, gx.accumulate);
            }
            Backward::Sigmoid { y, gy, gx } => {
                let ([y, gy], [gx_]) = self.slices(arena, [y, gy], [gx.view]);
                k.sigmoid_backward(y, gy, gx_, gx.accumulate);
            }
            Backward::Copy { gy, gx } => {
                let ([gy], [gx_]) = self.slices(arena, [gy], [gx.view]);
                k.copy_or_add(gy, gx_, gx.accumulate);
            }
            Backward::Mix { stream, is_first, gy, gx } => {
                let mut shares = self.shares(stream, Direction::Backward);
                if !is_first {
                    shares.iter_mut().for_each(|share| *share = 1.0 - *share);
                }
                let ([gy_], [gx_]) = self.slices(arena, [gy], [gx.view]);
                k.scale_images(self.plan.area(gy), &shares, gy_, gx_, gx.accumulate);
            }
            Backward::Mul { a, b, gy, ga, gb } => self.mul_backward(arena, a, b, gy, ga, gb),
            Backward::MaxPool { window, x, gy, gx } => {
                let ([x_, gy], [gx_]) = self.slices(arena, [x, gy], [gx.view]);
                k.maxpool_backward(&window, n, x.channels, x_, gy, gx_, gx.accumulate);
            }
            Backward::AvgPool { window, gy, gx } => {
                let ([gy_], [gx_]) = self.slices(arena, [gy], [gx.view]);
                k.avgpool_backward(&window, n, gy.channels, gy_, gx_, gx.accumulate);
            }
            Backward::GlobalAvgPool { gy, gx } => {
                let ([gy_], [gx_]) = self.slices(arena, [gy], [gx.view]);
                let area = self.plan.area(gx.view);
                k.gap_backward(gy.channels, n, area, gy_, gx_, gx.accumulate);
            }
            Backward::Dense { x, weight, bias, gy, gx } => {
                let (gweight, gbias) = match bias {
                    Some(bias) => {
                        let slots = [weight.range(), bias.range()];
                        let ([], [gweight, gbias]) = borrow(pass.gradients, [], slots);
                        (gweight, Some(gbias))
                    }
                    None => (&mut pass.gradients[weight.range()], None),
                };
                let (weight, inputs, outputs) = (param(weight), x.channels, gy.channels);
                if let Some(gx) = gx {
                    let ([x, gy], [gx_]) = self.slices(arena, [x, gy], [gx.view]);
                    let gx = Some((gx_, gx.accumulate));
                    k.dense_backward(n, inputs, outputs, x, weight, gy, gx, gweight, gbias);
                } else {
                    let ([x, gy], []) = self.slices(arena, [x, gy], []);
                    k.dense_backward(n, inputs, outputs, x, weight, gy, None, gweight, gbias);
                }
            }
            Backward::Dropout { stream, gy, gx } => {
                let ([gy], [gx_]) = self.slices(arena, [gy], [gx.view]);
                let (rate, seed) = (self.config.dropout, self.seed(stream));
                k.dropout_backward(rate, seed, gy, gx_, gx.accumulate);
            }
            Backward::DropPath { stream, depth, gy, gx } => {
                let kept = self.kept(stream, depth);
                let ([gy_], [gx_]) = self.slices(arena, [gy], [gx.view]);
                k.scale_images(self.plan.area(gy), &kept, gy_, gx_, gx.accumulate);
            }
            Backward::Shift { gy, gx } => {
                let [height, width] = self.plan.size(gy);
                let ([gy_], [gx_]) = self.slices(arena, [gy], [gx.view]);
                k.shift_backward(n, gy.channels, height, width, gy_, gx_, gx.accumulate);
            }
            Backward::Shuffle { groups, gy, gx } => {
                let ([gy_], [gx_]) = self.slices(arena, [gy], [gx.view]);
                let (c, row) = (gy.channels, self.row(gy));
                k.shuffle(c / groups, c, row, gy_, gx_, gx.accumulate);
            }
            Backward::Store { gx } => {
                let ([gx_], []) = self.slices(arena, [gx], []);
                let to = pass.image.as_deref_mut().expect("the plan computes the image's gradient");
                add_to_nchw(n, gx_, to);
            }
        }
    }

    fn mul_backward(
        &self,
        arena: &mut [f32],
        a: View,
        b: View,
        gy: View,
        ga: Option<Target>,
        gb: Option<Target>,
    ) {
        let (c, n) = (gy.channels, self.n);
        let (area_a, area_b) = (self.plan.area(a), self.plan.area(b));
        let reads = [a, b, gy];
        match (ga, gb) {
            (Some(ga), Some(gb)) => {
                let ([a, b, gy], [ga_, gb_]) = self.slices(arena, reads, [ga.view, gb.view]);
                let (ga, gb) = (Some((ga_, ga.accumulate)), Some((gb_, gb.accumulate)));
                self.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, ga, gb);
            }
            (Some(ga), None) => {
                let ([a, b, gy], [ga_]) = self.slices(arena, reads, [ga.view]);
                let ga = Some((ga_, ga.accumulate));
                self.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, ga, None);
            }
            (None, Some(gb)) => {
                let ([a, b, gy], [gb_]) = self.slices(arena, reads, [gb.view]);
                let gb = Some((gb_, gb.accumulate));
                self.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, None, gb);
            }
            (None, None) => {}
        }
    }
}

/// A number from 0 up to, but without, 1, with all 24 bits that such a number can have.
fn unit(rng: &mut Pcg64) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
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
