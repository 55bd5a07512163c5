//! Differences between files: what is reported, that nothing else is, and that the shares are right.

use cellc::compile::{self, Request};
use cellc::diff::{Change, ChangeKind, Diff, Effect, Options, Verdict, diff};
use cellc::error::Error;
use cellc::graph::cost::{Cost, Counts};
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::rng::{Purpose, stream};
use cellc::source::{Loader, SourceFile};
use cellc::space::{self, Genotype};
use cellc::syntax;
use rand::Rng;
use rand::seq::SliceRandom;

fn between(old: &str, new: &str) -> Diff {
    let options = Options { scale: Some(Scale { n: 1, f: 768 }), ..Options::default() };
    diff(&SourceFile::new("old.cell", old), &SourceFile::new("new.cell", new), &options)
}

fn lines(found: &Diff) -> Vec<String> {
    found.changes.iter().map(Change::to_string).collect()
}

fn nasnet_a() -> &'static str {
    compile::embedded("nasnet_a.cell").expect("in the library")
}

/// The library's NASNet-A with some of its text replaced, without its claims.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = nasnet_a()[..nasnet_a().find("expect").expect("a claim")].to_string();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "`{from}` stands once in\n{text}");
        text = text.replace(from, to);
    }
    text
}

fn module(text: &str) -> Module {
    compile::check(&SourceFile::new("test.cell", text)).unwrap_or_else(|faults| {
        panic!("{faults}\n{text}");
    })
}

/// Counts of a text's network, by the compiler and not by the code under test.
fn counts(text: &str, n: usize, base: usize) -> Counts {
    let request = Request { width: Width::Base(base), ..Request::new("cifar", Scale { n, f: 0 }) };
    Cost::of(&compile::network(&module(text), &request).expect("builds").graph).total
}

#[test]
fn one_operand_is_one_line_with_its_share() {
    let (old, new) = (edited(&[]), edited(&[("n3 = avg<3>(a) + b", "n3 = sep<5>(a) + b")]));
    let found = between(&old, &new);
    assert_eq!(lines(&found), ["normal.n3.left: avg<3>(a) -> sep<5>(a)"]);
    let (before, after) = (counts(&old, 1, 32), counts(&new, 1, 32));
    let expected = Effect::Counts {
        params: after.params as i64 - before.params as i64,
        macs: after.macs as i64 - before.macs as i64,
        is_exact: true,
    };
    assert_eq!(found.changes[0].effect, Some(expected));
    let network = found.network.as_ref().expect("both are networks");
    assert_eq!((network.before, network.after), (Some(before), Some(after)));
    let share = 100.0 * (after.macs as f64 / before.macs as f64 - 1.0);
    assert!(share > 1.0, "the share is worth a test: {share}");
    let text = found.to_string();
    assert!(
        text.contains(&format!("avg<3>(a) -> sep<5>(a), {share:+.1} % multiply-adds")),
        "{text}"
    );
}

#[test]
fn operands_combinations_and_outputs_are_named() {
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "n4 = avg<3>(b) + avg<3>(b)",
            "n4 = concat(avg<3>(b), avg<3>(b))",
            &["normal.n4: + -> concat"],
        ),
        ("n3 = avg<3>(a) + b", "n3 = avg<3>(a) + n1", &["normal.n3.right: b -> n1"]),
        (
            "out concat(r2, r3, r4, r5)",
            "out concat(r1, r2, r3, r4, r5)",
            &["reduction.out: r1 added"],
        ),
        (
            "out concat(b, n1, n2, n3, n4, n5)",
            "out concat(n1, n2, n3, n4, n5)",
            &["normal.out: b removed"],
        ),
        (
            "a  = squeeze(h)\n    b  = fit(prev)\n    n1",
            "a = conv_bn<3>(h)\n b = fit(prev)\n n1",
            &["normal.a: squeeze(h) -> conv_bn<3>(h)"],
        ),
        ("stride 2", "stride 1", &["reduction.stride: 2 -> 1"]),
    ];
    for (from, to, expected) in cases {
        let found = between(&edited(&[]), &edited(&[(from, to)]));
        assert_eq!(lines(&found), expected, "{to}");
        assert_eq!(found.verdict, Verdict::Different, "{to}");
    }
}

#[test]
fn a_renamed_block_is_not_a_new_one() {
    let new = edited(&[
        ("n3 = avg<3>(a) + b", "pool = max<3>(a) + b"),
        ("out concat(b, n1, n2, n3, n4, n5)", "out concat(b, n1, n2, pool, n4, n5)"),
    ]);
    let found = between(&edited(&[]), &new);
    assert_eq!(
        lines(&found),
        ["normal: n3 -> pool (renamed)", "normal.pool.left: avg<3>(a) -> max<3>(a)"]
    );
}

#[test]
fn a_block_inserted_under_an_old_name_moves_the_others_on() {
    let old = "cell normal(h, prev) {
        a = squeeze(h) n1 = sep<5>(a) + a n2 = max<3>(n1) + avg<3>(a) out concat(n1, n2) }";
    let new = "cell normal(h, prev) {
        a = squeeze(h) n1 = sep<5>(a) + a n2 = dil<3>(a) + n1
        n3 = max<3>(n1) + avg<3>(a) out concat(n1, n2, n3) }";
    assert_eq!(
        lines(&between(old, new)),
        ["normal.n2: added, dil<3>(a) + n1", "normal: n2 -> n3 (renamed)", "normal.out: n2 added"]
    );
}

