//! One pass over the text before it is parsed: comments, blank lines, where items start, and what no
//! grammar rule can say well (strange characters, open strings, brackets nested too deep).
//!
//! The pass is linear and does not recurse, so it also bounds what the parser is given.

use super::ast::Comment;
use super::build::shorten;
use crate::diagnostic::{Applicability, Code, Diagnostic};
use crate::source::Span;

/// How deep brackets and operators may nest. Published cells stay under ten.
pub(super) const MAX_NESTING: usize = 64;

/// How many tokens a file may have. The largest published cells have about a thousand, and no text of 1 MB
/// has more than this; the limit bounds time and memory of everything behind it.
const MAX_TOKENS: usize = 1 << 20;

/// Faults after which a pass stops looking: nobody reads more.
pub(super) const MAX_FAULTS: usize = 200;

/// What the pass found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Every comment in order.
    pub comments: Vec<Comment>,
    /// Offset of the first of each run of blank lines.
    pub blank_lines: Vec<usize>,
    /// Where each item seems to start, in order.
    pub items: Vec<usize>,
    /// What is wrong already.
    pub faults: Vec<Diagnostic>,
    /// True if the text is too long to be parsed, which is then the only fault.
    pub is_too_long: bool,
}

/// Scans a whole text.
pub(super) fn scan(text: &str) -> Scan {
    let mut scanner = Scanner {
        text,
        at: if text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 },
        line: Line { start: 0, is_blank: true, after_blank: false },
        n_tokens: 0,
        depth: 0,
        deepest: 0,
        balanced: true,
        starts: Vec::new(),
        found: Scan::default(),
    };
    scanner.run();
    scanner.finish()
}

/// The line being read.
struct Line {
    start: usize,
    is_blank: bool,
    after_blank: bool,
}

/// A keyword that may start an item: it begins its line or follows `}`.
struct Start {
    at: usize,
    column: usize,
    depth: usize,
}

struct Scanner<'s> {
    text: &'s str,
    at: usize,
    line: Line,
    n_tokens: usize,
    depth: usize,
    deepest: usize,
    balanced: bool,
    starts: Vec<Start>,
    found: Scan,
}

