//! Optimizers against PyTorch and timm, and against TensorFlow's formula written out.
//!
//! `tests/optimizers/trajectories.py` wrote `trajectories.json`: the same gradients under each optimizer, in
//! double precision.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::collections::BTreeMap;

use cellc::network::StateFault;
use cellc::train::{Optimizer, OptimizerKind, TrainConfig};
use serde::Deserialize;

#[derive(Deserialize)]
struct Trajectories {
    start: Vec<f64>,
    rates: Vec<f64>,
    gradients: Vec<Vec<f64>>,
    trajectories: BTreeMap<String, Vec<Vec<f64>>>,
}

fn oracle() -> Trajectories {
    serde_json::from_str(include_str!("optimizers/trajectories.json")).unwrap()
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// The settings under which each of the trajectories must come out.
fn settings() -> Vec<(&'static str, TrainConfig)> {
    let plain = TrainConfig { momentum: 0.0, weight_decay: 0.0, ..TrainConfig::default() };
    let momentum = TrainConfig { momentum: 0.9, ..plain.clone() };
    let adam = TrainConfig { optimizer: OptimizerKind::Adam, ..plain.clone() };
    let rms_prop = TrainConfig { optimizer: OptimizerKind::RmsProp, ..momentum.clone() };
    vec![
        ("sgd", plain),
        ("nesterov", TrainConfig { nesterov: true, ..momentum.clone() }),
        ("momentum, decay", TrainConfig { weight_decay: 0.05, ..momentum.clone() }),
        ("momentum", momentum),
        (
            "adam, 0.5",
            TrainConfig { adam_beta1: 0.5, adam_beta2: 0.9, adam_eps: 1e-3, ..adam.clone() },
        ),
        ("adam", adam),
        ("rmsprop, 1e-10", TrainConfig { rms_eps: 1e-10, momentum: 0.0, ..rms_prop.clone() }),
        ("rmsprop", rms_prop),
    ]
}

#[test]
fn trajectories_are_those_of_pytorch_and_timm() {
    let oracle = oracle();
    let settings = settings();
    assert_eq!(settings.len(), oracle.trajectories.len());
    for (name, config) in settings {
        let mut params = to_f32(&oracle.start);
        let mut optimizer = Optimizer::new(&config, params.len());
        for (step, (gradient, &lr)) in oracle.gradients.iter().zip(&oracle.rates).enumerate() {
            let mut gradient = to_f32(gradient);
            for (g, p) in gradient.iter_mut().zip(&params) {
                *g += config.weight_decay as f32 * p;
            }
            optimizer.step(&mut params, &gradient, lr, step);
            for (&found, &expected) in params.iter().zip(&oracle.trajectories[name][step]) {
                let error = (f64::from(found) - expected).abs();
                let most = 3e-6 * expected.abs().max(1.0);
                assert!(error < most, "{name}, step {step}: {found} instead of {expected}");
            }
        }
    }
}

/// `tf.train.RMSPropOptimizer`, by its documentation: mean squares from 1, eps within the root, the rate
/// within the velocity.
#[test]
fn rms_prop_is_the_formula_of_tensorflow() {
    let (decay, momentum, eps) = (0.8, 0.5, 0.3);
    let config = TrainConfig {
        optimizer: OptimizerKind::RmsProp,
        rms_decay: decay,
        rms_eps: eps,
        momentum,
        ..TrainConfig::default()
    };
    let (mut p, mut s, mut v) = (0.7f64, 1.0f64, 0.0f64);
    let mut params = [0.7f32];
    let mut optimizer = Optimizer::new(&config, 1);
    for (step, (g, lr)) in
        [(0.5, 0.1), (-2.0, 0.2), (0.01, 0.01), (3.0, 0.5)].into_iter().enumerate()
    {
        s = decay * s + (1.0 - decay) * g * g;
        v = momentum * v + lr * g / (s + eps).sqrt();
        p -= v;
        optimizer.step(&mut params, &[g as f32], lr, step);
        assert!((f64::from(params[0]) - p).abs() < 1e-6, "{} instead of {p}", params[0]);
    }
    assert!((f64::from(optimizer.state()["mean_square"][0]) - s).abs() < 1e-6);
}

#[test]
fn optimizers_go_on_from_their_state() {
    let oracle = oracle();
    for (name, config) in settings() {
        let mut params = to_f32(&oracle.start);
        let mut optimizer = Optimizer::new(&config, params.len());
        let mut copy = Optimizer::new(&config, params.len());
        let step =
            |optimizer: &mut Optimizer, params: &mut [f32], steps: std::ops::Range<usize>| {
                for step in steps {
                    let gradient = to_f32(&oracle.gradients[step]);
                    optimizer.step(params, &gradient, oracle.rates[step], step);
                }
            };
        step(&mut optimizer, &mut params, 0..4);
        let owned = |state: BTreeMap<&str, &[f32]>| -> BTreeMap<String, Vec<f32>> {
            state.into_iter().map(|(name, values)| (name.to_owned(), values.to_vec())).collect()
        };
        let state = owned(optimizer.state());
        copy.load_state(&state).unwrap();
        let mut copied = params.clone();
        step(&mut optimizer, &mut params, 4..8);
        step(&mut copy, &mut copied, 4..8);
        assert_eq!((copied, copy), (params, optimizer), "{name}");
    }
    let config = TrainConfig { optimizer: OptimizerKind::Adam, ..TrainConfig::default() };
    let mut adam = Optimizer::new(&config, 2);
    let before = adam.clone();
    let state = |names: &[&str], len: usize| -> BTreeMap<String, Vec<f32>> {
        names.iter().map(|&name| (name.to_owned(), vec![1.0; len])).collect()
    };
    let fault = |name: &str| name.to_owned();
    assert_eq!(
        adam.load_state(&state(&["mean"], 2)),
        Err(StateFault::Missing { path: fault("mean_square") })
    );
    assert_eq!(
        adam.load_state(&state(&["mean", "mean_square", "velocity"], 2)),
        Err(StateFault::Extra { path: fault("velocity") })
    );
    assert_eq!(
        adam.load_state(&state(&["mean", "mean_square"], 3)),
        Err(StateFault::Shape { path: fault("mean"), expected: vec![2], found: vec![3] })
    );
    assert_eq!(adam, before);
}
