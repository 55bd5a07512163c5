//! The examples of `grammar/README.md` are true.

mod support;

use cellc::source::SourceFile;
use cellc::syntax;
use cellc::syntax::ast::{Item, OpBody};
use support::erase;

const REFERENCE: &str = include_str!("../grammar/README.md");

/// The fenced blocks of the language, with the line each starts on.
fn examples() -> Vec<(usize, &'static str)> {
    let mut examples = Vec::new();
    for (at, fence) in REFERENCE.match_indices("```cell") {
        let example = &REFERENCE[at + fence.len()..];
        let (_, example) = example.split_once('\n').expect("a fence ends its line");
        let (example, _) = example.split_once("```").expect("a fenced block ends");
        examples.push((REFERENCE[..at].lines().count() + 1, example));
    }
    examples
}

#[test]
fn examples_marked_as_checked_check() {
    let mut count = 0;
    for (line, example) in examples() {
        if REFERENCE.lines().nth(line - 1) == Some("```cell checked") {
            count += 1;
            if let Err(faults) = cellc::compile::check(&SourceFile::new("README.md", example)) {
                panic!("the example at line {line}: {faults}");
            }
        }
    }
    assert!(count >= 7, "{count} examples are marked");
}

#[test]
fn examples_parse_and_are_formatted() {
    let examples = examples();
    assert!(examples.len() >= 10);
    for (line, example) in examples {
        let formatted = syntax::format(&SourceFile::new("README.md", example));
        assert_eq!(formatted.as_deref(), Ok(example), "the example at line {line}");
    }
}

/// The two operations that show precedence are one tree but for parentheses.
#[test]
fn precedence_is_as_the_table_says() {
    let (_, example) = examples()
        .into_iter()
        .find(|(_, example)| example.starts_with("op f(x, y) = x + y * x"))
        .expect("the example of precedence");
    let file = syntax::parse(&SourceFile::new("README.md", example)).unwrap();
    let bodies: Vec<OpBody> = erase::spans_and_parens(file)
        .items
        .into_iter()
        .map(|item| match item {
            Item::Op(op) => op.body,
            item => panic!("{item:?} is no operation"),
        })
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
}

/// Each reserved word, and no other, is listed and refused as a name.
#[test]
fn reserved_words_are_those_listed() {
    let (_, rest) = REFERENCE.split_once("These words are reserved:").expect("the list");
    let list = rest.trim_start().lines().next().expect("the list is a line");
    let words: Vec<&str> = list.split(' ').map(|word| word.trim_matches('`')).collect();
    assert_eq!(words.len(), 16);
    for word in words {
        let text = format!("op {word}(x) = x");
        assert!(syntax::parse(&SourceFile::new("name", text)).is_err(), "{word}");
    }
    for word in ["stride", "stem", "after", "input", "x", "outer", "op1", "earlier"] {
        let text = format!("op {word}(x) = x");
        assert!(syntax::parse(&SourceFile::new("name", text)).is_ok(), "{word}");
    }
}

/// Codes that the reference names exist.
#[test]
fn codes_exist() {
    let codes: Vec<&str> =
        REFERENCE.match_indices("E0").map(|(at, _)| &REFERENCE[at..at + 5]).collect();
    assert!(codes.len() > 10);
    for code in codes {
        assert!(code.parse::<cellc::diagnostic::Code>().is_ok(), "{code}");
    }
}
