//! Training hand-built networks on the digits: it learns, repeats, and says when it cannot.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::fs;
use std::path::Path;

use cellc::data::{Augment, DataSpec, Dataset, HoldOut, Images, Split, load, split};
use cellc::error::Error;
use cellc::graph::{Graph, NodeId, Op, Padding, SectionId, TensorType, Window};
use cellc::network::Network;
use cellc::train::{
    Checkpoint, DropPathSchedule, Event, History, OptimizerKind, Schedule, TrainConfig, TrainSet,
    Trainer, WeightDecayAt, WeightDecayOn, accuracy, fit, initialize,
};
use dfdx::prelude::{AsArray, Backward, Cpu, ModuleMut, Tensor, TensorFromVec, Trace};

/// A 3x3 convolution, batch normalization and relu.
fn conv_bn_relu(
    graph: &mut Graph,
    section: SectionId,
    x: NodeId,
    (channels, stride): (usize, usize),
    path: &str,
) -> NodeId {
    let window =
        Window::new([3, 3], [stride; 2], [1, 1], Padding::Same, graph.ty(x).size()).unwrap();
    let conv = Op::Conv { window, out_channels: channels, groups: 1 };
    let x = graph.wire(conv, &[x], section, format!("{path}.conv")).unwrap();
    let x = graph.wire(Op::BatchNorm, &[x], section, format!("{path}.bn")).unwrap();
    graph.wire(Op::Relu, &[x], section, format!("{path}.relu")).unwrap()
}

/// Global mean, dropout, dense.
fn head(graph: &mut Graph, x: NodeId, classes: usize, path: &str) -> NodeId {
    let section = graph.section(path, None);
    let x = graph.wire(Op::GlobalAvgPool, &[x], section, format!("{path}.gap")).unwrap();
    let x = graph.wire(Op::Dropout, &[x], section, format!("{path}.dropout")).unwrap();
    let dense = Op::Dense { out_features: classes, bias: true };
    graph.wire(dense, &[x], section, format!("{path}.fc")).unwrap()
}

/// Two convolutions on 8x8 images, 16 and 32 channels wide.
fn small_graph(with_aux: bool) -> Graph {
    let mut graph = Graph::new(TensorType::new(1, 8, 8));
    let body = graph.section("body", None);
    let input = graph.input;
    let first = conv_bn_relu(&mut graph, body, input, (16, 1), "body.0");
    let second = conv_bn_relu(&mut graph, body, first, (32, 2), "body.1");
    graph.output = head(&mut graph, second, 10, "head");
    graph.aux = with_aux.then(|| head(&mut graph, first, 10, "aux"));
    graph.verify().unwrap();
    graph
}

fn digits() -> (Dataset, Split) {
    let digits = load(&DataSpec::Digits).unwrap();
    let parts = split(&digits.train, HoldOut::Fraction(0.2), 0).unwrap();
    (digits, parts)
}

fn quick() -> TrainConfig {
    TrainConfig { epochs: 1, batch: 48, lr: 0.1, ..TrainConfig::default() }
}

/// Trains a fresh network on the digits.
fn train(graph: &Graph, config: &TrainConfig) -> (Network, Result<History, Error>, Vec<Event>) {
    let (digits, parts) = digits();
    let data = TrainSet {
        images: &digits.train,
        whitening: &digits.whitening,
        train: &parts.train,
        validation: &parts.validation,
    };
    let mut network = Network::new(graph, config.seed);
    let mut events = Vec::new();
    let history = fit(&mut network, &data, config, &mut |event| events.push(event.clone()));
    (network, history, events)
}

/// All numbers of a network as bits.
fn bits(network: &Network) -> Vec<u32> {
    network.state_dict().values().flat_map(|t| &t.values).map(|value| value.to_bits()).collect()
}

fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn digits_are_learned() {
    let config = TrainConfig { epochs: 10, batch: 32, lr: 0.2, ..TrainConfig::default() };
    let (network, history, events) = train(&small_graph(false), &config);
    let history = history.unwrap();
    let (digits, parts) = digits();

    let val_accuracy = history.val_accuracy().unwrap();
    assert!(val_accuracy >= 0.95, "{history:?}");
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.train_loss).collect();
    assert!(losses[0] > 2.0 * losses[9], "{losses:?}");
    let all: Vec<usize> = (0..digits.test.len()).collect();
    let test_accuracy = accuracy(&network, &digits.test, &all, &digits.whitening, 100).unwrap();
    assert!(test_accuracy >= 0.95, "{test_accuracy}");

    // 1,150 images are 35 batches of 32 and a rest; the schedule runs over all steps.
    assert_eq!(parts.train.len(), 1150);
    let steps: Vec<&Event> =
        events.iter().filter(|event| matches!(event, Event::Step { .. })).collect();
    assert_eq!(steps.len(), 10 * 35);
    let rate = |event: &Event| match event {
        Event::Step { step, steps: 350, lr, .. } => (*step, *lr),
        other => panic!("{other:?}"),
    };
    assert_eq!(rate(steps[0]), (0, 0.2));
    assert!((rate(steps[175]).1 - 0.1).abs() < 1e-12);
    let epochs: Vec<&Event> =
        events.iter().filter(|event| matches!(event, Event::Epoch(_))).collect();
    let expected: Vec<Event> = history.epochs.iter().cloned().map(Event::Epoch).collect();
    assert!(epochs.into_iter().eq(&expected));
    assert_eq!(events.last(), expected.last());
}

#[test]
fn runs_repeat_bit_by_bit_for_any_number_of_threads() {
    // Everything that is random or summed: dropout, augmentation, an auxiliary head, clipping.
    let config = TrainConfig {
        epochs: 2,
        batch: 144,
        dropout: 0.2,
        clip_norm: Some(0.1),
        augment: Augment { pad: 1, flip: true, ..Augment::NONE },
        nesterov: true,
        seed: 5,
        ..quick()
    };
    let graph = small_graph(true);
    let run = |threads, config: &TrainConfig| {
        in_pool(threads, || {
            let (network, history, events) = train(&graph, config);
            (bits(&network), format!("{:?} {events:?}", history.unwrap()))
        })
    };
    let reference = run(1, &config);
    assert!(run(2, &config) == reference, "two threads");
    assert!(run(3, &config) == reference, "three threads");
    assert!(run(1, &config) == reference, "again");
    for other in [
        TrainConfig { seed: 6, ..config.clone() },
        TrainConfig { dropout: 0.0, ..config.clone() },
        TrainConfig { aux_weight: 0.0, ..config.clone() },
        TrainConfig { augment: Augment::NONE, ..config.clone() },
        TrainConfig { clip_norm: None, ..config.clone() },
    ] {
        assert!(run(1, &other).0 != reference.0, "{other:?} must make a difference");
    }
}

/// The first step against the update written out: the gradient through dfdx's own tape, then
/// `p -= lr * (g * clip + weight_decay * p)`.
#[test]
fn one_step_is_sgd() {
    let ty = TensorType::new(1, 8, 8);
    let pixels: Vec<u8> = (0..6 * 64).map(|i| (i * i % 17) as u8).collect();
    let images = Images::new(pixels, vec![3, 1, 4, 1, 5, 9], ty);
    let whitening = cellc::data::Whitening::of(&images).unwrap();
    let all: Vec<usize> = (0..6).collect();
    let config = TrainConfig { batch: 6, weight_decay: 0.01, clip_norm: Some(0.25), ..quick() };
    let graph = small_graph(false);
    let mut network = Network::new(&graph, 1);
    let mut untouched = network.clone();
    let data = TrainSet { images: &images, whitening: &whitening, train: &all, validation: &[] };
    let mut steps = Vec::new();
    let history =
        fit(&mut network, &data, &config, &mut |event| steps.push(event.clone())).unwrap();
    assert_eq!(history.val_accuracy(), None);

    let device = Cpu::default();
    let whiten = |p: &u8| (f32::from(*p) - whitening.mean[0]) / whitening.std[0];
    let x = device.tensor_from_vec(
        images.pixels().unwrap().iter().map(whiten).collect::<Vec<_>>(),
        (6, 1, 8, 8),
    );
    let mut rows = vec![0.0; 60];
    for (image, &label) in images.labels().iter().enumerate() {
        rows[image * 10 + usize::from(label)] = 1.0;
    }
    let targets: Tensor<(usize, usize), f32, Cpu> = device.tensor_from_vec(rows, (6, 10));
    let logits = untouched.forward_mut(x.leaky_trace());
    let loss = dfdx::losses::cross_entropy_with_logits_loss(logits, targets);
    let expected_loss = f64::from(loss.array());
    let gradient = loss.backward().get(&untouched.params().flat).as_vec();
    let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    assert!(norm > 0.25, "the step is clipped: {norm}");

    let Event::Step { step: 0, loss, lr, grad_norm, .. } = steps[0] else { panic!("{steps:?}") };
    assert!((loss - expected_loss).abs() < 1e-5, "{loss} instead of {expected_loss}");
    assert!((grad_norm - norm).abs() < 1e-4 * norm, "{grad_norm} instead of {norm}");
    let before = untouched.params().flat.as_vec();
    let after = network.params().flat.as_vec();
    for ((&p, &g), &found) in before.iter().zip(&gradient).zip(&after) {
        let clipped = f64::from(g) * 0.25 / norm;
        let expected = f64::from(p) - lr * (clipped + 0.01 * f64::from(p));
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} instead of {expected}");
    }
}

