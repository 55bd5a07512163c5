//! Every forward kernel against obvious loops in `f64`, for all instruction sets that the processor
//! has, and the same bits in pools of one, two and three threads.
//!
//! Tolerances: a sum of `k` products of `f32` numbers, in any order, is off by at most
//! `k * EPSILON * (sum of the products' magnitudes)`; the references return that sum of magnitudes
//! along with the value.

use cellc::device::cpu::{Affine, ConvSizes, GroupSizes, Isa, Kernels};
use cellc::graph::{Padding, Window};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// All instruction sets of this processor.
fn available() -> Vec<Kernels> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Kernels::with).collect()
}

/// `len` numbers in -1..1 that depend on `seed` alone; every seventh is 0.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            if state.is_multiple_of(7) { 0.0 } else { value }
        })
        .collect()
}

/// A value and the sum of the magnitudes that it was summed from.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    value: f64,
    magnitude: f64,
    terms: usize,
}

impl Sum {
    fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
        self.terms += 1;
    }
}

fn assert_sums(found: &[f32], expected: &[Sum], what: &str) -> TestCaseResult {
    prop_assert_eq!(found.len(), expected.len());
    for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = f64::from(f32::EPSILON) * (expected.terms + 1) as f64 * expected.magnitude;
        let error = (f64::from(found) - expected.value).abs();
        prop_assert!(error <= bound, "{what}[{i}]: expected {expected:?}, found {found}");
    }
    Ok(())
}

/// A window over a batch of maps.
#[derive(Clone, Debug)]
struct Problem {
    w: Window,
    n: usize,
    ci: usize,
    co: usize,
    relu_in: bool,
    seed: u64,
}

impl Problem {
    fn input(&self, channels: usize) -> Vec<f32> {
        numbers(self.seed, channels * self.n * self.w.input_area())
    }

    fn output_len(&self, channels: usize) -> usize {
        channels * self.n * self.w.output_area()
    }

    fn rectified(&self, x: f32) -> f64 {
        f64::from(if self.relu_in { x.max(0.0) } else { x })
    }

    /// Calls `f` with the index in an input map, in an output map, and the tap, for every tap that
    /// is inside the map.
    fn for_each_tap(&self, mut f: impl FnMut(usize, usize, usize)) {
        self.for_each_covered(|input, output, tap| {
            if let Some(input) = input {
                f(input, output, tap);
            }
        });
    }

    /// The same for every tap, in row order; those outside the map have no index in it.
    fn for_each_covered(&self, mut f: impl FnMut(Option<usize>, usize, usize)) {
        let w = &self.w;
        for oy in 0..w.output[0] {
            for ox in 0..w.output[1] {
                for ky in 0..w.kernel[0] {
                    for kx in 0..w.kernel[1] {
                        let iy = (oy * w.stride[0] + ky * w.dilation[0]) as i64 - w.pad[0] as i64;
                        let ix = (ox * w.stride[1] + kx * w.dilation[1]) as i64 - w.pad[1] as i64;
                        let is_inside = (0..w.input[0] as i64).contains(&iy)
                            && (0..w.input[1] as i64).contains(&ix);
                        let input = is_inside.then(|| iy as usize * w.input[1] + ix as usize);
                        f(input, oy * w.output[1] + ox, ky * w.kernel[1] + kx);
                    }
                }
            }
        }
    }

    fn conv(&self, x: &[f32], weight: &[f32]) -> Vec<Sum> {
        let (area, out_area, taps) = (self.w.input_area(), self.w.output_area(), self.w.taps());
        let mut y = vec![Sum::default(); self.output_len(self.co)];
        for co in 0..self.co {
            for ci in 0..self.ci {
                for n in 0..self.n {
                    self.for_each_tap(|i, o, tap| {
                        let x = self.rectified(x[(ci * area + i) * self.n + n]);
                        let weight = f64::from(weight[(co * self.ci + ci) * taps + tap]);
                        y[(co * out_area + o) * self.n + n].add(x * weight);
                    });
                }
            }
        }
        y
    }

    /// A grouped weight as one of all channels, zero between the groups.
    fn spread(&self, groups: usize, weight: &[f32]) -> Vec<f32> {
        let (inputs, outputs, taps) = (self.ci / groups, self.co / groups, self.w.taps());
        let mut whole = vec![0.0; self.co * self.ci * taps];
        for (i, &weight) in weight.iter().enumerate() {
            let (o, c, tap) = (i / taps / inputs, i / taps % inputs, i % taps);
            whole[(o * self.ci + o / outputs * inputs + c) * taps + tap] = weight;
        }
        whole
    }

    fn depthwise(&self, x: &[f32], weight: &[f32]) -> Vec<Sum> {
        let (area, out_area, taps) = (self.w.input_area(), self.w.output_area(), self.w.taps());
        let mut y = vec![Sum::default(); self.output_len(self.ci)];
        for c in 0..self.ci {
            for n in 0..self.n {
                self.for_each_tap(|i, o, tap| {
                    let x = self.rectified(x[(c * area + i) * self.n + n]);
                    let weight = f64::from(weight[c * taps + tap]);
                    y[(c * out_area + o) * self.n + n].add(x * weight);
                });
            }
        }
        y
    }
}

fn axis() -> impl Strategy<Value = (usize, usize, usize, usize)> {
    // Kernel, stride, dilation, map size; the map is often smaller than the kernel.
    (1..8usize, 1..4usize, 1..4usize, prop_oneof![1..10usize, Just(8), Just(16), Just(33)])
}

fn window() -> impl Strategy<Value = Window> {
    let padding = prop_oneof![Just(Padding::Same), Just(Padding::Valid)];
    (axis(), axis(), any::<bool>(), padding).prop_filter_map(
        "a valid window fits",
        |(y, x, dense, padding)| {
            // Half of the windows are of the common kind, without stride and dilation.
            let (stride, dilation) =
                if dense { ([1, 1], [1, 1]) } else { ([y.1, x.1], [y.2, x.2]) };
            Window::new([y.0, x.0], stride, dilation, padding, [y.3, x.3])
        },
    )
}

