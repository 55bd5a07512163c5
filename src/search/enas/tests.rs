use std::collections::BTreeSet;

use dfdx::nn::ModuleMut;

use super::place::cut;
use super::*;
use crate::data::{DataSpec, HoldOut, LoadConfig, load_with, split};
use crate::graph::TensorType;
use crate::graph::lower::Lowered;
use crate::network::Network;
use crate::search::architecture::ChildScale;
use crate::source::{Library, SourceFile};

/// Three blocks a cell, of operations with and without parameters, that may be concatenated or loose.
const SPACE: &str = "\
space small {
    ops = { sep<3>, conv_bn<1>, max<3>, id }
    cell normal(h, prev) {
        a = squeeze(h)
        b = fit(prev)
        repeat 3 as n { ?ops(?earlier) ?{ +, concat } ?ops(?earlier) }
        out concat(unused)
    }
    cell reduction(h, prev) stride 2 = normal
}
";

const CLASSES: usize = 10;
const BATCH: usize = 6;
const IMAGE: TensorType = TensorType { channels: 1, height: 8, width: 8 };

fn architectures(space: &str) -> Architectures {
    let source = SourceFile::new("small.cell", space);
    let architectures = Architectures::new(&source, &Library, ChildScale::default()).unwrap();
    architectures.with_data(IMAGE, CLASSES)
}

fn images(seed: u64) -> Vec<f32> {
    let mut rng = stream(seed, Purpose::Bench, 0);
    (0..BATCH * IMAGE.elements()).map(|_| rand::Rng::gen_range(&mut rng, -1.0..1.0)).collect()
}

fn labels() -> Vec<u16> {
    (0..BATCH as u16).collect()
}

/// The names of the places of a child's parameters.
fn places(written: &Lowered) -> BTreeSet<String> {
    let graph = &written.graph;
    let trained = graph.nodes.iter().flat_map(|node| {
        let params = node.params.iter().map(|id| &graph.params[id.0]);
        params.filter(|param| param.kind.is_trainable()).map(move |param| (node, param))
    });
    let pieces = trained.flat_map(|(node, param)| cut(written, node, param).pieces);
    pieces.map(|piece| piece.key).collect()
}

#[test]
fn a_child_in_the_store_computes_what_a_network_of_its_own_does() {
    let architectures = architectures(SPACE);
    let mut store = SharedStore::new(3, AnyDevice::default());
    let (config, images) = (RunConfig::default(), images(1));
    let descent = Descent { lr: 0.1, momentum: 0.9, weight_decay: 1e-4, clip_norm: Some(5.0) };
    let rng = &mut stream(5, Purpose::Sample, 0);
    let mut joined = 0;
    for number in 0..12 {
        let genotype = architectures.space().sample(rng);
        let lowered = architectures.network(&genotype).unwrap();
        let written = architectures.as_written(&genotype).unwrap();
        let child = store.child(&written, &lowered.graph);
        joined += child.cuts.len();
        let (layout, ..) = store.lay_out(&written, &lowered.graph);

        let logits = store.logits(&child, &images, BATCH, &config).unwrap();
        let mut network = Network::new(&lowered.graph, 0);
        network.set_image_gradient(false);
        let mut params = vec![f32::NAN; network.layout().params_len()];
        for entry in network.layout().entries().iter().filter(|entry| entry.kind.is_trainable()) {
            let at = layout.get(&entry.path).unwrap();
            params[entry.slot.range()].copy_from_slice(&store.values[at.slot.range()]);
        }
        network.params_mut().flat.copy_from(&params);
        let shape = (BATCH, IMAGE.channels, IMAGE.height, IMAGE.width);
        let tensor = Cpu::default().tensor_from_vec(images.clone(), shape);
        let own = network.forward_mut(tensor.traced(network.alloc_grads()));
        assert_eq!(own.as_vec(), logits, "child {number}");

        let targets =
            Cpu::default().tensor_from_vec(targets(&labels(), CLASSES, 0.0), (BATCH, CLASSES));
        let own = cross_entropy_with_logits_loss(own, targets).backward();
        let own = own.get(&network.params().flat).as_vec();
        let (_, gradient) = cross_entropy(logits, &labels(), CLASSES).unwrap();
        store.learn(&child, &gradient, BATCH, &config, &descent).unwrap();
        for entry in network.layout().entries().iter().filter(|entry| entry.kind.is_trainable()) {
            let at = layout.get(&entry.path).unwrap();
            let shared = &store.gradients[at.slot.range()];
            assert_eq!(shared, &own[entry.slot.range()], "child {number}, {}", entry.path);
        }
    }
    assert!(joined > 50, "{joined} parameters were put together from pieces");
}

