//! The evaluator that looks up: rewards of a tabular benchmark, which has trained every point before.
//!
//! The table is a file of comma-separated values with a row for each architecture. One column names the
//! architectures in the way of a [`KeyFormat`]; another has the rewards that a search sees; a third may have
//! what is reported of the architecture that was found, and no strategy sees it. NAS-Bench-201 and
//! NAS-Bench-Macro are known by the names of their spaces, so that for them the file is enough.
//!
//! # Units
//! Rewards and reported values are shares. A column with a value above 1 is taken for percent.
//!
//! # Identity
//! Points of one [class](crate::compile::class_id) have one id: in NAS-Bench-201 two cells that compute the
//! same were trained apart, and a search sees the score of the one it met first.

mod csv;
mod key;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub use csv::Table;
use key::Key;
pub use key::KeyFormat;
use serde::{Deserialize, Serialize};

use super::architecture::{Architectures, ChildScale, SpaceFault};
use super::evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
use super::identity::text_hash;
use super::objective::NetScale;
use super::task::{Scoring, Task};
use crate::error::Error;
use crate::graph::Graph;
use crate::graph::cost::Counts;
use crate::graph::lower::Scale;
use crate::rng::{Purpose, stream};
use crate::source::{Loader, SourceFile};
use crate::space::{Genotype, Requirements, SearchSpace};

/// Points that are looked up before a search, to see whether space and table fit at all.
const PROBES: u64 = 64;

/// Which columns of a table mean what; what is `None` is known from the name of the space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// The column that names architectures; `genotype={*}` for a space that is not known.
    pub key: Option<KeyFormat>,
    /// The column of rewards.
    pub reward: Option<String>,
    /// The column reported of the best; no column for a space that is not known, or a table without it.
    pub report: Option<String>,
}

impl TableConfig {
    /// The columns of a benchmark whose space is in the library of cells.
    fn known(space: &str) -> Option<Self> {
        let (column, pattern, words, reward, report): (_, _, &[&str], _, _) = match space {
            // Dong and Yang, ICLR 2020: validation after 12 epochs, test after 200.
            "nasbench201" => (
                "cell",
                "|{0}~0|+|{1}~0|{2}~1|+|{3}~0|{4}~1|{5}~2|",
                &["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"],
                "c10_valid_12",
                "c10_test_200",
            ),
            // Su et al., CVPR 2021: one training, and the mean of three.
            "nasbench_macro" => ("arch", "{0}{1}{2}{3}{4}{5}{6}{7}", &[], "acc1", "mean_acc"),
            _ => return None,
        };
        let words = words.iter().map(ToString::to_string).collect();
        Some(TableConfig {
            key: Some(KeyFormat { column: column.into(), pattern: pattern.into(), words }),
            reward: Some(reward.into()),
            report: Some(report.into()),
        })
    }
}

/// What a table has on one architecture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The reward, a share.
    pub reward: f64,
    /// The reported value, a share; `None` without such a column.
    pub report: Option<f64>,
}

/// Looks up points of one space.
#[derive(Debug)]
pub struct TableEvaluator {
    architectures: Architectures,
    key: Key,
    format: KeyFormat,
    /// Name of the table's file without its folder.
    table_name: String,
    /// Hash of all of the table.
    whole_hash: String,
    /// Hash of all keys and rewards.
    table_hash: String,
    reward: Column,
    report: Option<Column>,
    /// By key: reward and reported value in the table's own units.
    scores: BTreeMap<String, (f64, Option<f64>)>,
    /// Ids that were asked for before.
    ids: Memory<String>,
    /// Scales and counts that were asked for before.
    networks: Memory<Result<(Scale, Counts), Failure>>,
}

/// What was made of points before.
type Memory<T> = Mutex<BTreeMap<Genotype, T>>;

/// A column of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What 1 is in its units: 1 or 100.
    pub whole: f64,
}

