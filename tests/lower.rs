//! What lowering makes of cells written for one rule each. Expected shapes and paths are written by
//! hand: the rules of `graph::lower`, and for NASNet those of the released code (slim `nasnet.py`).

use cellc::compile::{self, Fault, Request};
use cellc::diagnostic::{Diagnostic, Help};
use cellc::graph::lower::{Lowered, Scale, Width};
use cellc::graph::{Graph, Node, Op, TensorType};
use cellc::source::SourceFile;

/// The network of a file's last net at base width `base`, not simplified.
fn lowered(text: &str, n: usize, width: Width, with_aux: bool) -> Result<Lowered, Vec<Diagnostic>> {
    let source = SourceFile::new("test.cell", text);
    let module = compile::check(&source).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
    let net = &module.nets.last().expect("the prelude has a net").name.name;
    let request = Request { width, with_aux, ..Request::new(net.as_str(), Scale { n, f: 0 }) };
    compile::lower_only(&module, &request).map_err(|fault| match fault {
        Fault::Cells(faults) => faults.into_iter().collect(),
        Fault::Request(error) => panic!("{error}"),
    })
}

fn graph(text: &str) -> Graph {
    lowered(text, 1, Width::Base(8), false).expect("can be built").graph
}

/// Where a node computes: path, operation, `[C, H, W]`.
fn nodes<'g>(graph: &'g Graph, prefix: &str) -> Vec<(&'g str, &'static str, [usize; 3])> {
    let under = |node: &&Node| {
        node.path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.') || rest.is_empty())
    };
    let shape = |ty: TensorType| [ty.channels, ty.height, ty.width];
    let nodes = graph.nodes.iter().filter(under);
    nodes.map(|node| (node.path.as_str(), node.op.name(), shape(node.ty))).collect()
}

/// A net of one stage on 16x16 images over these cells.
fn in_net(stack: &str, cells: &str) -> String {
    format!(
        "net n<N, F> {{
            input 16x16x3
            stem conv<3, out = 3 * base> |> bn
            stack {stack}
            head gap |> dense<classes>
        }}
        {cells}"
    )
}

const NASNET_LIKE: &str = "
    cell normal(h, prev) {
        a = squeeze(h)
        b = fit(prev)
        n1 = sep<3>(a) + b
        out concat(b, n1)
    }
    cell reduction(h, prev) stride 2 {
        a = squeeze(h)
        b = fit(prev)
        r1 = max<3>(a) + sep<5>(b)
        r2 = sep<3>(r1) + a
        out concat(r1, r2)
    }";

#[test]
fn a_stride_is_that_of_the_operand() {
    let cells = "cell down(h) stride 2 {
            a = squeeze(h)
            b = sep<3>(a)
            c = sep<3>(b)
            d = avg<3>(a) + b
            e = conv_bn<3, s = 1>(a)
            out concat(c, d, e)
        }";
    let graph = graph(&in_net("1 * down", cells));
    let strides: Vec<(&str, [usize; 2])> = graph
        .nodes
        .iter()
        .filter_map(|node| match &node.op {
            Op::Conv { window, .. }
            | Op::DepthwiseConv { window }
            | Op::MaxPool { window }
            | Op::AvgPool { window } => Some((node.path.as_str(), window.stride)),
            _ => None,
        })
        .filter(|(path, _)| path.starts_with("cells.0"))
        .collect();
    let expected = [
        // `squeeze` writes no stride.
        ("cells.0.a.conv1", [1, 1]),
        // `a` has the size of the input: the first half strides, the second does not.
        ("cells.0.b.dw1", [2, 2]),
        ("cells.0.b.conv1", [1, 1]),
        ("cells.0.b.dw2", [1, 1]),
        ("cells.0.b.conv2", [1, 1]),
        // `b` is smaller already.
        ("cells.0.c.dw1", [1, 1]),
        ("cells.0.c.conv1", [1, 1]),
        ("cells.0.c.dw2", [1, 1]),
        ("cells.0.c.conv2", [1, 1]),
        // A bare `b` is `id(b)`, which is `b`.
        ("cells.0.d.left.avgpool1", [2, 2]),
        ("cells.0.e.conv1", [1, 1]),
        // `fixup` of the output brings `e`, and it alone, to the size of the others.
        ("cells.0.out.e.conv1", [2, 2]),
        ("cells.0.out.e.conv2", [2, 2]),
    ];
    assert_eq!(strides, expected);
    assert_eq!(
        nodes(&graph, "cells.0.out.concat1"),
        [("cells.0.out.concat1", "concat", [24, 8, 8])]
    );
}

