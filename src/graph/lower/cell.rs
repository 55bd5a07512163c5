//! One cell on its inputs: attributes bound, blocks built, outputs given.

use super::value::Static;
use super::{CellContext, CellShapes, Frame, Lowering};
use crate::check::FIXUP;
use crate::diagnostic::{Code, Diagnostic, suggest};
use crate::graph::{NodeId, Op};
use crate::ir::{self, Cell, ExprKind, OpId, OpUse, OpUseKind, Origin, StackedCell};
use crate::source::Span;

/// Where a cell stands.
#[derive(Clone, Copy)]
pub(super) struct CellPlace<'a> {
    /// Its inputs, most recent first.
    pub inputs: &'a [NodeId],
    /// Its width.
    pub width: usize,
    /// True if no cell is before it.
    pub is_first: bool,
    /// The entry of the stack it stands in, if it stands in one, and whether the entry's text is that
    /// of another file.
    pub entry: Option<(&'a StackedCell, bool)>,
}

impl Lowering<'_> {
    /// Builds one cell; gives its outputs in order.
    pub(super) fn cell(&mut self, cell: &Cell, place: CellPlace) -> Option<Vec<NodeId>> {
        let taken = self.trail.len();
        let size = self.graph.ty(place.inputs[0]).size();
        let stride = place.entry.and_then(|(entry, _)| entry.stride).unwrap_or(cell.stride);
        let is_first = place.is_first;
        let mut frame = Frame {
            params: Vec::new(),
            attrs: &cell.params,
            lets: Vec::new(),
            locals: place.inputs.iter().copied().map(Some).collect(),
            spans: cell.inputs.iter().map(|input| input.span).collect(),
            local_names: cell.inputs.iter().map(|input| input.name.as_str()).collect(),
            used: vec![true; place.inputs.len()],
            width: place.width,
            cell: Some(CellContext { stride, size, is_first }),
            stride,
            is_op: false,
            is_out: false,
            is_foreign: cell.origin.is_foreign(),
        };
        self.bind_attributes(cell, place.entry, &mut frame)?;
        let mut statics = cell.statics.iter().peekable();
        for (index, block) in cell.blocks.iter().enumerate() {
            while let Some(statement) = statics.next_if(|statement| statement.after == index) {
                self.cell_statement(cell, statement, &mut frame)?;
            }
            let node = self.within(&block.name.name, |this| this.expr(&block.value, &mut frame));
            frame.locals.push(node);
            frame.spans.push(block.value.span);
            frame.local_names.push(&block.name.name);
            frame.used.push(false);
        }
        for statement in statics {
            self.cell_statement(cell, statement, &mut frame)?;
        }
        frame.is_out = true;
        let outputs: Vec<Option<NodeId>> = cell
            .outputs
            .iter()
            .map(|output| {
                let value = &output.block.value;
                self.within(&output.block.name.name, |this| match &value.kind {
                    ExprKind::ConcatUnused => this.concat_unused(cell, &mut frame, value.span),
                    _ => this.expr(value, &mut frame),
                })
            })
            .collect();
        let outputs = outputs.into_iter().collect::<Option<Vec<_>>>()?;
        self.trail.truncate(taken);
        if self.shapes.is_some() {
            return Some(outputs);
        }
        let ty = |node: NodeId| self.graph.ty(node);
        let locals = frame.locals.iter().map(|node| node.map(ty)).collect();
        // Where a block has no shape, a fault was reported, and the network comes to nothing.
        if let Some(locals) = locals {
            let (cell, outputs) =
                (cell.name.name.clone(), outputs.iter().copied().map(ty).collect());
            self.cells.push(CellShapes { cell, locals, outputs });
        }
        Some(outputs)
    }

    /// Gives the cell's attributes their values: those of the stack's entry, or the defaults.
    fn bind_attributes<'c>(
        &mut self,
        cell: &'c Cell,
        entry: Option<(&StackedCell, bool)>,
        frame: &mut Frame<'c>,
    ) -> Option<()> {
        let mut given: Vec<Option<Static>> = vec![None; cell.params.len()];
        if let Some((entry, is_foreign)) = entry {
            let net_frame = self.net_frame(0, is_foreign);
            for (name, value) in &entry.attrs {
                let index = match name {
                    Some(name) => cell.params.iter().position(|param| param.name == name.name),
                    None => given.iter().position(Option::is_none),
                };
                let Some(index) = index.filter(|&index| given[index].is_none()) else {
                    self.misplaced_attribute(cell, entry, name.as_ref(), is_foreign);
                    return None;
                };
                given[index] = Some(self.value(value, &net_frame)?);
            }
        }
        for (param, given) in cell.params.iter().zip(given) {
            let value = match (given, &param.default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.value(default, frame)?,
                (None, None) => {
                    let span = self.site_of(cell, entry);
                    let (cell, param) = (&cell.name.name, &param.name);
                    self.faults.push(
                        Diagnostic::new(
                            Code::MissingAttribute,
                            span,
                            format!("cell `{cell}` needs its attribute `{param}`"),
                        )
                        .note(format!("write `{cell}<{param} = ...>` in the stack, or a default")),
                    );
                    return None;
                }
            };
            frame.params.push(value);
        }
        Some(())
    }

    /// Where a fault of a cell in its place can be shown: its entry in a stack, or its name.
    pub(super) fn site_of(&self, cell: &Cell, entry: Option<(&StackedCell, bool)>) -> Span {
        match entry {
            Some((entry, false)) => entry.cell.span,
            _ if cell.origin.is_foreign() => self.site,
            _ => cell.name.span,
        }
    }

    fn misplaced_attribute(
        &mut self,
        cell: &Cell,
        entry: &StackedCell,
        name: Option<&crate::syntax::ast::Ident>,
        is_foreign: bool,
    ) {
        let known: Vec<&str> = cell.params.iter().map(|param| param.name.as_str()).collect();
        let fault = match name {
            Some(name) if !known.contains(&name.name.as_str()) => {
                let site = self.site_of(cell, Some((entry, is_foreign)));
                let span = if is_foreign { site } else { name.span };
                let message = format!("cell `{}` has no attribute `{}`", cell.name.name, name.name);
                let fault = Diagnostic::new(Code::UnknownAttribute, span, message);
                match suggest::nearest(&name.name, known.iter().copied()) {
                    Some(near) if !is_foreign => {
                        let why = format!("attribute `{near}` has a similar name");
                        fault.respell(span, &name.name, near, known.iter().copied(), why)
                    }
                    _ if known.is_empty() => fault.note("it has none"),
                    _ => fault.note(format!("it has `{}`", known.join("`, `"))),
                }
            }
            _ => {
                let span = self.site_of(cell, Some((entry, is_foreign)));
                let message = format!(
                    "cell `{}` takes {} attributes, each once",
                    cell.name.name,
                    known.len()
                );
                Diagnostic::new(Code::RepeatedAttribute, span, message)
                    .note("remove those that are too many or given twice")
            }
        };
        self.faults.push(fault);
    }

    /// A named value or a condition between the blocks.
    fn cell_statement<'c>(
        &mut self,
        cell: &Cell,
        statement: &'c ir::Static,
        frame: &mut Frame<'c>,
    ) -> Option<()> {
        // The uses above have left their own.
        frame.stride = frame.cell.map_or(1, |cell| cell.stride);
        match &statement.kind {
            ir::StaticKind::Let { name, value } => {
                let value = self.value(value, frame)?;
                frame.lets.push(name);
                frame.params.push(value);
            }
            ir::StaticKind::Require(require) => {
                if !self.cond(&require.cond, frame)? {
                    let span = self.place(require.span, frame);
                    let fault = self.unmet(&cell.name.name, require, frame, span);
                    self.faults
                        .push(fault.note(format!("change `{}` or its place", cell.name.name)));
                    return None;
                }
            }
        }
        Some(())
    }

    fn fixup(&mut self, origin: Origin) -> OpId {
        let module = self.module;
        *self.fixups.entry(origin).or_insert_with(|| {
            let found = module.op_in(origin, FIXUP);
            found.expect("check::cells finds `fixup` for `concat(unused)`")
        })
    }

    /// `concat(unused)`: every block that no block read.
    fn concat_unused(&mut self, cell: &Cell, frame: &mut Frame, span: Span) -> Option<NodeId> {
        let mut nodes = Vec::new();
        let mut causes = Vec::new();
        for (index, block) in cell.blocks.iter().enumerate() {
            let local = cell.inputs.len() + index;
            if frame.used[local] {
                continue;
            }
            let fixup = self.fixup(cell.origin);
            let attrs = vec![None; self.module.ops[fixup.0].params.len()];
            let op = OpUse { kind: OpUseKind::Op { op: fixup, attrs }, span };
            nodes.push(frame.locals[local].and_then(|node| {
                self.within(&block.name.name, |this| this.apply(&op, &[node], frame))
            }));
            causes.push(Some(frame.spans[local]));
        }
        self.wire(Op::Concat, &nodes.into_iter().collect::<Option<Vec<_>>>()?, &causes, frame, span)
    }
}
