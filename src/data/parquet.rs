//! Images in Parquet files, in the columns that Hugging Face's data sets have.
//!
//! The image is a struct `img` or `image` with the encoded file in its field `bytes`; the class is an
//! integer column `label` or `fine_label`. Files whose name begins with `train` hold the images to learn
//! from, those with `validation`, `valid` or `val` the images to validate on, those with `test` the images to
//! test on; files whose labels are all -1 hide them and are passed over. Without either a part of the training
//! images is held out for the test, see [`Parts`]. Names of classes come from the features that are described in the metadata
//! of the first training file; without them the classes are numbers up to the largest label.
//!
//! Pages are not compressed, or by Snappy as Hugging Face's are. Rows are found by skipping pages, so one image costs a few reads and the decompression of one page of
//! about a megabyte. Files are opened for each read: sets of thousands of files need no open ones.
//!
//! # Source
//! The Parquet files of `uoft-cs/cifar10`, `uoft-cs/cifar100` and `ILSVRC/imagenet-1k`; the `datasets`
//! library, `features/image.py`, for the struct.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Type};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;
use serde::Deserialize;

use super::encoded::Encoded;
use super::file::{fault, open};
use super::parts::{Part, Parts};
use crate::error::Error;

/// Beginnings of the names of files.
const TRAIN: &[&str] = &["train"];
const VALIDATION: &[&str] = &["val"];
const TEST: &[&str] = &["test"];
/// The key of the metadata with the features of the set, and the label of a hidden class.
const FEATURES: &str = "huggingface";
const HIDDEN: i64 = -1;

/// The images of the files, or of the files in the one folder that is given.
pub(super) fn open_files(paths: &[PathBuf]) -> Result<Parts, Error> {
    let place = paths.first().map_or(Path::new(""), PathBuf::as_path);
    let files = match paths {
        [dir] if dir.is_dir() => files_in(dir)?,
        _ => paths.to_vec(),
    };
    let named = |starts: &[&str]| -> Vec<&PathBuf> {
        let is_named = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            starts.iter().any(|start| name.starts_with(start.as_bytes()))
        };
        files.iter().filter(is_named).collect()
    };
    let train = Table::open(&named(TRAIN))?
        .ok_or_else(|| fault(place, "no Parquet file whose name begins with `train`"))?;
    let labels = train.labels()?;
    let classes = match train.class_names() {
        Some(names) => names,
        None => {
            let largest = labels.iter().copied().max().unwrap_or(0).clamp(0, u16::MAX.into());
            (0..=largest).map(|class| class.to_string()).collect()
        }
    };
    let labels = train.checked(labels, classes.len())?;
    let train = Part { source: Arc::new(train), labels };
    let part = |starts: &[&str]| -> Result<Option<Part>, Error> {
        let Some(table) = Table::open(&named(starts))? else { return Ok(None) };
        let labels = table.labels()?;
        if labels.iter().all(|&label| label == HIDDEN) {
            return Ok(None);
        }
        let labels = table.checked(labels, classes.len())?;
        Ok(Some(Part { source: Arc::new(table), labels }))
    };
    let (validation, test) = (part(VALIDATION)?, part(TEST)?);
    Ok(Parts { train, validation, test, classes, notes: Vec::new() })
}

/// The Parquet files in a folder, or if there are none in the one folder below it that has some, in the
/// order of their names.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let mut folders = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(Error::read(dir))? {
        let path = entry.map_err(Error::read(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        } else if path.is_dir() {
            let inner = fs::read_dir(&path).map_err(Error::read(&path))?;
            let mut below = Vec::new();
            for entry in inner {
                let file = entry.map_err(Error::read(&path))?.path();
                if file.extension().is_some_and(|extension| extension == "parquet") {
                    below.push(file);
                }
            }
            if !below.is_empty() {
                folders.insert(path, below);
            }
        }
    }
    if files.is_empty() {
        if folders.len() > 1 {
            let names: Vec<String> = folders
                .keys()
                .map(|path| format!("`{}`", path.file_name().unwrap_or_default().display()))
                .collect();
            return Err(fault(
                dir,
                format!("several folders hold Parquet files: {}", names.join(", ")),
            ));
        }
        files = folders.into_values().next().ok_or_else(|| fault(dir, "no Parquet files"))?;
    }
    files.sort_unstable();
    Ok(files)
}

