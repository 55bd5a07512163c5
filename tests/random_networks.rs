//! Points of NASNet's space and of one of other primitives, drawn at random: whatever is drawn is a sound network, and simplifying it
//! keeps what counts.

use std::collections::BTreeSet;

use cellc::compile::{self, Request};
use cellc::graph::cost::Cost;
use cellc::graph::lower::{Scale, Width};
use cellc::graph::{Graph, NodeId, TensorType, passes};
use cellc::ir::Module;
use cellc::rng::{Purpose, stream};
use cellc::source::SourceFile;
use proptest::prelude::*;

/// What NASNet's space does not use, at any width.
const OTHERS: &str = "
    op grouped(x)  = id(x) |> conv<3, out = 2 * c, groups = c> |> layernorm |> relu6 |> split<2, 1>
    op shuffled(x) = concat(id(x), id(x) |> relu6 |> relu6) |> shuffle<2> |> split<2, 2>
    op none(x)     = id(x) |> zero
    op shaken(x)   = mix(id(x) |> conv<3> |> instancenorm, id(x) |> conv<1> |> bn)
    op gated(x)    = id(x) * (id(x) |> gap |> dense<c, bias = false> |> sigmoid)

    space others {
        ops = { id, grouped, shuffled, none, shaken, gated }
        cell normal(h, prev) {
            a = squeeze(h)
            b = fit(prev)
            repeat 4 as n { ?ops(?earlier) ?{ +, concat } ?ops(?earlier) }
            out concat(unused)
        }
        cell reduction(h, prev) stride 2 = normal
    }";

fn space(of_others: bool) -> Module {
    let nasnet = compile::embedded("nasnet_space.cell").expect("in the library");
    let text = if of_others { OTHERS } else { nasnet };
    compile::check(&SourceFile::new("space.cell", text)).expect("is sound")
}

/// Paths of the parameters that reach the outputs, found apart from the pass that removes the others.
fn live_params(graph: &Graph) -> BTreeSet<&str> {
    let mut is_live = vec![false; graph.nodes.len()];
    let mut open: Vec<NodeId> = [graph.output].into_iter().chain(graph.aux).collect();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut is_live[id.0], true) {
            open.extend(&graph.node(id).inputs);
        }
    }
    let live = graph.nodes.iter().zip(&is_live).filter(|(_, is_live)| **is_live);
    live.flat_map(|(node, _)| &node.params).map(|id| graph.params[id.0].path.as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_point_is_a_sound_network(
        of_others in any::<bool>(),
        seed in any::<u64>(),
        n in 1usize..4,
        base in prop::sample::select(vec![2, 3, 8, 27]),
        image in prop::sample::select(vec![[1, 1, 1], [1, 8, 8], [3, 7, 5], [3, 32, 32], [3, 33, 16]]),
        classes in 1usize..12,
    ) {
        let module = space(of_others);
        let decisions = &module.space.as_ref().expect("a space").decisions;
        let [channels, height, width] = image;
        let request = Request {
            width: Width::Base(base),
            genotype: Some(decisions.sample(&mut stream(seed, Purpose::Sample, 0))),
            ..Request::new("cifar", Scale { n, f: 0 })
        };
        let request = request.with_data(TensorType::new(channels, height, width), classes);
        let lowered = compile::lower_only(&module, &request).expect("every point can be built");
        let graph = &lowered.graph;
        prop_assert_eq!(graph.verify(), Ok(()));
        prop_assert_eq!(graph.ty(graph.output), TensorType::new(classes, 1, 1));
        // The last cell's channels are F.
        let last = graph.nodes.iter().rfind(|node| node.path.ends_with(".out.concat1"));
        prop_assert_eq!(last.map(|node| node.ty.channels), Some(lowered.scale.f));

        let simple = passes::simplify(graph);
        prop_assert_eq!(simple.verify(), Ok(()));
        prop_assert_eq!(live_params(graph), live_params(&simple));
        prop_assert_eq!(simple.ty(simple.output), graph.ty(graph.output));
        let again = passes::simplify(&simple);
        prop_assert!(again == simple, "simplifying twice differs");

        let cost = Cost::of(&simple);
        let sum = |is_trainable: bool| -> u64 {
            let params = simple.params.iter().filter(|param| param.kind.is_trainable() == is_trainable);
            params.map(|param| param.len() as u64).sum()
        };
        prop_assert_eq!(cost.total.params, sum(true));
        prop_assert_eq!(cost.total.statistics, sum(false));

        // F as it came out leads back to a base of the same F.
        let back = Request { width: Width::Filters(lowered.scale.f), ..request.clone() };
        let back = compile::lower_only(&module, &back).expect("F was reached");
        prop_assert_eq!((back.base, back.scale), (base, lowered.scale));
    }
}
