//! Everything a run carries from one step to the next, so that it can be stopped and go on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::History;
use crate::network::{NamedTensor, StateFault, read_safetensors, write_safetensors};

/// The key of the metadata of a saved state.
const KEY: &str = "cellc_progress";

/// How far a run is. Small, and plain data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done, and so the number of the next, counted from 0.
    pub step: usize,
    /// Sum of the losses of the steps of the epoch at hand.
    pub loss_sum: f64,
    /// Images of those steps that were classified correctly.
    pub correct: usize,
    /// The epochs done.
    pub history: History,
}

/// The state of a [`Trainer`](super::Trainer) between two steps. With the settings and the data it decides
/// the rest of the run: what is random comes from the seed and the numbers of epoch and step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainState {
    /// How far it is.
    pub progress: Progress,
    /// Flat tensors by name: `params` and `statistics` of the network, `optimizer.NAME` for what the
    /// optimizer remembers, `ema.params` and `ema.statistics` if there are averages.
    pub tensors: BTreeMap<String, Vec<f32>>,
}

impl TrainState {
    /// The state as a safetensors file.
    pub fn into_bytes(self) -> Vec<u8> {
        let progress = serde_json::to_string(&self.progress).expect("progress is plain data");
        let metadata = BTreeMap::from([(KEY.to_owned(), progress)]);
        let mut bytes = Vec::new();
        write_safetensors(&mut bytes, &named(self.tensors), &metadata)
            .expect("memory can be written");
        bytes
    }

    /// The state that [`into_bytes`](Self::into_bytes) wrote.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (tensors, metadata) = read_safetensors(bytes)?;
        let text = metadata.get(KEY).ok_or_else(|| format!("its metadata has no `{KEY}`"))?;
        let progress = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(TrainState { progress, tensors: flat(tensors) })
    }

    /// The tensors whose names begin with `prefix`, without it.
    pub(super) fn part(&self, prefix: &str) -> BTreeMap<String, Vec<f32>> {
        let named = self.tensors.iter().filter_map(|(name, values)| {
            Some((name.strip_prefix(prefix)?.to_owned(), values.clone()))
        });
        named.collect()
    }
}

/// Flat tensors as those of a file.
pub(super) fn named(tensors: BTreeMap<String, Vec<f32>>) -> BTreeMap<String, NamedTensor> {
    let named = |(name, values): (String, Vec<f32>)| {
        (name, NamedTensor { shape: vec![values.len()], values })
    };
    tensors.into_iter().map(named).collect()
}

/// Tensors of a file as flat ones.
pub(super) fn flat(tensors: BTreeMap<String, NamedTensor>) -> BTreeMap<String, Vec<f32>> {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.values)).collect()
}

/// The first way in which `given` does not have the names and lengths of `own`.
pub(super) fn check_fits(
    own: &BTreeMap<&'static str, &[f32]>,
    given: &BTreeMap<String, Vec<f32>>,
) -> Result<(), StateFault> {
    if let Some(path) = given.keys().find(|name| !own.contains_key(name.as_str())) {
        return Err(StateFault::Extra { path: path.clone() });
    }
    for (&name, values) in own {
        let path = || name.to_owned();
        let tensor = given.get(name).ok_or_else(|| StateFault::Missing { path: path() })?;
        if tensor.len() != values.len() {
            let (expected, found) = (vec![values.len()], vec![tensor.len()]);
            return Err(StateFault::Shape { path: path(), expected, found });
        }
    }
    Ok(())
}
