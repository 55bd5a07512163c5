//! Data sets from files: what `load` accepts, and what it says about files it cannot accept.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::fs;
use std::io::Write;
use std::path::Path;

use cellc::data::{Augment, DataSpec, Dataset, Images, load};
use cellc::error::Error;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// A pixel value that depends on where it is.
fn pixel(image: usize, at: usize) -> u8 {
    (image * 31 + at * 7) as u8
}

fn cifar10_file(path: &Path, labels: &[u8]) {
    let mut bytes = Vec::new();
    for (image, &label) in labels.iter().enumerate() {
        bytes.push(label);
        bytes.extend((0..3072).map(|at| pixel(image, at)));
    }
    fs::write(path, bytes).unwrap();
}

fn cifar10() -> TempDir {
    let dir = TempDir::new().unwrap();
    for batch in 1..=5u8 {
        cifar10_file(&dir.path().join(format!("data_batch_{batch}.bin")), &[batch, batch + 4]);
    }
    cifar10_file(&dir.path().join("test_batch.bin"), &[9, 0, 3]);
    dir
}

fn load_cifar10(dir: &TempDir) -> Result<Dataset, Error> {
    load(&DataSpec::Cifar10(dir.path().into()))
}

/// Name of the file that an [`Error::Data`] is about, and the fault.
fn data_fault(result: Result<Dataset, Error>) -> (String, String) {
    match result {
        Err(Error::Data { path, fault }) => {
            (path.file_name().unwrap().to_str().unwrap().into(), fault)
        }
        other => panic!("expected Error::Data, found {other:?}"),
    }
}

#[test]
fn digits_are_inside() {
    let digits = load(&DataSpec::Digits).unwrap();
    assert_eq!(digits.name, "digits");
    assert_eq!(digits.classes, 10);
    assert_eq!(digits.train.len() + digits.test.len(), 1797);
    assert_eq!(digits.train.ty().to_string(), "[N, 1, 8, 8]");
    assert_eq!(digits.augment, Augment::NONE);
    // All 1,797 images have mean 4.884 and deviation 6.017 (numpy); the training part is near.
    assert!((digits.whitening.mean[0] - 4.884).abs() < 0.05, "{:?}", digits.whitening);
    assert!((digits.whitening.std[0] - 6.017).abs() < 0.05, "{:?}", digits.whitening);
}

#[test]
fn cifar10_round_trip() {
    let data = load_cifar10(&cifar10()).unwrap();
    assert_eq!((data.name, data.classes), ("cifar10", 10));
    assert_eq!(data.train.ty().to_string(), "[N, 3, 32, 32]");
    assert_eq!(data.train.labels(), [1, 5, 2, 6, 3, 7, 4, 8, 5, 9]);
    assert_eq!(data.test.labels(), [9, 0, 3]);
    assert_eq!(data.augment, Augment::CROP_AND_FLIP);
    for index in 0..3 {
        let expected: Vec<u8> = (0..3072).map(|at| pixel(index, at)).collect();
        let image = |images: &Images, index| images.image(index).unwrap().into_owned();
        assert_eq!(image(&data.test, index), expected);
        assert_eq!(image(&data.train, 6 + index % 2), image(&data.test, index % 2));
    }
    // Per channel, by hand over the same pixels.
    for channel in 0..3 {
        let values: Vec<f64> = (0..10)
            .flat_map(|image| (0..1024).map(move |at| pixel(image % 2, channel * 1024 + at).into()))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((f64::from(data.whitening.mean[channel]) - mean).abs() < 1e-4);
        assert!((f64::from(data.whitening.std[channel]) - variance.sqrt()).abs() < 1e-4);
    }
}

