//! What holds for every strategy: exact resumption, points of the space only, and being better than chance
//! where there is something to be learned.

use std::fs;

use cellc::search::{
    EvolutionConfig, LocalConfig, PpoConfig, QLearningConfig, ReinforceConfig, SearchConfig,
    StrategyConfig,
};

use crate::table::*;

/// Every strategy, with batches of 8 and settings that let it learn within 40 trials.
pub fn all() -> [StrategyConfig; 6] {
    [
        StrategyConfig::Random,
        StrategyConfig::Ppo(PpoConfig { update_epochs: 1, redraws: 3, ..PpoConfig::default() }),
        StrategyConfig::Reinforce(ReinforceConfig::default()),
        StrategyConfig::Evolution(EvolutionConfig {
            population: 10,
            sample_size: 3,
            ..EvolutionConfig::default()
        }),
        StrategyConfig::Local(LocalConfig::default()),
        StrategyConfig::QLearning(QLearningConfig {
            epsilon_trials: 30,
            ..QLearningConfig::default()
        }),
    ]
}

/// The one of that name.
fn named(name: &str) -> StrategyConfig {
    all().into_iter().find(|strategy| strategy.name() == name).unwrap()
}

/// A run that is cut after any number of trials and goes on has the files of one that was left alone.
fn resumes_exactly(strategy: &str) {
    let space = nested_space();
    let make_table = || Table { ignored: Some(1), ..Table::new(matches) };
    let config = config(named(strategy), 40, 2);
    let whole = tempfile::tempdir().unwrap();
    let history = search(&space, &make_table(), &config, &new(whole.path())).unwrap();
    let expected = contents(whole.path());
    let ledger = ledger(whole.path());
    let lines: Vec<&str> = ledger.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 40);
    for done in [0, 1, 7, 8, 9, 15, 20, 24, 31, 33, 39] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("cells")).unwrap();
        fs::copy(whole.path().join("config.toml"), dir.path().join("config.toml")).unwrap();
        fs::write(dir.path().join("ledger.jsonl"), lines[..done].concat()).unwrap();
        let resumed = SearchConfig { workers: 1 + done % 3, ..config.clone() };
        let found = search(&space, &make_table(), &resumed, &resume(dir.path())).unwrap();
        assert_eq!(contents(dir.path()), expected, "{strategy} after {done} trials");
        assert_eq!(found.trials, history.trials, "{strategy} after {done} trials");
    }
}

#[test]
fn random_search_resumes_exactly() {
    resumes_exactly("random");
}

#[test]
fn ppo_resumes_exactly() {
    resumes_exactly("ppo");
}

#[test]
fn reinforce_resumes_exactly() {
    resumes_exactly("reinforce");
}

#[test]
fn evolution_resumes_exactly() {
    resumes_exactly("evolution");
}

#[test]
fn local_search_resumes_exactly() {
    resumes_exactly("local");
}

#[test]
fn q_learning_resumes_exactly() {
    resumes_exactly("q-learning");
}

#[test]
fn every_strategy_proposes_points_of_a_nested_space() {
    let space = nested_space();
    for strategy in all() {
        let dir = tempfile::tempdir().unwrap();
        let (name, config) = (strategy.name(), config(strategy, 64, 2));
        let history = search(&space, &Table::new(matches), &config, &new(dir.path())).unwrap();
        assert!(history.trials.iter().all(|trial| space.contains(&trial.genotype)), "{name}");
        // What the first decision opens is reached by all.
        for option in 0..3 {
            let takes = |choices: &[usize]| choices[0] == option;
            assert!(history.trials.iter().any(|trial| takes(&trial.genotype.choices)), "{name}");
        }
    }
}

/// A space of nine points has no new one left after nine.
#[test]
fn a_space_smaller_than_the_budget_ends_in_repeats() {
    for strategy in all() {
        let dir = tempfile::tempdir().unwrap();
        let (name, config) = (strategy.name(), config(strategy, 40, 1));
        let table = Table::new(matches);
        let history = search(&flat_space(2, 3), &table, &config, &new(dir.path())).unwrap();
        assert_eq!(history.trials.len(), 40, "{name}");
        let new = history.trials.iter().filter(|trial| trial.repeat_of.is_none()).count();
        assert_eq!(new, table.evaluated().len(), "{name}");
        assert!((4..=9).contains(&new), "{name} found {new} of 9");
    }
}

/// 20 decisions of 5 options, rewarded by the share that takes option 2: 200 random trials find 9 to 11 of
/// 20. Three seeds of each other strategy must find at least two more on average.
#[test]
fn every_strategy_beats_random_search() {
    let space = flat_space(20, 5);
    let mean = |strategy: StrategyConfig| {
        let best = |seed| {
            let dir = tempfile::tempdir().unwrap();
            let config = SearchConfig {
                seed,
                trials: 200,
                workers: 1,
                strategy: strategy.clone(),
                ..SearchConfig::default()
            };
            let history = search(&space, &Table::new(matches), &config, &new(dir.path())).unwrap();
            history.trials[history.best.unwrap()].reward()
        };
        (0..3).map(best).sum::<f64>() / 3.0
    };
    let random = mean(StrategyConfig::Random);
    for strategy in [
        StrategyConfig::Reinforce(ReinforceConfig::default()),
        StrategyConfig::Evolution(EvolutionConfig::default()),
        StrategyConfig::Local(LocalConfig::default()),
    ] {
        let name = strategy.name();
        let found = mean(strategy);
        assert!(found > random + 0.1, "{name} {found}, random {random}");
    }
}

/// Eight decisions of four options: what is drawn by chance is right in two of them, what is drawn by value
/// after the schedule has ended must be right in one more, which is eight standard errors.
#[test]
fn q_learning_comes_to_know_the_better_options() {
    let strategy = StrategyConfig::QLearning(QLearningConfig::default());
    let dir = tempfile::tempdir().unwrap();
    let config = config(strategy, 400, 1);
    let history =
        search(&flat_space(8, 4), &Table::new(matches), &config, &new(dir.path())).unwrap();
    let mean = |trials: std::ops::Range<usize>| {
        let rewards = history.trials[trials].iter().map(cellc::search::Record::reward);
        rewards.sum::<f64>() / 100.0
    };
    let (first, last) = (mean(0..100), mean(300..400));
    assert!(last > first + 1.0 / 8.0, "from {first} to {last}");
}

#[test]
fn the_settings_of_every_strategy_are_written_out() {
    let mut text = String::new();
    for strategy in all() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(strategy, 1, 1);
        search(&flat_space(4, 3), &Table::new(matches), &config, &new(dir.path())).unwrap();
        let config = fs::read_to_string(dir.path().join("config.toml")).unwrap();
        text += config.split_once("seed = \"7\"\n").unwrap().1;
    }
    insta::assert_snapshot!(text);
}
