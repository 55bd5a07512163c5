//! The evaluator that trains: a genotype becomes a network, learns for a few epochs, and its accuracy
//! on images held out of training is its reward.

use super::evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
use super::identity::text_hash;
use crate::compile::{self, Fault, Request};
use crate::data::{Dataset, HoldOut, Split, split};
use crate::diagnostic::Diagnostics;
use crate::error::Error;
use crate::graph::cost::Cost;
use crate::graph::lower::{Lowered, Scale, Width};
use crate::ir::Module;
use crate::link::{link, write_out};
use crate::network::Network;
use crate::source::{Library, Loader, SourceFile};
use crate::space::{self, Genotype, Requirements, SearchSpace};
use crate::syntax::{self, ast};
use crate::train::{TrainConfig, TrainSet, accuracy, fit};

/// How large children are and how long they learn.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildConfig {
    /// The net they are put into; if `None`, the one that the file means, see [`Module::default_net`].
    pub net: Option<String>,
    /// N: normal cells a stage.
    pub n: usize,
    /// Base width: channels of an operation in the first cell. Fixed for all children, while F depends
    /// on how many blocks a child's cell gives out.
    pub base: usize,
    /// The largest number of trainable parameters; larger children are failed trials.
    pub max_params: u64,
    /// Share of the training images held out for the reward.
    pub validation: f64,
    /// Epochs, batch size and optimizer. Its seed is replaced by each trial's own.
    pub train: TrainConfig,
}

impl Default for ChildConfig {
    /// Children that learn the digits in a second or two on one core.
    fn default() -> Self {
        ChildConfig {
            net: None,
            n: 1,
            base: 4,
            max_params: 50_000_000,
            validation: 0.2,
            train: TrainConfig { epochs: 5, batch: 64, lr: 0.1, ..TrainConfig::default() },
        }
    }
}

/// Trains children of one space on one data set.
#[derive(Debug)]
pub struct TrainEvaluator {
    file: ast::File,
    module: Module,
    data: Dataset,
    /// The data set as the user named it.
    data_name: String,
    split: Split,
    /// The net of the configuration, or else of the file.
    net: String,
    config: ChildConfig,
}

/// Why children of a file cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum SpaceFault {
    /// The file has faults.
    #[error(transparent)]
    Cells(#[from] Diagnostics),
    /// Settings or data make no sense.
    #[error(transparent)]
    Request(#[from] Error),
}

impl TrainEvaluator {
    /// An evaluator of the space in `source`, which may use files of the library of cells; `seed` decides
    /// which images are held out.
    ///
    /// # Errors
    /// [`SpaceFault::Cells`] if the file has faults, [`SpaceFault::Request`] if it holds no space or the
    /// settings make no sense.
    pub fn new(
        source: &SourceFile,
        data: Dataset,
        data_name: &str,
        config: ChildConfig,
        seed: u64,
    ) -> Result<Self, SpaceFault> {
        Self::new_with(source, &Library, data, data_name, config, seed)
    }

    /// As [`new`](Self::new), for a file that may use those that `loader` finds.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_with(
        source: &SourceFile,
        loader: &dyn Loader,
        data: Dataset,
        data_name: &str,
        config: ChildConfig,
        seed: u64,
    ) -> Result<Self, SpaceFault> {
        config.train.check()?;
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
        if config.base == 0 || config.n == 0 {
            let value = format!("N = {}, base = {}", config.n, config.base);
            return Err(refuse("scale of the children", value, "both must be at least 1").into());
        }
        let split = split(&data.train, HoldOut::Fraction(config.validation), seed)?;
        if split.validation.is_empty() {
            let reason = "no image would be held out, so no child would have a reward";
            return Err(refuse("validation", config.validation.to_string(), reason).into());
        }
        let net = config.net.clone().unwrap_or_else(|| module.default_net().into());
        Ok(TrainEvaluator { file, module, data, data_name: data_name.into(), split, net, config })
    }

    /// The space that is searched.
    pub fn space(&self) -> &SearchSpace {
        let space =
            self.module.space.as_ref().expect("TrainEvaluator::new refuses files without one");
        &space.decisions
    }

    /// The network of a child.
    fn network(&self, genotype: &Genotype) -> Result<Lowered, Fault> {
        let request = Request {
            width: Width::Base(self.config.base),
            genotype: Some(genotype.clone()),
            drop_path: self.config.train.drop_path > 0.0,
            ..Request::new(&self.net, Scale { n: self.config.n, f: 0 })
        };
        compile::network(&self.module, &request.with_data(self.data.train.ty(), self.data.classes))
    }
}