fn problem() -> impl Strategy<Value = Problem> {
    // From one image to more than a vector of them.
    let images = prop_oneof![1..9usize, Just(16), Just(19), Just(32)];
    (window(), images, 1..10usize, 1..10usize, any::<bool>(), any::<u64>())
        .prop_map(|(w, n, ci, co, relu_in, seed)| Problem { w, n, ci, co, relu_in, seed })
}

/// Cases that the random ones may miss: the windows of NASNet and those at the edges of tiles.
fn named_problems() -> Vec<Problem> {
    let same = |kernel, stride, input| Window::new(kernel, stride, [1, 1], Padding::Same, input);
    let windows = [
        same([1, 7], [1, 1], [8, 8]),
        same([7, 1], [1, 1], [8, 8]),
        same([1, 7], [2, 2], [9, 7]),
        same([7, 7], [2, 2], [8, 8]),
        same([5, 5], [1, 1], [2, 2]),
        same([7, 7], [1, 1], [1, 1]),
        same([1, 1], [2, 2], [7, 8]),
        same([1, 1], [1, 1], [40, 40]),
        same([3, 3], [1, 1], [40, 130]),
        Window::new([3, 3], [1, 1], [1, 1], Padding::Valid, [3, 3]),
        Window::new([2, 2], [3, 3], [1, 1], Padding::Valid, [8, 8]),
    ];
    // With whole vectors of images, maps are read where they lie.
    let in_place = [
        same([3, 3], [1, 1], [9, 5]),
        same([5, 5], [1, 1], [13, 4]),
        same([7, 7], [1, 1], [3, 6]),
        same([3, 3], [2, 2], [8, 7]),
        same([5, 5], [2, 2], [7, 8]),
        same([7, 7], [2, 2], [9, 9]),
        same([4, 2], [1, 1], [6, 6]),
        same([1, 7], [1, 1], [4, 9]),
        same([1, 1], [2, 2], [5, 5]),
        Window::new([3, 3], [1, 1], [2, 2], Padding::Same, [9, 6]),
        Window::new([5, 5], [1, 1], [2, 2], Padding::Same, [6, 9]),
        Window::new([3, 3], [2, 2], [2, 2], Padding::Same, [8, 9]),
        Window::new([3, 3], [1, 1], [1, 1], Padding::Valid, [6, 6]),
        Window::new([3, 3], [3, 3], [1, 1], Padding::Same, [8, 8]),
    ];
    let of = |w: Option<Window>| Problem {
        w: w.expect("the window fits"),
        n: 3,
        ci: 5,
        co: 9,
        relu_in: true,
        seed: 7,
    };
    let deep = Problem { ci: 300, co: 33, n: 1, ..of(same([1, 1], [1, 1], [5, 7])) };
    let deep_windows = Problem { ci: 70, co: 270, n: 2, ..of(same([3, 3], [1, 1], [6, 6])) };
    // With parts of a vector, several channels are laid together: all of a group, or more than one group.
    let in_place = in_place.into_iter().map(of).flat_map(|problem| {
        [(16, 5, true), (32, 5, false), (1, 16, true), (1, 19, false), (2, 9, true), (8, 3, false)]
            .map(|(n, ci, relu_in)| Problem { n, ci, relu_in, ..problem.clone() })
    });
    windows.into_iter().map(of).chain([deep, deep_windows]).chain(in_place).collect()
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }
}

fn check_forward(problem: &Problem) -> TestCaseResult {
    let &Problem { ref w, n, ci, co, relu_in, seed } = problem;
    let x = problem.input(ci);
    let weight = numbers(seed ^ 1, co * ci * w.taps());
    let depthwise_weight = numbers(seed ^ 2, ci * w.taps());
    let expected = problem.conv(&x, &weight);
    let expected_depthwise = problem.depthwise(&x, &depthwise_weight);
    let (scale, shift) = (numbers(seed ^ 7, co), numbers(seed ^ 8, co));
    let previous = numbers(seed ^ 9, problem.output_len(co));
    // A scaled weight is rounded, and so is the product with it.
    let affine_sums = expected.iter().zip(&previous).enumerate().map(|(i, (sum, &previous))| {
        let channel = i / (n * w.output_area());
        let [scale, shift, previous] = [scale[channel], shift[channel], previous].map(f64::from);
        Sum {
            value: previous + scale * sum.value + shift,
            magnitude: previous.abs() + scale.abs() * sum.magnitude + shift.abs(),
            terms: 2 * sum.terms + 2,
        }
    });
    let affine_sums: Vec<Sum> = affine_sums.collect();
    let sizes = ConvSizes { window: w, n, ci, co, groups: 1 };
    for kernels in available() {
        let mut y = vec![f32::NAN; problem.output_len(co)];
        kernels.conv_forward(sizes, &x, &weight, relu_in, None, &mut y, false);
        assert_sums(&y, &expected, "conv")?;
        let mut y = previous.clone();
        let affine = Some(Affine { scale: &scale, shift: &shift });
        kernels.conv_forward(sizes, &x, &weight, relu_in, affine, &mut y, true);
        assert_sums(&y, &affine_sums, "affine conv")?;
        let mut y = vec![f32::NAN; problem.output_len(ci)];
        kernels.dwconv_forward(w, n, ci, &x, &depthwise_weight, relu_in, &mut y);
        assert_sums(&y, &expected_depthwise, "dwconv")?;
    }
    Ok(())
}

