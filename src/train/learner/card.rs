//! Steps on a card, which keeps parameters, running statistics, what the optimizer remembers and averages. What the
//! host has of them is brought up to date when it is asked for.

use super::{Feed, Learned, Learner};
use crate::data::Batch;
use crate::device::cuda::{Cuda, Kept, StepInput, Training};
use crate::error::Error;
use crate::plan::{Layout, StepReport, Update};

#[derive(Debug)]
pub(super) struct OnCard {
    training: Training,
    batch: Batch,
    latest: Latest,
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
        Ok(OnCard { training, batch: Batch::default(), latest: Latest::Host })
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
        feed.fill(&mut self.batch)?;
        let settings = feed.settings(step);
        learned.begin(&settings)?;
        let input = StepInput {
            image: &self.batch.pixels,
            labels: &self.batch.labels,
            scalars: learned.scalars(&settings),
        };
        let (plan, config) = (learned.network.training_plan(), learned.network.next_step());
        self.latest = Latest::Card;
        Ok(self.training.step(&plan, &config, input)?)
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
        self.latest = Latest::Host;
    }
}
