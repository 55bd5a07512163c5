//! What a strategy has proposed so far, so that it need not propose it again.
//!
//! A repeated architecture is not evaluated again but takes a trial of the budget, so most strategies draw
//! again instead, a bounded number of times: a space may be smaller than the budget.

use std::collections::BTreeSet;

use rand::Rng;

use crate::error::Error;
use crate::space::sampler::Hunt;
use crate::space::{Genotype, Requirements, SearchSpace};

/// Genotypes that were proposed.
#[derive(Clone, Debug, Default)]
pub(super) struct Proposed(BTreeSet<Genotype>);

impl Proposed {
    /// True if the genotype was proposed.
    pub(super) fn contains(&self, genotype: &Genotype) -> bool {
        self.0.contains(genotype)
    }

    /// Notes a genotype; false if it was proposed before.
    pub(super) fn insert(&mut self, genotype: Genotype) -> bool {
        self.0.insert(genotype)
    }

    /// A genotype that meets the requirements and is noted: the first that `draw` gives and that was not
    /// proposed before, or the last after `redraws` that were.
    ///
    /// # Errors
    /// [`Error::Requirements`] if none was found that meets them.
    pub(super) fn draw<R: Rng>(
        &mut self,
        space: &SearchSpace,
        requirements: Requirements<'_>,
        redraws: usize,
        rng: &mut R,
        mut draw: impl FnMut(&mut R) -> Genotype,
    ) -> Result<Genotype, Error> {
        let mut drawn = Hunt::new(space, requirements).run(rng, &mut draw)?;
        for _ in 0..redraws {
            if !self.contains(&drawn) {
                break;
            }
            drawn = Hunt::new(space, requirements).run(rng, &mut draw)?;
        }
        self.insert(drawn.clone());
        Ok(drawn)
    }
}
