//! The NASNet space: its decisions, its size, and that a filled file is the network of its genotype.

use cellc::compile::{self, Request};
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::rng::{Purpose, stream};
use cellc::source::SourceFile;
use cellc::space::{self, Genotype, SearchSpace};
use cellc::syntax;

const SPACE: &str = "nasnet_space.cell";

fn checked(text: &str) -> (syntax::ast::File, Module) {
    let source = SourceFile::new("test.cell", text);
    let file = syntax::parse(&source).unwrap_or_else(|faults| panic!("{faults}"));
    let module = compile::check(&source).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    (file, module)
}

fn decisions(module: &Module) -> &SearchSpace {
    &module.space.as_ref().expect("a space").decisions
}

fn request(genotype: Option<Genotype>) -> Request {
    Request { width: Width::Base(4), genotype, ..Request::new("cifar", Scale { n: 1, f: 0 }) }
}

#[test]
fn nasnet_is_the_papers_fifty_decisions() {
    let (_, module) = checked(compile::embedded(SPACE).expect("in the library"));
    let space = decisions(&module);
    assert_eq!(space.decisions.len(), 2 * 5 * 5);
    // Section 3.1: for each block two inputs among b + 2 states, two of 13 operations, a combination.
    let options: Vec<usize> =
        space.decisions.iter().map(|decision| decision.options.len()).collect();
    let one_cell: Vec<usize> = (0..5).flat_map(|block| [block + 2, block + 2, 13, 13, 2]).collect();
    assert_eq!(options, [one_cell.clone(), one_cell].concat());
    // 720^2 x 13^10 x 2^5 for a cell, squared for the pair.
    let cell = 720f64.powi(2) * 13f64.powi(10) * 2f64.powi(5);
    assert!((space.size() / (cell * cell) - 1.0).abs() < 1e-12);
    assert_eq!(space.decisions[0].label, "normal.n1.input1");
    assert_eq!(space.decisions[26].options, ["a", "b"]);
    assert_eq!(space.decisions[2].options[10], "sep<3>");
    assert_eq!(space.decisions[4].options, ["+", "concat"]);
}

#[test]
fn a_filled_file_is_the_network_of_its_genotype() {
    let text = compile::embedded(SPACE).expect("in the library");
    let (file, module) = checked(text);
    for trial in 0..40 {
        let genotype = decisions(&module).sample(&mut stream(3, Purpose::Sample, trial));
        let written = syntax::print(&space::fill(&file, &module, &genotype));
        let (_, alone) = checked(&written);
        assert!(alone.space.is_none(), "no hole is left\n{written}");
        let from_space =
            compile::network(&module, &request(Some(genotype.clone()))).expect("builds");
        let from_file = compile::network(&alone, &request(None)).expect("builds");
        assert!(
            from_space.graph == from_file.graph,
            "trial {trial}: the networks differ\n{written}"
        );
        assert_eq!(
            compile::architecture_id(&module, "cifar", Some(&genotype)).expect("has an id"),
            compile::architecture_id(&alone, "cifar", None).expect("has an id"),
        );
        let formatted =
            syntax::format(&SourceFile::new("written", written.as_str())).expect("parses");
        assert_eq!(formatted, written, "emitted files are formatted");
    }
}

#[test]
fn nested_holes_are_decided_after_their_option_and_only_then() {
    let text = "space nested {
        ops = { id, max<?{3, 5, 7}>, ?{ sep<3>, sep<?{5, 7}> } }
        cell normal(h, prev) {
            a = squeeze(h)
            n1 = ?ops(a) + a
            out concat(a, n1)
        }
        cell reduction(h, prev) stride 2 = normal
    }";
    let (file, module) = checked(text);
    let space = decisions(&module);
    let shape: Vec<(usize, Option<(usize, usize)>)> =
        space.decisions.iter().map(|decision| (decision.options.len(), decision.when)).collect();
    let cell = [(3, None), (3, Some((0, 1))), (2, Some((0, 2))), (2, Some((2, 1)))];
    assert_eq!(shape[..4], cell);
    // One cell: id, three pools, sep<3>, two wider ones.
    assert_eq!(space.size(), 7.0 * 7.0);
    let genotype = Genotype { choices: vec![2, 0, 1, 1, 1, 2, 0, 0] };
    assert!(space.contains(&genotype));
    let written = syntax::print(&space::fill(&file, &module, &genotype));
    assert!(written.contains("n1 = sep<7>(a) + a"), "{written}");
    assert!(written.contains("n1 = max<7>(a) + a"), "{written}");
}

#[test]
fn the_id_knows_the_network_not_the_text() {
    let id = |text: &str| {
        let (_, module) = checked(text);
        compile::architecture_id(&module, "cifar", None).expect("has an id")
    };
    let reduction = "cell reduction(h, prev) stride 2 { a = squeeze(h) r = max<3>(a) + sep<3>(a) out concat(r) }";
    let of = |normal: &str| id(&format!("cell normal(h, prev) {{ {normal} }}\n{reduction}"));
    let plain = of(
        "a = squeeze(h) b = fit(prev) x = sep<3>(a) + avg<3>(b) y = sep<5>(a) + b out concat(x, y)",
    );
    let same = [
        // renamed
        "u = squeeze(h) v = fit(prev) p = sep<3>(u) + avg<3>(v) q = sep<5>(u) + v out concat(p, q)",
        // operands swapped
        "a = squeeze(h) b = fit(prev) x = avg<3>(b) + sep<3>(a) y = b + sep<5>(a) out concat(x, y)",
        // blocks and outputs reordered
        "b = fit(prev) a = squeeze(h) y = sep<5>(a) + b x = sep<3>(a) + avg<3>(b) out concat(y, x)",
        // a block nobody reads
        "a = squeeze(h) b = fit(prev) x = sep<3>(a) + avg<3>(b) z = sep<7>(x) y = sep<5>(a) + b out concat(x, y)",
    ];
    for text in same {
        assert_eq!(of(text), plain, "{text}");
    }
    let different = [
        "a = squeeze(h) b = fit(prev) x = sep<3>(a) + max<3>(b) y = sep<5>(a) + b out concat(x, y)",
        "a = squeeze(h) b = fit(prev) x = sep<3>(b) + avg<3>(a) y = sep<5>(a) + b out concat(x, y)",
        "a = squeeze(h) b = fit(prev) x = sep<3>(a) + avg<3>(b) y = sep<5>(x) + b out concat(x, y)",
        "a = squeeze(h) b = fit(prev) x = sep<3>(a) + avg<3>(b) y = sep<5>(a) + b out concat(x, y, a)",
    ];
    for text in different {
        assert_ne!(of(text), plain, "{text}");
    }
    // Shared weights are not the same as equal operations.
    let shared = of("a = squeeze(h) x = sep<3>(a) y = avg<3>(x) + max<3>(x) out concat(y)");
    let twice =
        of("a = squeeze(h) x = sep<3>(a) z = sep<3>(a) y = avg<3>(x) + max<3>(z) out concat(y)");
    assert_ne!(shared, twice);
}
