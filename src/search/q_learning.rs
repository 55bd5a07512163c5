//! Q-learning in a table, as MetaQNN does it: the value of an option where one stands is learned from
//! replayed trials, and exploration is turned down by a schedule.
//!
//! One episode is one architecture, one step one active decision. A state is the decision and what was
//! chosen at the active decision before it, as in MetaQNN a layer's depth and the kind of layer before
//! it. The reward comes at the end; values are updated from the last step of an episode to the first, by
//! `Q(s, a) <- (1 - alpha) Q(s, a) + alpha (r + gamma max Q(s', .))`.
//!
//! An option that is right only beside one chosen further back has no value of its own in this table; where
//! a space is full of those, a strategy with a memory does better.
//!
//! # Source
//! Baker et al., "Designing Neural Network Architectures using Reinforcement Learning" (ICLR 2017), and the
//! released code: alpha 0.01, gamma 1, initial value 0.5, 128 replayed trials after each new one, and
//! [`SCHEDULE`].

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::proposed::Proposed;
use super::strategy::{Metrics, Scored, Strategy, at_least_one, mean_reward, share};
use crate::error::Error;
use crate::rng::{Pcg64, Purpose, stream};
use crate::space::{Genotype, Requirements, SearchSpace};

/// Epsilon, the share of random decisions, and for how many architectures it holds; then it stays.
pub const SCHEDULE: [(f64, usize); 10] = [
    (1.0, 1500),
    (0.9, 100),
    (0.8, 100),
    (0.7, 100),
    (0.6, 150),
    (0.5, 150),
    (0.4, 150),
    (0.3, 150),
    (0.2, 150),
    (0.1, 150),
];

/// Settings of [`QLearning`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QLearningConfig {
    /// Step size of an update.
    pub alpha: f64,
    /// Discount from one decision to the next.
    pub gamma: f64,
    /// Value of everything that was not tried.
    pub initial: f64,
    /// Trials replayed after each new one.
    pub replay: usize,
    /// Architectures over which [`SCHEDULE`] is stretched.
    pub epsilon_trials: usize,
    /// Architectures that are evaluated at the same time.
    pub batch_size: usize,
    /// How often an architecture is drawn again that was proposed before.
    pub redraws: usize,
}

impl QLearningConfig {
    /// The settings of MetaQNN, meant for 2,700 children.
    pub fn paper() -> Self {
        QLearningConfig {
            alpha: 0.01,
            gamma: 1.0,
            initial: 0.5,
            replay: 128,
            epsilon_trials: 2700,
            batch_size: 8,
            redraws: 0,
        }
    }

    /// All settings as TOML keys and values.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let QLearningConfig { alpha, gamma, initial, replay, epsilon_trials, batch_size, redraws } =
            self;
        vec![
            ("alpha", format!("{alpha:?}")),
            ("gamma", format!("{gamma:?}")),
            ("initial", format!("{initial:?}")),
            ("replay", replay.to_string()),
            ("epsilon_trials", epsilon_trials.to_string()),
            ("batch_size", batch_size.to_string()),
            ("redraws", redraws.to_string()),
        ]
    }

    fn check(&self) -> Result<(), Error> {
        share("alpha", self.alpha)?;
        share("gamma", self.gamma)?;
        share("initial", self.initial)?;
        at_least_one("epsilon_trials", self.epsilon_trials)?;
        at_least_one("batch_size", self.batch_size)
    }

    /// Epsilon for a trial, counted from 1.
    fn epsilon(&self, trial: usize) -> f64 {
        let all: usize = SCHEDULE.iter().map(|(_, trials)| trials).sum();
        let mut end = 0;
        for (epsilon, trials) in SCHEDULE {
            end += trials;
            // trial - 1 of `epsilon_trials` is as far along as `end` of `all`.
            if (trial - 1) * all < end * self.epsilon_trials {
                return epsilon;
            }
        }
        SCHEDULE[SCHEDULE.len() - 1].0
    }
}

/// Settings for hundreds of children: MetaQNN's schedule over 200, larger steps, and no repeats.
impl Default for QLearningConfig {
    fn default() -> Self {
        QLearningConfig {
            alpha: 0.05,
            epsilon_trials: 200,
            redraws: 20,
            ..QLearningConfig::paper()
        }
    }
}

/// A decision, and the active decision before it with its choice.
type State = (usize, Option<(usize, usize)>);

/// Values of the options, state by state.
#[derive(Clone, Debug)]
struct Values {
    initial: f64,
    rows: BTreeMap<State, Vec<f64>>,
}

/// The strategy.
#[derive(Clone, Debug)]
pub struct QLearning {
    config: QLearningConfig,
    space: SearchSpace,
    seed: u64,
    values: Values,
    memory: Vec<Scored>,
    proposed: Proposed,
}

impl QLearning {
    /// A learner that knows nothing.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range.
    pub fn new(space: SearchSpace, config: &QLearningConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        let values = Values { initial: config.initial, rows: BTreeMap::new() };
        let (memory, proposed) = (Vec::new(), Proposed::default());
        Ok(QLearning { config: config.clone(), space, seed, values, memory, proposed })
    }
}

impl Values {
    fn of(&self, state: State, option: usize) -> f64 {
        self.rows.get(&state).map_or(self.initial, |row| row[option])
    }

