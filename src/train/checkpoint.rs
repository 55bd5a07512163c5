//! What a checkpoint says about itself: everything to rebuild the network it holds.
//!
//! A checkpoint is one safetensors file: the tensors of a network under their paths, and in the
//! file's metadata, under the key `cellc`, a [`Checkpoint`] as JSON. Any reader of safetensors can
//! open it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{TrainConfig, run_folder};
use crate::compile::{self, Request};
use crate::data::Whitening;
use crate::device::RunConfig;
use crate::error::Error;
use crate::graph::TensorType;
use crate::ir::Module;
use crate::network::Network;
use crate::source::SourceFile;

/// The key of the file's metadata under which a [`Checkpoint`] stands.
const KEY: &str = "cellc";
/// The version of the fields below.
const FORMAT: u32 = 1;
/// The longest header that safetensors itself accepts, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// The provenance of a network: trained here, or imported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Version of cellc that wrote it.
    pub cellc: String,
    /// The `.cell` file without holes, formatted, with everything it uses.
    pub cell: String,
    /// The net of that file.
    pub net: String,
    /// Scale of the net as N@F, such as `2@96`.
    pub scale: String,
    /// `[C, H, W]` of an image.
    pub image: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// True if the auxiliary head is part of it.
    pub with_aux: bool,
    /// The data set, such as `digits`; a [`DataSpec`](crate::data::DataSpec) as text. None of an imported
    /// network, whose images cellc has not seen.
    pub data: Option<String>,
    /// The names of the classes in the order of the logits; none if they are not known.
    #[serde(default)]
    pub class_names: Vec<String>,
    /// How pixels are whitened before they enter the network.
    pub whitening: Whitening,
    /// Share of the training images that was held out, with the seed of `config`.
    #[serde(default)]
    pub validation: f64,
    /// The most training images and the most test images that were used of the data set, as
    /// [`LoadConfig`](crate::data::LoadConfig) has it; all if none.
    #[serde(default)]
    pub limit: Option<usize>,
    /// [`Dataset::hash`](crate::data::Dataset::hash) of the data set before validation images were held out;
    /// none of an imported network. With `validation` and the seed it tells which images were.
    #[serde(default)]
    pub data_hash: Option<String>,
    /// What batch normalization adds to the variance: that of `config`, if there is one. A model file
    /// without it was trained here, before there were imports, with the default.
    #[serde(default = "default_bn_eps")]
    pub bn_eps: f32,
    /// How it was trained, with the seed; none of an imported network.
    pub config: Option<TrainConfig>,
    /// Which parts a training left as they were, as [`Freeze`](crate::network::Freeze) is written.
    #[serde(default)]
    pub frozen: Option<String>,
    /// Where the parameters come from, if not only from training by cellc.
    #[serde(default)]
    pub imported_from: Option<String>,
    /// Share of validation images classified correctly after training, if there were any.
    pub val_accuracy: Option<f64>,
    /// Share of test images classified correctly after training, if that was asked.
    pub test_accuracy: Option<f64>,
}

/// A checkpoint with the version of its format, as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    format: u32,
    #[serde(flatten)]
    checkpoint: T,
}

/// The part of a safetensors header that is read here.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Writes the network with this description. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Write`].
    ///
    /// # Determinism
    /// The same network and description give the same bytes.
    pub fn save(&self, network: &Network, path: &Path) -> Result<(), Error> {
        let stored = Stored { format: FORMAT, checkpoint: self };
        let text = serde_json::to_string(&stored).expect("every map in it has strings as keys");
        network.save_safetensors(path, &BTreeMap::from([(KEY.to_owned(), text)]))
    }

    /// The module of its cell, and which network of it the checkpoint holds.
    ///
    /// # Errors
    /// A sentence that says what is wrong with cell or scale.
    pub fn architecture(&self) -> Result<(Module, Request), String> {
        let source = SourceFile::new("the cell of the checkpoint", self.cell.as_str());
        let module = compile::check(&source).map_err(|faults| format!("its cell: {faults}"))?;
        let [channels, height, width] = self.image;
        let request = Request::new(self.net.as_str(), self.scale.parse()?)
            .with_data(TensorType::new(channels, height, width), self.classes);
        Ok((module, Request { with_aux: self.with_aux, ..request }))
    }

    /// Reads the description without the tensors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file is no checkpoint of this version of cellc, [`Error::Read`] if
    /// it cannot be read.
    pub fn read_metadata(path: &Path) -> Result<Checkpoint, Error> {
        let fault = |fault: String| Error::Checkpoint { path: path.into(), fault };
        let header: Header = serde_json::from_slice(&read_header(path)?)
            .map_err(|error| fault(format!("not a safetensors file: {error}")))?;
        let text = header.metadata.get(KEY).ok_or_else(|| {
            fault(match header.metadata.contains_key(run_folder::KEY) {
                true => "it is the state of a training run and no model: the run's model is `best.safetensors` \
                         beside it, and `cellc train` goes on with it by --run and --resume"
                    .into(),
                false => format!(
                    "its metadata has no `{KEY}`: not written by cellc; `cellc import` reads weights of timm and Keras"
                ),
            })
        })?;
        let broken = |error: serde_json::Error| fault(format!("bad metadata `{KEY}`: {error}"));
        // The version first: fields of another version may be other fields.
        let Stored { format, .. } =
            serde_json::from_str::<Stored<BTreeMap<String, serde_json::Value>>>(text)
                .map_err(broken)?;
        if format != FORMAT {
            return Err(fault(format!("expected format {FORMAT}, found {format}")));
        }
        Ok(serde_json::from_str::<Stored<Checkpoint>>(text).map_err(broken)?.checkpoint)
    }
}

/// A network rebuilt from nothing but its checkpoint, with the description it was saved with.
///
/// # Errors
/// [`Error::Checkpoint`] if the file is no checkpoint, its cell does not compile, or its tensors are
/// not those of its cell; [`Error::Read`] if it cannot be read.
pub fn restore(path: &Path) -> Result<(Checkpoint, Network), Error> {
    let checkpoint = Checkpoint::read_metadata(path)?;
    let fault = |fault: String| Error::Checkpoint { path: path.into(), fault };
    let (module, request) = checkpoint.architecture().map_err(fault)?;
    let lowered = compile::network(&module, &request).map_err(|error| fault(error.to_string()))?;
    // Every parameter is replaced, so the seed does not matter.
    let mut network = Network::new(&lowered.graph, 0);
    network.set_config(RunConfig { bn_eps: checkpoint.bn_eps, ..RunConfig::default() })?;
    network.load_safetensors(path)?;
    Ok((checkpoint, network))
}

fn default_bn_eps() -> f32 {
    RunConfig::default().bn_eps
}

/// The JSON header of a safetensors file: its length as a little-endian `u64` comes before it.
fn read_header(path: &Path) -> Result<Vec<u8>, Error> {
    let fault = |fault: &str| Error::Checkpoint { path: path.into(), fault: fault.into() };
    let mut file = File::open(path).map_err(Error::read(path))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|source| match source.kind() {
        ErrorKind::UnexpectedEof => fault("not a safetensors file: shorter than 8 bytes"),
        _ => Error::Read { path: path.into(), source },
    })?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(fault("not a safetensors file, which is what models are"));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(Error::read(path))?;
    if (header.len() as u64) < length {
        return Err(fault("the file ends within its header"));
    }
    Ok(header)
}
