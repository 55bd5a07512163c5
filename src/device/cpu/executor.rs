//! Runs plans on the processor: each step is one call of a kernel on slices of the arena.

use rand::RngCore;

use std::ops::Range;

use crate::plan::{Backward, Forward, Group, Output, Plan, Saved, Slot, Target, View};
use crate::rng::{Pcg64, Purpose, derive, stream};
use rayon::prelude::*;

use super::memory::Memory;
use super::pages::zeros;
use super::threads::min_tiles;
use super::{GroupSizes, Kernels};
use crate::device::{BackwardPass, Device, ForwardPass, RunConfig, Statistics};

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
        let run = ForwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for group in &plan.forward_groups {
                let steps = &plan.forward[group.steps.clone()];
                run.shared.in_blocks(group, |channels| {
                    for step in steps {
                        match channels {
                            Some(channels) => {
                                run.step(&step.kernel.of_channels(channels).expect(CHANNELWISE));
                            }
                            None => run.step(&step.kernel),
                        }
                    }
                });
            }
        });
    }

    fn backward(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
    ) {
        let run = BackwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for group in &plan.backward_groups {
                let steps = &plan.backward[group.steps.clone()];
                run.shared.in_blocks(group, |channels| {
                    for step in steps {
                        match channels {
                            Some(channels) => {
                                run.step(&step.kernel.of_channels(channels).expect(CHANNELWISE));
                            }
                            None => run.step(&step.kernel),
                        }
                    }
                });
            }
        });
    }
}

const SAVED: &str = "a plan for inference does not update statistics";

const CHANNELWISE: &str = "a group of several steps has only such as treat channels on their own";

impl Cpu {
    /// [`Device::forward`] one step after the other, that calls `after` when one is done, with the step's
    /// index in [`Plan::forward`]: for profiles.
    ///
    /// # Panics
    /// As [`Device::forward`].
    pub fn forward_stepwise(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: ForwardPass<'_>,
        after: &mut (dyn FnMut(usize) + Send),
    ) {
        let run = ForwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for (index, step) in plan.forward.iter().enumerate() {
                run.step(&step.kernel);
                after(index);
            }
        });
    }

    /// [`Device::backward`] one step after the other, that calls `after` when one is done, with the step's
    /// index in [`Plan::backward`]: for profiles.
    ///
    /// # Panics
    /// As [`Device::backward`].
    pub fn backward_stepwise(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
        after: &mut (dyn FnMut(usize) + Send),
    ) {
        let run = BackwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for (index, step) in plan.backward.iter().enumerate() {
                run.step(&step.kernel);
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

/// What the steps of both passes share.
struct Run<'a> {
    kernels: Kernels,
    plan: &'a Plan,
    config: &'a RunConfig,
    n: usize,
    arena: Memory<'a>,
    /// Means and inverse deviations of batch normalizations.
    fixed: Memory<'a>,
    params: &'a [f32],
}

/// A forward pass.
struct ForwardRun<'a> {
    shared: Run<'a>,
    statistics: LentStatistics<'a>,
    image: &'a [f32],
    logits: Memory<'a>,
    aux: Option<Memory<'a>>,
}

/// [`Statistics`], lent to several channels at once.
enum LentStatistics<'a> {
    Update(Memory<'a>),
    Running(&'a [f32]),
}

/// A backward pass.
struct BackwardRun<'a> {
    shared: Run<'a>,
    logits: &'a [f32],
    aux: Option<&'a [f32]>,
    gradients: Memory<'a>,
    image: Option<Memory<'a>>,
}

/// Borrows parts of memory for a step.
fn lend<'a, const R: usize, const W: usize>(
    memory: Memory<'a>,
    reads: [Range<usize>; R],
    writes: [Range<usize>; W],
) -> ([&'a [f32]; R], [&'a mut [f32]; W]) {
    // SAFETY: a step drops its slices before the next one starts. Steps that run at the same time are those of
    // a group for channels that no two have in common: what they touch of the arena are these channels of
    // views, which are the same or apart (`plan::groups`), in buffers that do not share memory as long as the
    // group runs (`plan::buffers`); and of the other stores the slots of these channels.
    unsafe { memory.borrow(reads, writes) }
}

