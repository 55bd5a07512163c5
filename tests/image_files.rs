//! Data sets of image files: folders of PNG and JPEG, and what is said about files that are broken.
//!
//! `tests/data/images` holds JPEG files of 29x37 pixels written by Pillow, and beside them what Pillow
//! (libjpeg) decodes them to.

#![cfg(feature = "images")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

#[path = "support/images.rs"]
mod support;

use std::fs;
use std::path::Path;

use cellc::data::{
    Augment, Batch, Batches, DataSpec, Dataset, Images, LoadConfig, Loader, load, load_with,
};
use cellc::error::Error;
use support::{noise, pixels, png, png_of};
use tempfile::TempDir;

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn folder(dir: &TempDir) -> Result<Dataset, Error> {
    load(&DataSpec::Folder(dir.path().into()))
}

fn sized(dir: &TempDir, size: usize) -> Result<Dataset, Error> {
    let config = LoadConfig { image_size: Some(size), ..LoadConfig::default() };
    load_with(&DataSpec::Folder(dir.path().into()), &config)
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(format!("tests/data/images/{name}")).unwrap()
}

/// The fault of a file, and the file's name.
fn fault(result: Result<Dataset, Error>) -> (String, String) {
    match result {
        Err(Error::Data { path, fault }) => {
            (path.file_name().unwrap().to_str().unwrap().into(), fault)
        }
        other => panic!("expected Error::Data, found {other:?}"),
    }
}

/// A set of one training image, which is used twice to have a test image.
fn single(name: &str, bytes: &[u8]) -> TempDir {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("train/only").join(name), bytes);
    write(&dir.path().join("test/only/good.png"), &png(2, 2, &noise(12, 1)));
    dir
}

#[test]
fn the_layout_of_imagenet_is_read() {
    let dir = TempDir::new().unwrap();
    let image = |seed| noise(4 * 5 * 3, seed);
    for (file, seed) in [
        ("train/n02/b.png", 3),
        ("train/n02/a.PNG", 2),
        ("train/n01/x.png", 1),
        ("validation/n02/v.png", 5),
        ("validation/n01/v.png", 4),
        // Passed over: other files and folders, hidden ones, a test folder without classes.
        ("train/n01/.hidden.png", 9),
        ("train/.cache/y.png", 9),
        ("train/z.png", 9),
        ("test/flat.png", 9),
    ] {
        write(&dir.path().join(file), &png(4, 5, &image(seed)));
    }
    write(&dir.path().join("train/n01/notes.txt"), b"no image");
    fs::create_dir(dir.path().join("train/empty")).unwrap();
    let data = folder(&dir).unwrap();
    assert_eq!((data.name, data.classes), ("folder", 2));
    assert_eq!(data.class_names, ["n01", "n02"]);
    let [empty, text] = ["train/empty", "train/n01/notes.txt"].map(|name| dir.path().join(name));
    let notes = [
        format!("passed over 1 folder without PNG or JPEG files: `{}`", empty.display()),
        format!("passed over 1 file neither PNG nor JPEG by the name: `{}`", text.display()),
    ];
    assert_eq!(data.notes, notes);
    assert_eq!(data.train.ty().to_string(), "[N, 3, 4, 5]");
    let validation = data.validation.as_ref().expect("a folder of its own");
    assert_eq!((data.train.labels(), validation.labels()), (&[0, 1, 1][..], &[0, 1][..]));
    assert!(data.test.is_empty(), "validation images are no test images");
    for (images, index, seed) in [
        (&data.train, 0, 1),
        (&data.train, 1, 2),
        (&data.train, 2, 3),
        (validation, 0, 4),
        (validation, 1, 5),
    ] {
        assert_eq!(pixels(images, index), planes(&image(seed)));
    }
    assert!(!data.train.is_encoded(), "small and of one size");
    assert_eq!(data.augment, Augment::CROP_AND_FLIP);
}

