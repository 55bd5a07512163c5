//! Limits on costs, measured and counted, and Pareto fronts.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cellc::error::Error;
use cellc::graph::Graph;
use cellc::search::{
    Evaluation, Evaluator, EvolutionConfig, Failure, FailureKind, NetScale, Objectives, Provenance,
    Record, RunFolder, SearchConfig, SearchHistory, StrategyConfig, run,
};
use cellc::space::Genotype;

use crate::strategies::all;
use crate::table::*;

fn limited(strategy: StrategyConfig, limit: &str) -> SearchConfig {
    let objectives = Objectives { limits: vec![limit.parse().unwrap()], ..Objectives::default() };
    SearchConfig { objectives, ..config(strategy, 40, 2) }
}

fn with_networks() -> Table {
    Table { network: Some(network), ..Table::new(matches) }
}

fn hits(record: &Record) -> usize {
    record.genotype.choices.iter().filter(|&&choice| choice == 2).count()
}

/// Of eight decisions of three options 2.7 are hits by chance; one in 26 has none.
#[test]
fn nothing_beyond_a_limit_on_counts_is_proposed() {
    for strategy in all() {
        let dir = tempfile::tempdir().unwrap();
        let (name, table) = (strategy.name(), with_networks());
        let config = limited(strategy, "params <= 20");
        let history = search(&flat_space(8, 3), &table, &config, &new(dir.path())).unwrap();
        assert_eq!(history.trials.len(), 40, "{name}");
        for record in &history.trials {
            assert!(hits(record) <= 1, "{name}: {record:?}");
            let params = 10.0 * (1 + hits(record)) as f64;
            assert_eq!(record.costs["params"], params, "{name}: {record:?}");
        }
        let best = history.best.unwrap();
        assert_eq!(hits(&history.trials[best]), 1, "{name} found nothing at the limit");

        let again = tempfile::tempdir().unwrap();
        let config = SearchConfig { workers: 1, ..config };
        search(&flat_space(8, 3), &table, &config, &new(again.path())).unwrap();
        assert_eq!(contents(again.path()), contents(dir.path()), "{name}");
    }
}

#[test]
fn a_limit_that_no_network_keeps_to_is_told_before_there_is_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    for (table, found) in [
        (with_networks(), "params = 10"),
        (Table::new(matches), "params = no network (there are no networks)"),
    ] {
        let config = limited(ppo(), "params <= 9");
        let refused = search(&flat_space(4, 3), &table, &config, &new(&folder));
        let Err(error @ Error::Requirements { .. }) = refused else { panic!("{refused:?}") };
        let text = error.to_string();
        let expected = format!("meets `params <= 9`, found {found}");
        assert!(text.starts_with("no architecture of space `flat` among"), "{text}");
        assert!(text.ends_with(&expected), "{text}");
        assert!(!folder.exists());
    }
}

/// A table on a machine whose clock the networks themselves turn: a pass takes as many milliseconds as the
/// genotype begins with.
struct Timed {
    table: Table,
    /// Milliseconds that the next reading of the clock is later, and what it was last.
    step: AtomicU64,
    now: AtomicU64,
}

impl Timed {
    fn new() -> Self {
        Timed { table: with_networks(), step: AtomicU64::new(0), now: AtomicU64::new(0) }
    }
}

impl Evaluator for Timed {
    fn id(&self, genotype: &Genotype) -> String {
        self.table.id(genotype)
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        self.table.evaluate(genotype, seed)
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        self.table.cell_text(genotype, provenance)
    }

    fn network(&self, genotype: &Genotype, at: Option<&NetScale>) -> Result<Graph, String> {
        self.step.store(1 + genotype.choices[0] as u64, Ordering::SeqCst);
        Evaluator::network(&self.table, genotype, at)
    }
}

/// A search at that clock, times `slowness`; evaluations may read it as well.
fn timed(table: &Timed, slowness: u64, config: &SearchConfig, folder: &RunFolder) -> SearchHistory {
    let clock = || {
        let step = slowness * table.step.load(Ordering::SeqCst);
        Duration::from_millis(step + table.now.fetch_add(step, Ordering::SeqCst))
    };
    let mut ignore = |_: cellc::search::Event<'_>| ControlFlow::Continue(());
    run(&flat_space(5, 3), table, config, folder, &clock, &mut ignore).unwrap()
}

