//! Tables that are not part of the repository: see tests/benchmarks.rs.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use flate2::read::GzDecoder;

/// The text of a gzipped file; `None`, said on stderr, if it is not there.
pub fn text(name: &str) -> Option<String> {
    let folder = std::env::var_os("CELLC_DATA").map_or("../shared/data".into(), PathBuf::from);
    let path = folder.join(name);
    let Ok(file) = File::open(&path) else {
        // Not captured, unlike what `eprintln!` writes.
        writeln!(std::io::stderr(), "SKIPPED: there is no {}; set CELLC_DATA", path.display())
            .expect("stderr can be written to");
        return None;
    };
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("a gzipped text");
    Some(text)
}

/// The lines of a table behind its header; `None` as [`text`].
pub fn table(name: &str) -> Option<Vec<String>> {
    Some(text(name)?.lines().skip(1).map(str::to_string).collect())
}