#[test]
fn an_added_block_brings_its_own_counts() {
    let new = edited(&[
        ("n5 = sep<3>(a) + a", "n5 = sep<3>(a) + a\n n6 = sep<7>(n2) + a"),
        ("out concat(b, n1, n2, n3, n4, n5)", "out concat(b, n1, n2, n3, n4, n5, n6)"),
    ]);
    let found = between(&edited(&[]), &new);
    assert_eq!(lines(&found), ["normal.n6: added, sep<7>(n2) + a", "normal.out: n6 added"]);
    let sum = |of: fn(&Effect) -> i64| -> i64 {
        found.changes.iter().filter_map(|change| change.effect.as_ref()).map(of).sum()
    };
    // Two halves of sep<7>, 49 c + c^2 weights and a norm of 2 c each, in one cell of each width.
    let own: i64 = [32i64, 64, 128].iter().map(|c| 2 * (49 * c + c * c + 2 * c)).sum();
    assert!(
        matches!(found.changes[0].effect, Some(Effect::Counts { params, .. }) if params == own)
    );
    let network = found.network.as_ref().expect("both are networks");
    let (before, after) = (network.before.expect("counted"), network.after.expect("counted"));
    // What reads the wider output is in other cells and no change of theirs.
    assert!(
        sum(|effect| match effect {
            Effect::Counts { params, .. } => *params,
            Effect::Points { .. } => 0,
        }) < after.params as i64 - before.params as i64
    );
}

#[test]
fn layout_and_comments_are_no_difference() {
    let old = nasnet_a();
    let new = old
        .replace("    ", "  ")
        .replace("///", "// other words:")
        .replace("sep<5>(a) + sep<3>(b)", "(sep<5>(a)) + (b |> sep<3>)");
    let found = between(old, &new);
    assert_eq!((found.verdict, lines(&found)), (Verdict::SameMeaning, vec![]));
    assert_eq!(found.to_string(), "no difference but layout or comments\n");
    let found = between(old, old);
    assert_eq!((found.verdict, found.to_string()), (Verdict::Identical, "no difference\n".into()));
}

#[test]
fn the_same_architecture_is_called_so() {
    let new = edited(&[
        ("n3 = avg<3>(a) + b", "n3 = b + avg<3>(a)"),
        ("out concat(r2, r3, r4, r5)", "out concat(r5, r2, r3, r4)"),
        ("n4 = avg<3>(b) + avg<3>(b)\n", ""),
        ("n1 = sep<5>(a) + sep<3>(b)", "n4 = avg<3>(b) + avg<3>(b) n1 = sep<5>(a) + sep<3>(b)"),
    ]);
    let found = between(&edited(&[]), &new);
    assert_eq!(found.verdict, Verdict::SameArchitecture);
    assert!(found.to_string().starts_with("same architecture, written differently\n"), "{found}");
    assert_eq!(
        lines(&found),
        [
            "normal.n3: avg<3>(a) + b -> b + avg<3>(a) (operands swapped)",
            "normal: blocks reordered",
            "reduction.out: concatenated in another order"
        ]
    );
    // A block that nothing reads is a difference of the text alone.
    let dead = edited(&[("n5 = sep<3>(a) + a", "n5 = sep<3>(a) + a\n n6 = sep<7>(n2) + a")]);
    let found = between(&edited(&[]), &dead);
    assert_eq!(found.verdict, Verdict::SameArchitecture);
    assert_eq!(lines(&found), ["normal.n6: added, sep<7>(n2) + a"]);
    assert_eq!(found.changes[0].effect, None);
}

#[test]
fn a_cell_no_net_uses_is_never_called_the_same() {
    let extra = |op: &str| edited(&[]) + &format!("cell spare(h) {{ out {op}(h) }}\n");
    let found = between(&extra("sep<3>"), &extra("sep<5>"));
    assert_eq!(lines(&found), ["spare.out: sep<3>(h) -> sep<5>(h)"]);
    assert_eq!((found.verdict, found.changes[0].effect), (Verdict::Different, None));
}

#[test]
fn shorthands_are_compared_by_what_they_stand_for() {
    let old = "cell normal(h) { repeat 2 as n { sep<3>(h) + h } out concat(unused) }
        cell reduction(h) stride 2 = normal";
    let new = "cell normal(h) { n1 = sep<3>(h) + h n2 = sep<3>(h) + h out concat(n1, n2) }
        cell reduction(h) stride 2 { n1 = sep<3>(h) + h n2 = sep<3>(h) + h out concat(n1, n2) }";
    assert_eq!(between(old, new).verdict, Verdict::SameMeaning);
    // One text, two cells: the change is reported once and counted in both.
    let wider = old.replace("sep<3>", "sep<5>");
    let found = between(old, &wider);
    assert_eq!(found.changes.len(), 2, "{found}");
    assert!(found.changes.iter().all(|change| change.place.starts_with("normal.")), "{found}");
}

#[test]
fn operations_nets_and_claims_are_one_line_each() {
    let head = "op twice<k>(x) = x |> relu |> conv<k> |> bn |> conv<k>
        net tiny<N, F> {
            input 8x8x3 classes 10 stem conv<3> |> bn stack N * normal, reduction * 2
            head relu |> gap |> dense<classes> }
        cell normal(h, prev) { out twice<3>(h) + h }
        cell reduction(h, prev) stride 2 { out max<3>(h) + h }\n";
    let old = format!("{head}expect tiny 2@32 {{ params 1 }}");
    let new = old
        .replace("conv<k> |> bn |> conv<k>", "conv<k> |> conv<k>")
        .replace("N * normal, reduction * 2", "N * normal, 2 * reduction * 2")
        .replace("params 1", "params 2");
    let options = Options::default();
    let found = diff(
        &SourceFile::new("old", old.as_str()),
        &SourceFile::new("new", new.as_str()),
        &options,
    );
    assert_eq!(
        lines(&found),
        [
            "op twice: bn removed",
            "net tiny.stack: reduction * 2 -> 2 * reduction * 2",
            "expect tiny 2@32 params: 1 -> 2"
        ],
        "{found}"
    );
    assert_eq!(
        found.network.as_ref().map(|network| (network.net.as_str(), network.n)),
        Some(("tiny", 2))
    );
    // Two cells of width 16 lose a norm each.
    assert_eq!(
        found.changes[0].effect,
        Some(Effect::Counts { params: -2 * 2 * 16, macs: 0, is_exact: true })
    );
    assert!(found.changes[1].effect.is_some(), "{found}");
}

