//! The controller: an LSTM that takes the decisions of a search space one after another.
//!
//! As in the NASNet paper (appendix A): one layer of 100 units, one softmax for each decision, weights
//! uniform in [-0.1, 0.1]. What the paper leaves open is done as in ENAS: a start token is the first
//! input, and the embedding of the option just chosen is the next one; each decision has an output layer and an
//! embedding table of its own. The logarithms of an option's weight are added to its logits, so that a
//! controller that has learned nothing yet draws by weight.
//!
//! All episodes of a batch advance together, decision by decision. Where a decision is inactive in an
//! episode, that episode's state and next input stay as they are, which is the same as skipping the
//! step, and its log-probability and entropy are zero; a decision inactive in all of them is skipped.
//!
//! # Shapes
//! E episodes, D decisions, O options of one decision, U = [`UNITS`].
//!
//! # Source
//! Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition"; Pham et al.,
//! "Efficient Neural Architecture Search via Parameter Sharing".

use std::mem;

use dfdx::prelude::*;
use rand::Rng;
use rand::distributions::{Distribution, Uniform};

use crate::rng::{Pcg64, Purpose, stream};
use crate::space::{Genotype, SearchSpace};

/// Units of the LSTM.
pub const UNITS: usize = 100;

/// Weights start uniform in `[-INIT_RANGE, INIT_RANGE]`.
const INIT_RANGE: f32 = 0.1;

/// A matrix on the CPU. All of its sizes are known at run time only.
pub(super) type Matrix = Tensor<(usize, usize), f32, Cpu>;
/// A vector on the CPU.
pub(super) type Vector = Tensor<(usize,), f32, Cpu>;
/// A tape that records.
pub(super) type Recording = OwnedTape<f32, Cpu>;

/// The weights of the controller.
#[derive(Clone, Debug)]
pub struct Policy {
    space: SearchSpace,
    device: Cpu,
    /// First input, `[1, U]`.
    start: Matrix,
    /// Input, forget, cell and output gate.
    gates: [Gate; 4],
    heads: Vec<Head>,
    /// Logits `l` are `c * tanh(l)`, if there is such a `c`.
    tanh_constant: Option<f32>,
}

/// `x W + h V + b`.
#[derive(Clone, Debug)]
struct Gate {
    /// W: `[U, U]`.
    input: Matrix,
    /// V: `[U, U]`.
    recurrent: Matrix,
    /// b: `[1, U]`.
    bias: Matrix,
}

/// The two layers of one decision.
#[derive(Clone, Debug)]
struct Head {
    /// From the state to logits, `[U, O]`.
    weight: Matrix,
    /// `[1, O]`.
    bias: Matrix,
    /// The next input for each option, `[O, U]`.
    embedding: Matrix,
    /// Logarithms of the options' weights; `None` if they are equal.
    prior: Option<Vec<f32>>,
}

/// What the controller makes of a batch of episodes.
pub struct Unrolled {
    /// Log-probability of each choice, `[D, E]`; 0 where inactive.
    pub log_prob: Matrix,
    /// Entropy of each decision's distribution in nats, `[D, E]`; 0 where inactive.
    pub entropy: Matrix,
    /// 1 for each active decision, `[D, E]`.
    pub active: Matrix,
    /// The genotypes.
    pub genotypes: Vec<Genotype>,
}

impl Policy {
    /// A controller with fresh weights for `space`.
    ///
    /// # Panics
    /// If the space has no decision.
    pub fn new(space: SearchSpace, seed: u64) -> Self {
        assert!(!space.decisions.is_empty(), "a controller needs a decision to take");
        let device = Cpu::default();
        let mut rng = stream(seed, Purpose::Controller, 0);
        let uniform = Uniform::new_inclusive(-INIT_RANGE, INIT_RANGE);
        let mut matrix = |rows: usize, columns: usize| {
            let values = (0..rows * columns).map(|_| uniform.sample(&mut rng)).collect::<Vec<_>>();
            device.tensor_from_vec(values, (rows, columns))
        };
        let start = matrix(1, UNITS);
        let gates = std::array::from_fn(|_| Gate {
            input: matrix(UNITS, UNITS),
            recurrent: matrix(UNITS, UNITS),
            bias: matrix(1, UNITS),
        });
        let heads = space
            .decisions
            .iter()
            .map(|decision| Head {
                weight: matrix(UNITS, decision.options.len()),
                bias: matrix(1, decision.options.len()),
                embedding: matrix(decision.options.len(), UNITS),
                prior: decision.is_weighted().then(|| {
                    decision.weights.iter().map(|&weight| (weight as f64).ln() as f32).collect()
                }),
            })
            .collect();
        Policy { space, device, start, gates, heads, tanh_constant: None }
    }

    /// The same with logits that stay within `-constant..constant`, so that no option becomes certain.
    ///
    /// # Source
    /// Bello et al., "Neural Combinatorial Optimization with Reinforcement Learning"; ENAS's controllers.
    pub(super) fn with_tanh_constant(self, constant: f64) -> Self {
        Policy { tanh_constant: Some(constant as f32), ..self }
    }

