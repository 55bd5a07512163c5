//! A figure as text for Graphviz, which places boxes itself: `dot -Tpdf`.

use std::fmt::{self, Write};

use super::{Figure, Kind, Panel};

impl Figure {
    /// The figure as a graph in the DOT language, one cluster a panel.
    pub fn to_dot(&self) -> String {
        let mut text = String::new();
        self.write_dot(&mut text).expect("writing to a string cannot fail");
        text
    }

    fn write_dot(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "digraph cells {{")?;
        writeln!(out, "    rankdir=BT;")?;
        writeln!(out, "    node [fontname=\"Helvetica\", style=filled, fillcolor=white];")?;
        for (index, panel) in self.panels.iter().enumerate() {
            write_panel(index, panel, out)?;
        }
        writeln!(out, "}}")
    }
}

fn write_panel(index: usize, panel: &Panel, out: &mut String) -> fmt::Result {
    writeln!(out, "    subgraph cluster_{index} {{")?;
    writeln!(out, "        label={};", quoted(&panel.title))?;
    for (at, node) in panel.nodes.iter().enumerate() {
        let label = quoted(&node.lines.join("\n"));
        let look = look(node.kind);
        let name = match &node.caption {
            Some(caption) => format!(", xlabel={}", quoted(&caption.text)),
            None => String::new(),
        };
        writeln!(out, "        p{index}_{at} [label={label}, {look}{name}];")?;
    }
    for edge in &panel.edges {
        let dashed = if edge.is_possible { " [style=dashed]" } else { "" };
        writeln!(out, "        p{index}_{} -> p{index}_{}{dashed};", edge.from, edge.to)?;
    }
    writeln!(out, "    }}")
}

fn look(kind: Kind) -> &'static str {
    match kind {
        Kind::Input | Kind::Output => "shape=box, penwidth=2",
        Kind::Operation => "shape=box, fillcolor=\"#d3e5f7\"",
        Kind::Identity => "shape=box, fillcolor=\"#f3f3f3\"",
        Kind::Combination => "shape=ellipse, fillcolor=\"#ffe2a8\"",
        Kind::Hole => "shape=box, style=\"filled,dashed\", fillcolor=\"#f1e3f7\"",
        Kind::Cell => "shape=box, style=\"filled,rounded\", fillcolor=\"#d8efd3\"",
    }
}

/// A DOT string. A line break becomes the escape for one; no other escape of DOT can come from text.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
