//! `use`: what a file has of another one, where its faults are told, and that what is written down of it
//! needs no other file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use cellc::compile::{self, Request};
use cellc::diagnostic::{Code, Diagnostic, Help};
use cellc::error::Error;
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::link::{link, write_out};
use cellc::rng::{Purpose, stream};
use cellc::source::{Folders, Library, Loader, SourceFile};
use cellc::syntax::{self, ast::Item};
use cellc::{graph::hash, space};

/// Files in memory, as an embedder may have them.
struct Memory {
    files: BTreeMap<&'static str, String>,
    loads: RefCell<Vec<String>>,
}

impl Memory {
    fn new(files: &[(&'static str, &str)]) -> Self {
        let files = files.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        Memory { files, loads: RefCell::default() }
    }
}

impl Loader for Memory {
    fn load(&self, path: &str, _: &SourceFile) -> Result<SourceFile, Error> {
        self.loads.borrow_mut().push(path.to_owned());
        match self.files.get(path) {
            Some(text) => Ok(SourceFile::new(path, text.as_str())),
            None => Err(Error::read(path)(io::ErrorKind::NotFound.into())),
        }
    }

    fn candidates(&self, _: &str, _: &SourceFile) -> Vec<String> {
        self.files.keys().map(|name| (*name).to_owned()).collect()
    }
}

/// The meaning of `main` beside `files`, and of its text with all it uses written out, alone.
fn both(main: &str, files: &[(&'static str, &str)]) -> (Module, Module, String) {
    let source = SourceFile::new("main.cell", main);
    let (file, module) = link(&source, &Memory::new(files)).unwrap_or_else(|faults| {
        panic!("{:?}", faults.iter().collect::<Vec<_>>());
    });
    let text = syntax::print(&write_out(&file, &module));
    assert!(!text.contains("use \""), "{text}");
    let alone = compile::check(&SourceFile::new("alone.cell", text.as_str()))
        .unwrap_or_else(|faults| panic!("{:?}\n{text}", faults.iter().collect::<Vec<_>>()));
    (module, alone, text)
}

/// What a net comes to: the identity of its graph.
fn identity(module: &Module, net: &str) -> u64 {
    let request = Request { width: Width::Base(8), ..Request::new(net, Scale { n: 2, f: 0 }) };
    let lowered = compile::network(module, &request)
        .unwrap_or_else(|fault| panic!("net {net} cannot be built: {fault:?}"));
    hash::canonical(&lowered.graph)
}

fn alone(text: &str) -> Module {
    compile::check(&SourceFile::new("expected.cell", text))
        .unwrap_or_else(|faults| panic!("{:?}\n{text}", faults.iter().collect::<Vec<_>>()))
}

fn faults(main: &str, files: &[(&'static str, &str)]) -> Vec<Diagnostic> {
    let source = SourceFile::new("main.cell", main);
    match compile::check_with(&source, &Memory::new(files)) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().collect(),
    }
}

fn only(mut faults: Vec<Diagnostic>) -> Diagnostic {
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

fn notes(fault: &Diagnostic) -> String {
    let text = |help: &Help| match help {
        Help::Note(text) => text.clone(),
        Help::Replace { with, .. } => format!("write {with}"),
    };
    fault.help.iter().map(text).collect::<Vec<_>>().join("\n")
}

const CELLS: &str = "cell normal(h, prev) {
    a = mixer(sep<3>(h)) + h
    out concat(a)
}

cell reduction(h, prev) stride 2 = normal
";

#[test]
fn operations_constants_cells_and_nets_are_those_of_one_file() {
    let blocks = format!(
        "let kernel = 5\n\nop mixer(x) = x |> relu |> conv<kernel> |> bn\n\n{CELLS}
net flat<N, F> {{
    stem  conv<3, out = base> |> bn
    stack N * normal, reduction * 2
    head  relu |> gap |> dense<classes>
}}
"
    );
    let main = "use \"blocks.cell\"

cell big(h, prev) = normal

cell odd(h, prev) {
    a = mixer(h) + sep<kernel - 2>(h)
    out a
}

net mine<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * odd, reduction * 2, N * big
    head  relu |> gap |> mixer |> dense<classes>
}
";
    let (module, written, _) = both(main, &[("blocks.cell", &blocks)]);
    let one = alone(&format!("{blocks}{}", main.replace("use \"blocks.cell\"\n", "")));
    for net in ["flat", "mine", "cifar"] {
        assert_eq!(identity(&module, net), identity(&one, net), "{net}");
        assert_eq!(identity(&written, net), identity(&one, net), "{net}");
    }
    assert!(module.own_cells().map(|cell| cell.name.name.as_str()).eq(["big", "odd"]));
}

#[test]
fn own_definitions_hide_used_ones_and_the_used_file_keeps_its_own() {
    let used = "let kernel = 5
op inner(x) = x |> relu |> conv<kernel> |> bn
op mixer(x) = inner(x)
op id(x) = inner(x)
op fixup(x) = inner(x)
cell reduction(h, prev) stride 2 {
    a = sep<3, 1>(h) + h
    repeat 2 as b { mixer(a) + a }
    out concat(unused)
}
";
    let main = "use \"used.cell\"
let kernel = 3
op inner(x) = x |> bn
op id(x) = x |> relu |> conv<1> |> bn
op fixup(x) = x
cell normal(h, prev) {
    a = mixer(squeeze(h)) + inner(squeeze(h))
    b = conv<kernel>(a) + a
    out concat(a, b)
}
cell copied<kernel = 7>(h, prev) = reduction
net mine<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * normal, reduction * 2, N * copied
    head  relu |> gap |> dense<classes>
}
";
    let expected = "let used_kernel = 5
op used_inner(x) = x |> relu |> conv<used_kernel> |> bn
op mixer(x) = used_inner(x)
op inner(x) = x |> bn
op id(x) = x |> relu |> conv<1> |> bn
op fixup(x) = x
cell normal(h, prev) {
    a = mixer(squeeze(h)) + inner(squeeze(h))
    b = conv<3>(a) + a
    out concat(a, b)
}
cell reduction(h, prev) stride 2 {
    a  = sep<3, 1>(h) + used_inner(h)
    b1 = mixer(a) + used_inner(a)
    b2 = mixer(a) + used_inner(a)
    out concat(used_inner(b1), used_inner(b2))
}
cell copied(h, prev) {
    a  = sep<3, 1>(h) + used_inner(h)
    b1 = mixer(a) + used_inner(a)
    b2 = mixer(a) + used_inner(a)
    out concat(used_inner(b1), used_inner(b2))
}
net mine<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * normal, reduction * 2, N * copied
    head  relu |> gap |> dense<classes>
}
";
    let (module, written, text) = both(main, &[("used.cell", used)]);
    let expected = alone(expected);
    for net in ["mine", "cifar"] {
        assert_eq!(identity(&module, net), identity(&expected, net), "{net}");
        assert_eq!(identity(&written, net), identity(&expected, net), "{net}\n{text}");
    }
}

#[test]
fn a_hidden_operation_of_the_prelude_is_written_out_for_those_that_mean_it() {
    let first = "op sep<k>(x) = x |> conv<k>\nop mine(x) = sep<3>(x)\n";
    let second = "op theirs(x) = x |> sep<3> |> factorized<3>\n";
    let main = "use \"first.cell\"
use \"second.cell\"
cell normal(h, prev) {
    a = mine(h) |> theirs |> sep<5>
    out concat(a)
}
cell reduction(h, prev) stride 2 = normal
";
    let (module, written, text) = both(main, &[("first.cell", first), ("second.cell", second)]);
    assert_eq!(identity(&module, "cifar"), identity(&written, "cifar"));
    // `factorized` is the prelude's for everybody, so its text is nowhere.
    assert!(text.contains("op sep_2<") && !text.contains("op factorized"), "{text}");
    let expected = alone(
        "cell normal(h, prev) {
    a = conv<3>(h) |> sep<3> |> factorized<3> |> conv<5>
    out concat(a)
}
cell reduction(h, prev) stride 2 = normal
",
    );
    assert_eq!(identity(&module, "cifar"), identity(&expected, "cifar"));
}

#[test]
fn used_files_pass_on_what_they_use() {
    let files = [("deep.cell", "op mixer(x) = x |> bn\n"), ("mid.cell", "use \"deep.cell\"\n")];
    let (module, written, _) = both(&format!("use \"mid.cell\"\n{CELLS}"), &files);
    let one = alone(&format!("op mixer(x) = x |> bn\n{CELLS}"));
    assert_eq!(identity(&module, "cifar"), identity(&one, "cifar"));
    assert_eq!(identity(&written, "cifar"), identity(&one, "cifar"));
}

#[test]
fn a_net_of_a_used_file_stacks_the_cells_of_the_file_that_uses_it() {
    let used = format!(
        "op mixer(x) = x |> conv<1>\n{CELLS}\nnet short<N, F> {{
    stem  conv<3, out = base>
    stack N * normal
    head  gap |> dense<classes>
}}
"
    );
    let own = "cell normal(h, prev) {\n    out concat(sep<7>(h))\n}\n";
    let (module, written, _) = both(&format!("use \"used.cell\"\n{own}"), &[("used.cell", &used)]);
    let net = &used[used.find("net short").expect("it is there")..];
    let expected = identity(&alone(&format!("{own}{net}")), "short");
    assert_eq!(identity(&module, "short"), expected);
    assert_eq!(identity(&written, "short"), expected);
}

