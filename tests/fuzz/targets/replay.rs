//! All targets over files and damaged copies of them, without a fuzzer: what `.ci/run` can afford.
//!
//! `replay SECONDS FOLDER…` reads every file below the folders, runs each target on its bytes, and then on
//! copies with pieces of it and of another file cut out, doubled and put in, until the time is over. The
//! copies are the same in every run; how many of them there are is told.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs, process};

fn main() {
    let mut arguments = env::args().skip(1);
    let Some(seconds) = arguments.next().and_then(|text| text.parse().ok()) else {
        eprintln!("usage: replay SECONDS FOLDER...");
        process::exit(2);
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let seeds = files(arguments.map(PathBuf::from).collect());
    assert!(!seeds.is_empty(), "there is no file in these folders");
    seeds.iter().for_each(|seed| run(seed));
    let mut random = Random(1);
    let mut copies = 0;
    while Instant::now() < end {
        let [seed, other] = [&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())]];
        run(&damaged(seed, other, &mut random));
        copies += 1;
    }
    println!("{} files and {copies} damaged copies, each through every target", seeds.len());
}

/// Every target.
fn run(bytes: &[u8]) {
    cellc_fuzz::check(bytes);
    cellc_fuzz::lower(bytes);
    cellc_fuzz::modules(bytes);
}

/// The files below these folders, in order of their paths.
fn files(mut open: Vec<PathBuf>) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() { open.push(path) } else { paths.push(path) }
        }
    }
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("the file can be read")).collect()
}

/// A file with a few changes.
fn damaged(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.piece(bytes.len());
        match random.below(4) {
            0 => drop(bytes.drain(at)),
            1 => {
                let piece = bytes[at.clone()].to_vec();
                bytes.splice(at.end..at.end, piece);
            }
            2 => {
                let from = random.piece(other.len());
                bytes.splice(at, other[from].iter().copied());
            }
            _ => bytes.insert(at.start, random.below(128) as u8),
        }
    }
    bytes
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % count.max(1) as u64) as usize
    }

    /// A short range in `length` bytes.
    fn piece(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + 1 + self.below(24)).min(length).max(start)
    }
}