impl<'a> Run<'a> {
    fn new(
        cpu: Cpu,
        plan: &'a Plan,
        workspace: &'a mut CpuWorkspace,
        config: &'a RunConfig,
        n: usize,
        params: &'a [f32],
    ) -> Run<'a> {
        assert_eq!(params.len(), plan.params_len, "length of the parameters");
        let (arena, fixed) = workspace.parts();
        let (arena, fixed) = (Memory::new(arena), Memory::new(fixed));
        Run { kernels: cpu.kernels, plan, config, n, arena, fixed, params }
    }

    /// Calls `steps` for every block of a group's channels, or once if it is a single step.
    fn in_blocks(&self, group: &Group, steps: impl Fn(Option<&Range<usize>>) + Sync) {
        if group.steps.len() == 1 {
            return steps(None);
        }
        let (channels, at_once) = (group.channels, group.channels_at_once(self.n));
        let work = channels * group.area * self.n * group.steps.len();
        let blocks = (0..channels.div_ceil(at_once)).into_par_iter();
        blocks.with_min_len(min_tiles(work)).for_each(|block| {
            let first = block * at_once;
            steps(Some(&(first..channels.min(first + at_once))));
        });
    }

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

    fn param(&self, slot: Slot) -> &[f32] {
        &self.params[slot.range()]
    }

    /// Slices of the arena for the views that a step reads and writes.
    fn slices<const R: usize, const W: usize>(
        &self,
        reads: [View; R],
        writes: [View; W],
    ) -> ([&[f32]; R], [&mut [f32]; W]) {
        let range = |view| self.plan.range(view, self.n);
        lend(self.arena, reads.map(range), writes.map(range))
    }

    /// Where a batch normalization keeps its means and inverse deviations.
    fn saved_mut(&self, saved: Saved) -> [&mut [f32]; 2] {
        lend(self.fixed, [], [saved.mean.range(), saved.inv_std.range()]).1
    }

    /// What it has kept there.
    fn saved(&self, saved: Saved) -> [&[f32]; 2] {
        lend(self.fixed, [saved.mean.range(), saved.inv_std.range()], []).0
    }
}