#[test]
fn two_files_may_share_a_third_but_not_a_name() {
    let base = ("base.cell", "op mixer(x) = x |> bn\n");
    let left = ("left.cell", "use \"base.cell\"\nop l(x) = mixer(x)\n");
    let right = ("right.cell", "use \"base.cell\"\nop r(x) = mixer(x)\n");
    let main = format!("use \"left.cell\"\nuse \"right.cell\"\n{CELLS}");
    let loader = Memory::new(&[base, left, right]);
    compile::check_with(&SourceFile::new("main.cell", main.as_str()), &loader).expect("sound");

    let other = ("right.cell", "op mixer(x) = x |> relu\nop r(x) = mixer(x)\n");
    let fault = only(faults(&main, &[base, left, other]));
    assert_eq!(fault.code, Code::ClashingUses);
    assert_eq!(&main[fault.primary.span.range()], "\"right.cell\"");
    assert_eq!(&main[fault.secondary[0].span.range()], "\"left.cell\"");
    assert!(fault.message.contains("operation `mixer`"), "{}", fault.message);

    let own = main.replace("cell normal", "op mixer(x) = x |> sigmoid\ncell normal");
    assert_eq!(faults(&own, &[base, left, other]), []);
}

#[test]
fn each_file_is_read_once_for_each_use_and_linked_once() {
    // 2^20 paths lead to the last file.
    let texts: Vec<String> =
        (0..20).map(|at| format!("use \"{}a\"\nuse \"{}b\"\n", at + 1, at + 1)).collect();
    let mut files: BTreeMap<&'static str, String> = BTreeMap::new();
    for (at, text) in texts.iter().enumerate() {
        for side in ["a", "b"] {
            files.insert(format!("{at}{side}").leak(), text.clone());
        }
    }
    files.insert("20a", "op last(x) = x |> bn\n".into());
    files.insert("20b", "let k = 3\n".into());
    let loader = Memory { files, loads: RefCell::default() };
    let main = "use \"0a\"\ncell normal(h, prev) {\n    out concat(last(h))\n}\n";
    compile::check_with(&SourceFile::new("main", main), &loader).expect("sound");
    assert_eq!(loader.loads.borrow().len(), 1 + 2 * (1 + 2 * 19));
}

