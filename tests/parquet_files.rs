//! Data sets of images in Parquet files with the columns of Hugging Face's sets.

#![cfg(feature = "parquet")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

#[path = "support/images.rs"]
mod support;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use cellc::data::{
    Augment, Batch, Batches, DataSpec, Dataset, LoadConfig, Loader, load, load_with,
};
use cellc::error::Error;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use support::{noise, pixels, png};
use tempfile::TempDir;

const SCHEMA: &str = "message schema {
    OPTIONAL GROUP img { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (UTF8); }
    OPTIONAL INT64 label;
}";
const NAMES: &str = r#"{"info": {"features": {
    "img": {"_type": "Image"}, "label": {"names": ["ant", "bee", "cow"], "_type": "ClassLabel"}}}}"#;

/// A row: an encoded image, if there is one, and its label.
type Row = (Option<Vec<u8>>, i64);

/// Writes rows in groups of three.
fn write(path: &Path, schema: &str, features: Option<&str>, rows: &[Row]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let metadata = features.map(|text| vec![KeyValue::new("huggingface".into(), text.to_string())]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(metadata)
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(1)
        .build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for rows in rows.chunks(3) {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> =
            rows.iter().filter_map(|(image, _)| image.clone().map(ByteArray::from)).collect();
        let levels: Vec<i16> =
            rows.iter().map(|(image, _)| if image.is_some() { 2 } else { 1 }).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&images, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let none = vec![1; rows.len()];
        column.typed::<ByteArrayType>().write_batch(&[], Some(&none), None).unwrap();
        column.close().unwrap();
        let labels: Vec<i64> = rows.iter().map(|(_, label)| *label).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&none), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn image(seed: u32) -> Vec<u8> {
    png(4, 6, &noise(72, seed))
}

/// Images of 4x6 pixels with these labels.
fn rows(labels: &[i64], first_seed: u32) -> Vec<Row> {
    let row = |(seed, &label)| (Some(image(seed)), label);
    (first_seed..).zip(labels).map(row).collect()
}

/// Two files of eight training images in all, and a file of test images.
fn set() -> TempDir {
    let dir = TempDir::new().unwrap();
    let at = |name| dir.path().join("plain_text").join(name);
    write(&at("train-00001-of-00002.parquet"), SCHEMA, Some(NAMES), &rows(&[2, 0, 1], 5));
    write(&at("train-00000-of-00002.parquet"), SCHEMA, Some(NAMES), &rows(&[0, 1, 0, 1, 0], 0));
    write(&at("test-00000-of-00001.parquet"), SCHEMA, Some(NAMES), &rows(&[1, 2], 20));
    dir
}

fn parquet(dir: &TempDir) -> Result<Dataset, Error> {
    load(&DataSpec::Parquet(vec![dir.path().into()]))
}

fn fault(result: Result<Dataset, Error>) -> (String, String) {
    match result {
        Err(Error::Data { path, fault }) => {
            (path.file_name().unwrap().to_str().unwrap().into(), fault)
        }
        other => panic!("expected Error::Data, found {other:?}"),
    }
}

#[test]
fn rows_of_all_files_are_read_in_order() {
    let dir = set();
    let data = parquet(&dir).unwrap();
    assert_eq!((data.name, data.classes), ("parquet", 3));
    assert_eq!(data.class_names, ["ant", "bee", "cow"]);
    assert_eq!(data.train.labels(), [0, 1, 0, 1, 0, 2, 0, 1]);
    assert_eq!(data.test.labels(), [1, 2]);
    assert_eq!(data.train.ty().to_string(), "[N, 3, 4, 6]");
    assert!(!data.train.is_encoded());
    let plane = |seed| -> Vec<u8> { noise(72, seed).into_iter().step_by(3).collect() };
    for index in 0..8 {
        assert_eq!(pixels(&data.train, index)[..24], plane(index as u32), "row {index}");
    }
    assert_eq!(pixels(&data.test, 1)[..24], plane(21));

    // The same files by name, and a list without test images.
    let file = |name: &str| dir.path().join("plain_text").join(name);
    let (first, second) =
        (file("train-00000-of-00002.parquet"), file("train-00001-of-00002.parquet"));
    let data = load(&DataSpec::Parquet(vec![first, second])).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (6, 2));
}

#[test]
fn rows_decoded_at_each_use_are_those_decoded_at_once() {
    let dir = set();
    // One image of another size, so that nothing is decoded ahead.
    let odd = (Some(png(8, 8, &noise(192, 9))), 1);
    let path = dir.path().join("plain_text/train-00002-of-00002.parquet");
    write(&path, SCHEMA, Some(NAMES), &[odd]);
    let config = LoadConfig { image_size: Some(8), ..LoadConfig::default() };
    let data = load_with(&DataSpec::Parquet(vec![dir.path().into()]), &config).unwrap();
    assert!(data.train.is_encoded());
    assert_eq!(data.augment, Augment::RESIZED_CROP_AND_FLIP);
    assert_eq!(
        pixels(&data.train, 8)[..4],
        noise(192, 9).into_iter().step_by(3).collect::<Vec<_>>()[..4]
    );
    let epoch = |threads| -> Vec<(Vec<u32>, Vec<u16>)> {
        let indices: Vec<usize> = (0..9).rev().collect();
        let batches =
            Batches::shuffled(&data.train, &indices, &data.whitening, data.augment, 2, (4, 2));
        let mut loader = Loader::with_threads(batches, threads).unwrap();
        let (mut batch, mut all) = (Batch::default(), Vec::new());
        while loader.fill_next(&mut batch).unwrap() {
            let bits = batch.pixels.iter().map(|pixel| pixel.to_bits()).collect();
            all.push((bits, batch.labels.clone()));
        }
        all
    };
    assert_eq!(epoch(3), epoch(0));
}

#[test]
fn hidden_test_labels_give_way_to_validation() {
    let dir = set();
    let at = |name| dir.path().join("plain_text").join(name);
    write(&at("test-00000-of-00001.parquet"), SCHEMA, Some(NAMES), &rows(&[-1, -1], 20));
    write(&at("validation-00000-of-00001.parquet"), SCHEMA, Some(NAMES), &rows(&[0, 0, 2], 30));
    let data = parquet(&dir).unwrap();
    assert_eq!(data.validation.expect("files of its own").labels(), [0, 0, 2]);
    assert!(data.test.is_empty(), "validation images are no test images");
    // Some hidden labels are faults.
    write(&at("test-00000-of-00001.parquet"), SCHEMA, Some(NAMES), &rows(&[1, -1], 20));
    let (name, text) = fault(parquet(&dir));
    assert_eq!(&*name, "test-00000-of-00001.parquet");
    assert_eq!(text, "row 1: label -1 of 3 classes");
}

#[test]
fn classes_without_names_are_numbered() {
    let dir = TempDir::new().unwrap();
    for features in [None, Some("{}"), Some("not json"), Some(r#"{"info": {"features": {}}}"#)] {
        write(&dir.path().join("train.parquet"), SCHEMA, features, &rows(&[0, 3, 0, 3, 3], 0));
        write(&dir.path().join("test.parquet"), SCHEMA, features, &rows(&[1], 7));
        let data = parquet(&dir).unwrap();
        assert_eq!((data.classes, data.class_names.join(" ")), (4, "0 1 2 3".into()));
    }
}

#[test]
fn files_without_the_columns_are_faults() {
    let (train, none) = ("train.parquet", Option::<&str>::None);
    for (schema, expected) in [
        (SCHEMA.replace("img", "picture"), "no column `img` or `image` with a field `bytes`"),
        (SCHEMA.replace("label", "class"), "no integer column `label` or `fine_label`"),
    ] {
        let dir = TempDir::new().unwrap();
        write(&dir.path().join(train), &schema, none, &rows(&[0, 1], 0));
        assert_eq!(fault(parquet(&dir)), (train.into(), expected.into()));
    }
    let dir = TempDir::new().unwrap();
    let place = dir.path().file_name().unwrap().to_str().unwrap().to_string();
    assert_eq!(fault(parquet(&dir)), (place, "no Parquet files".into()));
    write(&dir.path().join("other.parquet"), SCHEMA, none, &rows(&[0], 0));
    assert_eq!(fault(parquet(&dir)).1, "no Parquet file whose name begins with `train`");
    write(&dir.path().join(train), SCHEMA, none, &[]);
    assert_eq!(fault(parquet(&dir)), (train.into(), "no images".into()));
    let missing = [(Some(image(0)), 0), (None, 1)];
    write(&dir.path().join(train), SCHEMA, none, &missing);
    let (name, text) = fault(parquet(&dir));
    assert_eq!(&*name, train);
    assert_eq!(text, "1 of the 2 rows from row 0 have no `img.bytes`");
    write(&dir.path().join(train), SCHEMA, none, &[(Some(image(0)), 0), (Some(b"GIF".into()), 0)]);
    assert_eq!(fault(parquet(&dir)), (train.into(), "row 1: neither PNG nor JPEG".into()));
}

#[test]
fn broken_files_are_faults_and_do_not_panic() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("train.parquet");
    write(&dir.path().join("test.parquet"), SCHEMA, None, &rows(&[0], 9));
    write(&path, SCHEMA, None, &rows(&[0, 1, 0, 1], 0));
    let whole = fs::read(&path).unwrap();
    for bytes in [&b""[..], b"PAR1", b"not parquet at all, but longer than a footer"] {
        fs::write(&path, bytes).unwrap();
        let (name, text) = fault(parquet(&dir));
        assert_eq!(name, "train.parquet");
        assert!(text.starts_with("not readable as Parquet: "), "{text}");
    }
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(parquet(&dir).is_err(), "{length} of {} bytes", whole.len());
    }
    // Half of it is metadata, where a byte is a length, an offset or a type.
    for at in (0..whole.len()).step_by(2) {
        let mut broken = whole.clone();
        broken[at] ^= [0x01, 0x80, 0xff][at % 3];
        fs::write(&path, &broken).unwrap();
        if let Err(error) = parquet(&dir) {
            assert!(error.to_string().contains("train.parquet"), "{error}");
        }
    }
}
