//! The training of one child: from stop to stop, and within its limits.

use std::time::Duration;

use dfdx::tensor::CpuError;

use super::super::budget::{Paused, Stepwise};
use super::super::evaluator::{Evaluation, Failure, FailureKind};
use super::TrainEvaluator;
use crate::device::Precision;
use crate::error::Error;
use crate::graph::cost::Counts;
use crate::graph::lower::Lowered;
use crate::network::Network;
use crate::space::Genotype;
use crate::train::{TrainConfig, TrainMemory, TrainSet, TrainState, Trainer, accuracy};

const MIB: usize = 1 << 20;

/// A training that is put aside.
struct Waiting {
    state: TrainState,
    /// What it took so far.
    spent: Duration,
}

/// A child that waits has the state of its training; its network is compiled again.
impl Stepwise for TrainEvaluator {
    fn epochs(&self) -> usize {
        self.config.train.epochs
    }

    fn advance(
        &self,
        genotype: &Genotype,
        seed: u64,
        paused: Option<Paused>,
        until: usize,
    ) -> Result<(Evaluation, Paused), Failure> {
        let (lowered, counts) = self.admitted(genotype)?;
        let mut network = self.child(&lowered.graph, seed);
        let config = TrainConfig { seed, ..self.config.train.clone() };
        let mut trainer = Trainer::new(&mut network, self.set(), &config).map_err(failure)?;
        let mut before = Duration::ZERO;
        if let Some(paused) = paused {
            let Waiting { state, spent } =
                paused.into_state().expect("the state is of this evaluator");
            trainer.load_state(&state).expect("the state is of this child");
            before = spent;
        }
        let spent = self.train(&mut trainer, until, before)?;
        let score = self.score(&trainer.averaged().map_err(failure)?, &lowered, counts, until)?;
        let state = trainer.state().map_err(failure)?;
        Ok((score, Paused::new(Waiting { state, spent })))
    }

    fn save(&self, paused: Paused) -> Option<Vec<u8>> {
        Some(paused.into_state::<Waiting>()?.state.into_bytes())
    }

    fn restore(&self, bytes: &[u8]) -> Option<Paused> {
        let state = TrainState::from_bytes(bytes).ok()?;
        Some(Paused::new(Waiting { state, spent: Duration::ZERO }))
    }

    fn evaluate_for(
        &self,
        genotype: &Genotype,
        seed: u64,
        epochs: usize,
    ) -> Result<Evaluation, Failure> {
        let (lowered, counts) = self.admitted(genotype)?;
        let mut network = self.child(&lowered.graph, seed);
        let config = TrainConfig { seed, epochs, ..self.config.train.clone() };
        let mut trainer = Trainer::new(&mut network, self.set(), &config).map_err(failure)?;
        self.train(&mut trainer, epochs, Duration::ZERO)?;
        trainer.finish().map_err(failure)?;
        self.score(&network, &lowered, counts, epochs)
    }
}

impl TrainEvaluator {
    fn set(&self) -> TrainSet<'_> {
        TrainSet {
            images: &self.data.train,
            whitening: &self.data.whitening,
            train: &self.split.train,
            // Only the accuracy where the training stops counts.
            validation: &[],
        }
    }

    /// The network of a point that may be trained, with its counts for one image.
    ///
    /// # Errors
    /// As [`Architectures::admitted`](crate::search::architecture::Architectures::admitted);
    /// [`FailureKind::OutOfMemory`] if its training takes too much memory.
    fn admitted(&self, genotype: &Genotype) -> Result<(Lowered, Counts), Failure> {
        let (lowered, counts) = self.architectures.admitted(genotype)?;
        if let Some(limit) = self.config.max_memory_mib {
            let needed =
                TrainMemory::of(&lowered.graph, &self.config.train, Precision::F32).total();
            if needed > limit.saturating_mul(MIB) {
                let needed = needed.div_ceil(MIB);
                let reason = format!("training takes {needed} MiB, at most {limit} allowed");
                return Err(Failure::new(FailureKind::OutOfMemory, reason));
            }
        }
        Ok((lowered, counts))
    }

    /// Trains until so many epochs are done, and tells how long that took with what was spent before; nothing
    /// without a limit.
    fn train(
        &self,
        trainer: &mut Trainer<'_>,
        until: usize,
        spent: Duration,
    ) -> Result<Duration, Failure> {
        let time = self.time_limit.as_ref().map(|limit| (limit.limit(), limit.begin(spent)));
        while trainer.progress().history.epochs.len() < until {
            if let Some((limit, time)) = &time
                && time.is_over()
            {
                let (step, steps) = (trainer.progress().step, trainer.steps());
                let limit = limit.as_secs_f64();
                let reason = format!(
                    "training took longer than {limit} s, with {step} of {steps} steps done"
                );
                return Err(Failure::new(FailureKind::TimedOut, reason));
            }
            if !trainer.advance(&mut |_| {}).map_err(failure)? {
                break;
            }
        }
        Ok(time.map_or(spent, |(_, time)| time.spent()))
    }

    fn score(
        &self,
        network: &Network,
        lowered: &Lowered,
        counts: Counts,
        epochs: usize,
    ) -> Result<Evaluation, Failure> {
        let (held_out, batch) = (&self.split.validation, self.config.train.batch);
        let val_accuracy =
            accuracy(network, &self.data.train, held_out, &self.data.whitening, batch)
                .map_err(failure)?;
        Ok(Evaluation {
            reward: val_accuracy,
            val_accuracy,
            params: counts.params,
            macs: counts.macs,
            scale: lowered.scale.to_string(),
            epochs,
        })
    }
}

fn failure(error: Error) -> Failure {
    let kind = match &error {
        Error::NotFinite { .. } => FailureKind::NotFinite,
        Error::Device(CpuError::OutOfMemory) => FailureKind::OutOfMemory,
        _ => FailureKind::Error,
    };
    Failure::new(kind, error.to_string())
}
