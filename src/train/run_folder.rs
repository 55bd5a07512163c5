//! A training run in a folder: enough to go on after the process was killed, and its best model so far.
//!
//! | file | holds | written |
//! |---|---|---|
//! | `last.safetensors` | the [`TrainState`] and what the run is about | as often as [`keep`](RunFolder::keep) is called |
//! | `best.safetensors` | the model of the epoch with the best validation accuracy; without validation images nothing tells which epoch is the best, and it is that of the last | at the end of such an epoch |
//! | `report.html` | curves and numbers for people | at the end of every epoch |
//! | `history.jsonl` | a line for each [`EpochRecord`], with the number of images of each part | at the end of every epoch |
//!
//! A file `.lock` is held by the process that is at the run.
//!
//! Each file is replaced in one step, `last.safetensors` after the others: a run that goes on from it writes
//! again what they may already have, with the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::report;
use super::state::{flat, named};
use super::{Checkpoint, EpochRecord, Progress, TrainSet, TrainState, Trainer};
use crate::error::Error;
use crate::fnv::Fnv1a;
use crate::network::{Network, read_safetensors, write_safetensors};
use crate::storage::{FolderLock, remove_unfinished, replace_text, stream_atomically};

/// The key of the metadata of `last.safetensors`.
pub(super) const KEY: &str = "cellc_run";

/// What the folder holds, as above.
const LAST: &str = "last.safetensors";
const BEST: &str = "best.safetensors";
const REPORT: &str = "report.html";
const HISTORY: &str = "history.jsonl";
const FILES: [&str; 4] = [LAST, BEST, REPORT, HISTORY];

/// The version of [`Stored`].
const FORMAT: u32 = 1;

/// Where a run keeps its state.
#[derive(Clone, Debug)]
pub struct RunFolder {
    dir: PathBuf,
    about: About,
    _lock: Arc<FolderLock>,
}

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    /// Its model, without accuracies.
    model: Checkpoint,
    /// Number of images to learn from, of those held out, and of those that the run never sees.
    images: [usize; 3],
    /// Hash of the parameters and statistics before the first step: those that another model brought.
    #[serde(default)]
    start: String,
}

/// A line of `history.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a EpochRecord,
    train_images: usize,
    val_images: usize,
    test_images: usize,
}

/// What stands beside the tensors.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    about: About,
    progress: Progress,
}

impl RunFolder {
    /// The folder of a new run on `data` whose model is described by `model`, without accuracies. Beside
    /// `data` there are `tests` images, which the run never sees. `network` is as it is before the first step.
    ///
    /// # Errors
    /// [`Error::Config`] if the folder already has a run or a part of one, or another process is at one there;
    /// [`Error::Write`] if it cannot be made.
    pub fn create(
        dir: &Path,
        model: Checkpoint,
        data: &TrainSet<'_>,
        tests: usize,
        network: &Network,
    ) -> Result<Self, Error> {
        let folder = Self::open(dir, model, data, tests, network)?;
        if folder.last().exists() {
            let reason = "the folder already has a run; go on with --resume, or name another";
            return Err(refuse("run", dir, reason.into()));
        }
        folder.check_parts("run")?;
        remove_unfinished(dir, |file| FILES.contains(&file));
        Ok(folder)
    }

    /// The folder of a run that may have begun, and its state if it was kept at least once.
    ///
    /// # Errors
    /// [`Error::Config`] if the run in it is about another model, other data or other settings, if its state is gone
    /// though other files of it are there, or if another process is at it;
    /// [`Error::Checkpoint`] if its state is damaged or of another version; [`Error::Read`];
    /// [`Error::Write`] if there is no folder and it cannot be made.
    pub fn resume(
        dir: &Path,
        model: Checkpoint,
        data: &TrainSet<'_>,
        tests: usize,
        network: &Network,
    ) -> Result<(Self, Option<TrainState>), Error> {
        let folder = Self::open(dir, model, data, tests, network)?;
        let path = folder.last();
        if !path.exists() {
            folder.check_parts("resume")?;
            remove_unfinished(dir, |file| FILES.contains(&file));
            return Ok((folder, None));
        }
        let fault = |fault: String| Error::Checkpoint { path: path.clone(), fault };
        let bytes = fs::read(&path).map_err(Error::read(&path))?;
        let (tensors, metadata) = read_safetensors(&bytes).map_err(fault)?;
        let text =
            metadata.get(KEY).ok_or_else(|| fault(format!("its metadata has no `{KEY}`")))?;
        let stored: Stored = serde_json::from_str(text)
            .map_err(|error| fault(format!("bad metadata `{KEY}`: {error}")))?;
        if stored.format != FORMAT {
            return Err(fault(format!("expected format {FORMAT}, found {}", stored.format)));
        }
        if let Some(what) = difference(&stored.about, &folder.about) {
            return Err(refuse("resume", dir, format!("the run in it differs in its {what}")));
        }
        remove_unfinished(dir, |file| FILES.contains(&file));
        Ok((folder, Some(TrainState { progress: stored.progress, tensors: flat(tensors) })))
    }

