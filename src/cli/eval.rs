//! `cellc eval`: the test accuracy of a checkpoint, rebuilt from the checkpoint alone.

use cellc::data::{self, LoadConfig};
use cellc::error::Error;
use cellc::train::{accuracy, restore};

use super::args::EvalArgs;
use super::input::Failure;
use super::{output, use_threads};

/// Measures, and states the accuracy on the last line.
pub fn run(args: &EvalArgs) -> Result<(), Failure> {
    use_threads(args.threads)?;
    if args.batch == 0 {
        return Err(Error::Config {
            setting: "batch",
            value: "0".into(),
            reason: "it must be at least 1".into(),
        }
        .into());
    }
    let (checkpoint, network) = restore(&args.checkpoint)?;
    let spec = match &args.data {
        Some(spec) => spec.clone(),
        None => checkpoint.data.parse()?,
    };
    let image_size = spec.is_resizable().then_some(checkpoint.image[1]);
    let data = data::load_with(&spec, &LoadConfig { image_size, limit: args.limit })?;
    let ty = data.test.ty();
    let [channels, height, width] = checkpoint.image;
    if [ty.channels, ty.height, ty.width] != checkpoint.image || data.classes != checkpoint.classes
    {
        let fault = format!(
            "it is for images [{channels}, {height}, {width}] of {} classes, `{spec}` has [{}, {}, {}] of {}",
            checkpoint.classes, ty.channels, ty.height, ty.width, data.classes
        );
        return Err(Error::Checkpoint { path: args.checkpoint.clone(), fault }.into());
    }
    let all: Vec<usize> = (0..data.test.len()).collect();
    let test = accuracy(&network, &data.test, &all, &checkpoint.whitening, args.batch)?;
    output(&format!(
        "{}: net {} at {}, {} test images of {spec}\ntest accuracy {:.2} %\n",
        args.checkpoint.display(),
        checkpoint.net,
        checkpoint.scale,
        data.test.len(),
        100.0 * test
    ))
}
