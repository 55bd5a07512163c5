//! NASNet-A 1@48, and DARTS V2 with 16 channels and 8 layers, against PyTorch: logits, loss and the gradient of
//! every parameter.
//!
//! `tests/reference/nasnet_a.py` and `darts_v2.py` wire them by hand and wrote the `.json`, in double precision.
//! Parameters and images come from a formula both sides know; the images are chosen away from the kinks of relus
//! and pools, where two right programs in single precision may have different gradients. A gradient is compared by its norm and by
//! its product with one more such vector.

use std::collections::BTreeMap;

use cellc::compile::{self, Request};
use cellc::network::{NamedTensor, Network};
use cellc::source::SourceFile;
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::prelude::*;
use serde_json::Value;

const BATCH: usize = 4;
const CLASSES: usize = 10;

/// `count` numbers in [-1, 1) from a name: FNV-1a, then a 64-bit linear congruential generator.
fn noise(name: &str, count: usize) -> Vec<f32> {
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The values that the script gives a parameter.
fn values(path: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let noise = noise(path, count);
    let of = |scale: f64, shift: f64| -> Vec<f32> {
        noise.iter().map(|&value| (shift + scale * f64::from(value)) as f32).collect()
    };
    match path.rsplit('.').next() {
        Some("running_mean") => vec![0.0; count],
        Some("running_var") => vec![1.0; count],
        Some("weight") if shape.len() == 1 => of(0.25, 1.0),
        _ if shape.len() > 1 => of((2.0 / (count / shape[0]).max(1) as f64).sqrt(), 0.0),
        _ => of(0.1, 0.0),
    }
}

/// Largest difference relative to the largest magnitude.
fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    worst / scale
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list of numbers");
    list.iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// The largest relative difference that is single precision's, of logits, loss and gradients.
const TOLERANCE: f64 = 1e-4;

#[test]
fn nasnet_a_is_pytorchs() {
    agrees("nasnet_a.cell", "cifar", "1@48", include_str!("reference/nasnet_a.json"));
}

#[test]
fn darts_v2_is_pytorchs() {
    agrees("darts_v2.cell", "darts", "8@256", include_str!("reference/darts_v2.json"));
}

fn agrees(cells: &str, net: &str, scale: &str, expected: &str) {
    let expected: Value = serde_json::from_str(expected).expect("the script writes JSON");
    let text = compile::embedded(cells).expect("in the library");
    let module = compile::check(&SourceFile::new(cells, text)).expect("it is fine");
    let request = Request::new(net, scale.parse().expect("a scale"));
    let mut network =
        Network::new(&compile::network(&module, &request).expect("it builds").graph, 0);
    let state: BTreeMap<String, NamedTensor> = network
        .state_dict()
        .into_iter()
        .map(|(path, NamedTensor { shape, .. })| {
            let values = values(&path, &shape);
            (path, NamedTensor { shape, values })
        })
        .collect();
    network.load_state_dict(&state).expect("the same paths and shapes");

    let device = Cpu::default();
    let images = noise(expected["images"].as_str().expect("a name"), BATCH * 3 * 32 * 32);
    let images = device.tensor_from_vec(images, (BATCH, 3, 32, 32));
    let mut targets = vec![0.0; BATCH * CLASSES];
    (0..BATCH).for_each(|n| targets[n * CLASSES + 3 * n % CLASSES] = 1.0);
    let targets = device.tensor_from_vec(targets, (BATCH, CLASSES));

    let gradients = network.alloc_grads();
    let logits = network.forward_mut(images.traced(gradients));
    let found: Vec<f64> = logits.as_vec().into_iter().map(f64::from).collect();
    let error = relative(&found, &numbers(&expected["logits"]));
    assert!(error < TOLERANCE, "logits differ by {error:e}");
    let loss = cross_entropy_with_logits_loss(logits, targets);
    let error =
        relative(&[f64::from(loss.array())], &[expected["loss"].as_f64().expect("a number")]);
    assert!(error < TOLERANCE, "losses differ by {error:e}");

    let mut gradients = loss.backward();
    let flat = gradients.get_or_alloc_mut(&network.params().flat).expect("on the CPU").to_vec();
    let expected = expected["gradients"].as_object().expect("one entry a parameter");
    let mut seen = 0;
    for entry in network.layout().entries().iter().filter(|entry| entry.kind.is_trainable()) {
        let gradient = &flat[entry.slot.range()];
        let norm = gradient.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let with = noise(&format!("check {}", entry.path), gradient.len());
        let product: f64 =
            gradient.iter().zip(&with).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        let wanted = numbers(&expected[&entry.path]);
        // The product of two vectors can be far smaller than either; its error is that of the norm.
        let scale = wanted[0].max(1e-6);
        for (what, found, wanted) in [("norm", norm, wanted[0]), ("product", product, wanted[1])] {
            let error = (found - wanted).abs() / scale;
            assert!(error < TOLERANCE, "{}: {what} {found:e}, PyTorch has {wanted:e}", entry.path);
        }
        seen += 1;
    }
    assert_eq!(seen, expected.len(), "the same parameters on both sides");
}
