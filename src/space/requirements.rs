//! What a space requires of its points: `require params(cifar 6@768) <= 4M`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::Genotype;
use super::condition::{Evaluation, Known, Reads, Truth, Unknown, costs};
use crate::graph::cost::{Cost, Counts};
use crate::graph::lower::{self, Scale, Target};
use crate::graph::passes::simplify;
use crate::ir::{ClaimKind, Module, Require, builtin_name};
use crate::syntax::ast::{Ident, ScaleLit};
use crate::syntax::print;

/// The violation of a condition that has no distance, above that of any comparison: the network whose
/// cost it asks for cannot be built, or a division is by zero.
pub(crate) const WITHOUT_DISTANCE: f64 = 4.0;

/// Conditions on points that do not stand in the file of their space.
pub trait Bounds: fmt::Debug + Sync {
    /// As [`Requirements::violation`].
    fn violation(&self, genotype: &Genotype) -> f64;

    /// As [`Requirements::unmet`].
    fn unmet(&self, genotype: &Genotype) -> Option<Unmet>;
}

/// An order among the points of a space: of so many that are drawn, the best is taken.
pub trait Preference: fmt::Debug + Sync {
    /// How many points are drawn for one, at least 1.
    fn drawn(&self) -> usize;

    /// Larger for a better point.
    fn score(&self, genotype: &Genotype) -> f64;
}

/// The conditions of a module's space; of a module without a space, none. To them, conditions from
/// elsewhere, and what is preferred among the points that meet all of them.
///
/// A condition is met by a point if it holds for the constants and the costs of that point. A cost is
/// that of the simplified network of the net at the scale, with the net's own images and classes, as in
/// an `expect`. Where that network cannot be built, the point does not meet the condition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requirements<'m> {
    module: Option<&'m Module>,
    bounds: Option<&'m dyn Bounds>,
    preference: Option<&'m dyn Preference>,
}

/// A condition that a point does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The condition as the file writes it.
    pub condition: String,
    /// The author's message with the values of constants filled in.
    pub message: Option<String>,
    /// What the point has instead, such as `params(cifar 6@768) = 5_120_334`.
    pub found: String,
}

/// `` `params(cifar 6@768) <= 4M` (too large for the phone), found params(cifar 6@768) = 5_120_334 ``.
impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.condition)?;
        if let Some(message) = &self.message {
            write!(f, " ({message})")?;
        }
        if self.found.is_empty() { Ok(()) } else { write!(f, ", found {}", self.found) }
    }
}

impl<'m> Requirements<'m> {
    /// Those of the space in `module`.
    pub fn of(module: &'m Module) -> Self {
        Requirements { module: Some(module), bounds: None, preference: None }
    }

    /// The same, and beside them `bounds`.
    pub fn within(self, bounds: &'m dyn Bounds) -> Self {
        Requirements { bounds: Some(bounds), ..self }
    }

    /// The same with a preference.
    pub fn preferring(self, preference: &'m dyn Preference) -> Self {
        Requirements { preference: Some(preference), ..self }
    }

    /// What is preferred.
    pub(crate) fn preference(&self) -> Option<&'m dyn Preference> {
        self.preference
    }

    /// True if every point meets them.
    pub fn is_empty(&self) -> bool {
        self.conditions().is_empty() && self.bounds.is_none()
    }

    /// How far a point is from meeting all of them: 0 if it does. Of two points that do not, the one with
    /// less is nearer: a comparison of numbers counts by how far they are apart, relative to the larger.
    ///
    /// # Panics
    /// If the genotype is not a point of the space.
    ///
    /// # Cost
    /// The network of each net and scale asked for is lowered once, some milliseconds for the largest.
    pub fn violation(&self, genotype: &Genotype) -> f64 {
        let beyond = self.bounds.map_or(0.0, |bounds| bounds.violation(genotype));
        let Some(module) = self.module.filter(|_| !self.conditions().is_empty()) else {
            return beyond;
        };
        let point = Point::new(module, genotype);
        let of_file = self.conditions().iter().map(|require| violation(&point.truth(require)));
        of_file.sum::<f64>() + beyond
    }

    /// The first condition that a point does not meet, or `None` if it meets all.
    ///
    /// # Panics
    /// If the genotype is not a point of the space.
    pub fn unmet(&self, genotype: &Genotype) -> Option<Unmet> {
        let of_file = self.module.filter(|_| !self.conditions().is_empty()).and_then(|module| {
            let point = Point::new(module, genotype);
            let is_unmet = |require: &&Require| violation(&point.truth(require)) > 0.0;
            let require = self.conditions().iter().find(is_unmet)?;
            Some(Unmet {
                condition: require.text.clone(),
                message: require.message.as_ref().map(|message| point.message(message)),
                found: point.found(require),
            })
        });
        of_file.or_else(|| self.bounds?.unmet(genotype))
    }

    /// True if a point breaks a condition for which no network has to be built.
    pub(crate) fn exclude(&self, choices: &[usize]) -> bool {
        let Some(module) = self.module else { return false };
        let choice = |decision: usize| choices.get(decision).copied();
        let mut evaluation = Evaluation::without_costs(&module.constants, &choice);
        self.conditions()
            .iter()
            .any(|require| evaluation.truth(&require.cond).is_ok_and(|truth| !truth.holds))
    }

    fn conditions(&self) -> &'m [Require] {
        let space = self.module.and_then(|module| module.space.as_ref());
        space.map_or(&[], |space| &space.requires)
    }
}

