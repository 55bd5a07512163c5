//! The skeleton of a net as a column: image, stem, stacked cells, head, logits.

use super::Kind;
use super::diagram::{Arg, Diagram, Group};
use super::label::Labels;
use crate::ir::{Module, Net, OpUse, StackEntry, ValueKind};

/// Characters of a pipeline on a line.
const PIPELINE_WIDTH: usize = 24;

/// Draws a net.
pub(super) fn diagram(module: &Module, net: &Net) -> Diagram {
    let labels = Labels { module, genotype: None };
    let mut column = Column {
        diagram: Diagram {
            title: format!("net {}", net.name.name),
            nodes: Vec::new(),
            groups: Vec::new(),
        },
    };
    let [height, width, channels] = net.input;
    let image = vec![format!("image {height}x{width}x{channels}")];
    let image = column.diagram.node(Kind::Input, image, Vec::new());
    let mut last = column.group(image);
    last = column.single(Kind::Operation, stages("stem", &net.stem, &labels), last);
    let mut stage = 1;
    let mut aux_from = None;
    for (position, entry) in net.stack.iter().enumerate() {
        if position > 0 && entry.widen > 1 {
            stage += 1;
        }
        last = column.single(Kind::Cell, entry_lines(entry, module, &labels), last);
        if net.aux.as_ref().is_some_and(|aux| aux.stage == stage) {
            aux_from = Some(last);
        }
    }
    let classes = format!("{} classes", net.classes);
    column.classifier(stages("head", &net.head, &labels), vec!["logits".into(), classes], last);
    if let (Some(aux), Some(from)) = (&net.aux, aux_from) {
        let logits = vec!["auxiliary logits".into()];
        column.classifier(stages("aux", &aux.stages, &labels), logits, from);
    }
    column.diagram
}

/// A pipeline under its name, as in a file.
fn stages(name: &str, stages: &[OpUse], labels: &Labels<'_>) -> Vec<String> {
    let mut lines = vec![format!("{name}:")];
    let mut line = String::new();
    for (index, stage) in stages.iter().enumerate() {
        let stage = labels.op(stage);
        let stage = if index > 0 { format!("|> {stage}") } else { stage };
        if !line.is_empty() && line.len() + stage.len() > PIPELINE_WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += &stage;
    }
    lines.push(line);
    lines
}

/// `normal` over `N times`.
fn entry_lines(entry: &StackEntry, module: &Module, labels: &Labels<'_>) -> Vec<String> {
    let mut lines = vec![entry.cell.name.clone()];
    if !matches!(entry.times.kind, ValueKind::Int(1)) {
        lines.push(format!("{} times", labels.value(&entry.times)));
    }
    let mut notes = Vec::new();
    match module.cell(&entry.cell.name) {
        Some(cell) if cell.stride > 1 => notes.push(format!("stride {}", cell.stride)),
        Some(_) | None => {}
    }
    if entry.widen > 1 {
        notes.push(format!("width * {}", entry.widen));
    }
    if !notes.is_empty() {
        lines.push(notes.join(", "));
    }
    lines
}

struct Column {
    diagram: Diagram,
}

impl Column {
    fn group(&mut self, root: usize) -> usize {
        self.diagram.groups.push(Group { root, is_last: false, candidates: Vec::new() });
        self.diagram.groups.len() - 1
    }

    /// A box that reads the group `below`.
    fn single(&mut self, kind: Kind, lines: Vec<String>, below: usize) -> usize {
        let args = vec![Arg::Group { group: below, is_possible: false }];
        let root = self.diagram.node(kind, lines, args);
        self.group(root)
    }

    /// A head with what it gives.
    fn classifier(&mut self, head: Vec<String>, logits: Vec<String>, below: usize) {
        let args = vec![Arg::Group { group: below, is_possible: false }];
        let head = self.diagram.node(Kind::Operation, head, args);
        let root = self.diagram.node(Kind::Output, logits, vec![Arg::Node(head)]);
        self.group(root);
    }
}
