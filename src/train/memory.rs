//! What a training run will hold in memory.

use super::{Optimizer, TrainConfig};
use crate::data::Loader;
use crate::device::Precision;
use crate::graph::Graph;
use crate::plan::{Layout, Mode, Plan};

/// Bytes that a training run holds beside the program itself and the data set; it asks for them up to its first
/// step, and for those of [`evaluation`](TrainMemory::evaluation) when the first epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainMemory {
    /// Intermediate values and their gradients, where the plan places them.
    pub workspace: usize,
    /// The parameters, their gradient, copies of them, averages, and what the optimizer remembers.
    pub params: usize,
    /// Batches of images: the one in use, and those that are made ahead of it.
    pub batches: usize,
    /// What inference holds, and the network with averages: for the accuracy behind an epoch and the look at the
    /// network behind the last step.
    pub evaluation: usize,
}

impl TrainMemory {
    /// What training a graph with these settings takes, with intermediate values in a precision. What threads keep for
    /// the time of a kernel is not counted; it is a few MiB for each at most.
    pub fn of(graph: &Graph, config: &TrainConfig, precision: Precision) -> TrainMemory {
        let value_bytes = precision.value_bytes();
        let (dropout, drop_path) = (config.dropout > 0.0, config.drop_path > 0.0);
        let plan = Plan::new(graph, Mode::Train { dropout, drop_path, image_gradient: false });
        let layout = Layout::of(graph);
        // In the network, in the pass, in the step, and the gradient.
        let copies = 4 + Optimizer::new(config, 0).state().len();
        let averages =
            if config.ema_decay > 0.0 { layout.params_len() + layout.statistics_len() } else { 0 };
        let inference = Plan::new(graph, Mode::Infer).inference_bytes(config.batch, value_bytes);
        let batch = config.batch * graph.ty(graph.input).elements();
        // In the tensor that enters the network and in the pass, beside those of the loader.
        let batches = 2 + Loader::batches_held(batch);
        let numbers = |count: usize| count * size_of::<f32>();
        TrainMemory {
            workspace: plan.arena_bytes(config.batch, value_bytes),
            params: numbers(copies * layout.params_len() + averages),
            batches: numbers(batches * batch),
            evaluation: inference + numbers(averages),
        }
    }

    /// All of it.
    pub fn total(&self) -> usize {
        self.workspace + self.params + self.batches + self.evaluation
    }
}
