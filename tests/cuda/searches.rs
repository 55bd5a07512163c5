//! Searches whose children are trained on cards.

#![cfg(feature = "cli")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cellc::data::{DataSpec, LoadConfig, load_with};
use cellc::device::cuda::Cuda;
use cellc::device::{AnyDevice, Cpu};
use cellc::search::{
    ChildConfig, ChildScale, EnasConfig, Event, RunFolder, SearchConfig, SearchHistory,
    StrategyConfig, TrainEvaluator, run,
};
use cellc::source::SourceFile;
use cellc::train::TrainConfig;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::distance;

/// How many kernels a card ran in processes that were told to say so in `folder`.
fn launches(folder: &Path, card: usize) -> u64 {
    let text = fs::read_to_string(folder.join(format!("launches-{card}")));
    text.unwrap_or_default().parse().unwrap_or(0)
}

/// `cellc` in a folder, with two cards.
fn cellc(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
    command
        .args(args)
        .current_dir(folder)
        .env("CELLC_CARDS", "2")
        .env("XDG_CACHE_HOME", folder)
        .env("NO_COLOR", "1");
    command
}

/// Four children on a few digits.
const SEARCH: [&str; 11] = [
    "search",
    "nasnet_space.cell",
    "--data",
    "digits",
    "--limit",
    "60",
    "--strategy",
    "random",
    "--trials",
    "4",
    "--epochs=1",
];

#[test]
#[ignore = "needs the stand-ins of tests/cuda/build.sh"]
fn workers_of_a_search_have_cards_of_their_own_with_stand_ins() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--workers", "2", "--device", "cuda", "--out", "run"];
    let output = cellc(folder.path(), &[&SEARCH[..], &more].concat())
        .env("CELLC_LAUNCHES", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for card in [0, 1] {
        assert!(launches(folder.path(), card) > 100, "card {card} has trained");
    }
}

#[cfg(all(feature = "nats", unix))]
#[test]
#[ignore = "needs the stand-ins of tests/cuda/build.sh"]
fn workers_of_a_queue_train_on_cards_with_stand_ins() {
    use crate::setup::{Process, Server, ledger};

    let Some(server) = Server::start() else { return };
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url());
    let folder = folder.path();
    let start = |name: &str, args: &[&str]| {
        let mut command = cellc(folder, args);
        if name == "worker" {
            command.env("CELLC_LAUNCHES", folder);
        }
        Process::start(command, &folder.join(format!("{name}.log")))
    };
    let there = ["--queue", &url, "--name", "there"];
    let mut there = start("there", &[&SEARCH[..], &there].concat());
    let worker = ["worker", "--queue", &url, "--data", "digits", "--limit", "60", "--idle", "10"];
    let cards = ["--workers", "2", "--device", "cuda"];
    let mut worker = start("worker", &[&worker[..], &cards].concat());
    there.succeed();
    // The stand-ins tell when a card is closed.
    worker.succeed();
    for card in [0, 1] {
        assert!(launches(folder, card) > 100, "card {card} has trained");
    }
    let here = [&SEARCH[..], &cards, &["--name", "here"]].concat();
    start("here", &here).succeed();
    assert_eq!(ledger(folder, "there").len(), 4);
    assert_eq!(ledger(folder, "there"), ledger(folder, "here"));
}

#[cfg(feature = "nats")]
#[test]
#[ignore = "needs the stand-ins of tests/cuda/build.sh"]
fn a_worker_without_its_card_ends_before_it_asks_for_a_job_with_stand_ins() {
    let folder = tempfile::tempdir().unwrap();
    let said = |more: &[&str]| {
        let args = [&["worker", "--queue", "nats://127.0.0.1:9"], more].concat();
        let output = cellc(folder.path(), &args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "it cannot work");
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = said(&["--device", "cuda:0,cuda:3", "--precision", "tf32"]);
    assert!(missing.contains("there is no cuda:3: the driver finds 2"), "{missing}");
    // Cards that are there are no reason to end.
    let lonely = said(&["--device", "cuda", "--precision", "tf32"]);
    assert!(lonely.contains("cannot connect"), "{lonely}");
}

const SPACE: &str = "\
space small {
    ops = { sep<3>, conv_bn<1>, max<3>, id }
    cell normal(h, prev) {
        a = squeeze(h)
        b = fit(prev)
        repeat 2 as n { ?ops(?earlier) + ?ops(?earlier) }
        out concat(unused)
    }
    cell reduction(h, prev) stride 2 = normal
}
";

