//! Random changes to training images, and how an image becomes whitened numbers.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::images::Picture;
use super::resize::{Region, resample};
use crate::graph::TensorType;
use crate::rng::Pcg64;

/// Share of an image's area that a random crop has.
const AREA: std::ops::RangeInclusive<f64> = 0.08..=1.0;
/// Width over height of a random crop.
const RATIO: std::ops::RangeInclusive<f64> = 3.0 / 4.0..=4.0 / 3.0;
/// How often a random crop that does not fit is drawn again.
const ATTEMPTS: usize = 10;

/// Random changes to training images that keep their class, made in the order of the fields.
///
/// # Evaluation
/// Images that are not augmented, and those that are but without [`resized_crop`](Self::resized_crop),
/// are used as they are if they have the size of the set. Others are resized so that the shorter side is
/// the wanted one divided by 0.875, and the centre is cut out, in one step of bilinear resampling.
///
/// # Source
/// - pad and flip: `cnn/utils.py` of DARTS: `RandomCrop(32, padding=4)`, then `RandomHorizontalFlip()`,
///   both before the normalisation, so that the border is black
/// - cutout: `Cutout` in the same file, after the normalisation, so that the square is of zeros
/// - resized crop and the cut for evaluation: slim's `inception_preprocessing.py`, with the smallest area
///   of torchvision's `RandomResizedCrop`
/// - enlarged crop: Zoph et al. 2018, appendix A, 32x32 of 40x40 pixels
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augment {
    /// Cuts out a rectangle whose area is uniform between 0.08 and 1 of the image's, whose width over
    /// height is uniform between 3/4 and 4/3, and whose place is uniform, and resizes it to the size
    /// of the set. If ten draws do not fit into the image, the largest rectangle around its centre
    /// with an allowed shape.
    #[serde(default)]
    pub resized_crop: bool,
    /// Enlarges the image by so many pixels a side, in all, and cuts a window of the set's size out at a
    /// random place: with 8, 32x32 pixels of 40x40. Not beside `resized_crop`.
    #[serde(default)]
    pub enlarge: usize,
    /// Pixels of black border from which a window of the set's size is cut at a random place.
    pub pad: usize,
    /// Mirrors every other image, left to right.
    pub flip: bool,
    /// Side of a square of zeros whose centre is uniform over the whitened image, in pixels; it may
    /// stick out. 0 for none.
    #[serde(default)]
    pub cutout: usize,
}

impl Augment {
    /// No change.
    pub const NONE: Augment =
        Augment { resized_crop: false, enlarge: 0, pad: 0, flip: false, cutout: 0 };
    /// A crop after padding by 4 pixels and a flip: the usual one for CIFAR-10.
    pub const CROP_AND_FLIP: Augment = Augment { pad: 4, flip: true, ..Augment::NONE };
    /// A resized crop and a flip: the usual one for `ImageNet`.
    pub const RESIZED_CROP_AND_FLIP: Augment =
        Augment { resized_crop: true, flip: true, ..Augment::NONE };
}

/// Turns images of a set into whitened numbers.
#[derive(Clone, Debug)]
pub(super) struct Whitener {
    /// The whitened value of every byte, for each channel.
    pub(super) tables: Vec<[f32; 256]>,
    /// `[C, H, W]` of what comes out.
    pub(super) ty: TensorType,
}

impl Whitener {
    /// Appends a picture at the size of the set, `[C, H, W]`, changed at random if there is an `augment`;
    /// `resized` is overwritten.
    pub(super) fn append(
        &self,
        picture: &Picture<'_>,
        mut augment: Option<(Augment, Pcg64)>,
        resized: &mut Vec<u8>,
        out: &mut Vec<f32>,
    ) {
        let size = self.ty.size();
        let region = match &mut augment {
            Some((Augment { resized_crop: true, .. }, rng)) => {
                Some(random_region(picture.ty.size(), rng))
            }
            Some((Augment { enlarge: enlarge @ 1.., .. }, rng)) => {
                Some(enlarged_region(picture.ty.size(), size, *enlarge, rng))
            }
            _ if picture.ty.size() != size => Some(Region::centre(picture.ty.size(), size)),
            _ => None,
        };
        let pixels = match region {
            Some(region) => {
                resample(picture, &region, size, resized);
                resized
            }
            None => &*picture.pixels,
        };
        let start = out.len();
        match &mut augment {
            Some((augment, rng)) => {
                View::random(augment, rng).append(pixels, self.ty, &self.tables, out);
                if augment.cutout > 0 {
                    let centre = [rng.gen_range(0..size[0]), rng.gen_range(0..size[1])];
                    cut_out(&mut out[start..], self.ty, augment.cutout, centre);
                }
            }
            None => View::WHOLE.append(pixels, self.ty, &self.tables, out),
        }
    }
}

