//! Strategies compared on a tabular benchmark: many seeds of each, the mean and its error.
//!
//! A run is the search that [`run`](super::run) would make with the same seed: the same batches, the same
//! rewards, a reward of [`FAILED_REWARD`] for an architecture that has none. It leaves no folder. A trial that repeats the class of an earlier one is not looked up again but keeps its place
//! in the budget, so that no strategy gains by proposing what it knows.
//!
//! # Honesty
//! What is reported of a run is the reported column of the architecture with the largest *reward*; no
//! strategy, and no choice among the trials of a run, sees that column.
//!
//! # Determinism
//! A run depends on its strategy and seed alone, never on the threads that share the runs.

mod plot;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

pub use plot::{html, svg};

use super::evaluator::Evaluator;
use super::strategy::{FAILED_REWARD, Scored, StrategyConfig};
use super::table::{Score, TableEvaluator};
use crate::error::Error;

/// The numbers of best architectures whose mean is followed beside that of the one best, as in section 4.4
/// of the NASNet paper.
pub const TOPS: [usize; 2] = [5, 25];

/// How often and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComparisonConfig {
    /// The first seed; the others follow it.
    pub first_seed: u64,
    /// Runs of each strategy.
    pub seeds: usize,
    /// Trials of each run, repeats included.
    pub trials: usize,
    /// Runs at the same time.
    pub threads: usize,
}

/// One strategy's part of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Contestant {
    /// Name of the strategy.
    pub strategy: &'static str,
    /// Its runs in order of seeds.
    pub runs: Vec<Run>,
}

/// One search.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// After each trial, what the table has on the best so far by reward, the first of equals; `None` while
    /// all have failed.
    pub best: Vec<Option<Score>>,
    /// After each trial, for each number in [`TOPS`] the mean reward of that many best architectures of
    /// different classes; of all, while there are fewer. 0 while all have failed.
    pub tops: Vec<[f64; TOPS.len()]>,
    /// Trials of a class that an earlier trial had.
    pub repeats: usize,
    /// Trials without a reward.
    pub failed: usize,
}

/// A mean over runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Standard deviation of the runs, of a sample; 0 for a single run.
    pub std: f64,
    /// Standard error of the mean.
    pub error: f64,
}

impl Mean {
    /// Of some values; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let std = if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
        Some(Mean { mean, std, error: std / n.sqrt() })
    }
}

impl Contestant {
    /// Reward of the best after a trial, counted from 1, over the runs that have one; a share.
    pub fn reward(&self, trial: usize) -> Option<Mean> {
        self.over_runs(trial, |score| Some(score.reward))
    }

    /// The reported column of the best after a trial, over the runs that have one; a share.
    pub fn report(&self, trial: usize) -> Option<Mean> {
        self.over_runs(trial, |score| score.report)
    }

    /// Mean reward of the [`TOPS`]`[index]` best architectures after a trial; a share.
    pub fn top(&self, index: usize, trial: usize) -> Option<Mean> {
        let tops = self.runs.iter().map(|run| run.tops[trial - 1][index]);
        Mean::of(&tops.collect::<Vec<f64>>())
    }

    /// Mean number of repeats of a run.
    pub fn repeats(&self) -> f64 {
        self.runs.iter().map(|run| run.repeats as f64).sum::<f64>() / self.runs.len() as f64
    }

    /// Mean number of failed trials of a run.
    pub fn failed(&self) -> f64 {
        self.runs.iter().map(|run| run.failed as f64).sum::<f64>() / self.runs.len() as f64
    }

    fn over_runs(&self, trial: usize, value: fn(&Score) -> Option<f64>) -> Option<Mean> {
        let best = self.runs.iter().filter_map(|run| run.best[trial - 1].as_ref());
        Mean::of(&best.filter_map(value).collect::<Vec<f64>>())
    }
}

