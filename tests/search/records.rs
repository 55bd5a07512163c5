//! What a run folder holds, whoever did the work.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cellc::search::{Failure, FailureKind, StrategyConfig, space_hash};

use crate::table::*;

#[test]
fn workers_of_uneven_speed_write_the_same_files() {
    for (space, strategy) in [
        (flat_space(6, 3), ppo()),
        (nested_space(), ppo()),
        (nested_space(), StrategyConfig::Random),
    ] {
        let mut runs = Vec::new();
        for workers in [1, 3] {
            let mut table =
                Table::new(matches).slowed(|choice| Duration::from_millis(3 * (3 - choice)));
            table.ignored = Some(1);
            let dir = tempfile::tempdir().unwrap();
            let config = config(strategy.clone(), 40, workers);
            let history = search(&space, &table, &config, &new(dir.path())).unwrap();
            let mut evaluated = table.evaluated();
            evaluated.sort();
            assert_eq!(ledger(dir.path()).lines().count(), 40);
            runs.push((contents(dir.path()), evaluated, history));
        }
        assert_eq!(runs[0], runs[1]);
    }
}

/// Records reach the disk as soon as they exist, in order or not.
#[test]
fn a_trial_that_ends_early_waits_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let pending = dir.path().join("pending.jsonl");
    let calls = AtomicUsize::new(0);
    let mut table = Table::new(matches);
    let waited = pending.clone();
    // The first evaluation to begin ends only when two later ones are on the disk.
    table.pause = Box::new(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            let deadline = Instant::now() + Duration::from_secs(20);
            while fs::read_to_string(&waited).unwrap().lines().count() < 2 {
                assert!(Instant::now() < deadline, "no trial is pending");
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let (space, config) = (flat_space(6, 3), config(ppo(), 8, 2));
    let history = search(&space, &table, &config, &new(dir.path())).unwrap();
    assert!(history.trials.iter().all(|trial| trial.outcome.is_ok()), "{history:?}");
    assert_eq!(fs::read_to_string(&pending).unwrap(), "");
}

#[test]
fn a_line_and_a_cell_have_the_documented_form() {
    let dir = tempfile::tempdir().unwrap();
    let (space, table) = (flat_space(4, 3), Table::new(matches));
    search(&space, &table, &config(ppo(), 3, 1), &new(dir.path())).unwrap();
    let ledger = ledger(dir.path());
    let line: serde_json::Value = serde_json::from_str(ledger.lines().nth(1).unwrap()).unwrap();
    let (id, seed) = table.evaluated()[1].clone();
    let choices: Vec<u32> = id.chars().map(|digit| digit.to_digit(36).unwrap()).collect();
    assert_eq!(line["trial"], 2);
    assert_eq!(line["id"], id);
    assert_eq!(line["genotype"], serde_json::json!(choices));
    assert_eq!(line["status"], "ok");
    assert_eq!(line["reward"], line["val_accuracy"]);
    assert_eq!(line["params"], 1000 + choices[0]);
    assert_eq!(line["macs"], 2000);
    assert_eq!(line["scale"], "1@96");
    assert_eq!(line["epochs"], 3);
    assert_eq!(line["strategy"], "ppo");
    assert_eq!(line["seed"], 7);
    assert_eq!(line["train_seed"], seed);
    assert!(line["repeat_of"].is_null() && line["failure"].is_null() && line["secs"] == 0.0);

    let cell = fs::read_to_string(dir.path().join(format!("cells/0002-{id}.cell"))).unwrap();
    let header = format!(
        "/// Found by `cellc search`: space flat (hash {}), ppo, seed 7, trial 2, \
         reward {:.4} on a table.\n",
        space_hash(&space),
        line["reward"].as_f64().unwrap()
    );
    assert!(cell.starts_with(&header), "{cell}");
}

#[test]
fn the_settings_are_written_out() {
    let dir = tempfile::tempdir().unwrap();
    search(&flat_space(4, 3), &Table::new(matches), &config(ppo(), 1, 1), &new(dir.path()))
        .unwrap();
    insta::assert_snapshot!(fs::read_to_string(dir.path().join("config.toml")).unwrap());
}

#[test]
fn the_best_cell_is_a_copy_of_the_first_best_trial() {
    let dir = tempfile::tempdir().unwrap();
    let (space, table) = (flat_space(5, 3), Table::new(matches));
    let history = search(&space, &table, &config(ppo(), 30, 2), &new(dir.path())).unwrap();
    let best = history.best.unwrap();
    let reward = history.trials[best].reward();
    assert!(history.trials[..best].iter().all(|trial| trial.reward() < reward));
    assert!(history.trials.iter().all(|trial| trial.reward() <= reward));
    let id = &history.trials[best].id;
    let cell = fs::read(dir.path().join(format!("cells/{:04}-{id}.cell", best + 1))).unwrap();
    assert_eq!(fs::read(dir.path().join("best.cell")).unwrap(), cell);
}

#[test]
fn equal_architectures_are_evaluated_once() {
    // Nine genotypes; those that differ in the first decision only are equal: three ids. All 100
    // trials are in two batches, so that most repeats are of a trial of the same batch.
    let dir = tempfile::tempdir().unwrap();
    let mut table = Table::new(matches);
    table.ignored = Some(0);
    let config = config(StrategyConfig::Random, 100, 3);
    let history = search(&flat_space(2, 3), &table, &config, &new(dir.path())).unwrap();
    let mut ids: Vec<String> = table.evaluated().into_iter().map(|(id, _)| id).collect();
    ids.sort();
    assert_eq!(ids, ["00", "01", "02"]);
    for record in &history.trials {
        let first = history.trials.iter().find(|other| other.id == record.id).unwrap();
        let repeat_of = (first.trial != record.trial).then_some(first.trial);
        assert_eq!(record.repeat_of, repeat_of);
        assert_eq!(record.outcome, first.outcome);
    }
    assert_eq!(fs::read_dir(dir.path().join("cells")).unwrap().count(), 3);
}

#[test]
fn inactive_decisions_are_recorded_as_0() {
    for strategy in [ppo(), StrategyConfig::Random] {
        let dir = tempfile::tempdir().unwrap();
        let (space, table) = (nested_space(), Table::new(matches));
        let history = search(&space, &table, &config(strategy, 64, 2), &new(dir.path())).unwrap();
        assert!(history.trials.iter().all(|trial| space.contains(&trial.genotype)));
        for option in 0..3 {
            assert!(history.trials.iter().any(|trial| trial.genotype.choices[0] == option));
        }
    }
}

/// Every trial has a row, every link leads somewhere, shares of a choice add up, and what is best is shown.
#[test]
fn the_report_shows_what_the_ledger_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut table = Table::new(|genotype| match genotype.choices[1] {
        0 => Err(Failure::new(FailureKind::TooLarge, "more than 3 < 4")),
        _ => matches(genotype),
    });
    table.ignored = Some(2);
    let space = flat_space(5, 3);
    let history = search(&space, &table, &config(ppo(), 60, 1), &new(dir.path())).unwrap();
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();

    let rows = page.matches("<tr><td>").count();
    assert_eq!(rows, 60);
    let links: Vec<&str> =
        page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(!links.is_empty());
    for link in links {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(page.contains(&format!("id=\"{anchor}\"")), "{link}"),
            None => assert!(dir.path().join(link).is_file(), "{link}"),
        }
    }
    let (failed, repeats): (Vec<_>, Vec<_>) = (
        history.trials.iter().filter(|trial| trial.outcome.is_err()).collect(),
        history.trials.iter().filter(|trial| trial.repeat_of.is_some()).collect(),
    );
    assert!(!failed.is_empty() && !repeats.is_empty());
    assert_eq!(page.matches("too large: more than 3 &lt; 4").count(), failed.len());
    assert_eq!(page.matches("same network as trial").count(), repeats.len());

    let best = &history.trials[history.best.unwrap()];
    let first = page.split("<h3 id=\"").nth(1).unwrap();
    assert!(first.starts_with(&format!("trial-{}\">", best.trial)), "{first}");
    // One chart for the five decisions of the same options, with columns that fill it, each part with its tooltip.
    let chart = page.split("<h2>Choices over time</h2>").nth(1).unwrap();
    let chart = chart.split("</svg>").next().unwrap();
    let heights = chart.split("<rect ").skip(1).map(|rect| {
        let of = |name: &str| {
            let value = rect.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next();
            value.unwrap().parse::<f64>().unwrap()
        };
        assert!(rect.contains(" %</title></rect>"), "{rect}");
        of("width") * of("height")
    });
    let area = heights.sum::<f64>();
    assert!((area / (560.0 * 220.0) - 1.0).abs() < 0.01, "{area}");
    for (trials, option) in [("1 to 8", 0), ("57 to 60", 2)] {
        assert!(chart.contains(&format!("<title>op{option}, trials {trials}: ")), "{chart}");
    }
    // The numbers in a table; each column sums to all, but for rounding.
    let choices = page.split("trials up to").nth(1).unwrap().split("</table>").next().unwrap();
    let shares: Vec<f64> = choices
        .split("&#160;%</td>")
        .filter_map(|cell| cell.rsplit('>').next()?.parse().ok())
        .collect();
    assert_eq!(shares.len(), 3 * 8);
    for part in 0..8 {
        let sum: f64 = shares[part..].iter().step_by(8).sum();
        assert!((sum - 100.0).abs() <= 1.5, "{shares:?}");
    }
}
