//! Nets: stem, stack and heads; which output of which cell arrives where.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::CellPlace;
use super::{Frame, Lowering, Target};
use crate::diagnostic::{Code, Diagnostic, Help, suggest};
use crate::graph::{NodeId, Op};
use crate::ir::{
    Cell, Net, OpUse, Origin, StackEntry, StackItem, StackedCell, StaticKind, WidthChange,
};
use crate::source::Span;

/// The most often one entry of a stack may stack its cell.
pub(crate) const MAX_TIMES: usize = 10_000;

/// The network without its heads.
pub(super) struct Body {
    /// What the head reads: the output of the last cell, several joined.
    pub last: NodeId,
    /// Where the auxiliary head starts.
    aux_from: Option<NodeId>,
    stem: NodeId,
    placed: Vec<Placed>,
}

/// A cell in its place.
struct Placed {
    inputs: Vec<NodeId>,
    /// What it gives, and how many cells later that arrives; `None` for every later one.
    outputs: Vec<(NodeId, Option<usize>)>,
    is_skipped: bool,
}

/// How far a stack is built.
struct Progress {
    stem: NodeId,
    placed: Vec<Placed>,
    /// Cells with an output that arrives at every later one, by their index.
    open: BTreeSet<usize>,
    /// Cells with an output for the one cell of this index.
    senders: BTreeMap<usize, BTreeSet<usize>>,
    width: usize,
    stage: usize,
    /// The stage whose last cell the auxiliary head reads, and that cell.
    aux_stage: Option<usize>,
    aux_cell: Option<usize>,
}

impl Progress {
    /// What arrives at the next cell, most recent first; the stem stands for whatever is missing. Beside
    /// it, how many of them were sent to this very cell.
    fn arrivals(&self, most: usize) -> (Vec<NodeId>, usize) {
        let index = self.placed.len();
        let last = self.placed.last().filter(|last| last.is_skipped);
        let from: BTreeSet<usize> = match last {
            Some(_) => BTreeSet::from([index - 1]),
            // Each of the open ones gives at least one: no others are needed, however long the stack is.
            None => {
                let open = self.open.iter().rev().take(most);
                open.chain(self.senders.get(&index).into_iter().flatten()).copied().collect()
            }
        };
        let mut found = Vec::new();
        let mut sent = 0;
        for cell in from.into_iter().rev() {
            for &(node, to) in &self.placed[cell].outputs {
                match to {
                    None if found.len() < most => found.push(node),
                    Some(to) if cell + to == index => {
                        found.push(node);
                        sent += 1;
                    }
                    None | Some(_) => {}
                }
            }
        }
        if let Some(last) = last {
            found.extend(last.inputs.iter().skip(1));
        }
        while found.len() < most {
            found.push(self.stem);
        }
        (found, sent)
    }

    /// Puts a cell behind those before it.
    fn push(&mut self, placed: Placed) {
        let index = self.placed.len();
        for (_, to) in &placed.outputs {
            match to {
                None => {
                    self.open.insert(index);
                }
                Some(to) => {
                    self.senders.entry(index + to).or_default().insert(index);
                }
            }
        }
        self.placed.push(placed);
        if self.aux_stage == Some(self.stage) {
            self.aux_cell = Some(index);
        }
    }
}

