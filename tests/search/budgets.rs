//! Children that are trained less than others, and those that are trained again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cellc::data::{DataSpec, LoadConfig, load_with};
use cellc::rng::{Purpose, stream};
use cellc::search::{
    ChildConfig, ChildScale, Evaluator, Record, Retrain, RunFolder, SearchConfig, TrainEvaluator,
};
use cellc::source::SourceFile;
use cellc::train::TrainConfig;

use crate::learners::*;
use crate::table::*;

const BUDGETS: [&str; 5] =
    ["halving:1,3,9", "hyperband:1,3,9", "asha:1,3,9@4", "asha:1,2,4,8,9@1", "median"];

/// The epochs that each trial of a batch must have had, from the rewards alone: repeats and failures
/// aside, the `n * a / b` best of those at a rung go on.
fn expected(batch: &[Record], rungs: &[usize], learners: &Learners) -> BTreeMap<usize, usize> {
    let own: Vec<&Record> = batch.iter().filter(|record| record.repeat_of.is_none()).collect();
    let mut alive: Vec<&Record> = own.clone();
    let mut epochs: BTreeMap<usize, usize> = BTreeMap::new();
    for (rung, &until) in rungs.iter().enumerate() {
        let at = |record: &Record| learners.score(&record.genotype, record.train_seed, 0, until);
        alive.retain(|record| at(record).is_ok());
        epochs.extend(alive.iter().map(|record| (record.trial, until)));
        let Some(next) = rungs.get(rung + 1) else { break };
        alive.sort_by(|a, b| at(b).unwrap().reward.total_cmp(&at(a).unwrap().reward));
        alive.truncate((alive.len() * until / next).max(1));
    }
    for failed in own.iter().filter(|record| record.outcome.is_err()) {
        epochs.remove(&failed.trial);
    }
    epochs
}

#[test]
fn the_better_part_of_a_batch_goes_on_at_every_rung() {
    for (budget, rungs) in [
        ("halving:1,3,9", vec![&[1, 3, 9][..]; 4]),
        ("hyperband:1,3,9", vec![&[1, 3, 9][..], &[3, 9], &[9], &[1, 3, 9]]),
    ] {
        let (dir, learners) = (tempfile::tempdir().unwrap(), Learners::new(9));
        let history = learn(&learners, &with_budget(budget, evolution(), 48), &new(dir.path()));
        let log = learners.log();
        for (batch, rungs) in history.trials.chunks(12).zip(rungs) {
            let found: BTreeMap<usize, usize> = batch
                .iter()
                .filter(|record| record.outcome.is_ok() && record.repeat_of.is_none())
                .map(|record| (record.trial, record.epochs()))
                .collect();
            assert_eq!(found, expected(batch, rungs, &Learners::new(9)), "{budget}");
            for record in batch.iter().filter(|record| record.repeat_of.is_none()) {
                let stops: Vec<usize> = record.curve.iter().map(|(epoch, _)| *epoch).collect();
                assert_eq!(stops, rungs[..stops.len()], "{record:?}");
                // Nothing is trained twice: every training goes on where the one before ended.
                let trainings: Vec<(usize, usize)> =
                    log.iter().filter(|(id, ..)| *id == record.id).map(|t| (t.1, t.2)).collect();
                let starts = trainings.iter().skip(1).map(|training| training.0);
                assert!(starts.eq(trainings.iter().map(|t| t.1).take(trainings.len() - 1)));
                let Ok(found) = &record.outcome else { continue };
                let last = record.curve.last().unwrap();
                assert_eq!(*last, (found.epochs, found.reward));
            }
        }
        // A cell says how long it was trained.
        let stopped = history.trials.iter().find(|r| r.epochs() == 1 && r.repeat_of.is_none());
        if let Some(stopped) = stopped {
            let path = dir.path().join(RunFolder::cell_of(stopped));
            assert!(fs::read_to_string(path).unwrap().ends_with(" after 1"));
        }
    }
}

#[test]
fn budgets_are_the_same_for_any_number_of_workers() {
    for budget in BUDGETS {
        let mut runs = Vec::new();
        for workers in [1, 3] {
            let mut learners = Learners::new(9);
            learners.table =
                Table::new(matches).slowed(|choice| Duration::from_millis(3 * (2 - choice)));
            let dir = tempfile::tempdir().unwrap();
            let config = SearchConfig { workers, ..with_budget(budget, evolution(), 48) };
            learn(&learners, &config, &new(dir.path()));
            runs.push((contents(dir.path()), learners.log()));
        }
        assert_eq!(runs[0], runs[1], "{budget}");
    }
}

