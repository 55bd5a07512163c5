//! Labelled images of one shape: as bytes in memory, or encoded and decoded at each use.

use std::borrow::Cow;
#[cfg(feature = "images")]
use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "images")]
use super::encoded::Encoded;
use super::resize::{Region, resample};
use crate::error::Error;
use crate::graph::TensorType;

/// Images with a label each, all seen in one shape. A clone shares the pixels.
///
/// Small sets are bytes in memory. Sets of files hold encoded images, which are read, decoded and
/// brought to the shape whenever they are used.
///
/// # Shapes
/// - images: `[N, C, H, W]`, one byte a number
/// - labels: `[N]`
#[derive(Clone, Debug)]
pub struct Images {
    store: Store,
    labels: Arc<Vec<u16>>,
    ty: TensorType,
}

#[derive(Clone, Debug)]
enum Store {
    /// `[N, C, H, W]`.
    Bytes(Arc<Vec<u8>>),
    #[cfg(feature = "images")]
    Encoded {
        source: Arc<dyn Encoded>,
        /// The row of the source that each image is.
        rows: Arc<Vec<u32>>,
        /// False if an image of another size is a fault.
        is_resized: bool,
    },
    /// Those of two stores of which one is encoded.
    #[cfg(feature = "images")]
    Joined {
        parts: Arc<[Images; 2]>,
        /// Part and index in it of each image.
        places: Arc<Vec<(usize, usize)>>,
    },
}

/// One image in the size it has in its source: planes of bytes, `[C, H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture<'a> {
    pub(super) pixels: Cow<'a, [u8]>,
    pub(super) ty: TensorType,
}

impl Images {
    /// Images of shape `ty` from their pixels and labels.
    ///
    /// # Panics
    /// If the number of pixels is not the number of labels times the pixels of an image.
    pub fn new(pixels: Vec<u8>, labels: Vec<u16>, ty: TensorType) -> Self {
        assert_eq!(pixels.len(), labels.len() * ty.elements(), "pixels of {} images", labels.len());
        Images { store: Store::Bytes(Arc::new(pixels)), labels: Arc::new(labels), ty }
    }

    /// Images of the first rows of `source`, one for each label, seen in shape `ty`. Unless
    /// `is_resized` one of another size is a fault when it is used.
    #[cfg(feature = "images")]
    pub(super) fn encoded(
        source: Arc<dyn Encoded>,
        rows: Range<u32>,
        labels: Vec<u16>,
        ty: TensorType,
        is_resized: bool,
    ) -> Self {
        assert_eq!(rows.len(), labels.len(), "a label for each row");
        let store = Store::Encoded { source, rows: Arc::new(rows.collect()), is_resized };
        Images { store, labels: Arc::new(labels), ty }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// `[C, H, W]` of every image.
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// All pixels, `[N, C, H, W]`, if they are in memory.
    pub fn pixels(&self) -> Option<&[u8]> {
        match &self.store {
            Store::Bytes(pixels) => Some(pixels),
            #[cfg(feature = "images")]
            Store::Encoded { .. } | Store::Joined { .. } => None,
        }
    }

    /// All labels, `[N]`.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// True if images are read and decoded at each use, false if they are bytes in memory.
    pub fn is_encoded(&self) -> bool {
        self.pixels().is_none()
    }

    /// The pixels of one image as it is evaluated, `[C, H, W]`: an image of another size is resized
    /// and its centre cut out, see [`Augment`](super::Augment#evaluation).
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Read`] if the image must be read or decoded and cannot be.
    ///
    /// # Panics
    /// If there is no image with this index.
    pub fn image(&self, index: usize) -> Result<Cow<'_, [u8]>, Error> {
        let picture = self.picture(index)?;
        if picture.ty == self.ty {
            return Ok(picture.pixels);
        }
        let size = self.ty.size();
        let mut pixels = Vec::new();
        resample(&picture, &Region::centre(picture.ty.size(), size), size, &mut pixels);
        Ok(pixels.into())
    }

    /// One image in its own size.
    pub(super) fn picture(&self, index: usize) -> Result<Picture<'_>, Error> {
        match &self.store {
            Store::Bytes(pixels) => {
                let pixels = &pixels[index * self.ty.elements()..][..self.ty.elements()];
                Ok(Picture { pixels: pixels.into(), ty: self.ty })
            }
            #[cfg(feature = "images")]
            Store::Encoded { source, rows, is_resized } => {
                let picture = source.picture(rows[index])?;
                if picture.ty != self.ty && !is_resized {
                    return Err(source.other_size(rows[index], picture.ty, self.ty));
                }
                Ok(picture)
            }
            #[cfg(feature = "images")]
            Store::Joined { parts, places } => {
                let (part, index) = places[index];
                parts[part].picture(index)
            }
        }
    }

    /// These images, and `others` of the same shape behind them.
    pub(super) fn joined(&self, others: &Images) -> Images {
        assert_eq!(self.ty, others.ty, "images of one shape");
        let store = match (self.pixels(), others.pixels()) {
            (Some(first), Some(second)) => Store::Bytes(Arc::new([first, second].concat())),
            #[cfg(feature = "images")]
            _ => {
                let places = (0..self.len()).map(|index| (0, index));
                let places = places.chain((0..others.len()).map(|index| (1, index))).collect();
                let parts = Arc::new([self.clone(), others.clone()]);
                Store::Joined { parts, places: Arc::new(places) }
            }
            #[cfg(not(feature = "images"))]
            _ => unreachable!("all images are bytes in memory"),
        };
        let labels = [self.labels(), others.labels()].concat();
        Images { store, labels: Arc::new(labels), ty: self.ty }
    }

    /// The images with these indices, in this order.
    ///
    /// # Panics
    /// If there is no image with one of the indices.
    pub fn select(&self, indices: &[usize]) -> Images {
        let store = match &self.store {
            Store::Bytes(pixels) => {
                let size = self.ty.elements();
                let image = |&index: &usize| &pixels[index * size..][..size];
                Store::Bytes(Arc::new(indices.iter().flat_map(image).copied().collect()))
            }
            #[cfg(feature = "images")]
            Store::Encoded { source, rows, is_resized } => Store::Encoded {
                source: Arc::clone(source),
                rows: Arc::new(indices.iter().map(|&index| rows[index]).collect()),
                is_resized: *is_resized,
            },
            #[cfg(feature = "images")]
            Store::Joined { parts, places } => Store::Joined {
                parts: Arc::clone(parts),
                places: Arc::new(indices.iter().map(|&index| places[index]).collect()),
            },
        };
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Images { store, labels: Arc::new(labels), ty: self.ty }
    }

    /// Number of images of each label, up to the largest label.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels.iter().max().map_or(0, |&label| label as usize + 1)];
        for &label in self.labels() {
            counts[usize::from(label)] += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection_keeps_order() {
        let images = Images::new(vec![10, 11, 12], vec![0, 1, 2], TensorType::new(1, 1, 1));
        let selected = images.select(&[2, 0]);
        assert_eq!(selected.pixels(), Some(&[12, 10][..]));
        assert_eq!(*selected.image(1).expect("bytes in memory"), [10]);
        assert_eq!(selected.labels(), [2, 0]);
        assert_eq!(selected.class_counts(), [1, 0, 1]);
    }
}