/// What a step changes is what the next child with the same choice starts from, and nothing else changes.
#[test]
fn a_step_moves_the_places_of_its_child_alone() {
    let architectures = architectures(SPACE);
    let mut store = SharedStore::new(3, AnyDevice::default());
    let rng = &mut stream(6, Purpose::Sample, 0);
    let genotypes: Vec<Genotype> = (0..4).map(|_| architectures.space().sample(rng)).collect();
    let written: Vec<Lowered> =
        genotypes.iter().map(|genotype| architectures.as_written(genotype).unwrap()).collect();
    let mut children = Vec::new();
    for (genotype, written) in genotypes.iter().zip(&written) {
        let lowered = architectures.network(genotype).unwrap();
        children.push(store.child(written, &lowered.graph));
    }
    let before = store.state();
    let config = RunConfig::default();
    let logits = store.logits(&children[0], &images(1), BATCH, &config).unwrap();
    let (_, gradient) = cross_entropy(logits, &labels(), CLASSES).unwrap();
    let descent = Descent { lr: 0.1, momentum: 0.9, weight_decay: 1e-4, clip_norm: None };
    store.learn(&children[0], &gradient, BATCH, &config, &descent).unwrap();
    let after = store.state();
    let own = places(&written[0]);
    let mut moved = 0;
    for (name, tensor) in &after {
        let (_, key) = name.split_once('.').unwrap();
        let is_same = before[name] == *tensor;
        assert!(is_same || own.contains(key), "{name} moved");
        moved += usize::from(!is_same);
    }
    assert!(moved > own.len(), "{moved} of {} places moved", own.len());
    assert!(after.len() > 2 * own.len(), "the other children have places of their own");
}

#[test]
fn children_share_what_the_same_choice_made() {
    let architectures = architectures(SPACE);
    let space = architectures.space();
    let decision = |label: &str| {
        let found = space.decisions.iter().position(|decision| decision.label == label);
        found.unwrap_or_else(|| panic!("{label} is none of {:?}", space.decisions))
    };
    let option = |decision: usize, text: &str| {
        space.decisions[decision].options.iter().position(|option| option == text).unwrap()
    };
    let base = {
        let mut rng = stream(1, Purpose::Sample, 0);
        let mut genotype = space.sample(&mut rng);
        for (label, text) in [
            ("normal.n1.op1", "sep<3>"),
            ("normal.n1.input1", "a"),
            ("normal.n1.combine", "+"),
            ("normal.n3.op1", "sep<3>"),
            ("normal.n3.input1", "n1"),
            ("normal.n3.input2", "n2"),
            ("normal.n2.input1", "a"),
            ("normal.n2.input2", "b"),
        ] {
            let at = decision(label);
            genotype.choices[at] = option(at, text);
        }
        genotype
    };
    let with = |label: &str, text: &str| {
        let mut genotype = base.clone();
        let at = decision(label);
        genotype.choices[at] = option(at, text);
        places(&architectures.as_written(&genotype).unwrap())
    };
    // The part of a name that is the parameter's path.
    let is_at = |key: &str, part: &str| key.split(' ').next().unwrap().contains(part);
    let at = |places: &BTreeSet<String>, part: &str| -> BTreeSet<String> {
        places.iter().filter(|key| is_at(key, part)).cloned().collect()
    };
    let original = places(&architectures.as_written(&base).unwrap());

    // Another operation, and another input: nothing of that side is shared, all the rest is.
    for (label, text) in [("normal.n1.op1", "conv_bn<1>"), ("normal.n1.input1", "b")] {
        let other = with(label, text);
        let side = at(&original, "cells.0.n1.left.");
        assert!(!side.is_empty() && side.is_disjoint(&other), "{label}");
        assert!(original.difference(&other).all(|key| is_at(key, ".n1.left.")), "{label}");
    }
    // Another combination: only who reads the block has something new to learn.
    let other = with("normal.n1.combine", "concat");
    assert_eq!(at(&original, ".n1."), at(&other, ".n1."));
    assert_ne!(at(&original, ".n3.left."), at(&other, ".n3.left."));
    // Another loose end: the next cell keeps its columns for those there were.
    let other = with("normal.n3.input1", "a");
    let (squeezed, more) = (at(&original, "cells.1.a.conv1"), at(&other, "cells.1.a.conv1"));
    assert!(squeezed.is_subset(&more) && squeezed.len() < more.len(), "{squeezed:?} {more:?}");
    assert!(more.iter().any(|key| key.contains("of cells.0.n1 [")), "{more:?}");
}

