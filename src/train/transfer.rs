//! Parameters of a trained network in another: of the same network, or of a body under a fresh head for other
//! classes.

use std::fs;
use std::path::Path;

use super::Checkpoint;
use crate::device::RunConfig;
use crate::error::Error;
use crate::network::{Network, StateFault, read_safetensors};

/// Gives `network`, of which `model` is the description, the parameters and statistics of a file. Those of an
/// auxiliary head are left out if the network has none.
///
/// # Errors
/// [`Error::Read`]; [`Error::Checkpoint`] if the file is damaged or of another network, with what the two differ
/// in as far as the file says; the network is then unchanged.
pub fn initialize(network: &mut Network, path: &Path, model: &Checkpoint) -> Result<(), Error> {
    let fault = |fault: String| Error::Checkpoint { path: path.into(), fault };
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let (mut state, _) = read_safetensors(&bytes).map_err(fault)?;
    let is_aux = |path: &String| path.starts_with("aux.");
    if !network.layout().entries().iter().any(|entry| is_aux(&entry.path)) {
        state.retain(|path, _| !is_aux(path));
    }
    network.load_state_dict(&state).map_err(|mismatch| {
        let other = Checkpoint::read_metadata(path).ok();
        fault(match other.and_then(|other| differences(&other, model)) {
            Some(differences) => format!("it is of another network, {differences}: {mismatch}"),
            None => mismatch.to_string(),
        })
    })
}

/// What makes the network of one description another one than that of the other, if anything does.
fn differences(found: &Checkpoint, expected: &Checkpoint) -> Option<String> {
    let mut all = Vec::new();
    let mut compare = |what: &str, found: &dyn ToString, expected: &dyn ToString| {
        let (found, expected) = (found.to_string(), expected.to_string());
        if found != expected {
            all.push(format!("{what} {found} and not {expected}"));
        }
    };
    compare("net", &found.net, &expected.net);
    compare("scale", &found.scale, &expected.scale);
    compare("classes", &found.classes, &expected.classes);
    if found.cell != expected.cell {
        all.push("with other cells".into());
    }
    (!all.is_empty()).then(|| all.join(", "))
}

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