#[test]
fn a_fault_of_a_used_file_is_told_once_where_it_is_used() {
    let faulty = ("d.cell", "op f(x) = g(x)\n\nop h(x) = j(x)\n");
    let files = [faulty, ("b.cell", "use \"d.cell\"\n"), ("c.cell", "use \"d.cell\"\n")];
    let main = "use \"b.cell\"\nuse \"c.cell\"\nop f(x) = nothing(x)\n";
    let fault = only(faults(main, &files));
    assert_eq!(fault.code, Code::FaultyUsedFile);
    assert_eq!(&main[fault.primary.span.range()], "\"b.cell\"");
    assert_eq!(fault.message, "cannot use `b.cell`: `d.cell`, which it needs, has 2 faults");
    assert_eq!(notes(&fault), "the first of them is d.cell:1:11: E0201: unknown operation `g`");

    let fault = only(faults("use \"d.cell\"\n", &[("d.cell", "cell a(\n")]));
    assert!(fault.message.starts_with("cannot use `d.cell`: it has a fault"), "{}", fault.message);
    let fault = only(faults("use \"d.cell\"\n", &[("d.cell", "expect cifar 2@96 { params 1 }\n")]));
    assert_eq!(fault.code, Code::FaultyUsedFile);
}

#[test]
fn a_missing_file_is_told_with_the_nearest_name() {
    let files = [("blocks.cell", "")];
    let main = "use \"block.cell\"\nuse \"somewhere/else.cell\"\n";
    let found = faults(main, &files);
    assert!(found.iter().all(|fault| fault.code == Code::NoUsedFile), "{found:?}");
    assert_eq!(notes(&found[0]), "write \"blocks.cell\"");
    assert!(notes(&found[1]).contains("relative to the folder"), "{found:?}");
    // A text alone has the library of cells and no more.
    let source = SourceFile::new("main.cell", "use \"/etc/hostname\"\nuse \"nasnet_a.cell\"\n");
    let found = compile::check(&source).expect_err("no folder is read");
    assert!(found.count() == 1 && found.iter().all(|fault| fault.code == Code::NoUsedFile));
}

