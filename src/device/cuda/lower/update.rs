//! The commands of a training step beside those of the passes: loss, penalty, clipping, the optimizer's rule, averages.

use std::slice::from_ref;

use super::super::command::{Arg, Command, Launch, Place, Region};
use super::forward::len;
use super::{BLOCK, BUSY, Lowering, Program, WARP, flat, threads};
use crate::device::{Precision, RunConfig};
use crate::plan::{Loss, Plan, Update, UpdateRule};

/// Numbers of [`Place::Scalars`]: `rate`, `root` and `average` of a
/// [`StepScalars`](crate::plan::StepScalars).
pub(in super::super) const SCALARS: usize = 3;

/// Numbers of [`Place::Report`]: the loss, the number of correct images, the norm, and what clipping scales by.
pub(in super::super) const REPORT: usize = 4;

/// Where the optimizer's `index`-th number for each of `params` parameters lies in [`Place::States`].
pub(in super::super) fn state(index: usize, params: usize) -> Region {
    // Each on the border of its own that loads of four numbers like.
    let start = index * params.next_multiple_of(4);
    Region { place: Place::States, start, len: params }
}

/// Moves what lies in [`Place::Staging`], part by part, to where a step reads it; and the parts.
pub(in super::super) fn arrival(targets: &[Region]) -> (Program, Vec<Region>) {
    let (mut program, mut parts, mut start) = (Program::default(), Vec::new(), 0);
    for &to in targets {
        let from = Region { place: Place::Staging, start, ..to };
        // On a border that loads of four numbers like.
        start = (start + to.len).next_multiple_of(4);
        parts.push(from);
        let [grid, block] = flat(to.len).map(|sizes| sizes.map(|size| size as u32));
        if to.len > 0 {
            let args = vec![from.into(), to.into(), len(to)];
            let launch = Launch { kernel: "copy_words", grid, block, shared_bytes: 0, args };
            program.steps.push(vec![Command::Launch(launch)]);
        }
    }
    (program, parts)
}

impl Program {
    /// A forward pass in training, the loss and a backward pass, which leaves the gradient of the loss alone.
    pub fn gradients(
        plan: &Plan,
        n: usize,
        config: &RunConfig,
        loss: Loss,
        precision: Precision,
    ) -> Program {
        let mut lowering = Lowering::new(plan, n, config, true, precision);
        lowering.forward_steps();
        lowering.loss(loss);
        lowering.start_step();
        lowering.zero(Lowering::whole(Place::Gradients, plan.params_len));
        lowering.backward_steps();
        lowering.program
    }

    /// The loss of logits and of auxiliary logits, if the plan has them, and their gradients: the same in every
    /// precision.
    pub fn loss(plan: &Plan, n: usize, loss: Loss) -> Program {
        let config = RunConfig::default();
        let mut lowering = Lowering::new(plan, n, &config, true, Precision::F32);
        lowering.loss(loss);
        lowering.program
    }

    /// What is done with the gradient: the same in every precision.
    pub fn update(plan: &Plan, update: &Update) -> Program {
        let config = RunConfig::default();
        let mut lowering = Lowering::new(plan, 1, &config, true, Precision::F32);
        lowering.update(update);
        lowering.program
    }

    /// This program, then another one that draws nothing.
    ///
    /// # Panics
    /// If it does.
    pub fn then(mut self, next: Program) -> Program {
        assert!(next.draws.is_empty(), "the draws of the first program are those of both");
        self.steps.extend(next.steps);
        self
    }
}

impl Lowering<'_> {
    fn loss(&mut self, loss: Loss) {
        self.start_step();
        let (n, classes) = (self.n, self.plan.classes);
        let (losses, correct) = (self.scratch(n), self.scratch(n));
        let found = [losses.into(), correct.into()];
        self.cross_entropy(loss, 1.0, [Place::Logits, Place::LogitsGradient], classes, found);
        let report = Self::whole(Place::Report, REPORT);
        let args = [losses.into(), correct.into(), n.into(), report.into()];
        self.launch("report_loss", threads(1), &args);
        if let Some(classes) = self.plan.aux_classes {
            self.start_step();
            let weight = loss.aux_weight as f32;
            let none = [Arg::Region(None); 2];
            self.cross_entropy(loss, weight, [Place::Aux, Place::AuxGradient], classes, none);
        }
    }

    fn cross_entropy(
        &mut self,
        loss: Loss,
        weight: f32,
        places: [Place; 2],
        classes: usize,
        found: [Arg; 2],
    ) {
        let n = self.n;
        let [logits, gradient] = places.map(|place| Self::whole(place, n * classes));
        let labels = Self::whole(Place::Labels, n);
        let [target, at_label] = loss.target(classes).map(Arg::from);
        let args = [
            &[logits.into(), labels.into(), n.into(), classes.into()][..],
            &[target, at_label, weight.into()],
            &found,
            &[gradient.into()],
        ];
        let grid = [n.div_ceil(BLOCK / WARP), 1];
        self.launch("softmax_cross_entropy", [grid, [WARP, BLOCK / WARP]], &args.concat());
    }

    fn update(&mut self, update: &Update) {
        self.start_step();
        let count = self.plan.params_len;
        let [params, factors, gradient] = [Place::Params, Place::Factors, Place::Gradients]
            .map(|place| Self::whole(place, count));
        let report = Self::whole(Place::Report, REPORT);
        let scalars = Self::whole(Place::Scalars, SCALARS);
        let penalty = &update.penalty;
        let [[blocks, _], block] = flat(count);
        let blocks = blocks.clamp(1, BUSY);
        // Sums in double precision.
        let partial = self.scratch(2 * blocks);
        let operands = [params.into(), factors.into(), gradient.into(), len(params)];
        let args = [&operands[..], &[penalty.is_clipped.into(), partial.into()]].concat();
        self.launch("penalize", [[blocks, 1], block], &args);
        let max_norm = penalty.clip_norm.unwrap_or(0.0) as f32;
        let args = [partial.into(), blocks.into(), max_norm.into(), report.into()];
        self.launch("clip_scale", threads(1), &args);

        let operands = [params, gradient, factors, report, scalars].map(Arg::from);
        let states = [0, 1].map(|index| Arg::from(state(index, count)));
        let (kernel, states, settings) = match update.rule {
            UpdateRule::Sgd { momentum, nesterov } if update.rule.states() > 0 => {
                ("sgd", &states[..1], vec![momentum.into(), nesterov.into()])
            }
            UpdateRule::Sgd { .. } => {
                ("sgd", from_ref(&Arg::Region(None)), vec![0.0f32.into(), false.into()])
            }
            UpdateRule::RmsProp { decay, momentum, eps } => {
                ("rms_prop", &states[..], [decay, momentum, eps].map(Arg::from).to_vec())
            }
            UpdateRule::Adam { new: [mean, square], eps } => {
                ("adam", &states[..], [mean, square, eps].map(Arg::from).to_vec())
            }
        };
        let sizes = [len(params), (!penalty.is_clipped).into()];
        let args = [&operands[..], &sizes, states, &settings].concat();
        self.launch(kernel, flat(count), &args);
        if update.has_averages {
            for (average, place, count) in [
                (Place::AverageParams, Place::Params, count),
                (Place::AverageStatistics, Place::Statistics, self.plan.statistics_len),
            ] {
                self.start_step();
                let [average, values] = [average, place].map(|place| Self::whole(place, count));
                let operands = [average, values, report, scalars].map(Arg::from);
                let args = [&operands[..], &[len(values)]].concat();
                self.launch("move_averages", flat(count), &args);
            }
        }
    }
}