#[test]
fn renamed_cells_are_found_in_the_net_that_stacks_them() {
    let old = "net tiny<N, F> {
            input 8x8x3 classes 10 stem conv<3> |> bn stack N * body
            head relu |> gap |> dense<classes> }
        cell body(h, prev) { a = squeeze(h) b = sep<3>(a) + a out concat(a, b) }";
    let found = between(old, &old.replace("body", "trunk"));
    assert_eq!(lines(&found), ["cell: body -> trunk (renamed)"]);
    assert_eq!(found.verdict, Verdict::SameArchitecture);
}

#[test]
fn spaces_differ_in_options_and_points() {
    let old = compile::embedded("nasnet_space.cell").expect("in the library");
    let new = old.replace("sep<7> }", "sep<9> }").replace("repeat 5", "repeat 4");
    let found = between(old, &new);
    assert_eq!(lines(&found), ["normal.n: repeat 5 -> repeat 4", "nasnet.ops: sep<7> -> sep<9>"]);
    // Section 3.1: a fifth block chooses two of six inputs, two of 13 operations, a combination.
    let block = (6 * 6 * 13 * 13 * 2) as f64;
    let Some(Effect::Points { factor }) = found.changes[0].effect else { panic!("{found}") };
    assert!((factor * block * block - 1.0).abs() < 1e-9, "{factor}");
    assert_eq!(found.changes[1].effect, None);
    // A cell of the space is the space with its holes filled.
    let found = between(old, &sample(1).text);
    let text = found.to_string();
    assert!(text.contains("normal.n1: ?{ +, concat } -> "), "{text}");
    assert!(text.contains("reduction.n5.right: ?ops(?earlier) -> "), "{text}");
    assert!(text.contains(" -> +, points x 0.5\n"), "{text}");
    // The two cells share a text in the space and no longer do, so each hole is one of one cell.
    assert!(!text.contains("points x 0.25\n"), "{text}");
    let more = old.replace("sep<7> }", "sep<7>, sep<9> }");
    let found = between(old, &more);
    assert_eq!(lines(&found), ["nasnet.ops: sep<9> added"]);
    let Some(Effect::Points { factor }) = found.changes[0].effect else { panic!("{found}") };
    assert!((factor / (14f64 / 13.0).powi(20) - 1.0).abs() < 1e-9, "{factor}");
    assert!(found.to_string().contains("points 5.23e36 -> "), "{found}");
}

#[test]
fn a_file_that_does_not_check_is_compared_as_a_tree() {
    let new = edited(&[("n3 = avg<3>(a) + b", "n3 = avg<3>(a) + c")]);
    let found = between(&edited(&[]), &new);
    assert_eq!(lines(&found), ["normal.n3.right: b -> c"]);
    let fault = found.new_fault.as_deref().expect("a reason");
    assert!(fault.contains("E0201") && fault.contains(":"), "{fault}");
    assert_eq!((found.old_fault, found.changes[0].effect), (None, None));
}

#[test]
fn a_file_that_does_not_parse_is_compared_by_lines() {
    let new = edited(&[("n3 = avg<3>(a) + b", "n3 = avg<3>(a +")]);
    let found = between(&edited(&[]), &new);
    assert!(found.changes.is_empty() && found.new_fault.is_some());
    assert_eq!(found.lines, ["-    n3 = avg<3>(a) + b", "+    n3 = avg<3>(a +"]);
    assert_eq!(found.verdict, Verdict::Different);
}

#[test]
fn a_change_that_needs_another_is_counted_by_its_part() {
    let new = edited(&[("n5 = sep<3>(a) + a", "m = squeeze(b)\n n5 = sep<7>(m) + a")]);
    let found = between(&edited(&[]), &new);
    assert_eq!(
        lines(&found),
        ["normal.m: added, squeeze(b)", "normal.n5.left: sep<3>(a) -> sep<7>(m)"]
    );
    // 49 - 9 weights a channel, twice, in one cell of each width.
    let params: i64 = [32i64, 64, 128].iter().map(|c| 2 * 40 * c).sum();
    let Some(Effect::Counts { params: found_params, is_exact: false, .. }) =
        found.changes[1].effect
    else {
        panic!("{found}")
    };
    assert_eq!(found_params, params);
    assert!(found.to_string().contains("* of the changed part"), "{found}");
}

#[test]
fn cells_that_part_are_counted_each_for_itself() {
    let old = "cell normal(h) { x = sep<3>(h) out x + h }\ncell reduction(h) stride 2 = normal";
    let new =
        old.replace("= normal", "{ x = sep<3>(h) out x + h }").replacen("sep<3>", "sep<5>", 1);
    let found = between(old, &new);
    assert_eq!(lines(&found), ["normal.x: sep<3>(h) -> sep<5>(h)"]);
    let network = found.network.as_ref().expect("both are networks");
    let (before, after) = (network.before.expect("counted"), network.after.expect("counted"));
    let params = after.params as i64 - before.params as i64;
    assert!(
        matches!(found.changes[0].effect, Some(Effect::Counts { params: own, .. }) if own == params),
        "{found}"
    );
}

