//! Losses, and updates of parameters with and without each thing that they may have.

use cellc::device::cuda::{Arg, Command, Place, Program, Region, factors};
use cellc::graph::{Graph, Op, TensorType};
use cellc::network::Network;
use cellc::plan::{Loss, Mode, Penalty, Plan, Update};
use cellc::rng::{Purpose, stream};
use cellc::train::{Average, Optimizer, OptimizerKind, TrainConfig, WeightDecayAt, WeightDecayOn};
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::prelude::{AsArray, Backward, Cpu, TensorFromVec, Trace};
use rand::Rng;

use crate::graphs::{Wirer, everything};
use crate::{Allowed, Words, bits, launch_alone, len_of};

const NAN: f32 = f32::NAN;

fn plan(graph: &Graph) -> Plan {
    Plan::new(graph, Mode::Train { dropout: false, drop_path: false, image_gradient: false })
}

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = stream(seed, Purpose::Bench, 1);
    (0..len).map(|_| rng.r#gen::<f32>() * 2.0 - 1.0).collect()
}

fn write(
    out: &mut Words,
    name: &str,
    program: &Program,
    mut before: Vec<(Place, Vec<u32>)>,
    after: &[(Place, Vec<u32>)],
) {
    let commands: Vec<Command> = program.steps.concat();
    before.push((Place::Scratch, vec![u32::MAX; len_of(Place::Scratch, &commands)]));
    out.text(name);
    out.before(&before);
    out.number(commands.len());
    commands.iter().for_each(|command| out.command(command));
    out.after(after, |_| Allowed::SUM);
}

/// dfdx's loss times a weight, and its gradient.
fn cross_entropy(logits: &[f32], labels: &[u32], smoothing: f32, weight: f32) -> (f32, Vec<f32>) {
    let classes = logits.len() / labels.len();
    let mut targets = vec![smoothing / classes as f32; logits.len()];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(labels) {
        row[label as usize] += 1.0 - smoothing;
    }
    let (device, shape) = (Cpu::default(), (labels.len(), classes));
    let logits = device.tensor_from_vec(logits.to_vec(), shape);
    let targets = device.tensor_from_vec(targets, shape);
    let loss = cross_entropy_with_logits_loss(logits.leaky_trace(), targets) * weight;
    (loss.array(), loss.backward().get(&logits).as_vec())
}

/// With few classes and an auxiliary head, and with more classes than a warp has lanes.
pub fn write_losses(out: &mut Words) {
    let mut many = Wirer::new(TensorType::new(3, 1, 1));
    let image = many.graph.input;
    let pooled = many.add(Op::GlobalAvgPool, &[image]);
    many.graph.output = many.add(Op::Dense { out_features: 101, bias: false }, &[pooled]);
    for (graph, n) in [(&everything(), 1), (&everything(), 35), (&many.graph, 5)] {
        for label_smoothing in [0.0, 0.1] {
            let plan = plan(graph);
            let loss = Loss { label_smoothing, aux_weight: 0.4 };
            let (classes, aux_classes) = (plan.classes, plan.aux_classes.unwrap_or(0));
            // The auxiliary head of the test's graph has fewer classes.
            let labelled = plan.aux_classes.unwrap_or(classes);
            let labels: Vec<u32> = (0..n).map(|i| (i * 7 % labelled) as u32).collect();
            // Coarse numbers, so that some are equal; the labels' are often the largest.
            let mut logits: Vec<f32> =
                numbers(n * classes, 3).iter().map(|x| (4.0 * x).round() + 30.0).collect();
            for (i, &label) in labels.iter().enumerate().filter(|(i, _)| i % 3 != 0) {
                logits[i * classes + label as usize] = 34.0;
            }
            let aux = numbers(n * aux_classes, 4);
            let is_first = |(row, &label): (&[f32], &u32)| {
                let largest = row.iter().copied().fold(f32::MIN, f32::max);
                row.iter().position(|&x| x == largest) == Some(label as usize)
            };
            let correct =
                logits.chunks_exact(classes).zip(&labels).filter(|&x| is_first(x)).count();
            let smoothing = label_smoothing as f32;
            let (mean, gradient) = cross_entropy(&logits, &labels, smoothing, 1.0);
            let mut before = vec![
                (Place::Logits, bits(&logits)),
                (Place::Labels, labels.clone()),
                (Place::LogitsGradient, bits(&vec![NAN; n * classes])),
                (Place::Report, bits(&[NAN; 4])),
            ];
            let mut after = vec![
                (Place::LogitsGradient, bits(&gradient)),
                (Place::Report, bits(&[mean, correct as f32, NAN, NAN])),
            ];
            if aux_classes > 0 {
                let (_, gradient) = cross_entropy(&aux, &labels, smoothing, 0.4);
                before.push((Place::Aux, bits(&aux)));
                before.push((Place::AuxGradient, bits(&vec![NAN; aux.len()])));
                after.push((Place::AuxGradient, bits(&gradient)));
            }
            let name = format!("loss of {classes} classes n={n} smoothing={label_smoothing}");
            write(out, &name, &Program::loss(&plan, n, loss), before, &after);
        }
    }
}

