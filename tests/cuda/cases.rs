//! Writes every step of many small plans as commands for a card, with what is in memory before and what the portable
//! CPU kernels leave there, for `run_cases.cpp`; and the kernels' source and names.
//!
//! A file is a row of 32-bit words. For each step: its name; the memories before it; its commands; and the memories
//! that it may change, as they are after it. Texts are their length and one word a byte.

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
    Arg, Command, Launch, Matrix, Place, Product, Program, Region, SOURCE, kernel_names,
    window_fields,
};
use cellc::device::{BackwardPass, Cpu, CpuWorkspace, Device, ForwardPass, RunConfig, Statistics};
use cellc::graph::{Graph, TensorType};
use cellc::plan::{Buffer, BufferId, Content, Mode, Plan, View};
use cellc::rng::{Purpose, stream};
use rand::Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("expected a folder")?.into();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("kernels.cu"), SOURCE)?;
    let names: String = kernel_names().map(|name| format!("REGISTER({name})\n")).collect();
    fs::write(folder.join("kernel_names.h"), names)?;
    // A single image, and a vector of them; more than a warp has lanes are among the others.
    write(&folder, "everything", &graphs::everything(), &[1, 4])?;
    for (name, graph, batches) in windows::all() {
        write(&folder, &name, &graph, &batches)?;
    }
    let mut out = Words::default();
    updates::write_losses(&mut out);
    updates::write_updates(&mut out);
    out.save(&folder, "updates")
}

/// All steps of the plans of a graph, in a file of their own.
fn write(
    folder: &Path,
    name: &str,
    graph: &Graph,
    batches: &[usize],
) -> Result<(), Box<dyn Error>> {
    let train = Mode::Train { dropout: true, drop_path: true, image_gradient: true };
    let mut out = Words::default();
    for &n in batches {
        let trained = Plan::new(graph, train);
        Case::new(&trained, n, true).write(&format!("{name} n={n}"), &mut out);
        let mut fixed = trained.clone();
        fixed.fix_norms(|_| true);
        Case::new(&fixed, n, true).write(&format!("{name} fixed n={n}"), &mut out);
        let infer = Plan::new(graph, Mode::Infer);
        Case::new(&infer, n, false).write(&format!("{name} infer n={n}"), &mut out);
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

    fn memories(&mut self, memories: &[(Place, Vec<u32>)]) {
        self.number(memories.len());
        for (place, words) in memories {
            self.number(*place as usize);
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

/// A plan that runs step by step on the portable CPU kernels, and what all memories hold.
struct Case<'p> {
    plan: &'p Plan,
    n: usize,
    is_training: bool,
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
    fn new(plan: &'p Plan, n: usize, is_training: bool) -> Case<'p> {
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
            config: RunConfig {
                dropout: 0.4,
                drop_path: 0.5,
                dropout_seed: 9,
                ..RunConfig::default()
            },
            workspace,
            params: numbers(plan.params_len),
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
        let forward = Program::forward(plan, n, &self.config, self.is_training);
        for (index, (step, commands)) in plan.forward.iter().zip(&forward.steps).enumerate() {
            out.text(&format!("{name} forward {index} {}", variant(&step.kernel)));
            self.before(&forward, commands, out);
            let mut alone = plan.clone();
            alone.forward = vec![step.clone()];
            self.forward(&alone);
            out.memories(&self.memories());
        }
        if plan.backward.is_empty() {
            return;
        }
        let backward = Program::backward(plan, n, &self.config);
        for (index, (step, commands)) in plan.backward.iter().zip(&backward.steps).enumerate() {
            out.text(&format!("{name} backward {index} {}", variant(&step.kernel)));
            self.before(&backward, commands, out);
            let mut alone = plan.clone();
            alone.backward = vec![step.clone()];
            self.backward(&alone);
            out.memories(&self.memories());
        }
    }

    fn before(&mut self, program: &Program, commands: &[Command], out: &mut Words) {
        let mut memories = self.memories();
        memories.push((Place::Params, bits(&self.params)));
        memories.push((Place::Image, bits(&self.image)));
        memories.push((Place::LogitsGradient, bits(&self.logits_gradient)));
        memories.push((Place::AuxGradient, bits(&self.aux_gradient)));
        memories.push((Place::Draws, program.draw(self.n, &self.config)));
        // No number, so that what nobody wrote is noticed.
        memories.push((Place::Scratch, vec![u32::MAX; scratch_len(commands)]));
        out.memories(&memories);
        out.number(commands.len());
        commands.iter().for_each(|command| out.command(command));
    }

    /// What a step may change.
    fn memories(&mut self) -> Vec<(Place, Vec<u32>)> {
        vec![
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

/// The whole arena, read as one more buffer that begins where it does.
fn arena<'w>(plan: &Plan, workspace: &'w mut CpuWorkspace, n: usize) -> &'w [f32] {
    let ty = TensorType::new(plan.arena_len, 1, 1);
    let node = plan.buffers[0].node;
    let whole = Buffer { node, content: Content::Value, ty, offset: 0, lifetime: [0, 0] };
    let mut plan = plan.clone();
    plan.buffers = vec![whole];
    let view = View { buffer: BufferId(0), channel: 0, channels: ty.channels };
    workspace.values(&plan, view, n)
}

/// Numbers of the scratch that a step needs.
fn scratch_len(commands: &[Command]) -> usize {
    let regions = commands.iter().flat_map(Command::regions);
    let scratch = regions.filter(|region| region.place == Place::Scratch);
    scratch.map(|region| region.start + region.len).max().unwrap_or(0)
}

/// The name of an enum's variant.
fn variant(kernel: &impl std::fmt::Debug) -> String {
    let text = format!("{kernel:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}
