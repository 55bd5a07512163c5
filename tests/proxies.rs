//! Scores of fresh networks against their definitions, computed by an interpreter in double precision.

mod reference;

use cellc::graph::passes::simplify;
use cellc::graph::{Graph, Op, ParamKind, TensorType};
use cellc::network::Network;
use cellc::search::proxy::{naswot, synflow};
use reference::graphs::{Wirer, everything};
use reference::{Phase, Reference, State, uniform};

fn state(graph: &Graph, seed: u64) -> State {
    let state = Network::new(graph, seed).state_dict();
    let values = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
    state.into_iter().map(|(path, tensor)| (path, values(tensor.values))).collect()
}

fn reference<'a>(graph: &'a Graph, state: &'a State, batch: usize, phase: Phase) -> Reference<'a> {
    Reference { graph, state, batch, eps: 1e-5, phase }
}

/// The same without normalizations and bounds.
fn without_norms(mut graph: Graph) -> Graph {
    for node in &mut graph.nodes {
        match node.op {
            // The interpreter takes dropout for an identity.
            Op::BatchNorm | Op::LayerNorm | Op::InstanceNorm => {
                node.op = Op::Dropout;
                node.params.clear();
            }
            Op::Relu6 => node.op = Op::Relu,
            _ => {}
        }
    }
    graph
}

/// `sum |w| dR/d|w|`, each derivative by a difference of its own.
fn naive_synflow(graph: &Graph, seed: u64) -> f64 {
    let plain = without_norms(graph.clone());
    let mut state = state(graph, seed);
    state.values_mut().flatten().for_each(|value| *value = value.abs());
    let image = vec![1.0; graph.ty(graph.input).elements()];
    let sum = |state: &State| -> f64 {
        reference(&plain, state, 1, Phase::Eval).run(&image)[plain.output.0].iter().sum()
    };
    let mut score = 0.0;
    for param in graph.params.iter().filter(|param| param.kind == ParamKind::Weight) {
        for index in 0..param.len() {
            let weight = state[&param.path][index];
            let mut at = |value: f64| {
                state.get_mut(&param.path).expect("a parameter")[index] = value;
                sum(&state)
            };
            let step = 1e-4;
            let slope = (at(weight + step) - at(weight - step)) / (2.0 * step);
            at(weight);
            score += weight * slope;
        }
    }
    score.ln_1p()
}

#[test]
fn synflow_is_the_sum_of_weights_times_gradients() {
    for (graph, seed) in [(gated(), 1), (pooled(), 2)] {
        let (found, expected) = (synflow(&graph, seed), naive_synflow(&graph, seed));
        // Second differences of a step of 1e-4.
        assert!((found - expected).abs() < 1e-6 * expected, "{found} is not {expected}");
    }
}

/// Strides, grouped and dilated windows, pools with zeros, a mix.
fn pooled() -> Graph {
    let mut w = Wirer::new(TensorType::new(2, 7, 6));
    let x = w.conv(w.graph.input, 3, 2, 6);
    let x = w.bn(x);
    let a = w.pool_with_zeros(x, true);
    let b = w.pool_with_zeros(x, false);
    let x = w.add(Op::Mix, &[a, b]);
    let x = w.relu(x);
    let x = w.grouped(x, 3, 4, 2);
    let y = w.avgpool(x, 3, 2);
    let x = w.maxpool(x, 3, 2);
    let x = w.add(Op::Concat, &[x, y]);
    let x = w.dwconv(x, 3, 1);
    w.graph.output = w.head(x, 3);
    w.graph
}

/// A gate, products, sums, moved and divided channels, and all that is taken for an identity.
fn gated() -> Graph {
    let mut w = Wirer::new(TensorType::new(2, 3, 4));
    let stem = w.conv(w.graph.input, 3, 1, 4);
    let stem = w.bn(stem);
    let squeezed = w.add(Op::GlobalAvgPool, &[stem]);
    let gate = w.add(Op::Dense { out_features: 4, bias: false }, &[squeezed]);
    let gate = w.add(Op::Sigmoid, &[gate]);
    let gated = w.add(Op::Mul, &[stem, gate]);
    let square = w.add(Op::Mul, &[gated, stem]);
    let shifted = w.add(Op::Shift, &[square]);
    let sum = w.add(Op::Add, &[shifted, gated]);
    let shuffled = w.add(Op::Shuffle { groups: 2 }, &[sum]);
    let part = w.add(Op::Slice { start: 1, count: 2 }, &[shuffled]);
    let layer = w.add(Op::LayerNorm, &[part]);
    let clipped = w.add(Op::Relu6, &[layer]);
    let instance = w.add(Op::InstanceNorm, &[part]);
    let none = w.add(Op::Zero { stride: [1, 1] }, &[part]);
    let x = w.add(Op::Concat, &[clipped, instance, none, gated]);
    let x = w.add(Op::Dropout, &[x]);
    w.graph.output = w.head(x, 3);
    w.graph
}

