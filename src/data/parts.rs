//! From sources of encoded images to training and test images.

use std::sync::Arc;

use super::encoded::{Encoded, gather};
use super::images::Images;
use super::split::{HoldOut, split};
use crate::error::Error;
use crate::graph::TensorType;

/// Share of the images that are held out as test images where a set has none.
const TEST_SHARE: f64 = 0.2;
/// Seed of that split. Like the one of the digits it never changes: all runs share one test set.
const SPLIT_SEED: u64 = 0;

/// What a set of encoded images is made of.
pub(super) struct Parts {
    pub(super) train: Part,
    /// If there is none, a fifth of the training images, chosen with equal shares of every class by a
    /// stream of random numbers that no seed of a user changes.
    pub(super) test: Option<Part>,
    /// Their names; every label is below their number.
    pub(super) classes: Vec<String>,
}

/// Images with their labels: a row of the source for each.
pub(super) struct Part {
    pub(super) source: Arc<dyn Encoded>,
    pub(super) labels: Vec<u16>,
}

/// Training and test images, seen as squares of `image_size` pixels, or in the one size they all have.
pub(super) fn images(
    train: Part,
    test: Option<Part>,
    image_size: Option<usize>,
) -> Result<[Images; 2], Error> {
    let ty = image_size.map(|size| TensorType::new(3, size, size));
    let is_resized = image_size.is_some();
    let train = gather(train.source, train.labels, ty, is_resized)?;
    match test {
        Some(test) => {
            let test = gather(test.source, test.labels, Some(train.ty()), is_resized)?;
            Ok([train, test])
        }
        None => {
            let parts = split(&train, HoldOut::Fraction(TEST_SHARE), SPLIT_SEED)?;
            Ok([train.select(&parts.train), train.select(&parts.validation)])
        }
    }
}
