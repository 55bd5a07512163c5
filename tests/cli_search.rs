//! `cellc search` on tables and programs, driven as a user drives it.

#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn cellc(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .output()
        .expect("the program starts")
}

fn fine(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{args:?}: {output:?}");
    text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

/// A folder with `bench.csv`: all of NAS-Bench-Macro, each network as good in percent as its digits sum up to.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut table = String::from("arch,acc1,mean_acc\n");
    for mut number in 0..3_usize.pow(8) {
        let (mut arch, mut sum) = (String::new(), 0);
        for _ in 0..8 {
            arch.push_str(&(number % 3).to_string());
            sum += number % 3;
            number /= 3;
        }
        table += &format!("{arch},{},{}\n", 50 + sum, 60 + sum);
    }
    fs::write(folder.path().join("bench.csv"), table).expect("written");
    folder
}

const SEARCH: [&str; 4] = ["search", "nasbench_macro_space", "--evaluator", "table:bench.csv"];

#[test]
fn a_search_of_a_table_tells_the_reported_column_at_the_end() {
    let folder = folder();
    let more = ["--trials", "60", "--strategy", "local", "--seed", "3", "--workers", "2"];
    let report = fine(folder.path(), &[&SEARCH[..], &more].concat());
    let ledger =
        fs::read_to_string(folder.path().join("runs/nasbench_macro-table-local-3/ledger.jsonl"))
            .expect("a ledger");
    let rewards: Vec<f64> = ledger
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["reward"].as_f64().unwrap())
        .collect();
    assert_eq!(rewards.len(), 60);
    let best = rewards.iter().copied().fold(0.0, f64::max);
    let last = report.lines().last().expect("a line");
    let expected = format!(
        "validation accuracy {:.2} %; mean_acc {:.2} %)",
        100.0 * best,
        100.0 * best + 10.0
    );
    assert!(last.ends_with(&expected), "{last}");
    let cell = folder.path().join("runs/nasbench_macro-table-local-3/best.cell");
    let cell = fs::read_to_string(cell).expect("the best");
    assert!(cell.contains(" in table bench.csv.\n/// Looked up in column acc1"), "{cell}");
}

#[test]
fn a_comparison_is_a_table_or_lines_of_json() {
    let folder = folder();
    let compare = |more: &[&str]| {
        let common = ["--compare", "random,local", "--seeds", "4", "--trials", "50"];
        fine(folder.path(), &[&SEARCH[..], &common, more].concat())
    };
    let lines = compare(&["--json", "--workers", "2", "--plot", "plot.svg"]);
    assert_eq!(compare(&["--json", "--workers", "1"]), lines);
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<&str> = lines.iter().map(|line| line["strategy"].as_str().unwrap()).collect();
    assert_eq!(names, ["random", "local"]);
    for line in &lines {
        assert_eq!((&line["trials"], &line["seeds"]), (&50.into(), &4.into()));
        let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} of {line}"));
        assert!((number("test_mean") - number("val_mean") - 10.0).abs() < 1e-9, "{line}");
        assert!(number("test_std") >= 0.0 && number("repeats") >= 0.0 && number("failed") == 0.0);
    }
    // Every decision adds, so that a climb is straight: 66 is the most there is.
    assert!(lines[1]["val_mean"].as_f64() > lines[0]["val_mean"].as_f64(), "{lines:?}");

    let table = compare(&[]);
    let header = table.lines().nth(2).expect("a header");
    let columns: Vec<&str> = header.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
    assert_eq!(columns, ["strategy", "acc1", "mean_acc", "above random", "repeats", "failed"]);

    let plot = fs::read_to_string(folder.path().join("plot.svg")).expect("a picture");
    assert!(plot.starts_with("<svg") && plot.contains("local, 4 runs"));
    compare(&["--plot", "plot.html"]);
    let page = fs::read_to_string(folder.path().join("plot.html")).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg"));
}