#[test]
fn a_bare_operand_is_adapted_by_what_it_lacks() {
    let cells = "cell down(h) stride 2 {
            a = squeeze(h)
            n1 = a + h
            n2 = n1 + n1
            out n2
        }";
    let graph = graph(&in_net("1 * down", cells));
    let expected = [
        // Right width, wrong size; then wrong in both.
        ("cells.0.n1.left.relu1", "relu", [8, 16, 16]),
        ("cells.0.n1.left.conv1", "conv", [8, 8, 8]),
        ("cells.0.n1.left.bn1", "bn", [8, 8, 8]),
        ("cells.0.n1.right.relu1", "relu", [24, 16, 16]),
        ("cells.0.n1.right.conv1", "conv", [8, 8, 8]),
        ("cells.0.n1.right.bn1", "bn", [8, 8, 8]),
        ("cells.0.n1.add1", "add", [8, 8, 8]),
    ];
    assert_eq!(nodes(&graph, "cells.0.n1"), expected);
    // Both operands fit as they are.
    assert_eq!(nodes(&graph, "cells.0.n2"), [("cells.0.n2.add1", "add", [8, 8, 8])]);
    assert_eq!(nodes(&graph, "cells.0.out"), []);
}

#[test]
fn the_first_cell_reads_the_raw_stem() {
    let graph = graph(&in_net("2 * normal", NASNET_LIKE));
    // facts of the released code: no adaption of the earlier state in the first cell; whoever reads it
    // sees the stem's 3 x 8 channels, and the output takes it through a 1x1 convolution without relu.
    assert_eq!(nodes(&graph, "cells.0.b"), []);
    let right = [
        ("cells.0.n1.right.relu1", "relu", [24, 16, 16]),
        ("cells.0.n1.right.conv1", "conv", [8, 16, 16]),
        ("cells.0.n1.right.bn1", "bn", [8, 16, 16]),
    ];
    assert_eq!(nodes(&graph, "cells.0.n1.right"), right);
    let fixup =
        [("cells.0.out.b.conv1", "conv", [8, 16, 16]), ("cells.0.out.b.bn1", "bn", [8, 16, 16])];
    assert_eq!(nodes(&graph, "cells.0.out.b"), fixup);
    // The second cell's earlier state is the stem again, now adapted once, with a relu.
    let fit = [
        ("cells.1.b.relu1", "relu", [24, 16, 16]),
        ("cells.1.b.conv1", "conv", [8, 16, 16]),
        ("cells.1.b.bn1", "bn", [8, 16, 16]),
    ];
    assert_eq!(nodes(&graph, "cells.1.b"), fit);
    assert_eq!(nodes(&graph, "cells.1.n1.right"), []);
    assert_eq!(nodes(&graph, "cells.1.out"), [("cells.1.out.concat1", "concat", [16, 16, 16])]);
}

#[test]
fn an_earlier_state_of_twice_the_size_is_halved_on_two_paths() {
    let graph = graph(&in_net("normal, reduction * 2, normal", NASNET_LIKE));
    // Cell 2 has width 16; its earlier state is cell 0's output, 16 channels at 16x16.
    let halved = [
        ("cells.2.b.relu1", "relu", [16, 16, 16]),
        ("cells.2.b.conv1", "conv", [8, 8, 8]),
        ("cells.2.b.shift1", "shift", [16, 16, 16]),
        ("cells.2.b.conv2", "conv", [8, 8, 8]),
        ("cells.2.b.concat1", "concat", [16, 8, 8]),
        ("cells.2.b.bn1", "bn", [16, 8, 8]),
    ];
    assert_eq!(nodes(&graph, "cells.2.b"), halved);
    // Cell 1 is the reduction: its earlier state is the stem, of the size of its input.
    let fit = [
        ("cells.1.b.relu1", "relu", [24, 16, 16]),
        ("cells.1.b.conv1", "conv", [16, 16, 16]),
        ("cells.1.b.bn1", "bn", [16, 16, 16]),
    ];
    assert_eq!(nodes(&graph, "cells.1.b"), fit);
    assert_eq!(nodes(&graph, "cells.1.out"), [("cells.1.out.concat1", "concat", [32, 8, 8])]);
}

#[test]
fn an_odd_width_gives_its_last_filter_to_the_second_path() {
    let text = in_net("normal, reduction, normal", NASNET_LIKE);
    let graph = lowered(&text, 1, Width::Base(27), false).expect("can be built").graph;
    let halves: Vec<usize> = nodes(&graph, "cells.2.b")
        .into_iter()
        .filter(|(_, op, _)| *op == "conv")
        .map(|(_, _, [channels, ..])| channels)
        .collect();
    assert_eq!(halves, [13, 14]);
}

