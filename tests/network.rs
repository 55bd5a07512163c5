//! Networks as dfdx modules, and their checkpoints.

mod reference;

use std::collections::BTreeMap;

use cellc::compile::Request;
use cellc::device::RunConfig;
use cellc::device::cpu::{Isa, Kernels};
use cellc::error::Error;
use cellc::graph::{Graph, Op, Padding, TensorType, Window};
use cellc::network::{Images, Len, Logits, NamedTensor, Network, NetworkOn, Params, StateFault};
use cellc::source::SourceFile;
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::optim::{Momentum, Sgd, SgdConfig};
use dfdx::prelude::*;
use reference::graphs::{Wirer, everything};
use reference::{Phase, Reference, State, uniform};

fn images(seed: u64, shape: (usize, usize, usize, usize)) -> Images {
    let values = uniform(seed, shape.0 * shape.1 * shape.2 * shape.3);
    Cpu::default().tensor_from_vec(values.iter().map(|&value| value as f32).collect(), shape)
}

/// Two classes: the left or the right half of the image is brighter.
fn toy_batch(seed: u64, batch: usize) -> (Images, Logits) {
    let mut values = uniform(seed, batch * 16);
    let mut targets = vec![0.0f32; batch * 2];
    for (index, image) in values.chunks_mut(16).enumerate() {
        let class = index % 2;
        targets[index * 2 + class] = 1.0;
        for (pixel, value) in image.iter_mut().enumerate() {
            *value += if (pixel % 4 < 2) == (class == 0) { 0.8 } else { 0.0 };
        }
    }
    let dev = Cpu::default();
    let values = values.iter().map(|&value| value as f32).collect();
    (dev.tensor_from_vec(values, (batch, 1, 4, 4)), dev.tensor_from_vec(targets, (batch, 2)))
}

fn toy_graph() -> Graph {
    let mut w = Wirer::new(TensorType::new(1, 4, 4));
    let stem = w.conv(w.graph.input, 3, 1, 8);
    let stem = w.bn(stem);
    let x = w.relu(stem);
    let x = w.dwconv(x, 3, 2);
    let x = w.conv(x, 1, 1, 8);
    let x = w.bn(x);
    let pooled = w.maxpool(stem, 3, 2);
    let x = w.add(Op::Add, &[x, pooled]);
    let x = w.relu(x);
    // A kernel over the whole map keeps the place, which a mean over it would lose.
    let window =
        Window::new([2, 2], [1, 1], [1, 1], Padding::Valid, [2, 2]).expect("the kernel fits");
    let x = w.add(Op::Conv { window, out_channels: 8, groups: 1 }, &[x]);
    w.graph.output = w.add(Op::Dense { out_features: 2, bias: true }, &[x]);
    w.graph
}

fn accuracy(network: &Network, seed: u64) -> f32 {
    let (x, y) = toy_batch(seed, 64);
    let logits = network.forward(x).as_vec();
    let right =
        |(logits, targets): (&[f32], &[f32])| (logits[0] > logits[1]) == (targets[0] == 1.0);
    let targets = y.as_vec();
    logits.chunks(2).zip(targets.chunks(2)).filter(|&pair| right(pair)).count() as f32 / 64.0
}

#[test]
fn sgd_trains_a_network() {
    let mut network = Network::new(&toy_graph(), 1);
    network.set_image_gradient(false);
    let config =
        SgdConfig { lr: 0.05, momentum: Some(Momentum::Nesterov(0.9)), weight_decay: None };
    let mut sgd = Sgd::new(&network, config);
    let mut gradients = network.alloc_grads();
    let mut losses = Vec::new();
    for step in 0..60 {
        let (x, y) = toy_batch(100 + step, 32);
        let logits = network.forward_mut(x.traced(gradients));
        let loss = cross_entropy_with_logits_loss(logits, y);
        losses.push(loss.array());
        gradients = loss.backward();
        sgd.update(&mut network, &gradients).unwrap();
        network.zero_grads(&mut gradients);
    }
    assert!(losses[0] > 0.5 && losses[59] < 0.2, "from {} to {}", losses[0], losses[59]);
    let accuracy = accuracy(&network, 7);
    assert!(accuracy > 0.9, "{accuracy} of unseen images with running statistics");
    assert_eq!(network.training_steps(), 60);
}

