//! Primitives beyond those of NASNet, from text to graph: shapes, paths, counts, what passes and the
//! canonical hash make of them, and at which widths they can be had.

mod reference;

use cellc::compile::{self, Fault, Request};
use cellc::diagnostic::Code;
use cellc::graph::cost::Cost;
use cellc::graph::hash::canonical;
use cellc::graph::lower::{Lowered, Scale, Width};
use cellc::graph::passes::simplify;
use cellc::graph::{Graph, NodeId, Op, TensorType};
use cellc::source::SourceFile;
use reference::graphs::Wirer;

/// A net of one cell on 16x16 images, and this cell.
fn net(cell: &str) -> String {
    format!(
        "net n<N, F> {{
            input 16x16x3
            stem conv<3, out = base> |> bn
            stack N * normal
            head gap |> dense<classes, bias = false>
        }}
        {cell}"
    )
}

fn lowered(text: &str, width: Width) -> Result<Lowered, Vec<Code>> {
    let source = SourceFile::new("test.cell", text);
    let module = compile::check(&source).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
    let request = Request { width, ..Request::new("n", Scale { n: 1, f: 0 }) };
    compile::lower_only(&module, &request).map_err(|fault| match fault {
        Fault::Cells(faults) => faults.iter().map(|fault| fault.code).collect(),
        Fault::Request(error) => panic!("{error}"),
    })
}

fn graph(cell: &str, base: usize) -> Graph {
    lowered(&net(cell), Width::Base(base)).expect("can be built").graph
}

const CELL: &str = "
    op grouped(x) = x |> conv<3, out = 2 * c, groups = 4> |> layernorm |> relu6
    op rearranged(x) = x |> shuffle<4> |> slice<c, c / 2> |> instancenorm
    cell normal(h) {
        a = grouped(h)
        b = rearranged(a)
        d = mix(a, conv<1>(b))
        out concat(split<2, 2>(d), zero(d))
    }";

#[test]
fn each_has_its_shape_and_path() {
    let graph = graph(CELL, 8);
    let nodes: Vec<(&str, TensorType)> = graph
        .nodes
        .iter()
        .filter(|node| node.path.starts_with("cells"))
        .map(|node| (node.path.as_str(), node.ty))
        .collect();
    let ty = |channels| TensorType::new(channels, 16, 16);
    let expected = [
        ("cells.0.a.conv1", ty(16)),
        ("cells.0.a.ln1", ty(16)),
        ("cells.0.a.relu61", ty(16)),
        ("cells.0.b.shuffle1", ty(16)),
        ("cells.0.b.slice1", ty(4)),
        ("cells.0.b.in1", ty(4)),
        // A bare operand is brought to the cell's width, as in any combination.
        ("cells.0.d.left.relu1", ty(16)),
        ("cells.0.d.left.conv1", ty(8)),
        ("cells.0.d.left.bn1", ty(8)),
        ("cells.0.d.right.conv1", ty(8)),
        ("cells.0.d.mix1", ty(8)),
        ("cells.0.out.arg0.slice1", ty(4)),
        ("cells.0.out.arg1.zero1", ty(8)),
        ("cells.0.out.concat1", ty(12)),
    ];
    assert_eq!(nodes, expected);
}

#[test]
fn strides_of_zeros_round_up() {
    let cell = "cell normal(h) { out zero<2x3>(h) }";
    let graph = graph(cell, 8);
    let node = graph.nodes.iter().find(|node| node.path == "cells.0.out.zero1").expect("zeros");
    assert_eq!(node.ty, TensorType::new(8, 8, 6));
}

#[test]
fn counts_follow_groups_norms_and_biases() {
    let cell = "cell normal(h) {
            out conv<3, out = 24, groups = 4>(h) |> layernorm |> instancenorm |> relu6 |> shuffle<3>
        }";
    let cost = Cost::of(&graph(cell, 8));
    let [stem, cell, head] = &cost.sections[..] else { panic!("{cost:?}") };
    assert_eq!((stem.counts.params, stem.counts.statistics), (3 * 8 * 9 + 16, 16));
    // Each of 24 filters sees 8 / 4 channels; two norms of 24 scales and shifts, nothing kept.
    assert_eq!((cell.counts.params, cell.counts.statistics), (24 * 2 * 9 + 4 * 24, 0));
    assert_eq!(cell.counts.macs, 24 * 2 * 9 * 16 * 16);
    assert_eq!((head.counts.params, head.counts.macs), (240, 240));
}

#[test]
fn widths_at_which_channels_divide_can_be_had() {
    // Neither 32, where cells are tried first, nor 96, where F is tried first, divides by 3 or 5.
    let cell = "cell normal(h) { out conv<3, groups = 5>(h) |> split<3, 1> |> shuffle<5> }";
    let text = net(cell);
    for (base, code) in [(8, Code::ChannelsDoNotFit), (20, Code::RequirementNotMet)] {
        assert_eq!(lowered(&text, Width::Base(base)), Err(vec![code]), "{base}");
    }
    assert_eq!(lowered(&text, Width::Base(30)).expect("30 divides by 15").scale.f, 10);
    assert_eq!(lowered(&text, Width::Filters(20)).expect("a third of 60").base, 60);

    let module = compile::check(&SourceFile::new("test.cell", text)).expect("can be built");
    let id = compile::architecture_id(&module, "n", None).expect("has an identity");
    assert_eq!(id.len(), 16);
}