impl<'a> ForwardRun<'a> {
    fn new(
        cpu: Cpu,
        plan: &'a Plan,
        workspace: &'a mut CpuWorkspace,
        config: &'a RunConfig,
        pass: ForwardPass<'a>,
    ) -> ForwardRun<'a> {
        let n = pass.batch;
        assert_eq!(pass.image.len(), n * plan.image.elements(), "length of the image");
        assert_eq!(pass.logits.len(), n * plan.classes, "length of the logits");
        let aux = pass.aux.as_ref().map(|aux| aux.len());
        assert_eq!(aux, plan.aux_classes.map(|classes| n * classes), "length of the aux logits");
        ForwardRun {
            shared: Run::new(cpu, plan, workspace, config, n, pass.params),
            statistics: match pass.statistics {
                Statistics::Update(running) => LentStatistics::Update(Memory::new(running)),
                Statistics::Running(running) => LentStatistics::Running(running),
            },
            image: pass.image,
            logits: Memory::new(pass.logits),
            aux: pass.aux.map(Memory::new),
        }
    }

    fn step(&self, kernel: &Forward) {
        let run = &self.shared;
        let (k, n) = (&run.kernels, run.n);
        let param = |slot| run.param(slot);
        match *kernel {
            Forward::Load { y } => {
                let ([], [y_]) = run.slices([], [y]);
                k.nchw_to_chwn(n, y.channels * run.plan.area(y), self.image, y_);
            }
            Forward::Conv { window, groups, x, relu_in, weight, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                let (ci, co, weight) = (x.channels, y.channels, param(weight));
                k.grouped_conv_forward(&window, n, ci, co, groups, x_, weight, relu_in, y_);
            }
            Forward::DepthwiseConv { window, x, relu_in, weight, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
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
                let ([x_], [y_]) = run.slices([x], [y]);
                let (c, row, eps) = (x.channels, run.row(x), run.config.bn_eps);
                let (gamma, beta) = (param(gamma), param(beta));
                match self.statistics {
                    LentStatistics::Update(running) if is_fixed => {
                        let slots = [running_mean.range(), running_var.range()];
                        let ([rm, rv], []) = lend(running, slots, []);
                        k.bn_forward_eval(c, row, x_, gamma, beta, rm, rv, eps, y_);
                        let [mean, inv_std] = run.saved_mut(saved.expect(SAVED));
                        k.bn_keep_running(rm, rv, eps, mean, inv_std);
                    }
                    LentStatistics::Update(running) => {
                        let [mean, inv_std] = run.saved_mut(saved.expect(SAVED));
                        k.bn_forward_train(c, row, x_, gamma, beta, eps, y_, mean, inv_std);
                        let slots = [running_mean.range(), running_var.range()];
                        let ([], [rm, rv]) = lend(running, [], slots);
                        let momentum = run.config.bn_momentum;
                        k.bn_update_running(mean, inv_std, eps, row, momentum, rm, rv);
                    }
                    LentStatistics::Running(running) => {
                        let rm = &running[running_mean.range()];
                        let rv = &running[running_var.range()];
                        k.bn_forward_eval(c, row, x_, gamma, beta, rm, rv, eps, y_);
                    }
                }
            }
            Forward::GroupNorm { groups, x, gamma, beta, moments, y } => {
                let ([x_], [moments, y_]) = run.slices([x], [moments, y]);
                let (sizes, eps) = (run.group_sizes(x, groups), run.config.bn_eps);
                k.group_norm_forward(sizes, x_, param(gamma), param(beta), eps, moments, y_);
            }
            Forward::Relu { x, y } => {
                let ([x], [y]) = run.slices([x], [y]);
                k.relu_forward(x, y);
            }
            Forward::Relu6 { x, y } => {
                let ([x], [y]) = run.slices([x], [y]);
                k.relu6_forward(x, y);
            }
            Forward::Sigmoid { x, y } => {
                let ([x], [y]) = run.slices([x], [y]);
                k.sigmoid_forward(x, y);
            }
            Forward::Add { a, b, y } => {
                let ([a, b], [y]) = run.slices([a, b], [y]);
                k.add_forward(a, b, y);
            }
            Forward::Mul { a, b, y } => {
                let ([a_, b_], [y_]) = run.slices([a, b], [y]);
                let (area_a, area_b) = (run.plan.area(a), run.plan.area(b));
                k.mul_forward(y.channels, n, area_a, area_b, a_, b_, y_);
            }
            Forward::Copy { x, y } => {
                let ([x], [y]) = run.slices([x], [y]);
                k.copy_or_add(x, y, false);
            }
            Forward::Mix { stream, a, b, y } => {
                let shares = match self.statistics {
                    LentStatistics::Update(_) => run.shares(stream, Direction::Forward),
                    LentStatistics::Running(_) => vec![0.5; n],
                };
                let ([a, b], [y_]) = run.slices([a, b], [y]);
                k.mix_forward(run.plan.area(y), &shares, a, b, y_);
            }
            Forward::Zero { y } => {
                let ([], [y]) = run.slices([], [y]);
                y.fill(0.0);
            }
            Forward::MaxPool { window, x, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                k.maxpool_forward(&window, n, x.channels, x_, y_);
            }
            Forward::AvgPool { window, x, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                k.avgpool_forward(&window, n, x.channels, x_, y_);
            }
            Forward::GlobalAvgPool { x, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                k.gap_forward(x.channels, n, run.plan.area(x), x_, y_);
            }
            Forward::Dense { x, weight, bias, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                let (weight, bias) = (param(weight), bias.map(param));
                k.dense_forward(n, x.channels, y.channels, x_, weight, bias, y_);
            }
            Forward::Dropout { stream, x, y } => {
                let ([x], [y]) = run.slices([x], [y]);
                match self.statistics {
                    LentStatistics::Update(_) => {
                        k.dropout_forward(run.config.dropout, run.seed(stream), x, y);
                    }
                    LentStatistics::Running(_) => k.copy_or_add(x, y, false),
                }
            }
            Forward::DropPath { stream, depth, x, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                match self.statistics {
                    LentStatistics::Update(_) => {
                        let kept = run.kept(stream, depth);
                        k.scale_images(run.plan.area(x), &kept, x_, y_, false);
                    }
                    LentStatistics::Running(_) => k.copy_or_add(x_, y_, false),
                }
            }
            Forward::Shift { x, y } => {
                let [height, width] = run.plan.size(x);
                let ([x_], [y_]) = run.slices([x], [y]);
                k.shift_forward(n, x.channels, height, width, x_, y_);
            }
            Forward::Shuffle { groups, x, y } => {
                let ([x_], [y]) = run.slices([x], [y]);
                k.shuffle(groups, x.channels, run.row(x), x_, y, false);
            }
            Forward::Store { output, x } => {
                let ([x_], []) = run.slices([x], []);
                let to = match output {
                    Output::Logits => self.logits,
                    Output::Aux => self.aux.expect("checked in `ForwardRun::new`"),
                };
                let len = n * x.channels * run.plan.area(x);
                let ([], [to]) = lend(to, [], [Slot { offset: 0, len }.range()]);
                k.chwn_to_nchw(n, x.channels * run.plan.area(x), x_, to);
            }
        }
    }
}