/// Every optimizer, clipped and not, decayed before and after and not at all, and what is not finite.
pub fn write_updates(out: &mut Words) {
    use OptimizerKind::{Adam, RmsProp, Sgd};
    use WeightDecayAt::{AfterClip, InLoss};
    let plain = TrainConfig { ema_decay: 0.9, weight_decay: 0.1, ..TrainConfig::default() };
    let (clip, weights) = (Some(0.5), WeightDecayOn::Weights);
    let of = |optimizer| TrainConfig { optimizer, ..plain.clone() };
    let cases = [
        TrainConfig { clip_norm: None, momentum: 0.0, ema_decay: 0.0, ..of(Sgd) },
        TrainConfig { clip_norm: clip, weight_decay_at: InLoss, ..of(Sgd) },
        TrainConfig { nesterov: true, weight_decay_on: weights, ..of(Sgd) },
        TrainConfig { clip_norm: clip, weight_decay_at: AfterClip, ..of(RmsProp) },
        TrainConfig { clip_norm: clip, weight_decay: 0.0, ..of(Adam) },
        TrainConfig { weight_decay_on: weights, weight_decay_at: InLoss, ..of(Adam) },
    ];
    for (index, config) in cases.iter().enumerate() {
        for frozen in [vec![], vec![3..70, 500..501]] {
            for broken in [None, Some(f32::INFINITY), Some(NAN)] {
                write_update(out, index, config, &frozen, broken);
            }
        }
    }
}

/// What a step begins with, which is moved as words whatever they mean, and gradients that begin at 0.
pub fn write_words(out: &mut Words) {
    let mut rng = stream(0, Purpose::Bench, 3);
    let words: Vec<u32> = (0..1003).map(|_| rng.r#gen()).collect();
    let (start, len) = (8, words.len() - 8);
    let from = Region { place: Place::Staging, start, len };
    let [to, gradients] =
        [Place::Draws, Place::Gradients].map(|place| Region { place, start: 0, len });
    let nowhere = vec![u32::MAX; len];
    out.text("words");
    out.before(&[
        (Place::Staging, words.clone()),
        (Place::Draws, nowhere.clone()),
        (Place::Gradients, nowhere),
    ]);
    out.number(2);
    let count = Arg::Len(len as u64);
    out.command(&launch_alone("copy_words", &[from.into(), to.into(), count]));
    out.command(&launch_alone("zero_words", &[gradients.into(), count]));
    let after = [(Place::Draws, words[start..].to_vec()), (Place::Gradients, vec![0; len])];
    out.after(&after, |_| Allowed::NONE);
}

fn write_update(
    out: &mut Words,
    index: usize,
    config: &TrainConfig,
    frozen: &[std::ops::Range<usize>],
    broken: Option<f32>,
) {
    let graph = everything();
    let network = Network::new(&graph, 1);
    let (plan, step, lr) = (plan(&graph), 2, 0.05);
    let (count, seed) = (plan.params_len, index as u64);
    let (mut params, mut gradient) = (numbers(count, seed), numbers(count, seed + 100));
    // In one of two places that stop a step.
    let loss = if broken.is_some_and(f32::is_nan) { NAN } else { 1.25 };
    if broken == Some(f32::INFINITY) {
        gradient[count / 2] = f32::INFINITY;
    }
    let penalty = Penalty { frozen: frozen.to_vec(), ..Penalty::new(config, &network) };
    let mut optimizer = Optimizer::new(config, count);
    for state in optimizer.state_mut().into_values() {
        // Squares are among them.
        state.copy_from_slice(&numbers(count, seed + 200));
        state.iter_mut().for_each(|value| *value = value.abs());
    }
    let mut average = Average::new(config, &network);
    let statistics = numbers(plan.statistics_len, seed + 300);
    let [rate, root] = optimizer.scalars(lr, step);
    let share = average.as_ref().map_or(0.0, |average| average.new_share(step));
    let stored = |params: &[f32], optimizer: &Optimizer, average: &Option<Average>| {
        // Each on a border of four numbers.
        let mut states = Vec::new();
        for state in optimizer.state().values() {
            states.resize(states.len().next_multiple_of(4), 0);
            states.extend(bits(state));
        }
        let mut memories = vec![(Place::Params, bits(params)), (Place::States, states)];
        if let Some(state) = average.as_ref().map(Average::state) {
            memories.push((Place::AverageParams, bits(state["params"])));
            memories.push((Place::AverageStatistics, bits(state["statistics"])));
        }
        memories
    };
    let mut before = stored(&params, &optimizer, &average);
    before.push((Place::Gradients, bits(&gradient)));
    before.push((Place::Factors, bits(&factors(&penalty, count))));
    before.push((Place::Statistics, bits(&statistics)));
    before.push((Place::Scalars, bits(&[rate, root, share])));
    before.push((Place::Report, bits(&[loss, 3.0, NAN, NAN])));

    let norm = penalty.apply(&params, &mut gradient);
    if loss.is_finite() && norm.is_finite() {
        optimizer.step(&mut params, &gradient, lr, step);
        if let Some(average) = &mut average {
            average.update(&params, &statistics, step);
        }
    }
    let longest = config.clip_norm.unwrap_or(f64::INFINITY);
    let scale = if norm > longest { longest / norm } else { 1.0 };
    let mut after = stored(&params, &optimizer, &average);
    after.push((Place::Report, bits(&[loss, 3.0, norm as f32, scale as f32])));
    let update = Update {
        loss: Loss { label_smoothing: 0.0, aux_weight: 0.0 },
        penalty,
        rule: optimizer.update_rule(),
        has_averages: average.is_some(),
    };
    let name = format!("update {index} of {count}, {} frozen ranges, {broken:?}", frozen.len());
    write(out, &name, &Program::update(&plan, &update), before, &after);
}
