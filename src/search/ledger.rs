//! Ledger lines and the file that holds them.
//!
//! A ledger is append-only JSON, one [`Record`] on each line, and every append has reached the disk
//! before it counts. A line that a kill cut short is removed when the file is opened; any other line
//! that is not a record is an error, never skipped.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::evaluator::{Evaluation, Failure};
use super::objective::pareto::Point;
use super::objective::{Costs, Objective, Objectives};
use super::strategy::{FAILED_REWARD, Scored};
use crate::error::Error;
use crate::space::Genotype;

/// One finished trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Line", try_from = "Line")]
pub struct Record {
    /// Number of the trial, counted from 1.
    pub trial: usize,
    /// [`Evaluator::id`](super::evaluator::Evaluator::id) of the architecture.
    pub id: String,
    /// The architecture.
    pub genotype: Genotype,
    /// Its score, or why it has none.
    pub outcome: Result<Evaluation, Failure>,
    /// What it costs, as far as limits or a Pareto front ask.
    pub costs: Costs,
    /// Epochs and reward wherever a [budget](super::budget) looked at it.
    pub curve: Vec<(usize, f64)>,
    /// What the network of a failed trial counts, if it has one; that of others is in the outcome.
    pub failed_size: Option<Size>,
    /// The earlier trial of the same architecture that this one's outcome was taken from.
    pub repeat_of: Option<usize>,
    /// Name of the strategy.
    pub strategy: String,
    /// Seed of the search.
    pub seed: u64,
    /// Seed of the training.
    pub train_seed: u64,
    /// Wall-clock time of the evaluation in seconds, 0 for a repeat. The only field that differs
    /// between two runs of the same search.
    pub secs: f64,
}

/// What a network counts, at the scale of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
}

impl Record {
    /// Epochs that were trained; 0 for a failed trial.
    pub fn epochs(&self) -> usize {
        self.outcome.as_ref().map_or(0, |evaluation| evaluation.epochs)
    }

    /// The reward, [`FAILED_REWARD`] for a failed trial.
    pub fn reward(&self) -> f64 {
        self.outcome.as_ref().map_or(FAILED_REWARD, |evaluation| evaluation.reward)
    }

    /// Where it is among objectives that are all maximized, costs being negative; below everything in all
    /// of them for a failed trial.
    pub fn point(&self, objectives: &[Objective]) -> Point {
        let coordinate = |objective: &Objective| match (&self.outcome, objective) {
            (Err(_), _) => f64::NEG_INFINITY,
            (Ok(evaluation), Objective::Reward) => evaluation.reward,
            (Ok(_), Objective::Cost(measure)) => {
                self.costs.get(&measure.to_string()).map_or(f64::NEG_INFINITY, |cost| -cost)
            }
        };
        objectives.iter().map(coordinate).collect()
    }

    /// The part of the record that a strategy may see.
    pub fn scored(&self, objectives: &Objectives) -> Scored {
        let (genotype, reward) = (self.genotype.clone(), self.reward());
        Scored { genotype, reward, point: self.point(&objectives.pareto) }
    }

    /// The record of a later trial that drew the same architecture.
    pub(super) fn repeated(&self, trial: usize, genotype: Genotype) -> Record {
        Record { trial, genotype, repeat_of: Some(self.trial), secs: 0.0, ..self.clone() }
    }
}

/// A record as it is written: flat, with every number in one place, so that it loads as a table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    trial: usize,
    id: String,
    genotype: Genotype,
    status: Status,
    reward: f64,
    val_accuracy: Option<f64>,
    params: Option<u64>,
    macs: Option<u64>,
    scale: Option<String>,
    epochs: Option<usize>,
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Costs::is_empty")]
    costs: Costs,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    curve: Vec<(usize, f64)>,
    repeat_of: Option<usize>,
    strategy: String,
    seed: u64,
    train_seed: u64,
    secs: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Failed,
}

