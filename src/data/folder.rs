//! Images as PNG and JPEG files in folders named by their class.
//!
//! `DIR/train/CLASS/` holds the images to learn from, `DIR/validation/CLASS/` or `DIR/val/CLASS/` those to
//! validate on, as `ImageNet` has them, and `DIR/test/CLASS/` those to test on. Without a folder `train` the
//! images are in `DIR/CLASS/`, and without one of the others a part of the images is held out for the test as
//! in [`parts`](super::parts). Classes are numbered in the order of their names, files are taken in
//! the order of theirs; both are compared as bytes. Files with other endings than `.png`, `.jpg` and
//! `.jpeg` in any case, folders without such files, and names that begin with a dot are passed over.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encoded::Encoded;
use super::file::{fault, folder, open, read};
use super::parts::{Part, Parts};
use crate::error::Error;

/// The names of folders with validation images and with test images; the first that is there and holds
/// classes counts.
const VALIDATION: [&str; 2] = ["validation", "val"];
const TEST: [&str; 1] = ["test"];
/// The most bytes of one image file.
const LIMIT: u64 = 64 << 20;

/// The images of the folder and the names of its classes.
pub(super) fn open_folder(dir: &Path) -> Result<Parts, Error> {
    folder(dir)?;
    let train_dir = dir.join("train");
    let mut notes = Vec::new();
    if !train_dir.is_dir() {
        let (files, labels, classes) = list(dir, None, &mut notes)?;
        let train = Part { source: Arc::new(files), labels };
        return Ok(Parts { train, validation: None, test: None, classes, notes });
    }
    let (files, labels, classes) = list(&train_dir, None, &mut notes)?;
    let train = Part { source: Arc::new(files), labels };
    let mut part = |names: &[&str]| -> Result<Option<Part>, Error> {
        for name in names {
            let dir = dir.join(name);
            if dir.is_dir() && !class_names(&dir)?.is_empty() {
                let (files, labels, _) = list(&dir, Some(classes.clone()), &mut notes)?;
                return Ok(Some(Part { source: Arc::new(files), labels }));
            }
        }
        Ok(None)
    };
    let (validation, test) = (part(&VALIDATION)?, part(&TEST)?);
    Ok(Parts { train, validation, test, classes, notes })
}

/// Files below one folder; a row is a file.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    classes: Vec<String>,
    /// Names with the class whose folder they are in.
    names: Vec<(u16, OsString)>,
}

impl Files {
    fn path(&self, row: u32) -> PathBuf {
        let (class, name) = &self.names[row as usize];
        self.dir.join(&self.classes[usize::from(*class)]).join(name)
    }
}

impl Encoded for Files {
    fn read(&self, rows: &[u32]) -> Result<Vec<Vec<u8>>, Error> {
        let one = |&row: &u32| {
            let path = self.path(row);
            let bytes = read(&path, open(&path)?, LIMIT + 1)?;
            if bytes.len() as u64 > LIMIT {
                return Err(fault(&path, format!("more than {LIMIT} bytes")));
            }
            Ok(bytes)
        };
        rows.iter().map(one).collect()
    }

    fn fault(&self, row: u32, text: String) -> Error {
        fault(&self.path(row), text)
    }
}

/// The files of every class below a folder, with their labels and the classes; these are the folders if
/// none are `given`. What is passed over is noted.
fn list(
    dir: &Path,
    given: Option<Vec<String>>,
    notes: &mut Vec<String>,
) -> Result<(Files, Vec<u16>, Vec<String>), Error> {
    let mut found = Vec::new();
    let (mut empty, mut others) = (Vec::new(), Vec::new());
    for name in class_names(dir)? {
        let class_dir = dir.join(&name);
        let (mut files, rest): (Vec<OsString>, Vec<OsString>) = entries(&class_dir)?
            .into_iter()
            .partition(|file| is_image(file) && class_dir.join(file).is_file());
        files.sort_unstable();
        others.extend(rest.into_iter().map(|file| class_dir.join(file)));
        if files.is_empty() {
            empty.push(class_dir);
        } else {
            found.push((name, files));
        }
    }
    if !found.is_empty() {
        notes.extend(passed_over("folder", "folders", "without PNG or JPEG files", empty));
        notes.extend(passed_over("file", "files", "neither PNG nor JPEG by the name", others));
    }
    let classes = given.unwrap_or_else(|| found.iter().map(|(name, _)| name.clone()).collect());
    if found.is_empty() {
        return Err(fault(dir, "no PNG or JPEG files in folders named by their class"));
    }
    if classes.len() > usize::from(u16::MAX) {
        return Err(fault(dir, format!("{} classes, at most {} allowed", classes.len(), u16::MAX)));
    }
    let mut names = Vec::new();
    for (name, files) in found {
        let class = classes.binary_search(&name).map_err(|_| {
            fault(&dir.join(&name), "no class of the training images has this name")
        })?;
        names.extend(files.into_iter().map(|file| (class as u16, file)));
    }
    if u32::try_from(names.len()).is_err() {
        return Err(fault(dir, "more files than can be counted"));
    }
    let labels = names.iter().map(|(class, _)| *class).collect();
    Ok((Files { dir: dir.into(), classes: classes.clone(), names }, labels, classes))
}

/// A sentence about what is passed over, if anything is, with an example.
fn passed_over(one: &str, many: &str, why: &str, mut paths: Vec<PathBuf>) -> Option<String> {
    paths.sort_unstable();
    let first = paths.first()?.display();
    Some(match paths.len() {
        1 => format!("passed over 1 {one} {why}: `{first}`"),
        count => format!("passed over {count} {many} {why}, `{first}` the first"),
    })
}

/// The names of the folders in a folder, in order.
fn class_names(dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for name in entries(dir)? {
        if dir.join(&name).is_dir() {
            let name = name
                .into_string()
                .map_err(|name| fault(&dir.join(name), "the name of a class is not UTF-8"))?;
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What is in a folder and does not begin with a dot.
fn entries(dir: &Path) -> Result<Vec<OsString>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::read(dir))? {
        let name = entry.map_err(Error::read(dir))?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_image(name: &OsString) -> bool {
    Path::new(name).extension().is_some_and(|extension| {
        ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}
