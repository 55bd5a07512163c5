//! The learning rate over a training run.

use std::f64::consts::PI;

/// The learning rate of step `step` of `steps`: from `lr` along half a cosine to 0, which the step
/// after the last would have.
///
/// `lr * (1 + cos(pi * step / steps)) / 2`
///
/// # Source
/// I. Loshchilov and F. Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, equation
/// 5, with one period and no restart.
pub fn cosine(lr: f64, step: usize, steps: usize) -> f64 {
    lr * 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cosine() {
        let lr = |step| cosine(0.2, step, 6);
        // cos(pi / 3) = 1 / 2, cos(pi / 2) = 0, cos(2 pi / 3) = -1 / 2.
        for (step, expected) in [(0, 0.2), (2, 0.15), (3, 0.1), (4, 0.05), (6, 0.0)] {
            assert!((lr(step) - expected).abs() < 1e-15, "step {step}: {}", lr(step));
        }
        assert!((0..6).all(|step| lr(step) > lr(step + 1)));
    }
}
