//! Programs as CUDA graphs.

use super::driver::{Card, Graph};
use super::fault::CudaFault;
use super::lower::Program;
use super::workspace::Memory;

/// A program, and what is known of it from the times it ran on a memory.
#[derive(Debug)]
pub(super) struct Recording {
    program: Program,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It did not run yet.
    New,
    /// It ran once, command by command.
    RanOnce,
    /// It is one graph, started by one call.
    Graph(Graph),
    /// The driver or cuBLAS refused.
    Refused,
}

impl Recording {
    pub(super) fn new(program: Program) -> Recording {
        Recording { program, state: State::New }
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    pub(super) fn into_graph(self) -> Option<Graph> {
        match self.state {
            State::Graph(graph) => Some(graph),
            State::New | State::RanOnce | State::Refused => None,
        }
    }

    /// Runs the program: command by command the first time, in which cuBLAS may still make memory for itself, and as a
    /// recorded graph from then on. The memory must be the same every time.
    pub(super) fn play(&mut self, card: &Card, memory: &Memory) -> Result<(), CudaFault> {
        if matches!(self.state, State::RanOnce) {
            let recorded = card.record(&self.program, memory);
            self.state = recorded.map_or(State::Refused, State::Graph);
        }
        match &self.state {
            State::Graph(graph) => card.play(graph),
            State::Refused => card.run(&self.program, memory),
            State::New | State::RanOnce => {
                card.run(&self.program, memory)?;
                self.state = State::RanOnce;
                Ok(())
            }
        }
    }
}