#[test]
fn what_is_too_slow_is_recorded_and_never_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let (table, config) = (Timed::new(), limited(StrategyConfig::Random, "latency <= 2ms"));
    let history = timed(&table, 1, &config, &new(dir.path()));
    let (mut slow, mut scored) = (0, 0);
    for record in &history.trials {
        let expected = (1 + record.genotype.choices[0]) as f64;
        assert_eq!(record.costs["latency"], expected);
        match &record.outcome {
            Ok(_) => {
                assert!(expected <= 2.0);
                scored += usize::from(record.repeat_of.is_none());
            }
            Err(failure) => {
                slow += 1;
                let reason = "latency = 3.000 ms, the limit is latency <= 2 ms".to_owned();
                assert_eq!(*failure, Failure { kind: FailureKind::TooSlow, reason });
                let params = 10 * (1 + hits(record)) as u64;
                assert_eq!(record.failed_size.unwrap().params, params);
            }
        }
    }
    assert!(slow > 5 && scored > 10, "{slow} {scored}");
    assert_eq!(table.table.evaluated().len(), scored);
}

/// A resumed search goes by what was measured, not by what it would measure now.
#[test]
fn latencies_are_replayed() {
    let whole = tempfile::tempdir().unwrap();
    let evolution =
        EvolutionConfig { population: 10, sample_size: 3, ..EvolutionConfig::default() };
    let config = limited(StrategyConfig::Evolution(evolution), "latency <= 2ms");
    // Evaluations read the same clock.
    let timeless = |history: SearchHistory| -> Vec<Record> {
        history.trials.into_iter().map(|record| Record { secs: 0.0, ..record }).collect()
    };
    let trials = timeless(timed(&Timed::new(), 1, &config, &new(whole.path())));
    let again = timed(&Timed::new(), 1000, &config, &resume(whole.path()));
    assert_eq!(timeless(again), trials);

    let ledger = ledger(whole.path());
    let lines: Vec<&str> = ledger.split_inclusive('\n').collect();
    for done in [1, 8, 13, 30] {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(whole.path().join("config.toml"), dir.path().join("config.toml")).unwrap();
        fs::create_dir(dir.path().join("cells")).unwrap();
        fs::write(dir.path().join("ledger.jsonl"), lines[..done].concat()).unwrap();
        let resumed = timed(&Timed::new(), 1, &config, &resume(dir.path()));
        assert_eq!(timeless(resumed), trials);
    }
}

fn pareto(strategy: StrategyConfig, trials: usize, seed: u64) -> SearchConfig {
    let pareto = ["accuracy", "params"].map(|text| text.parse().unwrap()).to_vec();
    let objectives = Objectives { pareto, ..Objectives::default() };
    SearchConfig { seed, objectives, ..config(strategy, trials, 2) }
}

/// The better the more hits, and the larger; what is missed by option 1 is a little better than by option 0
/// and costs nothing.
fn graded(genotype: &Genotype) -> Result<f64, Failure> {
    let ones = genotype.choices.iter().filter(|&&choice| choice == 1).count();
    Ok(matches(genotype)? + 0.4 * ones as f64 / genotype.choices.len() as f64)
}

fn graded_networks() -> Table {
    Table { network: Some(network), ..Table::new(graded) }
}

/// Trials that no other is better and smaller than, by looking at all pairs.
fn naive_front(trials: &[Record]) -> Vec<usize> {
    let value = |record: &Record| (record.reward(), -record.costs["params"]);
    let is_on_it = |record: &&Record| {
        record.repeat_of.is_none()
            && !trials.iter().any(|other| {
                let (a, b) = (value(other), value(record));
                a.0 >= b.0 && a.1 >= b.1 && a != b
            })
    };
    trials.iter().filter(is_on_it).map(|record| record.trial).collect()
}

