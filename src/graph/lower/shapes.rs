//! Lowering for shapes and faults alone.
//!
//! Where nobody reads the graph, nodes have neither paths nor parameters, and what an operation of the
//! module gives is worked out once for all calls that cannot differ: it is a function of its attributes, the
//! shapes of its arguments, and what it can ask about its place. Only calls without faults are remembered,
//! since a fault also depends on where the call stands.

use std::collections::{BTreeMap, HashMap};

use super::cell::CellPlace;
use super::value::Static;
use super::{CellContext, Frame, Lowering, MAX_DEPTH, MAX_NODES, ScaleContext};
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, NodeId, TensorType};
use crate::ir::{self, Module, Net, OpId, StackedCell};
use crate::source::Span;

/// The scale that attributes of a stack's entries see while a cell is tried alone.
const PROBE_N: usize = 2;
const PROBE_F: usize = 768;
const PROBE_CLASSES: usize = 10;

/// How many calls are remembered, which bounds the memory they take.
const MAX_KNOWN: usize = 1 << 16;

/// What the result of a call depends on, beside module, genotype and scale.
#[derive(PartialEq, Eq, Hash)]
struct Call {
    op: OpId,
    params: Vec<Static>,
    args: Vec<TensorType>,
    width: usize,
    stride: usize,
    cell: Option<CellContext>,
}

/// What a call gave, and what it would take to work it out again.
#[derive(Clone, Copy)]
struct Outcome {
    ty: TensorType,
    steps: usize,
    nodes: usize,
    depth: usize,
}

/// The calls known so far.
#[derive(Default)]
pub(super) struct Shapes {
    known: HashMap<Call, Outcome>,
    /// Steps and nodes that were counted but not made.
    skipped_steps: usize,
    skipped_nodes: usize,
    /// Nodes that stand for the result of a whole call, which is counted among those skipped.
    stand_ins: usize,
}

impl<'m> Lowering<'m> {
    /// Calls an operation for the shape of its result.
    pub(super) fn shape_of_call(
        &mut self,
        callee: OpId,
        mut frame: Frame<'m>,
        args: &[NodeId],
        caller: &Frame,
        span: Span,
    ) -> Option<NodeId> {
        let call = Call {
            op: callee,
            params: frame.params.clone(),
            args: args.iter().map(|&arg| self.graph.ty(arg)).collect(),
            width: frame.width,
            stride: frame.stride,
            cell: frame.cell,
        };
        if let Some(ty) = self.recall(&call) {
            return Some(self.graph.stand_in(ty));
        }
        let (steps, nodes, faults) = (self.steps, self.n_nodes(), self.faults.len());
        let outer = std::mem::replace(&mut self.deepest, self.depth);
        let module = self.module;
        let result = self.op_body(&module.ops[callee.0], &mut frame, caller, span);
        let outcome = result.map(|node| Outcome {
            ty: self.graph.ty(node),
            steps: self.steps - steps,
            nodes: self.n_nodes() - nodes,
            depth: self.deepest - self.depth,
        });
        self.deepest = self.deepest.max(outer);
        if let (Some(shapes), Some(outcome)) = (&mut self.shapes, outcome)
            && self.faults.len() == faults
            && shapes.known.len() < MAX_KNOWN
        {
            shapes.known.insert(call, outcome);
        }
        result
    }

    /// The shape that a call is known to give, all that it takes counted. One that goes beyond a limit is
    /// worked out again, so that the fault stands where it belongs.
    fn recall(&mut self, call: &Call) -> Option<TensorType> {
        let n_nodes = self.n_nodes();
        let shapes = self.shapes.as_mut()?;
        let known = *shapes.known.get(call)?;
        let fits = self.steps + known.steps <= self.max_steps
            && self.depth + known.depth <= MAX_DEPTH
            && n_nodes + known.nodes <= MAX_NODES;
        if !fits {
            return None;
        }
        shapes.skipped_steps += known.steps;
        shapes.skipped_nodes += known.nodes;
        shapes.stand_ins += 1;
        self.steps += known.steps;
        self.deepest = self.deepest.max(self.depth + known.depth);
        Some(known.ty)
    }