/// The rectangle of a random resized crop of an image of this height and width.
fn random_region([height, width]: [usize; 2], rng: &mut Pcg64) -> Region {
    let whole = (height * width) as f64;
    for _ in 0..ATTEMPTS {
        let (area, ratio) = (rng.gen_range(AREA) * whole, rng.gen_range(RATIO));
        let crop_width = (area * ratio).sqrt().round() as usize;
        let crop_height = (area / ratio).sqrt().round() as usize;
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            return Region {
                top: rng.gen_range(0..=height - crop_height) as f64,
                left: rng.gen_range(0..=width - crop_width) as f64,
                height: crop_height as f64,
                width: crop_width as f64,
            };
        }
    }
    let (height, width) = (height as f64, width as f64);
    let crop_width = width.min(height * RATIO.end());
    let crop_height = height.min(width / RATIO.start());
    Region {
        top: (height - crop_height) / 2.0,
        left: (width - crop_width) / 2.0,
        height: crop_height,
        width: crop_width,
    }
}

/// What a window of size `to`, at a random place of an image of size `from` that is enlarged to `enlarge`
/// pixels more than `to`, shows of the image. An image of another size gives its part for evaluation.
fn enlarged_region(from: [usize; 2], to: [usize; 2], enlarge: usize, rng: &mut Pcg64) -> Region {
    let whole = if from == to {
        Region { top: 0.0, left: 0.0, height: to[0] as f64, width: to[1] as f64 }
    } else {
        Region::centre(from, to)
    };
    // The enlarged image need not be made: a pixel of it is a fraction of one of the original.
    let (row, column) =
        (whole.height / (to[0] + enlarge) as f64, whole.width / (to[1] + enlarge) as f64);
    Region {
        top: whole.top + rng.gen_range(0..=enlarge) as f64 * row,
        left: whole.left + rng.gen_range(0..=enlarge) as f64 * column,
        height: to[0] as f64 * row,
        width: to[1] as f64 * column,
    }
}

/// Zeroes a square of a whitened image, `[C, H, W]`; an even side has its longer half before the centre.
fn cut_out(image: &mut [f32], ty: TensorType, side: usize, centre: [usize; 2]) {
    let span = |centre: usize, size: usize| {
        let end = (centre + side).saturating_sub(side / 2).min(size);
        centre.saturating_sub(side / 2)..end
    };
    let (rows, columns) = (span(centre[0], ty.height), span(centre[1], ty.width));
    for plane in image.chunks_exact_mut(ty.area()) {
        for row in rows.clone() {
            plane[row * ty.width..][columns.clone()].fill(0.0);
        }
    }
}

/// A window of an image's own size into the image and the black around it.
struct View {
    /// Row of the image in the window's first row; negative above the image.
    top: isize,
    /// Column of the image in the window's first column; negative left of the image.
    left: isize,
    /// Reads columns from right to left.
    mirrored: bool,
}

impl View {
    const WHOLE: View = View { top: 0, left: 0, mirrored: false };

