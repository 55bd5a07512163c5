//! What one card does of training steps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Cuda;
use super::command::{Place, Region};
use super::driver::Card;
use super::fault::CudaFault;
use super::lower::{Program, REPORT, SCALARS, arrival, state};
use super::staging::Staging;
use super::training::{Kept, StepInput};
use super::workspace::{Block, Memory, Prepared};
use crate::device::{Precision, RunConfig};
use crate::plan::{Layout, Penalty, Plan, StepScalars, Update};

/// What one card does of a run of training.
#[derive(Debug)]
pub(super) struct Member {
    card: Arc<Mutex<Card>>,
    precision: Precision,
    update: Update,
    params_len: usize,
    statistics_len: usize,
    store: Arc<Block>,
    /// Something is done with the gradients before the update.
    is_shared: bool,
    steps: Option<Steps>,
}

/// What runs for a plan and a batch.
#[derive(Debug)]
struct Steps {
    plan: Arc<Plan>,
    batch: usize,
    /// Without what is drawn anew for every step.
    config: RunConfig,
    // Dropped before the memory that it copies to.
    staging: Staging,
    /// Image, labels, draws and scalars as they lie in [`Place::Staging`].
    parts: Vec<Region>,
    /// Moves them to where they are read.
    arrival: Program,
    prepared: Prepared,
}

impl Member {
    /// Memory for what is kept, to be filled by [`send`](Self::send).
    pub(super) fn new(
        cuda: &Cuda,
        layout: &Layout,
        update: Update,
        is_shared: bool,
    ) -> Result<Member, CudaFault> {
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
        let store = Arc::new(Block::new(&cuda.card, cuda.precision, lens)?);
        let member = Member {
            card: cuda.card.clone(),
            precision: cuda.precision,
            update,
            params_len,
            statistics_len,
            store,
            is_shared,
            steps: None,
        };
        let factors = factors(&member.update.penalty, params_len);
        let region = Region { place: Place::Factors, start: 0, len: params_len };
        member.upload(region, &factors)?;
        Ok(member)
    }

    /// Overwrites what is kept.
    pub(super) fn send(&mut self, kept: Kept, numbers: &[f32]) -> Result<(), CudaFault> {
        self.upload(self.region(kept), numbers)
    }

    /// Copies what is kept to the host.
    pub(super) fn fetch(&self, kept: Kept, numbers: &mut [f32]) -> Result<(), CudaFault> {
        let card = self.lock();
        card.bind()?;
        self.memory(None).download_from(&card, self.region(kept), numbers)?;
        card.wait()
    }

    /// Begins to copy what the next step begins with.
    pub(super) fn stage(
        &mut self,
        plan: &Arc<Plan>,
        config: &RunConfig,
        input: StepInput<'_>,
    ) -> Result<(), CudaFault> {
        let batch = input.labels.len();
        assert_eq!(input.image.len(), batch * plan.image.elements(), "an image for each label");
        let is_known = |&label: &u16| usize::from(label) < plan.classes;
        assert!(input.labels.iter().all(is_known), "labels are below the number of classes");
        assert!(
            plan.aux_classes.is_none_or(|aux| aux == plan.classes),
            "both heads know the labels"
        );
        self.prepare(plan, batch, config)?;
        let StepScalars { rate, root, average } = input.scalars;
        let scalars: [f32; SCALARS] = [rate, root, average];
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.bind()?;
        let Steps { prepared, staging, parts, .. } = self.steps.as_mut().expect("prepared above");
        let draws = prepared.program(0).draw(batch, config);
        let to =
            prepared.memory.address(Region { place: Place::Staging, start: 0, len: len(parts) });
        staging.put(&card, to, |words| {
            let mut write = |part: usize, numbers: &mut dyn Iterator<Item = u32>| {
                let Region { start, len, .. } = parts[part];
                for (word, number) in words[start..start + len].iter_mut().zip(numbers) {
                    *word = number;
                }
            };
            write(0, &mut input.image.iter().map(|pixel| pixel.to_bits()));
            write(1, &mut input.labels.iter().map(|&label| label.into()));
            write(2, &mut draws.into_iter());
            write(3, &mut scalars.iter().map(|scalar| scalar.to_bits()));
        })
    }

