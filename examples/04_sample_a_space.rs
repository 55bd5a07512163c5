//! Samples the NASNet space: prints a found architecture as a `.cell` file, its identity and its counts.
//!
//! Runs in a few milliseconds. The first line reads `nasnet: 50 decisions, 5.23e36 architectures`.

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use cellc::compile::{self, Request};
use cellc::graph::cost::Cost;
use cellc::graph::lower::{Scale, Width};
use cellc::rng::{Purpose, stream};
use cellc::source::SourceFile;
use cellc::{space, syntax};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = compile::embedded("nasnet_space.cell").ok_or("the space is in the library")?;
    let source = SourceFile::new("nasnet_space.cell", text);
    let (file, module) = (syntax::parse(&source)?, compile::check(&source)?);
    let decisions = &module.space.as_ref().ok_or("the file holds a space")?.decisions;
    println!(
        "{}: {} decisions, {:.2e} architectures\n",
        decisions.name,
        decisions.decisions.len(),
        decisions.size()
    );

    let genotype = compile::sample(&module, &mut stream(0, Purpose::Sample, 0))?;
    println!("{}", syntax::print(&space::fill(&file, &module, &genotype)));

    let id = compile::architecture_id(&module, "cifar", Some(&genotype))?;
    let request = Request {
        // The base width is fixed rather than F, which depends on how many blocks a cell gives out.
        width: Width::Base(32),
        genotype: Some(genotype),
        ..Request::new("cifar", Scale { n: 6, f: 0 })
    };
    let lowered = compile::network(&module, &request)?;
    let cost = Cost::of(&lowered.graph).total;
    println!("id {id}: {} parameters at {}", cost.params, lowered.scale);
    Ok(())
}