/// The loss of a model `tanh(dense(network(tanh(x / 2))))` in double precision.
fn reference_loss(
    graph: &Graph,
    state: &State,
    dense: [&[f32]; 2],
    image: &[f64],
    target: &[f32],
) -> f64 {
    let image: Vec<f64> = image.iter().map(|v| (v * 0.5).tanh()).collect();
    let reference = Reference { graph, state, batch: 3, eps: 1e-5, phase: Phase::Train };
    let y = reference.run(&image).swap_remove(graph.output.0);
    let mut loss = 0.0;
    for (y, target) in y.chunks(3).zip(target.chunks(2)) {
        let logit = |o: usize| {
            let products = y.iter().zip(&dense[0][o * 3..]).map(|(y, &w)| y * f64::from(w));
            (products.sum::<f64>() + f64::from(dense[1][o])).tanh()
        };
        let logits = [logit(0), logit(1)];
        let normalizer = logits.iter().map(|l| l.exp()).sum::<f64>().ln();
        let terms = logits.iter().zip(target).map(|(l, &t)| -f64::from(t) * (l - normalizer));
        loss += terms.sum::<f64>() / 3.0;
    }
    loss
}

#[test]
fn a_network_in_the_middle_of_a_model_hands_gradients_back() {
    let dev = Cpu::seed_from_u64(3);
    let mut graph = everything();
    graph.aux = None;
    let head = dev.build_module::<Linear<3, 2>, f32>();
    let mut model = (Network::new(&graph, 2), head);
    let x = images(4, (3, 3, 6, 5));
    let target = vec![1.0f32, 0.0, 0.2, 0.8, 0.0, 1.0];

    let y = model.0.forward_mut((x.leaky_trace() * 0.5).tanh());
    let logits = model.1.forward_mut(y.reshape_like(&(3, Const::<3>))).tanh();
    let logits = logits.reshape_like(&(3usize, 2usize));
    let target_tensor = dev.tensor_from_vec(target.clone(), (3usize, 2usize));
    let loss = cross_entropy_with_logits_loss(logits, target_tensor);
    let value = loss.array();
    let gradients = loss.backward();

    let dense = [model.1.weight.as_vec(), model.1.bias.as_vec()];
    let image: Vec<f64> = x.as_vec().into_iter().map(f64::from).collect();
    let in_double = |(path, tensor): (String, NamedTensor)| {
        (path, tensor.values.into_iter().map(f64::from).collect())
    };
    let state: State = model.0.state_dict().into_iter().map(in_double).collect();
    let loss = |state: &State, image: &[f64]| {
        reference_loss(&graph, state, [&dense[0], &dense[1]], image, &target)
    };
    assert!((f64::from(value) - loss(&state, &image)).abs() < 1e-5);

    let check = |found: f32, what: &str, loss: &dyn Fn(f64) -> f64| {
        let expected = (loss(1e-5) - loss(-1e-5)) / 2e-5;
        let error = (f64::from(found) - expected).abs();
        assert!(error < 1e-3 * expected.abs().max(0.1), "{what}: {found}, expected {expected}");
    };
    let found = gradients.get(&model.0.params().flat).as_vec();
    for entry in model.0.layout().entries().iter().filter(|entry| entry.kind.is_trainable()) {
        check(found[entry.slot.offset], &entry.path, &|step| {
            let mut state = state.clone();
            state.entry(entry.path.clone()).or_default()[0] += step;
            loss(&state, &image)
        });
    }
    let found = gradients.get(&x).as_vec();
    for index in (0..image.len()).step_by(7) {
        check(found[index], "image", &|step| {
            let mut image = image.clone();
            image[index] += step;
            loss(&state, &image)
        });
    }
    assert!(gradients.get(&model.1.weight).as_vec().iter().any(|&g| g != 0.0));
}