/// A cell's edge over two convolutions: 8x8 images, dropped whole.
fn dropping_graph() -> Graph {
    let mut graph = small_graph(true);
    let cell = graph.section("cells.0", Some("normal".into()));
    let body = graph.output;
    let dropped = graph.wire(Op::DropPath, &[body], cell, "cells.0.drop").unwrap();
    graph.output = graph.wire(Op::Add, &[dropped, body], cell, "cells.0.add").unwrap();
    graph.verify().unwrap();
    graph
}

/// Everything that has a state: momentum, squares, averages, drop path, dropout, warm-up, augmentation.
fn stateful(optimizer: OptimizerKind) -> TrainConfig {
    TrainConfig {
        epochs: 2,
        batch: 288,
        optimizer,
        lr: 0.01,
        schedule: Schedule::Exponential,
        lr_decay_epochs: 0.5,
        warmup_epochs: 0.5,
        label_smoothing: 0.1,
        ema_decay: 0.9,
        dropout: 0.2,
        drop_path: 0.5,
        augment: Augment { enlarge: 2, flip: true, ..Augment::NONE },
        weight_decay_on: WeightDecayOn::Weights,
        weight_decay_at: WeightDecayAt::InLoss,
        bn_momentum: 0.3,
        seed: 4,
        ..quick()
    }
}

#[test]
fn a_run_goes_on_from_its_state_with_the_same_bits() {
    let (digits, parts) = digits();
    let data = TrainSet {
        images: &digits.train,
        whitening: &digits.whitening,
        train: &parts.train,
        validation: &parts.validation,
    };
    let graph = dropping_graph();
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::RmsProp, OptimizerKind::Adam] {
        let config = stateful(optimizer);
        let mut whole = Network::new(&graph, 1);
        let history = fit(&mut whole, &data, &config, &mut |_| ()).unwrap();
        // 1,150 images are three batches of 288: stopped in an epoch, between two, and after the last.
        for stop in [1, 3, 4, 6] {
            let mut first = Network::new(&graph, 1);
            let mut trainer = Trainer::new(&mut first, data, &config).unwrap();
            assert_eq!(trainer.steps(), 6);
            for _ in 0..stop {
                assert!(trainer.advance(&mut |_| ()).unwrap());
            }
            let state = trainer.state().unwrap();
            assert_eq!(state.progress.step, stop);
            let mut second = Network::new(&graph, 2);
            let mut trainer = Trainer::new(&mut second, data, &config).unwrap();
            trainer.load_state(&state).unwrap();
            assert_eq!(trainer.state().unwrap(), state);
            while trainer.advance(&mut |_| ()).unwrap() {}
            assert_eq!(trainer.finish().unwrap(), history, "{optimizer:?} from step {stop}");
            assert!(bits(&second) == bits(&whole), "{optimizer:?} from step {stop}");
        }
        // Of another network, or without averages.
        let mut other = Network::new(&graph, 1);
        let plain = TrainConfig { ema_decay: 0.0, ..config.clone() };
        let mut trainer = Trainer::new(&mut other, data, &plain).unwrap();
        let before = trainer.state().unwrap();
        let mut averaging = Network::new(&graph, 1);
        let state = Trainer::new(&mut averaging, data, &config).unwrap().state().unwrap();
        assert_eq!(
            trainer.load_state(&state).unwrap_err().to_string(),
            "it has `params`, which the network has not"
        );
        assert_eq!(trainer.state().unwrap(), before);
    }
}