/// Runs every strategy with every seed.
///
/// # Errors
/// [`Error::Config`] for settings out of range; [`Error::Requirements`] if no architecture was found that
/// meets what the space requires; [`Error::Threads`] if a thread cannot be started.
///
/// # Determinism
/// See the [module](self).
pub fn compare(
    table: &TableEvaluator,
    strategies: &[StrategyConfig],
    config: &ComparisonConfig,
) -> Result<Vec<Contestant>, Error> {
    for (setting, value) in
        [("seeds", config.seeds), ("trials", config.trials), ("workers", config.threads)]
    {
        if value == 0 {
            let reason = "it must be at least 1".into();
            return Err(Error::Config { setting, value: value.to_string(), reason });
        }
    }
    for strategy in strategies {
        strategy.build(table.space(), config.first_seed, None)?;
    }
    let tasks = strategies.len() * config.seeds;
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let finished: Mutex<BTreeMap<usize, Result<Run, Error>>> = Mutex::default();
    // Threads of their own, and not those of rayon: a thread of that which waits for a strategy's own pool
    // would begin another run meanwhile.
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            let strategy = &strategies[task / config.seeds];
            let seed = config.first_seed.wrapping_add((task % config.seeds) as u64);
            let run = one_run(table, strategy, seed, config.trials);
            is_over.fetch_or(run.is_err(), Ordering::Relaxed);
            finished.lock().unwrap_or_else(PoisonError::into_inner).insert(task, run);
        }
    };
    thread::scope(|scope| -> Result<(), Error> {
        for index in 0..config.threads.min(tasks) {
            let name = format!("comparison-{index}");
            let threads = config.threads;
            let started = thread::Builder::new().name(name).spawn_scoped(scope, work);
            started.map_err(|source| {
                is_over.store(true, Ordering::Relaxed);
                Error::Threads { threads, source }
            })?;
        }
        Ok(())
    })?;
    let finished = finished.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut runs = finished.into_values().collect::<Result<Vec<Run>, Error>>()?.into_iter();
    Ok(strategies
        .iter()
        .map(|strategy| Contestant {
            strategy: strategy.name(),
            runs: runs.by_ref().take(config.seeds).collect(),
        })
        .collect())
}

/// One search without a ledger.
fn one_run(
    table: &TableEvaluator,
    strategy: &StrategyConfig,
    seed: u64,
    trials: usize,
) -> Result<Run, Error> {
    let mut strategy = strategy.build(table.space(), seed, None)?;
    let mut outcomes: BTreeMap<String, Option<Score>> = BTreeMap::new();
    let mut run = Run { best: Vec::new(), tops: Vec::new(), repeats: 0, failed: 0 };
    // Rewards of different classes, the largest first.
    let mut ranking: Vec<f64> = Vec::new();
    while run.best.len() < trials {
        let genotypes = strategy.ask(run.best.len() + 1, table.requirements())?;
        let mut results = Vec::with_capacity(genotypes.len());
        for genotype in genotypes {
            if run.best.len() == trials {
                return Ok(run);
            }
            let id = table.id(&genotype);
            let is_repeat = outcomes.contains_key(&id);
            run.repeats += usize::from(is_repeat);
            let outcome = *outcomes.entry(id).or_insert_with(|| table.admitted(&genotype).ok());
            run.failed += usize::from(outcome.is_none());
            let before = run.best.last().copied().flatten();
            run.best.push(match (before, outcome) {
                (Some(best), Some(score)) if score.reward > best.reward => Some(score),
                (None, Some(score)) => Some(score),
                (best, _) => best,
            });
            if let Some(score) = outcome.filter(|_| !is_repeat) {
                let rank = ranking.partition_point(|&reward| reward >= score.reward);
                ranking.insert(rank, score.reward);
            }
            run.tops.push(TOPS.map(|count| {
                let top = &ranking[..count.min(ranking.len())];
                top.iter().sum::<f64>() / top.len().max(1) as f64
            }));
            let reward = outcome.map_or(FAILED_REWARD, |score| score.reward);
            results.push(Scored::new(genotype, reward));
        }
        strategy.tell(&results);
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_error_of_a_sample() {
        let mean = Mean::of(&[1.0, 2.0, 3.0, 6.0]).expect("values");
        // Squares of -2, -1, 0 and 3 sum to 14, over three; the error is half of the deviation.
        assert_eq!(mean.mean, 3.0);
        assert!((mean.std - (14.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((mean.error - mean.std / 2.0).abs() < 1e-12);
        assert_eq!(Mean::of(&[0.9]), Some(Mean { mean: 0.9, std: 0.0, error: 0.0 }));
        assert_eq!(Mean::of(&[]), None);
    }
}
