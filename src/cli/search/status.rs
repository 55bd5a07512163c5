//! The line under the progress bar of a search: its best, the curve of its rewards, the controller's entropy.

use std::fmt;

use cellc::search::{Metrics, Record, SharedEpoch};

use super::evaluator::Reward;

/// Trials in the mean.
const WINDOW: usize = 25;

/// Columns of the curve.
const COLUMNS: usize = 20;

/// What is known of a search so far.
pub struct Status {
    reward: Reward,
    workers: usize,
    /// Those of the trials that succeeded.
    rewards: Vec<f64>,
    best: f64,
    /// Of a controller's decision, in nats, if there is a controller.
    entropy: Option<f64>,
}

impl Status {
    /// Before the first trial.
    pub fn new(reward: Reward, workers: usize) -> Status {
        Status { reward, workers, rewards: Vec::new(), best: f64::NEG_INFINITY, entropy: None }
    }

    /// Takes in a trial.
    pub fn record(&mut self, record: &Record) {
        if record.outcome.is_ok() {
            self.rewards.push(record.reward());
            self.best = self.best.max(record.reward());
        }
    }

    /// Takes in an epoch of shared weights.
    pub fn learn(&mut self, epoch: &SharedEpoch) {
        self.entropy = Some(epoch.entropy);
    }

    /// Takes in what a strategy says about a batch.
    pub fn update(&mut self, metrics: &Metrics) {
        let entropy = metrics.iter().find(|(name, _)| *name == "entropy");
        self.entropy = entropy.map(|(_, value)| *value).or(self.entropy);
    }
}

/// `best 98.61 %, mean of the last 25 96.02 % ▁▂▃▃▅▆▇█, entropy 1.54, 2 workers`
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { reward, workers, rewards, best, entropy } = self;
        if !rewards.is_empty() {
            let last = &rewards[rewards.len().saturating_sub(WINDOW)..];
            let mean = last.iter().sum::<f64>() / last.len() as f64;
            let (best, mean, curve) = (reward.text(*best), reward.text(mean), curve(rewards));
            write!(f, "best {best}, mean of the last {} {mean} {curve}, ", last.len())?;
        }
        if let Some(entropy) = entropy {
            write!(f, "entropy {entropy:.2}, ")?;
        }
        write!(f, "{workers} worker{}", if *workers == 1 { "" } else { "s" })
    }
}

/// Rewards from the first to the last as blocks between the least and the greatest of them, each the mean of as
/// many trials as any other.
fn curve(rewards: &[f64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = rewards.len().min(COLUMNS);
    let part = |column: usize| {
        let at = |column: usize| column * rewards.len() / columns;
        &rewards[at(column)..at(column + 1)]
    };
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let means: Vec<f64> = (0..columns).map(|column| mean(part(column))).collect();
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let block = |mean: f64| match most > least {
        true => BLOCKS[((mean - least) / (most - least) * 7.0).round() as usize],
        false => BLOCKS[3],
    };
    means.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_spans_its_rewards() {
        assert_eq!(curve(&[]), "");
        assert_eq!(curve(&[0.5]), "▄");
        assert_eq!(curve(&[0.2, 0.9, 0.55]), "▁█▅");
        let rising: Vec<f64> = (0..1000).map(f64::from).collect();
        let curve = curve(&rising);
        assert_eq!(curve.chars().count(), COLUMNS);
        assert!(curve.starts_with('▁') && curve.ends_with('█'));
        assert!(curve.chars().is_sorted());
    }
}
