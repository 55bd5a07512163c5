//! What leaves cellc: folded networks, bodies, ONNX files. `tests/export/onnxruntime_agrees.py` runs the
//! files themselves.

#[path = "export/lively.rs"]
mod lively;
#[cfg(feature = "onnx")]
#[path = "export/onnx_files.rs"]
mod onnx_files;
mod reference;

use cellc::compile::{self, Request};
use cellc::export::features::{Features, STRIDES, adopt};
use cellc::export::fold::fold;
use cellc::graph::{Graph, NodeId, Op, ParamKind, TensorType};
use cellc::ir::Module;
use cellc::network::{Network, StateFault};
use cellc::source::SourceFile;
use dfdx::nn::{Module as _, ModuleMut};
use dfdx::tensor::Trace;
use dfdx::tensor_ops::{Backward, SumTo};
use lively::{images, lively};
use reference::graphs::Wirer;

/// Cells, a net for them and a small scale.
const NETWORKS: [(&str, &str, &str); 5] = [
    ("nasnet_a", "cifar", "1@48"),
    ("pnasnet_5", "cifar_strided", "1@40"),
    ("amoebanet_d", "cifar", "1@64"),
    ("darts_v2", "darts", "3@64"),
    ("every_op", "every_op", "1@32"),
];

fn module(cell: &str) -> Module {
    let own = include_str!("export/every_op.cell");
    let text = compile::embedded(&format!("{cell}.cell")).unwrap_or(own);
    compile::check(&SourceFile::new(cell, text)).expect("it checks")
}

fn request(net: &str, scale: &str) -> Request {
    Request::new(net, scale.parse().expect("a scale"))
}

fn graph(cell: &str, net: &str, scale: &str) -> Graph {
    compile::network(&module(cell), &request(net, scale)).expect("it compiles").graph
}

fn logits(network: &Network, batch: usize) -> Vec<f32> {
    network.forward(images(network.graph().ty(network.graph().input), batch, 5)).as_vec()
}

/// The largest difference relative to the largest magnitude.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "numbers to compare");
    let most = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0.0, f64::max);
    let pairs = found.iter().zip(expected);
    let scale = most(&mut expected.iter().map(|&value| f64::from(value).abs()));
    most(&mut pairs.map(|(&found, &value)| (f64::from(found) - f64::from(value)).abs())) / scale
}

fn norms(graph: &Graph) -> Vec<NodeId> {
    let all = (0..graph.nodes.len()).map(NodeId);
    all.filter(|id| graph.node(*id).op == Op::BatchNorm).collect()
}

#[test]
fn folding_changes_no_logit() {
    for (cell, net, scale) in NETWORKS {
        let network = lively(&graph(cell, net, scale), 3);
        let folded = fold(&network, &[]);
        // In all these cells a normalization stands behind convolutions that nothing else reads.
        assert_eq!(
            folded.norms().into_iter().collect::<Vec<_>>(),
            norms(network.graph()),
            "{cell}"
        );
        let (before, after) = (logits(&network, 5), logits(&folded.network, 5));
        let difference = relative(&after, &before);
        assert!(difference < 1e-5, "{cell}: {difference:e}");
        assert_ne!(before, after, "{cell}: nothing was folded");
        let state = folded.network.state_dict();
        for norm in folded.norms() {
            for id in &network.graph().node(norm).params {
                let param = &network.graph().params[id.0];
                let expected = match param.kind {
                    ParamKind::Gamma => 1.0,
                    ParamKind::RunningMean => 0.0,
                    ParamKind::RunningVar => 1.0 - network.config().bn_eps,
                    ParamKind::Weight | ParamKind::Bias | ParamKind::Beta => continue,
                };
                let is_plain = state[&param.path].values.iter().all(|&value| value == expected);
                assert!(is_plain, "{cell}: {}", param.path);
            }
        }
    }
}

#[test]
fn a_convolution_that_others_read_is_not_scaled() {
    let mut w = Wirer::new(TensorType::new(3, 6, 6));
    let shared = w.conv(w.graph.input, 3, 1, 4);
    let of_shared = w.bn(shared);
    let sum = w.add(Op::Add, &[shared, of_shared]);
    let of_sum = w.bn(sum);
    let twice = w.conv(of_sum, 1, 1, 4);
    let twice = w.add(Op::Concat, &[twice, twice]);
    let of_twice = w.bn(twice);
    let kept = w.conv(of_twice, 1, 1, 4);
    let of_kept = w.bn(kept);
    let free = [1, 3].map(|k| w.dwconv(of_kept, k, 1));
    let both = w.add(Op::Concat, &free);
    let of_both = w.bn(both);
    let pooled = w.add(Op::GlobalAvgPool, &[of_both]);
    let inner = w.add(Op::Dense { out_features: 6, bias: true }, &[pooled]);
    let of_inner = w.bn(inner);
    w.graph.output = w.add(Op::Dense { out_features: 3, bias: false }, &[of_inner]);
    let network = lively(&w.graph, 4);

    let folded = fold(&network, &[kept]);
    let places: Vec<(NodeId, NodeId, usize)> =
        folded.shifts.iter().map(|(&id, shift)| (id, shift.norm, shift.channel)).collect();
    let expected = [(free[0], of_both, 0), (free[1], of_both, 4), (inner, of_inner, 0)];
    assert_eq!(places, expected);
    let difference = relative(&logits(&folded.network, 3), &logits(&network, 3));
    assert!(difference < 1e-5, "{difference:e}");
    assert_eq!(fold(&network, &[]).shifts.len(), 4, "without `kept`");
}

