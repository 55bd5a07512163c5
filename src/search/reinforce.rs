//! REINFORCE: one step on the log-probabilities of a batch, weighted by how good its episodes were.
//!
//! The controller is that of PPO, as are advantages: the reward of an episode, which all of its decisions
//! share, minus a moving average. The loss is the mean of `-A log p` over active timesteps, with an
//! entropy bonus. A batch is used once, so that there is no ratio to clip.
//!
//! # Determinism
//! All tensor work runs in a thread pool of one thread, so the caller's threads change no bit.
//!
//! # Source
//! Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning";
//! Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", for the settings.

use dfdx::optim::AdamConfig;
use dfdx::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use super::advantage::{Baseline, normalize};
use super::optimizer::{Adam, clip_grad_norm};
use super::policy::{Matrix, Policy, Recording, on};
use super::proposed::Proposed;
use super::rollout::Rollout;
use super::strategy::{
    Metrics, Scored, Strategy, above_zero, at_least_one, mean_reward, needs_decisions,
};
use crate::error::Error;
use crate::rng::{Pcg64, Purpose, stream};
use crate::space::{Genotype, Requirements, SearchSpace};

/// Settings of [`Reinforce`], those that PPO has too under the same names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReinforceConfig {
    /// Learning rate of Adam.
    pub lr: f64,
    /// Epsilon of Adam.
    pub adam_eps: f64,
    /// Architectures for one update.
    pub batch_size: usize,
    /// Weight of the entropy bonus, in reward for each nat of one decision.
    pub ent_coef: f64,
    /// Largest norm of the gradient.
    pub max_grad_norm: f64,
    /// Whether the advantages of a batch are brought to mean 0 and standard deviation 1.
    pub norm_adv: bool,
    /// Weight of the past in the moving average of rewards.
    pub baseline_decay: f64,
    /// How often an architecture is drawn again that was proposed before.
    pub redraws: usize,
}

impl ReinforceConfig {
    /// The settings of the released code of ENAS (Adam's learning rate and epsilon, 10 architectures for
    /// an update, entropy weight, decay), whose controller has shared weights to score children with and
    /// so many thousands of them. It does not clip; neither does this.
    pub fn paper() -> Self {
        ReinforceConfig {
            lr: 0.0035,
            adam_eps: 1e-3,
            batch_size: 10,
            ent_coef: 0.0001,
            max_grad_norm: 1e9,
            norm_adv: false,
            baseline_decay: 0.99,
            redraws: 0,
        }
    }

    /// All settings as TOML keys and values.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let ReinforceConfig {
            lr,
            adam_eps,
            batch_size,
            ent_coef,
            max_grad_norm,
            norm_adv,
            baseline_decay,
            redraws,
        } = self;
        vec![
            ("lr", format!("{lr:?}")),
            ("adam_eps", format!("{adam_eps:?}")),
            ("batch_size", batch_size.to_string()),
            ("ent_coef", format!("{ent_coef:?}")),
            ("max_grad_norm", format!("{max_grad_norm:?}")),
            ("norm_adv", norm_adv.to_string()),
            ("baseline_decay", format!("{baseline_decay:?}")),
            ("redraws", redraws.to_string()),
        ]
    }

    fn check(&self) -> Result<(), Error> {
        above_zero("lr", self.lr)?;
        above_zero("adam_eps", self.adam_eps)?;
        above_zero("max_grad_norm", self.max_grad_norm)?;
        at_least_one("batch_size", self.batch_size)?;
        let refused = |setting, value: f64, reason: &str| {
            Err(Error::Config { setting, value: value.to_string(), reason: reason.into() })
        };
        if !(self.ent_coef.is_finite() && self.ent_coef >= 0.0) {
            return refused("ent_coef", self.ent_coef, "it must be at least 0");
        }
        if !(0.0..1.0).contains(&self.baseline_decay) {
            return refused("baseline_decay", self.baseline_decay, "it must be in [0, 1)");
        }
        Ok(())
    }
}

/// Settings for hundreds of children, as those of PPO are: larger steps, smaller batches, normalized
/// advantages, no repeats.
impl Default for ReinforceConfig {
    fn default() -> Self {
        ReinforceConfig {
            lr: 0.01,
            adam_eps: 1e-5,
            batch_size: 8,
            ent_coef: 0.1,
            max_grad_norm: 0.5,
            norm_adv: true,
            baseline_decay: 0.95,
            redraws: 20,
        }
    }
}

/// The strategy: samples from a [`Policy`] and takes one step after each batch.
pub struct Reinforce {
    config: ReinforceConfig,
    seed: u64,
    policy: Policy,
    optimizer: Adam,
    baseline: Baseline,
    rollout: Option<Rollout>,
    proposed: Proposed,
    pool: ThreadPool,
}

impl Reinforce {
    /// A controller with fresh weights.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range or a space without decisions;
    /// [`Error::Threads`] if its thread cannot be started.
    pub fn new(space: SearchSpace, config: &ReinforceConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        needs_decisions(&space)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .map_err(|error| Error::Threads { threads: 1, source: std::io::Error::other(error) })?;
        let adam = AdamConfig { lr: config.lr, eps: config.adam_eps, ..AdamConfig::default() };
        Ok(Reinforce {
            config: config.clone(),
            seed,
            policy: Policy::new(space, seed),
            optimizer: Adam::new(adam),
            baseline: Baseline::new(config.baseline_decay),
            rollout: None,
            proposed: Proposed::default(),
            pool,
        })
    }
}

