//! What can be wrong with a `.cell` file, as data.
//!
//! A stage returns `Result<T, Diagnostics>`; [`Diagnostics`] is never empty, and holds all faults of
//! the stage sorted by position. Nothing here reads source text: only [`render`] does.

mod code;
pub mod render;
pub mod suggest;

pub use code::{Code, UnknownCode};

use crate::source::Span;

/// One thing wrong with a `.cell` file, with enough to fix it.
///
/// Wording: the message states the fact, lower case, no full stop, backticks round the user's text,
/// expected before found; labels show the values; help says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which rule was broken.
    pub code: Code,
    /// The fact, one line.
    pub message: String,
    /// Where it shows.
    pub primary: Label,
    /// Where its causes stand.
    pub secondary: Vec<Label>,
    /// What to do about it.
    pub help: Vec<Help>,
}

/// A span with a few words about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be seen there; may be empty.
    pub text: String,
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Help {
    /// In words.
    Note(String),
    /// By replacing text.
    Replace {
        /// What to replace.
        span: Span,
        /// By what.
        with: String,
        /// Why that helps.
        why: String,
    },
}

impl Diagnostic {
    /// A diagnostic with an unlabelled primary span.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            message: message.into(),
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Puts words at the primary span.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// Adds a secondary label.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Adds help in words.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.help.push(Help::Note(text.into()));
        self
    }

    /// Adds a replacement.
    #[must_use]
    pub fn replace(mut self, span: Span, with: impl Into<String>, why: impl Into<String>) -> Self {
        self.help.push(Help::Replace { span, with: with.into(), why: why.into() });
        self
    }
}

/// One or more faults of one file, sorted by position, without repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// How many are shown before "and N more".
    pub const SHOWN: usize = 20;

    /// `Err` with the faults, or `Ok(value)` if there are none.
    pub fn or<T>(mut faults: Vec<Diagnostic>, value: T) -> Result<T, Diagnostics> {
        if faults.is_empty() {
            return Ok(value);
        }
        Self::normalise(&mut faults);
        Err(Diagnostics(faults))
    }

    fn normalise(faults: &mut Vec<Diagnostic>) {
        faults.sort_by(|a, b| {
            (a.primary.span, a.code, &a.message).cmp(&(b.primary.span, b.code, &b.message))
        });
        faults.dedup_by(|a, b| {
            a.primary.span == b.primary.span && a.code == b.code && a.message == b.message
        });
    }

    /// The faults in order of position; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// How many faults there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(fault: Diagnostic) -> Self {
        Diagnostics(vec![fault])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl std::fmt::Display for Diagnostics {
    /// The first fault without its place, and how many more there are; [`render`] shows them whole.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = &self.0[0];
        write!(f, "{}: {}", first.code, first.message)?;
        match self.0.len() {
            1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}

impl std::error::Error for Diagnostics {}
