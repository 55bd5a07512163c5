//! Plans with the memory they run in.
//!
//! A forward pass in training leaves its intermediate values in a session, which its backward pass needs
//! later; so a session is lent to the tape and comes back when the tape is done with it. After the first
//! step there is one to reuse, and nothing large is allocated any more.

use std::sync::{Arc, Mutex, PoisonError};

use dfdx::shapes::{HasShape, Shape};
use dfdx::tensor::{Cpu, Tensor};

use super::Len;
use crate::device::{AnyWorkspace, Version};
use crate::plan::Plan;

/// A plan and the sessions that nobody uses at the moment.
#[derive(Debug)]
pub(super) struct Engine {
    pub plan: Arc<Plan>,
    idle: Mutex<Vec<Session>>,
}

/// Memory of one pass: the workspace, and copies of what dfdx's tensors hold.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub workspace: AnyWorkspace,
    pub params: Vec<f32>,
    /// Of the parameters.
    version: Option<Version>,
    pub image: Vec<f32>,
    pub logits: Vec<f32>,
    pub aux: Vec<f32>,
}

/// A session in use; dropping it makes it idle again.
#[derive(Debug)]
pub(super) struct Lease {
    pub engine: Arc<Engine>,
    pub session: Session,
}

impl Engine {
    pub fn new(plan: Plan) -> Engine {
        Engine { plan: Arc::new(plan), idle: Mutex::default() }
    }

    /// An idle session, or a new one.
    pub fn lease(self: &Arc<Engine>) -> Lease {
        let session = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease { engine: self.clone(), session: session.unwrap_or_default() }
    }
}

impl Session {
    /// Copies the parameters of a version of the network, unless they are here.
    pub fn take_params(&mut self, flat: &Tensor<(Len,), f32, Cpu>, version: Version) {
        if self.version != Some(version) {
            copy_tensor(flat, &mut self.params);
            self.version = Some(version);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let session = std::mem::take(&mut self.session);
        self.engine.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }
}

/// Copies a contiguous tensor into a buffer that grows to the largest one it ever held.
pub(super) fn copy_tensor<S: Shape>(from: &Tensor<S, f32, Cpu>, to: &mut Vec<f32>) {
    to.resize(from.shape().num_elements(), 0.0);
    from.copy_into(to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, TensorType};
    use crate::plan::Mode;

    #[test]
    fn a_session_comes_back_and_is_lent_again() {
        let graph = Graph::new(TensorType::new(2, 1, 1));
        let engine = Arc::new(Engine::new(Plan::new(&graph, Mode::Infer)));
        let (mut first, second) = (engine.lease(), engine.lease());
        first.session.params = vec![1.0];
        drop(first);
        assert_eq!(engine.lease().session.params, [1.0]);
        drop(second);
        assert_eq!(engine.idle.lock().unwrap().len(), 2);
    }
}
