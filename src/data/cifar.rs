//! CIFAR-10 and CIFAR-100 in their binary layouts.
//!
//! A record is a label, for CIFAR-100 a coarse and then a fine label, and 1,024 red, 1,024 green and
//! 1,024 blue bytes, row by row. The files of CIFAR-10 are `data_batch_1.bin` to `data_batch_5.bin` and
//! `test_batch.bin`, those of CIFAR-100 `train.bin` and `test.bin`; the fine label is the class. Files
//! may be shorter than the published ones, so that a cut-down copy can be used in tests.
//!
//! # Source
//! A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; the layouts are described
//! on the data sets' page.

use std::path::Path;

use super::Images;
use super::file::{fault, folder, open, read};
use crate::error::Error;
use crate::graph::TensorType;

const IMAGE: TensorType = TensorType { channels: 3, height: 32, width: 32 };
/// Longest accepted list of class names, in bytes.
const MAX_NAMES: u64 = 1 << 16;

/// One of the two layouts.
#[derive(Debug)]
pub(super) struct Layout {
    /// Labels before each image; the last is the class.
    labels: usize,
    /// Number of classes.
    pub(super) classes: usize,
    train: &'static [&'static str],
    test: &'static str,
    /// The most records of one file: those of the published ones.
    max_records: usize,
    /// The file with the names of the classes, one a line; it may be missing.
    names: &'static str,
}

pub(super) const CIFAR10: Layout = Layout {
    labels: 1,
    classes: 10,
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    max_records: 10_000,
    names: "batches.meta.txt",
};

pub(super) const CIFAR100: Layout = Layout {
    labels: 2,
    classes: 100,
    train: &["train.bin"],
    test: "test.bin",
    max_records: 50_000,
    names: "fine_label_names.txt",
};

impl Layout {
    /// Training and test images of the folder, and the names of the classes: their numbers if the folder
    /// has no list of names.
    pub(super) fn load(&self, dir: &Path) -> Result<([Images; 2], Vec<String>), Error> {
        folder(dir)?;
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for file in self.train {
            self.append(&dir.join(file), &mut pixels, &mut labels)?;
        }
        let train = Images::new(pixels, labels, IMAGE);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        self.append(&dir.join(self.test), &mut pixels, &mut labels)?;
        Ok(([train, Images::new(pixels, labels, IMAGE)], self.class_names(dir)?))
    }

    fn class_names(&self, dir: &Path) -> Result<Vec<String>, Error> {
        let path = dir.join(self.names);
        if !path.exists() {
            return Ok((0..self.classes).map(|class| class.to_string()).collect());
        }
        let text = String::from_utf8(read(&path, open(&path)?, MAX_NAMES)?)
            .map_err(|_| fault(&path, "not UTF-8 text"))?;
        let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if names.len() != self.classes {
            let found = names.len();
            return Err(fault(&path, format!("{found} names for {} classes", self.classes)));
        }
        Ok(names)
    }

    /// Appends the records of one file.
    fn append(
        &self,
        path: &Path,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u16>,
    ) -> Result<(), Error> {
        let record = self.labels + IMAGE.elements();
        let limit = self.max_records * record;
        let bytes = read(path, open(path)?, limit as u64 + 1)?;
        if bytes.len() > limit {
            let reason =
                format!("more than {limit} bytes, the size of {} records", self.max_records);
            return Err(fault(path, reason));
        }
        let (records, rest) = (bytes.len() / record, bytes.len() % record);
        if rest != 0 {
            let reason = format!(
                "{} bytes are no whole number of records of {record} bytes: {rest} bytes after record {}",
                bytes.len(),
                records
            );
            return Err(fault(path, reason));
        }
        if records == 0 {
            return Err(fault(path, "no images"));
        }
        for (index, record) in bytes.chunks_exact(record).enumerate() {
            let (before, image) = record.split_at(self.labels);
            let label = before[self.labels - 1];
            if usize::from(label) >= self.classes {
                let reason = format!("record {index}: label {label} of {} classes", self.classes);
                return Err(fault(path, reason));
            }
            labels.push(label.into());
            pixels.extend_from_slice(image);
        }
        Ok(())
    }
}
