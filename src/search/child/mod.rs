//! The evaluator that trains: a genotype becomes a network, learns for a few epochs, and its accuracy
//! on images held out of training is its reward.
//!
//! A child that cannot be trained to the end is a failure of its own, whatever thread it is trained in: memory is
//! foretold before the first step, since a process that asks for more than there is is ended, and time is looked
//! at between two steps, since a thread cannot be.

mod steps;
mod time_limit;

pub use time_limit::TimeLimit;

use super::architecture::{Architectures, ChildScale, SpaceFault};
use super::budget::Stepwise;
use super::enas::Sharing;
use super::evaluator::{Evaluation, Evaluator, Failure, Provenance};
use super::objective::NetScale;
use super::strategy::at_least_one;
use super::task::{Scoring, Task};
use super::workers::current_worker;
use crate::data::{Dataset, HoldOut, Images, Split, split};
use crate::device::AnyDevice;
use crate::error::Error;
use crate::graph::Graph;
use crate::network::Network;
use crate::source::{Library, Loader, SourceFile};
use crate::space::{Genotype, Requirements, SearchSpace};
use crate::train::TrainConfig;

/// How large children are and how long they learn.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildConfig {
    /// The net they are put into, and their size.
    pub scale: ChildScale,
    /// Share of the training images held out for the reward.
    pub validation: f64,
    /// Epochs, batch size and optimizer. Its seed is replaced by each trial's own.
    pub train: TrainConfig,
    /// The most memory that training a child may take as [`TrainMemory`](crate::train::TrainMemory) foretells it,
    /// in MiB; children that need more are failed trials. No limit if `None`.
    pub max_memory_mib: Option<usize>,
}

impl Default for ChildConfig {
    /// Children that learn the digits in a second or two on one core.
    fn default() -> Self {
        ChildConfig {
            scale: ChildScale::default(),
            validation: 0.2,
            train: TrainConfig { epochs: 5, batch: 64, lr: 0.1, ..TrainConfig::default() },
            max_memory_mib: None,
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
    time_limit: Option<TimeLimit>,
    /// At least one.
    devices: Vec<AnyDevice>,
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
        config.max_memory_mib.map_or(Ok(()), |limit| at_least_one("max_memory_mib", limit))?;
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
        let time_limit = None;
        let devices = vec![AnyDevice::default()];
        Ok(TrainEvaluator {
            architectures,
            data,
            data_name,
            data_hash,
            split,
            seed,
            config,
            time_limit,
            devices,
        })
    }

    /// The same, where no training of a child may take longer. What it took at earlier stops of a
    /// [budget](super::budget) counts, as far as that was in this process.
    ///
    /// # Determinism
    /// Which children fail by this depends on the machine. A search that is resumed goes by its ledger.
    pub fn with_time_limit(self, limit: Option<TimeLimit>) -> Self {
        TrainEvaluator { time_limit: limit, ..self }
    }

    /// Trains the children of worker `i`, counted from 0, on device `i` modulo their number, instead of on the
    /// processor. Those that [share](Evaluator::sharing) weights, one at a time, are on the first.
    ///
    /// # Panics
    /// If there are none.
    ///
    /// # Determinism
    /// Workers take the architecture that is next, so that it is only for equal devices that the rewards are the same
    /// for any number of workers.
    pub fn with_devices(self, devices: Vec<AnyDevice>) -> Self {
        assert!(!devices.is_empty(), "children are trained somewhere");
        TrainEvaluator { devices, ..self }
    }

    /// A fresh child, on the device of the worker that the calling thread belongs to.
    fn child(&self, graph: &Graph, seed: u64) -> Network {
        let mut network = Network::new(graph, seed);
        network.set_device(self.devices[current_worker() % self.devices.len()].clone());
        network
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
        let TrainEvaluator { architectures, data, split, config, devices, .. } = self;
        Some(Sharing { architectures, data, split, train: &config.train, device: &devices[0] })
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
        let ChildConfig { scale: _, validation, train, max_memory_mib } = &self.config;
        let scoring = Scoring::Train {
            data: self.data_hash.clone(),
            validation: *validation,
            seed: self.seed,
            train: Box::new(train.clone()),
            max_memory_mib: *max_memory_mib,
        };
        Some(self.architectures.task(scoring))
    }

    fn settings(&self) -> Vec<(String, String)> {
        let ChildConfig { scale: _, validation, train, max_memory_mib } = &self.config;
        let train = serde_json::to_string(train).expect("a training configuration is plain data");
        let mut settings = self.architectures.settings();
        settings.insert(1, ("data".into(), self.data_name.clone()));
        settings.push(("validation".into(), format!("{validation:?}")));
        settings.push(("train".into(), train));
        // Only where there is one: runs of earlier releases go on.
        settings.extend(max_memory_mib.map(|mib| ("max_memory_mib".into(), mib.to_string())));
        settings
    }
}
