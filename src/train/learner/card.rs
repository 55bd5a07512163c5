//! Steps on a card, which keeps parameters, running statistics, what the optimizer remembers and averages. What the
//! host has of them is brought up to date when it is asked for.

use super::{Feed, Learned, Learner, StepSettings};
use crate::data::Batch;
use crate::device::cuda::{Cuda, Kept, StepInput, Training};
use crate::error::Error;
use crate::plan::{Layout, StepReport, Update};

#[derive(Debug)]
pub(super) struct OnCard {
    training: Training,
    batch: Batch,
    next: Next,
    latest: Latest,
}

/// How far the step to come is.
#[derive(Debug)]
enum Next {
    /// Nothing is done.
    Not,
    /// Its batch is made.
    Filled,
    /// Its batch is on the way to the card.
    Staged,
    /// Its batch could not be made.
    Failed(Error),
}

/// Who has the latest numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latest {
    Host,
    Card,
    Both,
}

impl OnCard {
    pub(super) fn new(cuda: &Cuda, layout: &Layout, update: Update) -> Result<OnCard, Error> {
        let training = Training::new(cuda, layout, update)?;
        let (batch, next) = (Batch::default(), Next::Not);
        Ok(OnCard { training, batch, next, latest: Latest::Host })
    }

    /// Has the batch of a step copied to the card. While another step runs, `is_ahead`, only if it is of the same plan;
    /// false if not.
    fn stage(
        &mut self,
        learned: &mut Learned<'_>,
        settings: &StepSettings,
        is_ahead: bool,
    ) -> Result<bool, Error> {
        let input = StepInput {
            image: &self.batch.pixels,
            labels: &self.batch.labels,
            scalars: learned.scalars(settings),
        };
        let network = &mut *learned.network;
        let before = (*network.config(), network.training_steps());
        learned.begin(settings)?;
        let network = &mut *learned.network;
        let (plan, config) = (network.training_plan(), network.next_step());
        let fits = !is_ahead || self.training.is_for(&plan, self.batch.len(), &config);
        if fits {
            self.training.stage(&plan, &config, input)?;
        }
        if is_ahead {
            network.set_config(before.0)?;
            network.set_training_steps(before.1);
        }
        Ok(fits)
    }

    fn send(&mut self, learned: &Learned<'_>) -> Result<(), Error> {
        if self.latest != Latest::Host {
            return Ok(());
        }
        let Learned { network, optimizer, average } = learned;
        self.training.send(Kept::Params, &network.params().flat.as_vec())?;
        self.training.send(Kept::Statistics, network.statistics())?;
        for (index, state) in optimizer.state().into_values().enumerate() {
            self.training.send(Kept::State(index), state)?;
        }
        if let Some(average) = average {
            let state = average.state();
            self.training.send(Kept::AverageParams, state["params"])?;
            self.training.send(Kept::AverageStatistics, state["statistics"])?;
        }
        self.latest = Latest::Both;
        Ok(())
    }
}

impl Learner for OnCard {
    fn step(
        &mut self,
        learned: &mut Learned<'_>,
        step: usize,
        feed: &mut Feed<'_>,
    ) -> Result<StepReport, Error> {
        self.send(learned)?;
        let next = std::mem::replace(&mut self.next, Next::Not);
        if let Next::Failed(error) = next {
            return Err(error);
        }
        if matches!(next, Next::Not) {
            feed.fill(&mut self.batch)?;
        }
        if !matches!(next, Next::Staged) {
            self.stage(learned, &feed.settings(step), false)?;
        }
        self.training.start()?;
        self.latest = Latest::Card;
        self.next = match feed.fill_ahead(&mut self.batch) {
            Ok(false) => Next::Not,
            Ok(true) if self.stage(learned, &feed.settings(step + 1), true)? => Next::Staged,
            Ok(true) => Next::Filled,
            Err(error) => Next::Failed(error),
        };
        Ok(self.training.wait()?)
    }

    fn fetch(&mut self, learned: &mut Learned<'_>) -> Result<(), Error> {
        if self.latest != Latest::Card {
            return Ok(());
        }
        let Learned { network, optimizer, average } = learned;
        let mut params = vec![0.0; network.layout().params_len()];
        self.training.fetch(Kept::Params, &mut params)?;
        network.params_mut().flat.copy_from(&params);
        self.training.fetch(Kept::Statistics, network.statistics_mut())?;
        for (index, state) in optimizer.state_mut().into_values().enumerate() {
            self.training.fetch(Kept::State(index), state)?;
        }
        if let Some(average) = average {
            let [params, statistics] = average.state_mut();
            self.training.fetch(Kept::AverageParams, params)?;
            self.training.fetch(Kept::AverageStatistics, statistics)?;
        }
        self.latest = Latest::Both;
        Ok(())
    }

    fn host_has_changed(&mut self) {
        (self.latest, self.next) = (Latest::Host, Next::Not);
    }
}