/// `<gradient, input> = <output gradient, linear map of the input>` and the like follow from the
/// definition; here the gradients are computed by the loops of the forward pass.
fn check_backward(problem: &Problem) -> TestCaseResult {
    let &Problem { ref w, n, ci, co, relu_in, seed } = problem;
    let (area, out_area, taps) = (w.input_area(), w.output_area(), w.taps());
    let x = problem.input(ci);
    let weight = numbers(seed ^ 1, co * ci * taps);
    let gy = numbers(seed ^ 3, problem.output_len(co));
    let previous = numbers(seed ^ 4, x.len());
    let previous_weight = numbers(seed ^ 5, weight.len());

    let start = |previous: &[f32]| -> Vec<Sum> {
        let with = |&value: &f32| {
            let mut sum = Sum::default();
            sum.add(f64::from(value));
            sum
        };
        previous.iter().map(with).collect()
    };
    let passes = |i: usize| !relu_in || x[i] > 0.0;

    // All channels mixed.
    let (mut gx, mut gweight) = (start(&previous), start(&previous_weight));
    for (o, i) in (0..co).flat_map(|o| (0..ci).map(move |i| (o, i))) {
        for image in 0..n {
            problem.for_each_tap(|p, q, tap| {
                let (p, q) = ((i * area + p) * n + image, (o * out_area + q) * n + image);
                let tap = (o * ci + i) * taps + tap;
                gweight[tap].add(f64::from(gy[q]) * problem.rectified(x[p]));
                if passes(p) {
                    gx[p].add(f64::from(gy[q]) * f64::from(weight[tap]));
                }
            });
        }
    }
    let sizes = ConvSizes { window: w, n, ci, co, groups: 1 };
    for kernels in available() {
        let mut found = previous.clone();
        kernels.conv_backward_data(sizes, &x, &weight, relu_in, &gy, &mut found, true);
        assert_sums(&found, &gx, "conv gx")?;
        let mut found = previous_weight.clone();
        kernels.conv_backward_weight(sizes, &x, relu_in, &gy, &mut found);
        assert_sums(&found, &gweight, "conv gweight")?;
    }

    // Each channel on its own.
    let weight = &weight[..ci * taps];
    let gy = numbers(seed ^ 6, problem.output_len(ci));
    let (mut gx, mut gweight) = (start(&previous), start(&previous_weight[..ci * taps]));
    for (c, image) in (0..ci).flat_map(|c| (0..n).map(move |image| (c, image))) {
        problem.for_each_tap(|p, q, tap| {
            let (p, q) = ((c * area + p) * n + image, (c * out_area + q) * n + image);
            gweight[c * taps + tap].add(f64::from(gy[q]) * problem.rectified(x[p]));
            if passes(p) {
                gx[p].add(f64::from(gy[q]) * f64::from(weight[c * taps + tap]));
            }
        });
    }
    for kernels in available() {
        let mut found = previous.clone();
        kernels.dwconv_backward_data(w, n, ci, &x, weight, relu_in, &gy, &mut found, true);
        assert_sums(&found, &gx, "dwconv gx")?;
        let mut found = previous_weight[..ci * taps].to_vec();
        kernels.dwconv_backward_weight(w, n, ci, &x, relu_in, &gy, &mut found);
        assert_sums(&found, &gweight, "dwconv gweight")?;
    }
    Ok(())
}

/// Without `accumulate`, the kernels write what they would add to zeros.
fn check_overwrite(problem: &Problem) -> TestCaseResult {
    let &Problem { ref w, n, ci, co, relu_in, seed } = problem;
    let x = problem.input(ci);
    let weight = numbers(seed ^ 1, co * ci * w.taps());
    let gy = numbers(seed ^ 3, problem.output_len(co));
    let gy_same = numbers(seed ^ 6, problem.output_len(ci));
    let sizes = ConvSizes { window: w, n, ci, co, groups: 1 };
    for k in available() {
        let both = |run: &dyn Fn(&mut [f32], bool)| -> TestCaseResult {
            let (mut written, mut added) = (vec![f32::NAN; x.len()], vec![0.0; x.len()]);
            run(&mut written, false);
            run(&mut added, true);
            prop_assert_eq!(written, added);
            Ok(())
        };
        both(&|gx, add| k.conv_backward_data(sizes, &x, &weight, relu_in, &gy, gx, add))?;
        let weight = &weight[..ci * w.taps()];
        both(&|gx, add| {
            k.dwconv_backward_data(w, n, ci, &x, weight, relu_in, &gy_same, gx, add);
        })?;
        both(&|gx, add| k.maxpool_backward(w, n, ci, &x, &gy_same, gx, add))?;
        both(&|gx, add| k.avgpool_backward(w, n, ci, &gy_same, gx, add))?;
    }
    Ok(())
}

fn check_pools(problem: &Problem) -> TestCaseResult {
    check_pools_with(problem, false)?;
    check_pools_with(problem, true)
}

