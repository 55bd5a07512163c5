//! The searches with real training that `examples/nasnet_on_cifar10` has on record: they are what this program does,
//! given what its children came to, and its table is of their ledgers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cellc::compile::{self, Request};
use cellc::graph::cost::{Cost, Counts};
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::search::{
    self, Evaluation, Evaluator, Failure, PpoConfig, Provenance, Record, RunFolder, SearchConfig,
    StrategyConfig,
};
use cellc::source::SourceFile;
use cellc::space::Genotype;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nasnet_on_cifar10")
}

/// The strategies on record, in the order of the table.
fn strategies() -> [StrategyConfig; 2] {
    [StrategyConfig::Ppo(PpoConfig::default()), StrategyConfig::Random]
}

fn ledger(strategy: &StrategyConfig) -> Vec<Record> {
    let path = folder().join(strategy.name()).join("ledger.jsonl");
    let text = fs::read_to_string(&path).expect("a ledger on record");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of a ledger")).collect()
}

fn nasnet_space() -> Module {
    let text = compile::embedded("nasnet_space.cell").expect("it is in the library");
    compile::check(&SourceFile::new("nasnet_space.cell", text)).expect("it is sound")
}

/// Answers with what a child came to when it was trained.
struct Recorded<'a> {
    module: &'a Module,
    outcomes: BTreeMap<&'a str, &'a Record>,
}

impl Evaluator for Recorded<'_> {
    fn id(&self, genotype: &Genotype) -> String {
        compile::architecture_id(self.module, "cifar", Some(genotype)).expect("it has one")
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        let record = self.outcomes[&*self.id(genotype)];
        assert_eq!(seed, record.train_seed);
        record.outcome.clone()
    }

    fn cell_text(&self, _: &Genotype, _: &Provenance) -> String {
        String::new()
    }
}

#[test]
fn the_strategies_propose_what_is_on_record() {
    let module = nasnet_space();
    let space = &module.space.as_ref().expect("the file holds a space").decisions;
    for strategy in strategies() {
        let records = ledger(&strategy);
        let outcomes = records.iter().map(|record| (record.id.as_str(), record)).collect();
        let evaluator = Recorded { module: &module, outcomes };
        let trials = records.len();
        let config = SearchConfig { seed: 1, trials, strategy, ..SearchConfig::default() };
        let folder = tempfile::tempdir().expect("a scratch folder");
        let run = RunFolder::New(folder.path().join("run"));
        let (clock, mut on_event) =
            (|| Duration::ZERO, |_: search::Event<'_>| ControlFlow::Continue(()));
        let history = search::run(space, &evaluator, &config, &run, &clock, &mut on_event)
            .expect("nothing fails");
        let timeless = |record: &Record| Record { secs: 0.0, ..record.clone() };
        let found: Vec<Record> = history.trials.iter().map(timeless).collect();
        let expected: Vec<Record> = records.iter().map(timeless).collect();
        assert_eq!(found, expected, "{}", config.strategy.name());
    }
}

#[test]
fn the_children_count_what_is_on_record() {
    let module = nasnet_space();
    for record in strategies().iter().flat_map(ledger) {
        let request = Request {
            width: Width::Base(8),
            genotype: Some(record.genotype.clone()),
            ..Request::new("cifar", Scale { n: 1, f: 0 })
        };
        let lowered = compile::network(&module, &request).expect("it can be built");
        let Counts { params, macs, .. } = Cost::of(&lowered.graph).total;
        if let Ok(found) = &record.outcome {
            assert_eq!([params, macs], [found.params, found.macs], "trial {}", record.trial);
        }
    }
}

/// Percent with two digits.
fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

fn mean(shares: &[f64]) -> f64 {
    shares.iter().sum::<f64>() / shares.len() as f64
}

#[test]
fn the_table_is_of_the_ledgers() {
    let mut table = String::from(
        "| strategy | children | mean | first ten | last ten | best | five best | ten best |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for strategy in strategies() {
        let rewards: Vec<f64> = ledger(&strategy).iter().map(Record::reward).collect();
        let mut best = rewards.clone();
        best.sort_by(|a, b| b.total_cmp(a));
        let last = &rewards[rewards.len().saturating_sub(10)..];
        let columns = [
            mean(&rewards),
            mean(&rewards[..10]),
            mean(last),
            best[0],
            mean(&best[..5]),
            mean(&best[..10]),
        ];
        let columns = columns.map(percent).join(" | ");
        writeln!(table, "| {} | {} | {columns} |", strategy.name(), rewards.len())
            .expect("a string takes everything");
    }
    let readme = fs::read_to_string(folder().join("README.md")).expect("a text beside the ledgers");
    assert!(readme.contains(&table), "the README lacks\n{table}");
}
