//! Aging evolution: parents are the best of small samples of a population in which the oldest dies.
//!
//! The population starts with random architectures. A child is a parent with one decision taken otherwise;
//! the parent is the best of a sample drawn with replacement. A child takes the place of the oldest, however
//! good that is, so that an architecture stays only by being found again and again.
//!
//! The children of one batch have their parents among the architectures told before it. In the paper a
//! mutation changes an input or an operation; here it changes any active decision, each as likely.
//!
//! # Pareto fronts
//! In a search for a front the best of a sample is that of the best front of the population, by
//! [non-dominated sorting](ranks); of one front that with the largest [crowding distance](crowding), so that
//! the ends and the gaps of a front have the most children. That is the selection of parents of NSGA-II.
//! Which member dies is left to age, and the front of the search is that of all trials, so that nothing on it
//! is lost.
//!
//! # Source
//! Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (2002), for fronts;
//! Real et al., "Regularized Evolution for Image Classifier Architecture Search", algorithm 1.

use std::collections::VecDeque;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::objective::pareto::{Point, crowding, ranks};
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
    /// How good each member is as a parent.
    fitness: Vec<Fitness>,
    proposed: Proposed,
}

/// How good a member is as a parent; compared field by field.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Fitness {
    /// The reward; in a search for a front, the number of the member's front, negative.
    first: f64,
    /// In a search for a front, how far apart its neighbors there are.
    second: f64,
}

/// The fitness of the members of a population, all of which have a point or none.
fn fitness(population: &VecDeque<Scored>) -> Vec<Fitness> {
    let points: Vec<Point> = population.iter().map(|member| member.point.clone()).collect();
    if points.iter().any(Vec::is_empty) {
        let of_reward = |member: &Scored| Fitness { first: member.reward, second: 0.0 };
        return population.iter().map(of_reward).collect();
    }
    let ranks = ranks(&points);
    let distances = crowding(&points, &ranks);
    let of_front = |(rank, second): (usize, f64)| Fitness { first: -(rank as f64), second };
    ranks.into_iter().zip(distances).map(of_front).collect()
}

impl Evolution {
    /// A population without members in `space`.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range.
    pub fn new(space: SearchSpace, config: &EvolutionConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        let (population, fitness, proposed) = (VecDeque::new(), Vec::new(), Proposed::default());
        Ok(Evolution { config: config.clone(), space, seed, population, fitness, proposed })
    }
}

/// The member that is the best of a sample, the first drawn of equals.
fn parent(fitness: &[Fitness], sample_size: usize, rng: &mut Pcg64) -> usize {
    let mut best = rng.gen_range(0..fitness.len());
    for _ in 1..sample_size {
        let other = rng.gen_range(0..fitness.len());
        if fitness[other] > fitness[best] {
            best = other;
        }
    }
    best
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
        let Evolution { config, space, seed, population, fitness, proposed } = self;
        let child = |trial: usize| {
            let mut rng = stream(*seed, Purpose::Sample, trial as u64);
            // The first batch is never larger than the population.
            let is_random = trial <= config.population;
            let draw = |rng: &mut Pcg64| {
                if is_random {
                    return space.sample(rng);
                }
                let parent = &population[parent(fitness, config.sample_size, rng)].genotype;
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
        self.fitness = fitness(&self.population);
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
        let sum = |genotype: &Genotype| genotype.choices.iter().sum::<usize>() as f64;
        let scored = |genotype: &Genotype| Scored::new(genotype.clone(), sum(genotype));
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
    fn parents_of_a_front_are_at_its_ends_and_gaps() {
        // Front 0: 0, 1, 2 and 3, where 1 has nearer neighbors than 2; 4 is behind 1 and has the largest
        // reward.
        let points = [[9.0, 0.0], [8.0, 1.0], [6.0, 2.0], [0.0, 9.0], [7.0, 0.5]];
        let member = |point: &[f64; 2]| Scored {
            point: point.to_vec(),
            ..Scored::new(Genotype { choices: Vec::new() }, point[1])
        };
        let mut population: VecDeque<Scored> = points.iter().map(member).collect();
        population[4].reward = 10.0;
        let fitness = fitness(&population);
        let mut order: Vec<usize> = (0..5).collect();
        order.sort_by(|&a, &b| fitness[b].partial_cmp(&fitness[a]).unwrap());
        assert_eq!(order, [0, 3, 2, 1, 4]);
        let mut rng = stream(1, Purpose::Sample, 0);
        // A sample of 200 misses one of the five once in 2e19.
        for _ in 0..20 {
            assert!([0, 3].contains(&parent(&fitness, 200, &mut rng)));
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
