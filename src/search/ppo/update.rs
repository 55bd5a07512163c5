//! One minibatch of PPO: the clipped surrogate loss, its gradient, and a step on the weights.

use dfdx::prelude::*;

use super::PpoConfig;
use crate::search::advantage::normalize;
use crate::search::optimizer::{Adam, clip_grad_norm};
use crate::search::policy::{Matrix, Policy, Recording, on};
use crate::search::rollout::Rollout;
use crate::space::Genotype;

/// Some episodes of a rollout.
pub(super) struct Minibatch<'a> {
    genotypes: Vec<&'a Genotype>,
    /// `[D, E]`.
    old_log_prob: Vec<f32>,
    /// `[D, E]`.
    active: Vec<f32>,
    /// One for each episode.
    advantages: Vec<f64>,
}

impl<'a> Minibatch<'a> {
    pub(super) fn new(
        rollout: &'a Rollout,
        advantages: &[f64],
        episodes: &[usize],
        config: &PpoConfig,
    ) -> Self {
        let columns = |matrix: &[f32]| {
            matrix
                .chunks(rollout.genotypes.len())
                .flat_map(|row| episodes.iter().map(|&episode| row[episode]))
                .collect()
        };
        let mut advantages: Vec<f64> =
            episodes.iter().map(|&episode| advantages[episode]).collect();
        if config.norm_adv {
            normalize(&mut advantages);
        }
        Minibatch {
            genotypes: episodes.iter().map(|&episode| &rollout.genotypes[episode]).collect(),
            old_log_prob: columns(&rollout.log_prob),
            active: columns(&rollout.active),
            advantages,
        }
    }

    /// One step of the optimizer on the clipped surrogate loss.
    pub(super) fn step(
        &self,
        policy: &mut Policy,
        optimizer: &mut Adam,
        config: &PpoConfig,
    ) -> Step {
        let mut tape = Recording::default();
        let new = policy.evaluate(&mut tape, &self.genotypes);
        let shape = *new.log_prob.shape();
        let device = policy.device();
        let n_active: f32 = self.active.iter().sum();
        // Weights that turn a sum over `[D, E]` into a mean over active timesteps.
        let weights: Matrix = device.tensor_from_vec(self.active.clone(), shape) / n_active;
        let advantages: Vec<f32> = self.advantages.iter().map(|&value| value as f32).collect();
        let advantages = device.tensor_from_vec(advantages.repeat(shape.0), shape);
        let old_log_prob: Matrix = device.tensor_from_vec(self.old_log_prob.clone(), shape);

        let logratio = on(&mut tape, |t| new.log_prob.put_tape(t) - old_log_prob);
        let surrogate = surrogate(&mut tape, &logratio, &advantages, config.clip_coef);
        let policy_loss =
            on(&mut tape, |t| (surrogate.put_tape(t) * weights.clone()).sum::<(), _>());
        let entropy = on(&mut tape, |t| (new.entropy.put_tape(t) * weights).sum::<(), _>());
        let bonus = on(&mut tape, |t| entropy.clone().put_tape(t) * (-config.ent_coef as f32));
        let loss = policy_loss.clone().put_tape(tape) + bonus;

        let mut gradients = loss.backward();
        let parameters = policy.parameters_mut();
        let grad_norm = clip_grad_norm(&parameters, &mut gradients, config.max_grad_norm)
            .expect("tensors on the CPU only fail when memory runs out");
        optimizer
            .update(parameters, &mut gradients)
            .expect("tensors on the CPU only fail when memory runs out");
        let Divergence { old_approx_kl, approx_kl, clipfrac } =
            Divergence::of(&logratio.as_vec(), &self.active, config.clip_coef);
        Step {
            policy_loss: f64::from(policy_loss.array()),
            entropy: f64::from(entropy.array()),
            old_approx_kl,
            approx_kl,
            clipfrac,
            grad_norm,
        }
    }
}

