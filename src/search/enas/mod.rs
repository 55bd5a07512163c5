//! Efficient neural architecture search: children share one store of weights, and a controller is trained by
//! what they score with them.
//!
//! An epoch is a pass over the training images, each step on a child drawn from the controller: sample, plan
//! into the store, forward, backward, update of that child's weights. Then the controller takes some steps of
//! REINFORCE; a child's reward there is its accuracy on one batch of held-out images, with shared weights. When
//! all epochs are done, each trial is the best of some children drawn from the trained controller, by their
//! accuracy on one batch; the evaluator trains it from scratch, and its record is as any other's. Shared weights
//! choose cells, they are no part of them.
//!
//! | file | what |
//! |---|---|
//! | `place` | which parameters of children are the same |
//! | `store` | their values, and children as plans over them |
//! | `config` | settings |
//! | `lessons` | epoch after epoch, with a checkpoint after each |
//! | `state` | what is in it |
//!
//! # Differences to the released code
//! The controller is that of the other strategies, a softmax for each decision and 100 units, in place of
//! attention over earlier blocks and 64, so that it knows any space; of ENAS it has the bounded logits. A step
//! decays and moves the parameters of its child alone; TensorFlow moves all of them on along their velocities.
//! There is no auxiliary head.
//!
//! # Determinism
//! Everything random is drawn from the seed and the numbers of steps, children and trials. Neither threads nor
//! the epochs at which a run was stopped and resumed change a bit, on one processor or one card.
//!
//! # Source
//! Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", and melodyguan/enas.

mod config;
mod lessons;
mod place;
mod state;
mod store;

use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::optim::AdamConfig;
use dfdx::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

pub use config::EnasConfig;
pub use lessons::Lessons;
pub use state::State;

use super::advantage::Baseline;
use super::architecture::Architectures;
use super::optimizer::Adam;
use super::policy::Policy;
use super::proposed::Proposed;
use super::reinforce;
use super::rollout::Rollout;
use super::strategy::{FAILED_REWARD, Metrics, Scored, Strategy, mean_reward, needs_decisions};
use crate::data::{Batch, Batches, Dataset, Loader, Split};
use crate::device::{AnyDevice, RunConfig};
use crate::error::Error;
use crate::rng::{Pcg64, Purpose, derive, stream};
use crate::space::{Genotype, Requirements, SearchSpace};
use crate::train::{TrainConfig, count_correct, targets};
use store::{Descent, SharedChild, SharedStore};

/// How often a child is drawn again that was proposed before.
const REDRAWS: usize = 20;

/// Largest norm of the controller's gradient: none to speak of, as in the released code, whose clipping has no
/// effect.
const MAX_GRAD_NORM: f64 = 1e9;

/// What an evaluator that trains children of one space has for children that share weights.
#[derive(Clone, Copy, Debug)]
pub struct Sharing<'a> {
    pub(super) architectures: &'a Architectures,
    pub(super) data: &'a Dataset,
    pub(super) split: &'a Split,
    pub(super) train: &'a TrainConfig,
    /// Where they compute.
    pub(super) device: &'a AnyDevice,
}

/// One epoch of shared weights and controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedEpoch {
    /// Number, counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy of the steps' batches, each by its child before the step, in nats.
    pub train_loss: f64,
    /// Share of those images whose largest logit was the label's.
    pub train_accuracy: f64,
    /// Mean reward of the children that then trained the controller, 0 to 1.
    pub reward: f64,
    /// The moving average of rewards behind them.
    pub baseline: f64,
    /// Mean entropy of the controller's decisions in its last step, in nats.
    pub entropy: f64,
    /// Parameters in the store.
    pub params: usize,
}

/// The strategy.
pub struct Enas<'a> {
    config: EnasConfig,
    seed: u64,
    sharing: Sharing<'a>,
    policy: Policy,
    optimizer: Adam,
    baseline: Baseline,
    store: SharedStore,
    epochs: Vec<SharedEpoch>,
    proposed: Proposed,
    /// For the controller, whose tensor work must not depend on the number of threads.
    pool: ThreadPool,
}

impl<'a> Enas<'a> {
    /// A fresh controller and an empty store.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range or a space without decisions;
    /// [`Error::Threads`] if the controller's thread cannot be started.
    pub fn new(
        space: SearchSpace,
        config: &EnasConfig,
        seed: u64,
        sharing: Sharing<'a>,
    ) -> Result<Self, Error> {
        config.check()?;
        needs_decisions(&space)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .map_err(|error| Error::Threads { threads: 1, source: std::io::Error::other(error) })?;
        let adam = AdamConfig {
            lr: config.controller_lr,
            betas: [config.adam_beta1, 0.999],
            eps: config.adam_eps,
            ..AdamConfig::default()
        };
        Ok(Enas {
            config: config.clone(),
            seed,
            sharing,
            policy: Policy::new(space, seed).with_tanh_constant(config.tanh_constant),
            optimizer: Adam::new(adam),
            baseline: Baseline::new(config.baseline_decay),
            store: SharedStore::new(seed, sharing.device.clone()),
            epochs: Vec::new(),
            proposed: Proposed::default(),
            pool,
        })
    }