impl<'a> BackwardRun<'a> {
    fn new(
        cpu: Cpu,
        plan: &'a Plan,
        workspace: &'a mut CpuWorkspace,
        config: &'a RunConfig,
        pass: BackwardPass<'a>,
    ) -> BackwardRun<'a> {
        assert_eq!(pass.logits.len(), pass.batch * plan.classes, "length of the logits");
        assert_eq!(pass.gradients.len(), plan.params_len, "length of the gradients");
        BackwardRun {
            shared: Run::new(cpu, plan, workspace, config, pass.batch, pass.params),
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

    fn step(&self, kernel: &Backward) {
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
                let (relu_in, acc) = (mask.is_some(), gx.accumulate);
                k.grouped_conv_backward_data(
                    &window, n, ci, co, groups, mask_, weight, relu_in, gy_, gx_, acc,
                );
            }
            Backward::ConvWeight { window, groups, x, relu_in, gy, weight } => {
                let ([x_, gy_], []) = run.slices([x, gy], []);
                let (ci, co) = (x.channels, gy.channels);
                let [to] = self.gradients([weight]);
                k.grouped_conv_backward_weight(&window, n, ci, co, groups, x_, relu_in, gy_, to);
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
                let mut shares = run.shares(stream, Direction::Backward);
                if !is_first {
                    shares.iter_mut().for_each(|share| *share = 1.0 - *share);
                }
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                k.scale_images(run.plan.area(gy), &shares, gy_, gx_, gx.accumulate);
            }
            Backward::Mul { a, b, gy, ga, gb } => run.mul_backward(a, b, gy, ga, gb),
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
                let (rate, seed) = (run.config.dropout, run.seed(stream));
                k.dropout_backward(rate, seed, gy, gx_, gx.accumulate);
            }
            Backward::DropPath { stream, depth, gy, gx } => {
                let kept = run.kept(stream, depth);
                let ([gy_], [gx_]) = run.slices([gy], [gx.view]);
                k.scale_images(run.plan.area(gy), &kept, gy_, gx_, gx.accumulate);
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
}

impl Run<'_> {
    fn mul_backward(&self, a: View, b: View, gy: View, ga: Option<Target>, gb: Option<Target>) {
        let (c, n) = (gy.channels, self.n);
        let (area_a, area_b) = (self.plan.area(a), self.plan.area(b));
        let reads = [a, b, gy];
        match (ga, gb) {
            (Some(ga), Some(gb)) => {
                let ([a, b, gy], [ga_, gb_]) = self.slices(reads, [ga.view, gb.view]);
                let (ga, gb) = (Some((ga_, ga.accumulate)), Some((gb_, gb.accumulate)));
                self.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, ga, gb);
            }
            (Some(ga), None) => {
                let ([a, b, gy], [ga_]) = self.slices(reads, [ga.view]);
                let ga = Some((ga_, ga.accumulate));
                self.kernels.mul_backward(c, n, area_a, area_b, a, b, gy, ga, None);
            }
            (None, Some(gb)) => {
                let ([a, b, gy], [gb_]) = self.slices(reads, [gb.view]);
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
