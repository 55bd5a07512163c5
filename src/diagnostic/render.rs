//! Diagnostics as text: the only place that reads source text for them, and the only one that knows
//! the renderer crate.
//!
//! Any span is accepted: what lies outside the text or inside a character is moved to the nearest
//! place that does not.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Patch, Renderer, Snippet};
use serde::Serialize;

use super::{Applicability, Diagnostic, Diagnostics, Help, Label};
use crate::source::{SourceFile, Span};

/// How diagnostics look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// rustc's shape with excerpts of the text.
    #[default]
    Plain,
    /// The same with terminal colors.
    Ansi,
    /// One line each: `path:line:column: error[E0101]: message`.
    Short,
    /// One JSON object in each line, all of them.
    Json,
}

/// Excerpts above this size are left out: nobody reads them, and they may be hostile.
const LONGEST_EXCERPT_BYTES: usize = 16 << 10;

/// Renders diagnostics of one file, the last line ended.
///
/// At most [`Diagnostics::SHOWN`] are shown, except as JSON; a last line says how many are not.
pub fn render(diagnostics: &Diagnostics, source: &SourceFile, style: Style) -> String {
    let view = View::new(source);
    let mut text = String::new();
    let shown = if style == Style::Json { usize::MAX } else { Diagnostics::SHOWN };
    for (index, diagnostic) in diagnostics.iter().take(shown).enumerate() {
        match style {
            Style::Plain | Style::Ansi => {
                if index > 0 {
                    text.push('\n');
                }
                text.push_str(&view.full(diagnostic, style));
            }
            Style::Short => text.push_str(&view.short(diagnostic)),
            Style::Json => text.push_str(&view.json(diagnostic)),
        }
        text.push('\n');
    }
    let hidden = diagnostics.count().saturating_sub(shown);
    if hidden > 0 {
        let blank = if style == Style::Short { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{blank}and {hidden} more");
    }
    text
}

/// A text and where its lines start.
struct View<'s> {
    source: &'s SourceFile,
    line_starts: Vec<usize>,
}

impl<'s> View<'s> {
    fn new(source: &'s SourceFile) -> Self {
        let starts = source.text.match_indices('\n').map(|(at, _)| at + 1);
        View { source, line_starts: std::iter::once(0).chain(starts).collect() }
    }

    /// The span inside the text, between characters.
    fn clamp(&self, span: Span) -> Range<usize> {
        let text = self.source.text.as_str();
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }

