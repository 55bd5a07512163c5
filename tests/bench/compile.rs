//! How long it takes to parse and check files of 1 MB and those of the library, and to build a child of a
//! search.
//!
//! `cargo bench --bench compile` prints a line for each, the best of several runs; a word after `--` picks
//! the lines it is part of. Nothing is asserted: the numbers are the machine's as much as the compiler's.

#![allow(clippy::print_stdout, reason = "a benchmark shows its result")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use cellc::compile::{self, Request};
use cellc::graph::lower::{Scale, Width};
use cellc::link;
use cellc::rng::{Purpose, stream};
use cellc::source::{Library, SourceFile};
use cellc::syntax;

/// What a generated file is full of, and what writes it.
type Generated = (&'static str, fn() -> String);

/// Size of the generated files.
const BYTES: usize = 1_000_000;

const RUNS: usize = 7;

fn main() {
    let word = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_picked = |what: &str| word.as_deref().is_none_or(|word| what.contains(word));
    println!("{:<24} {:>9} {:>9} {:>9}", "what", "bytes", "parse ms", "check ms");
    let generated: [Generated; 4] =
        [("cells", cells), ("operations", operations), ("nets", nets), ("one space", space)];
    for (what, text) in generated.into_iter().filter(|(what, _)| is_picked(what)) {
        file(what, &SourceFile::new("generated.cell", text()));
    }
    for (name, text) in compile::EMBEDDED.into_iter().filter(|(name, _)| is_picked(name)) {
        file(name, &SourceFile::new(name, text));
    }
    if is_picked("child at 2@768") {
        child();
    }
}

/// Prints a line for a file.
fn file(what: &str, source: &SourceFile) {
    let (parse, tree) = best(|| syntax::parse(source).expect("the file parses"));
    let (check, _) = best(|| link::check_parsed(source, &tree, &Library).expect("the file checks"));
    println!("{what:<24} {:>9} {parse:>9.2} {check:>9.2}", source.text.len());
}

/// Prints a line for drawing, lowering and simplifying points of the NASNet space.
fn child() {
    let text = compile::embedded("nasnet_space.cell").expect("the space is in the library");
    let module = compile::check(&SourceFile::new("nasnet_space.cell", text)).expect("it checks");
    let mut rng = stream(0, Purpose::Sample, 0);
    // The base width of NASNet-A at 2@768; F depends on how many blocks a drawn cell gives out.
    let request = Request { width: Width::Base(32), ..Request::new("cifar", Scale { n: 2, f: 0 }) };
    let (time, _) = best(|| {
        let genotype = Some(compile::sample(&module, &mut rng).expect("a point"));
        compile::network(&module, &Request { genotype, ..request.clone() }).expect("a network")
    });
    println!("{:<24} {:>9} {:>9} {time:>9.2}", "child at 2@768", "", "");
}

/// Milliseconds of the fastest run, and what the last one gave.
fn best<T>(run: impl FnMut() -> T) -> (f64, T) {
    let mut run = run;
    let mut fastest = f64::INFINITY;
    let mut timed = || {
        let start = Instant::now();
        let result = black_box(run());
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
        result
    };
    let results = (0..RUNS).map(|_| timed());
    let last = results.last().expect("at least one run");
    (fastest, last)
}

/// Digits that look drawn and are the same each time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, count: usize) -> usize {
        // Knuth's MMIX generator; the high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }

    fn of<'t>(&mut self, words: &[&'t str]) -> &'t str {
        words[self.below(words.len())]
    }
}

/// `start`, then numbered definitions until the text has its size.
fn filled(start: &str, mut definition: impl FnMut(&mut String, usize)) -> String {
    let mut text = start.to_owned();
    for number in 0.. {
        if text.len() >= BYTES {
            break;
        }
        definition(&mut text, number);
    }
    text
}

const OPS: [&str; 8] =
    ["id", "sep<3>", "sep<5>", "sep<7>", "avg<3>", "max<3>", "dil<3>", "factorized<7>"];

/// What every net of the prelude needs.
const PLAIN: &str = "cell normal(h, prev) { a = squeeze(h) b = fit(prev) out concat(a, b) }\n\
     cell reduction(h, prev) stride 2 { a = max<3>(h) b = fit(prev) out concat(a, b) }\n";

/// Cells of the size of NASNet-A's, each another one.
fn cells() -> String {
    let mut draws = Draws(1);
    filled("", |text, number| {
        let stride = if number % 2 == 0 { "" } else { " stride 2" };
        let _ = write!(
            text,
            "cell c{number}(h, prev){stride} {{\n    a = squeeze(h)\n    b = fit(prev)\n"
        );
        let mut names = vec!["a".to_owned(), "b".to_owned()];
        for block in 1..=5 {
            let [left, right] = [0, 1].map(|_| draws.below(names.len()));
            let [first, second] = [0, 1].map(|_| draws.of(&OPS));
            let _ = writeln!(
                text,
                "    n{block} = {first}({}) + {second}({})",
                names[left], names[right]
            );
            names.push(format!("n{block}"));
        }
        text.push_str("    out concat(unused)\n}\n\n");
    })
}

/// Operations as the prelude writes them, each using the one before.
fn operations() -> String {
    let mut draws = Draws(2);
    filled(PLAIN, |text, number| {
        let kernel = draws.of(&["3", "5", "7"]);
        let other = number - usize::from(number % 8 != 0);
        let inner = if other == number { "relu".to_owned() } else { format!("o{other}<k>") };
        let _ = write!(
            text,
            "op o{number}<k = {kernel}, s = stride>(x) {{\n    require odd(k) : \"the kernel is odd, got {{k}}\"\n    \
             y = x |> {inner} |> dwconv<k, s = 1> |> conv<1> |> bn\n    \
             when s == 1 and channels(x) == c => x + y\n    \
             otherwise => y |> relu |> dwconv<k> |> conv<1, out = 2 * c / 2> |> bn\n}}\n\n"
        );
    })
}

/// Skeletons over two cells.
fn nets() -> String {
    let mut draws = Draws(3);
    filled(PLAIN, |text, number| {
        let width = draws.of(&["base", "3 * base", "3 * base / 2"]);
        let stage = draws.of(&["N * normal", "(N + 1) * normal", "2 * normal"]);
        let _ = write!(
            text,
            "net n{number}<N, F> {{\n    input 32x32x3\n    classes 10\n    \
             stem conv<3, out = {width}> |> bn\n    \
             stack {stage}, reduction * 2, {stage}, reduction * 2, {stage}\n    \
             head relu |> gap |> dropout |> dense<classes>\n}}\n\n"
        );
    })
}

/// A space whose holes have many options.
fn space() -> String {
    let mut draws = Draws(4);
    let text = filled("space s {\n", |text, number| {
        let name = match number {
            0 => "normal".to_owned(),
            1 => "reduction".to_owned(),
            _ => format!("c{number}"),
        };
        let stride = if number % 2 == 0 { "" } else { " stride 2" };
        let _ = write!(
            text,
            "    cell {name}(h, prev){stride} {{\n        a = squeeze(h)\n        b = fit(prev)\n"
        );
        for block in 1..=20 {
            let mut hole = || {
                let options: Vec<&str> = (0..64).map(|_| draws.of(&OPS)).collect();
                format!("?{{ {} }}(?earlier)", options.join(", "))
            };
            let (left, right) = (hole(), hole());
            let _ = writeln!(text, "        n{block} = {left}\n          + {right}");
        }
        text.push_str("        out concat(unused)\n    }\n\n");
    });
    text + "}\n"
}
