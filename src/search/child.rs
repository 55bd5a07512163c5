//! The evaluator that trains: a genotype becomes a network, learns for a few epochs, and its accuracy
//! on images held out of training is its reward.

use super::architecture::{Architectures, ChildScale, SpaceFault};
use super::budget::{Paused, Stepwise};
use super::enas::Sharing;
use super::evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
use super::objective::NetScale;
use super::task::{Scoring, Task};
use crate::data::{Dataset, HoldOut, Images, Split, split};
use crate::error::Error;
use crate::graph::Graph;
use crate::graph::cost::Counts;
use crate::graph::lower::Lowered;
use crate::network::Network;
use crate::source::{Library, Loader, SourceFile};
use crate::space::{Genotype, Requirements, SearchSpace};
use crate::train::{TrainConfig, TrainSet, TrainState, Trainer, accuracy, fit};

/// How large children are and how long they learn.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildConfig {
    /// The net they are put into, and their size.
    pub scale: ChildScale,
    /// Share of the training images held out for the reward.
    pub validation: f64,
    /// Epochs, batch size and optimizer. Its seed is replaced by each trial's own.
    pub train: TrainConfig,
}

impl Default for ChildConfig {
    /// Children that learn the digits in a second or two on one core.
    fn default() -> Self {
        ChildConfig {
            scale: ChildScale::default(),
            validation: 0.2,
            train: TrainConfig { epochs: 5, batch: 64, lr: 0.1, ..TrainConfig::default() },
        }
    }
}

/// Trains children of one space on one data set.
#[derive(Debug)]
pub struct TrainEvaluator {
    architectures: Architectures,
    data: Dataset,
    /// The data set as the user named it.
    data_name: String,
    /// Hash of the data set.
    data_hash: String,
    split: Split,
    /// Seed of the split.
    seed: u64,
    config: ChildConfig,
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
        let architectures = Architectures::new(source, loader, config.scale.clone())?
            .with_data(data.train.ty(), data.classes)
            .with_drop_path(config.train.drop_path > 0.0);
        let split = split(&data.train, HoldOut::Fraction(config.validation), seed)?;
        if split.validation.is_empty() {
            return Err(SpaceFault::Request(Error::Config {
                setting: "validation",
                value: config.validation.to_string(),
                reason: "no image would be held out, so no child would have a reward".into(),
            }));
        }
        let (data_name, data_hash) = (data_name.into(), data.hash());
        Ok(TrainEvaluator { architectures, data, data_name, data_hash, split, seed, config })
    }

    /// Number of images that the data set itself keeps for validation, and that no child sees: rewards are
    /// taken on training images that are held out.
    pub fn left_out(&self) -> usize {
        self.data.validation.as_ref().map_or(0, Images::len)
    }

    /// The space that is searched.
    pub fn space(&self) -> &SearchSpace {
        self.architectures.space()
    }
}

impl Evaluator for TrainEvaluator {
    fn id(&self, genotype: &Genotype) -> String {
        self.architectures.id(genotype)
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        self.evaluate_for(genotype, seed, self.config.train.epochs)
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        let data = format!("on {}", self.data_name);
        let how = format!("Trained for {} epochs", provenance.epochs);
        self.architectures.found_text(genotype, provenance, &data, &how)
    }

    fn stepwise(&self) -> Option<&dyn Stepwise> {
        Some(self)
    }

