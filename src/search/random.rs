//! Random search: the baseline that every other strategy must beat.
//!
//! Every decision is drawn by the weights of its options: uniformly, as in section 4.4 of the NASNet
//! paper, where the space gives none.

use super::strategy::{Metrics, Scored, Strategy};
use crate::error::Error;
use crate::rng::{Purpose, stream};
use crate::space::sampler::Hunt;
use crate::space::{Genotype, Requirements, SearchSpace};

/// Trials at a time: nothing is learned from them, so there only have to be enough for all workers.
const BATCH: usize = 64;

/// Draws every trial from its own random stream.
#[derive(Clone, Debug)]
pub struct RandomSearch {
    space: SearchSpace,
    seed: u64,
}

impl RandomSearch {
    /// Random search in `space`.
    pub fn new(space: SearchSpace, seed: u64) -> Self {
        RandomSearch { space, seed }
    }
}

impl Strategy for RandomSearch {
    fn batch(&self) -> usize {
        BATCH
    }

    fn ask(
        &mut self,
        first_trial: usize,
        requirements: Requirements<'_>,
    ) -> Result<Vec<Genotype>, Error> {
        (first_trial..first_trial + BATCH)
            .map(|trial| {
                let mut rng = stream(self.seed, Purpose::Sample, trial as u64);
                Hunt::new(&self.space, requirements).run(&mut rng, |rng| self.space.sample(rng))
            })
            .collect()
    }

    fn tell(&mut self, _results: &[Scored]) -> Metrics {
        Metrics::new()
    }
}
