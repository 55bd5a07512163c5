//! Training further: a trained body under a fresh head, and parts that stay as they are.

use cellc::compile::{self, Request};
use cellc::data::{DataSpec, load};
use cellc::device::RunConfig;
use cellc::error::Error;
use cellc::graph::{Graph, TensorType};
use cellc::network::{Freeze, Network, StateFault};
use cellc::source::SourceFile;
use cellc::train::{TrainConfig, TrainSet, adopt_body, fit};
use dfdx::prelude::{Backward, Cpu, Module, ModuleMut, SumTo, TensorFromVec, Trace};

const DIGIT: TensorType = TensorType { channels: 1, height: 8, width: 8 };

fn graph(image: TensorType, classes: usize) -> Graph {
    let text = compile::embedded("nasnet_a.cell").expect("in the library");
    let module = compile::check(&SourceFile::new("nasnet_a.cell", text)).expect("it is sound");
    let request = Request::new("cifar", "1@48".parse().expect("a scale"));
    compile::network(&module, &request.with_data(image, classes)).expect("it fits").graph
}

fn train(network: &mut Network, config: &TrainConfig) {
    let digits = load(&DataSpec::Digits).expect("inside the program");
    let indices: Vec<usize> = (0..96).collect();
    let set = TrainSet {
        images: &digits.train,
        whitening: &digits.whitening,
        train: &indices,
        validation: &[],
    };
    fit(network, &set, config, &mut |_| ()).expect("it trains");
}

fn freeze(text: &str) -> Freeze {
    text.parse().expect("parts")
}

#[test]
fn frozen_parts_keep_every_bit_and_the_others_learn() {
    let mut network = Network::new(&graph(DIGIT, 10), 3);
    network.freeze(&freeze("stem,cell_0..cell_3,cells.4.n1.left")).expect("they are there");
    let before = network.state_dict();
    let config = TrainConfig { epochs: 2, nesterov: true, ..TrainConfig::default() };
    train(&mut network, &config);
    let after = network.state_dict();
    let is_frozen = |path: &str| {
        ["stem.", "cells.0.", "cells.1.", "cells.2.", "cells.3.", "cells.4.n1.left."]
            .iter()
            .any(|part| path.starts_with(part))
    };
    let bits =
        |values: &[f32]| -> Vec<u32> { values.iter().map(|value| value.to_bits()).collect() };
    let mut counts = [0, 0];
    for (path, tensor) in &before {
        let is_same = bits(&tensor.values) == bits(&after[path].values);
        assert_eq!(is_same, is_frozen(path), "{path}");
        counts[usize::from(is_same)] += 1;
    }
    assert!(counts.iter().all(|&count| count > 50), "{counts:?}");
}

#[test]
fn a_network_that_is_frozen_whole_computes_in_training_as_in_use() {
    let mut network = Network::new(&graph(DIGIT, 10), 5);
    // Statistics that are not those of any batch.
    for (index, value) in network.statistics_mut().iter_mut().enumerate() {
        *value = 0.5 + (index % 7) as f32 / 8.0;
    }
    let pixels: Vec<f32> = (0..128).map(|index| ((index * 37) % 64) as f32 / 32.0 - 1.0).collect();
    let images = Cpu::default().tensor_from_vec(pixels, (2, 1, 8, 8));
    let used = network.forward(images.clone()).as_vec();
    let batch = network.forward_mut(images.clone().leaky_trace()).as_vec();
    assert_ne!(used, batch, "the batch has other statistics");
    network.freeze(&freeze("4,cells.4,head")).expect("they are there");
    let used = network.forward(images.clone()).as_vec();
    let frozen = network.forward_mut(images.leaky_trace()).as_vec();
    // In use convolutions normalize, which rounds otherwise.
    for (frozen, used) in frozen.iter().zip(&used) {
        assert!((frozen - used).abs() < 1e-5, "{frozen}, in use {used}");
    }
}