#[test]
fn circles_of_files_are_named() {
    let files = [
        ("a.cell", "use \"b.cell\"\n"),
        ("b.cell", "use \"c.cell\"\n"),
        ("c.cell", "use \"a.cell\"\n"),
        ("self.cell", "use \"self.cell\"\n"),
    ];
    let fault = only(faults("use \"a.cell\"\n", &files));
    assert_eq!(fault.code, Code::CyclicDefinition);
    assert_eq!(fault.primary.text, "`a.cell` uses `b.cell` uses `c.cell` uses `a.cell`");
    let fault = only(faults("use \"self.cell\"\n", &files));
    assert_eq!(fault.primary.text, "`self.cell` uses itself");
    let itself = ("main.cell", "use \"main.cell\"\n");
    let fault = only(faults(itself.1, &[itself]));
    assert_eq!(fault.primary.text, "`main.cell` uses itself");
}

#[test]
fn depth_number_and_size_of_used_files_are_bounded() {
    let chain = |length: usize| {
        let texts = (0..length).map(|at| (format!("{at}"), format!("use \"{}\"\n", at + 1)));
        let mut files: BTreeMap<&'static str, String> =
            texts.map(|(name, text)| (&*name.leak(), text)).collect();
        files.insert(format!("{length}").leak(), String::new());
        Memory { files, loads: RefCell::default() }
    };
    let main = SourceFile::new("main", "use \"0\"\n");
    compile::check_with(&main, &chain(20)).expect("twenty files are few");
    let found = compile::check_with(&main, &chain(5_000)).expect_err("a chain too long");
    let fault = only(found.into_iter().collect());
    assert!(notes(&fault).contains("E0102"), "{fault:?}");

    let many: String = (0..400).map(|at| format!("use \"{at}\"\n")).collect();
    let files = (0..400).map(|at| (&*format!("{at}").leak(), String::new())).collect();
    let loader = Memory { files, loads: RefCell::default() };
    let found = compile::check_with(&SourceFile::new("main", many), &loader);
    assert!(found.expect_err("too many").iter().all(|fault| fault.code == Code::TooLarge));

    let big = format!("// {}\n", "x".repeat(3 << 20));
    let files = [("a", big.as_str()), ("b", big.as_str())];
    let fault = only(faults("use \"a\"\nuse \"b\"\n", &files));
    assert_eq!(fault.code, Code::TooLarge);
}

#[test]
fn of_a_file_with_a_space_what_stands_outside_is_used() {
    let used = "op mixer(x) = x |> bn
space s {
    ops = { sep<3>, max<3> }
    op chosen(x) = x |> ?{ relu, sigmoid }
    cell normal(h, prev) {
        out ?ops(h)
    }
}
";
    let main = format!("use \"used.cell\"\n{CELLS}");
    let (module, _, _) = both(&main, &[("used.cell", used)]);
    assert!(module.space.is_none());
    let fault = only(faults("use \"used.cell\"\nop f(x) = chosen(x)\n", &[("used.cell", used)]));
    assert_eq!((fault.code, fault.primary.text.as_str()), (Code::UnknownName, ""));
    let leaning = used.replace("x |> bn", "chosen(x)");
    let fault = only(faults(&main, &[("used.cell", &leaning)]));
    assert_eq!(fault.code, Code::FaultyUsedFile);
}

/// Every span of a fault lies in the text of the file that is checked, at something that explains it.
#[test]
fn faults_in_used_cells_are_told_in_the_file_that_uses_them() {
    let padding = "// far away\n".repeat(200);
    let used = format!(
        "{padding}cell picky<k = 1>(h, prev) {{
    require odd(k) : \"odd only, got {{k}}\"
    a = conv<k, pad = valid>(h) |> conv<1>
    b = conv<1>(h) |> conv<1>
    out concat(a, b), avg<k>(h) to 3
}}

