//! Proximal policy optimization of the controller.
//!
//! One episode is one architecture, one timestep one decision; the reward comes at the end and is not
//! discounted, so every decision of an episode has the episode's advantage: its reward minus a moving
//! average of rewards. There is no critic, as in the NASNet paper.
//!
//! Names and order are those of CleanRL's `ppo.py`, and its minibatches of whole episodes those of
//! `ppo_atari_lstm.py`.
//!
//! # Determinism
//! All tensor work runs in a thread pool of one thread, so the caller's threads change no bit.
//!
//! # Source
//! Schulman et al., "Proximal Policy Optimization Algorithms", equation 7; Huang et al., "CleanRL".

use dfdx::optim::AdamConfig;
use rand::seq::SliceRandom;
use rayon::{ThreadPool, ThreadPoolBuilder};

mod config;
mod update;

use update::{Minibatch, Step};

pub use config::PpoConfig;

use super::advantage::Baseline;
use super::optimizer::Adam;
use super::policy::Policy;
use super::proposed::Proposed;
use super::rollout::Rollout;
use super::strategy::{Metrics, Scored, Strategy, mean_reward, needs_decisions};
use crate::error::Error;
use crate::rng::{Pcg64, Purpose, stream};
use crate::space::{Genotype, Requirements, SearchSpace};

/// The strategy: samples from a [`Policy`] and updates it after each batch.
pub struct Ppo {
    config: PpoConfig,
    seed: u64,
    policy: Policy,
    optimizer: Adam,
    baseline: Baseline,
    updates: u64,
    rollout: Option<Rollout>,
    proposed: Proposed,
    pool: ThreadPool,
}

impl Ppo {
    /// A controller with fresh weights.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range or a space without decisions;
    /// [`Error::Threads`] if its thread cannot be started.
    pub fn new(space: SearchSpace, config: &PpoConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        needs_decisions(&space)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .map_err(|error| Error::Threads { threads: 1, source: std::io::Error::other(error) })?;
        let adam = AdamConfig { lr: config.lr, eps: config.adam_eps, ..AdamConfig::default() };
        Ok(Ppo {
            config: config.clone(),
            seed,
            policy: Policy::new(space, seed),
            optimizer: Adam::new(adam),
            baseline: Baseline::new(config.baseline_decay),
            updates: 0,
            rollout: None,
            proposed: Proposed::default(),
            pool,
        })
    }
}

impl Strategy for Ppo {
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
        let Ppo { policy, pool, proposed, config, .. } = self;
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
        let advantages = self.baseline.advantages(&rewards);
        let mut rng = stream(self.seed, Purpose::Update, self.updates);
        self.updates += 1;

