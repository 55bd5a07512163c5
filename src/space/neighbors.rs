//! Points that are one decision away from another.

use rand::Rng;
use rand::seq::SliceRandom;

use super::{Genotype, SearchSpace};

impl SearchSpace {
    /// A point with another option of one active decision. The decision is drawn uniformly, the option by
    /// weight; decisions that this makes active are drawn as well. The point itself, if nothing can be
    /// decided otherwise.
    pub(crate) fn mutated(&self, point: &Genotype, rng: &mut impl Rng) -> Genotype {
        let Some(&index) = self.open(point).choose(rng) else { return point.clone() };
        let decision = &self.decisions[index];
        let old = point.choices[index];
        let others = decision.weights.iter().sum::<u64>() - decision.weights[old];
        let mut rest = rng.gen_range(0..others);
        let mut option = 0;
        loop {
            if option != old {
                match rest.checked_sub(decision.weights[option]) {
                    Some(left) => rest = left,
                    None => return self.with_choice(point, index, option, rng),
                }
            }
            option += 1;
        }
    }

    /// For every active decision and every other option of it, the point with that option. Decisions that
    /// become active are drawn by weight.
    pub(crate) fn neighbors(&self, point: &Genotype, rng: &mut impl Rng) -> Vec<Genotype> {
        let mut neighbors = Vec::new();
        for index in self.open(point) {
            for option in 0..self.decisions[index].options.len() {
                if option != point.choices[index] {
                    neighbors.push(self.with_choice(point, index, option, rng));
                }
            }
        }
        neighbors
    }

    /// The decisions of a point that can be taken otherwise.
    fn open(&self, point: &Genotype) -> Vec<usize> {
        let is_open = |&index: &usize| {
            self.decisions[index].options.len() > 1 && self.is_active(index, &point.choices)
        };
        (0..self.decisions.len()).filter(is_open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};
    use crate::space::{Decision, When};

    /// `b` is active for option 1 of `a` only; `c` has one option.
    fn space() -> SearchSpace {
        let options = |count: usize| (0..count).map(|option| option.to_string()).collect();
        let when = Some(When { decision: 0, options: vec![1] });
        let decisions = vec![
            Decision::new("a", options(3)),
            Decision { when, ..Decision::new("b", options(2)) },
            Decision::new("c", options(1)),
            Decision { weights: vec![1, 1, 8], ..Decision::new("d", options(3)) },
        ];
        SearchSpace { name: "s".into(), decisions }
    }

    #[test]
    fn neighbors_differ_in_one_decision_and_what_it_opens() {
        let space = space();
        let point = Genotype { choices: vec![1, 1, 0, 0] };
        let mut rng = stream(1, Purpose::Sample, 0);
        let found: Vec<Vec<usize>> =
            space.neighbors(&point, &mut rng).into_iter().map(|point| point.choices).collect();
        let expected: [[usize; 4]; 5] =
            [[0, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 1], [1, 1, 0, 2]];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mutation_draws_decisions_evenly_and_options_by_weight() {
        let space = space();
        let point = Genotype { choices: vec![0, 0, 0, 0] };
        let mut rng = stream(1, Purpose::Sample, 0);
        let draws = 9000;
        let (mut of_d, mut heavy) = (0, 0);
        for _ in 0..draws {
            let mutated = space.mutated(&point, &mut rng);
            assert!(space.contains(&mutated) && mutated != point);
            of_d += usize::from(mutated.choices[3] != 0);
            heavy += usize::from(mutated.choices[3] == 2);
        }
        // Half of them, and 8 of 9 of those; four standard deviations are 190.
        assert!(of_d.abs_diff(draws / 2) < 190, "{of_d}");
        assert!(heavy.abs_diff(draws * 4 / 9) < 190, "{heavy}");
        let fixed = SearchSpace { name: "f".into(), decisions: vec![space.decisions[2].clone()] };
        let only = Genotype { choices: vec![0] };
        assert_eq!(fixed.mutated(&only, &mut rng), only);
    }
}
