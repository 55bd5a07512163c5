//! PNG files and pixels of data sets.

#![allow(dead_code, reason = "each test file uses its part")]

use cellc::data::Images;
use png::{BitDepth, ColorType, Encoder};

/// A PNG of this height and width from interleaved RGB.
pub fn png(height: u32, width: u32, rgb: &[u8]) -> Vec<u8> {
    png_of(height, width, ColorType::Rgb, BitDepth::Eight, None, rgb)
}

/// A PNG of any kind.
pub fn png_of(
    height: u32,
    width: u32,
    color: ColorType,
    depth: BitDepth,
    palette: Option<Vec<u8>>,
    data: &[u8],
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

/// Bytes without a pattern.
pub fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(next).collect()
}

/// The pixels of one image as it is evaluated.
pub fn pixels(images: &Images, index: usize) -> Vec<u8> {
    images.image(index).unwrap().into_owned()
}
