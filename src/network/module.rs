//! The forward and backward passes of a [`Network`] as one operation on dfdx's tape.

use std::sync::{Mutex, PoisonError};

use dfdx::nn::{Module, ModuleMut};
use dfdx::shapes::HasShape;
use dfdx::tensor::{
    Cpu, CpuError, Gradients, NoneTape, OwnedTape, PutTape, SplitTape, Tape, Tensor, TensorFromVec,
};
use dfdx::tensor_ops::ReshapeTo;

use crate::device::{BackwardPass, Device, ForwardPass, RunConfig, Statistics, Version};
use crate::error::Error;
use crate::rng::{Purpose, derive};

use super::Network;
use super::session::{Lease, copy_tensor};

/// A batch of images, `[N, C, H, W]`.
pub type Images<T = NoneTape> = Tensor<(usize, usize, usize, usize), f32, Cpu, T>;

/// Logits of a batch, `[N, classes]`.
pub type Logits<T = NoneTape> = Tensor<(usize, usize), f32, Cpu, T>;

/// Inference, with running statistics.
impl Module<Images> for Network {
    type Output = Logits;
    type Error = CpuError;

    /// # Panics
    /// If the images do not have the shape that the network was compiled for.
    fn try_forward(&self, x: Images) -> Result<Logits, CpuError> {
        let x = x.try_contiguous()?;
        let batch = self.batch_of(&x);
        let mut lease = self.inference_engine().lease();
        let Lease { engine, session } = &mut lease;
        let plan = &engine.plan;
        session.take_params(&self.params.flat, self.version);
        copy_tensor(&x, &mut session.image);
        let prepared = self.device.prepare(plan, batch, &mut session.workspace);
        note(&self.fault, prepared)?;
        let mut logits = vec![0.0; batch * plan.classes];
        let pass = ForwardPass {
            batch,
            params: &session.params,
            version: Some(self.version),
            statistics: Statistics::Running(&self.statistics),
            image: &session.image,
            logits: &mut logits,
            aux: None,
        };
        let run = self.device.forward(plan, &mut session.workspace, &self.config, pass);
        note(&self.fault, run)?;
        x.device().try_tensor_from_vec(logits, (batch, plan.classes))
    }
}

/// Training, with batch statistics; the running ones are moved towards them.
impl ModuleMut<Images<OwnedTape<f32, Cpu>>> for Network {
    type Output = Logits<OwnedTape<f32, Cpu>>;
    type Error = CpuError;

    /// # Panics
    /// If the images do not have the shape that the network was compiled for.
    fn try_forward_mut(
        &mut self,
        x: Images<OwnedTape<f32, Cpu>>,
    ) -> Result<Self::Output, CpuError> {
        Ok(self.try_forward_aux(x)?.0)
    }
}

