//! The controller against a plain implementation in double precision.

use super::*;
use crate::space::{Decision, When};

/// Five decisions: the third is active for option 1 of the first, the fourth for options 0 and 2 of the
/// third; the options of the first and the last are weighted.
fn space() -> SearchSpace {
    let decision = |label: &str, options: usize, when: Option<(usize, &[usize])>| Decision {
        when: when.map(|(decision, options)| When { decision, options: options.to_vec() }),
        ..Decision::new(label, (0..options).map(|option| option.to_string()).collect())
    };
    let weighted =
        |decision: Decision, weights: &[u64]| Decision { weights: weights.to_vec(), ..decision };
    let decisions = vec![
        weighted(decision("a", 3, None), &[1, 3, 2]),
        decision("b", 2, None),
        decision("c", 4, Some((0, &[1]))),
        decision("d", 2, Some((2, &[0, 2]))),
        weighted(decision("e", 5, None), &[1, 1, 4, 1, 2]),
    ];
    SearchSpace { name: "test".into(), decisions }
}

fn genotypes(choices: &[[usize; 5]]) -> Vec<Genotype> {
    choices.iter().map(|choices| Genotype { choices: choices.to_vec() }).collect()
}

/// Weights as `parameters_mut` orders them, read from a flat vector.
struct Weights<'a>(&'a [f64]);

impl<'a> Weights<'a> {
    fn take(&mut self, rows: usize, columns: usize) -> Vec<&'a [f64]> {
        let (head, tail) = self.0.split_at(rows * columns);
        self.0 = tail;
        head.chunks(columns).collect()
    }
}

/// `x M` for a row vector.
fn product(x: &[f64], matrix: &[&[f64]]) -> Vec<f64> {
    (0..matrix[0].len()).map(|j| x.iter().zip(matrix).map(|(x, row)| x * row[j]).sum()).collect()
}

/// Sum of log-probabilities and sum of entropies of one genotype, inactive decisions skipped.
fn reference(space: &SearchSpace, weights: &[f64], genotype: &Genotype) -> (f64, f64) {
    let mut weights = Weights(weights);
    let mut x = weights.take(1, UNITS)[0].to_vec();
    let gates: Vec<_> = (0..4)
        .map(|_| (weights.take(UNITS, UNITS), weights.take(UNITS, UNITS), weights.take(1, UNITS)))
        .collect();
    let (mut h, mut c) = (vec![0.0; UNITS], vec![0.0; UNITS]);
    let (mut log_prob, mut entropy) = (0.0, 0.0);
    for (index, decision) in space.decisions.iter().enumerate() {
        let options = decision.options.len();
        let (weight, bias) = (weights.take(UNITS, options), weights.take(1, options));
        let embedding = weights.take(options, UNITS);
        if !space.is_active(index, &genotype.choices) {
            continue;
        }
        let z: Vec<Vec<f64>> = gates
            .iter()
            .map(|(input, recurrent, bias)| {
                let (from_x, from_h) = (product(&x, input), product(&h, recurrent));
                (0..UNITS).map(|u| from_x[u] + from_h[u] + bias[0][u]).collect()
            })
            .collect();
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        for u in 0..UNITS {
            c[u] = sigmoid(z[1][u]) * c[u] + sigmoid(z[0][u]) * z[2][u].tanh();
            h[u] = sigmoid(z[3][u]) * c[u].tanh();
        }
        let logits: Vec<f64> = product(&h, &weight)
            .iter()
            .zip(bias[0])
            .zip(&decision.weights)
            .map(|((logit, bias), &weight)| logit + bias + (weight as f64).ln())
            .collect();
        let normalizer = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        log_prob += logits[genotype.choices[index]] - normalizer;
        entropy -= logits.iter().map(|l| (l - normalizer).exp() * (l - normalizer)).sum::<f64>();
        x = embedding[genotype.choices[index]].to_vec();
    }
    (log_prob, entropy)
}

/// A policy with weights large enough that every gate and softmax is away from its linear range.
fn policy() -> (Policy, Vec<f64>) {
    let mut policy = Policy::new(space(), 3);
    let mut flat = Vec::new();
    for parameter in policy.parameters_mut() {
        let values: Vec<f32> = parameter.as_vec().iter().map(|value| value * 4.0).collect();
        parameter.copy_from(&values);
        flat.extend(values.into_iter().map(f64::from));
    }
    (policy, flat)
}

const CASES: [[usize; 5]; 4] = [[0, 1, 0, 0, 4], [1, 0, 0, 1, 2], [1, 1, 2, 1, 0], [2, 0, 0, 0, 1]];

