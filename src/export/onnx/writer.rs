//! A graph as ONNX's: its results and input, what is live, and names for all of it.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};

use super::BATCH;
use super::attributes::{floats_tensor, int, ints_tensor};
use super::proto::{
    AttributeProto, Dimension, DimensionProto, FLOAT, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::data::Whitening;
use crate::export::fold::Folded;
use crate::graph::{Graph, NodeId, Op, ParamId};
use crate::network::NamedTensor;

/// How a result is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `[N, C, H, W]`.
    Map,
    /// `[N, C * H * W]`.
    Flat,
}

/// A result.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Its name.
    pub name: String,
    /// Which node's value it is.
    pub node: NodeId,
    /// Its form.
    pub form: Form,
}

/// A graph being written.
pub(super) struct Writer<'a> {
    folded: &'a Folded,
    graph: &'a Graph,
    state: BTreeMap<String, NamedTensor>,
    /// By node: the node that has the same value, itself unless it does nothing in inference.
    same: Vec<NodeId>,
    /// By node: how many written nodes read its map.
    readers: Vec<usize>,
    /// Names that results give their nodes.
    given: BTreeMap<NodeId, String>,
    /// By node: the name of its value.
    values: Vec<Option<String>>,
    /// Every name of a value.
    taken: BTreeSet<String>,
    /// Constants that several nodes read, by what they are.
    shared: BTreeMap<&'static str, String>,
    out: GraphProto,
}

