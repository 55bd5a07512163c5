//! From sources of encoded images to training, validation and test images.

use std::sync::Arc;

use super::Divided;
use super::encoded::{Encoded, gather};
use super::split::{HoldOut, split};
use crate::error::Error;
use crate::graph::TensorType;

/// Share of the images that are held out as test images where a set has training images alone.
const TEST_SHARE: f64 = 0.2;
/// Seed of that split. Like the one of the digits it never changes: all runs share one test set.
const SPLIT_SEED: u64 = 0;

/// What a set of encoded images is made of.
pub(super) struct Parts {
    pub(super) train: Part,
    pub(super) validation: Option<Part>,
    /// If there is none and no validation part either, a fifth of the training images, chosen with equal
    /// shares of every class by a stream of random numbers that no seed of a user changes.
    pub(super) test: Option<Part>,
    /// Their names; every label is below their number.
    pub(super) classes: Vec<String>,
    /// A sentence for each kind of thing that lies there and is no image.
    pub(super) notes: Vec<String>,
}

/// Images with their labels: a row of the source for each.
pub(super) struct Part {
    pub(super) source: Arc<dyn Encoded>,
    pub(super) labels: Vec<u16>,
}

impl Parts {
    /// The images, seen as squares of `image_size` pixels, or in the one size
    /// they all have.
    pub(super) fn images(self, image_size: Option<usize>) -> Result<Divided, Error> {
        let ty = image_size.map(|size| TensorType::new(3, size, size));
        let is_resized = image_size.is_some();
        let train = gather(self.train.source, self.train.labels, ty, is_resized)?;
        let other = |part: Part| gather(part.source, part.labels, Some(train.ty()), is_resized);
        let validation = self.validation.map(other).transpose()?;
        let images = match self.test.map(other).transpose()? {
            Some(test) => Divided { train, validation, test },
            None if validation.is_some() => {
                let test = train.select(&[]);
                Divided { train, validation, test }
            }
            None => {
                let parts = split(&train, HoldOut::Fraction(TEST_SHARE), SPLIT_SEED)?;
                let (train, test) = (train.select(&parts.train), train.select(&parts.validation));
                Divided { train, validation, test }
            }
        };
        Ok(images)
    }
}
