//! Aging evolution: parents are the best of small samples of a population in which the oldest dies.
//!
//! The population starts with random architectures. A child is a parent with one decision taken otherwise;
//! the parent is the best of a sample drawn with replacement. A child takes the place of the oldest, however
//! good that is, so that an architecture stays only by being found again and again.
//!
//! The children of one batch have their parents among the architectures told before it. In the paper a
//! mutation changes an input or an operation; here it changes any active decision, each as likely.
//!
//! # Source
//! Real et al., "Regularized Evolution for Image Classifier Architecture Search", algorithm 1.

use std::collections::VecDeque;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::proposed::Proposed;
use super::strategy::{Metrics, Scored, Strategy, at_least_one, mean_reward, share};
use crate::error::Error;
use crate::rng::{Pcg64, Purpose, stream};
use crate::space::{Genotype, Requirements, SearchSpace};

/// Settings of [`Evolution`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvolutionConfig {
    /// P: architectures in the population.
    pub population: usize,
    /// S: architectures of which the best is a parent.
    pub sample_size: usize,
    /// Children that are evaluated at the same time; at most `population`.
    pub batch_size: usize,
    /// Probability that a child is its parent unchanged.
    pub identity: f64,
    /// How often a child is drawn again that was proposed before.
    pub redraws: usize,
}

impl EvolutionConfig {
    /// The settings of the paper, meant for 20,000 children. Its workers are 450.
    pub fn paper() -> Self {
        EvolutionConfig {
            population: 100,
            sample_size: 25,
            batch_size: 20,
            identity: 0.05,
            redraws: 0,
        }
    }

    /// All settings as TOML keys and values.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let EvolutionConfig { population, sample_size, batch_size, identity, redraws } = self;
        vec![
            ("population", population.to_string()),
            ("sample_size", sample_size.to_string()),
            ("batch_size", batch_size.to_string()),
            ("identity", format!("{identity:?}")),
            ("redraws", redraws.to_string()),
        ]
    }

    fn check(&self) -> Result<(), Error> {
        at_least_one("sample_size", self.sample_size)?;
        at_least_one("batch_size", self.batch_size)?;
        share("identity", self.identity)?;
        if self.population < self.batch_size {
            return Err(Error::Config {
                setting: "population",
                value: self.population.to_string(),
                reason: format!("it must be at least `batch_size`, which is {}", self.batch_size),
            });
        }
        Ok(())
    }
}

/// Settings for hundreds of children. They differ from [`EvolutionConfig::paper`] in what a small budget
/// has no room for: a hundred random architectures before the first child, children that are their
/// parents, and repeats.
impl Default for EvolutionConfig {
    fn default() -> Self {
        EvolutionConfig {
            population: 50,
            sample_size: 10,
            batch_size: 8,
            identity: 0.0,
            redraws: 20,
        }
    }
}

/// The strategy.
#[derive(Clone, Debug)]
pub struct Evolution {
    config: EvolutionConfig,
    space: SearchSpace,
    seed: u64,
    /// The oldest first.
    population: VecDeque<Scored>,
    proposed: Proposed,
}

impl Evolution {
    /// A population without members in `space`.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range.
    pub fn new(space: SearchSpace, config: &EvolutionConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        let (population, proposed) = (VecDeque::new(), Proposed::default());
        Ok(Evolution { config: config.clone(), space, seed, population, proposed })
    }
}

/// The best of a sample, the first drawn of equals.
fn parent<'a>(
    population: &'a VecDeque<Scored>,
    sample_size: usize,
    rng: &mut Pcg64,
) -> &'a Genotype {
    let mut best = &population[rng.gen_range(0..population.len())];
    for _ in 1..sample_size {
        let other = &population[rng.gen_range(0..population.len())];
        if other.reward > best.reward {
            best = other;
        }
    }
    &best.genotype
}

impl Strategy for Evolution {
    fn batch(&self) -> usize {
        self.config.batch_size
    }