cell needs<k = 3>(h) {{
    out conv<k>(h)
}}
"
    );
    let net = |stack: &str| {
        format!(
            "use \"used.cell\"\n\nnet mine<N, F> {{
    stem  conv<3, out = base>
    stack {stack}
    head  gap |> dense<classes>
}}
"
        )
    };
    let copy = "use \"used.cell\"\n\ncell normal(h, prev) = picky<4>\n".to_owned();
    let kernel = "use \"used.cell\"\n\ncell normal(h) = needs<70>\n".to_owned();
    let mains = [
        (net("2 * picky<2>"), "picky<2>"),
        (net("2 * picky<3>"), "picky<3>"),
        (net("2 * needs<3, 4>"), "needs<3, 4>"),
        (net("2 * needs<70>"), "needs<70>"),
        (net("9 * picky<1>, 2 * needs"), "needs"),
        (copy, "picky<4>"),
        (kernel, "needs<70>"),
    ];
    for (main, place) in mains {
        let found = faults(&main, &[("used.cell", &used)]);
        assert!(!found.is_empty(), "{main}");
        for fault in found {
            let spans = fault.secondary.iter().map(|label| label.span).chain([fault.primary.span]);
            for span in spans {
                assert!(span.end <= main.len(), "{fault:?}\n{main}");
            }
            let at = &main[fault.primary.span.range()];
            assert!(place.contains(at) && !at.is_empty(), "{at:?} for {place:?}: {fault:?}");
        }
    }
}

#[test]
fn a_used_operation_reports_where_it_is_used() {
    let used = format!(
        "{}op odd_only<k>(x) {{
    require odd(k) : \"odd only, got {{k}}\"
    x |> conv<k>
}}
",
        "// far away\n".repeat(100)
    );
    let main = "use \"used.cell\"\ncell normal(h, prev) {\n    out concat(odd_only<4>(h))\n}\n";
    let fault = only(faults(main, &[("used.cell", &used)]));
    assert_eq!(fault.message, "odd only, got 4");
    assert_eq!(&main[fault.primary.span.range()], "odd_only<4>");
    assert_eq!(fault.secondary, []);
}

#[test]
fn only_what_is_reached_is_written_out() {
    let used = "let used_one = 3
let left_out = 4
op reached(x) = x |> deeper
op deeper(x) = x |> conv<used_one>
op unreached(x) = x |> conv<left_out>
cell lonely(h) {
    out unreached(h)
}
";
    let main = "use \"used.cell\"
cell normal(h, prev) {
    out concat(reached(h))
}
";
    let (_, _, text) = both(main, &[("used.cell", used)]);
    for there in ["let used_one", "op reached", "op deeper", "cell normal"] {
        assert!(text.contains(there), "{there}: {text}");
    }
    for absent in ["left_out", "unreached", "lonely"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    // A file that uses none stays as it is, with its comments.
    let plain = SourceFile::new("plain.cell", "// why\nop f(x) = x |> bn\n");
    let (file, module) = link(&plain, &Library).expect("sound");
    assert_eq!(syntax::print(&write_out(&file, &module)), plain.text);
}

#[test]
fn a_used_net_that_the_cells_do_not_fit_is_not_written_out() {
    let nets = "net narrow<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * normal
    head  relu |> gap |> dense<classes>
}

net halving<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * normal, normal stride 2 * 2, N * normal
    head  relu |> gap |> dense<classes>
}
";
    // No `fit`: the sum has two sizes behind a cell of stride 2.
    let main = "use \"nets.cell\"

cell normal(h, prev) {
    a = squeeze(h) + squeeze(prev)
    out a
}
";
    let (_, alone, text) = both(main, &[("nets.cell", nets)]);
    assert!(alone.net("narrow").is_some(), "{text}");
    assert!(alone.net("halving").is_none(), "{text}");

    let fitting = main.replace("squeeze(prev)", "squeeze(fit(prev))");
    let (_, alone, text) = both(&fitting, &[("nets.cell", nets)]);
    assert!(alone.net("narrow").is_some() && alone.net("halving").is_some(), "{text}");
}

#[test]
fn a_net_whose_cell_repeats_one_that_is_hidden_is_written_out() {
    let nets = "cell normal(h, prev) {
    a = squeeze(h) + squeeze(fit(prev))
    out a
}

