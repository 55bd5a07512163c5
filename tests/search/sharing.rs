//! Searches with shared weights: the same bytes for any number of threads and after any kill.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cellc::data::{DataSpec, LoadConfig, load_with};
use cellc::error::Error;
use cellc::search::{
    ChildConfig, ChildScale, EnasConfig, Evaluator, Event, RunFolder, SearchConfig, SearchHistory,
    StopReason, StrategyConfig, TrainEvaluator, run,
};
use cellc::source::SourceFile;
use cellc::train::TrainConfig;

use crate::table::{Table, config, flat_space, matches, new, resume, search};

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

fn evaluator() -> TrainEvaluator {
    let load = LoadConfig { limit: Some(150), ..LoadConfig::default() };
    let child = ChildConfig {
        scale: ChildScale { base: 2, ..ChildScale::default() },
        train: TrainConfig { epochs: 1, batch: 30, lr: 0.1, ..TrainConfig::default() },
        ..ChildConfig::default()
    };
    let data = load_with(&DataSpec::Digits, &load).unwrap();
    TrainEvaluator::new(&SourceFile::new("small.cell", SPACE), data, "digits", child, 0).unwrap()
}

fn settings(workers: usize) -> SearchConfig {
    let enas = EnasConfig {
        epochs: 4,
        lr_period: 4,
        controller_updates: 2,
        controller_batch: 3,
        samples: 3,
        batch_size: 2,
        ..EnasConfig::default()
    };
    config(StrategyConfig::Enas(enas), 5, workers)
}

fn share(
    workers: usize,
    folder: &RunFolder,
    on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<SearchHistory, Error> {
    let evaluator = evaluator();
    run(evaluator.space(), &evaluator, &settings(workers), folder, &|| Duration::ZERO, on_event)
}

fn go_on(_: Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// All files of a run.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [dir.to_owned(), dir.join("cells")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(dir).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

/// Two maps of files are equal; names the first that is not.
fn assert_same(found: &BTreeMap<PathBuf, Vec<u8>>, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    assert!(found.keys().eq(expected.keys()), "{:?} and {:?}", found.keys(), expected.keys());
    for (path, bytes) in found {
        assert!(*bytes == expected[path], "{} differs", path.display());
    }
}

#[test]
fn a_search_with_shared_weights_is_the_same_however_often_it_is_stopped() {
    let whole = tempfile::tempdir().unwrap();
    let history = share(1, &new(whole.path()), &mut go_on).unwrap();
    let expected = files(whole.path());
    assert_eq!((history.trials.len(), history.learned.len()), (5, 4));
    assert!(expected.contains_key(Path::new("shared.safetensors")));
    // What is found is trained by the evaluator, as any other strategy's trials are.
    for record in history.trials.iter().filter(|record| record.repeat_of.is_none()) {
        let again = evaluator().evaluate(&record.genotype, record.train_seed);
        assert_eq!(again, record.outcome, "trial {}", record.trial);
        let text = fs::read_to_string(whole.path().join(RunFolder::cell_of(record))).unwrap();
        assert!(text.starts_with("/// Found by `cellc search`: space small"), "{text}");
        assert!(text.contains(", enas, seed 7, trial "), "{text}");
    }

    // Stopped after each epoch and some trials, gone on with by another number of threads.
    let stopped = tempfile::tempdir().unwrap();
    for workers in 1..12 {
        let mut events = 0;
        let mut stop = |event: Event<'_>| match event {
            Event::Learned { .. } | Event::Recorded { .. } => {
                events += 1;
                if events == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        };
        let part = share(1 + workers % 3, &resume(stopped.path()), &mut stop).unwrap();
        if part.stop == StopReason::Trials {
            break;
        }
    }
    assert_same(&files(stopped.path()), &expected);
    assert_eq!(share(2, &resume(stopped.path()), &mut go_on).unwrap(), history);

    // The ledger alone, without the weights, gives them again.
    fs::remove_file(stopped.path().join("shared.safetensors")).unwrap();
    share(3, &resume(stopped.path()), &mut go_on).unwrap();
    assert_same(&files(stopped.path()), &expected);
}

/// Tells a process that it is the one to be killed, and its run folder.
const VICTIM: &str = "CELLC_TEST_SHARING_TO_KILL";

/// Does nothing when run as a test; [`a_killed_search_with_shared_weights_loses_no_epoch`] starts it again in
/// a process of its own.
#[test]
fn victim() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        share(2, &resume(Path::new(&dir)), &mut go_on).unwrap();
    }
}

#[test]
fn a_killed_search_with_shared_weights_loses_no_epoch() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    share(2, &new(whole.path()), &mut go_on).unwrap();
    let mut kills = 0;
    for file in ["shared.safetensors", "ledger.jsonl"] {
        let has_begun = || {
            let found = fs::metadata(killed.path().join(file));
            found.is_ok_and(|found| found.len() > 0)
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["sharing::victim", "--exact"])
            .env(VICTIM, killed.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !has_begun() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL on Unix.
        child.kill().unwrap();
        kills += usize::from(!child.wait().unwrap().success());
    }
    assert!(kills > 0, "no process was killed before it was done");
    let mut epochs = Vec::new();
    let mut note = |event: Event<'_>| {
        if let Event::Learned { epoch, .. } = event {
            epochs.push(epoch.epoch);
        }
        ControlFlow::Continue(())
    };
    share(1, &resume(killed.path()), &mut note).unwrap();
    assert!(epochs.is_empty(), "epochs {epochs:?} were done before the first trial was recorded");
    let mut found = files(killed.path());
    // What a kill leaves of a file that was being written.
    found.retain(|path, _| !path.to_string_lossy().ends_with(".part"));
    assert_same(&found, &files(whole.path()));
}

#[test]
fn weights_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut stop = |event: Event<'_>| match event {
        Event::Learned { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    share(1, &new(dir.path()), &mut stop).unwrap();
    let path = dir.path().join("shared.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    let error = share(1, &resume(dir.path()), &mut go_on).unwrap_err();
    assert!(error.to_string().contains("shared.safetensors"), "{error}");

    let other = tempfile::tempdir().unwrap();
    let nothing = Table::new(matches);
    let error = search(&flat_space(3, 2), &nothing, &settings(1), &new(other.path())).unwrap_err();
    assert!(error.to_string().contains("with `--evaluator train`"), "{error}");
}
