//! A proxy before another evaluator: of every few architectures that are drawn, the best by its score is
//! proposed.
//!
//! That is a property of drawing, so it works for every strategy: what is drawn by chance, by a policy, as a
//! mutation or by value is drawn several times where it was drawn once. The neighbors of a local search are
//! not drawn, and all of them are tried. A score depends on the seed of the search and the architecture
//! alone, so a resumed search draws what the first one drew; it finds the scores out again.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use super::{Proxy, ProxyKind};
use crate::error::Error;
use crate::graph::Graph;
use crate::rng::{Purpose, stream};
use crate::search::budget::Stepwise;
use crate::search::enas::Sharing;
use crate::search::evaluator::{Evaluation, Evaluator, Failure, Provenance};
use crate::search::objective::NetScale;
use crate::search::task::Task;
use crate::space::{Genotype, Preference, Requirements, SearchSpace};

/// Architectures that are looked at to see whether the images fit them.
const PROBES: u64 = 16;

/// Which proxy, and of how many the best is taken: `naswot:4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefilter {
    /// The proxy.
    pub kind: ProxyKind,
    /// At least 2.
    pub of: usize,
}

impl fmt::Display for Prefilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.of)
    }
}

impl FromStr for Prefilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, of) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` is no prefilter: expected one such as `naswot:4`"))?;
        let kind = kind.parse()?;
        let of = of.parse().ok().filter(|&of| of >= 2);
        let of = of.ok_or_else(|| format!("`{text}` must be of at least 2 architectures"))?;
        Ok(Prefilter { kind, of })
    }
}

/// An evaluator behind a prefilter.
pub struct Prefiltered<'a> {
    inner: &'a dyn Evaluator,
    proxy: Proxy,
    of: usize,
    seed: u64,
    /// The data that the images are of.
    data_name: String,
    scores: Mutex<BTreeMap<Genotype, f64>>,
}

impl<'a> Prefiltered<'a> {
    /// Puts a proxy before the best `of` so many points of `space`; `seed` decides its networks.
    ///
    /// # Errors
    /// [`Error::Config`] if the proxy looks at images that are no images for the networks of `inner`.
    pub fn new(
        inner: &'a dyn Evaluator,
        space: &SearchSpace,
        proxy: Proxy,
        of: usize,
        data_name: &str,
        seed: u64,
    ) -> Result<Self, Error> {
        let probe = |index| space.sample(&mut stream(0, Purpose::Sample, index));
        let graph = (0..PROBES).find_map(|index| inner.network(&probe(index), None).ok());
        let prefilter = Prefilter { kind: proxy.kind(), of };
        if let Some(found) = graph.and_then(|graph| proxy.misfit(&graph)) {
            let value = format!("`{prefilter}`");
            return Err(Error::Config { setting: "prefilter", value, reason: found });
        }
        let data_name = data_name.to_owned();
        Ok(Prefiltered { inner, proxy, of, seed, data_name, scores: Mutex::default() })
    }
}

impl fmt::Debug for Prefiltered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefilter = Prefilter { kind: self.proxy.kind(), of: self.of };
        f.debug_tuple("Prefiltered").field(&prefilter).finish_non_exhaustive()
    }
}

impl Preference for Prefiltered<'_> {
    fn drawn(&self) -> usize {
        self.of
    }

    /// Least for an architecture without a score.
    fn score(&self, genotype: &Genotype) -> f64 {
        let lock = || self.scores.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(genotype).copied();
        known.unwrap_or_else(|| {
            let network = self.inner.network(genotype, None);
            let score = network.ok().and_then(|graph| self.proxy.score(&graph, self.seed).ok());
            *lock().entry(genotype.clone()).or_insert(score.unwrap_or(f64::NEG_INFINITY))
        })
    }
}

impl Evaluator for Prefiltered<'_> {
    fn id(&self, genotype: &Genotype) -> String {
        self.inner.id(genotype)
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        self.inner.evaluate(genotype, seed)
    }

    fn stepwise(&self) -> Option<&dyn Stepwise> {
        self.inner.stepwise()
    }

    fn sharing(&self) -> Option<Sharing<'_>> {
        self.inner.sharing()
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        self.inner.cell_text(genotype, provenance)
    }

    fn requirements(&self) -> Requirements<'_> {
        self.inner.requirements().preferring(self)
    }

    fn network(&self, genotype: &Genotype, at: Option<&NetScale>) -> Result<Graph, String> {
        self.inner.network(genotype, at)
    }

    fn images(&self) -> Option<[usize; 3]> {
        self.inner.images()
    }

    fn task(&self) -> Option<Task> {
        self.inner.task()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.inner.settings();
        let prefilter = Prefilter { kind: self.proxy.kind(), of: self.of };
        let images = match self.proxy.kind() {
            ProxyKind::NasWot => format!(" on {}", self.data_name),
            ProxyKind::SynFlow | ProxyKind::Params => String::new(),
        };
        settings.push(("prefilter".into(), format!("{prefilter}{images}")));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefilters_are_read_as_they_are_written() {
        for text in ["naswot:4", "synflow:2", "params:100"] {
            assert_eq!(text.parse::<Prefilter>().unwrap().to_string(), text);
        }
        for (text, fault) in [
            ("naswot", "`naswot` is no prefilter: expected one such as `naswot:4`"),
            ("naswot:1", "`naswot:1` must be of at least 2 architectures"),
            ("grasp:4", "`grasp` is none of `synflow`, `naswot` and `params`"),
        ] {
            assert_eq!(text.parse::<Prefilter>().unwrap_err(), fault);
        }
    }
}