#[test]
fn inputs_reach_as_far_back_as_there_are_cells() {
    let cells = "cell triple(h, prev, older) {
            a = h |> gap
            b = prev |> gap
            c = older |> gap
            out a |> dense<c>
        }";
    let cells = cells.to_owned() + "cell wide(h) { out conv<1, out = 40>(h) }";
    let graph = graph(&in_net("wide, 3 * triple", &cells));
    let channels = |cell: usize| -> Vec<usize> {
        ["a", "b", "c"]
            .iter()
            .map(|block| {
                let path = format!("cells.{cell}.{block}.gap1");
                let node = graph.nodes.iter().find(|node| node.path == path).expect("a gap");
                node.ty.channels
            })
            .collect()
    };
    // Stem 24, cell 0 has 40, cells 1 to 3 have 8.
    assert_eq!(channels(1), [40, 24, 24]);
    assert_eq!(channels(2), [8, 40, 24]);
    assert_eq!(channels(3), [8, 8, 40]);
}

#[test]
fn pools_keep_their_operands_channels_until_a_convolution() {
    let cells = "cell pool(h) { out max<3>(h) + avg<3>(squeeze(h)) }";
    let graph = graph(&in_net("1 * pool", cells));
    let expected = [
        // No relu before a pool; 1x1 convolution and normalisation only where the width is not the cell's.
        ("cells.0.out.left.maxpool1", "maxpool", [24, 16, 16]),
        ("cells.0.out.left.conv1", "conv", [8, 16, 16]),
        ("cells.0.out.left.bn1", "bn", [8, 16, 16]),
        ("cells.0.out.right.relu1", "relu", [24, 16, 16]),
        ("cells.0.out.right.conv1", "conv", [8, 16, 16]),
        ("cells.0.out.right.bn1", "bn", [8, 16, 16]),
        ("cells.0.out.right.avgpool1", "avgpool", [8, 16, 16]),
        ("cells.0.out.add1", "add", [8, 16, 16]),
    ];
    assert_eq!(nodes(&graph, "cells.0.out"), expected);
}

#[test]
fn unused_blocks_are_concatenated_in_order() {
    let cells = "cell some(h) {
            a = squeeze(h)
            n1 = sep<3>(a)
            n2 = sep<3>(a) + n1
            n3 = max<3>(a)
            out concat(unused)
        }";
    let graph = graph(&in_net("1 * some", cells));
    let out = graph.nodes.iter().find(|node| node.path == "cells.0.out.concat1").expect("a concat");
    let operands: Vec<&str> = out.inputs.iter().map(|&id| graph.node(id).path.as_str()).collect();
    assert_eq!(operands, ["cells.0.n2.add1", "cells.0.n3.maxpool1"]);
}

