//! From a [`Plan`] to the commands of a pass, [`Command`]s: which kernels a step is on a card, in which grids.
//!
//! Nothing here needs a card. What a pass does is data that the [device](super::Cuda) runs, and that tests run
//! on the processor.

mod backward;
mod convolution;
mod depthwise;
mod forward;
mod norm;
mod update;

use std::iter::repeat_with;

use super::command::{Arg, Command, Launch, Place, Region};
use crate::device::draws::{self, Direction};
use crate::device::{Precision, RunConfig};
use crate::plan::{Plan, Slot, View};

pub(super) use update::{REPORT, SCALARS, arrival, state};

/// Threads of a block, `BLOCK` in the kernels' prelude.
const BLOCK: usize = 256;

/// Threads of a warp.
const WARP: usize = 32;

/// Numbers that a thread of a kernel bound by memory takes, about.
const PER_THREAD: usize = 4;

/// Most blocks along y, a limit of every card. Kernels go on with the channels that are left.
const MAX_GRID_Y: usize = 65_535;

/// Most blocks along x for kernels that go on with the numbers that are left.
const MAX_GRID_X: usize = 1 << 20;

/// Most splits of a channel whose sums are taken apart and then added up.
const MAX_SPLITS: usize = 64;

/// Blocks that keep a large card busy, about.
const BUSY: usize = 1024;

/// What a pass draws at random before it starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// The seed of a dropout node, two words, the lower first.
    Seed {
        /// The node's stream.
        stream: u64,
    },
    /// Factors of a drop-path node, one an image.
    Kept {
        /// The node's stream.
        stream: u64,
        /// Its cell, and of how many.
        depth: [usize; 2],
    },
    /// Shares of a mix, one an image, for the backward pass or the forward one.
    Shares {
        /// The node's stream.
        stream: u64,
        /// For the backward pass.
        is_backward: bool,
    },
    /// Even shares, for inference.
    Even,
}

impl Draw {
    /// How many words it is for `n` images.
    pub fn len(self, n: usize) -> usize {
        match self {
            Draw::Seed { .. } => 2,
            Draw::Kept { .. } | Draw::Shares { .. } | Draw::Even => n,
        }
    }

    fn words(self, n: usize, config: &RunConfig) -> Vec<u32> {
        let mut kept;
        let mut shares;
        let draw: &mut dyn FnMut() -> f32 = match self {
            Draw::Seed { stream } => {
                let seed = draws::seed(config, stream);
                return vec![seed as u32, (seed >> 32) as u32];
            }
            Draw::Kept { stream, depth } => {
                kept = draws::kept(config, stream, depth);
                &mut kept
            }
            Draw::Shares { stream, is_backward } => {
                let direction = if is_backward { Direction::Backward } else { Direction::Forward };
                shares = draws::shares(config, stream, direction);
                &mut shares
            }
            Draw::Even => &mut || 0.5,
        };
        repeat_with(draw).take(n).map(f32::to_bits).collect()
    }
}

/// The commands of one pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// The commands of each step of the plan, in order.
    pub steps: Vec<Vec<Command>>,
    /// What is drawn before, one after the other in [`Place::Draws`].
    pub draws: Vec<Draw>,
}

impl Program {
    /// The forward pass of a plan for `n` images, in training or in inference. Its first step, which loads the images,
    /// rounds the parameters as well, if products read rounded ones.
    ///
    /// # Panics
    /// If a plan for inference is to train.
    pub fn forward(
        plan: &Plan,
        n: usize,
        config: &RunConfig,
        is_training: bool,
        precision: Precision,
    ) -> Program {
        let mut lowering = Lowering::new(plan, n, config, is_training, precision);
        lowering.forward_steps();
        lowering.program
    }

    /// The backward pass of a plan for `n` images.
    pub fn backward(plan: &Plan, n: usize, config: &RunConfig, precision: Precision) -> Program {
        let mut lowering = Lowering::new(plan, n, config, true, precision);
        lowering.backward_steps();
        lowering.program
    }

    /// How many numbers of each place it reads and writes, in the order of [`Place::ALL`].
    pub fn lens(&self) -> [usize; Place::ALL.len()] {
        let mut lens = [0; Place::ALL.len()];
        for region in self.steps.iter().flatten().flat_map(Command::regions) {
            let len = &mut lens[region.place as usize];
            *len = (*len).max(region.start + region.len);
        }
        lens
    }

    /// The words of all draws for `n` images, as they lie in [`Place::Draws`].
    ///
    /// # Determinism
    /// They are those of the CPU for the same settings.
    pub fn draw(&self, n: usize, config: &RunConfig) -> Vec<u32> {
        self.draws.iter().flat_map(|draw| draw.words(n, config)).collect()
    }
}

/// A program in the making.
struct Lowering<'p> {
    plan: &'p Plan,
    n: usize,
    config: &'p RunConfig,
    is_training: bool,
    precision: Precision,
    program: Program,
    draws_len: usize,
    /// Numbers that the current step has taken of [`Place::ScratchValues`].
    scratch_values: usize,
    /// And of [`Place::Scratch`].
    scratch: usize,
}