#[test]
fn huge_files_are_compared_without_searching_long() {
    let blocks =
        |op: &str| -> String { (0..9000).map(|at| format!("b{at} = {op}(h)\n")).collect() };
    let cell = |op: &str| format!("cell normal(h) {{\n{}out h\n}}\n", blocks(op));
    let found = between(&cell("relu"), &cell("sigmoid"));
    assert!(found.old_fault.is_some(), "no cell has that many blocks");
    assert_eq!(found.changes.len(), 9000);
    let copies: String = (0..9000).map(|at| format!("cell c{at}(h) = normal\n")).collect();
    let found = between(&(cell("relu") + &copies), &(cell("sigmoid") + &copies));
    assert!(found.uncounted.is_some() && found.changes.is_empty());
    assert_eq!(found.lines.len(), 18_000);
}

/// A point of the paper's space as text.
struct Sampled {
    genotype: Genotype,
    text: String,
}

fn space_module() -> (syntax::ast::File, Module) {
    let text = compile::embedded("nasnet_space.cell").expect("in the library");
    let source = SourceFile::new("nasnet_space.cell", text);
    (syntax::parse(&source).expect("parses"), module(text))
}

fn sampled(genotype: Genotype) -> Sampled {
    let (file, module) = space_module();
    Sampled { text: syntax::print(&space::fill(&file, &module, &genotype)), genotype }
}

fn sample(trial: u64) -> Sampled {
    let (_, module) = space_module();
    let decisions = &module.space.as_ref().expect("a space").decisions;
    sampled(decisions.sample(&mut stream(11, Purpose::Sample, trial)))
}

/// The same cells with blocks renamed at random, reordered, and operands of sums swapped.
fn disguised(text: &str, trial: u64) -> String {
    let mut rng = stream(12, Purpose::Sample, trial);
    let mut result = String::new();
    for cell in text.split_inclusive("}\n") {
        let (header, rest) = cell.split_once("{\n").expect("a cell has a body");
        let (body, out) = rest.split_once("    out ").expect("a cell has an output");
        let mut blocks: Vec<(String, String)> = body
            .lines()
            .map(|line| line.split_once(" = ").expect("a block"))
            .map(|(name, value)| (name.trim().to_string(), value.to_string()))
            .collect();
        for (_, value) in &mut blocks {
            if let Some((left, right)) = value.split_once(" + ")
                && rng.gen_bool(0.5)
            {
                *value = format!("{right} + {left}");
            }
        }
        // Old names in another order are the hardest new names.
        let mut names: Vec<String> = blocks.iter().map(|(name, _)| name.clone()).collect();
        names.shuffle(&mut rng);
        let old: Vec<String> = blocks.iter().map(|(name, _)| name.clone()).collect();
        let renamed = |text: &str| {
            let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            words
                .map(|word| {
                    let name =
                        word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    match old.iter().position(|known| known == name) {
                        Some(at) => names[at].clone() + &word[name.len()..],
                        None => word.to_string(),
                    }
                })
                .collect::<String>()
        };
        let mut waiting: Vec<(String, String)> =
            blocks.iter().map(|(name, value)| (renamed(name), renamed(value))).collect();
        result += &format!("{header}{{\n");
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        while !waiting.is_empty() {
            let ready: Vec<usize> = (0..waiting.len())
                .filter(|&at| {
                    let mut words = waiting[at].1.split(|c| !is_name(c));
                    !words.any(|word| waiting.iter().any(|(name, _)| name == word))
                })
                .collect();
            let (name, value) = waiting.remove(*ready.choose(&mut rng).expect("no circle"));
            result += &format!("{name} = {value}\n");
        }
        result += &format!("out {}", renamed(out));
    }
    result
}

#[test]
fn a_sampled_cell_differs_from_itself_in_nothing() {
    for trial in 0..20 {
        let text = sample(trial).text;
        let spaced = text.replace(", ", " ,\n  ");
        assert_eq!(between(&text, &text).verdict, Verdict::Identical);
        let found = between(&text, &spaced);
        assert_eq!((found.verdict, lines(&found)), (Verdict::SameMeaning, vec![]));
    }
}

#[test]
fn sampled_pairs_are_counted_as_the_compiler_counts_them() {
    let id = |text: &str| compile::architecture_id(&module(text), "cifar", None).expect("an id");
    for trial in 0..30 {
        let (old, new) = (sample(2 * trial).text, sample(2 * trial + 1).text);
        let (there, back) = (between(&old, &new), between(&new, &old));
        assert_eq!(there.verdict.is_same(), id(&old) == id(&new), "{there}");
        assert_eq!(there.verdict, back.verdict);
        let network = there.network.as_ref().expect("both are networks");
        assert_eq!(network.before, Some(counts(&old, 1, network.base)));
        assert_eq!(network.after, Some(counts(&new, 1, network.base)));
        let mut once = lines(&there);
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), there.changes.len(), "a change is reported once\n{there}");
    }
}

#[test]
fn a_disguised_cell_is_seen_through() {
    for trial in 0..60 {
        let text = sample(trial).text;
        let other = disguised(&text, trial);
        let found = between(&text, &other);
        assert_eq!(found.verdict, Verdict::SameArchitecture, "{text}\n{other}\n{found}");
        let is_harmless = |change: &Change| {
            // The order of a concatenation follows that of the names.
            change.kind.is_layout() || change.kind == ChangeKind::Permuted
        };
        assert!(found.changes.iter().all(is_harmless), "trial {trial}\n{text}\n{other}\n{found}");
        assert!(found.changes.iter().all(|change| change.effect.is_none()), "{found}");
    }
}