impl<'a> Writer<'a> {
    pub(super) fn new(folded: &'a Folded) -> Self {
        let graph = folded.network.graph();
        let norms = folded.norms();
        let mut same: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let id = NodeId(index);
            let is_drop = matches!(node.op, Op::Dropout | Op::DropPath);
            let is_passive = is_drop || norms.contains(&id);
            same.push(if is_passive { same[node.inputs[0].0] } else { id });
        }
        Writer {
            folded,
            graph,
            state: folded.network.state_dict(),
            same,
            readers: vec![0; graph.nodes.len()],
            given: BTreeMap::new(),
            values: vec![None; graph.nodes.len()],
            taken: BTreeSet::new(),
            shared: BTreeMap::new(),
            out: GraphProto { name: "cellc".into(), ..GraphProto::default() },
        }
    }

    /// The message.
    pub(super) fn write(mut self, wanted: &[Wanted], whitening: Option<&Whitening>) -> GraphProto {
        for result in wanted {
            self.taken.insert(result.name.clone());
            self.out.output.push(value_info(&result.name, &self.result_dims(result)));
            let node = self.same[result.node.0];
            let is_dense = matches!(self.graph.node(node).op, Op::Dense { .. });
            let is_own = match result.form {
                Form::Map => node != self.graph.input && !is_dense,
                Form::Flat => is_dense,
            };
            if is_own && !self.given.contains_key(&node) {
                self.given.insert(node, result.name.clone());
            }
        }
        let is_live = self.live(wanted);
        self.input(whitening);
        for (index, _) in is_live.iter().enumerate().filter(|(_, is_live)| **is_live) {
            if self.same[index] == NodeId(index) && NodeId(index) != self.graph.input {
                let value = self.operation(NodeId(index));
                self.values[index] = Some(value);
            }
        }
        for result in wanted {
            let node = self.same[result.node.0];
            if self.given.get(&node) == Some(&result.name) {
                continue;
            }
            let (operator, attributes) = match result.form {
                Form::Map => ("Identity", Vec::new()),
                Form::Flat => ("Flatten", vec![int("axis", 1)]),
            };
            let value = self.value(node);
            self.push(operator, &[&value], result.name.clone(), attributes);
        }
        self.out
    }

    /// Which nodes the results depend on, and for each how many of those read its map.
    fn live(&mut self, wanted: &[Wanted]) -> Vec<bool> {
        let mut is_live = vec![false; self.graph.nodes.len()];
        for result in wanted {
            let node = self.same[result.node.0];
            is_live[node.0] = true;
            if self.given.get(&node) != Some(&result.name) {
                self.readers[node.0] += 1;
            }
        }
        for (index, node) in self.graph.nodes.iter().enumerate().rev() {
            // Of a zero's operand only the shape is read.
            if !is_live[index] || matches!(node.op, Op::Zero { .. }) {
                continue;
            }
            for input in &node.inputs {
                let operand = self.same[input.0];
                is_live[operand.0] = true;
                self.readers[operand.0] += 1;
            }
        }
        is_live
    }

    /// The input of the file, and the image it becomes.
    fn input(&mut self, whitening: Option<&Whitening>) {
        let ty = self.graph.ty(self.graph.input);
        let sizes = [ty.channels, ty.height, ty.width];
        let Some(Whitening { mean, std }) = whitening else {
            let image = self.name("image");
            let doc = "whitened: (pixel - mean) / std for each channel, see the metadata";
            let info = value_info(&image, &sizes);
            self.out.input.push(ValueInfoProto { doc_string: doc.into(), ..info });
            self.values[self.graph.input.0] = Some(image);
            return;
        };
        let pixels = self.name("pixels");
        let doc = "pixels as the data set stores them, such as 0 to 255";
        let info = value_info(&pixels, &sizes);
        self.out.input.push(ValueInfoProto { doc_string: doc.into(), ..info });
        let mean = self.floats("whitening.mean", &[ty.channels, 1, 1], mean);
        let std = self.floats("whitening.std", &[ty.channels, 1, 1], std);
        let centered = self.push_as("Sub", &[&pixels, &mean], "whitening.centered", Vec::new());
        let image = self.push_as("Div", &[&centered, &std], "image", Vec::new());
        self.values[self.graph.input.0] = Some(image);
    }

    /// A node whose value is that of `id`.
    fn plain(
        &mut self,
        id: NodeId,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        match self.given.get(&id).cloned() {
            Some(name) => self.push(operator, inputs, name, attributes),
            None => self.push_as(operator, inputs, &self.graph.node(id).path, attributes),
        }
    }

    /// A node whose value gets this name, or one like it if it is taken.
    fn push_as(
        &mut self,
        operator: &str,
        inputs: &[&str],
        name: &str,
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.name(name);
        self.push(operator, inputs, name, attributes)
    }

    fn push(
        &mut self,
        operator: &str,
        inputs: &[&str],
        name: String,
        attribute: Vec<AttributeProto>,
    ) -> String {
        self.out.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.into(),
            attribute,
        });
        name
    }

    /// A parameter or statistic as it is.
    fn param(&mut self, id: ParamId) -> String {
        let path = &self.graph.params[id.0].path;
        let name = self.name(path);
        let NamedTensor { shape, values } = &self.state[path];
        self.constant(floats_tensor(name, shape, values))
    }

    /// A constant of numbers that one node reads.
    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let name = self.name(name);
        self.constant(floats_tensor(name, shape, values))
    }

    /// A constant of numbers that every node reads that asks for it.
    fn shared(&mut self, what: &'static str, shape: &[usize], values: &[f32]) -> String {
        if let Some(name) = self.shared.get(what) {
            return name.clone();
        }
        let name = self.floats(what, shape, values);
        self.shared.insert(what, name.clone());
        name
    }

    /// A constant list of sizes or bounds that one node reads.
    fn shape(&mut self, id: NodeId, what: &str, values: &[i64]) -> String {
        let name = self.name(&self.part(id, what));
        self.constant(ints_tensor(name, values))
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        self.out.initializer.push(tensor);
        name
    }

    /// A name that no value has yet.
    fn name(&mut self, wanted: &str) -> String {
        let others = (2..).map(|count: usize| format!("{wanted}#{count}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(others);
        let name = names.find(|name| !self.taken.contains(name));
        let name = name.expect("there is no end of names");
        self.taken.insert(name.clone());
        name
    }

    /// The name of a part of a node.
    fn part(&self, id: NodeId, part: &str) -> String {
        format!("{}.{part}", self.graph.node(id).path)
    }

    /// The name of a node's value.
    fn value(&self, id: NodeId) -> String {
        let same = self.same[id.0];
        self.values[same.0].clone().expect("operands are live and written before they are read")
    }

    /// The dimensions of a result but the batch.
    fn result_dims(&self, result: &Wanted) -> Vec<usize> {
        let ty = self.graph.ty(result.node);
        match result.form {
            Form::Map => vec![ty.channels, ty.height, ty.width],
            Form::Flat => vec![ty.elements()],
        }
    }
}

/// A value of 32-bit numbers whose first dimension is the batch.
fn value_info(name: &str, sizes: &[usize]) -> ValueInfoProto {
    let sizes = sizes.iter().map(|&size| Dimension::Value(size as i64));
    let dim = std::iter::once(Dimension::Param(BATCH.into())).chain(sizes);
    let dim = dim.map(|value| DimensionProto { value: Some(value) }).collect();
    let tensor = TensorTypeProto { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        doc_string: String::new(),
    }
}