/// Ledgers that end anywhere, with trials of the batch that were stopped early waiting on the disk or not.
#[test]
fn budgets_resume_exactly() {
    for budget in BUDGETS {
        let (whole, config) = (tempfile::tempdir().unwrap(), with_budget(budget, evolution(), 36));
        let history = learn(&Learners::new(9), &config, &new(whole.path()));
        let ledger = ledger(whole.path());
        let lines: Vec<&str> = ledger.split_inclusive('\n').collect();
        for done in 0..36 {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("cells")).unwrap();
            fs::copy(whole.path().join("config.toml"), dir.path().join("config.toml")).unwrap();
            fs::write(dir.path().join("ledger.jsonl"), lines[..done].concat()).unwrap();
            // Those that a race stops at its first rung are done before the others.
            let end = done / 12 * 12 + 12;
            let is_early = |trial: &usize| {
                let record = &history.trials[trial - 1];
                record.repeat_of.is_none() && record.curve.len() == 1 && done % 2 == 1
            };
            let pending: String =
                (done + 2..=end).filter(is_early).map(|trial| lines[trial - 1]).collect();
            fs::write(dir.path().join("pending.jsonl"), pending).unwrap();
            let resumed = learn(&Learners::new(9), &config, &resume(dir.path()));
            assert_eq!(resumed.trials, history.trials, "{budget} after {done}");
            assert_eq!(contents(dir.path()), contents(whole.path()), "{budget} after {done}");
        }
    }
}

/// Rewards of this table grow, so the best so far of a child is its last, and a child must be stopped at
/// the first epoch at which that is below the median of the running means.
#[test]
fn the_median_rule_stops_what_is_below_half_of_the_earlier_children() {
    let (dir, learners) = (tempfile::tempdir().unwrap(), Learners::new(6));
    let history = learn(&learners, &with_budget("median", evolution(), 60), &new(dir.path()));
    let mut stopped = 0;
    for (index, record) in history.trials.iter().enumerate() {
        if record.repeat_of.is_some() || record.outcome.is_err() {
            continue;
        }
        let earlier: Vec<&Record> = history.trials[..index / 12 * 12]
            .iter()
            .filter(|record| record.outcome.is_ok() && record.repeat_of.is_none())
            .collect();
        let reward = |epochs| learners.score(&record.genotype, record.train_seed, 0, epochs);
        let is_hopeless = |epochs: &usize| {
            let mut means: Vec<f64> = earlier
                .iter()
                .filter(|other| other.epochs() >= *epochs)
                .map(|other| {
                    let rewards = other.curve[..*epochs].iter().map(|(_, reward)| reward);
                    rewards.sum::<f64>() / *epochs as f64
                })
                .collect();
            means.sort_by(f64::total_cmp);
            let n = means.len();
            n >= 5 && reward(*epochs).unwrap().reward < (means[(n - 1) / 2] + means[n / 2]) / 2.0
        };
        let end = (1..6).find(is_hopeless).unwrap_or(6);
        assert_eq!(record.epochs(), end, "{record:?}");
        stopped += usize::from(end < 6);
    }
    assert!((5..50).contains(&stopped), "{stopped}");
}