#[test]
fn every_setting_makes_a_difference_and_no_number_of_threads_does() {
    let graph = dropping_graph();
    let config = stateful(OptimizerKind::RmsProp);
    let run = |threads, config: &TrainConfig| {
        in_pool(threads, || {
            let (network, history, events) = train(&graph, config);
            (bits(&network), format!("{:?} {events:?}", history.unwrap()))
        })
    };
    let reference = run(1, &config);
    assert!(run(2, &config) == reference, "two threads");
    assert!(run(3, &config) == reference, "three threads");
    let others: [fn(&mut TrainConfig); 17] = [
        |c| c.optimizer = OptimizerKind::Adam,
        |c| c.schedule = Schedule::Cosine,
        |c| c.lr_decay = 0.5,
        |c| c.warmup_epochs = 0.0,
        |c| c.lr_batch = 100,
        |c| c.momentum = 0.5,
        |c| c.rms_decay = 0.5,
        |c| c.rms_eps = 0.1,
        |c| c.weight_decay_on = WeightDecayOn::All,
        // The gradient is long enough to be clipped.
        |c| c.clip_norm = Some(0.01),
        |c| c.label_smoothing = 0.0,
        |c| c.ema_decay = 0.0,
        |c| c.ema_warmup = false,
        |c| c.bn_eps = 0.1,
        |c| c.bn_momentum = 0.1,
        |c| c.drop_path = 0.0,
        |c| c.drop_path_schedule = DropPathSchedule::Depth,
    ];
    for (index, change) in others.iter().enumerate() {
        let mut other = config.clone();
        change(&mut other);
        assert!(run(1, &other).0 != reference.0, "change {index} must make a difference");
    }
    // Where the penalty comes in is seen where the gradient is clipped.
    let clipped = TrainConfig { clip_norm: Some(0.01), ..config };
    let later = TrainConfig { weight_decay_at: WeightDecayAt::AfterClip, ..clipped.clone() };
    assert!(run(1, &later).0 != run(1, &clipped).0);
}

/// Averages written out: from the values after each step, with the warm-up of TensorFlow.
#[test]
fn averages_are_those_of_the_formula() {
    let (digits, parts) = digits();
    let data = TrainSet {
        images: &digits.train,
        whitening: &digits.whitening,
        train: &parts.train,
        validation: &[],
    };
    let graph = small_graph(false);
    for ema_warmup in [false, true] {
        let config = TrainConfig { batch: 288, ema_decay: 0.4, ema_warmup, ..quick() };
        let mut network = Network::new(&graph, 1);
        let start = [network.params().flat.as_vec(), network.statistics().to_vec()];
        let mut expected =
            start.map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
        let mut trainer = Trainer::new(&mut network, data, &config).unwrap();
        let mut t = 0.0;
        while trainer.advance(&mut |_| ()).unwrap() {
            t += 1.0;
            let d = if ema_warmup { f64::min(0.4, (1.0 + t) / (10.0 + t)) } else { 0.4 };
            let state = trainer.state().unwrap();
            for (average, name) in expected.iter_mut().zip(["params", "statistics"]) {
                for (a, &x) in average.iter_mut().zip(&state.tensors[name]) {
                    *a = d * *a + (1.0 - d) * f64::from(x);
                }
            }
        }
        let last = trainer.state().unwrap();
        trainer.finish().unwrap();
        let found = [network.params().flat.as_vec(), network.statistics().to_vec()];
        assert_ne!(found[0], last.tensors["params"], "the average is what is left");
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} instead of {expected}");
        }
    }
}

#[test]
fn divergence_is_an_error() {
    let config = TrainConfig { lr: 1e30, clip_norm: None, ..quick() };
    let (_, history, events) = train(&small_graph(false), &config);
    let Err(Error::NotFinite { step, batch, epoch: 1, is_clipped: false, .. }) = history else {
        panic!("{history:?}")
    };
    assert_eq!(batch, step + 1);
    assert!(step > 0, "the first loss is finite");
    assert_eq!(events.len(), step, "one event for each step before it");
}

/// No later loss looks at what the last step did.
#[test]
fn divergence_in_the_last_step_is_an_error() {
    let config = TrainConfig { lr: 1e38, clip_norm: None, epochs: 1, batch: 1000, ..quick() };
    let (network, history, events) = train(&small_graph(false), &config);
    let fault = history.expect_err("a network of no use").to_string();
    assert!(fault.contains(" is not finite at step 1 (batch 1 of epoch 1); "), "{fault}");
    assert!(fault.ends_with(" or clipping by clip_norm"), "{fault}");
    assert!(events.len() <= 2);
    let _ = network;
}

