//! `cellc fmt`: the one way a file is laid out.

use std::path::Path;

use cellc::source::SourceFile;
use cellc::{storage, syntax};

use super::args::FmtArgs;
use super::input::{Failure, is_stdin, read_stdin};
use super::output;

/// Formats each file, or with `--check` names those that are not formatted.
pub fn run(args: &FmtArgs) -> Result<(), Failure> {
    let mut has_failed = false;
    for path in &args.files {
        match format(path, args.check) {
            Ok(is_formatted) => has_failed |= args.check && !is_formatted,
            Err(failure) => {
                has_failed = true;
                failure.report();
            }
        }
    }
    if has_failed { Err(Failure::Silent) } else { Ok(()) }
}

/// Formats one file; true if it was formatted before.
fn format(path: &Path, only_check: bool) -> Result<bool, Failure> {
    let is_stdin = is_stdin(path);
    let source = if is_stdin { read_stdin()? } else { SourceFile::read(path)? };
    let formatted = syntax::format(&source)
        .map_err(|diagnostics| Failure::Cells(Box::new(source.clone()), diagnostics))?;
    let is_formatted = formatted == source.text;
    if only_check {
        if !is_formatted {
            output(&format!("{}\n", source.name))?;
        }
    } else if is_stdin {
        output(&formatted)?;
    } else if !is_formatted {
        storage::write_atomically(path, formatted.as_bytes())?;
    }
    Ok(is_formatted)
}
