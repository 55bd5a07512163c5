//! Runs plans on the processor: each step is one call of a kernel on slices of the arena.

mod awake;
mod backward;
mod forward;
mod kept;

use std::convert::Infallible;
use std::ops::Range;

use rayon::prelude::*;

use super::memory::Memory;
use super::pages::zeros;
use super::scratch::with_scratch;
use super::threads::min_tiles;
use super::{GroupSizes, Kernels};
use crate::device::{BackwardPass, Device, ForwardPass, RunConfig};
use crate::plan::{Backward, Group, Parts, Plan, Saved, Slot, Step, View};
use awake::in_pool;
use backward::BackwardRun;
use forward::ForwardRun;
use kept::{Kept, Source};

/// The processor. Work is split over the threads of the current rayon pool.
///
/// # Determinism
/// Results have the same bits for any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    kernels: Kernels,
}

impl Cpu {
    /// With the kernels of a given instruction set.
    pub fn new(kernels: Kernels) -> Cpu {
        Cpu { kernels }
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Cpu::new(Kernels::detect())
    }
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// Memory of a run on [`Cpu`].
#[derive(Debug, Default)]
pub struct CpuWorkspace {
    /// Values and gradients, where the plan places them. Longer than needed while a smaller batch runs.
    arena: Vec<f32>,
    /// Means and inverse deviations of batch normalizations.
    fixed: Vec<f32>,
    kept: Kept,
}

impl CpuWorkspace {
    /// Bytes held, but for the one cache line that the arena is longer so that it can start on one.
    pub fn bytes(&self) -> usize {
        let numbers = self.arena.len().saturating_sub(LINE) + self.fixed.len();
        numbers * size_of::<f32>() + self.kept.bytes()
    }

    /// What a view holds after a pass over `batch` images, `[C, H, W, N]`: its own values for as long as the
    /// plan has a use for them. What is changed there is what the next steps find.
    ///
    /// # Panics
    /// If the workspace was not prepared for the plan and the batch.
    pub fn values(&mut self, plan: &Plan, view: View, batch: usize) -> &mut [f32] {
        let (arena, _, _) = self.parts();
        &mut arena[plan.range(view, batch)]
    }

    /// Means and inverse deviations of batch normalizations, as a pass left them.
    pub fn fixed(&self) -> &[f32] {
        &self.fixed
    }

    /// Notes what a pass has kept.
    fn keep(&mut self, source: Option<Source>) {
        if let Some(source) = source {
            self.kept.is_filled(source);
        }
    }

    /// The arena from its first whole cache line on, the fixed part, and what is kept: at batches of whole vectors,
    /// every vector of the arena is then in one line.
    fn parts(&mut self) -> (&mut [f32], &mut [f32], &mut Kept) {
        let start = self.arena.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        (self.arena.get_mut(start..).unwrap_or_default(), &mut self.fixed, &mut self.kept)
    }
}

impl Device for Cpu {
    type Workspace = CpuWorkspace;
    type Error = Infallible;

    fn prepare(
        &self,
        plan: &Plan,
        batch: usize,
        workspace: &mut CpuWorkspace,
    ) -> Result<(), Infallible> {
        let grow = |numbers: &mut Vec<f32>, len: usize| {
            if numbers.len() < len {
                // Nothing in it is worth copying, so the old memory goes first. The system zeroes the new
                // page by page, when it is first touched.
                *numbers = Vec::new();
                *numbers = zeros(len);
            }
        };
        grow(&mut workspace.arena, plan.arena_len * batch + LINE);
        grow(&mut workspace.fixed, plan.fixed_len);
        Ok(())
    }

    fn forward(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: ForwardPass<'_>,
    ) -> Result<(), Infallible> {
        let run = ForwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for group in &plan.forward_groups {
                run.group(group);
            }
        });
        let kept = run.kept();
        workspace.keep(kept);
        Ok(())
    }

    fn backward(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
    ) -> Result<(), Infallible> {
        let run = BackwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for group in &plan.backward_groups {
                let step = |kernel: &Backward| run.step(kernel);
                run.shared.by_channels(group, &plan.backward, Backward::of_channels, step);
            }
        });
        Ok(())
    }
}

const CHANNELWISE: &str = "a group of several steps has only such as treat channels on their own";

