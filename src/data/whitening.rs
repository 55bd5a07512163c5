//! The numbers that whiten images.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Images;
use crate::error::Error;
use crate::graph::TensorType;

/// How many encoded images are decoded for their mean and deviation.
const SAMPLE: usize = 2048;

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
    /// Of images that are decoded at each use, 2,048 that are spread evenly over the set stand for all.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Read`] if an image cannot be read or decoded.
    ///
    /// # Determinism
    /// The sums are of integers and exact.
    pub fn of(images: &Images) -> Result<Self, Error> {
        let TensorType { channels, .. } = images.ty();
        let sample = if images.is_encoded() { images.len().min(SAMPLE) } else { images.len() };
        let sums: Vec<Result<Vec<(u64, u64)>, Error>> = (0..sample)
            .into_par_iter()
            .map(|i| {
                let image = images.image(i * images.len() / sample)?;
                Ok(image.chunks_exact(images.ty().area()).map(sum_and_squares).collect())
            })
            .collect();
        let mut totals = vec![(0u64, 0u64); channels];
        for sums in sums {
            for (total, (sum, squares)) in totals.iter_mut().zip(sums?) {
                *total = (total.0 + sum, total.1 + squares);
            }
        }
        let count = (sample * images.ty().area()) as u128;
        let (mut mean, mut std) = (vec![0.0; channels], vec![1.0; channels]);
        for (channel, (sum, squares)) in totals.into_iter().enumerate() {
            // The variance is (count * squares - sum^2) / count^2, and never negative.
            let scaled = count * u128::from(squares) - u128::from(sum).pow(2);
            if count > 0 {
                mean[channel] = (sum as f64 / count as f64) as f32;
            }
            if scaled > 0 {
                std[channel] = ((scaled as f64).sqrt() / count as f64) as f32;
            }
        }
        Ok(Whitening { mean, std })
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

fn sum_and_squares(pixels: &[u8]) -> (u64, u64) {
    pixels.iter().fold((0, 0), |(sum, squares), &pixel| {
        (sum + u64::from(pixel), squares + u64::from(pixel).pow(2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitening_is_per_channel() {
        // Channel 0: 1, 3, 5, 7 (mean 4, variance 5); channel 1 is constant.
        let ty = TensorType::new(2, 1, 2);
        let images = Images::new(vec![1, 3, 9, 9, 5, 7, 9, 9], vec![0, 1], ty);
        let whitening = Whitening::of(&images).expect("bytes in memory");
        assert_eq!(whitening.mean, [4.0, 9.0]);
        assert_eq!(whitening.std, [5f32.sqrt(), 1.0]);
        let tables = whitening.tables();
        assert_eq!(tables[0][4], 0.0);
        assert_eq!(tables[0][9], 5.0 / 5f32.sqrt());
        assert_eq!(tables[1][8], -1.0);
    }

    #[test]
    fn no_images_are_left_as_they_are() {
        let none = Images::new(vec![], vec![], TensorType::new(1, 2, 2));
        let whitening = Whitening::of(&none).expect("nothing to read");
        assert_eq!(whitening, Whitening { mean: vec![0.0], std: vec![1.0] });
    }
}
