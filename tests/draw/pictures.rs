//! What is in a picture, and its text as SVG and DOT.

use std::collections::{BTreeMap, BTreeSet};

use cellc::draw::{self, Figure, Kind, Options, Panel, Subject};
use cellc::source::SourceFile;
use cellc::{compile, space, syntax};

use super::figures::{self, Case};

/// Advance widths of `DejaVu Sans` from blank to `~` in thousandths of the font's size, read from the
/// font's `hmtx` table. It is among the widest of the fonts a browser may take for "sans-serif".
const DEJAVU_SANS: [u32; 95] = [
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
];

fn text_width(text: &str, size: f64) -> f64 {
    let advance = |byte: u8| f64::from(DEJAVU_SANS[usize::from(byte - b' ')]) / 1000.0;
    size * text.bytes().map(advance).sum::<f64>()
}

fn number(node: roxmltree::Node<'_, '_>, name: &str) -> f64 {
    let node = node.ancestors().find(|node| node.has_attribute(name)).expect("an attribute");
    node.attribute(name).and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn svg_is_well_formed_and_text_lies_in_its_box() {
    for case in figures::all() {
        let figure = case.figure();
        let svg = figure.to_svg();
        let document =
            roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let root = document.root_element();
        assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
        let panels: Vec<_> =
            root.children().filter(|node| node.attribute("class") == Some("panel")).collect();
        assert_eq!(panels.len(), figure.panels.len());
        for (drawn, panel) in panels.into_iter().zip(&figure.panels) {
            let boxes = drawn.children().filter(|node| node.has_tag_name("g"));
            let mut labels = Vec::new();
            for group in boxes {
                let rect = group.first_element_child().expect("a rectangle");
                let (left, width) = (number(rect, "x"), number(rect, "width"));
                let (top, height) = (number(rect, "y"), number(rect, "height"));
                let mut lines = Vec::new();
                for text in group.children().filter(|node| node.has_tag_name("text")) {
                    let (x, y, size) =
                        (number(text, "x"), number(text, "y"), number(text, "font-size"));
                    let words = text.text().expect("text");
                    if text.attribute("class") == Some("block") {
                        assert!(x >= left + width, "{}: {words} lies in the box", case.name);
                        continue;
                    }
                    assert_eq!(text.attribute("text-anchor"), Some("middle"));
                    assert!((x - (left + width / 2.0)).abs() < 0.11, "{}: {words}", case.name);
                    assert!(text_width(words, size) <= width, "{}: {words} is too wide", case.name);
                    assert!(y - 0.8 * size >= top && y + 0.2 * size <= top + height, "{words}");
                    lines.push(words.to_string());
                }
                labels.push(lines);
            }
            let expected: Vec<_> = panel.nodes.iter().map(|node| node.lines.clone()).collect();
            assert_eq!(labels, expected, "{}", case.name);
            let edges = drawn.children().filter(|node| node.attribute("class") == Some("edge"));
            let ways: BTreeSet<&str> = edges.filter_map(|edge| edge.attribute("d")).collect();
            assert_eq!(ways.len(), panel.edges.len(), "{}: an edge is not drawn", case.name);
        }
        assert_eq!(svg, case.figure().to_svg(), "the same module gives the same bytes");
    }
}

/// Captions lie in the place the layout kept for them.
#[test]
fn names_of_blocks_fit_beside_their_boxes() {
    for case in figures::all() {
        for panel in &case.figure().panels {
            for caption in panel.nodes.iter().filter_map(|node| node.caption.as_ref()) {
                assert!(text_width(&caption.text, 13.0) <= caption.area.width, "{}", caption.text);
            }
        }
    }
}

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
        assert_eq!(figure.panels.len(), case.module.cells.len());
        for (panel, cell) in figure.panels.iter().zip(&case.module.cells) {
            assert!(panel.title.starts_with(&cell.name.name));
            let blocks = cell.blocks.iter().map(|block| &block.name);
            let expected: Vec<&str> =
                cell.inputs.iter().chain(blocks).map(|name| name.name.as_str()).collect();
            assert_eq!(names(panel), expected, "{}", case.name);
            let outs = panel.nodes.iter().filter(|node| node.kind == Kind::Output);
            assert_eq!(outs.count(), 1);
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

/// Whatever is written into a figure, both forms stay well-formed and say it.
#[test]
fn text_is_escaped() {
    let hostile = r#"a"b\c<d>&e'; ]]> --> \n {x|y}"#;
    let mut figure = figures::large(4).figure();
    figure.panels[0].title = hostile.into();
    figure.panels[0].nodes[0].lines = vec![hostile.into()];
    figure.panels[0].nodes[2].caption.as_mut().expect("a block").text = hostile.into();
    let svg = figure.to_svg();
    let document = roxmltree::Document::parse(&svg).expect("well-formed");
    let texts: Vec<_> =
        document.descendants().filter(|node| node.text() == Some(hostile)).collect();
    // The title, alone and as the document's, a label and a caption; elements and their text nodes.
    assert_eq!(texts.iter().filter(|node| node.is_element()).count(), 4);
    let dot = figure.to_dot();
    assert_eq!(dot.matches(r#""a\"b\\c<d>&e'; ]]> --> \\n {x|y}""#).count(), 3, "{dot}");
}

/// WCAG 2.1's relative luminance of `#rrggbb`.
fn luminance(color: &str) -> f64 {
    let channel = |at: usize| {
        let value = u8::from_str_radix(&color[at..at + 2], 16).expect("hexadecimal");
        let value = f64::from(value) / 255.0;
        if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

/// Text stands out at WCAG's level AAA; kinds of boxes differ in more than color.
#[test]
fn colors_are_readable_and_not_needed() {
    let mut looks = BTreeMap::new();
    let holes = figures::embedded("nasnet_space.cell");
    let net = Options { subject: Subject::Net("cifar".into()), genotype: None };
    let cell = draw::figure(&figures::embedded("nasnet_a.cell"), &Options::default());
    for figure in [cell, draw::figure(&holes, &Options::default()), draw::figure(&holes, &net)] {
        let svg = figure.expect("drawn").to_svg();
        let document = roxmltree::Document::parse(&svg).expect("well-formed");
        let ink = luminance(document.root_element().attribute("fill").expect("a color of text"));
        for rect in document.descendants().filter(|node| node.has_tag_name("rect")) {
            let fill = luminance(rect.attribute("fill").expect("a color"));
            assert!((fill + 0.05) / (ink + 0.05) >= 7.0, "{rect:?}");
            let Some(class) = rect.parent_element().and_then(|group| group.attribute("class"))
            else {
                continue;
            };
            let stroke = luminance(rect.attribute("stroke").expect("a color"));
            assert!((1.05) / (stroke + 0.05) >= 4.5, "the outline of {class} is faint");
            let look = ["rx", "stroke-width", "stroke-dasharray"].map(|name| rect.attribute(name));
            looks.insert(class.to_string(), look.map(|text| text.map(str::to_string)));
        }
    }
    assert_eq!(looks.len(), 7);
    // A plain operation and an identity are told apart by the label; input and output by their place.
    let distinct: BTreeSet<_> = looks.values().collect();
    assert_eq!(distinct.len(), 5, "{looks:?}");
}

fn dot(case: &Case) -> String {
    case.figure().to_dot()
}

#[test]
fn graphs_of_nasnet_a() {
    let module = figures::embedded("nasnet_a.cell");
    insta::assert_snapshot!(dot(&Case { name: "nasnet_a".into(), module, genotype: None }));
}

#[test]
fn graphs_of_a_small_space() {
    let text = "space small {\n\
        cell normal(h) {\n\
        a = squeeze(h)\n\
        n1 = ?{ sep<?{3, 5}>, max<3> }(a) ?{ +, * } ?earlier\n\
        n2 = sep<?{3, 5}>(?{ a, n1, max<3>(n1) })\n\
        out concat(unused)\n}\n}";
    let module = figures::checked("small", text);
    insta::assert_snapshot!(dot(&Case { name: "small".into(), module, genotype: None }));
}

#[test]
fn graph_of_a_net() {
    let options = Options { subject: Subject::Net("cifar".into()), genotype: None };
    let figure: Figure =
        draw::figure(&figures::embedded("nasnet_a.cell"), &options).expect("drawn");
    insta::assert_snapshot!(figure.to_dot());
}
