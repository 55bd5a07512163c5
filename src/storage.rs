//! Writing files so that a reader never sees half of one.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Replaces `path` by a file with these bytes: all of them, or the file as it was, even if the machine
/// loses its power.
///
/// # Errors
/// [`Error::Write`] names `path`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    stream_atomically(path, |out| out.write_all(bytes))
}

/// As [`write_atomically`], the bytes coming from `write`.
///
/// They go to a file beside `path`, are synced to the disk, and take the name in one step; then the
/// folder is synced, so that the name survives as well.
///
/// # Errors
/// [`Error::Write`] names `path`.
pub fn stream_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Error> {
    replace(path, |beside| {
        let mut out = BufWriter::new(File::create(beside)?);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    })?;
    sync_folder(path)
}

/// Finds out whether [`write_atomically`] could write a file, and leaves what is there as it is.
///
/// # Errors
/// [`Error::Write`] names `path`.
pub fn probe(path: &Path) -> Result<(), Error> {
    let beside = beside(path).map_err(Error::write(path))?;
    if path.is_dir() {
        return Err(Error::write(path)(io::ErrorKind::IsADirectory.into()));
    }
    let made = File::create(&beside).and_then(|_| fs::remove_file(&beside));
    made.map_err(Error::write(path))
}

/// Replaces `path` so that a killed process leaves the old text or the new one. Nothing is synced: for
/// files that can be made again, many of which are written.
///
/// # Errors
/// [`Error::Write`] names `path`.
pub fn replace_text(path: &Path, text: &str) -> Result<(), Error> {
    replace(path, |beside| fs::write(beside, text))
}

fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    let beside = beside(path).map_err(Error::write(path))?;
    let written = write(&beside).and_then(|()| keep_permissions(path, &beside));
    let written = written.and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // The unfinished copy is of no use; that it may stay behind is the smaller fault.
        let _ = fs::remove_file(&beside);
        Error::write(path)(error)
    })
}

/// A folder that one process writes to: no other can lock it until this is dropped or the process ends.
#[derive(Debug)]
pub struct FolderLock(
    #[expect(dead_code, reason = "the lock lives as long as the file is open")] File,
);

impl FolderLock {
    /// Locks a folder, by a file `.lock` in it.
    ///
    /// # Errors
    /// [`Error::Config`] for `setting` if another process has locked it; [`Error::Write`].
    pub fn take(folder: &Path, setting: &'static str) -> Result<FolderLock, Error> {
        let path = folder.join(".lock");
        let file = File::create(&path).map_err(Error::write(&path))?;
        match file.try_lock() {
            // A file system that knows no locks cannot say that there are two.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(FolderLock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Config {
                setting,
                value: folder.display().to_string(),
                reason: "another process is at the run in this folder".into(),
            }),
        }
    }
}

/// Removes what processes that were killed left behind while they replaced files of a folder, those that are chosen
/// by their names. No process may be about to replace one.
pub fn remove_unfinished(folder: &Path, is_chosen: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let parts = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".part"));
        let parts = parts.and_then(|parts| parts.rsplit_once('.'));
        if parts.is_some_and(|(file, process)| process.parse::<u32>().is_ok() && is_chosen(file)) {
            // What cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Gives a file the permissions of the one it replaces, if there is one.
fn keep_permissions(path: &Path, beside: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::set_permissions(beside, metadata.permissions()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A name in the same folder that no other process writes to.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    Ok(path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id())))
}

/// Makes the names in the folder that holds `path` durable, where the system can.
///
/// # Errors
/// [`Error::Write`] names the folder.
pub fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::write(folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a.txt");
        write_atomically(&path, b"one").expect("written");
        write_atomically(&path, b"two").expect("replaced");
        assert_eq!(fs::read(&path).expect("readable"), b"two");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let kept = ["a.txt", ".a.txt.part", ".a.txt.x.part", ".b.txt.12.part"];
        for name in kept.iter().chain(&[".a.txt.12.part"]) {
            fs::write(folder.path().join(name), b"one").expect("written");
        }
        remove_unfinished(folder.path(), |file| file == "a.txt");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), kept.len());
        assert!(!folder.path().join(".a.txt.12.part").exists());
    }

    #[test]
    fn names_the_file_that_cannot_be_written() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("missing").join("a.txt");
        let error = write_atomically(&path, b"one").expect_err("the folder is missing");
        assert!(error.to_string().contains("a.txt"), "{error}");
        let error = probe(&path).expect_err("the folder is missing");
        assert!(error.to_string().contains("a.txt"), "{error}");
        probe(folder.path()).expect_err("a folder is no file");
    }

    #[test]
    fn a_folder_is_locked_once() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let lock = FolderLock::take(folder.path(), "run").expect("nobody has it");
        let error = FolderLock::take(folder.path(), "run").expect_err("it is taken");
        assert!(error.to_string().contains("another process is at the run"), "{error}");
        drop(lock);
        FolderLock::take(folder.path(), "run").expect("nobody has it any more");
    }

    #[test]
    fn a_probe_leaves_everything_as_it_is() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a.txt");
        fs::write(&path, b"one").expect("written");
        probe(&path).expect("it can be written");
        assert_eq!(fs::read(&path).expect("readable"), b"one");
        probe(&folder.path().join("b.txt")).expect("it can be written");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
