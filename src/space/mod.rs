//! The search space of a module as a sequence of decisions, and its points.
//!
//! A [`SearchSpace`] lists the holes of a space as [`Decision`]s in the order the controller takes
//! them; a [`Genotype`] gives each one of its options. A decision inside an option (a nested hole) is
//! *active* only when that option was chosen, one inside a `when` only where its case can be taken; an
//! inactive decision is skipped by every strategy and its choice is recorded as 0, so that equal
//! architectures have equal genotypes.
//!
//! | file | what |
//! |---|---|
//! | `requirements` | which points a space admits |
//! | `sampler` | finding such a point in bounded time |
//! | `condition` | static values and conditions without a network |
//! | `fill` | a point as a file |
//! | `neighbors` | points one decision away |

pub(crate) mod condition;
mod fill;
mod neighbors;
mod requirements;
pub(crate) mod sampler;

use std::fmt;
use std::str::FromStr;

use rand::Rng;
use serde::{Deserialize, Serialize};

pub use fill::fill;
pub(crate) use requirements::WITHOUT_DISTANCE;
pub use requirements::{Bounds, Preference, Requirements, Unmet};

/// One hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where it stands, such as `normal.n1.left.op`; unique in the space.
    pub label: String,
    /// Its options as they are written in a file, at least one.
    pub options: Vec<String>,
    /// For each option, how likely it is drawn beside the others; 1 unless the file says more, never 0.
    pub weights: Vec<u64>,
    /// What makes it active; always, if `None`.
    pub when: Option<When>,
}

impl Decision {
    /// A decision that is always active, between options of one weight.
    ///
    /// # Panics
    /// If there are no options.
    pub fn new(label: impl Into<String>, options: Vec<String>) -> Self {
        assert!(!options.is_empty(), "a decision has an option to take");
        let weights = vec![1; options.len()];
        Decision { label: label.into(), options, weights, when: None }
    }

    /// True if some option is likelier than another.
    pub fn is_weighted(&self) -> bool {
        self.weights.iter().any(|&weight| weight != self.weights[0])
    }

    /// An option drawn by weight.
    fn draw(&self, rng: &mut impl Rng) -> usize {
        let mut rest = rng.gen_range(0..self.weights.iter().sum::<u64>());
        for (option, &weight) in self.weights.iter().enumerate() {
            match rest.checked_sub(weight) {
                Some(left) => rest = left,
                None => return option,
            }
        }
        unreachable!("less than the sum of the weights is drawn")
    }
}

/// When a decision is active: that of an earlier one is, and took one of some options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// The earlier decision, of a smaller index.
    pub decision: usize,
    /// The options, in order: the one that a nested hole stands in, or those for which a case of a
    /// `when` can be taken. Without any the decision is never active.
    pub options: Vec<usize>,
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
        match &self.decisions[index].when {
            None => true,
            Some(When { decision, options }) => {
                options.contains(&choices[*decision]) && self.is_active(*decision, choices)
            }
        }
    }

    /// A genotype drawn decision by decision, each option as likely as its weight says.
    ///
    /// It knows of no requirements: [`compile::sample`](crate::compile::sample) draws a point that meets
    /// those of its file.
    pub fn sample(&self, rng: &mut impl Rng) -> Genotype {
        let mut choices = Vec::with_capacity(self.decisions.len());
        for (index, decision) in self.decisions.iter().enumerate() {
            let active = self.is_active(index, &choices);
            choices.push(if active { decision.draw(rng) } else { 0 });
        }
        Genotype { choices }
    }

    /// The point with another option of decision `index`. Decisions that this makes active are drawn by
    /// weight.
    fn with_choice(
        &self,
        point: &Genotype,
        index: usize,
        option: usize,
        rng: &mut impl Rng,
    ) -> Genotype {
        let mut choices = point.choices[..index].to_vec();
        choices.push(option);
        for (later, decision) in self.decisions.iter().enumerate().skip(index + 1) {
            let choice = match self.is_active(later, &choices) {
                true if self.is_active(later, &point.choices) => point.choices[later],
                true => decision.draw(rng),
                false => 0,
            };
            choices.push(choice);
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

    /// Number of genotypes, those that do not meet a requirement too; a floating-point number since the
    /// paper's space has about 5e36.
    pub fn size(&self) -> f64 {
        // Subtrees of one option multiply, options of one decision add.
        let mut inner: Vec<Vec<f64>> =
            self.decisions.iter().map(|decision| vec![1.0; decision.options.len()]).collect();
        let mut total = 1.0;
        for index in (0..self.decisions.len()).rev() {
            let points: f64 = inner[index].iter().sum();
            match &self.decisions[index].when {
                None => total *= points,
                Some(When { decision, options }) => {
                    options.iter().for_each(|&option| inner[*decision][option] *= points);
                }
            }
        }
        total
    }
}

/// The choices with a comma between them: `0,12,3`.
impl fmt::Display for Genotype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices: Vec<String> = self.choices.iter().map(usize::to_string).collect();
        f.write_str(&choices.join(","))
    }
}

/// Reads what is displayed. Whether it is a point of a space, [`SearchSpace::contains`] tells.
impl FromStr for Genotype {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim()
                .parse()
                .map_err(|_| format!("`{part}` in `{text}` is not an option's index"))
        };
        let parts = text.split(',').filter(|_| !text.trim().is_empty());
        Ok(Genotype { choices: parts.map(number).collect::<Result<_, String>>()? })
    }
}