#[test]
fn settings_of_strategies_are_options() {
    let folder = folder();
    fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&SEARCH[..], &["--trials", "4"], more].concat()
    }
    let evolution = ["--strategy", "evolution", "--set", "evolution.population=9"];
    fine(folder.path(), &with(&evolution));
    let config = "runs/nasbench_macro-table-evolution-0/config.toml";
    let config = fs::read_to_string(folder.path().join(config)).expect("a configuration");
    assert!(config.contains("\npopulation = 9\n"), "{config}");
    fine(folder.path(), &with(&["--strategy", "ppo", "--set", "ppo.target_kl=none"]));
    let config = "runs/nasbench_macro-table-ppo-0/config.toml";
    let config = fs::read_to_string(folder.path().join(config)).expect("a configuration");
    assert!(!config.contains("target_kl"), "{config}");
    for (arguments, expected) in [
        (
            ["evolution", "evolution.populatoin=9"],
            "there is no setting `evolution.populatoin`; did you mean `population`?",
        ),
        (["evolution", "ppo.lr=1"], "`ppo` is not in use; in use: evolution"),
        (["evolution", "population=9"], "is not of the form STRATEGY.KEY=VALUE"),
        (["evolution", "evolution.population"], "is not of the form KEY=VALUE"),
        (["evolution", "evolution.population=many"], "`evolution.population`: invalid type"),
        (["evolution", "evolution.population=2"], "population is 2: it must be at least"),
        (["random", "random.batch=9"], "random search has no settings"),
    ] {
        let [strategy, assignment] = arguments;
        let more = ["--strategy", strategy, "--set", assignment, "--name", "other"];
        let message = refused(folder.path(), &with(&more));
        assert!(message.contains(expected), "{assignment}: {message}");
    }
}

#[test]
fn evaluators_that_make_no_sense_are_refused() {
    let folder = folder();
    for (args, expected) in [
        (&["search", "--evaluator", "oracle"][..], "none of `train`, `table:FILE`"),
        (&["search", "--evaluator", "table:none.csv"], "cannot read `none.csv`"),
        (&["search", "--compare", "ppo,random"], "only to be had from `--evaluator table:FILE`"),
        (&["search", "--evaluator", "table:bench.csv"], "table-reward is missing: name the column"),
        (
            &["search", "nasbench201_space", "--evaluator", "table:bench.csv"],
            "table-reward is `c10_valid_12`: `bench.csv` has the columns arch, acc1, mean_acc",
        ),
    ] {
        let message = refused(folder.path(), args);
        assert!(message.contains(expected), "{args:?}: {message}");
        assert!(!folder.path().join("runs").exists());
    }
    let twice = [&SEARCH[..], &["--compare", "ppo,ppo"]].concat();
    assert!(refused(folder.path(), &twice).contains("compare is ppo: it is there twice"));
}

#[cfg(unix)]
#[test]
fn a_program_scores_what_a_search_finds() {
    let folder = folder();
    let script = "n=$(grep -c inverted); echo \"{\\\"reward\\\": 0.$n}\"";
    fs::write(folder.path().join("score.sh"), script).expect("written");
    let report = fine(
        folder.path(),
        &[
            "search",
            "nasbench_macro_space",
            "--evaluator",
            "command:sh score.sh",
            "--trials",
            "6",
            "--strategy",
            "random",
            "--workers",
            "2",
        ],
    );
    assert!(report.contains("6 trials by `sh score.sh` by random"), "{report}");
    let ledger = folder.path().join("runs/nasbench_macro-command-random-0/ledger.jsonl");
    let ledger = fs::read_to_string(ledger).expect("a ledger");
    assert_eq!(ledger.matches("\"status\":\"ok\"").count(), 6, "{ledger}");
}

/// Trials and texts of the table that is printed for a front.
fn front(report: &str) -> Vec<Vec<String>> {
    let rows = report.lines().skip_while(|line| !line.starts_with("Pareto front of ")).skip(2);
    let row = |line: &str| {
        let cells = line.split("  ").map(|cell| cell.trim().to_owned());
        cells.filter(|cell| !cell.is_empty()).collect()
    };
    rows.take_while(|line| !line.starts_with("front ")).map(row).collect()
}

