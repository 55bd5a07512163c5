//! The replacements that faults offer, as an editor applies them.

use std::collections::HashMap;

use lsp_types::{CodeAction, CodeActionKind, Range, TextEdit, Uri, WorkspaceEdit};

use super::Document;
use super::diagnostics::convert;
use crate::diagnostic::{Applicability, Diagnostic, Help};
use crate::fix;
use crate::source::{Loader, Span};

/// The kind of [`fix_all`]: editors apply it when a file is saved, if they are told to.
pub const FIX_ALL: &str = "source.fixAll.cellc";

/// A quick fix for each replacement of the faults that touch a range; the preferred ones are those that
/// `cellc check --fix` applies. `uri` is the document's own.
pub fn quick_fixes(document: &Document, uri: &Uri, range: Range) -> Vec<CodeAction> {
    let asked = document.lines.span(&document.source.text, range);
    let touches = |span: Span| span.start <= asked.end && asked.start <= span.end;
    let mut actions = Vec::new();
    for fault in document.faults.iter().filter(|fault| touches(fault.primary.span)) {
        for help in &fault.help {
            match help {
                Help::Note(_) => {}
                Help::Replace { span, with, applicability, .. } => {
                    actions.push(quick_fix(document, uri, fault, (*span, with), *applicability));
                }
            }
        }
    }
    actions
}

/// One action that does what `cellc check --fix` does; none if there is nothing to do.
///
/// # Cost
/// That of [`fix::fix`].
pub fn fix_all(document: &Document, uri: &Uri, loader: &dyn Loader) -> Option<CodeAction> {
    if !document.faults.iter().any(|fault| fix::applicable(fault).is_some()) {
        return None;
    }
    let fixed = fix::fix(&document.source, loader);
    if fixed.applied.is_empty() {
        return None;
    }
    let all = Span::new(0, document.source.text.len());
    Some(CodeAction {
        title: format!("Apply {} fixes of cellc", fixed.applied.len()),
        kind: Some(CodeActionKind::new(FIX_ALL)),
        edit: Some(edit(uri, TextEdit::new(document.range(all), fixed.source.text))),
        ..CodeAction::default()
    })
}

fn quick_fix(
    document: &Document,
    uri: &Uri,
    fault: &Diagnostic,
    (span, with): (Span, &str),
    applicability: Applicability,
) -> CodeAction {
    CodeAction {
        title: title(document.source.text.get(span.range()).unwrap_or_default(), with),
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: Some(vec![convert(document, uri, fault)]),
        edit: Some(edit(uri, TextEdit::new(document.range(span), with.to_owned()))),
        is_preferred: Some(match applicability {
            Applicability::MachineApplicable => true,
            Applicability::MaybeIncorrect => false,
        }),
        ..CodeAction::default()
    }
}

/// What a replacement does, in a few words.
fn title(before: &str, with: &str) -> String {
    match (before.trim(), with.trim()) {
        ("", "") => "Change blanks".to_owned(),
        (before, "") => format!("Remove `{before}`"),
        ("", with) => format!("Insert `{with}`"),
        (before, with) => format!("Replace `{before}` by `{with}`"),
    }
}

#[allow(clippy::mutable_key_type, reason = "the protocol's type; nothing changes the key")]
fn edit(uri: &Uri, edit: TextEdit) -> WorkspaceEdit {
    WorkspaceEdit::new(HashMap::from([(uri.clone(), vec![edit])]))
}
