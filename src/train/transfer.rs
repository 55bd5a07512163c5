//! Training a network further for other classes: a trained body under a fresh head, and frozen parts.

use crate::device::RunConfig;
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
    let config = RunConfig { bn_eps: trained.config().bn_eps, ..*network.config() };
    network.set_config(config).expect("it was allowed before");
    Ok(())
}
