//! A moving average of what a network learns, which is better than the last of its values where the learning
//! rate stays high.

use std::collections::BTreeMap;

use super::TrainConfig;
use super::state::check_fits;
use crate::network::{Network, StateFault};

/// Exponential moving averages of a network's parameters, and of its running statistics.
///
/// `a = a + (1 - d) * (x - a)` after every step, from what the network begins with. The statistics are
/// averaged along with the parameters, although they are averages already: those of the network belong to
/// its latest parameters and not to their average.
///
/// # Source
/// `tf.train.ExponentialMovingAverage` over slim's model variables, which include the moving statistics of
/// batch normalization, in `train_image_classifier.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct Average {
    decay: f64,
    warms_up: bool,
    params: Vec<f32>,
    statistics: Vec<f32>,
}

impl Average {
    /// The averages that the settings ask for, if they do.
    pub fn new(config: &TrainConfig, network: &Network) -> Option<Self> {
        (config.ema_decay > 0.0).then(|| Average {
            decay: config.ema_decay,
            warms_up: config.ema_warmup,
            params: network.params().flat.as_vec(),
            statistics: network.statistics().to_vec(),
        })
    }

    /// The share of the old average that is left in step `step`, counted from 0: with a warm-up at most
    /// `(1 + t) / (10 + t)`, with `t` the number of steps including this one.
    fn decay(&self, step: usize) -> f64 {
        let t = (step + 1) as f64;
        if self.warms_up { self.decay.min((1.0 + t) / (10.0 + t)) } else { self.decay }
    }

    /// The share of the new in step `step`, counted from 0.
    pub fn new_share(&self, step: usize) -> f32 {
        (1.0 - self.decay(step)) as f32
    }

    /// Takes in the values after step `step`, counted from 0.
    ///
    /// # Panics
    /// If there are more or fewer of them than there were.
    pub fn update(&mut self, params: &[f32], statistics: &[f32], step: usize) {
        let rest = self.new_share(step);
        for (own, new) in [(&mut self.params, params), (&mut self.statistics, statistics)] {
            assert_eq!(own.len(), new.len(), "the averages are those of another network");
            for (average, &value) in own.iter_mut().zip(new) {
                *average += rest * (value - *average);
            }
        }
    }

    /// Overwrites a network's parameters and statistics with the averages.
    ///
    /// # Panics
    /// If it is another network.
    pub fn store(&self, network: &mut Network) {
        network.params_mut().flat.copy_from(&self.params);
        network.statistics_mut().copy_from_slice(&self.statistics);
    }

    /// The averages, by name.
    pub fn state(&self) -> BTreeMap<&'static str, &[f32]> {
        BTreeMap::from([("params", &self.params[..]), ("statistics", &self.statistics[..])])
    }

    /// The averages of parameters and of statistics, to overwrite them.
    pub fn state_mut(&mut self) -> [&mut [f32]; 2] {
        [&mut self.params, &mut self.statistics]
    }

    /// Takes over the averages of an earlier run.
    ///
    /// # Errors
    /// The first [`StateFault`]; the averages are then unchanged.
    pub fn load_state(&mut self, state: &BTreeMap<String, Vec<f32>>) -> Result<(), StateFault> {
        check_fits(&self.state(), state)?;
        self.params.copy_from_slice(&state["params"]);
        self.statistics.copy_from_slice(&state["statistics"]);
        Ok(())
    }
}
