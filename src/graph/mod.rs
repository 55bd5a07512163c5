//! The flat network: primitive operations in execution order, every edge typed.
//!
//! [`lower`](lower::lower) builds a [`Graph`] node by node; [`Graph::wire`] infers each node's
//! [`TensorType`] as it adds it, so an ill-shaped graph cannot be built. Nodes only refer backwards:
//! the order of [`Graph::nodes`] is a valid order of execution.
//!
//! Shapes are `[N, C, H, W]`; the batch N is not part of a graph.

pub mod cost;
pub mod hash;
mod infer;
pub mod lower;
pub mod passes;
mod window;

use std::fmt;

pub use infer::ShapeFault;
use infer::{infer, param_shapes};
pub use window::{Padding, Window};

/// Shape of one image's share of a tensor: `[N, C, H, W]` without N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// C.
    pub channels: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

impl TensorType {
    /// A shape from `[C, H, W]`.
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        TensorType { channels, height, width }
    }

    /// `[H, W]`.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// `H * W`.
    pub fn area(&self) -> usize {
        self.height * self.width
    }

    /// `C * H * W`.
    pub fn elements(&self) -> usize {
        self.channels * self.area()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[N, {}, {}, {}]", self.channels, self.height, self.width)
    }
}

/// A primitive operation. Adding one here leads the compiler through every place that must know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The image.
    Input,
    /// `y[o] = sum_i w[o, i] * x[i]` over the window, without bias. In groups, the i-th part of the
    /// filters sees the i-th part of the channels. One parameter
    /// `weight: [out_channels, C / groups, kh, kw]`.
    Conv {
        /// The window.
        window: Window,
        /// Filters.
        out_channels: usize,
        /// Into how many equal parts channels and filters are divided; 1 mixes all.
        groups: usize,
    },
    /// One filter for each channel, without bias. One parameter `weight: [C, 1, kh, kw]`.
    DepthwiseConv {
        /// The window.
        window: Window,
    },
    /// Batch normalisation over N, H, W. Parameters `weight` (gamma) and `bias` (beta): `[C]`;
    /// statistics `running_mean` and `running_var`: `[C]`.
    BatchNorm,
    /// Normalization of each image over C, H, W. Parameters `weight` (gamma) and `bias` (beta): `[C]`.
    ///
    /// # Source
    /// Ba, Kiros, Hinton 2016; a scale and a shift for each channel as in TensorFlow's contrib
    /// `layer_norm`.
    LayerNorm,
    /// Normalization of each channel of each image over H, W. Parameters `weight` (gamma) and `bias`
    /// (beta): `[C]`.
    ///
    /// # Source
    /// Ulyanov, Vedaldi, Lempitsky 2016.
    InstanceNorm,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Element-wise sum of two tensors of one shape.
    Add,
    /// Element-wise product; either operand may be a 1x1 map that is broadcast over the other's map.
    Mul,
    /// Concatenation along channels of one or more tensors of one size.
    Concat,
    /// Maximum over the window; the padding counts as minus infinity, or as [`zeros`](Window::zeros).
    MaxPool {
        /// The window.
        window: Window,
    },
    /// Mean over the part of the window inside the map, or over all of it with
    /// [`zeros`](Window::zeros) for the rest.
    AvgPool {
        /// The window.
        window: Window,
    },
    /// Mean over the whole map: `[N, C, H, W]` to `[N, C, 1, 1]`.
    GlobalAvgPool,
    /// `y = W x + b` on a 1x1 map. Parameters `weight: [out_features, C]` and, unless it has none,
    /// `bias: [out_features]`.
    Dense {
        /// Output features.
        out_features: usize,
        /// Whether `b` is there.
        bias: bool,
    },
    /// Zeroes a share of the elements in training and scales the rest; the share is a setting of the
    /// training run, not of the architecture.
    Dropout,
    /// Zeroes whole images of a batch in training and scales the rest: `ScheduledDropPath`, on the edges
    /// of cells. The share is a setting of the training run; a cell deeper in the network may have more.
    ///
    /// # Source
    /// Zoph et al. 2018, section 4.1; `drop_path` in slim's `nasnet_utils.py`.
    DropPath,
    /// `y[.., i, j] = x[.., i + 1, j + 1]`, zero beyond the border: the second path of a factorized
    /// reduction.
    Shift,
    /// Channels as a matrix `[groups, C / groups]`, transposed: `y[j * groups + i] = x[i * C / groups + j]`.
    ///
    /// # Source
    /// `ShuffleNet` (Zhang et al. 2017).
    Shuffle {
        /// Rows of the matrix.
        groups: usize,
    },
    /// Channels `start..start + count`.
    Slice {
        /// The first of them.
        start: usize,
        /// How many.
        count: usize,
    },
    /// `alpha * x + (1 - alpha) * y` of two tensors of one shape. In training each image has its own
    /// alpha, uniform in [0, 1), and the backward pass another one; otherwise alpha is 1/2.
    ///
    /// # Source
    /// Shake-Shake regularization (Gastaldi 2017), the variant Shake-Shake-Image.
    Mix,
    /// Zeros of the operand's channels, its map's sides divided by the stride and rounded up. Nothing
    /// but the operand's shape is read. What only zeros read is part of the network and counted, as in
    /// NAS-Bench-201, but a plan does not compute it.
    ///
    /// # Source
    /// The operation `none` of NAS-Bench-201 (Dong and Yang 2020).
    Zero {
        /// Vertical and horizontal.
        stride: [usize; 2],
    },
}