impl Cpu {
    /// [`Device::forward`] one step after the other, but groups by places whole, that calls `after` when something
    /// is done, with the steps in [`Plan::forward`] that it was: for profiles.
    ///
    /// # Panics
    /// As [`Device::forward`].
    pub fn forward_stepwise(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: ForwardPass<'_>,
        after: &mut (dyn FnMut(Range<usize>) + Send),
    ) {
        let run = ForwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for group in &plan.forward_groups {
                if group.parts == Parts::Places {
                    run.group(group);
                    after(group.steps.clone());
                    continue;
                }
                for step in group.steps.clone() {
                    run.step(&plan.forward[step].kernel);
                    after(step..step + 1);
                }
            }
        });
        let kept = run.kept();
        workspace.keep(kept);
    }

    /// [`Device::backward`] one step after the other, that calls `after` when one is done, with the step's
    /// index in [`Plan::backward`]: for profiles.
    ///
    /// # Panics
    /// As [`Device::backward`].
    pub fn backward_stepwise(
        &self,
        plan: &Plan,
        workspace: &mut CpuWorkspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
        after: &mut (dyn FnMut(usize) + Send),
    ) {
        let run = BackwardRun::new(*self, plan, workspace, config, pass);
        in_pool(|| {
            for (index, step) in plan.backward.iter().enumerate() {
                run.step(&step.kernel);
                after(index);
            }
        });
    }
}

/// What the steps of both passes share.
struct Run<'a> {
    kernels: Kernels,
    plan: &'a Plan,
    config: &'a RunConfig,
    n: usize,
    arena: Memory<'a>,
    /// Means and inverse deviations of batch normalizations.
    fixed: Memory<'a>,
    params: &'a [f32],
}

/// Borrows parts of memory for a step.
fn lend<'a, const R: usize, const W: usize>(
    memory: Memory<'a>,
    reads: [Range<usize>; R],
    writes: [Range<usize>; W],
) -> ([&'a [f32]; R], [&'a mut [f32]; W]) {
    // SAFETY: a step drops its slices before the next one starts. Steps that run at the same time are those of
    // a group for channels that no two have in common: what they touch of the arena are these channels of
    // views, which are the same or apart (`plan::groups`), in buffers that do not share memory as long as the
    // group runs (`plan::buffers`); and of the other stores the slots of these channels.
    unsafe { memory.borrow(reads, writes) }
}

impl<'a> Run<'a> {
    fn new(
        cpu: Cpu,
        plan: &'a Plan,
        [arena, fixed]: [&'a mut [f32]; 2],
        config: &'a RunConfig,
        n: usize,
        params: &'a [f32],
    ) -> Run<'a> {
        assert_eq!(params.len(), plan.params_len, "length of the parameters");
        let (arena, fixed) = (Memory::new(arena), Memory::new(fixed));
        Run { kernels: cpu.kernels, plan, config, n, arena, fixed, params }
    }

    /// Runs the steps of a group: a single step whole, several for some channels at a time.
    fn by_channels<K: Sync>(
        &self,
        group: &Group,
        steps: &[Step<K>],
        of_channels: impl Fn(&K, &Range<usize>) -> Option<K> + Sync,
        run: impl Fn(&K) + Sync,
    ) {
        let steps = &steps[group.steps.clone()];
        if let [step] = steps {
            run(&step.kernel);
            return;
        }
        let (channels, at_once) = (group.channels, group.channels_at_once(self.n));
        let work = channels * group.area * self.n * steps.len();
        let blocks = (0..channels.div_ceil(at_once)).into_par_iter();
        blocks.with_min_len(min_tiles(work)).for_each(|block| {
            let first = block * at_once;
            let block = first..channels.min(first + at_once);
            for step in steps {
                run(&of_channels(&step.kernel, &block).expect(CHANNELWISE));
            }
        });
    }

    /// Calls a kernel with a number for each image.
    fn with_images(&self, draw: impl FnMut() -> f32, kernel: impl FnOnce(&[f32])) {
        with_scratch(self.n, |numbers| {
            numbers.fill_with(draw);
            kernel(numbers);
        });
    }

    /// The sizes of a normalization of single images.
    fn group_sizes(&self, x: View, groups: usize) -> GroupSizes {
        GroupSizes { n: self.n, c: x.channels, area: self.plan.area(x), groups }
    }

    /// Numbers in one channel of a view.
    fn row(&self, view: View) -> usize {
        self.n * self.plan.area(view)
    }

    fn param(&self, slot: Slot) -> &[f32] {
        &self.params[slot.range()]
    }

    /// Slices of the arena for the views that a step reads and writes.
    fn slices<const R: usize, const W: usize>(
        &self,
        reads: [View; R],
        writes: [View; W],
    ) -> ([&[f32]; R], [&mut [f32]; W]) {
        let range = |view| self.plan.range(view, self.n);
        lend(self.arena, reads.map(range), writes.map(range))
    }

    /// Where a batch normalization keeps its means and inverse deviations.
    fn saved_mut(&self, saved: Saved) -> [&mut [f32]; 2] {
        lend(self.fixed, [], [saved.mean.range(), saved.inv_std.range()]).1
    }

    /// What it has kept there.
    fn saved(&self, saved: Saved) -> [&[f32]; 2] {
        lend(self.fixed, [saved.mean.range(), saved.inv_std.range()], []).0
    }
}
