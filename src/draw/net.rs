//! The skeleton of a net as a column: image, stem, stacked cells, head, logits.

use super::Kind;
use super::diagram::{Arg, Diagram, Group};
use super::label::Labels;
use crate::ir::{Aux, Module, Net, OpUse, StackEntry, StackItem, StackedCell, WidthChange};

/// Characters of a pipeline on a line.
const PIPELINE_WIDTH: usize = 24;

/// Draws a net.
pub(super) fn diagram(module: &Module, net: &Net) -> Diagram {
    let labels = Labels { module, genotype: None, names: net.static_names() };
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
    let mut walk = Walk {
        module,
        labels: &labels,
        stage: 1,
        is_placed: false,
        aux: net.aux.as_ref(),
        aux_from: None,
    };
    last = walk.entries(&mut column, &net.stack, &[], last);
    let aux_from = walk.aux_from;
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

/// The way through a stack.
struct Walk<'w, 'm> {
    module: &'m Module,
    labels: &'w Labels<'m>,
    /// The stage reached, counted from 1.
    stage: usize,
    is_placed: bool,
    aux: Option<&'m Aux>,
    /// The box that the auxiliary head reads.
    aux_from: Option<usize>,
}

impl Walk<'_, '_> {
    /// Puts a box for each entry on top of `last`; those of a group say what repeats them.
    fn entries(
        &mut self,
        column: &mut Column,
        entries: &[StackEntry],
        repeated: &[String],
        mut last: usize,
    ) -> usize {
        for entry in entries {
            let times = self.labels.value(&entry.times);
            match &entry.item {
                StackItem::Group(entries) => {
                    let mut repeated = repeated.to_vec();
                    repeated.push(format!("in a group of {times}"));
                    last = self.entries(column, entries, &repeated, last);
                }
                StackItem::Cell(cell) => {
                    let changes = match cell.width {
                        None | Some(WidthChange::Times(1)) => false,
                        Some(WidthChange::Times(_) | WidthChange::At(_)) => true,
                    };
                    // The first box stands on the stem's.
                    if changes && self.is_placed {
                        self.stage += 1;
                    }
                    self.is_placed = true;
                    let mut lines = self.lines(cell, &times);
                    lines.extend_from_slice(repeated);
                    last = column.single(Kind::Cell, lines, last);
                    if self.aux.is_some_and(|aux| aux.stage == self.stage) {
                        self.aux_from = Some(last);
                    }
                }
            }
        }
        last
    }

    /// `normal<5>` over `N times` and what the stack says of it.
    fn lines(&self, stacked: &StackedCell, times: &str) -> Vec<String> {
        let mut name = stacked.cell.name.clone();
        if !stacked.attrs.is_empty() {
            let attrs = stacked.attrs.iter().map(|(name, value)| match name {
                Some(name) => format!("{} = {}", name.name, self.labels.value(value)),
                None => self.labels.value(value),
            });
            name += &format!("<{}>", attrs.collect::<Vec<_>>().join(", "));
        }
        let mut lines = vec![name];
        if times != "1" {
            lines.push(format!("{times} times"));
        }
        let mut notes = Vec::new();
        let own = self.module.cell(&stacked.cell.name).map_or(1, |cell| cell.stride);
        let stride = stacked.stride.unwrap_or(own);
        if stride > 1 {
            notes.push(format!("stride {stride}"));
        }
        match &stacked.width {
            None | Some(WidthChange::Times(1)) => {}
            Some(WidthChange::Times(factor)) => notes.push(format!("width * {factor}")),
            Some(WidthChange::At(width)) => {
                notes.push(format!("width {}", self.labels.value(width)));
            }
        }
        if stacked.is_skipped {
            notes.push("skipped".into());
        }
        if !notes.is_empty() {
            lines.push(notes.join(", "));
        }
        lines
    }
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
