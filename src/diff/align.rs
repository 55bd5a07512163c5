//! The longest common subsequence of two lists, as runs of what differs.

use std::ops::Range;

/// The most pairs of elements that are compared; longer lists differ as a whole.
const MOST_PAIRS: usize = 1 << 22;

/// What differs between two lists: ranges of the old one with what stands there in the new one, in
/// order. Both ranges of a pair are never empty at once.
pub(super) fn differences<T: PartialEq>(old: &[T], new: &[T]) -> Vec<(Range<usize>, Range<usize>)> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev());
    let end = tail.take_while(|(old, new)| old == new).count();
    let old_rest = &old_rest[..old_rest.len() - end];
    let new_rest = &new_rest[..new_rest.len() - end];
    if old_rest.is_empty() && new_rest.is_empty() {
        return Vec::new();
    }
    let columns = new_rest.len() + 1;
    if (old_rest.len() + 1).saturating_mul(columns) > MOST_PAIRS {
        return vec![(start..start + old_rest.len(), start..start + new_rest.len())];
    }
    // Length of the longest common subsequence of what follows each pair of positions.
    let mut longest = vec![0u32; (old_rest.len() + 1) * columns];
    for i in (0..old_rest.len()).rev() {
        for j in (0..new_rest.len()).rev() {
            longest[i * columns + j] = if old_rest[i] == new_rest[j] {
                longest[(i + 1) * columns + j + 1] + 1
            } else {
                longest[(i + 1) * columns + j].max(longest[i * columns + j + 1])
            };
        }
    }
    let mut found = Vec::new();
    let (mut i, mut j) = (0, 0);
    let (mut from_i, mut from_j) = (0, 0);
    while i < old_rest.len() || j < new_rest.len() {
        let both = i < old_rest.len() && j < new_rest.len();
        if both && old_rest[i] == new_rest[j] {
            if i > from_i || j > from_j {
                found.push((start + from_i..start + i, start + from_j..start + j));
            }
            (i, j) = (i + 1, j + 1);
            (from_i, from_j) = (i, j);
        } else if i < old_rest.len()
            && (j == new_rest.len()
                || longest[(i + 1) * columns + j] >= longest[i * columns + j + 1])
        {
            i += 1;
        } else {
            j += 1;
        }
    }
    if i > from_i || j > from_j {
        found.push((start + from_i..start + i, start + from_j..start + j));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn runs_are_found_between_what_is_common() {
        let runs = |old: &str, new: &str| {
            differences(&old.chars().collect::<Vec<_>>(), &new.chars().collect::<Vec<_>>())
        };
        assert_eq!(runs("abc", "abc"), []);
        assert_eq!(runs("abc", "axc"), [(1..2, 1..2)]);
        assert_eq!(runs("abcd", "bcdx"), [(0..1, 0..0), (4..4, 3..4)]);
        assert_eq!(runs("", "ab"), [(0..0, 0..2)]);
        assert_eq!(runs("ab", ""), [(0..2, 0..0)]);
    }
}
