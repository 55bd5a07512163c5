//! The tokens of a text before the cursor. Unlike the grammar this never fails, and it needs no end.

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// Its text: a word, a number, a string with its quotes, or an operator.
    pub text: &'t str,
    /// Where it starts.
    pub start: usize,
    /// True if nothing but blanks stands before it on its line.
    pub starts_line: bool,
    /// True if nothing at all does.
    pub is_outermost: bool,
}

impl Token<'_> {
    /// One past its last byte.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// True for a name or a keyword.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    }

    /// True for a number, a pair, a scale.
    pub fn is_number(&self) -> bool {
        self.text.starts_with(|c: char| c.is_ascii_digit())
    }
}

/// The tokens of a text that is cut at the cursor; `None` if the cursor is in a comment or a string.
pub(super) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let len = match next {
            _ if rest.starts_with("//") => {
                at += rest.find('\n')?;
                continue;
            }
            '"' => {
                let end = rest[1..].find(['"', '\n'])? + 1;
                if rest[end..].starts_with('"') { end + 1 } else { end }
            }
            '0'..='9' => length(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@')),
            'a'..='z' | 'A'..='Z' | '_' => length(rest, |c| c.is_ascii_alphanumeric() || c == '_'),
            _ if next.is_whitespace() || next == '\u{FEFF}' => {
                at += next.len_utf8();
                continue;
            }
            _ if ["|>", "=>", "==", "!=", "<=", ">="].iter().any(|two| rest.starts_with(two)) => 2,
            _ => next.len_utf8(),
        };
        let is_line_start = |before: &str| before.is_empty() || before.ends_with('\n');
        let before = &text[..at];
        found.push(Token {
            text: &rest[..len],
            start: at,
            starts_line: is_line_start(before.trim_end_matches([' ', '\t'])),
            is_outermost: is_line_start(before),
        });
        at += len;
    }
    Some(found)
}

fn length(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}