/// Files with the same columns, read as one; a row is an image.
#[derive(Debug)]
struct Table {
    files: Vec<Opened>,
    groups: Vec<Group>,
    rows: u32,
}

/// What is known of a file without an open one.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    metadata: ParquetMetaData,
    image: usize,
    label: usize,
}

/// Rows of one file that are stored together.
#[derive(Debug)]
struct Group {
    file: usize,
    index: usize,
    rows: Range<u32>,
}

/// The part of the metadata of a Hugging Face set that is read here.
#[derive(Deserialize)]
struct Described {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    features: BTreeMap<String, Feature>,
}

#[derive(Deserialize)]
struct Feature {
    names: Option<Vec<String>>,
}

impl Table {
    /// `None` if there are no files.
    fn open(paths: &[&PathBuf]) -> Result<Option<Table>, Error> {
        let Some(first) = paths.first() else { return Ok(None) };
        let mut table = Table { files: Vec::new(), groups: Vec::new(), rows: 0 };
        for path in paths {
            let opened = Opened::new(path)?;
            for (index, group) in opened.metadata.row_groups().iter().enumerate() {
                let end = u32::try_from(group.num_rows())
                    .ok()
                    .and_then(|rows| table.rows.checked_add(rows))
                    .ok_or_else(|| fault(path, "more rows than can be counted"))?;
                table.groups.push(Group { file: table.files.len(), index, rows: table.rows..end });
                table.rows = end;
            }
            table.files.push(opened);
        }
        if table.rows == 0 {
            return Err(fault(first, "no images"));
        }
        Ok(Some(table))
    }

    /// The group that holds a row.
    fn group(&self, row: u32) -> &Group {
        &self.groups[self.groups.partition_point(|group| group.rows.end <= row)]
    }

    /// The labels of all rows.
    fn labels(&self) -> Result<Vec<i64>, Error> {
        let mut labels = Vec::new();
        for group in &self.groups {
            let file = &self.files[group.file];
            let rows = 0..group.rows.len();
            match file.physical_type(file.label) {
                Type::INT32 => labels.extend(
                    file.read::<Int32Type>(group, file.label, rows)?.into_iter().map(i64::from),
                ),
                _ => labels.extend(file.read::<Int64Type>(group, file.label, rows)?),
            }
        }
        Ok(labels)
    }

    /// The labels as classes.
    fn checked(&self, labels: Vec<i64>, classes: usize) -> Result<Vec<u16>, Error> {
        let classes = classes.min(usize::from(u16::MAX) + 1);
        let class = |(row, label): (usize, i64)| match u16::try_from(label) {
            Ok(class) if usize::from(class) < classes => Ok(class),
            _ => Err(self.fault(row as u32, format!("label {label} of {classes} classes"))),
        };
        labels.into_iter().enumerate().map(class).collect()
    }

    /// The names of the classes, if the first file describes them.
    fn class_names(&self) -> Option<Vec<String>> {
        let file = &self.files[0];
        let label =
            file.metadata.file_metadata().schema_descr().column(file.label).name().to_owned();
        let metadata = file.metadata.file_metadata().key_value_metadata()?;
        let text = metadata.iter().find(|entry| entry.key == FEATURES)?.value.as_ref()?;
        let described: Described = serde_json::from_str(text).ok()?;
        let names = described.info.features.get(&label)?.names.clone()?;
        (!names.is_empty()).then_some(names)
    }
}