/// dfdx applies a tuple in order, so a network is a layer among others.
#[test]
fn a_network_is_a_layer_of_a_dfdx_tuple() {
    let dev = Cpu::seed_from_u64(3);
    let mut model = (Tanh, Network::new(&toy_graph(), 1), Tanh);
    let mut gradients = model.alloc_grads();
    let mut sgd = Sgd::new(&model, SgdConfig::default());
    let before = model.1.params().flat.as_vec();
    let y = model.forward_mut(images(3, (2, 1, 4, 4)).traced(gradients));
    gradients = y.square().mean().backward();
    sgd.update(&mut model, &gradients).unwrap();
    assert_ne!(model.1.params().flat.as_vec(), before);
    assert_eq!(model.forward(dev.zeros_like(&(5, 1, 4, 4))).shape(), &(5, 2));
}

#[test]
fn gradients_accumulate_over_steps_and_uses() {
    let graph = toy_graph();
    let mut network = Network::new(&graph, 1);
    let x = images(2, (2, 1, 4, 4));
    let once = network.forward_mut(x.leaky_trace()).square().sum().backward();
    let twice = network.forward_mut(x.trace(once.clone())).square().sum().backward();
    let doubled: Vec<f32> =
        once.get(&network.params().flat).as_vec().iter().map(|g| 2.0 * g).collect();
    assert_eq!(twice.get(&network.params().flat).as_vec(), doubled);
    let doubled: Vec<f32> = once.get(&x).as_vec().iter().map(|g| 2.0 * g).collect();
    assert_eq!(twice.get(&x).as_vec(), doubled);

    // Two passes on one tape, each with a session of its own.
    let a = network.forward_mut(x.leaky_trace()).square().sum();
    let b = network.forward_mut(x.leaky_trace()).square().sum();
    let both = (a + b).backward();
    for (found, expected) in both.get(&x).as_vec().iter().zip(doubled) {
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0));
    }
}

#[test]
fn a_tensor_that_is_not_contiguous_is_read_as_it_is_meant() {
    let mut network = Network::new(&toy_graph(), 1);
    let row = images(2, (1, 1, 1, 4));
    let row = row.reshape_like(&(4usize,));
    let shape = (2usize, 1usize, 4usize, 4usize);
    let broadcast = row.leaky_trace().broadcast_like::<_, Axes3<0, 1, 2>>(&shape);
    let dense = Cpu::default().tensor_from_vec(row.as_vec().repeat(8), shape);
    let gradients = network.forward_mut(broadcast).square().sum().backward();
    let expected = network.forward_mut(dense.leaky_trace()).square().sum().backward();
    let expected = expected.get(&dense).as_vec();
    for (column, found) in gradients.get(&row).as_vec().iter().enumerate() {
        let expected: f32 = expected.iter().skip(column).step_by(4).sum();
        assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0));
    }
}

#[test]
fn the_auxiliary_head_learns_through_its_own_loss() {
    let mut network = Network::new(&everything(), 2);
    let x = images(4, (2, 3, 6, 5));
    let gradient = |network: &mut Network, main: f32, aux: f32| {
        let (logits, extra) = network.try_forward_aux(x.leaky_trace()).unwrap();
        let loss = logits.sum::<Rank0, _>() * main + extra.unwrap().sum::<Rank0, _>() * aux;
        loss.backward().get(&network.params().flat).as_vec()
    };
    let main = gradient(&mut network, 1.0, 0.0);
    let aux = gradient(&mut network, 0.0, 0.4);
    let both = gradient(&mut network, 1.0, 0.4);
    for ((a, b), sum) in main.iter().zip(&aux).zip(&both) {
        assert!((a + b - sum).abs() < 1e-3 * sum.abs().max(1.0));
    }
    // A loss without the auxiliary logits still runs; the head then gets no gradient.
    let layout = network.layout().clone();
    let logits = network.forward_mut(x.leaky_trace());
    let gradients = logits.sum::<Rank0, _>().backward();
    let alone = gradients.get(&network.params().flat).as_vec();
    let aux_head =
        layout.entries().iter().rfind(|entry| entry.path.starts_with("net.dense")).unwrap();
    assert_eq!(aux_head.shape, [2]);
    assert!(alone[aux_head.slot.range()].iter().all(|&g| g == 0.0));
    assert!(aux[aux_head.slot.range()].iter().all(|&g| g != 0.0));
}