impl From<Record> for Line {
    fn from(record: Record) -> Line {
        let reward = record.reward();
        let Record {
            trial,
            id,
            genotype,
            outcome,
            costs,
            curve,
            failed_size,
            repeat_of,
            strategy,
            seed,
            train_seed,
            secs,
        } = record;
        let (status, evaluation, failure) = match outcome {
            Ok(evaluation) => (Status::Ok, Some(evaluation), None),
            Err(failure) => (Status::Failed, None, Some(failure)),
        };
        let of_evaluation = |found: &Evaluation| Size { params: found.params, macs: found.macs };
        let size = evaluation.as_ref().map(of_evaluation).or(failed_size);
        Line {
            trial,
            id,
            genotype,
            status,
            reward,
            val_accuracy: evaluation.as_ref().map(|evaluation| evaluation.val_accuracy),
            params: size.map(|size| size.params),
            macs: size.map(|size| size.macs),
            epochs: evaluation.as_ref().map(|evaluation| evaluation.epochs),
            scale: evaluation.map(|evaluation| evaluation.scale),
            failure,
            costs,
            curve,
            repeat_of,
            strategy,
            seed,
            train_seed,
            secs,
        }
    }
}

impl TryFrom<Line> for Record {
    type Error = &'static str;

    fn try_from(line: Line) -> Result<Record, Self::Error> {
        let outcome = match line {
            Line {
                status: Status::Ok,
                reward,
                val_accuracy: Some(val_accuracy),
                params: Some(params),
                macs: Some(macs),
                scale: Some(scale),
                epochs: Some(epochs),
                failure: None,
                ..
            } => Ok(Evaluation { reward, val_accuracy, params, macs, scale, epochs }),
            Line { status: Status::Failed, failure: Some(failure), .. } => Err(failure),
            _ => return Err("`status` does not fit the other fields"),
        };
        let failed_size = match (&outcome, line.params, line.macs) {
            (Err(_), Some(params), Some(macs)) => Some(Size { params, macs }),
            _ => None,
        };
        let Line { trial, id, genotype, costs, curve, repeat_of, strategy, .. } = line;
        let Line { seed, train_seed, secs, .. } = line;
        Ok(Record {
            trial,
            id,
            genotype,
            outcome,
            costs,
            curve,
            failed_size,
            repeat_of,
            strategy,
            seed,
            train_seed,
            secs,
        })
    }
}

/// Records as the lines of a ledger.
pub(super) fn lines<'r>(records: impl IntoIterator<Item = &'r Record>) -> String {
    let line = |record| {
        serde_json::to_string(record).expect("records are plain data with text keys") + "\n"
    };
    records.into_iter().map(line).collect()
}

/// The records of a file that a search may be writing to.
///
/// # Errors
/// [`Error::Read`], or [`Error::Ledger`] for a line that is no record.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, Error> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    parse(path, whole_lines(&bytes))
}

/// A file's bytes without a last line that was cut short.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)]
}

fn parse(path: &Path, lines: &[u8]) -> Result<Vec<Record>, Error> {
    let record = |(index, line)| {
        serde_json::from_slice(line).map_err(|error| Error::Ledger {
            path: path.to_owned(),
            line: index + 1,
            fault: error.to_string(),
        })
    };
    lines.split_inclusive(|&byte| byte == b'\n').enumerate().map(record).collect()
}

/// An open file of records.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    file: File,
}

impl RecordFile {
    /// Opens or creates the file and reads what it holds, without a last line that was cut short.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Record>), Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::write(path))?;
        // Two searches that write one ledger would ruin it. The lock ends with the process; a file
        // system that has no locks is used without one.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let source =
                io::Error::new(io::ErrorKind::WouldBlock, "another search is writing to it");
            return Err(Error::Write { path: path.to_owned(), source });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::read(path))?;
        let whole = whole_lines(&bytes);
        if whole.len() < bytes.len() {
            file.set_len(whole.len() as u64).map_err(Error::write(path))?;
            file.sync_data().map_err(Error::write(path))?;
        }
        let records = parse(path, whole)?;
        Ok((RecordFile { path: path.to_owned(), file }, records))
    }

    /// Appends records; when it returns they are on the disk.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), Error> {
        let lines = lines(records);
        self.file.write_all(lines.as_bytes()).map_err(Error::write(&self.path))?;
        self.file.sync_data().map_err(Error::write(&self.path))
    }

    /// Removes all records.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::write(&self.path))?;
        self.file.sync_data().map_err(Error::write(&self.path))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