impl Op {
    /// The name used in dumps, parameter paths and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Conv { .. } => "conv",
            Op::DepthwiseConv { .. } => "dwconv",
            Op::BatchNorm => "bn",
            Op::LayerNorm => "layernorm",
            Op::InstanceNorm => "instancenorm",
            Op::Relu => "relu",
            Op::Relu6 => "relu6",
            Op::Sigmoid => "sigmoid",
            Op::Add => "add",
            Op::Mul => "mul",
            Op::Concat => "concat",
            Op::MaxPool { .. } => "maxpool",
            Op::AvgPool { .. } => "avgpool",
            Op::GlobalAvgPool => "gap",
            Op::Dense { .. } => "dense",
            Op::Dropout => "dropout",
            Op::DropPath => "drop_path",
            Op::Shift => "shift",
            Op::Shuffle { .. } => "shuffle",
            Op::Slice { .. } => "slice",
            Op::Mix => "mix",
            Op::Zero { .. } => "zero",
        }
    }

    /// True if swapping the operands does not change the result; of a mix, its distribution.
    pub fn is_commutative(&self) -> bool {
        matches!(self, Op::Add | Op::Mul | Op::Mix)
    }
}

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Index of a parameter in [`Graph::params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(pub usize);

/// Index of a section in [`Graph::sections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionId(pub usize);

/// One operation with its operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// From which earlier nodes.
    pub inputs: Vec<NodeId>,
    /// Its parameters and statistics, in the order the operation's docs name them.
    pub params: Vec<ParamId>,
    /// Shape of its result.
    pub ty: TensorType,
    /// The part of the network it belongs to.
    pub section: SectionId,
    /// Where in the architecture it stands, such as `cells.3.n2.left.dw1`.
    pub path: String,
}

/// What a parameter is for; decides its initial values and who updates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// A convolution or dense kernel: trained, He normal on fan-out for convolutions.
    Weight,
    /// A dense bias: trained, starts at 0.
    Bias,
    /// Scale of a normalization: trained, starts at 1.
    Gamma,
    /// Shift of a normalization: trained, starts at 0.
    Beta,
    /// Running mean of a batch normalisation: not trained, starts at 0.
    RunningMean,
    /// Running variance of a batch normalisation: not trained, starts at 1.
    RunningVar,
}

