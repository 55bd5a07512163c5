//! Bilinear resampling of a rectangle of an image.
//!
//! # Definition
//! The rectangle `Region` is cut into `H x W` equal parts, and each gives the pixel at its centre.
//! Pixels of the source have their values at their centres, so the centre of row `i` of the result lies
//! at `y = top + (i + 1/2) * height / H - 1/2` in units of the source's rows, counted from the centre of
//! its first row; beyond the outermost centres the outermost value holds. Between four centres the value
//! is bilinear, and rounded to the nearest byte, halves upwards. There is no low-pass filter: like the
//! sources below, it skips pixels when it makes images smaller.
//!
//! # Source
//! `tf.image.resize` of TensorFlow with `antialias=False`, the resampling of slim's
//! `inception_preprocessing.py`; `torch.nn.functional.interpolate` with `align_corners=False`.

use super::images::Picture;

/// Share of an image's shorter side that is left by the cut for evaluation.
const CENTRE: f64 = 0.875;

/// A rectangle of an image, in pixels; its first row spans `top` to `top + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Region {
    pub(super) top: f64,
    pub(super) left: f64,
    pub(super) height: f64,
    pub(super) width: f64,
}

impl Region {
    /// What is evaluated of an image of size `from` (height, width) where one of size `to` is wanted:
    /// the largest rectangle with the sides of `to`, shrunk to 0.875 of its sides around the centre. For
    /// squares: the shorter side is resized to `to / 0.875`, and the centre cut out.
    pub(super) fn centre(from: [usize; 2], to: [usize; 2]) -> Region {
        let [from_height, from_width] = from.map(|side| side as f64);
        let [to_height, to_width] = to.map(|side| side as f64);
        let scale = CENTRE * (from_height / to_height).min(from_width / to_width);
        let (height, width) = (to_height * scale, to_width * scale);
        Region {
            top: (from_height - height) / 2.0,
            left: (from_width - width) / 2.0,
            height,
            width,
        }
    }
}

/// Two neighbours on an axis, and the share of the second.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

/// The neighbours of each of `count` centres in the span from `start` of an axis of `size` pixels.
fn taps(start: f64, span: f64, size: usize, count: usize) -> Vec<Tap> {
    let last = (size - 1) as f64;
    (0..count)
        .map(|i| {
            let at = start + (i as f64 + 0.5) * span / count as f64 - 0.5;
            let at = at.clamp(0.0, last);
            let first = at.floor();
            let second = (first + 1.0).min(last);
            Tap { first: first as usize, second: second as usize, share: (at - first) as f32 }
        })
        .collect()
}