    /// Draws one child for each generator.
    fn draw(
        &self,
        rngs: &mut [Pcg64],
        requirements: Requirements<'_>,
        redraws: usize,
    ) -> Result<Rollout, Error> {
        let Enas { policy, proposed, pool, .. } = self;
        pool.install(|| Rollout::draw(policy, rngs, requirements, proposed, redraws))
    }

    /// A genotype as a child in the store; none if it has no network or too large a one.
    fn child(&mut self, genotype: &Genotype) -> Option<SharedChild> {
        let architectures = self.sharing.architectures;
        let (lowered, _) = architectures.admitted(genotype).ok()?;
        let written = architectures.as_written(genotype).ok()?;
        Some(self.store.child(&written, &lowered.graph))
    }

    fn run_config(&self) -> RunConfig {
        RunConfig { bn_eps: self.sharing.train.bn_eps as f32, ..RunConfig::default() }
    }

    /// One pass over the training images, a child for each step; gives the mean loss and the accuracy.
    fn share(&mut self, epoch: usize, requirements: Requirements<'_>) -> Result<(f64, f64), Error> {
        let Sharing { data, split, train, .. } = self.sharing;
        let (steps, _) = Batches::batches_per_epoch(split.train.len(), train.batch);
        let first = (epoch - 1) * steps;
        let of_step = |step: usize| stream(self.seed, Purpose::Share, step as u64);
        let mut rngs: Vec<Pcg64> = (first..first + steps).map(of_step).collect();
        // The controller stands still meanwhile, so all children of the epoch can be drawn at once.
        let genotypes = self.draw(&mut rngs, requirements, 0)?.genotypes;
        let order = (derive(self.seed, Purpose::Share, 0), epoch);
        let mut batches = Loader::new(Batches::shuffled(
            &data.train,
            &split.train,
            &data.whitening,
            train.augment,
            train.batch,
            order,
        ))?;
        let descent = Descent {
            lr: self.config.lr_of(epoch),
            momentum: self.config.momentum,
            weight_decay: self.config.weight_decay,
            clip_norm: train.clip_norm,
        };
        let (mut loss_sum, mut correct, mut images, mut taken) = (0.0, 0, 0, 0);
        let mut batch = Batch::default();
        for (step, genotype) in (first..).zip(&genotypes) {
            let has_images = batches.fill_next(&mut batch)?;
            assert!(has_images, "an epoch has as many batches as steps");
            let Some(child) = self.child(genotype) else { continue };
            let config = RunConfig {
                dropout: self.config.dropout as f32,
                dropout_seed: derive(self.seed, Purpose::Dropout, step as u64),
                ..self.run_config()
            };
            let logits = self.store.logits(&child, &batch.pixels, batch.len(), &config)?;
            correct += count_correct(&logits, &batch.labels);
            let (loss, gradient) = cross_entropy(logits, &batch.labels, data.classes)?;
            let norm = self.store.learn(&child, &gradient, batch.len(), &config, &descent)?;
            if !(loss.is_finite() && norm.is_finite()) {
                return Err(Error::NotFinite {
                    what: "the loss",
                    step,
                    batch: step - first + 1,
                    epoch,
                    is_clipped: train.clip_norm.is_some(),
                });
            }
            loss_sum += loss;
            images += batch.len();
            taken += 1;
        }
        Ok((loss_sum / f64::from(taken.max(1)), correct as f64 / images.max(1) as f64))
    }

    /// Steps of the controller; gives the mean reward of their children and the entropy in the last one.
    fn instruct(
        &mut self,
        epoch: usize,
        requirements: Requirements<'_>,
    ) -> Result<(f64, f64), Error> {
        let EnasConfig { controller_updates: updates, controller_batch: size, .. } = self.config;
        let (mut sum, mut entropy) = (0.0, 0.0);
        for update in 0..updates {
            let first = ((epoch - 1) * updates + update) * size;
            let of_child = |child: usize| stream(self.seed, Purpose::Reward, child as u64);
            let mut rngs: Vec<Pcg64> = (first..first + size).map(of_child).collect();
            let rollout = self.draw(&mut rngs, requirements, 0)?;
            let mut rewards = Vec::with_capacity(size);
            for (number, genotype) in (first..).zip(&rollout.genotypes) {
                let batch = self.held_out(number)?;
                rewards.push(self.score(genotype, &batch)?);
            }
            sum += rewards.iter().sum::<f64>();
            let advantages = self.baseline.advantages(&rewards);
            let Enas { policy, optimizer, pool, config, .. } = self;
            let step = pool.install(|| {
                let ent_coef = config.ent_coef;
                reinforce::step(policy, optimizer, &rollout, &advantages, ent_coef, MAX_GRAD_NORM)
            });
            entropy = step.entropy;
        }
        Ok((sum / (updates * size) as f64, entropy))
    }

