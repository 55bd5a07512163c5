//! Every backward kernel against finite differences of its forward kernel.
//!
//! The loss is a sum of the outputs with random weights. It is taken in `f64` of outputs in `f32`:
//! with values of order 1 and a step of `STEP`, rounding costs `EPSILON * (outputs touched) / STEP`
//! and the central difference `STEP^2` times the third derivative, which is 0 for the kernels
//! linear in the variable. Kinks of `max` and `relu` are kept away by inputs that are multiples of
//! 1/16 (never 0) and distinct within a map, with a step below half of their distance.

use cellc::device::cpu::{ConvSizes, GroupSizes, Isa, Kernels};
use cellc::graph::{Padding, Window};

/// Step of the differences.
const STEP: f32 = 1.0 / 64.0;

/// Accepted difference, relative to the largest gradient of the tensor (at least 1): rounding of
/// some hundred outputs over the step, about `100 * 6e-8 * 64 = 4e-4`.
const TOLERANCE: f64 = 2e-3;

fn available() -> impl Iterator<Item = Kernels> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Kernels::with)
}

/// A permutation of multiples of 1/16 around 0, without 0.
fn distinct(seed: usize, len: usize) -> Vec<f32> {
    let step =
        (1..).map(|k| k * 2 + seed * 2 + 7).find(|step| gcd(*step, len) == 1).expect("exists");
    (0..len)
        .map(|i| {
            let rank = (i * step + seed) % len;
            (rank as f32 - (len / 2) as f32 + 0.5) / 16.0
        })
        .collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Weights of the loss, or parameters, in -1..1.
fn weights(seed: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 101 + i * i * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

/// Checks `gradient` of the loss `sum(gy * forward(variable))` at `variable`.
fn check(
    what: &str,
    variable: &[f32],
    gy: &[f32],
    gradient: &[f32],
    forward: impl Fn(&[f32], &mut [f32]),
) {
    let mut y = vec![0.0; gy.len()];
    let mut loss = |variable: &[f32]| -> f64 {
        y.fill(f32::NAN);
        forward(variable, &mut y);
        y.iter().zip(gy).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum()
    };
    let scale = gradient.iter().fold(1.0, |scale: f64, g| scale.max(f64::from(g.abs())));
    let mut moved = variable.to_vec();
    for (i, &found) in gradient.iter().enumerate() {
        moved[i] = variable[i] + STEP;
        let after = loss(&moved);
        moved[i] = variable[i] - STEP;
        let before = loss(&moved);
        moved[i] = variable[i];
        let expected = (after - before) / (2.0 * f64::from(STEP));
        let error = (f64::from(found) - expected).abs();
        assert!(error <= TOLERANCE * scale, "{what}[{i}]: expected {expected}, found {found}");
    }
}

fn windows() -> Vec<Window> {
    let window = |kernel, stride, dilation, padding, input| {
        Window::new(kernel, stride, dilation, padding, input).expect("the window fits")
    };
    vec![
        window([1, 1], [1, 1], [1, 1], Padding::Same, [3, 4]),
        window([1, 1], [2, 2], [1, 1], Padding::Same, [5, 4]),
        window([3, 3], [1, 1], [1, 1], Padding::Same, [4, 5]),
        window([5, 5], [2, 2], [1, 1], Padding::Same, [6, 6]),
        window([3, 3], [1, 1], [2, 2], Padding::Same, [5, 5]),
        window([1, 7], [1, 1], [1, 1], Padding::Same, [2, 6]),
        window([7, 1], [2, 1], [1, 1], Padding::Same, [6, 2]),
        window([2, 3], [1, 3], [1, 1], Padding::Valid, [5, 7]),
        window([3, 3], [2, 2], [1, 1], Padding::Zeros, [5, 6]),
    ]
}

#[test]
fn convolution() {
    for (kernels, w) in available().flat_map(|k| windows().into_iter().map(move |w| (k, w))) {
        let (n, ci, co) = (2, 2, 3);
        for relu_in in [false, true] {
            let x = distinct(1, ci * n * w.input_area());
            let weight = weights(2, co * ci * w.taps());
            let gy = weights(3, co * n * w.output_area());
            let (mut gx, mut gweight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
            let sizes = ConvSizes { window: &w, n, ci, co, groups: 1 };
            kernels.conv_backward_data(sizes, &x, &weight, relu_in, &gy, &mut gx, false);
            kernels.conv_backward_weight(sizes, &x, relu_in, &gy, &mut gweight);
            check(&format!("conv {w} x"), &x, &gy, &gx, |x, y| {
                kernels.conv_forward(sizes, x, &weight, relu_in, None, y, false);
            });
            check(&format!("conv {w} weight"), &weight, &gy, &gweight, |weight, y| {
                kernels.conv_forward(sizes, &x, weight, relu_in, None, y, false);
            });
        }
    }
}

#[test]
fn convolution_in_groups() {
    for (kernels, w) in available().flat_map(|k| windows().into_iter().map(move |w| (k, w))) {
        let (n, ci, co, groups) = (2, 4, 6, 2);
        for relu_in in [false, true] {
            let x = distinct(1, ci * n * w.input_area());
            let weight = weights(2, co * ci / groups * w.taps());
            let gy = weights(3, co * n * w.output_area());
            let (mut gx, mut gweight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
            let sizes = ConvSizes { window: &w, n, ci, co, groups };
            kernels.conv_backward_data(sizes, &x, &weight, relu_in, &gy, &mut gx, false);
            kernels.conv_backward_weight(sizes, &x, relu_in, &gy, &mut gweight);
            check(&format!("grouped conv {w} x"), &x, &gy, &gx, |x, y| {
                kernels.conv_forward(sizes, x, &weight, relu_in, None, y, false);
            });
            check(&format!("grouped conv {w} weight"), &weight, &gy, &gweight, |weight, y| {
                kernels.conv_forward(sizes, &x, weight, relu_in, None, y, false);
            });
        }
    }
}

#[test]
fn depthwise_convolution() {
    for (kernels, w) in available().flat_map(|k| windows().into_iter().map(move |w| (k, w))) {
        let (n, c) = (3, 2);
        for relu_in in [false, true] {
            let x = distinct(1, c * n * w.input_area());
            let weight = weights(2, c * w.taps());
            let gy = weights(3, c * n * w.output_area());
            let (mut gx, mut gweight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
            kernels.dwconv_backward_data(&w, n, c, &x, &weight, relu_in, &gy, &mut gx, false);
            kernels.dwconv_backward_weight(&w, n, c, &x, relu_in, &gy, &mut gweight);
            check(&format!("dwconv {w} x"), &x, &gy, &gx, |x, y| {
                kernels.dwconv_forward(&w, n, c, x, &weight, relu_in, y);
            });
            check(&format!("dwconv {w} weight"), &weight, &gy, &gweight, |weight, y| {
                kernels.dwconv_forward(&w, n, c, &x, weight, relu_in, y);
            });
        }
    }
}

#[test]
fn pools() {
    for (kernels, w) in available().flat_map(|k| windows().into_iter().map(move |w| (k, w))) {
        let (n, c) = (3, 2);
        let x = distinct(1, c * n * w.input_area());
        let gy = weights(3, c * n * w.output_area());
        let mut gx = vec![0.0; x.len()];
        kernels.maxpool_backward(&w, n, c, &x, &gy, &mut gx, false);
        check(&format!("max pool {w}"), &x, &gy, &gx, |x, y| {
            kernels.maxpool_forward(&w, n, c, x, y);
        });
        kernels.avgpool_backward(&w, n, c, &gy, &mut gx, false);
        check(&format!("average pool {w}"), &x, &gy, &gx, |x, y| {
            kernels.avgpool_forward(&w, n, c, x, y, false);
        });
    }
}

#[test]
fn batch_norm() {
    for kernels in available() {
        let (c, row, eps) = (3, 30, 1e-3);
        // A standard deviation of about 1.6 keeps third derivatives small against the step.
        let x = distinct(1, c * row);
        let (gamma, beta) = (weights(2, c), weights(4, c));
        let gy = weights(3, c * row);
        let forward = |x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]| {
            let (mut mean, mut inv_std) = (vec![0.0; c], vec![0.0; c]);
            kernels.bn_forward_train(
                c,
                row,
                x,
                gamma,
                beta,
                eps,
                y,
                false,
                &mut mean,
                &mut inv_std,
            );
            (mean, inv_std)
        };
        let mut y = vec![0.0; x.len()];
        let (mean, inv_std) = forward(&x, &gamma, &beta, &mut y);
        let (mut gx, mut ggamma, mut gbeta) = (vec![0.0; x.len()], vec![0.0; c], vec![0.0; c]);
        kernels.bn_backward(
            c,
            row,
            &x,
            &gy,
            &gamma,
            &mean,
            &inv_std,
            &mut gx,
            false,
            &mut ggamma,
            &mut gbeta,
        );
        check("batch norm x", &x, &gy, &gx, |x, y| {
            forward(x, &gamma, &beta, y);
        });
        check("batch norm gamma", &gamma, &gy, &ggamma, |gamma, y| {
            forward(&x, gamma, &beta, y);
        });
        check("batch norm beta", &beta, &gy, &gbeta, |beta, y| {
            forward(&x, &gamma, beta, y);
        });
    }
}

#[test]
fn norms_of_images() {
    for (kernels, groups) in available().flat_map(|k| [1, 2, 4].map(|groups| (k, groups))) {
        let (n, c, area, eps) = (2, 4, 15, 1e-3);
        let sizes = GroupSizes { n, c, area, groups };
        let x = distinct(1, c * n * area);
        let (gamma, beta) = (weights(2, c), weights(4, c));
        let gy = weights(3, x.len());
        let forward = |x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]| {
            let mut moments = vec![f32::NAN; 2 * groups * n];
            kernels.group_norm_forward(sizes, x, gamma, beta, eps, &mut moments, y);
            moments
        };
        let mut y = vec![0.0; x.len()];
        let moments = forward(&x, &gamma, &beta, &mut y);
        let mut gx = vec![0.0; x.len()];
        let (mut ggamma, mut gbeta) = (vec![0.0; c], vec![0.0; c]);
        let (to_gamma, to_beta) = (&mut ggamma, &mut gbeta);
        kernels.group_norm_backward(
            sizes, &x, &gy, &gamma, &moments, &mut gx, false, to_gamma, to_beta,
        );
        check("norm x", &x, &gy, &gx, |x, y| {
            forward(x, &gamma, &beta, y);
        });
        check("norm gamma", &gamma, &gy, &ggamma, |gamma, y| {
            forward(&x, gamma, &beta, y);
        });
        check("norm beta", &beta, &gy, &gbeta, |beta, y| {
            forward(&x, &gamma, beta, y);
        });
    }
}

#[test]
fn elementwise() {
    for kernels in available() {
        let x = distinct(1, 45);
        let gy = weights(3, x.len());
        let mut gx = vec![0.0; x.len()];
        // Odd multiples of 1/4, so no kink, at 0 or 6, is near.
        let wide: Vec<f32> = x.iter().map(|x| 8.0 * x).collect();
        assert!(wide.iter().any(|x| *x > 6.0) && wide.iter().all(|x| (x - 6.0).abs() > STEP));
        kernels.relu6_backward(&wide, &gy, &mut gx, false);
        check("relu6", &wide, &gy, &gx, |x, y| kernels.relu6_forward(x, y));
        kernels.shuffle(3, 15, 3, &gy, &mut gx, false);
        check("shuffle", &x, &gy, &gx, |x, y| kernels.shuffle(5, 15, 3, x, y, false));
        let (shares, rest) = ([0.25, 0.5, 0.875], [0.75, 0.5, 0.125]);
        kernels.scale_images(5, &shares, &gy, &mut gx, false);
        check("mix a", &x, &gy, &gx, |x, y| kernels.mix_forward(5, &shares, x, &wide, y));
        kernels.scale_images(5, &rest, &gy, &mut gx, false);
        check("mix b", &x, &gy, &gx, |x, y| kernels.mix_forward(5, &shares, &wide, x, y));
        kernels.relu_backward(&x, &gy, &mut gx, false);
        check("relu", &x, &gy, &gx, |x, y| kernels.relu_forward(x, y));
        let mut y = vec![0.0; x.len()];
        kernels.sigmoid_forward(&x, &mut y);
        kernels.sigmoid_backward(&y, &gy, &mut gx, false);
        check("sigmoid", &x, &gy, &gx, |x, y| kernels.sigmoid_forward(x, y));
        kernels.dropout_backward(0.4, 11, &gy, &mut gx, false);
        check("dropout", &x, &gy, &gx, |x, y| kernels.dropout_forward(0.4, 11, x, y));
        kernels.shift_backward(1, 3, 3, 5, &gy, &mut gx, false);
        check("shift", &x, &gy, &gx, |x, y| kernels.shift_forward(1, 3, 3, 5, x, y));
        let gy = weights(3, 5);
        kernels.gap_backward(1, 5, 9, &gy, &mut gx, false);
        check("mean", &x, &gy, &gx, |x, y| kernels.gap_forward(1, 5, 9, x, y));
    }
}

#[test]
fn gradients_accumulate() {
    for kernels in available() {
        let x = distinct(1, 45);
        let (gy, small) = (weights(3, x.len()), weights(4, 5));
        let y = weights(5, x.len());
        let both = |run: &dyn Fn(&mut [f32], bool)| {
            let (mut written, mut added) = (vec![f32::NAN; x.len()], vec![0.25; x.len()]);
            run(&mut written, false);
            run(&mut added, true);
            let sums: Vec<f32> = written.iter().map(|g| 0.25 + g).collect();
            assert_eq!(added, sums);
        };
        both(&|gx, add| kernels.relu_backward(&x, &gy, gx, add));
        both(&|gx, add| kernels.sigmoid_backward(&y, &gy, gx, add));
        both(&|gx, add| kernels.relu6_backward(&x, &gy, gx, add));
        both(&|gx, add| kernels.shuffle(3, 9, 5, &gy, gx, add));
        both(&|gx, add| kernels.scale_images(5, &[0.25, 0.5, 0.75], &gy, gx, add));
        both(&|gx, add| {
            let sizes = GroupSizes { n: 1, c: 3, area: 15, groups: 1 };
            let (mut ggamma, mut gbeta) = ([0.0; 3], [0.0; 3]);
            let (gamma, moments) = ([1.5, 0.5, -1.0], [0.1, 0.7]);
            let (to_gamma, to_beta) = (&mut ggamma, &mut gbeta);
            kernels
                .group_norm_backward(sizes, &x, &gy, &gamma, &moments, gx, add, to_gamma, to_beta);
        });
        both(&|gx, add| kernels.dropout_backward(0.4, 11, &gy, gx, add));
        both(&|gx, add| kernels.shift_backward(1, 3, 3, 5, &gy, gx, add));
        both(&|gx, add| kernels.gap_backward(1, 5, 9, &small, gx, add));
        both(&|gx, add| {
            let (mut ggamma, mut gbeta) = ([0.0], [0.0]);
            let (mean, inv_std) = ([0.1], [0.7]);
            kernels.bn_backward(
                1,
                45,
                &x,
                &gy,
                &[1.5],
                &mean,
                &inv_std,
                gx,
                add,
                &mut ggamma,
                &mut gbeta,
            );
        });
    }
}

#[test]
fn products_of_maps() {
    for kernels in available() {
        let (c, n, area) = (2, 3, 5);
        for (area_a, area_b) in [(area, area), (area, 1), (1, area), (1, 1)] {
            let a = weights(1, c * n * area_a);
            let b = weights(2, c * n * area_b);
            let gy = weights(3, c * n * area_a.max(area_b));
            let (mut ga, mut gb) = (vec![0.0; a.len()], vec![0.0; b.len()]);
            let (to_a, to_b) = (Some((&mut ga[..], false)), Some((&mut gb[..], false)));
            kernels.mul_backward(c, n, area_a, area_b, &a, &b, &gy, to_a, to_b);
            check("product a", &a, &gy, &ga, |a, y| {
                kernels.mul_forward(c, n, area_a, area_b, a, &b, y);
            });
            check("product b", &b, &gy, &gb, |b, y| {
                kernels.mul_forward(c, n, area_a, area_b, &a, b, y);
            });
        }
    }
}

#[test]
fn dense_layer() {
    for kernels in available() {
        let (n, inputs, outputs) = (5, 7, 4);
        let x = weights(1, inputs * n);
        let (weight, bias) = (weights(2, outputs * inputs), weights(4, outputs));
        let gy = weights(3, outputs * n);
        let (mut gx, mut gweight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
        let mut gbias = vec![0.0; outputs];
        let to_x = Some((&mut gx[..], false));
        kernels.dense_backward(
            n,
            inputs,
            outputs,
            &x,
            &weight,
            &gy,
            to_x,
            &mut gweight,
            Some(&mut gbias),
        );
        check("dense x", &x, &gy, &gx, |x, y| {
            kernels.dense_forward(n, inputs, outputs, x, &weight, Some(&bias), y);
        });
        check("dense weight", &weight, &gy, &gweight, |weight, y| {
            kernels.dense_forward(n, inputs, outputs, &x, weight, Some(&bias), y);
        });
        let without = |gx: &mut [f32], gweight: &mut [f32]| {
            let gx = Some((gx, false));
            kernels.dense_backward(n, inputs, outputs, &x, &weight, &gy, gx, gweight, None);
        };
        let (mut gx_, mut gweight_) = (vec![f32::NAN; x.len()], vec![0.0; weight.len()]);
        without(&mut gx_, &mut gweight_);
        assert_eq!((&gx_, &gweight_), (&gx, &gweight));
        check("dense x without bias", &x, &gy, &gx, |x, y| {
            kernels.dense_forward(n, inputs, outputs, x, &weight, None, y);
        });
        check("dense bias", &bias, &gy, &gbias, |bias, y| {
            kernels.dense_forward(n, inputs, outputs, &x, &weight, Some(bias), y);
        });
    }
}
