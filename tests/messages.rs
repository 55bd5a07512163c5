//! Whole messages as they are shown.

use cellc::diagnostic::render::{Style, render};
use cellc::diagnostic::{Code, Diagnostic, Diagnostics};
use cellc::source::{SourceFile, Span};
use cellc::syntax;

fn source(text: &str) -> SourceFile {
    SourceFile::new("cells/mine.cell", text)
}

/// The syntax faults of a text.
fn faults(text: &str, style: Style) -> String {
    let source = source(text);
    render(&syntax::parse(&source).expect_err("the text is wrong"), &source, style)
}

/// Where the `n`-th occurrence of a piece of the text stands.
fn find(text: &str, piece: &str, n: usize) -> Span {
    let (at, _) = text.match_indices(piece).nth(n).expect("the piece is in the text");
    Span::new(at, at + piece.len())
}

#[test]
fn missing_parenthesis() {
    let text = "\
cell normal(h, prev) {
    a  = squeeze(h)
    n1 = concat(a, max<3>(prev)
    out concat(a, n1)
}
";
    insta::assert_snapshot!(faults(text, Style::Plain));
}

#[test]
fn keyword_as_name() {
    insta::assert_snapshot!(faults("op space(x) = x |> relu\n", Style::Plain));
}

#[test]
fn replacement() {
    insta::assert_snapshot!(faults("op f<k>(x) {\n    when k = 1 => x\n}\n", Style::Plain));
}

#[test]
fn removal_and_insertion() {
    insta::assert_snapshot!(faults("cell f(h) {\n    a = sep<5(h)\n    out a;\n}\n", Style::Plain));
}

#[test]
fn end_of_file() {
    insta::assert_snapshot!(faults("cell normal(h) {\n    out h\n", Style::Plain));
}

#[test]
fn two_items_of_an_operation() {
    insta::assert_snapshot!(faults("op f(x) {\n    x |> relu\n    x |> bn\n}\n", Style::Plain));
}

#[test]
fn too_deep() {
    let text = format!("op f(x) = {}x{}", "relu(".repeat(100), ")".repeat(100));
    insta::assert_snapshot!(faults(&text, Style::Plain));
}

#[test]
fn wide_characters_and_tabs() {
    insta::assert_snapshot!(faults("// 漢字\nop f(x) =\tx |> größe |> ×\r\n", Style::Plain));
}

#[test]
fn labels_where_the_causes_are() {
    let text = "\
cell normal(a, b) {
    x = sep<3>(a)
    y = max<3, s = 2>(b)
    n1 = x + y
    out n1
}
";
    let fault = Diagnostic::new(
        Code::ShapeMismatch,
        find(text, "x + y", 0),
        "cannot add tensors of different shapes",
    )
    .label("height and width differ")
    .also(find(text, "sep<3>(a)", 0), "32 channels, 16x16")
    .also(find(text, "max<3, s = 2>(b)", 0), "32 channels, 8x8")
    .note("give both operands the same stride");
    insta::assert_snapshot!(render(&fault.into(), &source(text), Style::Plain));
}

#[test]
fn a_suggestion() {
    let text = "op f(x) = x |> squeze |> relu\n";
    let span = find(text, "squeze", 0);
    let fault = Diagnostic::new(Code::UnknownName, span, "no operation is called `squeze`")
        .suggest(span, "squeze", ["sep", "squeeze", "max"]);
    insta::assert_snapshot!(render(&fault.into(), &source(text), Style::Plain));
}

#[test]
fn more_than_are_shown() {
    let text = "op f(x) = ;\n".repeat(Diagnostics::SHOWN + 5);
    let rendered = faults(&text, Style::Short);
    assert_eq!(rendered.lines().count(), Diagnostics::SHOWN + 1);
    let ends: Vec<&str> = rendered.lines().skip(Diagnostics::SHOWN - 1).collect();
    insta::assert_snapshot!(ends.join("\n"));
    let plain = faults(&text, Style::Plain);
    assert!(plain.ends_with("\n\nand 5 more\n"), "{plain}");
    assert_eq!(faults(&text, Style::Json).lines().count(), Diagnostics::SHOWN + 5);
}

#[test]
fn json() {
    let text = "op é(x) = x\nop f<k>(x) { when k = 1 => x }\n";
    insta::assert_snapshot!(faults(text, Style::Json));
}

#[test]
fn ansi_differs_from_plain_in_escapes_only() {
    let text = "op f<k>(x) {\n    when k = 1 => x;\n}\n";
    let ansi = faults(text, Style::Ansi);
    assert!(ansi.contains("\u{1b}["));
    let mut plain = String::new();
    let mut rest = ansi.as_str();
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        let end = rest[at..].find('m').expect("an escape ends in m");
        rest = &rest[at + end + 1..];
    }
    plain.push_str(rest);
    assert_eq!(plain, faults(text, Style::Plain));
}

/// Whatever the spans are, there is a message with its code and text, and no panic.
#[test]
fn any_span_renders() {
    let texts = [
        "",
        "\n",
        "\r\n",
        "x",
        "x\n\n\n",
        "é\r\n漢字\t\tx\r\n",
        "a\rb\u{2028}c\u{0}d",
        "\u{FEFF}op f(x) = x",
        "x\n\u{301}\u{200d}",
    ];
    let long = "long ".repeat(20_000);
    for text in texts.into_iter().chain([long.as_str()]) {
        let ends = (0..=text.len().min(20)).chain([text.len(), text.len() + 1, usize::MAX]);
        for start in ends.clone() {
            for end in ends.clone() {
                let span = Span { start, end };
                let fault = Diagnostic::new(Code::UnknownName, span, "message")
                    .label("label")
                    .also(Span::new(0, end), "cause")
                    .also(Span::default(), "")
                    .note("note")
                    .replace(span, "new", "why");
                for style in [Style::Plain, Style::Ansi, Style::Short, Style::Json] {
                    let shown = render(&fault.clone().into(), &source(text), style);
                    assert!(shown.contains("E0201") && shown.contains("message"), "{shown}");
                    assert!(shown.ends_with('\n'));
                }
            }
        }
    }
}