#[test]
fn one_decision_is_one_operand() {
    let (_, module) = space_module();
    let decisions = &module.space.as_ref().expect("a space").decisions.decisions;
    let mut shares = 0;
    for trial in 0..60 {
        let mut rng = stream(13, Purpose::Sample, trial);
        let old = sample(trial);
        let mut genotype = old.genotype.clone();
        let at = rng.gen_range(0..decisions.len());
        let options = decisions[at].options.len();
        genotype.choices[at] = (genotype.choices[at] + rng.gen_range(1..options)) % options;
        let new = sampled(genotype);
        let found = between(&old.text, &new.text);
        let context = format!("{}: {found}\n{}\n{}", decisions[at].label, old.text, new.text);
        // Which blocks nothing reads may change with an input, and the output with it.
        let (out, operands): (Vec<&Change>, Vec<&Change>) =
            found.changes.iter().partition(|change| change.place.ends_with(".out"));
        if found.verdict == Verdict::SameArchitecture {
            assert!(operands.len() <= 1, "{context}");
            continue;
        }
        assert_eq!(operands.len(), 1, "{context}");
        let block = decisions[at].label.rsplit_once('.').expect("a label has parts").0;
        assert!(operands[0].place.starts_with(block), "{context}");
        assert!(out.is_empty() || decisions[at].label.contains("input"), "{context}");
        if out.is_empty() {
            let network = found.network.as_ref().expect("both are networks");
            let (before, after) =
                (counts(&old.text, 1, network.base), counts(&new.text, 1, network.base));
            let expected = (
                after.params as i64 - before.params as i64,
                after.macs as i64 - before.macs as i64,
            );
            let effect = match operands[0].effect {
                Some(Effect::Counts { params, macs, is_exact }) => {
                    assert!(is_exact, "{context}");
                    (params, macs)
                }
                Some(Effect::Points { .. }) => panic!("{context}"),
                None => (0, 0),
            };
            assert_eq!(effect, expected, "{context}");
            shares += 1;
        }
    }
    assert!(shares > 20, "most decisions leave the output alone: {shares}");
}

/// Two cells and a net that stacks them; the cells' attributes and outputs can be replaced.
const STACKED: &str = "let wide = 3
net tiny<N, F> {
    let slot = N
    require N >= 1
    input 8x8x3 classes 10 stem conv<3> |> bn
    stack slot * normal, reduction stride 2 * 2, 2 * (skip normal<5>, reduction at base * 2)
    head relu |> gap |> dense<classes>
}
cell normal<k = 3>(h, prev) {
    let half = c / 2
    require c % 2 == 0 : \"even\"
    a = squeeze(h)
    b = fit(prev)
    m = mix(a, sep<k>(b))
    n = conv<wide, out = half>(a) |> conv<1>
    out concat(m, n), m to 2
}
cell reduction(h, prev) = normal<3>
";

/// [`STACKED`] against itself with some of its text replaced.
fn restacked(edits: &[(&str, &str)]) -> Diff {
    let mut new = STACKED.to_string();
    for (from, to) in edits {
        assert_eq!(new.matches(from).count(), 1, "`{from}` stands once in\n{new}");
        new = new.replace(from, to);
    }
    let (old, new) = (SourceFile::new("old.cell", STACKED), SourceFile::new("new.cell", new));
    diff(&old, &new, &Options { scale: Some(Scale { n: 2, f: 0 }), ..Options::default() })
}

/// The counts of [`STACKED`] with one replacement less those without, by the compiler.
fn stacked_effect(found: &Diff, from: &str, to: &str) -> Option<Effect> {
    let network = found.network.as_ref().expect("both are networks");
    let of = |text: &str| {
        let width = Width::Base(network.base);
        let request = Request { width, ..Request::new("tiny", Scale { n: 2, f: 0 }) };
        Cost::of(&compile::network(&module(text), &request).expect("builds").graph).total
    };
    let (before, after) = (of(STACKED), of(&STACKED.replace(from, to)));
    assert_eq!((network.before, network.after), (Some(before), Some(after)));
    let params = after.params as i64 - before.params as i64;
    let macs = after.macs as i64 - before.macs as i64;
    (params != 0 || macs != 0).then_some(Effect::Counts { params, macs, is_exact: true })
}

#[test]
fn each_new_construct_is_one_line_with_its_counts() {
    let cases = [
        ("let wide = 3", "let wide = 5", "let wide: 3 -> 5"),
        ("let slot = N", "let slot = N + 1", "net tiny.let slot: N -> N + 1"),
        ("let half = c / 2", "let half = c / 4", "normal.let half: c / 2 -> c / 4"),
        ("<k = 3>", "<k = 5>", "normal.attribute k: 3 -> 5"),
        ("= normal<3>", "= normal<5>", "reduction: normal<3> -> normal<5>"),
        ("mix(a, sep<k>(b))", "mix(a, avg<k>(b))", "normal.m.right: sep<k>(b) -> avg<k>(b)"),
        ("mix(a, sep<k>(b))", "mul(a, sep<k>(b))", "normal.m: mix -> *"),
        ("n), m to 2", "n), n to 2", "normal.out2: m -> n"),
        ("m to 2", "m to 3", "normal.out2: to 2 -> to 3"),
        ("n), m", "n) to 2, m", "normal.out1: to 2 added"),
        (", m to 2", "", "normal.out2: removed, was m to 2"),
        (
            "reduction stride 2 * 2",
            "reduction stride 2 * 4",
            "net tiny.stack: reduction stride 2 * 2 -> reduction stride 2 * 4",
        ),
        (
            "reduction stride 2 * 2",
            "reduction * 2",
            "net tiny.stack: reduction stride 2 * 2 -> reduction * 2",
        ),
        ("slot * normal", "slot * normal<5>", "net tiny.stack: slot * normal -> slot * normal<5>"),
        (
            "at base * 2",
            "at base",
            "net tiny.stack: 2 * (skip normal<5>, reduction at base * 2) -> \
             2 * (skip normal<5>, reduction at base)",
        ),
        (
            "skip normal<5>",
            "normal<5>",
            "net tiny.stack: 2 * (skip normal<5>, reduction at base * 2) -> \
             2 * (normal<5>, reduction at base * 2)",
        ),
    ];
    let mut counted = 0;
    for (from, to, expected) in cases {
        let found = restacked(&[(from, to)]);
        assert_eq!(lines(&found), [expected], "{to}");
        assert_eq!(found.verdict, Verdict::Different, "{to}");
        let effect = stacked_effect(&found, from, to);
        assert_eq!(found.changes[0].effect, effect, "{found}");
        counted += usize::from(effect.is_some());
    }
    assert!(counted >= 14, "most of these have counts: {counted}");
    let less = STACKED.replace(", m to 2", "");
    let (old, new) = (SourceFile::new("old", less), SourceFile::new("new", STACKED));
    let found =
        diff(&old, &new, &Options { scale: Some(Scale { n: 2, f: 0 }), ..Options::default() });
    assert_eq!(lines(&found), ["normal.out2: added, m to 2"]);
    let Some(Effect::Counts { params, macs, is_exact: true }) =
        restacked(&[(", m to 2", "")]).changes[0].effect
    else {
        panic!("{found}")
    };
    let back = Effect::Counts { params: -params, macs: -macs, is_exact: true };
    assert_eq!(found.changes[0].effect, Some(back));
}