fn violation(truth: &Result<Truth, Unknown>) -> f64 {
    match truth {
        Ok(Truth { holds: true, .. }) => 0.0,
        // Never 0, whatever the rounding: the condition does not hold.
        Ok(Truth { holds: false, by }) => by.max(f64::MIN_POSITIVE),
        Err(_) => WITHOUT_DISTANCE,
    }
}

/// Which network a cost is of.
type NetworkKey = (String, u64, u64, bool);

/// A point of a space with the counts of its networks.
struct Point<'m> {
    module: &'m Module,
    genotype: &'m Genotype,
    counts: RefCell<BTreeMap<NetworkKey, Result<Counts, String>>>,
}

impl<'m> Point<'m> {
    fn new(module: &'m Module, genotype: &'m Genotype) -> Self {
        Point { module, genotype, counts: RefCell::default() }
    }

    fn truth(&self, require: &Require) -> Result<Truth, Unknown> {
        self.evaluate(|evaluation| evaluation.truth(&require.cond))
    }

    fn evaluate<T>(&self, run: impl FnOnce(&mut Evaluation) -> T) -> T {
        let choice = |decision: usize| Some(self.genotype.choices[decision]);
        let cost = |count, net: &Ident, scale| self.cost(count, net, scale);
        run(&mut Evaluation::new(&self.module.constants, &choice, &cost))
    }

    fn cost(&self, count: ClaimKind, net: &Ident, scale: ScaleLit) -> Result<i64, Unknown> {
        let with_aux = count == ClaimKind::ParamsWithAux;
        let key = (net.name.clone(), scale.n.value, scale.f.value, with_aux);
        let known = self.counts.borrow().get(&key).cloned();
        let counts = known.unwrap_or_else(|| {
            let counts = self.counts_of(net, scale, with_aux);
            self.counts.borrow_mut().insert(key, counts.clone());
            counts
        });
        let counts = counts.map_err(Unknown::Unbuildable)?;
        let counted = match count {
            ClaimKind::Params | ClaimKind::ParamsWithAux => counts.params,
            ClaimKind::ParamsWithStatistics => counts.params + counts.statistics,
            ClaimKind::Macs => counts.macs,
        };
        i64::try_from(counted).map_err(|_| Unknown::Arithmetic)
    }

    fn counts_of(&self, net: &Ident, scale: ScaleLit, with_aux: bool) -> Result<Counts, String> {
        let net = self.module.net(&net.name).expect("check::requires reports unknown nets");
        let target = Target {
            with_aux,
            scale_span: Some(scale.span),
            ..Target::new(net, Scale { n: scale.n.value as usize, f: scale.f.value as usize })
        };
        match lower::lower(self.module, self.genotype, &target) {
            Ok(lowered) => Ok(Cost::of(&simplify(&lowered.graph)).total),
            Err(faults) => {
                Err(faults.into_iter().next().map_or_else(String::new, |fault| fault.message))
            }
        }
    }

    /// What the condition asks about and what that is here.
    fn found(&self, require: &Require) -> String {
        let mut found = Vec::new();
        for (count, net, scale) in costs(&require.cond) {
            let scale_text = format!("{}@{}", scale.n.value, scale.f.value);
            let text = match self.cost(count, net, scale) {
                Ok(number) => print::number(number.unsigned_abs()),
                Err(Unknown::Unbuildable(why)) => format!("no network ({why})"),
                Err(Unknown::Open | Unknown::Kind { .. } | Unknown::Arithmetic) => {
                    "no number".into()
                }
            };
            found.push(format!("{}({} {scale_text}) = {text}", count.name(), net.name));
        }
        let named = self.constants(require).into_iter();
        found.extend(named.map(|(name, value)| format!("{name} = {value}")));
        found.dedup();
        found.join(", ")
    }

    /// The author's message with `{name}` replaced by the values of constants.
    fn message(&self, message: &str) -> String {
        let mut filled = message.to_string();
        // A constant of the file hides one of the prelude, which comes before it.
        for (index, constant) in self.module.constants.iter().enumerate().rev() {
            let place = format!("{{{}}}", constant.name.name);
            if filled.contains(&place)
                && let Some((_, value)) = self.constant(index)
            {
                filled = filled.replace(&place, &value);
            }
        }
        filled
    }

    /// The constants that a condition reads, with their values.
    fn constants(&self, require: &Require) -> Vec<(&'m str, String)> {
        let read = Reads::of(&self.module.constants, &require.cond).constants;
        read.into_iter().filter_map(|index| self.constant(index)).collect()
    }

    /// A constant with its value.
    fn constant(&self, index: usize) -> Option<(&'m str, String)> {
        let constant = &self.module.constants[index];
        let value = match self.evaluate(|evaluation| evaluation.value(&constant.value)).ok()? {
            Known::Int(number) => number.to_string(),
            Known::Pair([height, width]) => format!("{height}x{width}"),
            Known::Truth(truth) => truth.holds.to_string(),
            Known::Word(word) => builtin_name(word).into(),
        };
        Some((constant.name.name.as_str(), value))
    }
}
