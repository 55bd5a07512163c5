//! The state of weight sharing between two epochs: values and velocities of the store, the controller with
//! the moments of its optimizer, and the epochs so far. Random numbers need none: they are drawn by the numbers
//! of steps.

use std::collections::BTreeMap;

use dfdx::shapes::HasShape;
use serde::{Deserialize, Serialize};

use super::{Enas, SharedEpoch};
use crate::error::Error;
use crate::network::NamedTensor;

/// Tensors and text that an epoch leaves to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// By name.
    pub tensors: BTreeMap<String, NamedTensor>,
    /// By name.
    pub metadata: BTreeMap<String, String>,
}

/// Name of the part of the metadata that is [`Progress`].
const PROGRESS: &str = "enas";

/// What is no tensor.
#[derive(Serialize, Deserialize)]
struct Progress {
    epochs: Vec<SharedEpoch>,
    /// The moving average of rewards.
    baseline: f64,
    /// Steps of the controller's optimizer.
    updates: i32,
}

/// Names of a controller's matrix and its moments.
fn names(index: usize) -> [String; 3] {
    ["weight", "moment1", "moment2"].map(|part| format!("controller.{index:04}.{part}"))
}

/// The state after an epoch.
pub(super) fn save(enas: &mut Enas<'_>) -> Result<State, Error> {
    let Enas { policy, optimizer, baseline, store, epochs, .. } = enas;
    let mut tensors = store.state();
    let matrices = policy.parameters_mut();
    let (updates, moments) = optimizer.state(&matrices)?;
    for (index, (matrix, moments)) in matrices.iter().zip(moments).enumerate() {
        let (rows, columns) = *matrix.shape();
        let shape = vec![rows, columns];
        let [first, second] = moments;
        for (name, values) in names(index).into_iter().zip([matrix.as_vec(), first, second]) {
            tensors.insert(name, NamedTensor { shape: shape.clone(), values });
        }
    }
    let progress = Progress { epochs: epochs.clone(), baseline: baseline.average(), updates };
    let progress = serde_json::to_string(&progress).expect("progress is plain data");
    Ok(State { tensors, metadata: BTreeMap::from([(PROGRESS.to_owned(), progress)]) })
}

/// Takes over a state; the strategy must be as new.
pub(super) fn load(enas: &mut Enas<'_>, state: &State) -> Result<(), String> {
    let progress = state.metadata.get(PROGRESS).ok_or("it has no progress")?;
    let progress: Progress = serde_json::from_str(progress).map_err(|fault| fault.to_string())?;
    let Enas { policy, optimizer, baseline, store, epochs, .. } = enas;
    let mut moments = Vec::new();
    let mut matrices = policy.parameters_mut();
    for (index, matrix) in matrices.iter_mut().enumerate() {
        let (rows, columns) = *matrix.shape();
        let shape = [rows, columns];
        let [weight, first, second] = names(index).map(|name| {
            let tensor = state.tensors.get(&name).filter(|tensor| tensor.shape == shape);
            tensor.ok_or_else(|| format!("it has no `{name}` of this controller"))
        });
        matrix.copy_from(&weight?.values);
        moments.push([first?.values.clone(), second?.values.clone()]);
    }
    optimizer
        .load_state(&matrices, progress.updates, &moments)
        .map_err(|fault| fault.to_string())?;
    store.load_state(&state.tensors)?;
    baseline.restore(progress.baseline);
    *epochs = progress.epochs;
    Ok(())
}
