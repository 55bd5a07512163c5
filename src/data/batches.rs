//! From images to batches of whitened numbers, shuffled and augmented.

use rand::seq::SliceRandom;

use super::augment::Whitener;
use super::{Augment, Images, Whitening};
use crate::error::Error;
use crate::graph::TensorType;
use crate::rng::{Purpose, derive, stream};

/// Images of one batch, in buffers that the next batch uses again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Whitened pixels, `[N, C, H, W]`.
    pub pixels: Vec<f32>,
    /// Labels, `[N]`.
    pub labels: Vec<u16>,
    /// An image brought to the shape of the set, before it is whitened.
    resized: Vec<u8>,
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

/// The batches of one pass over images: which images in which order, and how each is changed.
///
/// [`fill_next`](Self::fill_next) makes one after the other; a [`Loader`](super::Loader) makes them
/// ahead of their use, in threads.
///
/// # Determinism
/// Order and augmentation depend on the seed and the epoch alone: the image at each position of the
/// epoch has its own stream of random numbers, so any batch can be made before or without the others.
#[derive(Clone, Debug)]
pub struct Batches {
    images: Images,
    whitener: Whitener,
    order: Vec<usize>,
    batch: usize,
    /// The number of the next batch.
    next: usize,
    /// With the seed of the epoch.
    augment: Option<(Augment, u64)>,
}

impl Batches {
    /// Batches to train on: the images with these indices in the order of this epoch.
    ///
    /// Every batch has the same size, see [`batches_per_epoch`](Self::batches_per_epoch): batch
    /// statistics of a small rest would be poor, and one size needs one plan. Images that do not
    /// fill a batch are left out, in every epoch others.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn shuffled(
        images: &Images,
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
            .then(|| (augment, derive(seed, Purpose::Augment, epoch as u64)));
        Batches { augment, ..Self::in_order(images, &order, whitening, batch) }
    }

    /// Batches to evaluate on: the images with these indices in their order, not augmented; the last
    /// batch may be smaller.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn in_order(
        images: &Images,
        indices: &[usize],
        whitening: &Whitening,
        batch: usize,
    ) -> Self {
        assert!(batch > 0, "a batch has at least one image");
        let whitener = Whitener { tables: whitening.tables(), ty: images.ty() };
        let (images, order) = (images.clone(), indices.to_vec());
        Batches { images, whitener, order, batch, next: 0, augment: None }
    }

    /// The same without the first `batches` of them: what is left of an epoch that was interrupted.
    pub fn skip(mut self, batches: usize) -> Self {
        self.next = (self.next + batches).min(self.count());
        self
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

    /// `[C, H, W]` of every image.
    pub fn ty(&self) -> TensorType {
        self.whitener.ty
    }

    /// The numbers of the batches that are left.
    pub(super) fn left(&self) -> std::ops::Range<usize> {
        self.next..self.count()
    }

    /// What a batch costs to make: true if images are decoded, and numbers in a batch.
    pub(super) fn cost(&self) -> (bool, usize) {
        (self.images.is_encoded(), self.batch.min(self.order.len()) * self.ty().elements())
    }

    fn count(&self) -> usize {
        self.order.len().div_ceil(self.batch)
    }

    /// Overwrites `batch` with the next images. False, and no images, when all have been used.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Read`] if an image must be read or decoded and cannot be.
    pub fn fill_next(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        self.fill(self.next, batch)?;
        self.next = (self.next + 1).min(self.count());
        Ok(!batch.is_empty())
    }

    /// Overwrites `batch` with the images of batch `number`; with none after the last.
    pub(super) fn fill(&self, number: usize, batch: &mut Batch) -> Result<(), Error> {
        let start = (number * self.batch).min(self.order.len());
        let end = (start + self.batch).min(self.order.len());
        batch.labels.clear();
        batch.pixels.clear();
        batch.pixels.reserve((end - start) * self.ty().elements());
        for position in start..end {
            let index = self.order[position];
            let augment = self
                .augment
                .map(|(augment, seed)| (augment, stream(seed, Purpose::Augment, position as u64)));
            batch.labels.push(self.images.labels()[index]);
            let picture = self.images.picture(index)?;
            self.whitener.append(&picture, augment, &mut batch.resized, &mut batch.pixels);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TY: TensorType = TensorType { channels: 2, height: 2, width: 3 };

    fn images(count: u8) -> Images {
        let pixels = (0..count).flat_map(|i| (0..12).map(move |p| i * 12 + p)).collect();
        Images::new(pixels, (0..count).map(u16::from).collect(), TY)
    }

    fn raw() -> Whitening {
        Whitening { mean: vec![0.0, 1.0], std: vec![1.0, 2.0] }
    }

    fn all(mut batches: Batches) -> Vec<Batch> {
        let mut batch = Batch::default();
        let mut all = Vec::new();
        while batches.fill_next(&mut batch).expect("bytes in memory") {
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
            all(batches).into_iter().flat_map(|batch| batch.labels).collect::<Vec<u16>>()
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
    fn augmentation_draws_every_view_and_repeats() {
        let images = Images::new(vec![1, 2, 3, 4], vec![0], TensorType::new(1, 2, 2));
        let white = Whitening { mean: vec![0.0], std: vec![1.0] };
        let augment = Augment { pad: 1, flip: true, ..Augment::NONE };
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

    #[test]
    fn positions_of_an_epoch_are_changed_independently() {
        // One image many times: each position has its own place and mirroring.
        let images = Images::new(vec![1, 2, 3, 4], vec![0], TensorType::new(1, 2, 2));
        let white = Whitening { mean: vec![0.0], std: vec![1.0] };
        let augment = Augment { pad: 1, flip: true, ..Augment::NONE };
        let batches = Batches::shuffled(&images, &[0; 400], &white, augment, 400, (0, 1));
        let pixels = all(batches).remove(0).pixels;
        let views: std::collections::BTreeSet<String> =
            pixels.chunks(4).map(|view| format!("{view:?}")).collect();
        assert_eq!(views.len(), 18);
    }
}
