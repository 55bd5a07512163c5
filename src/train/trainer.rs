//! The training loop, one step at a time.

use std::collections::BTreeMap;

use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::prelude::{
    AsArray, Backward, Cpu, Gradients, Module, Tensor, Trace, ZeroGrads, ZerosTensor,
};

use super::evaluate::{accuracy, count_correct};
use super::penalty::Penalty;
use super::state::check_fits;
use super::{
    Average, EpochRecord, Event, History, LrSchedule, Optimizer, Progress, TrainConfig, TrainSet,
    TrainState,
};
use crate::data::{Batch, Batches, Loader};
use crate::device::RunConfig;
use crate::error::Error;
use crate::graph::TensorType;
use crate::network::{Network, StateFault};

/// A run of [`fit`](super::fit) that can be stopped between two steps.
///
/// # Determinism
/// All that is random is drawn from the seed and the numbers of epoch and step, so a trainer that takes over
/// the [`state`](Self::state) of another goes on with the same bits.
#[derive(Debug)]
pub struct Trainer<'a> {
    network: &'a mut Network,
    data: TrainSet<'a>,
    config: TrainConfig,
    schedule: LrSchedule,
    penalty: Penalty,
    optimizer: Optimizer,
    average: Option<Average>,
    progress: Progress,
    /// Number and size of the batches of an epoch.
    per_epoch: (usize, usize),
    /// The rest of the epoch's batches; made when first needed.
    batches: Option<Loader>,
    buffers: Buffers,
}

/// Memory that every step uses again.
#[derive(Debug)]
struct Buffers {
    batch: Batch,
    /// `[N, C, H, W]`
    images: Tensor<(usize, usize, usize, usize), f32, Cpu>,
    /// `[N, classes]`
    targets: Tensor<(usize, usize), f32, Cpu>,
    params: Vec<f32>,
    /// Taken by the tape of a step, and given back.
    gradients: Gradients<f32, Cpu>,
}

impl<'a> Trainer<'a> {
    /// A run before its first step.
    ///
    /// # Errors
    /// [`Error::Config`] before anything is changed; [`Error::Device`].
    ///
    /// # Panics
    /// If there is nothing to learn from.
    pub fn new(
        network: &'a mut Network,
        data: TrainSet<'a>,
        config: &TrainConfig,
    ) -> Result<Self, Error> {
        config.check()?;
        assert!(!data.train.is_empty(), "a network learns from at least one image");
        network.set_config(RunConfig {
            bn_eps: config.bn_eps as f32,
            bn_momentum: config.bn_momentum as f32,
            dropout: config.dropout as f32,
            drop_path: 0.0,
            drop_path_by_depth: config.drop_path_schedule.is_by_depth(),
            dropout_seed: config.seed,
        })?;
        network.set_image_gradient(false);
        let per_epoch = Batches::batches_per_epoch(data.train.len(), config.batch);
        let TensorType { channels, height, width } = data.images.ty();
        let classes = network.graph().ty(network.graph().output).channels;
        let (device, batch) = (Cpu::default(), per_epoch.1);
        let buffers = Buffers {
            batch: Batch::default(),
            images: device.try_zeros_like(&(batch, channels, height, width))?,
            targets: device.try_zeros_like(&(batch, classes))?,
            params: network.params().flat.as_vec(),
            gradients: network.params().try_alloc_grads()?,
        };
        Ok(Trainer {
            schedule: LrSchedule::new(config, data.train.len()),
            penalty: Penalty::new(config, network),
            optimizer: Optimizer::new(config, network.layout().params_len()),
            average: Average::new(config, network),
            config: config.clone(),
            progress: Progress::default(),
            per_epoch,
            batches: None,
            network,
            data,
            buffers,
        })
    }

