//! Accuracy of a network on images.

use std::mem;

use dfdx::prelude::{Cpu, Module, TensorFromVec};

use crate::data::{Batch, Batches, Images, Loader, Whitening};
use crate::error::Error;
use crate::graph::TensorType;
use crate::network::Network;

/// Share of the images with these indices whose largest logit is their label's, 0 to 1.
///
/// The network runs as in use: with its running statistics and without dropout.
///
/// # Errors
/// Those of the network's device, and of [`Loader::fill_next`].
///
/// # Panics
/// If there are no indices, `batch` is 0, or the network is for images of another shape or for fewer
/// classes.
///
/// # Determinism
/// The number of threads does not change the result.
pub fn accuracy(
    network: &Network,
    images: &Images,
    indices: &[usize],
    whitening: &Whitening,
    batch: usize,
) -> Result<f64, Error> {
    let mut correct = 0;
    classify(network, images, indices, whitening, batch, &mut |logits, labels| {
        correct += count_correct(logits, labels);
    })?;
    Ok(correct as f64 / indices.len() as f64)
}

/// Gives the logits `[N, classes]` and the labels of one batch after the other, as [`accuracy`] has them.
///
/// # Errors
/// As [`accuracy`].
///
/// # Panics
/// As [`accuracy`].
pub(crate) fn classify(
    network: &Network,
    images: &Images,
    indices: &[usize],
    whitening: &Whitening,
    batch: usize,
    with_logits: &mut dyn FnMut(&[f32], &[u16]),
) -> Result<(), Error> {
    assert!(!indices.is_empty(), "shares are of some images");
    let TensorType { channels, height, width } = images.ty();
    let device = Cpu::default();
    let mut batches = Loader::new(Batches::in_order(images, indices, whitening, batch))?;
    let mut batch = Batch::default();
    while batches.fill_next(&mut batch)? {
        let shape = (batch.len(), channels, height, width);
        let pixels = device.try_tensor_from_vec(mem::take(&mut batch.pixels), shape)?;
        let logits = network.try_forward(pixels).map_err(|error| network.fault_behind(error))?;
        with_logits(&logits.as_vec(), &batch.labels);
    }
    Ok(())
}

/// Number of rows of `[N, classes]` whose largest entry is at the row's label; of equal entries the
/// first counts, and a row with NaN is never right.
pub(crate) fn count_correct(logits: &[f32], labels: &[u16]) -> usize {
    let Some(classes) = logits.len().checked_div(labels.len()) else { return 0 };
    let is_correct = |(row, &label): (&[f32], &u16)| {
        let label = usize::from(label);
        let largest = row[label];
        row.iter().enumerate().all(|(class, &logit)| {
            // Spelled so that a comparison with NaN is false.
            if class < label { logit < largest } else { logit <= largest }
        })
    };
    logits.chunks_exact(classes).zip(labels).filter(|&pair| is_correct(pair)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_counts() {
        let nan = f32::NAN;
        let logits = [0., 1., 2., 3., 3., 0., 0., 3., 3., nan, 9., 0., 0., 9., nan, nan, nan, nan];
        assert_eq!(count_correct(&logits, &[2, 0, 2, 1, 1, 0]), 2);
        assert_eq!(count_correct(&logits, &[1, 1, 1, 2, 0, 2]), 1);
        assert_eq!(count_correct(&[], &[]), 0);
    }
}
