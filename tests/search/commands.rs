//! Programs as evaluators: what they are given, what they answer, and what becomes of those that do not.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use cellc::compile;
use cellc::search::{
    ChildScale, CommandConfig, CommandEvaluator, Evaluation, Evaluator, Failure, FailureKind,
    SearchConfig, StrategyConfig, run,
};
use cellc::source::{Library, SourceFile};
use cellc::space::Genotype;

use crate::table::new;

/// An evaluator of NAS-Bench-201's space by a shell script.
fn evaluator(folder: &Path, script: &str, secs: f64) -> CommandEvaluator {
    let path = folder.join("score.sh");
    fs::write(&path, script).unwrap();
    let config = CommandConfig {
        program: format!("sh {}", path.display()),
        time_limit: Duration::from_secs_f64(secs),
    };
    let text = compile::embedded("nasbench201_space.cell").unwrap();
    let source = SourceFile::new("nasbench201_space.cell", text);
    CommandEvaluator::new(&source, &Library, config, ChildScale::default()).unwrap()
}

fn outcome(script: &str, secs: f64) -> Result<Evaluation, Failure> {
    let dir = tempfile::tempdir().unwrap();
    evaluator(dir.path(), script, secs).evaluate(&Genotype { choices: vec![3; 6] }, 77)
}

#[test]
fn a_program_gets_a_cell_and_a_seed_and_answers_a_score() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen.cell");
    let script = format!(
        "cat > {}\necho \"{{\\\"reward\\\": 0.$CELLC_SEED, \\\"epochs\\\": 3, \\\"other\\\": [1]}}\"",
        seen.display()
    );
    let evaluator = evaluator(dir.path(), &script, 20.0);
    let found = evaluator.evaluate(&Genotype { choices: vec![3; 6] }, 77).unwrap();
    assert_eq!((found.reward, found.val_accuracy, found.epochs), (0.77, 0.77, 3));
    let text = fs::read_to_string(seen).unwrap();
    let module = compile::check(&SourceFile::new("seen.cell", text.as_str())).unwrap();
    assert!(module.space.is_none(), "no hole is left:\n{text}");
    // The counts are those of what was sent.
    let request = compile::Request::new("nasbench201", found.scale.parse().unwrap());
    let lowered = compile::network(&module, &request).unwrap();
    let counts = cellc::graph::cost::Cost::of(&lowered.graph).total;
    assert_eq!((found.params, found.macs), (counts.params, counts.macs));
}

#[test]
fn a_program_that_fails_makes_a_failed_trial() {
    for (script, kind, reason) in [
        (
            "echo first >&2; echo 'no memory' >&2; exit 3",
            FailureKind::Error,
            "status: 3: no memory",
        ),
        ("exit 1", FailureKind::Error, "status: 1: no message"),
        ("kill -9 $$", FailureKind::Error, "signal: 9"),
        ("echo nonsense", FailureKind::Error, "the output of `sh` is no score: expected"),
        ("echo '{\"accuracy\": 0.9}'", FailureKind::Error, "missing field `reward`"),
        ("echo '{\"reward\": 0.5'", FailureKind::Error, "is no score: EOF"),
        ("sleep 60", FailureKind::TimedOut, "`sh` took longer than 0.2 s"),
    ] {
        let limit = if kind == FailureKind::TimedOut { 0.2 } else { 20.0 };
        let failure = outcome(script, limit).unwrap_err();
        assert_eq!(failure.kind, kind, "{script}: {failure}");
        assert!(failure.reason.contains(reason), "{script}: {failure}");
    }
}

#[test]
fn much_output_and_unread_input_block_nobody() {
    let flood = "i=0; while [ $i -lt 3000 ]; do printf '%0100d\\n' 0 >&2; i=$((i+1)); done\n";
    assert_eq!(outcome(&format!("{flood}echo '{{\"reward\": 1}}'"), 60.0).unwrap().reward, 1.0);
}

#[test]
fn a_search_goes_on_where_a_program_fails() {
    let dir = tempfile::tempdir().unwrap();
    // Cells with a pool have no score.
    let script = "if grep -q 'avg<3>(' ; then echo unfit >&2; exit 2; fi; echo '{\"reward\": 0.5}'";
    let evaluator = evaluator(dir.path(), script, 20.0);
    let config = SearchConfig {
        seed: 1,
        trials: 12,
        workers: 2,
        strategy: StrategyConfig::Random,
        ..SearchConfig::default()
    };
    let history = run(
        evaluator.space(),
        &evaluator,
        &config,
        &new(&dir.path().join("run")),
        &|| Duration::ZERO,
        &mut |_| std::ops::ControlFlow::Continue(()),
    )
    .unwrap();
    assert_eq!(history.trials.len(), 12);
    for trial in &history.trials {
        let has_pool = trial.genotype.choices.contains(&4);
        assert_eq!(trial.outcome.is_err(), has_pool, "{trial:?}");
    }
    assert!(history.trials.iter().any(|trial| trial.outcome.is_ok()));
    assert!(history.trials.iter().any(|trial| trial.outcome.is_err()));
    // A reward that is no number of JSON is refused as nonsense, one that is too large as not finite.
    let failure = outcome("echo '{\"reward\": 1e999}'", 20.0).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Error);
}