    fn ask(
        &mut self,
        first_trial: usize,
        requirements: Requirements<'_>,
    ) -> Result<Vec<Genotype>, Error> {
        let Evolution { config, space, seed, population, proposed } = self;
        let child = |trial: usize| {
            let mut rng = stream(*seed, Purpose::Sample, trial as u64);
            // The first batch is never larger than the population.
            let is_random = trial <= config.population;
            let draw = |rng: &mut Pcg64| {
                if is_random {
                    return space.sample(rng);
                }
                let parent = parent(population, config.sample_size, rng);
                if rng.r#gen::<f64>() < config.identity {
                    return parent.clone();
                }
                space.mutated(parent, rng)
            };
            proposed.draw(space, requirements, config.redraws, &mut rng, draw)
        };
        (first_trial..first_trial + config.batch_size).map(child).collect()
    }

    fn tell(&mut self, results: &[Scored]) -> Metrics {
        self.population.extend(results.iter().cloned());
        let excess = self.population.len().saturating_sub(self.config.population);
        self.population.drain(..excess);
        let members = self.population.len() as f64;
        let rewards = || self.population.iter().map(|member| member.reward);
        vec![
            ("mean_reward", mean_reward(results)),
            ("population_mean", rewards().sum::<f64>() / members),
            ("population_best", rewards().fold(f64::NEG_INFINITY, f64::max)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Decision;

    fn evolution(config: EvolutionConfig) -> Evolution {
        let options: Vec<String> = (0..4).map(|option| option.to_string()).collect();
        let decisions =
            (0..5).map(|index| Decision::new(index.to_string(), options.clone())).collect();
        Evolution::new(SearchSpace { name: "test".into(), decisions }, &config, 3).unwrap()
    }

    /// Asks and tells batches; the reward is the sum of the choices.
    fn step(evolution: &mut Evolution, first_trial: usize) -> Vec<Genotype> {
        let asked = evolution.ask(first_trial, Requirements::default()).unwrap();
        let scored = |genotype: &Genotype| Scored {
            genotype: genotype.clone(),
            reward: genotype.choices.iter().sum::<usize>() as f64,
        };
        evolution.tell(&asked.iter().map(scored).collect::<Vec<_>>());
        asked
    }

    #[test]
    fn the_oldest_dies_however_good_it_is() {
        let config = EvolutionConfig { population: 4, batch_size: 2, ..EvolutionConfig::default() };
        let mut evolution = evolution(config);
        let mut all = Vec::new();
        for first_trial in [1, 3, 5, 7, 9] {
            all.extend(step(&mut evolution, first_trial));
            let members: Vec<&Genotype> =
                evolution.population.iter().map(|member| &member.genotype).collect();
            assert_eq!(members, all.iter().skip(all.len().saturating_sub(4)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_child_is_one_decision_from_the_best_of_a_whole_sample() {
        // A sample of 200 from 8 misses one of them once in 4e11.
        let config = EvolutionConfig {
            population: 8,
            batch_size: 8,
            sample_size: 200,
            ..EvolutionConfig::default()
        };
        let mut evolution = evolution(config);
        step(&mut evolution, 1);
        for first_trial in [9, 17] {
            let best = evolution.population.iter().map(|member| member.reward).fold(0.0, f64::max);
            let parents: Vec<Vec<usize>> = evolution
                .population
                .iter()
                .filter(|member| member.reward == best)
                .map(|member| member.genotype.choices.clone())
                .collect();
            for child in step(&mut evolution, first_trial) {
                let distance = |parent: &Vec<usize>| {
                    parent.iter().zip(&child.choices).filter(|(a, b)| a != b).count()
                };
                assert!(parents.iter().any(|parent| distance(parent) == 1), "{child:?}");
            }
        }
    }

    #[test]
    fn a_population_smaller_than_a_batch_is_refused() {
        let config = EvolutionConfig { population: 7, ..EvolutionConfig::default() };
        let space = SearchSpace { name: "test".into(), decisions: Vec::new() };
        let refused = Evolution::new(space, &config, 0).unwrap_err();
        assert!(refused.to_string().contains("at least `batch_size`, which is 8"), "{refused}");
    }
}
