//! What must hold of parser, formatter, checker and renderer on any text.

use cellc::compile;
use cellc::diagnostic::render::{Style, render};
use cellc::diagnostic::{Diagnostics, Help};
use cellc::ir::Module;
use cellc::source::{Loader, SourceFile};
use cellc::syntax::{self, ast::File};

use crate::erase;

/// Parses a text; prints and parses again what is a tree.
///
/// # Panics
/// If a fault lies outside of the text, or printing changes the tree, loses a comment or is not stable.
pub fn parse(source: &SourceFile) {
    let (lenient, outcome) = syntax::parse_leniently(source);
    match (syntax::parse(source), outcome) {
        (Ok(file), Ok(())) => {
            assert_eq!(file, lenient, "the two ways to parse differ");
            round_trip(&file);
        }
        (Err(faults), Err(same)) => {
            assert_eq!(faults, same, "the two ways to parse differ");
            lie_inside(&faults, source);
        }
        (strict, _) => panic!("the two ways to parse differ: {strict:?}"),
    }
}

fn round_trip(file: &File) {
    let printed = syntax::print(file);
    let parsed = match syntax::parse(&SourceFile::new("printed.cell", printed.as_str())) {
        Ok(parsed) => parsed,
        Err(faults) => panic!("what is printed does not parse: {faults:#?}\n{printed}"),
    };
    // A tab or a carriage return inside of a comment is printed as a blank.
    let comments = |file: &File| -> Vec<String> {
        file.comments.iter().map(|comment| comment.text.replace(['\t', '\r'], " ")).collect()
    };
    assert_eq!(comments(&parsed), comments(file), "printing changes comments:\n{printed}");
    assert_eq!(syntax::print(&parsed), printed, "printing twice differs");
    // A hole that follows another statement is put into parentheses.
    let bare = erase::spans_and_parens;
    assert!(bare(parsed) == bare(file.clone()), "printing changes the tree:\n{printed}");
}

/// Checks a text with the files it uses; renders what is wrong.
///
/// # Panics
/// If a fault lies outside of the text, or a rendering of it is empty.
pub fn check(source: &SourceFile, loader: &dyn Loader) -> Option<Module> {
    match compile::check_with(source, loader) {
        Ok(module) => Some(module),
        Err(faults) => {
            report(&faults, source);
            None
        }
    }
}

/// Renders diagnostics in every style.
///
/// # Panics
/// If one lies outside of the text, or a rendering is empty.
pub fn report(faults: &Diagnostics, source: &SourceFile) {
    lie_inside(faults, source);
    for style in [Style::Plain, Style::Ansi, Style::Short, Style::Json] {
        assert!(!render(faults, source, style).is_empty(), "{faults:?} is nothing in {style:?}");
    }
}

fn lie_inside(faults: &Diagnostics, source: &SourceFile) {
    for fault in faults.iter() {
        let replaced = fault.help.iter().filter_map(|help| match help {
            Help::Note(_) => None,
            Help::Replace { span, .. } => Some(*span),
        });
        let labels = fault.secondary.iter().map(|label| label.span);
        for span in labels.chain(replaced).chain([fault.primary.span]) {
            assert!(source.text.get(span.range()).is_some(), "{fault:?} lies outside of the text");
        }
    }
}
