//! Steps on the controller's weights: dfdx's Adam and a clip of the gradient's norm.
//!
//! dfdx's own [`Adam`](dfdx::optim::Adam) wants its model's sizes at compile time, where the number of
//! options is known at run time only; the rule it applies to one tensor, [`AdamConfig::try_update`],
//! is public and is what runs here. Gradient clipping is not in dfdx 0.13.

use dfdx::prelude::*;

use super::policy::Matrix;

/// Adam with its moments.
#[derive(Clone, Debug)]
pub(super) struct Adam {
    config: AdamConfig,
    /// Updates so far.
    updates: i32,
    moment1: Gradients<f32, Cpu>,
    moment2: Gradients<f32, Cpu>,
}

impl Adam {
    /// Adam before its first update.
    pub(super) fn new(config: AdamConfig) -> Self {
        let (moment1, moment2) = (Gradients::leaky(), Gradients::leaky());
        Adam { config, updates: 0, moment1, moment2 }
    }

    /// One step. A parameter without a gradient has a gradient of zero.
    pub(super) fn update(
        &mut self,
        parameters: Vec<&mut Matrix>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), CpuError> {
        self.updates += 1;
        for parameter in parameters {
            let moment1 = self.moment1.get_or_alloc_mut(&*parameter)?;
            let moment2 = self.moment2.get_or_alloc_mut(&*parameter)?;
            let gradient = gradients.get_or_alloc_mut(&*parameter)?;
            self.config.try_update(self.updates, parameter, moment1, moment2, gradient)?;
        }
        Ok(())
    }
}

/// Both moments of each parameter.
pub(super) type Moments = Vec<[Vec<f32>; 2]>;

impl Adam {
    /// How many updates there were, and both moments of each parameter: all that later updates depend on.
    pub(super) fn state(&mut self, parameters: &[&mut Matrix]) -> Result<(i32, Moments), CpuError> {
        let mut moments = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let first = self.moment1.get_or_alloc_mut(&**parameter)?.to_vec();
            moments.push([first, self.moment2.get_or_alloc_mut(&**parameter)?.to_vec()]);
        }
        Ok((self.updates, moments))
    }

    /// Takes over what another one remembered of parameters with the same shapes.
    pub(super) fn load_state(
        &mut self,
        parameters: &[&mut Matrix],
        updates: i32,
        moments: &[[Vec<f32>; 2]],
    ) -> Result<(), CpuError> {
        self.updates = updates;
        for (parameter, [first, second]) in parameters.iter().zip(moments) {
            self.moment1.get_or_alloc_mut(&**parameter)?.copy_from_slice(first);
            self.moment2.get_or_alloc_mut(&**parameter)?.copy_from_slice(second);
        }
        Ok(())
    }
}

/// Scales all gradients so that their joint Euclidean norm is at most `max_grad_norm`; gives the norm
/// before that.
pub(super) fn clip_grad_norm(
    parameters: &[&mut Matrix],
    gradients: &mut Gradients<f32, Cpu>,
    max_grad_norm: f64,
) -> Result<f64, CpuError> {
    let mut squares = 0.0;
    for parameter in parameters {
        let gradient = gradients.get_or_alloc_mut(&**parameter)?;
        squares += gradient.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    }
    let norm = squares.sqrt();
    // PyTorch's `clip_grad_norm_` has the same 1e-6.
    let scale = (max_grad_norm / (norm + 1e-6)) as f32;
    if scale < 1.0 {
        for parameter in parameters {
            let gradient = gradients.get_or_alloc_mut(&**parameter)?;
            gradient.iter_mut().for_each(|value| *value *= scale);
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradients_of(values: [f32; 2]) -> (Matrix, Gradients<f32, Cpu>) {
        let device = Cpu::default();
        let parameter: Matrix = device.zeros_like(&(1, 2));
        let mut gradients = Gradients::leaky();
        gradients.get_or_alloc_mut(&parameter).unwrap().copy_from_slice(&values);
        (parameter, gradients)
    }

    #[test]
    fn a_long_gradient_is_scaled_and_a_short_one_kept() {
        let (mut parameter, mut gradients) = gradients_of([3.0, 4.0]);
        assert_eq!(clip_grad_norm(&[&mut parameter], &mut gradients, 10.0).unwrap(), 5.0);
        assert_eq!(gradients.get(&parameter).as_vec(), [3.0, 4.0]);
        assert_eq!(clip_grad_norm(&[&mut parameter], &mut gradients, 1.0).unwrap(), 5.0);
        let clipped = gradients.get(&parameter).as_vec();
        assert!((clipped[0] - 0.6).abs() < 1e-6 && (clipped[1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        // With bias correction m / sqrt(v) is the sign of the gradient (Kingma and Ba, section 2.1).
        let (mut parameter, mut gradients) = gradients_of([3.0, -0.5]);
        let mut adam = Adam::new(AdamConfig { lr: 0.01, ..Default::default() });
        adam.update(vec![&mut parameter], &mut gradients).unwrap();
        let stepped = parameter.as_vec();
        assert!((stepped[0] + 0.01).abs() < 1e-6 && (stepped[1] - 0.01).abs() < 1e-6);
    }
}
