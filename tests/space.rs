//! Spaces: their decisions in order, their size, how points are drawn, and that a filled file is the network
//! of its genotype.

use std::collections::BTreeSet;

use cellc::compile::{self, Request};
use cellc::graph::hash;
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::rng::{Purpose, stream};
use cellc::source::SourceFile;
use cellc::space::{self, Genotype, SearchSpace, When};
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

/// Written by its name `concat` adapts bare operands in its own way: in `out` without a relu, alone at all.
#[test]
fn a_chosen_concat_adapts_its_operands_as_the_hole_did() {
    for text in [
        "space s { cell normal(h, prev) { a = squeeze(h) p = fit(prev) out concat(a, p ?{ concat, + } (a)) } }",
        "space s { cell normal(h, prev) { a = squeeze(h) p = fit(prev) out ?{ concat, max2 }((p), a) } }",
        "space s { cell normal(h, prev) { p = fit(prev) a = ?{ concat, sep<3> }(h) out concat(a, p) } }",
        "space s { cell normal(h, prev) { p = fit(prev) a = p ?{ concat } h out concat(?{ concat, sep<3> }(a)) } }",
    ] {
        let text = format!(
            "op max2(x, y) = x + y {text} cell reduction(h, prev) stride 2 {{ out avg<3>(h) }}"
        );
        let (file, module) = checked(&text);
        let first = Genotype { choices: vec![0; decisions(&module).decisions.len()] };
        let written = syntax::print(&space::fill(&file, &module, &first));
        let (_, alone) = checked(&written);
        let of_space = compile::network(&module, &request(Some(first))).unwrap();
        let of_file = compile::network(&alone, &request(None)).unwrap();
        assert!(hash::canonical(&of_space.graph) == hash::canonical(&of_file.graph), "{written}");
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
    let shape: Vec<(usize, Option<(usize, usize)>)> = space
        .decisions
        .iter()
        .map(|decision| {
            let when = decision.when.as_ref().map(|when| (when.decision, when.options[0]));
            (decision.options.len(), when)
        })
        .collect();
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

/// Everything a space may hold: shared choices, constants of constants, an operation whose cases depend on
/// them, weights, nested holes, `repeat`, `?earlier`, combinations that are operations, a requirement.
const EVERYTHING: &str = include_str!("cells/valid/checked/space_of_everything.cell");

#[test]
fn decisions_are_labelled_and_ordered_as_documented() {
    let (_, module) = checked(EVERYTHING);
    let decisions = &decisions(&module).decisions;
    let labels: Vec<&str> = decisions.iter().map(|decision| decision.label.as_str()).collect();
    let start = [
        "k.value",
        "deep.value",
        "body.op1",
        "body.value",
        "body.op2",
        "normal.n1.input1",
        "normal.n1.input2",
        "normal.n1.op1",
        "normal.n1.op1[max<?{3, 5, 7}>].value",
        "normal.n1.op2",
        "normal.n1.op2[max<?{3, 5, 7}>].value",
        "normal.n1.combine",
    ];
    assert_eq!(labels[..start.len()], start);
    assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "labels are unique");
    // `twice == 2 and odd(k)` can hold for deep = 1 alone, `otherwise` for all but deep = 0.
    let when = |options: &[usize]| Some(When { decision: 1, options: options.to_vec() });
    let found: Vec<_> = decisions[2..5].iter().map(|decision| decision.when.clone()).collect();
    assert_eq!(found, [when(&[1]), when(&[1, 2]), when(&[1, 2])]);
    assert_eq!(decisions[0].weights, [1, 3]);
    assert_eq!(decisions[11].weights, [3, 1, 1]);
}

#[test]
fn equal_names_of_different_things_get_different_labels() {
    let text = "space s {
        let f = ?{ 3, 5 }
        op f(x) = x |> sep<?{ 3, 5 }>
        cell normal(h, prev) {
            let k = ?{ 3, 5 }
            k = sep<?{ 3, 5 }>(h)
            a = f(k) + sep<k>(k)
            out concat(a)
        }
    }";
    let (_, module) = checked(text);
    let labels: Vec<&str> =
        decisions(&module).decisions.iter().map(|decision| decision.label.as_str()).collect();
    assert_eq!(labels, ["f.value", "f#2.value", "normal.k.value", "normal.k#2.value"]);
}