/// Training, validation and test images of one folder stay apart, decoded ahead or not.
#[test]
fn validation_images_of_the_folder_are_those_of_the_training() {
    for size in [4, 40] {
        let dir = TempDir::new().unwrap();
        for (at, file) in ["train/a/0", "train/b/1", "train/b/2", "val/a/3", "val/b/4", "test/a/5"]
            .iter()
            .enumerate()
        {
            let (height, width) = if at == 3 { (size, 4) } else { (4, 4) };
            let red = [at as u8, 0, 0].repeat((height * width) as usize);
            write(&dir.path().join(format!("{file}.png")), &png(height, width, &red));
        }
        let data = sized(&dir, 4).unwrap();
        let validation = data.validation.as_ref().unwrap();
        assert_eq!(validation.is_encoded(), size == 40);
        let reds = |images: &Images, indices: &[usize]| -> Vec<u8> {
            indices.iter().map(|&index| pixels(images, index)[0]).collect()
        };
        let (images, parts) = data.parted(0.0, 0).unwrap();
        assert_eq!(reds(&images, &parts.train), [0, 1, 2]);
        assert_eq!(reds(&images, &parts.validation), [3, 4]);
        assert_eq!(images.labels(), [0, 1, 1, 0, 1]);
        assert_eq!(reds(&data.test, &[0]), [5]);
        let chosen = images.select(&[4, 0]);
        assert_eq!((reds(&chosen, &[0, 1]), chosen.labels()), (vec![4, 0], &[1, 0][..]));
        // A share of the training images is held out in place of them.
        let (images, parts) = data.parted(0.34, 0).unwrap();
        assert_eq!((images.len(), parts.validation.len()), (3, 1));
    }
}

/// Interleaved RGB as planes.
fn planes(rgb: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3).copied()).collect()
}

#[test]
fn without_parts_a_fifth_of_every_class_is_held_out() {
    let dir = TempDir::new().unwrap();
    for image in 0..40 {
        let class = if image % 4 == 0 { "cat" } else { "dog" };
        let file = format!("{class}/{image:02}.png");
        write(&dir.path().join(file), &png(1, 1, &[image, 0, 0]));
    }
    let data = folder(&dir).unwrap();
    assert_eq!(data.class_names, ["cat", "dog"]);
    assert_eq!(data.test.class_counts(), [2, 6]);
    assert_eq!(data.train.class_counts(), [8, 24]);
    let reds = |images: &Images| -> Vec<u8> {
        (0..images.len()).map(|index| pixels(images, index)[0]).collect()
    };
    let mut all = [reds(&data.train), reds(&data.test)].concat();
    assert_eq!(reds(&folder(&dir).unwrap().test), reds(&data.test), "the same split each time");
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<u8>>(), "no image is in both parts");
}

#[test]
fn jpeg_files_decode_as_by_libjpeg() {
    for (jpeg, reference, tolerance) in [
        ("baseline.jpg", "baseline.png", 6),
        ("progressive.jpg", "baseline.png", 6),
        ("full_chroma.jpg", "full_chroma.png", 2),
        ("grey.jpg", "grey.png", 2),
        ("cmyk.jpg", "cmyk.png", 3),
    ] {
        let data = folder(&single_pair(&fixture(jpeg), &fixture(reference))).unwrap();
        assert_eq!(data.train.ty().to_string(), "[N, 3, 29, 37]");
        let (found, expected) = (pixels(&data.train, 0), pixels(&data.test, 0));
        let worst = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= tolerance, "{jpeg}: a sample is off by {worst}");
    }
}

/// A training image under a JPEG's name and a test image under a PNG's, whatever they are.
fn single_pair(train: &[u8], test: &[u8]) -> TempDir {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("train/only/a.JPEG"), train);
    write(&dir.path().join("test/only/b.png"), test);
    dir
}

