//! What is in a picture: every input and block, every read, holes, labels.

use std::collections::BTreeMap;

use cellc::draw::{self, Kind, Options, Panel};
use cellc::source::SourceFile;
use cellc::{compile, space, syntax};

use super::figures;

/// Names as boxes and captions show them: inputs, then blocks.
fn names(panel: &Panel) -> Vec<&str> {
    let inputs = panel.nodes.iter().filter(|node| node.kind == Kind::Input);
    let captions = panel.nodes.iter().filter_map(|node| node.caption.as_ref());
    inputs
        .map(|node| node.lines[0].as_str())
        .chain(captions.map(|caption| caption.text.as_str()))
        .collect()
}

#[test]
fn every_input_and_block_is_there() {
    for case in figures::all() {
        let figure = case.figure();
        assert_eq!(figure.panels.len(), case.module.own_cells().count());
        for (panel, cell) in figure.panels.iter().zip(case.module.own_cells()) {
            assert!(panel.title.starts_with(&cell.name.name));
            let blocks = cell.blocks.iter().map(|block| &block.name);
            let expected: Vec<&str> =
                cell.inputs.iter().chain(blocks).map(|name| name.name.as_str()).collect();
            assert_eq!(names(panel), expected, "{}", case.name);
            let outs = panel.nodes.iter().filter(|node| node.kind == Kind::Output);
            assert_eq!(outs.count(), cell.outputs.len());
        }
    }
}

/// How often each name of a cell stands where a tensor is read, counted in the text of the file.
fn reads_in_text(text: &str, cell: &str) -> BTreeMap<String, usize> {
    let (_, body) = text.split_once(&format!("cell {cell}(")).expect("the cell is in the text");
    let (header, body) = body.split_once('{').expect("a cell has a body");
    let (body, _) = body.split_once("\n}").expect("a cell ends");
    let words = |text: &str| -> Vec<String> {
        let split = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        split.filter(|word| !word.is_empty()).map(str::to_string).collect()
    };
    let mut reads: BTreeMap<String, usize> = words(header.split(')').next().expect("inputs"))
        .into_iter()
        .map(|name| (name, 0))
        .collect();
    for line in body.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.split_once(" = ").unwrap_or(("", line));
        for word in words(value) {
            if let Some(count) = reads.get_mut(&word) {
                *count += 1;
            }
        }
        if !name.is_empty() {
            reads.insert(name.trim().to_string(), 0);
        }
    }
    reads
}

fn reads_in_picture(panel: &Panel) -> BTreeMap<String, usize> {
    let mut reads = BTreeMap::new();
    for (at, node) in panel.nodes.iter().enumerate() {
        let name = match &node.caption {
            Some(caption) => &caption.text,
            None if node.kind == Kind::Input => &node.lines[0],
            None => continue,
        };
        let count = panel.edges.iter().filter(|edge| edge.from == at).count();
        reads.insert(name.clone(), count);
    }
    reads
}

/// A point of a space is drawn as its file is, and each edge stands for a name in that file.
#[test]
fn edges_are_what_the_file_reads() {
    let text = compile::embedded("nasnet_space.cell").expect("in the library");
    let file = syntax::parse(&SourceFile::new("space", text)).expect("it parses");
    for case in figures::sampled(40).iter().filter(|case| case.name.starts_with("nasnet_space")) {
        let genotype = case.genotype.as_ref().expect("a point");
        let filled = syntax::print(&space::fill(&file, &case.module, genotype));
        let alone = figures::checked("filled", &filled);
        let figure = draw::figure(&alone, &Options::default()).expect("it has cells");
        assert_eq!(figure, case.figure(), "{}", case.name);
        for (panel, cell) in figure.panels.iter().zip(&alone.cells) {
            assert_eq!(
                reads_in_picture(panel),
                reads_in_text(&filled, &cell.name.name),
                "{} {}\n{filled}",
                case.name,
                cell.name.name
            );
        }
    }
}

/// A hole is one box with its options, and nothing but holes is dashed.
#[test]
fn open_holes_are_boxes() {
    let module = figures::embedded("nasnet_space.cell");
    let figure = draw::figure(&module, &Options::default()).expect("it has cells");
    for panel in &figure.panels {
        let holes: Vec<_> = panel.nodes.iter().filter(|node| node.kind == Kind::Hole).collect();
        // Five blocks of five decisions.
        assert_eq!(holes.len(), 25);
        assert_eq!(
            holes.iter().filter(|hole| hole.lines.contains(&"... 13 in all".into())).count(),
            10
        );
        assert_eq!(holes.iter().filter(|hole| hole.lines == ["? add, concat"]).count(), 5);
        // Any of a, b, n1 to n4 may stay unused; n5 does for sure.
        assert_eq!(panel.edges.iter().filter(|edge| edge.is_possible).count(), 6);
    }
    for case in figures::sampled(5) {
        for panel in &case.figure().panels {
            assert!(panel.nodes.iter().all(|node| node.kind != Kind::Hole), "{}", case.name);
            assert!(panel.edges.iter().all(|edge| !edge.is_possible), "{}", case.name);
        }
    }
}

#[test]
fn operations_are_called_as_in_the_paper() {
    let text = "op mine<k>(x) = x |> relu |> conv<k>\n\
        op sep<k>(x) = x |> relu |> conv<k>\n\
        cell normal(h, prev) {\n\
        a = h |> conv<1x7, out = c / 2> |> gap |> dense<c>\n\
        b = factorized<7>(prev)\n\
        d = dil<3, d = 4>(b) + max<3>(b)\n\
        e = mine<5>(d) * d\n\
        f = sep<5>(e)\n\
        g = f\n\
        n = concat(conv_bn<1>(g), se<8>(g))\n\
        out concat(n, fixup(n))\n}";
    let figure =
        draw::figure(&figures::checked("labels", text), &Options::default()).expect("drawn");
    let labels: Vec<(Kind, &str)> =
        figure.panels[0].nodes.iter().map(|node| (node.kind, node.lines[0].as_str())).collect();
    let expected = [
        (Kind::Input, "h"),
        (Kind::Input, "prev"),
        (Kind::Operation, "conv 1x7, out = c / 2"),
        (Kind::Operation, "gap"),
        (Kind::Operation, "dense<c>"),
        (Kind::Operation, "1x7 then 7x1"),
        (Kind::Operation, "dil 3x3, d = 4"),
        (Kind::Operation, "max 3x3"),
        (Kind::Combination, "add"),
        (Kind::Operation, "mine<5>"),
        (Kind::Identity, "identity"),
        (Kind::Combination, "mul"),
        // An operation of the file's own is not the paper's.
        (Kind::Operation, "sep<5>"),
        (Kind::Identity, "="),
        (Kind::Operation, "conv 1x1"),
        (Kind::Operation, "se<8>"),
        (Kind::Combination, "concat"),
        // A bare operand of `out concat` is drawn without a box, a written one with.
        (Kind::Operation, "fixup"),
        (Kind::Combination, "concat"),
        (Kind::Output, "out"),
    ];
    assert_eq!(labels, expected);
}
