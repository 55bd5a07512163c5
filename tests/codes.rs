//! Every code is explained, and its examples show what they are meant to.

use cellc::compile;
use cellc::diagnostic::Code;
use cellc::source::{Folders, SourceFile};
use cellc::syntax;

/// Codes that a file beside those in `tests/cells/used` raises.
fn codes(text: &str) -> Vec<Code> {
    match compile::check_with(&SourceFile::new("tests/cells/used/example.cell", text), &Folders) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| fault.code).collect(),
    }
}

/// The wrong and the right example of an explanation.
fn examples(code: Code) -> [&'static str; 2] {
    let mut blocks = code.explanation().split("```cell\n").skip(1).map(|block| {
        let (example, _) = block.split_once("```").expect("a fenced block ends");
        example
    });
    let examples = [blocks.next(), blocks.next()];
    assert!(blocks.next().is_none(), "{code} has more than two examples");
    examples.map(|example| example.expect("an explanation has two examples"))
}

#[test]
fn every_code_has_a_number_a_title_and_an_explanation() {
    for pair in Code::ALL.windows(2) {
        assert!(pair[0].as_str() < pair[1].as_str(), "{} {}", pair[0], pair[1]);
        assert!(pair[0] < pair[1]);
    }
    for &code in Code::ALL {
        let number = code.as_str();
        assert!(number.len() == 5 && number.starts_with('E'), "{number}");
        assert_eq!(number.parse(), Ok(code));
        assert_eq!(number.to_lowercase().parse(), Ok(code));
        assert!(!code.title().is_empty() && !code.title().ends_with('.'), "{number}");
        let explanation = code.explanation();
        let (rule, examples) = explanation.split_once("\n\nWrong:\n\n").expect("a wrong example");
        assert!(rule.ends_with('.') && rule.len() > 20, "{number}: {rule}");
        assert!(examples.contains("```\n\nRight:\n\n```"), "{number}: {examples}");
        assert!(explanation.lines().all(|line| line.len() <= 100), "{number}");
    }
    assert!("E9999".parse::<Code>().is_err());
    assert!("".parse::<Code>().is_err());
}

#[test]
fn wrong_examples_break_their_rule_and_right_ones_break_none() {
    let mut failures = Vec::new();
    for &code in Code::ALL {
        let [wrong, right] = examples(code).map(codes);
        if !right.is_empty() {
            failures.push(format!("{code}: the right example raises {right:?}"));
        }
        if wrong.is_empty() || wrong.iter().any(|&found| found != code) {
            failures.push(format!("{code}: the wrong example raises {wrong:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn examples_are_formatted() {
    for &code in Code::ALL {
        for example in examples(code) {
            if let Ok(formatted) = syntax::format(&SourceFile::new("example.cell", example)) {
                assert_eq!(formatted, example, "{code}");
            }
        }
    }
}

/// Each code shows in the corpus.
#[test]
fn the_corpus_covers_every_code() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cells/invalid");
    let all: String = std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for &code in Code::ALL {
        assert!(all.contains(&format!(" {code} ")), "no file of the corpus raises {code}");
    }
}