#[test]
fn conditions_are_one_line_and_cost_nothing() {
    let cases: [(&str, &str, &[&str]); 4] = [
        ("N >= 1", "N >= 2", &["net tiny.require: N >= 1 -> N >= 2"]),
        ("\"even\"", "\"odd\"", &["normal.require: c % 2 == 0 : \"even\" -> c % 2 == 0 : \"odd\""]),
        ("    require N >= 1\n", "", &["net tiny.require: removed, was N >= 1"]),
        (
            "let half = c / 2",
            "let half = c / 2 require stride <= 2",
            &["normal.require: added, stride <= 2"],
        ),
    ];
    for (from, to, expected) in cases {
        let found = restacked(&[(from, to)]);
        assert_eq!(lines(&found), expected, "{to}");
        let seen = (found.verdict, found.changes[0].effect);
        assert_eq!(seen, (Verdict::SameArchitecture, None), "{found}");
    }
}

#[test]
fn two_runs_of_one_stack_are_counted_each_for_itself() {
    let (one, two) = (("slot * normal", "normal"), ("skip normal<5>", "normal<5>"));
    let found = restacked(&[one, two]);
    let alone = [restacked(&[one]), restacked(&[two])];
    let effects = |found: &Diff| -> Vec<Option<Effect>> {
        found.changes.iter().map(|change| change.effect).collect()
    };
    assert_eq!(effects(&found), alone.iter().flat_map(effects).collect::<Vec<_>>());
    assert!(found.changes.len() == 2 && effects(&found)[0] != effects(&found)[1], "{found}");
}

#[test]
fn the_same_in_the_new_constructs_is_called_so() {
    // `to 1` is where one of several outputs arrives anyway; a weight of 1 is none.
    let found = restacked(&[("n), m", "n) to 1, m"), ("let wide = 3", "let wide = (3)")]);
    assert_eq!((found.verdict, lines(&found)), (Verdict::SameMeaning, vec![]));
    let old = "space s { ops = { id, max<3> } cell normal(h) { out ?ops(h) } }";
    let new = "space s { ops = { id: 1, max<3> } cell normal(h) { out ?ops(h) } }";
    assert_eq!(between(old, new).verdict, Verdict::SameMeaning);
    // A cell that gives another one attributes is that cell with the values in their places.
    let written = "cell reduction(h, prev) {
        let half = c / 2 require c % 2 == 0 : \"even\"
        a = squeeze(h) b = fit(prev) m = mix(a, sep<3>(b))
        n = conv<wide, out = half>(a) |> conv<1> out concat(m, n), m to 2 }";
    let found = restacked(&[("cell reduction(h, prev) = normal<3>", written)]);
    assert_eq!((found.verdict, lines(&found)), (Verdict::SameMeaning, vec![]));
    // An attribute that every use gives is no difference of the architecture.
    let found = restacked(&[("<k = 3>", "<k>"), ("slot * normal", "slot * normal<3>")]);
    assert_eq!(
        lines(&found),
        [
            "normal.attribute k: 3 -> no default",
            "net tiny.stack: slot * normal -> slot * normal<3>"
        ]
    );
    assert_eq!(found.verdict, Verdict::SameArchitecture);
}

#[test]
fn renamed_cells_are_found_in_groups_and_in_cells_like_them() {
    let found = diff(
        &SourceFile::new("old.cell", STACKED),
        &SourceFile::new("new.cell", STACKED.replace("normal", "body")),
        &Options { scale: Some(Scale { n: 2, f: 0 }), ..Options::default() },
    );
    assert_eq!(lines(&found), ["cell: normal -> body (renamed)"]);
    assert_eq!(found.verdict, Verdict::SameArchitecture);
}

#[test]
fn named_values_come_and_go() {
    let found = restacked(&[("let wide = 3", "let wide = 3 let more = wide + 2")]);
    assert_eq!(lines(&found), ["let more: added, wide + 2"]);
    assert_eq!((found.verdict, found.changes[0].effect), (Verdict::SameArchitecture, None));
    let found = restacked(&[("    let half = c / 2\n", ""), ("out = half", "out = c / 2")]);
    assert_eq!(
        lines(&found),
        [
            "normal.let half: removed, was c / 2",
            "normal.n: conv<wide, out = half>(a) |> conv<1> -> conv<wide, out = c / 2>(a) |> conv<1>"
        ]
    );
    assert_eq!(found.verdict, Verdict::SameArchitecture);
}

