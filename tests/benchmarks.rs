//! Search spaces that were enumerated by others: the sizes of their networks beside the published ones.
//!
//! The tables are not part of the repository. Tests that need one read it from the folder in the environment
//! variable `CELLC_DATA`, `../shared/data` if that is not set, and say on stderr when it is not there.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use cellc::compile::{self, Request};
use cellc::graph::cost::{Cost, Counts};
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::source::SourceFile;
use cellc::space::{Genotype, SearchSpace};
use flate2::read::GzDecoder;

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

/// The lines of a table behind its header; `None`, said on stderr, if it is not there.
fn table(name: &str) -> Option<Vec<String>> {
    let folder = std::env::var_os("CELLC_DATA").map_or("../shared/data".into(), PathBuf::from);
    let path = folder.join(name);
    let Ok(file) = File::open(&path) else {
        // Not captured, unlike what `eprintln!` writes.
        writeln!(std::io::stderr(), "SKIPPED: there is no {}; set CELLC_DATA", path.display())
            .expect("stderr can be written to");
        return None;
    };
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("a gzipped text");
    Some(text.lines().skip(1).map(str::to_string).collect())
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

#[test]
fn darts_has_the_papers_size() {
    // Section 2.1: for node k, k (k + 1) / 2 pairs of earlier nodes and an operation of seven for both.
    let cell: f64 = (1..=4).map(|k| f64::from(k * (k + 1) / 2 * 7 * 7)).product();
    let module = module("darts_space.cell");
    assert!((space(&module).size() / (cell * cell) - 1.0).abs() < 1e-12);
}
