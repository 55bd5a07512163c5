//! Checkpoints: all parameters and statistics by path, in a safetensors file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::plan::Layout;
use crate::storage::stream_atomically;

use super::Network;

/// A parameter or statistic outside a network.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row major.
    pub values: Vec<f32>,
}

/// Why a state does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateFault {
    /// The network has a tensor that the state lacks.
    Missing {
        /// Its path.
        path: String,
    },
    /// The state has a tensor that the network lacks.
    Extra {
        /// Its path.
        path: String,
    },
    /// A tensor has another shape, or another number of values than its shape says.
    Shape {
        /// Its path.
        path: String,
        /// The network's.
        expected: Vec<usize>,
        /// The state's.
        found: Vec<usize>,
    },
}

impl fmt::Display for StateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateFault::Missing { path } => write!(f, "it has no `{path}`"),
            StateFault::Extra { path } => write!(f, "it has `{path}`, which the network has not"),
            StateFault::Shape { path, expected, found } => {
                write!(f, "`{path}` is {found:?}, the network has {expected:?}")
            }
        }
    }
}

impl std::error::Error for StateFault {}

/// Finds the first path that is not in both, or not of one shape.
pub(super) fn compare(
    layout: &Layout,
    state: &BTreeMap<String, NamedTensor>,
) -> Result<(), StateFault> {
    let expected: BTreeMap<&String, &Vec<usize>> =
        layout.entries().iter().map(|entry| (&entry.path, &entry.shape)).collect();
    let mut paths: Vec<&String> = expected.keys().copied().chain(state.keys()).collect();
    paths.sort_unstable();
    for path in paths {
        match (expected.get(path), state.get(path)) {
            (Some(&shape), Some(tensor)) => {
                let len: usize = shape.iter().product();
                if *shape != tensor.shape || len != tensor.values.len() {
                    return Err(StateFault::Shape {
                        path: path.clone(),
                        expected: shape.clone(),
                        found: tensor.shape.clone(),
                    });
                }
            }
            (Some(_), None) => return Err(StateFault::Missing { path: path.clone() }),
            (None, _) => return Err(StateFault::Extra { path: path.clone() }),
        }
    }
    Ok(())
}

impl Network {
    /// Writes all parameters and statistics to a safetensors file, with free text beside them.
    ///
    /// The file is written under another name and renamed at the end, so `path` always holds a whole
    /// checkpoint, this one or the last.
    ///
    /// # Errors
    /// [`Error::Write`].
    ///
    /// # Determinism
    /// The same network and metadata give the same bytes.
    pub fn save_safetensors(
        &self,
        path: impl AsRef<Path>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let state = self.state_dict();
        stream_atomically(path, |out| write_safetensors(out, &state, metadata))
    }

    /// Takes all parameters and statistics from a safetensors file and gives the text beside them.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Checkpoint`] if the file is damaged or its tensors are not exactly
    /// this network's; the network is then unchanged.
    pub fn load_safetensors(
        &mut self,
        path: impl AsRef<Path>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(Error::read(path))?;
        let damaged = |fault: String| Error::Checkpoint { path: path.into(), fault };
        let (state, metadata) = read_safetensors(&bytes).map_err(damaged)?;
        self.load_state_dict(&state).map_err(|fault| damaged(fault.to_string()))?;
        Ok(metadata)
    }
}

/// The format's header and data: an eight-byte length, JSON, numbers in little endian.
///
/// Written here, since the format's crate keeps metadata in a hash map and so in no stable order.
pub(crate) fn write_safetensors(
    out: &mut impl Write,
    state: &BTreeMap<String, NamedTensor>,
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut end = 0;
    for (path, tensor) in state {
        let start = end;
        end += tensor.values.len() * size_of::<f32>();
        let entry = json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(path.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    // Spaces after the JSON align the data, as the format asks.
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for value in state.values().flat_map(|tensor| &tensor.values) {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

type State = (BTreeMap<String, NamedTensor>, BTreeMap<String, String>);

/// The tensors and the metadata of a file of `F32` tensors.
pub(crate) fn read_safetensors(bytes: &[u8]) -> Result<State, String> {
    let not_valid = |fault| format!("not a valid safetensors file: {fault}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_valid)?;
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(key, text)| (key.clone(), text.clone())).collect();
    let file = SafeTensors::deserialize(bytes).map_err(not_valid)?;
    let mut state = BTreeMap::new();
    for (path, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{path}` is {:?}, the network has F32", view.dtype()));
        }
        let (numbers, _) = view.data().as_chunks::<4>();
        let values = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
        state.insert(path, NamedTensor { shape: view.shape().to_vec(), values });
    }
    Ok((state, metadata))
}
