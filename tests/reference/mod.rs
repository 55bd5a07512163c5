//! An interpreter of graphs in double precision, straight from the operations' definitions: nested loops
//! over `[N, C, H, W]`, no fusion, no buffers. Gradients are finite differences of it.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod graphs;

use std::collections::BTreeMap;

use cellc::graph::{Graph, NodeId, Op, TensorType, Window};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Parameters and statistics by path.
pub type State = BTreeMap<String, Vec<f64>>;

/// Uniform numbers in [-1, 1).
pub fn uniform(seed: u64, len: usize) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..len).map(|_| rng.gen_range(-1.0..1.0)).collect()
}

/// Random values for all parameters and statistics; scales and variances around 1.
pub fn random_state(graph: &Graph, seed: u64) -> State {
    let values = |(index, param): (usize, &cellc::graph::Param)| {
        use cellc::graph::ParamKind::{Gamma, RunningVar};
        let mut values = uniform(seed * 1000 + index as u64, param.len());
        if matches!(param.kind, Gamma | RunningVar) {
            values.iter_mut().for_each(|value| *value = 1.0 + 0.5 * *value);
        }
        (param.path.clone(), values)
    };
    graph.params.iter().enumerate().map(values).collect()
}

/// How batch normalization normalizes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Train,
    Eval,
}

/// One evaluation of a graph.
pub struct Reference<'a> {
    pub graph: &'a Graph,
    pub state: &'a State,
    pub batch: usize,
    pub eps: f64,
    pub phase: Phase,
}

