//! Counts of architectures: what limits ask of a point before it is proposed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::{Limit, Measure, MeasureKind};
use crate::graph::cost::Cost;
use crate::search::evaluator::Evaluator;
use crate::space::{Bounds, Genotype, Unmet, WITHOUT_DISTANCE};

/// The limits of a search on what can be counted without running a network. Each network is built once.
pub(crate) struct Counted<'a> {
    evaluator: &'a dyn Evaluator,
    limits: Vec<&'a Limit>,
    memory: Mutex<BTreeMap<(Genotype, String), Result<f64, String>>>,
}

impl<'a> Counted<'a> {
    /// Those of `limits` that are on counts.
    pub(crate) fn new(evaluator: &'a dyn Evaluator, limits: &'a [Limit]) -> Self {
        let is_counted = |limit: &&Limit| limit.measure.kind != MeasureKind::Latency;
        let limits = limits.iter().filter(is_counted).collect();
        Counted { evaluator, limits, memory: Mutex::default() }
    }

    /// True if there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// A count of an architecture.
    ///
    /// # Errors
    /// A sentence if it has no such network.
    ///
    /// # Panics
    /// If the measure is no count.
    pub(crate) fn count(&self, genotype: &Genotype, measure: &Measure) -> Result<f64, String> {
        let key = (genotype.clone(), measure.to_string());
        let lock = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&key).cloned();
        known.unwrap_or_else(|| {
            let network = self.evaluator.network(genotype, measure.at.as_ref());
            let counted = network.map(|graph| {
                let counts = Cost::of(&graph).total;
                match measure.kind {
                    MeasureKind::Params => counts.params as f64,
                    MeasureKind::Macs => counts.macs as f64,
                    MeasureKind::Latency => unreachable!("a latency is measured, not counted"),
                }
            });
            lock().entry(key).or_insert(counted).clone()
        })
    }
}

impl fmt::Debug for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Bounds for Counted<'_> {
    fn violation(&self, genotype: &Genotype) -> f64 {
        let of_limit = |limit: &&Limit| match self.count(genotype, &limit.measure) {
            Ok(count) if count <= limit.most => 0.0,
            Ok(count) => (count - limit.most) / count,
            Err(_) => WITHOUT_DISTANCE,
        };
        self.limits.iter().map(of_limit).sum()
    }

    fn unmet(&self, genotype: &Genotype) -> Option<Unmet> {
        self.limits.iter().find_map(|limit| {
            let found = match self.count(genotype, &limit.measure) {
                Ok(count) if count <= limit.most => return None,
                Ok(count) => limit.measure.kind.text(count, '_'),
                Err(why) => format!("no network ({why})"),
            };
            Some(Unmet {
                condition: limit.to_string(),
                message: None,
                found: format!("{} = {found}", limit.measure),
            })
        })
    }
}
