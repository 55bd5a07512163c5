//! `cellc import`: weights of another program as a checkpoint.

use std::path::{Path, PathBuf};

use cellc::graph::cost::{Cost, grouped};
use cellc::import::{ImportConfig, import};
use cellc::source::Folders;

use super::args::ImportArgs;
use super::input::{self, Failure};
use super::output;

/// Reads the weights, writes the checkpoint and says what it holds.
pub fn run(args: &ImportArgs) -> Result<(), Failure> {
    let cells = args.cells.as_deref().map(input::read).transpose()?;
    let config = ImportConfig {
        cells: cells.as_ref().map(|cells| (cells, &Folders as _)),
        net: args.net.as_deref(),
        image_size: args.image_size,
    };
    let (checkpoint, network) = import(&args.weights, &config)?;
    let out = args.out.clone().unwrap_or_else(|| beside(&args.weights));
    checkpoint.save(&network, &out)?;
    let [channels, height, width] = checkpoint.image;
    output(&format!(
        "{}: {} as net {} at {}, {} parameters; images [{channels}, {height}, {width}] of {} classes\ncheckpoint {}\n",
        args.weights.display(),
        checkpoint.imported_from.as_deref().unwrap_or_default(),
        checkpoint.net,
        checkpoint.scale,
        grouped(Cost::of(network.graph()).total.params, ','),
        checkpoint.classes,
        out.display()
    ))
}

/// The checkpoint of a file: another ending, so that weights in safetensors are not overwritten.
fn beside(weights: &Path) -> PathBuf {
    weights.with_extension("cellc.safetensors")
}
