//! Drop path: which edges of a cell have it, how likely each is kept, and what it does to the numbers.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::collections::BTreeMap;

use cellc::compile::{self, Request};
use cellc::device::{BackwardPass, Cpu, CpuWorkspace, Device, ForwardPass, RunConfig, Statistics};
use cellc::graph::{Graph, Op, TensorType, hash};
use cellc::plan::{Forward, Layout, Mode, Plan};
use cellc::source::SourceFile;

const TRAIN: Mode = Mode::Train { dropout: false, drop_path: true, image_gradient: true };

fn graph(text: &str, net: &str, scale: &str, drop_path: bool) -> Graph {
    let module = compile::check(&SourceFile::new("test.cell", text)).unwrap();
    let request = Request { drop_path, ..Request::new(net, scale.parse().unwrap()) };
    compile::network(&module, &request).unwrap().graph
}

fn nasnet_a(net: &str, scale: &str, drop_path: bool) -> Graph {
    graph(compile::embedded("nasnet_a.cell").unwrap(), net, scale, drop_path)
}

/// The dropped edges of each section, as the paths of their nodes within it.
fn dropped(graph: &Graph) -> BTreeMap<&str, Vec<&str>> {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| node.op == Op::DropPath) {
        let section = graph.sections[node.section.0].path.as_str();
        let path = node.path.strip_prefix(section).unwrap().strip_prefix('.').unwrap();
        sections.entry(section).or_default().push(path.strip_suffix(".drop_path1").unwrap());
    }
    sections
}

/// Slim drops every operation but `none`: by the figure of the cells, with the operations of the released
/// code.
#[test]
fn operations_of_nasnet_a_are_dropped_and_identities_are_not() {
    let graph = nasnet_a("cifar", "1@48", true);
    let normal =
        ["n1.left", "n1.right", "n2.left", "n2.right", "n3.left", "n4.left", "n4.right", "n5.left"];
    let cells = dropped(&graph);
    // The first cell among them: its identity reads the stem and is a convolution.
    let first = graph.nodes.iter().any(|node| node.path == "cells.0.n3.right.conv1");
    assert!(first, "the first identity brings the stem to the cell's width");
    for cell in ["cells.0", "cells.2", "cells.4"] {
        assert_eq!(cells[cell], normal, "{cell}");
    }
    for cell in ["cells.1", "cells.3"] {
        // One of the fourth block's operands is an identity.
        assert_eq!(cells[cell].len(), 9, "{cell}: {:?}", cells[cell]);
        let fourth: Vec<&&str> = cells[cell].iter().filter(|path| path.contains('4')).collect();
        assert_eq!(fourth.len(), 1, "{cell}: {fourth:?}");
    }
    assert_eq!(cells.len(), 5, "neither stem nor head drops: {cells:?}");
}

#[test]
fn every_form_of_operand_has_its_rule() {
    let text = "
        op skip(x) {
            when channels(x) == c => x
            otherwise             => squeeze(x)
        }
        op gate(x, y) = x * sigmoid(y)
        cell normal(h, prev) {
            a = squeeze(h)
            b = skip(h) + skip(a)
            d = sep<3>(a) |> squeeze |> id
            e = (sep<3>(a) + a) + id(a)
            f = id(sep<3>(d)) * relu(a)
            g = concat(conv_bn<1>(a), a, avg<3>(a))
            i = gate(a, squeeze(b))
            out concat(d, e, squeeze(f), g, i)
        }";
    let graph = graph(
        &format!(
            "net n<N, F> {{
            input 8x8x3
            stem conv<3, out = 3 * base> |> bn
            stack 2 * normal
            head gap |> dense<classes>
        }}{text}"
        ),
        "n",
        "2@40",
        true,
    );
    let expected = [
        // An operation with nothing to do is an identity, the same operation elsewhere is none.
        "b.left",
        // Of a nested combination, what is inside.
        "e.left.left",
        // An identity of an operation is that operation.
        "f.left",
        "f.right",
        // Bare or not, of a concatenation of any number; of an operation with two operands.
        "g.arg0",
        "g.arg2",
        "i.right",
    ];
    assert_eq!(dropped(&graph)["cells.1"], expected);
}

#[test]
fn nothing_else_changes_with_drop_path() {
    for (net, scale) in [("cifar", "2@96"), ("imagenet", "1@96")] {
        let [plain, dropping] = [false, true].map(|drop| nasnet_a(net, scale, drop));
        assert!(plain.nodes.iter().all(|node| node.op != Op::DropPath));
        assert_eq!(plain.params, dropping.params, "paths and shapes, in order");
        assert_ne!(hash::canonical(&plain), hash::canonical(&dropping));
        // Bypassed, the plan is the one without.
        let off = Mode::Train { dropout: false, drop_path: false, image_gradient: false };
        for mode in [off, Mode::Infer] {
            let kernels = |graph: &Graph| Plan::new(graph, mode).forward.len();
            assert_eq!(kernels(&plain), kernels(&dropping));
        }
    }
}

