//! Children that fail, folders that do not fit, settings that make no sense.

use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use cellc::error::Error;
use cellc::search::{
    Evaluation, Evaluator, Event, Failure, FailureKind, PpoConfig, Provenance, SearchConfig,
    StopReason, StrategyConfig, run,
};
use cellc::space::Genotype;

use crate::table::*;

/// Fails in a way that depends on the first decision.
fn fragile(genotype: &Genotype) -> Result<f64, Failure> {
    match genotype.choices[0] {
        0 => panic!("child {} fell over", genotype.choices[1]),
        1 => Ok(f64::NAN),
        2 => Err(Failure::new(FailureKind::TooLarge, "9 parameters, at most 8")),
        _ => matches(genotype),
    }
}

#[test]
fn failed_trials_are_recorded_and_the_search_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let space = flat_space(3, 4);
    let history =
        search(&space, &Table::new(fragile), &config(ppo(), 60, 3), &new(dir.path())).unwrap();
    assert_eq!((history.trials.len(), history.stop), (60, StopReason::Trials));
    let mut seen = [false; 4];
    for record in &history.trials {
        let choices = &record.genotype.choices;
        seen[choices[0]] = true;
        if choices[0] == 3 {
            assert!(record.outcome.is_ok());
            continue;
        }
        let failure = record.outcome.as_ref().unwrap_err();
        let expected = match choices[0] {
            0 => (FailureKind::Panic, format!("child {} fell over", choices[1])),
            1 => (FailureKind::NotFinite, "reward is NaN".to_owned()),
            _ => (FailureKind::TooLarge, "9 parameters, at most 8".to_owned()),
        };
        assert_eq!((failure.kind, failure.reason.clone()), expected);
        assert_eq!(record.reward(), 0.0);
    }
    assert_eq!(seen, [true; 4]);

    // They are read back as what they were, and not tried again.
    let before = contents(dir.path());
    let table = Table::new(fragile);
    let again = search(&space, &table, &config(ppo(), 60, 1), &resume(dir.path())).unwrap();
    assert_eq!(again, history);
    assert_eq!(contents(dir.path()), before);
    assert!(table.evaluated().is_empty());
}

/// A table that cannot name every architecture.
struct Nameless(Table);

impl Evaluator for Nameless {
    fn id(&self, genotype: &Genotype) -> String {
        assert!(genotype.choices[0] != 1, "no name for option 1");
        self.0.id(genotype)
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        self.0.evaluate(genotype, seed)
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        assert!(genotype.choices[0] != 2, "no text for option 2");
        self.0.cell_text(genotype, provenance)
    }
}

#[test]
fn panics_outside_the_training_fail_their_trials_only() {
    let dir = tempfile::tempdir().unwrap();
    let (space, config) = (flat_space(3, 3), config(ppo(), 24, 2));
    let mut ignore = |_: Event<'_>| ControlFlow::Continue(());
    let mut search = |folder| {
        let nameless = Nameless(Table::new(matches));
        run(&space, &nameless, &config, &folder, &|| Duration::ZERO, &mut ignore).unwrap()
    };
    let history = search(new(dir.path()));
    assert_eq!(history.trials.len(), 24);
    for record in &history.trials {
        let expected = match record.genotype.choices[0] {
            0 => None,
            1 => Some(Failure::new(FailureKind::Panic, "no name for option 1")),
            _ => Some(Failure::new(FailureKind::Panic, "no text for option 2")),
        };
        assert_eq!(record.outcome.as_ref().err(), expected.as_ref());
    }
    assert_eq!(search(resume(dir.path())), history);
}

#[test]
fn a_search_without_a_success_has_no_best() {
    let dir = tempfile::tempdir().unwrap();
    let table = Table::new(|_| Err(Failure::new(FailureKind::Error, "no data")));
    let history =
        search(&flat_space(3, 3), &table, &config(ppo(), 16, 2), &new(dir.path())).unwrap();
    assert_eq!(history.best, None);
    assert!(!dir.path().join("best.cell").exists());
}

