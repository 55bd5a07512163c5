//! The score of Neural Architecture Search Without Training: whether a fresh network tells images apart.
//!
//! Every rectifier gives an image a binary code: where its input is positive. `K[i, j]` is the number of
//! places in the network where images `i` and `j` have the same bit, and the score the logarithm of its
//! determinant: large if no two images, and no combinations of them, are coded alike.
//!
//! The network is in training, so batch normalizations use the statistics of the batch. Where several
//! operations rectify the same map it counts once, since it is one node of the simplified graph; in the
//! released code each `ReLU` module counts. What only zeros read is not computed, and does not count.
//!
//! # Source
//! Mellor et al., "Neural Architecture Search without Training" (ICML 2021), equation 2, and the released
//! `score_networks.py`: `hook_logdet`, which sums over rectifiers.

use crate::device::{Cpu, CpuWorkspace, Device, ForwardPass, RunConfig, Statistics};
use crate::graph::Graph;
use crate::network::Network;
use crate::plan::{Forward, Mode, Plan, View};

/// The score of a network with parameters drawn from `seed`, on `batch` images `[N, C, H, W]`. Minus
/// infinity if two images are coded alike, or no rectifier tells any apart.
///
/// # Panics
/// If there are not as many pixels as `batch` images have.
///
/// # Cost
/// A forward pass, and a comparison of codes for each pair of images.
pub fn naswot(graph: &Graph, seed: u64, pixels: &[f32], batch: usize) -> f64 {
    let network = Network::new(graph, seed);
    // In training what the backward pass reads is kept, the inputs of rectifiers among it.
    let mode = Mode::Train { dropout: false, drop_path: false, image_gradient: true };
    let plan = Plan::new(graph, mode);
    let (device, mut workspace) = (Cpu::default(), CpuWorkspace::default());
    let Ok(()) = device.prepare(&plan, batch, &mut workspace);
    let mut logits = vec![0.0; batch * plan.classes];
    let mut aux = plan.aux_classes.map(|classes| vec![0.0; batch * classes]);
    let pass = ForwardPass {
        batch,
        params: &network.params().flat.as_vec(),
        version: None,
        statistics: Statistics::Update(&mut network.statistics().to_vec()),
        image: pixels,
        logits: &mut logits,
        aux: aux.as_deref_mut(),
    };
    let Ok(()) = device.forward(&plan, &mut workspace, &RunConfig::default(), pass);

    let mut codes = Codes::new(batch);
    for view in rectified(&plan) {
        // `[C, H, W, N]`
        workspace.values(&plan, view, batch).chunks_exact(batch).for_each(|bits| codes.push(bits));
    }
    log_determinant(codes.agreements(), batch)
}

/// The inputs of all rectifiers, each once.
fn rectified(plan: &Plan) -> Vec<View> {
    let mut views = Vec::new();
    for step in &plan.forward {
        let view = match step.kernel {
            Forward::Conv { x, relu_in: true, .. }
            | Forward::DepthwiseConv { x, relu_in: true, .. }
            | Forward::Relu { x, .. }
            | Forward::Relu6 { x, .. } => x,
            Forward::Load { .. }
            | Forward::Conv { relu_in: false, .. }
            | Forward::DepthwiseConv { relu_in: false, .. }
            | Forward::BatchNorm { .. }
            | Forward::GroupNorm { .. }
            | Forward::Sigmoid { .. }
            | Forward::Add { .. }
            | Forward::Mul { .. }
            | Forward::Copy { .. }
            | Forward::Mix { .. }
            | Forward::Zero { .. }
            | Forward::MaxPool { .. }
            | Forward::AvgPool { .. }
            | Forward::GlobalAvgPool { .. }
            | Forward::Dense { .. }
            | Forward::Dropout { .. }
            | Forward::DropPath { .. }
            | Forward::Shift { .. }
            | Forward::Shuffle { .. }
            | Forward::Store { .. } => continue,
        };
        if !views.contains(&view) {
            views.push(view);
        }
    }
    views
}

/// One binary code for each image.
struct Codes {
    /// Words of 64 bits, image by image.
    words: Vec<Vec<u64>>,
    length: usize,
}

impl Codes {
    fn new(images: usize) -> Self {
        Codes { words: vec![Vec::new(); images], length: 0 }
    }

    /// Appends a bit to every code: whether its image's value is positive.
    fn push(&mut self, values: &[f32]) {
        let bit = self.length % 64;
        for (words, value) in self.words.iter_mut().zip(values) {
            if bit == 0 {
                words.push(0);
            }
            if *value > 0.0 {
                *words.last_mut().expect("there is a word") |= 1 << bit;
            }
        }
        self.length += 1;
    }

    /// `K`, row by row.
    fn agreements(&self) -> Vec<f64> {
        let row = |a: &Vec<u64>| {
            let differing =
                |b: &Vec<u64>| -> u32 { a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum() };
            self.words
                .iter()
                .map(|b| (self.length - differing(b) as usize) as f64)
                .collect::<Vec<f64>>()
        };
        self.words.iter().flat_map(row).collect()
    }
}

/// The logarithm of the determinant of a symmetric matrix that is not negative, by Cholesky's decomposition.
fn log_determinant(mut matrix: Vec<f64>, size: usize) -> f64 {
    // What rounding may leave of a pivot that is 0.
    let least = 1e-9 * matrix.first().copied().unwrap_or(0.0);
    let mut sum = 0.0;
    for k in 0..size {
        let pivot = matrix[k * size + k];
        if pivot <= least {
            return f64::NEG_INFINITY;
        }
        sum += pivot.ln();
        for row in k + 1..size {
            let factor = matrix[row * size + k] / pivot;
            for column in k + 1..=row {
                matrix[row * size + column] -= factor * matrix[column * size + k];
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreements_are_equal_bits() {
        let mut codes = Codes::new(3);
        for place in 0..130 {
            codes.push(&[1.0, if place < 100 { 2.0 } else { -1.0 }, 0.0]);
        }
        let expected = [130.0, 100.0, 0.0, 100.0, 130.0, 30.0, 0.0, 30.0, 130.0];
        assert_eq!(codes.agreements(), expected);
    }

    #[test]
    fn determinants_are_those_of_the_rule_of_sarrus() {
        // 4 (15 - 4) - 2 (10 - 2) + 1 (4 - 3) = 29
        let matrix = vec![4.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 5.0];
        assert!((log_determinant(matrix, 3) - 29.0_f64.ln()).abs() < 1e-12);
        assert_eq!(log_determinant(vec![2.0, 2.0, 2.0, 2.0], 2), f64::NEG_INFINITY);
        assert_eq!(log_determinant(vec![0.0], 1), f64::NEG_INFINITY);
    }
}
