//! CIFAR-10 in its binary layout: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.
//!
//! A record has 3,073 bytes: the label, then 1,024 red, 1,024 green and 1,024 blue bytes, row by row.
//! The published files hold 10,000 records; shorter ones are accepted, so that a cut-down copy can be
//! used in tests.
//!
//! # Source
//! A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; the layout is described
//! on the data set's page.

use std::path::Path;

use super::Images;
use super::file::{fault, folder, open, read};
use crate::error::Error;
use crate::graph::TensorType;

/// airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.
pub(super) const CLASSES: usize = 10;
const IMAGE: TensorType = TensorType { channels: 3, height: 32, width: 32 };
const RECORD: usize = 1 + 3 * 32 * 32;
const MAX_RECORDS: usize = 10_000;

/// Training and test images of the folder.
pub(super) fn load(dir: &Path) -> Result<[Images; 2], Error> {
    folder(dir)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for batch in 1..=5 {
        append(&dir.join(format!("data_batch_{batch}.bin")), &mut pixels, &mut labels)?;
    }
    let train = Images::new(pixels, labels, IMAGE);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    append(&dir.join("test_batch.bin"), &mut pixels, &mut labels)?;
    Ok([train, Images::new(pixels, labels, IMAGE)])
}

/// Appends the records of one file.
fn append(path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<(), Error> {
    let limit = MAX_RECORDS * RECORD;
    let bytes = read(path, open(path)?, limit as u64 + 1)?;
    if bytes.len() > limit {
        return Err(fault(
            path,
            format!("more than {limit} bytes, the size of {MAX_RECORDS} records"),
        ));
    }
    let (records, rest) = bytes.as_chunks::<RECORD>();
    if !rest.is_empty() {
        return Err(fault(
            path,
            format!(
                "{} bytes are no whole number of records of {RECORD} bytes: {} bytes after record {}",
                bytes.len(),
                rest.len(),
                records.len()
            ),
        ));
    }
    if records.is_empty() {
        return Err(fault(path, "no images"));
    }
    for (index, [label, image @ ..]) in records.iter().enumerate() {
        if usize::from(*label) >= CLASSES {
            return Err(fault(path, format!("record {index}: label {label} of {CLASSES} classes")));
        }
        labels.push(*label);
        pixels.extend_from_slice(image);
    }
    Ok(())
}