    fn open(
        dir: &Path,
        model: Checkpoint,
        data: &TrainSet<'_>,
        tests: usize,
        network: &Network,
    ) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::write(dir))?;
        let lock = Arc::new(FolderLock::take(dir, "run")?);
        let images = [data.train.len(), data.validation.len(), tests];
        let start = hash(network);
        let about = About { model, images, start };
        Ok(RunFolder { dir: dir.into(), about, _lock: lock })
    }

    /// Refuses a folder that has files of a run but not its state: a new one would replace them.
    fn check_parts(&self, setting: &'static str) -> Result<(), Error> {
        match FILES.iter().find(|file| self.dir.join(file).exists()) {
            None => Ok(()),
            Some(file) => {
                let reason = format!(
                    "it has `{file}` of a run whose state, `{LAST}`, is gone; name another folder"
                );
                Err(refuse(setting, &self.dir, reason))
            }
        }
    }

    /// True if the run writes a file at this path itself.
    pub fn holds(&self, path: &Path) -> bool {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize();
        let is_here =
            folder.ok().is_some_and(|folder| self.dir.canonicalize().ok() == Some(folder));
        is_here && FILES.iter().any(|file| path.file_name() == Some(file.as_ref()))
    }

    /// Keeps what the run is at. To be called before the first step, without which [`resume`](Self::resume) takes a
    /// run that was killed while it was kept for the first time for one whose state is gone; between any two steps;
    /// and at least after the last one of every epoch, for its model may be the best.
    ///
    /// # Errors
    /// [`Error::Write`]; those of the trainer's device.
    ///
    /// # Cost
    /// A copy of the trainer's state, and a file of its size that is synced to the disk.
    pub fn keep(&self, trainer: &mut Trainer<'_>) -> Result<(), Error> {
        let state = trainer.state()?;
        let epochs = &state.progress.history.epochs;
        if trainer.is_between_epochs()
            && let Some(last) = epochs.last()
        {
            let earlier = epochs[..epochs.len() - 1].iter().filter_map(|epoch| epoch.val_accuracy);
            let best = earlier.fold(f64::NEG_INFINITY, f64::max);
            // The loss would be no judge: drop path lets that of a better network rise.
            if last.val_accuracy.is_none_or(|accuracy| accuracy > best) {
                let model = self.about.model.clone();
                let model = Checkpoint { val_accuracy: last.val_accuracy, ..model };
                model.save(&trainer.averaged()?, &self.dir.join(BEST))?;
            }
            let [train_images, val_images, test_images] = self.about.images;
            let line = |record| {
                let line = Line { record, train_images, val_images, test_images };
                serde_json::to_string(&line).expect("an epoch is plain data") + "\n"
            };
            let lines: String = epochs.iter().map(line).collect();
            replace_text(&self.dir.join(HISTORY), &lines)?;
            let page = report::html(&self.about.model, self.about.images, epochs);
            replace_text(&self.dir.join(REPORT), &page)?;
        }
        let TrainState { progress, tensors } = state;
        let tensors = named(tensors);
        let stored = Stored { format: FORMAT, about: self.about.clone(), progress };
        let text = serde_json::to_string(&stored).expect("every map in it has strings as keys");
        let metadata = BTreeMap::from([(KEY.to_owned(), text)]);
        stream_atomically(&self.last(), |out| write_safetensors(out, &tensors, &metadata))
    }

    fn last(&self) -> PathBuf {
        self.dir.join(LAST)
    }
}

fn refuse(setting: &'static str, dir: &Path, reason: String) -> Error {
    Error::Config { setting, value: dir.display().to_string(), reason }
}

/// Hash of all numbers of a network.
fn hash(network: &Network) -> String {
    let mut hash = Fnv1a::new();
    let params = network.params().flat.as_vec();
    for value in params.iter().chain(network.statistics()) {
        hash.bytes(&value.to_le_bytes());
    }
    hash.digits()
}

/// In what two runs differ, if they do.
fn difference(old: &About, new: &About) -> Option<String> {
    let (old_model, new_model) = (&old.model, &new.model);
    let has_same_data = old_model.data == new_model.data
        && old_model.data_hash == new_model.data_hash
        && old_model.whitening == new_model.whitening;
    let what = [
        (old_model.cellc == new_model.cellc, "version of cellc"),
        (old_model.cell == new_model.cell, "cell"),
        (old_model.net == new_model.net, "net"),
        (old_model.scale == new_model.scale, "scale"),
        (old.images == new.images, "number of training, validation or test images"),
        (has_same_data, "data set"),
        (old_model.config == new_model.config, "settings"),
        (old_model.frozen == new_model.frozen, "frozen parts"),
        (old.start == new.start, "initial parameters, those of another model"),
        (old == new, "network"),
    ];
    let (_, what) = what.into_iter().find(|(is_same, _)| !is_same)?;
    let settings =
        |about: &About| serde_json::to_value(&about.model.config).expect("settings are plain data");
    let setting = (what == "settings").then(|| first_difference(&settings(old), &settings(new)));
    Some(match setting.flatten() {
        Some((key, old, new)) => format!("{what}: {key} is {old} there and {new} here"),
        None => what.into(),
    })
}

/// The first key, with dots, whose values differ.
fn first_difference(old: &Value, new: &Value) -> Option<(String, String, String)> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return None };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter().find_map(|key| {
        let of = |table: &Map<String, Value>| table.get(key).cloned().unwrap_or_default();
        let (old, new) = (of(old), of(new));
        match first_difference(&old, &new) {
            Some((inner, old, new)) => Some((format!("{key}.{inner}"), old, new)),
            None if old == new => None,
            None => Some((key.clone(), old.to_string(), new.to_string())),
        }
    })
}
