//! The search strategy: which architectures to try next, given the rewards so far.
//!
//! A strategy takes no file and no clock, so it is replayed exactly by asking it again and telling it the
//! recorded rewards; what it learns by itself before, it keeps as a state. To add one: write its file, implement [`Strategy`], add a
//! variant to [`StrategyConfig`].

use super::enas::{Enas, EnasConfig, Lessons, Sharing};
use super::evolution::{Evolution, EvolutionConfig};
use super::local::{LocalConfig, LocalSearch};
use super::objective::pareto::Point;
use super::ppo::{Ppo, PpoConfig};
use super::q_learning::{QLearning, QLearningConfig};
use super::random::RandomSearch;
use super::reinforce::{Reinforce, ReinforceConfig};
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

    /// What it learns before it is asked for the first time; `None` if that is nothing.
    fn lessons(&mut self) -> Option<&mut dyn Lessons> {
        None
    }

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
    /// In a search for a Pareto front its place there, every coordinate to be maximized; else empty.
    pub point: Point,
}

impl Scored {
    /// An architecture where the reward is all that counts.
    pub fn new(genotype: Genotype, reward: f64) -> Self {
        Scored { genotype, reward, point: Point::new() }
    }
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
    /// The same controller trained by REINFORCE.
    Reinforce(ReinforceConfig),
    /// Aging evolution.
    Evolution(EvolutionConfig),
    /// Local search.
    Local(LocalConfig),
    /// Q-learning in a table.
    QLearning(QLearningConfig),
    /// Shared weights.
    Enas(EnasConfig),
}

impl StrategyConfig {
    /// Its name in ledgers and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            StrategyConfig::Random => "random",
            StrategyConfig::Ppo(_) => "ppo",
            StrategyConfig::Reinforce(_) => "reinforce",
            StrategyConfig::Evolution(_) => "evolution",
            StrategyConfig::Local(_) => "local",
            StrategyConfig::QLearning(_) => "q-learning",
            StrategyConfig::Enas(_) => "enas",
        }
    }

    /// True if it goes by every coordinate of [`Scored::point`], or by none; the others know one reward.
    pub fn finds_fronts(&self) -> bool {
        match self {
            StrategyConfig::Random | StrategyConfig::Evolution(_) => true,
            StrategyConfig::Ppo(_)
            | StrategyConfig::Reinforce(_)
            | StrategyConfig::Local(_)
            | StrategyConfig::QLearning(_)
            | StrategyConfig::Enas(_) => false,
        }
    }

    /// Its settings as TOML keys and values.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            StrategyConfig::Random => Vec::new(),
            StrategyConfig::Ppo(config) => config.settings(),
            StrategyConfig::Reinforce(config) => config.settings(),
            StrategyConfig::Evolution(config) => config.settings(),
            StrategyConfig::Local(config) => config.settings(),
            StrategyConfig::QLearning(config) => config.settings(),
            StrategyConfig::Enas(config) => config.settings(),
        }
    }

    /// The strategy at the start of a search; `sharing` if the children of its evaluator can share weights.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range, or for shared weights where there can be none.
    pub fn build<'a>(
        &self,
        space: &SearchSpace,
        seed: u64,
        sharing: Option<Sharing<'a>>,
    ) -> Result<Box<dyn Strategy + 'a>, Error> {
        let space = space.clone();
        Ok(match self {
            StrategyConfig::Random => Box::new(RandomSearch::new(space, seed)),
            StrategyConfig::Ppo(config) => Box::new(Ppo::new(space, config, seed)?),
            StrategyConfig::Reinforce(config) => Box::new(Reinforce::new(space, config, seed)?),
            StrategyConfig::Evolution(config) => Box::new(Evolution::new(space, config, seed)?),
            StrategyConfig::Local(config) => Box::new(LocalSearch::new(space, config, seed)?),
            StrategyConfig::QLearning(config) => Box::new(QLearning::new(space, config, seed)?),
            StrategyConfig::Enas(config) => {
                let sharing = sharing.ok_or_else(|| Error::Config {
                    setting: "strategy",
                    value: self.name().into(),
                    reason: "only children that are trained here share weights, with `--evaluator train`"
                        .into(),
                })?;
                Box::new(Enas::new(space, config, seed, sharing)?)
            }
        })
    }
}

/// Mean reward of a batch.
pub(super) fn mean_reward(results: &[Scored]) -> f64 {
    results.iter().map(|result| result.reward).sum::<f64>() / results.len() as f64
}

/// Refuses a space that leaves a policy nothing to learn.
pub(super) fn needs_decisions(space: &SearchSpace) -> Result<(), Error> {
    if space.decisions.is_empty() {
        let value = format!("`{}`", space.name);
        let reason = "it has no decision to learn".into();
        return Err(Error::Config { setting: "space", value, reason });
    }
    Ok(())
}

/// Refuses a count of 0.
pub(super) fn at_least_one(setting: &'static str, value: usize) -> Result<(), Error> {
    refuse_unless(value > 0, setting, &value.to_string(), "it must be at least 1")
}

/// Refuses what is no positive number.
pub(super) fn above_zero(setting: &'static str, value: f64) -> Result<(), Error> {
    let is_fine = value.is_finite() && value > 0.0;
    refuse_unless(is_fine, setting, &value.to_string(), "it must be above 0")
}

/// Refuses what is not between 0 and 1.
pub(super) fn share(setting: &'static str, value: f64) -> Result<(), Error> {
    let is_fine = (0.0..=1.0).contains(&value);
    refuse_unless(is_fine, setting, &value.to_string(), "it must be in [0, 1]")
}

/// Refuses what is not from 0 up to, but without, 1.
pub(super) fn below_one(setting: &'static str, value: f64) -> Result<(), Error> {
    let is_fine = (0.0..1.0).contains(&value);
    refuse_unless(is_fine, setting, &value.to_string(), "it must be in [0, 1)")
}

fn refuse_unless(
    is_fine: bool,
    setting: &'static str,
    value: &str,
    reason: &str,
) -> Result<(), Error> {
    if is_fine {
        return Ok(());
    }
    Err(Error::Config { setting, value: value.into(), reason: reason.into() })
}
