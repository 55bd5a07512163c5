//! An evaluator that trains in steps without training, and searches with a budget by it.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use cellc::error::Error;
use cellc::search::{
    Budget, Evaluation, Evaluator, Event, EvolutionConfig, Failure, FailureKind, Paused,
    Provenance, RunFolder, SearchConfig, SearchHistory, Stepwise, StrategyConfig, run,
};
use cellc::space::Genotype;

use crate::table::*;

/// Children whose reward grows with their epochs; `log` has every training: id, from, until.
pub struct Learners {
    pub table: Table,
    epochs: usize,
    log: Mutex<Vec<(String, usize, usize)>>,
}

impl Learners {
    pub fn new(epochs: usize) -> Self {
        Learners { table: Table::new(matches), epochs, log: Mutex::default() }
    }

    /// Every training, sorted.
    pub fn log(&self) -> Vec<(String, usize, usize)> {
        let mut log = self.trainings();
        log.sort();
        log
    }

    /// Every training in the order in which they began.
    pub fn trainings(&self) -> Vec<(String, usize, usize)> {
        self.log.lock().unwrap().clone()
    }

    pub fn score(
        &self,
        genotype: &Genotype,
        seed: u64,
        from: usize,
        epochs: usize,
    ) -> Result<Evaluation, Failure> {
        self.log.lock().unwrap().push((self.id(genotype), from, epochs));
        if genotype.choices[..3] == [1, 1, 1] && epochs > 1 {
            return Err(Failure::new(FailureKind::NotFinite, "the loss"));
        }
        let whole = self.table.evaluate(genotype, seed)?;
        let reward = whole.reward * (1.0 - 0.5_f64.powi(epochs as i32));
        Ok(Evaluation { reward, val_accuracy: reward, epochs, ..whole })
    }
}

impl Evaluator for Learners {
    fn id(&self, genotype: &Genotype) -> String {
        self.table.id(genotype)
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        self.score(genotype, seed, 0, self.epochs)
    }

    fn stepwise(&self) -> Option<&dyn Stepwise> {
        Some(self)
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        format!("{} after {}", self.table.cell_text(genotype, provenance), provenance.epochs)
    }
}

impl Stepwise for Learners {
    fn epochs(&self) -> usize {
        self.epochs
    }

    fn advance(
        &self,
        genotype: &Genotype,
        seed: u64,
        paused: Option<Paused>,
        until: usize,
    ) -> Result<(Evaluation, Paused), Failure> {
        let from = paused.map_or(0, |paused| paused.into_state::<usize>().unwrap());
        Ok((self.score(genotype, seed, from, until)?, Paused::new(until)))
    }

    fn evaluate_for(
        &self,
        genotype: &Genotype,
        seed: u64,
        epochs: usize,
    ) -> Result<Evaluation, Failure> {
        self.score(genotype, seed, 0, epochs)
    }
}

pub fn learn(learners: &Learners, config: &SearchConfig, folder: &RunFolder) -> SearchHistory {
    try_learn(learners, config, folder).unwrap()
}

pub fn try_learn(
    learners: &Learners,
    config: &SearchConfig,
    folder: &RunFolder,
) -> Result<SearchHistory, Error> {
    let mut ignore = |_: Event<'_>| ControlFlow::Continue(());
    run(&flat_space(6, 3), learners, config, folder, &|| Duration::ZERO, &mut ignore)
}

pub fn with_budget(budget: &str, strategy: StrategyConfig, trials: usize) -> SearchConfig {
    let budget: Budget = budget.parse().unwrap();
    SearchConfig { budget, ..config(strategy, trials, 2) }
}

pub fn evolution() -> StrategyConfig {
    let config = EvolutionConfig { population: 12, batch_size: 12, ..EvolutionConfig::default() };
    StrategyConfig::Evolution(config)
}