#[test]
fn dropout_masks_differ_from_step_to_step_and_repeat_from_a_seed() {
    let mut w = Wirer::new(TensorType::new(64, 1, 1));
    let dropped = w.add(Op::Dropout, &[w.graph.input]);
    w.graph.output = w.add(Op::Dense { out_features: 1, bias: true }, &[dropped]);
    let run = |steps: u64| {
        let mut network = Network::new(&w.graph, 1);
        network
            .set_config(RunConfig { dropout: 0.5, dropout_seed: 9, ..RunConfig::default() })
            .unwrap();
        network.set_training_steps(steps);
        let x = images(1, (1, 64, 1, 1));
        [0, 1].map(|_| network.forward_mut(x.leaky_trace()).as_vec()[0])
    };
    let [first, second] = run(0);
    assert_ne!(first, second);
    assert_eq!(run(0), [first, second]);
    assert_eq!(run(1)[0], second);
}

#[test]
fn shares_of_a_mix_differ_from_step_to_step_and_repeat_from_a_seed() {
    let mut w = Wirer::new(TensorType::new(2, 1, 1));
    let [a, b] = [0, 1].map(|start| w.add(Op::Slice { start, count: 1 }, &[w.graph.input]));
    w.graph.output = w.add(Op::Mix, &[a, b]);
    let run = |steps: u64| {
        let mut network = Network::new(&w.graph, 1);
        network.set_training_steps(steps);
        let x = images(1, (1, 2, 1, 1));
        [0, 1].map(|_| network.forward_mut(x.leaky_trace()).as_vec()[0])
    };
    let [first, second] = run(0);
    assert_ne!(first, second);
    assert_eq!(run(0), [first, second]);
    assert_eq!(run(1)[0], second);
}

/// Children of a search are trained by several threads, each with networks of its own.
/// What inference made of a network is kept from pass to pass, and must go when the network changes.
#[test]
fn inference_computes_with_the_network_as_it_is() {
    let graph = everything();
    let TensorType { channels, height, width } = graph.ty(graph.input);
    let mut network = Network::new(&graph, 1);
    let check = |network: &Network, what: &str| {
        for batch in [2, 2, 3, 2] {
            let x = images(7, (batch, channels, height, width));
            let mut same = Network::new(&graph, 2);
            same.load_state_dict(&network.state_dict()).unwrap();
            same.set_config(*network.config()).unwrap();
            same.set_device(network.device().clone());
            assert_eq!(network.forward(x.clone()).as_vec(), same.forward(x).as_vec(), "{what}");
        }
    };
    check(&network, "fresh");
    let before = network.clone();
    let params: Vec<f32> = network.params().flat.as_vec().iter().map(|p| p * 1.5).collect();
    network.params_mut().flat.copy_from(&params);
    check(&network, "other parameters");
    check(&before, "a clone keeps its own");
    network.statistics_mut().iter_mut().for_each(|s| *s = *s * 0.5 + 0.25);
    check(&network, "other statistics");
    network.set_config(RunConfig { bn_eps: 0.1, ..*network.config() }).unwrap();
    check(&network, "another eps");
    let x = images(8, (4, channels, height, width));
    drop(network.forward_mut(x.clone().leaky_traced()));
    check(&network, "statistics moved by training");

    let config = SgdConfig { lr: 0.05, momentum: None, weight_decay: None };
    let mut sgd = Sgd::new(&network, config);
    let gradients = network.alloc_grads();
    let loss = network.forward_mut(x.traced(gradients)).square().mean();
    check(&network, "before the step");
    sgd.update(&mut network, &loss.backward()).unwrap();
    check(&network, "a step of dfdx's optimizer");
    network.load_state_dict(&before.state_dict()).unwrap();
    check(&network, "a loaded state");
    network.set_device(cellc::device::Cpu::new(Kernels::with(Isa::Portable)));
    check(&network, "other kernels");
}

#[test]
fn networks_may_move_to_other_threads() {
    fn check<T: Send + Sync>(_: &T) {}
    check(&Network::new(&toy_graph(), 0));
}

