//! Applies the replacements that diagnostics offer, as far as they are what was meant.
//!
//! A round applies the machine-applicable replacements that do not overlap, then the text is checked again.
//! It counts if the text is nearer to having no fault: if a later [`Stage`] finds the first ones, or the same
//! stage fewer. What does not help is tried alone; what makes a text no better is left out, and
//! [`Fixed::refused`] tells of it. Nothing outside of the replacements changes.

use std::cmp::{Ordering, Reverse};

use crate::diagnostic::{Applicability, Code, Diagnostic, Diagnostics, Help, Stage};
use crate::ir::Module;
use crate::link::link;
use crate::source::{Loader, SourceFile, Span};
use crate::syntax::ast;

/// After how many checks of a text no more rounds are made. A stage tells of a bounded number of faults at a
/// time, so a text with very many of them needs several.
const MAX_CHECKS: usize = 64;

/// A text after what could be fixed.
#[derive(Debug)]
pub struct Fixed {
    /// The text; as it was if nothing could be fixed.
    pub source: SourceFile,
    /// What was fixed, in order of position.
    pub applied: Vec<Fix>,
    /// What was not although it could be applied, since the text would have been no better.
    pub refused: Vec<Fix>,
    /// The tree and the meaning of the text, or the faults that are left.
    pub outcome: Result<(ast::File, Module), Diagnostics>,
}

/// A replacement that was applied, or could have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The rule that was broken.
    pub code: Code,
    /// The fact, as the diagnostic says it.
    pub message: String,
    /// What was replaced, in the text as it was given.
    pub span: Span,
    /// By what.
    pub with: String,
    /// Why that helps.
    pub why: String,
}

/// Fixes a text, which may use the files that `loader` finds; those are not changed.
///
/// # Cost
/// Two checks of a text with a few faults of one stage, some hundred at most.
///
/// # Examples
/// ```
/// use cellc::fix::fix;
/// use cellc::source::{Library, SourceFile};
///
/// let source = SourceFile::new("mine.cell", "op twice(x) = x |> rellu |> relu\n");
/// let fixed = fix(&source, &Library);
/// assert_eq!(fixed.source.text, "op twice(x) = x |> relu |> relu\n");
/// assert!(fixed.outcome.is_ok() && fixed.applied.len() == 1);
/// ```
pub fn fix(source: &SourceFile, loader: &dyn Loader) -> Fixed {
    let mut best = State {
        source: source.clone(),
        outcome: link(source, loader),
        applied: Vec::new(),
        rounds: Vec::new(),
    };
    // A round after which as many faults are reported as before: there may have been more than are.
    let mut level: Option<State> = None;
    let mut n_checks = 1;
    while n_checks < MAX_CHECKS {
        let base = level.as_ref().unwrap_or(&best);
        let edits = base.edits();
        if edits.is_empty() {
            break;
        }
        n_checks += 1;
        let mut next = base.with(&edits, loader);
        let doubtful = base.doubtful(&edits, &next);
        if !doubtful.is_empty() {
            let mut helpful = edits;
            for at in doubtful.into_iter().rev() {
                n_checks += 1;
                let alone = base.with(&helpful[at..=at], loader);
                if alone.rank() >= base.rank() {
                    helpful.remove(at);
                }
            }
            if helpful.is_empty() {
                break;
            }
            n_checks += 1;
            next = base.with(&helpful, loader);
        }
        match next.rank().cmp(&best.rank()) {
            Ordering::Less => (best, level) = (next, None),
            Ordering::Equal => level = Some(next),
            Ordering::Greater => break,
        }
    }
    let refused = best.edits().iter().map(|edit| best.told(edit)).collect();
    best.applied.sort_by_key(|fix| fix.span);
    Fixed { source: best.source, applied: best.applied, refused, outcome: best.outcome }
}

/// The replacement of a diagnostic that is applied unseen, if it has one.
pub fn applicable(fault: &Diagnostic) -> Option<(Span, &str, &str)> {
    fault.help.iter().find_map(|help| match help {
        Help::Replace { span, with, why, applicability: Applicability::MachineApplicable } => {
            Some((*span, with.as_str(), why.as_str()))
        }
        Help::Replace { applicability: Applicability::MaybeIncorrect, .. } | Help::Note(_) => None,
    })
}

/// A replacement in the text at hand.
struct Edit {
    span: Span,
    with: String,
    code: Code,
    message: String,
    why: String,
}

