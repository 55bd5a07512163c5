//! Runs that were killed, stopped or extended end as one that was left alone.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cellc::search::{Event, SearchConfig, StopReason, run};

use crate::table::*;

/// What a kill can leave of `ledger.jsonl` and `pending.jsonl`, from the ledger of the whole run.
fn remains(ledger: &str, batch: usize, is_evaluated: impl Fn(usize) -> bool) -> Vec<[String; 2]> {
    let lines: Vec<&str> = ledger.split_inclusive('\n').collect();
    let trials = lines.len();
    let up_to = |trial: usize| lines[..trial].concat();
    let mut cases = Vec::new();
    for done in 0..trials {
        cases.push([up_to(done), String::new()]);
        // In the middle of appending the next line.
        let cut = [1, lines[done].len() / 2, lines[done].len() - 1][done % 3];
        cases.push([up_to(done) + &lines[done][..cut], String::new()]);
        // Later trials of the batch ended before the next one, latest first.
        let end = (done / batch * batch + batch).min(trials);
        let early: Vec<usize> = (done + 2..=end).filter(|&trial| is_evaluated(trial)).collect();
        for count in [1, early.len()].into_iter().filter(|count| (1..=early.len()).contains(count))
        {
            let waiting = early[early.len() - count..].iter().rev();
            let pending: String = waiting.map(|&trial| lines[trial - 1]).collect();
            // Waiting; in the middle of a pending line; in the ledger and still pending; in the
            // middle of a ledger line and still pending.
            cases.push([up_to(done), pending.clone()]);
            cases.push([up_to(done), pending[..pending.len() - 7].to_owned()]);
            cases.push([up_to(end), pending.clone()]);
            let torn = up_to(end);
            cases.push([torn[..torn.len() - 9].to_owned(), pending]);
        }
    }
    cases.push([up_to(trials), String::new()]);
    cases
}

#[test]
fn a_run_killed_at_any_moment_ends_as_if_it_was_not() {
    let space = nested_space();
    let make_table = || {
        let table = Table::new(matches).slowed(|choice| Duration::from_millis(2 * (2 - choice)));
        Table { ignored: Some(1), ..table }
    };
    let whole = tempfile::tempdir().unwrap();
    let config = config(ppo(), 20, 3);
    let history = search(&space, &make_table(), &config, &new(whole.path())).unwrap();
    let expected = contents(whole.path());
    assert!(history.trials.iter().any(|trial| trial.repeat_of.is_some()), "no repeat to test");

    let cases =
        remains(&ledger(whole.path()), 8, |trial| history.trials[trial - 1].repeat_of.is_none());
    assert!(cases.len() > 100, "{}", cases.len());
    for (index, [ledger, pending]) in cases.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("cells")).unwrap();
        for (path, text) in &expected {
            // A power cut may take cells, whole or in content, and `best.cell`.
            let text = match index % 4 {
                0 | 1 if path == Path::new("config.toml") => text,
                0 => continue,
                1 => "",
                _ => text,
            };
            if path == Path::new("config.toml") || path.starts_with("cells") {
                fs::write(dir.path().join(path), text).unwrap();
            }
        }
        fs::write(dir.path().join("ledger.jsonl"), ledger).unwrap();
        fs::write(dir.path().join("pending.jsonl"), pending).unwrap();

        let table = make_table();
        let resumed = SearchConfig { workers: 1 + index % 3, ..config.clone() };
        let found = search(&space, &table, &resumed, &resume(dir.path())).unwrap();
        assert_eq!(contents(dir.path()), expected, "ledger:\n{ledger}\npending:\n{pending}");
        assert_eq!(found, history);
        for text in [ledger, pending] {
            let finished = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
            for (id, _) in table.evaluated() {
                assert!(!finished.contains(&format!("\"id\":\"{id}\"")), "{id} ran again");
            }
        }
    }
}

#[test]
fn more_trials_continue_a_finished_run() {
    // The first run ends in the middle of a batch.
    let (space, table) = (flat_space(5, 3), Table::new(matches));
    let (at_once, in_steps) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    search(&space, &table, &config(ppo(), 40, 2), &new(at_once.path())).unwrap();
    search(&space, &table, &config(ppo(), 21, 2), &new(in_steps.path())).unwrap();
    assert_eq!(ledger(in_steps.path()).lines().count(), 21);
    search(&space, &table, &config(ppo(), 40, 2), &resume(in_steps.path())).unwrap();
    assert_eq!(contents(in_steps.path()), contents(at_once.path()));
    // Fewer trials than there are change nothing.
    let history = search(&space, &table, &config(ppo(), 5, 2), &resume(in_steps.path())).unwrap();
    assert_eq!(history.trials.len(), 40);
    assert_eq!(contents(in_steps.path()), contents(at_once.path()));
}

