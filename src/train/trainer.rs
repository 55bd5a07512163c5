//! The training loop, one step at a time.

use std::collections::BTreeMap;

use super::evaluate::{accuracy, classify};
use super::learner::{Feed, Learned, Learner, learner};
use super::state::check_fits;
use super::{
    Average, EpochRecord, Event, History, LrSchedule, Optimizer, Progress, TrainConfig, TrainSet,
    TrainState,
};
use crate::data::{Batches, Loader};
use crate::device::RunConfig;
use crate::error::Error;
use crate::network::{Network, StateFault};
use crate::plan::{Loss, StepReport};

/// A run of [`fit`](super::fit) that can be stopped between two steps.
///
/// # Determinism
/// All that is random is drawn from the seed and the numbers of epoch and step, so a trainer that takes over
/// the [`state`](Self::state) of another goes on with the same bits.
#[derive(Debug)]
pub struct Trainer<'a> {
    learned: Learned<'a>,
    learner: Box<dyn Learner>,
    data: TrainSet<'a>,
    config: TrainConfig,
    schedule: LrSchedule,
    progress: Progress,
    /// Number and size of the batches of an epoch.
    per_epoch: (usize, usize),
    /// The rest of the epoch's batches; made when first needed.
    batches: Option<Loader>,
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
        let learned = Learned {
            optimizer: Optimizer::new(config, network.layout().params_len()),
            average: Average::new(config, network),
            network,
        };
        Ok(Trainer {
            learner: learner(&learned, config, per_epoch.1)?,
            learned,
            schedule: LrSchedule::new(config, data.train.len()),
            config: config.clone(),
            progress: Progress::default(),
            per_epoch,
            batches: None,
            data,
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
    ///
    /// # Errors
    /// Those of the device.
    pub fn averaged(&mut self) -> Result<Network, Error> {
        self.learner.fetch(&mut self.learned)?;
        let mut network = self.learned.network.clone();
        if let Some(average) = &self.learned.average {
            average.store(&mut network);
        }
        Ok(network)
    }

    /// All that the rest of the run depends on, beside settings and data.
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Cost
    /// A copy of the parameters and of two to four more of their size.
    pub fn state(&mut self) -> Result<TrainState, Error> {
        self.learner.fetch(&mut self.learned)?;
        let Learned { network, optimizer, average } = &self.learned;
        let mut tensors = BTreeMap::from([
            ("params".into(), network.params().flat.as_vec()),
            ("statistics".into(), network.statistics().to_vec()),
        ]);
        let averages = average.as_ref().map(Average::state).unwrap_or_default();
        for (part, state) in [("optimizer", optimizer.state()), ("ema", averages)] {
            for (name, values) in state {
                tensors.insert(format!("{part}.{name}"), values.to_vec());
            }
        }
        Ok(TrainState { progress: self.progress.clone(), tensors })
    }

    /// Goes on where a trainer with the same settings, data and network was.
    ///
    /// # Errors
    /// A [`StateFault`] if it had another network, optimizer or no averages; nothing has changed then.
    pub fn load_state(&mut self, state: &TrainState) -> Result<(), StateFault> {
        let Learned { network, optimizer, average } = &mut self.learned;
        let params = network.params().flat.as_vec();
        let averages = average.as_ref().map(Average::state).unwrap_or_default();
        let (of_optimizer, ema) = (state.part("optimizer."), state.part("ema."));
        let is_of_network = |name: &&String| !name.contains('.');
        let of_network = state.tensors.keys().filter(is_of_network);
        let of_network: BTreeMap<String, Vec<f32>> =
            of_network.map(|name| (name.clone(), state.tensors[name].clone())).collect();
        let own = BTreeMap::from([("params", &params[..]), ("statistics", network.statistics())]);
        check_fits(&own, &of_network)?;
        check_fits(&averages, &ema)?;
        optimizer.load_state(&of_optimizer)?;
        if let Some(average) = average {
            average.load_state(&ema)?;
        }
        network.params_mut().flat.copy_from(&of_network["params"]);
        network.statistics_mut().copy_from_slice(&of_network["statistics"]);
        self.learner.host_has_changed();
        self.progress = state.progress.clone();
        self.batches = None;
        Ok(())
    }

    /// Does one step; after the last of an epoch measures the accuracy on the validation images. False, and
    /// nothing done, if the run is over.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when the loss or the gradient stops being finite, with the parameters as before the step,
    /// or when the network gives no numbers after the last one; [`Error::Device`]; those of [`Loader::fill_next`].
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

    /// Leaves the network as it is used, with the averages if there are any. A trainer that is dropped instead leaves
    /// it as it was when the host last had it: after the last step on the processor, and on a card at the end of the
    /// last epoch, or when [`state`](Self::state) or [`averaged`](Self::averaged) was asked for.
    ///
    /// # Errors
    /// Those of the device.
    pub fn finish(mut self) -> Result<History, Error> {
        self.learner.fetch(&mut self.learned)?;
        if let Some(average) = &self.learned.average {
            average.store(self.learned.network);
        }
        Ok(self.progress.history)
    }

    fn step(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), Error> {
        let (step, steps) = (self.progress.step, self.schedule.steps());
        let epoch = step / self.per_epoch.0 + 1;
        let batches = match &mut self.batches {
            Some(batches) => batches,
            None => {
                let order = (self.config.seed, epoch);
                let TrainSet { images, whitening, train, .. } = self.data;
                let (augment, batch) = (self.config.augment, self.config.batch);
                let all = Batches::shuffled(images, train, whitening, augment, batch, order);
                self.batches.insert(Loader::new(all.skip(step % self.per_epoch.0))?)
            }
        };
        let mut feed = Feed { batches, config: &self.config, schedule: &self.schedule };
        let lr = feed.settings(step).lr;
        let report = self.learner.step(&mut self.learned, step, &mut feed)?;
        if !report.is_finite() {
            self.learner.fetch(&mut self.learned)?;
            return Err(not_finite("the loss", &self.config, step, self.per_epoch.0));
        }
        let StepReport { loss, correct, grad_norm } = report;
        self.progress.step += 1;
        self.progress.loss_sum += loss;
        self.progress.correct += correct;
        on_event(&Event::Step { step, steps, epoch, loss, lr, grad_norm });
        Ok(())
    }

    fn end_epoch(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), Error> {
        self.batches = None;
        self.learner.fetch(&mut self.learned)?;
        let (count, size) = self.per_epoch;
        let TrainSet { images, validation, whitening, .. } = self.data;
        let batch = self.config.batch;
        let measure = |network: &Network| accuracy(network, images, validation, whitening, batch);
        let val_accuracy = match &self.learned.average {
            _ if validation.is_empty() => None,
            Some(_) => Some(measure(&self.averaged()?)?),
            None => Some(measure(self.learned.network)?),
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

    /// True if the network as it is used gives numbers for a batch of training images: no later loss looks at what
    /// the last step did.
    fn is_sound(&mut self) -> Result<bool, Error> {
        let averaged = match self.learned.average {
            Some(_) => Some(self.averaged()?),
            None => None,
        };
        let network = averaged.as_ref().unwrap_or(self.learned.network);
        let TrainSet { images, whitening, train, .. } = self.data;
        let batch = self.config.batch;
        let some = &train[..batch.min(train.len())];
        let mut is_sound = true;
        classify(network, images, some, whitening, batch, &mut |logits, _| {
            is_sound &= logits.iter().all(|logit| logit.is_finite());
        })?;
        Ok(is_sound)
    }
}

/// The error of a step, counted from 0, of a run with so many steps in an epoch.
fn not_finite(what: &'static str, config: &TrainConfig, step: usize, per_epoch: usize) -> Error {
    let (batch, epoch) = (step % per_epoch + 1, step / per_epoch + 1);
    Error::NotFinite { what, step, batch, epoch, is_clipped: config.clip_norm.is_some() }
}

/// Rows `[N, classes]`: `1 - smoothing` at the label, and `smoothing / classes` more everywhere.
pub(crate) fn targets(labels: &[u16], classes: usize, smoothing: f64) -> Vec<f32> {
    let loss = Loss { label_smoothing: smoothing, aux_weight: 0.0 };
    let [everywhere, at_label] = loss.target(classes);
    let mut rows = vec![everywhere; labels.len() * classes];
    for (row, &label) in rows.chunks_exact_mut(classes).zip(labels) {
        row[usize::from(label)] += at_label;
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