impl<'p> Lowering<'p> {
    fn new(
        plan: &'p Plan,
        n: usize,
        config: &'p RunConfig,
        is_training: bool,
        precision: Precision,
    ) -> Lowering<'p> {
        Lowering {
            plan,
            n,
            config,
            is_training,
            precision,
            program: Program::default(),
            draws_len: 0,
            scratch_values: 0,
            scratch: 0,
        }
    }

    fn forward_steps(&mut self) {
        for step in &self.plan.forward {
            self.start_step();
            self.forward(&step.kernel);
        }
    }

    fn backward_steps(&mut self) {
        for step in &self.plan.backward {
            self.start_step();
            self.backward(&step.kernel);
        }
    }

    fn start_step(&mut self) {
        self.program.steps.push(Vec::new());
        (self.scratch_values, self.scratch) = (0, 0);
    }

    fn push(&mut self, command: Command) {
        self.program.steps.last_mut().expect("a step has started").push(command);
    }

    fn launch(&mut self, kernel: &'static str, [grid, block]: [[usize; 2]; 2], args: &[Arg]) {
        let sizes = [grid, block].map(|sizes| sizes.map(|size| size as u32));
        self.launch_with_shared(kernel, sizes, 0, args);
    }

    fn launch_with_shared(
        &mut self,
        kernel: &'static str,
        [grid, block]: [[u32; 2]; 2],
        shared_bytes: u32,
        args: &[Arg],
    ) {
        // A kernel for no numbers has nothing to do, and a card refuses an empty grid.
        if grid[0] > 0 && grid[1] > 0 {
            let args = args.to_vec();
            self.push(Command::Launch(Launch { kernel, grid, block, shared_bytes, args }));
        }
    }

    /// Where a view lies.
    fn at(&self, view: View) -> Region {
        let range = self.plan.range(view, self.n);
        Region { place: Place::Arena, start: range.start, len: range.len() }
    }

    /// Numbers in one channel of a view.
    fn row(&self, view: View) -> usize {
        self.n * self.plan.area(view)
    }

    fn whole(place: Place, len: usize) -> Region {
        Region { place, start: 0, len }
    }

    fn slot(place: Place, slot: Slot) -> Region {
        Region { place, start: slot.offset, len: slot.len }
    }

    fn param(slot: Slot) -> Region {
        Self::slot(Place::Params, slot)
    }

    /// Parameters as products read them: in bf16 both factors must be.
    fn weight(&self, slot: Slot) -> Region {
        match self.precision {
            Precision::F32 | Precision::Tf32 => Self::param(slot),
            Precision::Bf16 => Self::slot(Place::RoundedParams, slot),
        }
    }

    fn gradient(slot: Slot) -> Region {
        Self::slot(Place::Gradients, slot)
    }

    /// Values for the current step alone, on a border of 16 bytes.
    fn scratch_values(&mut self, len: usize) -> Region {
        let start = self.scratch_values;
        self.scratch_values = (start + len).next_multiple_of(16 / self.precision.value_bytes());
        Region { place: Place::ScratchValues, start, len }
    }

    /// Other numbers for the current step alone, on a border of 16 bytes.
    fn scratch(&mut self, len: usize) -> Region {
        let start = self.scratch;
        self.scratch = (start + len).next_multiple_of(4);
        Region { place: Place::Scratch, start, len }
    }

    /// Where a draw lies.
    fn draw(&mut self, draw: Draw) -> Region {
        let len = draw.len(self.n);
        let region = Region { place: Place::Draws, start: self.draws_len, len };
        self.draws_len += len;
        self.program.draws.push(draw);
        region
    }
}

/// Blocks for `len` numbers in one row.
fn flat(len: usize) -> [[usize; 2]; 2] {
    [[len.div_ceil(BLOCK * PER_THREAD).min(MAX_GRID_X), 1], [BLOCK, 1]]
}

/// Blocks for rows of `row` numbers in `c` channels.
fn rows(c: usize, row: usize) -> [[usize; 2]; 2] {
    [[row.div_ceil(BLOCK * PER_THREAD).min(MAX_GRID_X), c.min(MAX_GRID_Y)], [BLOCK, 1]]
}

/// Blocks with a thread for each of `count` things.
fn threads(count: usize) -> [[usize; 2]; 2] {
    [[count.div_ceil(BLOCK), 1], [BLOCK, 1]]
}

/// Blocks of 32 images and 8 rows of threads, for `c` channels.
fn columns(c: usize, n: usize) -> [[usize; 2]; 2] {
    [[n.div_ceil(WARP), c.min(MAX_GRID_Y)], [WARP, BLOCK / WARP]]
}

/// How many parts a row of each of `c` channels is summed in: enough to keep a card busy, none too short.
fn splits(c: usize, row: usize) -> usize {
    let busy = BUSY.div_ceil(c.max(1));
    busy.min(row.div_ceil(2 * BLOCK * PER_THREAD)).clamp(1, MAX_SPLITS)
}
