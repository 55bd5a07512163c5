//! Where the files that a `use` names come from. The library reads files only through a [`Loader`] that
//! it is given.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SourceFile;
use crate::compile;
use crate::error::Error;

/// Finds the files that other files use.
pub trait Loader {
    /// The file that `path` means in a `use` of `from`.
    ///
    /// # Errors
    /// [`Error::Read`] with [`io::ErrorKind::NotFound`] if there is none; whatever reading one gives.
    fn load(&self, path: &str, from: &SourceFile) -> Result<SourceFile, Error>;

    /// A text that is the same for two sources if and only if they are one file.
    fn identity(&self, source: &SourceFile) -> String {
        source.name.clone()
    }

    /// What could be written instead of `path`, for a suggestion where it names no file.
    fn candidates(&self, path: &str, from: &SourceFile) -> Vec<String>;
}

/// The library of cells, and no other file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Library;

impl Loader for Library {
    fn load(&self, path: &str, _: &SourceFile) -> Result<SourceFile, Error> {
        match compile::embedded(path) {
            Some(text) => Ok(SourceFile::new(format!("<{path}>"), text)),
            None => Err(Error::read(path)(io::ErrorKind::NotFound.into())),
        }
    }

    fn candidates(&self, _: &str, _: &SourceFile) -> Vec<String> {
        compile::EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect()
    }
}

/// Folders: a path is relative to the folder of the file that uses it. One that names no file there may
/// name one of the library of cells, whose files in turn use nothing but each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Folders;

impl Folders {
    /// The place that `path` means, unless the using file is one of the library.
    fn place(path: &str, from: &SourceFile) -> Option<PathBuf> {
        let folder = Path::new(&from.name).parent().unwrap_or(Path::new(""));
        (!is_embedded(from)).then(|| folder.join(path))
    }
}

fn is_embedded(source: &SourceFile) -> bool {
    let name = source.name.strip_prefix('<').and_then(|name| name.strip_suffix('>'));
    name.is_some_and(|name| compile::embedded(name).is_some())
}

impl Loader for Folders {
    fn load(&self, path: &str, from: &SourceFile) -> Result<SourceFile, Error> {
        let Some(place) = Self::place(path, from) else { return Library.load(path, from) };
        match fs::metadata(&place) {
            // Reading a device or a pipe may never end.
            Ok(metadata) if !metadata.is_file() => {
                let reason = io::Error::new(io::ErrorKind::InvalidInput, "it is no file");
                Err(Error::read(&place)(reason))
            }
            Ok(_) => SourceFile::read(&place),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Library.load(path, from),
            Err(error) => Err(Error::read(&place)(error)),
        }
    }

    /// The path without links and detours.
    fn identity(&self, source: &SourceFile) -> String {
        if is_embedded(source) {
            return source.name.clone();
        }
        fs::canonicalize(&source.name)
            .map_or_else(|_| source.name.clone(), |path| path.display().to_string())
    }

    fn candidates(&self, path: &str, from: &SourceFile) -> Vec<String> {
        let mut found = Library.candidates(path, from);
        let Some(place) = Self::place(path, from) else { return found };
        let folder = match place.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let written = Path::new(path).parent().unwrap_or(Path::new(""));
        let own = Path::new(&from.name).file_name();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_cell = Path::new(&name).extension().is_some_and(|ending| ending == "cell");
            if is_cell && (Some(name.as_os_str()) != own || written != Path::new("")) {
                found.extend(written.join(name).to_str().map(str::to_owned));
            }
        }
        // Folders list their files in any order.
        found.sort();
        found
    }
}