#[test]
fn a_front_is_printed_and_kept() {
    let folder = folder();
    let more = ["--trials", "64", "--strategy", "evolution", "--pareto", "accuracy,params"];
    let report = fine(folder.path(), &[&SEARCH[..], &more].concat());
    let run = folder.path().join("runs/nasbench_macro-table-evolution-0");
    let rows = front(&report);
    let kept = fs::read_to_string(run.join("front.jsonl")).expect("a front");
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() > 2 && rows.len() == kept.len(), "{report}");
    for (row, record) in rows.iter().zip(&kept) {
        assert_eq!(row[0], record["trial"].to_string());
        assert_eq!(row[1], format!("{:.2} %", 100.0 * record["reward"].as_f64().unwrap()));
        assert_eq!(row[2].replace(',', ""), record["params"].to_string());
        assert_eq!(record["costs"]["params"].as_f64(), record["params"].as_f64());
    }
    assert_eq!(fs::read_dir(run.join("front")).expect("a folder").count(), kept.len());

    let ppo = [&SEARCH[..], &["--strategy", "ppo", "--pareto", "accuracy,macs"]].concat();
    let message = refused(folder.path(), &ppo);
    assert!(message.contains("a Pareto front is for `evolution` and `random`"), "{message}");
    let size = refused(folder.path(), &[&SEARCH[..], &["--pareto", "accuracy,size"]].concat());
    assert!(
        size.contains("`size` is none of `accuracy`, `params`, `macs` and `latency`"),
        "{size}"
    );
}

#[test]
fn limits_are_kept_to() {
    let folder = folder();
    let limited = |limits: &[&str], name: &str| -> Vec<String> {
        let mut args: Vec<&str> = SEARCH.to_vec();
        args.extend(["--trials", "24", "--strategy", "random", "--name", name]);
        limits.iter().for_each(|limit| args.extend(["--require", limit]));
        args.into_iter().map(str::to_owned).collect()
    };
    let run = |limits: &[&str], name: &str| {
        let args = limited(limits, name);
        fine(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let ledger = |name: &str| -> Vec<Value> {
        let path = folder.path().join("runs").join(name).join("ledger.jsonl");
        let text = fs::read_to_string(path).expect("a ledger");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    run(&["params<=43k", "macs(nasbench_macro 1@256)<=50M"], "limited");
    let costs = |line: &Value, cost: &str| line["costs"][cost].as_f64().expect("a cost");
    for line in ledger("limited") {
        assert!(line["params"].as_f64() <= Some(43e3), "{line}");
        assert_eq!(Some(costs(&line, "params")), line["params"].as_f64());
        assert!(costs(&line, "macs(nasbench_macro 1@256)") <= 50e6, "{line}");
    }
    let slow = run(&["latency<=0.001us"], "slow");
    assert!(
        slow.contains(
            "none of 24 trials is within the limits\nlatency <= 0.000001 ms: the least was "
        ),
        "{slow}"
    );
    for line in ledger("slow") {
        assert_eq!(line["failure"]["kind"], "too_slow");
        assert!(costs(&line, "latency") > 0.0 && line["params"].as_u64() > Some(0), "{line}");
    }
    let none = limited(&["params<=10"], "none");
    let none = refused(folder.path(), &none.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(none.contains("meets `params <= 10`, found params = "), "{none}");
    assert!(!folder.path().join("runs/none").exists());
}

#[test]
fn the_best_of_a_race_are_trained_again() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let args = [
        "search",
        "nasbench201_space",
        "--limit",
        "120",
        "--base",
        "2",
        "--batch",
        "20",
        "--strategy",
        "evolution",
        "--set",
        "evolution.batch_size=4",
        "--trials",
        "8",
        "--budget",
        "halving:1,2",
        "--retrain",
        "2",
        "--retrain-epochs",
        "4",
        "--prefilter",
        "naswot:2",
    ];
    let report = fine(folder.path(), &args);
    let run = folder.path().join("runs/nasbench201-digits-evolution-0");
    let again = fs::read_to_string(run.join("retrained.jsonl")).expect("a ledger");
    let again: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|record| record["epochs"] == 4), "{again:?}");
    let reward = |record: &Value| record["reward"].as_f64().expect("a number");
    let best = if reward(&again[1]) > reward(&again[0]) { &again[1] } else { &again[0] };
    let last = report.lines().last().expect("a line");
    let expected = format!(
        "runs/nasbench201-digits-evolution-0/cells/{:04}-",
        best["trial"].as_u64().unwrap()
    );
    assert!(last.starts_with(&format!("best {expected}")), "{last}");
    let cut =
        [&args[..10], &["--trials", "10", "--budget", "halving:1,2", "--name", "cut"]].concat();
    let cut = refused(folder.path(), &[&cut[..], &["--set", "evolution.batch_size=4"]].concat());
    assert!(cut.contains("it must be a multiple of 4, such as 12"), "{cut}");
}

#[test]
fn scores_of_fresh_networks_are_no_percentages() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let common =
        ["search", "nasbench201_space", "--base", "2", "--trials", "4", "--strategy", "random"];
    for (score, digits) in [("synflow", 3), ("naswot", 3), ("params", 3)] {
        let evaluator = format!("proxy:{score}");
        let report = fine(folder.path(), &[&common[..], &["--evaluator", &evaluator]].concat());
        let last = report.lines().last().expect("a line");
        let at = last.find(&format!(", {score} ")).expect("the score is named");
        let value = last[at..].split([' ', ')', ';']).nth(2).expect("a value");
        assert_eq!(value.split_once('.').map(|(_, digits)| digits.len()), Some(digits), "{last}");
        assert!(last.contains("cellc train ") || last.contains(" train runs/"), "{last}");
    }
    let unknown = refused(folder.path(), &[&common[..], &["--evaluator", "proxy:grasp"]].concat());
    assert!(unknown.contains("`grasp` is none of `synflow`, `naswot` and `params`"), "{unknown}");
}

