//! Writes every step of many small plans as commands for a card, with what is in memory before and what the portable
//! CPU kernels leave there, for `run_cases.cpp`; and the kernels' source and names. All of it for maps in single precision
//! and in bf16, in a folder of each.
//!
//! A file is a row of 32-bit words. For each step: its name; the memories before it; its commands; and the memories
//! that it may change, as they are after it, each with the error that is allowed. Numbers are in single precision: those
//! that lie in bf16 before a step are such as bf16 has, and what is expected behind it is not rounded. Texts are their
//! length and one word a byte.

mod bf16;
#[path = "../reference/graphs.rs"]
#[expect(dead_code, reason = "whole networks are of no use here")]
mod graphs;
mod updates;
mod windows;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use cellc::device::cpu::{Isa, Kernels};
use cellc::device::cuda::{
    Arg, Command, Launch, Matrix, Place, Product, Program, Region, kernel_names, source,
    window_fields,
};
use cellc::device::{
    BackwardPass, Cpu, CpuWorkspace, Device, ForwardPass, Precision, RunConfig, Statistics,
};
use cellc::graph::{Graph, TensorType};
use cellc::plan::{Backward, Buffer, BufferId, Content, Forward, Group, Mode, Parts, Plan, View};
use cellc::rng::{Purpose, stream};
use rand::Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("expected a folder")?.into();
    fs::create_dir_all(&folder)?;
    let names: String = kernel_names().map(|name| format!("REGISTER({name})\n")).collect();
    fs::write(folder.join("kernel_names.h"), names)?;
    for precision in [Precision::F32, Precision::Bf16] {
        write_all(&folder.join(precision.to_string()), precision)?;
    }
    Ok(())
}

fn write_all(folder: &Path, precision: Precision) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("kernels.cu"), source(precision))?;
    // A single image, and a vector of them; more than a warp has lanes are among the others.
    write(folder, precision, "everything", &graphs::everything(), &[1, 4])?;
    for (name, graph, batches) in windows::all() {
        write(folder, precision, &name, &graph, &batches)?;
    }
    let mut out = Words::default();
    updates::write_losses(&mut out);
    updates::write_updates(&mut out);
    updates::write_words(&mut out);
    bf16::write_rounding(&mut out, precision);
    out.save(folder, "updates")
}

/// All steps of the plans of a graph, in a file of their own.
fn write(
    folder: &Path,
    precision: Precision,
    name: &str,
    graph: &Graph,
    batches: &[usize],
) -> Result<(), Box<dyn Error>> {
    let train = Mode::Train { dropout: true, drop_path: true, image_gradient: true };
    let mut out = Words::default();
    for &n in batches {
        let trained = Plan::new(graph, train);
        Case::new(&trained, n, true, precision).write(&format!("{name} n={n}"), &mut out);
        let mut fixed = trained.clone();
        fixed.fix_norms(|_| true);
        Case::new(&fixed, n, true, precision).write(&format!("{name} fixed n={n}"), &mut out);
        let infer = Plan::new(graph, Mode::Infer);
        Case::new(&infer, n, false, precision).write(&format!("{name} infer n={n}"), &mut out);
    }
    out.save(folder, name)
}

/// A file in the making.
#[derive(Default)]
struct Words(Vec<u32>);

impl Words {
    fn save(&self, folder: &Path, name: &str) -> Result<(), Box<dyn Error>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        Ok(fs::write(folder.join(format!("{name}.cases")), bytes)?)
    }

    fn number(&mut self, number: usize) {
        self.0.push(u32::try_from(number).expect("sizes in cases are small"));
    }

    fn numbers(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|&number| self.number(number));
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend(text.bytes().map(u32::from));
    }

    fn before(&mut self, memories: &[(Place, Vec<u32>)]) {
        self.number(memories.len());
        for (place, words) in memories {
            self.numbers(&[*place as usize, place.holds_values().into(), words.len()]);
            self.0.extend(words);
        }
    }

    fn after(&mut self, memories: &[(Place, Vec<u32>)], allowed: impl Fn(Place) -> Allowed) {
        self.number(memories.len());
        for (place, words) in memories {
            let Allowed { of_itself, of_largest } = allowed(*place);
            self.number(*place as usize);
            self.0.extend([of_itself, of_largest].map(f32::to_bits));
            self.number(words.len());
            self.0.extend(words);
        }
    }

    fn region(&mut self, region: Region) {
        self.numbers(&[region.place as usize, region.start, region.len]);
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Product(product) => self.product(product),
        }
    }

    fn launch(&mut self, launch: &Launch) {
        self.number(0);
        self.text(launch.kernel);
        self.0.extend(launch.grid);
        self.0.extend(launch.block);
        self.0.push(launch.shared_bytes);
        self.number(launch.args.len());
        for arg in &launch.args {
            let words = match arg {
                Arg::Region(Some(region)) => {
                    self.number(0);
                    self.region(*region);
                    continue;
                }
                Arg::Region(None) => {
                    self.number(1);
                    continue;
                }
                Arg::Int(number) => vec![*number as u32],
                Arg::Word(word) => vec![*word],
                Arg::Len(len) => vec![*len as u32, (len >> 32) as u32],
                Arg::Float(number) => vec![number.to_bits()],
                Arg::Window(w) => window_fields(w).iter().map(|&field| field as u32).collect(),
            };
            self.number(2);
            self.number(words.len());
            self.0.extend(words);
        }
    }

    fn product(&mut self, product: &Product) {
        let Product { m, n, k, batch, a, b, c, accumulate } = *product;
        self.numbers(&[1, m, n, k, batch, accumulate.into()]);
        for Matrix { region, row, transposed, stride } in [a, b, c] {
            self.region(region);
            self.numbers(&[row, transposed.into(), stride]);
        }
    }
}

