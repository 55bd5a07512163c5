//! The steps of a forward pass.

use super::kept::{Lent, Source};
use super::{Cpu, CpuWorkspace, Run, lend};
use crate::device::cpu::convolution::{ConvSizes, Filters};
use crate::device::cpu::memory::Memory;
use crate::device::cpu::scratch::with_scratch;
use crate::device::cpu::separable::{Depthwise, Separable};
use crate::device::draws::{self, Direction};
use crate::device::{ForwardPass, RunConfig, Statistics};
use crate::plan::{Forward, Group, Norm, Output, Parts, Plan, Slot, Step};

const SAVED: &str = "a plan for inference does not update statistics";

/// A forward pass.
pub(super) struct ForwardRun<'a> {
    pub(super) shared: Run<'a>,
    kept: Option<Lent<'a>>,
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

impl<'a> ForwardRun<'a> {
    pub(super) fn new(
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
        let (arena, fixed, kept) = workspace.parts();
        ForwardRun {
            kept: kept.lend(cpu.kernels, plan, &pass),
            shared: Run::new(cpu, plan, [arena, fixed], config, n, pass.params),
            statistics: match pass.statistics {
                Statistics::Update(running) => LentStatistics::Update(Memory::new(running)),
                Statistics::Running(running) => LentStatistics::Running(running),
            },
            image: pass.image,
            logits: Memory::new(pass.logits),
            aux: pass.aux.map(Memory::new),
        }
    }

    /// What the pass has kept, once it is done.
    pub(super) fn kept(&self) -> Option<Source> {
        self.kept.as_ref().map(|kept| kept.source)
    }

