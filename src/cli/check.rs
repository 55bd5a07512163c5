//! `cellc check`: says everything that is wrong with files, or how many are fine; with `--fix` after
//! fixing what can be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cellc::diagnostic::render::{Style, render};
use cellc::error::Error;
use cellc::fix::{Fix, Fixed, fix};
use cellc::source::{Folders, SourceFile};
use cellc::storage;
use serde::Serialize;

use super::args::{CheckArgs, Format};
use super::input::{self, Failure, Input};
use super::output;

/// Checks each file; all files are looked at before the command fails.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let mut has_failed = false;
    let mut note = |outcome: Result<Input, Failure>| -> Result<(), Failure> {
        match outcome {
            Ok(checked) => say_fine(&checked, args.format),
            Err(failure) => {
                has_failed = true;
                say_wrong(failure, args.format)
            }
        }
    };
    if args.fix {
        if args.files.iter().any(|path| input::is_stdin(path)) {
            return Err(Error::Config {
                setting: "fix",
                value: "-".into(),
                reason: "standard input cannot be fixed in place; name a file".into(),
            }
            .into());
        }
        for repaired in repair_all(&args.files) {
            for told in &repaired.applied {
                output(&told.line(args.format))?;
            }
            for told in &repaired.refused {
                match args.format {
                    Format::Human | Format::Short => eprint!("{}", told.line(args.format)),
                    Format::Json => output(&told.line(args.format))?,
                }
            }
            note(repaired.outcome)?;
        }
    } else {
        for path in &args.files {
            note(input::load(path))?;
        }
    }
    if has_failed { Err(Failure::Silent) } else { Ok(()) }
}

fn say_fine(checked: &Input, format: Format) -> Result<(), Failure> {
    if format != Format::Human {
        return Ok(());
    }
    let claims: usize = checked.module.expects.iter().map(|expect| expect.claims.len()).sum();
    let proved = if claims > 0 { format!(", {claims} counts proved") } else { String::new() };
    output(&format!("{}: fine{proved}\n", checked.source.name))
}

fn say_wrong(failure: Failure, format: Format) -> Result<(), Failure> {
    match (failure, format) {
        (Failure::Cells(source, diagnostics), Format::Short) => {
            output(&render(&diagnostics, &source, Style::Short))
        }
        (Failure::Cells(source, diagnostics), Format::Json) => {
            output(&render(&diagnostics, &source, Style::Json))
        }
        (failure, Format::Human | Format::Short | Format::Json) => {
            failure.report();
            Ok(())
        }
    }
}

/// A file after `--fix`.
struct Repaired {
    applied: Vec<Told>,
    refused: Vec<Told>,
    outcome: Result<Input, Failure>,
}

/// Fixes files in place. A file that uses others of them has no faults of its own to fix until those are
/// fixed, in whatever order they are named.
fn repair_all(paths: &[PathBuf]) -> Vec<Repaired> {
    let mut all: Vec<Repaired> = paths.iter().map(|path| repair(path)).collect();
    let mut has_changed = all.iter().any(|repaired| !repaired.applied.is_empty());
    while has_changed {
        has_changed = false;
        for (path, repaired) in paths.iter().zip(&mut all) {
            if let Err(Failure::Cells(..)) = repaired.outcome {
                let again = repair(path);
                has_changed |= !again.applied.is_empty();
                repaired.applied.extend(again.applied);
                (repaired.refused, repaired.outcome) = (again.refused, again.outcome);
            }
        }
    }
    all
}

/// Fixes a file, which is written only if it changes.
fn repair(path: &Path) -> Repaired {
    let failed =
        |failure| Repaired { applied: Vec::new(), refused: Vec::new(), outcome: Err(failure) };
    let before = match input::read(path) {
        Ok(source) => source,
        Err(failure) => return failed(failure),
    };
    let Fixed { source, applied, refused, outcome } = fix(&before, &Folders);
    if !applied.is_empty()
        && let Err(error) = replace(path, &source.text)
    {
        return failed(error.into());
    }
    let told = |fixes: Vec<Fix>, is_fixed| {
        fixes.into_iter().map(|fix| Told::new(fix, &before, is_fixed)).collect()
    };
    Repaired {
        applied: told(applied, true),
        refused: told(refused, false),
        outcome: match outcome {
            Ok((file, module)) => Ok(Input { source, file, module }),
            Err(faults) => Err(Failure::Cells(Box::new(source), faults)),
        },
    }
}

/// Replaces the text of a file that may be written; of a link, the file it leads to.
fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let refuse = Error::write(path);
    match fs::canonicalize(path).and_then(|real| Ok((fs::metadata(&real)?, real))) {
        // Renaming does not ask whether the file that goes could be written.
        Ok((metadata, _)) if metadata.permissions().readonly() => {
            Err(refuse(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only")))
        }
        Ok((_, real)) => storage::write_atomically(&real, text.as_bytes()),
        Err(error) => Err(refuse(error)),
    }
}

/// What happened to a fault, as it is told.
#[derive(Serialize)]
struct Told {
    fixed: bool,
    code: &'static str,
    message: String,
    path: String,
    line: usize,
    column: usize,
    with: String,
    why: String,
}

impl Told {
    fn new(fix: Fix, before: &SourceFile, fixed: bool) -> Self {
        let (line, column) = before.line_col(fix.span.start);
        let Fix { code, message, span: _, with, why } = fix;
        let path = before.name.clone();
        Told { fixed, code: code.as_str(), message, path, line, column, with, why }
    }

    fn line(&self, format: Format) -> String {
        let Told { fixed, code, message, path, line, column, with: _, why } = self;
        match format {
            Format::Human | Format::Short if *fixed => {
                format!("{path}:{line}:{column}: fixed[{code}]: {message}: {why}\n")
            }
            Format::Human | Format::Short => format!(
                "{path}:{line}:{column}: not fixed[{code}]: {message}: the file would be no better\n"
            ),
            Format::Json => {
                let json = serde_json::to_string(self);
                json.expect("a struct of strings and numbers has a JSON form") + "\n"
            }
        }
    }
}
