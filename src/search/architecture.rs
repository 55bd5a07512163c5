//! The points of a file's space as architectures: their identity, network, cost and text. Every evaluator
//! of this crate is built on it, so that one architecture has one id and one text whoever scores it.

use serde::{Deserialize, Serialize};

use super::evaluator::{Failure, FailureKind, Provenance};
use super::identity::{space_hash, text_hash};
use super::objective::NetScale;
use super::task::{Scoring, Task};
use crate::compile::{self, Fault, Request};
use crate::diagnostic::Diagnostics;
use crate::error::Error;
use crate::graph::cost::{Cost, Counts};
use crate::graph::lower::{Lowered, Scale, Width};
use crate::graph::{Graph, TensorType};
use crate::ir::Module;
use crate::link::{link, write_out};
use crate::source::{Loader, SourceFile};
use crate::space::{self, Genotype, Requirements, SearchSpace};
use crate::syntax::{self, ast};

/// Which network a point of a space is, and how large it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildScale {
    /// The net that cells are put into; if `None`, the one that the file means, see
    /// [`Module::default_net`].
    pub net: Option<String>,
    /// N: normal cells a stage.
    pub n: usize,
    /// Base width: channels of an operation in the first cell. Fixed for all children, while F depends
    /// on how many blocks a child's cell gives out.
    pub base: usize,
    /// The largest number of trainable parameters; larger children are failed trials.
    pub max_params: u64,
}

impl Default for ChildScale {
    /// Children that learn the digits in a second or two on one core.
    fn default() -> Self {
        ChildScale { net: None, n: 1, base: 4, max_params: 50_000_000 }
    }
}

