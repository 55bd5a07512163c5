//! `cellc predict`: the classes of image files.

use cellc::data::{DataSpec, read_picture};
use cellc::error::Error;
use cellc::evaluation::{probabilities, ranked};
use cellc::graph::TensorType;
use cellc::network::Network;
use cellc::train::{Checkpoint, restore};
use dfdx::prelude::{Cpu, Module, TensorFromVec};
use serde_json::{Value, json};

use super::args::{PredictArgs, Report};
use super::input::Failure;
use super::table::table;
use super::{output, use_threads};

/// Prints the likeliest classes of each image. Nothing is printed if one of the images cannot be read.
pub fn run(args: &PredictArgs) -> Result<(), Failure> {
    use_threads(args.threads)?;
    if args.top == 0 {
        let reason = "it must be at least 1".into();
        return Err(Error::Config { setting: "top", value: "0".into(), reason }.into());
    }
    let (checkpoint, network) = restore(&args.checkpoint)?;
    let spec: Option<DataSpec> = checkpoint.data.as_ref().map(|data| data.parse()).transpose()?;
    let largest = spec.map_or(u8::MAX, |spec| spec.largest_pixel());
    let [channels, height, width] = checkpoint.image;
    let ty = TensorType::new(channels, height, width);
    let mut all = Vec::new();
    for path in &args.images {
        let pixels = read_picture(path, ty, largest)?;
        all.push(logits(&network, &checkpoint, &pixels)?);
    }
    let name = |class: usize| match checkpoint.class_names.get(class) {
        Some(name) => name.clone(),
        None => class.to_string(),
    };
    let images = args.images.iter().map(|path| path.display().to_string()).zip(&all);
    match args.format {
        Report::Json => {
            let images: Vec<Value> = images
                .map(|(image, logits)| {
                    let shares = probabilities(logits);
                    let classes: Vec<Value> = ranked(logits)
                        .into_iter()
                        .take(args.top)
                        .map(|class| {
                            json!({
                                "class": class, "name": checkpoint.class_names.get(class),
                                "probability": shares[class], "logit": logits[class],
                            })
                        })
                        .collect();
                    json!({ "image": image, "classes": classes })
                })
                .collect();
            let report =
                json!({ "checkpoint": args.checkpoint.display().to_string(), "images": images });
            output(&format!("{report}\n"))
        }
        Report::Text => {
            let mut rows = vec![["image", "class", "probability"].map(String::from).to_vec()];
            for (image, logits) in images {
                let shares = probabilities(logits);
                for (rank, class) in ranked(logits).into_iter().take(args.top).enumerate() {
                    let image = if rank == 0 { image.clone() } else { String::new() };
                    rows.push(vec![image, name(class), format!("{:.2} %", 100.0 * shares[class])]);
                }
            }
            output(&table(&rows, 2))
        }
    }
}

/// What the network makes of an image of bytes.
fn logits(network: &Network, checkpoint: &Checkpoint, pixels: &[u8]) -> Result<Vec<f32>, Error> {
    let [channels, height, width] = checkpoint.image;
    let whitening = &checkpoint.whitening;
    let planes = pixels.chunks_exact(height * width).zip(whitening.mean.iter().zip(&whitening.std));
    let whitened: Vec<f32> = planes
        .flat_map(|(plane, (mean, std))| {
            plane.iter().map(move |&pixel| (f32::from(pixel) - mean) / std)
        })
        .collect();
    let image = Cpu::default().try_tensor_from_vec(whitened, (1, channels, height, width))?;
    let logits = network.try_forward(image).map_err(|error| network.fault_behind(error))?;
    Ok(logits.as_vec())
}
