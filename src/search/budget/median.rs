//! The median stopping rule.

use super::super::ledger::Record;

/// Children of which the median is taken at least; before there are so many, none is stopped.
pub const LEAST_FOR_MEDIAN: usize = 5;

/// For each epoch the reward below which the best so far of a child ends it: the median over earlier trials
/// of their mean reward until then.
pub(super) fn medians(earlier: &[Record], epochs: usize) -> Vec<Option<f64>> {
    let curves: Vec<&[(usize, f64)]> = earlier
        .iter()
        .filter(|record| record.outcome.is_ok() && record.repeat_of.is_none())
        .map(|record| &record.curve[..])
        .collect();
    let at = |epoch: usize| {
        let mean = |curve: &&[(usize, f64)]| {
            let until = curve.get(..epoch)?;
            Some(until.iter().map(|(_, reward)| reward).sum::<f64>() / epoch as f64)
        };
        let mut means: Vec<f64> = curves.iter().filter_map(mean).collect();
        means.sort_by(f64::total_cmp);
        let middle = means.len() / 2;
        match means.len() {
            0..LEAST_FOR_MEDIAN => None,
            odd if odd % 2 == 1 => Some(means[middle]),
            _ => Some((means[middle - 1] + means[middle]) / 2.0),
        }
    };
    (1..=epochs).map(at).collect()
}
