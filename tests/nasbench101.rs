//! NAS-Bench-101 (Ying et al., ICML 2019) in the language: its cells, written by a converter, have the sizes
//! of its table, and its distinct graphs are distinct networks.
//!
//! The tables are found as in tests/benchmarks.rs.

#[path = "support/tables.rs"]
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use cellc::compile::{self, Request};
use cellc::graph::cost::Cost;
use cellc::graph::hash;
use cellc::graph::lower::{Lowered, Scale, Width};
use cellc::source::SourceFile;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

/// Operations and skeleton of the released code (`base_ops.py`, `model_builder.py`).
const SKELETON: &str = "
    op project<o>(x) = x |> conv<1, out = o> |> bn |> relu
    op c1(x) = x |> conv<1, out = channels(x)> |> bn |> relu
    op c3(x) = x |> conv<3, out = channels(x)> |> bn |> relu
    op mp(x) = x |> maxpool<3>
    op cut<o>(x) = x |> slice<0, o>

    cell down(x) stride 2 { out x |> maxpool<2, stride> }

    net nasbench101<N, F> {
        input   32x32x3
        classes 10
        stem    conv<3, out = base> |> bn |> relu
        stack   N * normal, down, 1 * normal * 2, (N - 1) * normal, down, 1 * normal * 2, (N - 1) * normal
        head    gap |> dense<classes>
    }
";

/// A cell: which vertex reads which, and what each computes. The first vertex is the input, the last the
/// output; no vertex is without a path from the one to the other.
struct Cell {
    edges: Vec<Vec<bool>>,
    ops: Vec<String>,
}

impl Cell {
    /// From a matrix row by row and the operations, both without the vertices behind the output.
    fn new(matrix: impl Fn(usize, usize) -> bool, ops: Vec<String>) -> Self {
        let size = ops.len();
        let edges = (0..size).map(|from| (0..size).map(|to| matrix(from, to)).collect()).collect();
        Cell { edges, ops }
    }

    /// The channels of each vertex in terms of the cell's width `c` (`compute_vertex_channels`): those the
    /// output reads share its channels, the first of them one more where they do not divide; others have
    /// as many as the largest that reads them.
    fn channels(&self) -> Vec<String> {
        let output = self.ops.len() - 1;
        let parts: Vec<usize> = (1..output).filter(|&vertex| self.edges[vertex][output]).collect();
        let mut channels = vec![String::from("c"); self.ops.len()];
        for vertex in (1..output).rev() {
            let larger = |larger: String, next: usize| {
                let next = &channels[next];
                if larger.is_empty() { next.clone() } else { format!("max({larger}, {next})") }
            };
            channels[vertex] = match parts.iter().position(|&part| part == vertex) {
                Some(rank) => format!("(c + {}) / {}", parts.len() - 1 - rank, parts.len()),
                None => (vertex + 1..output)
                    .filter(|&next| self.edges[vertex][next])
                    .fold(String::new(), larger),
            };
        }
        channels
    }

    /// The file of the cell.
    fn text(&self) -> String {
        let output = self.ops.len() - 1;
        let channels = self.channels();
        let mut text = String::from("cell normal(x) {\n");
        for (vertex, width) in channels.iter().enumerate().take(output).skip(1) {
            let operands: Vec<String> = (0..vertex)
                .filter(|&from| self.edges[from][vertex])
                .map(|from| match from {
                    0 => format!("project<{width}>(x)"),
                    _ => format!("cut<{width}>(n{from})"),
                })
                .collect();
            let _ = writeln!(text, "    s{vertex} = {}", operands.join(" + "));
            let _ = writeln!(text, "    n{vertex} = {}(s{vertex})", self.ops[vertex]);
        }
        let parts: Vec<String> = (1..output)
            .filter(|&vertex| self.edges[vertex][output])
            .map(|vertex| format!("cut<{}>(n{vertex})", channels[vertex]))
            .collect();
        let inside = (!parts.is_empty()).then(|| format!("concat({})", parts.join(", ")));
        if let Some(inside) = &inside {
            let _ = writeln!(text, "    inside = {inside}");
        }
        let around = self.edges[0][output].then_some("project<c>(x)");
        let inside = inside.map(|_| "cut<c>(inside)");
        let sum: Vec<&str> = [inside, around].into_iter().flatten().collect();
        let _ = writeln!(text, "    out {}\n}}", sum.join(" + "));
        text + SKELETON
    }

    /// The network with `n` modules a stack, `base` filters in the first.
    fn network(&self, n: usize, base: usize) -> Lowered {
        let text = self.text();
        let module = compile::check(&SourceFile::new("cell", text.clone()))
            .unwrap_or_else(|faults| panic!("{faults:?} in\n{text}"));
        let request =
            Request { width: Width::Base(base), ..Request::new("nasbench101", Scale { n, f: 0 }) };
        compile::network(&module, &request).unwrap_or_else(|fault| panic!("{fault:?} in\n{text}"))
    }

