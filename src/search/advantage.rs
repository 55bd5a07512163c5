//! How much better an episode was than expected: its reward minus a moving average of rewards.

/// The moving average.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    /// Weight of the past.
    decay: f64,
    average: Option<f64>,
}

impl Baseline {
    /// An average of nothing yet.
    pub(super) fn new(decay: f64) -> Self {
        Baseline { decay, average: None }
    }

    /// Advantages of a batch under the average so far, which then takes in the batch. The first batch
    /// is its own baseline.
    pub(super) fn advantages(&mut self, rewards: &[f64]) -> Vec<f64> {
        let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        let baseline = self.average.unwrap_or(mean);
        let decay = self.decay;
        self.average =
            Some(rewards.iter().fold(baseline, |average, r| decay * average + (1.0 - decay) * r));
        rewards.iter().map(|reward| reward - baseline).collect()
    }

    /// The same average as it was when it was `average`.
    pub(super) fn restore(&mut self, average: f64) {
        self.average = Some(average);
    }

    /// The average, 0 before the first batch.
    pub(super) fn average(&self) -> f64 {
        self.average.unwrap_or(0.0)
    }
}

/// Brings `values` to mean 0 and (sample) standard deviation 1; leaves a single value alone.
pub(super) fn normalize(values: &mut [f64]) {
    if values.len() < 2 {
        return;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    for value in values {
        *value = (*value - mean) / (variance.sqrt() + 1e-8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_a_moving_average() {
        let mut baseline = Baseline::new(0.95);
        assert_eq!(baseline.advantages(&[1.0, 3.0]), [-1.0, 1.0]);
        let expected = 0.95 * (0.95 * 2.0 + 0.05 * 1.0) + 0.05 * 3.0;
        assert_eq!(baseline.average(), expected);
        assert_eq!(baseline.advantages(&[3.0]), [3.0 - expected]);
    }

    #[test]
    fn normalized_values_have_mean_0_and_deviation_1() {
        let mut values = [1.0, 2.0, 3.0];
        normalize(&mut values);
        assert!(
            (values[0] + 1.0).abs() < 1e-6 && values[1] == 0.0 && (values[2] - 1.0).abs() < 1e-6
        );
        let mut equal = [0.9, 0.9];
        normalize(&mut equal);
        assert_eq!(equal, [0.0, 0.0]);
        let mut single = [0.3];
        normalize(&mut single);
        assert_eq!(single, [0.3]);
    }
}