#[test]
fn log_probabilities_and_entropies_equal_the_reference() {
    let (policy, flat) = policy();
    let genotypes = genotypes(&CASES);
    // Together, where inactive decisions are masked, and alone, where they are skipped.
    let together: Vec<&Genotype> = genotypes.iter().collect();
    let mut batches = vec![together];
    batches.extend(genotypes.iter().map(|genotype| vec![genotype]));
    for batch in batches {
        let unrolled = policy.evaluate(&mut NoneTape, &batch);
        let column_sums = |matrix: &Matrix| {
            let values = matrix.as_vec();
            (0..batch.len())
                .map(|episode| values.iter().skip(episode).step_by(batch.len()).sum::<f32>())
                .collect::<Vec<_>>()
        };
        let (log_prob, entropy) = (column_sums(&unrolled.log_prob), column_sums(&unrolled.entropy));
        for (episode, genotype) in batch.iter().enumerate() {
            let expected = reference(&policy.space, &flat, genotype);
            assert!((f64::from(log_prob[episode]) - expected.0).abs() < 1e-5, "{genotype:?}");
            assert!((f64::from(entropy[episode]) - expected.1).abs() < 1e-5, "{genotype:?}");
        }
    }
}

#[test]
fn gradients_equal_finite_differences_of_the_reference() {
    let (mut policy, flat) = policy();
    let genotypes = genotypes(&CASES);
    let batch: Vec<&Genotype> = genotypes.iter().collect();
    // A different weight for each episode and for the two outputs, so that no mix-up cancels out.
    let scale = [1.0, -0.5, 2.0, 0.7];
    let loss = |flat: &[f64]| {
        let terms = genotypes.iter().zip(scale).map(|(genotype, scale)| {
            let (log_prob, entropy) = reference(&policy.space, flat, genotype);
            scale * (log_prob + 3.0 * entropy)
        });
        terms.sum::<f64>()
    };

    let mut tape = Recording::default();
    let unrolled = policy.evaluate(&mut tape, &batch);
    let shape = *unrolled.log_prob.shape();
    let scales = scale.map(|value| value as f32).repeat(shape.0);
    let scales: Matrix = policy.device.tensor_from_vec(scales, shape);
    let entropy = on(&mut tape, |t| unrolled.entropy.put_tape(t) * 3.0);
    let total = on(&mut tape, |t| unrolled.log_prob.put_tape(t) + entropy);
    let mut gradients = (total.put_tape(tape) * scales).sum::<(), _>().backward();

    let mut offset = 0;
    let mut worst: f64 = 0.0;
    let found: Vec<Vec<f32>> = policy
        .clone()
        .parameters_mut()
        .into_iter()
        .map(|parameter| gradients.get_or_alloc_mut(&*parameter).unwrap().to_vec())
        .collect();
    for gradient in found {
        // Nine entries of each tensor, spread over it; every tensor kind is hit.
        for entry in (0..gradient.len()).step_by((gradient.len() / 9).max(1)) {
            let mut moved = flat.clone();
            moved[offset + entry] += 1e-5;
            let up = loss(&moved);
            moved[offset + entry] -= 2e-5;
            let expected = (up - loss(&moved)) / 2e-5;
            let error = (f64::from(gradient[entry]) - expected).abs();
            assert!(error < 1e-4 * (1.0 + expected.abs()), "{offset}+{entry}: {expected}");
            worst = worst.max(expected.abs());
        }
        offset += gradient.len();
    }
    assert_eq!(offset, flat.len());
    assert!(worst > 0.1, "the check saw only vanishing gradients");
    drop(policy.parameters_mut());
}

#[test]
fn frequencies_of_samples_are_the_probabilities() {
    let (policy, flat) = policy();
    const N: usize = 4000;
    let mut rngs: Vec<Pcg64> = (0..N as u64).map(|n| stream(5, Purpose::Sample, n)).collect();
    let sampled = policy.sample(&mut rngs);
    assert!(sampled.genotypes.iter().all(|genotype| policy.space.contains(genotype)));
    for genotype in genotypes(&CASES) {
        let p = reference(&policy.space, &flat, &genotype).0.exp();
        let hits = sampled.genotypes.iter().filter(|&sample| *sample == genotype).count();
        // Five standard deviations of a binomial count, for four fixed cases.
        let tolerance = 5.0 * (N as f64 * p * (1.0 - p)).sqrt();
        assert!((hits as f64 - N as f64 * p).abs() < tolerance, "{genotype:?}: {hits}, p {p}");
    }
}

#[test]
fn a_draw_takes_the_option_that_holds_the_number() {
    let log_probs = [0.5_f32.ln(), 0.25_f32.ln(), 0.25_f32.ln()];
    let drawn = [0.0, 0.49, 0.51, 0.74, 0.76, 0.999].map(|u| draw(&log_probs, u));
    assert_eq!(drawn, [0, 0, 1, 1, 2, 2]);
    assert_eq!(draw(&[-1e-3], 0.999_999), 0);
}