impl Network {
    /// Training, with the auxiliary logits if the graph has an auxiliary head.
    ///
    /// The tape is with the logits. The auxiliary logits have a fresh one, which joins it when both are
    /// combined in a loss; if they are dropped instead, the auxiliary head learns nothing.
    ///
    /// # Errors
    /// As dfdx's own operations.
    ///
    /// # Panics
    /// If the images do not have the shape that the network was compiled for.
    #[expect(clippy::type_complexity, reason = "two tensors, spelled with their tapes")]
    pub fn try_forward_aux(
        &mut self,
        x: Images<OwnedTape<f32, Cpu>>,
    ) -> Result<(Logits<OwnedTape<f32, Cpu>>, Option<Logits<OwnedTape<f32, Cpu>>>), CpuError> {
        let (x, mut tape) = x.try_contiguous()?.split_tape();
        let batch = self.batch_of(&x);
        let mut lease = self.training_engine().lease();
        let config = self.next_step();
        let [logits, aux] = self.train_forward(&mut lease, &config, &x, batch)?;

        let device = x.device();
        let plan = &lease.engine.plan;
        let logits = device.try_tensor_from_vec(logits, (batch, plan.classes))?;
        let aux = match plan.aux_classes {
            Some(classes) => Some(device.try_tensor_from_vec(aux, (batch, classes))?),
            None => None,
        };

        let params_ghost = self.params.flat.ghost();
        let image_ghost = self.wants_image_gradient.then(|| x.ghost());
        let (logits_ghost, aux_ghost) = (logits.ghost(), aux.as_ref().map(|aux| aux.ghost()));
        let (device, fault) = (self.device.clone(), self.fault.clone());
        tape.add_backward_op(move |gradients: &mut Gradients<f32, Cpu>| {
            let Lease { engine, session } = &mut lease;
            session.logits.clone_from(gradients.get_or_alloc_mut(&logits_ghost)?);
            if let Some(aux) = &aux_ghost {
                session.aux.clone_from(gradients.get_or_alloc_mut(aux)?);
            }
            // dfdx lends one gradient at a time, so the image's is taken out and put back.
            let mut image = match &image_ghost {
                Some(image) => Some(std::mem::take(&mut **gradients.get_or_alloc_mut(image)?)),
                None => None,
            };
            let pass = BackwardPass {
                batch,
                params: &session.params,
                logits: &session.logits,
                aux: aux_ghost.as_ref().map(|_| &session.aux[..]),
                gradients: gradients.get_or_alloc_mut(&params_ghost)?,
                image: image.as_deref_mut(),
            };
            let run = device.backward(&engine.plan, &mut session.workspace, &config, pass);
            if let (Some(ghost), Some(values)) = (&image_ghost, image) {
                **gradients.get_or_alloc_mut(ghost)? = values;
            }
            note(&fault, run)
        });
        Ok((logits.put_tape(tape), aux.map(|aux| aux.put_tape(OwnedTape::default()))))
    }

    /// Runs the forward pass of a training plan: logits and auxiliary logits, empty if there are none.
    fn train_forward(
        &mut self,
        lease: &mut Lease,
        config: &RunConfig,
        x: &Images,
        batch: usize,
    ) -> Result<[Vec<f32>; 2], CpuError> {
        let Lease { engine, session } = lease;
        let plan = &engine.plan;
        session.take_params(&self.params.flat, self.version);
        // The pass moves the statistics.
        self.version = Version::fresh();
        copy_tensor(x, &mut session.image);
        note(&self.fault, self.device.prepare(plan, batch, &mut session.workspace))?;
        let mut logits = vec![0.0; batch * plan.classes];
        let mut aux = vec![0.0; batch * plan.aux_classes.unwrap_or(0)];
        let pass = ForwardPass {
            batch,
            params: &session.params,
            version: None,
            statistics: Statistics::Update(&mut self.statistics),
            image: &session.image,
            logits: &mut logits,
            aux: plan.aux_classes.map(|_| &mut aux[..]),
        };
        note(&self.fault, self.device.forward(plan, &mut session.workspace, config, pass))?;
        Ok([logits, aux])
    }

    /// The settings of the next training step, with a dropout seed of its own.
    pub(crate) fn next_step(&mut self) -> RunConfig {
        let step = self.training_steps;
        self.training_steps += 1;
        let dropout_seed = derive(self.config.dropout_seed, Purpose::Dropout, step);
        RunConfig { dropout_seed, ..self.config }
    }

    /// Checks a batch's shape and gives its N.
    fn batch_of(&self, x: &Images) -> usize {
        let (batch, channels, height, width) = *x.shape();
        let expected = self.graph.ty(self.graph.input);
        assert!(
            [channels, height, width] == [expected.channels, expected.height, expected.width],
            "the network was compiled for images {expected}, it got [{batch}, {channels}, {height}, {width}]"
        );
        assert!(batch > 0, "the network got a batch of no images");
        batch
    }
}

/// Keeps the fault of a device for [`Network::fault_behind`] and gives an error of dfdx's, which knows two: the
/// device could not do it.
fn note(faults: &Mutex<Option<Error>>, run: Result<(), Error>) -> Result<(), CpuError> {
    run.map_err(|fault| {
        *faults.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        CpuError::OutOfMemory
    })
}
