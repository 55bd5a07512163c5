//! The time of each kind of kernel, beside what this machine could do at best.
//!
//! The roofline (Williams, Waterman and Patterson, 2009) of a step is the longer of two times: its
//! multiply-adds at the speed of a large matrix product, and its bytes at the speed of a large copy. Both
//! speeds are measured here, in the same run. Maps that stay in a cache can be faster than that.

use std::collections::BTreeMap;
use std::time::Instant;

use cellc::device::cpu::{ConvSizes, Kernels};
use cellc::device::{
    BackwardPass, Cpu, CpuWorkspace, Device, ForwardPass, RunConfig, Statistics, Version,
};
use cellc::graph::{Padding, Window};
use cellc::network::Network;
use cellc::plan::{Mode, Parts, Plan, Work};
use serde_json::{Value, json};

use super::super::table::table;
use super::rounded;

/// Speeds that kernels are measured by.
#[derive(Clone, Copy)]
struct Roofline {
    /// Of a matrix product, a multiply-add counted as two.
    gflops: f64,
    /// Of a copy, bytes read and bytes written.
    gb_per_s: f64,
}

/// All steps of one kind.
#[derive(Clone, Copy, Default)]
struct Row {
    calls: usize,
    seconds: f64,
    macs: f64,
    bytes: f64,
    /// Seconds at the roofline.
    floor: f64,
}

/// Times by kind of kernel.
pub struct Profile {
    roofline: Roofline,
    rows: BTreeMap<String, Row>,
}

/// Runs a plan `repeats` times, two more to warm up, and takes the fastest run of every step.
pub fn of(plan: &Plan, network: &Network, batch: usize, repeats: usize) -> Profile {
    let roofline = Roofline::measure();
    let mut run = Run::new(plan, network, batch);
    let mut fastest = vec![f64::INFINITY; plan.forward.len() + plan.backward.len()];
    for repeat in 0..super::WARM_UP + repeats {
        let seconds = run.steps();
        if repeat >= super::WARM_UP {
            for (fastest, seconds) in fastest.iter_mut().zip(seconds) {
                *fastest = seconds.min(*fastest);
            }
        }
    }
    let works = plan.forward_groups.iter().flat_map(|group| match group.parts {
        Parts::Places => vec![plan.forward_group_work(group)],
        Parts::Channels => {
            let steps = &plan.forward[group.steps.clone()];
            steps.iter().map(|step| plan.forward_work(&step.kernel)).collect()
        }
    });
    let works = works.chain(plan.backward.iter().map(|step| plan.backward_work(&step.kernel)));
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (Work { kind, macs, bytes }, seconds) in works.zip(fastest) {
        let (macs, bytes) = ((macs * batch as u64) as f64, (bytes * batch as u64) as f64);
        let row = rows.entry(kind).or_default();
        row.calls += 1;
        row.seconds += seconds;
        row.macs += macs;
        row.bytes += bytes;
        row.floor += (2e-9 * macs / roofline.gflops).max(1e-9 * bytes / roofline.gb_per_s);
    }
    Profile { roofline, rows }
}

/// A plan with all that it runs on.
struct Run<'a> {
    plan: &'a Plan,
    batch: usize,
    params: Vec<f32>,
    version: Version,
    gradients: Vec<f32>,
    statistics: Vec<f32>,
    image: Vec<f32>,
    logits: Vec<f32>,
    workspace: CpuWorkspace,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, network: &Network, batch: usize) -> Run<'a> {
        let mut workspace = CpuWorkspace::default();
        let Ok(()) = Cpu::default().prepare(plan, batch, &mut workspace);
        let noise = super::noise(network, batch);
        let image = noise.pixels().unwrap_or_default().iter().map(|&p| f32::from(p) / 64.0 - 2.0);
        Run {
            plan,
            batch,
            params: network.params().flat.as_vec(),
            version: Version::fresh(),
            gradients: vec![0.0; plan.params_len],
            statistics: network.statistics().to_vec(),
            image: image.collect(),
            logits: vec![0.0; batch * plan.classes],
            workspace,
        }
    }

    /// One forward and, in training, one backward pass: the seconds of every step.
    fn steps(&mut self) -> Vec<f64> {
        let (device, config) = (Cpu::default(), RunConfig::default());
        let mut seconds = Vec::new();
        let statistics = match self.plan.mode {
            Mode::Train { .. } => Statistics::Update(&mut self.statistics),
            Mode::Infer => Statistics::Running(&self.statistics),
        };
        let pass = ForwardPass {
            batch: self.batch,
            params: &self.params,
            version: Some(self.version),
            statistics,
            image: &self.image,
            logits: &mut self.logits,
            aux: None,
        };
        let mut last = Instant::now();
        let mut lap = || {
            let now = Instant::now();
            seconds.push((now - last).as_secs_f64());
            last = now;
        };
        let plan = self.plan;
        device.forward_stepwise(plan, &mut self.workspace, &config, pass, &mut |_| lap());
        if self.plan.backward.is_empty() {
            return seconds;
        }
        let pass = BackwardPass {
            batch: self.batch,
            params: &self.params,
            logits: &self.logits,
            aux: None,
            gradients: &mut self.gradients,
            image: None,
        };
        device.backward_stepwise(plan, &mut self.workspace, &config, pass, &mut |_| lap());
        seconds
    }
}

