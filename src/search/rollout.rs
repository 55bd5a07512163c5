//! A batch of episodes drawn from a policy, as the strategies that train one see it.
//!
//! Where the space requires something, an episode is drawn again until it meets it, a bounded number of
//! times, and then repaired. Where there is a preference, the best of several is taken. An episode that repeats an earlier architecture may be drawn again as well.
//! Log-probabilities are those of the choices as they are proposed, under the policy that drew them, so that
//! the first ratio of an update is 1 whatever a repair changed. That the episodes are drawn given that they
//! meet the requirements, are preferred and are new is not part of them; its probability is the same for all episodes of a
//! batch, but for those within it that are drawn later.

use std::collections::BTreeSet;

use dfdx::tensor::NoneTape;

use super::policy::{Policy, Unrolled};
use super::proposed::Proposed;
use crate::error::Error;
use crate::rng::Pcg64;
use crate::space::sampler::Hunt;
use crate::space::{Genotype, Requirements};

/// A batch of episodes under the policy that drew them.
pub(super) struct Rollout {
    pub(super) genotypes: Vec<Genotype>,
    /// `[D, E]`, row by row.
    pub(super) log_prob: Vec<f32>,
    /// `[D, E]`, row by row.
    pub(super) active: Vec<f32>,
}

impl Rollout {
    /// One episode for each generator, all of which meet the requirements. Those that are in `proposed` or
    /// twice in the batch are drawn again, at most `redraws` times.
    ///
    /// # Errors
    /// [`Error::Requirements`] if for one of them none was found that meets them.
    pub(super) fn draw(
        policy: &Policy,
        rngs: &mut [Pcg64],
        requirements: Requirements<'_>,
        proposed: &Proposed,
        redraws: usize,
    ) -> Result<Self, Error> {
        let sampled = policy.sample(rngs);
        let mut genotypes = preferred(policy, rngs, requirements, sampled.genotypes.clone())?;
        for _ in 0..redraws {
            let mut batch = BTreeSet::new();
            let repeats: Vec<usize> = (0..genotypes.len())
                .filter(|&episode| {
                    let genotype = &genotypes[episode];
                    !batch.insert(genotype) || proposed.contains(genotype)
                })
                .collect();
            if repeats.is_empty() {
                break;
            }
            let mut open: Vec<Pcg64> =
                repeats.iter().map(|&episode| rngs[episode].clone()).collect();
            let again = policy.sample(&mut open).genotypes;
            let again = preferred(policy, &mut open, requirements, again)?;
            for ((episode, rng), genotype) in repeats.into_iter().zip(open).zip(again) {
                (rngs[episode], genotypes[episode]) = (rng, genotype);
            }
        }
        if genotypes == sampled.genotypes {
            return Ok(Rollout::of(sampled));
        }
        Ok(Rollout::of(policy.evaluate(&mut NoneTape, &genotypes.iter().collect::<Vec<_>>())))
    }

    fn of(unrolled: Unrolled) -> Self {
        Rollout {
            log_prob: unrolled.log_prob.as_vec(),
            active: unrolled.active.as_vec(),
            genotypes: unrolled.genotypes,
        }
    }
}

/// The genotypes that [`admit`] gives; where there is a preference, for each generator the best of several.
fn preferred(
    policy: &Policy,
    rngs: &mut [Pcg64],
    requirements: Requirements<'_>,
    genotypes: Vec<Genotype>,
) -> Result<Vec<Genotype>, Error> {
    let mut best = admit(policy, rngs, requirements, genotypes)?;
    let Some(preference) = requirements.preference() else { return Ok(best) };
    for _ in 1..preference.drawn() {
        let others = policy.sample(rngs).genotypes;
        for (best, other) in best.iter_mut().zip(admit(policy, rngs, requirements, others)?) {
            if preference.score(&other) > preference.score(best) {
                *best = other;
            }
        }
    }
    Ok(best)
}

/// The genotypes that were drawn by these generators, where they meet the requirements; in place of the
/// others what is drawn next.
fn admit(
    policy: &Policy,
    rngs: &mut [Pcg64],
    requirements: Requirements<'_>,
    mut genotypes: Vec<Genotype>,
) -> Result<Vec<Genotype>, Error> {
    let mut hunts: Vec<Hunt> =
        rngs.iter().map(|_| Hunt::new(policy.space(), requirements)).collect();
    let mut open: Vec<usize> =
        (0..rngs.len()).filter(|&episode| !hunts[episode].meets(&genotypes[episode])).collect();
    while open.first().is_some_and(|&episode| hunts[episode].may_draw()) {
        let mut open_rngs: Vec<Pcg64> = open.iter().map(|&episode| rngs[episode].clone()).collect();
        let again = policy.sample(&mut open_rngs).genotypes;
        for ((&episode, rng), genotype) in open.iter().zip(open_rngs).zip(again) {
            (rngs[episode], genotypes[episode]) = (rng, genotype);
        }
        open.retain(|&episode| !hunts[episode].meets(&genotypes[episode]));
    }
    let mut hunts: Vec<Option<Hunt>> = hunts.into_iter().map(Some).collect();
    for episode in open {
        let hunt = hunts[episode].take().expect("an episode is repaired once");
        genotypes[episode] = hunt.repair(&mut rngs[episode], |rng| {
            policy.sample(std::slice::from_mut(rng)).genotypes.swap_remove(0)
        })?;
    }
    Ok(genotypes)
}