impl Opened {
    fn new(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        let metadata = guarded(|| ParquetMetaDataReader::new().parse_and_finish(&file))
            .map_err(|error| unreadable(path, error))?;
        let schema = metadata.file_metadata().schema_descr();
        // A list could hold several values a row.
        let find = |names: &[&str], types: &[Type]| {
            (0..schema.num_columns()).find(|&column| {
                let column = schema.column(column);
                names.contains(&column.path().string().as_str())
                    && types.contains(&column.physical_type())
                    && column.max_rep_level() == 0
            })
        };
        let image = find(&["img.bytes", "image.bytes"], &[Type::BYTE_ARRAY])
            .ok_or_else(|| fault(path, "no column `img` or `image` with a field `bytes`"))?;
        let label = find(&["label", "fine_label"], &[Type::INT64, Type::INT32])
            .ok_or_else(|| fault(path, "no integer column `label` or `fine_label`"))?;
        let length = file.metadata().map_err(Error::read(path))?.len();
        for group in metadata.row_groups() {
            for column in [image, label] {
                let column = group.column(column);
                let compression = column.compression();
                if !matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY) {
                    let codec = format!("{:?}", compression);
                    let codec = codec.split('(').next().unwrap_or_default();
                    let reason = format!(
                        "its pages are compressed by {codec}; those that are not compressed or by SNAPPY are read"
                    );
                    return Err(fault(path, reason));
                }
                let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
                let end = u64::try_from(start)
                    .ok()
                    .zip(u64::try_from(column.compressed_size()).ok())
                    .and_then(|(start, size)| start.checked_add(size));
                if end.is_none_or(|end| end > length) {
                    let name = column.column_path().string();
                    return Err(fault(path, format!("pages of `{name}` lie outside of the file")));
                }
            }
        }
        Ok(Opened { path: path.into(), metadata, image, label })
    }

    fn physical_type(&self, column: usize) -> Type {
        self.metadata.file_metadata().schema_descr().column(column).physical_type()
    }

    /// The values of a column in these rows of a group.
    fn read<T: DataType>(
        &self,
        group: &Group,
        column: usize,
        rows: Range<usize>,
    ) -> Result<Vec<T::T>, Error> {
        let file: File = open(&self.path)?;
        let values = guarded(|| self.values::<T>(file, group, column, rows.clone()))
            .map_err(|error| unreadable(&self.path, error))?;
        if values.len() < rows.len() {
            let start = group.rows.start as usize + rows.start;
            let name = self.metadata.file_metadata().schema_descr().column(column).path().string();
            let reason = format!(
                "{} of the {} rows from row {start} have no `{name}`",
                rows.len() - values.len(),
                rows.len()
            );
            return Err(fault(&self.path, reason));
        }
        Ok(values)
    }

    fn values<T: DataType>(
        &self,
        file: File,
        group: &Group,
        column: usize,
        rows: Range<usize>,
    ) -> Result<Vec<T::T>, ParquetError> {
        let chunk = self.metadata.row_group(group.index).column(column);
        let pages = SerializedPageReader::new(Arc::new(file), chunk, group.rows.len(), None)?;
        let mut reader = ColumnReaderImpl::<T>::new(chunk.column_descr_ptr(), Box::new(pages));
        let skipped = reader.skip_records(rows.start)?;
        let (mut values, mut levels, mut records) = (Vec::new(), Vec::new(), 0);
        while skipped == rows.start && records < rows.len() {
            let (read, _, _) =
                reader.read_records(rows.len() - records, Some(&mut levels), None, &mut values)?;
            if read == 0 {
                break;
            }
            records += read;
        }
        if records < rows.len() {
            return Err(ParquetError::EOF(format!(
                "row group {} has fewer rows than its {}",
                group.index,
                group.rows.len()
            )));
        }
        Ok(values)
    }
}

impl Encoded for Table {
    fn read(&self, rows: &[u32]) -> Result<Vec<Vec<u8>>, Error> {
        let mut images = Vec::with_capacity(rows.len());
        let mut rest = rows;
        while let [first, ..] = rest {
            let group = self.group(*first);
            let follow = rest
                .iter()
                .zip(*first..group.rows.end)
                .take_while(|(row, expected)| *row == expected)
                .count();
            let start = (first - group.rows.start) as usize;
            let file = &self.files[group.file];
            let values = file.read::<ByteArrayType>(group, file.image, start..start + follow)?;
            images.extend(values.iter().map(|value| value.data().to_vec()));
            rest = &rest[follow..];
        }
        Ok(images)
    }

    fn fault(&self, row: u32, text: String) -> Error {
        let group = self.group(row);
        let before = self.groups.iter().find(|other| other.file == group.file);
        let first = before.map_or(0, |group| group.rows.start);
        fault(&self.files[group.file].path, format!("row {}: {text}", row - first))
    }
}

/// Turns a panic into an error: the parquet crate asserts some of what a file claims about itself, such as
/// that pages which use a dictionary follow one.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(ParquetError::General("its pages are not as its metadata has them".into()))
    })
}

/// A file that is no Parquet file, or a broken one.
fn unreadable(path: &Path, error: ParquetError) -> Error {
    fault(path, format!("not readable as Parquet: {error}"))
}
