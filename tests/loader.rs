//! Batches made in threads: the same bytes as without, from any place of an epoch on.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::collections::BTreeSet;

use cellc::data::{Augment, Batch, Batches, DataSpec, HoldOut, Images, Loader, load, split};
use cellc::data::{Dataset, LoadConfig, Whitening, load_with};
use cellc::graph::TensorType;

/// Colour images of 12x12 pixels, each with a label of its own.
fn images(count: u16) -> Images {
    let ty = TensorType::new(3, 12, 12);
    let pixels = (0..usize::from(count) * ty.elements()).map(|at| (at * 37 % 251) as u8).collect();
    Images::new(pixels, (0..count).collect(), ty)
}

const ALL: Augment = Augment { resized_crop: true, enlarge: 0, pad: 2, flip: true, cutout: 4 };

fn epoch(images: &Images, augment: Augment, batch: usize, epoch: usize) -> Batches {
    let indices: Vec<usize> = (0..images.len()).collect();
    let whitening = Whitening::of(images).unwrap();
    Batches::shuffled(images, &indices, &whitening, augment, batch, (3, epoch))
}

fn all(mut loader: Loader) -> Vec<Batch> {
    let (mut batch, mut all) = (Batch::default(), Vec::new());
    while loader.fill_next(&mut batch).unwrap() {
        all.push(batch.clone());
    }
    assert!(batch.is_empty() && batch.pixels.is_empty(), "nothing after the end");
    assert!(!loader.fill_next(&mut batch).unwrap(), "and no more after that");
    all
}

/// Pixels as bits, and labels.
fn bytes(batches: &[Batch]) -> Vec<(Vec<u32>, Vec<u16>)> {
    let bits = |batch: &Batch| batch.pixels.iter().map(|pixel| pixel.to_bits()).collect();
    batches.iter().map(|batch| (bits(batch), batch.labels.clone())).collect()
}

#[test]
fn threads_do_not_change_a_byte() {
    let images = images(53);
    let inline = all(Loader::with_threads(epoch(&images, ALL, 4, 1), 0).unwrap());
    assert_eq!(inline.len(), 13);
    for threads in [1, 2, 3, 7, 40] {
        let threaded = all(Loader::with_threads(epoch(&images, ALL, 4, 1), threads).unwrap());
        assert_eq!(bytes(&threaded), bytes(&inline), "{threads} threads");
    }
    let other = all(Loader::with_threads(epoch(&images, ALL, 4, 2), 2).unwrap());
    assert_ne!(bytes(&other), bytes(&inline), "another epoch");
    // The last batch of an evaluation is smaller.
    let whitening = Whitening::of(&images).unwrap();
    let indices: Vec<usize> = (0..10).collect();
    let batches = Batches::in_order(&images, &indices, &whitening, 4);
    let sizes = |threads| -> Vec<usize> {
        let loader = Loader::with_threads(batches.clone(), threads).unwrap();
        all(loader).iter().map(Batch::len).collect()
    };
    assert_eq!(sizes(0), [4, 4, 2]);
    assert_eq!(sizes(3), [4, 4, 2]);
}

#[test]
fn an_epoch_can_be_entered_anywhere() {
    let images = images(53);
    let whole = bytes(&all(Loader::with_threads(epoch(&images, ALL, 4, 5), 2).unwrap()));
    for start in 0..=whole.len() {
        for threads in [0, 2] {
            let batches = epoch(&images, ALL, 4, 5).skip(start);
            let tail = bytes(&all(Loader::with_threads(batches, threads).unwrap()));
            assert_eq!(tail, whole[start..], "from batch {start} with {threads} threads");
        }
    }
    assert!(all(Loader::new(epoch(&images, ALL, 4, 5).skip(99)).unwrap()).is_empty());
}

#[test]
fn batches_do_not_depend_on_their_size_but_for_the_grouping() {
    // The position in the epoch decides, not the batch: 4 batches of 4 hold what 2 of 8 do.
    let images = images(16);
    let join = |batch| -> Vec<u32> {
        let batches = all(Loader::new(epoch(&images, ALL, batch, 1)).unwrap());
        bytes(&batches).into_iter().flat_map(|(pixels, _)| pixels).collect()
    };
    assert_eq!(join(4), join(8));
}

