//! Files written to break the compiler: each gets a diagnostic, or is fine; none panics, overflows a
//! small stack, or makes the compiler work without bound.

use cellc::compile::{self, Fault, Request};
use cellc::diagnostic::render::{Style, render};
use cellc::source::SourceFile;

/// Checks a text, and lowers it at a small scale if it is fine, on a stack of 2 MiB. Gives the code of the
/// first fault.
fn first_code(text: String) -> Option<String> {
    let run = move || {
        let source = SourceFile::new("hostile.cell", text);
        let faults = match compile::check(&source) {
            Err(faults) => faults,
            Ok(module) => {
                let scale = "1@8".parse().expect("a scale");
                match compile::network(&module, &Request::new("cifar", scale)) {
                    Err(Fault::Cells(faults)) => faults,
                    Err(Fault::Request(_)) | Ok(_) => return None,
                }
            }
        };
        for style in [Style::Plain, Style::Ansi, Style::Short, Style::Json] {
            assert!(!render(&faults, &source, style).is_empty());
        }
        for fault in faults.iter() {
            let span = fault.primary.span;
            assert!(source.text.get(span.range()).is_some(), "{fault:?} lies outside of the text");
        }
        faults.iter().next().map(|fault| fault.code.to_string())
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread");
    thread.join().expect("no panic")
}

/// Definitions `line(1)` to `line(count)` between two texts.
fn chain(start: &str, count: usize, line: impl Fn(usize) -> String, end: &str) -> String {
    start.to_string() + &(1..=count).map(line).collect::<String>() + end
}

/// A cell `normal` of one block, and a reduction cell.
fn block(value: &str) -> String {
    format!(
        "cell normal(h) {{ a = {value} out concat(a) }}\n\
         cell reduction(h) stride 2 {{ a = max<3>(h) out concat(a) }}\n"
    )
}

/// A net with this stack over a cell, at a scale.
fn net(stack: &str, scale: &str) -> String {
    format!(
        "net n<N, F> {{ stem conv<3, out = base> |> bn stack {stack} head gap |> dense<classes> }}\n\
         cell normal(h) {{ a = squeeze(h) out concat(a) }}\nexpect n {scale} {{ params 1 }}\n"
    )
}

#[test]
fn every_file_gets_its_diagnostic() {
    let relu = "op o0(x) = x |> relu\n";
    let cases: Vec<(&str, String, Option<&str>)> = vec![
        (
            "a chain of 10,000 operations",
            chain(relu, 10_000, |i| format!("op o{i}(x) = o{}(x)\n", i - 1), &block("o10000(h)")),
            Some("E0102"),
        ),
        (
            "operations that double 46 times",
            chain(
                relu,
                46,
                |i| format!("op o{i}(x) = o{0}(x) + o{0}(x)\n", i - 1),
                &block("o46(h)"),
            ),
            Some("E0304"),
        ),
        (
            "operations that double through conditions",
            chain(
                relu,
                39,
                |i| {
                    format!(
                        "op o{i}(x) {{ y = o{0}(x) when channels(y) == 3 => y otherwise => o{0}(y) }}\n",
                        i - 1
                    )
                },
                &block("o39(h)"),
            ),
            Some("E0102"),
        ),
        (
            "numbers that square 60 times",
            chain(
                "op q<a0 = 3",
                60,
                |i| format!(", a{i} = a{0} * a{0}", i - 1),
                &format!(">(x) = x |> relu\n{}", block("q(h)")),
            ),
            Some("E0404"),
        ),
        (
            "option sets inside option sets",
            chain(
                "space s { s0 = { id, id, id, id }\n",
                11,
                |i| format!("s{i} = {{ ?s{0}, ?s{0}, ?s{0} }}\n", i - 1),
                "cell normal(h) { a = squeeze(h) b = ?s11(a) out concat(b) } }",
            ),
            Some("E0504"),
        ),
        (
            "10,000 nested brackets",
            block(&format!("{}h{}", "(".repeat(10_000), ")".repeat(10_000))),
            Some("E0102"),
        ),
        ("a kernel of 0", block("conv_bn<0>(h)"), Some("E0404")),
        ("a kernel of 99,999", block("conv_bn<99999>(h)"), Some("E0404")),
        ("a negative kernel", block("conv<1 - 2>(h)"), Some("E0404")),
        ("no channels", block("conv<1, out = 0>(h)"), Some("E0304")),
        ("2^40 channels", block("conv<1, out = 1099511627776>(h)"), Some("E0304")),
        ("division by zero", block("conv<1, out = c / 0>(h)"), Some("E0404")),
        ("a width that rounds down to nothing", block("conv<1, out = c / 100>(h)"), Some("E0304")),
        ("a cell that is itself", "cell a(h) = a".into(), Some("E0203")),
        ("cells that are each other", "cell a(h) = b\ncell b(h) = a".into(), Some("E0203")),
        ("a stack of 10^8 cells", net("(N * N * N * N) * normal", "100@4"), Some("E0606")),
        (
            "a width that multiplies without end",
            net(&vec!["normal * 64"; 30].join(", "), "1@4"),
            Some("E0304"),
        ),
        ("the largest scale", net("N * normal", "200@1048576"), Some("E0606")),
        (
            "operations of operations 40 times, and no node",
            chain(
                "op o0(x) = x\n",
                40,
                |i| format!("op o{i}(x) = o{0}(o{0}(x))\n", i - 1),
                &block("o40(h)"),
            ),
            Some("E0102"),
        ),
        (
            "conditions that double 40 times, and no node",
            chain(
                "op o0(x) = x\n",
                40,
                |i| {
                    format!(
                        "op o{i}(x) {{ y = o{0}(x) require channels(y) > 0 when first => o{0}(y) otherwise => o{0}(y) }}\n",
                        i - 1
                    )
                },
                &block("o40(h)"),
            ),
            Some("E0102"),
        ),
        (
            "pipelines inside pipelines",
            {
                let stages = " |> relu".repeat(255);
                block(&(0..60).fold("h".to_string(), |inner, _| format!("({inner}{stages})")))
            },
            Some("E0102"),
        ),
        (
            "pipelines inside pipelines inside operations",
            chain(
                relu,
                150,
                |i| format!("op o{i}(x) = x{} |> o{}\n", " |> relu".repeat(200), i - 1),
                &block("o150(h)"),
            ),
            None,
        ),
        (
            "brackets inside operations",
            chain(
                relu,
                150,
                |i| {
                    let (open, close) = ("concat(x, ".repeat(60), ")".repeat(60));
                    format!("op o{i}(x) = {open}o{}(x){close}\n", i - 1)
                },
                &block("o150(h)"),
            ),
            Some("E0102"),
        ),
        (
            "channels that double 64 times",
            chain(
                "op o0(x) = concat(x, x)\n",
                5,
                |i| format!("op o{i}(x) = x |> o{0} |> o{0}\n", i - 1),
                &block("h |> o5 |> o5"),
            ),
            Some("E0304"),
        ),
        ("an attribute of every sign", block("conv<1, out = (3 - 10) / 2 + 5>(h)"), None),
        ("a kernel of pairs of nothing", block("conv<0x3>(h)"), Some("E0404")),
        ("a pool that strides over the map", block("maxpool<2, s = 63>(h)"), None),
        ("a window larger than the map", block("avgpool<63, pad = valid>(h)"), Some("E0302")),
        ("a dense layer on a map", block("dense<3>(h)"), Some("E0303")),
        ("a stack of nothing", net("0 * normal", "1@12"), Some("E0601")),
        ("a stack of fewer than nothing", net("(N - 5) * normal", "1@12"), Some("E0606")),
        ("a stack of 10,000 cells", net("10000 * normal", "1@4"), Some("E0601")),
        ("a stack of N times N cells", net("(N * N) * normal", "20@4"), Some("E0601")),
        (
            "a stem of one pixel and a head of everything",
            "net n<N, F> { input 1x1x1 stem conv<63, s = 63, out = base> |> maxpool<9, s = 9>
                 stack N * normal head concat |> shift |> relu |> dense<classes> }
             cell normal(h, prev) stride 8 { a = squeeze(h) b = squeeze(prev) out concat(a + b) }"
                .into(),
            Some("E0301"),
        ),
        (
            "images of four billion pixels",
            net("N * normal", "1@4").replace("{ stem", "{ input 65536x65536x65536 stem"),
            Some("E0304"),
        ),
        (
            "cells that are each the last one",
            chain(
                "cell c0(h) { a = squeeze(h) out a }\n",
                20_000,
                |i| format!("cell c{i}(h) = c{}\n", i - 1),
                "",
            ),
            Some("E0102"),
        ),
        (
            "20,000 cells of 250 blocks",
            chain(
                "space s { cell c0(h) { a = squeeze(h) repeat 250 as n { ?{ id, relu }(?earlier) } out a }\n",
                20_000,
                |i| format!("cell c{i}(h) = c0\n"),
                "}",
            ),
            Some("E0102"),
        ),
        (
            "a set of 1,000 options in 250 blocks of four cells",
            format!(
                "space s {{ ops = {{ {} }}
                     cell a(h) {{ x = squeeze(h) repeat 250 as n {{ ?ops(x) }} out concat(unused) }}
                     cell b(h) = a cell c(h) = a cell d(h) = a }}",
                vec!["id"; 1000].join(", ")
            ),
            Some("E0102"),
        ),
        (
            "20,000 cells that are one of 20,000 operands",
            chain(
                &format!("cell c(h) {{ a = concat({}h) out a }}\n", "h, ".repeat(20_000)),
                20_000,
                |i| format!("cell c{i}(h) = c\n"),
                "",
            ),
            Some("E0102"),
        ),
        (
            "a block of 100,000 operands 255 times",
            format!(
                "cell c(h) {{ repeat 255 as n {{ concat({}h) }} out n1 }}\n",
                "h, ".repeat(100_000)
            ),
            Some("E0102"),
        ),
        (
            "an option of 600 bytes taken 5,000 times",
            format!(
                "space s {{ ops = {{ conv<1, out = {}>, id }}
                     cell normal(h) {{ {} out b }} }}",
                ["(c + c)"; 60].join(" - "),
                format!("b = concat({}h)\n", "?ops(h), ".repeat(500)).repeat(10)
            ),
            Some("E0102"),
        ),
        (
            "100,000 constants, each the one before",
            chain("let k0 = 1\n", 100_000, |i| format!("let k{i} = k{}\n", i - 1), &block("id(h)")),
            None,
        ),
        (
            "20,000 constants and as many cells",
            chain(
                "",
                20_000,
                |i| format!("let k{i} = {i} cell c{i}(h) {{ a = id(h) out a }}\n"),
                "",
            ),
            Some("E0201"),
        ),
        (
            "10,000 cells and as many nets",
            chain(
                "cell normal(h) { a = squeeze(h) out a }\ncell reduction(h) { a = squeeze(h) out a }\n",
                10_000,
                |i| {
                    format!(
                        "cell c{i}(h) {{ a = id(h) out concat(unused) }}
                         net n{i}<N, F> {{ stem conv<3, out = base> stack N * c{i} head gap |> dense<classes> }}\n"
                    )
                },
                "",
            ),
            None,
        ),
        (
            "20,000 nets that give one cell 20,000 attributes",
            chain(
                "cell normal<k>(h) { a = conv<1, out = k * c>(h) out a }\n",
                20_000,
                |i| {
                    format!(
                        "net n{i}<N, F> {{ stem bn stack normal<{i} - {i} + 1> head gap |> dense<classes> }}\n"
                    )
                },
                "",
            ),
            Some("E0402"),
        ),
        ("4 MiB of tokens", "(".repeat(4 << 20), Some("E0102")),
        (
            "20,000 operations of one name",
            chain("", 20_000, |_| "op o(x) = x\n".into(), ""),
            Some("E0202"),
        ),
        (
            "20,000 nets over 20 blocks",
            chain(
                "cell normal(h) { x = squeeze(h) repeat 20 as n { sep<3>(x) } out concat(unused) }\n",
                5_000,
                |i| {
                    format!(
                        "net n{i}<N, F> {{ stem conv<3, out = base> stack N * normal head gap |> dense<classes> }}\n"
                    )
                },
                "",
            ),
            Some("E0201"),
        ),
        (
            "1,000 claims about large nets",
            chain(
                &net("10000 * normal", "1@4"),
                1_000,
                |_| "expect n 1@4 { params 1 }\n".into(),
                "",
            ),
            Some("E0601"),
        ),
        (
            "1,000 claims about large nets that no width meets",
            chain(
                &net("10000 * normal", "1@4").replace("concat(a)", "concat(a, a)"),
                1_000,
                |_| "expect n 1@7 { params 1 }\n".into(),
                "",
            ),
            Some("E0601"),
        ),
        ("an empty file, for want of cells", String::new(), Some("E0201")),
        ("a file of blanks", " ".repeat(1 << 20), Some("E0201")),
        ("bytes of no language", "\u{0}\u{7f}\u{feff}∀x".repeat(100), Some("E0101")),
    ];
    let mut failures = Vec::new();
    for (what, text, expected) in cases {
        let found = first_code(text);
        if found.as_deref() != expected {
            failures.push(format!("{what}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_wide_space_is_checked_in_bounded_work() {
    let text = "space s {
        ops = { id, sep<3>, sep<5>, avg<3>, max<3> }
        cell normal(h, prev) {
            a = squeeze(h) b = fit(prev)
            repeat 250 as n { ?ops(?earlier) ?{ +, concat } ?ops(?earlier) }
            out concat(unused)
        }
        cell reduction(h, prev) stride 2 = normal
    }";
    assert_eq!(first_code(text.into()), None);
}

#[test]
fn a_fault_in_the_last_of_many_cells_is_found() {
    let cell = |name: &str, last: &str| {
        format!(
            "cell {name}(h, prev) {{
                 a = squeeze(h) b = fit(prev)
                 n1 = sep<5>(a) + sep<3>(b)  n2 = sep<7>(a) + sep<3>(b)  n3 = avg<3>(a) + b
                 n4 = avg<3>(b) + max<3>(n3) n5 = sep<3>(n1) + {last}
                 out concat(unused)
             }}\n"
        )
    };
    let many = chain("", 3_000, |i| cell(&format!("c{i}"), "a"), "");
    assert_eq!(
        first_code(many.clone() + &cell("last", "maxpool<2, s = 2>(a)")),
        Some("E0301".into())
    );
    assert_eq!(first_code(many), Some("E0201".into()));
}

#[test]
fn thousands_of_unknown_names_are_told_and_only_the_first_get_help() {
    let text = chain("", 3_000, |i| format!("op sharpen{i}(x) = x |> sharpem{i}\n"), "");
    let source = SourceFile::new("unknown.cell", text);
    let faults = compile::check(&source).expect_err("no name is known");
    let helped = faults.iter().filter(|fault| !fault.help.is_empty()).count();
    assert_eq!((faults.count(), helped), (3_000, 200));
    assert!(faults.iter().take(200).all(|fault| !fault.help.is_empty()));
}

#[test]
fn a_block_may_be_called_unused() {
    let text = "cell normal(h) { unused = squeeze(h) out concat(unused) }
        cell reduction(h) stride 2 { a = max<3>(h) out concat(a) }";
    assert_eq!(first_code(text.into()), None);
}
