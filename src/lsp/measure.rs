//! What the blocks of a file cost in a net: the shapes and counts that a hover shows.

use std::collections::BTreeMap;

use crate::compile::{self, Fault, Request};
use crate::graph::TensorType;
use crate::graph::cost::{Counts, by_block};
use crate::graph::lower::{CellShapes, Lowered, Scale, Width};
use crate::ir::{self, Module};
use crate::space::Genotype;
use crate::syntax::ast;

/// N where the file names none.
const DEFAULT_N: usize = 2;

/// The largest base width that is tried where the file names no F. What does not fit any of these is at
/// fault itself.
const MAX_DEFAULT_BASE: usize = 16;

/// The counts of a file's network.
#[derive(Debug)]
pub(super) struct Measured {
    /// Which network it is, and why.
    pub network: String,
    /// Its cells with the shapes of their tensors.
    cells: Vec<CellShapes>,
    /// Counts by cell and block, over all cells of one name.
    blocks: BTreeMap<(String, String), Counts>,
}

/// What a tensor of a cell is shaped like and costs.
#[derive(Debug)]
pub(super) struct TensorCost {
    /// Its shapes, each with the number of cells that have it, in the order of the network.
    pub shapes: Vec<(TensorType, usize)>,
    /// Counts of all those cells; none for an input.
    pub counts: Option<Counts>,
}

impl Measured {
    /// Counts a file: in the net and at the scale of its first claim, else in its default net with two
    /// normal cells a stage at the smallest base width it can be built at. Of a space, the
    /// architecture of all first options.
    pub(super) fn of(module: &Module, file: &ast::File) -> Result<Measured, String> {
        let expect = file.claims().next();
        let (net, why, lowered) = match expect {
            Some(expect) => {
                let net = expect.net.name.as_str();
                let number =
                    |number: ast::Number| usize::try_from(number.value).unwrap_or(usize::MAX);
                let scale = Scale { n: number(expect.scale.n), f: number(expect.scale.f) };
                let image = expect.image.map(|image| {
                    let [height, width, channels] = image.map(number);
                    TensorType::new(channels, height, width)
                });
                let classes = expect.classes.map(number);
                let request = Request { image, classes, ..Request::new(net, scale) };
                let lowered = lower(module, request)?;
                (net, "the scale of the file's first `expect`".to_owned(), lowered)
            }
            None => {
                let net = module.default_net();
                let lowered = smallest(module, net)?;
                let why = format!(
                    "base width {}, the smallest that fits, since the file has no `expect`",
                    lowered.base
                );
                (net, why, lowered)
            }
        };
        let options =
            if module.space.is_some() { "; every hole filled with its first option" } else { "" };
        Ok(Measured {
            network: format!("net `{net}` at {}: {why}{options}", lowered.scale),
            blocks: by_block(&lowered.graph),
            cells: lowered.cells,
        })
    }

    /// The tensor of this name in the cells of this name; none if the net has no such cell.
    pub(super) fn tensor(&self, cell: &ir::Cell, name: &str) -> Option<TensorCost> {
        let is_input = cell.inputs.iter().any(|input| input.name == name);
        let names = cell.inputs.iter().chain(cell.blocks.iter().map(|block| &block.name));
        let local = names.map(|ident| &ident.name).position(|known| known == name);
        let mut shapes: Vec<(TensorType, usize)> = Vec::new();
        for built in self.cells.iter().filter(|built| built.cell == cell.name.name) {
            let shape = match local {
                Some(local) => built.locals.get(local).copied()?,
                None => {
                    let mut outputs = cell.outputs.iter().map(|output| &output.block.name.name);
                    built.outputs.get(outputs.position(|output| output == name)?).copied()?
                }
            };
            match shapes.iter_mut().find(|(known, _)| *known == shape) {
                Some((_, count)) => *count += 1,
                None => shapes.push((shape, 1)),
            }
        }
        if shapes.is_empty() {
            return None;
        }
        let key = (cell.name.name.clone(), name.to_owned());
        let counts = self.blocks.get(&key).copied().unwrap_or_default();
        Some(TensorCost { shapes, counts: (!is_input).then_some(counts) })
    }

    /// Counts of all cells of this name, and how many they are.
    pub(super) fn cell(&self, name: &str) -> (usize, u64, u64) {
        let number = self.cells.iter().filter(|built| built.cell == name).count();
        let of_cell = self.blocks.iter().filter(|((cell, _), _)| cell == name);
        let (params, macs) = of_cell.fold((0, 0), |(params, macs), (_, counts)| {
            (params + counts.params, macs + counts.macs)
        });
        (number, params, macs)
    }
}

/// The network at the smallest base width it can be built at.
fn smallest(module: &Module, net: &str) -> Result<Lowered, String> {
    let mut reason = String::new();
    for base in 1..=MAX_DEFAULT_BASE {
        let request = Request::new(net, Scale { n: DEFAULT_N, f: 0 });
        match lower(module, Request { width: Width::Base(base), ..request }) {
            Ok(lowered) => return Ok(lowered),
            Err(fault) => reason = fault,
        }
    }
    Err(reason)
}

fn lower(module: &Module, request: Request) -> Result<Lowered, String> {
    let genotype = module
        .space
        .as_ref()
        .map(|space| Genotype { choices: vec![0; space.decisions.decisions.len()] });
    compile::network(module, &Request { genotype, ..request }).map_err(|fault| match fault {
        Fault::Cells(faults) => {
            faults.iter().next().map(|fault| fault.message.clone()).unwrap_or_default()
        }
        Fault::Request(error) => error.to_string(),
    })
}
