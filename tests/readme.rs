//! What the README shows is true of the program.

use cellc::compare::{self, Form, Selection};
use cellc::compile;
use cellc::source::SourceFile;
use cellc::syntax;

const README: &str = include_str!("../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README
        .match_indices(&fence)
        .map(|(at, _)| {
            let block = &README[at + fence.len()..];
            block.split_once("```").expect("a fenced block ends").0
        })
        .collect()
}

#[test]
fn cells_are_formatted_and_fine() {
    let cells = blocks("cell");
    assert!(cells.len() >= 4);
    for text in cells {
        let source = SourceFile::new("README.md", text);
        assert_eq!(syntax::format(&source).as_deref(), Ok(text));
        if let Err(faults) = compile::check(&source) {
            panic!("{faults} in\n{text}");
        }
    }
}

#[test]
fn the_found_cell_is_one_of_the_space() {
    let found = blocks("cell")[0];
    assert!(found.starts_with("/// Found by `cellc search`: space nasnet"), "{found}");
    let module = compile::check(&SourceFile::new("README.md", found)).expect("it is fine");
    let names: Vec<&str> = module.cells.iter().map(|cell| cell.name.name.as_str()).collect();
    assert_eq!(names, ["normal", "reduction"]);
}

/// The tables of the paper are what `cellc compare --source zoph --format markdown` prints.
#[test]
fn the_published_tables_are_those_of_the_program() {
    let selection = Selection { source: Some("zoph".into()), ..Selection::default() };
    let rows = compile::EMBEDDED.iter().flat_map(|(name, text)| {
        let module = compile::check(&SourceFile::new(*name, *text)).expect("the library is sound");
        compare::rows(name, &module, &selection).expect("its networks can be built")
    });
    let tables = Form::Markdown.write(&compare::tables(rows.collect()));
    assert!(README.contains(&tables), "the README lacks\n{tables}");
}
