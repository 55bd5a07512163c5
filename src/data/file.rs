//! Reading the files of a data set with a limit on their size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::Error;

/// An [`Error::Data`] about a file.
pub(super) fn fault(path: &Path, fault: impl Into<String>) -> Error {
    Error::Data { path: path.into(), fault: fault.into() }
}

/// Opens a file of a data set.
///
/// # Errors
/// A missing file is a fault of the data set, anything else one of the system.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => fault(path, "there is no such file"),
        _ => Error::Read { path: path.into(), source },
    })
}

/// Checks that the folder of a data set is one.
///
/// # Errors
/// [`Error::Data`] names the folder.
pub(super) fn folder(path: &Path) -> Result<(), Error> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(fault(path, "this is not a folder")),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Err(fault(path, "there is no such folder"))
        }
        Err(source) => Err(Error::Read { path: path.into(), source }),
    }
}

/// Reads up to `limit` bytes. Memory grows with what is really there, never with a promise.
///
/// # Errors
/// A broken gzip stream is a fault of the data set, anything else one of the system.
pub(super) fn read(path: &Path, source: impl Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    source.take(limit).read_to_end(&mut bytes).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            fault(path, format!("broken gzip stream: {source}"))
        }
        _ => Error::Read { path: path.into(), source },
    })?;
    Ok(bytes)
}
