//! Why a file cannot be used, told at the `use`.

use std::io;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, suggest};
use crate::error::Error;
use crate::source::{Loader, SourceFile};
use crate::syntax::ast::Use;

/// Why a file cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The file that is at fault, by identity and by name.
    pub file: (String, String),
    /// What is wrong with it.
    pub what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// So many faults, the first with its place.
    Faults(usize, String),
    /// It holds a space that the rest of it leans on.
    LeansOnSpace(String),
    /// It is one of a circle of files, these.
    Circle(Vec<String>),
}

impl Failure {
    /// The fault of a `use` in `source` that comes to it.
    pub(super) fn at(&self, used: &Use, source: &SourceFile, is_used_one: bool) -> Diagnostic {
        let (path, file) = (&used.path.text, &self.file.1);
        let subject = if is_used_one { "it".into() } else { format!("`{file}`, which it needs,") };
        let fault =
            |message: String| Diagnostic::new(Code::FaultyUsedFile, used.path.span, message);
        match &self.what {
            What::Circle(names) => {
                let circle = Diagnostic::new(
                    Code::CyclicDefinition,
                    used.path.span,
                    "files use each other in a circle",
                );
                match names.as_slice() {
                    [only] => circle.label(format!("{only} uses itself")).replace(
                        source.with_line(used.span),
                        "",
                        "remove the `use`",
                    ),
                    _ => circle
                        .label(format!("{} uses {}", names.join(" uses "), names[0]))
                        .note("move what they share to a file that uses none of them"),
                }
            }
            What::Faults(count, first) => {
                let has = if *count == 1 { "a fault".into() } else { format!("{count} faults") };
                let which = if *count == 1 { "it is" } else { "the first of them is" };
                fault(format!("cannot use `{path}`: {subject} has {has}"))
                    .note(format!("{which} {first}"))
            }
            What::LeansOnSpace(first) => {
                fault(format!("cannot use `{path}`: {subject} does not compile without its space"))
                    .note(format!("holes are not used by other files, and without them {first}"))
            }
        }
    }
}

/// The first of the faults in one line, with its place.
pub(super) fn place(name: &str, source: &SourceFile, faults: &Diagnostics) -> String {
    let first = faults.iter().next().expect("diagnostics are never empty");
    let (line, column) = source.line_col(first.primary.span.start);
    format!("{name}:{line}:{column}: {}: {}", first.code, first.message)
}

/// The fault of a `use` that names no file that can be read.
pub(super) fn unreadable(
    loader: &dyn Loader,
    used: &Use,
    source: &SourceFile,
    error: &Error,
) -> Diagnostic {
    let path = used.path.text.as_str();
    let fault = |message: String| Diagnostic::new(Code::NoUsedFile, used.path.span, message);
    let is_missing = matches!(error, Error::Read { source, .. }
        if source.kind() == io::ErrorKind::NotFound);
    if !is_missing {
        let reason = match error {
            Error::Read { source, .. } => source.to_string(),
            Error::SourceTooLarge { bytes, limit, .. } => {
                format!("it has {bytes} bytes, at most {limit} are read")
            }
            Error::NotUtf8 { offset, .. } => {
                format!("it is not UTF-8 text: bad byte at offset {offset}")
            }
            other => other.to_string(),
        };
        return fault(format!("cannot read `{path}`: {reason}"))
            .note("a `use` names a `.cell` file");
    }
    let candidates = loader.candidates(path, source);
    let missing = fault(format!("there is no file `{path}`"));
    match suggest::nearest(path, candidates.iter().map(String::as_str)) {
        Some(near) => {
            let with = format!("\"{near}\"");
            // The file that is named may be what is missing.
            missing.propose(used.path.span, with, "a file with a similar name exists")
        }
        None => missing.note(
            "a path is relative to the folder of this file, or names one of the library of cells",
        ),
    }
}
