//! Training: [`fit`] takes a [`Network`], images and a [`TrainConfig`], changes the network's parameters
//! and statistics, and gives a [`History`].
//!
//! The loop tells what happens through events and returns; it neither prints nor reads a clock. What
//! is left of a run goes into a [`Checkpoint`].

mod checkpoint;
mod clip;
mod config;
mod evaluate;
mod event;
mod schedule;
mod sgd;
mod transfer;

use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::prelude::{AsArray, Backward, Cpu, Trace, ZeroGrads, ZerosTensor};

pub use checkpoint::{Checkpoint, restore};
pub use clip::clip_norm;
pub use config::TrainConfig;
pub use evaluate::accuracy;
pub use event::{EpochRecord, Event, History};
pub use schedule::cosine;
pub use sgd::Sgd;
pub use transfer::adopt_body;

use evaluate::count_correct;
use transfer::Kept;

use crate::data::{Batch, Batches, Images, Loader, Whitening};
use crate::device::RunConfig;
use crate::error::Error;
use crate::graph::TensorType;
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

/// Trains a network: stochastic gradient descent on the mean cross-entropy of shuffled batches, its
/// learning rate falling to 0 along half a cosine.
///
/// Where the graph has an auxiliary head its loss is added, times [`TrainConfig::aux_weight`]. What is
/// [frozen](Network::freeze) stays as it is. The network is left with the run's dropout share and without
/// a gradient of the image.
///
/// # Errors
/// [`Error::Config`] before anything is changed; [`Error::NotFinite`] when the loss or the gradient
/// stops being finite, with the parameters as before that step; [`Error::Device`]; those of
/// [`Loader::fill_next`].
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
    config.check()?;
    assert!(!data.train.is_empty(), "a network learns from at least one image");
    let (dropout, dropout_seed) = (config.dropout as f32, config.seed);
    network.set_config(RunConfig { dropout, dropout_seed, ..*network.config() })?;
    network.set_image_gradient(false);

    let (steps_per_epoch, batch_size) = Batches::batches_per_epoch(data.train.len(), config.batch);
    let steps = config.epochs * steps_per_epoch;
    let TensorType { channels, height, width } = data.images.ty();
    let classes = network.graph().ty(network.graph().output).channels;
    let device = Cpu::default();
    let mut batch = Batch::default();
    let mut images = device.try_zeros_like(&(batch_size, channels, height, width))?;
    let mut targets = device.try_zeros_like(&(batch_size, classes))?;
    let mut gradients = network.params().try_alloc_grads()?;
    let mut optimizer = Sgd::new(config);
    let kept = Kept::of(network);
    let mut history = History::default();
    let mut step = 0;

    for epoch in 1..=config.epochs {
        let (mut loss_sum, mut correct) = (0.0, 0);
        let order = (config.seed, epoch);
        let mut batches = Loader::new(Batches::shuffled(
            data.images,
            data.train,
            data.whitening,
            config.augment,
            config.batch,
            order,
        ))?;
        while batches.fill_next(&mut batch)? {
            images.copy_from(&batch.pixels);
            targets.copy_from(&one_hot(&batch.labels, classes));

            let (logits, aux) = network.try_forward_aux(images.clone().traced(gradients))?;
            correct += count_correct(&logits.as_vec(), &batch.labels);
            let mut loss = cross_entropy_with_logits_loss(logits, targets.clone());
            let loss_value = f64::from(loss.array());
            if let Some(aux) = aux {
                let aux_loss = cross_entropy_with_logits_loss(aux, targets.clone());
                loss = loss + aux_loss * config.aux_weight as f32;
            }

            gradients = loss.try_backward()?;
            kept.mask(network, &mut gradients)?;
            let grad_norm =
                clip_norm(gradients.get_or_alloc_mut(&network.params().flat)?, config.clip_norm);
            if !(loss_value.is_finite() && grad_norm.is_finite()) {
                return Err(Error::NotFinite { step, epoch });
            }
            let lr = cosine(config.lr, step, steps);
            optimizer.step(&mut network.params_mut().flat, &mut gradients, lr)?;
            kept.restore(network);
            network.params().try_zero_grads(&mut gradients)?;

            loss_sum += loss_value;
            on_event(&Event::Step { step, steps, epoch, loss: loss_value, lr, grad_norm });
            step += 1;
        }

        let val_accuracy = match data.validation {
            [] => None,
            held => Some(accuracy(network, data.images, held, data.whitening, config.batch)?),
        };
        let record = EpochRecord {
            epoch,
            train_loss: loss_sum / steps_per_epoch as f64,
            train_accuracy: correct as f64 / (steps_per_epoch * batch_size) as f64,
            val_accuracy,
        };
        on_event(&Event::Epoch(record.clone()));
        history.epochs.push(record);
    }
    Ok(history)
}

/// Rows `[N, classes]` that are 1 at the label and 0 elsewhere.
fn one_hot(labels: &[u16], classes: usize) -> Vec<f32> {
    let mut rows = vec![0.0; labels.len() * classes];
    for (row, &label) in rows.chunks_exact_mut(classes).zip(labels) {
        row[usize::from(label)] = 1.0;
    }
    rows
}
