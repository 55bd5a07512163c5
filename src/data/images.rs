//! Labelled images as bytes, and the numbers that whiten them.

use serde::{Deserialize, Serialize};

use crate::graph::TensorType;

/// Images of one shape with a label each.
///
/// # Shapes
/// - pixels: `[N, C, H, W]`, one byte each
/// - labels: `[N]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    ty: TensorType,
}

impl Images {
    /// Images of shape `ty` from their pixels and labels.
    ///
    /// # Panics
    /// If the number of pixels is not the number of labels times the pixels of an image.
    pub fn new(pixels: Vec<u8>, labels: Vec<u8>, ty: TensorType) -> Self {
        assert_eq!(pixels.len(), labels.len() * ty.elements(), "pixels of {} images", labels.len());
        Images { pixels, labels, ty }
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

    /// All pixels, `[N, C, H, W]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, `[N]`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The pixels of one image, `[C, H, W]`.
    ///
    /// # Panics
    /// If there is no image with this index.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.ty.elements()..][..self.ty.elements()]
    }

    /// The images with these indices, in this order.
    ///
    /// # Panics
    /// If there is no image with one of the indices.
    pub fn select(&self, indices: &[usize]) -> Images {
        let pixels = indices.iter().flat_map(|&index| self.image(index)).copied().collect();
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Images::new(pixels, labels, self.ty)
    }

    /// Number of images of each label, up to the largest label.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels.iter().max().map_or(0, |&label| label as usize + 1)];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }
}

/// Mean and standard deviation of each channel: a pixel `p` is whitened to `(p - mean) / std`.
///
/// # Units
/// Both are in units of the stored bytes: 0 to 255 for photographs, 0 to 16 for the digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whitening {
    /// Mean of each channel, `[C]`.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel (of the population), `[C]`; 1 for a constant channel.
    pub std: Vec<f32>,
}

impl Whitening {
    /// The whitening of these images; mean 0 and deviation 1 if there are none.
    ///
    /// # Determinism
    /// The sums are of integers and exact.
    pub fn of(images: &Images) -> Self {
        let TensorType { channels, .. } = images.ty;
        let area = images.ty.area();
        let count = (images.len() * area) as u128;
        let mut sums = vec![(0u64, 0u64); channels];
        for (plane, pixels) in images.pixels.chunks_exact(area).enumerate() {
            let (sum, squares) = &mut sums[plane % channels];
            for &pixel in pixels {
                *sum += u64::from(pixel);
                *squares += u64::from(pixel).pow(2);
            }
        }
        let (mut mean, mut std) = (vec![0.0; channels], vec![1.0; channels]);
        for (channel, (sum, squares)) in sums.into_iter().enumerate() {
            // The variance is (count * squares - sum^2) / count^2, and never negative.
            let scaled = count * u128::from(squares) - u128::from(sum).pow(2);
            if count > 0 {
                mean[channel] = (sum as f64 / count as f64) as f32;
            }
            if scaled > 0 {
                std[channel] = ((scaled as f64).sqrt() / count as f64) as f32;
            }
        }
        Whitening { mean, std }
    }

    /// The whitened value of every possible byte, for each channel.
    pub(super) fn tables(&self) -> Vec<[f32; 256]> {
        self.mean
            .iter()
            .zip(&self.std)
            .map(|(mean, std)| std::array::from_fn(|pixel| (pixel as f32 - mean) / std))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitening_is_per_channel() {
        // Channel 0: 1, 3, 5, 7 (mean 4, variance 5); channel 1 is constant.
        let ty = TensorType::new(2, 1, 2);
        let images = Images::new(vec![1, 3, 9, 9, 5, 7, 9, 9], vec![0, 1], ty);
        let whitening = Whitening::of(&images);
        assert_eq!(whitening.mean, [4.0, 9.0]);
        assert_eq!(whitening.std, [5f32.sqrt(), 1.0]);
        let tables = whitening.tables();
        assert_eq!(tables[0][4], 0.0);
        assert_eq!(tables[0][9], 5.0 / 5f32.sqrt());
        assert_eq!(tables[1][8], -1.0);
    }

    #[test]
    fn selection_keeps_order() {
        let images = Images::new(vec![10, 11, 12], vec![0, 1, 2], TensorType::new(1, 1, 1));
        let selected = images.select(&[2, 0]);
        assert_eq!(selected.pixels(), [12, 10]);
        assert_eq!(selected.labels(), [2, 0]);
        assert_eq!(selected.class_counts(), [1, 0, 1]);
    }
}
