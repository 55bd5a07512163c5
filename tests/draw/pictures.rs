//! The text of a picture as SVG and DOT.

use std::collections::{BTreeMap, BTreeSet};

use cellc::draw::{self, Figure, Options, Subject};

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