impl TableEvaluator {
    /// An evaluator of the space in `source`, which may use files that `loader` finds. `scale` decides
    /// which parameters and multiply-adds are recorded.
    ///
    /// # Errors
    /// [`SpaceFault::Cells`] if the file has faults; [`SpaceFault::Request`] if it holds no space, a column
    /// is not there, a value is no accuracy, two rows have one key, or none of some points of the
    /// space is in the table.
    pub fn new(
        source: &SourceFile,
        loader: &dyn Loader,
        table: &Table,
        config: &TableConfig,
        scale: ChildScale,
    ) -> Result<Self, SpaceFault> {
        let architectures = Architectures::new(source, loader, scale)?;
        let space = architectures.space();
        let known = TableConfig::known(&space.name).unwrap_or_default();
        let format = config.key.clone().or(known.key).unwrap_or_else(|| KeyFormat {
            column: "genotype".into(),
            pattern: "{*}".into(),
            words: Vec::new(),
        });
        let key = Key::new(&format, space)?;
        let reward = config.reward.clone().or(known.reward).ok_or_else(|| Error::Config {
            setting: "table-reward",
            value: "missing".into(),
            reason: format!("name the column of rewards; {}", columns(table)),
        })?;
        let has = |name: &String| table.columns().contains(name);
        let report = config.report.clone().or(known.report.filter(has));
        let (reward, rewards) = numbers(table, "table-reward", reward)?;
        let reports = match report {
            Some(name) => Some(numbers(table, "table-report", name)?),
            None => None,
        };
        let scores = scores(table, &format, &rewards, reports.as_ref().map(|found| &found.1[..]))?;
        let evaluator = TableEvaluator {
            table_name: file_name(table.path()),
            whole_hash: table.hash(),
            table_hash: hash(&scores),
            report: reports.map(|found| found.0),
            architectures,
            key,
            format,
            reward,
            scores,
            ids: Mutex::default(),
            networks: Mutex::default(),
        };
        evaluator.probe()?;
        Ok(evaluator)
    }

    /// The space that is searched.
    pub fn space(&self) -> &SearchSpace {
        self.architectures.space()
    }

    /// The column of rewards.
    pub fn reward_column(&self) -> &Column {
        &self.reward
    }

    /// The column of reported values.
    pub fn report_column(&self) -> Option<&Column> {
        self.report.as_ref()
    }

    /// What the table has on a point, in shares.
    ///
    /// # Errors
    /// [`FailureKind::Rejected`] for a point that is not in the table.
    pub fn score(&self, genotype: &Genotype) -> Result<Score, Failure> {
        let key = self.key.of(genotype, self.space());
        let (reward, report) = self.scores.get(&key).ok_or_else(|| {
            let column = &self.format.column;
            Failure::new(FailureKind::Rejected, format!("the table has no {column} `{key}`"))
        })?;
        let report = report.zip(self.report.as_ref()).map(|(value, column)| value / column.whole);
        Ok(Score { reward: reward / self.reward.whole, report })
    }

    /// The same for a point that may be scored.
    ///
    /// # Errors
    /// As [`evaluate`](Evaluator::evaluate).
    pub(super) fn admitted(&self, genotype: &Genotype) -> Result<Score, Failure> {
        self.sized(genotype)?;
        self.score(genotype)
    }

    /// Scale and counts of a point that may be scored; each is made once.
    fn sized(&self, genotype: &Genotype) -> Result<(Scale, Counts), Failure> {
        remembered(&self.networks, genotype, || {
            let (lowered, counts) = self.architectures.admitted(genotype)?;
            Ok((lowered.scale, counts))
        })
    }

    /// Refuses a table in which none of some points of the space is.
    fn probe(&self) -> Result<(), Error> {
        let space = self.space();
        let probe = |index| space.sample(&mut stream(0, Purpose::Sample, index));
        if (0..PROBES).any(|index| self.score(&probe(index)).is_ok()) {
            return Ok(());
        }
        let first = self.scores.keys().next().map_or("none", String::as_str);
        Err(Error::Config {
            setting: "table-key",
            value: format!("`{}`", self.format),
            reason: format!(
                "a point of space `{}` is then called `{}`, and neither that nor {} others are in the \
                 table, which has `{first}`",
                space.name,
                self.key.of(&probe(0), space),
                PROBES - 1,
            ),
        })
    }
}

