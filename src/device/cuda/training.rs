//! Whole training steps, on one card or several.

use std::sync::Arc;

use super::Cuda;
use super::command::{Place, Region};
use super::fault::CudaFault;
use super::group::Group;
use super::member::Member;
use crate::device::RunConfig;
use crate::plan::{Layout, Plan, StepReport, StepScalars, Update};
use crate::rng::{Purpose, derive};

/// What a card keeps from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The flat store of parameters.
    Params,
    /// The running statistics.
    Statistics,
    /// What the optimizer remembers, each as long as the parameters: as many as
    /// [`states`](crate::plan::UpdateRule::states), in that order.
    State(usize),
    /// The averages of the parameters, if there are any.
    AverageParams,
    /// The averages of the running statistics, if there are any.
    AverageStatistics,
}

/// What a step begins with.
#[derive(Clone, Copy, Debug)]
pub struct StepInput<'a> {
    /// `[N, C, H, W]`.
    pub image: &'a [f32],
    /// `[N]`, each below the number of classes.
    pub labels: &'a [u16],
    /// What the step's number and learning rate come to.
    pub scalars: StepScalars,
}

/// A run of training on a card: parameters, running statistics, what the optimizer remembers and averages stay there,
/// and a step is one CUDA graph. The host gives the batch, the draws and [`StepScalars`], which lie in memory that the
/// graph reads, and takes the [`StepReport`]. It gives them in page-locked memory, of which there are two buffers, and
/// they are copied on a stream of their own: those of the next step may be [staged](Self::stage) while one runs.
///
/// With [several cards](Cuda::together) each has all of that and an equal part of every batch, and NCCL averages the
/// gradients before they are clipped; the step then is one graph before that and one after. Batch normalizations see the
/// part of their card alone, and the running statistics are those of the first card. Every card draws masks and shares
/// of its own, the first one those that it would draw alone.
///
/// # Determinism
/// As for single passes: the norm, too, is summed in an order that the number of parameters fixes.
#[derive(Debug)]
pub struct Training {
    members: Vec<Member>,
    /// More than one know each other.
    group: Option<Arc<Group>>,
    params_len: usize,
}

impl Training {
    /// Memory for what is kept, to be filled by [`send`](Self::send).
    ///
    /// # Errors
    /// [`CudaFault`].
    pub fn new(cuda: &Cuda, layout: &Layout, update: Update) -> Result<Training, CudaFault> {
        let group = cuda.group.clone();
        let cards = group.as_ref().map_or(std::slice::from_ref(cuda), |group| &group.cards);
        let member = |card| Member::new(card, layout, update.clone(), group.is_some());
        let members = cards.iter().map(member).collect::<Result<_, _>>()?;
        Ok(Training { members, group, params_len: layout.params_len() })
    }

    /// Overwrites what is kept.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// If there are more or fewer numbers, or they are none of this run's.
    pub fn send(&mut self, kept: Kept, numbers: &[f32]) -> Result<(), CudaFault> {
        self.members.iter_mut().try_for_each(|member| member.send(kept, numbers))
    }

    /// Copies what is kept to the host.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn fetch(&self, kept: Kept, numbers: &mut [f32]) -> Result<(), CudaFault> {
        self.members[0].fetch(kept, numbers)
    }

    /// Begins to copy what the next step begins with.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// If the plan is not for training or asks for a gradient of the image; if the input does not fit it, or does not
    /// have an equal part for each card; if a step was started that is not [waited](Self::wait) for, unless this one
    /// [has its plan](Self::is_for).
    pub fn stage(
        &mut self,
        plan: &Arc<Plan>,
        config: &RunConfig,
        input: StepInput<'_>,
    ) -> Result<(), CudaFault> {
        let StepInput { image, labels, scalars } = input;
        let cards = self.members.len();
        assert!(labels.len().is_multiple_of(cards), "each card has an equal part of a batch");
        let images = image.chunks_exact(image.len() / cards);
        let parts = images.zip(labels.chunks_exact(labels.len() / cards));
        for (rank, (member, (image, labels))) in self.members.iter_mut().zip(parts).enumerate() {
            let input = StepInput { image, labels, scalars };
            member.stage(plan, &of_rank(config, rank), input)?;
        }
        Ok(())
    }

    /// Starts the step that was staged last.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// If none was.
    pub fn start(&mut self) -> Result<(), CudaFault> {
        self.members.iter_mut().try_for_each(Member::start)?;
        let Some(group) = &self.group else { return Ok(()) };
        let memories: Vec<_> = self.members.iter().map(Member::running).collect();
        let cards: Vec<_> = self.members.iter().map(Member::lock).collect();
        let gradients = Region { place: Place::Gradients, start: 0, len: self.params_len };
        // Loss and correct images, so that all cards do the step or none.
        let found = Region { place: Place::Report, start: 0, len: 2 };
        group.average(&cards, &memories, &[gradients, found])?;
        drop(cards);
        self.members.iter_mut().try_for_each(Member::start_update)
    }

    /// Waits for the step that was started, and gives what it found out. Where that is not finite, the parameters, what
    /// the optimizer remembers and the averages are as before.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// If none was started.
    pub fn wait(&mut self) -> Result<StepReport, CudaFault> {
        let [loss, correct, norm] = self.members[0].wait()?;
        for member in &mut self.members[1..] {
            // It says the same.
            member.wait()?;
        }
        // Of several cards it is the mean.
        let correct = (correct * self.members.len() as f32).round() as usize;
        Ok(StepReport { loss: loss.into(), correct, grad_norm: norm.into() })
    }

    /// Whether steps of this plan, batch and settings are what it is ready for.
    pub fn is_for(&self, plan: &Arc<Plan>, batch: usize, config: &RunConfig) -> bool {
        self.members[0].is_for(plan, batch / self.members.len(), config)
    }

    /// How many cards share a batch.
    pub fn cards(&self) -> usize {
        self.members.len()
    }
}

/// The settings of a card: another seed for each but the first.
fn of_rank(config: &RunConfig, rank: usize) -> RunConfig {
    let seed = config.dropout_seed;
    let own = if rank == 0 { seed } else { derive(seed, Purpose::Dropout, !(rank as u64)) };
    RunConfig { dropout_seed: own, ..*config }
}
