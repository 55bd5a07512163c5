//! What a strategy learns before it is asked for the first time, epoch by epoch, with a checkpoint after each.

use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;

use rayon::ThreadPoolBuilder;

use super::{SharedEpoch, State};
use crate::error::Error;
use crate::network::{read_safetensors, write_safetensors};
use crate::search::strategy::Strategy;
use crate::search::{Event, Search};
use crate::space::Requirements;
use crate::storage::stream_atomically;

/// The name of the checkpoint in a run's folder.
const FILE: &str = "shared.safetensors";

/// A strategy that learns by itself first.
pub trait Lessons: Send {
    /// Epochs in all.
    fn planned(&self) -> usize;

    /// Epochs so far.
    fn done(&self) -> &[SharedEpoch];

    /// Does the next epoch, on the threads of rayon's current pool.
    ///
    /// # Errors
    /// [`Error::Requirements`] if no architecture was found that meets them, [`Error::NotFinite`],
    /// [`Error::Device`], [`Error::Cuda`], and those of [`Loader::fill_next`](crate::data::Loader::fill_next).
    fn advance(&mut self, requirements: Requirements<'_>) -> Result<(), Error>;

    /// All that later epochs depend on, beside settings and data.
    ///
    /// # Errors
    /// [`Error::Device`].
    fn save(&mut self) -> Result<State, Error>;

    /// Goes on where another one with the same settings and data was; this one must be as new.
    ///
    /// # Errors
    /// Why the state is none of such a one.
    fn load(&mut self, state: &State) -> Result<(), String>;
}

impl Search<'_> {
    /// Has a strategy learn what it learns first, from the last checkpoint on.
    pub(in crate::search) fn learn(
        &mut self,
        strategy: &mut dyn Strategy,
    ) -> Result<ControlFlow<()>, Error> {
        let Some(lessons) = strategy.lessons() else { return Ok(ControlFlow::Continue(())) };
        let path = self.run_dir.path(FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let damaged = |fault: String| Error::Checkpoint { path: path.clone(), fault };
                let (tensors, metadata) = read_safetensors(&bytes).map_err(damaged)?;
                lessons.load(&State { tensors, metadata }).map_err(damaged)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::read(path)(error)),
        }
        self.learned = lessons.done().to_vec();
        let threads = self.config.workers;
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| Error::Threads { threads, source: std::io::Error::other(error) })?;
        let epochs = lessons.planned();
        while lessons.done().len() < epochs {
            pool.install(|| lessons.advance(self.requirements))?;
            let State { tensors, metadata } = lessons.save()?;
            stream_atomically(&path, |out| write_safetensors(out, &tensors, &metadata))?;
            self.learned = lessons.done().to_vec();
            let epoch = self.learned.last().expect("an epoch was done");
            if (self.on_event)(Event::Learned { epoch, epochs }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.write_report_in_time()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}