cell reduction(h, prev) stride 3 = normal

net mine<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * normal, reduction stride 2 * 2, N * normal
    head  relu |> gap |> dense<classes>
}
";
    // `normal` of the used file stands in no stack here: it is a text for `reduction`, and need not fit
    // behind a cell of stride 3.
    let main = "use \"nets.cell\"

cell normal(h, prev) {
    a = squeeze(h)
    out a
}
";
    let (_, alone, text) = both(main, &[("nets.cell", nets)]);
    assert!(alone.net("mine").is_some(), "{text}");
}

#[test]
fn a_used_cell_is_tried_where_the_nets_of_the_file_stack_it() {
    let cells = "cell plain(h, prev) {
    a = squeeze(h) + squeeze(prev)
    out a
}

net flat<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * plain
    head  relu |> gap |> dense<classes>
}
";
    let main = "use \"cells.cell\"

net halving<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * plain, plain stride 2, N * plain
    head  relu |> gap |> dense<classes>
}
";
    let source = SourceFile::new("main.cell", main);
    let faults = compile::check_with(&source, &Memory::new(&[("cells.cell", cells)]));
    let faults = faults.expect_err("the inputs of `plain` differ in size behind one of stride 2");
    let told: Vec<(String, &str)> = faults
        .iter()
        .map(|fault| (fault.code.to_string(), &source.text[fault.primary.span.range()]))
        .collect();
    assert_eq!(told, [("E0301".to_owned(), "plain")]);
}

const SPACE: &str = "use \"blocks.cell\"

let kernel = 3

space s {
    ops = { mixer, sep<kernel>, own<5> }
    op own<k>(x) = x |> ?{ relu, sigmoid } |> conv<k>
    cell normal(h, prev) {
        a = ?ops(squeeze(h)) ?{ +, joined } h
        out concat(unused)
    }
    cell reduction(h, prev) stride 2 = halves<5>
}

net mine<N, F> {
    stem  conv<kernel, out = base> |> bn
    stack N * normal, reduction * 2, N * normal
    head  relu |> gap |> mixer |> dense<classes>
}
";

const BLOCKS: &str = "use \"base.cell\"

op mixer(x) = x |> relu |> conv<kernel> |> bn

op joined(x, y) = mixer(x) + y

cell halves<k = 3>(h, prev) {
    let kernel = k
    a = conv<kernel>(squeeze(h)) + h
    b = mixer(a) + a
    out concat(unused)
}
";

const BASE: &str = "let kernel = 7

op id(x) = x |> relu |> conv<1>
";

#[test]
fn points_of_a_space_compile_alone_to_the_same_networks() {
    let loader = Memory::new(&[("blocks.cell", BLOCKS), ("base.cell", BASE)]);
    let (file, module) = link(&SourceFile::new("space.cell", SPACE), &loader).expect("sound");
    let decisions = &module.space.as_ref().expect("it has one").decisions;
    let mut seen = std::collections::BTreeSet::new();
    for trial in 0..40 {
        let point = decisions.sample(&mut stream(3, Purpose::Sample, trial));
        let text = syntax::print(&space::fill(&file, &module, &point));
        assert!(!text.contains("use \"") && !text.contains('@'), "{text}");
        let alone = alone(&text);
        let ids = [
            compile::architecture_id(&module, "mine", Some(&point)).expect("builds"),
            compile::architecture_id(&alone, "mine", None).expect("builds"),
        ];
        assert_eq!(ids[0], ids[1], "{text}");
        assert_eq!(syntax::format(&SourceFile::new("x", text.as_str())).as_ref(), Ok(&text));
        seen.insert(ids[0].clone());
    }
    assert!(seen.len() > 4, "{seen:?}");
    // With its holes open, it is the same space.
    let text = syntax::print(&write_out(&file, &module));
    let open = compile::check(&SourceFile::new("open.cell", text.as_str()))
        .unwrap_or_else(|faults| panic!("{:?}\n{text}", faults.iter().collect::<Vec<_>>()));
    let point = decisions.sample(&mut stream(3, Purpose::Sample, 0));
    assert_eq!(
        compile::architecture_id(&open, "mine", Some(&point)).expect("builds"),
        compile::architecture_id(&module, "mine", Some(&point)).expect("builds"),
    );
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
}