impl Scanner<'_> {
    fn run(&mut self) {
        let text = self.text;
        while let Some(next) = text[self.at..].chars().next() {
            if self.n_tokens > MAX_TOKENS {
                self.too_long();
                return;
            }
            match next {
                '\n' => self.end_line(),
                ' ' | '\t' | '\r' => self.at += 1,
                '/' if text[self.at..].starts_with("//") => self.comment(),
                '"' => self.string(),
                'a'..='z' | 'A'..='Z' | '_' | '0'..='9' => self.word(),
                _ => self.symbol(next),
            }
        }
    }

    fn too_long(&mut self) {
        let end = Span::new(self.at, self.at);
        self.found = Scan {
            faults: vec![
                Diagnostic::new(
                    Code::TooLarge,
                    end,
                    format!("expected a file of at most {MAX_TOKENS} tokens"),
                )
                .label("the limit is reached here")
                .note("split the file"),
            ],
            is_too_long: true,
            ..Scan::default()
        };
    }

    fn end_line(&mut self) {
        if self.line.is_blank && !self.line.after_blank {
            self.found.blank_lines.push(self.line.start);
        }
        self.at += 1;
        self.line = Line { start: self.at, is_blank: true, after_blank: self.line.is_blank };
    }

    fn comment(&mut self) {
        let rest = &self.text[self.at..];
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let text = line.trim_end();
        self.hidden_characters(line);
        self.found.comments.push(Comment {
            text: text.to_owned(),
            span: Span::new(self.at, self.at + text.len()),
            own_line: self.line.is_blank,
            blank_before: self.line.is_blank && self.line.after_blank,
        });
        self.line.is_blank = false;
        self.at += line.len();
    }

    fn string(&mut self) {
        self.n_tokens += 1;
        let rest = &self.text[self.at..];
        let len = rest[1..].find(['"', '\n']).map_or(rest.len(), |len| len + 1);
        let is_closed = rest[len..].starts_with('"');
        self.line.is_blank = false;
        if is_closed {
            let literal = &rest[..=len];
            self.hidden_characters(literal);
            self.at += literal.len();
        } else {
            let written = rest[..len].trim_end();
            let end = self.at + written.len();
            // A comment or the end of a block may stand behind it.
            let count = |brace: char| written.matches(brace).count();
            let is_whole_line =
                written.len() > 1 && !written.contains("//") && count('{') == count('}');
            let applicability = match is_whole_line {
                true => Applicability::MachineApplicable,
                false => Applicability::MaybeIncorrect,
            };
            let fault = Diagnostic::new(
                Code::UnterminatedString,
                Span::new(self.at, end),
                "expected `\"` before the end of the line",
            )
            .label("the text starts here");
            let why = "a text ends on the line it starts on";
            self.fault(fault.offer(Span::new(end, end), "\"", why, applicability));
            self.at += len;
        }
    }

    fn word(&mut self) {
        self.n_tokens += 1;
        let rest = &self.text[self.at..];
        let len =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let is_keyword =
            matches!(&rest[..len], "use" | "let" | "op" | "cell" | "space" | "net" | "expect");
        if is_keyword && (self.line.is_blank || self.text[..self.at].trim_end().ends_with('}')) {
            let column = self.at - self.line.start;
            self.starts.push(Start { at: self.at, column, depth: self.depth });
        }
        self.line.is_blank = false;
        self.at += len;
    }

    fn symbol(&mut self, symbol: char) {
        // `>` ends a token that has been counted, or closes a `<` that has.
        self.n_tokens += usize::from(symbol != '>');
        let span = Span::new(self.at, self.at + symbol.len_utf8());
        match symbol {
            '(' | '{' | '[' => {
                self.depth += 1;
                if self.depth > MAX_NESTING && self.deepest <= MAX_NESTING {
                    self.fault(too_deep(span));
                }
                self.deepest = self.deepest.max(self.depth);
            }
            ')' | '}' | ']' => {
                self.balanced &= self.depth > 0;
                self.depth = self.depth.saturating_sub(1);
            }
            _ if symbol.is_ascii_graphic() => {}
            _ if symbol.is_alphabetic() => {
                self.foreign_word();
                return;
            }
            _ => self.fault(self.strange_character(span, symbol)),
        }
        self.line.is_blank = false;
        self.at = span.end;
    }

    /// A word with letters that are not ASCII, reported once and whole.
    fn foreign_word(&mut self) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let before = &self.text[self.line.start..self.at];
        let start = self.at - (before.len() - before.trim_end_matches(is_word).len());
        let rest = &self.text[self.at..];
        let end = self.at + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = shorten(&self.text[start..end]);
        self.fault(
            Diagnostic::new(
                Code::UnexpectedToken,
                Span::new(start, end),
                format!("expected a name in ASCII, found `{word}`"),
            )
            .note("names are made of `a` to `z`, `A` to `Z`, digits and `_`"),
        );
        self.line.is_blank = false;
        self.at = end;
    }

    /// Characters that change how a text looks or what a terminal does have no place in comments and
    /// strings either.
    fn hidden_characters(&mut self, piece: &str) {
        let at = self.at;
        for (offset, symbol) in piece.char_indices().filter(|&(_, symbol)| is_hidden(symbol)) {
            let span = Span::new(at + offset, at + offset + symbol.len_utf8());
            self.fault(self.strange_character(span, symbol));
        }
    }

    fn strange_character(&self, span: Span, symbol: char) -> Diagnostic {
        let is_hidden = is_hidden(symbol);
        let shown = if is_hidden { format!("U+{:04X}", symbol as u32) } else { symbol.to_string() };
        let fault = Diagnostic::new(
            Code::UnexpectedToken,
            span,
            format!("expected ASCII text, found the character `{shown}`"),
        );
        if is_hidden {
            return fault.replace(span, "", "remove it");
        }
        let why = "write it in ASCII";
        match plain(symbol) {
            // `32×32×3` is a size, `3 × 3` may be a pair or a product.
            Some("*") if matches!(symbol, '×' | '✕') => match self.is_between_sides(span) {
                true => fault.replace(span, "x", why),
                false => fault.propose(span, "*", why).propose(span, "x", why),
            },
            Some(plain) => fault.replace(span, plain, why),
            None => fault.note("other characters may stand in comments and texts only"),
        }
    }

    /// True between two sides of a pair or size: numbers or single letters.
    fn is_between_sides(&self, span: Span) -> bool {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_side = |side: &str| {
            let is_letter = side.len() == 1 && side != "x" && side != "_";
            is_letter || (!side.is_empty() && side.bytes().all(|b| b.is_ascii_digit()))
        };
        let (before, behind) = (&self.text[..span.start], &self.text[span.end..]);
        let left = &before[before.trim_end_matches(is_word).len()..];
        let right = &behind[..behind.len() - behind.trim_start_matches(is_word).len()];
        is_side(left) && is_side(right)
    }

    fn fault(&mut self, fault: Diagnostic) {
        if self.found.faults.len() < MAX_FAULTS {
            self.found.faults.push(fault);
        }
    }

    /// Decides which keywords start items. In a text whose brackets match, those outside all
    /// brackets do; otherwise brackets say little, and a keyword in the first column counts.
    fn finish(mut self) -> Scan {
        let balanced = self.balanced && self.depth == 0;
        self.found.items = self
            .starts
            .iter()
            .filter(|start| start.depth == 0 || (!balanced && start.column == 0))
            .map(|start| start.at)
            .collect();
        self.found
    }
}

/// E0102 at a bracket or a chain of operators.
pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(
        Code::TooLarge,
        span,
        format!("expected at most {MAX_NESTING} levels of nesting"),
    )
    .label(format!("level {} starts here", MAX_NESTING + 1))
    .note("bind parts of it to names")
}

/// Controls other than blanks and line ends, and marks that reorder text on screen.
fn is_hidden(symbol: char) -> bool {
    (symbol.is_control() && !matches!(symbol, '\t' | '\r' | '\n'))
        || matches!(symbol,
            '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// What a character that is not ASCII is a look-alike of.
fn plain(symbol: char) -> Option<&'static str> {
    Some(match symbol {
        '×' | '✕' | '·' | '∗' => "*",
        '–' | '—' | '−' => "-",
        '“' | '”' | '„' | '«' | '»' => "\"",
        '≤' => "<=",
        '≥' => ">=",
        '≠' => "!=",
        '→' | '⇒' => "=>",
        '⊕' | '＋' => "+",
        '，' => ",",
        '（' => "(",
        '）' => ")",
        '\u{A0}' | '\u{3000}' => " ",
        _ => return None,
    })
}
