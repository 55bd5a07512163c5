//! Decoding of PNG and JPEG to planes of red, green and blue bytes.
//!
//! The format is told from the first bytes, not from a file's name: some of `ImageNet`'s `.JPEG` files are
//! PNG. Grey is repeated three times, palettes are looked up, transparency is dropped, 16 bits are cut to
//! the upper 8, CMYK is converted without its colour profile, and neither gamma nor the orientation that
//! a camera noted is applied.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::images::Picture;
use crate::graph::TensorType;

/// The most pixels of an image; the largest of `ImageNet` has 61 million.
const MAX_PIXELS: usize = 1 << 26;
/// The longest side of an image, in pixels.
const MAX_SIDE: usize = 1 << 15;
/// The most memory that the PNG decoder may take beside the pixels, in bytes.
const MAX_BYTES: usize = 1 << 26;

/// Decodes an image, `[3, H, W]`; what is wrong with it if it cannot be.
pub(super) fn decode(bytes: &[u8]) -> Result<Picture<'static>, String> {
    match bytes {
        [] => Err("an empty image".into()),
        [0x89, b'P', b'N', b'G', ..] => png(bytes).map_err(|error| format!("broken PNG: {error}")),
        [0xff, 0xd8, ..] => jpeg(bytes).map_err(|error| format!("broken JPEG: {error}")),
        _ => Err("neither PNG nor JPEG".into()),
    }
}

/// Refuses sizes that would take too much memory, before any is taken.
fn check_size(height: usize, width: usize) -> Result<(), String> {
    if height == 0 || width == 0 {
        return Err(format!("an image of {height}x{width} pixels"));
    }
    if height > MAX_SIDE || width > MAX_SIDE || height * width > MAX_PIXELS {
        return Err(format!(
            "{height}x{width} pixels are more than the limit of {MAX_PIXELS}, or {MAX_SIDE} a side"
        ));
    }
    Ok(())
}

fn png(bytes: &[u8]) -> Result<Picture<'static>, String> {
    let mut decoder = png::Decoder::new_with_limits(
        std::io::Cursor::new(bytes),
        png::Limits { bytes: MAX_BYTES },
    );
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(|error| error.to_string())?;
    let (height, width) = (header.height as usize, header.width as usize);
    check_size(height, width)?;
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let size = reader.output_buffer_size().ok_or("its size overflows")?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
    pixels.truncate(info.buffer_size());
    Ok(planes(&pixels, info.color_type.samples(), height, width))
}

fn jpeg(bytes: &[u8]) -> Result<Picture<'static>, String> {
    // Strict: else what is missing of a file that was cut short would be grey.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("no header")?;
    check_size(height, width)?;
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    if pixels.len() != 3 * height * width {
        return Err(format!("{} bytes for {height}x{width} pixels", pixels.len()));
    }
    Ok(planes(&pixels, 3, height, width))
}

/// Sorts interleaved pixels of 1 to 4 samples (grey, grey and alpha, RGB, RGB and alpha) into planes.
fn planes(pixels: &[u8], samples: usize, height: usize, width: usize) -> Picture<'static> {
    let mut planes = Vec::with_capacity(3 * height * width);
    for channel in 0..3 {
        let channel = if samples < 3 { 0 } else { channel };
        planes.extend(pixels.chunks_exact(samples).map(|pixel| pixel[channel]));
    }
    Picture { pixels: planes.into(), ty: TensorType::new(3, height, width) }
}
