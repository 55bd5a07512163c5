//! Keras's files of weights, their tensors called `layer/variable`.
//!
//! | file | a tensor is at |
//! |---|---|
//! | legacy `.h5` | `LAYER/…/VARIABLE`, or `…/VARIABLE:0`; of a whole model below `model_weights` |
//! | `.weights.h5` | `layers/CLASS_7/vars/0`; the layer's name is an attribute of `vars` |
//! | `.keras` | the same in the archive's `model.weights.h5` |
//!
//! The state of an optimizer, and a model's count of steps, are passed over.
//!
//! # Source
//! Keras 3.15.1, `legacy_h5_format.py` and `saving_lib.py`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Hdf5File};
use rawzip::{CompressionMethod, ZipArchive};

use super::{Listing, fault};
use crate::error::Error;

/// The file of weights in a `.keras` archive.
const IN_ARCHIVE: &str = "model.weights.h5";
/// Groups of a legacy file nest as deep as its name scopes, which are few.
const MAX_DEPTH: usize = 16;
/// The most bytes of weights that are unpacked; those of the large net are 357 MB.
const MAX_BYTES: u64 = 4 << 30;

/// Where the tensors lie.
pub(super) struct KerasFile {
    tensors: BTreeMap<String, Dataset>,
}

impl KerasFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let is_archive = path.extension().is_some_and(|end| end == "keras");
        let broken = |error: Hdf5Error| fault(path, format!("not a valid HDF5 file: {error}"));
        let file = if is_archive {
            Hdf5File::from_vec(from_archive(path)?).map_err(broken)?
        } else {
            // Missing files are told apart from broken ones.
            File::open(path).map_err(Error::read(path))?;
            Hdf5File::open(path).map_err(broken)?
        };
        let tensors = file.root_group().map_err(broken).and_then(|root| {
            let (groups, _) = root.members().map_err(broken)?;
            let layers = groups.iter().find(|group| group.name() == "layers");
            let is_new = layers.is_some_and(is_new_format);
            match (layers, groups.iter().find(|group| group.name() == "model_weights")) {
                (Some(layers), _) if is_new => new_format(layers),
                (_, Some(weights)) => legacy_format(weights),
                (_, None) => legacy_format(&root),
            }
            .map_err(|text| fault(path, text))
        })?;
        Ok(KerasFile { tensors })
    }

    pub(super) fn listing(&self) -> Listing {
        let shape = |data: &Dataset| data.shape().iter().map(|&side| side as usize).collect();
        self.tensors.iter().map(|(name, data)| (name.clone(), shape(data))).collect()
    }

    /// The numbers of a tensor.
    pub(super) fn read(&self, name: &str) -> Result<Vec<f32>, String> {
        let data = self.tensors.get(name).ok_or_else(|| format!("there is no `{name}`"))?;
        let array = data.read_array::<f32>().map_err(|error| format!("`{name}`: {error}"))?;
        Ok(array.iter().copied().collect())
    }
}

/// The weights in an archive.
fn from_archive(path: &Path) -> Result<Vec<u8>, Error> {
    let broken = |error: String| fault(path, format!("not a valid archive: {error}"));
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let archive = ZipArchive::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(|error| broken(error.to_string()))? {
        if entry.file_path().as_ref() != IN_ARCHIVE.as_bytes() {
            continue;
        }
        let method = entry.compression_method();
        let entry =
            archive.get_entry(entry.wayfinder()).map_err(|error| broken(error.to_string()))?;
        let mut weights = Vec::new();
        let read = match method {
            CompressionMethod::STORE => {
                entry.verifying_reader(entry.data()).take(MAX_BYTES).read_to_end(&mut weights)
            }
            CompressionMethod::DEFLATE => entry
                .verifying_reader(flate2::read::DeflateDecoder::new(entry.data()))
                .take(MAX_BYTES)
                .read_to_end(&mut weights),
            other => return Err(broken(format!("`{IN_ARCHIVE}` is compressed by {other:?}"))),
        };
        read.map_err(|error| broken(error.to_string()))?;
        return Ok(weights);
    }
    Err(broken(format!("it has no `{IN_ARCHIVE}`")))
}

/// True if the groups in `layers` hold variables by number; a legacy file may have a layer of this name.
fn is_new_format(layers: &Group) -> bool {
    let first = layers.groups().ok().and_then(|groups| groups.into_iter().next());
    first.is_some_and(|layer| layer.group("vars").is_ok())
}

fn text(error: Hdf5Error) -> String {
    error.to_string()
}

fn new_format(layers: &Group) -> Result<BTreeMap<String, Dataset>, String> {
    let mut tensors = BTreeMap::new();
    for layer in layers.groups().map_err(text)? {
        let variables = layer.group("vars").map_err(text)?;
        let (_, data) = variables.members().map_err(text)?;
        if data.is_empty() {
            continue;
        }
        let name = variables.attribute("name").and_then(|name| name.read_string());
        let name = name.map_err(|_| format!("`{}` does not say its name", layer.name()))?;
        for data in data {
            let variable = variable_name(layer.name(), data.name()).ok_or_else(|| {
                format!("`{}` has a variable `{}` of no known layer", layer.name(), data.name())
            })?;
            insert(&mut tensors, format!("{name}/{variable}"), data)?;
        }
    }
    Ok(tensors)
}

/// The name of a layer's variable with this number, from the name of the layer's class.
fn variable_name(layer: &str, number: &str) -> Option<&'static str> {
    let class = layer.trim_end_matches(|letter: char| letter.is_ascii_digit());
    // The first of a class has no number, and that of `conv2d` is not one.
    let class = if layer.ends_with("2d") { layer } else { class.trim_end_matches('_') };
    let names: &[&str] = match class {
        "conv2d" => &["kernel", "bias"],
        "separable_conv2d" => &["depthwise_kernel", "pointwise_kernel", "bias"],
        "batch_normalization" => &["gamma", "beta", "moving_mean", "moving_variance"],
        "dense" => &["kernel", "bias"],
        _ => return None,
    };
    names.get(number.parse::<usize>().ok()?).copied()
}

fn legacy_format(root: &Group) -> Result<BTreeMap<String, Dataset>, String> {
    let mut tensors = BTreeMap::new();
    for layer in root.groups().map_err(text)? {
        let name = layer.name().to_owned();
        if !matches!(name.as_str(), "optimizer_weights" | "top_level_model_weights") {
            below(&layer, &name, 0, &mut tensors)?;
        }
    }
    Ok(tensors)
}

/// Adds the tensors of a layer, however deep they lie.
fn below(
    group: &Group,
    layer: &str,
    depth: usize,
    tensors: &mut BTreeMap<String, Dataset>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("groups of `{layer}` nest deeper than {MAX_DEPTH}"));
    }
    let (groups, data) = group.members().map_err(text)?;
    for data in data {
        let variable = data.name().split(':').next().unwrap_or_default().to_owned();
        insert(tensors, format!("{layer}/{variable}"), data)?;
    }
    groups.iter().try_for_each(|group| below(group, layer, depth + 1, tensors))
}

fn insert(
    tensors: &mut BTreeMap<String, Dataset>,
    name: String,
    data: Dataset,
) -> Result<(), String> {
    match tensors.insert(name.clone(), data) {
        None => Ok(()),
        Some(_) => Err(format!("there are two tensors `{name}`")),
    }
}
