//! The search space of a module as a sequence of decisions, and its points.
//!
//! A [`SearchSpace`] lists the holes of a space as [`Decision`]s in the order the controller takes
//! them; a [`Genotype`] gives each one of its options. A decision inside an option (a nested hole) is
//! *active* only when that option was chosen; an inactive decision is skipped by every strategy and its
//! choice is recorded as 0, so that equal architectures have equal genotypes.

mod fill;

use rand::Rng;
use serde::{Deserialize, Serialize};

pub use fill::fill;
pub(crate) use fill::name_unused;

/// One hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where it stands, such as `normal.n1.left.op`; unique in the space.
    pub label: String,
    /// Its options as they are written in a file, at least one.
    pub options: Vec<String>,
    /// How likely each option is drawn beside the others, 1 unless the file says more.
    pub weights: Vec<u64>,
    /// For a hole inside an option of another: the index of that decision, always smaller than this
    /// one's, and the option that makes this one active.
    pub when: Option<(usize, usize)>,
}

/// All decisions of a space, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchSpace {
    /// The space's name in its file.
    pub name: String,
    /// Its decisions in the order they are taken.
    pub decisions: Vec<Decision>,
}

/// A point of a search space: one option for each decision, 0 where a decision is inactive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Genotype {
    /// Index of the chosen option, decision by decision.
    pub choices: Vec<usize>,
}

impl SearchSpace {
    /// True if decision `index` must be taken given the choices before it.
    ///
    /// # Panics
    /// If `choices` does not reach the decision it depends on.
    pub fn is_active(&self, index: usize, choices: &[usize]) -> bool {
        match self.decisions[index].when {
            None => true,
            Some((parent, option)) => choices[parent] == option && self.is_active(parent, choices),
        }
    }

    /// A genotype drawn uniformly, decision by decision.
    pub fn sample(&self, rng: &mut impl Rng) -> Genotype {
        let mut choices = Vec::with_capacity(self.decisions.len());
        for (index, decision) in self.decisions.iter().enumerate() {
            let active = self.is_active(index, &choices);
            choices.push(if active { rng.gen_range(0..decision.options.len()) } else { 0 });
        }
        Genotype { choices }
    }

    /// True if `genotype` gives every active decision one of its options and every other 0.
    pub fn contains(&self, genotype: &Genotype) -> bool {
        let choices = &genotype.choices;
        choices.len() == self.decisions.len()
            && self.decisions.iter().enumerate().all(|(index, decision)| {
                if self.is_active(index, choices) {
                    choices[index] < decision.options.len()
                } else {
                    choices[index] == 0
                }
            })
    }

    /// Number of genotypes, as a floating-point number since the paper's space has about 5e36.
    pub fn size(&self) -> f64 {
        // Subtrees of one option multiply, options of one decision add.
        let mut inner: Vec<Vec<f64>> =
            self.decisions.iter().map(|decision| vec![1.0; decision.options.len()]).collect();
        let mut total = 1.0;
        for index in (0..self.decisions.len()).rev() {
            let points: f64 = inner[index].iter().sum();
            match self.decisions[index].when {
                None => total *= points,
                Some((parent, option)) => inner[parent][option] *= points,
            }
        }
        total
    }
}