    /// Line and column from 1, columns in characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= at);
        let start = self.line_starts[line - 1];
        (line, self.source.text[start..at].chars().count() + 1)
    }

    /// The lines that hold all spans: the number of the first, where it starts, and the text.
    /// Nothing if that is too much to show.
    fn excerpt(&self, spans: &[Range<usize>]) -> Option<(usize, usize, &'s str)> {
        let first = spans.iter().map(|span| span.start).min()?;
        let last = spans.iter().map(|span| span.end).max()?;
        let line = self.line_starts.partition_point(|&start| start <= first);
        let start = self.line_starts[line - 1];
        let text = self.source.text.as_str();
        let mut end = text[last..].find('\n').map_or(text.len(), |len| last + len);
        if end > last && text[..end].ends_with('\r') {
            end -= 1;
        }
        (end - start <= LONGEST_EXCERPT_BYTES).then(|| (line, start, &text[start..end]))
    }

    fn full(&self, diagnostic: &Diagnostic, style: Style) -> String {
        let primary = self.clamp(diagnostic.primary.span);
        let secondary = diagnostic.secondary.iter().map(|label| self.clamp(label.span));
        let spans: Vec<_> = std::iter::once(primary.clone()).chain(secondary).collect();
        let title =
            Level::ERROR.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
        let mut group = match self.excerpt(&spans) {
            Some((line, start, text)) => {
                let labels = std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary);
                let annotations = labels.zip(spans).enumerate().map(|(index, (label, span))| {
                    let kind =
                        if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                    let label = (!label.text.is_empty()).then_some(label.text.as_str());
                    kind.span(span.start - start..span.end - start).label(label)
                });
                title.element(
                    Snippet::source(text)
                        .path(self.source.name.as_str())
                        .line_start(line)
                        .annotations(annotations),
                )
            }
            None => {
                let (line, column) = self.position(primary.start);
                let origin = Origin::path(self.source.name.as_str());
                title.element(origin.line(line).char_column(column))
            }
        };
        for help in &diagnostic.help {
            if let Help::Note(text) = help {
                group = group.element(Level::HELP.message(text.as_str()));
            }
        }
        // What was expected is all there is to say about many faults of syntax.
        let explain = format!("`cellc explain {}` shows the rule by examples", diagnostic.code);
        if diagnostic.help.is_empty() {
            group = group.element(Level::HELP.message(explain.as_str()));
        }
        let mut report = vec![group];
        for help in &diagnostic.help {
            if let Help::Replace { span, with, why, .. } = help {
                report.push(self.replacement(*span, with, why));
            }
        }
        let renderer = if style == Style::Ansi { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&report)
    }

    fn replacement<'a>(&self, span: Span, with: &'a str, why: &'a str) -> Group<'a>
    where
        's: 'a,
    {
        let title = Level::HELP.secondary_title(why);
        let span = self.clamp(span);
        match self.excerpt(std::slice::from_ref(&span)) {
            Some((line, start, text)) => title.element(
                Snippet::source(text)
                    .line_start(line)
                    .patch(Patch::new(span.start - start..span.end - start, with)),
            ),
            None => title.element(Level::HELP.no_name().message(format!("write `{with}`"))),
        }
    }

    fn short(&self, diagnostic: &Diagnostic) -> String {
        let (line, column) = self.position(self.clamp(diagnostic.primary.span).start);
        let Diagnostic { code, message, .. } = diagnostic;
        format!("{}:{line}:{column}: error[{code}]: {message}", self.source.name)
    }

    fn json(&self, diagnostic: &Diagnostic) -> String {
        let object = JsonDiagnostic {
            code: diagnostic.code.as_str(),
            message: &diagnostic.message,
            path: &self.source.name,
            primary: self.json_label(&diagnostic.primary),
            secondary: diagnostic.secondary.iter().map(|label| self.json_label(label)).collect(),
            help: diagnostic
                .help
                .iter()
                .map(|help| match help {
                    Help::Note(text) => JsonHelp::Note { text },
                    Help::Replace { span, with, why, applicability } => JsonHelp::Replace {
                        span: self.json_span(*span),
                        with,
                        why,
                        machine_applicable: match applicability {
                            Applicability::MachineApplicable => true,
                            Applicability::MaybeIncorrect => false,
                        },
                    },
                })
                .collect(),
        };
        serde_json::to_string(&object).expect("structs of strings and numbers have a JSON form")
    }

    fn json_label<'a>(&self, label: &'a Label) -> JsonLabel<'a> {
        JsonLabel { span: self.json_span(label.span), text: &label.text }
    }

    fn json_span(&self, span: Span) -> JsonSpan {
        let span = self.clamp(span);
        let (line, column) = self.position(span.start);
        let (end_line, end_column) = self.position(span.end);
        JsonSpan { start: span.start, end: span.end, line, column, end_line, end_column }
    }
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    code: &'static str,
    message: &'a str,
    path: &'a str,
    primary: JsonLabel<'a>,
    secondary: Vec<JsonLabel<'a>>,
    help: Vec<JsonHelp<'a>>,
}

#[derive(Serialize)]
struct JsonLabel<'a> {
    #[serde(flatten)]
    span: JsonSpan,
    text: &'a str,
}

/// Bytes from 0; lines and columns from 1, columns in characters; ends are exclusive.
#[derive(Serialize)]
struct JsonSpan {
    start: usize,
    end: usize,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum JsonHelp<'a> {
    Note {
        text: &'a str,
    },
    Replace {
        #[serde(flatten)]
        span: JsonSpan,
        with: &'a str,
        why: &'a str,
        /// Whether `cellc check --fix` applies it.
        machine_applicable: bool,
    },
}