#[test]
fn a_run_is_neither_overwritten_nor_resumed_as_another() {
    let dir = tempfile::tempdir().unwrap();
    let (space, table) = (flat_space(3, 3), Table::new(matches));
    let base = config(ppo(), 4, 1);
    search(&space, &table, &base, &new(dir.path())).unwrap();
    let before = contents(dir.path());

    let again = search(&space, &table, &base, &new(dir.path()));
    assert!(matches!(again, Err(Error::RunExists { .. })), "{again:?}");
    let with = |strategy| SearchConfig { strategy, ..base.clone() };
    let faster = PpoConfig { lr: 0.02, batch_size: 8, ..PpoConfig::default() };
    for (space, config, named) in [
        (flat_space(3, 4), base.clone(), "space_hash"),
        (space.clone(), SearchConfig { seed: 8, ..base.clone() }, "seed"),
        (space.clone(), with(StrategyConfig::Random), "strategy"),
        (space.clone(), with(StrategyConfig::Ppo(faster)), "lr = 0.02"),
    ] {
        let refused = search(&space, &table, &config, &resume(dir.path()));
        let Err(Error::Ledger { path, fault, .. }) = &refused else { panic!("{refused:?}") };
        assert!(path.ends_with("config.toml") && fault.contains(named), "{refused:?}");
    }
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_damaged_ledger_is_an_error_at_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let (space, table) = (flat_space(3, 3), Table::new(matches));
    let config = config(StrategyConfig::Random, 5, 1);
    let history = search(&space, &table, &config, &new(dir.path())).unwrap();
    let ledger = ledger(dir.path());
    let lines: Vec<&str> = ledger.split_inclusive('\n').collect();
    // Another point of the space, and one outside it.
    let chosen = |choice: usize| format!("\"genotype\":[{choice},");
    let first = history.trials[2].genotype.choices[0];
    let other_genotype = lines[2].replace(&chosen(first), &chosen((first + 1) % 3));
    let no_genotype = lines[2].replace(&chosen(first), &chosen(3));
    for (text, bad_line) in [
        ([lines[0], "nonsense\n", lines[2]].concat(), 2),
        ([lines[0], lines[2]].concat(), 2),
        ([lines[0], lines[1], &other_genotype].concat(), 3),
        ([lines[0], lines[1], &no_genotype].concat(), 3),
        (lines[0].replace("\"ok\"", "\"failed\""), 1),
        (lines[0].replace("\"macs\":2000,", ""), 1),
    ] {
        fs::write(dir.path().join("ledger.jsonl"), &text).unwrap();
        let refused = search(&space, &table, &config, &resume(dir.path()));
        let Err(Error::Ledger { line, .. }) = refused else { panic!("{text} gave {refused:?}") };
        assert_eq!(line, bad_line, "{text}");
    }
}

#[test]
fn a_ledger_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (space, table) = (flat_space(3, 3), Table::new(matches));
    let config = config(StrategyConfig::Random, 3, 1);
    let mut second = None;
    let mut start_another = |_: Event<'_>| {
        second = Some(search(&space, &table, &config, &resume(dir.path())));
        ControlFlow::Break(())
    };
    let clock = || Duration::ZERO;
    run(&space, &table, &config, &new(dir.path()), &clock, &mut start_another).unwrap();
    let Some(Err(Error::Config { setting, reason, .. })) = &second else { panic!("{second:?}") };
    assert_eq!((*setting, &**reason), ("run", "another process is at the run in this folder"));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    // A file where a folder should be is refused for every user, root included.
    let dir = tempfile::tempdir().unwrap();
    let (space, table) = (flat_space(3, 3), Table::new(matches));
    let config = config(StrategyConfig::Random, 3, 1);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [new(&file.join("run")), resume(&file.join("run"))] {
        let refused = search(&space, &table, &config, &folder);
        let Err(Error::Write { path, .. }) = &refused else { panic!("{refused:?}") };
        assert!(path.starts_with(file.join("run")), "{refused:?}");
    }
    // The cells cannot be written once the run has begun.
    let run_dir = dir.path().join("run");
    let cells = run_dir.join("cells");
    let mut remove_cells = |event: Event<'_>| {
        if matches!(event, Event::Evaluated { .. }) && cells.is_dir() {
            fs::remove_dir_all(&cells).unwrap();
            fs::write(&cells, "").unwrap();
        }
        ControlFlow::Continue(())
    };
    let clock = || Duration::ZERO;
    let refused = run(&space, &table, &config, &new(&run_dir), &clock, &mut remove_cells);
    assert!(matches!(refused, Err(Error::Write { .. })), "{refused:?}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (space, table) = (flat_space(3, 3), Table::new(matches));
    let backwards = PpoConfig { lr: -1.0, ..PpoConfig::default() };
    for (space, bad, named) in [
        (&space, config(StrategyConfig::Random, 0, 1), "trials"),
        (&space, config(StrategyConfig::Random, 1, 0), "workers"),
        (&space, config(StrategyConfig::Ppo(backwards), 1, 1), "lr"),
        (&flat_space(0, 1), config(ppo(), 1, 1), "space"),
    ] {
        let refused = search(space, &table, &bad, &new(dir.path()));
        let Err(Error::Config { setting, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(setting, named);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a refused search writes nothing");
}