#[test]
fn a_loader_that_is_dropped_early_ends() {
    let images = images(200);
    for taken in 0..5 {
        let mut loader = Loader::with_threads(epoch(&images, ALL, 2, 1), 3).unwrap();
        let mut batch = Batch::default();
        for _ in 0..taken {
            assert!(loader.fill_next(&mut batch).unwrap());
        }
    }
}

#[test]
fn cutout_leaves_one_square_of_zeros() {
    // Constant images, whitened to 1: every zero is the cutout's.
    let ty = TensorType::new(2, 9, 9);
    let count = 600;
    let images = Images::new(vec![3; count * ty.elements()], vec![0; count], ty);
    let whitening = Whitening { mean: vec![1.0; 2], std: vec![2.0; 2] };
    let indices: Vec<usize> = (0..count).collect();
    let augment = Augment { cutout: 4, ..Augment::NONE };
    let batches = Batches::shuffled(&images, &indices, &whitening, augment, count, (0, 1));
    let pixels = all(Loader::new(batches).unwrap()).remove(0).pixels;
    let mut corners = BTreeSet::new();
    for image in pixels.chunks_exact(ty.elements()) {
        let zeros: Vec<usize> = (0..81).filter(|&at| image[at] == 0.0).collect();
        let (rows, columns): (BTreeSet<usize>, BTreeSet<usize>) =
            zeros.iter().map(|at| (at / 9, at % 9)).unzip();
        assert_eq!(zeros.len(), rows.len() * columns.len(), "a rectangle without holes");
        assert!((2..=4).contains(&rows.len()) && (2..=4).contains(&columns.len()));
        assert_eq!(image[..81], image[81..], "the same in all channels");
        assert!(image.iter().all(|&pixel| pixel == 0.0 || pixel == 1.0));
        corners.insert((
            rows.first().copied(),
            rows.len(),
            columns.first().copied(),
            columns.len(),
        ));
    }
    assert_eq!(corners.len(), 81, "a centre at every pixel");
}

#[test]
fn training_validation_and_test_images_are_apart() {
    let data = load(&DataSpec::Digits).unwrap();
    let parts = split(&data.train, HoldOut::Fraction(0.2), 9).unwrap();
    let set = |indices: &[usize]| indices.iter().copied().collect::<BTreeSet<usize>>();
    assert!(set(&parts.train).is_disjoint(&set(&parts.validation)));
    assert_eq!(parts.train.len() + parts.validation.len(), data.train.len());
    // No digit is drawn twice in this set, so a test image among the training images would be a leak.
    let pixels = |images: &Images| -> BTreeSet<Vec<u8>> {
        (0..images.len()).map(|index| images.image(index).unwrap().into_owned()).collect()
    };
    let (train, test) = (pixels(&data.train), pixels(&data.test));
    assert_eq!(train.len() + test.len(), 1797);
    assert!(train.is_disjoint(&test));
}

#[test]
fn a_limit_keeps_the_shares_of_the_classes() {
    let limited = |limit| -> Dataset {
        let config = LoadConfig { limit: Some(limit), ..LoadConfig::default() };
        load_with(&DataSpec::Digits, &config).unwrap()
    };
    let data = limited(100);
    assert_eq!((data.train.len(), data.test.len()), (100, 100));
    assert_eq!((data.classes, data.class_names.len()), (10, 10));
    assert!(data.train.class_counts().iter().all(|count| (9..=11).contains(count)));
    assert_eq!(data.train.labels(), limited(100).train.labels());
    assert_eq!((limited(400).train.len(), limited(400).test.len()), (400, 359));
    assert_eq!(limited(1_000_000).train.len(), 1438);
    let none = LoadConfig { limit: Some(0), ..LoadConfig::default() };
    let error = load_with(&DataSpec::Digits, &none).unwrap_err();
    assert_eq!(error.to_string(), "limit is 0: there must be at least one image");
    let sized = LoadConfig { image_size: Some(9), ..LoadConfig::default() };
    let error = load_with(&DataSpec::Digits, &sized).unwrap_err();
    assert_eq!(error.to_string(), "image size is 9: the images of `digits` have one size");
}
