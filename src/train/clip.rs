//! Clipping of the whole gradient, which dfdx does not have.

/// Scales a gradient down to the Euclidean norm `max_norm` if it is longer, and gives its norm as it
/// was. A gradient whose norm is no finite number is left as it is, for the caller to notice.
///
/// `gradient *= max_norm / max(norm, max_norm)`
///
/// # Determinism
/// The order of the sum depends on the length alone.
///
/// # Source
/// R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks,
/// 2013, algorithm 1.
pub fn clip_norm(gradient: &mut [f32], max_norm: Option<f64>) -> f64 {
    let norm = norm(gradient);
    if let Some(max_norm) = max_norm
        && norm > max_norm
        && norm.is_finite()
    {
        let scale = (max_norm / norm) as f32;
        for value in gradient {
            *value *= scale;
        }
    }
    norm
}

/// Euclidean norm, summed in double precision in eight lanes.
fn norm(values: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let (groups, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for group in groups {
        for (lane, &value) in lanes.iter_mut().zip(group) {
            *lane += square(value);
        }
    }
    let sum = lanes.iter().sum::<f64>() + rest.iter().map(|&value| square(value)).sum::<f64>();
    sum.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_scaled_to_the_norm() {
        // 3-4-5, spread over a lane and the rest.
        let mut gradient = vec![0.0; 11];
        (gradient[2], gradient[10]) = (3.0, -4.0);
        let before = gradient.clone();
        assert_eq!(clip_norm(&mut gradient, None), 5.0);
        assert_eq!(clip_norm(&mut gradient, Some(5.0)), 5.0);
        assert_eq!(gradient, before);
        assert_eq!(clip_norm(&mut gradient, Some(2.5)), 5.0);
        assert_eq!((gradient[2], gradient[10]), (1.5, -2.0));
    }

    #[test]
    fn large_finite_gradients_do_not_overflow() {
        let mut gradient = [f32::MAX, f32::MAX];
        let norm = clip_norm(&mut gradient, Some(1.0));
        assert!(norm.is_finite());
        assert!((f64::from(gradient[0]) - 0.5f64.sqrt()).abs() < 1e-6, "{gradient:?}");
    }

    #[test]
    fn broken_gradients_are_reported_and_kept() {
        let mut gradient = [1.0, f32::INFINITY];
        assert_eq!(clip_norm(&mut gradient, Some(1.0)), f64::INFINITY);
        assert_eq!(gradient, [1.0, f32::INFINITY]);
        assert!(clip_norm(&mut [f32::NAN, 1.0], Some(1.0)).is_nan());
    }
}