#[test]
fn shared_weights_choose_what_is_trained_and_stand_beside_other_strategies() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let common = "search nasbench201_space --limit 120 --base 2 --batch 20 --epochs 1";
    let common: Vec<&str> = common.split(' ').collect();
    let enas = "--strategy enas --set enas.epochs=2 --set enas.controller_updates=1 --trials 2";
    let enas: Vec<&str> = enas.split(' ').collect();
    let report = fine(folder.path(), &[&common[..], &enas].concat());
    assert!(report.contains("2 trials on digits --limit 120 by enas"), "{report}");
    let run = folder.path().join("runs/nasbench201-digits-enas-0");
    let ledger = fs::read_to_string(run.join("ledger.jsonl")).expect("a ledger");
    assert_eq!(ledger.matches("\"strategy\":\"enas\"").count(), 2, "{ledger}");
    let page = fs::read_to_string(run.join("report.html")).expect("a report");
    assert!(page.contains("<h2>Shared weights</h2>\n<p>2 epochs; "), "{page}");

    let beside = ["--beside", "runs/nasbench201-digits-enas-0"];
    let random = ["--strategy", "random", "--trials", "3"];
    fine(folder.path(), &[&common[..], &random, &beside].concat());
    let page = folder.path().join("runs/nasbench201-digits-random-0/report.html");
    let page = fs::read_to_string(page).expect("a report");
    assert!(page.contains("<h2>Strategies compared</h2>"), "{page}");
    assert!(page.contains("<td>nasbench201-digits-enas-0</td><td>enas</td><td>2</td>"), "{page}");
    assert!(!page.contains("another space or evaluator"), "{page}");

    let nowhere = [&common[..], &random, &["--beside", "runs/none", "--name", "other"]].concat();
    assert!(refused(folder.path(), &nowhere).contains("runs/none/config.toml"));
    let table = [&SEARCH[..], &["--strategy", "enas", "--trials", "2"]].concat();
    let message = refused(self::folder().path(), &table);
    assert!(message.contains("only children that are trained here share weights"), "{message}");
}
