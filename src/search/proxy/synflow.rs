//! Synaptic flow: how much signal the weights of a fresh network carry, without data.
//!
//! With the absolute values of all parameters and an image of ones, let `R` be the sum of the logits. The
//! score is the sum of `w * dR/dw` over the weights of convolutions and dense layers. That sum is the
//! derivative of `R` by a factor common to all weights, so it comes out of the forward pass: beside every
//! value goes its derivative by that factor, and a layer adds its own part.
//!
//! Normalizations are left out, as if they were identities, and so is what dropout and drop path do. A
//! `relu6` is taken as a `relu`: its bound would stop the flow of any deep network.
//!
//! # Units
//! Values grow by a factor of several with every layer, which for a deep network is more than single
//! precision holds; this computes in double precision. The result is `ln(1 + score)`.
//!
//! # Source
//! Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow" (2020);
//! as a score of architectures Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (ICLR 2021), whose
//! released code leaves normalizations out.

use crate::graph::{Graph, Node, NodeId, Op, TensorType, Window};
use crate::network::Network;

/// `ln(1 + score)` of a network with parameters drawn from `seed`; not finite if double precision is left.
///
/// # Cost
/// Twice the multiply-adds for one image, in plain loops on one thread.
pub fn synflow(graph: &Graph, seed: u64) -> f64 {
    let state = Network::new(graph, seed).state_dict();
    let weights = |node: &Node, index: usize| -> Vec<f64> {
        let path = &graph.params[node.params[index].0].path;
        state[path].values.iter().map(|&weight| f64::from(weight).abs()).collect()
    };
    let mut results: Vec<Flow> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let flow = flow(node, graph, &results, &weights);
        results.push(flow);
    }
    results[graph.output.0].slope.iter().sum::<f64>().ln_1p()
}

/// Values of one image, `[C, H, W]`, and their derivatives.
#[derive(Clone)]
struct Flow {
    value: Vec<f64>,
    slope: Vec<f64>,
}

impl Flow {
    /// The result of a map that is linear.
    fn linear(&self, map: impl Fn(&[f64]) -> Vec<f64>) -> Flow {
        Flow { value: map(&self.value), slope: map(&self.slope) }
    }

    /// The result of a layer that is linear with weights.
    fn layer(&self, map: impl Fn(&[f64]) -> Vec<f64>) -> Flow {
        let mut flow = self.linear(map);
        flow.slope.iter_mut().zip(&flow.value).for_each(|(slope, value)| *slope += value);
        flow
    }
}

fn flow(
    node: &Node,
    graph: &Graph,
    results: &[Flow],
    weights_of: &dyn Fn(&Node, usize) -> Vec<f64>,
) -> Flow {
    let operand = |index: usize| &results[node.inputs[index].0];
    let ty = |id: NodeId| graph.ty(id);
    let elements = node.ty.elements();
    match &node.op {
        Op::Input => Flow { value: vec![1.0; elements], slope: vec![0.0; elements] },
        Op::Zero { .. } => Flow { value: vec![0.0; elements], slope: vec![0.0; elements] },
        Op::Conv { window, out_channels, groups } => {
            let weights = weights_of(node, 0);
            let channels = ty(node.inputs[0]).channels;
            operand(0).layer(|x| conv(window, &weights, x, channels, *out_channels, *groups))
        }
        Op::DepthwiseConv { window } => {
            let (weights, channels) = (weights_of(node, 0), node.ty.channels);
            operand(0).layer(|x| conv(window, &weights, x, channels, channels, channels))
        }
        Op::Dense { out_features, bias } => {
            let weights = weights_of(node, 0);
            let mut flow = operand(0).layer(|x| {
                let row = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum();
                weights.chunks_exact(x.len()).take(*out_features).map(row).collect()
            });
            if *bias {
                let biases = weights_of(node, 1);
                flow.value.iter_mut().zip(biases).for_each(|(value, bias)| *value += bias);
            }
            flow
        }
        Op::BatchNorm
        | Op::LayerNorm
        | Op::InstanceNorm
        | Op::Relu
        | Op::Relu6
        | Op::Dropout
        | Op::DropPath => operand(0).clone(),
        Op::Sigmoid => {
            let x = operand(0);
            let value: Vec<f64> = x.value.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
            let slope = value.iter().zip(&x.slope).map(|(y, slope)| y * (1.0 - y) * slope);
            Flow { slope: slope.collect(), value }
        }
        Op::Add => sum(operand(0), operand(1), 1.0),
        Op::Mix => sum(operand(0), operand(1), 0.5),
        Op::Mul => product(operand(0), operand(1), [ty(node.inputs[0]), ty(node.inputs[1])]),
        Op::Concat => {
            let part = |of: fn(&Flow) -> &Vec<f64>| {
                node.inputs.iter().flat_map(|id| of(&results[id.0]).iter().copied()).collect()
            };
            Flow { value: part(|flow| &flow.value), slope: part(|flow| &flow.slope) }
        }
        Op::MaxPool { window } => max_pool(window, operand(0)),
        Op::AvgPool { window } => operand(0).linear(|x| avg_pool(window, x)),
        Op::GlobalAvgPool => {
            let area = elements_of_map(ty(node.inputs[0]));
            operand(0).linear(|x| {
                x.chunks_exact(area).map(|map| map.iter().sum::<f64>() / area as f64).collect()
            })
        }
        Op::Shift => operand(0).linear(|x| shift(x, node.ty)),
        Op::Shuffle { groups } => {
            let (area, groups) = (elements_of_map(node.ty), *groups);
            let size = node.ty.channels / groups;
            operand(0).linear(|x| {
                let channel = |to: usize| (to % groups) * size + to / groups;
                let map = |to| x[channel(to) * area..][..area].iter().copied();
                (0..node.ty.channels).flat_map(map).collect()
            })
        }
        Op::Slice { start, count } => {
            let area = elements_of_map(node.ty);
            operand(0).linear(|x| x[start * area..(start + count) * area].to_vec())
        }
    }
}