fn in_folder(folder: &Path, main: &str) -> Vec<Diagnostic> {
    let source = SourceFile::read(&folder.join(main)).expect("it is there");
    match compile::check_with(&source, &Folders) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().collect(),
    }
}

#[test]
fn paths_are_relative_to_the_using_file_and_may_climb_or_be_absolute() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let folder = scratch.path();
    let absolute = folder.join("deep/abs.cell").display().to_string();
    write(
        folder,
        &[
            (
                "a/main.cell",
                &format!("use \"../deep/up.cell\"\nuse \"{absolute}\"\nop f(x) = g(h(x))\n"),
            ),
            ("deep/up.cell", "use \"beside.cell\"\n"),
            ("deep/beside.cell", "op g(x) = x |> bn\n"),
            ("deep/abs.cell", "op h(x) = x |> bn\n"),
            ("library.cell", "use \"nasnet_a.cell\"\ncell other(h, prev) = normal\n"),
            ("hides/nasnet_a.cell", "op of_the_folder(x) = x |> bn\n"),
            ("hides/main.cell", "use \"nasnet_a.cell\"\nop f(x) = of_the_folder(x)\n"),
            ("near/main.cell", "use \"blokcs.cell\"\n"),
            ("near/blocks.cell", ""),
            ("near/sub.cell", "use \"../deep/besides.cell\"\n"),
        ],
    );
    for sound in ["a/main.cell", "library.cell", "hides/main.cell"] {
        assert_eq!(in_folder(folder, sound), [], "{sound}");
    }
    assert_eq!(notes(&only(in_folder(folder, "near/main.cell"))), "write \"blocks.cell\"");
    assert_eq!(notes(&only(in_folder(folder, "near/sub.cell"))), "write \"../deep/beside.cell\"");
}

#[cfg(unix)]
#[test]
fn links_in_circles_and_devices_end() {
    use std::os::unix::fs::symlink;
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let folder = scratch.path();
    write(
        folder,
        &[
            ("main.cell", "use \"loop/loop/main.cell\"\n"),
            ("turn.cell", "use \"x.cell\"\n"),
            ("device.cell", "use \"/dev/zero\"\n"),
            ("folder.cell", "use \".\"\n"),
            ("bytes.cell", "use \"latin1.cell\"\n"),
            ("twice.cell", "use \"turn2.cell\"\nuse \"alias.cell\"\n"),
            ("turn2.cell", "op f(x) = x |> bn\n"),
        ],
    );
    fs::write(folder.join("latin1.cell"), b"// caf\xe9\n").expect("written");
    symlink(folder, folder.join("loop")).expect("linked");
    symlink("x.cell", folder.join("y.cell")).expect("linked");
    symlink("y.cell", folder.join("x.cell")).expect("linked");
    symlink("turn2.cell", folder.join("alias.cell")).expect("linked");
    let circle = only(in_folder(folder, "main.cell"));
    assert_eq!(circle.primary.text, "`main.cell` uses itself");
    for unreadable in ["turn.cell", "device.cell", "folder.cell", "bytes.cell"] {
        let fault = only(in_folder(folder, unreadable));
        assert_eq!(fault.code, Code::NoUsedFile, "{fault:?}");
        assert!(fault.message.starts_with("cannot read"), "{fault:?}");
    }
    assert_eq!(only(in_folder(folder, "twice.cell")).code, Code::DuplicateName);
}

#[test]
fn nothing_of_a_used_file_is_an_item_of_the_file() {
    let loader = Memory::new(&[("blocks.cell", BLOCKS), ("base.cell", BASE)]);
    let source = SourceFile::new("main.cell", "use \"blocks.cell\"\nop f(x) = mixer(x)\n");
    let (file, module) = link(&source, &loader).expect("sound");
    assert_eq!(file.items.iter().filter(|item| matches!(item, Item::Use(_))).count(), 1);
    assert_eq!(module.to_string().lines().filter(|line| line.starts_with("op ")).count(), 1);
    let names: Vec<&str> = module.used.iter().map(|used| used.name.as_str()).collect();
    assert_eq!(names, ["base.cell", "blocks.cell"]);
}

#[cfg(feature = "lsp")]
#[test]
fn an_editor_sees_used_files() {
    use cellc::lsp::Document;
    let main = |text: &str| SourceFile::new("main.cell", text);
    let text = "use \"used.cell\"\nop f(x) = mixer(x)\n";
    let loader = Memory::new(&[("used.cell", "op mixer(x) = x |> bn\n")]);
    assert_eq!(Document::new_with(main(text), None, &loader).faults, []);
    let faults = Document::new(main(text), None).faults;
    assert_eq!(only(faults).code, Code::NoUsedFile);
}