        let Ppo { config, policy, optimizer, pool, .. } = self;
        let (steps, last) = pool.install(|| {
            let mut order: Vec<usize> = (0..config.batch_size).collect();
            let mut steps = Vec::new();
            for _ in 0..config.update_epochs {
                order.shuffle(&mut rng);
                for episodes in order.chunks(config.batch_size / config.num_minibatches) {
                    let minibatch = Minibatch::new(&rollout, &advantages, episodes, config);
                    steps.push(minibatch.step(policy, optimizer, config));
                }
                let approx_kl = steps.last().map_or(0.0, |step: &Step| step.approx_kl);
                if config.target_kl.is_some_and(|target| approx_kl > target) {
                    break;
                }
            }
            let last = steps.pop().expect("`check` refuses an update without steps");
            (steps, last)
        });
        let n_steps = steps.len() + 1;
        let clipfracs = steps.iter().map(|step| step.clipfrac).sum::<f64>() + last.clipfrac;
        vec![
            ("mean_reward", mean_reward(results)),
            ("baseline", self.baseline.average()),
            ("policy_loss", last.policy_loss),
            ("entropy", last.entropy),
            ("old_approx_kl", last.old_approx_kl),
            ("approx_kl", last.approx_kl),
            ("clipfrac", clipfracs / n_steps as f64),
            ("grad_norm", last.grad_norm),
            ("steps", n_steps as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Decision;

    fn ppo(config: PpoConfig) -> Ppo {
        let decisions = (0..4)
            .map(|index| Decision::new(index.to_string(), vec!["x".into(), "y".into(), "z".into()]))
            .collect();
        Ppo::new(SearchSpace { name: "test".into(), decisions }, &config, 1).unwrap()
    }

    fn tell(ppo: &mut Ppo, reward: impl Fn(&Genotype) -> f64) -> Metrics {
        let results: Vec<Scored> = ppo
            .ask(1, Requirements::default())
            .unwrap()
            .into_iter()
            .map(|genotype| {
                let reward = reward(&genotype);
                Scored::new(genotype, reward)
            })
            .collect();
        ppo.tell(&results)
    }

    fn metric(metrics: &Metrics, name: &str) -> f64 {
        metrics.iter().find(|metric| metric.0 == name).unwrap().1
    }

    #[test]
    fn the_first_step_of_an_update_sees_the_policy_that_drew_the_batch() {
        let mut ppo = ppo(PpoConfig { update_epochs: 1, ..PpoConfig::paper() });
        for _ in 0..3 {
            let metrics = tell(&mut ppo, |genotype| genotype.choices[0] as f64);
            assert!(metric(&metrics, "approx_kl").abs() < 1e-9, "{metrics:?}");
            assert!(metric(&metrics, "old_approx_kl").abs() < 1e-6, "{metrics:?}");
            assert_eq!(metric(&metrics, "clipfrac"), 0.0);
        }
    }

    #[test]
    fn ratios_of_repaired_episodes_start_at_one() {
        let text = "space s {
            let a = ?{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }
            let b = ?{ 0, 1, 2, 3, 4, 5, 6, 7, 8, ?{ 9, 10 } }
            let d = ?{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }
            require 100 * a + 10 * b + d >= 1008
            cell normal(h, prev) { out h |> ?{ relu, sigmoid } }
        }";
        let module = crate::compile::check(&crate::source::SourceFile::new("s", text)).unwrap();
        let space = module.space.as_ref().unwrap().decisions.clone();
        let config = PpoConfig { update_epochs: 1, ..PpoConfig::paper() };
        let mut ppo = Ppo::new(space.clone(), &config, 1).unwrap();
        for _ in 0..2 {
            let asked = ppo.ask(1, Requirements::of(&module)).unwrap();
            // a = 9, b = 10 and d = 8 or 9: one point in a thousand.
            assert!(asked.iter().all(|genotype| genotype.choices[..3] == [9, 9, 1]), "{asked:?}");
            assert!(asked.iter().all(|genotype| space.contains(genotype)));
            let scored = |genotype: Genotype| {
                let reward = genotype.choices[4] as f64;
                Scored::new(genotype, reward)
            };
            let metrics = ppo.tell(&asked.into_iter().map(scored).collect::<Vec<_>>());
            assert!(metric(&metrics, "old_approx_kl").abs() < 1e-6, "{metrics:?}");
            assert_eq!(metric(&metrics, "clipfrac"), 0.0);
        }
    }

    #[test]
    fn the_divergence_ends_an_update() {
        let eager = PpoConfig { lr: 0.05, update_epochs: 10, ..PpoConfig::default() };
        let reward = |genotype: &Genotype| genotype.choices[0] as f64;
        let free = tell(&mut ppo(PpoConfig { target_kl: None, ..eager.clone() }), reward);
        let held = tell(&mut ppo(PpoConfig { target_kl: Some(0.01), ..eager }), reward);
        assert_eq!(metric(&free, "steps"), 10.0);
        assert!(metric(&held, "steps") < 10.0, "{held:?}");
    }

    #[test]
    fn equal_rewards_move_nothing_but_the_entropy_bonus() {
        let mut ppo = ppo(PpoConfig { ent_coef: 0.0, ..PpoConfig::default() });
        let before =
            ppo.policy.clone().parameters_mut().iter().map(|p| p.as_vec()).collect::<Vec<_>>();
        tell(&mut ppo, |_| 0.5);
        let after = ppo.policy.parameters_mut().iter().map(|p| p.as_vec()).collect::<Vec<_>>();
        assert_eq!(before, after);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let base = PpoConfig::default();
        for (config, setting) in [
            (PpoConfig { lr: 0.0, ..base.clone() }, "lr"),
            (PpoConfig { clip_coef: f64::NAN, ..base.clone() }, "clip_coef"),
            (PpoConfig { num_minibatches: 3, ..base.clone() }, "num_minibatches"),
            (PpoConfig { batch_size: 0, ..base.clone() }, "batch_size"),
            (PpoConfig { baseline_decay: 1.0, ..base.clone() }, "baseline_decay"),
            (PpoConfig { ent_coef: -1.0, ..base }, "ent_coef"),
        ] {
            let Err(Error::Config { setting: found, .. }) = config.check() else {
                panic!("{setting} was accepted")
            };
            assert_eq!(found, setting);
        }
    }
}
