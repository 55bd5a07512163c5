//! A run that is killed and goes on gives the bits of one that was never stopped.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CELLS: &str = "cell normal(h, prev) {
    a = sep<3>(squeeze(h)) + squeeze(fit(prev))
    b = avg<3>(a) + sep<3>(a)
    out concat(a, b)
}

cell reduction(h, prev) stride 2 {
    a = max<3>(squeeze(h)) + sep<3>(squeeze(h))
    out concat(a)
}
";

/// Everything that has a state: averages, what the optimizer remembers, and all that is drawn at random.
const OPTIONS: [&str; 25] = [
    "cells.cell",
    "--scale",
    "1@48",
    "--limit",
    "300",
    "--epochs",
    "4",
    "--batch",
    "16",
    "--optimizer",
    "rmsprop",
    "--lr",
    "0.003",
    "--ema-decay",
    "0.9",
    "--dropout",
    "0.2",
    "--drop-path",
    "0.3",
    "--cutout",
    "2",
    "--validation",
    "0.2",
    "--seed",
    "5",
];

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
    command.arg("train").args(OPTIONS).args(more).current_dir(folder).env("NO_COLOR", "1");
    command
}

fn run(folder: &Path, more: &[&str]) -> Output {
    command(folder, more).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A folder with the cells.
fn scratch() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cells.cell"), CELLS).unwrap();
    folder
}

/// What a run leaves behind.
fn results(folder: &Path) -> Vec<Vec<u8>> {
    let files = [
        "cells.safetensors",
        "run/last.safetensors",
        "run/best.safetensors",
        "run/history.jsonl",
        "run/report.html",
    ];
    files.map(|file| fs::read(folder.join(file)).unwrap()).to_vec()
}

#[test]
fn a_run_killed_at_any_moment_and_resumed_gives_the_same_bits() {
    let whole = scratch();
    let output = run(whole.path(), &["--run", "run"]);
    assert!(output.status.success(), "{}", said(&output));
    let expected = results(whole.path());
    assert_eq!(expected[3].iter().filter(|&&byte| byte == b'\n').count(), 4);

    // Without a folder the model is the same.
    let plain = scratch();
    assert!(run(plain.path(), &[]).status.success());
    assert!(fs::read(plain.path().join("cells.safetensors")).unwrap() == expected[0]);

    let killed = scratch();
    let state = killed.path().join("run/last.safetensors");
    let mut kills = 0;
    let finished = loop {
        let before = fs::read(&state).ok();
        let mut child = command(killed.path(), &["--run", "run", "--resume", "--save-every", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Each life goes a little further than the one before; how far into a step or into the writing of
        // a file it comes is up to the machine.
        let start = Instant::now();
        let has_moved = || fs::read(&state).ok() != before;
        while kills < 12
            && !has_moved()
            && child.try_wait().unwrap().is_none()
            && start.elapsed() < Duration::from_secs(60)
        {
            sleep(Duration::from_micros(300));
        }
        if kills < 12 {
            sleep(Duration::from_millis(2 * kills));
            child.kill().unwrap();
            kills += 1;
        }
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            break said(&output);
        }
        assert!(output.status.code().is_none(), "{}", said(&output));
    };
    assert_eq!(kills, 12);
    assert!(finished.contains("resumed behind step"), "{finished}");
    for (at, (found, expected)) in results(killed.path()).iter().zip(&expected).enumerate() {
        assert!(found == expected, "file {at} of the results differs");
    }

    // A run that is over can be resumed, which changes nothing.
    assert!(run(killed.path(), &["--run", "run", "--resume"]).status.success());
    assert!(results(killed.path()) == expected);
}

/// Nothing but validation images tells which epoch is the best.
#[test]
fn without_validation_images_the_best_model_is_said_to_be_the_last() {
    let folder = scratch();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
    let base = ["train", "cells.cell", "--scale", "1@48", "--limit", "100", "--epochs", "2"];
    command.args(base).args(["--run", "run"]).current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("best.safetensors is the last\n"), "{}", said(&output));
    let model = |file| {
        let (checkpoint, network) = cellc::train::restore(&folder.path().join(file)).unwrap();
        (checkpoint.val_accuracy, network.state_dict())
    };
    assert!(model("run/best.safetensors") == model("cells.safetensors"));
    assert_eq!(model("run/best.safetensors").0, None);
}

#[test]
fn a_run_is_resumed_only_as_what_it_was() {
    let folder = scratch();
    let options = ["--run", "run", "--epochs", "1"];
    // The epochs given last would be those above.
    let run_with = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
        let base = ["train", "cells.cell", "--scale", "1@48", "--limit", "100"];
        command.args(base).args(options).args(more).current_dir(folder.path());
        command.output().unwrap()
    };
    assert!(run_with(&[]).status.success());
    let refused = |more: &[&str], sentence: &str| {
        let output = run_with(more);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(sentence), "{}", said(&output));
    };
    refused(&[], "already has a run");
    refused(
        &["--resume", "--lr", "0.01"],
        "differs in its settings: lr is 0.025 there and 0.01 here",
    );
    let cutout = "differs in its settings: augment.cutout is 0 there and 2 here";
    refused(&["--resume", "--cutout", "2"], cutout);
    refused(&["--resume", "--init", "cells.safetensors"], "differs in its initial parameters");
    refused(
        &["--resume", "--validation", "0.1"],
        "differs in its number of training, validation or test images",
    );
    refused(&["--resume", "--net", "imagenet"], "differs in its net");

    // The state is neither a model nor a place for one.
    let path = folder.path().join("run/last.safetensors");
    let bytes = fs::read(&path).unwrap();
    refused(&["--resume", "--out", "run/last.safetensors"], "keeps a file of its own there");
    let eval = Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(["eval", "run/last.safetensors"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(said(&eval).contains("`best.safetensors` beside it"), "{}", said(&eval));
    assert!(fs::read(&path).unwrap() == bytes);

    // What a killed process left goes when the run goes on.
    let unfinished = folder.path().join("run/.last.safetensors.123.part");
    fs::write(&unfinished, b"half").unwrap();
    assert!(run_with(&["--resume"]).status.success());
    assert!(!unfinished.exists());

    for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..cut]).unwrap();
        refused(&["--resume"], "last.safetensors");
    }
    fs::write(&path, &bytes).unwrap();
    assert!(run_with(&["--resume"]).status.success());
}