#[test]
fn cifar10_faults_name_the_file() {
    let missing = DataSpec::Cifar10(TempDir::new().unwrap().path().join("nowhere"));
    assert_eq!(data_fault(load(&missing)), ("nowhere".into(), "there is no such folder".into()));

    let dir = cifar10();
    let not_a_folder = DataSpec::Cifar10(dir.path().join("test_batch.bin"));
    let (name, fault) = data_fault(load(&not_a_folder));
    assert_eq!((&*name, &*fault), ("test_batch.bin", "this is not a folder"));

    let third = dir.path().join("data_batch_3.bin");
    let whole = fs::read(&third).unwrap();
    for (bytes, expected) in [
        (vec![], "no images"),
        (
            whole[..whole.len() - 1].to_vec(),
            "6145 bytes are no whole number of records of 3073 bytes: 3072 bytes after record 1",
        ),
        ([&[13], &whole[1..]].concat(), "record 0: label 13 of 10 classes"),
        (vec![0; 10_001 * 3073], "more than 30730000 bytes, the size of 10000 records"),
    ] {
        fs::write(&third, bytes).unwrap();
        let (name, fault) = data_fault(load_cifar10(&dir));
        assert_eq!((&*name, &*fault), ("data_batch_3.bin", expected));
    }
    fs::remove_file(&third).unwrap();
    let (name, fault) = data_fault(load_cifar10(&dir));
    assert_eq!((&*name, &*fault), ("data_batch_3.bin", "there is no such file"));
    // What cannot be read at all is the system's fault, not the data's.
    fs::create_dir(&third).unwrap();
    assert!(matches!(load_cifar10(&dir), Err(Error::Read { .. })));
}

#[test]
fn cifar100_takes_the_fine_labels() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, labels: &[[u8; 2]]| {
        let record = |(image, label): (usize, &[u8; 2])| {
            [label.to_vec(), (0..3072).map(|at| pixel(image, at)).collect()].concat()
        };
        let bytes: Vec<u8> = labels.iter().enumerate().flat_map(record).collect();
        fs::write(dir.path().join(name), bytes).unwrap();
    };
    let load = || load(&DataSpec::Cifar100(dir.path().into()));
    file("train.bin", &[[1, 99], [19, 0], [3, 42]]);
    file("test.bin", &[[0, 7]]);
    let data = load().unwrap();
    assert_eq!((data.name, data.classes), ("cifar100", 100));
    assert_eq!((data.train.labels(), data.test.labels()), (&[99, 0, 42][..], &[7][..]));
    let third: Vec<u8> = (0..3072).map(|at| pixel(2, at)).collect();
    assert_eq!(*data.train.image(2).unwrap(), third);
    assert_eq!((&*data.class_names[0], &*data.class_names[99]), ("0", "99"));

    let names: Vec<String> = (0..100).map(|class| format!("class_{class}")).collect();
    fs::write(dir.path().join("fine_label_names.txt"), names.join("\n")).unwrap();
    assert_eq!(load().unwrap().class_names, names);
    fs::write(dir.path().join("fine_label_names.txt"), "apple\nbear\n").unwrap();
    assert_eq!(data_fault(load()).1, "2 names for 100 classes");
    fs::remove_file(dir.path().join("fine_label_names.txt")).unwrap();

    for (labels, expected) in
        [(&[][..], "no images"), (&[[0, 5], [0, 100]], "record 1: label 100 of 100 classes")]
    {
        file("test.bin", labels);
        assert_eq!(data_fault(load()), ("test.bin".into(), expected.into()));
    }
    fs::write(dir.path().join("test.bin"), [0; 3075]).unwrap();
    let expected =
        "3075 bytes are no whole number of records of 3074 bytes: 1 bytes after record 1";
    assert_eq!(data_fault(load()), ("test.bin".into(), expected.into()));
}

