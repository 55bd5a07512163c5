//! Initial values of parameters and statistics.

use rand::{Rng, RngCore};
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::graph::ParamKind;
use crate::plan::{Layout, LayoutEntry};
use crate::rng::{Pcg64, Purpose, stream};

/// The stores of parameters and of statistics before any training.
///
/// Convolution kernels are He normal on fan-out, with the deviation `sqrt(2 / (out channels * taps))`, those in
/// groups and depthwise ones too; a dense layer's kernel is uniform within `1 / sqrt(fan-in)`; biases and shifts
/// are 0, scales and variances 1.
///
/// # Source
/// `torch.nn.init.kaiming_normal_` in the mode `fan_out`, and `torch.nn.Linear`. Slim counts one filter for a
/// depthwise kernel, which makes it `sqrt(channels)` times as large: normalization hides that from the values,
/// but not from the gradients, and the kernel learns more slowly.
///
/// # Determinism
/// Each parameter has a random stream of its own, so its values depend on the seed, its index in the
/// layout and its shape. They do not depend on the number of threads.
pub(super) fn initial(layout: &Layout, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut params = vec![0.0; layout.params_len()];
    let mut statistics = vec![0.0; layout.statistics_len()];
    // The numbers behind those of the entries so far, of both stores.
    let (mut params_left, mut statistics_left) = ((0, &mut params[..]), (0, &mut statistics[..]));
    let entries = layout.entries().iter().enumerate().map(|(index, entry)| {
        let (start, left) =
            if entry.kind.is_trainable() { &mut params_left } else { &mut statistics_left };
        assert_eq!(*start, entry.slot.offset, "entries of a store are side by side, in order");
        *start += entry.slot.len;
        let (values, rest) = std::mem::take(left).split_at_mut(entry.slot.len);
        *left = rest;
        (index, entry, values)
    });
    let entries: Vec<(usize, &LayoutEntry, &mut [f32])> = entries.collect();
    entries.into_par_iter().for_each(|(index, entry, values)| {
        let rng = &mut stream(seed, Purpose::Init, index as u64);
        fill(entry.kind, &entry.shape, values, rng);
    });
    (params, statistics)
}

/// The values of one parameter or statistic before any training; only a weight draws numbers.
pub(crate) fn fill(kind: ParamKind, shape: &[usize], values: &mut [f32], rng: &mut Pcg64) {
    match kind {
        ParamKind::Weight => fill_weight(shape, values, rng),
        ParamKind::Gamma | ParamKind::RunningVar => values.fill(1.0),
        ParamKind::Bias | ParamKind::Beta | ParamKind::RunningMean => values.fill(0.0),
    }
}

fn fill_weight(shape: &[usize], values: &mut [f32], rng: &mut Pcg64) {
    match shape[..] {
        [out_channels, _, kh, kw] => {
            let deviation = (2.0 / (out_channels * kh * kw) as f64).sqrt();
            fill_normal(values, deviation, rng);
        }
        [_, fan_in] => {
            let bound = 1.0 / (fan_in as f64).sqrt();
            for value in values {
                *value = ((2.0 * unit(rng) - 1.0) * bound) as f32;
            }
        }
        _ => unreachable!("a weight has two or four dimensions, see Graph::wire"),
    }
}

fn fill_normal(values: &mut [f32], deviation: f64, rng: &mut Pcg64) {
    for value in values {
        *value = (deviation * rng.sample::<f64, _>(StandardNormal)) as f32;
    }
}

/// Uniform in [0, 1), with all 53 bits of a double.
fn unit(rng: &mut Pcg64) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let mut values = vec![0.0f32; 40_001];
        fill_normal(&mut values, 0.5, &mut stream(3, Purpose::Init, 0));
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|&v| f64::from(v).powi(power)).sum::<f64>() / n;
        // Four standard errors of each estimate: sigma / sqrt(n), and so on for the higher moments.
        assert!(moment(1).abs() < 4.0 * 0.5 / n.sqrt());
        assert!((moment(2) - 0.25).abs() < 4.0 * 0.25 * (2.0 / n).sqrt());
        assert!((moment(4) - 3.0 * 0.0625).abs() < 4.0 * 0.0625 * (96.0 / n).sqrt());
    }
}
