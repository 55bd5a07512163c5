//! What a network makes of images: which classes it takes for which, and how sure it is.

use serde::Serialize;

use crate::data::{Images, Whitening};
use crate::error::Error;
use crate::network::Network;
use crate::train::classify;

/// How many classes `top_5` asks.
const TOP: usize = 5;

/// How the images of each class were classified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evaluation {
    /// Number of images by class and by the class they were taken for, `[classes][classes]`.
    pub confusion: Vec<Vec<usize>>,
    /// Images of each class for which some logit was NaN, and which were taken for none, `[classes]`.
    pub undecided: Vec<usize>,
    /// Images whose class is among the five with the largest logits; none if there are no more classes.
    pub in_top_5: Option<usize>,
}

impl Evaluation {
    /// Number of images.
    pub fn images(&self) -> usize {
        self.confusion.iter().flatten().chain(&self.undecided).sum()
    }

    /// Number of images of a class.
    pub fn of_class(&self, class: usize) -> usize {
        self.confusion[class].iter().sum::<usize>() + self.undecided[class]
    }

    /// Share of the images whose class has the largest logit, 0 to 1. If it shares that place, the class with
    /// the smallest number has it.
    pub fn accuracy(&self) -> f64 {
        let correct: usize =
            (0..self.confusion.len()).map(|class| self.confusion[class][class]).sum();
        correct as f64 / self.images() as f64
    }

    /// Share of the images whose class is among the first five.
    pub fn top_5(&self) -> Option<f64> {
        self.in_top_5.map(|count| count as f64 / self.images() as f64)
    }

    /// Share of the images of each class that were classified correctly; none for a class without images.
    pub fn class_accuracies(&self) -> Vec<Option<f64>> {
        let share = |class: usize| {
            let images = self.of_class(class);
            (images > 0).then(|| self.confusion[class][class] as f64 / images as f64)
        };
        (0..self.confusion.len()).map(share).collect()
    }
}

/// Classifies the images with these indices, with running statistics and without dropout.
///
/// # Errors
/// Those of the network's device, and of [`Loader::fill_next`](crate::data::Loader::fill_next).
///
/// # Panics
/// If there are no indices, `batch` is 0, or the network is for images of another shape or for fewer classes.
///
/// # Determinism
/// The number of threads does not change the result.
pub fn evaluate(
    network: &Network,
    images: &Images,
    indices: &[usize],
    whitening: &Whitening,
    batch: usize,
) -> Result<Evaluation, Error> {
    let classes = network.graph().ty(network.graph().output).channels;
    let mut evaluation = Evaluation {
        confusion: vec![vec![0; classes]; classes],
        undecided: vec![0; classes],
        in_top_5: (classes > TOP).then_some(0),
    };
    classify(network, images, indices, whitening, batch, &mut |logits, labels| {
        for (row, &label) in logits.chunks_exact(classes).zip(labels) {
            evaluation.add(row, usize::from(label));
        }
    })?;
    Ok(evaluation)
}

impl Evaluation {
    /// Counts an image of this class with these logits.
    fn add(&mut self, logits: &[f32], label: usize) {
        if logits.iter().any(|logit| logit.is_nan()) {
            self.undecided[label] += 1;
            return;
        }
        let order = ranked(logits);
        self.confusion[label][order[0]] += 1;
        if let Some(count) = &mut self.in_top_5 {
            *count += usize::from(order[..TOP].contains(&label));
        }
    }
}

/// The classes from the largest logit to the smallest; of equal ones the smaller number comes first, NaN is
/// behind all.
pub fn ranked(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let key = |class: usize| if logits[class].is_nan() { f32::NEG_INFINITY } else { logits[class] };
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    order
}

/// The probabilities of classes with these logits: their softmax.
pub fn probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> =
        logits.iter().map(|&logit| (f64::from(logit) - f64::from(largest)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_counted_where_they_belong() {
        let mut found =
            Evaluation { confusion: vec![vec![0; 6]; 6], undecided: vec![0; 6], in_top_5: Some(0) };
        found.add(&[0., 1., 2., 3., 4., 5.], 5);
        // The first of equal ones is taken.
        found.add(&[7., 7., 2., 3., 4., 5.], 1);
        // Last of six.
        found.add(&[0., 1., 2., 3., 4., 5.], 0);
        found.add(&[0., 1., 2., 3., 4., f32::NAN], 4);
        assert_eq!((found.images(), found.accuracy(), found.top_5()), (4, 0.25, Some(0.5)));
        assert_eq!(
            (found.confusion[5][5], found.confusion[1][0], found.confusion[0][5]),
            (1, 1, 1)
        );
        assert_eq!(found.undecided, [0, 0, 0, 0, 1, 0]);
        assert_eq!(
            found.class_accuracies(),
            [Some(0.0), Some(0.0), None, None, Some(0.0), Some(1.0)]
        );
    }

    #[test]
    fn probabilities_add_up_whatever_the_logits() {
        assert_eq!(probabilities(&[1000.0, 1000.0]), [0.5, 0.5]);
        let found = probabilities(&[0.0, 3f32.ln()]);
        assert!((found[0] - 0.25).abs() < 1e-7 && (found[1] - 0.75).abs() < 1e-7);
        assert_eq!(ranked(&[1.0, f32::NAN, 2.0, 1.0]), [2, 0, 3, 1]);
    }
}
