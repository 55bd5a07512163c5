//! Tables as evaluators, and strategies compared on them. The tables are made here: every point of a space of
//! the library with a reward that is a function of it.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use cellc::compile;
use cellc::search::comparison::{ComparisonConfig, compare, svg};
use cellc::search::{
    ChildScale, Evaluator, FailureKind, SearchConfig, SpaceFault, StrategyConfig, Table,
    TableConfig, TableEvaluator, run,
};
use cellc::source::{Library, SourceFile};
use cellc::space::Genotype;

use crate::strategies::all;
use crate::table::new;

/// Every point of a space of `decisions` decisions of `options` options.
fn points(decisions: u32, options: usize) -> Vec<Vec<usize>> {
    let digits = |mut number: usize| {
        let mut digits = vec![0; decisions as usize];
        for digit in digits.iter_mut().rev() {
            *digit = number % options;
            number /= options;
        }
        digits
    };
    (0..options.pow(decisions)).map(digits).collect()
}

/// A validation accuracy in percent, highest for 2, 2, ..., and a test accuracy beside it.
fn accuracies(choices: &[usize]) -> (f64, f64) {
    let hits = choices.iter().filter(|&&choice| choice == 2).count() as f64;
    let noise = choices.iter().fold(0, |sum, &choice| 31 * sum + choice) % 97;
    (50.0 + 5.0 * hits + noise as f64 / 100.0, 55.0 + 5.0 * hits)
}

/// NAS-Bench-201 as its own files are written.
fn nas_bench_201() -> String {
    let ops = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];
    let mut text = String::from("index,cell,c10_valid_12,c10_test_200\n");
    for (index, point) in points(6, 5).iter().enumerate() {
        let op = |edge: usize| ops[point[edge]];
        let (validation, test) = accuracies(point);
        text += &format!(
            "{index},|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|,{validation:.2},{test:.2}\n",
            op(0),
            op(1),
            op(2),
            op(3),
            op(4),
            op(5)
        );
    }
    text
}

fn evaluator(space: &str, table: &str, config: &TableConfig) -> Result<TableEvaluator, SpaceFault> {
    let text = compile::embedded(space).unwrap();
    let table = Table::parse(Path::new("bench.csv"), table).unwrap();
    let source = SourceFile::new(space, text);
    TableEvaluator::new(&source, &Library, &table, config, ChildScale::default())
}

fn nas_bench_201_evaluator() -> TableEvaluator {
    evaluator("nasbench201_space.cell", &nas_bench_201(), &TableConfig::default()).unwrap()
}

#[test]
fn known_benchmarks_are_looked_up_without_settings() {
    let table = nas_bench_201_evaluator();
    let point = vec![3, 0, 2, 4, 1, 2];
    let (validation, test) = accuracies(&point);
    let genotype = Genotype { choices: point };
    let score = table.score(&genotype).unwrap();
    assert!((score.reward - validation / 100.0).abs() < 1e-9);
    assert!((score.report.unwrap() - test / 100.0).abs() < 1e-9);
    let found = table.evaluate(&genotype, 0).unwrap();
    assert_eq!((found.reward, found.val_accuracy), (score.reward, score.reward));
    assert!(found.params > 0 && found.macs > 0);
    // Two cells of one class, by hand from the benchmark's `to_unique_str`.
    let id = |choices: [usize; 6]| table.id(&Genotype { choices: choices.to_vec() });
    assert_eq!(id([3, 0, 0, 0, 1, 0]), id([0, 0, 0, 3, 2, 0]));
    assert_ne!(id([3, 0, 0, 0, 1, 0]), id([1, 0, 0, 3, 2, 0]));

    let rows: String =
        points(8, 3).iter().map(|point| format!("{},0.5,0.25\n", concatenated(point))).collect();
    let macro_table = format!("arch,acc1,mean_acc\n{rows}");
    let table =
        evaluator("nasbench_macro_space.cell", &macro_table, &TableConfig::default()).unwrap();
    let score = table.score(&Genotype { choices: vec![2, 1, 0, 0, 1, 2, 2, 0] }).unwrap();
    // Nothing is above 1, so these are shares as they stand.
    assert_eq!((score.reward, score.report), (0.5, Some(0.25)));
}

