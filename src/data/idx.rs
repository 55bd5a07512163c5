//! Data sets in the IDX format of MNIST, plain or gzipped.
//!
//! A folder holds the images and labels of both parts under MNIST's names: `train-images-idx3-ubyte`,
//! `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, each with `.idx3`
//! and `.idx1` accepted for `-idx3` and `-idx1`, and with or without `.gz`. The number of classes is
//! one more than the largest training label; the labels in between must all be in use.
//!
//! # Source
//! The page of the MNIST database describes the format: a big-endian magic number (element type and
//! number of axes), the length of each axis, then the bytes.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::Images;
use super::file::{fault, folder, open, read};
use crate::error::Error;
use crate::graph::TensorType;

/// The most bytes of pixels a file may hold.
const LIMIT: u64 = 1 << 30;

/// Training and test images of the folder, and the number of classes.
pub(super) fn load(dir: &Path) -> Result<([Images; 2], usize), Error> {
    folder(dir)?;
    let (train, labels_path) = part(dir, "train")?;
    let counts = train.class_counts();
    if let Some(unused) = counts.iter().position(|&count| count == 0) {
        let largest = counts.len() - 1;
        return Err(fault(&labels_path, format!("label {largest}, but no label {unused}")));
    }
    let (test, labels_path) = part(dir, "t10k")?;
    let classes = counts.len();
    if let Some(index) = test.labels().iter().position(|&label| usize::from(label) >= classes) {
        let label = test.labels()[index];
        return Err(fault(
            &labels_path,
            format!("image {index}: label {label} of {classes} classes"),
        ));
    }
    if test.ty() != train.ty() {
        return Err(fault(
            dir,
            format!("training images are {}, test images {}", train.ty(), test.ty()),
        ));
    }
    Ok(([train, test], classes))
}

/// The images of one part and the path of its labels.
fn part(dir: &Path, part: &str) -> Result<(Images, PathBuf), Error> {
    let images_path = find(dir, &format!("{part}-images"), "idx3")?;
    let labels_path = find(dir, &format!("{part}-labels"), "idx1")?;
    let ([count, height, width], pixels) = read_idx(&images_path)?;
    let ([label_count], labels) = read_idx(&labels_path)?;
    if count == 0 {
        return Err(fault(&images_path, "no images"));
    }
    if height * width == 0 {
        return Err(fault(&images_path, format!("images of {height}x{width} pixels")));
    }
    if label_count != count {
        return Err(fault(
            &labels_path,
            format!(
                "{label_count} labels for the {count} images of `{}`",
                images_path.file_name().unwrap_or_default().display()
            ),
        ));
    }
    let labels = labels.into_iter().map(u16::from).collect();
    Ok((Images::new(pixels, labels, TensorType::new(1, height, width)), labels_path))
}

/// The first of the accepted names that exists.
fn find(dir: &Path, stem: &str, idx: &str) -> Result<PathBuf, Error> {
    let name = |dash: &str, end: &str| dir.join(format!("{stem}{dash}{idx}-ubyte{end}"));
    [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")]
        .into_iter()
        .map(|(dash, end)| name(dash, end))
        .find(|path| path.exists())
        .ok_or_else(|| {
            let others = format!("nor one with `.{idx}` for `-{idx}` or with `.gz`");
            fault(&name("-", ""), format!("there is no such file, {others}"))
        })
}

/// The axes and the bytes of an IDX file of bytes with `AXES` axes.
fn read_idx<const AXES: usize>(path: &Path) -> Result<([usize; AXES], Vec<u8>), Error> {
    let file = BufReader::new(open(path)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        decode(path, MultiGzDecoder::new(file))
    } else {
        decode(path, file)
    }
}

fn decode<const AXES: usize>(
    path: &Path,
    mut source: impl Read,
) -> Result<([usize; AXES], Vec<u8>), Error> {
    let header_bytes = 4 + 4 * AXES;
    let header = read(path, &mut source, header_bytes as u64)?;
    if header.len() < header_bytes {
        return Err(fault(
            path,
            format!("the header has {header_bytes} bytes, found {}", header.len()),
        ));
    }
    let (words, _) = header.as_chunks::<4>();
    // The third byte is the element type (8: unsigned byte), the fourth the number of axes.
    let (magic, expected) = (u32::from_be_bytes(words[0]), 0x0800 + AXES as u32);
    if magic != expected {
        return Err(fault(path, format!("bad magic number: expected {expected}, found {magic}")));
    }
    let axes: [u32; AXES] = std::array::from_fn(|axis| u32::from_be_bytes(words[1 + axis]));
    let total = axes.iter().try_fold(1u64, |product, &axis| product.checked_mul(axis.into()));
    let total = match total {
        Some(total) if total <= LIMIT => total,
        _ => {
            let sizes = axes.map(|axis| axis.to_string()).join("x");
            return Err(fault(path, format!("{sizes} bytes are more than the limit of {LIMIT}")));
        }
    };
    let bytes = read(path, &mut source, total + 1)?;
    if (bytes.len() as u64) < total {
        return Err(fault(
            path,
            format!("expected {total} bytes after the header, found {}", bytes.len()),
        ));
    }
    if bytes.len() as u64 > total {
        return Err(fault(path, format!("more than the {total} bytes its header announces")));
    }
    Ok((axes.map(|axis| axis as usize), bytes))
}
