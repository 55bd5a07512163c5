//! Taking validation images away from training images, class by class.

use rand::seq::SliceRandom;

use super::Images;
use crate::error::Error;
use crate::rng::{Purpose, stream};

/// How many images to hold out for validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HoldOut {
    /// A share of the images from 0 up to, but without, 1; the count is rounded to the nearest.
    Fraction(f64),
    /// A number of images, fewer than there are.
    Count(usize),
}

/// Indices of images in two disjoint parts that together are the whole; each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Images to learn from.
    pub train: Vec<usize>,
    /// Images held out.
    pub validation: Vec<usize>,
}

/// Splits images so that every class keeps its share in both parts: a class's part of the held-out
/// images is its part of all images, rounded down, and the images still missing come from the classes
/// with the largest remainders.
///
/// # Errors
/// [`Error::Config`] if not even one image would be left to learn from.
///
/// # Determinism
/// The same images, amount and seed give the same split.
pub fn split(images: &Images, hold_out: HoldOut, seed: u64) -> Result<Split, Error> {
    let total = images.len();
    let refuse = |value: String, reason: String| Error::Config {
        setting: "validation images",
        value,
        reason,
    };
    let held = match hold_out {
        HoldOut::Fraction(share) if (0.0..1.0).contains(&share) => {
            (share * total as f64).round() as usize
        }
        HoldOut::Fraction(share) => {
            return Err(refuse(share.to_string(), "a share is at least 0 and below 1".into()));
        }
        HoldOut::Count(count) => count,
    };
    if held >= total {
        let reason = format!("of {total} images none would be left for training");
        return Err(refuse(held.to_string(), reason));
    }

    let counts = images.class_counts();
    let mut members: Vec<Vec<usize>> = counts.iter().map(|&n| Vec::with_capacity(n)).collect();
    for (index, &label) in images.labels().iter().enumerate() {
        members[usize::from(label)].push(index);
    }
    let mut rng = stream(seed, Purpose::Split, 0);
    let mut parts = Split { train: Vec::new(), validation: Vec::new() };
    for (mut class, quota) in members.into_iter().zip(quotas(&counts, held)) {
        class.shuffle(&mut rng);
        parts.validation.extend_from_slice(&class[..quota]);
        parts.train.extend_from_slice(&class[quota..]);
    }
    parts.train.sort_unstable();
    parts.validation.sort_unstable();
    Ok(parts)
}

/// Divides `held` over classes in proportion to their counts, by largest remainder; of equal
/// remainders the lower class comes first.
fn quotas(counts: &[usize], held: usize) -> Vec<usize> {
    let total: usize = counts.iter().sum();
    let mut quotas: Vec<usize> = counts.iter().map(|count| count * held / total).collect();
    let missing = held - quotas.iter().sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(counts[class] * held % total));
    for &class in &by_remainder[..missing] {
        quotas[class] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;

    fn images(labels: Vec<u16>) -> Images {
        Images::new(vec![0; labels.len()], labels, TensorType::new(1, 1, 1))
    }

    #[test]
    fn quotas_by_largest_remainder() {
        // Exact shares 2.5, 1.5, 1.0: one image is missing, the remainders .5 are equal.
        assert_eq!(quotas(&[5, 3, 2], 5), [3, 1, 1]);
        // Exact shares 0.3, 2.7.
        assert_eq!(quotas(&[1, 9], 3), [0, 3]);
        assert_eq!(quotas(&[4, 0, 4], 0), [0, 0, 0]);
    }

    #[test]
    fn parts_are_disjoint_whole_and_stratified() {
        let labels: Vec<u16> = (0..100).map(|i| if i % 4 == 0 { 1 } else { 0 }).collect();
        let images = images(labels);
        let parts = split(&images, HoldOut::Fraction(0.2), 3).expect("80 images are left");
        assert_eq!(images.select(&parts.validation).class_counts(), [15, 5]);
        assert!(parts.train.is_sorted() && parts.validation.is_sorted());
        let mut all = [parts.train.clone(), parts.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());

        assert_eq!(split(&images, HoldOut::Count(20), 3).expect("the same amount"), parts);
        assert_ne!(split(&images, HoldOut::Count(20), 4).expect("the same amount"), parts);
    }

    #[test]
    fn impossible_amounts_are_refused() {
        let images = images(vec![0, 1, 0]);
        for hold_out in [
            HoldOut::Count(3),
            HoldOut::Fraction(0.9),
            HoldOut::Fraction(1.0),
            HoldOut::Fraction(-0.1),
            HoldOut::Fraction(f64::NAN),
        ] {
            assert!(split(&images, hold_out, 0).is_err(), "{hold_out:?}");
        }
        assert_eq!(split(&images, HoldOut::Count(0), 0).expect("nothing held").train, [0, 1, 2]);
    }
}