/// What one minibatch did.
pub(super) struct Step {
    pub(super) policy_loss: f64,
    pub(super) entropy: f64,
    pub(super) old_approx_kl: f64,
    pub(super) approx_kl: f64,
    pub(super) clipfrac: f64,
    pub(super) grad_norm: f64,
}

/// `max(-A r, -A clip(r, 1 - clip_coef, 1 + clip_coef))` with `r = exp(logratio)`, element by element.
fn surrogate<T: Tape<f32, Cpu>>(
    tape: &mut T,
    logratio: &Matrix,
    advantages: &Matrix,
    clip_coef: f64,
) -> Matrix {
    let clip_coef = clip_coef as f32;
    let cost = advantages.clone().negate();
    let ratio = on(tape, |t| logratio.clone().put_tape(t).exp());
    let clipped = on(tape, |t| {
        ratio.clone().put_tape(t).clamp(1.0 - clip_coef, 1.0 + clip_coef) * cost.clone()
    });
    on(tape, |t| (ratio.put_tape(t) * cost).maximum(clipped))
}

/// How far a policy has moved from the one that drew the episodes; means over active timesteps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Divergence {
    /// Estimate of the KL divergence: mean of `-logratio`.
    old_approx_kl: f64,
    /// The same with less variance: mean of `ratio - 1 - logratio`.
    approx_kl: f64,
    /// Share of ratios outside the clip.
    clipfrac: f64,
}

impl Divergence {
    fn of(logratios: &[f32], active: &[f32], clip_coef: f64) -> Self {
        let (mut old_approx_kl, mut approx_kl, mut clipped, mut n) = (0.0, 0.0, 0.0, 0.0);
        for (&logratio, _) in logratios.iter().zip(active).filter(|&(_, &active)| active != 0.0) {
            let logratio = f64::from(logratio);
            let ratio = logratio.exp();
            old_approx_kl -= logratio;
            approx_kl += ratio - 1.0 - logratio;
            clipped += f64::from(u8::from((ratio - 1.0).abs() > clip_coef));
            n += 1.0;
        }
        Divergence {
            old_approx_kl: old_approx_kl / n,
            approx_kl: approx_kl / n,
            clipfrac: clipped / n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradient of the loss of one timestep with respect to its log-ratio.
    fn slope(ratio: f32, advantage: f32) -> f32 {
        let device = Cpu::default();
        let logratio: Matrix = device.tensor_from_vec(vec![ratio.ln()], (1, 1));
        let advantages: Matrix = device.tensor_from_vec(vec![advantage], (1, 1));
        let mut tape = Recording::default();
        let loss = surrogate(&mut tape, &logratio, &advantages, 0.2);
        loss.put_tape(tape).sum::<(), _>().backward().get(&logratio).as_vec()[0]
    }

    #[test]
    fn the_surrogate_is_flat_where_a_step_has_gone_far_enough() {
        // d(-A r) / d(log r) = -A r inside the clip and on its pessimistic side, 0 beyond.
        for (ratio, advantage, expected) in [
            (1.0, 1.0, -1.0),
            (1.1, 2.0, -2.2),
            (1.3, 1.0, 0.0),
            (0.7, 1.0, -0.7),
            (1.3, -1.0, 1.3),
            (0.7, -1.0, 0.0),
        ] {
            let found = slope(ratio, advantage);
            assert!((found - expected).abs() < 1e-6, "r {ratio}, A {advantage}: {found}");
        }
    }

    #[test]
    fn divergence_counts_active_timesteps_only() {
        let logratios = [0.0, 1.5_f32.ln(), 9.0, 0.9_f32.ln()];
        let found = Divergence::of(&logratios, &[1.0, 1.0, 0.0, 1.0], 0.2);
        let (a, b) = (1.5_f64.ln(), 0.9_f64.ln());
        assert!((found.old_approx_kl - -(a + b) / 3.0).abs() < 1e-6);
        assert!((found.approx_kl - (0.5 - a - 0.1 - b) / 3.0).abs() < 1e-6);
        assert!((found.clipfrac - 1.0 / 3.0).abs() < 1e-12);
    }
}