#[test]
fn false_and_true_are_values() {
    let cell = "
        op head<wide = false>(x) {
            when wide == true => x |> gap |> dense<2 * c>
            otherwise         => x |> gap |> dense<c, not true>
        }
        cell normal(h) { out concat(head(h), head<wide = true>(h)) }";
    let graph = graph(cell, 8);
    let params: Vec<(&str, &[usize])> = graph
        .params
        .iter()
        .filter(|param| param.path.starts_with("cells"))
        .map(|param| (param.path.as_str(), &param.shape[..]))
        .collect();
    let expected: [(&str, &[usize]); 3] = [
        ("cells.0.out.arg0.dense1.weight", &[8, 8]),
        ("cells.0.out.arg1.dense1.weight", &[16, 8]),
        ("cells.0.out.arg1.dense1.bias", &[16]),
    ];
    assert_eq!(params, expected);
    let text = net("cell normal(h) { out gap(h) |> dense<c, bias = false> }");
    let module = compile::check(&SourceFile::new("test.cell", text)).expect("is sound");
    assert!(module.to_string().contains("dense<out = c, bias = false>"), "{module}");
}

#[test]
fn what_changes_nothing_is_dropped() {
    let mut w = Wirer::new(TensorType::new(6, 4, 4));
    let same = [
        Op::Slice { start: 0, count: 6 },
        Op::Shuffle { groups: 1 },
        Op::Shuffle { groups: 6 },
        Op::Relu6,
        Op::Relu6,
        Op::Relu,
    ];
    let x = same.into_iter().fold(w.graph.input, |x, op| w.add(op, &[x]));
    let kept = [
        Op::Shuffle { groups: 2 },
        Op::Slice { start: 1, count: 4 },
        Op::Slice { start: 0, count: 3 },
        Op::Zero { stride: [1, 1] },
    ];
    let x = kept.into_iter().fold(x, |x, op| w.add(op, &[x]));
    w.graph.output = w.head(x, 2);
    let names: Vec<&str> = simplify(&w.graph).nodes.iter().map(|node| node.op.name()).collect();
    assert_eq!(names, ["input", "relu6", "shuffle", "slice", "slice", "zero", "gap", "dense"]);
}

#[test]
fn equal_zeros_and_slices_are_merged() {
    let mut w = Wirer::new(TensorType::new(6, 4, 4));
    let slices = [0, 0, 3].map(|start| w.add(Op::Slice { start, count: 3 }, &[w.graph.input]));
    let zeros = [1, 1, 2].map(|s| w.add(Op::Zero { stride: [s, 1] }, &[w.graph.input]));
    let pools = slices.into_iter().chain(zeros).map(|x| w.add(Op::GlobalAvgPool, &[x]));
    let pools: Vec<NodeId> = pools.collect();
    w.graph.output = w.add(Op::Concat, &pools);
    // The image, two slices, two kinds of zeros, four means, the concatenation.
    assert_eq!(simplify(&w.graph).nodes.len(), 10);
}

/// The hash of a graph that ends in two maps of one size, combined and then treated by `rest`.
fn hash_of(combine: Op, swapped: bool, rest: &[Op]) -> u64 {
    let mut w = Wirer::new(TensorType::new(4, 4, 4));
    let (a, b) = (w.conv(w.graph.input, 3, 1, 4), w.conv(w.graph.input, 1, 1, 4));
    let operands = if swapped { [b, a] } else { [a, b] };
    let x = w.add(combine, &operands);
    let x = rest.iter().fold(x, |x, op| w.add(op.clone(), &[x]));
    let x = w.conv(x, 1, 1, 4);
    w.graph.output = w.head(x, 2);
    canonical(&w.graph)
}

#[test]
fn hashes_tell_what_the_order_of_channels_means_to_a_reader() {
    let is_free = |rest: &[Op]| hash_of(Op::Concat, false, rest) == hash_of(Op::Concat, true, rest);
    for op in [Op::LayerNorm, Op::InstanceNorm, Op::Relu6, Op::Zero { stride: [1, 1] }] {
        assert!(is_free(std::slice::from_ref(&op)), "{op:?}");
    }
    let window =
        cellc::graph::Window::new([1, 1], [1, 1], [1, 1], cellc::graph::Padding::Same, [4, 4])
            .expect("fits");
    let conv = |groups| Op::Conv { window, out_channels: 8, groups };
    assert!(is_free(&[conv(1)]));
    for op in [conv(2), Op::Shuffle { groups: 2 }, Op::Slice { start: 0, count: 4 }] {
        assert!(!is_free(std::slice::from_ref(&op)), "{op:?}");
    }
    assert_eq!(hash_of(Op::Mix, false, &[]), hash_of(Op::Mix, true, &[]));

    let all = [
        vec![],
        vec![conv(1)],
        vec![conv(2)],
        vec![conv(4)],
        vec![Op::LayerNorm],
        vec![Op::InstanceNorm],
        vec![Op::BatchNorm],
        vec![Op::Relu6],
        vec![Op::Shuffle { groups: 2 }],
        vec![Op::Shuffle { groups: 4 }],
        vec![Op::Slice { start: 0, count: 4 }],
        vec![Op::Slice { start: 4, count: 4 }],
        vec![Op::Zero { stride: [1, 1] }],
        vec![Op::Zero { stride: [1, 2] }],
    ];
    let hashes: std::collections::BTreeSet<u64> =
        all.iter().map(|rest| hash_of(Op::Concat, false, rest)).collect();
    assert_eq!(hashes.len(), all.len());
}

#[test]
fn graphs_print_attributes_that_are_not_the_usual() {
    let cell = "cell normal(h) {
            out conv<3, out = 16, groups = 2>(h) |> shuffle<4> |> slice<3, 10> |> zero<2>
        }";
    let text = graph(cell, 8).to_string();
    for line in [
        "conv 3x3 pad=1,1 out=16 groups=2 (%2)",
        "shuffle g=4 (%3)",
        "slice 3..13 (%4)",
        "zero s=2x2 (%5)",
        "dense out=10 bias=false (%7)",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}