    /// Calls a convolution with its filters, normalized by running statistics if there is a norm: those that were
    /// kept, or packed here.
    fn with_filters(
        &self,
        sizes: ConvSizes<'_>,
        weight: Slot,
        norm: Option<Norm>,
        conv: impl FnOnce(Filters<'_>),
    ) {
        let kernels = &self.shared.kernels;
        let len = kernels.filters_len(sizes);
        let shifts = if norm.is_some() { sizes.co } else { 0 };
        let pack = |numbers: &mut [f32]| {
            let (packed, shift) = numbers.split_at_mut(len);
            with_scratch(shifts, |scale| {
                if let Some(norm) = norm {
                    self.affine(norm, scale, shift);
                }
                let (weight, scale) = (self.shared.param(weight), norm.map(|_| &*scale));
                kernels.pack_filters(sizes, weight, scale, packed);
            });
        };
        let run = |numbers: &[f32]| {
            let (packed, shift) = numbers.split_at(len);
            conv(Filters { packed, shift: norm.map(|_| shift) });
        };
        match &self.kept {
            Some(kept) if kept.is_there => {
                let ([numbers], []) = lend(kept.numbers, [kept.place(weight)], []);
                run(numbers);
            }
            Some(kept) => {
                let ([], [numbers]) = lend(kept.numbers, [], [kept.place(weight)]);
                pack(numbers);
                run(numbers);
            }
            None => with_scratch(len + shifts, |numbers| {
                pack(numbers);
                run(numbers);
            }),
        }
    }

    /// A normalization by running statistics as a scale and a shift of each channel.
    fn affine(&self, norm: Norm, scale: &mut [f32], shift: &mut [f32]) {
        let LentStatistics::Running(running) = self.statistics else {
            panic!("a plan for training normalizes by the batch")
        };
        let run = &self.shared;
        let (gamma, beta) = (run.param(norm.gamma), run.param(norm.beta));
        let (mean, var) = (&running[norm.running_mean.range()], &running[norm.running_var.range()]);
        run.kernels.bn_affine(gamma, beta, mean, var, run.config.bn_eps, scale, shift);
    }

    /// The steps of a group.
    pub(super) fn group(&self, group: &Group) {
        let steps = &self.shared.plan.forward;
        match group.parts {
            Parts::Channels => {
                let step = |kernel: &Forward| self.step(kernel);
                self.shared.by_channels(group, steps, Forward::of_channels, step);
            }
            Parts::Places => self.by_places(&steps[group.steps.clone()]),
        }
    }

    /// A depthwise convolution and the 1x1 convolution behind it.
    fn by_places(&self, steps: &[Step<Forward>]) {
        let kernels = [&steps[0].kernel, &steps[1].kernel];
        let [
            Forward::DepthwiseConv { window, x, relu_in, weight, y: between },
            Forward::Conv {
                window: pointwise,
                relu_in: relu_between,
                weight: filters,
                norm,
                y,
                ..
            },
        ] = kernels
        else {
            panic!("a group by places is a depthwise and a 1x1 convolution")
        };
        let run = &self.shared;
        let (k, n) = (&run.kernels, run.n);
        if !k.runs_separable(window, n) {
            steps.iter().for_each(|step| self.step(&step.kernel));
            return;
        }
        let ([x_], [y_]) = run.slices([*x], [y.view]);
        let (ci, co) = (between.channels, y.view.channels);
        let pointwise = ConvSizes { window: pointwise, n, ci, co, groups: 1 };
        let depthwise = Depthwise { window, x: x_, relu_in: *relu_in, weight: run.param(*weight) };
        let separable = Separable { depthwise, pointwise, relu_between: *relu_between };
        self.with_filters(pointwise, *filters, *norm, |filters| {
            k.separable_by_filters(separable, filters, y_, y.accumulate);
        });
    }

    pub(super) fn step(&self, kernel: &Forward) {
        let run = &self.shared;
        let (k, n) = (&run.kernels, run.n);
        let param = |slot| run.param(slot);
        match *kernel {
            Forward::Load { y } => {
                let ([], [y_]) = run.slices([], [y]);
                k.nchw_to_chwn(n, y.channels * run.plan.area(y), self.image, y_);
            }
            Forward::Conv { window, groups, x, relu_in, weight, norm, y } => {
                let ([x_], [y_]) = run.slices([x], [y.view]);
                let (ci, co) = (x.channels, y.view.channels);
                let sizes = ConvSizes { window: &window, n, ci, co, groups };
                self.with_filters(sizes, weight, norm, |filters| {
                    k.conv_by_filters(sizes, x_, filters, relu_in, y_, y.accumulate);
                });
            }
            Forward::DepthwiseConv { window, x, relu_in, weight, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                k.dwconv_forward(&window, n, x.channels, x_, param(weight), relu_in, y_);
            }
            Forward::BatchNorm { x, norm, saved, fixed: is_fixed, y } => {
                let ([x_], [y_]) = run.slices([x], [y.view]);
                let (c, row, eps, acc) = (x.channels, run.row(x), run.config.bn_eps, y.accumulate);
                let Norm { gamma, beta, running_mean, running_var } = norm;
                let (gamma, beta) = (param(gamma), param(beta));
                match self.statistics {
                    LentStatistics::Update(running) if is_fixed => {
                        let slots = [running_mean.range(), running_var.range()];
                        let ([rm, rv], []) = lend(running, slots, []);
                        k.bn_forward_eval(c, row, x_, gamma, beta, rm, rv, eps, y_, acc);
                        let [mean, inv_std] = run.saved_mut(saved.expect(SAVED));
                        k.bn_keep_running(rm, rv, eps, mean, inv_std);
                    }
                    LentStatistics::Update(running) => {
                        let [mean, inv_std] = run.saved_mut(saved.expect(SAVED));
                        k.bn_forward_train(c, row, x_, gamma, beta, eps, y_, acc, mean, inv_std);
                        let slots = [running_mean.range(), running_var.range()];
                        let ([], [rm, rv]) = lend(running, [], slots);
                        let momentum = run.config.bn_momentum;
                        k.bn_update_running(mean, inv_std, eps, row, momentum, rm, rv);
                    }
                    LentStatistics::Running(running) => {
                        let rm = &running[running_mean.range()];
                        let rv = &running[running_var.range()];
                        k.bn_forward_eval(c, row, x_, gamma, beta, rm, rv, eps, y_, acc);
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
                let ([a, b], [y_]) = run.slices([a, b], [y]);
                let mix = |shares: &[f32]| k.mix_forward(run.plan.area(y), shares, a, b, y_);
                match self.statistics {
                    LentStatistics::Update(_) => {
                        run.with_images(draws::shares(run.config, stream, Direction::Forward), mix);
                    }
                    LentStatistics::Running(_) => run.with_images(|| 0.5, mix),
                }
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
                let ([x_], [y_]) = run.slices([x], [y.view]);
                k.avgpool_forward(&window, n, x.channels, x_, y_, y.accumulate);
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
                        k.dropout_forward(
                            run.config.dropout,
                            draws::seed(run.config, stream),
                            x,
                            y,
                        );
                    }
                    LentStatistics::Running(_) => k.copy_or_add(x, y, false),
                }
            }
            Forward::DropPath { stream, depth, x, y } => {
                let ([x_], [y_]) = run.slices([x], [y]);
                match self.statistics {
                    LentStatistics::Update(_) => {
                        run.with_images(draws::kept(run.config, stream, depth), |kept| {
                            k.scale_images(run.plan.area(x), kept, x_, y_, false);
                        });
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
