//! Points that meet what their space requires, found in bounded time.
//!
//! # How
//! 1. At most [`DRAWS`] points are drawn; the first that meets the requirements is taken. As far as this
//!    goes, points are distributed as those who draw them make them, given that they meet the requirements.
//! 2. The nearest of them is repaired: its decisions are gone through in random order, and one takes
//!    another option where that lessens the violation, until none is left or no single change helps; then
//!    two at a time do, a few times at random. A cell with five outputs may have no base width that gives F
//!    while those with four and six have one.
//! 3. That is repeated from [`RESTARTS`] fresh draws, in at most [`REPAIR_STEPS`] trials of a point in all.
//! 4. If no point was found, the error tells the nearest.

use rand::Rng;
use rand::seq::SliceRandom;

use super::requirements::Requirements;
use super::{Genotype, SearchSpace};
use crate::error::Error;

/// Points drawn before one is repaired.
pub(crate) const DRAWS: usize = 64;

/// Fresh points that are repaired after the first.
const RESTARTS: usize = 7;

/// Pairs of changes tried where no single one helps.
const PAIRS: usize = 64;

/// Points tried by all repairs together.
const REPAIR_STEPS: usize = 2048;

/// The search for one point.
pub(crate) struct Hunt<'a> {
    space: &'a SearchSpace,
    requirements: Requirements<'a>,
    tried: usize,
    /// The nearest point so far and its violation.
    nearest: Option<(Genotype, f64)>,
}

impl<'a> Hunt<'a> {
    pub(crate) fn new(space: &'a SearchSpace, requirements: Requirements<'a>) -> Self {
        Hunt { space, requirements, tried: 0, nearest: None }
    }

    /// Draws a point with `draw`, and repairs what it draws if it comes to that. Where there is a
    /// preference that is done several times, and the first of the best is taken.
    ///
    /// # Errors
    /// [`Error::Requirements`] if no point was found.
    pub(crate) fn run<R: Rng>(
        self,
        rng: &mut R,
        mut draw: impl FnMut(&mut R) -> Genotype,
    ) -> Result<Genotype, Error> {
        let Hunt { space, requirements, .. } = self;
        let mut best = self.one(rng, &mut draw)?;
        if let Some(preference) = requirements.preference() {
            let mut score = preference.score(&best);
            for _ in 1..preference.drawn() {
                let other = Hunt::new(space, requirements).one(rng, &mut draw)?;
                let other_score = preference.score(&other);
                if other_score > score {
                    (best, score) = (other, other_score);
                }
            }
        }
        Ok(best)
    }

    fn one<R: Rng>(
        mut self,
        rng: &mut R,
        mut draw: impl FnMut(&mut R) -> Genotype,
    ) -> Result<Genotype, Error> {
        while self.may_draw() {
            let drawn = draw(rng);
            if self.meets(&drawn) {
                return Ok(drawn);
            }
        }
        self.repair(rng, draw)
    }

    /// True until enough points were drawn.
    pub(crate) fn may_draw(&self) -> bool {
        self.tried < DRAWS
    }

    /// True if a drawn point meets the requirements.
    pub(crate) fn meets(&mut self, drawn: &Genotype) -> bool {
        self.violation(drawn) == 0.0
    }

    /// A repaired point, the nearest that was drawn first.
    ///
    /// # Errors
    /// [`Error::Requirements`] if no point was found.
    pub(crate) fn repair<R: Rng>(
        mut self,
        rng: &mut R,
        mut draw: impl FnMut(&mut R) -> Genotype,
    ) -> Result<Genotype, Error> {
        let last = self.tried + REPAIR_STEPS;
        for restart in 0..=RESTARTS {
            let start = match &self.nearest {
                Some((nearest, violation)) if restart == 0 => (nearest.clone(), *violation),
                Some(_) | None => {
                    let drawn = draw(rng);
                    let violation = self.violation(&drawn);
                    (drawn, violation)
                }
            };
            if let Some(found) = self.climb(start, last, rng) {
                return Ok(found);
            }
            if self.tried >= last {
                break;
            }
        }
        let unmet = self.nearest.as_ref().and_then(|(nearest, _)| self.requirements.unmet(nearest));
        Err(Error::Requirements {
            space: self.space.name.clone(),
            tried: self.tried,
            unmet: unmet.expect("a point that meets the requirements is returned"),
        })
    }

    /// Lessens the violation of a point by one decision after the other; `None` once that does not help.
    fn climb(
        &mut self,
        (mut current, mut violation): (Genotype, f64),
        last: usize,
        rng: &mut impl Rng,
    ) -> Option<Genotype> {
        let mut order: Vec<usize> = (0..self.space.decisions.len()).collect();
        let mut is_better = true;
        while is_better && violation > 0.0 {
            is_better = false;
            order.shuffle(rng);
            for &index in &order {
                if !self.space.is_active(index, &current.choices) {
                    continue;
                }
                let mut options: Vec<usize> =
                    (0..self.space.decisions[index].options.len()).collect();
                options.shuffle(rng);
                for option in options {
                    if option == current.choices[index] {
                        continue;
                    }
                    if self.tried >= last {
                        return None;
                    }
                    let changed = self.space.with_choice(&current, index, option, rng);
                    let changed_violation = self.violation(&changed);
                    if changed_violation < violation {
                        (current, violation) = (changed, changed_violation);
                        is_better = true;
                        break;
                    }
                }
                if violation == 0.0 {
                    break;
                }
            }
            let mut pairs = 0;
            while !is_better && pairs < PAIRS && self.tried < last {
                pairs += 1;
                let once = self.changed_at_random(&current, rng);
                let twice = self.changed_at_random(&once, rng);
                let changed_violation = self.violation(&twice);
                if changed_violation < violation {
                    (current, violation) = (twice, changed_violation);
                    is_better = true;
                }
            }
        }
        (violation == 0.0).then_some(current)
    }

    /// A point with one of its active decisions drawn again.
    fn changed_at_random(&self, point: &Genotype, rng: &mut impl Rng) -> Genotype {
        let decisions = &self.space.decisions;
        let is_active = |index: &usize| self.space.is_active(*index, &point.choices);
        let active: Vec<usize> = (0..decisions.len()).filter(is_active).collect();
        let Some(&index) = active.choose(rng) else { return point.clone() };
        let option = rng.gen_range(0..decisions[index].options.len());
        self.space.with_choice(point, index, option, rng)
    }

    fn violation(&mut self, genotype: &Genotype) -> f64 {
        self.tried += 1;
        let violation = self.requirements.violation(genotype);
        if self.nearest.as_ref().is_none_or(|(_, nearest)| violation < *nearest) {
            self.nearest = Some((genotype.clone(), violation));
        }
        violation
    }
}
