//! Graphs to test with, built by hand.

use cellc::graph::{Graph, NodeId, Op, Padding, SectionId, TensorType, Window};

/// Adds nodes that are named by their number.
pub struct Wirer {
    pub graph: Graph,
    section: SectionId,
}

impl Wirer {
    pub fn new(image: TensorType) -> Wirer {
        let mut graph = Graph::new(image);
        let section = graph.section("net", None);
        Wirer { graph, section }
    }

    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let path = format!("net.{}{}", op.name(), self.graph.nodes.len());
        self.graph.wire(op, inputs, self.section, path).expect("operands fit")
    }

    pub fn ty(&self, id: NodeId) -> TensorType {
        self.graph.ty(id)
    }

    fn window(&self, x: NodeId, k: usize, stride: usize, padding: Padding) -> Window {
        let size = self.ty(x).size();
        Window::new([k, k], [stride; 2], [1, 1], padding, size).expect("the window fits")
    }

    pub fn conv(&mut self, x: NodeId, k: usize, stride: usize, out_channels: usize) -> NodeId {
        let window = self.window(x, k, stride, Padding::Same);
        self.add(Op::Conv { window, out_channels, groups: 1 }, &[x])
    }

    pub fn grouped(&mut self, x: NodeId, k: usize, out_channels: usize, groups: usize) -> NodeId {
        let window = self.window(x, k, 1, Padding::Same);
        self.add(Op::Conv { window, out_channels, groups }, &[x])
    }

    pub fn dwconv(&mut self, x: NodeId, k: usize, stride: usize) -> NodeId {
        let window = self.window(x, k, stride, Padding::Same);
        self.add(Op::DepthwiseConv { window }, &[x])
    }

    pub fn maxpool(&mut self, x: NodeId, k: usize, stride: usize) -> NodeId {
        let window = self.window(x, k, stride, Padding::Same);
        self.add(Op::MaxPool { window }, &[x])
    }

    pub fn avgpool(&mut self, x: NodeId, k: usize, stride: usize) -> NodeId {
        let window = self.window(x, k, stride, Padding::Same);
        self.add(Op::AvgPool { window }, &[x])
    }

    /// A pool to which what is beyond the map is zeros.
    pub fn pool_with_zeros(&mut self, x: NodeId, is_max: bool) -> NodeId {
        let window = self.window(x, 3, 1, Padding::Zeros);
        let op = if is_max { Op::MaxPool { window } } else { Op::AvgPool { window } };
        self.add(op, &[x])
    }

    pub fn bn(&mut self, x: NodeId) -> NodeId {
        self.add(Op::BatchNorm, &[x])
    }

    pub fn relu(&mut self, x: NodeId) -> NodeId {
        self.add(Op::Relu, &[x])
    }

    /// Relu, convolution, batch normalization.
    pub fn conv_bn(&mut self, x: NodeId, k: usize, stride: usize, out_channels: usize) -> NodeId {
        let x = self.relu(x);
        let x = self.conv(x, k, stride, out_channels);
        self.bn(x)
    }

    /// Global mean and dense layer.
    pub fn head(&mut self, x: NodeId, classes: usize) -> NodeId {
        let x = self.add(Op::GlobalAvgPool, &[x]);
        self.add(Op::Dense { out_features: classes, bias: true }, &[x])
    }
}

/// Every operation but a mix, which is random in training, and every way in which memory is shared: relus that fold and one that does not, sums
/// of one node with itself, nested concatenations, an operand of two of them, an operand used elsewhere
/// too, products that broadcast or square, a node added and concatenated, an auxiliary head.
pub fn everything() -> Graph {
    let mut w = Wirer::new(TensorType::new(3, 6, 5));
    let image = w.graph.input;
    let stem = w.conv(image, 3, 1, 4);
    let stem = w.bn(stem);
    let shared = w.relu(stem);
    let a = w.dwconv(shared, 3, 1);
    let b = w.conv(shared, 1, 1, 4);
    let twice = w.add(Op::Add, &[b, b]);
    let sum = w.add(Op::Add, &[a, twice]);
    let shifted = w.add(Op::Shift, &[sum]);
    let inner = w.add(Op::Concat, &[sum, shifted]);
    let kept = w.relu(inner);
    let pooled = w.maxpool(kept, 3, 1);
    let outer = w.add(Op::Concat, &[inner, a, pooled, a]);
    let wide = w.conv_bn(outer, 3, 2, 6);
    let left = w.avgpool(wide, 3, 1);
    let right = w.dwconv(wide, 5, 1);
    let joined = w.add(Op::Add, &[left, right]);
    let again = w.add(Op::Add, &[joined, wide]);
    // Squeeze and excitation: a 1x1 map broadcast over the map it came from.
    let squeezed = w.add(Op::GlobalAvgPool, &[again]);
    let gate = w.add(Op::Dense { out_features: 6, bias: false }, &[squeezed]);
    let gate = w.add(Op::Sigmoid, &[gate]);
    let gated = w.add(Op::Mul, &[again, gate]);
    let square = w.add(Op::Mul, &[gated, gated]);
    let product = w.add(Op::Mul, &[square, left]);
    let rectified = w.relu(gated);
    let grouped = w.grouped(rectified, 3, 8, 2);
    let shuffled = w.add(Op::Shuffle { groups: 4 }, &[grouped]);
    let part = w.add(Op::Slice { start: 1, count: 6 }, &[shuffled]);
    let layer = w.add(Op::LayerNorm, &[part]);
    let clipped = w.add(Op::Relu6, &[layer]);
    let instance = w.add(Op::InstanceNorm, &[part]);
    let rest = w.add(Op::Slice { start: 3, count: 5 }, &[shuffled]);
    let none = w.add(Op::Zero { stride: [1, 1] }, &[product]);
    let nothing = w.add(Op::Add, &[instance, none]);
    let last = w.add(Op::Concat, &[product, gated, clipped, none, nothing, rest]);
    let sum_of_concats = w.add(Op::Add, &[last, last]);
    let dropped = w.add(Op::Dropout, &[sum_of_concats]);
    let output = w.head(dropped, 3);
    let aux = w.relu(again);
    let aux = w.head(aux, 2);
    let dead = w.conv(again, 1, 1, 2);
    w.relu(dead);
    w.graph.output = output;
    w.graph.aux = Some(aux);
    w.graph
}