#[test]
fn the_gradient_goes_through_frozen_normalizations() {
    let mut network = Network::new(&graph(DIGIT, 10), 6);
    network.freeze(&freeze("4,cells.4,head")).expect("they are there");
    let pixels: Vec<f32> = (0..64).map(|index| ((index * 29) % 64) as f32 / 32.0 - 1.0).collect();
    let weights: Vec<f32> = (0..10).map(|class| (class as f32 - 4.0) / 8.0).collect();
    let device = Cpu::default();
    let weighted = |network: &Network, pixels: &[f32]| -> f64 {
        let logits =
            network.forward(device.tensor_from_vec(pixels.to_vec(), (1, 1, 8, 8))).as_vec();
        logits.iter().zip(&weights).map(|(logit, weight)| f64::from(logit * weight)).sum()
    };
    let images = device.tensor_from_vec(pixels.clone(), (1, 1, 8, 8));
    let logits = network.forward_mut(images.clone().leaky_trace());
    let factors = device.tensor_from_vec(weights.clone(), (1, 10));
    let gradients =
        (logits * factors).sum::<dfdx::shapes::Rank0, dfdx::shapes::Axes2<0, 1>>().backward();
    let found = gradients.get(&images).as_vec();
    let scale = found.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    assert!(scale > 0.0);
    // Along the gradient itself, where kinks matter least.
    let step = 1e-3 / f64::from(scale);
    let moved = |sign: f64| -> Vec<f32> {
        let along = pixels.iter().zip(&found);
        along
            .map(|(&pixel, &slope)| (f64::from(pixel) + sign * step * f64::from(slope)) as f32)
            .collect()
    };
    let measured =
        (weighted(&network, &moved(1.0)) - weighted(&network, &moved(-1.0))) / (2.0 * step);
    let expected: f64 = found.iter().map(|&slope| f64::from(slope).powi(2)).sum();
    assert!((measured - expected).abs() < 0.05 * expected, "{measured} {expected}");
}

#[test]
fn unknown_parts_are_refused() {
    let mut network = Network::new(&graph(DIGIT, 10), 7);
    for (text, reason) in [
        (
            "stem,cells.9",
            "freeze is cells.9: no parameter of the network is called so; it has 5 cells, numbered from 0",
        ),
        (
            "cell_0..cell_8",
            "freeze is cells.5: no parameter of the network is called so; it has 5 cells, numbered from 0",
        ),
        (
            "ste",
            "freeze is ste: no parameter of the network is called so; it has 5 cells, numbered from 0",
        ),
    ] {
        assert_eq!(network.freeze(&freeze(text)).expect_err("unknown").to_string(), reason);
    }
    assert!(network.frozen().is_empty());
    for text in ["", "stem,", "cell_3..cell_1", "a..b", "99999999"] {
        assert!(matches!(text.parse::<Freeze>(), Err(Error::Config { setting: "freeze", .. })));
    }
}

#[test]
fn a_body_goes_under_another_head_and_to_another_size() {
    let mut trained = Network::new(&graph(DIGIT, 10), 1);
    trained.set_config(RunConfig { bn_eps: 1e-3, ..RunConfig::default() }).expect("allowed");
    let mut network = Network::new(&graph(TensorType::new(1, 16, 16), 3), 2);
    let fresh = network.state_dict();
    adopt_body(&mut network, &trained).expect("the same body");
    let (found, trained) = (network.state_dict(), trained.state_dict());
    for (path, tensor) in &found {
        let is_head = path.starts_with("head.");
        assert_eq!(tensor, if is_head { &fresh[path] } else { &trained[path] }, "{path}");
    }
    assert_eq!(network.config().bn_eps, 1e-3);

    let colored = TensorType::new(3, 8, 8);
    let mut other = Network::new(&graph(colored, 10), 2);
    let trained = Network::new(&graph(DIGIT, 10), 1);
    let fault = adopt_body(&mut other, &trained).expect_err("other images");
    assert!(matches!(fault, StateFault::Shape { path, .. } if path == "stem.conv1.weight"));
}
