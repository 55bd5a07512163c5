//! The evaluator that trains nothing: what a fresh network tells about how good it will be.
//!
//! | proxy | score |
//! |---|---|
//! | [`synflow()`] | natural logarithm of 1 + the synaptic flow through all weights; needs no data |
//! | [`naswot()`] | logarithm of the determinant of how alike a batch of images activates the rectifiers |
//! | `params` | trainable parameters: what the others must be better than |
//!
//! A score orders the architectures of one space at one scale; it is no accuracy, and nothing but its order
//! means anything. [`Prefiltered`] puts a proxy before another evaluator.
//!
//! # Determinism
//! The fresh network is drawn from a seed, which for an evaluation is that of the trial and for a prefilter
//! that of the search.

mod naswot;
mod prefilter;
mod synflow;

use std::fmt;
use std::str::FromStr;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

pub use naswot::naswot;
pub use prefilter::{Prefilter, Prefiltered};
pub use synflow::synflow;

use super::architecture::{Architectures, ChildScale, SpaceFault};
use super::evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
use super::objective::NetScale;
use super::task::{Scoring, Task};
use crate::data::{Batch, Batches, Dataset, Loader as BatchLoader};
use crate::error::Error;
use crate::graph::cost::Cost;
use crate::graph::{Graph, TensorType};
use crate::rng::{Purpose, stream};
use crate::source::{Loader, SourceFile};
use crate::space::{Genotype, Requirements, SearchSpace};

/// Which score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// Synaptic flow.
    SynFlow,
    /// Codes of the rectifiers.
    NasWot,
    /// Parameters.
    Params,
}

impl ProxyKind {
    /// Its name on the command line and in settings.
    pub fn name(self) -> &'static str {
        match self {
            ProxyKind::SynFlow => "synflow",
            ProxyKind::NasWot => "naswot",
            ProxyKind::Params => "params",
        }
    }
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ProxyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [ProxyKind::SynFlow, ProxyKind::NasWot, ProxyKind::Params];
        all.into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("`{text}` is none of `synflow`, `naswot` and `params`"))
    }
}

/// A score with what it needs of the data.
#[derive(Clone, Debug)]
pub struct Proxy {
    kind: ProxyKind,
    images: Batch,
    /// Shape of an image.
    ty: TensorType,
    /// Hash of the data set.
    data: String,
    seed: u64,
}

impl Proxy {
    /// A score that looks at `images` training images of a data set, drawn by `seed`, if it looks at any.
    ///
    /// # Errors
    /// Those of images that cannot be read; [`Error::Config`] for fewer than two images.
    pub fn new(kind: ProxyKind, data: &Dataset, images: usize, seed: u64) -> Result<Self, Error> {
        if images < 2 {
            let reason = "it must be at least 2: images are compared".into();
            return Err(Error::Config { setting: "batch", value: images.to_string(), reason });
        }
        let mut rng = stream(seed, Purpose::Proxy, 0);
        let mut drawn: Vec<usize> = (0..data.train.len()).collect();
        drawn.shuffle(&mut rng);
        drawn.truncate(images);
        let batches = Batches::in_order(&data.train, &drawn, &data.whitening, images);
        let mut batch = Batch::default();
        BatchLoader::new(batches)?.fill_next(&mut batch)?;
        Ok(Proxy { kind, images: batch, ty: data.train.ty(), data: data.hash(), seed })
    }

    /// Which score it is.
    pub fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Why the images are none for a network, if they are not and the score looks at any.
    fn misfit(&self, graph: &Graph) -> Option<String> {
        let wanted = graph.ty(graph.input);
        let fits = self.ty == wanted || self.kind != ProxyKind::NasWot;
        (!fits).then(|| format!("its images are {}, and the networks read {wanted}", self.ty))
    }

    /// The score of a network with fresh parameters.
    ///
    /// # Errors
    /// [`FailureKind::NotFinite`] where it is no number, [`FailureKind::Error`] for a network of images of
    /// another shape.
    pub fn score(&self, graph: &Graph, seed: u64) -> Result<f64, Failure> {
        if let Some(misfit) = self.misfit(graph) {
            return Err(Failure::new(FailureKind::Error, misfit));
        }
        let score = match self.kind {
            ProxyKind::SynFlow => synflow(graph, seed),
            ProxyKind::NasWot => naswot(graph, seed, &self.images.pixels, self.images.len()),
            ProxyKind::Params => Cost::of(graph).total.params as f64,
        };
        if score.is_finite() {
            return Ok(score);
        }
        Err(Failure::new(FailureKind::NotFinite, format!("{} is {score}", self.kind)))
    }
}

/// Scores the points of one space by a proxy.
#[derive(Debug)]
pub struct ProxyEvaluator {
    architectures: Architectures,
    proxy: Proxy,
    data_name: String,
}

impl ProxyEvaluator {
    /// An evaluator of the space in `source`, which may use files that `loader` finds, for the images and
    /// classes of a data set.
    ///
    /// # Errors
    /// [`SpaceFault::Cells`] if the file has faults, [`SpaceFault::Request`] if it holds no space.
    pub fn new(
        source: &SourceFile,
        loader: &dyn Loader,
        data: &Dataset,
        data_name: &str,
        proxy: Proxy,
        scale: ChildScale,
    ) -> Result<Self, SpaceFault> {
        let architectures =
            Architectures::new(source, loader, scale)?.with_data(data.train.ty(), data.classes);
        Ok(ProxyEvaluator { architectures, proxy, data_name: data_name.into() })
    }

    /// The space that is searched.
    pub fn space(&self) -> &SearchSpace {
        self.architectures.space()
    }

    /// The score that is the reward.
    pub fn kind(&self) -> ProxyKind {
        self.proxy.kind
    }
}

impl Evaluator for ProxyEvaluator {
    fn id(&self, genotype: &Genotype) -> String {
        self.architectures.id(genotype)
    }

    /// The score as reward, and for want of an accuracy as that too.
    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        let (lowered, counts) = self.architectures.admitted(genotype)?;
        let score = self.proxy.score(&lowered.graph, seed)?;
        Ok(Evaluation {
            reward: score,
            val_accuracy: score,
            params: counts.params,
            macs: counts.macs,
            scale: lowered.scale.to_string(),
            epochs: 0,
        })
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        let data = format!("by {} on {}", self.proxy.kind, self.data_name);
        self.architectures.found_text(genotype, provenance, &data, "Not trained")
    }

    fn requirements(&self) -> Requirements<'_> {
        self.architectures.requirements()
    }

    fn network(&self, genotype: &Genotype, at: Option<&NetScale>) -> Result<Graph, String> {
        self.architectures.measured(genotype, at)
    }

    fn task(&self) -> Option<Task> {
        let Proxy { kind, images, data, seed, .. } = &self.proxy;
        let (images, data) = (images.len(), data.clone());
        Some(self.architectures.task(Scoring::Proxy { kind: *kind, data, images, seed: *seed }))
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.architectures.settings();
        settings.push(("proxy".into(), self.proxy.kind.to_string()));
        settings.push(("data".into(), self.data_name.clone()));
        settings.push(("batch".into(), self.proxy.images.len().to_string()));
        settings
    }
}
