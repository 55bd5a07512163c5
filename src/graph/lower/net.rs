//! Cells and nets: what is stacked on what.

use super::{CellContext, CellShapes, Frame, Lowering, Target};
use crate::check::FIXUP;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{NodeId, Op};
use crate::ir::{Cell, ExprKind, OpUse, OpUseKind};

/// The most often one entry of a stack may stack its cell.
pub(crate) const MAX_TIMES: usize = 10_000;

/// The network without its heads.
pub(super) struct Body {
    /// Output of the last cell.
    pub last: NodeId,
    /// Where the auxiliary head starts.
    aux_from: Option<NodeId>,
}

impl Lowering<'_> {
    /// Builds stem, cells, head and, if asked, the auxiliary head. Gives the channels of the last cell.
    pub(super) fn net(&mut self, target: &Target) -> usize {
        let Some(body) = self.body(target) else { return 0 };
        let filters = self.graph.ty(body.last).channels;
        self.scale.f = filters;
        self.section = self.graph.section("head", None);
        if let Some(output) =
            self.classifier("head", &target.net.head, body.last, target.net.is_prelude)
        {
            self.graph.output = output;
        }
        if let (true, Some(aux), Some(from)) = (target.with_aux, &target.net.aux, body.aux_from) {
            self.section = self.graph.section("aux", None);
            self.graph.aux = self.classifier("aux", &aux.stages, from, target.net.is_prelude);
        }
        filters
    }

    /// Builds stem and cells.
    pub(super) fn body(&mut self, target: &Target) -> Option<Body> {
        let net = target.net;
        self.section = self.graph.section("stem", None);
        self.prefix = "stem".into();
        let stem = self.pipeline(&net.stem, self.graph.input, net.is_prelude)?;
        let mut states = vec![stem];
        // The auxiliary head reads the last cell of its stage.
        let aux_stage = net.aux.as_ref().map(|aux| aux.stage);
        let mut aux_from = None;
        let mut width = self.scale.base;
        let mut stage = 1;
        for (position, entry) in net.stack.iter().enumerate() {
            if position > 0 && entry.widen > 1 {
                stage += 1;
            }
            width = width.saturating_mul(entry.widen);
            let frame = Self::net_frame(0, net.is_prelude);
            let times = self.int(&entry.times, &frame)?;
            if !(0..=MAX_TIMES as i64).contains(&times) {
                let message = format!("a cell is stacked 0 to {MAX_TIMES} times, found {times}");
                self.prefix = "stack".into();
                let note = "use another N or another count";
                self.fault(Code::ScaleOutOfRange, entry.times.span, &frame, message, note);
                return None;
            }
            if times == 0 {
                continue;
            }
            let Some(cell) = self.module.cell(&entry.cell.name) else {
                let cells: Vec<String> =
                    self.module.cells.iter().map(|cell| format!("`{}`", cell.name.name)).collect();
                let known = if cells.is_empty() { "none".into() } else { cells.join(", ") };
                self.faults.push(
                    Diagnostic::new(
                        Code::UnknownName,
                        if net.is_prelude { self.site } else { entry.cell.span },
                        format!("net `{}` needs a cell `{}`", net.name.name, entry.cell.name),
                    )
                    .note(format!("cells of this file: {known}")),
                );
                return None;
            };
            for _ in 0..times {
                let index = states.len() - 1;
                self.section =
                    self.graph.section(format!("cells.{index}"), Some(cell.name.name.clone()));
                self.prefix = format!("cells.{index}");
                let last = states.len() - 1;
                let inputs: Vec<NodeId> =
                    (0..cell.inputs.len()).map(|back| states[last.saturating_sub(back)]).collect();
                let faults = self.faults.len();
                states.push(self.cell(cell, &inputs, width, index == 0)?);
                if self.faults.len() > faults {
                    // The cells behind it would only repeat what is wrong with this one.
                    return None;
                }
                if aux_stage == Some(stage) {
                    aux_from = states.last().copied();
                }
            }
        }
        Some(Body { last: states[states.len() - 1], aux_from })
    }

    fn net_frame(width: usize, is_prelude: bool) -> Frame<'static> {
        Frame {
            params: &[],
            names: &[],
            locals: Vec::new(),
            spans: Vec::new(),
            local_names: Vec::new(),
            used: Vec::new(),
            width,
            cell: None,
            stride: 1,
            is_op: false,
            is_out: false,
            in_prelude: is_prelude,
        }
    }

    /// Applies operations one after the other.
    fn pipeline(&mut self, stages: &[OpUse], input: NodeId, is_prelude: bool) -> Option<NodeId> {
        let mut node = input;
        for stage in stages {
            let mut frame = Self::net_frame(self.graph.ty(node).channels, is_prelude);
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
        is_prelude: bool,
    ) -> Option<NodeId> {
        self.prefix = part.into();
        let output = self.pipeline(stages, input, is_prelude)?;
        let ty = self.graph.ty(output);
        if ty.area() != 1 || ty.channels != self.scale.classes {
            let written = stages.last().filter(|_| !is_prelude).map(|stage| stage.span);
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

    /// Builds one cell on its inputs, most recent first.
    pub(super) fn cell(
        &mut self,
        cell: &Cell,
        inputs: &[NodeId],
        width: usize,
        is_first: bool,
    ) -> Option<NodeId> {
        let size = self.graph.ty(inputs[0]).size();
        let mut frame = Frame {
            params: &[],
            names: &[],
            locals: inputs.iter().copied().map(Some).collect(),
            spans: cell.inputs.iter().map(|input| Some(input.span)).collect(),
            local_names: cell.inputs.iter().map(|input| input.name.clone()).collect(),
            used: vec![true; inputs.len()],
            width,
            cell: Some(CellContext { stride: cell.stride, size, is_first }),
            stride: 1,
            is_op: false,
            is_out: false,
            in_prelude: false,
        };
        for block in &cell.blocks {
            let node = self.within(&block.name.name, |this| this.expr(&block.value, &mut frame));
            frame.locals.push(node);
            frame.spans.push(Some(block.value.span));
            frame.local_names.push(block.name.name.clone());
            frame.used.push(false);
        }
        frame.is_out = true;
        let out = self.within("out", |this| match &cell.out.value.kind {
            ExprKind::ConcatUnused => this.concat_unused(cell, &mut frame),
            _ => this.expr(&cell.out.value, &mut frame),
        })?;
        let locals = frame.locals.iter().map(|node| node.map(|node| self.graph.ty(node))).collect();
        // Where a block has no shape, a fault was reported, and the network comes to nothing.
        if let Some(locals) = locals {
            self.cells.push(CellShapes {
                cell: cell.name.name.clone(),
                locals,
                out: self.graph.ty(out),
            });
        }
        Some(out)
    }

    /// `concat(unused)`: every block that no block read.
    fn concat_unused(&mut self, cell: &Cell, frame: &mut Frame) -> Option<NodeId> {
        let span = cell.out.value.span;
        let mut nodes = Vec::new();
        let mut causes = Vec::new();
        for (index, block) in cell.blocks.iter().enumerate() {
            let local = cell.inputs.len() + index;
            if frame.used[local] {
                continue;
            }
            let fixup =
                self.module.op(FIXUP).expect("check::cells finds `fixup` for `concat(unused)`");
            let attrs = vec![None; self.module.ops[fixup.0].params.len()];
            let op = OpUse { kind: OpUseKind::Op { op: fixup, attrs }, span };
            nodes.push(frame.locals[local].and_then(|node| {
                self.within(&block.name.name, |this| this.apply(&op, &[node], frame))
            }));
            causes.push(frame.spans[local]);
        }
        self.wire(Op::Concat, &nodes.into_iter().collect::<Option<Vec<_>>>()?, &causes, frame, span)
    }
}