/// A column of accuracies with its values.
fn numbers(
    table: &Table,
    setting: &'static str,
    name: String,
) -> Result<(Column, Vec<f64>), Error> {
    let fields = table.column(&name).ok_or_else(|| no_column(table, setting, &name))?;
    let mut values = Vec::new();
    for (line, field) in fields {
        let value: Option<f64> = field.parse().ok();
        let value = value.filter(|value| (0.0..=100.0).contains(value)).ok_or_else(|| {
            table.fault(
                line,
                format!("`{field}` in column `{name}` is no accuracy, 0 to 1 or 0 to 100"),
            )
        })?;
        values.push(value);
    }
    let whole = if values.iter().any(|&value| value > 1.0) { 100.0 } else { 1.0 };
    Ok((Column { name, whole }, values))
}

/// The scores by key.
fn scores(
    table: &Table,
    format: &KeyFormat,
    rewards: &[f64],
    reports: Option<&[f64]>,
) -> Result<BTreeMap<String, (f64, Option<f64>)>, Error> {
    let keys = table
        .column(&format.column)
        .ok_or_else(|| no_column(table, "table-key", &format.column))?;
    let mut scores = BTreeMap::new();
    for (row, (line, key)) in keys.enumerate() {
        let score = (rewards[row], reports.map(|reports| reports[row]));
        if scores.insert(key.to_owned(), score).is_some() {
            let fault = format!("`{key}` in column `{}` is there twice", format.column);
            return Err(table.fault(line, fault));
        }
    }
    Ok(scores)
}

/// What of a table decides over a search.
fn hash(scores: &BTreeMap<String, (f64, Option<f64>)>) -> String {
    let rows = scores.iter().map(|(key, (reward, _))| format!("{key},{reward:?}\n"));
    text_hash(&rows.collect::<String>())
}

fn no_column(table: &Table, setting: &'static str, name: &str) -> Error {
    Error::Config { setting, value: format!("`{name}`"), reason: columns(table) }
}

fn columns(table: &Table) -> String {
    format!("`{}` has the columns {}", table.path().display(), table.columns().join(", "))
}

/// What `make` gives, from memory if it was made before. Two threads may make the same at the same time.
fn remembered<T: Clone>(memory: &Memory<T>, genotype: &Genotype, make: impl FnOnce() -> T) -> T {
    let lock = || memory.lock().unwrap_or_else(PoisonError::into_inner);
    let known = lock().get(genotype).cloned();
    known.unwrap_or_else(|| {
        let made = make();
        lock().entry(genotype.clone()).or_insert(made).clone()
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

impl Evaluator for TableEvaluator {
    fn id(&self, genotype: &Genotype) -> String {
        remembered(&self.ids, genotype, || self.architectures.class(genotype))
    }

    fn evaluate(&self, genotype: &Genotype, _seed: u64) -> Result<Evaluation, Failure> {
        let (scale, counts) = self.sized(genotype)?;
        let reward = self.score(genotype)?.reward;
        Ok(Evaluation {
            reward,
            val_accuracy: reward,
            params: counts.params,
            macs: counts.macs,
            scale: scale.to_string(),
            epochs: 0,
        })
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        let table = format!("in table {}", self.table_name);
        let how = format!("Looked up in column {}, not trained", self.reward.name);
        self.architectures.found_text(genotype, provenance, &table, &how)
    }

    fn requirements(&self) -> Requirements<'_> {
        self.architectures.requirements()
    }

    fn network(&self, genotype: &Genotype, at: Option<&NetScale>) -> Result<Graph, String> {
        self.architectures.measured(genotype, at)
    }

    /// Without the column that is reported, which no score depends on.
    fn task(&self) -> Option<Task> {
        let (key, reward) = (Some(self.format.clone()), Some(self.reward.name.clone()));
        let config = TableConfig { key, reward, report: None };
        Some(self.architectures.task(Scoring::Table { table: self.whole_hash.clone(), config }))
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.architectures.settings();
        settings.push(("table".into(), self.table_name.clone()));
        settings.push(("table_hash".into(), self.table_hash.clone()));
        settings.push(("table_key".into(), self.format.to_string()));
        settings.push(("table_reward".into(), self.reward.name.clone()));
        settings
    }
}