    /// One of an endless sequence of batches of held-out images, each pass over them in another order.
    fn held_out(&self, number: usize) -> Result<Batch, Error> {
        let Sharing { data, split, train, .. } = self.sharing;
        let (count, _) = Batches::batches_per_epoch(split.validation.len(), train.batch);
        let order = (derive(self.seed, Purpose::Reward, 0), number / count);
        let (none, size) = (crate::data::Augment::NONE, train.batch);
        let batches =
            Batches::shuffled(&data.train, &split.validation, &data.whitening, none, size, order);
        let mut batch = Batch::default();
        let has_images = batches.skip(number % count).fill_next(&mut batch)?;
        assert!(has_images, "an evaluator holds out at least one image");
        Ok(batch)
    }

    /// Accuracy with shared weights; that of a failed trial for what is no child.
    fn score(&mut self, genotype: &Genotype, batch: &Batch) -> Result<f64, Error> {
        let Some(child) = self.child(genotype) else { return Ok(FAILED_REWARD) };
        let config = self.run_config();
        let logits = self.store.logits(&child, &batch.pixels, batch.len(), &config)?;
        Ok(count_correct(&logits, &batch.labels) as f64 / batch.len() as f64)
    }
}

/// The mean cross-entropy of `[N, classes]` and its gradient.
fn cross_entropy(
    logits: Vec<f32>,
    labels: &[u16],
    classes: usize,
) -> Result<(f64, Vec<f32>), Error> {
    let (device, shape) = (Cpu::default(), (labels.len(), classes));
    let logits = device.try_tensor_from_vec(logits, shape)?;
    let targets = device.try_tensor_from_vec(targets(labels, classes, 0.0), shape)?;
    let loss = cross_entropy_with_logits_loss(logits.leaky_trace(), targets);
    let value = f64::from(loss.array());
    Ok((value, loss.try_backward()?.get(&logits).as_vec()))
}

impl Strategy for Enas<'_> {
    fn batch(&self) -> usize {
        self.config.batch_size
    }

    fn lessons(&mut self) -> Option<&mut dyn Lessons> {
        Some(self)
    }

    fn ask(
        &mut self,
        first_trial: usize,
        requirements: Requirements<'_>,
    ) -> Result<Vec<Genotype>, Error> {
        let EnasConfig { samples, batch_size, .. } = self.config;
        let mut chosen = Vec::with_capacity(batch_size);
        for trial in first_trial..first_trial + batch_size {
            let seed = derive(self.seed, Purpose::Sample, trial as u64);
            let of_sample = |sample: usize| stream(seed, Purpose::Sample, sample as u64);
            let mut rngs: Vec<Pcg64> = (0..samples).map(of_sample).collect();
            let drawn = self.draw(&mut rngs, requirements, REDRAWS)?.genotypes;
            let batch = self.held_out(trial)?;
            let mut best: Option<(f64, Genotype)> = None;
            for genotype in drawn {
                let score = self.score(&genotype, &batch)?;
                if best.as_ref().is_none_or(|(most, _)| score > *most) {
                    best = Some((score, genotype));
                }
            }
            let (_, genotype) = best.expect("`EnasConfig::check` asks for at least one sample");
            self.proposed.insert(genotype.clone());
            chosen.push(genotype);
        }
        Ok(chosen)
    }

    /// What children are worth from scratch teaches nothing: the controller has learned by then.
    fn tell(&mut self, results: &[Scored]) -> Metrics {
        vec![("mean_reward", mean_reward(results))]
    }
}

impl Lessons for Enas<'_> {
    fn planned(&self) -> usize {
        self.config.epochs
    }

    fn done(&self) -> &[SharedEpoch] {
        &self.epochs
    }

    fn advance(&mut self, requirements: Requirements<'_>) -> Result<(), Error> {
        let epoch = self.epochs.len() + 1;
        let (train_loss, train_accuracy) = self.share(epoch, requirements)?;
        let (reward, entropy) = self.instruct(epoch, requirements)?;
        let (baseline, params) = (self.baseline.average(), self.store.params());
        self.epochs.push(SharedEpoch {
            epoch,
            train_loss,
            train_accuracy,
            reward,
            baseline,
            entropy,
            params,
        });
        Ok(())
    }

    fn save(&mut self) -> Result<State, Error> {
        state::save(self)
    }

    fn load(&mut self, state: &State) -> Result<(), String> {
        state::load(self, state)
    }
}

#[cfg(test)]
mod tests;
