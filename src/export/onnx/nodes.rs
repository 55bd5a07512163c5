//! The nodes of a graph as ONNX's, one or a few each.

use std::collections::{BTreeMap, BTreeSet};

use super::BATCH;
use super::attributes::{dims, float, floats_tensor, int, ints, ints_tensor, window};
use super::proto::{
    AttributeProto, Dimension, DimensionProto, FLOAT, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::data::Whitening;
use crate::export::fold::Folded;
use crate::graph::{Graph, NodeId, Op, ParamId, TensorType, Window};
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
            let is_passive = node.op == Op::Dropout || norms.contains(&id);
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
    pub(super) fn write(
        mut self,
        wanted: &[Wanted],
        whitening: Option<&Whitening>,
    ) -> GraphProto {
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
                let value = self.node(NodeId(index));
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

    /// Writes a node and gives the name of its value.
    fn node(&mut self, id: NodeId) -> String {
        let graph = self.graph;
        let node = graph.node(id);
        // Of a zero's operand only the shape is read.
        let read = if matches!(node.op, Op::Zero { .. }) { &[][..] } else { &node.inputs };
        let operands: Vec<String> = read.iter().map(|&input| self.value(input)).collect();
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        match &node.op {
            Op::Input => unreachable!("the image has its name from Writer::input"),
            Op::Conv { window, groups, .. } => self.convolution(id, operands[0], window, *groups),
            Op::DepthwiseConv { window } => {
                self.convolution(id, operands[0], window, node.ty.channels)
            }
            Op::BatchNorm => {
                let params = node.params.iter().map(|&param| self.param(param));
                let params: Vec<String> = params.collect();
                let mut inputs = operands;
                inputs.extend(params.iter().map(String::as_str));
                self.plain(id, "BatchNormalization", &inputs, vec![float("epsilon", self.eps())])
            }
            Op::LayerNorm => self.layer_norm(id, operands[0]),
            Op::InstanceNorm => {
                let [gamma, beta] = [0, 1].map(|index| self.param(node.params[index]));
                let inputs = [operands[0], &gamma, &beta];
                self.plain(id, "InstanceNormalization", &inputs, vec![float("epsilon", self.eps())])
            }
            Op::Relu => self.plain(id, "Relu", &operands, Vec::new()),
            Op::Relu6 => {
                let least = self.shared("relu6.min", &[], &[0.0]);
                let most = self.shared("relu6.max", &[], &[6.0]);
                self.plain(id, "Clip", &[operands[0], &least, &most], Vec::new())
            }
            Op::Sigmoid => self.plain(id, "Sigmoid", &operands, Vec::new()),
            Op::Add => self.plain(id, "Add", &operands, Vec::new()),
            Op::Mul => self.plain(id, "Mul", &operands, Vec::new()),
            Op::Concat => self.plain(id, "Concat", &operands, vec![int("axis", 1)]),
            Op::MaxPool { window: over } => self.plain(id, "MaxPool", &operands, window(over)),
            // The mean over the part of the window inside the map is the operator's default.
            Op::AvgPool { window: over } => self.plain(id, "AveragePool", &operands, window(over)),
            Op::GlobalAvgPool => self.plain(id, "GlobalAveragePool", &operands, Vec::new()),
            Op::Dense { .. } => self.dense(id, operands[0]),
            Op::Dropout => unreachable!("dropout does nothing in inference, see Writer::new"),
            Op::Shift => self.shift(id, operands[0]),
            Op::Shuffle { groups } => self.shuffle(id, operands[0], *groups),
            Op::Slice { start, count } => {
                let bounds = [("starts", *start), ("ends", start + count), ("axes", 1)];
                let bounds =
                    bounds.map(|(what, value)| self.shape(id, what, &[value as i64]));
                let [starts, ends, axes] = &bounds;
                self.plain(id, "Slice", &[operands[0], starts, ends, axes], Vec::new())
            }
            // In inference the shares are one half each.
            Op::Mix => self.plain(id, "Mean", &operands, Vec::new()),
            Op::Zero { .. } => self.zero(id),
        }
    }

    /// Filters over a window, with the shift of a folded normalization as bias.
    fn convolution(&mut self, id: NodeId, x: &str, over: &Window, groups: usize) -> String {
        let mut inputs = vec![x.to_owned(), self.param(self.graph.node(id).params[0])];
        if let Some(shift) = self.folded_shift(id) {
            inputs.push(self.floats(&self.part(id, "bias"), &[shift.len()], &shift));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut attributes = window(over);
        if groups != 1 {
            attributes.push(int("group", groups as i64));
        }
        self.plain(id, "Conv", &inputs, attributes)
    }

    /// One normalization of all of an image's numbers is that of the only channel of a flat map; scale and
    /// shift of the channels follow.
    fn layer_norm(&mut self, id: NodeId, x: &str) -> String {
        let ty = self.graph.ty(id);
        let flat = self.shape(id, "flat.shape", &[0, 1, -1]);
        let back = self.shape(id, "shape", &sizes(ty));
        let one = self.shared("layernorm.scale", &[1], &[1.0]);
        let zero = self.shared("layernorm.bias", &[1], &[0.0]);
        let path = |part| self.part(id, part);
        let [flattened, normal, normalized, scaled] =
            ["flat", "normal", "normalized", "scaled"].map(path);
        let flattened = self.push_as("Reshape", &[x, &flat], &flattened, Vec::new());
        let epsilon = vec![float("epsilon", self.eps())];
        let inputs = [flattened.as_str(), &one, &zero];
        let normal = self.push_as("InstanceNormalization", &inputs, &normal, epsilon);
        let normalized = self.push_as("Reshape", &[&normal, &back], &normalized, Vec::new());
        let [gamma, beta] = [0, 1].map(|index| {
            let param = &self.graph.params[self.graph.node(id).params[index].0];
            let values = self.state[&param.path].values.clone();
            self.floats(&param.path, &[ty.channels, 1, 1], &values)
        });
        let scaled = self.push_as("Mul", &[&normalized, &gamma], &scaled, Vec::new());
        self.plain(id, "Add", &[&scaled, &beta], Vec::new())
    }

    /// A matrix product on the flat operand. Its result is brought back to a 1x1 map for those that read
    /// one.
    fn dense(&mut self, id: NodeId, x: &str) -> String {
        let node = self.graph.node(id);
        let flat = self.push_as("Flatten", &[x], &self.part(id, "flat"), vec![int("axis", 1)]);
        let mut inputs = vec![flat, self.param(node.params[0])];
        let bias = node.params.get(1).map(|&param| &self.graph.params[param.0].path);
        let own = bias.map(|path| self.state[path].values.clone());
        let bias = match (own, self.folded_shift(id)) {
            (Some(own), Some(shift)) => {
                Some(own.iter().zip(&shift).map(|(own, shift)| own + shift).collect())
            }
            (own, shift) => own.or(shift),
        };
        if let Some(bias) = bias {
            inputs.push(self.floats(&self.part(id, "bias"), &[bias.len()], &bias));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = vec![int("transB", 1)];
        let rows = match self.given.get(&id).cloned() {
            Some(name) => self.push("Gemm", &inputs, name, attributes),
            None => self.push_as("Gemm", &inputs, &self.part(id, "rows"), attributes),
        };
        if self.readers[id.0] == 0 {
            return rows;
        }
        let shape = self.shape(id, "shape", &sizes(node.ty));
        self.push_as("Reshape", &[&rows, &shape], &node.path, Vec::new())
    }

    /// A row and a column of zeros at the end, then all but the first of each.
    fn shift(&mut self, id: NodeId, x: &str) -> String {
        let pads = self.shape(id, "pads", &[0, 0, 0, 0, 0, 0, 1, 1]);
        let padded = self.push_as("Pad", &[x, &pads], &self.part(id, "padded"), Vec::new());
        let ty = self.graph.ty(id);
        let ends = dims(&[ty.height + 1, ty.width + 1]);
        let bounds = [("starts", vec![1, 1]), ("ends", ends), ("axes", vec![2, 3])];
        let [starts, ends, axes] = bounds.map(|(what, values)| self.shape(id, what, &values));
        self.plain(id, "Slice", &[&padded, &starts, &ends, &axes], Vec::new())
    }

    /// The channels as a matrix, transposed.
    fn shuffle(&mut self, id: NodeId, x: &str, groups: usize) -> String {
        let ty = self.graph.ty(id);
        let rows = [0, groups, ty.channels / groups, ty.height, ty.width];
        let rows = self.shape(id, "rows.shape", &dims(&rows));
        let back = self.shape(id, "shape", &sizes(ty));
        let [matrix, transposed] = ["rows", "columns"].map(|part| self.part(id, part));
        let matrix = self.push_as("Reshape", &[x, &rows], &matrix, Vec::new());
        let order = vec![ints("perm", &[0, 2, 1, 3, 4])];
        let transposed = self.push_as("Transpose", &[&matrix], &transposed, order);
        self.plain(id, "Reshape", &[&transposed, &back], Vec::new())
    }

    /// Zeros for as many images as there are.
    fn zero(&mut self, id: NodeId) -> String {
        let batch = match self.shared.get(BATCH) {
            Some(batch) => batch.clone(),
            None => {
                let image = self.value(self.graph.input);
                let ends = vec![int("start", 0), int("end", 1)];
                let batch = self.push_as("Shape", &[&image], BATCH, ends);
                self.shared.insert(BATCH, batch.clone());
                batch
            }
        };
        let rest = self.shape(id, "sizes", &sizes(self.graph.ty(id))[1..]);
        let shape = self.part(id, "shape");
        let shape = self.push_as("Concat", &[&batch, &rest], &shape, vec![int("axis", 0)]);
        self.plain(id, "ConstantOfShape", &[&shape], Vec::new())
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

    /// The shift that a folded normalization leaves to its convolution.
    fn folded_shift(&self, id: NodeId) -> Option<Vec<f32>> {
        let shift = self.folded.shifts.get(&id)?;
        let beta = self.graph.node(shift.norm).params[1];
        let values = &self.state[&self.graph.params[beta.0].path].values;
        Some(values[shift.channel..shift.channel + self.graph.ty(id).channels].to_vec())
    }

    fn eps(&self) -> f32 {
        self.folded.network.config().bn_eps
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

/// The shape of a map for a reshape: 0 stands for the batch as it is.
fn sizes(ty: TensorType) -> Vec<i64> {
    dims(&[0, ty.channels, ty.height, ty.width])
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
