//! `cellc export`: a network as a file for other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cellc::compile::{Fault, Request};
use cellc::data::Whitening;
use cellc::error::Error;
use cellc::export::features::{Features, STRIDES};
use cellc::export::onnx::proto::{Dimension, GraphProto, ModelProto, ValueInfoProto};
use cellc::export::onnx::{self, Options};
use cellc::graph::TensorType;
use cellc::graph::cost::grouped;
use cellc::ir::Module;
use cellc::network::Network;
use cellc::train::restore;

use super::args::ExportArgs;
use super::input::{self, Failure, Input};
use super::output;

/// A network with where it comes from.
struct Model {
    origin: Origin,
    request: Request,
    network: Network,
    whitening: Option<Whitening>,
    metadata: BTreeMap<String, String>,
}

/// Whose text the network was compiled from.
enum Origin {
    File(Box<Input>),
    Checkpoint(PathBuf, Box<Module>),
}

impl Origin {
    fn module(&self) -> &Module {
        match self {
            Origin::File(input) => &input.module,
            Origin::Checkpoint(_, module) => module,
        }
    }

    fn fault(&self, fault: Fault) -> Failure {
        match self {
            Origin::File(input) => input.fault(fault),
            Origin::Checkpoint(path, _) => match fault {
                Fault::Cells(faults) => checkpoint_fault(path, faults.to_string()).into(),
                Fault::Request(error) => error.into(),
            },
        }
    }
}

fn checkpoint_fault(path: &Path, fault: String) -> Error {
    Error::Checkpoint { path: path.into(), fault }
}

/// Writes the file and says what it holds.
pub fn run(args: &ExportArgs) -> Result<(), Failure> {
    let is_cell = !args.model.exists() || args.model.extension().is_some_and(|end| end == "cell");
    let mut model = if is_cell { fresh(args)? } else { trained(args)? };
    let whitening = model.whitening.take().filter(|_| args.whiten);
    if args.whiten && whitening.is_none() {
        let reason = "only a checkpoint knows how its images are whitened";
        return Err(refuse("whiten", "given", reason.into()));
    }
    let metadata = std::mem::take(&mut model.metadata);
    let options = Options { fold: args.fold, whitening, metadata };
    let written = match &args.features {
        None => onnx::classifier(&model.network, &options)?,
        Some(strides) => {
            let (features, body) = backbone(&model, strides, args.size)?;
            onnx::backbone(&body, &features.maps, &options)?
        }
    };
    let out = args.out.clone().unwrap_or_else(|| beside(&args.model));
    onnx::write(&written, &out)?;
    output(&format!("{}: {}\n", out.display(), described(&written)))
}

/// The network of a file, with fresh parameters.
fn fresh(args: &ExportArgs) -> Result<Model, Failure> {
    let input = input::load(&args.model)?;
    let scale = input.scale(&args.net)?;
    let request = Request::new(input.net(&args.net), scale);
    let lowered = input.network(&request)?;
    let network = Network::new(&lowered.graph, args.seed);
    let classes = lowered.graph.ty(lowered.graph.output).elements();
    let metadata = BTreeMap::from([
        ("cellc".into(), env!("CARGO_PKG_VERSION").into()),
        ("cell".into(), input.model_text(&request, &lowered.graph)?),
        ("net".into(), request.net.clone()),
        ("scale".into(), scale.to_string()),
        ("classes".into(), classes.to_string()),
    ]);
    let origin = Origin::File(Box::new(input));
    Ok(Model { origin, request, network, whitening: None, metadata })
}

/// The network of a checkpoint.
fn trained(args: &ExportArgs) -> Result<Model, Failure> {
    if args.net.net.is_some() || args.net.scale.is_some() {
        let reason = format!("`{}` has its own net and scale", args.model.display());
        return Err(refuse("net or scale", "given", reason));
    }
    let (checkpoint, network) = restore(&args.model)?;
    let architecture = checkpoint.architecture();
    let (module, request) = architecture.map_err(|fault| checkpoint_fault(&args.model, fault))?;
    Ok(Model {
        origin: Origin::Checkpoint(args.model.clone(), Box::new(module)),
        request,
        network,
        metadata: onnx::metadata(&checkpoint),
        whitening: Some(checkpoint.whitening),
    })
}

/// The body of the model at a size, with the model's parameters.
fn backbone(
    model: &Model,
    strides: &[usize],
    size: Option<[usize; 2]>,
) -> Result<(Features, Network), Failure> {
    let graph = model.network.graph();
    let TensorType { channels, height, width } = graph.ty(graph.input);
    let [height, width] = size.unwrap_or([height, width]);
    let image = Some(TensorType::new(channels, height, width));
    let request = Request { image, ..model.request.clone() };
    let features = Features::of(model.origin.module(), &request, strides)
        .map_err(|fault| model.origin.fault(fault))?;
    let missing = strides.iter().find(|stride| !features.maps.contains_key(stride));
    // Of the strides that stand for no list, those that exist are meant.
    if let Some(missing) = missing
        && (strides != STRIDES || features.maps.is_empty())
    {
        let reason = "the network has no map at this stride";
        return Err(refuse("features", &missing.to_string(), reason.into()));
    }
    let body = features.network(&model.network.state_dict()).map_err(|fault| {
        let reason = format!(
            "with maps of this size cells need operations that the model has no parameters of, or others than \
             it has: {fault}"
        );
        refuse("size", &format!("{height}x{width}"), reason)
    })?;
    Ok((features, body))
}

fn refuse(setting: &'static str, value: &str, reason: String) -> Failure {
    Error::Config { setting, value: value.into(), reason }.into()
}

/// What a file holds, on one line.
fn described(model: &ModelProto) -> String {
    let empty = GraphProto::default();
    let graph = model.graph.as_ref().unwrap_or(&empty);
    let list = |values: &[ValueInfoProto]| -> String {
        values.iter().map(described_value).collect::<Vec<_>>().join(", ")
    };
    let numbers = graph.initializer.iter().map(|tensor| tensor.dims.iter().product::<i64>());
    format!(
        "{} to {}; {} nodes, {} constants",
        list(&graph.input),
        list(&graph.output),
        graph.node.len(),
        grouped(numbers.sum::<i64>().unsigned_abs(), ',')
    )
}

/// Such as `logits [batch, 10]`.
fn described_value(value: &ValueInfoProto) -> String {
    let tensor = value.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref());
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    let dims: Vec<String> = dims
        .iter()
        .map(|dim| match &dim.value {
            Some(Dimension::Value(size)) => size.to_string(),
            Some(Dimension::Param(name)) => name.clone(),
            None => "?".into(),
        })
        .collect();
    format!("{} [{}]", value.name, dims.join(", "))
}

/// The file of a model: its name with another ending; of the library's cells, in this folder.
fn beside(model: &Path) -> PathBuf {
    if model.exists() {
        return model.with_extension("onnx");
    }
    PathBuf::from(model.file_name().unwrap_or_default()).with_extension("onnx")
}
