//! Event files, read with a naive reader of records and protobuf.

#![cfg(feature = "tensorboard")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cellc::train::{EpochRecord, Event, EventFile};

/// CRC-32C bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(8);
        let (sum, rest) = rest.split_at(4);
        assert_eq!(u32::from_le_bytes(sum.try_into().unwrap()), masked(length));
        let (record, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let (sum, rest) = rest.split_at(4);
        assert_eq!(u32::from_le_bytes(sum.try_into().unwrap()), masked(record));
        found.push(record.to_vec());
        bytes = rest;
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// The fields of a message: number and bytes, of a varint the eight of the number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        found.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    found
}

fn field(message: &[u8], number: u64) -> Option<Vec<u8>> {
    fields(message).into_iter().find(|(field, _)| *field == number).map(|(_, value)| value)
}

fn step(event: &[u8]) -> u64 {
    field(event, 2).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// Step and values of an event with a summary.
fn scalars(event: &[u8]) -> (u64, BTreeMap<String, f32>) {
    let summary = field(event, 5).expect("a summary");
    let value = |(number, value): (u64, Vec<u8>)| {
        assert_eq!(number, 1);
        let tag = String::from_utf8(field(&value, 1).unwrap()).unwrap();
        let number = f32::from_le_bytes(field(&value, 2).unwrap().try_into().unwrap());
        (tag, number)
    };
    (step(event), fields(&summary).into_iter().map(value).collect())
}

fn only_file(folder: &Path) -> Vec<u8> {
    let mut files = fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap();
    assert!(files.next().is_none());
    let name = file.file_name().into_string().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    fs::read(file.path()).unwrap()
}

#[test]
fn the_check_sum_is_the_one_of_rfc_3720() {
    // Appendix B.4: 32 bytes of zeros, of ones, and ascending.
    assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc(&std::array::from_fn::<u8, 32, _>(|index| index as u8)), 0x46dd_794e);
}

#[test]
fn steps_and_epochs_stand_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/here");
    let mut events = EventFile::create(&folder, 200).unwrap();
    let at = |step, loss| Event::Step { step, steps: 300, epoch: 3, loss, lr: 0.0, grad_norm: 2.5 };
    events.write(&at(200, 1.5)).unwrap();
    events.write(&at(201, 1.25)).unwrap();
    let record =
        EpochRecord { epoch: 3, train_loss: 1.375, train_accuracy: 0.5, val_accuracy: Some(0.25) };
    events.write(&Event::Epoch(record.clone())).unwrap();
    // What is written is there while the run goes on.
    let records = records(&only_file(&folder));

    assert_eq!(field(&records[0], 3).unwrap(), b"brain.Event:2");
    // A session that starts, so that steps of an earlier life from here on do not count.
    assert_eq!(fields(&field(&records[1], 7).unwrap()), [(1, 1_u64.to_le_bytes().to_vec())]);
    assert_eq!(step(&records[1]), 200);
    let values = |values: &[(&str, f32)]| -> BTreeMap<String, f32> {
        values.iter().map(|(tag, value)| ((*tag).to_owned(), *value)).collect()
    };
    let of_step =
        |loss| values(&[("train/loss", loss), ("train/lr", 0.0), ("train/grad_norm", 2.5)]);
    assert_eq!(scalars(&records[2]), (200, of_step(1.5)));
    assert_eq!(scalars(&records[3]), (201, of_step(1.25)));
    let of_epoch = values(&[
        ("epoch/train_loss", 1.375),
        ("epoch/train_accuracy", 0.5),
        ("epoch/val_accuracy", 0.25),
    ]);
    assert_eq!(scalars(&records[4]), (201, of_epoch));
    assert_eq!(records.len(), 5);

    // Without validation images nothing is said of them.
    events.write(&Event::Epoch(EpochRecord { val_accuracy: None, ..record })).unwrap();
    drop(events);
    let (_, last) = scalars(self::records(&only_file(&folder)).last().unwrap());
    assert_eq!(last.keys().collect::<Vec<_>>(), ["epoch/train_accuracy", "epoch/train_loss"]);
}

/// A run that goes on from a state that was kept within an epoch tells of no earlier step again.
#[test]
fn flushed_steps_are_in_the_file_of_a_run_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(folder.path(), 0).unwrap();
    let step = Event::Step { step: 0, steps: 9, epoch: 1, loss: 1.5, lr: 0.1, grad_norm: 2.5 };
    events.write(&step).unwrap();
    events.flush().unwrap();
    // Killed: nothing that a destructor does happens.
    std::mem::forget(events);
    let records = records(&only_file(folder.path()));
    assert_eq!(scalars(records.last().unwrap()).1["train/loss"], 1.5);
}

#[test]
fn two_files_of_one_second_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let _first = EventFile::create(folder.path(), 0).unwrap();
    let _second = EventFile::create(folder.path(), 0).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
