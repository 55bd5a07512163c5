//! Writes ONNX files with images and what cellc computes of them, for `onnxruntime_agrees.py` to compare.
//!
//! `NAME.safetensors` holds `1.image`, `1.logits` and so on for batches of 1, 3 and 8; every `NAME.*.onnx`
//! is the network of that name: `plain`, with its normalizations `folded`, taking `pixels`, or a `body`.

mod lively;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use cellc::compile::{self, Request};
use cellc::data::Whitening;
use cellc::export::features::{Features, STRIDES, adopt};
use cellc::export::onnx::{self, Options};
use cellc::graph::TensorType;
use cellc::network::Network;
use cellc::source::SourceFile;
use dfdx::nn::Module;
use dfdx::shapes::HasShape;
use lively::{images, lively};
use safetensors::serialize_to_file;
use safetensors::tensor::{Dtype, TensorView};

const BATCHES: [usize; 3] = [1, 3, 8];

/// Cells, net and scale; for `body`, the height and width of its images.
const CASES: [(&str, &str, &str, Option<[usize; 2]>); 14] = [
    ("every_op", "every_op", "1@32", None),
    ("every_op", "every_op", "2@96", Some([67, 92])),
    ("nasnet_a", "cifar", "1@24", None),
    ("nasnet_a", "cifar", "2@192", Some([64, 48])),
    ("nasnet_a", "cifar", "6@768", None),
    ("nasnet_a", "imagenet", "4@1056", Some([97, 130])),
    ("pnasnet_5", "cifar_strided", "1@40", None),
    ("pnasnet_5", "cifar_strided", "3@480", None),
    ("pnasnet_5", "imagenet_strided", "3@1080", Some([128, 96])),
    ("amoebanet_d", "cifar", "1@64", None),
    ("amoebanet_d", "cifar", "4@512", None),
    ("amoebanet_d", "imagenet", "1@256", Some([160, 160])),
    ("darts_v2", "darts", "3@64", None),
    ("darts_v2", "darts", "8@256", Some([33, 50])),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("expected a folder")?.into();
    fs::create_dir_all(&folder)?;
    for (cell, net, scale, size) in CASES {
        let name = format!("{cell}-{net}-{scale}");
        let own = include_str!("every_op.cell");
        let text = compile::embedded(&format!("{cell}.cell")).unwrap_or(own);
        let module = compile::check(&SourceFile::new(cell, text))?;
        let request = Request::new(net, scale.parse()?);
        let lowered = compile::network(&module, &request)?;
        let network = lively(&lowered.graph, 1);
        write(&folder, &name, &network)?;
        if let Some([height, width]) = size {
            let image = Some(TensorType::new(3, height, width));
            let features = Features::of(&module, &Request { image, ..request }, &STRIDES)?;
            write_body(&folder, &format!("{name}-body"), &network, &features)?;
        }
    }
    Ok(())
}

/// Tensors of one file, with their names and shapes.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn add(&mut self, name: String, shape: Vec<usize>, values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0.push((name, shape, bytes));
    }

    fn write(self, path: &Path) -> Result<(), Box<dyn Error>> {
        let mut views = Vec::new();
        for (name, shape, bytes) in &self.0 {
            views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?));
        }
        Ok(serialize_to_file(views, &None, path)?)
    }
}

/// The classifier in three forms.
fn write(folder: &Path, name: &str, network: &Network) -> Result<(), Box<dyn Error>> {
    let whitening = Whitening { mean: vec![0.25, -0.5, 3.0], std: vec![2.0, 0.5, 64.0] };
    let plain = Options::default();
    let forms = [
        ("plain", plain.clone()),
        ("folded", Options { fold: true, ..plain.clone() }),
        ("pixels", Options { whitening: Some(whitening.clone()), ..plain }),
    ];
    for (form, options) in forms {
        let file = folder.join(format!("{name}.{form}.onnx"));
        onnx::write(&onnx::classifier(network, &options)?, &file)?;
    }
    let ty = network.graph().ty(network.graph().input);
    let mut tensors = Tensors::default();
    for batch in BATCHES {
        let images = images(ty, batch, 2);
        let shape = vec![batch, ty.channels, ty.height, ty.width];
        let values = images.as_vec();
        let planes = values.chunks_exact(ty.area()).enumerate();
        let pixels: Vec<f32> = planes
            .flat_map(|(plane, values)| {
                let channel = plane % ty.channels;
                let (mean, std) = (whitening.mean[channel], whitening.std[channel]);
                values.iter().map(move |value| value * std + mean)
            })
            .collect();
        let logits = network.forward(images);
        let classes = logits.shape().1;
        tensors.add(format!("{batch}.image"), shape.clone(), &values);
        tensors.add(format!("{batch}.pixels"), shape, &pixels);
        tensors.add(format!("{batch}.logits"), vec![batch, classes], &logits.as_vec());
    }
    tensors.write(&folder.join(format!("{name}.safetensors")))
}

/// The body in two forms.
fn write_body(
    folder: &Path,
    name: &str,
    network: &Network,
    features: &Features,
) -> Result<(), Box<dyn Error>> {
    let state = network.state_dict();
    let body = features.network(&state)?;
    for (form, fold) in [("plain", false), ("folded", true)] {
        let file = folder.join(format!("{name}.{form}.onnx"));
        let options = Options { fold, ..Options::default() };
        onnx::write(&onnx::backbone(&body, &features.maps, &options)?, &file)?;
    }
    let ty = features.graph.ty(features.graph.input);
    let mut tensors = Tensors::default();
    for batch in BATCHES {
        let images = images(ty, batch, 2);
        let shape = vec![batch, ty.channels, ty.height, ty.width];
        tensors.add(format!("{batch}.image"), shape, &images.as_vec());
        for (&stride, &node) in &features.maps {
            let only = features.only(stride).ok_or("a map that is there")?;
            let map = adopt(&only, &state)?.forward(images.clone());
            let ty = features.graph.ty(node);
            let shape = vec![batch, ty.channels, ty.height, ty.width];
            tensors.add(format!("{batch}.stride{stride}"), shape, &map.as_vec());
        }
    }
    tensors.write(&folder.join(format!("{name}.safetensors")))
}
