//! One image file, brought to the shape that a network takes.

use std::path::Path;

use super::decode::decode;
use super::file::{fault, read};
use super::resize::{Region, resample};
use crate::error::Error;
use crate::graph::TensorType;

/// The most bytes of an image file.
const LIMIT: u64 = 64 << 20;

/// The pixels of a PNG or JPEG file as `[C, H, W]` of `ty`, 0 to `largest`.
///
/// An image of another size is resized and its centre cut out as images of `folder:DIR` are when they are
/// evaluated, see [`Augment`](super::Augment#evaluation). One channel is had of images without color only.
///
/// # Errors
/// [`Error::Read`] if the file cannot be read, [`Error::Data`] if it is no image or does not have the channels.
pub fn read_picture(path: &Path, ty: TensorType, largest: u8) -> Result<Vec<u8>, Error> {
    let file = std::fs::File::open(path).map_err(Error::read(path))?;
    let bytes = read(path, file, LIMIT + 1)?;
    if bytes.len() as u64 > LIMIT {
        return Err(fault(path, format!("more than {LIMIT} bytes")));
    }
    let picture = decode(&bytes).map_err(|text| fault(path, text))?;
    let mut pixels = Vec::new();
    if picture.ty.size() == ty.size() {
        pixels.extend_from_slice(&picture.pixels);
    } else {
        let region = Region::centre(picture.ty.size(), ty.size());
        resample(&picture, &region, ty.size(), &mut pixels);
    }
    match ty.channels {
        3 => {}
        1 => {
            let (first, others) = pixels.split_at(ty.area());
            if others.chunks(ty.area()).any(|plane| plane != first) {
                return Err(fault(path, "the image has colors, the network takes one channel"));
            }
            pixels.truncate(ty.area());
        }
        channels => {
            let text = format!("images have 1 or 3 channels, the network takes {channels}");
            return Err(fault(path, text));
        }
    }
    for pixel in &mut pixels {
        *pixel = ((u16::from(*pixel) * u16::from(largest) + 127) / 255) as u8;
    }
    Ok(pixels)
}
