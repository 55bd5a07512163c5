//! Counts NASNet-A at several scales: parameters and multiply-adds, before any weight exists.
//!
//! Runs in a few milliseconds. The line of 6@768 reads `6@768  3346538 parameters  544333312
//! multiply-adds`, the counts of the paper's CIFAR model (3.3M in its table 1).

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use cellc::compile::{self, Request};
use cellc::graph::cost::Cost;
use cellc::source::SourceFile;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = compile::embedded("nasnet_a.cell").ok_or("NASNet-A is in the library")?;
    let module = compile::check(&SourceFile::new("nasnet_a.cell", text))?;
    for scale in ["1@96", "2@768", "6@768"] {
        let lowered = compile::network(&module, &Request::new("cifar", scale.parse()?))?;
        let cost = Cost::of(&lowered.graph);
        println!("{scale}  {} parameters  {} multiply-adds", cost.total.params, cost.total.macs);
    }
    Ok(())
}