#[cfg(feature = "cli")]
mod cli {
    use std::process::{Command, Output};

    use super::*;

    fn cellc(folder: &Path, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cellc"))
            .args(args)
            .current_dir(folder)
            .env("NO_COLOR", "1")
            .output()
            .expect("the program starts")
    }

    fn fine(folder: &Path, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = cellc(folder, args);
        let text = String::from_utf8(stdout).expect("output is text");
        assert!(status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&stderr));
        text
    }

    fn refused(folder: &Path, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = cellc(folder, args);
        assert_eq!(status.code(), Some(1), "{args:?}");
        let all = [stdout, stderr].concat();
        let text = String::from_utf8(all).expect("output is text");
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    #[test]
    fn check_reads_used_files_and_fmt_does_not() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = scratch.path();
        write(
            folder,
            &[
                ("in/main.cell", &format!("use \"../blocks.cell\"\n\n{CELLS}")),
                ("blocks.cell", "op mixer(x) = x |> bn\n"),
                ("lost.cell", "use \"nowhere.cell\"\n"),
                ("bad.cell", "op f(x) = g(x)\n"),
                ("left.cell", "use \"bad.cell\"\n"),
                ("right.cell", "use \"bad.cell\"\n"),
                ("all.cell", "use \"left.cell\"\nuse \"right.cell\"\n"),
            ],
        );
        assert_eq!(fine(folder, &["check", "in/main.cell"]), "in/main.cell: fine\n");
        fine(folder, &["stats", "in/main.cell", "--scale", "1@24"]);
        let before = refused(folder, &["check", "all.cell", "--format", "short"]);
        assert_eq!(before.lines().count(), 1, "{before}");
        assert!(before.starts_with("all.cell:1:5: error[E0206]"), "{before}");
        // Its `use` leads nowhere, and it is formatted all the same.
        fine(folder, &["fmt", "--check", "lost.cell"]);
        assert!(refused(folder, &["check", "lost.cell"]).contains("E0205"));
    }

    #[test]
    fn what_a_search_and_a_training_write_needs_no_other_file() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = scratch.path();
        write(
            folder,
            &[("in/space.cell", SPACE), ("in/blocks.cell", BLOCKS), ("in/base.cell", BASE)],
        );
        let search = [
            "search",
            "in/space.cell",
            "--data",
            "digits",
            "--net",
            "mine",
            "--strategy",
            "random",
            "--trials",
            "1",
            "--epochs",
            "1",
            "--base",
            "2",
            "--workers",
            "1",
            "--out",
            "runs",
            "--name",
            "r",
        ];
        fine(folder, &search);
        let elsewhere = folder.join("elsewhere");
        fs::create_dir(&elsewhere).expect("made");
        fs::copy(folder.join("runs/r/best.cell"), elsewhere.join("best.cell")).expect("copied");
        let text = fine(&elsewhere, &["check", "best.cell"]);
        assert!(text.contains("fine"), "{text}");

        let trained = "use \"blocks.cell\"\nuse \"base.cell\"\n\ncell normal(h, prev) = halves<3>\n\ncell reduction(h, prev) stride 2 = halves<3>\n";
        write(folder, &[("in/one.cell", trained)]);
        fine(
            folder,
            &[
                "train",
                "in/one.cell",
                "--data",
                "digits",
                "--epochs",
                "1",
                "--scale",
                "1@32",
                "--out",
                "one.safetensors",
            ],
        );

        // A change of what is used is a change of the space.
        let mut resume = search.to_vec();
        resume.push("--resume");
        fine(folder, &resume);
        let base = BASE.replace("let kernel = 7", "let kernel = 5");
        write(folder, &[("in/base.cell", &base)]);
        assert!(refused(folder, &resume).contains("file"));
        // What is not reached is none.
        let base = format!("{BASE}\nop unreached(x) = x |> bn\n");
        write(folder, &[("in/base.cell", &base)]);
        fine(folder, &resume);

        fs::remove_dir_all(folder.join("in")).expect("removed");
        let text = fine(folder, &["eval", "one.safetensors", "--data", "digits"]);
        assert!(text.contains("accuracy"), "{text}");
    }
}