#[test]
fn a_body_gives_what_the_head_reads() {
    let network = lively(&graph("nasnet_a", "cifar", "1@48"), 6);
    let state = network.state_dict();
    let module = module("nasnet_a");
    let features = Features::of(&module, &request("cifar", "1@48"), &[1, 2, 4]).expect("a body");
    let types: Vec<(usize, TensorType)> =
        features.maps.iter().map(|(&stride, &id)| (stride, features.graph.ty(id))).collect();
    let map = TensorType::new;
    assert_eq!(types, [(1, map(12, 32, 32)), (2, map(24, 16, 16)), (4, map(48, 8, 8))]);

    // The head by hand: relu, mean, dense.
    let last = adopt(&features.only(4).expect("a map"), &state).expect("the same cells");
    let maps = logits(&last, 2);
    let (weight, bias) = (&state["head.dense1.weight"].values, &state["head.dense1.bias"].values);
    let found: Vec<f32> = maps
        .chunks_exact(48 * 64)
        .flat_map(|image| {
            let means: Vec<f32> = image
                .chunks_exact(64)
                .map(|map| map.iter().map(|value| value.max(0.0)).sum::<f32>() / 64.0)
                .collect();
            let rows = weight.chunks_exact(48).zip(bias);
            rows.map(|(row, bias)| {
                row.iter().zip(&means).map(|(weight, mean)| weight * mean).sum::<f32>() + bias
            })
            .collect::<Vec<f32>>()
        })
        .collect();
    let difference = relative(&found, &logits(&network, 2));
    assert!(difference < 1e-5, "{difference:e}");
    // The whole body ends in the same map, and knows nothing of the head.
    let body = features.network(&state).expect("the same cells");
    assert_eq!(logits(&body, 2), maps);
    assert!(body.graph().params.iter().all(|param| !param.path.starts_with("head")));
}

#[test]
fn a_network_that_ends_in_a_map_learns() {
    let mut w = Wirer::new(TensorType::new(2, 3, 4));
    w.graph.output = w.conv(w.graph.input, 1, 1, 3);
    let mut network = Network::new(&w.graph, 0);
    let x = images(TensorType::new(2, 3, 4), 2, 1);
    let pixels = x.as_vec();
    let gradients = network.forward_mut(x.leaky_trace()).sum().backward();
    // Of the sum of all results, the derivative by a weight is the sum of its channel.
    let planes = || pixels.chunks_exact(12).map(|plane| plane.iter().sum::<f32>());
    let sums = [0, 1].map(|channel| planes().skip(channel).step_by(2).sum::<f32>());
    let found = gradients.get(&network.params().flat).as_vec();
    let difference = relative(&found, &sums.repeat(3));
    assert!(difference < 1e-6, "{difference:e}");
}

#[test]
fn strides_are_those_of_detectors_at_any_size() {
    let request = request("imagenet", "4@1056");
    for ([height, width], sizes) in [
        ([224, 224], [[56, 56], [28, 28], [14, 14], [7, 7]]),
        ([600, 1024], [[150, 256], [75, 128], [38, 64], [19, 32]]),
    ] {
        let image = Some(TensorType::new(3, height, width));
        let request = Request { image, ..request.clone() };
        let features = Features::of(&module("nasnet_a"), &request, &STRIDES).expect("a body");
        let of = |stride: &usize| features.graph.ty(features.maps[stride]);
        assert_eq!(STRIDES.each_ref().map(|stride| of(stride).size()), sizes);
        // The stem's cells have a quarter and half of the width, four and six outputs.
        assert_eq!(STRIDES.each_ref().map(|stride| of(stride).channels), [44, 264, 528, 1056]);
        assert!(features.only(3).is_none());
    }
}

#[test]
fn a_size_at_which_cells_choose_other_operations_is_refused() {
    let state = Network::new(&graph("nasnet_a", "cifar", "1@48"), 0).state_dict();
    let image = Some(TensorType::new(3, 1, 1));
    let request = Request { image, ..request("cifar", "1@48") };
    let features = Features::of(&module("nasnet_a"), &request, &[4]).expect("a body");
    let fault = features.network(&state).expect_err("nothing is halved at this size");
    assert!(matches!(fault, StateFault::Missing { .. }), "{fault}");
}
