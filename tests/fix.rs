//! Fixes: over the whole corpus, before and after, and through the program.

use std::fs;
use std::path::{Path, PathBuf};

use cellc::diagnostic::{Code, Diagnostic, Diagnostics, Stage};
use cellc::fix::{Fixed, applicable, fix};
use cellc::rng::{Purpose, stream};
use cellc::source::{Folders, Library, SourceFile};
use cellc::syntax;
use rand::Rng;

/// The invalid files of the corpus, each under its path, so that it finds the files it uses.
fn corpus() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cells/invalid");
    let mut paths: Vec<PathBuf> = fs::read_dir(root)
        .expect("the corpus")
        .flat_map(|folder| fs::read_dir(folder.expect("listed").path()).expect("a folder"))
        .map(|entry| entry.expect("listed").path())
        .collect();
    paths.sort();
    assert!(paths.len() > 100, "the corpus is missing");
    paths.iter().map(|path| SourceFile::read(path).expect("readable")).collect()
}

fn fixed(text: &str) -> Fixed {
    fix(&SourceFile::new("mine.cell", text), &Library)
}

fn left(fixed: &Fixed) -> Vec<&Diagnostic> {
    fixed.outcome.as_ref().err().into_iter().flat_map(|faults| faults.iter()).collect()
}

/// The text before with the fixed places replaced and nothing else.
fn replaced(before: &str, after: &Fixed) -> String {
    let mut text = String::new();
    let mut at = 0;
    for fix in &after.applied {
        text += before.get(at..fix.span.start).expect("fixes are in order and do not overlap");
        text += &fix.with;
        at = fix.span.end;
    }
    text + &before[at..]
}

