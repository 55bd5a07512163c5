//! Every strategy proposes nothing but what the evaluator's space requires.

use std::sync::Mutex;

use cellc::compile;
use cellc::error::Error;
use cellc::ir::Module;
use cellc::search::{Evaluation, Evaluator, Failure, Provenance, SearchHistory, StrategyConfig};
use cellc::source::SourceFile;
use cellc::space::{Genotype, Requirements};

use super::strategies::all;
use super::table::{Table, config, matches, new};

/// A table under the requirements of a file's space.
struct Required {
    table: Table,
    module: Module,
}

impl Evaluator for Required {
    fn id(&self, genotype: &Genotype) -> String {
        self.table.id(genotype)
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        self.table.evaluate(genotype, seed)
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        self.table.cell_text(genotype, provenance)
    }

    fn requirements(&self) -> Requirements<'_> {
        Requirements::of(&self.module)
    }
}

/// Six choices of 0 to 9 whose sum is required to be at most `most`, searched for 40 trials. The costs are
/// those of a cell without parameters.
fn history(strategy: StrategyConfig, most: i64, costs: &str) -> Result<SearchHistory, Error> {
    let lets: String =
        (0..6).map(|n| format!("let a{n} = ?{{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }}\n")).collect();
    let text = format!(
        "space s {{ {lets} require a0 + a1 + a2 + a3 + a4 + a5 + {} <= 10 {costs}
         cell normal(h, prev) {{ out h |> relu }}
         cell reduction(h, prev) stride 2 {{ out h |> maxpool<3, s = 2> }} }}",
        10 - most
    );
    let module = compile::check(&SourceFile::new("test.cell", text)).unwrap();
    let space = module.space.as_ref().unwrap().decisions.clone();
    let table = Table { evaluated: Mutex::default(), ..Table::new(matches) };
    let evaluator = Required { table, module };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let found = cellc::search::run(
        &space,
        &evaluator,
        &config(strategy, 40, 2),
        &new(&folder),
        &|| std::time::Duration::ZERO,
        &mut |_| std::ops::ControlFlow::Continue(()),
    );
    assert_eq!(folder.exists(), found.is_ok(), "a search that cannot start leaves no folder");
    found
}

#[test]
fn every_trial_meets_the_requirements() {
    // One point in 130 is drawn so that it meets the first, one in 36,000 the second.
    for most in [10, 2] {
        for strategy in all() {
            let first = history(strategy.clone(), most, "").unwrap();
            assert_eq!(first.trials.len(), 40);
            for trial in &first.trials {
                let sum: usize = trial.genotype.choices.iter().sum();
                assert!(sum <= most as usize, "{strategy:?}: {}", trial.genotype);
            }
            let points = |history: &SearchHistory| {
                history.trials.iter().map(|trial| trial.genotype.clone()).collect::<Vec<_>>()
            };
            assert_eq!(points(&first), points(&history(strategy, most, "").unwrap()));
        }
    }
}

#[test]
fn a_space_without_a_point_that_meets_its_requirements_is_an_error() {
    for strategy in all() {
        let costs = "require params(cifar 1@3) <= 1";
        let Err(Error::Requirements { unmet, .. }) = history(strategy, 10, costs) else {
            panic!("the stem has more than one parameter")
        };
        assert_eq!(unmet.condition, "params(cifar 1@3) <= 1");
    }
}
