//! ONNX files read back: each value defined before it is read, constants of their shapes, a free batch.

use std::collections::BTreeSet;

use cellc::export::features::{Features, STRIDES};
use cellc::export::onnx::proto::{
    AttributeProto, Dimension, FLOAT, GraphProto, INT64, ModelProto, ValueInfoProto,
};
use cellc::export::onnx::{self, OPSET, Options};
use cellc::graph::Op;
use prost::Message;

use super::{NETWORKS, graph, module, request};
use crate::lively::lively;

fn written(model: &ModelProto) -> ModelProto {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("model.onnx");
    onnx::write(model, &file).expect("written");
    let bytes = std::fs::read(&file).expect("readable");
    ModelProto::decode(bytes.as_slice()).expect("the same messages")
}

fn shape(value: &ValueInfoProto) -> Vec<String> {
    let tensor = value.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref()).expect("a tensor");
    assert_eq!(tensor.elem_type, FLOAT);
    let dims = &tensor.shape.as_ref().expect("a shape").dim;
    dims.iter()
        .map(|dim| match dim.value.as_ref().expect("a dimension") {
            Dimension::Value(size) => size.to_string(),
            Dimension::Param(name) => name.clone(),
        })
        .collect()
}

/// What onnx's checker asks for and this crate can check.
fn check(model: &ModelProto) -> &GraphProto {
    let opsets: Vec<_> = model.opset_import.iter().map(|set| (&*set.domain, set.version)).collect();
    assert_eq!(opsets, [("", OPSET)]);
    let graph = model.graph.as_ref().expect("a graph");
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for tensor in &graph.initializer {
        assert!(known.insert(&tensor.name), "`{}` is there twice", tensor.name);
        let bytes = match tensor.data_type {
            FLOAT => 4,
            INT64 => 8,
            other => panic!("`{}` is of type {other}", tensor.name),
        };
        let numbers: i64 = tensor.dims.iter().product();
        assert_eq!(tensor.raw_data.len() as i64, bytes * numbers, "`{}`", tensor.name);
    }
    let constants = known.clone();
    known.extend(graph.input.iter().map(|value| value.name.as_str()));
    let mut read: BTreeSet<&str> = graph.output.iter().map(|value| value.name.as_str()).collect();
    let mut names = BTreeSet::new();
    for node in &graph.node {
        assert!(names.insert(&node.name), "two nodes `{}`", node.name);
        for input in &node.input {
            assert!(known.contains(input.as_str()), "`{}` reads `{input}` too early", node.name);
            read.insert(input);
        }
        for output in &node.output {
            assert!(known.insert(output), "`{output}` is there twice");
        }
    }
    let unread: Vec<_> = known.difference(&read).filter(|name| **name != "image").collect();
    assert!(unread.is_empty(), "nothing reads {unread:?} (constants: {})", constants.len());
    assert!(graph.output.iter().all(|value| known.contains(value.name.as_str())));
    graph
}

#[test]
fn classifiers_are_well_formed() {
    for (cell, net, scale) in NETWORKS {
        let network = lively(&graph(cell, net, scale), 7);
        let ty = network.graph().ty(network.graph().input);
        let classes = network.graph().ty(network.graph().output).channels.to_string();
        for fold in [false, true] {
            let options = Options { fold, ..Options::default() };
            let model = written(&onnx::classifier(&network, &options).expect("a model"));
            let graph = check(&model);
            let image =
                ["batch".to_string(), "3".into(), ty.height.to_string(), ty.width.to_string()];
            assert_eq!(graph.input.iter().map(shape).collect::<Vec<_>>(), [image], "{cell}");
            let logits = vec!["batch".to_string(), classes.clone()];
            assert_eq!(graph.output.iter().map(shape).collect::<Vec<_>>(), [logits], "{cell}");
            let norms = graph.node.iter().filter(|node| node.op_type == "BatchNormalization");
            let expected = network.graph().nodes.iter().filter(|node| node.op == Op::BatchNorm);
            // What only a `zero` reads is not in the file.
            let most = if fold { 0 } else { expected.count() };
            assert_eq!(norms.count(), most, "{cell}, folded: {fold}");
        }
    }
}

#[test]
fn bodies_are_well_formed_and_name_their_strides() {
    let network = lively(&graph("nasnet_a", "imagenet", "1@264"), 8);
    let module = module("nasnet_a");
    let request =
        request("imagenet", "1@264").with_data(cellc::graph::TensorType::new(3, 96, 61), 1000);
    let features = Features::of(&module, &request, &STRIDES).expect("a body");
    let body = features.network(&network.state_dict()).expect("the same cells");
    for fold in [false, true] {
        let options = Options { fold, ..Options::default() };
        let model = onnx::backbone(&body, &features.maps, &options).expect("a model");
        let model = written(&model);
        let outputs = check(&model).output.iter();
        let outputs: Vec<String> =
            outputs.map(|value| format!("{} {}", value.name, shape(value).join("x"))).collect();
        let expected = [
            "stride4 batchx8x24x15",
            "stride8 batchx66x12x8",
            "stride16 batchx132x6x4",
            "stride32 batchx264x3x2",
        ];
        assert_eq!(outputs, expected);
    }
}

#[test]
fn the_same_network_gives_the_same_bytes() {
    let network = lively(&graph("every_op", "every_op", "1@32"), 9);
    let metadata = [("cell", "text"), ("net", "every_op")];
    let metadata = metadata.map(|(key, value)| (key.to_string(), value.to_string())).into();
    let options = Options { metadata, ..Options::default() };
    let models = [(); 2].map(|()| onnx::classifier(&network, &options).expect("a model"));
    assert_eq!(models[0].encode_to_vec(), models[1].encode_to_vec());
    let props = models[0].metadata_props.iter().map(|entry| (&*entry.key, &*entry.value));
    assert_eq!(props.collect::<Vec<_>>(), [("cell", "text"), ("net", "every_op")]);
}

#[test]
fn every_operation_has_its_nodes() {
    let network = lively(&graph("every_op", "every_op", "1@32"), 10);
    let model = onnx::classifier(&network, &Options::default()).expect("a model");
    let graph = check(&model);
    let lines = graph.node.iter().map(|node| {
        let attributes: Vec<String> = node.attribute.iter().map(attribute).collect();
        let settings = attributes.join(" ");
        format!(
            "{} = {}({}) {settings}",
            node.output.join(", "),
            node.op_type,
            node.input.join(", ")
        )
    });
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

fn attribute(attribute: &AttributeProto) -> String {
    let AttributeProto { name, f, i, ints, r#type: _ } = attribute;
    match (f, i) {
        (Some(f), None) => format!("{name}={f:e}"),
        (None, Some(i)) => format!("{name}={i}"),
        _ => format!("{name}={ints:?}"),
    }
}

#[test]
fn whitening_of_other_channels_is_refused() {
    let network = lively(&graph("every_op", "every_op", "1@32"), 11);
    let whitening = cellc::data::Whitening { mean: vec![0.0], std: vec![1.0] };
    let options = Options { whitening: Some(whitening), ..Options::default() };
    let fault = onnx::classifier(&network, &options).expect_err("the image has three channels");
    assert!(fault.to_string().contains("3 channels"), "{fault}");
}
