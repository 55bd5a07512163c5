//! Whole searches on tables whose rewards are known: what is learned, recorded, resumed and survived.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod asha;
mod budgets;
mod commands;
mod failures;
mod learners;
mod limits;
mod objectives;
mod prefilters;
mod records;
mod requirements;
mod resume;
mod sharing;
mod strategies;
mod table;
mod tabular;

use cellc::search::{PpoConfig, SearchConfig, StrategyConfig};
use table::{Table, flat_space, matches, new, search};

/// 20 decisions of 5 options, rewarded by the share that takes option 2. 200 random trials find 9 to
/// 11 of 20. Five seeds of PPO must each be better by at least 2 of 20, and by 5 of 20 on average.
#[test]
fn ppo_beats_random_search() {
    let space = flat_space(20, 5);
    let best = |strategy: StrategyConfig, seed| {
        let dir = tempfile::tempdir().unwrap();
        let config =
            SearchConfig { seed, trials: 200, workers: 2, strategy, ..SearchConfig::default() };
        let history = search(&space, &Table::new(matches), &config, &new(dir.path())).unwrap();
        history.trials[history.best.unwrap()].reward()
    };
    let mut margins = Vec::new();
    for seed in 0..5 {
        let random = best(StrategyConfig::Random, seed);
        let ppo = best(StrategyConfig::Ppo(PpoConfig::default()), seed);
        assert!(ppo > random + 0.1, "seed {seed}: ppo {ppo}, random {random}");
        margins.push(ppo - random);
    }
    let mean = margins.iter().sum::<f64>() / margins.len() as f64;
    assert!(mean > 0.25, "{margins:?}");
}
