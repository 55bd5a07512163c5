//! Did you mean: the nearest known name to a misspelt one, and whether it is surely meant.

use super::{Applicability, Diagnostic};
use crate::source::Span;

/// Names longer than this are not compared: nobody misspells them by hand.
const LONGEST: usize = 64;

/// How many names are compared with a misspelt one: a file of thousands of names, all of them misspelt,
/// would take the square of that.
const MOST: usize = 256;

/// The candidate nearest to `name`, if it is near enough to be what was meant: a third of the longer
/// name's letters may differ, and at least one. Of equally near ones, the first. Only the first 256
/// candidates are looked at.
///
/// # Examples
/// ```
/// use cellc::diagnostic::suggest::nearest;
///
/// assert_eq!(nearest("spe", ["max", "sep", "avg"]), Some("sep"));
/// assert_eq!(nearest("transformer", ["max", "sep", "avg"]), None);
/// ```
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let letters: Vec<char> = name.chars().collect();
    // Of equally near names one of the same length is likelier meant than a shorter or longer one.
    let mut best: Option<((usize, usize), &str)> = None;
    for candidate in candidates.into_iter().take(MOST) {
        let other: Vec<char> = candidate.chars().collect();
        let longer = letters.len().max(other.len());
        if longer > LONGEST || candidate == name {
            continue;
        }
        let limit = (longer / 3).max(1);
        if letters.len().abs_diff(other.len()) > limit {
            continue;
        }
        // A name of one letter is near every other one.
        if letters.len().min(other.len()) < 2 && !name.eq_ignore_ascii_case(candidate) {
            continue;
        }
        let distance = distance(&letters, &other);
        let rank = (distance, letters.len().abs_diff(other.len()));
        if distance <= limit && best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Whether `name` is a slip of the hand for `near`, one of `candidates`: the same but for upper and lower
/// case, for one letter too many or missing, or for two neighbours swapped; and no other candidate is as
/// near as one edit.
///
/// Another letter may make another word, as `deconv` is not `dwconv`; so may another first letter, as
/// `elu` is not `relu`, and another digit makes another name. Names of one or two letters say too little.
///
/// # Examples
/// ```
/// use cellc::diagnostic::suggest::is_slip;
///
/// assert!(is_slip("squeze", "squeeze", ["squeeze", "se"]));
/// assert!(!is_slip("deconv", "dwconv", ["dwconv", "conv"]));
/// assert!(!is_slip("n13", "n3", ["n1", "n2", "n3"]));
/// ```
pub fn is_slip<'c>(name: &str, near: &str, candidates: impl IntoIterator<Item = &'c str>) -> bool {
    let lower = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<char>>();
    let (a, b) = (lower(name), lower(near));
    if a.len().max(b.len()) > LONGEST {
        return false;
    }
    // What stays the same at both ends; the rest is what was edited.
    let n_start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let rest = a.len().min(b.len()) - n_start;
    let ends = a.iter().rev().zip(b.iter().rev());
    let n_end = ends.take(rest).take_while(|(x, y)| x == y).count();
    let (a_edited, b_edited) = (&a[n_start..a.len() - n_end], &b[n_start..b.len() - n_end]);
    let is_case = a == b;
    let is_one_edit = match (a_edited, b_edited) {
        ([one], []) | ([], [one]) => !one.is_ascii_digit(),
        ([x, y], [v, w]) => x == w && y == v && !x.is_ascii_digit() && !y.is_ascii_digit(),
        _ => false,
    };
    let is_long = a.len().min(b.len()) >= 3 && n_start > 0;
    // Of names that differ in their case alone, those an edit away are no rivals.
    let reach = usize::from(!is_case);
    let is_alone = candidates
        .into_iter()
        .filter(|&other| other != near && other != name && other.len() <= 4 * LONGEST)
        .all(|other| distance(&a, &lower(other)) > reach);
    (is_case || (is_one_edit && is_long)) && is_alone
}