/// One operation learns, the other gives zeros.
const LOPSIDED: &str = "\
op none(x) = x |> zero<stride>

space lopsided {
    ops = { conv_bn<3>, none }
    cell normal(h) {
        a = squeeze(h)
        repeat 2 as n { ?ops(?earlier) + ?ops(?earlier) }
        out concat(unused)
    }
    cell reduction(h) stride 2 = normal
}
";

#[test]
fn shared_weights_and_the_controller_learn() {
    let load = LoadConfig { limit: Some(1600), ..LoadConfig::default() };
    let data = load_with(&DataSpec::Digits, &load).unwrap();
    let split = split(&data.train, HoldOut::Fraction(0.25), 1).unwrap();
    let architectures = Architectures::new(
        &SourceFile::new("lopsided.cell", LOPSIDED),
        &Library,
        ChildScale::default(),
    );
    let architectures = architectures.unwrap().with_data(data.train.ty(), data.classes);
    let train = TrainConfig { batch: 16, ..TrainConfig::default() };
    let (architectures, data, split, train) = (&architectures, &data, &split, &train);
    let sharing = Sharing { architectures, data, split, train, device: &AnyDevice::default() };
    let config = EnasConfig { epochs: 8, lr_period: 8, ..EnasConfig::default() };
    let mut enas = Enas::new(architectures.space().clone(), &config, 1, sharing).unwrap();

    let nothing = Requirements::default();
    // Mean accuracy of children on batches that trained no controller yet.
    let mean = |enas: &mut Enas<'_>, genotypes: &[Genotype]| {
        let scores = genotypes.iter().enumerate().map(|(number, genotype)| {
            let batch = enas.held_out(10_000 + number).unwrap();
            enas.score(genotype, &batch).unwrap()
        });
        scores.sum::<f64>() / genotypes.len() as f64
    };
    let draw = |enas: &Enas<'_>| {
        let of = |number| stream(9, Purpose::Sample, number);
        let mut rngs: Vec<Pcg64> = (0..40).map(of).collect();
        enas.draw(&mut rngs, nothing, 0).unwrap().genotypes
    };
    let by_chance = draw(&enas);
    let untrained = mean(&mut enas, &by_chance);
    for _ in 0..config.epochs {
        enas.advance(nothing).unwrap();
    }
    // By the same weights: only the controller makes the difference.
    let trained = mean(&mut enas, &by_chance);
    let by_controller = draw(&enas);
    let chosen = mean(&mut enas, &by_controller);
    assert!(untrained < 0.15 && trained > untrained + 0.04, "{untrained} then {trained}");
    assert!(chosen > trained + 0.3, "{trained} by chance, {chosen} by the controller");
    let rewards: Vec<f64> = enas.done().iter().map(|epoch| epoch.reward).collect();
    assert!(rewards[7] > rewards[0] + 0.4, "{rewards:?}");
}
