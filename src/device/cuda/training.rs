//! Whole training steps on a card.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Cuda;
use super::command::{Place, Region};
use super::driver::Card;
use super::fault::CudaFault;
use super::lower::{Program, REPORT, SCALARS, state};
use super::workspace::{Block, Memory, Prepared};
use crate::device::RunConfig;
use crate::plan::{Layout, Penalty, Plan, StepReport, StepScalars, Update};

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
/// graph reads, and takes the [`StepReport`].
///
/// # Determinism
/// As for single passes: the norm, too, is summed in an order that the number of parameters fixes.
#[derive(Debug)]
pub struct Training {
    card: Arc<Mutex<Card>>,
    update: Update,
    params_len: usize,
    statistics_len: usize,
    store: Arc<Block>,
    steps: Option<Steps>,
}

/// What runs for a plan and a batch.
#[derive(Debug)]
struct Steps {
    plan: Arc<Plan>,
    batch: usize,
    /// Without what is drawn anew for every step.
    config: RunConfig,
    prepared: Prepared,
}

impl Training {
    /// Memory for what is kept, to be filled by [`send`](Self::send).
    ///
    /// # Errors
    /// [`CudaFault`].
    pub fn new(cuda: &Cuda, layout: &Layout, update: Update) -> Result<Training, CudaFault> {
        let (params_len, statistics_len) = (layout.params_len(), layout.statistics_len());
        let states = match update.rule.states() {
            0 => 0,
            states => {
                let last = state(states - 1, params_len);
                last.start + last.len
            }
        };
        let averages = usize::from(update.has_averages);
        let lens = Place::ALL.map(|place| match place {
            Place::Params | Place::Factors => params_len,
            Place::Statistics => statistics_len,
            Place::States => states,
            Place::AverageParams => averages * params_len,
            Place::AverageStatistics => averages * statistics_len,
            _ => 0,
        });
        let store = Arc::new(Block::new(&cuda.card, lens)?);
        let card = cuda.card.clone();
        let training = Training { card, update, params_len, statistics_len, store, steps: None };
        let factors = factors(&training.update.penalty, params_len);
        let region = Region { place: Place::Factors, start: 0, len: params_len };
        training.upload(region, &factors)?;
        Ok(training)
    }

    /// Overwrites what is kept.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// If there are more or fewer numbers, or they are none of this run's.
    pub fn send(&mut self, kept: Kept, numbers: &[f32]) -> Result<(), CudaFault> {
        self.upload(self.region(kept), numbers)
    }

    /// Copies what is kept to the host.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub fn fetch(&self, kept: Kept, numbers: &mut [f32]) -> Result<(), CudaFault> {
        let card = self.lock();
        card.bind()?;
        self.memory(None).download_from(&card, self.region(kept), numbers)?;
        card.wait()
    }

    /// Does a step. Where its report is not finite, the parameters, what the optimizer remembers and the averages are
    /// as before.
    ///
    /// # Errors
    /// [`CudaFault`].
    ///
    /// # Panics
    /// If the plan is not for training or asks for a gradient of the image, or if the input does not fit it.
    pub fn step(
        &mut self,
        plan: &Arc<Plan>,
        config: &RunConfig,
        input: StepInput<'_>,
    ) -> Result<StepReport, CudaFault> {
        let batch = input.labels.len();
        assert_eq!(input.image.len(), batch * plan.image.elements(), "an image for each label");
        let is_known = |&label: &u16| usize::from(label) < plan.classes;
        assert!(input.labels.iter().all(is_known), "labels are below the number of classes");
        assert!(
            plan.aux_classes.is_none_or(|aux| aux == plan.classes),
            "both heads know the labels"
        );
        self.prepare(plan, batch, config)?;
        let labels: Vec<u32> = input.labels.iter().map(|&label| label.into()).collect();
        let StepScalars { rate, root, average } = input.scalars;
        let scalars: [f32; SCALARS] = [rate, root, average];
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.bind()?;
        let Steps { prepared, .. } = self.steps.as_mut().expect("prepared above");
        let memory = &prepared.memory;
        memory.upload(&card, Place::Image, input.image)?;
        memory.upload(&card, Place::Labels, &labels)?;
        memory.upload(&card, Place::Draws, &prepared.only().draw(batch, config))?;
        memory.upload(&card, Place::Scalars, &scalars)?;
        prepared.run_only(&card)?;
        let mut report = [0.0; REPORT];
        prepared.memory.download(&card, Place::Report, &mut report)?;
        card.wait()?;
        let [loss, correct, norm, _] = report;
        Ok(StepReport { loss: loss.into(), correct: correct as usize, grad_norm: norm.into() })
    }

    /// Makes the program of a step, and memory for it, unless they are there.
    fn prepare(
        &mut self,
        plan: &Arc<Plan>,
        batch: usize,
        config: &RunConfig,
    ) -> Result<(), CudaFault> {
        // What is drawn for each step lies in memory.
        let config = RunConfig { drop_path: 0.0, dropout_seed: 0, ..*config };
        let is_same = |steps: &Steps| {
            Arc::ptr_eq(&steps.plan, plan) && steps.batch == batch && steps.config == config
        };
        if self.steps.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        let gradients = Program::gradients(plan, batch, &config, self.update.loss);
        let program = gradients.then(Program::update(plan, &self.update));
        let mut lens = program.lens();
        for place in STORED {
            lens[place as usize] = 0;
        }
        // Nothing in the old memory is worth copying, so it goes first.
        self.steps = None;
        let block = Arc::new(Block::new(&self.card, lens)?);
        let prepared = Prepared::for_one(self.memory(Some(block)), program);
        self.steps = Some(Steps { plan: plan.clone(), batch, config, prepared });
        Ok(())
    }

    fn memory(&self, block: Option<Arc<Block>>) -> Memory {
        Memory { blocks: std::iter::once(self.store.clone()).chain(block).collect() }
    }

    fn region(&self, kept: Kept) -> Region {
        let whole = |place, len| Region { place, start: 0, len };
        match kept {
            Kept::Params => whole(Place::Params, self.params_len),
            Kept::Statistics => whole(Place::Statistics, self.statistics_len),
            Kept::State(index) => state(index, self.params_len),
            Kept::AverageParams => whole(Place::AverageParams, self.params_len),
            Kept::AverageStatistics => whole(Place::AverageStatistics, self.statistics_len),
        }
    }

    fn upload(&self, region: Region, numbers: &[f32]) -> Result<(), CudaFault> {
        let card = self.lock();
        card.bind()?;
        self.memory(None).upload_to(&card, region, numbers)
    }

    fn lock(&self) -> MutexGuard<'_, Card> {
        self.card.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of what is kept.
const STORED: [Place; 6] = [
    Place::Params,
    Place::Statistics,
    Place::Factors,
    Place::States,
    Place::AverageParams,
    Place::AverageStatistics,
];

/// What lies in [`Place::Factors`]: the weight decay of each of `len` parameters, -1 for frozen ones.
pub fn factors(penalty: &Penalty, len: usize) -> Vec<f32> {
    let mut factors = vec![0.0; len];
    for range in &penalty.decayed {
        factors[range.clone()].fill(penalty.weight_decay);
    }
    for range in &penalty.frozen {
        factors[range.clone()].fill(-1.0);
    }
    factors
}
