//! `cellc draw`: pictures of cells and nets.

use cellc::draw::{self, Options, Subject};
use cellc::space::Genotype;
use cellc::storage;

use super::args::{DrawArgs, Picture};
use super::input::{self, Failure};
use super::output;

/// Draws, and writes the picture to a file or to standard output.
pub fn run(args: &DrawArgs) -> Result<(), Failure> {
    let input = input::load(&args.file)?;
    let subject = match (&args.cell, &args.net) {
        (Some(cell), _) => Subject::Cell(cell.clone()),
        (None, Some(net)) => Subject::Net(net.clone()),
        (None, None) => Subject::Cells,
    };
    let genotype = args.genotype.clone().map(|choices| Genotype { choices });
    let figure = draw::figure(&input.module, &Options { subject, genotype })?;
    let text = match args.format {
        Picture::Svg => figure.to_svg(),
        Picture::Dot => figure.to_dot(),
    };
    match &args.out {
        Some(path) => Ok(storage::write_atomically(path, text.as_bytes())?),
        None => output(&text),
    }
}
