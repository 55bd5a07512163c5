//! What a space requires: every point that is drawn meets it, and one that cannot be met is an error soon.

use cellc::compile::{self, Request};
use cellc::error::Error;
use cellc::graph::cost::Cost;
use cellc::ir::Module;
use cellc::rng::{Purpose, stream};
use cellc::source::SourceFile;
use cellc::space::{Genotype, Requirements};

/// A net small enough to be counted hundreds of times.
const TINY: &str = "net tiny<N, F> {
    input   8x8x3
    classes 10
    stem    conv<3, out = base> |> bn
    stack   N * normal
    head    relu |> gap |> dense<classes>
}
";

fn module(space: &str) -> Module {
    let text = format!("{TINY}space s {{ {space} }}");
    compile::check(&SourceFile::new("test.cell", text.as_str()))
        .unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn draw(module: &Module, trial: u64) -> Result<Genotype, Error> {
    compile::sample(module, &mut stream(2, Purpose::Sample, trial))
}

/// Parameters of net `tiny` at 2@32, counted by the library's way of building a network.
fn params(module: &Module, genotype: &Genotype) -> u64 {
    let request = Request {
        genotype: Some(genotype.clone()),
        ..Request::new("tiny", "2@32".parse().expect("a scale"))
    };
    Cost::of(&compile::network(module, &request).expect("builds").graph).total.params
}

/// Three operations on 32 channels, of 0 to 64 k parameters: about one point in eight is small enough.
const CELL: &str = "let k = ?{ 3, 5, 7 }
    cell normal(h, prev) {
        a = squeeze(h)
        b = ?{ conv_bn<k>, sep<k>, max<k> }(a)
        d = ?{ conv_bn<k>, sep<k>, max<k> }(b)
        e = ?{ conv_bn<k>, sep<k>, max<k> }(d)
        out e
    }";

#[test]
fn every_point_meets_a_bound_on_its_cost() {
    let free = module(CELL);
    let bound = module(&format!("{CELL} require params(tiny 2@32) <= 20K"));
    let (mut free_met, mut seen) = (0, std::collections::BTreeSet::new());
    for trial in 0..100 {
        free_met += usize::from(params(&free, &draw(&free, trial).expect("a point")) <= 20_000);
        let genotype = draw(&bound, trial).expect("a point");
        assert!(params(&bound, &genotype) <= 20_000, "{genotype}");
        assert_eq!(Requirements::of(&bound).violation(&genotype), 0.0);
        assert_eq!(Requirements::of(&bound).unmet(&genotype), None);
        assert_eq!(
            draw(&bound, trial).expect("a point"),
            genotype,
            "the same seed, the same point"
        );
        seen.insert(genotype);
    }
    assert!((5..60).contains(&free_met), "{free_met} of 100 meet it by chance");
    assert!(seen.len() > 10, "{} different points", seen.len());
}

/// Of 10^8 points 45 meet the condition, so that no draw does and every point is a repaired one.
#[test]
fn points_that_are_hardly_ever_drawn_are_repaired() {
    let lets: String =
        (0..8).map(|n| format!("let a{n} = ?{{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }}\n")).collect();
    let sum = (0..8).map(|n| format!("a{n}")).collect::<Vec<_>>().join(" + ");
    let cell = "cell normal(h, prev) { out h |> relu }";
    let module = module(&format!("{lets} require {sum} <= 2 and not a0 > 0 or {sum} == 70 {cell}"));
    let mut seen = std::collections::BTreeSet::new();
    for trial in 0..50 {
        let genotype = draw(&module, trial).expect("a point");
        let sum: usize = genotype.choices.iter().sum();
        assert!(sum <= 2 && genotype.choices[0] == 0 || sum == 70, "{genotype}");
        seen.insert(genotype);
    }
    assert!(seen.len() > 5, "repairs end in different points: {seen:?}");
}

#[test]
fn a_requirement_that_nothing_meets_is_an_error() {
    let module = module(&format!(
        "{CELL} require params(tiny 2@32) <= 1K and k > 3 : \"too large with a kernel of {{k}}\""
    ));
    let error = draw(&module, 0).expect_err("the stem alone is larger");
    let Error::Requirements { space, tried, unmet } = &error else { panic!("{error}") };
    assert_eq!(space, "s");
    assert!((64..=64 + 2048 + 8).contains(tried), "{tried}");
    assert_eq!(unmet.condition, "params(tiny 2@32) <= 1000 and k > 3");
    // The smallest network has nothing but pools, whose kernels cost nothing.
    let counted = params(&module, &Genotype { choices: vec![1, 2, 2, 2] });
    let with_kernel = |k: usize| {
        let found = format!("params(tiny 2@32) = {counted}, k = {k}");
        (unmet.message.as_deref() == Some(&*format!("too large with a kernel of {k}")))
            && unmet.found == found
    };
    assert!(with_kernel(5) || with_kernel(7), "{unmet}");
    assert!(error.to_string().contains("no architecture of space `s`"), "{error}");
}

/// F = 40 has no base width where the cell gives three times its width; such points are not drawn.
#[test]
fn a_point_that_cannot_be_built_at_the_scale_does_not_meet_a_condition_on_its_cost() {
    let cell = "let wide = ?{ 1, 3 }
        op join(x, y, z) { when wide == 1 => x  otherwise => concat(x, y, z) }
        cell normal(h, prev) {
            a = squeeze(h)
            out join(a, sep<3>(a), max<3>(a))
        }";
    let module = module(&format!("{cell} require params(tiny 1@40) > 0"));
    let requirements = Requirements::of(&module);
    for trial in 0..20 {
        let genotype = draw(&module, trial).expect("a point");
        assert_eq!(genotype.choices, [0]);
    }
    let unmet = requirements.unmet(&Genotype { choices: vec![1] }).expect("it is not met");
    assert!(unmet.found.contains("no network"), "{}", unmet.found);
    assert!(requirements.violation(&Genotype { choices: vec![1] }) > 0.0);
}

#[test]
fn a_violation_shrinks_as_a_point_comes_nearer() {
    let module = module(&format!("{CELL} require params(tiny 2@32) <= 1K"));
    let mut points: Vec<(u64, f64)> = (0..30)
        .map(|trial| {
            let genotype = module.space.as_ref().expect("a space").decisions.sample(&mut stream(
                3,
                Purpose::Sample,
                trial,
            ));
            (params(&module, &genotype), Requirements::of(&module).violation(&genotype))
        })
        .collect();
    points.sort_by_key(|point| point.0);
    assert!(
        points.is_sorted_by(|a, b| a.0 == b.0 && a.1 == b.1 || a.0 < b.0 && a.1 < b.1),
        "{points:?}"
    );
}