/// The tensors of a file by their names.
fn numbers(bytes: &[u8]) -> BTreeMap<String, Vec<f32>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let named = |(name, tensor): (String, TensorView<'_>)| {
        (name, tensor.data().chunks_exact(4).map(number).collect())
    };
    file.tensors().into_iter().map(named).collect()
}

/// Shares weights for some epochs and trains two children; with what is left of the weights after the first epoch.
fn shared(device: impl Into<AnyDevice>) -> (SearchHistory, BTreeMap<String, Vec<f32>>) {
    let load = LoadConfig { limit: Some(150), ..LoadConfig::default() };
    let child = ChildConfig {
        scale: ChildScale { base: 2, ..ChildScale::default() },
        train: TrainConfig {
            epochs: 1,
            batch: 30,
            lr: 0.1,
            clip_norm: Some(1.0),
            ..TrainConfig::default()
        },
        ..ChildConfig::default()
    };
    let data = load_with(&DataSpec::Digits, &load).unwrap();
    let file = SourceFile::new("small.cell", SPACE);
    let evaluator = TrainEvaluator::new(&file, data, "digits", child, 0).unwrap();
    let evaluator = evaluator.with_devices(vec![device.into()]);
    let enas = EnasConfig {
        epochs: 2,
        lr_period: 2,
        controller_updates: 2,
        controller_batch: 3,
        samples: 3,
        batch_size: 2,
        dropout: 0.1,
        ..EnasConfig::default()
    };
    let strategy = StrategyConfig::Enas(enas);
    let config =
        SearchConfig { seed: 7, trials: 2, workers: 1, strategy, ..SearchConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let mut first = None;
    let mut on_event = |event: Event<'_>| {
        if let Event::Learned { .. } = event {
            first.get_or_insert_with(|| {
                let bytes = fs::read(folder.path().join("shared.safetensors")).unwrap();
                numbers(&bytes)
            });
        }
        ControlFlow::Continue(())
    };
    let run_folder = RunFolder::Resume(folder.path().into());
    let clock = || Duration::ZERO;
    let found = run(evaluator.space(), &evaluator, &config, &run_folder, &clock, &mut on_event);
    (found.unwrap(), first.unwrap())
}

/// An epoch, in which several children move the store one after the other, comes to the same. Later ones draw their
/// children from a controller whose rewards are counts of correct images, which may differ by one.
#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn weights_shared_on_a_card_equal_the_cpus() {
    let (found, weights) = shared(Cuda::open(0).unwrap());
    let (expected, expected_weights) = shared(Cpu::default());
    let [first, expected_first] = [&found, &expected].map(|history| &history.learned[0]);
    assert!((first.train_loss - expected_first.train_loss).abs() < 1e-5);
    assert_eq!(first.params, expected_first.params);
    let names = |weights: &BTreeMap<String, Vec<f32>>| weights.keys().cloned().collect();
    let names: [Vec<String>; 2] = [&weights, &expected_weights].map(names);
    assert_eq!(names[0], names[1]);
    let mut moved = 0;
    for name in names[0].iter().filter(|name| !name.starts_with("controller.")) {
        let worst = distance(&weights[name], &expected_weights[name]);
        assert!(worst < 1e-5, "{name} differs by {worst}");
        let velocity = &expected_weights[name];
        moved += usize::from(name.starts_with("velocity.") && velocity.iter().any(|v| *v != 0.0));
    }
    assert!(moved > 50, "{moved} places have moved");
    assert_eq!(found.trials.len(), 2);
    assert!(found.trials.iter().all(|record| record.outcome.is_ok()));

    // On the same card it is the same bits.
    assert_eq!(shared(Cuda::open(0).unwrap()), (found, weights));
}