/// A case that reads several choices counts by one of them, a case that reads the use of the operation not.
#[test]
fn holes_in_cases_are_active_where_their_case_can_be_taken() {
    let of = |cases: &str| {
        let text = format!(
            "space s {{
                let a = ?{{ 0, 1, 2 }}
                let b = ?{{ 0, 1 }}
                op f<r = 1>(x) {{ {cases} }}
                cell normal(h, prev) {{ out f(h) }}
            }}"
        );
        let (_, module) = checked(&text);
        let last = decisions(&module).decisions.last().cloned();
        last.and_then(|decision| decision.when).map(|when| (when.decision, when.options))
    };
    let hole = "x |> sep<?{ 3, 5 }>";
    assert_eq!(of(&format!("when a == 1 => {hole} otherwise => x")), Some((0, vec![1])));
    assert_eq!(of(&format!("when a == 1 => x otherwise => {hole}")), Some((0, vec![0, 2])));
    assert_eq!(of(&format!("when a == 1 and r > 0 => {hole} otherwise => x")), Some((0, vec![1])));
    assert_eq!(of(&format!("when a == 1 or r > 0 => {hole} otherwise => x")), None);
    assert_eq!(
        of(&format!("when a == 1 or r > 0 => x otherwise => {hole}")),
        Some((0, vec![0, 2]))
    );
    assert_eq!(of(&format!("when r > 0 => {hole} otherwise => x")), None);
    assert_eq!(
        of(&format!("when b == 1 => x when a > 0 => {hole} otherwise => x")),
        Some((0, vec![1, 2]))
    );
    assert_eq!(of(&format!("when a > 3 => {hole} otherwise => x")), Some((0, vec![])));
}

#[test]
fn size_counts_conditional_holes_once() {
    let text = "space s {
        let deep = ?{ 0, 1, 2 }
        op f(x) {
            when deep > 0 => x |> ?{ sep<?{ 3, 5 }>, id }
            otherwise     => x
        }
        cell normal(h, prev) { out f(h) |> ?{ relu, sigmoid } }
    }";
    let (_, module) = checked(text);
    // deep = 0: one; deep = 1 or 2: three each; times the two of the cell.
    assert_eq!(decisions(&module).size(), ((1 + 3 + 3) * 2) as f64);
}

#[test]
fn points_of_a_space_of_everything_are_files_of_their_own() {
    let (file, module) = checked(EVERYTHING);
    let mut seen = BTreeSet::new();
    for trial in 0..60 {
        let genotype =
            compile::sample(&module, &mut stream(5, Purpose::Sample, trial)).expect("one");
        assert!(decisions(&module).contains(&genotype));
        assert_eq!(genotype.to_string().parse(), Ok(genotype.clone()));
        let written = syntax::print(&space::fill(&file, &module, &genotype));
        let (_, alone) = checked(&written);
        assert!(alone.space.is_none(), "no hole is left\n{written}");
        let formatted = syntax::format(&SourceFile::new("written", written.as_str()));
        assert_eq!(formatted.as_deref(), Ok(written.as_str()), "emitted files are formatted");
        let id = |module: &Module, genotype| {
            compile::architecture_id(module, "cifar", genotype).expect("has an id")
        };
        assert_eq!(id(&module, Some(&genotype)), id(&alone, None), "{written}");
        seen.insert(genotype);
    }
    assert!(seen.len() > 50, "only {} different points of 60", seen.len());
}

#[test]
fn a_genotype_reads_back_from_its_text() {
    assert_eq!("0, 12,3".parse(), Ok(Genotype { choices: vec![0, 12, 3] }));
    assert_eq!("".parse(), Ok(Genotype { choices: vec![] }));
    assert!("1,x".parse::<Genotype>().is_err());
    assert!("1,,2".parse::<Genotype>().is_err());
}

/// Pearson's statistic of 4000 draws from 1 : 3 : 6 against its 99.9 % quantile for two degrees of freedom.
#[test]
fn options_are_drawn_by_weight() {
    let text = "space s {
        cell normal(h, prev) { out h |> ?{ id, sep<3>: 3, max<?{ 3: 9, 5 }>: 6 } }
    }";
    let (_, module) = checked(text);
    const DRAWS: u64 = 4000;
    let (mut outer, mut inner) = ([0u64; 3], [0u64; 2]);
    for draw in 0..DRAWS {
        let point = decisions(&module).sample(&mut stream(11, Purpose::Sample, draw)).choices;
        outer[point[0]] += 1;
        if point[0] == 2 {
            inner[point[1]] += 1;
        }
    }
    let statistic = |found: &[u64], weights: &[u64]| {
        let (n, total) = (found.iter().sum::<u64>() as f64, weights.iter().sum::<u64>() as f64);
        let terms = found.iter().zip(weights).map(|(&found, &weight)| {
            let expected = n * weight as f64 / total;
            (found as f64 - expected).powi(2) / expected
        });
        terms.sum::<f64>()
    };
    assert!(statistic(&outer, &[1, 3, 6]) < 13.8, "{outer:?}");
    assert!(statistic(&inner, &[9, 1]) < 10.8, "{inner:?}");
    assert!(statistic(&outer, &[1, 1, 1]) > 1000.0, "the statistic tells other weights apart");
}