#[test]
fn senseless_settings_change_nothing() {
    let config = TrainConfig { dropout: 1.0, ..quick() };
    let (network, history, events) = train(&small_graph(false), &config);
    assert!(matches!(history, Err(Error::Config { setting: "dropout", .. })), "{history:?}");
    assert!(events.is_empty());
    assert_eq!(bits(&network), bits(&Network::new(&small_graph(false), 0)));
}

fn description() -> Checkpoint {
    let (digits, _) = digits();
    Checkpoint {
        cellc: env!("CARGO_PKG_VERSION").into(),
        cell: "cell normal(h, prev) {\n    out \"h\"\n}\n".into(),
        net: "cifar".into(),
        scale: "2@96".into(),
        image: [1, 8, 8],
        classes: 10,
        with_aux: false,
        data: Some(DataSpec::Digits.to_string()),
        class_names: digits.class_names,
        whitening: digits.whitening,
        validation: 0.125,
        limit: Some(1000),
        data_hash: Some("0123456789abcdef".into()),
        bn_eps: 1e-5,
        config: Some(TrainConfig { lr: 0.1 + 0.2, seed: u64::MAX, ..TrainConfig::default() }),
        frozen: Some("stem".into()),
        imported_from: None,
        val_accuracy: Some(1.0 / 3.0),
        test_accuracy: None,
    }
}

fn saved(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("model.safetensors");
    description().save(&Network::new(&small_graph(false), 3), &path).unwrap();
    path
}

fn checkpoint_fault<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Checkpoint { fault, .. }) => fault,
        other => panic!("expected Error::Checkpoint, found {other:?}"),
    }
}

#[test]
fn checkpoints_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let path = saved(dir.path());
    assert_eq!(Checkpoint::read_metadata(&path).unwrap(), description());
    let mut network = Network::new(&small_graph(false), 4);
    network.load_safetensors(&path).unwrap();
    assert_eq!(bits(&network), bits(&Network::new(&small_graph(false), 3)));
    let bytes = fs::read(&path).unwrap();
    assert_eq!(fs::read(saved(dir.path())).unwrap(), bytes, "equal runs give equal bytes");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no other file is left");

    let fault = checkpoint_fault(Network::new(&small_graph(true), 4).load_safetensors(&path));
    assert_eq!(fault, "it has no `aux.fc.bias`");
}

#[test]
fn a_model_with_an_auxiliary_head_initializes_a_network_without() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aux.safetensors");
    let with_aux = Network::new(&small_graph(true), 3);
    description().save(&with_aux, &path).unwrap();
    let mut network = Network::new(&small_graph(false), 4);
    initialize(&mut network, &path, &description()).unwrap();
    let expected = with_aux.state_dict();
    for (path, tensor) in network.state_dict() {
        assert_eq!(tensor, expected[&path]);
    }
    // What another network is another by is said.
    let mut network = Network::new(&small_graph(true), 4);
    let model = Checkpoint { scale: "2@48".into(), ..description() };
    let fault = checkpoint_fault(initialize(&mut network, &saved(dir.path()), &model));
    let expected = "it is of another network, scale 2@96 and not 2@48: it has no `aux.fc.bias`";
    assert_eq!(fault, expected);
}

#[test]
fn damaged_checkpoints_are_faults() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(saved(dir.path())).unwrap();
    let path = dir.path().join("damaged");
    let fault = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        checkpoint_fault(Checkpoint::read_metadata(&path))
    };
    assert_eq!(fault(&[]), "not a safetensors file: shorter than 8 bytes");
    assert_eq!(fault(&[255; 64]), "not a safetensors file, which is what models are");
    assert_eq!(fault(&whole[..100]), "the file ends within its header");
    let with_header =
        |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let not_json = fault(&with_header("{\"a\": 1"));
    assert!(not_json.starts_with("not a safetensors file: "), "{not_json}");
    assert_eq!(
        fault(&with_header("{}")),
        "its metadata has no `cellc`: not written by cellc; `cellc import` reads weights of timm and Keras"
    );
    let newer = fault(&with_header(r#"{"__metadata__":{"cellc":"{\"format\":2,\"graph\":7}"}}"#));
    assert_eq!(newer, "expected format 1, found 2");
    let lacking = fault(&with_header(r#"{"__metadata__":{"cellc":"{\"format\":1}"}}"#));
    assert!(lacking.starts_with("bad metadata `cellc`: missing field `cellc`"), "{lacking}");
}