#[test]
fn settings_are_checked() {
    let mut network = Network::new(&toy_graph(), 0);
    let mut refuse = |config: RunConfig, name: &str| {
        let error = network.set_config(config).unwrap_err();
        assert!(matches!(error, Error::Config { setting, .. } if setting == name), "{error}");
    };
    let good = RunConfig::default();
    refuse(RunConfig { dropout: 1.0, ..good }, "dropout");
    refuse(RunConfig { dropout: f32::NAN, ..good }, "dropout");
    refuse(RunConfig { bn_momentum: 1.5, ..good }, "bn_momentum");
    refuse(RunConfig { bn_eps: 0.0, ..good }, "bn_eps");
    network.set_config(good).unwrap();
}

#[test]
#[should_panic(expected = "compiled for images [N, 1, 4, 4], it got [2, 3, 4, 4]")]
fn images_of_another_shape_are_refused() {
    let _ = Network::new(&toy_graph(), 0).forward(images(0, (2, 3, 4, 4)));
}

#[test]
fn initial_values_follow_their_kind_and_the_seed() {
    let graph = reference::graphs::nasnet_a(1, 32);
    let network = Network::new(&graph, 5);
    assert_eq!(network.params().flat.as_vec(), Network::new(&graph, 5).params().flat.as_vec());
    assert_ne!(network.params().flat.as_vec(), Network::new(&graph, 6).params().flat.as_vec());
    for (path, tensor) in network.state_dict() {
        let n = tensor.values.len() as f64;
        let square: f64 = tensor.values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        // Fan-out as torch.nn.init counts it: 3 * 3 * 96 for the stem, 5 * 5 * C for a depthwise kernel of C
        // channels; uniform in 1 / sqrt(768) for the head.
        let expected = match &tensor.shape[..] {
            [96, 3, 3, 3] => 2.0 / (9.0 * 96.0),
            [channels, 1, 5, 5] => 2.0 / (25.0 * *channels as f64),
            [10, 768] => 1.0 / 768.0 / 3.0,
            _ if path.ends_with("running_var") => 1.0,
            _ => continue,
        };
        // Four standard errors of a mean of squares of normal numbers.
        assert!((square / expected - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{path}: {square}");
    }
}

#[test]
fn filters_of_all_groups_decide_initial_values() {
    let mut w = Wirer::new(TensorType::new(64, 4, 4));
    let mixed = w.grouped(w.graph.input, 3, 128, 1);
    let grouped = w.grouped(mixed, 3, 64, 4);
    let norm = w.add(Op::LayerNorm, &[grouped]);
    let pooled = w.add(Op::GlobalAvgPool, &[norm]);
    w.graph.output = w.add(Op::Dense { out_features: 2, bias: false }, &[pooled]);
    let state = Network::new(&w.graph, 3).state_dict();
    let paths: Vec<&str> = state.keys().map(String::as_str).collect();
    let expected = [
        "net.conv1.weight",
        "net.conv2.weight",
        "net.dense5.weight",
        "net.layernorm3.bias",
        "net.layernorm3.weight",
    ];
    assert_eq!(paths, expected);
    // 128 filters of 9 taps, then 64 in four groups.
    for (path, fan_out) in [("net.conv1.weight", 128.0 * 9.0), ("net.conv2.weight", 64.0 * 9.0)] {
        let values = &state[path].values;
        let n = values.len() as f64;
        let square: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        let error = (square * fan_out / 2.0 - 1.0).abs();
        assert!(error < 4.0 * (2.0 / n).sqrt(), "{path}: {square}");
    }
    assert_eq!(state["net.conv2.weight"].shape, [64, 32, 3, 3]);
    assert_eq!(state["net.layernorm3.weight"].values, [1.0; 64]);
    assert_eq!(state["net.layernorm3.bias"].values, [0.0; 64]);
}

#[test]
fn dfdx_tools_work_on_the_parameters() {
    let dev = Cpu::default();
    let network = Network::new(&toy_graph(), 1);
    let len = network.layout().params_len();
    assert_eq!(network.num_trainable_params(), len);
    assert_eq!(network.params().num_trainable_params(), len);
    let mut average = network.clone();
    let zeros: Params<f32, Cpu> = Params { flat: dev.zeros_like(&(Len(len),)) };
    average.params_mut().flat = zeros.flat;
    average.ema(&network, 0.75);
    let quarter: Vec<f32> = network.params().flat.as_vec().iter().map(|v| v * 0.25).collect();
    assert_eq!(average.params().flat.as_vec(), quarter);
    let double: Params<f64, Cpu> = network.params().to_dtype::<f64>();
    assert_eq!(double.flat.as_vec().len(), len);
}

#[test]
fn checkpoints_round_trip_with_statistics_and_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let mut trained = Network::new(&toy_graph(), 1);
    for _ in 0..3 {
        let _ = trained.forward_mut(toy_batch(1, 8).0.leaky_trace());
    }
    let metadata: BTreeMap<String, String> =
        (0..20).map(|i| (format!("key{i}"), format!("value \"{i}\""))).collect();
    trained.save_safetensors(&path, &metadata).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    trained.save_safetensors(&path, &metadata).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same network, the same bytes");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");

    let mut loaded = Network::new(&toy_graph(), 2);
    assert_eq!(loaded.load_safetensors(&path).unwrap(), metadata);
    assert_eq!(loaded.state_dict(), trained.state_dict());
    assert_ne!(loaded.statistics(), Network::new(&toy_graph(), 2).statistics());
    let x = toy_batch(3, 4).0;
    assert_eq!(loaded.forward(x.clone()).as_vec(), trained.forward(x).as_vec());

    // The format's own crate reads the file too.
    let file = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), trained.layout().entries().len());
    assert_eq!(file.tensor("net.conv1.weight").unwrap().shape(), [8, 1, 3, 3]);
}

