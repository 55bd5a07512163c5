//! Documents as they are while somebody types: cut anywhere, with the cursor anywhere.

#![cfg(feature = "lsp")]

use std::fs;
use std::path::Path;
use std::str::FromStr;

use cellc::lsp::{self, Document};
use cellc::source::SourceFile;
use lsp_types::{Position, Uri};

/// Every `.cell` file below a folder, in order.
fn texts(folder: &Path, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "cell") {
            // Some files of the corpus are no UTF-8 on purpose.
            found.extend(fs::read_to_string(&path));
        }
    }
}

fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["cells", "tests/cells"] {
        texts(&root.join(folder), &mut found);
    }
    // The large ones are about limits, not about places.
    found.retain(|text| text.len() < 8 << 10);
    found
}

/// Asks everything about a position.
fn ask(document: &Document, position: Position) {
    let hover = lsp::hover(document, position);
    if let Some(range) = hover.and_then(|hover| hover.range) {
        assert!(range.start <= position && position <= range.end, "{range:?} {position:?}");
    }
    lsp::completion(document, position);
    lsp::definition(document, position);
}

#[test]
fn every_place_of_every_file_of_the_corpus_has_answers() {
    let uri = Uri::from_str("file:///a.cell").expect("a URI");
    let corpus = corpus();
    assert!(corpus.len() > 100, "{}", corpus.len());
    for text in corpus {
        let document = Document::new(SourceFile::new("a.cell", text.as_str()), None);
        let faults = lsp::diagnostics(&document, &uri);
        assert_eq!(faults.len(), document.faults.len());
        for fault in faults {
            assert!(fault.range.start <= fault.range.end && !fault.message.is_empty());
        }
        for symbol in lsp::symbols(&document) {
            let (outer, inner) = (symbol.range, symbol.selection_range);
            assert!(outer.start <= inner.start && inner.end <= outer.end, "{symbol:?}");
        }
        document.format();
        for offset in (0..=text.len()).step_by(7) {
            ask(&document, document.lines.position(&text, offset));
        }
    }
}

#[test]
fn a_file_cut_anywhere_has_answers_at_its_end() {
    for text in corpus() {
        let whole = Document::new(SourceFile::new("a.cell", text.as_str()), None);
        for cut in (0..text.len()).step_by(17).filter(|&cut| text.is_char_boundary(cut)) {
            let source = SourceFile::new("a.cell", &text[..cut]);
            let document = Document::new(source, Some(&whole));
            ask(&document, document.lines.position(&text[..cut], cut));
            lsp::symbols(&document);
        }
    }
}
