//! Sets of encoded images: read and decoded when they are used, or once if they are small.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;

use super::decode::decode;
use super::images::{Images, Picture};
use crate::error::Error;
use crate::graph::TensorType;

/// The most bytes of pixels that are decoded into memory.
const IN_MEMORY: usize = 256 << 20;
/// Images decoded side by side when a set is read into memory.
const CHUNK: usize = 512;

/// Where encoded images come from. Rows are counted from 0.
pub(super) trait Encoded: fmt::Debug + Send + Sync {
    /// The encoded images of these rows; cheaper if they follow one another.
    fn read(&self, rows: &[u32]) -> Result<Vec<Vec<u8>>, Error>;

    /// An [`Error::Data`] about the image of a row.
    fn fault(&self, row: u32, fault: String) -> Error;

    /// The decoded image of a row.
    fn picture(&self, row: u32) -> Result<Picture<'static>, Error> {
        let images = self.read(&[row])?;
        decode(&images.concat()).map_err(|fault| self.fault(row, fault))
    }

    /// The fault of an image whose size should be that of the others.
    fn other_size(&self, row: u32, found: TensorType, expected: TensorType) -> Error {
        let TensorType { height, width, .. } = expected;
        let fault = format!(
            "{}x{} pixels in a set of {height}x{width}; give the size that images are to be resized to",
            found.height, found.width
        );
        self.fault(row, fault)
    }
}

/// The images of the first rows of a source, one for each label, seen in shape `ty`, which is that of
/// the first image if `None`; then others must have the same.
///
/// A set that has one size and is small is decoded here. Otherwise images are decoded at each use, and
/// only then found to be broken.
pub(super) fn gather(
    source: Arc<dyn Encoded>,
    labels: Vec<u16>,
    ty: Option<TensorType>,
    is_resized: bool,
) -> Result<Images, Error> {
    let rows = 0..u32::try_from(labels.len()).expect("sources count rows in u32");
    let ty = match ty {
        Some(ty) => ty,
        None => source.picture(0)?.ty,
    };
    if ty.elements().saturating_mul(labels.len()) > IN_MEMORY {
        return Ok(Images::encoded(source, rows, labels, ty, is_resized));
    }
    let mut pixels = Vec::new();
    let all: Vec<u32> = rows.clone().collect();
    for rows in all.chunks(CHUNK) {
        let encoded = source.read(rows)?;
        let pictures: Vec<Result<Picture<'_>, String>> =
            encoded.par_iter().map(|bytes| decode(bytes)).collect();
        for (picture, &row) in pictures.into_iter().zip(rows) {
            let picture = picture.map_err(|fault| source.fault(row, fault))?;
            if picture.ty != ty && is_resized {
                return Ok(Images::encoded(source, 0..labels.len() as u32, labels, ty, true));
            }
            if picture.ty != ty {
                return Err(source.other_size(row, picture.ty, ty));
            }
            pixels.extend_from_slice(&picture.pixels);
        }
    }
    Ok(Images::new(pixels, labels, ty))
}
