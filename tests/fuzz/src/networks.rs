//! What must hold of every network that a checked file has.

use std::collections::BTreeSet;

use cellc::compile::{self, Fault, Request};
use cellc::diagnostic::Code;
use cellc::graph::cost::{self, Cost};
use cellc::graph::lower::{Lowered, Scale, Width};
use cellc::graph::{Graph, hash, passes};
use cellc::ir::Module;
use cellc::link;
use cellc::rng::{Purpose, stream};
use cellc::source::{Library, Loader, SourceFile};
use cellc::space::{Genotype, Requirements, fill};
use cellc::syntax;

use crate::{front, within_limit};

/// Base width and N: small, but enough channels for published cells.
const BASE: usize = 24;
const N: usize = 1;

/// The most operations of a network that is looked at more closely: that takes a dozen more lowerings, and
/// the check of its file has lowered it as often as a user's file is.
const MAX_NODES: usize = 5_000;

/// The most nets of one file that are built.
const MAX_NETS: usize = 3;

/// Builds the nets that the file means, at a point of its space if it has one.
///
/// # Panics
/// If a network does not verify, simplifying changes what counts, a point is not of its space, or the file
/// that says the same without `use`s and holes has other networks; if building the networks, or writing that
/// file and checking it, takes too long.
pub fn build(source: &SourceFile, loader: &dyn Loader, module: &Module) {
    let genotype = point(source, module);
    let nets = nets(module);
    let network = |net: &String| within_limit(|| network(source, module, net, genotype.as_ref()));
    let built: Vec<Option<Graph>> = nets.iter().map(network).collect();
    if built.iter().all(Option::is_none) {
        return;
    }
    let Some(alone) = within_limit(|| alone(source, loader, module, genotype.as_ref())) else {
        return;
    };
    for (net, graph) in nets.iter().zip(&built) {
        let Some(graph) = graph else { continue };
        let is_foreign = module.net(net).is_some_and(|net| net.origin.is_foreign());
        if is_foreign && alone.net(net).is_none() {
            // It has cells that fit this file's at some scales only.
            continue;
        }
        match compile::network(&alone, &request(net, None)) {
            Ok(again) => assert!(
                hash::canonical(&again.graph) == hash::canonical(graph),
                "written alone the file has another net {net}"
            ),
            Err(fault) => panic!("written alone the file has no net {net}: {fault:?}"),
        }
    }
}

/// A point of the space. Its requirements are asked for but need not be met: finding one that meets them
/// may take thousands of networks.
fn point(source: &SourceFile, module: &Module) -> Option<Genotype> {
    let space = &module.space.as_ref()?.decisions;
    let genotype = space.sample(&mut stream(source.text.len() as u64, Purpose::Sample, 0));
    assert!(space.contains(&genotype), "a drawn point is none of the space");
    assert!(space.size() >= 1.0, "a space without points");
    let requirements = Requirements::of(module);
    let is_met = requirements.violation(&genotype) == 0.0;
    let unmet = requirements.unmet(&genotype);
    assert_eq!(is_met, unmet.is_none(), "{unmet:?}");
    Some(genotype)
}

/// The file's own nets and the one that is meant by default, those that find their cells.
fn nets(module: &Module) -> Vec<String> {
    let default = module.default_net();
    let is_meant = |net: &&cellc::ir::Net| !net.origin.is_foreign() || net.name.name == default;
    let found = module.nets.iter().filter(is_meant).filter(|net| module.completes(net));
    found.take(MAX_NETS).map(|net| net.name.name.clone()).collect()
}

fn request(net: &str, genotype: Option<&Genotype>) -> Request {
    let request = Request::new(net, Scale { n: N, f: 0 });
    Request { width: Width::Base(BASE), genotype: genotype.cloned(), ..request }
}

/// The simplified network of a net; none if its cells do not fit it at this scale.
fn network(
    source: &SourceFile,
    module: &Module,
    net: &str,
    genotype: Option<&Genotype>,
) -> Option<Graph> {
    let request = Request { with_aux: true, ..request(net, genotype) };
    let lowered = match compile::lower_only(module, &request) {
        Ok(lowered) => lowered,
        Err(Fault::Cells(faults)) => {
            front::report(&faults, source);
            return None;
        }
        Err(Fault::Request(error)) => panic!("the request makes no sense: {error}"),
    };
    assert_eq!(lowered.graph.verify(), Ok(()));
    if lowered.graph.nodes.len() > MAX_NODES {
        return None;
    }
    let simple = simplified(&lowered);
    counts(&simple);
    // F as it came out can be asked for.
    let by_filters = Request { width: Width::Filters(lowered.scale.f), ..request.clone() };
    if let Ok(back) = compile::lower_only(module, &by_filters) {
        assert_eq!(back.scale.f, lowered.scale.f, "asked for F, found another");
    }
    // The heads of training are no part of what a file and its copy are compared by.
    let plain = Request { with_aux: false, ..request };
    match compile::network(module, &plain) {
        Ok(network) => Some(network.graph),
        Err(fault) => panic!("without its auxiliary head the net has a fault: {fault:?}"),
    }
}

fn simplified(lowered: &Lowered) -> Graph {
    let graph = &lowered.graph;
    let simple = passes::simplify(graph);
    assert_eq!(simple.verify(), Ok(()), "simplified");
    assert_eq!(simple.ty(simple.output), graph.ty(graph.output), "simplifying changes the result");
    assert!(passes::simplify(&simple) == simple, "simplifying twice differs");
    simple
}

fn counts(graph: &Graph) {
    let cost = Cost::of(graph);
    let sum = |is_trainable: bool| -> u64 {
        let params = graph.params.iter().filter(|param| param.kind.is_trainable() == is_trainable);
        params.map(|param| param.len() as u64).sum()
    };
    assert_eq!(cost.total.params, sum(true));
    assert_eq!(cost.total.statistics, sum(false));
    let in_sections: u64 = cost.sections.iter().map(|section| section.counts.macs).sum();
    assert_eq!(cost.total.macs, in_sections, "a node is in no section");
    assert!(cost::by_block(graph).len() <= graph.nodes.len());
    let paths: BTreeSet<&str> = graph.params.iter().map(|param| param.path.as_str()).collect();
    assert_eq!(paths.len(), graph.params.len(), "two parameters of one path");
}

/// The module of the text that says the same without `use`s and without holes. None where a point has
/// faults about shapes: it may fit its nets at some scales only.
fn alone(
    source: &SourceFile,
    loader: &dyn Loader,
    module: &Module,
    genotype: Option<&Genotype>,
) -> Option<Module> {
    let (file, _) = link::link(source, loader).expect("what was checked checks again");
    let file = match genotype {
        Some(genotype) => fill(&file, module, genotype),
        None => link::write_out(&file, module),
    };
    // Claims and conditions of a space are about other scales and other points.
    let items = file.items.into_iter().filter(|item| !matches!(item, syntax::ast::Item::Expect(_)));
    let file = syntax::ast::File { items: items.collect(), ..syntax::ast::File::default() };
    let text = syntax::print(&file);
    let written = SourceFile::new("alone.cell", text);
    match compile::check_with(&written, &Library) {
        Ok(module) => Some(module),
        Err(faults)
            if genotype.is_some() && faults.iter().all(|fault| is_about_shapes(fault.code)) =>
        {
            None
        }
        Err(faults) => panic!("written alone: {faults:#?}\n{}", written.text),
    }
}

/// True for faults that a network may have and another of the same file not.
fn is_about_shapes(code: Code) -> bool {
    let code = code.to_string();
    ["E03", "E04", "E06"].iter().any(|group| code.starts_with(group))
}
