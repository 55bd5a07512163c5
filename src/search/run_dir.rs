//! The folder of a run: `config.toml`, `ledger.jsonl`, `pending.jsonl`, `cells/`, `best.cell` and
//! `report.html`; in a search for a Pareto front also `front.jsonl` and `front/`, and where the best are
//! trained again `retrained.jsonl`; weights that a strategy shares are in `shared.safetensors`. A run whose jobs
//! go through a queue also has `queue.id`. A file `.lock` is held by the process that searches.
//!
//! `ledger.jsonl` is the truth and is always in order of trials. A trial that finishes before an
//! earlier one waits in `pending.jsonl`; that file is emptied only after all of it is in the ledger,
//! so a finished trial is in one of the two at every moment, and one that is in both counts once.
//!
//! Only these two are forced to the disk. The cells can be written again from the genotypes, and a
//! resumed run does so where one is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr;

use super::ledger::{Record, RecordFile, lines};
use crate::error::Error;
use crate::space::SearchSpace;
use crate::storage::{self, FolderLock, replace_text};

/// Where a search writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunFolder {
    /// A new run. The folder is made if need be; one with a ledger is refused.
    New(PathBuf),
    /// A run to be continued, or begun if the folder holds none.
    Resume(PathBuf),
}

impl RunFolder {
    /// Where the folder has the cell of a trial.
    pub fn cell_of(record: &Record) -> PathBuf {
        cell_name(record).into()
    }

    /// The name of the run in a queue: that of an earlier process, or `fresh`, which is then on the disk.
    /// The folder must be there.
    #[cfg(feature = "nats")]
    pub(super) fn queue_name(&self, fresh: &str) -> Result<String, Error> {
        let (RunFolder::New(dir) | RunFolder::Resume(dir)) = self;
        let path = dir.join("queue.id");
        if path.try_exists().map_err(Error::read(&path))? {
            return fs::read_to_string(&path).map_err(Error::read(&path));
        }
        storage::write_atomically(&path, fresh.as_bytes())?;
        Ok(fresh.to_owned())
    }
}

/// An open run folder.
#[derive(Debug)]
pub(super) struct RunDir {
    dir: PathBuf,
    ledger: RecordFile,
    pending: RecordFile,
    records: Vec<Record>,
    best: Option<usize>,
    waiting: BTreeMap<usize, Record>,
    /// Trials in `pending.jsonl`, line by line.
    pending_trials: Vec<usize>,
    _lock: FolderLock,
}

impl RunDir {
    /// Opens the folder and reads what an earlier process left there.
    pub(super) fn open(
        folder: &RunFolder,
        config_text: &str,
        space: &SearchSpace,
    ) -> Result<Self, Error> {
        let (RunFolder::New(dir) | RunFolder::Resume(dir)) = folder;
        let (config, ledger) = (dir.join("config.toml"), dir.join("ledger.jsonl"));
        // A folder that was kept under version control may have lost its cells, which can be written again.
        let cells = dir.join("cells");
        fs::create_dir_all(&cells).map_err(Error::write(&cells))?;
        let lock = FolderLock::take(dir, "run")?;
        for folder in [dir, &cells] {
            storage::remove_unfinished(folder, |_| true);
        }
        if ledger.try_exists().map_err(Error::write(&ledger))? {
            match folder {
                RunFolder::New(_) => return Err(Error::RunExists { path: dir.clone() }),
                RunFolder::Resume(_) => check_config(&config, config_text)?,
            }
        } else {
            storage::write_atomically(&config, config_text.as_bytes())?;
        }
        let (ledger, records) = RecordFile::open(&ledger)?;
        let (pending, waiting) = RecordFile::open(&dir.join("pending.jsonl"))?;
        storage::sync_folder(&config)?;
        for (file, records) in [(&ledger, &records), (&pending, &waiting)] {
            for (index, record) in records.iter().enumerate() {
                let fault = if !space.contains(&record.genotype) {
                    format!("genotype {:?} is not in the space", record.genotype.choices)
                } else if ptr::eq(file, &ledger) && record.trial != index + 1 {
                    format!("expected trial {}, found {}", index + 1, record.trial)
                } else {
                    continue;
                };
                return Err(Error::Ledger { path: file.path().to_owned(), line: index + 1, fault });
            }
        }
        let pending_trials = waiting.iter().map(|record| record.trial).collect();
        let waiting = waiting
            .into_iter()
            .filter(|record| record.trial > records.len())
            .map(|record| (record.trial, record))
            .collect();
        let (dir, best) = (dir.clone(), None);
        let mut run =
            RunDir { dir, ledger, pending, records, best, waiting, pending_trials, _lock: lock };
        for index in 0..run.records.len() {
            run.update_best(index);
        }
        Ok(run)
    }

    /// All trials in the ledger; the trial at index `i` is number `i + 1`.
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record with the largest reward, the first of equals, by index.
    pub(super) fn best(&self) -> Option<usize> {
        self.best
    }

    /// A finished trial that waits for an earlier one.
    pub(super) fn waiting(&self, trial: usize) -> Option<&Record> {
        self.waiting.get(&trial)
    }