#[test]
fn operations_differ_in_their_named_values() {
    let old = "op f(x) { let inner = c / 2 require c > 1 x |> conv<3, out = inner> |> conv<1> }
        cell normal(h) { out f(h) } cell reduction(h) stride 2 { out max<3>(h) }";
    let new =
        old.replace("c / 2", "c / 4").replace("c > 1", "c > 3").replace("conv<1>", "bn |> conv<1>");
    let found = between(old, &new);
    assert_eq!(
        lines(&found),
        ["op f.let inner: c / 2 -> c / 4", "op f.require: c > 1 -> c > 3", "op f: bn added"]
    );
    // One normal cell of each width, base to four bases: a norm of half a width is two values a channel.
    let base = found.network.as_ref().expect("both are networks").base as i64;
    let params = 7 * base;
    assert_eq!(
        found.changes[2].effect,
        Some(Effect::Counts { params, macs: 0, is_exact: true }),
        "{found}"
    );
    assert!(matches!(found.changes[0].effect, Some(Effect::Counts { params, .. }) if params < 0));
}

#[test]
fn files_used_are_listed() {
    let cell = "cell normal(h) { out h }";
    let old = format!("use \"a.cell\"\nuse \"b.cell\"\n{cell}");
    let new = format!("use \"b.cell\"\nuse \"c.cell\"\nuse \"d.cell\"\n{cell}");
    assert_eq!(
        lines(&between(&old, &new)),
        ["use: \"a.cell\" -> \"c.cell\"", "use: added, \"d.cell\""]
    );
}

/// Files whose one operation has the kernel that their path names.
struct Kernels;

impl Loader for Kernels {
    fn load(&self, path: &str, _: &SourceFile) -> Result<SourceFile, Error> {
        let kernel = path.trim_end_matches(".cell");
        Ok(SourceFile::new(path, format!("op body(x) = x |> sep<{kernel}>")))
    }