    /// How far the run is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// True if the last step was the last of its epoch, or there was none.
    pub fn is_between_epochs(&self) -> bool {
        self.progress.step.is_multiple_of(self.per_epoch.0)
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> usize {
        self.schedule.steps()
    }

    /// The network as it is used after the run: with the averages, if there are any.
    pub fn averaged(&self) -> Network {
        let mut network = self.network.clone();
        if let Some(average) = &self.average {
            average.store(&mut network);
        }
        network
    }

    /// All that the rest of the run depends on, beside settings and data.
    ///
    /// # Cost
    /// A copy of the parameters and of two to four more of their size.
    pub fn state(&self) -> TrainState {
        let mut tensors = BTreeMap::from([
            ("params".into(), self.network.params().flat.as_vec()),
            ("statistics".into(), self.network.statistics().to_vec()),
        ]);
        let averages = self.average.as_ref().map(Average::state).unwrap_or_default();
        for (part, state) in [("optimizer", self.optimizer.state()), ("ema", averages)] {
            for (name, values) in state {
                tensors.insert(format!("{part}.{name}"), values.to_vec());
            }
        }
        TrainState { progress: self.progress.clone(), tensors }
    }

    /// Goes on where a trainer with the same settings, data and network was.
    ///
    /// # Errors
    /// A [`StateFault`] if it had another network, optimizer or no averages; nothing has changed then.
    pub fn load_state(&mut self, state: &TrainState) -> Result<(), StateFault> {
        let params = self.network.params().flat.as_vec();
        let averages = self.average.as_ref().map(Average::state).unwrap_or_default();
        let (optimizer, ema) = (state.part("optimizer."), state.part("ema."));
        let is_of_network = |name: &&String| !name.contains('.');
        let network = state.tensors.keys().filter(is_of_network);
        let network = network.map(|name| (name.clone(), state.tensors[name].clone())).collect();
        let own =
            BTreeMap::from([("params", &params[..]), ("statistics", self.network.statistics())]);
        check_fits(&own, &network)?;
        check_fits(&averages, &ema)?;
        self.optimizer.load_state(&optimizer)?;
        if let Some(average) = &mut self.average {
            average.load_state(&ema)?;
        }
        self.network.params_mut().flat.copy_from(&network["params"]);
        self.network.statistics_mut().copy_from_slice(&network["statistics"]);
        self.progress = state.progress.clone();
        self.batches = None;
        Ok(())
    }

    /// Does one step; after the last of an epoch measures the accuracy on the validation images. False, and
    /// nothing done, if the run is over.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when the loss, the gradient or a parameter stops being finite, with the parameters
    /// as before the step, or when the network gives no numbers after the last one; [`Error::Device`]; those of [`Loader::fill_next`].
    ///
    /// # Panics
    /// If the network is for images of another shape or for fewer classes.
    pub fn advance(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<bool, Error> {
        if self.progress.step >= self.steps() {
            return Ok(false);
        }
        self.step(on_event)?;
        if self.is_between_epochs() {
            self.end_epoch(on_event)?;
        }
        Ok(true)
    }

    /// Leaves the network as it is used, with the averages if there are any.
    pub fn finish(self) -> History {
        if let Some(average) = &self.average {
            average.store(self.network);
        }
        self.progress.history
    }

    fn step(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), Error> {
        let Trainer { network, config, buffers, progress, .. } = self;
        let (step, steps) = (progress.step, self.schedule.steps());
        let epoch = step / self.per_epoch.0 + 1;
        let batches = match &mut self.batches {
            Some(batches) => batches,
            None => {
                let order = (config.seed, epoch);
                let TrainSet { images, whitening, train, .. } = self.data;
                let (augment, batch) = (config.augment, config.batch);
                let all = Batches::shuffled(images, train, whitening, augment, batch, order);
                self.batches.insert(Loader::new(all.skip(step % self.per_epoch.0))?)
            }
        };
        let has_images = batches.fill_next(&mut buffers.batch)?;
        assert!(has_images, "an epoch has as many batches as steps");

        let drop_path = config.drop_path_schedule.share(config.drop_path, step, steps) as f32;
        network.set_config(RunConfig { drop_path, ..*network.config() })?;
        network.set_training_steps(step as u64);
        buffers.images.copy_from(&buffers.batch.pixels);
        let classes = network.graph().ty(network.graph().output).channels;
        buffers.targets.copy_from(&targets(&buffers.batch.labels, classes, config.label_smoothing));

        let gradients = std::mem::replace(&mut buffers.gradients, Gradients::leaky());
        let images = buffers.images.clone().traced(gradients);
        let forward = network.try_forward_aux(images);
        let (logits, aux) = forward.map_err(|error| network.fault_behind(error))?;
        let correct = count_correct(&logits.as_vec(), &buffers.batch.labels);
        let mut loss = cross_entropy_with_logits_loss(logits, buffers.targets.clone());
        let loss_value = f64::from(loss.array());
        if let Some(aux) = aux {
            let aux_loss = cross_entropy_with_logits_loss(aux, buffers.targets.clone());
            loss = loss + aux_loss * config.aux_weight as f32;
        }

        buffers.gradients = loss.try_backward().map_err(|error| network.fault_behind(error))?;
        network.params().flat.copy_into(&mut buffers.params);
        let gradient = buffers.gradients.get_or_alloc_mut(&network.params().flat)?;
        let grad_norm = self.penalty.apply(&buffers.params, gradient);
        if !(loss_value.is_finite() && grad_norm.is_finite()) {
            return Err(not_finite("the loss", config, step, self.per_epoch.0));
        }
        let lr = self.schedule.lr(step);
        self.optimizer.step(&mut buffers.params, gradient, lr, step);
        if !(is_finite(&buffers.params) && is_finite(network.statistics())) {
            return Err(not_finite("a parameter", config, step, self.per_epoch.0));
        }
        network.params_mut().flat.copy_from(&buffers.params);
        network.params().try_zero_grads(&mut buffers.gradients)?;
        if let Some(average) = &mut self.average {
            average.update(&buffers.params, network.statistics(), step);
        }

        progress.step += 1;
        progress.loss_sum += loss_value;
        progress.correct += correct;
        on_event(&Event::Step { step, steps, epoch, loss: loss_value, lr, grad_norm });
        Ok(())
    }

    fn end_epoch(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), Error> {
        self.batches = None;
        let (count, size) = self.per_epoch;
        let TrainSet { images, validation, whitening, .. } = self.data;
        let measure =
            |network: &Network| accuracy(network, images, validation, whitening, self.config.batch);
        let val_accuracy = match &self.average {
            _ if validation.is_empty() => None,
            Some(_) => Some(measure(&self.averaged())?),
            None => Some(measure(self.network)?),
        };
        let record = EpochRecord {
            epoch: self.progress.step / count,
            train_loss: std::mem::take(&mut self.progress.loss_sum) / count as f64,
            train_accuracy: std::mem::take(&mut self.progress.correct) as f64
                / (count * size) as f64,
            val_accuracy,
        };
        on_event(&Event::Epoch(record.clone()));
        self.progress.history.epochs.push(record);
        if self.progress.step == self.steps() && !self.is_sound()? {
            let last = self.progress.step - 1;
            return Err(not_finite("what the network computes", &self.config, last, count));
        }
        Ok(())
    }

    /// True if the network as it is used gives numbers for the last batch: no later loss looks at what the last
    /// step did.
    fn is_sound(&self) -> Result<bool, Error> {
        let averaged = self.average.as_ref().map(|_| self.averaged());
        let network = averaged.as_ref().unwrap_or(self.network);
        let logits = network.try_forward(self.buffers.images.clone());
        let logits = logits.map_err(|error| network.fault_behind(error))?;
        Ok(is_finite(&logits.as_vec()))
    }
}

fn is_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// The error of a step, counted from 0, of a run with so many steps in an epoch.
fn not_finite(what: &'static str, config: &TrainConfig, step: usize, per_epoch: usize) -> Error {
    let (batch, epoch) = (step % per_epoch + 1, step / per_epoch + 1);
    Error::NotFinite { what, step, batch, epoch, is_clipped: config.clip_norm.is_some() }
}

/// Rows `[N, classes]`: `1 - smoothing` at the label, and `smoothing / classes` more everywhere.
pub(crate) fn targets(labels: &[u16], classes: usize, smoothing: f64) -> Vec<f32> {
    let mut rows = vec![(smoothing / classes as f64) as f32; labels.len() * classes];
    for (row, &label) in rows.chunks_exact_mut(classes).zip(labels) {
        row[usize::from(label)] += (1.0 - smoothing) as f32;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn labels_are_smoothed_over_all_classes() {
        assert_eq!(targets(&[2, 0], 3, 0.0), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let smooth = targets(&[1], 4, 0.1);
        // 0.9 * one_hot + 0.1 / 4.
        for (found, expected) in smooth.iter().zip([0.025, 0.925, 0.025, 0.025]) {
            assert!((found - expected).abs() < 1e-7, "{smooth:?}");
        }
    }
}
