//! Local search: climb from a random architecture to the best neighbor until there is none better, then
//! start anew.
//!
//! Neighbors differ in one decision. They are evaluated in random order, a batch at a time, and the best of
//! a batch is climbed to at once if it is better than where the search stands. Where all neighbors were
//! tried, the search goes on from the best of a batch of random architectures; what is missing of a batch of
//! neighbors is random too. Nothing is proposed twice while there is anything else.
//!
//! # Source
//! White et al., "Exploring the Loss Landscape in Neural Architecture Search" (UAI 2021), where all neighbors
//! are evaluated before a step.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::proposed::Proposed;
use super::strategy::{Metrics, Scored, Strategy, at_least_one, mean_reward};
use crate::error::Error;
use crate::rng::{Purpose, stream};
use crate::space::{Genotype, Requirements, SearchSpace};

/// Settings of [`LocalSearch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalConfig {
    /// Architectures that are evaluated at the same time.
    pub batch_size: usize,
    /// Random architectures before the first climb, which begins at the best of them; whole batches.
    pub initial: usize,
    /// How often a random architecture is drawn again that was proposed before.
    pub redraws: usize,
}

impl LocalConfig {
    /// All settings as TOML keys and values.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let LocalConfig { batch_size, initial, redraws } = self;
        vec![
            ("batch_size", batch_size.to_string()),
            ("initial", initial.to_string()),
            ("redraws", redraws.to_string()),
        ]
    }
}

impl Default for LocalConfig {
    fn default() -> Self {
        LocalConfig { batch_size: 8, initial: 8, redraws: 20 }
    }
}

/// The strategy.
#[derive(Clone, Debug)]
pub struct LocalSearch {
    config: LocalConfig,
    space: SearchSpace,
    seed: u64,
    /// Where the search stands; nowhere before the first batch and after a climb.
    current: Option<Scored>,
    /// Neighbors of it that wait for their turn, the next one last.
    untried: Vec<Genotype>,
    /// Architectures told so far.
    told: usize,
    climbs: usize,
    proposed: Proposed,
}

impl LocalSearch {
    /// A search that stands nowhere yet.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range.
    pub fn new(space: SearchSpace, config: &LocalConfig, seed: u64) -> Result<Self, Error> {
        at_least_one("batch_size", config.batch_size)?;
        Ok(LocalSearch {
            config: config.clone(),
            space,
            seed,
            current: None,
            untried: Vec::new(),
            told: 0,
            climbs: 0,
            proposed: Proposed::default(),
        })
    }
}

impl Strategy for LocalSearch {
    fn batch(&self) -> usize {
        self.config.batch_size
    }

    fn ask(
        &mut self,
        first_trial: usize,
        requirements: Requirements<'_>,
    ) -> Result<Vec<Genotype>, Error> {
        let LocalSearch { config, space, seed, untried, proposed, .. } = self;
        let mut rng = stream(*seed, Purpose::Sample, first_trial as u64);
        let mut batch = Vec::with_capacity(config.batch_size);
        while batch.len() < config.batch_size {
            match untried.pop() {
                Some(neighbor) => {
                    let is_new = !proposed.contains(&neighbor);
                    if is_new && requirements.violation(&neighbor) == 0.0 {
                        proposed.insert(neighbor.clone());
                        batch.push(neighbor);
                    }
                }
                None => {
                    let sample = |rng: &mut _| space.sample(rng);
                    batch.push(proposed.draw(
                        space,
                        requirements,
                        config.redraws,
                        &mut rng,
                        sample,
                    )?);
                }
            }
        }
        Ok(batch)
    }

    fn tell(&mut self, results: &[Scored]) -> Metrics {
        self.told += results.len();
        let before = self.current.as_ref().map(|current| current.reward);
        for result in results {
            if self.current.as_ref().is_none_or(|current| result.reward > current.reward) {
                self.current = Some(result.clone());
            }
        }
        let reward = self.current.as_ref().map_or(0.0, |current| current.reward);
        let is_begun = self.told >= self.config.initial;
        if let Some(current) = &self.current
            && is_begun
            && (before != Some(current.reward) || self.climbs == 0)
        {
            let mut rng = stream(self.seed, Purpose::Update, self.told as u64);
            self.untried = self.space.neighbors(&current.genotype, &mut rng);
            self.untried.shuffle(&mut rng);
            self.climbs += usize::from(before.is_none() || self.climbs == 0);
        } else if is_begun && self.untried.is_empty() {
            self.current = None;
        }
        vec![
            ("mean_reward", mean_reward(results)),
            ("current_reward", reward),
            ("untried", self.untried.len() as f64),
            ("climbs", self.climbs as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Decision;

    /// Six decisions of four options; one global maximum at all threes and a local one at all zeros.
    fn reward(genotype: &Genotype) -> f64 {
        let count = |option| genotype.choices.iter().filter(|&&choice| choice == option).count();
        f64::max(count(3) as f64, count(0) as f64 - 0.5)
    }

    fn local(config: &LocalConfig) -> LocalSearch {
        let options: Vec<String> = (0..4).map(|option| option.to_string()).collect();
        let decisions =
            (0..6).map(|index| Decision::new(index.to_string(), options.clone())).collect();
        LocalSearch::new(SearchSpace { name: "test".into(), decisions }, config, 5).unwrap()
    }

    fn step(local: &mut LocalSearch, first_trial: usize) -> (Vec<Genotype>, Metrics) {
        let asked = local.ask(first_trial, Requirements::default()).unwrap();
        let scored = |genotype: &Genotype| Scored::new(genotype.clone(), reward(genotype));
        let metrics = local.tell(&asked.iter().map(scored).collect::<Vec<_>>());
        (asked, metrics)
    }

    #[test]
    fn a_climb_asks_for_neighbors_of_where_it_stands() {
        let mut local = local(&LocalConfig { initial: 16, ..LocalConfig::default() });
        for first_trial in [1, 9] {
            assert!(local.untried.is_empty());
            step(&mut local, first_trial);
        }
        for first_trial in [17, 25, 33] {
            let from = local.current.clone().unwrap();
            let waiting = local.untried.len();
            for genotype in step(&mut local, first_trial).0.iter().take(waiting) {
                let pairs = genotype.choices.iter().zip(&from.genotype.choices);
                assert_eq!(pairs.filter(|(a, b)| a != b).count(), 1);
            }
            assert!(local.current.as_ref().is_none_or(|now| now.reward >= from.reward));
        }
    }

    #[test]
    fn a_search_that_is_stuck_starts_anew_and_repeats_nothing() {
        let mut local = local(&LocalConfig::default());
        let mut seen = std::collections::BTreeSet::new();
        let mut climbs = 0.0;
        for batch in 0..100 {
            let (asked, metrics) = step(&mut local, 1 + 8 * batch);
            assert_eq!(asked.len(), 8);
            assert!(asked.into_iter().all(|genotype| seen.insert(genotype)));
            climbs = metrics.iter().find(|(name, _)| *name == "climbs").unwrap().1;
        }
        assert!(climbs > 3.0, "{climbs}");
        assert!(seen.contains(&Genotype { choices: vec![3; 6] }), "the maximum was not found");
    }
}