fn elements_of_map(ty: TensorType) -> usize {
    ty.height * ty.width
}

fn sum(a: &Flow, b: &Flow, factor: f64) -> Flow {
    let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| factor * (a + b)).collect();
    Flow { value: add(&a.value, &b.value), slope: add(&a.slope, &b.slope) }
}

/// The product, a 1x1 map broadcast over the other.
fn product(a: &Flow, b: &Flow, types: [TensorType; 2]) -> Flow {
    let areas = types.map(elements_of_map);
    let area = areas[0].max(areas[1]);
    let at = |values: &[f64], place: usize, own: usize| match own == area {
        true => values[place],
        false => values[place / area],
    };
    let places = 0..types[0].channels * area;
    let of = |place: usize| {
        let (x, y) = (at(&a.value, place, areas[0]), at(&b.value, place, areas[1]));
        let (dx, dy) = (at(&a.slope, place, areas[0]), at(&b.slope, place, areas[1]));
        (x * y, dx * y + x * dy)
    };
    let (value, slope) = places.map(of).unzip();
    Flow { value, slope }
}

/// For each place of the result the places of the window that are inside the map: their tap and place.
fn for_window(window: &Window, place: usize, mut f: impl FnMut(usize, usize)) {
    let [height, width] = window.input;
    let (row, column) = (place / window.output[1], place % window.output[1]);
    for tap in 0..window.taps() {
        let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
        let y = row * window.stride[0] + ky * window.dilation[0];
        let x = column * window.stride[1] + kx * window.dilation[1];
        let inside =
            |at: usize, pad: usize, side: usize| at.checked_sub(pad).filter(|&at| at < side);
        let y = inside(y, window.pad[0], height);
        let x = inside(x, window.pad[1], width);
        if let (Some(y), Some(x)) = (y, x) {
            f(tap, y * width + x);
        }
    }
}

/// A convolution in groups; a depthwise one has as many as channels.
fn conv(
    window: &Window,
    weights: &[f64],
    x: &[f64],
    channels: usize,
    filters: usize,
    groups: usize,
) -> Vec<f64> {
    let (taps, inputs) = (window.taps(), channels / groups);
    let (input_area, area) = (window.input_area(), window.output_area());
    let mut y = vec![0.0; filters * area];
    for place in 0..area {
        for_window(window, place, |tap, from| {
            for filter in 0..filters {
                let group = filter / (filters / groups);
                let weights = &weights[filter * inputs * taps + tap..];
                let x = &x[group * inputs * input_area + from..];
                let products =
                    (0..inputs).map(|input| weights[input * taps] * x[input * input_area]);
                y[filter * area + place] += products.sum::<f64>();
            }
        });
    }
    y
}

fn max_pool(window: &Window, x: &Flow) -> Flow {
    let (input_area, area) = (window.input_area(), window.output_area());
    let channels = x.value.len() / input_area;
    let mut y = Flow { value: vec![0.0; channels * area], slope: vec![0.0; channels * area] };
    for place in 0..area {
        for channel in 0..channels {
            // Nothing is negative, so the padding is never larger.
            let mut best: Option<usize> = None;
            for_window(window, place, |_, from| {
                let from = channel * input_area + from;
                if best.is_none_or(|best| x.value[from] > x.value[best]) {
                    best = Some(from);
                }
            });
            if let Some(best) = best {
                y.value[channel * area + place] = x.value[best];
                y.slope[channel * area + place] = x.slope[best];
            }
        }
    }
    y
}

fn avg_pool(window: &Window, x: &[f64]) -> Vec<f64> {
    let (input_area, area) = (window.input_area(), window.output_area());
    let channels = x.len() / input_area;
    let mut y = vec![0.0; channels * area];
    for place in 0..area {
        let mut inside = Vec::new();
        for_window(window, place, |_, from| inside.push(from));
        let count = if window.zeros { window.taps() } else { inside.len().max(1) };
        for channel in 0..channels {
            let values = inside.iter().map(|from| x[channel * input_area + from]);
            y[channel * area + place] = values.sum::<f64>() / count as f64;
        }
    }
    y
}

fn shift(x: &[f64], TensorType { channels, height, width }: TensorType) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for channel in 0..channels {
        for row in 0..height.saturating_sub(1) {
            for column in 0..width.saturating_sub(1) {
                let at = |row: usize, column: usize| (channel * height + row) * width + column;
                y[at(row, column)] = x[at(row + 1, column + 1)];
            }
        }
    }
    y
}
