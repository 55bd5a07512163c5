//! What the formatter makes of the valid corpus, file by file.

use cellc::source::{SourceFile, Span};
use cellc::syntax;
use cellc::syntax::ast::{Comment, File, Item, SpaceItem};

#[test]
fn valid_corpus() {
    insta::glob!("cells/valid/*.cell", |path| {
        let source = SourceFile::read(path).unwrap();
        insta::assert_snapshot!(syntax::format(&source).unwrap());
    });
}

/// A tree that a program has put together from parts of others: the header comes first, and nothing
/// depends on where the parts stood.
#[test]
fn a_tree_that_was_made() {
    let text =
        "space s {\n\n    cell n(h) { a = f(h)\n\n out a }\n}\nop f(x)=x\nexpect n 1@2 {a 1}";
    let file = syntax::parse(&SourceFile::new("space.cell", text)).unwrap();
    let mut made = File::default();
    made.comments.push(Comment {
        text: "/// Found by a search.".to_owned(),
        span: Span::default(),
        own_line: true,
        blank_before: false,
    });
    made.items.extend(file.items.iter().skip(1).rev().cloned());
    if let Item::Space(space) = &file.items[0]
        && let SpaceItem::Cell(cell) = &space.items[0]
    {
        made.items.push(Item::Cell(cell.clone()));
    }
    let expected = "\
/// Found by a search.
expect n 1@2 { a 1 }

op f(x) = x

cell n(h) {
    a = f(h)
    out a
}
";
    assert_eq!(syntax::print(&made), expected);
    assert_eq!(syntax::format(&SourceFile::new("made.cell", expected)).as_deref(), Ok(expected));
}
