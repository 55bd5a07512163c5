//! How much room text takes.
//!
//! The reader's font is not known, so a line is taken to be as wide as the widest of the common
//! sans-serif fonts makes it.

/// Size of the text in boxes, and of captions.
pub(super) const FONT_SIZE: f64 = 13.0;

/// Size of titles.
pub(super) const TITLE_SIZE: f64 = 16.0;

/// From one line of a box to the next.
pub(super) const LINE_HEIGHT: f64 = 17.0;

/// How much wider bold text is.
const BOLD: f64 = 1.2;

/// An upper bound of a line's width at the size of boxes.
pub(super) fn width(text: &str) -> f64 {
    FONT_SIZE * text.chars().map(advance).sum::<f64>()
}

/// An upper bound of a title's width.
pub(super) fn title_width(text: &str) -> f64 {
    TITLE_SIZE * BOLD * text.chars().map(advance).sum::<f64>()
}

/// An upper bound of a character's width at size 1, after the widest of the fonts in use.
fn advance(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | 'I' | 'f' | 't' | 'r' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|'
        | '!' | '(' | ')' | '[' | ']' | '-' | '/' => 0.46,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 1.08,
        'A'..='Z' | '=' | '+' | '<' | '>' | '~' | '^' | '#' | '&' => 0.85,
        _ if character.is_ascii() => 0.65,
        _ => 1.1,
    }
}
