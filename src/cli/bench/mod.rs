//! `cellc bench`: how long a training step or an inference takes here, and where the time goes.
//!
//! The images are noise of a named random stream: a network is as fast on noise as on photographs.

mod profile;

use std::time::Instant;

use cellc::compile::Request;
use cellc::data::{Images, Whitening};
use cellc::device::AnyDevice;
use cellc::error::Error;
use cellc::graph::TensorType;
use cellc::network::Network;
use cellc::plan::{Mode, Plan};
use cellc::rng::{Purpose, stream};
use cellc::train::{TrainConfig, TrainMemory, TrainSet, Trainer};
use dfdx::prelude::{Cpu, Module, TensorFromVec};
use rand::RngCore;
use serde_json::{Value, json};

use super::args::{BenchArgs, Timed};
use super::input::{self, Failure};
use super::{output, use_threads};

/// Steps before the first that is timed: they touch the memory and wake the threads.
const WARM_UP: usize = 2;

/// Prints the median time of a step, with the network's size and the peak of memory.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    use_threads(args.threads)?;
    let device = args.device.open()?;
    if args.profile && !matches!(device, AnyDevice::Cpu(_)) {
        return Err(Error::Config {
            setting: "profile",
            value: args.device.device.to_string(),
            reason: "only the processor's kernels are timed one by one".into(),
        }
        .into());
    }
    let source = input::read(&args.cell)?;
    let start = Instant::now();
    let input = input::check(source)?;
    let (net, scale) = (input.net(&args.net).to_owned(), input.scale(&args.net)?);
    let lowered = input.network(&Request::new(&*net, scale))?;
    let mut network = Network::new(&lowered.graph, 0);
    network.set_device(device);
    let plan = Plan::new(&lowered.graph, mode(args.what));
    let plan_ms = milliseconds(start);

    let (batch, steps) = (args.batch.get(), args.steps.get());
    let config = TrainConfig { epochs: 1, batch, ..TrainConfig::default() };
    let images = noise(&network, batch * steps_made(args.what, steps));
    let before = memory_mib("VmRSS:");
    let times = match args.what {
        Timed::Train => train(&mut network, &images, &config, steps)?,
        Timed::Infer => infer(&network, &images, steps)?,
    };
    let peak_rss_mib = memory_mib("VmHWM:");
    let grown_mib = peak_rss_mib.zip(before).map(|(peak, before)| rounded(peak - before));
    let precision = network.device().precision();
    let workspace = plan.arena_bytes(batch, precision.value_bytes());
    let planned = match args.what {
        Timed::Train => TrainMemory::of(&lowered.graph, &config, precision).total(),
        Timed::Infer => plan.inference_bytes(batch, precision.value_bytes()),
    };
    let median_if = |what: Timed| (what == args.what).then(|| rounded(times[times.len() / 2]));
    let mut report = json!({
        "program": concat!("cellc ", env!("CARGO_PKG_VERSION")),
        "cell": input.source.name,
        "net": net,
        "scale": scale.to_string(),
        "batch": batch,
        "steps": steps,
        "threads": rayon::current_num_threads(),
        "device": network.device().to_string(),
        "precision": precision.to_string(),
        "params": network.layout().params_len(),
        "train_step_ms": median_if(Timed::Train),
        "infer_ms": median_if(Timed::Infer),
        "fastest_ms": rounded(times[0]),
        "plan_ms": rounded(plan_ms),
        "workspace_mib": rounded(workspace as f64 / MIB),
        "planned_mib": rounded(planned as f64 / MIB),
        "grown_mib": grown_mib,
        "peak_rss_mib": peak_rss_mib.map(f64::floor),
    });
    let profile = args.profile.then(|| profile::of(&plan, &network, batch, steps));
    if args.json {
        if let Some(profile) = &profile {
            report["profile"] = profile.json();
        }
        return output(&format!("{report}\n"));
    }
    let table = profile.map(|profile| format!("\n{}", profile.text())).unwrap_or_default();
    output(&(text(&report) + &table))
}

/// Bytes in a MiB.
const MIB: f64 = (1 << 20) as f64;

fn mode(what: Timed) -> Mode {
    match what {
        Timed::Train => Mode::Train { dropout: false, drop_path: false, image_gradient: false },
        Timed::Infer => Mode::Infer,
    }
}

/// Batches of images that are needed.
fn steps_made(what: Timed, steps: usize) -> usize {
    match what {
        Timed::Train => WARM_UP + steps,
        Timed::Infer => 1,
    }
}

/// Milliseconds of training steps, sorted.
fn train(
    network: &mut Network,
    images: &Images,
    config: &TrainConfig,
    steps: usize,
) -> Result<Vec<f64>, Error> {
    let whitening = Whitening::of(images)?;
    let indices: Vec<usize> = (0..images.len()).collect();
    let set = TrainSet { images, whitening: &whitening, train: &indices, validation: &[] };
    let mut trainer = Trainer::new(network, set, config)?;
    timed(steps, || trainer.advance(&mut |_| ()).map(drop))
}

/// Milliseconds of forward passes, sorted.
fn infer(network: &Network, pixels: &Images, steps: usize) -> Result<Vec<f64>, Error> {
    let TensorType { channels, height, width } = network.graph().ty(network.graph().input);
    let batch = pixels.len();
    let pixels: Vec<f32> =
        pixels.pixels().unwrap_or_default().iter().map(|&p| f32::from(p) / 64.0 - 2.0).collect();
    let images = Cpu::default().try_tensor_from_vec(pixels, (batch, channels, height, width))?;
    timed(steps, || {
        let logits = network.try_forward(images.clone());
        logits.map(drop).map_err(|error| network.fault_behind(error))
    })
}

/// Noise of the shape that the network reads, with labels of its classes.
fn noise(network: &Network, images: usize) -> Images {
    let graph = network.graph();
    let (ty, classes) = (graph.ty(graph.input), graph.ty(graph.output).channels);
    let mut rng = stream(0, Purpose::Bench, 0);
    let mut pixels = vec![0; images * ty.elements()];
    rng.fill_bytes(&mut pixels);
    let labels = (0..images).map(|_| (rng.next_u32() as usize % classes) as u16).collect();
    Images::new(pixels, labels, ty)
}

/// Milliseconds of each call after the warm-up, sorted.
fn timed(steps: usize, mut f: impl FnMut() -> Result<(), Error>) -> Result<Vec<f64>, Error> {
    for _ in 0..WARM_UP {
        f()?;
    }
    let mut times = Vec::with_capacity(steps);
    for _ in 0..steps {
        let start = Instant::now();
        f()?;
        times.push(milliseconds(start));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// To hundredths.
fn rounded(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Memory of this process, where the system says: what it has (`VmRSS:` of Linux) or the most that it has had
/// (`VmHWM:`).
fn memory_mib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kib) / 1024.0)
}

/// The report as lines of `name value`, without what was not measured.
fn text(report: &Value) -> String {
    let fields = report.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name:<14} {text}\n"),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => {
                format!("{name:<14} {value}\n")
            }
        })
        .collect()
}