    /// Draws one genotype for each generator.
    pub fn sample(&self, rngs: &mut [Pcg64]) -> Unrolled {
        let episodes = rngs.len();
        self.unroll(&mut NoneTape, episodes, |_, episode, log_probs| {
            draw(log_probs, rngs[episode].r#gen())
        })
    }

    /// Log-probabilities and entropies of given genotypes, recorded on `tape`.
    pub fn evaluate<T: Tape<f32, Cpu>>(&self, tape: &mut T, genotypes: &[&Genotype]) -> Unrolled {
        self.unroll(tape, genotypes.len(), |decision, episode, _| {
            genotypes[episode].choices[decision]
        })
    }

    /// All weights, always in the same order.
    pub(super) fn parameters_mut(&mut self) -> Vec<&mut Matrix> {
        let Policy { space: _, device: _, start, gates, heads, tanh_constant: _ } = self;
        let mut all = vec![start];
        for Gate { input, recurrent, bias } in gates {
            all.extend([input, recurrent, bias]);
        }
        for Head { weight, bias, embedding, prior: _ } in heads {
            all.extend([weight, bias, embedding]);
        }
        all
    }

    /// The space whose decisions it takes.
    pub(super) fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// Where the weights are.
    pub(super) fn device(&self) -> &Cpu {
        &self.device
    }

    /// Takes every decision in order. `choose` gets the decision, the episode and the O
    /// log-probabilities, and is asked for active decisions only.
    fn unroll<T: Tape<f32, Cpu>>(
        &self,
        tape: &mut T,
        episodes: usize,
        mut choose: impl FnMut(usize, usize, &[f32]) -> usize,
    ) -> Unrolled {
        let state_shape = (episodes, UNITS);
        let first_row = vec![0; episodes];
        let mut choices = vec![Vec::with_capacity(self.heads.len()); episodes];
        let (mut log_prob, mut entropy, mut active) = (Vec::new(), Vec::new(), Vec::new());

        // A bias enters every step: its rows are laid out once.
        let biases =
            self.gates.each_ref().map(|gate| rows(tape, &gate.bias, &first_row, &self.device));
        let mut h: Matrix = self.device.zeros_like(&state_shape);
        let mut c = h.clone();
        let mut x = rows(tape, &self.start, &first_row, &self.device);

        for (decision, head) in self.heads.iter().enumerate() {
            let is_active: Vec<bool> =
                choices.iter().map(|taken| self.space.is_active(decision, taken)).collect();
            if !is_active.contains(&true) {
                choices.iter_mut().for_each(|taken| taken.push(0));
                for rows in [&mut log_prob, &mut entropy, &mut active] {
                    rows.push(self.device.zeros_like(&(episodes,)));
                }
                continue;
            }
            let all_active = !is_active.contains(&false);
            let mask = if all_active { None } else { Some(Mask::new(&is_active, &self.device)) };

            let [i, f, g, o] =
                std::array::from_fn(|k| self.gates[k].forward(tape, &x, &h, &biases[k]));
            let i = on(tape, |t| i.put_tape(t).sigmoid());
            let f = on(tape, |t| f.put_tape(t).sigmoid());
            let g = on(tape, |t| g.put_tape(t).tanh());
            let o = on(tape, |t| o.put_tape(t).sigmoid());
            let kept = on(tape, |t| f.put_tape(t) * c.clone());
            let added = on(tape, |t| i.put_tape(t) * g);
            let new_c = on(tape, |t| kept.put_tape(t) + added);
            let new_h = on(tape, |t| new_c.clone().put_tape(t).tanh() * o);
            c = Mask::select(&mask, tape, new_c, c);
            h = Mask::select(&mask, tape, new_h, h);

            let bias = rows(tape, &head.bias, &first_row, &self.device);
            let logits = on(tape, |t| h.clone().put_tape(t).matmul(head.weight.clone()) + bias);
            let logits = match self.tanh_constant {
                None => logits,
                Some(constant) => on(tape, |t| logits.put_tape(t).tanh() * constant),
            };
            let logits = match &head.prior {
                None => logits,
                Some(prior) => {
                    let prior = prior.repeat(episodes);
                    let prior: Matrix = self.device.tensor_from_vec(prior, *logits.shape());
                    on(tape, |t| logits.put_tape(t) + prior)
                }
            };
            let log_probs: Matrix = on(tape, |t| logits.put_tape(t).log_softmax::<Axis<1>>());

            let options = self.space.decisions[decision].options.len();
            let values = log_probs.as_vec();
            for (episode, taken) in choices.iter_mut().enumerate() {
                let row = &values[episode * options..][..options];
                taken.push(if is_active[episode] { choose(decision, episode, row) } else { 0 });
            }
            let chosen: Vec<usize> = choices.iter().map(|taken| taken[decision]).collect();
            let index = self.device.tensor_from_vec(chosen.clone(), (episodes,));
            let picked: Vector = on(tape, |t| log_probs.clone().put_tape(t).select(index));
            let information = on(tape, |t| {
                let negated = log_probs.clone().put_tape(t).exp() * log_probs;
                negated.sum::<(usize,), Axis<1>>().negate()
            });
            log_prob.push(Mask::zero(&mask, tape, picked));
            entropy.push(Mask::zero(&mask, tape, information));
            active.push(match &mask {
                None => self.device.ones_like(&(episodes,)),
                Some(mask) => mask.vector.clone(),
            });

            let embedded = rows(tape, &head.embedding, &chosen, &self.device);
            x = Mask::select(&mask, tape, embedded, x);
        }
        Unrolled {
            log_prob: stack(tape, log_prob),
            entropy: stack(tape, entropy),
            active: stack(&mut NoneTape, active),
            genotypes: choices.into_iter().map(|choices| Genotype { choices }).collect(),
        }
    }
}

impl Gate {
    /// Pre-activation of the gate, `[E, U]`, from an input, a state and laid-out biases of that shape.
    fn forward<T: Tape<f32, Cpu>>(
        &self,
        tape: &mut T,
        x: &Matrix,
        h: &Matrix,
        bias: &Matrix,
    ) -> Matrix {
        let from_x = on(tape, |t| x.clone().put_tape(t).matmul(self.input.clone()));
        let from_h = on(tape, |t| h.clone().put_tape(t).matmul(self.recurrent.clone()));
        on(tape, |t| from_x.put_tape(t) + from_h + bias.clone())
    }
}

/// Which episodes of a batch take a decision.
struct Mask {
    /// 1 or 0, `[E]`.
    vector: Vector,
    /// The same for each unit, `[E, U]`.
    matrix: Matrix,
}

impl Mask {
    fn new(is_active: &[bool], device: &Cpu) -> Self {
        let episodes = is_active.len();
        let values: Vec<f32> =
            is_active.iter().map(|&active| f32::from(u8::from(active))).collect();
        let repeated = values.iter().flat_map(|&value| [value; UNITS]).collect::<Vec<_>>();
        Mask {
            vector: device.tensor_from_vec(values, (episodes,)),
            matrix: device.tensor_from_vec(repeated, (episodes, UNITS)),
        }
    }