impl ParamKind {
    /// True if an optimizer updates it; false for the statistics of batch normalisation.
    pub fn is_trainable(self) -> bool {
        !matches!(self, ParamKind::RunningMean | ParamKind::RunningVar)
    }
}

/// A parameter or statistic of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its path, such as `cells.3.n2.left.dw1.weight`; unique in the graph.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub kind: ParamKind,
}

impl Param {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if it holds no value; never for a parameter of a graph.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A part of the network that counts are reported for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `stem`, `cells.0`, `head`, `aux`: the first part of its parameters' paths.
    pub path: String,
    /// For a cell, its name in the file.
    pub cell: Option<String>,
}

/// A network as a list of primitive operations in execution order.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The operations; operands always come before their users.
    pub nodes: Vec<Node>,
    /// Parameters and statistics, in order of first use.
    pub params: Vec<Param>,
    /// Parts of the network, in order.
    pub sections: Vec<Section>,
    /// The image.
    pub input: NodeId,
    /// The logits, `[N, classes, 1, 1]`.
    pub output: NodeId,
    /// The auxiliary logits, if the graph was lowered with them.
    pub aux: Option<NodeId>,
}

impl Graph {
    /// A graph with one node, the image, in a section `input`.
    pub fn new(image: TensorType) -> Self {
        let section = Section { path: "input".into(), cell: None };
        let node = Node {
            op: Op::Input,
            inputs: Vec::new(),
            params: Vec::new(),
            ty: image,
            section: SectionId(0),
            path: "input".into(),
        };
        Graph {
            nodes: vec![node],
            params: Vec::new(),
            sections: vec![section],
            input: NodeId(0),
            output: NodeId(0),
            aux: None,
        }
    }

    /// The node behind an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// True for the nodes that give the logits and the auxiliary logits.
    pub fn is_root(&self, id: NodeId) -> bool {
        self.output == id || self.aux == Some(id)
    }

    /// Shape of a node's result.
    pub fn ty(&self, id: NodeId) -> TensorType {
        self.nodes[id.0].ty
    }

    /// Starts a section; nodes wired with its id are counted in it.
    pub fn section(&mut self, path: impl Into<String>, cell: Option<String>) -> SectionId {
        self.sections.push(Section { path: path.into(), cell });
        SectionId(self.sections.len() - 1)
    }