/// NASNet-A for images of 32x32 with 10 classes, as the released code has it, without auxiliary head:
/// `n` normal cells in each of three stacks, the first of `filters` filters.
pub fn nasnet_a(n: usize, filters: usize) -> Graph {
    let mut w = Wirer::new(TensorType::new(3, 32, 32));
    let image = w.graph.input;
    let stem = w.conv(image, 3, 1, 3 * filters);
    let stem = w.bn(stem);
    let (mut previous, mut current) = (None, stem);
    for stack in 0..3 {
        let f = filters << stack;
        if stack > 0 {
            let cell = reduction_cell(&mut w, previous, current, f);
            (previous, current) = (Some(current), cell);
        }
        for _ in 0..n {
            let cell = normal_cell(&mut w, previous, current, f);
            (previous, current) = (Some(current), cell);
        }
    }
    let x = w.relu(current);
    w.graph.output = w.head(x, 10);
    w.graph
}

fn squeeze(w: &mut Wirer, previous: Option<NodeId>, current: NodeId, f: usize) -> [NodeId; 2] {
    let p = match previous {
        None => current,
        Some(p) if w.ty(p).height != w.ty(current).height => {
            let x = w.relu(p);
            factorized_reduction(w, x, f)
        }
        Some(p) if w.ty(p).channels != f => w.conv_bn(p, 1, 1, f),
        Some(p) => p,
    };
    [w.conv_bn(current, 1, 1, f), p]
}

fn factorized_reduction(w: &mut Wirer, x: NodeId, f: usize) -> NodeId {
    let a = w.conv(x, 1, 2, f / 2);
    let shifted = w.add(Op::Shift, &[x]);
    let b = w.conv(shifted, 1, 2, f - f / 2);
    let both = w.add(Op::Concat, &[a, b]);
    w.bn(both)
}

fn separable(w: &mut Wirer, x: NodeId, k: usize, stride: usize, f: usize) -> NodeId {
    let mut x = x;
    for stride in [stride, 1] {
        x = w.relu(x);
        x = w.dwconv(x, k, stride);
        x = w.conv(x, 1, 1, f);
        x = w.bn(x);
    }
    x
}

/// Brings a map to `f` channels where it has others.
fn fit(w: &mut Wirer, x: NodeId, f: usize) -> NodeId {
    if w.ty(x).channels == f {
        return x;
    }
    let x = w.conv(x, 1, 1, f);
    w.bn(x)
}

fn normal_cell(w: &mut Wirer, previous: Option<NodeId>, current: NodeId, f: usize) -> NodeId {
    let [h, p] = squeeze(w, previous, current, f);
    let avg = |w: &mut Wirer, x: NodeId| {
        let x = w.avgpool(x, 3, 1);
        fit(w, x, f)
    };
    let (a, b) = (separable(w, h, 5, 1, f), separable(w, p, 3, 1, f));
    let block1 = w.add(Op::Add, &[a, b]);
    let (a, b) = (separable(w, p, 5, 1, f), separable(w, p, 3, 1, f));
    let block2 = w.add(Op::Add, &[a, b]);
    let a = avg(w, h);
    let b = if w.ty(p).channels == f { p } else { w.conv_bn(p, 1, 1, f) };
    let block3 = w.add(Op::Add, &[a, b]);
    let (a, b) = (avg(w, p), avg(w, p));
    let block4 = w.add(Op::Add, &[a, b]);
    let a = separable(w, h, 3, 1, f);
    let block5 = w.add(Op::Add, &[a, h]);
    let p = fit(w, p, f);
    w.add(Op::Concat, &[p, block1, block2, block3, block4, block5])
}

fn reduction_cell(w: &mut Wirer, previous: Option<NodeId>, current: NodeId, f: usize) -> NodeId {
    let [h, p] = squeeze(w, previous, current, f);
    let (a, b) = (separable(w, h, 5, 2, f), separable(w, p, 7, 2, f));
    let block1 = w.add(Op::Add, &[a, b]);
    let (a, b) = (w.maxpool(h, 3, 2), separable(w, p, 7, 2, f));
    let block2 = w.add(Op::Add, &[a, b]);
    let (a, b) = (w.avgpool(h, 3, 2), separable(w, p, 5, 2, f));
    let block3 = w.add(Op::Add, &[a, b]);
    let b = w.avgpool(block1, 3, 1);
    let block4 = w.add(Op::Add, &[block2, b]);
    let (a, b) = (separable(w, block1, 3, 1, f), w.maxpool(h, 3, 2));
    let block5 = w.add(Op::Add, &[a, b]);
    w.add(Op::Concat, &[block2, block3, block4, block5])
}