#[test]
fn budgets_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |epochs, config: &SearchConfig| {
        try_learn(&Learners::new(epochs), config, &new(dir.path())).unwrap_err().to_string()
    };
    let cut = refused(9, &with_budget("halving:1,3,9", evolution(), 40));
    assert_eq!(
        cut,
        "trials is 40: the children of a batch compete, so it must be a multiple of 12, such as 48"
    );
    let cut = refused(9, &with_budget("asha:1,3,9@8", evolution(), 40));
    assert!(cut.contains("it must be a multiple of 12, such as 48"), "{cut}");
    let other = refused(5, &with_budget("halving:1,3,9", evolution(), 48));
    assert_eq!(other, "budget is `halving:1,3,9`: children are trained for 5 epochs");
    let median = with_budget("median", evolution(), 48);
    let refused = search(&flat_space(6, 3), &Table::new(matches), &median, &new(dir.path()));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "budget is `median`: only what is trained can be stopped, with `--evaluator train`"
    );
    let retrain = Retrain { count: 2, epochs: 9 };
    let again = SearchConfig { retrain, ..config(evolution(), 48, 1) };
    let refused = search(&flat_space(6, 3), &Table::new(matches), &again, &new(dir.path()));
    assert!(refused.unwrap_err().to_string().starts_with("retrain is 2: only what is trained"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn retrained(dir: &Path) -> Vec<Record> {
    let text = fs::read_to_string(dir.join("retrained.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_best_are_trained_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let with = |count, trials, epochs| SearchConfig {
        retrain: Retrain { count, epochs },
        ..config(evolution(), trials, 2)
    };
    let learners = Learners::new(2);
    let history = learn(&learners, &with(4, 36, 20), &new(dir.path()));
    let mut order: Vec<&Record> =
        history.trials.iter().filter(|r| r.outcome.is_ok() && r.repeat_of.is_none()).collect();
    order.sort_by(|a, b| b.reward().total_cmp(&a.reward()));
    let best: Vec<usize> = order[..4].iter().map(|record| record.trial).collect();
    let trials = |records: &[Record]| records.iter().map(|r| r.trial).collect::<Vec<_>>();
    assert_eq!(trials(&history.retrained), best);
    assert_eq!(retrained(dir.path()), history.retrained);
    for record in &history.retrained {
        let first = &history.trials[record.trial - 1];
        assert_eq!((first.epochs(), record.epochs()), (2, 20));
        assert!(record.reward() > first.reward());
        assert_eq!((&record.genotype, record.train_seed), (&first.genotype, first.train_seed));
    }
    let report = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(report.contains("<h2>Trained again</h2>"));

    // The one that is missing is trained, and no other; the ledger is as it was.
    let before = contents(dir.path());
    let text = fs::read_to_string(dir.path().join("retrained.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let torn = lines[0].to_owned() + &lines[1][..9];
    fs::write(dir.path().join("retrained.jsonl"), torn).unwrap();
    let learners = Learners::new(2);
    assert_eq!(learn(&learners, &with(4, 36, 20), &resume(dir.path())), history);
    assert_eq!(contents(dir.path()), before);
    assert_eq!(learners.log().len(), 3);
    // One more, and then others: only what is not there is trained.
    let learners = Learners::new(2);
    let more = learn(&learners, &with(5, 36, 20), &resume(dir.path()));
    assert_eq!((more.retrained.len(), learners.log().len()), (5, 1));
    let learners = Learners::new(2);
    learn(&learners, &with(2, 36, 30), &resume(dir.path()));
    assert_eq!(learners.log().len(), 2);
}

/// With averaged parameters, drop path and dropout, all of which have a state or random numbers.
#[test]
fn a_child_trained_in_steps_is_the_child_trained_at_once() {
    let config = LoadConfig { limit: Some(120), image_size: None };
    let data = load_with(&DataSpec::Digits, &config).unwrap();
    let train = TrainConfig {
        epochs: 3,
        batch: 20,
        ema_decay: 0.9,
        drop_path: 0.2,
        dropout: 0.1,
        ..TrainConfig::default()
    };
    let scale = ChildScale { base: 2, ..ChildScale::default() };
    let child = ChildConfig { scale, validation: 0.5, train, ..ChildConfig::default() };
    let text = cellc::compile::embedded("nasbench201_space.cell").unwrap();
    let source = SourceFile::new("nasbench201_space.cell", text);
    let evaluator = TrainEvaluator::new(&source, data, "digits", child, 5).unwrap();
    let genotype = evaluator.space().sample(&mut stream(3, Purpose::Sample, 0));
    let at_once = evaluator.evaluate(&genotype, 11).unwrap();
    let stepwise = evaluator.stepwise().unwrap();
    let mut paused = None;
    for until in 1..=3 {
        let (found, state) = stepwise.advance(&genotype, 11, paused.take(), until).unwrap();
        assert_eq!(found.epochs, until);
        let (alone, _) = stepwise.advance(&genotype, 11, None, until).unwrap();
        assert_eq!(alone, found);
        paused = Some(state);
        if until == 3 {
            assert_eq!(found, at_once);
        }
    }
    assert_eq!(stepwise.evaluate_for(&genotype, 11, 3).unwrap(), at_once);
}
