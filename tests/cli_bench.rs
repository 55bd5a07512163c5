//! `cellc bench` as a program: its fields and counts. What it times is no matter of tests.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use cellc::compile::{self, Request};
use cellc::graph::Graph;
use cellc::graph::cost::Cost;
use cellc::plan::{Forward, Group, Mode, Parts, Plan};
use cellc::source::SourceFile;
use serde_json::Value;

const TRAIN: Mode = Mode::Train { dropout: false, drop_path: false, image_gradient: false };

fn bench(kernels: Option<&str>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
    let network = ["--cell", "nasnet_a", "--net", "cifar", "--scale", "1@24", "--batch", "3"];
    command.arg("bench").args(args).args(network).args(["--steps", "1", "--threads", "1"]);
    command.env("NO_COLOR", "1").env_remove("CELLC_KERNELS");
    if let Some(kernels) = kernels {
        command.env("CELLC_KERNELS", kernels);
    }
    command.output().unwrap()
}

/// Runs and expects success; gives stdout.
fn fine(kernels: Option<&str>, args: &[&str]) -> String {
    let output = bench(kernels, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

/// The network that `bench` is asked for.
fn graph() -> Graph {
    let text = compile::embedded("nasnet_a.cell").unwrap();
    let module = compile::check(&SourceFile::new("nasnet_a.cell", text)).unwrap();
    compile::network(&module, &Request::new("cifar", "1@24".parse().unwrap())).unwrap().graph
}

#[test]
fn one_line_has_the_fields_of_the_script_for_pytorch() {
    let params = Cost::of(&graph()).total.params;
    for (what, timed, other) in
        [("train", "train_step_ms", "infer_ms"), ("infer", "infer_ms", "train_step_ms")]
    {
        let report = json(&fine(None, &[what, "--json"]));
        assert_eq!((&report["scale"], &report["net"]), (&"1@24".into(), &"cifar".into()));
        assert_eq!((&report["batch"], &report["steps"]), (&3.into(), &1.into()));
        assert_eq!((&report["threads"], &report["params"]), (&1.into(), &params.into()));
        assert_eq!(report["precision"], "f32");
        assert!(report[timed].as_f64().unwrap() > 0.0 && report[other].is_null(), "{report}");
        assert!(report["plan_ms"].as_f64().unwrap() > 0.0, "{report}");
        if cfg!(target_os = "linux") {
            assert!(report["peak_rss_mib"].as_f64().unwrap() > 0.0, "{report}");
        }
        let mode = if what == "train" { TRAIN } else { Mode::Infer };
        let bytes = Plan::new(&graph(), mode).arena_bytes(3, size_of::<f32>()) as f64;
        let error = report["workspace_mib"].as_f64().unwrap() - bytes / (1 << 20) as f64;
        assert!(error.abs() <= 0.005, "{report}");
    }
}

/// Large enough that the program itself and the buffers of its threads are a small part.
#[test]
#[cfg(target_os = "linux")]
fn training_takes_the_memory_that_stats_says() {
    let network = ["--net", "cifar", "--scale", "1@96", "--batch", "32"];
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
        command.args(args).args(network).env_remove("CELLC_KERNELS");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        json(&String::from_utf8(output.stdout).unwrap())
    };
    let stats = run(&["stats", "nasnet_a", "--format", "json"]);
    let planned = stats["memory"]["training_bytes"].as_f64().unwrap() / f64::from(1 << 20);
    let bench =
        ["bench", "train", "--json", "--cell", "nasnet_a", "--steps", "2", "--threads", "2"];
    let bench = run(&bench);
    assert!((bench["planned_mib"].as_f64().unwrap() - planned).abs() <= 0.005, "{bench}");
    let grown = bench["grown_mib"].as_f64().unwrap();
    assert!((grown / planned - 1.0).abs() < 0.1, "planned {planned} MiB, grown by {grown} MiB");
}

#[test]
fn a_profile_counts_every_step_of_the_plan() {
    let plan = Plan::new(&graph(), TRAIN);
    let forward = plan.forward.iter().map(|step| plan.forward_work(&step.kernel).kind);
    let backward = plan.backward.iter().map(|step| plan.backward_work(&step.kernel).kind);
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    forward.chain(backward).for_each(|kind| *calls.entry(kind).or_default() += 1);

    let report = json(&fine(Some("portable"), &["train", "--json", "--profile"]));
    let rows = report["profile"]["kernels"].as_array().unwrap();
    let found = rows
        .iter()
        .map(|row| (row["kernel"].as_str().unwrap().to_owned(), row["calls"].as_u64().unwrap()));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), calls);
    let shares: f64 = rows.iter().map(|row| row["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");

    let text = fine(None, &["infer", "--profile"]);
    assert!(text.contains("\ndepthwise 5x5 ") && text.contains("\nall "), "{text}");
    assert!(text.lines().last().unwrap().starts_with("roofline: a matrix product at "), "{text}");
}

#[test]
fn the_work_of_a_plan_is_that_of_its_graph() {
    let graph = graph();
    let plan = Plan::new(&graph, TRAIN);
    let works = plan.forward.iter().map(|step| plan.forward_work(&step.kernel));
    let forward: u64 = works.map(|work| work.macs).sum();
    assert_eq!(forward, Cost::of(&graph).total.macs);
    // The gradient of the weights and that of the input take as many each, but the image has none.
    let works = plan.backward.iter().map(|step| plan.backward_work(&step.kernel));
    let backward: u64 = works.map(|work| work.macs).sum();
    let stem = 3 * 3 * 3 * 3 * 32 * 32;
    assert_eq!(backward, 2 * forward - stem);
}

#[test]
fn the_work_of_a_group_leaves_out_what_lies_between_its_steps() {
    let plan = Plan::new(&graph(), Mode::Infer);
    let is_pair = |group: &&Group| group.parts == Parts::Places;
    let group = plan.forward_groups.iter().find(is_pair).expect("separable convolutions");
    let [first, second] = [group.steps.start, group.steps.start + 1]
        .map(|step| plan.forward_work(&plan.forward[step].kernel));
    let Forward::DepthwiseConv { y, .. } = plan.forward[group.steps.start].kernel else {
        panic!("{group:?} begins with a depthwise convolution")
    };
    let between = 4 * (y.channels * plan.area(y)) as u64;
    let work = plan.forward_group_work(group);
    assert_eq!(work.kind, format!("{} + {}", first.kind, second.kind));
    assert_eq!(work.macs, first.macs + second.macs);
    assert_eq!(work.bytes, first.bytes + second.bytes - 2 * between);

    let report = json(&fine(None, &["infer", "--json", "--profile"]));
    let rows = report["profile"]["kernels"].as_array().unwrap();
    let calls: u64 = rows.iter().map(|row| row["calls"].as_u64().unwrap()).sum();
    let pairs = plan.forward_groups.iter().filter(is_pair).count();
    assert_eq!(calls as usize, plan.forward.len() - pairs);
    assert!(rows.iter().any(|row| row["kernel"] == work.kind), "{rows:?}");
}

#[test]
fn kernels_that_nobody_has_are_refused() {
    for (kernels, reason) in [("sse", "known are portable, avx2, avx512"), ("", "known are")] {
        let output = bench(Some(kernels), &["infer"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("CELLC_KERNELS") && text.contains(reason), "{text}");
        assert!(output.stdout.is_empty());
    }
}
