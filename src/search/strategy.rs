//! The search strategy: which architectures to try next, given the rewards so far.
//!
//! A strategy takes no file, no clock and no evaluator, so it is replayed exactly by asking it again
//! and telling it the recorded rewards. To add one: write its file, implement [`Strategy`], add a
//! variant to [`StrategyConfig`].

use super::ppo::{Ppo, PpoConfig};
use super::random::RandomSearch;
use crate::error::Error;
use crate::space::{Genotype, Requirements, SearchSpace};

/// Chooses genotypes batch by batch.
///
/// # Determinism
/// What [`ask`](Strategy::ask) returns may depend on the seed the strategy was built with, on the
/// trial numbers and on what was told before, never on time or threads.
pub trait Strategy {
    /// Trials asked for at a time. The trials of one batch are evaluated in parallel.
    fn batch(&self) -> usize;

    /// Genotypes for the trials `first_trial .. first_trial + batch`, counted from 1, all of which meet
    /// `requirements`.
    ///
    /// # Errors
    /// [`Error::Requirements`] if none was found that does.
    fn ask(
        &mut self,
        first_trial: usize,
        requirements: Requirements<'_>,
    ) -> Result<Vec<Genotype>, Error>;

    /// The results of the batch asked for last, in order of trials. Returns what a log of the search
    /// should show about the update, by name.
    fn tell(&mut self, results: &[Scored]) -> Metrics;
}

/// One trial as a strategy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The architecture.
    pub genotype: Genotype,
    /// Its reward; [`FAILED_REWARD`] if it has none of its own.
    pub reward: f64,
}

/// The reward of a failed trial: that of a network which classifies nothing correctly.
pub const FAILED_REWARD: f64 = 0.0;

/// Named numbers about one update.
pub type Metrics = Vec<(&'static str, f64)>;

/// Which strategy, with its settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StrategyConfig {
    /// Random search.
    Random,
    /// The LSTM controller trained by proximal policy optimization.
    Ppo(PpoConfig),
}

impl StrategyConfig {
    /// Its name in ledgers and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            StrategyConfig::Random => "random",
            StrategyConfig::Ppo(_) => "ppo",
        }
    }

    /// Its settings as TOML keys and values.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            StrategyConfig::Random => Vec::new(),
            StrategyConfig::Ppo(config) => config.settings(),
        }
    }

    /// The strategy at the start of a search.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range.
    pub fn build(&self, space: &SearchSpace, seed: u64) -> Result<Box<dyn Strategy>, Error> {
        match self {
            StrategyConfig::Random => Ok(Box::new(RandomSearch::new(space.clone(), seed))),
            StrategyConfig::Ppo(config) => Ok(Box::new(Ppo::new(space.clone(), config, seed)?)),
        }
    }
}
