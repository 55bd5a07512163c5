//! The memory of a run on a card: a few allocations, each cut into places.

use std::sync::{Arc, Mutex};

use super::Cuda;
use super::command::{Place, Region};
use super::driver::{Allocation, Card};
use super::fault::CudaFault;
use super::lower::Program;
use super::recording::Recording;
use crate::device::{Precision, RunConfig, Version};
use crate::plan::{Mode, Plan};

/// Bytes of the border that allocations and texture units like.
const BORDER: usize = 256;

/// Programs that a workspace keeps as graphs: of training and of inference, for whole batches and for a last smaller
/// one.
const KEPT: usize = 6;

/// Numbers of each place, in the order of [`Place::ALL`].
pub(super) type Lens = [usize; Place::ALL.len()];

/// Memory of a run on [`Cuda`].
#[derive(Debug, Default)]
pub struct CudaWorkspace {
    prepared: Option<Prepared>,
}

impl CudaWorkspace {
    /// Bytes held on the card.
    pub fn bytes(&self) -> usize {
        self.prepared.as_ref().map_or(0, |prepared| prepared.memory.bytes())
    }

    pub(super) fn prepared(&mut self) -> Option<&mut Prepared> {
        self.prepared.as_mut()
    }

    pub(super) fn prepare(
        &mut self,
        cuda: &Cuda,
        plan: &Plan,
        batch: usize,
    ) -> Result<(), CudaFault> {
        let card = &cuda.card;
        let wanted = lens(plan, batch, cuda.precision);
        if self.prepared.as_ref().is_some_and(|prepared| prepared.memory.fits(card, &wanted)) {
            return Ok(());
        }
        // Nothing in it is worth copying, so the old memory goes first.
        self.prepared = None;
        let block = Block::new(card, cuda.precision, wanted)?;
        self.prepared = Some(Prepared::new(Memory { blocks: vec![Arc::new(block)] }));
        Ok(())
    }
}

/// What single passes of a plan need.
fn lens(plan: &Plan, n: usize, precision: Precision) -> Lens {
    // Settings change no sizes.
    let config = RunConfig::default();
    let is_trained = matches!(plan.mode, Mode::Train { .. });
    let mut programs = vec![Program::forward(plan, n, &config, is_trained, precision)];
    if is_trained {
        // A plan for training runs with running statistics as well.
        programs.push(Program::forward(plan, n, &config, false, precision));
        programs.push(Program::backward(plan, n, &config, precision));
    }
    let mut used = [0; Place::ALL.len()];
    for program in &programs {
        used.iter_mut().zip(program.lens()).for_each(|(len, own)| *len = own.max(*len));
    }
    let image = n * plan.image.elements();
    let aux = n * plan.aux_classes.unwrap_or(0);
    Place::ALL.map(|place| match place {
        Place::Arena => plan.arena_len * n,
        Place::Fixed => plan.fixed_len,
        Place::ScratchValues | Place::Scratch | Place::Draws | Place::RoundedParams => {
            used[place as usize]
        }
        Place::Params => plan.params_len,
        Place::Gradients if is_trained => plan.params_len,
        Place::Statistics => plan.statistics_len,
        Place::Image => image,
        Place::ImageGradient if is_trained => image,
        Place::Logits => n * plan.classes,
        Place::LogitsGradient if is_trained => n * plan.classes,
        Place::Aux | Place::AuxGradient => aux,
        // Of single passes alone: what whole steps need is a matter of `Training`.
        Place::Gradients
        | Place::ImageGradient
        | Place::LogitsGradient
        | Place::Labels
        | Place::Report
        | Place::Scalars
        | Place::Factors
        | Place::States
        | Place::AverageParams
        | Place::AverageStatistics
        | Place::Staging => 0,
    })
}

/// An allocation and where each place lies in it.
#[derive(Debug)]
pub(super) struct Block {
    allocation: Allocation,
    precision: Precision,
    /// First byte of each place, in the order of [`Place::ALL`].
    starts: Lens,
    lens: Lens,
}

impl Block {
    pub(super) fn new(
        card: &Arc<Mutex<Card>>,
        precision: Precision,
        lens: Lens,
    ) -> Result<Block, CudaFault> {
        let mut starts = [0; Place::ALL.len()];
        let mut end = 0;
        for ((start, len), place) in starts.iter_mut().zip(lens).zip(Place::ALL) {
            *start = end;
            end = (end + len * place.number_bytes(precision)).next_multiple_of(BORDER);
        }
        let allocation = Allocation::new(card, end)?;
        Ok(Block { allocation, precision, starts, lens })
    }

