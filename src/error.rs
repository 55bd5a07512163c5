//! Run-time errors: what can go wrong outside the text of a `.cell` file.
//!
//! Faults in a `.cell` file are [`Diagnostics`](crate::diagnostic::Diagnostics) with spans; everything
//! else (files, data sets, checkpoints, training) is this one enum, whose variants carry data.

use std::io;
use std::path::PathBuf;

use dfdx::tensor::CpuError;

#[cfg(feature = "cuda")]
use crate::device::cuda::CudaFault;
use crate::space::Unmet;

/// Everything that can fail at run time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A source file is larger than the parser accepts.
    #[error("`{}` has {bytes} bytes, a source file may have at most {limit}", path.display())]
    SourceTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The largest accepted size in bytes.
        limit: u64,
    },
    /// A source file is not UTF-8.
    #[error("`{}` is not UTF-8 text: bad byte at offset {offset}", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte.
        offset: usize,
    },
    /// A data set's file does not have the layout it must have.
    #[error("data set file `{}`: {fault}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// A tabular benchmark cannot be used as one.
    #[error("table `{}`, line {line}: {fault}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: String,
    },
    /// A data set specification such as `cifar10:DIR` is not one of the known forms.
    #[error(
        "unknown data set `{spec}`: expected `digits`, `cifar10:DIR`, `cifar100:DIR`, `idx:DIR`, `folder:DIR` or `parquet:DIR`"
    )]
    UnknownDataSet {
        /// What the user wrote.
        spec: String,
    },
    /// A checkpoint does not belong to the network it is loaded into, or is damaged.
    #[error("checkpoint `{}`: {fault}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// Settings from a file or the command line cannot be read.
    #[error("settings of {place}: {fault}")]
    Settings {
        /// Where they stand: a file in backticks, or the command line.
        place: String,
        /// What is wrong with them.
        fault: String,
    },
    /// A file of another program's weights cannot be imported.
    #[error("weights `{}`: {fault}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// A network is too large for an ONNX file.
    #[error("the ONNX file would have {bytes} bytes, a protobuf message may have at most {limit}")]
    OnnxTooLarge {
        /// Bytes of the whole file.
        bytes: usize,
        /// The most that there may be.
        limit: usize,
    },
    /// dfdx's CPU device failed, for want of memory.
    #[error("the CPU device failed: {0}")]
    Device(#[from] CpuError),
    /// A card cannot be used, or failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] CudaFault),
    /// Something in a training stopped being a finite number.
    #[error(
        "{what} is not finite at step {} (batch {batch} of epoch {epoch}); try a smaller learning rate, warm-up \
         or {}",
        .step + 1,
        if *is_clipped { "a smaller clip_norm" } else { "clipping by clip_norm" }
    )]
    NotFinite {
        /// What it is, such as `the loss`.
        what: &'static str,
        /// Optimizer step, counted from 0 over the whole run.
        step: usize,
        /// Batch within the epoch, counted from 1.
        batch: usize,
        /// Epoch, counted from 1.
        epoch: usize,
        /// True if gradients are clipped.
        is_clipped: bool,
    },
    /// A setting has a value that makes no sense.
    #[error("{setting} is {value}: {reason}")]
    Config {
        /// Name of the setting.
        setting: &'static str,
        /// The value given.
        value: String,
        /// Why it is refused.
        reason: String,
    },
    /// No point of a space was found that meets what the space requires.
    #[error("no architecture of space `{space}` among {tried} tried meets {unmet}")]
    Requirements {
        /// The space.
        space: String,
        /// How many points were tried.
        tried: usize,
        /// What the nearest of them does not meet.
        unmet: Unmet,
    },
    /// A new search was asked to write into the folder of an earlier one.
    #[error("`{}` already holds a search; resume it or choose another folder", path.display())]
    RunExists {
        /// The run folder.
        path: PathBuf,
    },
    /// The operating system refused a thread.
    #[error("cannot start {threads} worker threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: io::Error,
    },
    /// The operating system refused an address to listen at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Address and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The server of a queue is not there, or refuses something.
    #[error("queue `{url}`: {fault}")]
    Queue {
        /// Its address, without secrets.
        url: String,
        /// What is wrong.
        fault: String,
    },
    /// A run folder holds a ledger that does not fit the requested search.
    #[error("ledger `{}`, line {line}: {fault}", path.display())]
    Ledger {
        /// The ledger file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        fault: String,
    },
}

impl Error {
    /// For `map_err`: an IO error while reading `path`.
    pub fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Read { path, source }
    }

    /// For `map_err`: an IO error while writing `path`.
    pub fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Write { path, source }
    }
}