    fn candidates(&self, _: &str, _: &SourceFile) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn another_file_used_is_counted() {
    let cells = "cell normal(h) { out body(h) } cell reduction(h) stride 2 = normal";
    let scale = Some(Scale { n: 1, f: 768 });
    let options = Options { scale, loader: &Kernels, ..Options::default() };
    let of = |old: &str, new: &str, cells: &str| {
        let file = |path: &str| SourceFile::new("one.cell", format!("use \"{path}\" {cells}"));
        diff(&file(old), &file(new), &options)
    };
    let found = of("3.cell", "5.cell", cells);
    assert_eq!(lines(&found), ["use: \"3.cell\" -> \"5.cell\""]);
    let network = found.network.as_ref().expect("both are networks");
    let (before, after) = (network.before.expect("counted"), network.after.expect("counted"));
    let counted = Effect::Counts {
        params: after.params as i64 - before.params as i64,
        macs: after.macs as i64 - before.macs as i64,
        is_exact: true,
    };
    assert!(after.params > before.params, "{found}");
    assert_eq!(found.changes[0].effect, Some(counted), "{found}");
    // Only a cell that no net stacks reads the file.
    let spare = "cell normal(h) { out h } cell reduction(h) stride 2 = normal \
                 cell spare(h) { out body(h) }";
    assert_eq!(of("3.cell", "5.cell", spare).verdict, Verdict::Different);
}

#[test]
fn published_figures_are_told_apart_by_source() {
    let text = |one: &str, two: &str| {
        edited(&[])
            + &format!(
                "expect cifar 2@24 {{ params 1 }}
                published \"one\" as \"x\" {{ params {one} }}
                published \"two\" {{ params {two}, macs 1M }}"
            )
    };
    let found = between(&text("3.3M", "3M"), &text("3.30M", "3M"));
    assert_eq!(
        lines(&found),
        ["expect cifar 2@24 published \"one\" params: 3.3M as \"x\" -> 3.30M as \"x\""]
    );
    assert_eq!(found.verdict, Verdict::SameArchitecture);
    let found = between(&text("3M", "1K"), &text("3M", "1000"));
    assert_eq!(lines(&found), ["expect cifar 2@24 published \"two\" params: 1K -> 1000"]);
}

#[test]
fn claims_are_told_apart_by_image_and_classes() {
    let claims = |first: u64, second: u64| {
        format!(
            "cell normal(h) {{ out h }}
            expect cifar 2@32 {{ params {first} }}
            expect cifar 2@32 on 64x64x3 classes 100 {{ params {second} }}"
        )
    };
    assert_eq!(
        lines(&between(&claims(1, 2), &claims(1, 3))),
        ["expect cifar 2@32 on 64x64x3 classes 100 params: 2 -> 3"]
    );
}

/// A space with all that only spaces have.
const SPACE: &str = "op gate<k>(x, y) = x * (y |> conv<k> |> sigmoid)
space s {
    let k = ?{ 3, 5 }
    require params(cifar 1@128) <= 40M
    op unit(x) = x |> ?{ relu, sigmoid } |> conv<k, stride>
    ops = { unit, sep<k>, id }
    cell normal(h, prev) {
        a = squeeze(h)
        b = fit(prev)
        n = ?ops(a) ?{ +, concat, gate<3> } ?{ a, b }
        out concat(unused)
    }
    cell reduction(h, prev) stride 2 = normal
}
";

#[test]
fn spaces_differ_in_their_parts_and_weights() {
    // Two kernels and two activations for the whole space; three operations, three combinations and
    // two operands in each cell.
    let points = 2.0 * 2.0 * (3.0f64 * 3.0 * 2.0).powi(2);
    let cases = [
        ("?{ 3, 5 }", "?{ 3, 5, 7 }", "let k: ?{3, 5} -> ?{3, 5, 7}", 1.5),
        ("?{ 3, 5 }", "3", "let k: ?{3, 5} -> 3", 0.5),
        ("?{ 3, 5 }", "?{ 3: 2, 5 }", "let k: ?{3, 5} -> ?{3: 2, 5}", 1.0),
        (
            "?{ relu, sigmoid }",
            "?{ relu, relu6, sigmoid }",
            "op unit: ?{ relu, sigmoid } -> ?{ relu, relu6, sigmoid }",
            1.5,
        ),
        (
            "40M",
            "4M",
            "s.require: params(cifar 1@128) <= 40_000_000 -> params(cifar 1@128) <= 4_000_000",
            1.0,
        ),
        ("sep<k>, id }", "sep<k>: 3, id }", "s.ops: sep<k> -> sep<k>: 3", 1.0),
        ("sep<k>, id }", "sep<k>, id, max<3> }", "s.ops: max<3> added", (4.0f64 / 3.0).powi(2)),
        (
            "?{ +, concat, gate<3> }",
            "?{ +: 2, concat, gate<3> }",
            "normal.n: ?{ +, concat, gate<3> } -> ?{ +: 2, concat, gate<3> }",
            1.0,
        ),
        (
            "?{ +, concat, gate<3> }",
            "?{ +, gate<3> }",
            "normal.n: ?{ +, concat, gate<3> } -> ?{ +, gate<3> }",
            (2.0f64 / 3.0).powi(2),
        ),
        (
            "?{ +, concat, gate<3> }",
            "?{ +, concat, gate<5> }",
            "normal.n: ?{ +, concat, gate<3> } -> ?{ +, concat, gate<5> }",
            1.0,
        ),
        ("?{ a, b }", "?{ a: 5, b }", "normal.n.right: ?{ a, b } -> ?{ a: 5, b }", 1.0),
    ];
    for (from, to, expected, factor) in cases {
        assert_eq!(SPACE.matches(from).count(), 1, "{from}");
        let found = between(SPACE, &SPACE.replace(from, to));
        assert_eq!(lines(&found), [expected]);
        assert_eq!(
            (found.verdict, &found.old_fault, &found.new_fault),
            (Verdict::Different, &None, &None)
        );
        let sizes = found.space.expect("both are spaces");
        assert_eq!(sizes.before, Some(points), "{found}");
        assert!((sizes.after.expect("a size") / points - factor).abs() < 1e-9, "{found}");
        match found.changes[0].effect {
            Some(Effect::Points { factor: own }) => assert!((own - factor).abs() < 1e-9, "{found}"),
            Some(Effect::Counts { .. }) => panic!("{found}"),
            None => assert_eq!(factor, 1.0, "{found}"),
        }
    }
}

#[test]
fn weights_and_options_that_change_together_are_two_lines() {
    let new = SPACE.replace("sep<k>, id }", "sep<k>: 3, id, max<3>: 2 }");
    let found = between(SPACE, &new);
    assert_eq!(lines(&found), ["s.ops: max<3>: 2 added", "s.ops: sep<k> -> sep<k>: 3"]);
    assert!(found.changes[0].effect.is_some() && found.changes[1].effect.is_none(), "{found}");
}

#[test]
fn a_point_is_its_space_with_the_holes_filled() {
    let source = SourceFile::new("space.cell", SPACE);
    let (file, module) = (syntax::parse(&source).expect("parses"), module(SPACE));
    let decisions = &module.space.as_ref().expect("a space").decisions;
    for trial in 0..20 {
        let genotype = decisions.sample(&mut stream(14, Purpose::Sample, trial));
        let text = syntax::print(&space::fill(&file, &module, &genotype));
        let found = between(SPACE, &text);
        for change in &found.changes {
            let before = change.before.as_deref().unwrap_or_default();
            let is_hole = before.contains('?') || before == "concat(unused)";
            assert!(is_hole || change.place == "space s", "{change}\n{text}");
        }
        let of = |place: &str| found.changes.iter().filter(|change| change.place == place).count();
        let parts = ["let k", "op unit", "normal.n", "normal.n.left", "normal.n.right", "space s"];
        assert_eq!(parts.map(of), [1; 6], "{found}\n{text}");
        // A hole filled halves the space, or leaves a third or a half of it in one cell.
        for change in found.changes.iter().filter(|change| change.place == "let k") {
            assert_eq!(change.effect, Some(Effect::Points { factor: 0.5 }), "{found}");
        }
    }
}

#[test]
fn a_change_that_no_counted_network_shows_is_never_called_the_same() {
    let extra = |net: &str, k: u64| {
        edited(&[])
            + &format!(
                "let kernel = {k}
                cell spare(h) {{ out sep<kernel>(h) }}
                net other<N, F> {{ input 8x8x3 classes 10 stem conv<3> |> bn
                    stack {net} head relu |> gap |> dense<classes> }}"
            )
    };
    let options = Options {
        net: Some("cifar".into()),
        scale: Some(Scale { n: 1, f: 768 }),
        ..Options::default()
    };
    let of = |old: String, new: String| {
        diff(&SourceFile::new("old", old), &SourceFile::new("new", new), &options)
    };
    let found = of(extra("normal", 3), extra("normal", 5));
    assert_eq!(
        (found.verdict, lines(&found)),
        (Verdict::Different, vec!["let kernel: 3 -> 5".into()])
    );
    let found = of(extra("normal", 3), extra("2 * normal", 3));
    assert_eq!(lines(&found), ["net other.stack: normal -> 2 * normal"]);
    assert_eq!(found.verdict, Verdict::Different);
}