/// The error that a number may have: a part of its own size, and one of the largest number of the same memory.
#[derive(Clone, Copy)]
struct Allowed {
    of_itself: f32,
    of_largest: f32,
}

impl Allowed {
    /// For numbers that are only copied.
    const NONE: Allowed = Allowed { of_itself: 0.0, of_largest: 0.0 };

    /// For sums in another order.
    const SUM: Allowed = Allowed { of_itself: 0.0, of_largest: 1e-5 };

    /// For sums in another order that are stored in bf16: to nearest, no number is off by more than the bit behind its
    /// last.
    const STORED: Allowed = Allowed { of_itself: bf16::ROUNDING, ..Allowed::SUM };
}

/// A plan that runs step by step on the portable CPU kernels, and what all memories hold.
struct Case<'p> {
    plan: &'p Plan,
    n: usize,
    is_training: bool,
    precision: Precision,
    config: RunConfig,
    workspace: CpuWorkspace,
    params: Vec<f32>,
    statistics: Vec<f32>,
    image: Vec<f32>,
    logits: Vec<f32>,
    aux: Vec<f32>,
    logits_gradient: Vec<f32>,
    aux_gradient: Vec<f32>,
    gradients: Vec<f32>,
    image_gradient: Vec<f32>,
}

impl<'p> Case<'p> {
    fn new(plan: &'p Plan, n: usize, is_training: bool, precision: Precision) -> Case<'p> {
        let mut rng = stream(n as u64, Purpose::Bench, 0);
        let mut numbers =
            |len: usize| -> Vec<f32> { (0..len).map(|_| rng.r#gen::<f32>() * 2.0 - 1.0).collect() };
        let mut workspace = CpuWorkspace::default();
        let Ok(()) = cpu().prepare(plan, n, &mut workspace);
        let [image, logits] = [plan.image.elements(), plan.classes].map(|len| n * len);
        let aux = n * plan.aux_classes.unwrap_or(0);
        Case {
            plan,
            n,
            is_training,
            precision,
            config: RunConfig {
                dropout: 0.4,
                drop_path: 0.5,
                dropout_seed: 9,
                ..RunConfig::default()
            },
            workspace,
            // Such as bf16 has, or a step would begin with other ones than the CPU's.
            params: match precision {
                Precision::F32 | Precision::Tf32 => numbers(plan.params_len),
                Precision::Bf16 => {
                    numbers(plan.params_len).into_iter().map(bf16::rounded).collect()
                }
            },
            // Variances are among them.
            statistics: numbers(plan.statistics_len).iter().map(|s| s.abs() + 0.25).collect(),
            // Far from 0, as pixels may be: variances must not lose their digits.
            image: numbers(image).iter().map(|pixel| pixel + 3.0).collect(),
            logits: vec![0.0; logits],
            aux: vec![0.0; aux],
            logits_gradient: numbers(logits),
            aux_gradient: numbers(aux),
            // What is added to.
            gradients: numbers(plan.params_len),
            image_gradient: numbers(image),
        }
    }

    /// Writes all steps, one after the other.
    fn write(mut self, name: &str, out: &mut Words) {
        let (plan, n) = (self.plan, self.n);
        let (config, precision) = (self.config, self.precision);
        let forward = Program::forward(plan, n, &config, self.is_training, precision);
        for (index, (step, commands)) in plan.forward.iter().zip(&forward.steps).enumerate() {
            out.text(&format!("{name} forward {index} {}", variant(&step.kernel)));
            let is_first = matches!(step.kernel, Forward::Load { .. });
            self.before(&forward, commands, is_first, out);
            let mut alone = plan.clone();
            alone.forward = vec![step.clone()];
            let parts = Parts::Channels;
            alone.forward_groups = vec![Group { steps: 0..1, parts, channels: 1, area: 1 }];
            self.forward(&alone);
            let is_rounded_twice = match &step.kernel {
                Forward::Conv { norm, .. } => norm.is_some(),
                Forward::GroupNorm { .. } => true,
                _ => false,
            };
            self.after(is_rounded_twice, out);
        }
        if plan.backward.is_empty() {
            return;
        }
        let backward = Program::backward(plan, n, &config, precision);
        for (index, (step, commands)) in plan.backward.iter().zip(&backward.steps).enumerate() {
            out.text(&format!("{name} backward {index} {}", variant(&step.kernel)));
            self.before(&backward, commands, false, out);
            let mut alone = plan.clone();
            alone.backward = vec![step.clone()];
            self.backward(&alone);
            self.after(matches!(step.kernel, Backward::ConvData { .. }), out);
        }
    }

    fn before(&mut self, program: &Program, commands: &[Command], is_first: bool, out: &mut Words) {
        if self.precision == Precision::Bf16 {
            for value in arena(self.plan, &mut self.workspace, self.n) {
                *value = bf16::rounded(*value);
            }
        }
        let mut memories = self.memories();
        if is_first {
            // It writes them, and nobody has before.
            let rounded = memories.iter_mut().filter(|(place, _)| *place == Place::RoundedParams);
            rounded.for_each(|(_, words)| words.fill(u32::MAX));
        }
        memories.push((Place::Params, bits(&self.params)));
        memories.push((Place::Image, bits(&self.image)));
        memories.push((Place::LogitsGradient, bits(&self.logits_gradient)));
        memories.push((Place::AuxGradient, bits(&self.aux_gradient)));
        memories.push((Place::Draws, program.draw(self.n, &self.config)));
        // No number, so that what nobody wrote is noticed.
        for place in [Place::ScratchValues, Place::Scratch] {
            memories.push((place, vec![u32::MAX; len_of(place, commands)]));
        }
        out.before(&memories);
        out.number(commands.len());
        commands.iter().for_each(|command| out.command(command));
    }

    fn after(&mut self, is_rounded_twice: bool, out: &mut Words) {
        let stored = match self.precision {
            Precision::F32 | Precision::Tf32 => Allowed::SUM,
            Precision::Bf16 if is_rounded_twice => bf16::ROUNDED_TWICE,
            Precision::Bf16 => Allowed::STORED,
        };
        let allowed = |place: Place| if place.holds_values() { stored } else { Allowed::SUM };
        out.after(&self.memories(), allowed);
    }

    /// What a step may change.
    fn memories(&mut self) -> Vec<(Place, Vec<u32>)> {
        let rounded = match self.precision {
            Precision::F32 | Precision::Tf32 => Vec::new(),
            Precision::Bf16 => bits(&self.params),
        };
        vec![
            (Place::RoundedParams, rounded),
            (Place::Arena, bits(arena(self.plan, &mut self.workspace, self.n))),
            (Place::Fixed, bits(self.workspace.fixed())),
            (Place::Statistics, bits(&self.statistics)),
            (Place::Logits, bits(&self.logits)),
            (Place::Aux, bits(&self.aux)),
            (Place::Gradients, bits(&self.gradients)),
            (Place::ImageGradient, bits(&self.image_gradient)),
        ]
    }

    /// Runs a plan of the one step that is next.
    fn forward(&mut self, step: &Plan) {
        let pass = ForwardPass {
            batch: self.n,
            params: &self.params,
            version: None,
            statistics: match self.is_training {
                true => Statistics::Update(&mut self.statistics),
                false => Statistics::Running(&self.statistics),
            },
            image: &self.image,
            logits: &mut self.logits,
            aux: step.aux_classes.map(|_| &mut self.aux[..]),
        };
        cpu().forward_stepwise(step, &mut self.workspace, &self.config, pass, &mut |_| ());
    }

    fn backward(&mut self, step: &Plan) {
        let pass = BackwardPass {
            batch: self.n,
            params: &self.params,
            logits: &self.logits_gradient,
            aux: step.aux_classes.map(|_| &self.aux_gradient[..]),
            gradients: &mut self.gradients,
            image: Some(&mut self.image_gradient),
        };
        cpu().backward_stepwise(step, &mut self.workspace, &self.config, pass, &mut |_| ());
    }
}

fn cpu() -> Cpu {
    Cpu::new(Kernels::with(Isa::Portable))
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The whole arena, as one more buffer that begins where it does.
fn arena<'w>(plan: &Plan, workspace: &'w mut CpuWorkspace, n: usize) -> &'w mut [f32] {
    let ty = TensorType::new(plan.arena_len, 1, 1);
    let node = plan.buffers[0].node;
    let whole = Buffer { node, content: Content::Value, ty, offset: 0, lifetime: [0, 0] };
    let mut plan = plan.clone();
    plan.buffers = vec![whole];
    let view = View { buffer: BufferId(0), channel: 0, channels: ty.channels };
    workspace.values(&plan, view, n)
}

/// Numbers of a place that a step needs.
fn len_of(place: Place, commands: &[Command]) -> usize {
    let regions = commands.iter().flat_map(Command::regions);
    let own = regions.filter(|region| region.place == place);
    own.map(|region| region.start + region.len).max().unwrap_or(0)
}

/// A launch for a row of numbers that no plan asks for.
fn launch_alone(kernel: &'static str, args: &[Arg]) -> Command {
    let (grid, block, args) = ([2, 1], [256, 1], args.to_vec());
    Command::Launch(Launch { kernel, grid, block, shared_bytes: 0, args })
}

/// The name of an enum's variant.
fn variant(kernel: &impl std::fmt::Debug) -> String {
    let text = format!("{kernel:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}