impl Lowering<'_> {
    /// Builds stem, cells, head and, if asked, the auxiliary head. Gives the channels of the last cell.
    pub(super) fn net(&mut self, target: &Target) -> usize {
        let Some(body) = self.body(target) else { return 0 };
        let filters = self.graph.ty(body.last).channels;
        self.scale.f = filters;
        self.section = self.graph.section("head", None);
        if let Some(output) =
            self.classifier("head", &target.net.head, body.last, target.net.origin.is_foreign())
        {
            self.graph.output = output;
        }
        if let (true, Some(aux), Some(from)) = (target.with_aux, &target.net.aux, body.aux_from) {
            self.section = self.graph.section("aux", None);
            self.graph.aux =
                self.classifier("aux", &aux.stages, from, target.net.origin.is_foreign());
        }
        filters
    }

    /// Builds stem and cells.
    pub(super) fn body(&mut self, target: &Target) -> Option<Body> {
        let net = target.net;
        self.net_statics(net)?;
        self.section = self.graph.section("stem", None);
        self.prefix = "stem".into();
        let stem = self.pipeline(&net.stem, self.graph.input, net.origin.is_foreign())?;
        let mut progress = Progress {
            stem,
            placed: Vec::new(),
            open: BTreeSet::new(),
            senders: BTreeMap::new(),
            width: self.scale.base,
            stage: 1,
            aux_stage: net.aux.as_ref().map(|aux| aux.stage),
            aux_cell: None,
        };
        self.entries(net, &net.stack, &mut progress)?;
        let last = progress.placed.len().checked_sub(1);
        Some(Body {
            last: match last {
                Some(last) => self.joined(&progress.placed[last])?,
                None => stem,
            },
            aux_from: match progress.aux_cell {
                Some(cell) if target.with_aux => Some(self.joined(&progress.placed[cell])?),
                Some(_) | None => None,
            },
            stem,
            placed: progress.placed,
        })
    }

    /// The maps between the cells: the stem's, and what each cell gives, several outputs of one size joined.
    /// A cell whose outputs differ in size gives no map.
    pub(super) fn maps(&mut self, body: &Body) -> Option<Vec<NodeId>> {
        let mut maps = vec![body.stem];
        for (index, placed) in body.placed.iter().enumerate() {
            let size = |(node, _): &(NodeId, Option<usize>)| self.graph.ty(*node).size();
            let Some(first) = placed.outputs.first().map(size) else { continue };
            if placed.outputs.iter().any(|output| size(output) != first) {
                continue;
            }
            self.prefix = format!("cells.{index}");
            maps.push(self.joined(placed)?);
        }
        Some(maps)
    }

    /// Evaluates the net's named values and conditions.
    pub(super) fn net_statics(&mut self, net: &Net) -> Option<()> {
        self.net_params.clear();
        for statement in &net.statics {
            let mut frame = self.net_frame(0, net.origin.is_foreign());
            match &statement.kind {
                StaticKind::Let { value, .. } => {
                    let value = self.value(value, &frame)?;
                    self.net_params.push(value);
                }
                StaticKind::Require(require) => {
                    if !self.cond(&require.cond, &frame)? {
                        frame.lets = net
                            .statics
                            .iter()
                            .filter_map(|statement| match &statement.kind {
                                StaticKind::Let { name, .. } => Some(name.as_str()),
                                StaticKind::Require(_) => None,
                            })
                            .take(frame.params.len())
                            .collect();
                        let span = if net.origin.is_foreign() { self.site } else { require.span };
                        let mut fault = self.unmet(&net.name.name, require, &frame, span);
                        // Of the scale that was asked for; another one may meet it.
                        fault.code = Code::ScaleOutOfRange;
                        self.faults.push(fault.note("use another scale"));
                        return None;
                    }
                }
            }
        }
        Some(())
    }

    /// Stacks the cells of `entries` in order.
    fn entries(
        &mut self,
        net: &Net,
        entries: &[StackEntry],
        progress: &mut Progress,
    ) -> Option<()> {
        for entry in entries {
            let frame = self.net_frame(0, net.origin.is_foreign());
            if let StackItem::Cell(cell) = &entry.item {
                self.change_width(cell, &frame, progress)?;
            }
            let times = self.int(&entry.times, &frame)?;
            if !(0..=MAX_TIMES as i64).contains(&times) {
                let message = format!("a cell is stacked 0 to {MAX_TIMES} times, found {times}");
                self.prefix = "stack".into();
                let note = "use another N or another count";
                self.fault(Code::ScaleOutOfRange, entry.times.span, &frame, message, note);
                return None;
            }
            for _ in 0..times {
                match &entry.item {
                    StackItem::Cell(cell) => self.place_cell(net, cell, progress)?,
                    StackItem::Group(entries) => {
                        self.enter(entry.times.span, &frame)?;
                        self.depth -= 1;
                        self.entries(net, entries, progress)?;
                    }
                }
            }
        }
        Some(())
    }

    fn change_width(
        &mut self,
        cell: &StackedCell,
        frame: &Frame,
        progress: &mut Progress,
    ) -> Option<()> {
        let is_start = progress.placed.is_empty() && progress.stage == 1;
        progress.width = match &cell.width {
            None | Some(WidthChange::Times(1)) => return Some(()),
            Some(WidthChange::Times(factor)) => progress.width.saturating_mul(*factor),
            Some(WidthChange::At(width)) => {
                let value = self.value(width, frame)?;
                self.channels((value, width.span), frame)?
            }
        };
        if !is_start {
            progress.stage += 1;
        }
        Some(())
    }

    /// Puts one cell of a stack behind those before it.
    fn place_cell(
        &mut self,
        net: &Net,
        stacked: &StackedCell,
        progress: &mut Progress,
    ) -> Option<()> {
        let Some(cell) = self.module.cell(&stacked.cell.name) else {
            let cells: Vec<&str> =
                self.module.cells.iter().map(|cell| cell.name.name.as_str()).collect();
            let (is_foreign, name) = (net.origin.is_foreign(), stacked.cell.name.as_str());
            let fault = Diagnostic::new(
                Code::UnknownName,
                if is_foreign { self.site } else { stacked.cell.span },
                format!("net `{}` needs a cell `{name}`", net.name.name),
            );
            let near = suggest::nearest(name, cells.iter().copied()).filter(|_| !is_foreign);
            self.faults.push(match near {
                Some(near) => {
                    let why = format!("cell `{near}` has a similar name");
                    fault.respell(stacked.cell.span, name, near, cells, why)
                }
                None if cells.is_empty() => fault.note("cells of this file: none"),
                None => fault.note(format!("cells of this file: `{}`", cells.join("`, `"))),
            });
            return None;
        };
        let index = progress.placed.len();
        self.section = self.graph.section(format!("cells.{index}"), Some(cell.name.name.clone()));
        self.prefix = format!("cells.{index}");
        let (mut inputs, sent) = progress.arrivals(cell.inputs.len());
        if sent > cell.inputs.len() {
            let entry = (stacked, net.origin.is_foreign());
            let foreign = cell.origin.is_foreign().then(|| self.site_of(cell, Some(entry)));
            self.too_many_states(cell, foreign.unwrap_or(cell.name.span), index, sent);
            return None;
        }
        inputs.truncate(cell.inputs.len());
        let faults = self.faults.len();
        let place = CellPlace {
            inputs: &inputs,
            width: progress.width,
            is_first: index == 0,
            entry: Some((stacked, net.origin.is_foreign())),
        };
        let outer_site = self.site;
        if cell.origin.is_foreign() && !net.origin.is_foreign() {
            self.site = stacked.cell.span;
        }
        let nodes = self.cell(cell, place);
        self.site = outer_site;
        self.in_foreign_cell(cell, faults);
        let nodes = nodes?;
        if self.faults.len() > faults {
            // The cells behind it would only repeat what is wrong with this one.
            return None;
        }
        let arrivals = cell.outputs.iter().map(|output| output.to);
        let outputs = nodes.into_iter().zip(arrivals).collect();
        let is_skipped = stacked.is_skipped;
        progress.push(Placed { inputs, outputs, is_skipped });
        Some(())
    }

    /// Says of the faults from `first` on which cell they are in, if its text cannot be shown.
    pub(super) fn in_foreign_cell(&mut self, cell: &Cell, first: usize) {
        let Origin::Used(index) = cell.origin else { return };
        let file = &self.module.used[index].name;
        for fault in &mut self.faults[first..] {
            let note = format!("this is in cell `{}` of `{file}`", cell.name.name);
            fault.help.push(Help::Note(note));
        }
    }

    fn too_many_states(&mut self, cell: &Cell, span: Span, index: usize, sent: usize) {
        let name = &cell.name.name;
        self.faults.push(
            Diagnostic::new(
                Code::MalformedNet,
                span,
                format!("cell `{name}` takes {} states, but {sent} arrive", cell.inputs.len()),
            )
            .label(format!("as cell {index} of the stack"))
            .note("give it more inputs, or send outputs to other cells with `to`"),
        );
    }

    /// The outputs of a cell as one tensor.
    fn joined(&mut self, placed: &Placed) -> Option<NodeId> {
        if let [(only, _)] = placed.outputs.as_slice() {
            return Some(*only);
        }
        let nodes: Vec<NodeId> = placed.outputs.iter().map(|(node, _)| *node).collect();
        let frame = self.net_frame(0, true);
        self.within("outputs", |this| this.wire(Op::Concat, &nodes, &[], &frame, this.site))
    }

    /// What an expression of a net can read.
    pub(super) fn net_frame(&self, width: usize, is_foreign: bool) -> Frame<'static> {
        Frame {
            params: self.net_params.clone(),
            attrs: &[],
            lets: Vec::new(),
            locals: Vec::new(),
            spans: Vec::new(),
            local_names: Vec::new(),
            used: Vec::new(),
            width,
            cell: None,
            stride: 1,
            is_op: false,
            is_out: false,
            is_foreign,
        }
    }

    /// Applies operations one after the other.
    fn pipeline(&mut self, stages: &[OpUse], input: NodeId, is_foreign: bool) -> Option<NodeId> {
        let mut node = input;
        for stage in stages {
            let mut frame = self.net_frame(self.graph.ty(node).channels, is_foreign);
            node = self.apply(stage, &[node], &mut frame)?;
        }
        Some(node)
    }

    /// A pipeline that must end in logits.
    fn classifier(
        &mut self,
        part: &str,
        stages: &[OpUse],
        input: NodeId,
        is_foreign: bool,
    ) -> Option<NodeId> {
        self.prefix = part.into();
        let output = self.pipeline(stages, input, is_foreign)?;
        let ty = self.graph.ty(output);
        if ty.area() != 1 || ty.channels != self.scale.classes {
            let written = stages.last().filter(|_| !is_foreign).map(|stage| stage.span);
            let at = written.unwrap_or(self.site);
            self.faults.push(
                Diagnostic::new(
                    Code::MalformedNet,
                    at,
                    format!("the {part} gives {ty}, expected [N, {}, 1, 1]", self.scale.classes),
                )
                .label(match self.net {
                    Some(net) => format!("in net `{net}`"),
                    None => String::new(),
                })
                .note("end it with `gap |> dense<classes>`"),
            );
            return None;
        }
        Some(output)
    }
}