#[test]
fn settings_and_ledger_are_enough_to_go_on() {
    let (space, table) = (flat_space(5, 3), Table::new(matches));
    let (at_once, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    search(&space, &table, &config(ppo(), 40, 2), &new(at_once.path())).unwrap();
    let begun = tempfile::tempdir().unwrap();
    search(&space, &table, &config(ppo(), 21, 2), &new(begun.path())).unwrap();
    for file in ["config.toml", "ledger.jsonl"] {
        fs::copy(begun.path().join(file), kept.path().join(file)).unwrap();
    }
    search(&space, &table, &config(ppo(), 40, 2), &resume(kept.path())).unwrap();
    assert_eq!(contents(kept.path()), contents(at_once.path()));
}

#[test]
fn a_requested_stop_loses_nothing() {
    let (space, table) = (flat_space(5, 3), Table::new(matches));
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(ppo(), 24, 2);
    search(&space, &table, &config, &new(whole.path())).unwrap();

    let (mut recorded, mut resumed) = (Vec::new(), Vec::new());
    let clock = || Duration::ZERO;
    let mut stop_at_11 = |event: Event<'_>| match event {
        Event::Recorded { record, .. } => {
            recorded.push(record.trial);
            if record.trial == 11 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    };
    let history =
        run(&space, &table, &config, &new(stopped.path()), &clock, &mut stop_at_11).unwrap();
    assert_eq!(history.stop, StopReason::Requested);
    assert!((11..24).contains(&history.trials.len()));
    assert_eq!(recorded, (1..=history.trials.len()).collect::<Vec<_>>());

    let mut note_resumption = |event: Event<'_>| {
        if let Event::Resumed { trials } = event {
            resumed.push(trials);
        }
        ControlFlow::Continue(())
    };
    run(&space, &table, &config, &resume(stopped.path()), &clock, &mut note_resumption).unwrap();
    assert_eq!(resumed, [history.trials.len()]);
    assert_eq!(contents(stopped.path()), contents(whole.path()));
}

/// Tells a process that it is the one to be killed, and its run folder.
const VICTIM: &str = "CELLC_TEST_RUN_TO_KILL";

fn killed_search(dir: &Path) {
    let table = Table::new(matches).slowed(|choice| Duration::from_millis(5 + 5 * choice));
    search(&flat_space(5, 4), &table, &config(ppo(), 32, 3), &resume(dir)).unwrap();
}

/// Does nothing when run as a test. [`a_killed_process_loses_no_finished_trial`] starts it again in a
/// process of its own.
#[test]
fn victim() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        killed_search(Path::new(&dir));
    }
}

#[test]
fn what_a_kill_left_unfinished_is_gone_after_a_resumption() {
    let folder = tempfile::tempdir().unwrap();
    let (space, table, config) = (flat_space(3, 3), Table::new(matches), config(ppo(), 4, 1));
    search(&space, &table, &config, &new(folder.path())).unwrap();
    let whole = contents(folder.path());
    for name in [".best.cell.12.part", "cells/.0002-012.cell.34.part", ".report.html.5.part"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    search(&space, &table, &config, &resume(folder.path())).unwrap();
    assert_eq!(contents(folder.path()), whole);
}

#[test]
fn a_killed_process_loses_no_finished_trial() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    killed_search(whole.path());
    let finished = |name: &str| {
        let text = fs::read_to_string(killed.path().join(name)).unwrap_or_default();
        text[..text.rfind('\n').map_or(0, |at| at + 1)].lines().map(str::to_owned).collect()
    };
    let mut kills = 0;
    for at_least in [1, 9, 20] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["resume::victim", "--exact"])
            .env(VICTIM, killed.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let lines = || -> Vec<String> { finished("ledger.jsonl") };
        while lines().len() < at_least && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL on Unix.
        child.kill().unwrap();
        kills += usize::from(!child.wait().unwrap().success());
    }
    assert!(kills > 0, "no process was killed before it was done");

    let before: Vec<String> = [finished("ledger.jsonl"), finished("pending.jsonl")].concat();
    let table = Table::new(matches);
    search(&flat_space(5, 4), &table, &config(ppo(), 32, 2), &resume(killed.path())).unwrap();
    assert_eq!(contents(killed.path()), contents(whole.path()));
    for (id, _) in table.evaluated() {
        assert!(!before.iter().any(|line| line.contains(&format!("\"id\":\"{id}\""))), "{id}");
    }
}