    /// Adds a node, its shape inferred, its parameters created as `path.weight` and so on.
    ///
    /// # Errors
    /// A [`ShapeFault`] if the operation does not apply to operands of these shapes.
    ///
    /// # Panics
    /// If a window was not made for its operand's size, or the number of operands is not the
    /// operation's: both are the caller's to see to.
    pub fn wire(
        &mut self,
        op: Op,
        inputs: &[NodeId],
        section: SectionId,
        path: impl Into<String>,
    ) -> Result<NodeId, ShapeFault> {
        let operands: Vec<TensorType> = inputs.iter().map(|&id| self.ty(id)).collect();
        let ty = infer(&op, &operands)?;
        let path = path.into();
        let params = param_shapes(&op, &operands)
            .into_iter()
            .map(|(name, shape, kind)| {
                self.params.push(Param { path: format!("{path}.{name}"), shape, kind });
                ParamId(self.params.len() - 1)
            })
            .collect();
        self.nodes.push(Node { op, inputs: inputs.to_vec(), params, ty, section, path });
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Adds a node that has the shape of what `wire` would add and nothing else: no graph that runs, but
    /// one to infer shapes in.
    ///
    /// # Errors
    /// As [`wire`](Self::wire).
    pub(crate) fn wire_shape(&mut self, op: &Op, inputs: &[NodeId]) -> Result<NodeId, ShapeFault> {
        let operands: Vec<TensorType> = inputs.iter().map(|&id| self.ty(id)).collect();
        Ok(self.stand_in(infer(op, &operands)?))
    }

    /// Adds a node of which only the shape will be read.
    pub(crate) fn stand_in(&mut self, ty: TensorType) -> NodeId {
        self.nodes.push(Node {
            op: Op::Input,
            inputs: Vec::new(),
            params: Vec::new(),
            ty,
            section: SectionId(0),
            path: String::new(),
        });
        NodeId(self.nodes.len() - 1)
    }

    /// Re-checks every invariant of a graph: backward references, shapes, parameter shapes, unique
    /// paths. Runs after every pass in debug builds.
    ///
    /// # Errors
    /// A sentence that names the first broken invariant.
    pub fn verify(&self) -> Result<(), String> {
        let mut paths = std::collections::BTreeSet::new();
        for param in &self.params {
            if !paths.insert(&param.path) {
                return Err(format!("two parameters are called `{}`", param.path));
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let at =
                |what: &str| format!("node {index} ({}, {}): {what}", node.op.name(), node.path);
            if node.inputs.iter().any(|input| input.0 >= index) {
                return Err(at("refers to a later node"));
            }
            if node.section.0 >= self.sections.len() {
                return Err(at("its section does not exist"));
            }
            if matches!(node.op, Op::Input) {
                continue;
            }
            let operands: Vec<TensorType> = node.inputs.iter().map(|&id| self.ty(id)).collect();
            match infer(&node.op, &operands) {
                Ok(ty) if ty == node.ty => {}
                Ok(_) => return Err(at("its recorded shape is not the inferred one")),
                Err(_) => return Err(at("its operands do not fit")),
            }
            let shapes = param_shapes(&node.op, &operands);
            let fits = shapes.len() == node.params.len()
                && shapes.iter().zip(&node.params).all(|((_, shape, kind), id)| {
                    self.params.get(id.0).is_some_and(|p| p.shape == *shape && p.kind == *kind)
                });
            if !fits {
                return Err(at("its parameters do not fit"));
            }
        }
        let last = self.nodes.len();
        if self.output.0 >= last
            || self.input.0 >= last
            || self.aux.is_some_and(|aux| aux.0 >= last)
        {
            return Err("input, output or aux refers to no node".into());
        }
        Ok(())
    }
}

impl fmt::Display for Graph {
    /// One line a node: `%7 = conv 1x1 out=32 (%6) : [N, 32, 16, 16]  cells.0.a.conv1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            write!(f, "%{index} = {}", node.op.name())?;
            match &node.op {
                Op::Conv { window, out_channels, groups } => {
                    write!(f, " {window} out={out_channels}")?;
                    if *groups != 1 {
                        write!(f, " groups={groups}")?;
                    }
                }
                Op::DepthwiseConv { window } | Op::MaxPool { window } | Op::AvgPool { window } => {
                    write!(f, " {window}")?;
                }
                Op::Dense { out_features, bias } => {
                    write!(f, " out={out_features}{}", if *bias { "" } else { " bias=false" })?;
                }
                Op::Shuffle { groups } => write!(f, " g={groups}")?,
                Op::Slice { start, count } => write!(f, " {start}..{}", start + count)?,
                Op::Zero { stride: [1, 1] } => {}
                Op::Zero { stride: [vertical, horizontal] } => {
                    write!(f, " s={vertical}x{horizontal}")?;
                }
                Op::Input
                | Op::BatchNorm
                | Op::LayerNorm
                | Op::InstanceNorm
                | Op::Relu
                | Op::Relu6
                | Op::Sigmoid
                | Op::Add
                | Op::Mul
                | Op::Concat
                | Op::GlobalAvgPool
                | Op::Dropout
                | Op::DropPath
                | Op::Shift
                | Op::Mix => {}
            }
            let operands: Vec<String> =
                node.inputs.iter().map(|input| format!("%{}", input.0)).collect();
            writeln!(f, " ({}) : {}  {}", operands.join(", "), node.ty, node.path)?;
        }
        writeln!(f, "output %{}", self.output.0)?;
        if let Some(aux) = self.aux {
            writeln!(f, "aux %{}", aux.0)?;
        }
        Ok(())
    }
}