/// An IDX file of bytes.
fn idx(axes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, axes.len() as u8];
    file.extend(axes.iter().flat_map(|axis| axis.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn pixels(images: usize) -> Vec<u8> {
    (0..images).flat_map(|image| (0..6).map(move |at| pixel(image, at))).collect()
}

/// Four training images of three classes and two test images, 2x3 pixels.
fn idx_folder(dash: &str, end: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (stem, bytes) in [
        ("train-images", idx(&[4, 2, 3], &pixels(4))),
        ("train-labels", idx(&[4], &[2, 0, 1, 0])),
        ("t10k-images", idx(&[2, 2, 3], &pixels(2))),
        ("t10k-labels", idx(&[2], &[1, 2])),
    ] {
        let kind = if stem.ends_with("images") { "idx3" } else { "idx1" };
        let bytes = if end == ".gz" { gzip(&bytes) } else { bytes };
        fs::write(dir.path().join(format!("{stem}{dash}{kind}-ubyte{end}")), bytes).unwrap();
    }
    dir
}

fn load_idx(dir: &TempDir) -> Result<Dataset, Error> {
    load(&DataSpec::Idx(dir.path().into()))
}

#[test]
fn idx_round_trip_under_every_name() {
    for dash in ["-", "."] {
        for end in ["", ".gz"] {
            let data = load_idx(&idx_folder(dash, end)).unwrap();
            assert_eq!((data.name, data.classes), ("idx", 3));
            assert_eq!(data.train.ty().to_string(), "[N, 1, 2, 3]");
            assert_eq!(data.train.labels(), [2, 0, 1, 0]);
            assert_eq!(data.train.pixels().unwrap(), pixels(4));
            assert_eq!(data.test.labels(), [1, 2]);
            assert_eq!(data.test.pixels().unwrap(), pixels(2));
        }
    }
}

#[test]
fn idx_faults_name_the_file() {
    let images = "train-images-idx3-ubyte";
    let labels = "train-labels-idx1-ubyte";
    let test_images = "t10k-images-idx3-ubyte";
    let test_labels = "t10k-labels-idx1-ubyte";
    let huge = idx(&[60_000, 60_000, 60_000], &[]);
    let beyond = idx(&[u32::MAX, u32::MAX, u32::MAX], &[]);
    for (file, bytes, expected) in [
        (images, vec![], "the header has 16 bytes, found 0"),
        (images, idx(&[4], &[1, 2]), "the header has 16 bytes, found 10"),
        (labels, idx(&[4, 2, 3], &pixels(4)), "bad magic number: expected 2049, found 2051"),
        (images, gzip(&[0; 64]), "bad magic number: expected 2051, found 529205248"),
        (images, idx(&[4, 2, 3], &pixels(3)), "expected 24 bytes after the header, found 18"),
        (images, idx(&[4, 2, 3], &pixels(5)), "more than the 24 bytes its header announces"),
        (images, huge, "60000x60000x60000 bytes are more than the limit of 1073741824"),
        (
            images,
            beyond,
            "4294967295x4294967295x4294967295 bytes are more than the limit of 1073741824",
        ),
        (
            images,
            idx(&[1 << 30, 1, 1], &[0; 3]),
            "expected 1073741824 bytes after the header, found 3",
        ),
        (images, idx(&[0, 2, 3], &[]), "no images"),
        (images, idx(&[4, 0, 3], &[]), "images of 0x3 pixels"),
        (labels, idx(&[3], &[2, 0, 1]), "3 labels for the 4 images of `train-images-idx3-ubyte`"),
        (labels, idx(&[4], &[13, 0, 1, 2]), "label 13, but no label 3"),
        (test_labels, idx(&[2], &[2, 3]), "image 1: label 3 of 3 classes"),
    ] {
        let dir = idx_folder("-", "");
        fs::write(dir.path().join(file), bytes).unwrap();
        let (name, fault) = data_fault(load_idx(&dir));
        assert_eq!((&*name, &*fault), (file, expected));
    }

    let dir = idx_folder("-", "");
    fs::write(dir.path().join(test_images), idx(&[2, 3, 2], &pixels(2))).unwrap();
    let (_, fault) = data_fault(load_idx(&dir));
    assert_eq!(fault, "training images are [N, 1, 2, 3], test images [N, 1, 3, 2]");

    let dir = idx_folder("-", "");
    fs::remove_file(dir.path().join(test_labels)).unwrap();
    let (name, fault) = data_fault(load_idx(&dir));
    assert_eq!(name, test_labels);
    assert_eq!(fault, "there is no such file, nor one with `.idx1` for `-idx1` or with `.gz`");
}

#[test]
fn broken_and_oversized_gzip_streams_are_faults() {
    let file = "train-images-idx3-ubyte.gz";
    let whole = gzip(&idx(&[4, 2, 3], &pixels(4)));
    let mut flipped = whole.clone();
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    // 64 MiB of zeros in 64 kB behind a header that announces 24 bytes: nothing beyond those is read.
    let bomb = gzip(&[idx(&[4, 2, 3], &[]), vec![0; 64 << 20]].concat());
    assert!(bomb.len() < 1 << 20);
    for (bytes, expected) in [
        (b"not gzip at all".to_vec(), "broken gzip stream"),
        (whole[..whole.len() / 2].to_vec(), "broken gzip stream"),
        (flipped, "broken gzip stream"),
        (bomb, "more than the 24 bytes its header announces"),
    ] {
        let dir = idx_folder("-", ".gz");
        fs::write(dir.path().join(file), bytes).unwrap();
        let (name, fault) = data_fault(load_idx(&dir));
        assert_eq!(name, file);
        assert!(fault.starts_with(expected), "{fault}");
    }
}
