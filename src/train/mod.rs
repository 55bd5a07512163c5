//! Training: [`fit`] takes a [`Network`], images and a [`TrainConfig`], changes the network's parameters
//! and statistics, and gives a [`History`].
//!
//! The loop tells what happens through events and returns; it neither prints nor reads a clock. A
//! [`Trainer`] is the loop with its state in the open; a [`Recipe`] names the settings of a paper. What is
//! left of a run goes into a [`Checkpoint`]; what it needs to go on into a [`RunFolder`].

mod average;
mod checkpoint;
mod clip;
mod config;
mod evaluate;
mod event;
mod learner;
mod memory;
mod optimizer;
mod penalty;
mod recipe;
mod report;
mod run_folder;
mod schedule;
mod state;
#[cfg(feature = "tensorboard")]
mod tensorboard;
mod trainer;
mod transfer;

pub use average::Average;
pub use checkpoint::{Checkpoint, restore};
pub use clip::clip_norm;
pub use config::TrainConfig;
pub use evaluate::accuracy;
pub(crate) use evaluate::{classify, count_correct};
pub use event::{EpochRecord, Event, History};
pub use memory::TrainMemory;
pub use optimizer::{Adam, Optimizer, OptimizerKind, RmsProp, Rule, Sgd};
pub use penalty::{WeightDecayAt, WeightDecayOn};
pub use recipe::Recipe;
pub use run_folder::RunFolder;
pub use schedule::{DropPathSchedule, LrSchedule, Schedule, cosine};
pub use state::{Progress, TrainState};
#[cfg(feature = "tensorboard")]
pub use tensorboard::EventFile;
pub use trainer::Trainer;
pub(crate) use trainer::targets;
pub use transfer::{adopt_body, initialize};

use crate::data::{Images, Whitening};
use crate::error::Error;
use crate::network::Network;

/// What a network learns from and what its progress is measured on.
#[derive(Clone, Copy, Debug)]
pub struct TrainSet<'a> {
    /// The images of both parts.
    pub images: &'a Images,
    /// How their pixels are whitened.
    pub whitening: &'a Whitening,
    /// Indices of the images to learn from, at least one.
    pub train: &'a [usize],
    /// Indices of the images whose accuracy is taken after every epoch; may be empty.
    pub validation: &'a [usize],
}

/// Trains a network: descent on the mean cross-entropy of shuffled batches, as the settings say. A
/// [`Trainer`] does the same in single steps.
///
/// Where the graph has an auxiliary head its loss is added, times [`TrainConfig::aux_weight`]. What is
/// [frozen](Network::freeze) stays as it is. The network is left with the averages if the settings ask for
/// them, with the run's shares of dropout and drop path and its batch normalization, and without a gradient
/// of the image.
///
/// # Errors
/// [`Error::Config`] before anything is changed; [`Error::NotFinite`] when the loss, the gradient or a
/// parameter stops being finite, with the parameters as before that step, or when the network gives no numbers
/// after the last one; [`Error::Device`]; those of
/// [`Loader::fill_next`](crate::data::Loader::fill_next).
///
/// # Panics
/// If there is nothing to learn from, or the network is for images of another shape or for fewer
/// classes.
///
/// # Determinism
/// The result has the same bits for the same network, images and settings, for any number of threads.
///
/// # Examples
/// ```
/// use cellc::data::{DataSpec, HoldOut, load, split};
/// use cellc::graph::{Graph, Op, Padding, TensorType, Window};
/// use cellc::network::Network;
/// use cellc::train::{TrainConfig, TrainSet, fit};
///
/// // A linear classifier: a valid convolution over the whole image, then its only pixel.
/// let mut graph = Graph::new(TensorType::new(1, 8, 8));
/// let head = graph.section("head", None);
/// let window = Window::new([8, 8], [1, 1], [1, 1], Padding::Valid, [8, 8]).unwrap();
/// let linear = Op::Conv { window, out_channels: 10, groups: 1 };
/// graph.output = graph.wire(linear, &[graph.input], head, "head.linear").unwrap();
///
/// let digits = load(&DataSpec::Digits)?;
/// let parts = split(&digits.train, HoldOut::Fraction(0.2), 0)?;
/// let data = TrainSet {
///     images: &digits.train,
///     whitening: &digits.whitening,
///     train: &parts.train,
///     validation: &parts.validation,
/// };
/// let mut network = Network::new(&graph, 0);
/// let config = TrainConfig { epochs: 3, ..TrainConfig::default() };
/// let history = fit(&mut network, &data, &config, &mut |_event| ())?;
/// assert!(history.val_accuracy() > Some(0.9));
/// # Ok::<(), cellc::error::Error>(())
/// ```
pub fn fit(
    network: &mut Network,
    data: &TrainSet<'_>,
    config: &TrainConfig,
    on_event: &mut dyn FnMut(&Event),
) -> Result<History, Error> {
    let mut trainer = Trainer::new(network, *data, config)?;
    while trainer.advance(on_event)? {}
    trainer.finish()
}