#[test]
fn every_kind_of_png_becomes_rgb() {
    use ::png::{BitDepth, ColorType};
    let rgb = png(1, 2, &[10, 20, 30, 40, 50, 60]);
    for (color, depth, data, expected) in [
        (ColorType::Rgba, BitDepth::Eight, vec![1, 2, 3, 0, 4, 5, 6, 9], [1, 4, 2, 5, 3, 6]),
        (ColorType::Grayscale, BitDepth::Eight, vec![7, 8], [7, 8, 7, 8, 7, 8]),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, vec![7, 0, 8, 0], [7, 8, 7, 8, 7, 8]),
        (ColorType::Grayscale, BitDepth::Sixteen, vec![7, 255, 8, 0], [7, 8, 7, 8, 7, 8]),
        (ColorType::Grayscale, BitDepth::One, vec![0b0100_0000], [0, 255, 0, 255, 0, 255]),
        (ColorType::Indexed, BitDepth::Eight, vec![1, 0], [4, 1, 5, 2, 6, 3]),
    ] {
        let palette = (color == ColorType::Indexed).then(|| vec![1, 2, 3, 4, 5, 6]);
        let data = folder(&single_pair(&png_of(1, 2, color, depth, palette, &data), &rgb)).unwrap();
        assert_eq!(pixels(&data.train, 0), expected, "{color:?} {depth:?}");
    }
}

#[test]
fn other_sizes_are_resized_if_that_is_wanted() {
    let dir = TempDir::new().unwrap();
    let files = dir.path().join("train/only");
    write(&files.join("a.png"), &png(8, 8, &noise(192, 1)));
    // Halves of black and white, twice as wide as high: the middle 14 of 16 columns are seen.
    let half: Vec<u8> =
        (0..16 * 32).flat_map(|at| [if at % 32 < 16 { 0 } else { 200 }; 3]).collect();
    write(&files.join("b.png"), &png(16, 32, &half));
    write(&dir.path().join("test/only/c.png"), &png(8, 8, &noise(192, 2)));
    let (name, text) = fault(folder(&dir));
    assert_eq!(name, "b.png");
    assert_eq!(
        text,
        "16x32 pixels in a set of 8x8; give the size that images are to be resized to"
    );
    let data = sized(&dir, 8).unwrap();
    assert!(data.train.is_encoded() && !data.test.is_encoded());
    assert_eq!(data.augment, Augment::RESIZED_CROP_AND_FLIP);
    assert_eq!(pixels(&data.train, 0), planes(&noise(192, 1)), "of the size already");
    let row = [0, 0, 0, 0, 200, 200, 200, 200];
    assert_eq!(pixels(&data.train, 1), row.repeat(24));
    let selected = data.train.select(&[1, 1, 0]);
    assert_eq!(pixels(&selected, 2), planes(&noise(192, 1)));

    // Threads decode the same as none, also with random resized crops.
    let epoch = |threads| -> Vec<Vec<u32>> {
        let batches = Batches::shuffled(
            &data.train,
            &[0, 1].repeat(9),
            &data.whitening,
            Augment { pad: 1, cutout: 2, ..data.augment },
            4,
            (1, 1),
        );
        let mut loader = Loader::with_threads(batches, threads).unwrap();
        let (mut batch, mut all) = (Batch::default(), Vec::new());
        while loader.fill_next(&mut batch).unwrap() {
            all.push(batch.pixels.iter().map(|pixel| pixel.to_bits()).collect());
        }
        all
    };
    let inline = epoch(0);
    assert_eq!(inline.len(), 4);
    assert_eq!(epoch(1), inline);
    assert_eq!(epoch(3), inline);

    // A file that is gone when it is its turn: the error names it, and the epoch is over.
    fs::remove_file(files.join("b.png")).unwrap();
    for threads in [0, 2] {
        let batches = Batches::in_order(&data.train, &[0, 0, 1, 0], &data.whitening, 1);
        let mut loader = Loader::with_threads(batches, threads).unwrap();
        let mut batch = Batch::default();
        assert!(loader.fill_next(&mut batch).unwrap() && loader.fill_next(&mut batch).unwrap());
        let error = loader.fill_next(&mut batch).unwrap_err().to_string();
        assert!(error.contains("b.png") && error.contains("there is no such file"), "{error}");
        assert!(!loader.fill_next(&mut batch).unwrap());
    }
}

