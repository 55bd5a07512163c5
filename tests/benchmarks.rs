//! Search spaces that were enumerated by others: the sizes of their networks beside the published ones.
//!
//! The tables are not part of the repository. Tests that need one read it from the folder in the environment
//! variable `CELLC_DATA`, `../shared/data` if that is not set, and say on stderr when it is not there.

#[path = "support/tables.rs"]
mod tables;

use std::collections::BTreeMap;

use cellc::compile::{self, Request};
use cellc::graph::cost::{Cost, Counts};
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::source::SourceFile;
use cellc::space::{Genotype, SearchSpace};
use tables::table;

fn module(name: &str) -> Module {
    let text = compile::embedded(name).expect("a file of the library");
    compile::check(&SourceFile::new(name, text)).expect("the library is sound")
}

fn space(module: &Module) -> &SearchSpace {
    &module.space.as_ref().expect("a space").decisions
}

/// Counts of the point `choices` in the net of that name.
fn counts(module: &Module, net: &str, n: usize, base: usize, choices: Vec<usize>) -> Counts {
    let genotype = Some(Genotype { choices });
    let scale = Scale { n, f: 0 };
    let request = Request { width: Width::Base(base), genotype, ..Request::new(net, scale) };
    Cost::of(&compile::network(module, &request).expect("it can be built").graph).total
}

#[test]
fn nas_bench_macro_has_its_published_sizes() {
    let module = module("nasbench_macro_space.cell");
    assert_eq!(space(&module).size(), 6561.0);
    let Some(rows) = table("nasbench_macro.csv.gz") else { return };
    assert_eq!(rows.len(), 6561);
    for row in rows {
        // arch,acc1,acc2,acc3,mean_acc,params,flops
        let fields: Vec<&str> = row.split(',').collect();
        let choices: Vec<usize> =
            fields[0].bytes().map(|digit| usize::from(digit - b'0')).collect();
        let found = counts(&module, "nasbench_macro", 1, 64, choices);
        assert_eq!(found.params.to_string(), fields[5], "parameters of {}", fields[0]);
        assert_eq!(found.macs.to_string(), fields[6], "multiply-adds of {}", fields[0]);
    }
}

/// Operations of NAS-Bench-201 in the order of the space's options.
const NAS_BENCH_201: [&str; 5] =
    ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];

/// The choices that a cell such as `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` stands for.
fn nas_bench_201(cell: &str) -> Vec<usize> {
    let edges = cell.split(['|', '+']).filter(|edge| !edge.is_empty());
    let ops = edges.map(|edge| edge.split('~').next().expect("an operation"));
    ops.map(|op| NAS_BENCH_201.iter().position(|known| *known == op).expect("a known one"))
        .collect()
}

#[test]
fn nas_bench_201_has_its_published_sizes() {
    let module = module("nasbench201_space.cell");
    assert_eq!(space(&module).size(), 15_625.0);
    // The benchmark's own counts: 1.531546 MB and 0.073306 MB of parameters.
    let all = |op: usize| counts(&module, "nasbench201", 5, 16, vec![op; 6]);
    assert_eq!(all(3).params, 1_531_546);
    assert_eq!(all(0).params, 73_306);
    assert_eq!(all(1).params, 73_306);
    assert_eq!(all(4).params, 73_306);
}

#[test]
fn nas_bench_201_lists_every_point_once() {
    let Some(rows) = table("nasbench201_acc.csv.gz") else { return };
    let module = module("nasbench201_space.cell");
    let mut points: Vec<Vec<usize>> =
        rows.iter().map(|row| nas_bench_201(row.split(',').nth(1).expect("a cell"))).collect();
    points.sort();
    points.dedup();
    assert_eq!(points.len(), 15_625);
    for choices in points {
        assert!(space(&module).contains(&Genotype { choices }));
    }
}

/// Class of a cell in the language's sense.
fn class(module: &Module, cell: &str) -> String {
    let genotype = Genotype { choices: nas_bench_201(cell) };
    compile::class_id(module, Some(&genotype)).expect("a small cell of the space")
}

#[test]
fn nas_bench_201_classes_are_those_of_its_table() {
    let Some(rows) = table("nasbench201_acc.csv.gz") else { return };
    let module = module("nasbench201_space.cell");
    let mut class_of_theirs: BTreeMap<u32, String> = BTreeMap::new();
    let mut theirs_of_class: BTreeMap<String, u32> = BTreeMap::new();
    for row in &rows {
        // index,cell,iso_class,...
        let fields: Vec<&str> = row.split(',').collect();
        let theirs: u32 = fields[2].parse().expect("a class is a number");
        let ours = class(&module, fields[1]);
        let known = class_of_theirs.entry(theirs).or_insert_with(|| ours.clone());
        assert_eq!(*known, ours, "{} is split from class {theirs}", fields[1]);
        let known = *theirs_of_class.entry(ours).or_insert(theirs);
        assert_eq!(known, theirs, "{} is one with class {known}", fields[1]);
    }
    assert_eq!(class_of_theirs.len(), 6466);
}

#[test]
fn nas_bench_201_classes_fold_zeros_and_identities() {
    let module = module("nasbench201_space.cell");
    let class = |cell: &str| class(&module, cell);
    // By hand from the benchmark's `to_unique_str`.
    let one = class("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|");
    assert_eq!(one, class("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|"));
    // The same but for an operation that sees more than zeros.
    assert_ne!(
        one,
        class("|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|")
    );
    // Which network is trained is another question: the dead convolution has parameters.
    let id = |cell: &str| {
        let genotype = Genotype { choices: nas_bench_201(cell) };
        compile::architecture_id(&module, "nasbench201", Some(&genotype)).expect("it lowers")
    };
    assert_ne!(
        id("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"),
        id("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|")
    );
}

#[test]
fn darts_has_the_papers_size() {
    // Section 2.1: for node k, k (k + 1) / 2 pairs of earlier nodes and an operation of seven for both.
    let cell: f64 = (1..=4).map(|k| f64::from(k * (k + 1) / 2 * 7 * 7)).product();
    let module = module("darts_space.cell");
    assert!((space(&module).size() / (cell * cell) - 1.0).abs() < 1e-12);
}
