//! A training run as TensorBoard draws it: numbers over steps in an event file.
//!
//! | tag | when | what |
//! |---|---|---|
//! | `train/loss` | every step | mean cross-entropy of the batch, in nats |
//! | `train/lr` | every step | the learning rate |
//! | `train/grad_norm` | every step | Euclidean norm of the gradient before clipping |
//! | `epoch/train_loss` | every epoch | mean cross-entropy over its batches, in nats |
//! | `epoch/train_accuracy` | every epoch | share of its images classified correctly, 0 to 1 |
//! | `epoch/val_accuracy` | every epoch | the same of the validation images, if there are any |
//!
//! A step is numbered by the steps before it, an epoch by its last step: a run that goes on after it takes back
//! what was told of later steps only. The file is a sequence of
//! records (`tensorflow/core/lib/io/record_writer.h`), each an `Event` of
//! `tensorflow/core/util/event.proto`.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use self::proto::{SessionLog, Summary, Value, What};
use super::{EpochRecord, Event};
use crate::error::Error;

/// The version of the format, in which TensorBoard heeds where a run starts again.
const FILE_VERSION: &str = "brain.Event:2";

/// `SessionLog.SessionStatus`: what earlier files say of this step and later ones no longer holds.
const START: i32 = 1;

/// An event file that grows with a run.
///
/// Beside each number stands the time at which it was written: two runs with the same numbers give different
/// files.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
    /// Number of steps that have been told of, of the whole run.
    steps: usize,
}

impl EventFile {
    /// A new file in `folder` for a run that has `steps` steps behind it; more than 0 for one that goes on.
    /// Files of its earlier lives may lie there too: TensorBoard reads them as one run.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn create(folder: &Path, steps: usize) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::write(folder))?;
        let (path, file) = new_file(folder)?;
        let mut events = EventFile { path, out: BufWriter::new(file), steps };
        let start = SessionLog { status: START };
        let written = events
            .record(0, What::FileVersion(FILE_VERSION.to_owned()))
            .and_then(|()| events.record(steps, What::SessionLog(start)))
            .and_then(|()| events.out.flush());
        written.map_err(Error::write(&events.path))?;
        Ok(events)
    }

    /// Adds what an event says. At the end of an epoch, and after [`flush`](Self::flush), all of it is in the
    /// file.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&mut self, event: &Event) -> Result<(), Error> {
        let written = match event {
            Event::Step { step, loss, lr, grad_norm, .. } => {
                self.steps = step + 1;
                let values =
                    [("train/loss", *loss), ("train/lr", *lr), ("train/grad_norm", *grad_norm)];
                self.record(*step, summary(values))
            }
            Event::Epoch(record) => {
                let EpochRecord { epoch: _, train_loss, train_accuracy, val_accuracy } = record;
                let values =
                    [("epoch/train_loss", *train_loss), ("epoch/train_accuracy", *train_accuracy)];
                let held = val_accuracy.map(|accuracy| ("epoch/val_accuracy", accuracy));
                self.record(self.steps.saturating_sub(1), summary(values.into_iter().chain(held)))
                    .and_then(|()| self.out.flush())
            }
        };
        written.map_err(Error::write(&self.path))
    }

    /// Puts all that was added into the file. To be called before the state of the run is kept: a run that goes
    /// on from there tells of no earlier step again.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.out.flush().map_err(Error::write(&self.path))
    }

    fn record(&mut self, step: usize, what: What) -> io::Result<()> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_time = since_epoch.as_secs_f64();
        let event = proto::Event { wall_time, step: step as i64, what: Some(what) };
        write_record(&mut self.out, &event.encode_to_vec())
    }
}

/// A file whose name TensorBoard takes for an event file and sorts by the time.
fn new_file(folder: &Path) -> Result<(PathBuf, File), Error> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for number in 0_u32.. {
        let name = format!("events.out.tfevents.{:010}.cellc.{number}", since_epoch.as_secs());
        let path = folder.join(name);
        match File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::write(&path)(error)),
            Ok(file) => return Ok((path, file)),
        }
    }
    unreachable!("a folder holds fewer than 2^32 files of one second")
}

fn summary(values: impl IntoIterator<Item = (&'static str, f64)>) -> What {
    let value =
        |(tag, value): (&str, f64)| Value { tag: tag.to_owned(), simple_value: Some(value as f32) };
    What::Summary(Summary { value: values.into_iter().map(value).collect() })
}

/// Length and bytes, each with its check sum.
fn write_record(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = (bytes.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(bytes)?;
    out.write_all(&masked_crc(bytes).to_le_bytes())
}

/// The check sum of a record (`tensorflow/core/lib/hash/crc32c.h`): masked, since a sum over bytes that
/// contain sums is weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The parts of `event.proto` and `summary.proto` that are written here.
mod proto {
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Event {
        /// Seconds since 1970.
        #[prost(double, tag = "1")]
        pub wall_time: f64,
        #[prost(int64, tag = "2")]
        pub step: i64,
        #[prost(oneof = "What", tags = "3, 5, 7")]
        pub what: Option<What>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum What {
        #[prost(string, tag = "3")]
        FileVersion(String),
        #[prost(message, tag = "5")]
        Summary(Summary),
        #[prost(message, tag = "7")]
        SessionLog(SessionLog),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Summary {
        #[prost(message, repeated, tag = "1")]
        pub value: Vec<Value>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Value {
        #[prost(string, tag = "1")]
        pub tag: String,
        /// One of several kinds of value: written even where it is 0.
        #[prost(float, optional, tag = "2")]
        pub simple_value: Option<f32>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct SessionLog {
        #[prost(int32, tag = "1")]
        pub status: i32,
    }
}