    /// The address of a region, if it lies here.
    fn address(&self, region: Region) -> Option<u64> {
        let place = region.place as usize;
        let start = self.starts[place] + region.start * region.place.number_bytes(self.precision);
        let is_inside = region.start + region.len <= self.lens[place];
        is_inside.then(|| self.allocation.address() + start as u64)
    }
}

/// The memory of programs: each place lies in one of a few blocks.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub blocks: Vec<Arc<Block>>,
}

impl Memory {
    fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.allocation.bytes()).sum()
    }

    fn fits(&self, card: &Arc<Mutex<Card>>, wanted: &Lens) -> bool {
        let block = &self.blocks[0];
        block.allocation.is_on(card) && wanted.iter().zip(block.lens).all(|(&w, len)| w <= len)
    }

    /// The address of a region.
    ///
    /// # Panics
    /// If it does not lie in its place.
    pub(super) fn address(&self, region: Region) -> u64 {
        let address = self.blocks.iter().find_map(|block| block.address(region));
        address.expect("a command reads and writes its places")
    }

    /// Copies 32-bit numbers to the beginning of a place.
    pub(super) fn upload<T: Copy>(
        &self,
        card: &Card,
        place: Place,
        numbers: &[T],
    ) -> Result<(), CudaFault> {
        let region = Region { place, start: 0, len: numbers.len() };
        self.upload_to(card, region, numbers)
    }

    /// Copies 32-bit numbers to a region of as many.
    pub(super) fn upload_to<T: Copy>(
        &self,
        card: &Card,
        region: Region,
        numbers: &[T],
    ) -> Result<(), CudaFault> {
        const { assert!(size_of::<T>() == size_of::<f32>(), "numbers are 32 bits wide") };
        assert!(!region.place.holds_values(), "the host has no values to send");
        assert_eq!(region.len, numbers.len(), "a number for each of the region's");
        card.upload(self.address(region), numbers)
    }

    /// Copies the beginning of a place to the host; it is there after the next wait.
    pub(super) fn download(
        &self,
        card: &Card,
        place: Place,
        numbers: &mut [f32],
    ) -> Result<(), CudaFault> {
        let region = Region { place, start: 0, len: numbers.len() };
        self.download_from(card, region, numbers)
    }

    /// Copies a region to the host; it is there after the next wait.
    pub(super) fn download_from(
        &self,
        card: &Card,
        region: Region,
        numbers: &mut [f32],
    ) -> Result<(), CudaFault> {
        assert!(!region.place.holds_values(), "the host reads no values");
        assert_eq!(region.len, numbers.len(), "a number for each of the region's");
        card.download(self.address(region), numbers)
    }
}

/// Memory, and the programs that ran on it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub memory: Memory,
    /// Of the parameters and statistics that an inference left there.
    pub version: Option<Version>,
    /// The latest last.
    played: Vec<Recording>,
}

impl Prepared {
    pub(super) fn new(memory: Memory) -> Prepared {
        Prepared { memory, version: None, played: Vec::new() }
    }

    /// For a few programs, which [`run_at`](Self::run_at) runs.
    pub(super) fn for_all(memory: Memory, programs: Vec<Program>) -> Prepared {
        let played = programs.into_iter().map(Recording::new).collect();
        Prepared { memory, version: None, played }
    }

    /// The program of an index.
    pub(super) fn program(&self, index: usize) -> &Program {
        self.played[index].program()
    }

    /// Runs the program of an index.
    pub(super) fn run_at(&mut self, card: &Card, index: usize) -> Result<(), CudaFault> {
        self.played[index].play(card, &self.memory)
    }

    /// Runs a program, as [`Recording::play`] does. What changes from pass to pass lies in memory.
    pub(super) fn run(&mut self, card: &Card, program: Program) -> Result<(), CudaFault> {
        let known = self.played.iter().position(|recording| *recording.program() == program);
        let index = known.unwrap_or_else(|| {
            if self.played.len() == KEPT
                && let Some(graph) = self.played.remove(0).into_graph()
            {
                // Nothing runs that was started before: each pass waits for its own.
                card.forget(graph);
            }
            self.played.push(Recording::new(program));
            self.played.len() - 1
        });
        self.played[index].play(card, &self.memory)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let graphs = self.played.drain(..).filter_map(Recording::into_graph);
        self.memory.blocks[0].allocation.forget(graphs);
    }
}
