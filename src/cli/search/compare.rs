//! `cellc search --compare`: strategies side by side on a tabular benchmark.

use std::path::Path;

use cellc::error::Error;
use cellc::search::comparison::{ComparisonConfig, Contestant, Mean, compare, html, svg};
use cellc::search::table::Column;
use cellc::search::{StrategyConfig, TableEvaluator};
use cellc::storage::write_atomically;
use serde::Serialize;

use super::evaluator::Scorer;
use super::strategy;
use super::workers;
use crate::cli::args::SearchArgs;
use crate::cli::input::Failure;
use crate::cli::output;
use crate::cli::table::table;

/// One strategy, in the units of the table's columns.
#[derive(Serialize)]
struct Line {
    strategy: &'static str,
    trials: usize,
    seeds: usize,
    /// Reward of the best of a run, the mean over runs.
    val_mean: Option<f64>,
    /// Mean reward of the five best of a run, the mean over runs.
    val_top5_mean: Option<f64>,
    /// The same of the 25 best.
    val_top25_mean: Option<f64>,
    /// Reported column of the best of a run by reward, the mean over runs; none without such a column.
    test_mean: Option<f64>,
    /// Its standard deviation over runs.
    test_std: Option<f64>,
    /// Trials of a run that repeat the class of an earlier one, the mean over runs.
    repeats: f64,
    /// Trials of a run without a reward, the mean over runs.
    failed: f64,
}

/// Compares, prints, and draws where that is asked for.
pub fn run(args: &SearchArgs, scorer: &Scorer) -> Result<(), Failure> {
    let Scorer::Table(evaluator) = scorer else {
        return Err(Failure::from(Error::Config {
            setting: "compare",
            value: "without a table".into(),
            reason: "hundreds of searches are only to be had from `--evaluator table:FILE`".into(),
        }));
    };
    let strategies = strategy::resolve(&args.compare, args.preset, &args.set)?;
    let mut names: Vec<&str> = strategies.iter().map(StrategyConfig::name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let (setting, value) = ("compare", twice[0].to_owned());
        let reason = "it is there twice".into();
        return Err(Failure::from(Error::Config { setting, value, reason }));
    }
    let config = ComparisonConfig {
        first_seed: args.seed,
        seeds: args.seeds,
        trials: args.trials,
        threads: workers(args),
    };
    let contestants = compare(evaluator, &strategies, &config)?;
    if let Some(path) = &args.plot {
        draw(path, evaluator, &contestants)?;
    }
    output(&if args.json {
        let lines = contestants.iter().map(|contestant| {
            let line = line(evaluator, contestant, &config);
            serde_json::to_string(&line).expect("a line is plain data") + "\n"
        });
        lines.collect()
    } else {
        report(evaluator, &contestants, &config)
    })
}

fn draw(path: &Path, table: &TableEvaluator, contestants: &[Contestant]) -> Result<(), Error> {
    let is_page = path.extension().is_some_and(|end| end == "html" || end == "htm");
    let picture = if is_page { html } else { svg };
    let report = table.report_column().map(|column| column.name.as_str());
    write_atomically(path, picture(contestants, &table.reward_column().name, report).as_bytes())
}

fn line(table: &TableEvaluator, contestant: &Contestant, config: &ComparisonConfig) -> Line {
    let reward = contestant.reward(config.trials);
    let report = contestant.report(config.trials);
    let whole = table.report_column().map_or(1.0, |column| column.whole);
    let top = |index| {
        let mean = contestant.top(index, config.trials)?;
        Some(mean.mean * table.reward_column().whole)
    };
    Line {
        strategy: contestant.strategy,
        trials: config.trials,
        seeds: config.seeds,
        val_mean: reward.map(|mean| mean.mean * table.reward_column().whole),
        val_top5_mean: top(0),
        val_top25_mean: top(1),
        test_mean: report.map(|mean| mean.mean * whole),
        test_std: report.map(|mean| mean.std * whole),
        repeats: contestant.repeats(),
        failed: contestant.failed(),
    }
}

/// The table for people. Beside random search, if it takes part: how much better, with the standard error
/// of the difference.
fn report(
    table_evaluator: &TableEvaluator,
    contestants: &[Contestant],
    config: &ComparisonConfig,
) -> String {
    let random = contestants.iter().find(|contestant| contestant.strategy == "random");
    let random = random.and_then(|random| random.report(config.trials));
    let reward = table_evaluator.reward_column();
    let report = table_evaluator.report_column();
    let mut header = vec!["strategy".to_owned(), reward.name.clone()];
    if let Some(column) = report {
        header.extend([column.name.clone(), "above random".into()]);
    }
    header.extend(["repeats".to_owned(), "failed".to_owned()]);
    let mut rows = vec![header];
    for contestant in contestants {
        let mut row =
            vec![contestant.strategy.to_owned(), spread(contestant.reward(config.trials), reward)];
        if let Some(column) = report {
            let mean = contestant.report(config.trials);
            row.push(spread(mean, column));
            row.push(match (mean, random) {
                (Some(mean), Some(random)) if contestant.strategy != "random" => {
                    let error = mean.error.hypot(random.error) * column.whole;
                    let difference = (mean.mean - random.mean) * column.whole;
                    format!("{difference:+.3} (error {error:.3})")
                }
                _ => String::new(),
            });
        }
        row.push(format!("{:.1}", contestant.repeats()));
        row.push(format!("{:.1}", contestant.failed()));
        rows.push(row);
    }
    format!(
        "{} trials, {} seeds from {}; of the best by {}: mean ± standard deviation\n\n{}",
        config.trials,
        config.seeds,
        config.first_seed,
        reward.name,
        table(&rows, 1)
    )
}

/// Mean and standard deviation in the units of a column.
fn spread(mean: Option<Mean>, column: &Column) -> String {
    // Two more digits where 1 is all.
    let digits = if column.whole > 1.0 { 3 } else { 5 };
    mean.map_or("none".into(), |mean| {
        format!("{:.digits$} ± {:.digits$}", mean.mean * column.whole, mean.std * column.whole)
    })
}
