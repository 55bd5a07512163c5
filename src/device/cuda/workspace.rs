//! The memory of a run on a card: one allocation for everything.

use std::sync::{Arc, Mutex};

use super::command::{Place, Region};
use super::driver::{Allocation, Card, Graph};
use super::fault::CudaFault;
use super::lower::Program;
use crate::device::RunConfig;
use crate::plan::{Mode, Plan};

/// Numbers of 256 bytes, the border that allocations and texture units like.
const BORDER: usize = 64;

/// Programs that a workspace keeps as graphs: of training and of inference, for whole batches and for a last smaller
/// one.
const KEPT: usize = 6;

/// Memory of a run on [`Cuda`](super::Cuda).
#[derive(Debug, Default)]
pub struct CudaWorkspace {
    memory: Option<Memory>,
}

impl CudaWorkspace {
    /// Bytes held on the card.
    pub fn bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.allocation.bytes())
    }

    pub(super) fn memory(&mut self) -> Option<&mut Memory> {
        self.memory.as_mut()
    }

    pub(super) fn prepare(
        &mut self,
        card: &Arc<Mutex<Card>>,
        plan: &Plan,
        batch: usize,
    ) -> Result<(), CudaFault> {
        let wanted = lens(plan, batch);
        let fits = |memory: &Memory| {
            memory.allocation.is_on(card)
                && wanted.iter().zip(memory.lens).all(|(&w, len)| w <= len)
        };
        if self.memory.as_ref().is_some_and(fits) {
            return Ok(());
        }
        // Nothing in it is worth copying, so the old memory goes first.
        self.memory = None;
        let mut starts = [0; Place::ALL.len()];
        let mut end = 0;
        for (start, len) in starts.iter_mut().zip(wanted) {
            *start = end;
            end = (end + len).next_multiple_of(BORDER);
        }
        let allocation = Allocation::new(card, end * size_of::<f32>())?;
        self.memory = Some(Memory { allocation, starts, lens: wanted, played: Vec::new() });
        Ok(())
    }
}

/// Numbers of each place.
fn lens(plan: &Plan, n: usize) -> [usize; Place::ALL.len()] {
    // Settings change no sizes.
    let config = RunConfig::default();
    let is_trained = matches!(plan.mode, Mode::Train { .. });
    let mut programs = vec![Program::forward(plan, n, &config, is_trained)];
    if is_trained {
        // A plan for training runs with running statistics as well.
        programs.push(Program::forward(plan, n, &config, false));
        programs.push(Program::backward(plan, n, &config));
    }
    let largest = |f: &dyn Fn(&Program) -> usize| programs.iter().map(f).max().unwrap_or(0);
    let draws = |program: &Program| program.draws.iter().map(|draw| draw.len(n)).sum();
    let image = n * plan.image.elements();
    let aux = n * plan.aux_classes.unwrap_or(0);
    Place::ALL.map(|place| match place {
        Place::Arena => plan.arena_len * n,
        Place::Fixed => plan.fixed_len,
        Place::Scratch => largest(&|program| program.scratch_len),
        Place::Draws => largest(&draws),
        Place::Params => plan.params_len,
        Place::Gradients if is_trained => plan.params_len,
        Place::Statistics => plan.statistics_len,
        Place::Image => image,
        Place::ImageGradient if is_trained => image,
        Place::Logits => n * plan.classes,
        Place::LogitsGradient if is_trained => n * plan.classes,
        Place::Aux | Place::AuxGradient => aux,
        Place::Gradients | Place::ImageGradient | Place::LogitsGradient => 0,
    })
}

/// An allocation and where each place lies in it.
#[derive(Debug)]
pub(super) struct Memory {
    allocation: Allocation,
    /// First number and number of numbers of each place, in the order of [`Place::ALL`].
    starts: [usize; Place::ALL.len()],
    lens: [usize; Place::ALL.len()],
    /// Programs that ran on it, the latest last.
    played: Vec<(Program, Recording)>,
}

/// What is known of a program that ran before.
#[derive(Debug)]
enum Recording {
    /// It ran once, command by command.
    NotYet,
    /// It is one graph, started by one call.
    Graph(Graph),
    /// The driver or cuBLAS refused.
    Refused,
}

impl Drop for Memory {
    fn drop(&mut self) {
        let graphs = self.played.drain(..).filter_map(|(_, recording)| recording.into_graph());
        self.allocation.forget(graphs);
    }
}

impl Recording {
    fn into_graph(self) -> Option<Graph> {
        match self {
            Recording::Graph(graph) => Some(graph),
            Recording::NotYet | Recording::Refused => None,
        }
    }
}

impl Memory {
    /// Runs a program: command by command the first time, in which cuBLAS may still make memory for itself, and as a
    /// recorded graph from then on. What changes from pass to pass lies in memory.
    pub(super) fn run(&mut self, card: &Card, program: Program) -> Result<(), CudaFault> {
        let known = self.played.iter().position(|(played, _)| *played == program);
        let Some(index) = known else {
            card.run(&program, self)?;
            if self.played.len() == KEPT
                && let (_, Recording::Graph(graph)) = self.played.remove(0)
            {
                // Nothing runs that was started before: each pass waits for its own.
                card.forget(graph);
            }
            self.played.push((program, Recording::NotYet));
            return Ok(());
        };
        if matches!(self.played[index].1, Recording::NotYet) {
            let recorded = card.record(&program, self);
            self.played[index].1 = recorded.map_or(Recording::Refused, Recording::Graph);
        }
        match &self.played[index].1 {
            Recording::Graph(graph) => card.play(graph),
            Recording::NotYet | Recording::Refused => card.run(&program, self),
        }
    }

    /// The address of a region.
    ///
    /// # Panics
    /// If it does not lie in its place.
    pub(super) fn address(&self, region: Region) -> u64 {
        let place = region.place as usize;
        assert!(
            region.start + region.len <= self.lens[place],
            "a command reads and writes its places"
        );
        self.allocation.address() + ((self.starts[place] + region.start) * size_of::<f32>()) as u64
    }

    /// Copies 32-bit numbers to the beginning of a place.
    pub(super) fn upload<T: Copy>(
        &self,
        card: &Card,
        place: Place,
        numbers: &[T],
    ) -> Result<(), CudaFault> {
        const { assert!(size_of::<T>() == size_of::<f32>(), "numbers are 32 bits wide") };
        let region = Region { place, start: 0, len: numbers.len() };
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
        card.download(self.address(region), numbers)
    }
}
