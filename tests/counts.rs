//! Exact counts of published cells. Numbers are those of the released TensorFlow code (slim
//! `nasnet.py`), counted by an independent counter that agrees with keras and timm to the last unit.

use cellc::compile::{self, Request};
use cellc::graph::TensorType;
use cellc::graph::cost::Cost;
use cellc::graph::lower::{Lowered, Scale};
use cellc::ir::Module;
use cellc::source::SourceFile;

fn module(name: &str) -> Module {
    let text = compile::embedded(name).expect("a file of the library");
    compile::check(&SourceFile::new(name, text)).expect("the library is sound")
}

fn network(module: &Module, scale: &str, with_aux: bool) -> Lowered {
    let scale: Scale = scale.parse().expect("a scale");
    let request = Request { with_aux, ..Request::new("cifar", scale) };
    compile::network(module, &request).expect("the network can be built")
}

/// (scale, trainable, with aux, with statistics, multiply-adds)
const NASNET_A_CIFAR: [(&str, u64, u64, u64, u64); 2] = [
    ("6@768", 3_346_538, 4_978_036, 3_383_786, 544_333_312),
    ("7@2304", 32_590_954, 34_320_756, 32_718_826, 5_151_250_944),
];

#[test]
fn nasnet_a_has_the_released_counts() {
    let module = module("nasnet_a.cell");
    for (scale, params, with_aux, with_statistics, macs) in NASNET_A_CIFAR {
        let cost = Cost::of(&network(&module, scale, false).graph);
        assert_eq!(cost.total.params, params, "{scale} trainable");
        assert_eq!(
            cost.total.params + cost.total.statistics,
            with_statistics,
            "{scale} with statistics"
        );
        assert_eq!(cost.total.macs, macs, "{scale} multiply-adds");
        let aux = Cost::of(&network(&module, scale, true).graph);
        assert_eq!(aux.total.params, with_aux, "{scale} with the auxiliary head");
    }
}

#[test]
fn sections_add_up_to_the_total() {
    let module = module("nasnet_a.cell");
    let graph = network(&module, "2@96", false).graph;
    let cost = Cost::of(&graph);
    let sum = |part: fn(&cellc::graph::cost::Counts) -> u64| -> u64 {
        cost.sections.iter().map(|section| part(&section.counts)).sum()
    };
    assert_eq!(sum(|counts| counts.params), cost.total.params);
    assert_eq!(sum(|counts| counts.macs), cost.total.macs);
    let blocks = cellc::graph::cost::by_block(&graph);
    let cells: u64 =
        cost.sections.iter().filter(|s| s.cell.is_some()).map(|s| s.counts.params).sum();
    assert_eq!(blocks.values().map(|counts| counts.params).sum::<u64>(), cells);
    let counted: usize = graph
        .params
        .iter()
        .filter(|param| param.kind.is_trainable())
        .map(|param| param.len())
        .sum();
    assert_eq!(counted as u64, cost.total.params);
}

#[test]
fn the_cell_sizes_are_those_of_the_skeleton() {
    let graph = network(&module("nasnet_a.cell"), "2@96", false).graph;
    // 3N + 2 cells; 32, 16, 8 pixels; 6F or 4F channels.
    let outputs: Vec<TensorType> = graph
        .nodes
        .iter()
        .filter(|node| node.path.ends_with(".out.concat1"))
        .map(|node| node.ty)
        .collect();
    let expected = [(24, 32), (24, 32), (32, 16), (48, 16), (48, 16), (64, 8), (96, 8), (96, 8)];
    let expected: Vec<TensorType> =
        expected.iter().map(|&(channels, side)| TensorType::new(channels, side, side)).collect();
    assert_eq!(outputs, expected);
}

#[test]
fn a_data_set_decides_image_and_classes() {
    let module = module("nasnet_a.cell");
    let request = Request::new("cifar", "1@24".parse().expect("a scale"))
        .with_data(TensorType::new(1, 8, 8), 26);
    let graph = compile::network(&module, &request).expect("small images fit").graph;
    assert_eq!(graph.ty(graph.input), TensorType::new(1, 8, 8));
    assert_eq!(graph.ty(graph.output), TensorType::new(26, 1, 1));
}

#[test]
fn filters_that_do_not_divide_name_the_nearest_scales() {
    let module = module("nasnet_a.cell");
    let request = Request::new("cifar", "6@770".parse().expect("a scale"));
    let fault = compile::network(&module, &request).expect_err("770 is no multiple of 24");
    let compile::Fault::Cells(diagnostics) = fault else { panic!("a diagnostic") };
    let fault = diagnostics.iter().next().expect("one fault");
    assert_eq!(fault.code.to_string(), "E0603");
    let help = format!("{:?}", fault.help);
    assert!(help.contains("6@768") && help.contains("6@792"), "{help}");
}
