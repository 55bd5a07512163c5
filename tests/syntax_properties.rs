//! Properties of the parser and the formatter over random trees and random text.

mod support;

use cellc::diagnostic::Code;
use cellc::source::SourceFile;
use cellc::syntax::{self, ast::File};
use proptest::prelude::*;
use support::{erase, trees};

fn source(text: &str) -> SourceFile {
    SourceFile::new("test.cell", text)
}

fn parse(text: &str) -> File {
    match syntax::parse(&source(text)) {
        Ok(file) => file,
        Err(faults) => {
            let all: Vec<_> = faults.iter().map(|fault| fault.message.clone()).collect();
            panic!("does not parse: {all:#?}\n{text}")
        }
    }
}

/// A text and the places in it where a comment or a blank line may go.
#[derive(Clone, Debug)]
struct Insertions {
    tree: File,
    /// Which of the places get something, and what.
    inserted: Vec<(prop::sample::Index, &'static str)>,
}

impl Insertions {
    fn strategy() -> impl Strategy<Value = Self> {
        let piece = prop::sample::select(vec![
            "\n// own line\n",
            " // trailing\n",
            "\n\n\n",
            "\n\n/// after a blank\n",
            "\r\n\t",
            "\n// with `code` { ( \"\n",
        ]);
        (trees::file(), prop::collection::vec((any::<prop::sample::Index>(), piece), 1..8))
            .prop_map(|(tree, inserted)| Insertions { tree, inserted })
    }

    fn text(&self) -> String {
        let text = syntax::print(&self.tree);
        // A quote is never in a printed text but round a string, and no string crosses a line.
        let is_in_string = |at: usize| {
            let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
            text[line..at].matches('"').count() % 2 == 1
        };
        let places: Vec<usize> = text
            .char_indices()
            .filter(|&(at, symbol)| (symbol == ' ' || symbol == '\n') && !is_in_string(at))
            .map(|(at, _)| at)
            .collect();
        if places.is_empty() {
            return text;
        }
        let mut chosen: Vec<(usize, &str)> =
            self.inserted.iter().map(|(index, piece)| (*index.get(&places), *piece)).collect();
        chosen.sort_by_key(|&(at, _)| at);
        let mut result = String::new();
        let mut from = 0;
        for (at, piece) in chosen {
            result.push_str(&text[from..at]);
            result.push_str(piece);
            from = at;
        }
        result + &text[from..]
    }
}

fn comments(file: &File) -> Vec<&str> {
    file.comments.iter().map(|comment| comment.text.as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Printing loses nothing, even of trees that no text gives without more parentheses.
    #[test]
    fn a_printed_tree_parses_to_itself(tree in trees::file()) {
        let text = syntax::print(&tree);
        let parsed = parse(&text);
        prop_assert_eq!(
            erase::spans_and_parens(parsed.clone()), erase::spans_and_parens(tree), "{}", text);
        // From here on the tree is one that a text has given, and nothing at all may change.
        let again = syntax::print(&parsed);
        prop_assert_eq!(&again, &text);
        prop_assert_eq!(erase::spans(parse(&again)), erase::spans(parsed));
    }

    #[test]
    fn formatting_keeps_comments_and_is_idempotent(case in Insertions::strategy()) {
        let text = case.text();
        let parsed = parse(&text);
        let printed = syntax::print(&parsed);
        let reparsed = parse(&printed);
        prop_assert_eq!(comments(&reparsed), comments(&parsed), "{}\n----\n{}", text, printed);
        prop_assert_eq!(&syntax::print(&reparsed), &printed, "{}", text);
        prop_assert_eq!(erase::spans(reparsed), erase::spans(parsed));
        prop_assert!(!printed.contains(" \n") && !printed.contains("\n\n\n"), "{}", printed);
    }

    /// Words of the language in any order give a tree or diagnostics inside the text.
    #[test]
    fn token_soup_never_panics(tokens in prop::collection::vec(prop::sample::select(vec![
        "op", "cell", "space", "net", "expect", "when", "otherwise", "require", "repeat", "as",
        "use", "let", "to", "at", "on", "skip", "4M", "2.35B", "%",
        "out", "and", "or", "not", "stride", "stem", "stack", "head", "aux", "after", "stage",
        "input", "classes", "a", "b", "sep", "x", "1", "2", "3_000", "99999999999999999999",
        "6@768", "1x7", "kxk", "32x32x3", "\"text\"", "\"", "//c", "(", ")", "{", "}", "<", ">",
        ",", ":", "?", "=", "=>", "|>", "+", "-", "*", "/", "==", "\n", " ", "\n\n", "é", "\u{7}",
        "?ops", "?earlier", "?{", "[", ";", "\u{FEFF}", "\r",
    ]), 0..60)) {
        let text = tokens.concat();
        check_total(&text)?;
        check_total(&tokens.join(" "))?;
    }

    /// So does text that was right until characters were taken out or put in.
    #[test]
    fn damaged_text_never_panics(
        tree in trees::file(),
        at in any::<prop::sample::Index>(),
        length in 0usize..4,
        piece in prop::sample::select(vec!["", "(", ")", "}", "{", "\"", "=", "é", "x", "9", "//"]),
    ) {
        let text = syntax::print(&tree);
        let mut start = at.index(text.len() + 1);
        while !text.is_char_boundary(start) { start -= 1; }
        let mut end = (start + length).min(text.len());
        while !text.is_char_boundary(end) { end -= 1; }
        check_total(&format!("{}{piece}{}", &text[..start], &text[end.max(start)..]))?;
    }

    #[test]
    fn random_characters_never_panic(text in "\\PC{0,80}") {
        check_total(&text)?;
    }
}

/// A text parses and formats stably, or every diagnostic is inside it.
fn check_total(text: &str) -> Result<(), TestCaseError> {
    match syntax::parse(&source(text)) {
        Ok(file) => {
            let printed = syntax::print(&file);
            prop_assert_eq!(syntax::format(&source(&printed)), Ok(printed.clone()), "{}", text);
        }
        Err(faults) => {
            prop_assert!(faults.count() > 0);
            for fault in faults.iter() {
                let spans = fault.secondary.iter().map(|label| label.span);
                for span in spans.chain([fault.primary.span]) {
                    prop_assert!(
                        text.get(span.range()).is_some(),
                        "{:?} is not in {:?}",
                        fault,
                        text
                    );
                }
            }
        }
    }
    Ok(())
}

/// Runs on a thread with the stack that Rust gives to threads by default.
fn on_default_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run);
    thread.expect("a thread starts").join().expect("the thread does not panic");
}

