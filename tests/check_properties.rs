//! Damaged versions of the library's files: whatever comes out, the compiler says so or builds it.

use cellc::compile::{self, Fault, Request};
use cellc::diagnostic::render::{Style, render};
use cellc::graph::TensorType;
use cellc::graph::lower::{Scale, Width};
use cellc::rng::{Purpose, stream};
use cellc::source::SourceFile;
use proptest::prelude::*;
use proptest::sample::Index;

/// What a token may be replaced by beside other tokens of the file.
const HOSTILE: [&str; 12] =
    ["0", "63", "64", "99999999999", "c", "stride", "first", "full", "?", "(", "1x7", "unused"];

/// Words, numbers and single marks; blanks go with the token before them.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let end = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let blanks = rest[end..].find(|c: char| !c.is_whitespace()).unwrap_or(rest.len() - end);
        tokens.push(&rest[..end + blanks]);
        rest = &rest[end + blanks..];
    }
    tokens
}

/// One change to a list of tokens.
#[derive(Clone, Debug)]
enum Change {
    Delete(Index),
    Duplicate(Index),
    Swap(Index, Index),
    Copy(Index, Index),
    Hostile(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Change::Delete),
        at().prop_map(Change::Duplicate),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        (at(), at()).prop_map(|(a, b)| Change::Copy(a, b)),
        (at(), at()).prop_map(|(a, b)| Change::Hostile(a, b)),
    ]
}

fn damaged(text: &str, changes: &[Change]) -> String {
    let mut tokens = tokens(text);
    for change in changes {
        let count = tokens.len();
        if count == 0 {
            break;
        }
        match change {
            Change::Delete(at) => {
                tokens.remove(at.index(count));
            }
            Change::Duplicate(at) => tokens.insert(at.index(count), tokens[at.index(count)]),
            Change::Swap(a, b) => tokens.swap(a.index(count), b.index(count)),
            Change::Copy(a, b) => tokens[a.index(count)] = tokens[b.index(count)],
            Change::Hostile(at, which) => {
                tokens[at.index(count)] = HOSTILE[which.index(HOSTILE.len())]
            }
        }
    }
    tokens.concat()
}

/// Checks, renders what is wrong, builds what is fine.
fn exercise(text: &str, seed: u64) {
    let source = SourceFile::new("damaged.cell", text);
    let report = |faults: &cellc::diagnostic::Diagnostics| {
        for fault in faults.iter() {
            let labels = fault.secondary.iter().chain([&fault.primary]);
            for label in labels {
                assert!(
                    text.get(label.span.range()).is_some(),
                    "{fault:?} lies outside of\n{text}"
                );
            }
            assert!(!fault.message.is_empty());
            // What is expected is the help of a syntax fault.
            let has_help = !fault.help.is_empty() || fault.code.as_str() < "E0200";
            assert!(has_help, "{fault:?} has no help");
        }
        for style in [Style::Plain, Style::Ansi, Style::Short, Style::Json] {
            assert!(!render(faults, &source, style).is_empty());
        }
    };
    let module = match compile::check(&source) {
        Ok(module) => module,
        Err(faults) => return report(&faults),
    };
    let genotype = module
        .space
        .as_ref()
        .map(|space| space.decisions.sample(&mut stream(seed, Purpose::Sample, 0)));
    for (channels, height, width) in [(1, 1, 1), (1, 8, 8), (3, 7, 5), (3, 32, 32)] {
        let request = Request {
            width: Width::Base(2),
            genotype: genotype.clone(),
            ..Request::new("cifar", Scale { n: 1, f: 0 })
        };
        let request = request.with_data(TensorType::new(channels, height, width), 10);
        match compile::network(&module, &request) {
            Ok(lowered) => lowered.graph.verify().expect("a simplified graph is sound"),
            Err(Fault::Cells(faults)) => report(&faults),
            Err(Fault::Request(error)) => panic!("{error} in\n{text}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_cells_are_refused_or_built(changes in prop::collection::vec(change(), 0..4), seed in any::<u64>()) {
        exercise(&damaged(compile::embedded("nasnet_a.cell").expect("in the library"), &changes), seed);
    }

    #[test]
    fn damaged_spaces_are_refused_or_built(changes in prop::collection::vec(change(), 0..3), seed in any::<u64>()) {
        exercise(&damaged(compile::embedded("nasnet_space.cell").expect("in the library"), &changes), seed);
    }

    #[test]
    fn damaged_preludes_are_refused_or_built(changes in prop::collection::vec(change(), 0..4), seed in any::<u64>()) {
        // With cells that use most of it.
        let all = compile::embedded("prelude.cell").expect("in the library").to_owned()
            + compile::embedded("cifar.cell").expect("in the library")
            + compile::embedded("nasnet_a.cell").expect("in the library");
        exercise(&damaged(&all, &changes), seed);
    }
}

#[test]
fn tokens_are_the_whole_text() {
    let text = compile::embedded("prelude.cell").expect("in the library");
    assert_eq!(tokens(text).concat(), text);
    assert!(tokens(text).len() > 300);
}