/// Values far beyond single precision.
#[test]
fn the_flow_of_a_deep_network_is_finite() {
    let mut w = Wirer::new(TensorType::new(3, 4, 4));
    let mut x = w.conv(w.graph.input, 3, 1, 32);
    for _ in 0..60 {
        x = w.conv_bn(x, 3, 1, 32);
    }
    w.graph.output = w.head(x, 10);
    let found = synflow(&w.graph, 0);
    assert!(found.is_finite() && found > f64::from(f32::MAX).ln(), "{found}");
}

/// Nothing flows through zeros.
#[test]
fn a_network_of_nothing_has_no_flow() {
    let mut w = Wirer::new(TensorType::new(3, 4, 4));
    let x = w.add(Op::Zero { stride: [1, 1] }, &[w.graph.input]);
    w.graph.output = w.head(x, 10);
    assert_eq!(synflow(&w.graph, 0), 0.0);
}

/// The logarithm of a determinant, by elimination with the largest pivots.
fn naive_log_determinant(mut rows: Vec<Vec<f64>>) -> f64 {
    let mut sum = 0.0;
    while let Some(width) = rows.first().map(Vec::len) {
        let (pivot, _) = rows
            .iter()
            .enumerate()
            .max_by(|a, b| a.1[0].abs().total_cmp(&b.1[0].abs()))
            .expect("there is a row");
        let top = rows.swap_remove(pivot);
        sum += top[0].abs().ln();
        for row in &mut rows {
            let factor = row[0] / top[0];
            *row = (1..width).map(|column| row[column] - factor * top[column]).collect();
        }
    }
    sum
}

fn naive_naswot(graph: &Graph, seed: u64, images: &[f64], batch: usize) -> f64 {
    let state = state(graph, seed);
    let values = reference(graph, &state, batch, Phase::Train).run(images);
    let mut agreements = vec![vec![0.0; batch]; batch];
    for node in graph.nodes.iter().filter(|node| matches!(node.op, Op::Relu | Op::Relu6)) {
        let input = &values[node.inputs[0].0];
        let codes: Vec<Vec<bool>> = input
            .chunks(input.len() / batch)
            .map(|image| image.iter().map(|value| *value > 0.0).collect())
            .collect();
        for i in 0..batch {
            for j in 0..batch {
                let equal = codes[i].iter().zip(&codes[j]).filter(|(a, b)| a == b).count();
                agreements[i][j] += equal as f64;
            }
        }
    }
    naive_log_determinant(agreements)
}

#[test]
fn naswot_is_the_determinant_of_equal_bits() {
    let mut w = Wirer::new(TensorType::new(3, 6, 5));
    let x = w.conv(w.graph.input, 3, 1, 5);
    let x = w.bn(x);
    let x = w.conv_bn(x, 3, 2, 7);
    let x = w.relu(x);
    w.graph.output = w.head(x, 4);
    // What nothing reads is not computed.
    for (graph, seed) in [(simplify(&everything()), 5), (w.graph, 6)] {
        for batch in [2, 9] {
            let images = uniform(seed, batch * graph.ty(graph.input).elements());
            // What the network is given is in single precision.
            let pixels: Vec<f32> = images.iter().map(|&pixel| pixel as f32).collect();
            let images: Vec<f64> = pixels.iter().map(|&pixel| f64::from(pixel)).collect();
            let found = naswot(&graph, seed, &pixels, batch);
            let expected = naive_naswot(&graph, seed, &images, batch);
            assert!((found - expected).abs() < 1e-9 * expected, "{found} is not {expected}");
        }
    }
}

#[test]
fn images_that_are_the_same_are_told_apart_by_no_network() {
    let graph = everything();
    let image: Vec<f32> =
        uniform(1, graph.ty(graph.input).elements()).iter().map(|&pixel| pixel as f32).collect();
    assert_eq!(naswot(&graph, 0, &image.repeat(3), 3), f64::NEG_INFINITY);
}