fn codes(text: &str) -> Vec<Code> {
    let faults = syntax::parse(&source(text)).expect_err("nests too deep");
    faults.iter().map(|fault| fault.code).collect()
}

#[test]
fn deep_nesting_is_one_diagnostic() {
    let wrap = |open: &str, close: &str, n: usize| {
        format!("op f(x) = {}x{}", open.repeat(n), close.repeat(n))
    };
    let cases = [
        wrap("(", ")", 10_000),
        wrap("(", "", 10_000),
        wrap("relu(", ")", 10_000),
        wrap("?{", "}", 10_000),
        wrap("f<(", ")>", 10_000),
        wrap("f<?{", "}>", 10_000),
        wrap("[", "]", 10_000),
        format!("op f(x) = x{}", " |> relu".repeat(100_000)),
        format!("op f(x) = x{}", " + x".repeat(100_000)),
        format!("op f(x) = x{}", " * x".repeat(100_000)),
        format!("op f(x) = x{}", " ?{+} x".repeat(40_000)),
        format!("op f(x) {{ require {} first x }}", "not ".repeat(100_000)),
        format!("op f(x) {{ require first{} x }}", " and first".repeat(100_000)),
        format!("op f(x) {{ require 1{} == 2 x }}", " - 1".repeat(100_000)),
        format!("op f<k = {} first>(x) = x", "not ".repeat(100_000)),
        format!("net f<N, F> {{ stem a{} }}", " |> a".repeat(100_000)),
    ];
    for case in cases {
        on_default_stack(move || {
            assert_eq!(codes(&case), [Code::TooLarge], "{}", &case[..80]);
        });
    }
}

#[test]
fn the_deepest_nesting_that_is_allowed_works() {
    // The braces of the operation are one level, as is the innermost name.
    let deepest = 63;
    for (open, close) in [("(", ")"), ("relu(", ")"), ("(x |> f + ", ")"), ("f<1>(x + ", ")")] {
        let text = |n| format!("op f(x) = {}x{}", open.repeat(n), close.repeat(n));
        on_default_stack(move || {
            for n in 1..=deepest {
                let Ok(file) = syntax::parse(&source(&text(n))) else { continue };
                assert_eq!(erase::spans(parse(&syntax::print(&file))), erase::spans(file));
            }
        });
    }
    on_default_stack(move || {
        let value = format!("{}x{}", "(".repeat(deepest), ")".repeat(deepest));
        let printed = syntax::print(&parse(&format!("op f(x) = {value}")));
        assert_eq!(printed, format!("op f(x) =\n    {value}\n"));
    });
}

#[test]
fn hostile_text_takes_linear_time() {
    // As large as a source file may be, and as many tokens as are parsed at all.
    let full = |piece: &str| piece.repeat((4 << 20) / piece.len());
    let most = |piece: &str, n_tokens: usize| piece.repeat((1 << 20) / n_tokens - 20);
    let cases = [
        full("("),
        full("op "),
        full("op f(x) = x\n"),
        full("é"),
        full("\""),
        full("// comment\n"),
        full("\n"),
        full("a"),
        full("9"),
        format!("op f(x) = x /{}", full("/")),
        most("op f(x) = x\n", 7),
        most("op f(x) = \n", 6),
        format!("op f(x) = {}", most("x + ", 2)),
        format!("op f(x) = f({}", most("x, ", 2)),
        format!("op f(x) = ?{{{}", most("x, ", 2)),
        format!("op f(x) = f<{}", most("k = 1, ", 4)),
        format!("cell f(x) {{ {} }}", most("a = b\n", 3)),
        format!("cell f(x) {{ {}", most("a = sep<3>(b) + c |> relu\n", 13)),
        format!("op f(x) {{ {}", most("x ", 1)),
        format!("op f(x) {{ {}", most("x(", 2).replacen('(', "", 1)),
        format!("space s {{ {}", most("a = { b }\n", 5)),
        format!("net n<N, F> {{ stack {}", most("N * a * 2, ", 6)),
        format!("cell f(h) {{\n{}}}\n", "a = x x\n".repeat(1500)).repeat(40),
        format!("op f(x) = {} x", most("(x + (x + (x + (x))) + ", 15)),
        most("op f(x) = x |> conv<k + 1 * (2 - c), 3>\n", 21),
        format!("op f<{}>(x) = x", most("k = 1, ", 4)),
        format!("op f(x) = f({}x)", most(&format!("{}x{}, ", "(".repeat(60), ")".repeat(60)), 122)),
    ];
    for case in cases {
        let start = std::time::Instant::now();
        let _ = syntax::parse(&source(&case));
        let seconds = start.elapsed().as_secs_f64();
        // Generous: other tests share the machine, and this is a debug build.
        assert!(seconds < 20.0, "{seconds} s for {:?}", &case[..20]);
    }
}