#[test]
fn broken_images_name_the_file() {
    let whole = png(3, 3, &noise(27, 1));
    let jpeg = fixture("baseline.jpg");
    for (name, bytes, expected) in [
        ("empty.png", vec![], "an empty image"),
        ("text.jpg", b"<html>not found</html>".to_vec(), "neither PNG nor JPEG"),
        ("gif.png", b"GIF89a......".to_vec(), "neither PNG nor JPEG"),
        ("cut.png", whole[..whole.len() / 2].to_vec(), "broken PNG: "),
        ("cut.jpg", jpeg[..jpeg.len() / 2].to_vec(), "broken JPEG: "),
        ("header.jpg", jpeg[..20].to_vec(), "broken JPEG: "),
    ] {
        let (file, text) = fault(folder(&single(name, &bytes)));
        assert_eq!(file, name);
        assert!(text.starts_with(expected), "{text}");
        let (file, _) = fault(sized(&single(name, &bytes), 4));
        assert_eq!(file, name);
    }
}

#[test]
fn a_header_that_promises_too_many_pixels_is_refused() {
    let mut bomb = png(1, 1, &[0, 0, 0]);
    // Width and height in the header, and its checksum.
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let (_, text) = fault(folder(&single("bomb.png", &bomb)));
    assert!(text.contains("65535x65535 pixels are more than the limit"), "{text}");

    let mut bomb = fixture("baseline.jpg");
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 9].fill(0xff);
    let (_, text) = fault(folder(&single("bomb.jpg", &bomb)));
    assert!(text.starts_with("broken JPEG: "), "{text}");
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn no_truncation_or_flipped_byte_panics() {
    let dir = single("a.png", &[]);
    let path = dir.path().join("train/only/a.png");
    let files = [png(5, 7, &noise(105, 1)), fixture("baseline.jpg"), fixture("progressive.jpg")];
    for whole in files {
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            // The last bytes of a PNG hold no pixels, and the last two of a JPEG only say that it ends.
            let result = folder(&dir).map(|data| data.train.len());
            assert!(
                result.is_err() || length + 12 > whole.len(),
                "{length} of {} bytes",
                whole.len()
            );
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] ^= flip;
                fs::write(&path, &broken).unwrap();
                if let Err(error) = folder(&dir) {
                    // Another size in its header makes the other image the odd one.
                    let error = error.to_string();
                    assert!(error.contains("a.png") || error.contains("good.png"), "{error}");
                }
            }
        }
    }
}

#[test]
fn folders_without_images_are_faults() {
    let nowhere = DataSpec::Folder("no/such/folder".into());
    assert_eq!(fault(load(&nowhere)).1, "there is no such folder");
    let dir = TempDir::new().unwrap();
    assert_eq!(fault(folder(&dir)).1, "no PNG or JPEG files in folders named by their class");
    fs::create_dir(dir.path().join("train")).unwrap();
    let (name, text) = fault(folder(&dir));
    assert_eq!((&*name, &*text), ("train", "no PNG or JPEG files in folders named by their class"));

    let dir = single("a.png", &png(2, 2, &noise(12, 1)));
    write(&dir.path().join("test/unknown/b.png"), &png(2, 2, &noise(12, 1)));
    let (name, text) = fault(folder(&dir));
    assert_eq!((&*name, &*text), ("unknown", "no class of the training images has this name"));

    let dir = single("a.png", &png(2, 2, &noise(12, 1)));
    let error = sized(&dir, 0).unwrap_err().to_string();
    assert_eq!(error, "image size is 0: it must be from 1 to 4096");
}