impl Evaluator for TrainEvaluator {
    fn id(&self, genotype: &Genotype) -> String {
        compile::architecture_id(&self.module, &self.net, Some(genotype)).unwrap_or_else(|_| {
            // No network, so no two of them are the same network.
            let choices: Vec<String> = genotype.choices.iter().map(usize::to_string).collect();
            format!("invalid-{}", choices.join("-"))
        })
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        if let Some(unmet) = self.requirements().unmet(genotype) {
            let reason = format!("the space requires {unmet}");
            return Err(Failure::new(FailureKind::Rejected, reason));
        }
        let lowered = self
            .network(genotype)
            .map_err(|fault| Failure::new(FailureKind::Rejected, fault.to_string()))?;
        let cost = Cost::of(&lowered.graph).total;
        if cost.params > self.config.max_params {
            let reason =
                format!("{} parameters, at most {} allowed", cost.params, self.config.max_params);
            return Err(Failure::new(FailureKind::TooLarge, reason));
        }
        let mut network = Network::new(&lowered.graph, seed);
        let config = TrainConfig { seed, ..self.config.train.clone() };
        let set = TrainSet {
            images: &self.data.train,
            whitening: &self.data.whitening,
            train: &self.split.train,
            // Only the accuracy after the last epoch counts.
            validation: &[],
        };
        let failure = |error: Error| match error {
            Error::NotFinite { .. } => Failure::new(FailureKind::NotFinite, error.to_string()),
            _ => Failure::new(FailureKind::Error, error.to_string()),
        };
        fit(&mut network, &set, &config, &mut |_| {}).map_err(failure)?;
        let held_out = &self.split.validation;
        let val_accuracy =
            accuracy(&network, &self.data.train, held_out, &self.data.whitening, config.batch)
                .map_err(failure)?;
        Ok(Evaluation {
            reward: val_accuracy,
            val_accuracy,
            params: cost.params,
            macs: cost.macs,
            scale: lowered.scale.to_string(),
            epochs: config.epochs,
        })
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        let ChildConfig { n, base, train, .. } = &self.config;
        let net = &self.net;
        let scale = self.network(genotype).map_or_else(
            |_| format!("N = {n}, base width {base}"),
            |lowered| format!("{} (base width {base})", lowered.scale),
        );
        let header = format!(
            "/// {provenance} on {}.\n/// Trained for {} epochs in net {net} at {scale}.\n",
            self.data_name, train.epochs
        );
        header + &syntax::print(&space::fill(&self.file, &self.module, genotype))
    }

    fn requirements(&self) -> Requirements<'_> {
        Requirements::of(&self.module)
    }

    fn settings(&self) -> Vec<(String, String)> {
        let ChildConfig { net: _, n, base, max_params, validation, train } = &self.config;
        let train = serde_json::to_string(train).expect("a training configuration is plain data");
        [
            // The file defines more than the space: operations and nets decide rewards as well, those of
            // used files too.
            ("file", text_hash(&syntax::print(&write_out(&self.file, &self.module)))),
            ("data", self.data_name.clone()),
            ("net", self.net.clone()),
            ("n", n.to_string()),
            ("base", base.to_string()),
            ("max_params", max_params.to_string()),
            ("validation", format!("{validation:?}")),
            ("train", train),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .to_vec()
    }
}