    /// Takes finished trials with the texts of their cells and moves all trials whose turn has come
    /// into the ledger. `derive` gives the record of the next trial from all earlier ones if it needs
    /// no evaluation. When this returns, all of them are on the disk. Returns the number of records
    /// that are new in the ledger.
    pub(super) fn advance(
        &mut self,
        finished: Vec<(Record, Option<String>)>,
        mut derive: impl FnMut(usize, &[Record]) -> Option<Record>,
    ) -> Result<usize, Error> {
        let mut finished_trials = Vec::with_capacity(finished.len());
        for (record, cell_text) in finished {
            if let Some(text) = cell_text {
                replace_text(&self.cell_path(&record), &text)?;
            }
            finished_trials.push(record.trial);
            self.waiting.insert(record.trial, record);
        }

        let before = self.records.len();
        loop {
            let trial = self.records.len() + 1;
            let waiting = self.waiting.remove(&trial);
            match waiting.or_else(|| derive(trial, &self.records)) {
                Some(record) => self.records.push(record),
                None => break,
            }
        }
        if self.records.len() > before {
            self.ledger.append(&self.records[before..])?;
            let best_before = self.best;
            for index in before..self.records.len() {
                self.update_best(index);
            }
            if self.best != best_before {
                self.write_best()?;
            }
        }

        let early: Vec<Record> =
            finished_trials.iter().filter_map(|trial| self.waiting.get(trial).cloned()).collect();
        if !early.is_empty() {
            self.pending.append(&early)?;
            self.pending_trials.extend(early.iter().map(|record| record.trial));
        }
        Ok(self.records.len() - before)
    }

    /// Writes again what a power cut may have taken: cells that are missing or empty, and `best.cell`.
    pub(super) fn restore_cells(&self, cell_text: impl Fn(&Record) -> String) -> Result<(), Error> {
        for record in self.records.iter().chain(self.waiting.values()) {
            let path = self.cell_path(record);
            let is_first_success = record.outcome.is_ok() && record.repeat_of.is_none();
            if is_first_success && fs::metadata(&path).map_or(true, |file| file.len() == 0) {
                replace_text(&path, &cell_text(record))?;
            }
        }
        self.write_best()
    }

    /// Empties `pending.jsonl` if the ledger has all of it.
    pub(super) fn clear_pending(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() && !self.pending_trials.is_empty() {
            self.pending.clear()?;
            self.pending_trials.clear();
        }
        Ok(())
    }

    /// A fault at the record of `trial`, in whichever file holds it.
    pub(super) fn fault(&self, trial: usize, fault: String) -> Error {
        let (file, line) = match self.pending_trials.iter().position(|&pending| pending == trial) {
            Some(index) if trial > self.records.len() => (&self.pending, index + 1),
            _ => (&self.ledger, trial),
        };
        Error::Ledger { path: file.path().to_owned(), line, fault }
    }

    fn update_best(&mut self, index: usize) {
        let is_better = |best: usize| self.records[index].reward() > self.records[best].reward();
        if self.records[index].outcome.is_ok() && self.best.is_none_or(is_better) {
            self.best = Some(index);
        }
    }

    /// Copies the best trial's cell to `best.cell`.
    fn write_best(&self) -> Result<(), Error> {
        let Some(best) = self.best else { return Ok(()) };
        let cell = self.cell_path(&self.records[best]);
        let text = fs::read_to_string(&cell).map_err(Error::read(&cell))?;
        replace_text(&self.dir.join("best.cell"), &text)
    }

    /// Replaces `front.jsonl`, a ledger of the Pareto front alone, and the cells of `front/`.
    pub(super) fn write_front(&self, front: &[&Record]) -> Result<(), Error> {
        let folder = self.dir.join("front");
        fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        let mut wanted = BTreeSet::new();
        for record in front {
            let cell = self.cell_path(record);
            let copy = folder.join(cell.file_name().expect("a cell's path ends in its name"));
            let text = fs::read_to_string(&cell).map_err(Error::read(&cell))?;
            replace_text(&copy, &text)?;
            wanted.insert(copy);
        }
        for entry in fs::read_dir(&folder).map_err(Error::read(&folder))? {
            let path = entry.map_err(Error::read(&folder))?.path();
            if !wanted.contains(&path) {
                fs::remove_file(&path).map_err(Error::write(&path))?;
            }
        }
        replace_text(&self.dir.join("front.jsonl"), &lines(front.iter().copied()))
    }

    /// The trials that an earlier process has trained again.
    pub(super) fn retrained(&self) -> Result<Vec<Record>, Error> {
        let path = self.dir.join("retrained.jsonl");
        if !path.try_exists().map_err(Error::read(&path))? {
            return Ok(Vec::new());
        }
        Ok(RecordFile::open(&path)?.1)
    }

    /// Replaces `retrained.jsonl`, a ledger of what was trained again.
    pub(super) fn write_retrained(&self, records: &[Record]) -> Result<(), Error> {
        storage::write_atomically(&self.dir.join("retrained.jsonl"), lines(records).as_bytes())
    }

    /// Replaces the report.
    pub(super) fn write_report(&self, page: &str) -> Result<(), Error> {
        replace_text(&self.dir.join("report.html"), page)
    }

    /// Where the folder has a file of this name.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn cell_path(&self, record: &Record) -> PathBuf {
        self.dir.join(cell_name(record))
    }
}

/// Where the cell of a trial is in the folder, `cells/0142-5f3a9c00.cell`: the trial and the start of the id.
pub(super) fn cell_name(record: &Record) -> String {
    let hash8: String = record.id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("cells/{:04}-{hash8}.cell", record.trial)
}

/// Compares the settings of the run with those asked for.
fn check_config(path: &Path, wanted: &str) -> Result<(), Error> {
    let found = fs::read_to_string(path).map_err(Error::read(path))?;
    let (mut found, mut wanted) = (found.lines(), wanted.lines());
    for line in 1.. {
        let (found, wanted) = match (found.next(), wanted.next()) {
            (None, None) => break,
            (found, wanted) if found == wanted => continue,
            (found, wanted) => (found.unwrap_or("nothing"), wanted.unwrap_or("nothing")),
        };
        let fault = format!("this run has `{found}`, the search to be resumed has `{wanted}`");
        return Err(Error::Ledger { path: path.to_owned(), line, fault });
    }
    Ok(())
}
