//! Positions in UTF-16 units against a naive count, for texts with every kind of line end and character.

#![cfg(feature = "lsp")]

use cellc::lsp::LineIndex;
use cellc::source::Span;
use lsp_types::{Position, Range};
use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

/// Short texts of characters of 1 to 4 bytes, of 1 and 2 UTF-16 units, and line ends.
fn texts() -> impl Strategy<Value = String> {
    const PIECES: [&str; 10] =
        ["a", "é", "漢", "\u{1F980}", "\n", "\r\n", "\r", " ", "\u{2028}", "\u{301}"];
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24).prop_map(|all| all.concat())
}

/// The position of every offset between characters, counted character by character.
fn naive(text: &str) -> Vec<(usize, Position)> {
    let mut found = Vec::new();
    let (mut line, mut character) = (0, 0);
    let mut before = ' ';
    for (at, next) in text.char_indices() {
        let splits_a_line_end = before == '\r' && next == '\n';
        if before == '\n' || (before == '\r' && !splits_a_line_end) {
            line += 1;
            character = 0;
        }
        found.push((at, Position::new(line, character)));
        // Line ends have no width; between `\r` and `\n` is the end of the line.
        if !matches!(next, '\r' | '\n') {
            character += next.len_utf16() as u32;
        }
        before = next;
    }
    if matches!(before, '\r' | '\n') {
        line += 1;
        character = 0;
    }
    found.push((text.len(), Position::new(line, character)));
    found
}

proptest! {
    #[test]
    fn positions_are_those_of_a_naive_count(text in texts()) {
        let index = LineIndex::new(&text);
        for (offset, position) in naive(&text) {
            prop_assert_eq!(index.position(&text, offset), position);
            let is_inside_line_end =
                text[..offset].ends_with('\r') && text[offset..].starts_with('\n');
            let back = index.offset(&text, position);
            prop_assert_eq!(back, offset - usize::from(is_inside_line_end));
        }
    }

    #[test]
    fn offsets_inside_characters_are_those_before_them(text in texts(), offset in 0_usize..120) {
        let index = LineIndex::new(&text);
        let mut before = offset.min(text.len());
        while !text.is_char_boundary(before) {
            before -= 1;
        }
        prop_assert_eq!(index.position(&text, offset), index.position(&text, before));
    }

    #[test]
    fn any_position_is_between_characters(
        text in texts(),
        line in prop::sample::select(&[0, 1, 2, 3, 7, 1000, u32::MAX][..]),
        character in prop::sample::select(&[0, 1, 2, 3, 4, 5, 9, 1000, u32::MAX][..]),
    ) {
        let index = LineIndex::new(&text);
        let offset = index.offset(&text, Position::new(line, character));
        prop_assert!(text.is_char_boundary(offset));
        // Never behind what was asked for, and in its line if there is one.
        let back = index.position(&text, offset);
        prop_assert!(back <= Position::new(line, character));
        let last = index.position(&text, text.len()).line;
        prop_assert_eq!(back.line, line.min(last));
    }

    #[test]
    fn ranges_and_spans_never_end_before_they_start(
        text in texts(),
        start in 0_usize..120,
        end in 0_usize..120,
        lines in [0_u32..9, 0..9],
        characters in [0_u32..9, 0..9],
    ) {
        let index = LineIndex::new(&text);
        let range = index.range(&text, Span::new(start, end));
        prop_assert!(range.start <= range.end);
        let [from, to] = [0, 1].map(|end| Position::new(lines[end], characters[end]));
        let span = index.span(&text, Range::new(from, to));
        prop_assert!(span.start <= span.end && span.end <= text.len());
    }
}

#[test]
fn a_crab_is_two_units_wide() {
    let text = "\u{1F980}x\r\ny";
    let index = LineIndex::new(text);
    assert_eq!(index.position(text, 4), Position::new(0, 2));
    assert_eq!(index.offset(text, Position::new(0, 1)), 0);
    assert_eq!(index.offset(text, Position::new(0, 3)), 5);
    assert_eq!(index.offset(text, Position::new(0, 9)), 5);
    assert_eq!(index.offset(text, Position::new(1, 0)), 7);
}