/// What a step did.
pub(super) struct Step {
    pub(super) policy_loss: f64,
    /// Mean over active decisions in nats, before the step.
    pub(super) entropy: f64,
    pub(super) grad_norm: f64,
}

/// One step of the optimizer on the loss of a batch, with an entropy bonus of weight `ent_coef`.
pub(super) fn step(
    policy: &mut Policy,
    optimizer: &mut Adam,
    rollout: &Rollout,
    advantages: &[f64],
    ent_coef: f64,
    max_grad_norm: f64,
) -> Step {
    let mut tape = Recording::default();
    let unrolled = policy.evaluate(&mut tape, &rollout.genotypes.iter().collect::<Vec<_>>());
    let shape = *unrolled.log_prob.shape();
    let device = policy.device();
    let n_active: f32 = rollout.active.iter().sum();
    // Weights that turn a sum over `[D, E]` into a mean over active timesteps.
    let weights: Matrix = device.tensor_from_vec(rollout.active.clone(), shape) / n_active;
    let costs: Vec<f32> = advantages.iter().map(|&value| -value as f32).collect();
    let costs = device.tensor_from_vec(costs.repeat(shape.0), shape) * weights.clone();

    let policy_loss = on(&mut tape, |t| (unrolled.log_prob.put_tape(t) * costs).sum::<(), _>());
    let entropy = on(&mut tape, |t| (unrolled.entropy.put_tape(t) * weights).sum::<(), _>());
    let bonus = on(&mut tape, |t| entropy.clone().put_tape(t) * (-ent_coef as f32));
    let loss = policy_loss.clone().put_tape(tape) + bonus;

    let mut gradients = loss.backward();
    let parameters = policy.parameters_mut();
    let grad_norm = clip_grad_norm(&parameters, &mut gradients, max_grad_norm)
        .expect("tensors on the CPU only fail when memory runs out");
    optimizer
        .update(parameters, &mut gradients)
        .expect("tensors on the CPU only fail when memory runs out");
    Step {
        policy_loss: f64::from(policy_loss.array()),
        entropy: f64::from(entropy.array()),
        grad_norm,
    }
}

impl Strategy for Reinforce {
    fn batch(&self) -> usize {
        self.config.batch_size
    }

    fn ask(
        &mut self,
        first_trial: usize,
        requirements: Requirements<'_>,
    ) -> Result<Vec<Genotype>, Error> {
        let mut rngs: Vec<Pcg64> = (first_trial..first_trial + self.config.batch_size)
            .map(|trial| stream(self.seed, Purpose::Sample, trial as u64))
            .collect();
        let Reinforce { policy, pool, proposed, config, .. } = self;
        let rollout = pool
            .install(|| Rollout::draw(policy, &mut rngs, requirements, proposed, config.redraws))?;
        let genotypes = rollout.genotypes.clone();
        genotypes.iter().for_each(|genotype| {
            proposed.insert(genotype.clone());
        });
        self.rollout = Some(rollout);
        Ok(genotypes)
    }

    /// # Panics
    /// If `results` are not those of the batch asked for last.
    fn tell(&mut self, results: &[Scored]) -> Metrics {
        let rollout = self.rollout.take().expect("a batch is asked for before it is told");
        assert!(
            rollout.genotypes.iter().eq(results.iter().map(|result| &result.genotype)),
            "the results are those of the batch asked for"
        );
        let rewards: Vec<f64> = results.iter().map(|result| result.reward).collect();
        let mut advantages = self.baseline.advantages(&rewards);
        let Reinforce { config, policy, optimizer, pool, .. } = self;
        if config.norm_adv {
            normalize(&mut advantages);
        }
        let ReinforceConfig { ent_coef, max_grad_norm, .. } = *config;
        let step = pool
            .install(|| step(policy, optimizer, &rollout, &advantages, ent_coef, max_grad_norm));
        vec![
            ("mean_reward", mean_reward(results)),
            ("baseline", self.baseline.average()),
            ("policy_loss", step.policy_loss),
            ("entropy", step.entropy),
            ("grad_norm", step.grad_norm),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Decision;

    fn reinforce() -> Reinforce {
        let options: Vec<String> = ["x", "y", "z"].map(str::to_owned).to_vec();
        let decisions =
            (0..3).map(|index| Decision::new(index.to_string(), options.clone())).collect();
        let space = SearchSpace { name: "test".into(), decisions };
        Reinforce::new(space, &ReinforceConfig::default(), 1).unwrap()
    }

    #[test]
    fn a_step_makes_good_episodes_likelier_and_bad_ones_less_likely() {
        let mut reinforce = reinforce();
        let asked = reinforce.ask(1, Requirements::default()).unwrap();
        let before = reinforce.rollout.as_ref().unwrap().log_prob.clone();
        let of = |log_prob: &[f32], episode: usize| -> f32 {
            log_prob.chunks(asked.len()).map(|row| row[episode]).sum()
        };
        let scored = |(index, genotype): (usize, &Genotype)| {
            let reward = [1.0, 0.0].get(index).copied().unwrap_or(0.5);
            Scored::new(genotype.clone(), reward)
        };
        reinforce.tell(&asked.iter().enumerate().map(scored).collect::<Vec<_>>());
        let genotypes: Vec<&Genotype> = asked.iter().collect();
        let after = reinforce.policy.evaluate(&mut NoneTape, &genotypes).log_prob.as_vec();
        assert!(of(&after, 0) > of(&before, 0));
        assert!(of(&after, 1) < of(&before, 1));
    }
}