    fn sharing(&self) -> Option<Sharing<'_>> {
        let TrainEvaluator { architectures, data, split, config, .. } = self;
        Some(Sharing { architectures, data, split, train: &config.train })
    }

    fn requirements(&self) -> Requirements<'_> {
        self.architectures.requirements()
    }

    fn network(&self, genotype: &Genotype, at: Option<&NetScale>) -> Result<Graph, String> {
        self.architectures.measured(genotype, at)
    }

    fn images(&self) -> Option<[usize; 3]> {
        let Split { train, validation } = &self.split;
        Some([train.len(), validation.len(), self.data.test.len()])
    }

    fn task(&self) -> Option<Task> {
        let ChildConfig { scale: _, validation, train } = &self.config;
        let (data, train) = (self.data_hash.clone(), Box::new(train.clone()));
        let scoring = Scoring::Train { data, validation: *validation, seed: self.seed, train };
        Some(self.architectures.task(scoring))
    }

    fn settings(&self) -> Vec<(String, String)> {
        let ChildConfig { scale: _, validation, train } = &self.config;
        let train = serde_json::to_string(train).expect("a training configuration is plain data");
        let mut settings = self.architectures.settings();
        settings.insert(1, ("data".into(), self.data_name.clone()));
        settings.push(("validation".into(), format!("{validation:?}")));
        settings.push(("train".into(), train));
        settings
    }
}

/// A child that waits has the state of its training; its network is compiled again.
impl Stepwise for TrainEvaluator {
    fn epochs(&self) -> usize {
        self.config.train.epochs
    }

    fn advance(
        &self,
        genotype: &Genotype,
        seed: u64,
        paused: Option<Paused>,
        until: usize,
    ) -> Result<(Evaluation, Paused), Failure> {
        let (lowered, counts) = self.architectures.admitted(genotype)?;
        let mut network = Network::new(&lowered.graph, seed);
        let config = TrainConfig { seed, ..self.config.train.clone() };
        let mut trainer = Trainer::new(&mut network, self.set(), &config).map_err(failure)?;
        if let Some(paused) = paused {
            let state: TrainState = paused.into_state().expect("the state is of this evaluator");
            trainer.load_state(&state).expect("the state is of this child");
        }
        while trainer.progress().history.epochs.len() < until
            && trainer.advance(&mut |_| {}).map_err(failure)?
        {}
        let score = self.score(&trainer.averaged(), &lowered, counts, until)?;
        Ok((score, Paused::new(trainer.state())))
    }

    fn save(&self, paused: Paused) -> Option<Vec<u8>> {
        Some(paused.into_state::<TrainState>()?.into_bytes())
    }

    fn restore(&self, bytes: &[u8]) -> Option<Paused> {
        TrainState::from_bytes(bytes).ok().map(Paused::new)
    }

    fn evaluate_for(
        &self,
        genotype: &Genotype,
        seed: u64,
        epochs: usize,
    ) -> Result<Evaluation, Failure> {
        let (lowered, counts) = self.architectures.admitted(genotype)?;
        let mut network = Network::new(&lowered.graph, seed);
        let config = TrainConfig { seed, epochs, ..self.config.train.clone() };
        fit(&mut network, &self.set(), &config, &mut |_| {}).map_err(failure)?;
        self.score(&network, &lowered, counts, epochs)
    }
}

impl TrainEvaluator {
    fn set(&self) -> TrainSet<'_> {
        TrainSet {
            images: &self.data.train,
            whitening: &self.data.whitening,
            train: &self.split.train,
            // Only the accuracy where the training stops counts.
            validation: &[],
        }
    }

    fn score(
        &self,
        network: &Network,
        lowered: &Lowered,
        counts: Counts,
        epochs: usize,
    ) -> Result<Evaluation, Failure> {
        let (held_out, batch) = (&self.split.validation, self.config.train.batch);
        let val_accuracy =
            accuracy(network, &self.data.train, held_out, &self.data.whitening, batch)
                .map_err(failure)?;
        Ok(Evaluation {
            reward: val_accuracy,
            val_accuracy,
            params: counts.params,
            macs: counts.macs,
            scale: lowered.scale.to_string(),
            epochs,
        })
    }
}

fn failure(error: Error) -> Failure {
    let kind = match &error {
        Error::NotFinite { .. } => FailureKind::NotFinite,
        _ => FailureKind::Error,
    };
    Failure::new(kind, error.to_string())
}
