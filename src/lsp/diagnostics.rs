//! Faults of a document as the protocol wants them.

use lsp_types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString, Uri,
};

use super::Document;
use crate::diagnostic::{self, Help};

/// All faults of a document, in order of position. Secondary labels become related places in `uri`, which
/// is the document's own; help ends the message.
pub fn diagnostics(document: &Document, uri: &Uri) -> Vec<Diagnostic> {
    document.faults.iter().map(|fault| convert(document, uri, fault)).collect()
}

pub(super) fn convert(
    document: &Document,
    uri: &Uri,
    fault: &diagnostic::Diagnostic,
) -> Diagnostic {
    let related = fault.secondary.iter().map(|label| DiagnosticRelatedInformation {
        location: Location::new(uri.clone(), document.range(label.span)),
        message: if label.text.is_empty() { "see here".into() } else { label.text.clone() },
    });
    Diagnostic {
        range: document.range(fault.primary.span),
        severity: Some(DiagnosticSeverity::ERROR),
        code: Some(NumberOrString::String(fault.code.as_str().into())),
        source: Some("cellc".into()),
        message: message(fault),
        related_information: Some(related.collect()),
        ..Diagnostic::default()
    }
}

/// The fact, what is to be seen, and the ways out, a line each.
fn message(fault: &diagnostic::Diagnostic) -> String {
    let mut message = fault.message.clone();
    if !fault.primary.text.is_empty() {
        message += "\n";
        message += &fault.primary.text;
    }
    for help in &fault.help {
        message += "\nhelp: ";
        match help {
            Help::Note(text) => message += text,
            Help::Replace { with, why, .. } if with.trim().is_empty() => message += why,
            Help::Replace { with, why, .. } => message += &format!("{why}: `{with}`"),
        }
    }
    message
}
