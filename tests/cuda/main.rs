//! Programs for cards, which need none; and, ignored unless asked for, runs on a card: a real one, or the stand-ins
//! that `build.sh` makes, found by the loader.

#![cfg(feature = "cuda")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

#[path = "../reference/graphs.rs"]
#[expect(dead_code, reason = "not all networks are of use here")]
mod graphs;
mod precision;
mod searches;
#[cfg(all(feature = "cli", feature = "nats", unix))]
#[path = "../queue/setup.rs"]
#[expect(dead_code, reason = "not all of it is of use here")]
mod setup;

use std::collections::BTreeSet;

use cellc::data::{DataSpec, load};
use cellc::device::cuda::{Arg, Command, Cuda, Place, Program, Region, kernel_names};
use cellc::device::{AnyDevice, Cpu, Precision, RunConfig};
use cellc::error::Error;
use cellc::graph::{Graph, Op, TensorType};
use cellc::network::Network;
use cellc::plan::{Mode, Plan};
use cellc::train::{Event, OptimizerKind, TrainConfig, TrainSet, TrainState, Trainer, accuracy};
use dfdx::nn::Module;
use dfdx::tensor::TensorFromVec;
use graphs::Wirer;

/// Convolutions of all kinds, normalizations, pools, a dense layer and an auxiliary head, for the digits.
fn small() -> Graph {
    let mut w = Wirer::new(TensorType::new(1, 8, 8));
    let image = w.graph.input;
    let stem = w.conv(image, 3, 1, 8);
    let stem = w.bn(stem);
    let a = w.relu(stem);
    let a = w.dwconv(a, 5, 1);
    let a = w.conv(a, 1, 1, 8);
    let a = w.bn(a);
    let b = w.maxpool(stem, 3, 1);
    let sum = w.add(Op::Add, &[a, b]);
    let c = w.avgpool(sum, 3, 1);
    let both = w.add(Op::Concat, &[sum, c]);
    let rectified = w.relu(both);
    let strided = w.dwconv(rectified, 3, 2);
    let d = w.conv_bn(strided, 1, 1, 16);
    let e = w.conv_bn(d, 3, 1, 16);
    let aux = w.relu(d);
    w.graph.aux = Some(w.head(aux, 10));
    let pooled = w.add(Op::GlobalAvgPool, &[e]);
    let dropped = w.add(Op::Dropout, &[pooled]);
    w.graph.output = w.add(Op::Dense { out_features: 10, bias: true }, &[dropped]);
    w.graph
}

/// Settings of a run: dropout, smoothed labels, averages, and gradients that are clipped in every step.
fn settings(optimizer: OptimizerKind) -> TrainConfig {
    let (batch, dropout, lr, clip_norm) = (20, 0.2, 0.01, Some(0.3));
    let (label_smoothing, ema_decay) = (0.1, 0.9);
    let default = TrainConfig::default();
    TrainConfig { optimizer, batch, dropout, lr, clip_norm, label_smoothing, ema_decay, ..default }
}

/// What is left of some steps on the digits.
struct Trained {
    network: Network,
    state: TrainState,
    losses: Vec<f64>,
    norms: Vec<f64>,
}

fn trained(device: impl Into<AnyDevice>, config: &TrainConfig, steps: usize) -> Trained {
    trained_as(&small(), device, config, steps)
}

fn trained_as(
    graph: &Graph,
    device: impl Into<AnyDevice>,
    config: &TrainConfig,
    steps: usize,
) -> Trained {
    let digits = load(&DataSpec::Digits).unwrap();
    let indices: Vec<usize> = (0..digits.train.len()).collect();
    let (images, whitening) = (&digits.train, &digits.whitening);
    let set = TrainSet { images, whitening, train: &indices, validation: &[] };
    let mut network = Network::new(graph, 3);
    network.set_device(device);
    let mut trainer = Trainer::new(&mut network, set, config).unwrap();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let on_event = &mut |event: &Event| {
            if let Event::Step { loss, grad_norm, .. } = event {
                losses.push(*loss);
                norms.push(*grad_norm);
            }
        };
        assert!(trainer.advance(on_event).unwrap());
    }
    let state = trainer.state().unwrap();
    trainer.finish().unwrap();
    Trained { network, state, losses, norms }
}