#[test]
fn parameters_are_called_by_their_place() {
    let graph = graph(&in_net("2 * normal", NASNET_LIKE));
    let paths: Vec<&str> = graph
        .params
        .iter()
        .map(|param| param.path.as_str())
        .filter(|path| path.ends_with("weight") && !path.starts_with("cells.0"))
        .collect();
    let expected = [
        "stem.conv1.weight",
        "stem.bn1.weight",
        "cells.1.a.conv1.weight",
        "cells.1.a.bn1.weight",
        "cells.1.b.conv1.weight",
        "cells.1.b.bn1.weight",
        "cells.1.n1.left.dw1.weight",
        "cells.1.n1.left.conv1.weight",
        "cells.1.n1.left.bn1.weight",
        "cells.1.n1.left.dw2.weight",
        "cells.1.n1.left.conv2.weight",
        "cells.1.n1.left.bn2.weight",
        "head.dense1.weight",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn the_auxiliary_head_sits_after_the_last_cell_of_its_stage() {
    let text = compile::embedded("nasnet_a.cell").expect("in the library");
    let module = compile::check(&SourceFile::new("nasnet_a.cell", text)).expect("is sound");
    let request = Request {
        width: Width::Base(8),
        with_aux: true,
        ..Request::new("cifar", Scale { n: 2, f: 0 })
    };
    let graph = compile::lower_only(&module, &request).expect("can be built").graph;
    // Cells: N, reduction, N, reduction, N. The second stage is the first reduction and the N normal
    // cells behind it: cells 2, 3, 4. Their width is 16, their size 16x16.
    let first = graph.nodes.iter().find(|node| node.path == "aux.relu1").expect("an aux head");
    assert_eq!(graph.node(first.inputs[0]).path, "cells.4.out.concat1");
    let expected = [
        ("aux.relu1", "relu", [96, 16, 16]),
        // 5x5, stride 3, without padding: (16 - 5) / 3 + 1.
        ("aux.avgpool1", "avgpool", [96, 4, 4]),
        ("aux.conv1", "conv", [128, 4, 4]),
        ("aux.bn1", "bn", [128, 4, 4]),
        ("aux.relu2", "relu", [128, 4, 4]),
        // As large as the map.
        ("aux.conv2", "conv", [768, 1, 1]),
        ("aux.bn2", "bn", [768, 1, 1]),
        ("aux.relu3", "relu", [768, 1, 1]),
        ("aux.dense1", "dense", [10, 1, 1]),
    ];
    assert_eq!(nodes(&graph, "aux"), expected);
    assert_eq!(graph.aux.map(|id| graph.node(id).path.as_str()), Some("aux.dense1"));
    assert_eq!(graph.node(graph.output).path, "head.dense1");
}

#[test]
fn a_stack_of_no_cells_is_stem_and_head() {
    let lowered = lowered(&in_net("0 * normal", ""), 1, Width::Filters(24), false);
    let lowered = lowered.expect("can be built");
    assert_eq!((lowered.base, lowered.scale.f), (8, 24));
    assert!(lowered.graph.sections.iter().all(|section| section.cell.is_none()));
}

/// Base widths solved from F, whatever F depends on.
#[test]
fn base_is_solved_from_filters() {
    let out =
        |out: &str| in_net("N * normal", &format!("cell normal(h) {{ a = squeeze(h) out {out} }}"));
    let cases = [
        ("a", 17, 17),
        ("concat(a, a, a)", 51, 17),
        // Rounded down: 34 - 34 / 4 is the first 26.
        ("conv<1, out = c - c / 4>(a)", 26, 34),
        // A share that does not grow.
        ("concat(a, conv<1, out = 16>(a))", 48, 32),
        // Below 100 there is no network.
        ("conv<1, out = c / 100>(a)", 3, 300),
        ("conv<1, out = c * c>(a)", 49, 7),
    ];
    for (cell, f, base) in cases {
        let found = lowered(&out(cell), 2, Width::Filters(f), false)
            .unwrap_or_else(|faults| panic!("{cell} at {f}: {faults:?}"));
        assert_eq!(found.scale, Scale { n: 2, f }, "{cell}");
        assert_eq!(found.base, base, "{cell} at {f}");
    }
}

#[test]
fn the_nearest_scales_can_be_built() {
    let out =
        |out: &str| in_net("N * normal", &format!("cell normal(h) {{ a = squeeze(h) out {out} }}"));
    let cases = [
        ("concat(a, a, a)", 50, vec!["2@48", "2@51"]),
        ("concat(a, a, a)", 1, vec!["2@3"]),
        ("conv<1, out = 64>(a)", 63, vec!["2@64"]),
        ("conv<1, out = 64>(a)", 65, vec!["2@64"]),
        ("concat(a, conv<1, out = 16>(a), a)", 49, vec!["2@48", "2@50"]),
        ("conv<1, out = c * c>(a)", 50, vec!["2@49", "2@64"]),
    ];
    for (cell, f, expected) in cases {
        let text = out(cell);
        let faults = lowered(&text, 2, Width::Filters(f), false).expect_err("F cannot be had");
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert_eq!(fault.code.as_str(), "E0603", "{cell}");
        let [Help::Note(note)] = fault.help.as_slice() else { panic!("{fault:?}") };
        let named: Vec<&str> = note.split([' ', ',']).filter(|word| word.contains('@')).collect();
        assert_eq!(named, expected, "{cell} at {f}");
        for scale in named {
            let scale: Scale = scale.parse().expect("a scale");
            let built = lowered(&text, scale.n, Width::Filters(scale.f), false);
            assert_eq!(built.expect("a named scale").scale, scale);
        }
    }
}

#[test]
fn requests_that_no_network_can_have_are_refused() {
    let text = in_net("N * normal", NASNET_LIKE);
    let module = compile::check(&SourceFile::new("test.cell", text)).expect("is sound");
    let plain = Request { width: Width::Base(8), ..Request::new("n", Scale { n: 1, f: 0 }) };
    let image = |channels, height, width| Request {
        image: Some(TensorType::new(channels, height, width)),
        ..plain.clone()
    };
    let cases = [
        (Request { n: 0, ..plain.clone() }, "E0606"),
        (Request { n: usize::MAX, ..plain.clone() }, "E0606"),
        (Request { width: Width::Filters(0), ..plain.clone() }, "E0606"),
        (Request { width: Width::Filters(usize::MAX), ..plain.clone() }, "E0606"),
        (Request { width: Width::Base(0), ..plain.clone() }, "E0606"),
        (Request { classes: Some(0), ..plain.clone() }, "E0304"),
        (Request { classes: Some(usize::MAX), ..plain.clone() }, "E0304"),
        (image(0, 8, 8), "E0304"),
        (image(3, 0, 8), "E0304"),
        (image(3, 8, usize::MAX), "E0304"),
    ];
    for (request, code) in cases {
        match compile::network(&module, &request) {
            Err(Fault::Cells(faults)) => {
                assert_eq!(faults.iter().next().map(|fault| fault.code.as_str()), Some(code));
            }
            other => panic!("{request:?} gives {other:?}"),
        }
    }
}