fn concatenated(point: &[usize]) -> String {
    point.iter().map(usize::to_string).collect()
}

#[test]
fn a_table_of_ones_own_says_what_its_columns_are() {
    let rows: String = points(8, 3)
        .iter()
        .map(|point| {
            let words: Vec<&str> = point.iter().map(|&choice| ["a", "b", "c"][choice]).collect();
            format!("{};{},{}\n", words[..4].join(""), words[4..].join(""), accuracies(point).0)
        })
        .collect();
    let config = TableConfig {
        key: Some(cellc::search::KeyFormat {
            words: ["a", "b", "c"].map(str::to_owned).to_vec(),
            ..("name={0}{1}{2}{3};{4}{5}{6}{7}").parse().unwrap()
        }),
        reward: Some("score".into()),
        report: None,
    };
    let table =
        evaluator("nasbench_macro_space.cell", &format!("name,score\n{rows}"), &config).unwrap();
    assert_eq!(table.report_column(), None);
    let point = vec![2, 1, 0, 0, 1, 2, 2, 0];
    let reward = table.score(&Genotype { choices: point.clone() }).unwrap().reward;
    assert!((reward - accuracies(&point).0 / 100.0).abs() < 1e-9);
}

#[test]
fn tables_that_do_not_fit_are_refused_with_their_reason() {
    let space = "nasbench_macro_space.cell";
    let full: String =
        points(8, 3).iter().map(|point| format!("{},0.5,0.5\n", concatenated(point))).collect();
    let header = "arch,acc1,mean_acc\n";
    for (text, config, expected) in [
        (
            format!("{header}{full}"),
            TableConfig { report: Some("test".into()), ..TableConfig::default() },
            "table-report is `test`: `bench.csv` has the columns arch, acc1, mean_acc",
        ),
        (
            format!("{header}00000000,0.5,1\n00000000,0.4,1\n"),
            TableConfig::default(),
            "line 3: `00000000` in column `arch` is there twice",
        ),
        (
            format!("{header}00000000,0.5,1\n00000001,many,1\n"),
            TableConfig::default(),
            "line 3: `many` in column `acc1` is no accuracy",
        ),
        (
            format!("{header}00000000,nan,1\n"),
            TableConfig::default(),
            "line 2: `nan` in column `acc1` is no accuracy",
        ),
        (
            format!("{header}{full}"),
            TableConfig {
                key: Some("arch={0}-{1}{2}{3}{4}{5}{6}{7}".parse().unwrap()),
                ..TableConfig::default()
            },
            "are in the table, which has `00000000`",
        ),
    ] {
        let refused = evaluator(space, &text, &config).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    for (text, expected) in [
        ("", "line 1: it is empty"),
        ("a,b\n", "line 1: there are no rows behind the header"),
        ("a,a\n1,2\n", "line 1: column `a` is there twice"),
        ("a,b\n1,2\n\n1\n", "line 4: 1 fields, the header has 2"),
        ("a,b\n\"1,2\n", "line 2: a quote is not closed"),
    ] {
        let refused = Table::parse(Path::new("t.csv"), text).unwrap_err().to_string();
        assert_eq!(refused, format!("table `t.csv`, {expected}"));
    }
}

#[test]
fn a_point_that_is_not_in_the_table_is_a_failed_trial() {
    let half: String = points(8, 3)
        .iter()
        .filter(|point| point[0] != 1)
        .map(|point| format!("{},0.5,0.5\n", concatenated(point)))
        .collect();
    let text = format!("arch,acc1,mean_acc\n{half}");
    let table = evaluator("nasbench_macro_space.cell", &text, &TableConfig::default()).unwrap();
    let failure = table.evaluate(&Genotype { choices: vec![1; 8] }, 0).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert_eq!(failure.reason, "the table has no arch `11111111`");
}

/// A comparison is the searches that it stands for.
#[test]
fn a_compared_run_is_the_search_with_that_seed() {
    let table = nas_bench_201_evaluator();
    // Not a whole number of batches.
    let (seeds, trials) = (2, 45);
    let config = ComparisonConfig { first_seed: 7, seeds, trials, threads: 2 };
    let contestants = compare(&table, &all(), &config).unwrap();
    for (strategy, contestant) in all().into_iter().zip(&contestants) {
        assert_eq!(contestant.strategy, strategy.name());
        for (seed, found) in (7..).zip(&contestant.runs) {
            let dir = tempfile::tempdir().unwrap();
            let config = SearchConfig {
                seed,
                trials,
                workers: 2,
                strategy: strategy.clone(),
                ..SearchConfig::default()
            };
            let history = run(
                table.space(),
                &table,
                &config,
                &new(dir.path()),
                &|| Duration::ZERO,
                &mut |_| ControlFlow::Continue(()),
            )
            .unwrap();
            let mut best = 0.0;
            let expected: Vec<f64> = history
                .trials
                .iter()
                .map(|trial| {
                    best = f64::max(best, trial.reward());
                    best
                })
                .collect();
            let curve: Vec<f64> = found.best.iter().map(|best| best.unwrap().reward).collect();
            assert_eq!(curve, expected, "{} seed {seed}", strategy.name());
            // The five best of what was evaluated, as a sort has them.
            let mut rewards: Vec<f64> = history
                .trials
                .iter()
                .filter(|trial| trial.repeat_of.is_none())
                .map(cellc::search::Record::reward)
                .collect();
            rewards.sort_by(|a, b| b.total_cmp(a));
            let five = rewards[..5].iter().sum::<f64>() / 5.0;
            assert!((found.tops.last().unwrap()[0] - five).abs() < 1e-12);
            let repeats = history.trials.iter().filter(|trial| trial.repeat_of.is_some()).count();
            assert_eq!(found.repeats, repeats);
            let best = &history.trials[history.best.unwrap()];
            assert_eq!(
                found.best.last().unwrap().unwrap(),
                table.score(&best.genotype).unwrap(),
                "{} seed {seed}",
                strategy.name()
            );
        }
    }
}

#[test]
fn threads_change_nothing_in_a_comparison() {
    let table = nas_bench_201_evaluator();
    let with = |threads| {
        let config = ComparisonConfig { first_seed: 1, seeds: 3, trials: 40, threads };
        let contestants = compare(&table, &all(), &config).unwrap();
        let picture = svg(&contestants, "c10_valid_12", Some("c10_test_200"));
        (contestants, picture)
    };
    let one = with(1);
    assert_eq!(one, with(5));
    // A picture that an XML parser reads, with a line and a band for each strategy in all four charts.
    let document = roxmltree::Document::parse(&one.1).unwrap();
    let count = |attribute| {
        document.descendants().filter(|node| node.attribute(attribute).is_some()).count()
    };
    assert_eq!(count("fill-opacity"), 24);
    let paths: Vec<&str> = document.descendants().filter_map(|node| node.attribute("d")).collect();
    let is_drawn = |path: &&str| path.chars().all(|c| c.is_ascii_digit() || "MLh .".contains(c));
    assert!(paths.len() > 48 && paths.iter().all(is_drawn), "{paths:?}");
}

#[test]
fn a_comparison_of_nothing_is_refused() {
    let table = nas_bench_201_evaluator();
    let fine = ComparisonConfig { first_seed: 0, seeds: 1, trials: 1, threads: 1 };
    for (config, named) in [
        (ComparisonConfig { seeds: 0, ..fine }, "seeds is 0"),
        (ComparisonConfig { trials: 0, ..fine }, "trials is 0"),
        (ComparisonConfig { threads: 0, ..fine }, "workers is 0"),
    ] {
        let refused = compare(&table, &[StrategyConfig::Random], &config).unwrap_err();
        assert!(refused.to_string().contains(named), "{refused}");
    }
}
