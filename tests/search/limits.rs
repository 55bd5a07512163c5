//! Children whose training takes too long or too much memory, or comes to nothing, beside others.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cellc::data::{DataSpec, LoadConfig, load_with};
use cellc::device::Precision;
use cellc::error::Error;
use cellc::rng::{Purpose, stream};
use cellc::search::{
    Budget, ChildConfig, ChildScale, Evaluator, Event, Failure, FailureKind, RunFolder,
    SearchConfig, SearchHistory, SpaceFault, StopReason, StrategyConfig, TimeLimit, TrainEvaluator,
    run,
};
use cellc::source::SourceFile;
use cellc::space::Genotype;
use cellc::train::{TrainConfig, TrainMemory};

use crate::table::{config, contents, new, resume};

const MIB: usize = 1 << 20;

fn child(base: usize) -> ChildConfig {
    ChildConfig {
        scale: ChildScale { base, ..ChildScale::default() },
        validation: 0.2,
        train: TrainConfig { epochs: 2, batch: 25, ..TrainConfig::default() },
        max_memory_mib: None,
    }
}

fn try_evaluator(child: ChildConfig) -> Result<TrainEvaluator, SpaceFault> {
    let load = LoadConfig { limit: Some(125), ..LoadConfig::default() };
    let data = load_with(&DataSpec::Digits, &load).unwrap();
    let text = cellc::compile::embedded("nasbench201_space.cell").unwrap();
    let source = SourceFile::new("nasbench201_space.cell", text);
    TrainEvaluator::new(&source, data, "digits", child, 5)
}

fn evaluator(child: ChildConfig) -> TrainEvaluator {
    try_evaluator(child).unwrap()
}

/// Eight random children on two threads.
fn search(evaluator: &TrainEvaluator, budget: &str, folder: &RunFolder) -> SearchHistory {
    let budget: Budget = budget.parse().unwrap();
    let config = SearchConfig { budget, ..config(StrategyConfig::Random, 8, 2) };
    let mut ignore = |_: Event<'_>| ControlFlow::Continue(());
    let clock = || Duration::ZERO;
    run(evaluator.space(), evaluator, &config, folder, &clock, &mut ignore).unwrap()
}

/// A search that goes on after every failure, and that is gone on with as it was.
fn survives(
    evaluator: &TrainEvaluator,
    budget: &str,
    again: &TrainEvaluator,
    dir: &Path,
) -> SearchHistory {
    let history = search(evaluator, budget, &new(dir));
    assert_eq!((history.trials.len(), history.stop), (8, StopReason::Trials));
    let before = contents(dir);
    assert_eq!(search(again, budget, &resume(dir)), history);
    assert_eq!(contents(dir), before);
    history
}

fn failures(history: &SearchHistory) -> Vec<&Failure> {
    history.trials.iter().filter_map(|record| record.outcome.as_ref().err()).collect()
}

#[test]
fn children_that_need_too_much_memory_are_not_trained() {
    let mut large = child(16);
    (large.train.epochs, large.train.batch) = (1, 50);
    let evaluator = evaluator(large.clone());
    let dir = tempfile::tempdir().unwrap();
    let all = search(&evaluator, "whole", &new(&dir.path().join("all")));
    let needed = |genotype| {
        let graph = evaluator.network(genotype, None).unwrap();
        TrainMemory::of(&graph, &large.train, Precision::F32).total()
    };
    let mut sizes: Vec<usize> = all.trials.iter().map(|trial| needed(&trial.genotype)).collect();
    sizes.sort();
    let limit = sizes[4] / MIB;
    assert!(limit > 0 && sizes[7] > limit * MIB, "{sizes:?}");
    let limited =
        try_evaluator(ChildConfig { max_memory_mib: Some(limit), ..large.clone() }).unwrap();
    let dir = dir.path().join("limited");
    let history = survives(&limited, "whole", &limited, &dir);
    for (record, free) in history.trials.iter().zip(&all.trials) {
        let needed = needed(&record.genotype);
        if needed <= limit * MIB {
            assert_eq!(record.outcome, free.outcome);
            continue;
        }
        let mib = needed.div_ceil(MIB);
        let reason = format!("training takes {mib} MiB, at most {limit} allowed");
        assert_eq!(record.outcome, Err(Failure::new(FailureKind::OutOfMemory, reason)));
        assert!(record.failed_size.is_some());
    }
    assert!((1..8).contains(&failures(&history).len()), "{sizes:?}");
}

fn some_genotype() -> Genotype {
    evaluator(child(2)).space().sample(&mut stream(3, Purpose::Sample, 0))
}

/// A clock that goes on by a second whenever somebody looks at it.
fn ticking(secs: u64) -> Option<TimeLimit> {
    let ticks = AtomicU64::new(0);
    let clock = move || Duration::from_secs(ticks.fetch_add(1, Ordering::Relaxed));
    Some(TimeLimit::new(Duration::from_secs(secs), clock))
}

#[test]
fn children_that_take_too_long_are_stopped_between_two_steps() {
    // 100 images in batches of 25 for 2 epochs: 8 steps, and a look before each.
    let genotype = some_genotype();
    let free = evaluator(child(2)).evaluate(&genotype, 1).unwrap();
    let within = |secs| evaluator(child(2)).with_time_limit(ticking(secs)).evaluate(&genotype, 1);
    assert_eq!(within(8), Ok(free));
    let reason = "training took longer than 4 s, with 4 of 8 steps done";
    assert_eq!(within(4), Err(Failure::new(FailureKind::TimedOut, reason)));

    let dir = tempfile::tempdir().unwrap();
    let limited = evaluator(child(2)).with_time_limit(ticking(3));
    // The ledger is what counts for a search that goes on, not how long something would take.
    let history = survives(&limited, "whole", &evaluator(child(2)), dir.path());
    let failures = failures(&history);
    assert!(failures.len() >= 7, "{failures:?}");
    for failure in failures {
        assert_eq!(failure.kind, FailureKind::TimedOut);
        assert!(failure.reason.starts_with("training took longer than 3 s, with "), "{failure}");
    }
}

#[test]
fn the_time_of_a_child_is_that_of_all_its_steps_on_the_way() {
    let genotype = some_genotype();
    // Four steps and a look at the end of each epoch make 5 seconds of the first one.
    let limited = evaluator(child(2)).with_time_limit(ticking(7));
    let stepwise = limited.stepwise().unwrap();
    let (_, paused) = stepwise.advance(&genotype, 1, None, 1).unwrap();
    let failure = stepwise.advance(&genotype, 1, Some(paused), 2).unwrap_err();
    let reason = "training took longer than 7 s, with 6 of 8 steps done";
    assert_eq!(failure, Failure::new(FailureKind::TimedOut, reason));
}

#[test]
fn children_that_diverge_are_recorded() {
    let mut diverging = child(2);
    diverging.train.lr = 1e30;
    let (dir, evaluator) = (tempfile::tempdir().unwrap(), evaluator(diverging));
    let history = survives(&evaluator, "median", &evaluator, dir.path());
    let is_not_finite = |failure: &&Failure| failure.kind == FailureKind::NotFinite;
    let failures = failures(&history);
    // What has no parameters before its head may do without.
    assert!(failures.iter().copied().filter(|f| is_not_finite(f)).count() >= 6, "{failures:?}");
}

#[test]
fn no_memory_at_all_is_refused() {
    let refused = try_evaluator(ChildConfig { max_memory_mib: Some(0), ..child(2) });
    let Err(SpaceFault::Request(Error::Config { setting, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(setting, "max_memory_mib");
}