    /// How many nodes the graph has, or would have.
    pub(super) fn n_nodes(&self) -> usize {
        let made = self.graph.nodes.len();
        self.shapes.as_ref().map_or(made, |shapes| made - shapes.stand_ins + shapes.skipped_nodes)
    }
}

/// Lowers cells alone, for the faults only: `check` calls it for the contexts a net can make.
pub(crate) struct Prober<'m> {
    lowering: Lowering<'m>,
    /// The constants at each width, and what is wrong with them.
    constants: BTreeMap<usize, (Vec<Option<Static>>, Vec<Diagnostic>)>,
}

impl<'m> Prober<'m> {
    /// A prober of the cells of `module` with the holes filled as `genotype` says.
    pub(crate) fn new(module: &'m Module, genotype: &'m [usize]) -> Self {
        let nothing = TensorType::new(1, 1, 1);
        let scale = ScaleContext { n: PROBE_N, f: PROBE_F, base: 0, classes: PROBE_CLASSES };
        let lowering = Lowering {
            prefix: "probe".into(),
            shapes: Some(Shapes::default()),
            ..Lowering::bare(module, genotype, Graph::new(nothing), scale)
        };
        Prober { lowering, constants: BTreeMap::new() }
    }

    /// Lowers a cell. Gives the faults and the steps it took, which are about `max_steps` at most; where
    /// that cuts it short, there are no faults.
    pub(crate) fn probe(
        &mut self,
        cell: &ir::Cell,
        context: &ProbeContext<'_>,
        max_steps: usize,
    ) -> (Vec<Diagnostic>, usize) {
        let lowering = &mut self.lowering;
        let entry = context.entry.map(|(net, entry)| (entry, net.origin.is_foreign()));
        lowering.site = match entry {
            Some((entry, false)) if cell.origin.is_foreign() => entry.cell.span,
            _ => cell.name.span,
        };
        lowering.scale.base = context.width;
        lowering.max_steps = max_steps;
        (lowering.steps, lowering.depth, lowering.is_stopped) = (0, 0, false);
        lowering.graph.nodes.truncate(1);
        lowering.graph.nodes[0].ty = context.recent;
        if let Some(shapes) = &mut lowering.shapes {
            (shapes.skipped_steps, shapes.skipped_nodes, shapes.stand_ins) = (0, 0, 0);
        }
        let mut work = 0;
        let (constants, faults) = self.constants.entry(context.width).or_insert_with(|| {
            lowering.constants.clear();
            lowering.evaluate_constants();
            work += lowering.constants.len();
            (std::mem::take(&mut lowering.constants), std::mem::take(&mut lowering.faults))
        });
        lowering.faults.clone_from(faults);
        lowering.constants = std::mem::take(constants);
        let is_ready = context.entry.is_none_or(|(net, _)| {
            work += net.statics.len();
            lowering.net_statics(net).is_some()
        });
        if is_ready {
            let mut inputs = vec![lowering.graph.input];
            // Stands for the output of an earlier cell; nothing but its shape is read.
            inputs.extend(context.previous.map(|previous| lowering.graph.stand_in(previous)));
            let last = inputs[inputs.len() - 1];
            inputs.resize(cell.inputs.len().max(1), last);
            let place = CellPlace {
                inputs: &inputs,
                width: context.width,
                is_first: context.previous.is_none(),
                entry,
            };
            let faults = lowering.faults.len();
            lowering.cell(cell, place);
            lowering.in_foreign_cell(cell, faults);
        }
        *constants = std::mem::take(&mut lowering.constants);
        let faults = std::mem::take(&mut lowering.faults);
        let skipped = lowering.shapes.as_ref().map_or(0, |shapes| shapes.skipped_steps);
        work += lowering.steps - skipped;
        let is_cut_short = lowering.steps == max_steps;
        // Without conditions that hold, the net has no place for the cell at the scale of a probe.
        (if is_cut_short || !is_ready { Vec::new() } else { faults }, work)
    }
}

/// A place in a net that `check` tries a cell in.
pub(crate) struct ProbeContext<'m> {
    /// The cell's width.
    pub width: usize,
    /// Shape of the most recent input.
    pub recent: TensorType,
    /// Shape of the inputs before it; `None` for the first cell of a net.
    pub previous: Option<TensorType>,
    /// The net and the entry of its stack that the cell stands in.
    pub entry: Option<(&'m Net, &'m StackedCell)>,
}