fn files_of(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_front_is_printed_written_and_kept() {
    let evolution =
        EvolutionConfig { population: 10, sample_size: 3, ..EvolutionConfig::default() };
    for strategy in [StrategyConfig::Random, StrategyConfig::Evolution(evolution)] {
        let dir = tempfile::tempdir().unwrap();
        let config = pareto(strategy, 64, 7);
        let space = flat_space(6, 3);
        let history = search(&space, &graded_networks(), &config, &new(dir.path())).unwrap();
        let mut trials: Vec<usize> =
            history.front.iter().map(|&index| history.trials[index].trial).collect();
        let lines: Vec<String> = {
            let ledger = ledger(dir.path());
            let lines: Vec<&str> = ledger.lines().collect();
            trials.iter().map(|trial| lines[trial - 1].to_owned()).collect()
        };
        let front = fs::read_to_string(dir.path().join("front.jsonl")).unwrap();
        assert_eq!(front.lines().collect::<Vec<_>>(), lines);
        let rewards: Vec<f64> =
            history.front.iter().map(|&index| history.trials[index].reward()).collect();
        assert!(rewards.is_sorted_by(|a, b| a > b), "{rewards:?}");
        trials.sort_unstable();
        assert_eq!(trials, naive_front(&history.trials));
        assert!(trials.len() > 2, "{trials:?}");

        let names: Vec<String> = trials
            .iter()
            .map(|trial| format!("{trial:04}-{}.cell", history.trials[trial - 1].id))
            .collect();
        assert_eq!(files_of(&dir.path().join("front")), names);
        for name in &names {
            let [front, cells] = ["front", "cells"]
                .map(|folder| fs::read_to_string(dir.path().join(folder).join(name)).unwrap());
            assert_eq!(front, cells);
        }
        let report = fs::read_to_string(dir.path().join("report.html")).unwrap();
        let at = report.find("<h2>Pareto front</h2>").unwrap();
        let section = &report[at..report[at..].find("</table>").unwrap() + at];
        assert_eq!(section.matches("<title>Pareto front ").count(), names.len());
        assert!(names.iter().all(|name| section.contains(&format!("cells/{name}"))), "{section}");
    }
}

#[test]
fn a_search_for_a_front_resumes_exactly() {
    let evolution =
        EvolutionConfig { population: 10, sample_size: 3, ..EvolutionConfig::default() };
    let config = pareto(StrategyConfig::Evolution(evolution), 40, 7);
    let (space, whole) = (flat_space(6, 3), tempfile::tempdir().unwrap());
    search(&space, &graded_networks(), &config, &new(whole.path())).unwrap();
    let ledger = ledger(whole.path());
    let lines: Vec<&str> = ledger.split_inclusive('\n').collect();
    for done in [0, 5, 16, 27, 39] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("cells")).unwrap();
        // What an earlier report left there.
        fs::create_dir_all(dir.path().join("front")).unwrap();
        fs::write(dir.path().join("front/0001-00000000.cell"), "").unwrap();
        fs::copy(whole.path().join("config.toml"), dir.path().join("config.toml")).unwrap();
        fs::write(dir.path().join("ledger.jsonl"), lines[..done].concat()).unwrap();
        search(&space, &graded_networks(), &config, &resume(dir.path())).unwrap();
        assert_eq!(contents(dir.path()), contents(whole.path()), "after {done} trials");
    }
}

/// The area that a front of rewards over sizes dominates, down to a reward of 0 and up to 200 parameters.
fn hypervolume(history: &SearchHistory) -> f64 {
    let mut front: Vec<(f64, f64)> = history
        .front
        .iter()
        .map(|&index| &history.trials[index])
        .map(|record| (record.costs["params"], record.reward()))
        .collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ends = front.iter().skip(1).map(|point| point.0).chain([200.0]);
    front.iter().zip(ends).map(|(point, end)| (end - point.0) * point.1).sum()
}

#[test]
fn evolution_finds_a_better_front_than_random_search() {
    let space = flat_space(16, 3);
    let mean = |strategy: StrategyConfig| {
        let of_seed = |seed| {
            let dir = tempfile::tempdir().unwrap();
            let config = pareto(strategy.clone(), 300, seed);
            let table = graded_networks();
            hypervolume(&search(&space, &table, &config, &new(dir.path())).unwrap())
        };
        (0..3).map(of_seed).sum::<f64>() / 3.0
    };
    let random = mean(StrategyConfig::Random);
    let evolution = mean(StrategyConfig::Evolution(EvolutionConfig::default()));
    // All there is: with h hits and ones otherwise, 0.4 + 0.6 h / 16 from 10 + 10 h parameters on.
    let most: f64 =
        (0..=16).map(|h| f64::from(h) * 0.6 / 16.0 + 0.4).map(|r| 10.0 * r).sum::<f64>() + 20.0;
    assert!(evolution > random + 0.1 * most, "{evolution}, {random} of {most}");
    assert!(evolution < most + 1e-3, "{evolution} of {most}");
}

#[test]
fn strategies_of_one_reward_refuse_a_front() {
    let dir = tempfile::tempdir().unwrap();
    for strategy in all().into_iter().filter(|strategy| !strategy.finds_fronts()) {
        let (name, config) = (strategy.name(), pareto(strategy, 8, 0));
        let refused = search(&flat_space(4, 3), &with_networks(), &config, &new(dir.path()));
        let message = refused.unwrap_err().to_string();
        let expected = format!(
            "strategy is {name}: it learns from one reward; a Pareto front is for `evolution` and `random`"
        );
        assert_eq!(message, expected);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
