//! Operations as ONNX's operators, one or a few each.

use super::Writer;
use crate::export::onnx::BATCH;
use crate::export::onnx::attributes::{dims, float, int, ints, pads, window};
use crate::graph::{NodeId, Op, TensorType, Window};

impl Writer<'_> {
    /// Writes a node and gives the name of its value.
    pub(super) fn operation(&mut self, id: NodeId) -> String {
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
            Op::MaxPool { window: over } if over.zeros => {
                self.max_with_zeros(id, operands[0], over)
            }
            Op::MaxPool { window: over } => self.plain(id, "MaxPool", &operands, window(over)),
            Op::AvgPool { window: over } => {
                let mut attributes = window(over);
                // The mean over the part of the window inside the map is the operator's default.
                attributes.extend(over.zeros.then(|| int("count_include_pad", 1)));
                self.plain(id, "AveragePool", &operands, attributes)
            }
            Op::GlobalAvgPool => self.plain(id, "GlobalAveragePool", &operands, Vec::new()),
            Op::Dense { .. } => self.dense(id, operands[0]),
            Op::Dropout | Op::DropPath => {
                unreachable!("dropping does nothing in inference, see Writer::new")
            }
            Op::Shift => self.shift(id, operands[0]),
            Op::Shuffle { groups } => self.shuffle(id, operands[0], *groups),
            Op::Slice { start, count } => {
                let bounds = [("starts", *start), ("ends", start + count), ("axes", 1)];
                let bounds = bounds.map(|(what, value)| self.shape(id, what, &[value as i64]));
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

    /// A map with a border of zeros, then the maxima without padding: the operator itself pads with what
    /// never wins.
    fn max_with_zeros(&mut self, id: NodeId, x: &str, over: &Window) -> String {
        let [top, left, bottom, right] = pads(over).map(|pad| pad as i64);
        let border = self.shape(id, "pads", &[0, 0, top, left, 0, 0, bottom, right]);
        let padded = self.push_as("Pad", &[x, &border], &self.part(id, "padded"), Vec::new());
        let sizes = [("kernel_shape", over.kernel), ("strides", over.stride)];
        let attributes = sizes.map(|(name, sides)| ints(name, &sides)).to_vec();
        self.plain(id, "MaxPool", &[&padded], attributes)
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
}

/// The shape of a map for a reshape: 0 stands for the batch as it is.
fn sizes(ty: TensorType) -> Vec<i64> {
    dims(&[0, ty.channels, ty.height, ty.width])
}