/// Overwrites `out` with the region of the picture at size `height, width`, `[C, height, width]`.
pub(super) fn resample(
    picture: &Picture<'_>,
    region: &Region,
    [height, width]: [usize; 2],
    out: &mut Vec<u8>,
) {
    let ty = picture.ty;
    let rows = taps(region.top, region.height, ty.height, height);
    let columns = taps(region.left, region.width, ty.width, width);
    out.clear();
    out.reserve(ty.channels * height * width);
    for plane in picture.pixels.chunks_exact(ty.area()) {
        for row in &rows {
            let upper = &plane[row.first * ty.width..][..ty.width];
            let lower = &plane[row.second * ty.width..][..ty.width];
            out.extend(columns.iter().map(|column| {
                let along = |line: &[u8]| {
                    let (a, b) = (f32::from(line[column.first]), f32::from(line[column.second]));
                    a + (b - a) * column.share
                };
                let (above, below) = (along(upper), along(lower));
                // A float of at most 255.5 to a byte: the conversion drops the fraction.
                (above + (below - above) * row.share + 0.5) as u8
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use proptest::prelude::*;

    fn whole(ty: TensorType) -> Region {
        Region { top: 0.0, left: 0.0, height: ty.height as f64, width: ty.width as f64 }
    }

    fn run(pixels: &[u8], ty: TensorType, region: &Region, size: [usize; 2]) -> Vec<u8> {
        let mut out = vec![9; 3];
        resample(&Picture { pixels: pixels.into(), ty }, region, size, &mut out);
        out
    }

    #[test]
    fn small_cases_by_hand() {
        let ty = TensorType::new(1, 1, 2);
        // Centres at -1/4, 1/4, 3/4 and 5/4, the outer two beyond the outermost pixels.
        assert_eq!(run(&[0, 100], ty, &whole(ty), [1, 4]), [0, 25, 75, 100]);
        let ty = TensorType::new(1, 2, 2);
        assert_eq!(run(&[0, 10, 20, 31], ty, &whole(ty), [1, 1]), [15], "15.25 is nearest to 15");
        assert_eq!(run(&[0, 10, 20, 32], ty, &whole(ty), [1, 1]), [16], "15.5 is rounded upwards");
        // Two channels, no change of size.
        let ty = TensorType::new(2, 1, 2);
        assert_eq!(run(&[1, 2, 3, 4], ty, &whole(ty), [1, 2]), [1, 2, 3, 4]);
        // Every second pixel's neighbours: without a filter the others do not count.
        let ty = TensorType::new(1, 1, 6);
        assert_eq!(run(&[0, 60, 0, 0, 90, 0], ty, &whole(ty), [1, 2]), [60, 90]);
    }

    #[test]
    fn the_centre_is_that_of_resizing_and_cutting() {
        // 500 x 375 pixels at 224: the shorter side becomes 256, of which the middle 224 are left.
        let region = Region::centre([375, 500], [224, 224]);
        let scale = 375.0 / 256.0;
        assert!((region.height - 224.0 * scale).abs() < 1e-9);
        assert!((region.top - 16.0 * scale).abs() < 1e-9);
        assert!((region.left - (500.0 / scale - 224.0) / 2.0 * scale).abs() < 1e-9);
        assert_eq!(region.height, region.width);
    }

    /// The definition, pixel by pixel in double precision.
    fn reference(pixels: &[u8], ty: TensorType, region: &Region, size: [usize; 2]) -> Vec<f64> {
        let at = |channel: usize, row: i64, column: i64| {
            let row = row.clamp(0, ty.height as i64 - 1) as usize;
            let column = column.clamp(0, ty.width as i64 - 1) as usize;
            f64::from(pixels[channel * ty.area() + row * ty.width + column])
        };
        let mut out = Vec::new();
        for channel in 0..ty.channels {
            for i in 0..size[0] {
                for j in 0..size[1] {
                    let y = region.top + (i as f64 + 0.5) * region.height / size[0] as f64 - 0.5;
                    let x = region.left + (j as f64 + 0.5) * region.width / size[1] as f64 - 0.5;
                    let (row, column) = (y.floor() as i64, x.floor() as i64);
                    let mut value = 0.0;
                    for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        let weight = (1.0 - (y - (row + dy) as f64).abs())
                            * (1.0 - (x - (column + dx) as f64).abs());
                        value += weight * at(channel, row + dy, column + dx);
                    }
                    out.push(value);
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn resampling_is_as_defined(
            (channels, height, width) in (1usize..3, 1usize..9, 1usize..9),
            size in [1usize..12, 1usize..12],
            edges in [0.0..1.0f64, 0.0..1.0, 0.0..1.0, 0.0..1.0],
            pixels in prop::collection::vec(any::<u8>(), 2 * 8 * 8),
        ) {
            let ty = TensorType::new(channels, height, width);
            let (top, left) = (edges[0] * height as f64, edges[1] * width as f64);
            let region = Region {
                top,
                left,
                height: edges[2] * (height as f64 - top),
                width: edges[3] * (width as f64 - left),
            };
            let pixels = &pixels[..ty.elements()];
            let expected = reference(pixels, ty, &region, size);
            let found = run(pixels, ty, &region, size);
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(expected) {
                // Half a step of rounding, and what single precision adds next to a tie.
                prop_assert!((f64::from(found) - expected).abs() < 0.5001, "{found} for {expected}");
            }
        }
    }
}