    fn best(&self, state: State) -> f64 {
        let row = self.rows.get(&state);
        row.map_or(self.initial, |row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    /// An architecture whose decisions are random with probability epsilon, else of the largest value.
    fn draw(&self, space: &SearchSpace, epsilon: f64, rng: &mut Pcg64) -> Genotype {
        let random = space.sample(rng);
        let mut choices = Vec::with_capacity(space.decisions.len());
        let mut before = None;
        for (index, decision) in space.decisions.iter().enumerate() {
            if !space.is_active(index, &choices) {
                choices.push(0);
                continue;
            }
            let state = (index, before);
            let is_random = rng.r#gen::<f64>() < epsilon;
            let choice = if is_random && space.is_active(index, &random.choices) {
                random.choices[index]
            } else if is_random {
                rng.gen_range(0..decision.options.len())
            } else {
                let best = self.best(state);
                let equals: Vec<usize> = (0..decision.options.len())
                    .filter(|&option| self.of(state, option) == best)
                    .collect();
                *equals.choose(rng).expect("the largest value is that of an option")
            };
            choices.push(choice);
            before = Some((index, choice));
        }
        Genotype { choices }
    }

    /// Updates the values along an episode, the last step first.
    fn learn(&mut self, space: &SearchSpace, episode: &Scored, config: &QLearningConfig) {
        let choices = &episode.genotype.choices;
        let mut steps = Vec::with_capacity(choices.len());
        let mut before = None;
        for (index, &choice) in choices.iter().enumerate() {
            if space.is_active(index, choices) {
                steps.push(((index, before), choice));
                before = Some((index, choice));
            }
        }
        let mut next = None;
        for (state, choice) in steps.into_iter().rev() {
            let target = match next {
                None => episode.reward,
                Some(next) => config.gamma * self.best(next),
            };
            let options = space.decisions[state.0].options.len();
            let row = self.rows.entry(state).or_insert_with(|| vec![self.initial; options]);
            row[choice] = (1.0 - config.alpha) * row[choice] + config.alpha * target;
            next = Some(state);
        }
    }
}

impl Strategy for QLearning {
    fn batch(&self) -> usize {
        self.config.batch_size
    }

    fn ask(
        &mut self,
        first_trial: usize,
        requirements: Requirements<'_>,
    ) -> Result<Vec<Genotype>, Error> {
        let QLearning { config, space, seed, values, proposed, .. } = self;
        let architecture = |trial: usize| {
            let mut rng = stream(*seed, Purpose::Sample, trial as u64);
            let epsilon = config.epsilon(trial);
            let draw = |rng: &mut Pcg64| values.draw(space, epsilon, rng);
            proposed.draw(space, requirements, config.redraws, &mut rng, draw)
        };
        (first_trial..first_trial + config.batch_size).map(architecture).collect()
    }

    fn tell(&mut self, results: &[Scored]) -> Metrics {
        let QLearning { config, space, seed, values, memory, .. } = self;
        for result in results {
            memory.push(result.clone());
            let mut rng = stream(*seed, Purpose::Update, memory.len() as u64);
            values.learn(space, result, config);
            for _ in 0..config.replay {
                let replayed = memory.choose(&mut rng).expect("it holds the new trial");
                values.learn(space, replayed, config);
            }
        }
        vec![
            ("mean_reward", mean_reward(results)),
            ("epsilon", config.epsilon(memory.len())),
            ("best_value", values.best((0, None))),
            ("states", values.rows.len() as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Decision;

    #[test]
    fn the_schedule_is_that_of_metaqnn() {
        let paper = QLearningConfig::paper();
        for (trial, epsilon) in
            [(1, 1.0), (1500, 1.0), (1501, 0.9), (1800, 0.7), (1801, 0.6), (2551, 0.1), (9000, 0.1)]
        {
            assert_eq!(paper.epsilon(trial), epsilon, "trial {trial}");
        }
        let short = QLearningConfig { epsilon_trials: 27, ..paper };
        assert_eq!([15, 16, 27].map(|trial| short.epsilon(trial)), [1.0, 0.9, 0.1]);
    }

    #[test]
    fn an_update_goes_from_the_last_step_to_the_first() {
        let options: Vec<String> = vec!["x".into(), "y".into()];
        let decisions = vec![Decision::new("a", options.clone()), Decision::new("b", options)];
        let space = SearchSpace { name: "s".into(), decisions };
        let config = QLearningConfig { alpha: 0.5, replay: 0, ..QLearningConfig::paper() };
        let mut values = Values { initial: 0.5, rows: BTreeMap::new() };
        let episode = Scored::new(Genotype { choices: vec![1, 0] }, 0.9);
        values.learn(&space, &episode, &config);
        // By hand: 0.5 * 0.5 + 0.5 * 0.9, then 0.5 * 0.5 + 0.5 * 0.7.
        let rows: Vec<(State, Vec<f64>)> = values.rows.into_iter().collect();
        assert_eq!(rows[0].0, (0, None));
        assert_eq!(rows[1].0, (1, Some((0, 1))));
        assert!((rows[1].1[0] - 0.7).abs() < 1e-12 && rows[1].1[1] == 0.5, "{rows:?}");
        assert!((rows[0].1[1] - 0.6).abs() < 1e-12 && rows[0].1[0] == 0.5, "{rows:?}");
    }
}