/// Why children of a file cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum SpaceFault {
    /// The file has faults.
    #[error(transparent)]
    Cells(#[from] Diagnostics),
    /// Settings, data or tables make no sense.
    #[error(transparent)]
    Request(#[from] Error),
}

/// A file that holds a space, with the scale at which its points are networks.
#[derive(Debug)]
pub(super) struct Architectures {
    file: ast::File,
    module: Module,
    /// The net of the scale, or else of the file.
    net: String,
    scale: ChildScale,
    /// Shape of the images and number of classes; the net's own if `None`.
    data: Option<(TensorType, usize)>,
    drop_path: bool,
}

impl Architectures {
    /// Those of the space in `source`, which may use files that `loader` finds, with the net's own
    /// images and classes.
    ///
    /// # Errors
    /// [`SpaceFault::Cells`] if the file has faults, [`SpaceFault::Request`] if it holds no space or
    /// the scale makes no sense.
    pub(super) fn new(
        source: &SourceFile,
        loader: &dyn Loader,
        scale: ChildScale,
    ) -> Result<Self, SpaceFault> {
        let (file, module) = link(source, loader)?;
        let refuse = |setting, value: String, reason: &str| Error::Config {
            setting,
            value,
            reason: reason.into(),
        };
        if module.space.is_none() {
            let reason = "it has no `space`; train it with `cellc train`";
            return Err(refuse("space", source.name.clone(), reason).into());
        }
        if scale.base == 0 || scale.n == 0 {
            let value = format!("N = {}, base = {}", scale.n, scale.base);
            return Err(refuse("scale of the children", value, "both must be at least 1").into());
        }
        let net = scale.net.clone().unwrap_or_else(|| module.default_net().into());
        Ok(Architectures { file, module, net, scale, data: None, drop_path: false })
    }

    /// The same for images of another shape and another number of classes.
    pub(super) fn with_data(self, image: TensorType, classes: usize) -> Self {
        Architectures { data: Some((image, classes)), ..self }
    }

    /// The same with drop path in the networks, or without.
    pub(super) fn with_drop_path(self, drop_path: bool) -> Self {
        Architectures { drop_path, ..self }
    }

    /// The space.
    pub(super) fn space(&self) -> &SearchSpace {
        let space = self.module.space.as_ref().expect("`new` refuses files without one");
        &space.decisions
    }

    /// What the space requires of its points.
    pub(super) fn requirements(&self) -> Requirements<'_> {
        Requirements::of(&self.module)
    }

    /// Canonical id: equal for points that are the same network, see [`compile::architecture_id`].
    pub(super) fn id(&self, genotype: &Genotype) -> String {
        compile::architecture_id(&self.module, &self.net, Some(genotype)).unwrap_or_else(|_| {
            // No network, so no two of them are the same network.
            let choices: Vec<String> = genotype.choices.iter().map(usize::to_string).collect();
            format!("invalid-{}", choices.join("-"))
        })
    }

    /// The class of a tabular benchmark, see [`compile::class_id`]; the canonical id of a point whose
    /// cells are too large to be written out.
    pub(super) fn class(&self, genotype: &Genotype) -> String {
        compile::class_id(&self.module, Some(genotype)).unwrap_or_else(|_| self.id(genotype))
    }

    /// The network of a point.
    pub(super) fn network(&self, genotype: &Genotype) -> Result<Lowered, Fault> {
        compile::network(&self.module, &self.request(genotype))
    }

    /// The same network before it is simplified.
    pub(super) fn as_written(&self, genotype: &Genotype) -> Result<Lowered, Fault> {
        compile::lower_only(&self.module, &self.request(genotype))
    }

    fn request(&self, genotype: &Genotype) -> Request {
        let request = Request {
            width: Width::Base(self.scale.base),
            genotype: Some(genotype.clone()),
            drop_path: self.drop_path,
            ..Request::new(&self.net, Scale { n: self.scale.n, f: 0 })
        };
        match self.data {
            Some((image, classes)) => request.with_data(image, classes),
            None => request,
        }
    }

    /// The network of a point as [`Evaluator::network`](super::Evaluator::network) gives it.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn measured(
        &self,
        genotype: &Genotype,
        at: Option<&NetScale>,
    ) -> Result<Graph, String> {
        let lowered = match at {
            None => self.network(genotype),
            Some(NetScale { net, scale }) => {
                let net = net.as_deref().unwrap_or(&self.net);
                let genotype = Some(genotype.clone());
                let request = Request { genotype, ..Request::new(net, *scale) };
                compile::network(&self.module, &request)
            }
        };
        lowered.map(|lowered| lowered.graph).map_err(|fault| fault.to_string())
    }

    /// The network of a point that may be scored, with its counts for one image.
    ///
    /// # Errors
    /// [`FailureKind::Rejected`] for a point that does not meet the requirements or has no network,
    /// [`FailureKind::TooLarge`] for one with too many parameters.
    pub(super) fn admitted(&self, genotype: &Genotype) -> Result<(Lowered, Counts), Failure> {
        if let Some(unmet) = self.requirements().unmet(genotype) {
            let reason = format!("the space requires {unmet}");
            return Err(Failure::new(FailureKind::Rejected, reason));
        }
        let lowered = self
            .network(genotype)
            .map_err(|fault| Failure::new(FailureKind::Rejected, fault.to_string()))?;
        let counts = Cost::of(&lowered.graph).total;
        if counts.params > self.scale.max_params {
            let reason =
                format!("{} parameters, at most {} allowed", counts.params, self.scale.max_params);
            return Err(Failure::new(FailureKind::TooLarge, reason));
        }
        Ok((lowered, counts))
    }

    /// The text of a point: the file with its holes filled.
    pub(super) fn text(&self, genotype: &Genotype) -> String {
        syntax::print(&space::fill(&self.file, &self.module, genotype))
    }

    /// The text of a point under a header: where it came from, what scored it, and its scale.
    pub(super) fn found_text(
        &self,
        genotype: &Genotype,
        provenance: &Provenance,
        scored_by: &str,
        how: &str,
    ) -> String {
        let ChildScale { n, base, .. } = &self.scale;
        let scale = self.network(genotype).map_or_else(
            |_| format!("N = {n}, base width {base}"),
            |lowered| format!("{} (base width {base})", lowered.scale),
        );
        let net = &self.net;
        format!("/// {provenance} {scored_by}.\n/// {how} in net {net} at {scale}.\n")
            + &self.text(genotype)
    }

    /// The file with everything it uses.
    fn whole_file(&self) -> String {
        syntax::print(&write_out(&self.file, &self.module))
    }

    /// What another process must know to score these by `scoring`.
    pub(super) fn task(&self, scoring: Scoring) -> Task {
        let (file, space_hash) = (self.whole_file(), space_hash(self.space()));
        let scale = ChildScale { net: Some(self.net.clone()), ..self.scale.clone() };
        Task { file, space_hash, scale, scoring }
    }

    /// What rewards depend on as far as it is the file and the scale, as names and values.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let ChildScale { net: _, n, base, max_params } = &self.scale;
        [
            // The file defines more than the space: operations and nets decide rewards as well, those of
            // used files too.
            ("file", text_hash(&self.whole_file())),
            ("net", self.net.clone()),
            ("n", n.to_string()),
            ("base", base.to_string()),
            ("max_params", max_params.to_string()),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .to_vec()
    }
}