    fn random(augment: &Augment, rng: &mut Pcg64) -> View {
        let mut offset = || rng.gen_range(0..=2 * augment.pad) as isize - augment.pad as isize;
        View { top: offset(), left: offset(), mirrored: augment.flip && rng.r#gen() }
    }

    /// Appends the whitened window, `[C, H, W]`.
    fn append(&self, image: &[u8], ty: TensorType, tables: &[[f32; 256]], out: &mut Vec<f32>) {
        let TensorType { height, width, .. } = ty;
        for (plane, table) in image.chunks_exact(ty.area()).zip(tables) {
            for row in 0..height {
                let pixels = match row.checked_add_signed(self.top) {
                    Some(row) if row < height => &plane[row * width..][..width],
                    _ => &[],
                };
                out.extend((0..width).map(|column| {
                    let column = if self.mirrored { width - 1 - column } else { column };
                    let pixel = column.checked_add_signed(self.left).and_then(|at| pixels.get(at));
                    table[usize::from(pixel.copied().unwrap_or(0))]
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    #[test]
    fn views_move_and_mirror() {
        let image: Vec<u8> = (1..=6).collect();
        let ty = TensorType::new(1, 2, 3);
        let table: [f32; 256] = std::array::from_fn(|pixel| pixel as f32);
        let view = |top, left, mirrored| {
            let mut out = Vec::new();
            View { top, left, mirrored }.append(&image, ty, &[table], &mut out);
            out
        };
        assert_eq!(view(0, 0, false), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(view(0, 0, true), [3., 2., 1., 6., 5., 4.]);
        assert_eq!(view(1, 1, false), [5., 6., 0., 0., 0., 0.]);
        assert_eq!(view(-1, -2, false), [0., 0., 0., 0., 0., 1.]);
        assert_eq!(view(-1, -2, true), [0., 0., 0., 1., 0., 0.]);
        assert_eq!(view(5, 9, false), [0.; 6]);
    }

    #[test]
    fn cutout_is_that_of_darts() {
        // As `Cutout(length)` computes it: from `y - length // 2` up to, but without, `y + length // 2`,
        // both clipped to the image.
        for (side, centre) in [(2, [0, 0]), (4, [1, 3]), (4, [4, 4]), (16, [2, 2]), (6, [0, 4])] {
            let ty = TensorType::new(2, 5, 5);
            let mut image = vec![1.0; ty.elements()];
            cut_out(&mut image, ty, side, centre);
            let half = side as i64 / 2;
            let inside =
                |at: usize, centre: usize| (-half..half).contains(&(at as i64 - centre as i64));
            for (index, &value) in image.iter().enumerate() {
                let (row, column) = (index % 25 / 5, index % 5);
                let is_cut = inside(row, centre[0]) && inside(column, centre[1]);
                assert_eq!(value == 0.0, is_cut, "side {side} at {centre:?}: {row}, {column}");
            }
        }
        // An odd side, which DARTS would make one smaller, is kept.
        let ty = TensorType::new(1, 5, 5);
        let mut image = vec![1.0; 25];
        cut_out(&mut image, ty, 3, [2, 2]);
        assert_eq!(image.iter().filter(|&&value| value == 0.0).count(), 9);
        assert_eq!((image[6], image[18]), (0.0, 0.0));
    }

    #[test]
    fn an_enlarged_crop_is_a_window_of_the_enlarged_image() {
        let ty = TensorType::new(1, 8, 6);
        let pixels: Vec<u8> = (0..48).map(|i| (i * 37 % 251) as u8).collect();
        let picture = Picture { pixels: pixels.as_slice().into(), ty };
        // The whole image at 12x10, by the resampling that has tests of its own.
        let (mut large, mut crop) = (Vec::new(), Vec::new());
        let whole = Region { top: 0.0, left: 0.0, height: 8.0, width: 6.0 };
        resample(&picture, &whole, [12, 10], &mut large);
        let window = |top: usize, left: usize| -> Vec<u8> {
            (0..8).flat_map(|row| large[(top + row) * 10 + left..][..6].to_vec()).collect()
        };
        let windows: Vec<Vec<u8>> = (0..25).map(|at| window(at / 5, at % 5)).collect();
        let mut seen = [false; 25];
        for index in 0..400 {
            let region =
                enlarged_region([8, 6], [8, 6], 4, &mut stream(3, Purpose::Augment, index));
            resample(&picture, &region, [8, 6], &mut crop);
            // Positions are sums in another order, so a half may round either way.
            let near =
                |window: &Vec<u8>| window.iter().zip(&crop).all(|(a, b)| a.abs_diff(*b) <= 1);
            let at = windows.iter().position(near).expect("the crop is one of the windows");
            seen[at] = true;
        }
        assert_eq!(seen, [true; 25], "every place is drawn");
    }

    #[test]
    fn random_regions_have_the_promised_area_and_shape() {
        let (height, width) = (100, 140);
        let (mut areas, mut corners) = (Vec::new(), [[false; 2]; 2]);
        for index in 0..4000 {
            let mut rng = stream(1, Purpose::Augment, index);
            let region = random_region([height, width], &mut rng);
            assert!(region.top >= 0.0 && region.top + region.height <= height as f64);
            assert!(region.left >= 0.0 && region.left + region.width <= width as f64);
            let area = region.height * region.width / (height * width) as f64;
            let ratio = region.width / region.height;
            // Sides are whole pixels, so both are off by up to half a pixel a side.
            assert!(area > 0.075 && area <= 1.0, "{region:?}");
            assert!(ratio > 0.73 && ratio < 1.37, "{region:?}");
            areas.push(area);
            corners[usize::from(region.top > 50.0)][usize::from(region.left > 70.0)] = true;
        }
        // Uniform, but for the large ones that do not fit: every tenth up to 0.7 has about a tenth.
        for tenth in 1..7 {
            let low = f64::from(tenth) / 10.0;
            let share = areas.iter().filter(|&&area| (low..low + 0.1).contains(&area)).count();
            assert!(
                (350..650).contains(&share),
                "{share} of 4000 areas between {low} and 0.1 more"
            );
        }
        assert_eq!(corners, [[true; 2]; 2]);
    }

    #[test]
    fn a_crop_of_a_strip_has_an_allowed_shape() {
        // 2 x 300: area 0.08 is 48 pixels, and 3/4 of the height below 2 gives at most 2.67 columns.
        let region = random_region([2, 300], &mut stream(0, Purpose::Augment, 0));
        assert_eq!((region.top, region.height), (0.0, 2.0));
        assert!((region.width - 8.0 / 3.0).abs() < 1e-9);
        assert!((region.left + region.width / 2.0 - 150.0).abs() < 1e-9);
        let region = random_region([300, 1], &mut stream(0, Purpose::Augment, 0));
        assert_eq!((region.width, region.height), (1.0, 4.0 / 3.0));
    }
}