/// A text on the way.
struct State {
    source: SourceFile,
    outcome: Result<(ast::File, Module), Diagnostics>,
    applied: Vec<Fix>,
    /// For each round, what was replaced in the text before it by how many bytes, in order.
    rounds: Vec<Vec<(Span, usize)>>,
}

impl State {
    /// How far the text is from having no fault.
    fn rank(&self) -> (Option<Reverse<Stage>>, usize) {
        match &self.outcome {
            Ok(_) => (None, 0),
            Err(faults) => (Some(Reverse(faults.stage())), faults.count()),
        }
    }

    /// The replacements that can be applied together, in order of position.
    fn edits(&self) -> Vec<Edit> {
        let Err(faults) = &self.outcome else { return Vec::new() };
        let text = self.source.text.as_str();
        let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut edits: Vec<Edit> = faults
            .iter()
            .filter_map(|fault| {
                let (span, with, why) = applicable(fault)?;
                // A comment is worth more than a fix.
                let replaced = text.get(span.range())?;
                (!replaced.contains("//")).then(|| Edit {
                    span,
                    with: with.replace('\n', line_end),
                    code: fault.code,
                    message: fault.message.clone(),
                    why: why.to_owned(),
                })
            })
            .collect();
        edits.sort_by_key(|edit| edit.span);
        let mut last: Option<Span> = None;
        edits.retain(|edit| {
            let is_free = last.is_none_or(|last| last.end <= edit.span.start && last != edit.span);
            if is_free {
                last = Some(edit.span);
            }
            is_free
        });
        edits
    }

    /// Which of the replacements that lead to `next` may not have helped: all of them if nothing is better,
    /// else those on whose line there is still a fault, if there are more of them than there should be.
    fn doubtful(&self, edits: &[Edit], next: &State) -> Vec<usize> {
        let ((stage, count), (next_stage, next_count)) = (self.rank(), next.rank());
        let Err(faults) = &next.outcome else { return Vec::new() };
        let is_expected = next_stage < stage || next_count + edits.len() <= count;
        if is_expected || edits.len() == 1 {
            return Vec::new();
        }
        let is_worse = next.rank() > self.rank();
        let text = next.source.text.as_str();
        let (mut longer, mut shorter) = (0, 0);
        let mut doubtful = Vec::new();
        for (at, edit) in edits.iter().enumerate() {
            let start = edit.span.start + longer - shorter;
            longer += edit.with.len();
            shorter += edit.span.end - edit.span.start;
            let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
            let line = line_start..=line_end;
            if is_worse || faults.iter().any(|fault| line.contains(&fault.primary.span.start)) {
                doubtful.push(at);
            }
        }
        doubtful
    }

    /// The text after some replacements.
    fn with(&self, edits: &[Edit], loader: &dyn Loader) -> State {
        let text = self.source.text.as_str();
        let mut new = String::with_capacity(text.len());
        let mut at = 0;
        for edit in edits {
            new += &text[at..edit.span.start];
            new += &edit.with;
            at = edit.span.end;
        }
        new += &text[at..];
        let source = SourceFile::new(self.source.name.as_str(), new);
        let outcome = link(&source, loader);
        let told = edits.iter().map(|edit| self.told(edit));
        let applied = self.applied.iter().cloned().chain(told).collect();
        let round = edits.iter().map(|edit| (edit.span, edit.with.len())).collect();
        let rounds = self.rounds.iter().cloned().chain([round]).collect();
        State { source, outcome, applied, rounds }
    }

    fn told(&self, edit: &Edit) -> Fix {
        let Edit { span, with, code, message, why } = edit;
        let (message, with, why) = (message.clone(), with.clone(), why.clone());
        let start = self.original(span.start);
        // The byte before the end, since what was removed right behind is no part of it.
        let end = if span.end > span.start { self.original(span.end - 1) + 1 } else { start };
        Fix { code: *code, message, span: Span::new(start, end), with, why }
    }

    /// Where an offset of the text was in the text as it was given.
    fn original(&self, offset: usize) -> usize {
        self.rounds.iter().rev().fold(offset, |offset, round| {
            // How much longer and shorter the text before the offset has become.
            let (mut longer, mut shorter) = (0, 0);
            for &(span, len) in round {
                let start = span.start + longer - shorter;
                if offset < start {
                    break;
                }
                if offset < start + len {
                    return span.start;
                }
                longer += len;
                shorter += span.end - span.start;
            }
            offset + shorter - longer
        })
    }
}
