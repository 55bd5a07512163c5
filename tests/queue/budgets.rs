//! Trainings that wait at rungs, go on on another worker, or are done again in the end.

use crate::setup::*;

const BATCH: &str = "evolution.batch_size=4";
const DATA: [&str; 4] = ["--data", "digits", "--limit", "150"];

/// Searches here and there and compares.
fn compare(more: &[&str]) {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    let search = join(&[
        &["nasnet_space", "--base", "2", "--strategy", "evolution", "--set", BATCH],
        &DATA[..],
        more,
    ]);
    search_here(folder, &search);
    let url = server.url();
    let workers: Vec<Process> = ["first", "second"]
        .into_iter()
        .map(|name| {
            let args = ["worker", "--queue", &url, "--workers", "1", "--name", name];
            cellc(folder, name, &join(&[&args[..], &DATA]))
        })
        .collect();
    let over = join(&[&["search"], &search[..], &["--name", "there", "--queue", &url]]);
    cellc(folder, "there", &over).succeed();
    assert_eq!(ledger(folder, "there"), ledger(folder, "here"));
    assert_eq!(cells(folder, "there"), cells(folder, "here"));
    let retrained = |run: &str| {
        let text = std::fs::read_to_string(folder.join("runs").join(run).join("retrained.jsonl"));
        text.unwrap_or_default().lines().count()
    };
    assert_eq!(retrained("there"), retrained("here"));
    // Which of them takes a child is chance, and so is whether both do.
    assert!(
        workers.iter().any(|worker| worker.said().contains("trial")),
        "the search was not here"
    );
    for stream in ["jobs", "answers", "poison"] {
        assert_eq!(server.messages(&format!("-{stream}")), Some(0), "{stream}");
    }
    // What an object store keeps of a deleted object is a note that it is gone.
    let has_rungs = |argument: &&str| ["halving", "asha"].iter().any(|b| argument.starts_with(b));
    if more.iter().any(has_rungs) {
        let notes = server.messages("-states").expect("there were states");
        assert!((1..=8).contains(&notes), "{notes}");
    }
}

#[test]
fn children_go_on_from_rung_to_rung_on_any_worker() {
    compare(&["--trials", "8", "--budget", "halving:1,2"]);
}

#[test]
fn children_that_wait_for_others_of_their_batch_go_on_on_any_worker() {
    compare(&["--trials", "8", "--budget", "asha:1,2@3"]);
}

#[test]
fn the_median_rule_and_a_second_training_are_those_of_one_machine() {
    let more = ["--budget", "median", "--epochs", "2", "--retrain", "2", "--retrain-epochs", "3"];
    compare(&join(&[&["--trials", "12"], &more[..]]));
}
