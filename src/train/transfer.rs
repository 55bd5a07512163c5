//! Training a network further for other classes: a trained body under a fresh head, and frozen parts.

use dfdx::tensor::{Cpu, Gradients};

use crate::error::Error;
use crate::network::{Network, StateFault};

/// The parts of a network that are made for its classes.
const HEADS: [&str; 2] = ["head", "aux"];

fn is_of_a_head(path: &str) -> bool {
    HEADS.iter().any(|head| path.strip_prefix(head).is_some_and(|rest| rest.starts_with('.')))
}

/// Gives `network` the stem and the cells of `trained`: parameters, running statistics and what batch
/// normalization adds to the variance. Its heads stay as they are.
///
/// # Errors
/// The first [`StateFault`] if the two differ in more than their heads; the network is then unchanged.
pub fn adopt_body(network: &mut Network, trained: &Network) -> Result<(), StateFault> {
    let mut state = trained.state_dict();
    state.retain(|path, _| !is_of_a_head(path));
    let own = network.state_dict();
    state.extend(own.into_iter().filter(|(path, _)| is_of_a_head(path)));
    network.load_state_dict(&state)?;
    let config = crate::device::RunConfig { bn_eps: trained.config().bn_eps, ..*network.config() };
    network.set_config(config).expect("it was allowed before");
    Ok(())
}

/// The frozen parameters of a network, which no optimizer is to move: neither their gradient, nor weight
/// decay, nor a velocity.
pub(super) struct Kept {
    values: Vec<f32>,
}

impl Kept {
    /// What is frozen now.
    pub(super) fn of(network: &Network) -> Kept {
        let is_any = !network.frozen().is_empty();
        Kept { values: if is_any { network.params().flat.as_vec() } else { Vec::new() } }
    }

    /// Zeroes their gradient, so that it does not count in the norm.
    pub(super) fn mask(
        &self,
        network: &Network,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), Error> {
        if self.values.is_empty() {
            return Ok(());
        }
        let gradient = gradients.get_or_alloc_mut(&network.params().flat)?;
        for range in network.frozen() {
            gradient[range.clone()].fill(0.0);
        }
        Ok(())
    }

    /// Puts them back after a step of the optimizer.
    pub(super) fn restore(&self, network: &mut Network) {
        if self.values.is_empty() {
            return;
        }
        let mut params = network.params().flat.as_vec();
        for range in network.frozen() {
            params[range.clone()].copy_from_slice(&self.values[range.clone()]);
        }
        network.params_mut().flat.copy_from(&params);
    }
}
