//! Stochastic gradient descent with a velocity that can be read and saved.
//!
//! dfdx's `Sgd` keeps its velocity private; its update of one tensor is public. This is that update
//! with the velocity in the open.

use dfdx::optim::{Momentum, WeightDecay};
use dfdx::prelude::{Cpu, CpuError, Gradients, SgdConfig, Shape, Tensor};

use super::TrainConfig;

/// The optimizer of one tensor of parameters.
///
/// `g += weight_decay * p; v = momentum * v + g; p -= lr * v`, and for Nesterov's momentum
/// `p -= lr * (g + momentum * v)`
#[derive(Clone, Debug)]
pub struct Sgd {
    momentum: Option<Momentum>,
    weight_decay: Option<WeightDecay>,
    velocity: Gradients<f32, Cpu>,
}

impl Sgd {
    /// An optimizer at rest.
    pub fn new(config: &TrainConfig) -> Self {
        let momentum = match config.momentum {
            0.0 => None,
            momentum if config.nesterov => Some(Momentum::Nesterov(momentum)),
            momentum => Some(Momentum::Classic(momentum)),
        };
        let weight_decay =
            (config.weight_decay > 0.0).then_some(WeightDecay::L2(config.weight_decay));
        Sgd { momentum, weight_decay, velocity: Gradients::leaky() }
    }

    /// Moves the parameters against their gradient.
    ///
    /// # Errors
    /// Those of dfdx's CPU device.
    pub fn step<S: Shape>(
        &mut self,
        params: &mut Tensor<S, f32, Cpu>,
        gradients: &mut Gradients<f32, Cpu>,
        lr: f64,
    ) -> Result<(), CpuError> {
        let config = SgdConfig { lr, momentum: self.momentum, weight_decay: self.weight_decay };
        let gradient = gradients.get_or_alloc_mut(params)?;
        let velocity = self.velocity.get_or_alloc_mut(params)?;
        config.try_update(params, velocity, gradient)
    }

    /// The velocity, zero before the first step.
    ///
    /// # Errors
    /// Those of dfdx's CPU device.
    pub fn velocity<S: Shape>(
        &mut self,
        params: &Tensor<S, f32, Cpu>,
    ) -> Result<&mut [f32], CpuError> {
        Ok(self.velocity.get_or_alloc_mut(params)?.as_mut_slice())
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{AsArray, TensorFrom};

    use super::*;

    /// Two steps on one parameter, gradients 0.5 and -1, against the formula written out.
    fn two_steps(config: &TrainConfig) -> ([f32; 2], f32) {
        let mut params = Cpu::default().tensor([2.0f32]);
        let mut sgd = Sgd::new(config);
        let results = [(0.5, 0.1), (-1.0, 0.05)].map(|(gradient, lr)| {
            let mut gradients = Gradients::leaky();
            gradients.get_or_alloc_mut(&params).expect("memory for one float")[0] = gradient;
            sgd.step(&mut params, &mut gradients, lr).expect("one float");
            params.array()[0]
        });
        (results, sgd.velocity(&params).expect("one float")[0])
    }

    fn assert_near(found: ([f32; 2], f32), expected: ([f32; 2], f32)) {
        let pairs = found.0.into_iter().zip(expected.0).chain([(found.1, expected.1)]);
        for (found, expected) in pairs {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn updates_are_those_of_the_formula() {
        let plain = TrainConfig { momentum: 0.0, weight_decay: 0.0, ..TrainConfig::default() };
        // 2 - 0.1 * 0.5 = 1.95; 1.95 + 0.05 = 2.0
        assert_near(two_steps(&plain), ([1.95, 2.0], 0.0));
        // v = 0.5; v = 0.45 - 1 = -0.55; 1.95 + 0.05 * 0.55
        let classic = TrainConfig { momentum: 0.9, ..plain.clone() };
        assert_near(two_steps(&classic), ([1.95, 1.9775], -0.55));
        // 2 - 0.1 * (0.5 + 0.45) = 1.905; 1.905 - 0.05 * (-1 - 0.495)
        let nesterov = TrainConfig { nesterov: true, ..classic.clone() };
        assert_near(two_steps(&nesterov), ([1.905, 1.97975], -0.55));
        // g = 0.5 + 0.2 = 0.7; 2 - 0.07 = 1.93; g = -1 + 0.193; v = 0.63 - 0.807 = -0.177
        let decayed = TrainConfig { weight_decay: 0.1, ..classic };
        assert_near(two_steps(&decayed), ([1.93, 1.93885], -0.177));
    }
}
