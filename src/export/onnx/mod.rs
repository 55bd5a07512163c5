//! Networks as ONNX files, which onnxruntime and most other runtimes open.
//!
//! A file holds the network as it is in inference: running statistics, no dropout, even mixes, no auxiliary
//! head. Its input is `image`, `[batch, C, H, W]`, whitened as the network was trained; or `pixels`, as the
//! data set has them, if the whitening is part of the file. `batch` is free, the other sizes are the
//! network's. A classifier gives `logits`, `[batch, classes]`; a body gives `stride4`, `stride8` and so on,
//! `[batch, C, H / stride, W / stride]`.
//!
//! Values are named by the paths of the nodes they come from, weights by their own. What nothing reads is
//! left out, such as the operand of a `zero`.
//!
//! # Source
//! The operators of ONNX's operator set 19, <https://onnx.ai/onnx/operators/>.

mod attributes;
pub mod proto;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use crate::data::Whitening;
use crate::error::Error;
use crate::graph::NodeId;
use crate::network::Network;
use crate::storage::write_atomically;
use crate::train::Checkpoint;

use super::fold::{Folded, fold};
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use writer::{Form, Wanted, Writer};

/// The set of operators that nodes are of. 19 is the first with dilated average pools.
pub const OPSET: i64 = 19;

/// The version of the messages, the first that knows [`OPSET`].
const IR_VERSION: i64 = 9;

/// What a protobuf message may have at most, in bytes.
const MAX_BYTES: usize = i32::MAX as usize;

/// The name of the free dimension.
const BATCH: &str = "batch";

/// What a file holds beside the network.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Batch normalizations become biases of the convolutions before them, see [`fold`](super::fold).
    pub fold: bool,
    /// How the file whitens its input; `None` if the input is whitened already.
    pub whitening: Option<Whitening>,
    /// Text under the file's `metadata_props`.
    pub metadata: BTreeMap<String, String>,
}

/// A network with its logits.
///
/// # Errors
/// [`Error::Config`] if the whitening has another number of channels than the image.
///
/// # Determinism
/// The same network and options give the same message, and a message always the same bytes.
pub fn classifier(network: &Network, options: &Options) -> Result<ModelProto, Error> {
    let node = network.graph().output;
    model(network, vec![Wanted { name: "logits".into(), node, form: Form::Flat }], options)
}

/// A body with its maps by stride, see [`features`](super::features).
///
/// # Errors
/// As [`classifier`].
pub fn backbone(
    network: &Network,
    maps: &BTreeMap<usize, NodeId>,
    options: &Options,
) -> Result<ModelProto, Error> {
    let wanted = maps.iter().map(|(stride, &node)| Wanted {
        name: format!("stride{stride}"),
        node,
        form: Form::Map,
    });
    model(network, wanted.collect(), options)
}

fn model(network: &Network, wanted: Vec<Wanted>, options: &Options) -> Result<ModelProto, Error> {
    let channels = network.graph().ty(network.graph().input).channels;
    if let Some(Whitening { mean, std }) = &options.whitening
        && (mean.len() != channels || std.len() != channels)
    {
        return Err(Error::Config {
            setting: "whitening",
            value: format!("of {} and {} numbers", mean.len(), std.len()),
            reason: format!("the image has {channels} channels"),
        });
    }
    let folded = if options.fold {
        let roots: Vec<NodeId> = wanted.iter().map(|wanted| wanted.node).collect();
        fold(network, &roots)
    } else {
        Folded { network: network.clone(), shifts: BTreeMap::new() }
    };
    let graph = Writer::new(&folded).write(&wanted, options.whitening.as_ref());
    let entry = |(key, value): (&String, &String)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    };
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "cellc".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: String::new(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: options.metadata.iter().map(entry).collect(),
    })
}

/// Writes a message as a file, which appears whole or not at all.
///
/// # Errors
/// [`Error::OnnxTooLarge`] for more than 2 GiB, or [`Error::Write`].
pub fn write(model: &ModelProto, path: &Path) -> Result<(), Error> {
    let bytes = model.encoded_len();
    if bytes > MAX_BYTES {
        return Err(Error::OnnxTooLarge { bytes, limit: MAX_BYTES });
    }
    write_atomically(path, &model.encode_to_vec())
}

/// What a file says about the network of a checkpoint: the checkpoint's own fields, lists as JSON.
///
/// `mean` and `std` are those of the whitening, in units of the data set's bytes, one number a channel.
pub fn metadata(checkpoint: &Checkpoint) -> BTreeMap<String, String> {
    let list = |numbers: &[f32]| serde_json::to_string(numbers).expect("a list of numbers is JSON");
    let mut metadata = BTreeMap::from([
        ("cellc", checkpoint.cellc.clone()),
        ("cell", checkpoint.cell.clone()),
        ("net", checkpoint.net.clone()),
        ("scale", checkpoint.scale.clone()),
        ("classes", checkpoint.classes.to_string()),
        ("mean", list(&checkpoint.whitening.mean)),
        ("std", list(&checkpoint.whitening.std)),
    ]);
    metadata.extend(checkpoint.data.clone().map(|data| ("data", data)));
    metadata.extend(checkpoint.imported_from.clone().map(|from| ("imported_from", from)));
    if let Some(accuracy) = checkpoint.test_accuracy {
        metadata.insert("test_accuracy", accuracy.to_string());
    }
    metadata.into_iter().map(|(key, value)| (key.into(), value)).collect()
}
