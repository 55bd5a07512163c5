//! Batches made ahead of their use, in threads of their own.

use std::mem;
use std::panic;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::{Batch, Batches};
use crate::error::Error;

/// Batches that each thread makes ahead of their use.
const AHEAD: usize = 2;
/// Below this many numbers a batch in memory takes less time to make than to hand over.
const SMALL: usize = 1 << 14;

/// Makes the batches of a pass in background threads: reading, decoding, augmenting and whitening.
///
/// Thread `t` of `T` makes the batches `t`, `t + T`, `t + 2 T` and so on, at most two ahead of those that
/// have been taken; buffers go back to the thread that filled them. A loader that is dropped ends its
/// threads.
///
/// # Determinism
/// The batches have the same bytes and order for any number of threads, and with none.
#[derive(Debug)]
pub struct Loader {
    /// Shared with the threads.
    batches: Arc<Batches>,
    /// The number of the next batch.
    next: usize,
    lanes: Vec<Lane>,
}

/// What goes between the loader and one of its threads.
#[derive(Debug)]
struct Lane {
    filled: Receiver<Result<Batch, Error>>,
    used: Sender<Batch>,
    thread: JoinHandle<()>,
}

impl Loader {
    /// A loader with as many threads as suit these batches: none where they would not help.
    ///
    /// That is one for every thread of rayon's current pool if images are decoded, one for large batches
    /// in memory, and none for small ones or in a pool of one thread, which asks for no more.
    ///
    /// # Errors
    /// [`Error::Threads`].
    pub fn new(batches: Batches) -> Result<Self, Error> {
        let pool = rayon::current_num_threads();
        let threads = match batches.cost() {
            _ if pool == 1 => 0,
            (true, _) => pool,
            (false, numbers) if numbers < SMALL => 0,
            (false, _) => 1,
        };
        Self::with_threads(batches, threads)
    }

    /// Batches of so many numbers that there are at the same time if one thread makes them ahead: the one in use, the
    /// one that waits and the one that is made.
    pub(crate) fn batches_held(numbers: usize) -> usize {
        if numbers < SMALL { 1 } else { 1 + AHEAD }
    }

    /// A loader with at most this many threads; with none it makes each batch when it is asked for.
    ///
    /// # Errors
    /// [`Error::Threads`] if the system refuses one.
    pub fn with_threads(batches: Batches, threads: usize) -> Result<Self, Error> {
        let left = batches.left();
        let threads = threads.min(left.len());
        let mut loader = Loader { batches: Arc::new(batches), next: left.start, lanes: Vec::new() };
        for first in left.clone().take(threads) {
            let (filled_sender, filled) = sync_channel(AHEAD - 1);
            let (used, used_receiver) = channel();
            let batches = Arc::clone(&loader.batches);
            let numbers = (first..left.end).step_by(threads);
            let work = move || make(&batches, numbers, &filled_sender, &used_receiver);
            let thread = thread::Builder::new()
                .name("loader".into())
                .spawn(work)
                .map_err(|source| Error::Threads { threads, source })?;
            loader.lanes.push(Lane { filled, used, thread });
        }
        Ok(loader)
    }

    /// Overwrites `batch` with the next images, waiting for them if need be. False, and no images, when
    /// all have been used.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Read`] if an image must be read or decoded and cannot be. There are no
    /// batches after that.
    ///
    /// # Panics
    /// If a thread panicked.
    pub fn fill_next(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        match self.next_filled(batch) {
            Ok(()) => self.next = self.batches.left().end.min(self.next + 1),
            Err(error) => {
                self.stop();
                self.next = self.batches.left().end;
                return Err(error);
            }
        }
        Ok(!batch.is_empty())
    }

    /// Overwrites `batch` with the next images, or with none after the last.
    fn next_filled(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let left = self.batches.left();
        if self.next == left.end || self.lanes.is_empty() {
            return self.batches.fill(self.next, batch);
        }
        let at = (self.next - left.start) % self.lanes.len();
        match self.lanes[at].filled.recv() {
            Ok(filled) => {
                let used = mem::replace(batch, filled?);
                // The thread may have made its last batch.
                let _ = self.lanes[at].used.send(used);
                Ok(())
            }
            Err(_) => panic::resume_unwind(self.stop().expect("only a panic ends a thread early")),
        }
    }

    /// Ends the threads; gives what one of them panicked with.
    fn stop(&mut self) -> Option<Box<dyn std::any::Any + Send>> {
        let threads: Vec<JoinHandle<()>> =
            // A thread that waits to hand over its batch sees that nobody will take it.
            self.lanes.drain(..).map(|lane| lane.thread).collect();
        threads.into_iter().filter_map(|thread| thread.join().err()).next()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes the batches with these numbers until one fails or nobody takes them.
fn make(
    batches: &Batches,
    numbers: impl Iterator<Item = usize>,
    filled: &SyncSender<Result<Batch, Error>>,
    used: &Receiver<Batch>,
) {
    for number in numbers {
        let mut batch = used.try_recv().unwrap_or_default();
        let result = batches.fill(number, &mut batch).map(|()| batch);
        let is_last = result.is_err();
        if filled.send(result).is_err() || is_last {
            return;
        }
    }
}
