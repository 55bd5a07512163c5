//! `cellc train` driven as a user drives it: what it leaves alone, and what it says of what it is given.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cellc::compile::Request;
use cellc::graph::TensorType;
use cellc::source::SourceFile;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
    command.arg("train").args(args).current_dir(folder).env("NO_COLOR", "1");
    command
}

fn train(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs and expects success; gives stdout and the notes on stderr.
fn fine(folder: &Path, args: &[&str]) -> [String; 2] {
    let output = train(folder, args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    let said = stderr(&output);
    let notes = said.split_inclusive('\n').filter(|line| line.starts_with("note: ")).collect();
    [String::from_utf8_lossy(&output.stdout).into_owned(), notes]
}

/// Runs and expects exit code 1; gives stderr.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = train(folder, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
    stderr(&output)
}

/// A minute's work at most, of a network whose body is the library's.
const SMALL: [&str; 9] =
    ["nasnet_a", "--scale", "1@24", "--limit", "60", "--batch", "20", "--epochs", "1"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], more].concat()
}

#[test]
fn a_run_that_ends_early_leaves_the_model_of_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    fine(folder.path(), &with(&["--out", "m.safetensors"]));
    let model = fs::read(&path).unwrap();

    let diverges = ["--lr", "1e38", "--clip-norm", "0", "--epochs", "3", "--out", "m.safetensors"];
    let args = [&["nasnet_a", "--scale", "1@24", "--limit", "60", "--batch", "20"], &diverges[..]];
    let fault = refused(folder.path(), &args.concat());
    assert!(fault.contains("not finite"), "{fault}");
    assert!(fs::read(&path).unwrap() == model, "the model is what it was");

    let long = ["nasnet_a", "--scale", "1@24", "--epochs", "10000", "--out", "m.safetensors"];
    let mut child =
        command(folder.path(), &long).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(Duration::from_millis(700));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fs::read(&path).unwrap() == model, "the model is what it was");

    let fault = refused(folder.path(), &with(&["--out", "missing/m.safetensors"]));
    assert!(fault.contains("missing/m.safetensors"), "found before the first epoch: {fault}");
    assert!(!folder.path().join("missing").exists());
}

#[test]
fn a_net_that_only_the_recipe_names_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let base = ["darts_v2", "--scale", "2@64", "--limit", "20", "--epochs", "1", "--batch", "10"];
    let [text, notes] = fine(folder.path(), &base);
    assert!(text.starts_with("<darts_v2.cell> in net darts at 2@64: "), "{text}");
    assert_eq!(notes, "");
    let recipe = ["--recipe", "search-child"];
    let [text, notes] = fine(folder.path(), &[&base[..], &recipe].concat());
    assert!(text.starts_with("<darts_v2.cell> in net cifar at 2@64: "), "{text}");
    let note = "note: net `cifar` is that of the settings; <darts_v2.cell> is made for `darts`, --net darts\n";
    assert_eq!(notes, note);
    // It claims something about that net, too.
    let [_, notes] = fine(folder.path(), &with(&recipe));
    assert_eq!(notes, "");
}

#[test]
fn a_model_keeps_its_net_whatever_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    fine(folder.path(), &with(&["--out", "m.safetensors"]));
    let from = ["--from", "m.safetensors", "--recipe", "imagenet-large"];
    let [text, _] = fine(folder.path(), &[&from[..], &["--print-config"]].concat());
    assert!(text.contains("net = \"cifar\"\n") && text.contains("scale = \"1@24\"\n"), "{text}");
    fs::write(folder.path().join("c.toml"), "net = \"imagenet\"\nscale = \"4@1056\"\n").unwrap();
    let tune = ["--from", "m.safetensors", "--config", "c.toml", "--limit", "20", "--epochs", "1"];
    let [text, notes] = fine(folder.path(), &[&tune[..], &["--batch", "10"]].concat());
    assert!(text.contains(" in net cifar at 1@24: "), "{text}");
    let note = "note: net and scale are those of `m.safetensors`, cifar at 1@24, whatever the settings say\n";
    assert_eq!(notes, note);
}

#[test]
fn images_too_small_for_a_net_are_named() {
    let text = cellc::compile::embedded("nasnet_a.cell").unwrap();
    let cells = SourceFile::new("nasnet_a.cell", text);
    let request = Request::new("imagenet", "1@96".parse().unwrap());
    cellc::compile(&cells, &request, 0).unwrap();
    let tiny = request.with_data(TensorType::new(3, 3, 3), 10);
    let fault = cellc::compile(&cells, &tiny, 0).unwrap_err().to_string();
    let sentence = "no base width of net `imagenet` gives F = 96 for images of 3x3 pixels";
    assert!(fault.contains(sentence), "{fault}");
}

#[test]
fn frozen_parts_that_nobody_trained_are_told() {
    let folder = tempfile::tempdir().unwrap();
    fine(folder.path(), &with(&["--out", "m.safetensors"]));
    let tune = ["--from", "m.safetensors", "--limit", "20", "--epochs", "1", "--batch", "10"];
    let freeze = |parts: &'static str| [&tune[..], &["--freeze", parts]].concat();
    let fault = refused(folder.path(), &freeze("5,head"));
    assert!(fault.ends_with(": nothing would be left to train\n"), "{fault}");
    let [_, notes] = fine(folder.path(), &freeze("head"));
    assert!(notes.starts_with("note: the head is a fresh one with --from"), "{notes}");
    let [_, notes] = fine(folder.path(), &freeze("stem,cell_0"));
    assert_eq!(notes, "");
    let [_, notes] = fine(folder.path(), &with(&["--freeze", "2"]));
    assert!(notes.starts_with("note: without --from or --init"), "{notes}");
}

#[test]
fn a_folder_with_a_run_without_its_state_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    fine(folder.path(), &with(&["--run", "r"]));
    fs::remove_file(folder.path().join("r/last.safetensors")).unwrap();
    let best = fs::read(folder.path().join("r/best.safetensors")).unwrap();
    for more in [&["--run", "r"][..], &["--run", "r", "--resume"]] {
        let fault = refused(folder.path(), &with(more));
        assert!(fault.contains("whose state, `last.safetensors`, is gone"), "{fault}");
        assert!(fs::read(folder.path().join("r/best.safetensors")).unwrap() == best);
    }
}

#[test]
fn two_processes_are_not_at_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["nasnet_a", "--scale", "1@24", "--epochs", "10000", "--run", "r"];
    let mut child =
        command(folder.path(), &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let state = folder.path().join("r/last.safetensors");
    while !state.exists() && start.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(5));
    }
    let fault = refused(folder.path(), &[&args[..], &["--resume"]].concat());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fault, "error: run is r: another process is at the run in this folder\n");
    // Nobody is any more.
    let fault = refused(folder.path(), &args);
    assert!(fault.contains("already has a run"), "{fault}");
}
