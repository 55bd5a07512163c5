//! A figure as SVG: boxes, curves and text, without scripts, fonts or links to anything outside.
//!
//! Kinds differ in shape and outline as well as in color, and text is dark on light, so that a print in
//! black and white says the same.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::metrics::{FONT_SIZE, LINE_HEIGHT, TITLE_SIZE};
use super::{Edge, Figure, Kind, Node, Panel, Point};

/// Color of text.
const INK: &str = "#1a1a1a";

/// Color of edges.
const EDGE: &str = "#4a4a4a";

/// How far the baseline lies below the middle of a line, by font size.
const BASELINE: f64 = 0.36;

/// Length and half the width of an arrow's head.
const ARROW: (f64, f64) = (6.0, 3.0);

/// How a kind of box looks.
struct Look {
    fill: &'static str,
    stroke: &'static str,
    stroke_width: f64,
    /// Radius of the corners.
    radius: f64,
    is_dashed: bool,
}

fn look(kind: Kind) -> Look {
    let look = |fill, stroke, stroke_width, radius, is_dashed| Look {
        fill,
        stroke,
        stroke_width,
        radius,
        is_dashed,
    };
    match kind {
        Kind::Input => look("#ffffff", "#1a1a1a", 2.0, 4.0, false),
        Kind::Output => look("#ffffff", "#1a1a1a", 2.0, 4.0, false),
        Kind::Operation => look("#d3e5f7", "#1f4e79", 1.0, 0.0, false),
        Kind::Identity => look("#f3f3f3", "#6b6b6b", 1.0, 0.0, false),
        Kind::Combination => look("#ffe2a8", "#7a4d00", 1.0, 12.0, false),
        Kind::Hole => look("#f1e3f7", "#6a2c86", 1.5, 4.0, true),
        Kind::Cell => look("#d8efd3", "#2c6b1f", 1.5, 4.0, false),
    }
}

impl Figure {
    /// The figure as an SVG document.
    pub fn to_svg(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a string cannot fail");
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let (width, height) = (number(self.width), number(self.height));
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif" font-size="{FONT_SIZE}" fill="{INK}">"#
        )?;
        let titles: Vec<&str> = self.panels.iter().map(|panel| panel.title.as_str()).collect();
        writeln!(out, "<title>{}</title>", escape(&titles.join("; ")))?;
        writeln!(out, r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##)?;
        for panel in &self.panels {
            write_panel(panel, out)?;
        }
        writeln!(out, "</svg>")
    }
}

fn write_panel(panel: &Panel, out: &mut String) -> fmt::Result {
    writeln!(out, r#"<g class="panel">"#)?;
    writeln!(
        out,
        r#"<text class="title" x="{}" y="{}" text-anchor="middle" font-size="{TITLE_SIZE}" font-weight="bold">{}</text>"#,
        number(panel.area.center()),
        number(panel.area.y + TITLE_SIZE),
        escape(&panel.title)
    )?;
    let mut drawn = BTreeSet::new();
    for edge in &panel.edges {
        write_edge(edge, &mut drawn, out)?;
    }
    for node in &panel.nodes {
        write_node(node, out)?;
    }
    writeln!(out, "</g>")
}

/// Steps of edges that are in the picture: box they come from, whether they are dashed, text.
type Drawn = BTreeSet<(usize, bool, String)>;

/// Writes an edge from where it leaves those from the same box that are drawn already: lines that are
/// drawn twice look bolder than others.
fn write_edge(edge: &Edge, drawn: &mut Drawn, out: &mut String) -> fmt::Result {
    let Some(last) = edge.path.last() else { return Ok(()) };
    let mut steps = String::new();
    for step in edge.path.windows(2) {
        let (start, way) = step_text(step[0], step[1]);
        let is_new = drawn.insert((edge.from, edge.is_possible, format!("{start}{way}")));
        if steps.is_empty() && is_new {
            steps += &start;
        }
        if !steps.is_empty() {
            steps += &way;
        }
    }
    let dash = if edge.is_possible { r#" stroke-dasharray="4 3""# } else { "" };
    writeln!(
        out,
        r#"<path class="edge" d="{steps}" fill="none" stroke="{EDGE}" stroke-width="1.2"{dash}/>"#
    )?;
    let (length, half) = ARROW;
    writeln!(
        out,
        r#"<path class="head" d="M{x} {y}L{right} {below}H{left}Z" fill="{EDGE}"/>"#,
        x = number(last.x),
        y = number(last.y),
        right = number(last.x + half),
        left = number(last.x - half),
        below = number(last.y + length),
    )
}

/// A step of a path: where it starts, and how it goes on.
fn step_text(from: Point, to: Point) -> (String, String) {
    let start = format!("M{} {}", number(from.x), number(from.y));
    if from.x == to.x {
        return (start, format!("V{}", number(to.y)));
    }
    let (x, y, middle) = (number(to.x), number(to.y), number((from.y + to.y) / 2.0));
    (start, format!("C{} {middle} {x} {middle} {x} {y}", number(from.x)))
}

fn write_node(node: &Node, out: &mut String) -> fmt::Result {
    let Look { fill, stroke, stroke_width, radius, is_dashed } = look(node.kind);
    let area = &node.area;
    let dash = if is_dashed { r#" stroke-dasharray="5 3""# } else { "" };
    writeln!(
        out,
        r#"<g class="{}"><rect x="{}" y="{}" width="{}" height="{}" rx="{}" fill="{fill}" stroke="{stroke}" stroke-width="{stroke_width}"{dash}/>"#,
        class(node.kind),
        number(area.x),
        number(area.y),
        number(area.width),
        number(area.height),
        number(radius),
    )?;
    let height = LINE_HEIGHT * (node.lines.len() as f64 - 1.0);
    let first = area.y + (area.height - height) / 2.0 + BASELINE * FONT_SIZE;
    for (index, line) in node.lines.iter().enumerate() {
        writeln!(
            out,
            r#"<text x="{}" y="{}" text-anchor="middle">{}</text>"#,
            number(area.center()),
            number(first + LINE_HEIGHT * index as f64),
            escape(line)
        )?;
    }
    if let Some(caption) = &node.caption {
        writeln!(
            out,
            r#"<text class="block" x="{}" y="{}" font-style="italic">{}</text>"#,
            number(caption.area.x),
            number(caption.area.y + caption.area.height / 2.0 + BASELINE * FONT_SIZE),
            escape(&caption.text)
        )?;
    }
    writeln!(out, "</g>")
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Input => "input",
        Kind::Operation => "operation",
        Kind::Identity => "identity",
        Kind::Combination => "combination",
        Kind::Hole => "hole",
        Kind::Cell => "cell",
        Kind::Output => "output",
    }
}

/// A coordinate, to a tenth of a pixel.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.into() }
}

/// Text as XML.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            _ => escaped.push(character),
        }
    }
    escaped
}