#[test]
fn checkpoints_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let other = |change: &dyn Fn(&mut Wirer)| {
        let mut w = Wirer::new(TensorType::new(1, 2, 2));
        change(&mut w);
        w.graph.output = w.head(w.graph.output, 2);
        Network::new(&w.graph, 0)
    };
    let mut network = other(&|w| w.graph.output = w.conv(w.graph.input, 3, 1, 4));
    let fault = |network: &mut Network| match network.load_safetensors(&path) {
        Err(Error::Checkpoint { fault, .. }) => fault,
        other => panic!("not refused: {other:?}"),
    };
    let before = network.state_dict();

    other(&|w| w.graph.output = w.dwconv(w.graph.input, 3, 1))
        .save_safetensors(&path, &BTreeMap::new())
        .unwrap();
    assert_eq!(fault(&mut network), "it has no `net.conv1.weight`");
    let two = |w: &mut Wirer| {
        w.graph.output = w.conv(w.graph.input, 3, 1, 4);
        w.bn(w.graph.output);
    };
    let mut saved = other(&two);
    saved.save_safetensors(&path, &BTreeMap::new()).unwrap();
    assert_eq!(fault(&mut network), "it has `net.bn2.bias`, which the network has not");
    saved = other(&|w| w.graph.output = w.conv(w.graph.input, 1, 1, 4));
    saved.save_safetensors(&path, &BTreeMap::new()).unwrap();
    assert_eq!(
        fault(&mut network),
        "`net.conv1.weight` is [4, 1, 1, 1], the network has [4, 1, 3, 3]"
    );

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(fault(&mut network).starts_with("not a valid safetensors file"));
    std::fs::write(&path, "").unwrap();
    assert!(fault(&mut network).starts_with("not a valid safetensors file"));
    assert_eq!(network.state_dict(), before, "a refused checkpoint changes nothing");

    let missing = folder.path().join("none").join("x");
    assert!(matches!(network.load_safetensors(&missing), Err(Error::Read { .. })));
    let written = network.save_safetensors(&missing, &BTreeMap::new());
    assert!(matches!(written, Err(Error::Write { .. })));
}

