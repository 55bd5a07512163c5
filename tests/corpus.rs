//! Every file under `tests/cells/` against the diagnostics written in it.
//!
//! Files in `valid/` parse and are formatted stably; those in `valid/checked/` mean something too and can
//! be built. Files in `invalid/` begin with what is
//! expected, each diagnostic in order of position and its help below it:
//!
//! ```text
//! // Error: 7:12-13 E0101 expected an operator, `,` or `>`, found `(`
//! // Label: here what the label at the place itself says, if there is one
//! // Label: 6:3-4 what a secondary label says
//! // Help: what a note says
//! // Help: replace 7:12-13 by `>`: what a replacement says
//! // Help: maybe replace 7:12-13 by `>`: the same for one that a person has to choose
//! ```
//!
//! Lines and columns count from 1 in the whole file, these comments included; an end is exclusive
//! and names its line only if it is another one. Files in `used/` are there for others to use. With `CELLC_BLESS=1` the comments are rewritten
//! from what is found: read the difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use cellc::compile::{self, Request};
use cellc::diagnostic::{Applicability, Diagnostic, Help};
use cellc::graph::TensorType;
use cellc::graph::lower::{Scale, Width};
use cellc::rng::{Purpose, stream};
use cellc::source::{Folders, SourceFile, Span};
use cellc::syntax;

/// The mark that some editors put before a text.
const BOM: &str = "\u{FEFF}";

/// All that the compiler has to say about a file.
fn diagnose(source: &SourceFile) -> Vec<Diagnostic> {
    match compile::check_with(source, &Folders) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().collect(),
    }
}

fn cell_files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders = vec![root];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folders of the corpus exist") {
            let path = entry.expect("the folders of the corpus can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "cell") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn valid_files_are_valid() {
    let mut failures = Vec::new();
    let files = cell_files("tests/cells/valid");
    assert!(files.len() >= 5, "the corpus is missing");
    for path in files {
        let source = SourceFile::read(&path).unwrap();
        let faults = match syntax::parse(&source) {
            Err(faults) => faults.into_iter().collect(),
            Ok(_) if path.parent().is_some_and(|folder| folder.ends_with("checked")) => {
                diagnose(&source)
            }
            Ok(_) => Vec::new(),
        };
        for fault in faults {
            failures.push(format!("{}: {}", path.display(), line(&source, &fault)));
        }
        let Ok(formatted) = syntax::format(&source) else { continue };
        let again = syntax::format(&SourceFile::new("formatted", formatted.as_str()));
        if again.as_ref() != Ok(&formatted) {
            failures.push(format!("{}: formatting twice differs", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is checked can be built: on every net that finds its cells, with several options of each hole.
#[test]
fn checked_files_can_be_built() {
    let mut failures = Vec::new();
    for path in cell_files("tests/cells/valid/checked") {
        let source = SourceFile::read(&path).unwrap();
        let Ok(module) = compile::check_with(&source, &Folders) else { continue };
        let has_own = module.nets.iter().any(|net| !net.origin.is_foreign());
        // Without nets of their own the files are made for `cifar`.
        let is_meant = |net: &&cellc::ir::Net| match has_own {
            true => !net.origin.is_foreign(),
            false => net.name.name == "cifar",
        };
        for net in module.nets.iter().filter(is_meant) {
            if net.stacked().iter().any(|entry| module.cell(&entry.cell.name).is_none()) {
                continue;
            }
            for trial in 0..20 {
                let genotype = module
                    .space
                    .as_ref()
                    .map(|space| space.decisions.sample(&mut stream(1, Purpose::Sample, trial)));
                let request = Request {
                    width: Width::Base(128),
                    with_aux: true,
                    // Large enough for `large_images_only.cell`; a net of the file has its own size.
                    image: net.origin.is_foreign().then(|| TensorType::new(3, 128, 128)),
                    genotype,
                    ..Request::new(net.name.name.as_str(), Scale { n: 2, f: 0 })
                };
                match compile::network(&module, &request) {
                    Ok(network) => network.graph.verify().unwrap(),
                    Err(fault) => failures.push(format!("{}: {fault:?}", path.display())),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn invalid_files_say_what_is_written_in_them() {
    let is_blessing = std::env::var_os("CELLC_BLESS").is_some();
    let mut failures = Vec::new();
    let files = cell_files("tests/cells/invalid");
    assert!(files.len() >= 20, "the corpus is missing");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let marked = text.strip_prefix(BOM).unwrap_or(&text);
        let n_expected = marked.lines().take_while(|line| is_annotation(line)).count();
        let expected: Vec<&str> = marked.lines().take(n_expected).map(str::trim_end).collect();
        let found = annotations(&named(&path, text.as_str()));
        if is_blessing {
            bless(&path, &text, n_expected);
        } else if found.is_empty() {
            failures.push(format!("{}: nothing is wrong", path.display()));
        } else if found != expected {
            failures.push(format!(
                "{}:\n  expected\n    {}\n  found\n    {}",
                path.display(),
                expected.join("\n    "),
                found.join("\n    ")
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn is_annotation(line: &str) -> bool {
    ["// Error: ", "// Label: ", "// Help: "].iter().any(|start| line.starts_with(start))
}

/// Rewrites the comments. Their number moves all lines, so it is settled first.
fn bless(path: &Path, text: &str, n_old: usize) {
    let (mark, rest) = match text.strip_prefix(BOM) {
        Some(rest) => (BOM, rest),
        None => ("", text),
    };
    let body: String = rest.split_inclusive('\n').skip(n_old).collect();
    let found = |comments: &str| annotations(&named(path, format!("{mark}{comments}{body}")));
    let lines = found(&"// Help: \n".repeat(found("").len())).join("\n");
    fs::write(path, format!("{mark}{lines}\n{body}")).expect("the corpus can be written");
}

/// A text of the corpus under its path, so that it can use the files in `tests/cells/used`.
fn named(path: &Path, text: impl Into<String>) -> SourceFile {
    SourceFile::new(path.display().to_string(), text)
}

fn annotations(source: &SourceFile) -> Vec<String> {
    let mut lines = Vec::new();
    for fault in diagnose(source) {
        lines.push(format!("// Error: {}", line(source, &fault)));
        if !fault.primary.text.is_empty() {
            lines.push(format!("// Label: here {}", fault.primary.text));
        }
        for label in &fault.secondary {
            let place = place(source, label.span);
            lines.push(format!("// Label: {place} {}", label.text).trim_end().to_owned());
        }
        for help in &fault.help {
            lines.push(match help {
                Help::Note(text) => format!("// Help: {text}"),
                Help::Replace { span, with, why, applicability } => {
                    let maybe = match applicability {
                        Applicability::MachineApplicable => "",
                        Applicability::MaybeIncorrect => "maybe ",
                    };
                    let with = with.replace('\n', "\\n");
                    format!("// Help: {maybe}replace {} by `{with}`: {why}", place(source, *span))
                }
            });
        }
    }
    lines
}

fn line(source: &SourceFile, fault: &Diagnostic) -> String {
    format!("{} {} {}", place(source, fault.primary.span), fault.code, fault.message)
}

fn place(source: &SourceFile, span: Span) -> String {
    let (line, column) = source.line_col(span.start);
    match source.line_col(span.end) {
        (end_line, end_column) if end_line == line => format!("{line}:{column}-{end_column}"),
        (end_line, end_column) => format!("{line}:{column}-{end_line}:{end_column}"),
    }
}
