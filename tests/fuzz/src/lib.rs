//! What the fuzz targets of this folder feed to the compiler, and what must hold whatever comes.
//!
//! A target panics where one of these is broken: every text gives a tree or diagnostics inside of it, a
//! printed tree is the tree, what is checked can be lowered without a panic to a network that verifies,
//! and a point of a space written as a file is the same network.

#[path = "../../support/erase.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod erase;
mod front;
mod modules;
mod networks;
mod writer;

use std::fs;
use std::time::Duration;

use cellc::source::{Library, SourceFile};

/// Set to anything, shows the files that `modules` writes: its inputs are no text.
const SHOW: &str = "CELLC_FUZZ_SHOW";

/// The most CPU time for one input. Instrumentation and debug assertions take several times as long as a
/// build that people use, which therefore stays well below a second.
const LONGEST: Duration = Duration::from_secs(2);

/// The parser and the formatter, on any text.
pub fn parse(bytes: &[u8]) {
    let Some(source) = text(bytes) else { return };
    within_limit(|| front::parse(&source));
}

/// The whole front end, on any text: diagnostics are rendered in every style.
pub fn check(bytes: &[u8]) {
    let Some(source) = text(bytes) else { return };
    within_limit(|| front::parse(&source));
    within_limit(|| front::check(&source, &Library));
}

/// From a text to simplified networks, their hash and their cost.
pub fn lower(bytes: &[u8]) {
    let Some(source) = text(bytes) else { return };
    if let Some(module) = front::check(&source, &Library) {
        networks::build(&source, &Library, &module);
    }
}

/// Files that use each other, written by a generator that knows the language: most of them check.
pub fn modules(bytes: &[u8]) {
    let files = modules::Files::from_bytes(bytes);
    if std::env::var_os(SHOW).is_some() {
        for source in files.all() {
            eprintln!("==> {} <==\n{}", source.name, source.text);
        }
    }
    for source in files.all() {
        front::parse(source);
    }
    if let Some(module) = within_limit(|| front::check(files.main(), &files)) {
        networks::build(files.main(), &files, &module);
    }
}

/// The input as a source, if it is text.
fn text(bytes: &[u8]) -> Option<SourceFile> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(SourceFile::new("fuzz.cell", text))
}

/// Runs a part of the compiler.
///
/// # Panics
/// If it takes more CPU time than [`LONGEST`].
fn within_limit<T>(part: impl FnOnce() -> T) -> T {
    let before = cpu_time();
    let result = part();
    if let (Some(before), Some(after)) = (before, cpu_time()) {
        let taken = after.saturating_sub(before);
        assert!(taken <= LONGEST, "one input takes {taken:?} of CPU time");
    }
    result
}

/// CPU time of this thread so far, where the system tells it in Linux's way.
fn cpu_time() -> Option<Duration> {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