    /// Starts the step that was staged last, up to the gradients if they are shared.
    pub(super) fn start(&mut self) -> Result<(), CudaFault> {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.bind()?;
        let steps = self.steps.as_mut().expect("a step was staged");
        let Steps { prepared, staging, arrival, .. } = steps;
        staging.arrive(&card)?;
        card.run(arrival, &prepared.memory)?;
        staging.take(&card)?;
        prepared.run_at(&card, 0)
    }

    /// Goes on with the step, once the gradients are those of all.
    pub(super) fn start_update(&mut self) -> Result<(), CudaFault> {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.bind()?;
        let steps = self.steps.as_mut().expect("a step was started");
        steps.prepared.run_at(&card, 1)
    }

    /// The memory of the step that was started.
    pub(super) fn running(&self) -> &Memory {
        &self.steps.as_ref().expect("a step was started").prepared.memory
    }

    /// Waits for the step that was started: loss, correct images, norm.
    pub(super) fn wait(&mut self) -> Result<[f32; 3], CudaFault> {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.bind()?;
        let steps = self.steps.as_ref().expect("a step was started");
        let mut report = [0.0; REPORT];
        steps.prepared.memory.download(&card, Place::Report, &mut report)?;
        card.wait()?;
        let [loss, correct, norm, _] = report;
        Ok([loss, correct, norm])
    }

    /// Whether steps of this plan, batch and settings are what it is ready for.
    pub(super) fn is_for(&self, plan: &Arc<Plan>, batch: usize, config: &RunConfig) -> bool {
        self.steps.as_ref().is_some_and(|steps| {
            Arc::ptr_eq(&steps.plan, plan) && steps.batch == batch && steps.config == fixed(config)
        })
    }

    /// Makes the program of a step, and memory for it, unless they are there.
    fn prepare(
        &mut self,
        plan: &Arc<Plan>,
        batch: usize,
        config: &RunConfig,
    ) -> Result<(), CudaFault> {
        if self.is_for(plan, batch, config) {
            return Ok(());
        }
        let config = fixed(config);
        let gradients = Program::gradients(plan, batch, &config, self.update.loss, self.precision);
        let update = Program::update(plan, &self.update);
        let programs = match self.is_shared {
            true => vec![gradients, update],
            false => vec![gradients.then(update)],
        };
        let mut lens = [0; Place::ALL.len()];
        for program in &programs {
            lens.iter_mut().zip(program.lens()).for_each(|(len, own)| *len = own.max(*len));
        }
        let inputs = [Place::Image, Place::Labels, Place::Draws, Place::Scalars];
        let inputs = inputs.map(|place| Region { place, start: 0, len: lens[place as usize] });
        let (arrival, parts) = arrival(&inputs);
        lens[Place::Staging as usize] = len(&parts);
        for place in STORED {
            lens[place as usize] = 0;
        }
        // Nothing in the old memory is worth copying, so it goes first.
        self.steps = None;
        let block = Arc::new(Block::new(&self.card, self.precision, lens)?);
        let prepared = Prepared::for_all(self.memory(Some(block)), programs);
        let (plan, staging) = (plan.clone(), Staging::new(&self.card, len(&parts))?);
        self.steps = Some(Steps { plan, batch, config, staging, parts, arrival, prepared });
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Card> {
        self.card.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings without what is drawn anew for every step and lies in memory.
fn fixed(config: &RunConfig) -> RunConfig {
    RunConfig { drop_path: 0.0, dropout_seed: 0, ..*config }
}

/// Numbers of all parts.
fn len(parts: &[Region]) -> usize {
    parts.last().map_or(0, |last| last.start + last.len)
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