#[test]
fn states_are_compared_in_the_order_of_their_paths() {
    let mut network = Network::new(&toy_graph(), 0);
    let mut state = network.state_dict();
    let bias = state.get_mut("net.bn2.bias").unwrap();
    *bias = NamedTensor { shape: vec![8], values: vec![0.0; 7] };
    state.insert("a".into(), NamedTensor { shape: vec![1], values: vec![0.0] });
    assert_eq!(network.load_state_dict(&state), Err(StateFault::Extra { path: "a".into() }));
    state.remove("a");
    let fault = network.load_state_dict(&state).unwrap_err();
    assert!(matches!(fault, StateFault::Shape { path, .. } if path == "net.bn2.bias"));
}

/// The whole way from text to a layer of a larger model that learns.
#[test]
fn compiled_cells_train_inside_a_larger_model() {
    let cells = SourceFile::new(
        "mine.cell",
        "cell normal(h, prev) { a = sep<3>(squeeze(h)) + avg<3>(fit(prev)) out a }
         cell reduction(h, prev) stride 2 = normal",
    );
    let request = Request::new("cifar", "1@16".parse().unwrap());
    let request = request.with_data(TensorType::new(1, 8, 8), 6);
    let body = cellc::compile(&cells, &request, 4).unwrap();
    let dev = Cpu::seed_from_u64(4);
    let mut head: modules::Linear<6, 2, f32, Cpu> = BuildModule::build(&dev);
    head.reset_params();
    // Which half of the image is bright.
    let x = dev.tensor_from_vec(
        (0..16 * 64).map(|at| f32::from(u8::from(at % 64 / 32 == at / 64 % 2))).collect(),
        (16, 1, 8, 8),
    );
    let rows: Vec<f32> =
        (0..16).flat_map(|image| [1.0 - (image % 2) as f32, (image % 2) as f32]).collect();
    let y = dev.tensor_from_vec(rows, (16, Const::<2>));

    let mut model = (body, head);
    let config = SgdConfig { lr: 0.1, ..SgdConfig::default() };
    let (mut body_sgd, mut head_sgd) = (Sgd::new(&model.0, config), Sgd::new(&model.1, config));
    let mut losses = Vec::new();
    for _ in 0..20 {
        let mut gradients = model.0.alloc_grads();
        model.1.zero_grads(&mut gradients);
        let features = model.0.forward_mut(x.clone().traced(gradients));
        let logits = model.1.forward(features.realize::<(usize, Const<6>)>());
        let loss = cross_entropy_with_logits_loss(logits, y.clone());
        losses.push(loss.array());
        let gradients = loss.backward();
        body_sgd.update(&mut model.0, &gradients).unwrap();
        head_sgd.update(&mut model.1, &gradients).unwrap();
    }
    assert!(losses[19] < 0.1 * losses[0], "{losses:?}");
}

/// dfdx's processor stands for any of its devices.
#[test]
fn a_network_on_a_device_of_dfdx_learns_as_itself() {
    let graph = everything();
    let ty = graph.ty(graph.input);
    let device = Cpu::default();
    let shape = (3, ty.channels, ty.height, ty.width);
    let mut own = Network::new(&graph, 4);
    let mut moved = NetworkOn::new(own.clone(), &device).unwrap();
    let images = device.sample_normal_like(&shape);
    let config = || SgdConfig { lr: 0.1, ..SgdConfig::default() };
    let (mut rule, mut rule_on) = (Sgd::new(&own, config()), Sgd::new(&moved, config()));
    for _ in 0..3 {
        let logits = own.forward_mut(images.leaky_trace());
        let gradients = logits.square().mean().backward();
        let logits_on = moved.forward_mut(images.leaky_trace());
        let gradients_on = logits_on.square().mean().backward();
        let (a, b) = (gradients.get(&images).as_vec(), gradients_on.get(&images).as_vec());
        assert_eq!(a, b, "the gradient of the images");
        rule.update(&mut own, &gradients).unwrap();
        rule_on.update(&mut moved, &gradients_on).unwrap();
    }
    assert_eq!(own.params().flat.as_vec(), moved.params().flat.as_vec());
    assert_eq!(own.statistics(), moved.network().statistics());
    assert_eq!(own.forward(images.clone()).as_vec(), moved.forward(images).as_vec());
}
