//! What an architecture costs, found out before it is evaluated.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::latency::latency_ms;
use super::{Counted, Limit, MeasureKind, Objectives};
use crate::error::Error;
use crate::search::Clock;
use crate::search::evaluator::{Evaluator, Failure, FailureKind};
use crate::search::workers::panicked;
use crate::space::Genotype;

/// Costs by the text of their measure, such as `params(cifar 6@768)`; latencies in milliseconds.
pub type Costs = BTreeMap<String, f64>;

/// Counts and times the networks of a search.
pub(crate) struct Appraiser<'a> {
    pub(crate) evaluator: &'a dyn Evaluator,
    pub(crate) objectives: &'a Objectives,
    pub(crate) counted: &'a Counted<'a>,
    pub(crate) clock: Clock<'a>,
}

impl Appraiser<'_> {
    /// All that the objectives ask for, and the failure of an architecture that is not to be evaluated:
    /// it has no such network, or is too slow. What was found out until then is there all the same.
    ///
    /// # Errors
    /// Those of a system that cannot run a network.
    pub(crate) fn appraise(
        &self,
        genotype: &Genotype,
    ) -> Result<(Costs, Result<(), Failure>), Error> {
        let mut costs = Costs::new();
        let found = catch_unwind(AssertUnwindSafe(|| self.find(genotype, &mut costs)));
        let found = found.unwrap_or_else(|payload| Ok(Err(panicked(&*payload))))?;
        Ok((costs, found))
    }

    fn find(&self, genotype: &Genotype, costs: &mut Costs) -> Result<Result<(), Failure>, Error> {
        for measure in self.objectives.measures() {
            let found = match measure.kind {
                MeasureKind::Params | MeasureKind::Macs => self.counted.count(genotype, measure),
                MeasureKind::Latency => {
                    match self.evaluator.network(genotype, measure.at.as_ref()) {
                        Ok(graph) => {
                            let batch = self.objectives.latency_batch;
                            Ok(latency_ms(&graph, batch, self.clock)?)
                        }
                        Err(why) => Err(why),
                    }
                }
            };
            match found {
                Ok(cost) => costs.insert(measure.to_string(), cost),
                Err(why) => return Ok(Err(Failure::new(FailureKind::Rejected, why))),
            };
        }
        Ok(self.objectives.limits.iter().try_for_each(|limit| check(limit, costs)))
    }
}

/// Refuses a cost beyond its limit. Of counts none is, where a strategy keeps to what it must.
fn check(limit: &Limit, costs: &Costs) -> Result<(), Failure> {
    let Limit { measure, most } = limit;
    let cost = costs[&measure.to_string()];
    if cost <= *most {
        return Ok(());
    }
    let kind = match measure.kind {
        MeasureKind::Params | MeasureKind::Macs => FailureKind::TooLarge,
        MeasureKind::Latency => FailureKind::TooSlow,
    };
    let found = measure.kind.text(cost, '_');
    Err(Failure::new(kind, format!("{measure} = {found}, the limit is {limit}")))
}
