//! How a point of a space is written in a table: a pattern with a place for each decision.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::space::{Genotype, SearchSpace};

/// What stands for a decision that is not active.
const INACTIVE: &str = "-";

/// The column that names architectures, and how: `COLUMN=PATTERN`.
///
/// In the pattern `{3}` stands for the choice of the decision with that index, counted from 0 in the order
/// of the space, and `{normal.n1.left.op}` for that of the decision with that label; `{*}` for all choices
/// with a comma between them, as a genotype is displayed. A choice is the number of its option, or the
/// word with that number if words are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFormat {
    /// The column.
    pub column: String,
    /// The pattern.
    pub pattern: String,
    /// A word for each option, in the order of the options; numbers if there are none.
    pub words: Vec<String>,
}

impl FromStr for KeyFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, pattern) = text
            .split_once('=')
            .filter(|(column, pattern)| !column.is_empty() && !pattern.is_empty())
            .ok_or_else(|| format!("`{text}` is not of the form COLUMN=PATTERN"))?;
        Ok(KeyFormat { column: column.into(), pattern: pattern.into(), words: Vec::new() })
    }
}

impl fmt::Display for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.column, self.pattern)?;
        if self.words.is_empty() { Ok(()) } else { write!(f, " ({})", self.words.join(",")) }
    }
}

/// A piece of a pattern.
#[derive(Debug)]
enum Piece {
    Text(String),
    Choice(usize),
}

/// A key format that was read for one space.
#[derive(Debug)]
pub(super) struct Key {
    pieces: Vec<Piece>,
    words: Vec<String>,
}

impl Key {
    /// Reads a format.
    ///
    /// # Errors
    /// [`Error::Config`] for a brace that does not close, a decision that is not there, too few words, or
    /// a decision that the pattern leaves out.
    pub(super) fn new(format: &KeyFormat, space: &SearchSpace) -> Result<Self, Error> {
        let refuse =
            |setting, value: &str, reason| Error::Config { setting, value: value.into(), reason };
        let fault = |reason| refuse("table-key", &format!("`{}`", format.pattern), reason);
        let mut pieces = Vec::new();
        let mut rest = format.pattern.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, left) =
                after.split_once('}').ok_or_else(|| fault("`{` is not closed".into()))?;
            pieces.push(Piece::Text(before.into()));
            if name == "*" {
                for index in 0..space.decisions.len() {
                    if index > 0 {
                        pieces.push(Piece::Text(",".into()));
                    }
                    pieces.push(Piece::Choice(index));
                }
            } else {
                let index = name.parse().ok().filter(|&index| index < space.decisions.len());
                let labelled =
                    || space.decisions.iter().position(|decision| decision.label == name);
                let index = index.or_else(labelled).ok_or_else(|| {
                    let count = space.decisions.len();
                    fault(format!(
                        "the space has no decision `{name}`; it has {count}, the first is 0 or `{}`",
                        space.decisions.first().map_or("none", |first| &first.label)
                    ))
                })?;
                pieces.push(Piece::Choice(index));
            }
            rest = left;
        }
        pieces.push(Piece::Text(rest.into()));
        let has =
            |index| pieces.iter().any(|piece| matches!(piece, Piece::Choice(i) if *i == index));
        if let Some(index) = (0..space.decisions.len()).find(|&index| !has(index)) {
            let label = &space.decisions[index].label;
            return Err(fault(format!("it leaves out decision {index}, `{label}`")));
        }
        let options = |index: usize| space.decisions[index].options.len();
        let most = (0..space.decisions.len()).map(options).max().unwrap_or(0);
        if !format.words.is_empty() && format.words.len() < most {
            let reason = format!("a decision has {most} options");
            return Err(refuse("table-words", &format.words.join(","), reason));
        }
        Ok(Key { pieces, words: format.words.clone() })
    }

    /// How a point is written.
    pub(super) fn of(&self, genotype: &Genotype, space: &SearchSpace) -> String {
        let mut key = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Choice(index) if !space.is_active(*index, &genotype.choices) => {
                    key.push_str(INACTIVE);
                }
                Piece::Choice(index) => {
                    let option = genotype.choices[*index];
                    match self.words.get(option) {
                        Some(word) => key.push_str(word),
                        None => key.push_str(&option.to_string()),
                    }
                }
            }
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Decision;

    fn space() -> SearchSpace {
        let decision = |label: &str| Decision::new(label, vec!["x".into(), "y".into(), "z".into()]);
        SearchSpace { name: "s".into(), decisions: vec![decision("a.op"), decision("b")] }
    }

    fn key(format: &str, words: &[&str]) -> Result<String, String> {
        let words = words.iter().map(ToString::to_string).collect();
        let format = KeyFormat { words, ..format.parse()? };
        let key = Key::new(&format, &space()).map_err(|error| error.to_string())?;
        Ok(key.of(&Genotype { choices: vec![2, 0] }, &space()))
    }

    #[test]
    fn decisions_stand_by_index_or_label() {
        assert_eq!(key("arch={0}{1}", &[]), Ok("20".into()));
        assert_eq!(
            key("arch=|{b}~0|+|{a.op}~1|", &["none", "id", "conv"]),
            Ok("|none~0|+|conv~1|".into())
        );
        assert_eq!(key("genotype={*}", &[]), Ok("2,0".into()));
    }

    #[test]
    fn a_pattern_that_cannot_tell_points_apart_is_refused() {
        for (format, words, expected) in [
            ("arch", vec![], "is not of the form COLUMN=PATTERN"),
            ("arch={0}", vec![], "it leaves out decision 1, `b`"),
            ("arch={0}{7}", vec![], "the space has no decision `7`; it has 2"),
            ("arch={0}{1", vec![], "`{` is not closed"),
            ("arch={0}{1}", vec!["none"], "a decision has 3 options"),
        ] {
            let refused = key(format, &words).expect_err(format);
            assert!(refused.contains(expected), "{format}: {refused}");
        }
    }
}