    /// `new` for the active episodes, `old` for the others.
    fn select<T: Tape<f32, Cpu>>(
        mask: &Option<Mask>,
        tape: &mut T,
        new: Matrix,
        old: Matrix,
    ) -> Matrix {
        let Some(Mask { matrix, .. }) = mask else { return new };
        let inverse = matrix.clone().negate() + 1.0;
        let new = on(tape, |t| new.put_tape(t) * matrix.clone());
        let old = on(tape, |t| old.put_tape(t) * inverse);
        on(tape, |t| new.put_tape(t) + old)
    }

    /// `values` for the active episodes, 0 for the others.
    fn zero<T: Tape<f32, Cpu>>(mask: &Option<Mask>, tape: &mut T, values: Vector) -> Vector {
        match mask {
            None => values,
            Some(Mask { vector, .. }) => on(tape, |t| values.put_tape(t) * vector.clone()),
        }
    }
}

/// Runs `op` with the tape and takes it back, so that a single tape records a whole unrolled sequence
/// and tensors in between are plain values that can be used more than once.
pub(super) fn on<T: Tape<f32, Cpu>, S: Shape>(
    tape: &mut T,
    op: impl FnOnce(T) -> Tensor<S, f32, Cpu, T>,
) -> Tensor<S, f32, Cpu> {
    let (output, used) = op(mem::take(tape)).split_tape();
    *tape = used;
    output
}

/// The rows of `table` with these indices.
fn rows<T: Tape<f32, Cpu>>(
    tape: &mut T,
    table: &Matrix,
    indices: &[usize],
    device: &Cpu,
) -> Matrix {
    let index = device.tensor_from_vec(indices.to_vec(), (indices.len(),));
    on(tape, |t| table.clone().put_tape(t).gather(index))
}

/// `[D, E]` from one row for each decision.
fn stack<T: Tape<f32, Cpu>>(tape: &mut T, rows: Vec<Vector>) -> Matrix {
    on(tape, |t| {
        let mut first = Some(t);
        rows.into_iter()
            .map(|row| row.put_tape(first.take().unwrap_or_default()))
            .collect::<Vec<_>>()
            .stack()
    })
}

/// The option whose share of the unit interval contains `u`.
fn draw(log_probs: &[f32], u: f64) -> usize {
    let mut rest = u;
    for (option, log_prob) in log_probs.iter().enumerate() {
        rest -= f64::from(*log_prob).exp();
        if rest < 0.0 {
            return option;
        }
    }
    // The probabilities may sum to a little less than 1.
    log_probs.len() - 1
}

#[cfg(test)]
mod tests;
