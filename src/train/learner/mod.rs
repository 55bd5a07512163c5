//! Where the numbers of a run live between its steps, and what does the steps: the processor, on the tensors of the
//! network itself, or a card, which keeps copies of its own.

#[cfg(feature = "cuda")]
mod card;
mod host;

use std::fmt;

use super::{Average, LrSchedule, Optimizer, TrainConfig};
use crate::data::{Batch, Loader};
use crate::device::{AnyDevice, RunConfig};
use crate::error::Error;
use crate::network::Network;
use crate::plan::{Loss, Penalty, StepReport, StepScalars, Update};

/// What a run changes, as the host has it.
#[derive(Debug)]
pub(super) struct Learned<'n> {
    pub network: &'n mut Network,
    pub optimizer: Optimizer,
    pub average: Option<Average>,
}

impl Learned<'_> {
    /// Makes the network ready for a step.
    fn begin(&mut self, settings: &StepSettings) -> Result<(), Error> {
        let config = RunConfig { drop_path: settings.drop_path, ..*self.network.config() };
        self.network.set_config(config)?;
        self.network.set_training_steps(settings.step as u64);
        Ok(())
    }

    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for cards"))]
    fn scalars(&self, settings: &StepSettings) -> StepScalars {
        let &StepSettings { step, lr, .. } = settings;
        let [rate, root] = self.optimizer.scalars(lr, step);
        let average = self.average.as_ref().map_or(0.0, |average| average.new_share(step));
        StepScalars { rate, root, average }
    }
}

/// What changes from step to step.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepSettings {
    /// Its number, counted from 0.
    pub step: usize,
    pub lr: f64,
    pub drop_path: f32,
}

/// Where steps come from.
#[derive(Debug)]
pub(super) struct Feed<'f> {
    /// The rest of the epoch's batches.
    pub batches: &'f mut Loader,
    pub config: &'f TrainConfig,
    pub schedule: &'f LrSchedule,
}

impl Feed<'_> {
    pub(super) fn settings(&self, step: usize) -> StepSettings {
        let TrainConfig { drop_path, drop_path_schedule, .. } = *self.config;
        let drop_path = drop_path_schedule.share(drop_path, step, self.schedule.steps()) as f32;
        StepSettings { step, lr: self.schedule.lr(step), drop_path }
    }

    /// The batch of the step.
    fn fill(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let has_images = self.fill_ahead(batch)?;
        assert!(has_images, "an epoch has as many batches as steps");
        Ok(())
    }

    /// The batch of the step after, if it is of the same epoch.
    fn fill_ahead(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        self.batches.fill_next(batch)
    }
}

/// Does the steps of a run.
pub(super) trait Learner: fmt::Debug + Send {
    /// The step of a number: forward pass, loss, backward pass, penalty and clipping, the optimizer's rule, averages.
    /// The first and the last two are not done where the report says that it is not finite.
    fn step(
        &mut self,
        learned: &mut Learned<'_>,
        step: usize,
        feed: &mut Feed<'_>,
    ) -> Result<StepReport, Error>;

    /// Brings what the host has up to date.
    fn fetch(&mut self, _learned: &mut Learned<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// The next step begins with what the host has.
    fn host_has_changed(&mut self) {}
}

/// The learner for the network's device and batches of a size.
pub(super) fn learner(
    learned: &Learned<'_>,
    config: &TrainConfig,
    batch: usize,
) -> Result<Box<dyn Learner>, Error> {
    let parts = learned.network.device().parts();
    if !batch.is_multiple_of(parts) {
        return Err(Error::Config {
            setting: "batch",
            value: batch.to_string(),
            reason: format!(
                "{parts} cards have equal parts of it, so it must be a multiple of that"
            ),
        });
    }
    let update = Update {
        loss: Loss { label_smoothing: config.label_smoothing, aux_weight: config.aux_weight },
        penalty: Penalty::new(config, learned.network),
        rule: learned.optimizer.update_rule(),
        has_averages: learned.average.is_some(),
    };
    Ok(match learned.network.device().clone() {
        AnyDevice::Cpu(_) => Box::new(host::Host::new(learned.network, update, batch)?),
        #[cfg(feature = "cuda")]
        AnyDevice::Cuda(cuda) => {
            Box::new(card::OnCard::new(&cuda, learned.network.layout(), update)?)
        }
    })
}