/// Edits that turn one word into the other: insert, delete or replace a letter, or swap two
/// neighbours (no substring edited twice). A change of case alone costs nothing to speak of, so it
/// is not an edit.
///
/// # Source
/// Damerau, "A technique for computer detection and correction of spelling errors", 1964, in the
/// restricted form known as optimal string alignment.
fn distance(a: &[char], b: &[char]) -> usize {
    let is_same = |x: char, y: char| x.eq_ignore_ascii_case(&y);
    // Rows i - 2, i - 1 and i of the table of distances between prefixes.
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(!is_same(a[i - 1], b[j - 1]));
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1]) {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

impl Diagnostic {
    /// Offers the candidate nearest to a misspelt `name` as a replacement of `span`, if one is near, as
    /// [`respell`](Self::respell) does.
    #[must_use]
    pub fn suggest<'c>(
        self,
        span: Span,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        match nearest(name, candidates.iter().copied()) {
            Some(near) => self.respell(span, name, near, candidates, "a similar name exists"),
            None => self,
        }
    }

    /// Offers `near`, the nearest of `candidates`, as a replacement of a misspelt `name` at `span`; to be
    /// applied unseen if the name is a slip of the hand.
    #[must_use]
    pub fn respell<'c>(
        self,
        span: Span,
        name: &str,
        near: &str,
        candidates: impl IntoIterator<Item = &'c str>,
        why: impl Into<String>,
    ) -> Self {
        let applicability = match is_slip(name, near, candidates) {
            true => Applicability::MachineApplicable,
            false => Applicability::MaybeIncorrect,
        };
        self.offer(span, near, why, applicability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(a: &str, b: &str) -> usize {
        let [a, b] = [a, b].map(|word| word.chars().collect::<Vec<_>>());
        distance(&a, &b)
    }

    #[test]
    fn distances_of_known_pairs() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("spe", "sep", 1),
            ("ca", "abc", 3),
            ("Normal", "normal", 0),
            ("squeze", "squeeze", 1),
            ("factorised", "factorized", 1),
        ] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
            assert_eq!(edits(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn near_names_only() {
        let ops = ["sep", "max", "avg", "squeeze", "factorized", "conv"];
        assert_eq!(nearest("sepp", ops), Some("sep"));
        assert_eq!(nearest("Max", ops), Some("max"));
        assert_eq!(nearest("factorised", ops), Some("factorized"));
        assert_eq!(nearest("convolution", ops), None);
        assert_eq!(nearest("dense", ops), None);
        assert_eq!(nearest("x", ["y", "z"]), None);
        assert_eq!(nearest("X", ["y", "x"]), Some("x"));
        assert_eq!(nearest("sep", ["sep"]), None);
        assert_eq!(nearest("", ops), None);
        assert_eq!(nearest(&"a".repeat(100), ["a"]), None);
    }

    #[test]
    fn slips_are_told_from_other_words() {
        let ops =
            ["sep", "max", "mul", "relu", "dwconv", "conv", "squeeze", "sigmoid", "factorized"];
        for (name, near) in [
            ("spe", "sep"),
            ("sepp", "sep"),
            ("Relu", "relu"),
            ("RELU", "relu"),
            ("rellu", "relu"),
            ("squeze", "squeeze"),
            ("sigmod", "sigmoid"),
        ] {
            assert!(is_slip(name, near, ops), "{name} is {near}");
        }
        for (name, near) in [
            // Other activations, another convolution, another spelling.
            ("gelu", "relu"),
            ("elu", "relu"),
            ("deconv", "dwconv"),
            ("factorised", "factorized"),
            // Two are as near, or the letters are too few, or it is a number.
            ("mu", "mul"),
            ("dconv", "dwconv"),
            ("conv1", "conv"),
            ("esp", "sep"),
            ("", "sep"),
        ] {
            assert!(!is_slip(name, near, ops), "{name} may not be {near}");
        }
        assert!(is_slip("X", "x", ["x", "y"]), "case alone");
        assert!(!is_slip("Ab", "ab", ["ab", "aB"]), "two are the same but for case");
        assert!(!is_slip(&"a".repeat(100), &"a".repeat(99), []));
    }

    #[test]
    fn ties_go_to_the_first() {
        assert_eq!(nearest("n1", ["n2", "n3"]), Some("n2"));
    }
}