/// Fixes leave fewer faults or those of a later stage, none that they could have fixed, and what they did
/// is done once.
#[test]
fn the_corpus_gets_better() {
    let mut failures = Vec::new();
    let mut codes: Vec<Code> = Vec::new();
    for source in corpus() {
        let before = cellc::compile::check_with(&source, &Folders).expect_err("it is invalid");
        let offered: Vec<Code> =
            before.iter().filter(|fault| applicable(fault).is_some()).map(|f| f.code).collect();
        let after = fix(&source, &Folders);
        let mut fail = |what: &str| failures.push(format!("{}: {what}", source.name));
        if offered.is_empty() != after.applied.is_empty() {
            fail(&format!("offers {offered:?}, applies {:?}", after.applied));
        }
        if offered.is_empty() {
            if after.source != source {
                fail("changes without a fix");
            }
            continue;
        }
        codes.extend(&offered);
        if !after.refused.is_empty() {
            fail(&format!("refuses {:?}", after.refused));
        }
        if left(&after).iter().any(|fault| applicable(fault).is_some()) {
            fail("what is left could be fixed");
        }
        let progress = |stage: Stage, count: usize| (std::cmp::Reverse(stage), count);
        if let Err(faults) = &after.outcome
            && progress(faults.stage(), faults.count()) >= progress(before.stage(), before.count())
        {
            fail(&format!("{} faults are left of {}", faults.count(), before.count()));
        }
        if replaced(&source.text, &after) != after.source.text {
            fail("more changes than is told");
        }
        let again = fix(&after.source, &Folders);
        if again.source != after.source || !again.applied.is_empty() {
            fail("fixing twice differs");
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for &code in Code::ALL {
        assert_eq!(codes.contains(&code), code.is_fixable(), "{code}: is_fixable and the corpus");
    }
}

/// Each fix of the corpus alone: before and after, with its surroundings.
#[test]
fn before_and_after() {
    let cases = [
        ("names", "cell normal(h) {\n    a = squeze(h) // once\n    out concat(a)\n}\n"),
        (
            "symbols",
            "op f<k>(x) {\n    require !odd(k)&&k>1;\n    when odd(k) = x\n    when k = 2 => x |> relu\n    otherwise x |> bn\n}\n",
        ),
        (
            "brackets",
            "cell normal(h) {\n    a = sep<5(h)\n    b = sep(3)(a))\n    c1 = sep <3> (b)\n    out concat(a, b, c1)\n",
        ),
        ("characters", "op f(x) = x |> conv<1×3> |> bn\u{200B}\nop g(x) = f(x) ⊕ x\n"),
        (
            "text",
            "use \"nasnet_a.cell\nuse \"nasnet_a.cell\"\nop f<k>(x) {\n    require 1 < k < 9 : \"{k} is not between\n    x |> conv<k, k = k>\n}\n",
        ),
        ("inputs", "cell a(h, prev) {\n    out sep<3>(h) + fit(prev)\n}\ncell b(x, y) = a\n"),
        ("claims", "use \"nasnet_a.cell\"\nexpect cifar 6 @ 768 { param: 3_346_538 }\n"),
        (
            "later_stages",
            "op f(x) = x |> rellu |> conv<1, gruops = 7> |> bn;\ncell normal(h) {\n    out f(h)\n}\n",
        ),
    ];
    for (name, text) in cases {
        let after = fixed(text);
        let mut shown = format!("{text}-----\n{}-----\n", after.source.text);
        for (fixes, what) in [(&after.applied, "fixed"), (&after.refused, "refused")] {
            for fix in fixes {
                let (line, column) = SourceFile::new("", text).line_col(fix.span.start);
                shown += &format!("{line}:{column} {what} {}: {}\n", fix.code, fix.message);
            }
        }
        for fault in left(&after) {
            shown += &format!("left {}: {}\n", fault.code, fault.message);
        }
        insta::assert_snapshot!(name, shown);
    }
}

/// What may not be meant is offered and left alone.
#[test]
fn hints_are_not_applied() {
    for text in [
        "cell normal(h) {\n    a = gelu(h)\n    out a\n}\n",
        "cell normal(h) {\n    a = deconv<3>(h)\n    out a\n}\n",
        "cell normal(h) {\n    n1 = sep<3>(h)\n    out n2\n}\n",
        "op f(x) = x |> conv<3 × 3>\n",
        "use \"nasnet_b.cell\"\n",
        "cell normal(h) {\n    a = (h + sep<3>(h)\n    out a\n}\n",
        "cell normal(h) {\n    a = sep<3, 1, 1>(h)\n    out a\n}\n",
        "cell normal(h) {\n    a = sep<3, k = 5>(h)\n    out a\n}\n",
    ] {
        let after = fixed(text);
        assert_eq!(after.source.text, text);
        assert!(after.applied.is_empty() && after.refused.is_empty(), "{text}");
        assert!(!left(&after).is_empty(), "{text}");
    }
    let claimed = "use \"nasnet_a.cell\"\nexpect cifar 6@768 { params 1 }\n";
    assert_eq!(fixed(claimed).source.text, claimed);
}

/// A fix that makes nothing better is taken back, and the others of its round are kept.
#[test]
fn what_does_not_help_is_taken_back() {
    // The first `=` reads as `=>`, since no other follows before the next statement; but it was not that.
    let arm = "op f<k>(x) {\n    when k = 1 y = x => y\n}\n";
    let alone = fixed(arm);
    assert_eq!(alone.source.text, arm, "{:?}", alone.applied);
    let [refused] = alone.refused.as_slice() else { panic!("{:?}", alone.refused) };
    assert_eq!((refused.span.start, refused.with.as_str()), (arm.find('=').expect("one"), "=>"));
    assert_eq!(left(&alone).len(), 1);

    let text = format!("{arm}op g(x) = x |> relu;\n");
    let after = fixed(&text);
    assert_eq!(after.source.text, text.replace(';', ""));
    assert_eq!(after.applied.len(), 1);
    assert_eq!(after.refused.len(), 1);
}

/// More faults than are reported at once need more rounds, which all count.
#[test]
fn many_faults_of_an_item_take_several_rounds() {
    let line =
        |end: &str| (0..100).map(|n| format!("    a{n} = relu(h){end}\n")).collect::<String>();
    let text =
        |end: &str| format!("cell normal(h) {{\n{}    out concat(unused){end}\n}}\n", line(end));
    let after = fixed(&text(";"));
    assert_eq!(after.source.text, text(""));
    assert_eq!(after.applied.len(), 101);
    assert!(after.outcome.is_ok());
    // Places are those of the text as it was given.
    for (n, fix) in after.applied.iter().enumerate() {
        assert_eq!(text(";").match_indices(';').nth(n).map(|(at, _)| at), Some(fix.span.start));
    }
}

/// Line ends stay those of the file, and comments stay.
#[test]
fn line_ends_and_comments_are_kept() {
    let after = fixed("cell normal(h) {\r\n    out h // all\r\n");
    assert_eq!(after.source.text, "cell normal(h) {\r\n    out h\r\n} // all\r\n");
    let commented = "op f(x) {\n    otherwise // why\n        => x\n}\n";
    let after = fixed(commented);
    assert!(after.source.text.contains("// why"), "{}", after.source.text);
}

/// A text that is fixed, formatted and fixed again is stable.
#[test]
fn a_fixed_text_can_be_formatted() {
    for source in corpus() {
        let after = fix(&source, &Folders);
        if let Ok(formatted) = syntax::format(&after.source) {
            let again = fix(&SourceFile::new(source.name.as_str(), formatted.as_str()), &Folders);
            assert_eq!(again.source.text, formatted, "{}", source.name);
        }
    }
}

/// Small texts with a piece left out or written twice: whatever is fixed, the text is no worse for it.
#[test]
fn spoiled_texts_get_no_worse() {
    let cells = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cells/valid");
    let mut texts: Vec<String> = fs::read_dir(cells)
        .expect("the corpus")
        .map(|entry| entry.expect("listed").path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).expect("readable"))
        .collect();
    texts.sort();
    texts.extend(corpus().into_iter().map(|source| source.text));
    texts.retain(|text| text.is_ascii() && (1..2000).contains(&text.len()));
    assert!(texts.len() > 100, "the corpus is missing");
    let mut rng = stream(0, Purpose::Sample, 0);
    let mut n_fixed = 0;
    for text in &texts {
        for _ in 0..12 {
            let start = rng.gen_range(0..text.len());
            let end = (start + rng.gen_range(1..4)).min(text.len());
            let spoiled = match rng.gen_range(0..3) {
                0 => format!("{}{}", &text[..start], &text[end..]),
                1 => format!("{}{}", &text[..end], &text[start..]),
                _ => format!("{};{}", &text[..start], &text[start..]),
            };
            let source = SourceFile::new("mine.cell", spoiled.as_str());
            let progress = |outcome: Option<(Stage, usize)>| {
                outcome.map(|(stage, count)| (std::cmp::Reverse(stage), count))
            };
            let rank = |faults: Option<&Diagnostics>| {
                progress(faults.map(|faults| (faults.stage(), faults.count())))
            };
            let before = cellc::compile::check(&source);
            let after = fix(&source, &Library);
            let (was, is) = (rank(before.as_ref().err()), rank(after.outcome.as_ref().err()));
            if after.applied.is_empty() {
                assert_eq!(after.source.text, spoiled);
                assert_eq!(is, was);
            } else {
                n_fixed += 1;
                assert!(is < was, "{was:?} became {is:?}:\n{spoiled}");
            }
            let comments = |text: &str| text.matches("//").count();
            assert!(comments(&after.source.text) >= comments(&spoiled), "{spoiled}");
        }
    }
    assert!(n_fixed > 200, "{n_fixed} texts were fixed");
}