impl Roofline {
    /// The fastest of a few products of `[256, 256]` and `[256, 16384]`, and of a few copies of 64 MiB.
    fn measure() -> Roofline {
        let kernels = Kernels::detect();
        let (channels, side) = (256, 128);
        let window = Window::new([1, 1], [1, 1], [1, 1], Padding::Same, [side, side])
            .expect("a 1x1 window fits into any map");
        let weight = vec![0.5; channels * channels];
        let x = vec![0.5; channels * side * side];
        let mut y = vec![0.0; x.len()];
        let product = fastest(8, || {
            let (x, y) = (&x, &mut y);
            let sizes = ConvSizes { window: &window, n: 1, ci: channels, co: channels, groups: 1 };
            kernels.conv_forward(sizes, x, &weight, false, None, y, false);
        });
        let from = vec![0.5; 16 << 20];
        let mut to = vec![0.0; from.len()];
        let copy = fastest(8, || kernels.copy_or_add(&from, &mut to, false));
        Roofline {
            gflops: 2e-9 * (x.len() * channels) as f64 / product,
            gb_per_s: 1e-9 * (2 * size_of_val(&from[..])) as f64 / copy,
        }
    }
}

fn fastest(repeats: usize, mut f: impl FnMut()) -> f64 {
    let mut fastest = f64::INFINITY;
    for _ in 0..repeats {
        let start = Instant::now();
        f();
        fastest = start.elapsed().as_secs_f64().min(fastest);
    }
    fastest
}

impl Profile {
    /// The rows by time, and their sum.
    fn sorted(&self) -> (Vec<(&str, Row)>, Row) {
        let mut rows: Vec<(&str, Row)> =
            self.rows.iter().map(|(kind, &row)| (kind.as_str(), row)).collect();
        rows.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
        let total = rows.iter().fold(Row::default(), |sum, (_, row)| Row {
            calls: sum.calls + row.calls,
            seconds: sum.seconds + row.seconds,
            macs: sum.macs + row.macs,
            bytes: sum.bytes + row.bytes,
            floor: sum.floor + row.floor,
        });
        (rows, total)
    }

    /// The table for people.
    pub fn text(&self) -> String {
        let titles = ["kernel", "calls", "ms", "share", "GFLOP/s", "GB/s", "times the roofline"];
        let mut lines = vec![titles.map(String::from).to_vec()];
        let (rows, total) = self.sorted();
        for (kind, row) in rows.into_iter().chain([("all", total)]) {
            lines.push(vec![
                kind.into(),
                row.calls.to_string(),
                format!("{:.3}", 1e3 * row.seconds),
                format!("{:.1} %", 100.0 * row.seconds / total.seconds),
                format!("{:.1}", row.gflops()),
                format!("{:.1}", row.gb_per_s()),
                format!("{:.1}", row.seconds / row.floor),
            ]);
        }
        let Roofline { gflops, gb_per_s } = self.roofline;
        let roofline = format!(
            "\nroofline: a matrix product at {gflops:.1} GFLOP/s, a copy at {gb_per_s:.1} GB/s\n"
        );
        table(&lines, 1) + &roofline
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let (rows, total) = self.sorted();
        let kernels = rows.into_iter().map(|(kind, row)| {
            json!({
                "kernel": kind,
                "calls": row.calls,
                "ms": rounded(1e3 * row.seconds),
                "share": row.seconds / total.seconds,
                "gflops": rounded(row.gflops()),
                "gb_per_s": rounded(row.gb_per_s()),
                "times_the_roofline": rounded(row.seconds / row.floor),
            })
        });
        json!({
            "roofline_gflops": rounded(self.roofline.gflops),
            "roofline_gb_per_s": rounded(self.roofline.gb_per_s),
            "ms": rounded(1e3 * total.seconds),
            "times_the_roofline": rounded(total.seconds / total.floor),
            "kernels": kernels.collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn gflops(&self) -> f64 {
        2e-9 * self.macs / self.seconds
    }

    fn gb_per_s(&self) -> f64 {
        1e-9 * self.bytes / self.seconds
    }
}
