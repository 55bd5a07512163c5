//! Steps on the processor: dfdx's loss on dfdx's tape, and the optimizer on the network's own tensors.

use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::prelude::{AsArray, Backward, Cpu, Gradients, Tensor, Trace, ZeroGrads, ZerosTensor};

use super::{Feed, Learned, Learner};
use crate::data::Batch;
use crate::error::Error;
use crate::graph::TensorType;
use crate::network::Network;
use crate::plan::{StepReport, Update};
use crate::train::count_correct;
use crate::train::trainer::targets;

/// Memory that every step uses again.
#[derive(Debug)]
pub(super) struct Host {
    update: Update,
    batch: Batch,
    /// `[N, C, H, W]`
    images: Tensor<(usize, usize, usize, usize), f32, Cpu>,
    /// `[N, classes]`
    targets: Tensor<(usize, usize), f32, Cpu>,
    params: Vec<f32>,
    /// Taken by the tape of a step, and given back.
    gradients: Gradients<f32, Cpu>,
}

impl Host {
    pub(super) fn new(network: &Network, update: Update, batch: usize) -> Result<Host, Error> {
        let graph = network.graph();
        let TensorType { channels, height, width } = graph.ty(graph.input);
        let classes = graph.ty(graph.output).channels;
        let device = Cpu::default();
        Ok(Host {
            update,
            batch: Batch::default(),
            images: device.try_zeros_like(&(batch, channels, height, width))?,
            targets: device.try_zeros_like(&(batch, classes))?,
            params: network.params().flat.as_vec(),
            gradients: network.params().try_alloc_grads()?,
        })
    }
}

impl Learner for Host {
    fn step(
        &mut self,
        learned: &mut Learned<'_>,
        step: usize,
        feed: &mut Feed<'_>,
    ) -> Result<StepReport, Error> {
        feed.fill(&mut self.batch)?;
        let settings = feed.settings(step);
        learned.begin(&settings)?;
        let Learned { network, optimizer, average } = learned;
        let loss_of = self.update.loss;
        self.images.copy_from(&self.batch.pixels);
        let classes = network.graph().ty(network.graph().output).channels;
        self.targets.copy_from(&targets(&self.batch.labels, classes, loss_of.label_smoothing));

        let gradients = std::mem::replace(&mut self.gradients, Gradients::leaky());
        let images = self.images.clone().traced(gradients);
        let forward = network.try_forward_aux(images);
        let (logits, aux) = forward.map_err(|error| network.fault_behind(error))?;
        let correct = count_correct(&logits.as_vec(), &self.batch.labels);
        let mut loss = cross_entropy_with_logits_loss(logits, self.targets.clone());
        let loss_value = f64::from(loss.array());
        if let Some(aux) = aux {
            let aux_loss = cross_entropy_with_logits_loss(aux, self.targets.clone());
            loss = loss + aux_loss * loss_of.aux_weight as f32;
        }

        self.gradients = loss.try_backward().map_err(|error| network.fault_behind(error))?;
        network.params().flat.copy_into(&mut self.params);
        let gradient = self.gradients.get_or_alloc_mut(&network.params().flat)?;
        let grad_norm = self.update.penalty.apply(&self.params, gradient);
        let report = StepReport { loss: loss_value, correct, grad_norm };
        if report.is_finite() {
            optimizer.step(&mut self.params, gradient, settings.lr, step);
            network.params_mut().flat.copy_from(&self.params);
            network.params().try_zero_grads(&mut self.gradients)?;
            if let Some(average) = average {
                average.update(&self.params, network.statistics(), step);
            }
        }
        Ok(report)
    }
}
