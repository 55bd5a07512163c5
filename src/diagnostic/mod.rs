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
        /// What to replace; empty where something is missing.
        span: Span,
        /// By what.
        with: String,
        /// Why that helps.
        why: String,
        /// Whether it can be applied unseen.
        applicability: Applicability,
    },
}

/// How sure it is that a replacement is what was meant. The names are rustc's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// It is what was meant, as far as a text can tell: [`fix`](crate::fix::fix) applies it.
    MachineApplicable,
    /// It compiles, but something else may have been meant, or the text now means something else: a
    /// person decides.
    MaybeIncorrect,
}

/// The stages that look for faults, in order. One that finds any is the last to run, so a text whose faults
/// are those of a later stage is nearer to having none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The text is read.
    Syntax,
    /// The files that it uses are.
    Uses,
    /// Its definitions are collected.
    Names,
    /// What they say is resolved.
    Meaning,
    /// The conditions of its space are tried.
    Conditions,
    /// Operations are searched for circles.
    Cycles,
    /// Its cells and nets are tried with the shapes they can meet.
    Shapes,
    /// What it claims is counted.
    Claims,
    /// A network that was asked for is built.
    Network,
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

    /// Adds a replacement that is what was meant.
    #[must_use]
    pub fn replace(self, span: Span, with: impl Into<String>, why: impl Into<String>) -> Self {
        self.offer(span, with, why, Applicability::MachineApplicable)
    }

    /// Adds a replacement that a person has to choose.
    #[must_use]
    pub fn propose(self, span: Span, with: impl Into<String>, why: impl Into<String>) -> Self {
        self.offer(span, with, why, Applicability::MaybeIncorrect)
    }

    /// Adds a replacement.
    #[must_use]
    pub fn offer(
        mut self,
        span: Span,
        with: impl Into<String>,
        why: impl Into<String>,
        applicability: Applicability,
    ) -> Self {
        self.help.push(Help::Replace { span, with: with.into(), why: why.into(), applicability });
        self
    }
}

/// One or more faults of one file and one stage, sorted by position, without repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    faults: Vec<Diagnostic>,
    stage: Stage,
}

impl Diagnostics {
    /// How many are shown before "and N more".
    pub const SHOWN: usize = 20;

    /// `Err` with the faults that a stage found, or `Ok(value)` if there are none.
    pub fn or<T>(stage: Stage, mut faults: Vec<Diagnostic>, value: T) -> Result<T, Diagnostics> {
        if faults.is_empty() {
            return Ok(value);
        }
        Self::normalise(&mut faults);
        Err(Diagnostics { faults, stage })
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
        self.faults.iter()
    }

    /// How many faults there are.
    pub fn count(&self) -> usize {
        self.faults.len()
    }

    /// The stage that found them. The stages before it found nothing.
    pub fn stage(&self) -> Stage {
        self.stage
    }
}

impl From<Diagnostic> for Diagnostics {
    /// The only fault of a network.
    fn from(fault: Diagnostic) -> Self {
        Diagnostics { faults: vec![fault], stage: Stage::Network }
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.faults.into_iter()
    }
}

impl std::fmt::Display for Diagnostics {
    /// The first fault without its place, and how many more there are; [`render`] shows them whole.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = &self.faults[0];
        write!(f, "{}: {}", first.code, first.message)?;
        match self.faults.len() {
            1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}

impl std::error::Error for Diagnostics {}
