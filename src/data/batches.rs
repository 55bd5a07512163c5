//! From images as bytes to batches of whitened numbers, shuffled and augmented.

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Images, Whitening};
use crate::graph::TensorType;
use crate::rng::{Pcg64, Purpose, stream};

/// Random changes to training images that keep their class.
///
/// # Source
/// `cnn/utils.py` of DARTS: `RandomCrop(32, padding=4)`, then `RandomHorizontalFlip()`, both before
/// the normalisation, so that the border is black.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augment {
    /// Pixels of black border from which a window of the image's size is cut at a random place.
    pub pad: usize,
    /// Mirrors every other image, left to right.
    pub flip: bool,
}

impl Augment {
    /// No change.
    pub const NONE: Augment = Augment { pad: 0, flip: false };
    /// A crop after padding by 4 pixels and a flip: the usual one for CIFAR-10.
    pub const CROP_AND_FLIP: Augment = Augment { pad: 4, flip: true };
}

/// Images of one batch, in buffers that the next batch uses again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Whitened pixels, `[N, C, H, W]`.
    pub pixels: Vec<f32>,
    /// Labels, `[N]`.
    pub labels: Vec<u8>,
}

impl Batch {
    /// N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Fills one batch after the other until the images are used up.
///
/// # Determinism
/// Order and augmentation depend on the seed and the epoch alone.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    images: &'a Images,
    tables: Vec<[f32; 256]>,
    order: Vec<usize>,
    /// How many of `order` have been used.
    used: usize,
    batch: usize,
    augment: Option<(Augment, Pcg64)>,
}

impl<'a> Batches<'a> {
    /// Batches to train on: the images with these indices in the order of this epoch.
    ///
    /// Every batch has the same size, see [`batches_per_epoch`](Self::batches_per_epoch): batch
    /// statistics of a small rest would be poor, and one size needs one plan. Images that do not
    /// fill a batch are left out, in every epoch others.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn shuffled(
        images: &'a Images,
        indices: &[usize],
        whitening: &Whitening,
        augment: Augment,
        batch: usize,
        (seed, epoch): (u64, usize),
    ) -> Self {
        let (count, batch) = Self::batches_per_epoch(indices.len(), batch);
        let mut order = indices.to_vec();
        order.shuffle(&mut stream(seed, Purpose::Shuffle, epoch as u64));
        order.truncate(count * batch);
        let augment = (augment != Augment::NONE)
            .then(|| (augment, stream(seed, Purpose::Augment, epoch as u64)));
        Batches { images, tables: whitening.tables(), order, used: 0, batch, augment }
    }

    /// Batches to evaluate on: the images with these indices in their order, unchanged; the last
    /// batch may be smaller.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn in_order(
        images: &'a Images,
        indices: &[usize],
        whitening: &Whitening,
        batch: usize,
    ) -> Self {
        assert!(batch > 0, "a batch has at least one image");
        let order = indices.to_vec();
        Batches { images, tables: whitening.tables(), order, used: 0, batch, augment: None }
    }

    /// Number and size of the batches that [`shuffled`](Self::shuffled) makes of `images` images:
    /// as many of size `batch` as there are images for, or one that holds all images if they are
    /// fewer.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn batches_per_epoch(images: usize, batch: usize) -> (usize, usize) {
        assert!(batch > 0, "a batch has at least one image");
        match images {
            0 => (0, batch),
            _ if images < batch => (1, images),
            _ => (images / batch, batch),
        }
    }

    /// Overwrites `batch` with the next images. False, and no images, when all have been used.
    pub fn fill_next(&mut self, batch: &mut Batch) -> bool {
        let ty = self.images.ty();
        batch.labels.clear();
        batch.pixels.clear();
        let rest = &self.order[self.used..];
        let indices = &rest[..self.batch.min(rest.len())];
        self.used += indices.len();
        batch.pixels.reserve(indices.len() * ty.elements());
        for &index in indices {
            batch.labels.push(self.images.labels()[index]);
            let view = self.augment.as_mut().map_or(View::WHOLE, |(augment, rng)| {
                let mut offset =
                    || rng.gen_range(0..=2 * augment.pad) as isize - augment.pad as isize;
                View { top: offset(), left: offset(), mirrored: augment.flip && rng.r#gen() }
            });
            view.append(self.images.image(index), ty, &self.tables, &mut batch.pixels);
        }
        !batch.is_empty()
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

    const TY: TensorType = TensorType { channels: 2, height: 2, width: 3 };

    fn images(count: u8) -> Images {
        let pixels = (0..count).flat_map(|i| (0..12).map(move |p| i * 12 + p)).collect();
        Images::new(pixels, (0..count).collect(), TY)
    }

    fn raw() -> Whitening {
        Whitening { mean: vec![0.0, 1.0], std: vec![1.0, 2.0] }
    }

    fn all(mut batches: Batches<'_>) -> Vec<Batch> {
        let mut batch = Batch::default();
        let mut all = Vec::new();
        while batches.fill_next(&mut batch) {
            all.push(batch.clone());
        }
        assert!(batch.pixels.is_empty(), "no pixels after the end");
        all
    }

    #[test]
    fn in_order_whitens_every_image_once() {
        let images = images(5);
        let batches = all(Batches::in_order(&images, &[4, 0, 2], &raw(), 2));
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(batches[0].labels, [4, 0]);
        assert_eq!(batches[1].labels, [2]);
        let second = [0., 1., 2., 3., 4., 5., 2.5, 3., 3.5, 4., 4.5, 5.];
        assert_eq!(batches[0].pixels[12..], second);
    }

    #[test]
    fn an_epoch_is_a_permutation_in_equal_batches() {
        let images = images(7);
        let indices: Vec<usize> = (0..7).collect();
        let epoch = |seed, epoch| {
            let batches =
                Batches::shuffled(&images, &indices, &raw(), Augment::NONE, 3, (seed, epoch));
            all(batches).into_iter().flat_map(|batch| batch.labels).collect::<Vec<u8>>()
        };
        let mut labels = epoch(1, 1);
        assert_eq!(labels, epoch(1, 1));
        assert_ne!(labels, epoch(1, 2));
        assert_ne!(labels, epoch(2, 1));
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), 6, "two batches of three different images");
        assert_eq!(Batches::batches_per_epoch(7, 3), (2, 3));
        assert_eq!(Batches::batches_per_epoch(2, 3), (1, 2));
        assert_eq!(Batches::batches_per_epoch(0, 3), (0, 3));
    }

    #[test]
    fn views_move_and_mirror() {
        let image: Vec<u8> = (1..=6).collect();
        let ty = TensorType { channels: 1, ..TY };
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
    fn augmentation_draws_every_view_and_repeats() {
        let images = Images::new(vec![1, 2, 3, 4], vec![0], TensorType::new(1, 2, 2));
        let white = Whitening { mean: vec![0.0], std: vec![1.0] };
        let augment = Augment { pad: 1, flip: true };
        let draw = |epoch| {
            all(Batches::shuffled(&images, &[0], &white, augment, 1, (0, epoch))).remove(0).pixels
        };
        let views: std::collections::BTreeSet<String> =
            (0..400).map(|epoch| format!("{:?}", draw(epoch))).collect();
        // 9 places times 2, all different: each leaves at least one pixel of the image in sight, and
        // one pixel alone in a corner comes from one place and one mirroring only.
        assert_eq!(views.len(), 18);
        assert_eq!(draw(3), draw(3));
    }
}