/// Keep probabilities at the end of training, cell by cell, from the released code's steps: first the depth,
/// then the time, `keep = 1 - ratio * (1 - keep)`.
#[test]
fn each_cell_has_its_keep_probability() {
    // By hand, 1 - (i + 1) / 20 * 0.4: 3 * 6 + 2 cells.
    let cifar = [
        0.98, 0.96, 0.94, 0.92, 0.90, 0.88, 0.86, 0.84, 0.82, 0.80, 0.78, 0.76, 0.74, 0.72, 0.70,
        0.68, 0.66, 0.64, 0.62, 0.60,
    ];
    // 1 - (i + 1) / 22 * 0.3: 3 * 6 + 4 cells, the first two of them the stem's.
    let imagenet = [
        0.986_364, 0.972_727, 0.959_091, 0.945_455, 0.931_818, 0.918_182, 0.904_545, 0.890_909,
        0.877_273, 0.863_636, 0.85, 0.836_364, 0.822_727, 0.809_091, 0.795_455, 0.781_818,
        0.768_182, 0.754_545, 0.740_909, 0.727_273, 0.713_636, 0.7,
    ];
    for (net, scale, keep, table) in
        [("cifar", "6@768", 0.6, &cifar[..]), ("imagenet_large", "6@4032", 0.7, &imagenet[..])]
    {
        let plan = Plan::new(&nasnet_a(net, scale, true), TRAIN);
        let depths: std::collections::BTreeSet<[usize; 2]> = plan
            .forward
            .iter()
            .filter_map(|step| match &step.kernel {
                Forward::DropPath { depth, .. } => Some(*depth),
                _ => None,
            })
            .collect();
        let config = RunConfig { drop_path: 1.0 - keep, ..RunConfig::default() };
        let found: Vec<f32> = depths.iter().map(|&depth| config.drop_path_keep(depth)).collect();
        assert_eq!(found.len(), table.len(), "{net}: {depths:?}");
        for (found, expected) in found.iter().zip(table) {
            assert!((found - expected).abs() < 1e-5, "{net}: {found} instead of {expected}");
        }
        let flat = RunConfig { drop_path_by_depth: false, ..config };
        assert!(depths.iter().all(|&depth| flat.drop_path_keep(depth) == keep));
    }
}

/// An image of one number through drop path, in the second of four cells.
fn one_edge() -> Graph {
    let mut graph = Graph::new(TensorType::new(1, 1, 1));
    let cells = ["cells.0", "cells.1", "cells.2", "cells.3"]
        .map(|path| graph.section(path, Some("normal".into())));
    let dropped = graph.wire(Op::DropPath, &[graph.input], cells[1], "cells.1.drop").unwrap();
    graph.output = graph.wire(Op::Relu, &[dropped], cells[3], "cells.3.relu").unwrap();
    graph
}

#[test]
fn whole_images_are_dropped_and_the_mean_is_kept() {
    const N: usize = 8192;
    let graph = one_edge();
    let plan = Plan::new(&graph, TRAIN);
    assert_eq!(Layout::of(&graph).params_len(), 0);
    let image: Vec<f32> = (1..=N).map(|i| i as f32 / N as f32).collect();
    let run = |config: &RunConfig| {
        let (device, mut workspace) = (Cpu::default(), CpuWorkspace::default());
        let Ok(()) = device.prepare(&plan, N, &mut workspace);
        let mut logits = vec![0.0; N];
        let pass = ForwardPass {
            batch: N,
            params: &[],
            version: None,
            statistics: Statistics::Update(&mut []),
            image: &image,
            logits: &mut logits,
            aux: None,
        };
        let Ok(()) = device.forward(&plan, &mut workspace, config, pass);
        let mut gradient = vec![0.0; N];
        let pass = BackwardPass {
            batch: N,
            params: &[],
            logits: &vec![1.0; N],
            aux: None,
            gradients: &mut [],
            image: Some(&mut gradient),
        };
        let Ok(()) = device.backward(&plan, &mut workspace, config, pass);
        (logits, gradient)
    };
    // Half the depth, so half the share: an edge is kept with probability 0.8.
    let config = RunConfig { drop_path: 0.4, ..RunConfig::default() };
    let (logits, factors) = run(&config);
    assert!(factors.iter().all(|&f| f == 0.0 || (f - 1.25).abs() < 1e-6), "0 or 1 / 0.8");
    // The way back is the way there, image by image: the edge is linear.
    let products = factors.iter().zip(&image).map(|(f, x)| f * x);
    assert!(products.zip(&logits).all(|(product, &y)| (product - y).abs() < 1e-6));
    // The factor's mean is 1, with a variance of (1 - 0.8) / 0.8; five standard errors.
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / N as f64;
    let error = 5.0 * (0.25 / N as f64).sqrt();
    assert!((mean(&factors) - 1.0).abs() < error, "{}", mean(&factors));
    assert!((mean(&logits) - mean(&image)).abs() < error, "{}", mean(&logits));

    assert_eq!(run(&config).1, factors, "the same seed, the same images");
    let other = RunConfig { dropout_seed: 1, ..config };
    assert_ne!(run(&other).1, factors);
    let flat = run(&RunConfig { drop_path_by_depth: false, ..config }).1;
    assert!((mean(&flat) - 1.0).abs() < 5.0 * (0.4 / 0.6 / N as f64).sqrt());
    assert!(flat.iter().all(|&f| f == 0.0 || (f - 1.0 / 0.6).abs() < 1e-5));
}
