//! The digits: 1,797 handwritten digits of 8x8 pixels with values 0 to 16, 10 classes; inside the
//! program, so that everything can be tried without a download.
//!
//! `digits.bin.gz` beside this file holds 1,797 labels, then 1,797 images of 64 bytes, row by row, in
//! the order of the source, gzipped. 359 images are the test images. They are chosen once, with equal
//! shares of every class, by a stream of random numbers that no seed of a user changes: all runs
//! share one test set.
//!
//! # Source
//! E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
//! Repository, 1998 (the test set of that collection, as scikit-learn carries it), licensed CC BY 4.0.
//! Only the file format was changed.

use std::io::Read;

use flate2::read::GzDecoder;

use super::{HoldOut, Images, split};
use crate::graph::TensorType;

/// 0 to 9.
pub(super) const CLASSES: usize = 10;
const COUNT: usize = 1797;
const TEST_COUNT: usize = 359;
/// Seed of the fixed split.
const SPLIT_SEED: u64 = 1797;

/// Training and test images.
pub(super) fn load() -> [Images; 2] {
    let all = all();
    let parts = split(&all, HoldOut::Count(TEST_COUNT), SPLIT_SEED)
        .expect("the test images are fewer than the images");
    [all.select(&parts.train), all.select(&parts.validation)]
}

/// All images in the order of the source.
fn all() -> Images {
    let mut labels = Vec::new();
    GzDecoder::new(include_bytes!("digits.bin.gz").as_slice())
        .read_to_end(&mut labels)
        .expect("the embedded file is whole, see the tests");
    let pixels = labels.split_off(COUNT);
    let labels = labels.into_iter().map(u16::from).collect();
    Images::new(pixels, labels, TensorType::new(1, 8, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_file_is_the_published_set() {
        let all = all();
        assert_eq!(all.len(), 1797);
        // Counts and pixels as scikit-learn's `load_digits` gives them.
        assert_eq!(all.class_counts(), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(
            all.image(0).expect("bytes in memory")[..16],
            [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]
        );
        let pixels = all.pixels().expect("bytes in memory");
        assert_eq!(pixels.iter().max(), Some(&16));
        assert_eq!(pixels.iter().map(|&p| u64::from(p)).sum::<u64>(), 561_718);
    }

    #[test]
    fn the_test_set_is_stratified_and_apart() {
        let [train, test] = load();
        assert_eq!((train.len(), test.len()), (1438, 359));
        for (class, count) in test.class_counts().into_iter().enumerate() {
            assert!((35..=37).contains(&count), "class {class}: {count} test images");
        }
        let images = |images: &Images| -> Vec<Vec<u8>> {
            images.pixels().expect("bytes in memory").chunks(64).map(<[u8]>::to_vec).collect()
        };
        let (mut parts, mut whole) = ([images(&train), images(&test)].concat(), images(&all()));
        parts.sort_unstable();
        whole.sort_unstable();
        assert!(parts == whole, "the two parts are the whole");
        // Every accuracy ever reported refers to this split: it must not move.
        assert_eq!(test.labels()[..12], [4, 5, 8, 4, 6, 7, 0, 4, 0, 9, 8, 1]);
    }
}