/// With `zeros`, what is outside the map is zeros to the pools.
fn check_pools_with(problem: &Problem, zeros: bool) -> TestCaseResult {
    let &Problem { ref w, n, ci: c, seed, .. } = problem;
    let w = &Window { zeros, ..*w };
    let (area, out_area) = (w.input_area(), w.output_area());
    // Few distinct values, so that windows have several largest numbers.
    let x: Vec<f32> = problem.input(c).iter().map(|x| (x * 3.0).round()).collect();
    let gy: Vec<f32> =
        numbers(seed ^ 3, problem.output_len(c)).iter().map(|g| (g * 64.0).round()).collect();

    let at = |map: usize, area: usize, i: usize| (map / n * area + i) * n + map % n;

    let mut max = vec![f32::NEG_INFINITY; gy.len()];
    let mut winner = vec![None; gy.len()];
    let (mut sums, mut counts) = (vec![0.0f64; gy.len()], vec![0usize; gy.len()]);
    for map in 0..c * n {
        problem.for_each_covered(|i, o, _| {
            let (i, o) = (i.map(|i| at(map, area, i)), at(map, out_area, o));
            if i.is_none() && !zeros {
                return;
            }
            let x = i.map_or(0.0, |i| x[i]);
            if x > max[o] {
                (max[o], winner[o]) = (x, i);
            }
            sums[o] += f64::from(x);
            counts[o] += 1;
        });
    }
    let mut max_gx = vec![0.0; x.len()];
    let mut avg_gx = vec![0.0f64; x.len()];
    for (o, winner) in winner.iter().enumerate() {
        if let Some(i) = *winner {
            max_gx[i] += gy[o];
        }
    }
    for map in 0..c * n {
        problem.for_each_tap(|i, o, _| {
            let (i, o) = (at(map, area, i), at(map, out_area, o));
            avg_gx[i] += f64::from(gy[o]) / counts[o] as f64;
        });
    }
    for kernels in available() {
        let mut y = vec![f32::NAN; gy.len()];
        kernels.maxpool_forward(w, n, c, &x, &mut y);
        prop_assert_eq!(&y, &max);
        // Sums of small whole numbers are exact in any order.
        let mut gx = vec![f32::NAN; x.len()];
        kernels.maxpool_backward(w, n, c, &x, &gy, &mut gx, false);
        prop_assert_eq!(&gx, &max_gx);

        kernels.avgpool_forward(w, n, c, &x, &mut y, false);
        for (o, &y) in y.iter().enumerate() {
            let expected = if counts[o] > 0 { sums[o] / counts[o] as f64 } else { 0.0 };
            // The share of a tap is rounded, and the product with the exact sum.
            let error = (f64::from(y) - expected).abs();
            prop_assert!(error <= f64::from(f32::EPSILON) * expected.abs(), "{y} {expected}");
        }
        let mut added = gy.clone();
        kernels.avgpool_forward(w, n, c, &x, &mut added, true);
        prop_assert!(added.iter().zip(&gy).zip(&y).all(|((added, gy), y)| *added == gy + y));
        kernels.avgpool_backward(w, n, c, &gy, &mut gx, false);
        for (&found, expected) in gx.iter().zip(&avg_gx) {
            // At most 49 windows of gradients of at most 64, each rounded once and added once.
            let bound = f64::from(f32::EPSILON) * 64.0 * 98.0;
            prop_assert!((f64::from(found) - expected).abs() <= bound, "{found} {expected}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn convolutions_equal_their_definition(problem in problem()) {
        check_forward(&problem)?;
    }

    #[test]
    fn convolution_gradients_equal_their_definition(problem in problem()) {
        check_backward(&problem)?;
    }

    #[test]
    fn gradients_are_written_or_added(problem in problem()) {
        check_overwrite(&problem)?;
    }

    #[test]
    fn pools_equal_their_definition(problem in problem()) {
        check_pools(&problem)?;
    }

    #[test]
    fn dense_layers_equal_their_definition(
        n in 1..70usize, inputs in 1..40usize, outputs in 1..40usize, seed in any::<u64>(),
    ) {
        let x = numbers(seed, inputs * n);
        let weight = numbers(seed ^ 1, outputs * inputs);
        let bias = numbers(seed ^ 2, outputs);
        let gy = numbers(seed ^ 3, outputs * n);
        let mut y = vec![Sum::default(); outputs * n];
        let mut gx = vec![Sum::default(); inputs * n];
        let mut gweight = vec![Sum::default(); outputs * inputs];
        let mut gbias = vec![Sum::default(); outputs];
        for (o, image) in (0..outputs).flat_map(|o| (0..n).map(move |image| (o, image))) {
            y[o * n + image].add(f64::from(bias[o]));
            let g = f64::from(gy[o * n + image]);
            gbias[o].add(g);
            for i in 0..inputs {
                let (x, weight) = (f64::from(x[i * n + image]), f64::from(weight[o * inputs + i]));
                y[o * n + image].add(x * weight);
                gx[i * n + image].add(g * weight);
                gweight[o * inputs + i].add(g * x);
            }
        }
        for kernels in available() {
            let mut found = vec![f32::NAN; y.len()];
            kernels.dense_forward(n, inputs, outputs, &x, &weight, Some(&bias), &mut found);
            assert_sums(&found, &y, "y")?;
            let mut found_x = vec![f32::NAN; gx.len()];
            let mut found_weight = vec![0.0; gweight.len()];
            let mut found_bias = vec![0.0; gbias.len()];
            kernels.dense_backward(
                n, inputs, outputs, &x, &weight, &gy,
                Some((&mut found_x, false)), &mut found_weight, Some(&mut found_bias),
            );
            assert_sums(&found_x, &gx, "gx")?;
            assert_sums(&found_weight, &gweight, "gweight")?;
            assert_sums(&found_bias, &gbias, "gbias")?;
        }
    }

    #[test]
    fn batch_norm_equals_its_definition(
        c in 1..5usize, row in 1..300usize, offset in prop_oneof![Just(0.0f32), Just(3000.0)],
        seed in any::<u64>(),
    ) {
        let eps = 1e-3f32;
        let x: Vec<f32> = numbers(seed, c * row).iter().map(|x| x + offset).collect();
        let (gamma, beta) = (numbers(seed ^ 1, c), numbers(seed ^ 2, c));
        for kernels in available() {
            let (mut y, mut eval) = (vec![f32::NAN; c * row], vec![f32::NAN; c * row]);
            let (mut mean, mut inv_std) = (vec![f32::NAN; c], vec![f32::NAN; c]);
            kernels.bn_forward_train(
                c, row, &x, &gamma, &beta, eps, &mut y, false, &mut mean, &mut inv_std,
            );
            let (mut running_mean, mut running_var) = (vec![0.5; c], vec![2.0; c]);
            kernels.bn_update_running(
                &mean, &inv_std, eps, row, 0.1, &mut running_mean, &mut running_var,
            );
            kernels.bn_forward_eval(
                c, row, &x, &gamma, &beta, &running_mean, &running_var, eps, &mut eval, false,
            );
            let previous = numbers(seed ^ 3, c * row);
            let (mut added, mut unused) = (previous.clone(), mean.clone());
            kernels.bn_forward_train(
                c, row, &x, &gamma, &beta, eps, &mut added, true, &mut unused, &mut inv_std,
            );
            let sum = |i: usize, y: &[f32]| previous[i] + y[i];
            prop_assert!((0..c * row).all(|i| added[i] == sum(i, &y)));
            added.copy_from_slice(&previous);
            kernels.bn_forward_eval(
                c, row, &x, &gamma, &beta, &running_mean, &running_var, eps, &mut added, true,
            );
            prop_assert!((0..c * row).all(|i| added[i] == sum(i, &eval)));
            let (mut scale, mut shift) = (vec![f32::NAN; c], vec![f32::NAN; c]);
            kernels.bn_affine(
                &gamma, &beta, &running_mean, &running_var, eps, &mut scale, &mut shift,
            );
            for i in 0..c * row {
                let (scale, shift) = (scale[i / row], shift[i / row]);
                let magnitude = (scale * x[i]).abs() + shift.abs() + beta[i / row].abs();
                let error = (scale * x[i] + shift - eval[i]).abs();
                prop_assert!(error <= 4.0 * f32::EPSILON * magnitude, "{error} of {magnitude}");
            }
            for channel in 0..c {
                let x: Vec<f64> = x[channel * row..][..row].iter().map(|&x| f64::from(x)).collect();
                let expected_mean = x.iter().sum::<f64>() / row as f64;
                let centered = x.iter().map(|x| (x - expected_mean).powi(2)).sum::<f64>();
                let variance = centered / row as f64;
                let unbiased = centered / (row.max(2) - 1) as f64;
                let deviation = (variance + f64::from(eps)).sqrt();
                // The mean is stored in f32, which moves all results by its rounding.
                let rounding = f64::from(f32::EPSILON) * (1.0 + f64::from(offset));
                let close = |found: f32, expected: f64, scale: f64| {
                    let error = (f64::from(found) - expected).abs();
                    prop_assert!(error <= 4.0 * scale, "expected {expected}, found {found}");
                    Ok(())
                };
                close(mean[channel], expected_mean, rounding)?;
                close(inv_std[channel] * deviation as f32, 1.0, f64::from(f32::EPSILON))?;
                close(running_mean[channel], 0.9 * 0.5 + 0.1 * expected_mean, rounding)?;
                let expected_var = 0.9 * 2.0 + 0.1 * unbiased;
                close(running_var[channel], expected_var, 4.0 * f64::from(f32::EPSILON))?;
                let (gamma, beta) = (f64::from(gamma[channel]), f64::from(beta[channel]));
                for (i, x) in x.iter().enumerate() {
                    let expected = (x - expected_mean) / deviation * gamma + beta;
                    let scale = rounding / deviation + f64::from(f32::EPSILON) * 4.0;
                    close(y[channel * row + i], expected, scale)?;
                    let deviation = (f64::from(running_var[channel]) + f64::from(eps)).sqrt();
                    let expected = (x - f64::from(running_mean[channel])) / deviation * gamma + beta;
                    close(eval[channel * row + i], expected, rounding / deviation + scale)?;
                }
            }
        }
    }

    #[test]
    fn convolutions_in_groups_equal_their_definition(
        problem in problem(), groups in 1..5usize, inputs in 1..4usize, outputs in 1..4usize,
    ) {
        let problem = Problem { ci: groups * inputs, co: groups * outputs, ..problem };
        let Problem { ref w, n, ci, co, relu_in, seed } = problem;
        let x = problem.input(ci);
        let weight = numbers(seed ^ 1, co * inputs * w.taps());
        let gy = numbers(seed ^ 3, problem.output_len(co));
        let whole = problem.spread(groups, &weight);
        let expected = problem.conv(&x, &whole);
        let sizes = ConvSizes { window: w, n, ci, co, groups: 1 };
        let grouped = ConvSizes { groups, ..sizes };
        for kernels in available() {
            let mut y = vec![f32::NAN; gy.len()];
            kernels.conv_forward(grouped, &x, &weight, relu_in, None, &mut y, false);
            assert_sums(&y, &expected, "y")?;

            // The gradients of all channels at once, whose definition is tested above. A sum of terms of at
            // most 1 is off by at most a rounding of the sum for each of them.
            let close = |found: &[f32], expected: &[f32], terms: usize| {
                let bound = f32::EPSILON * (terms * terms) as f32;
                let pairs = found.iter().zip(expected);
                let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                prop_assert!(error <= bound, "off by {error}, more than {bound}");
                Ok(())
            };
            let (mut found, mut expected) = (numbers(seed ^ 4, x.len()), numbers(seed ^ 4, x.len()));
            kernels.conv_backward_data(grouped, &x, &weight, relu_in, &gy, &mut found, true);
            kernels.conv_backward_data(sizes, &x, &whole, relu_in, &gy, &mut expected, true);
            close(&found, &expected, co * w.taps() + 1)?;
            let mut found = vec![0.0; weight.len()];
            let mut all = vec![0.0; whole.len()];
            kernels.conv_backward_weight(grouped, &x, relu_in, &gy, &mut found);
            kernels.conv_backward_weight(sizes, &x, relu_in, &gy, &mut all);
            // Where the spread weight of ones is not zero lie the grouped ones, in order.
            let inside = problem.spread(groups, &vec![1.0; weight.len()]);
            let kept: Vec<f32> =
                all.iter().zip(inside).filter(|(_, inside)| *inside > 0.0).map(|(g, _)| *g).collect();
            prop_assert_eq!(found.len(), kept.len());
            close(&found, &kept, n * w.output_area() + 1)?;
        }
    }

    #[test]
    fn norms_of_images_equal_their_definition(
        channels in 1..5usize, groups in 1..4usize, n in 1..4usize, area in 1..40usize,
        offset in prop_oneof![Just(0.0f32), Just(3000.0)], seed in any::<u64>(),
    ) {
        let c = channels * groups;
        let sizes = GroupSizes { n, c, area, groups };
        let eps = 1e-3f32;
        let x: Vec<f32> = numbers(seed, c * n * area).iter().map(|x| x + offset).collect();
        let (gamma, beta) = (numbers(seed ^ 1, c), numbers(seed ^ 2, c));
        for kernels in available() {
            let (mut y, mut moments) = (vec![f32::NAN; x.len()], vec![f32::NAN; 2 * groups * n]);
            kernels.group_norm_forward(sizes, &x, &gamma, &beta, eps, &mut moments, &mut y);
            for (group, image) in (0..groups).flat_map(|g| (0..n).map(move |i| (g, i))) {
                let at = |k: usize| {
                    let channel = group * channels + k / area;
                    (channel, (channel * area + k % area) * n + image)
                };
                let values: Vec<f64> =
                    (0..channels * area).map(|k| f64::from(x[at(k).1])).collect();
                let count = values.len() as f64;
                let mean = values.iter().sum::<f64>() / count;
                let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
                let deviation = (variance + f64::from(eps)).sqrt();
                // The mean is stored in f32, which moves all results by its rounding.
                let rounding = f64::from(f32::EPSILON) * (1.0 + f64::from(offset));
                let found = f64::from(moments[group * n + image]);
                prop_assert!((found - mean).abs() <= rounding, "mean {mean}, found {found}");
                let found = f64::from(moments[(groups + group) * n + image]);
                let error = (found * deviation - 1.0).abs();
                prop_assert!(error <= 2.0 * f64::from(f32::EPSILON), "deviation {deviation}");
                for (k, x) in values.iter().enumerate() {
                    let (channel, index) = at(k);
                    let (gamma, beta) = (f64::from(gamma[channel]), f64::from(beta[channel]));
                    let expected = (x - mean) / deviation * gamma + beta;
                    let error = (f64::from(y[index]) - expected).abs();
                    let scale = rounding / deviation + f64::from(f32::EPSILON) * 4.0;
                    prop_assert!(error <= 4.0 * scale, "{expected}, found {}", y[index]);
                }
            }
        }
    }

    #[test]
    fn shuffles_and_mixes_equal_their_definition(
        rows in 1..5usize, columns in 1..5usize, n in 1..4usize, area in 1..20usize,
        seed in any::<u64>(),
    ) {
        let (c, row) = (rows * columns, n * area);
        let (a, b) = (numbers(seed, c * row), numbers(seed ^ 1, c * row));
        let shares: Vec<f32> = numbers(seed ^ 2, n).iter().map(|share| share.abs()).collect();
        for kernels in available() {
            let mut shuffled = vec![f32::NAN; a.len()];
            kernels.shuffle(rows, c, row, &a, &mut shuffled, false);
            for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let [from, to] = [i * columns + j, j * rows + i].map(|channel| channel * row);
                prop_assert_eq!(&shuffled[to..to + row], &a[from..from + row]);
            }
            // The way back of its gradient.
            let mut back = b.clone();
            kernels.shuffle(columns, c, row, &shuffled, &mut back, true);
            let sums: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            prop_assert_eq!(back, sums);

            let (mut y, mut gx) = (vec![f32::NAN; a.len()], b.clone());
            kernels.mix_forward(area, &shares, &a, &b, &mut y);
            kernels.scale_images(area, &shares, &a, &mut gx, true);
            for i in 0..a.len() {
                let share = shares[i % n];
                prop_assert_eq!(y[i], a[i] * share + b[i] * (1.0 - share));
                prop_assert_eq!(gx[i], b[i] + a[i] * share);
            }
        }
    }

    #[test]
    fn products_of_maps_equal_their_definition(
        c in 1..4usize, n in 1..5usize, area in 1..40usize, broadcast in 0..3usize,
        seed in any::<u64>(),
    ) {
        let area_a = if broadcast == 1 { 1 } else { area };
        let area_b = if broadcast == 2 { 1 } else { area };
        let a = numbers(seed, c * n * area_a);
        let b = numbers(seed ^ 1, c * n * area_b);
        let gy = numbers(seed ^ 2, c * n * area);
        let previous = numbers(seed ^ 3, a.len());
        let mut ga: Vec<Sum> = vec![Sum::default(); a.len()];
        let mut gb: Vec<Sum> = vec![Sum::default(); b.len()];
        for (sum, &value) in ga.iter_mut().zip(&previous) {
            sum.add(f64::from(value));
        }
        let mut y = Vec::new();
        for (i, &gy) in gy.iter().enumerate() {
            let of_map = i / (area * n) * n + i % n;
            let i_a = if area_a == area { i } else { of_map };
            let i_b = if area_b == area { i } else { of_map };
            y.push(a[i_a] * b[i_b]);
            ga[i_a].add(f64::from(gy) * f64::from(b[i_b]));
            gb[i_b].add(f64::from(gy) * f64::from(a[i_a]));
        }
        for kernels in available() {
            let mut found = vec![f32::NAN; y.len()];
            kernels.mul_forward(c, n, area_a, area_b, &a, &b, &mut found);
            prop_assert_eq!(&found, &y);
            let (mut found_a, mut found_b) = (previous.clone(), vec![f32::NAN; b.len()]);
            kernels.mul_backward(
                c, n, area_a, area_b, &a, &b, &gy,
                Some((&mut found_a, true)), Some((&mut found_b, false)),
            );
            assert_sums(&found_a, &ga, "ga")?;
            assert_sums(&found_b, &gb, "gb")?;
        }
    }

    #[test]
    fn elementwise_kernels_equal_their_definition(len in 0..100usize, seed in any::<u64>()) {
        let (a, b) = (numbers(seed, len), numbers(seed ^ 1, len));
        let wide: Vec<f32> = a.iter().map(|x| x * 110.0).collect();
        for kernels in available() {
            let run = |f: &dyn Fn(&mut [f32])| {
                let mut y = b.clone();
                f(&mut y);
                y
            };
            let pairs = || a.iter().zip(&b);
            let relu: Vec<f32> = a.iter().map(|x| x.max(0.0)).collect();
            prop_assert_eq!(run(&|y| kernels.relu_forward(&a, y)), relu);
            let clipped: Vec<f32> = wide.iter().map(|x| x.clamp(0.0, 6.0)).collect();
            prop_assert_eq!(run(&|y| kernels.relu6_forward(&wide, y)), clipped);
            let passed = wide.iter().zip(&a).map(|(x, g)| if *x > 0.0 && *x < 6.0 { *g } else { 0.0 });
            let passed: Vec<f32> = passed.collect();
            prop_assert_eq!(run(&|gx| kernels.relu6_backward(&wide, &a, gx, false)), passed);
            let sum: Vec<f32> = pairs().map(|(a, b)| a + b).collect();
            prop_assert_eq!(&run(&|y| kernels.add_forward(&a, &b, y)), &sum);
            prop_assert_eq!(&run(&|y| kernels.copy_or_add(&a, y, true)), &sum);
            prop_assert_eq!(&run(&|y| kernels.copy_or_add(&a, y, false)), &a);
            for (&x, y) in wide.iter().zip(run(&|y| kernels.sigmoid_forward(&wide, y))) {
                let expected = 1.0 / (1.0 + f64::from(-x).exp());
                // Three units in the last place; below 1e-38, numbers lose digits.
                let error = (f64::from(y) - expected).abs();
                prop_assert!(error <= expected * 3.6e-7 + 1e-38, "{x}: {y} {expected}");
            }
        }
    }

    #[test]
    fn means_and_moves_equal_their_definition(
        c in 1..4usize, n in 1..5usize, h in 1..9usize, w in 1..9usize, seed in any::<u64>(),
    ) {
        let area = h * w;
        let x = numbers(seed, c * n * area);
        let index = |map: usize, i: usize, j: usize| (map / n * area + i * w + j) * n + map % n;
        let at = |map: usize, i: usize, j: usize| {
            if i < h && j < w { x[index(map, i, j)] } else { 0.0 }
        };
        for kernels in available() {
            let mut mean = vec![f32::NAN; c * n];
            kernels.gap_forward(c, n, area, &x, &mut mean);
            for (map, &mean) in mean.iter().enumerate() {
                let values = (0..area).map(|p| f64::from(at(map, p / w, p % w)));
                let error = (f64::from(mean) * area as f64 - values.sum::<f64>()).abs();
                prop_assert!(error <= f64::from(f32::EPSILON) * area as f64);
            }
            let mut y = vec![f32::NAN; x.len()];
            kernels.shift_forward(n, c, h, w, &x, &mut y);
            let mut images = vec![f32::NAN; x.len()];
            kernels.chwn_to_nchw(n, c * area, &x, &mut images);
            for (map, i, j) in (0..c * n * area).map(|p| (p / area, p % area / w, p % w)) {
                prop_assert_eq!(y[index(map, i, j)], at(map, i + 1, j + 1));
                let side_by_side = map % n * c + map / n;
                prop_assert_eq!(images[side_by_side * area + i * w + j], at(map, i, j));
            }
            let mut back = vec![f32::NAN; x.len()];
            kernels.nchw_to_chwn(n, c * area, &images, &mut back);
            prop_assert_eq!(&back, &x);
        }
    }
}

#[test]
fn named_windows_equal_their_definition() {
    for problem in named_problems() {
        let checks = [check_forward, check_backward, check_overwrite, check_pools];
        for check in checks {
            if let Err(failure) = check(&problem) {
                panic!("{problem:?}: {failure}");
            }
        }
    }
}

#[test]
fn max_pool_keeps_nan_and_infinities() {
    let w = Window::new([2, 2], [1, 1], [1, 1], Padding::Valid, [2, 4]).expect("fits");
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    // Windows: columns 0-1, 1-2, 2-3.
    let x = [-inf, -inf, nan, inf, -inf, -inf, 1.0, nan];
    for kernels in available() {
        let mut y = [0.0; 3];
        kernels.maxpool_forward(&w, 1, 1, &x, &mut y);
        assert_eq!(y[0], -inf);
        assert!(y[1].is_nan() && y[2].is_nan());
        // The first NaN wins; a window of only negative infinities drops its gradient.
        let mut gx = [f32::NAN; 8];
        kernels.maxpool_backward(&w, 1, 1, &x, &[1.0, 2.0, 4.0], &mut gx, false);
        assert_eq!(gx, [0.0, 0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}

#[test]
fn relu6_keeps_nan_and_its_kinks_pass_nothing() {
    for kernels in available() {
        let x = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY, 0.0, 6.0, 5.5];
        let (mut y, mut gx) = ([0.0; 6], [1.0; 6]);
        kernels.relu6_forward(&x, &mut y);
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [0.0, 6.0, 0.0, 6.0, 5.5]);
        kernels.relu6_backward(&x, &[2.0; 6], &mut gx, false);
        assert_eq!(gx, [0.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
    }
}

#[test]
fn relu_keeps_nan() {
    for kernels in available() {
        let mut y = [0.0; 3];
        kernels.relu_forward(&[f32::NAN, f32::NEG_INFINITY, f32::INFINITY], &mut y);
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [0.0, f32::INFINITY]);
    }
}

#[test]
fn dropout_drops_its_rate_and_depends_on_the_seed() {
    let x = vec![1.0; 100_000];
    for kernels in available() {
        let run = |seed| {
            let mut y = vec![f32::NAN; x.len()];
            kernels.dropout_forward(0.25, seed, &x, &mut y);
            y
        };
        let y = run(5);
        assert!(y.iter().all(|&y| y == 0.0 || y == 1.0 / 0.75));
        let dropped = |y: &[f32]| y.iter().filter(|&&y| y == 0.0).count() as f64;
        // Six standard deviations of a binomial count, sqrt(100000 * 0.25 * 0.75) = 137.
        assert!((dropped(&y) - 25_000.0).abs() < 6.0 * 137.0);
        // Other seeds drop independently: both drop a number with probability 1/16.
        for seed in [6, 5 | 1 << 32, 5 | 1 << 63] {
            let both: Vec<f32> = y.iter().zip(run(seed)).map(|(a, b)| a + b).collect();
            assert!((dropped(&both) - 6_250.0).abs() < 6.0 * 77.0, "seed {seed}");
        }
        // Neighbors are independent, too.
        let pairs: Vec<f32> = y.windows(2).map(|pair| pair[0] + pair[1]).collect();
        assert!((dropped(&pairs) - 6_250.0).abs() < 6.0 * 90.0);
        let mut whole = vec![0.0; x.len()];
        kernels.dropout_forward(0.0, 5, &x, &mut whole);
        assert_eq!(whole, x);
    }
}

/// What every kernel gives for one large problem, so that work is split among threads.
fn everything(kernels: Kernels) -> Vec<Vec<f32>> {
    let mut results = Vec::new();
    for (kernel, stride) in [([1, 1], [1, 1]), ([1, 1], [2, 2]), ([3, 3], [1, 1]), ([5, 5], [2, 2])]
    {
        let w = Window::new(kernel, stride, [1, 1], Padding::Same, [16, 16]).expect("fits");
        let (n, ci, co) = (20, 18, 20);
        let x = numbers(1, ci * n * w.input_area());
        let weight = numbers(2, co * ci * w.taps());
        let gy = numbers(3, co * n * w.output_area());
        let mut y = vec![0.0; gy.len()];
        let mut gx = vec![0.0; x.len()];
        let mut gweight = vec![0.0; weight.len()];
        let sizes = ConvSizes { window: &w, n, ci, co, groups: 1 };
        kernels.conv_forward(sizes, &x, &weight, true, None, &mut y, false);
        kernels.conv_backward_data(sizes, &x, &weight, true, &gy, &mut gx, false);
        kernels.conv_backward_weight(sizes, &x, true, &gy, &mut gweight);
        results.extend([y, gx.clone(), gweight]);

        let weight = numbers(2, ci * w.taps());
        let gy = numbers(3, ci * n * w.output_area());
        let mut y = vec![0.0; gy.len()];
        let mut gweight = vec![0.0; weight.len()];
        kernels.dwconv_forward(&w, n, ci, &x, &weight, true, &mut y);
        results.push(y.clone());
        kernels.dwconv_backward_data(&w, n, ci, &x, &weight, true, &gy, &mut gx, false);
        kernels.dwconv_backward_weight(&w, n, ci, &x, true, &gy, &mut gweight);
        results.extend([gx.clone(), gweight]);
        kernels.maxpool_forward(&w, n, ci, &x, &mut y);
        kernels.maxpool_backward(&w, n, ci, &x, &gy, &mut gx, false);
        results.extend([y.clone(), gx.clone()]);
        kernels.avgpool_forward(&w, n, ci, &x, &mut y, false);
        kernels.avgpool_backward(&w, n, ci, &gy, &mut gx, false);
        results.extend([y, gx]);
    }
    let (c, row) = (12, 10_000);
    let (x, gy) = (numbers(4, c * row), numbers(5, c * row));
    let (gamma, beta) = (numbers(6, c), numbers(7, c));
    let (mut y, mut mean, mut inv_std) = (vec![0.0; c * row], vec![0.0; c], vec![0.0; c]);
    kernels.bn_forward_train(
        c,
        row,
        &x,
        &gamma,
        &beta,
        1e-3,
        &mut y,
        false,
        &mut mean,
        &mut inv_std,
    );
    let (mut gx, mut ggamma, mut gbeta) = (y.clone(), vec![0.0; c], vec![0.0; c]);
    kernels.bn_backward(
        c,
        row,
        &x,
        &gy,
        &gamma,
        &mean,
        &inv_std,
        &mut gx,
        true,
        &mut ggamma,
        &mut gbeta,
    );
    results.extend([y, mean, inv_std, gx, ggamma, gbeta]);
    let mut y = vec![0.0; x.len()];
    kernels.dropout_forward(0.5, 9, &x, &mut y);
    results.push(y.clone());
    kernels.sigmoid_forward(&x, &mut y);
    results.push(y.clone());
    for groups in [1, c] {
        let sizes = GroupSizes { n: 100, c, area: row / 100, groups };
        let (mut y, mut moments) = (vec![0.0; x.len()], vec![0.0; 2 * groups * 100]);
        kernels.group_norm_forward(sizes, &x, &gamma, &beta, 1e-3, &mut moments, &mut y);
        let (mut gx, mut ggamma, mut gbeta) = (y.clone(), vec![0.0; c], vec![0.0; c]);
        let (ggamma_, gbeta_) = (&mut ggamma, &mut gbeta);
        kernels
            .group_norm_backward(sizes, &x, &gy, &gamma, &moments, &mut gx, true, ggamma_, gbeta_);
        results.extend([y, moments, gx, ggamma, gbeta]);
    }
    let shares: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
    kernels.mix_forward(row / 100, &shares, &x, &gy, &mut y);
    results.push(y.clone());
    kernels.scale_images(row / 100, &shares, &gy, &mut y, true);
    results.push(y.clone());
    kernels.relu6_forward(&x, &mut y);
    results.push(y.clone());
    kernels.shuffle(3, c, row, &x, &mut y, false);
    results.push(y);
    let mut mean = vec![0.0; c * 100];
    kernels.gap_forward(c, 100, row / 100, &x, &mut mean);
    results.push(mean);
    results
}

/// What grouped convolutions give, few groups of much work and many of little.
fn in_groups(kernels: Kernels) -> Vec<Vec<f32>> {
    let w = Window::new([3, 3], [1, 1], [1, 1], Padding::Same, [16, 16]).expect("fits");
    let (n, ci, co) = (20, 16, 32);
    let (x, gy) = (numbers(1, ci * n * w.input_area()), numbers(3, co * n * w.output_area()));
    let mut results = Vec::new();
    for groups in [2, 16] {
        let weight = numbers(2, co * ci / groups * w.taps());
        let (mut y, mut gx) = (vec![0.0; gy.len()], vec![0.0; x.len()]);
        let mut gweight = vec![0.0; weight.len()];
        let grouped = ConvSizes { window: &w, n, ci, co, groups };
        kernels.conv_forward(grouped, &x, &weight, true, None, &mut y, false);
        kernels.conv_backward_data(grouped, &x, &weight, true, &gy, &mut gx, false);
        kernels.conv_backward_weight(grouped, &x, true, &gy, &mut gweight);
        results.extend([y, gx, gweight]);
    }
    results
}

#[test]
fn threads_do_not_change_a_bit() {
    for kernels in available() {
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("starts");
            pool.install(|| everything(kernels))
        });
        assert!(one == two && two == three, "{}", kernels.isa());
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("starts");
            pool.install(|| in_groups(kernels))
        });
        assert!(one == two && two == three, "{}", kernels.isa());
    }
}

#[test]
fn instruction_sets_agree() {
    let all: Vec<_> =
        available().into_iter().map(|kernels| (kernels, everything(kernels))).collect();
    let (_, portable) = &all[0];
    for (kernels, results) in &all[1..] {
        for (i, (found, expected)) in results.iter().zip(portable).enumerate() {
            // The first six results of each of the four windows are sums of products.
            let is_fused = i < 40 && i % 10 < 6;
            assert!(is_fused || found == expected, "{}: result {i} differs", kernels.isa());
        }
        assert!(kernels.isa() < Isa::Avx512 || *results == all[1].1, "fused products differ");
    }
}