/// The largest difference.
fn distance<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| (a.into() - b.into()).abs()).fold(0.0, f64::max)
}

#[test]
fn programs_stay_within_a_cards_limits() {
    let graph = graphs::everything();
    let train = Mode::Train { dropout: true, drop_path: true, image_gradient: true };
    let names: BTreeSet<&str> = kernel_names().collect();
    let config = RunConfig::default();
    let precisions = [Precision::F32, Precision::Bf16];
    for (n, precision) in [1, 7, 32, 129].into_iter().flat_map(|n| precisions.map(|p| (n, p))) {
        let plan = Plan::new(&graph, train);
        let forward = Program::forward(&plan, n, &config, true, precision);
        let backward = Program::backward(&plan, n, &config, precision);
        assert_eq!(forward.steps.len(), plan.forward.len());
        assert_eq!(backward.steps.len(), plan.backward.len());
        for program in [&forward, &backward] {
            let inside = |region: Region| match region.place {
                Place::Arena => region.start + region.len <= plan.arena_len * n,
                Place::RoundedParams => precision == Precision::Bf16,
                _ => true,
            };
            for command in program.steps.iter().flatten() {
                let launch = match command {
                    Command::Launch(launch) => launch,
                    Command::Product(product) => {
                        // cuBLAS takes no factors of two kinds.
                        let stored =
                            [product.a, product.b].map(|side| side.region.place.holds_values());
                        assert!(precision != Precision::Bf16 || stored == [true; 2], "{product:?}");
                        continue;
                    }
                };
                assert!(names.contains(launch.kernel), "{}", launch.kernel);
                let threads = launch.block[0] * launch.block[1];
                assert!((1..=1024).contains(&threads), "{launch:?}");
                assert!(launch.grid[0] > 0 && (1..=65_535).contains(&launch.grid[1]), "{launch:?}");
                assert!(launch.shared_bytes <= 48 << 10, "{launch:?}");
                for arg in &launch.args {
                    assert!(!matches!(arg, Arg::Region(Some(r)) if !inside(*r)), "{launch:?}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn ten_steps_on_a_card_equal_the_cpus() {
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::RmsProp, OptimizerKind::Adam] {
        let config = settings(optimizer);
        let found = trained(Cuda::open(0).unwrap(), &config, 10);
        let expected = trained(Cpu::default(), &config, 10);
        assert!(distance(&found.losses, &expected.losses) < 1e-5, "{optimizer:?}");
        assert!(distance(&found.norms, &expected.norms) < 1e-4, "{optimizer:?}");
        assert!(
            expected.norms.iter().all(|norm| Some(*norm) > config.clip_norm),
            "all are clipped"
        );
        // Parameters, running statistics, what the optimizer remembers, and the averages.
        let names: Vec<&String> = found.state.tensors.keys().collect();
        assert_eq!(names, expected.state.tensors.keys().collect::<Vec<_>>());
        for (name, values) in &found.state.tensors {
            let worst = distance(values, &expected.state.tensors[name]);
            assert!(worst < 1e-5, "{optimizer:?}: {name} differs by {worst}");
        }
        assert_eq!(found.state.progress.correct, expected.state.progress.correct);
        let fresh = Network::new(&small(), 3).params().flat.as_vec();
        assert_ne!(expected.state.tensors["params"], fresh, "it has learned");

        // In use, and on another device than the one that trained.
        let digits = load(&DataSpec::Digits).unwrap();
        let indices: Vec<usize> = (0..100).collect();
        let measure = |network: &Network| {
            accuracy(network, &digits.test, &indices, &digits.whitening, 30).unwrap()
        };
        let mut moved = found.network.clone();
        moved.set_device(Cpu::default());
        assert_eq!(measure(&found.network), measure(&moved));
    }
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn the_same_steps_on_a_card_give_the_same_bits() {
    let state = || trained(Cuda::open(0).unwrap(), &settings(OptimizerKind::Sgd), 3).state;
    assert_eq!(state(), state());
}

/// What a card has of a network stays there from inference to inference, and must go when the network changes.
#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn inference_on_a_card_computes_with_the_network_as_it_is() {
    let mut network = Network::new(&small(), 3);
    network.set_device(Cuda::open(0).unwrap());
    let pixels = |n: usize| (0..n * 64).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let check = |network: &Network, what: &str| {
        let mut same = network.clone();
        same.set_device(Cpu::default());
        for n in [4, 4, 2, 4] {
            let x = dfdx::tensor::Cpu::default().tensor_from_vec(pixels(n), (n, 1, 8, 8));
            let (found, expected) = (network.forward(x.clone()).as_vec(), same.forward(x).as_vec());
            assert!(distance(&found, &expected) < 1e-5, "{what}: {found:?} {expected:?}");
        }
    };
    check(&network, "fresh");
    let params: Vec<f32> = network.params().flat.as_vec().iter().map(|p| p * 1.5).collect();
    network.params_mut().flat.copy_from(&params);
    check(&network, "other parameters");
    network.statistics_mut().iter_mut().for_each(|s| *s = *s * 0.5 + 0.25);
    check(&network, "other statistics");
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn a_run_on_a_card_goes_on_from_its_state_and_stops_at_what_is_not_finite() {
    let digits = load(&DataSpec::Digits).unwrap();
    let indices: Vec<usize> = (0..digits.train.len()).collect();
    let (images, whitening) = (&digits.train, &digits.whitening);
    let set = TrainSet { images, whitening, train: &indices, validation: &[] };
    let config = settings(OptimizerKind::Adam);
    let mut network = Network::new(&small(), 3);
    network.set_device(Cuda::open(0).unwrap());
    let mut second = network.clone();
    let mut trainer = Trainer::new(&mut network, set, &config).unwrap();
    let mut quiet = |_: &Event| ();
    for _ in 0..3 {
        trainer.advance(&mut quiet).unwrap();
    }
    let stopped = trainer.state().unwrap();
    let mut resumed = Trainer::new(&mut second, set, &config).unwrap();
    resumed.load_state(&stopped).unwrap();
    for _ in 0..2 {
        trainer.advance(&mut quiet).unwrap();
        resumed.advance(&mut quiet).unwrap();
    }
    assert_eq!(trainer.state().unwrap(), resumed.state().unwrap());

    let mut broken = stopped.clone();
    broken.tensors.get_mut("params").unwrap()[0] = f32::NAN;
    resumed.load_state(&broken).unwrap();
    let error = resumed.advance(&mut quiet).unwrap_err();
    assert!(matches!(error, Error::NotFinite { step: 3, .. }), "{error}");
    let bits = |state: &TrainState, name: &str| {
        state.tensors[name].iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
    };
    let kept = resumed.state().unwrap();
    for name in kept.tensors.keys().filter(|name| *name != "statistics") {
        assert_eq!(bits(&kept, name), bits(&broken, name), "{name}");
    }
}

/// Runs a test of this file in a process of its own, on two cards.
fn on_two_cards(test: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env("CELLC_CARDS", "2")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs the stand-ins of tests/cuda/build.sh"]
fn two_cards_train_as_one_with_stand_ins() {
    if std::env::var_os("CELLC_CARDS").is_none() {
        return on_two_cards("two_cards_train_as_one_with_stand_ins");
    }
    // Without normalizations and dropout an image knows nothing of the others.
    let mut w = Wirer::new(TensorType::new(1, 8, 8));
    let image = w.graph.input;
    let x = w.conv(image, 3, 1, 8);
    let x = w.relu(x);
    let x = w.dwconv(x, 3, 2);
    let x = w.conv(x, 1, 1, 12);
    w.graph.output = w.head(x, 10);
    let config = TrainConfig { dropout: 0.0, ..settings(OptimizerKind::RmsProp) };
    let cards = || vec![Cuda::open(1).unwrap(), Cuda::open(0).unwrap()];
    let found = trained_as(&w.graph, Cuda::together(cards()).unwrap(), &config, 5);
    let expected = trained_as(&w.graph, Cpu::default(), &config, 5);
    assert!(distance(&found.losses, &expected.losses) < 1e-5);
    assert!(distance(&found.norms, &expected.norms) < 1e-4);
    assert_eq!(found.state.progress.correct, expected.state.progress.correct);
    for (name, values) in &found.state.tensors {
        let worst = distance(values, &expected.state.tensors[name]);
        assert!(worst < 1e-5, "{name} differs by {worst}");
    }

    // Normalizations and masks are each card's own; the same steps give the same bits.
    let state = || {
        let config = settings(OptimizerKind::Sgd);
        trained(Cuda::together(cards()).unwrap(), &config, 3).state
    };
    assert_eq!(state(), state());
    let mut network = Network::new(&small(), 3);
    network.set_device(Cuda::together(cards()).unwrap());
    let digits = load(&DataSpec::Digits).unwrap();
    let indices: Vec<usize> = (0..digits.train.len()).collect();
    let (images, whitening) = (&digits.train, &digits.whitening);
    let set = TrainSet { images, whitening, train: &indices, validation: &[] };
    let odd = TrainConfig { batch: 21, ..config };
    let error = Trainer::new(&mut network, set, &odd).unwrap_err();
    assert!(error.to_string().contains("2 cards have equal parts"), "{error}");
}

/// What the program says of `--device` and more, with libraries in a folder and what the stand-ins are told.
#[cfg(feature = "cli")]
fn said(libraries: &std::path::Path, device: &str, settings: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(["train", "nasnet_a.cell", "--scale", "1@24", "--data", "idx:nowhere"])
        .arg("--device")
        .args(device.split(' '))
        .current_dir(folder.path())
        .env("LD_LIBRARY_PATH", libraries)
        .env("XDG_CACHE_HOME", folder.path())
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "it cannot train");
    String::from_utf8(output.stderr).unwrap()
}

#[cfg(feature = "cli")]
#[test]
#[ignore = "needs the stand-ins of tests/cuda/build.sh"]
fn what_is_missing_is_told_apart_with_stand_ins() {
    // rustup puts folders of its own before the one that was asked for.
    let paths = std::env::var_os("LD_LIBRARY_PATH").unwrap();
    let has_driver = |folder: &std::path::PathBuf| folder.join("libcuda.so.1").exists();
    let stand_ins = std::env::split_paths(&paths).find(has_driver).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let says = |device: &str, settings: &[(&str, &str)], part: &str| {
        let text = said(folder.path(), device, settings);
        assert!(text.contains(part), "{text}");
    };
    says("cuda", &[], "no NVIDIA driver is installed");
    let install = |name: &str| {
        std::fs::copy(stand_ins.join(name), folder.path().join(name)).unwrap();
    };
    install("libcuda.so.1");
    says("cuda", &[("CELLC_CARDS", "0")], "finds no card");
    says("cuda:3", &[("CELLC_CARDS", "2")], "there is no cuda:3: the driver finds 2");
    says("cuda", &[], "CUDA is not installed: NVRTC");
    install("libnvrtc.so.12");
    says("cuda", &[], "CUDA is not installed: cuBLAS");
    install("libcublas.so.12");
    let old = [("CELLC_DRIVER", "11080"), ("CELLC_NVRTC", "12040")];
    says("cuda", &old, "too old: it runs CUDA 11.8, and 12.4 is needed");
    // Everything is there: what is wrong now is something else.
    says("cuda", &[], "nowhere");
    says("cuda --precision bf16", &[], "nowhere");
    let turing = [("CELLC_CAPABILITY", "75")];
    says("cuda --precision bf16", &turing, "capability 8.0 or later, and this one has 7.5");
    says("cuda --precision tf32", &turing, "nowhere");
    let text = said(tempfile::tempdir().unwrap().path(), "auto", &[]);
    assert!(text.contains("nowhere"), "without a card `auto` is the processor: {text}");
}