    /// The same graph with its vertices in another order that its edges allow.
    fn reordered(&self, rng: &mut impl Rng) -> Cell {
        let size = self.ops.len();
        let mut order: Vec<usize> = vec![0];
        while order.len() < size {
            let is_ready = |vertex: usize| {
                !order.contains(&vertex)
                    && (0..size).all(|from| !self.edges[from][vertex] || order.contains(&from))
            };
            // The output comes last, whoever else is ready.
            let mut ready: Vec<usize> = (0..size - 1).filter(|&vertex| is_ready(vertex)).collect();
            ready.shuffle(rng);
            order.push(ready.first().copied().unwrap_or(size - 1));
        }
        let ops = order.iter().map(|&vertex| self.ops[vertex].clone()).collect();
        Cell::new(|from, to| self.edges[order[from]][order[to]], ops)
    }
}

#[test]
fn every_row_of_the_table_has_its_parameters() {
    let Some(rows) = tables::table("nasbench101_params_energy.csv.gz") else { return };
    assert_eq!(rows.len(), 4310);
    rows.par_iter().for_each(|row| {
        // adjacency_7x7_rowmajor,ops,params,energy_kwh_4ep
        let fields: Vec<&str> = row.split(',').collect();
        let matrix = fields[0].as_bytes();
        let ops = fields[1].split(' ').filter(|op| *op != "-").map(str::to_string).collect();
        let cell = Cell::new(|from, to| matrix[7 * from + to] == b'1', ops);
        let found = Cost::of(&cell.network(3, 128).graph).total.params;
        assert_eq!(found.to_string(), fields[2], "parameters of {} {}", fields[0], fields[1]);
    });
}

/// The distinct graphs of up to five vertices; `None` as [`tables::text`].
fn graphs() -> Option<Vec<Cell>> {
    let text = tables::text("nasbench101_unique_graphs_5v.json.gz")?;
    let graphs: BTreeMap<String, (Vec<Vec<u8>>, Vec<i8>)> =
        serde_json::from_str(&text).expect("matrices and labels by hash");
    let op = |label: i8| match label {
        0 => "c3",
        1 => "c1",
        2 => "mp",
        _ => "-",
    };
    let cell = |(matrix, labels): &(Vec<Vec<u8>>, Vec<i8>)| {
        let ops = labels.iter().map(|&label| op(label).to_string()).collect();
        Cell::new(|from, to| matrix[from][to] == 1, ops)
    };
    Some(graphs.values().map(cell).collect())
}

/// At a width that every number of vertices divides, so that no vertex is wider by its place alone.
fn identity(cell: &Cell) -> u64 {
    hash::canonical(&cell.network(1, 60).graph)
}

#[test]
fn distinct_graphs_are_distinct_networks() {
    let Some(graphs) = graphs() else { return };
    assert_eq!(graphs.len(), 2532);
    let identities: Vec<u64> = graphs.par_iter().map(identity).collect();
    let distinct: BTreeSet<u64> = identities.iter().copied().collect();
    assert_eq!(distinct.len(), 2532);
}

#[test]
fn a_graph_in_another_order_is_the_same_network() {
    let Some(graphs) = graphs() else { return };
    graphs.par_iter().enumerate().for_each(|(index, cell)| {
        let other = cell.reordered(&mut StdRng::seed_from_u64(index as u64));
        assert_eq!(identity(cell), identity(&other), "{}{}", cell.text(), other.text());
    });
}

#[test]
fn the_smallest_cells_have_their_parameters_by_hand() {
    // Stem; nine projections; the head. 128 channels, then 256 and 512.
    let conv_bn = |kernel: usize, from: usize, to: usize| kernel * kernel * from * to + 2 * to;
    let stacks = [(128, 128), (128, 256), (256, 512)];
    let around: usize =
        stacks.iter().map(|&(from, to)| conv_bn(1, from, to) + 2 * conv_bn(1, to, to)).sum();
    let cell = Cell::new(|from, to| from == 0 && to == 1, vec!["in".into(), "out".into()]);
    let ends = conv_bn(3, 3, 128) + 512 * 10 + 10;
    assert_eq!(Cost::of(&cell.network(3, 128).graph).total.params, (ends + around) as u64);
    // With a 3x3 convolution between input and output.
    let ops = ["in", "c3", "out"].map(String::from).to_vec();
    let cell = Cell::new(|from, to| to == from + 1, ops);
    let inside: usize = stacks.iter().map(|&(_, to)| 3 * conv_bn(3, to, to)).sum();
    assert_eq!(Cost::of(&cell.network(3, 128).graph).total.params, (ends + around + inside) as u64);
}