impl Reference<'_> {
    /// Values of all nodes.
    pub fn run(&self, image: &[f64]) -> Vec<Vec<f64>> {
        let mut values: Vec<Vec<f64>> = Vec::new();
        for index in 0..self.graph.nodes.len() {
            let value = self.node(NodeId(index), &values, image);
            assert_eq!(value.len(), self.batch * self.graph.nodes[index].ty.elements());
            values.push(value);
        }
        values
    }

    fn node(&self, id: NodeId, values: &[Vec<f64>], image: &[f64]) -> Vec<f64> {
        let node = self.graph.node(id);
        let x = |index: usize| &values[node.inputs[index].0];
        let tx = |index: usize| self.graph.ty(node.inputs[index]);
        let p = |index: usize| &self.state[&self.graph.params[node.params[index].0].path];
        let ty = node.ty;
        match &node.op {
            Op::Input => image.to_vec(),
            Op::Conv { window, out_channels, groups } => self.fill(ty, |n, o, i, j| {
                let channels = tx(0).channels / groups;
                let first = o / (out_channels / groups) * channels;
                let mut sum = 0.0;
                taps(window, i, j, |tap, r, s| {
                    for c in 0..channels {
                        let w = p(0)[(o * channels + c) * window.taps() + tap];
                        sum += w * x(0)[at(tx(0), n, first + c, r, s)];
                    }
                });
                sum
            }),
            Op::DepthwiseConv { window } => self.fill(ty, |n, c, i, j| {
                let mut sum = 0.0;
                taps(window, i, j, |tap, r, s| {
                    sum += p(0)[c * window.taps() + tap] * x(0)[at(tx(0), n, c, r, s)];
                });
                sum
            }),
            Op::BatchNorm => {
                let moments: Vec<(f64, f64)> =
                    (0..ty.channels).map(|c| self.moments(ty, x(0), c, p(2)[c], p(3)[c])).collect();
                self.fill(ty, |n, c, i, j| {
                    let (mean, var) = moments[c];
                    (x(0)[at(ty, n, c, i, j)] - mean) / (var + self.eps).sqrt() * p(0)[c] + p(1)[c]
                })
            }
            Op::LayerNorm | Op::InstanceNorm => self.fill(ty, |n, c, i, j| {
                let channels = if node.op == Op::LayerNorm { 0..ty.channels } else { c..c + 1 };
                let start = at(ty, n, channels.start, 0, 0);
                let values = &x(0)[start..start + channels.len() * ty.area()];
                let count = values.len() as f64;
                let mean = values.iter().sum::<f64>() / count;
                let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
                (x(0)[at(ty, n, c, i, j)] - mean) / (var + self.eps).sqrt() * p(0)[c] + p(1)[c]
            }),
            Op::Relu6 => x(0).iter().map(|v| v.clamp(0.0, 6.0)).collect(),
            Op::Relu => x(0).iter().map(|v| v.max(0.0)).collect(),
            Op::Sigmoid => x(0).iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect(),
            Op::Add => x(0).iter().zip(x(1)).map(|(a, b)| a + b).collect(),
            Op::Mul => self.fill(ty, |n, c, i, j| {
                let factor = |k: usize| {
                    let (i, j) = if tx(k).area() == 1 { (0, 0) } else { (i, j) };
                    x(k)[at(tx(k), n, c, i, j)]
                };
                factor(0) * factor(1)
            }),
            Op::Concat => self.fill(ty, |n, mut c, i, j| {
                let mut operand = 0;
                while c >= tx(operand).channels {
                    c -= tx(operand).channels;
                    operand += 1;
                }
                x(operand)[at(tx(operand), n, c, i, j)]
            }),
            Op::MaxPool { window } => self.fill(ty, |n, c, i, j| {
                let (mut max, mut count) = (f64::NEG_INFINITY, 0);
                taps(window, i, j, |_, r, s| {
                    max = max.max(x(0)[at(tx(0), n, c, r, s)]);
                    count += 1;
                });
                if window.zeros && count < window.taps() { max.max(0.0) } else { max }
            }),
            Op::AvgPool { window } => self.fill(ty, |n, c, i, j| {
                let (mut sum, mut count) = (0.0, 0.0);
                taps(window, i, j, |_, r, s| {
                    sum += x(0)[at(tx(0), n, c, r, s)];
                    count += 1.0;
                });
                sum / if window.zeros { window.taps() as f64 } else { count }
            }),
            Op::GlobalAvgPool => self.fill(ty, |n, c, _, _| {
                let start = at(tx(0), n, c, 0, 0);
                x(0)[start..start + tx(0).area()].iter().sum::<f64>() / tx(0).area() as f64
            }),
            Op::Dense { .. } => self.fill(ty, |n, o, _, _| {
                let inputs = tx(0).channels;
                let row = &p(0)[o * inputs..(o + 1) * inputs];
                let x = &x(0)[n * inputs..(n + 1) * inputs];
                let bias = if node.params.len() > 1 { p(1)[o] } else { 0.0 };
                bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
            }),
            Op::Dropout | Op::DropPath => x(0).clone(),
            // The mean of what training draws.
            Op::Mix => x(0).iter().zip(x(1)).map(|(a, b)| (a + b) / 2.0).collect(),
            Op::Zero { .. } => vec![0.0; self.batch * ty.elements()],
            Op::Slice { start, .. } => {
                self.fill(ty, |n, c, i, j| x(0)[at(tx(0), n, start + c, i, j)])
            }
            Op::Shuffle { groups } => self.fill(ty, |n, c, i, j| {
                let from = c % groups * (ty.channels / groups) + c / groups;
                x(0)[at(ty, n, from, i, j)]
            }),
            Op::Shift => self.fill(ty, |n, c, i, j| {
                let inside = i + 1 < ty.height && j + 1 < ty.width;
                if inside { x(0)[at(ty, n, c, i + 1, j + 1)] } else { 0.0 }
            }),
        }
    }

    /// Mean and biased variance of a channel, or the running ones.
    pub fn moments(&self, ty: TensorType, x: &[f64], c: usize, mean: f64, var: f64) -> (f64, f64) {
        if self.phase == Phase::Eval {
            return (mean, var);
        }
        let channel = |n: usize| &x[at(ty, n, c, 0, 0)..at(ty, n, c, 0, 0) + ty.area()];
        let count = (self.batch * ty.area()) as f64;
        let mean = (0..self.batch).flat_map(channel).sum::<f64>() / count;
        let var =
            (0..self.batch).flat_map(channel).map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        (mean, var)
    }

    fn fill(&self, ty: TensorType, f: impl Fn(usize, usize, usize, usize) -> f64) -> Vec<f64> {
        let mut values = Vec::new();
        for n in 0..self.batch {
            for c in 0..ty.channels {
                for i in 0..ty.height {
                    values.extend((0..ty.width).map(|j| f(n, c, i, j)));
                }
            }
        }
        values
    }
}

fn at(ty: TensorType, n: usize, c: usize, i: usize, j: usize) -> usize {
    ((n * ty.channels + c) * ty.height + i) * ty.width + j
}

/// Calls `f` with the taps of the window at output pixel (i, j) that lie inside the map.
fn taps(window: &Window, i: usize, j: usize, mut f: impl FnMut(usize, usize, usize)) {
    for u in 0..window.kernel[0] {
        for v in 0..window.kernel[1] {
            let r = (i * window.stride[0] + u * window.dilation[0]).checked_sub(window.pad[0]);
            let s = (j * window.stride[1] + v * window.dilation[1]).checked_sub(window.pad[1]);
            if let (Some(r), Some(s)) = (r, s)
                && r < window.input[0]
                && s < window.input[1]
            {
                f(u * window.kernel[1] + v, r, s);
            }
        }
    }
}
