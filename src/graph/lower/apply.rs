//! Tensor expressions: operations called, primitives wired, combinations made.

use super::value::Static;
use super::{Frame, Lowering, MAX_CHANNELS, MAX_DEPTH, MAX_ELEMENTS, MAX_NODES};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{NodeId, Op, ShapeFault, TensorType};
use crate::ir::{
    Combine, CombineOp, CombineUse, Expr, ExprKind, OpId, OpResult, OpUse, OpUseKind, Primitive,
    Require, StaticKind, Value,
};
use crate::source::Span;

impl<'m> Lowering<'m> {
    /// Builds an expression; `None` after reporting a fault, or where an operand has one.
    pub(super) fn expr(&mut self, expr: &Expr, frame: &mut Frame) -> Option<NodeId> {
        // The stages of a pipeline nest to the left. They are followed in a loop, since a pipeline may be
        // longer than anything that nests otherwise.
        let mut start = expr;
        let mut stages = Vec::new();
        while let ExprKind::Apply { op, args } = &start.kind
            && let [input] = args.as_slice()
            && !self.is_concat(op)
        {
            stages.push(op);
            start = input;
        }
        self.enter(expr.span, frame)?;
        let mut node = self.operand(start, frame);
        for op in stages.into_iter().rev() {
            node = node.and_then(|node| self.apply(op, &[node], frame));
        }
        self.depth -= 1;
        node
    }

    /// True if a use comes down to `concat`, whose operands have names of their own.
    fn is_concat(&self, op: &OpUse) -> bool {
        let kind = &self.chosen(op).kind;
        matches!(kind, OpUseKind::Primitive { primitive: Primitive::Concat, .. })
    }

    /// Counts one more step, one level deeper; `None` after reporting that there are too many.
    pub(super) fn enter(&mut self, span: Span, frame: &Frame) -> Option<()> {
        if self.is_stopped {
            return None;
        }
        let message = if self.depth == MAX_DEPTH {
            format!("operations use each other more than {MAX_DEPTH} deep")
        } else if self.steps == self.max_steps {
            format!("operations use each other more than {} times", self.max_steps)
        } else {
            self.depth += 1;
            self.deepest = self.deepest.max(self.depth);
            self.steps += 1;
            return Some(());
        };
        self.fault(Code::TooLarge, span, frame, message, "use fewer operations inside operations");
        self.is_stopped = true;
        None
    }

    /// Builds an expression that is no stage of a pipeline.
    fn operand(&mut self, expr: &Expr, frame: &mut Frame) -> Option<NodeId> {
        match &expr.kind {
            ExprKind::Local(local) => {
                // What the outputs read is still what no block reads.
                if let Some(used) = frame.used.get_mut(local.0) {
                    *used |= !frame.is_out;
                }
                frame.locals[local.0]
            }
            ExprKind::Choice { decision, options } => {
                let option = self.take(*decision);
                self.expr(&options[option], frame)
            }
            ExprKind::Apply { op: written, args } => {
                let op = self.chosen(written);
                if let OpUseKind::Primitive { primitive: Primitive::Concat, .. } = op.kind {
                    return self.concat(args, expr.span, frame);
                }
                if let OpUseKind::Primitive { primitive: Primitive::Mul, .. } = op.kind {
                    return self.combine(Op::Mul, &args[0], &args[1], expr.span, frame);
                }
                if let OpUseKind::Primitive { primitive: Primitive::Mix, .. } = op.kind {
                    return self.combine(Op::Mix, &args[0], &args[1], expr.span, frame);
                }
                if let [left, right] = args.as_slice() {
                    let (a, b) = self.both(left, right, frame);
                    return self.apply(written, &[a?, b?], frame);
                }
                let args = self.args(args, frame);
                self.apply(written, &args.into_iter().collect::<Option<Vec<_>>>()?, frame)
            }
            ExprKind::Combine { combine, left, right } => {
                let chosen = match combine {
                    Combine::Fixed(op) => &CombineUse::Op(*op),
                    Combine::Choice { decision, options } => &options[self.genotype[*decision]],
                };
                match chosen {
                    CombineUse::Op(op) => {
                        let op = match op {
                            CombineOp::Add => Op::Add,
                            CombineOp::Mul => Op::Mul,
                            CombineOp::Concat => Op::Concat,
                        };
                        self.combine(op, left, right, expr.span, frame)
                    }
                    CombineUse::Apply(op) => {
                        let (a, b) = self.both(left, right, frame);
                        if let Combine::Choice { decision, .. } = combine {
                            self.take(*decision);
                        }
                        self.apply(op, &[a?, b?], frame)
                    }
                }
            }
            ExprKind::ConcatUnused => {
                unreachable!("`concat(unused)` is a cell's whole output, see Lowering::cell")
            }
        }
    }

    pub(super) fn chosen<'o>(&self, op: &'o OpUse) -> &'o OpUse {
        let mut op = op;
        while let OpUseKind::Choice { decision, options } = &op.kind {
            op = &options[self.genotype[*decision]];
        }
        op
    }

    /// [`chosen`](Self::chosen), for a value that depends on it.
    fn take_op<'o>(&mut self, op: &'o OpUse) -> &'o OpUse {
        let mut op = op;
        while let OpUseKind::Choice { decision, options } = &op.kind {
            op = &options[self.take(*decision)];
        }
        op
    }

    /// Applies one operation to tensors.
    pub(super) fn apply(
        &mut self,
        op: &OpUse,
        args: &[NodeId],
        frame: &mut Frame,
    ) -> Option<NodeId> {
        let op = self.take_op(op);
        let outer_site = self.site;
        if !frame.is_foreign {
            self.site = op.span;
        }
        let stride = self.stride(args[0], frame);
        if !frame.is_op {
            frame.stride = stride;
        }
        let result = match &op.kind {
            OpUseKind::Op { op: callee, attrs } => {
                self.call(*callee, attrs, args, stride, frame, op.span)
            }
            OpUseKind::Primitive { primitive: Primitive::Concat, .. } => {
                self.wire(Op::Concat, args, &[], frame, op.span)
            }
            OpUseKind::Primitive { primitive: Primitive::Mul, .. } => {
                self.wire(Op::Mul, args, &[], frame, op.span)
            }
            OpUseKind::Primitive { primitive: Primitive::Mix, .. } => {
                self.wire(Op::Mix, args, &[], frame, op.span)
            }
            OpUseKind::Primitive { primitive, attrs } => {
                self.primitive(*primitive, attrs, args[0], frame, op.span)
            }
            OpUseKind::Choice { .. } => unreachable!("Lowering::chosen follows choices to the end"),
        };
        self.site = outer_site;
        result
    }

    /// The stride of an operation on `arg`: the cell's as long as `arg` has the cell's input size.
    fn stride(&self, arg: NodeId, frame: &Frame) -> usize {
        match frame.cell {
            Some(cell) if self.graph.ty(arg).size() == cell.size => cell.stride,
            _ => 1,
        }
    }

    /// Calls an operation of the module.
    fn call(
        &mut self,
        callee: OpId,
        attrs: &[Option<Value>],
        args: &[NodeId],
        stride: usize,
        caller: &Frame,
        span: Span,
    ) -> Option<NodeId> {
        let module = self.module;
        let op = &module.ops[callee.0];
        let width =
            if caller.cell.is_some() { caller.width } else { self.graph.ty(args[0]).channels };
        let given: Vec<Option<Option<Static>>> =
            attrs.iter().map(|attr| attr.as_ref().map(|value| self.value(value, caller))).collect();
        let mut frame = self.frame(op, args, width, stride, caller);
        for (given, param) in given.into_iter().zip(&op.params) {
            let value = match given {
                Some(value) => value?,
                None => {
                    let default = param.default.as_ref();
                    let default = default.expect("check::exprs reports missing attributes");
                    self.value(default, &frame)?
                }
            };
            frame.params.push(value);
        }
        if self.shapes.is_some() {
            return self.shape_of_call(callee, frame, args, caller, span);
        }
        self.op_body(op, &mut frame, caller, span)
    }

    fn frame<'f>(
        &self,
        op: &'f crate::ir::Op,
        args: &[NodeId],
        width: usize,
        stride: usize,
        caller: &Frame,
    ) -> Frame<'f> {
        Frame {
            params: Vec::with_capacity(op.params.len()),
            attrs: &op.params,
            lets: Vec::new(),
            locals: args.iter().copied().map(Some).collect(),
            spans: Vec::new(),
            local_names: Vec::new(),
            used: Vec::new(),
            width,
            cell: caller.cell,
            stride,
            is_op: true,
            is_out: false,
            is_foreign: op.origin.is_foreign(),
        }
    }

    pub(super) fn op_body<'o>(
        &mut self,
        op: &'o crate::ir::Op,
        frame: &mut Frame<'o>,
        caller: &Frame,
        span: Span,
    ) -> Option<NodeId> {
        let mut statics = op.statics.iter().peekable();
        for count in 0..=op.bindings.len() {
            while let Some(statement) = statics.next_if(|statement| statement.after == count) {
                match &statement.kind {
                    StaticKind::Let { name, value } => {
                        let value = self.value(value, frame)?;
                        frame.lets.push(name);
                        frame.params.push(value);
                    }
                    StaticKind::Require(require) => {
                        self.require(op, require, frame, caller, span)?;
                    }
                }
            }
            let Some(binding) = op.bindings.get(count) else { break };
            let value = self.expr(binding, frame)?;
            frame.locals.push(Some(value));
        }
        match &op.result {
            OpResult::Always(expr) => self.expr(expr, frame),
            OpResult::When { arms, otherwise } => {
                for (cond, expr) in arms {
                    if self.cond(cond, frame)? {
                        return self.expr(expr, frame);
                    }
                }
                match otherwise {
                    Some(expr) => self.expr(expr, frame),
                    None => {
                        let message = format!("no `when` of `{}` holds for this use", op.name.name);
                        let values: Vec<String> = frame
                            .names()
                            .zip(&frame.params)
                            .map(|(name, value)| format!("{name} = {value}"))
                            .chain([
                                format!("c = {}", frame.width),
                                format!("stride = {}", frame.stride),
                            ])
                            .collect();
                        self.faults.push(
                            Diagnostic::new(Code::NoArmHolds, self.place(span, caller), message)
                                .label(format!("with {}", values.join(", ")))
                                .note("add an `otherwise => ...`"),
                        );
                        None
                    }
                }
            }
        }
    }

    /// Reports if a condition of an operation does not hold.
    fn require(
        &mut self,
        op: &crate::ir::Op,
        require: &Require,
        frame: &Frame,
        caller: &Frame,
        span: Span,
    ) -> Option<()> {
        if self.cond(&require.cond, frame)? {
            return Some(());
        }
        let mut fault = self.unmet(&op.name.name, require, frame, self.place(span, caller));
        if !op.origin.is_foreign() {
            fault = fault.also(require.span, "required here");
        }
        self.faults.push(fault.note(format!("change the attributes of `{}`", op.name.name)));
        None
    }

    /// The fault of a condition of `owner` that does not hold.
    pub(super) fn unmet(
        &self,
        owner: &str,
        require: &Require,
        frame: &Frame,
        span: Span,
    ) -> Diagnostic {
        let message = match &require.message {
            Some(text) => fill(text, frame),
            None => format!("a condition of `{owner}` does not hold"),
        };
        Diagnostic::new(Code::RequirementNotMet, span, message)
    }

    /// Combines two expressions, their nodes on the paths `left` and `right`.
    fn combine(
        &mut self,
        op: Op,
        left: &Expr,
        right: &Expr,
        span: Span,
        frame: &mut Frame,
    ) -> Option<NodeId> {
        let (a, b) = self.both(left, right, frame);
        let causes = [cause(left, frame), cause(right, frame)];
        self.wire(op, &[a?, b?], &causes, frame, span)
    }

    /// The two operands of a combination, in a cell on the paths `left` and `right`.
    fn both(
        &mut self,
        left: &Expr,
        right: &Expr,
        frame: &mut Frame,
    ) -> (Option<NodeId>, Option<NodeId>) {
        if frame.is_op || frame.cell.is_none() || self.shapes.is_some() {
            return (self.expr(left, frame), self.expr(right, frame));
        }
        let a = self.within("left", |this| this.edge(left, frame));
        (a, self.within("right", |this| this.edge(right, frame)))
    }

    /// Any number of operands, in a cell on paths with the names of those that are bare.
    fn args(&mut self, args: &[Expr], frame: &mut Frame) -> Vec<Option<NodeId>> {
        let in_cell = !frame.is_op && frame.cell.is_some() && self.shapes.is_none();
        let mut nodes = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            nodes.push(if in_cell {
                let name = self.operand_name(arg, frame).unwrap_or_else(|| format!("arg{index}"));
                self.within(&name, |this| match frame.is_out {
                    true => this.expr(arg, frame),
                    false => this.edge(arg, frame),
                })
            } else {
                self.expr(arg, frame)
            });
        }
        nodes
    }

    /// Concatenates expressions.
    fn concat(&mut self, args: &[Expr], span: Span, frame: &mut Frame) -> Option<NodeId> {
        let nodes = match args {
            // As in `x + y`, whichever way the combination is written.
            [left, right] if !frame.is_out => {
                let (a, b) = self.both(left, right, frame);
                vec![a, b]
            }
            _ => self.args(args, frame),
        };
        let causes: Vec<_> = args.iter().map(|arg| cause(arg, frame)).collect();
        self.wire(Op::Concat, &nodes.into_iter().collect::<Option<Vec<_>>>()?, &causes, frame, span)
    }

    /// The name of a bare operand, seen through the adapter that `check` put round it.
    fn operand_name(&self, operand: &Expr, frame: &Frame) -> Option<String> {
        match &operand.kind {
            ExprKind::Local(local) => frame.local_names.get(local.0).map(|&name| name.to_owned()),
            ExprKind::Choice { decision, options } => {
                self.operand_name(&options[self.genotype[*decision]], frame)
            }
            ExprKind::Apply { args, .. } => match args.as_slice() {
                [arg] if arg.span == operand.span => self.operand_name(arg, frame),
                _ => None,
            },
            ExprKind::Combine { .. } | ExprKind::ConcatUnused => None,
        }
    }

    /// Adds a node under the current path. `causes` say where each operand comes from.
    pub(super) fn wire(
        &mut self,
        op: Op,
        inputs: &[NodeId],
        causes: &[Option<Span>],
        frame: &Frame,
        span: Span,
    ) -> Option<NodeId> {
        if self.n_nodes() >= MAX_NODES {
            if !self.is_stopped {
                let message = format!("the network has more than {MAX_NODES} operations");
                self.fault(Code::SizeOutOfRange, span, frame, message, "use fewer cells or blocks");
            }
            self.is_stopped = true;
            return None;
        }
        let name = op.name();
        let wired = if self.shapes.is_some() {
            self.graph.wire_shape(&op, inputs)
        } else {
            let path = self.path(name);
            let wired = self.graph.wire(op, inputs, self.section, path);
            self.note_choices(&wired);
            wired
        };
        let fault = match wired {
            Ok(node) => return self.within_limits(node, frame, span),
            Err(fault) => fault,
        };
        let verb = match name {
            "mul" => "multiply",
            other => other,
        };
        let span = self.place(span, frame);
        let label =
            |ty: TensorType| format!("{} channels, {}x{}", ty.channels, ty.height, ty.width);
        let mut diagnostic = match fault {
            ShapeFault::Differ { left, right } => {
                let differ = match (left.channels == right.channels, left.size() == right.size()) {
                    (true, _) => "height and width differ",
                    (false, true) => "channels differ",
                    (false, false) => "channels, height and width differ",
                };
                let note = if left.size() == right.size() {
                    "bring both operands to the same number of channels, such as by `conv<1>`"
                } else {
                    "give both operands the same stride"
                };
                let message = format!("cannot {verb} tensors of different shapes");
                Diagnostic::new(Code::ShapeMismatch, span, message)
                    .label(format!("{differ}: {} and {}", label(left), label(right)))
                    .note(note)
            }
            ShapeFault::Sizes { first, index, other } => {
                let message = "cannot concatenate tensors of different sizes";
                Diagnostic::new(Code::ShapeMismatch, span, message)
                    .label(format!(
                        "operand 1 has {}, operand {} has {}",
                        label(first),
                        index + 1,
                        label(other)
                    ))
                    .note("give all operands the same stride")
            }
            ShapeFault::NotFlat { operand } => {
                Diagnostic::new(Code::DenseOnMap, span, "`dense` needs a map of 1x1")
                    .label(format!("its operand has {}", label(operand)))
                    .note("put `gap` before `dense`")
            }
            ShapeFault::Indivisible { channels, groups, is_output } => {
                let what = if is_output {
                    format!("its {channels} filters")
                } else {
                    format!("its operand's {channels} channels")
                };
                let message = format!("`{name}` cannot divide {what} into {groups} groups");
                Diagnostic::new(Code::ChannelsDoNotFit, span, message)
                    .note("use a number of groups that divides them")
            }
            ShapeFault::OutOfRange { operand, start, count } => {
                let message =
                    format!("`slice<{start}, {count}>` takes channels that are not there");
                Diagnostic::new(Code::ChannelsDoNotFit, span, message)
                    .label(format!("its operand has {}", label(operand)))
                    .note(format!("channels are counted from 0 to {}", operand.channels - 1))
            }
        };
        if !frame.is_foreign && inputs.len() > 1 {
            for (cause, &input) in causes.iter().zip(inputs) {
                if let Some(cause) =
                    cause.filter(|cause| !diagnostic.secondary.iter().any(|l| l.span == *cause))
                {
                    diagnostic = diagnostic.also(cause, label(self.graph.ty(input)));
                }
            }
        }
        if diagnostic.primary.text.is_empty() {
            diagnostic = self.in_net(diagnostic, frame);
        }
        self.faults.push(diagnostic);
        None
    }

    /// Notes what made a node, if it has parameters.
    fn note_choices(&mut self, wired: &Result<NodeId, ShapeFault>) {
        let Ok(id) = wired else { return };
        let node = self.graph.node(*id);
        if !node.params.is_empty() && !self.trail.is_empty() {
            self.made_by.insert(node.path.clone(), self.trail.clone());
        }
    }

    /// Where the next node of this operation stands.
    fn path(&mut self, name: &str) -> String {
        let kind = match name {
            "dwconv" => "dw",
            "layernorm" => "ln",
            "instancenorm" => "in",
            other => other,
        };
        let key = format!("{}.{kind}", self.prefix);
        let count = self.counters.entry(key).or_insert(0);
        *count += 1;
        format!("{}.{kind}{count}", self.prefix)
    }

    /// The node, unless its result is larger than anything can hold.
    fn within_limits(&mut self, node: NodeId, frame: &Frame, span: Span) -> Option<NodeId> {
        let ty = self.graph.ty(node);
        let message = if ty.channels > MAX_CHANNELS {
            format!("a tensor has 1 to {MAX_CHANNELS} channels, found {}", ty.channels)
        } else if ty.elements() > MAX_ELEMENTS {
            format!("a tensor has at most {MAX_ELEMENTS} values for an image, found {ty}")
        } else {
            return Some(node);
        };
        self.fault(Code::SizeOutOfRange, span, frame, message, "use another width or scale");
        None
    }
}

/// Where the tensor of an operand was made, in the user's text.
fn cause(operand: &Expr, frame: &Frame) -> Option<Span> {
    match &operand.kind {
        ExprKind::Local(local) => frame.spans.get(local.0).copied(),
        ExprKind::Apply { args, .. } => match args.as_slice() {
            // An inserted `id(x)` has the span of `x`; its tensor was made where `x` was.
            [arg] if arg.span == operand.span => cause(arg, frame),
            _ => Some(operand.span),
        },
        ExprKind::Combine { .. } | ExprKind::Choice { .. } | ExprKind::ConcatUnused => {
            Some(operand.span)
        }
    }
}

/// An author's message with `{name}` replaced by the values of attributes.
fn fill(text: &str, frame: &Frame) -> String {
    let mut filled = text.to_string();
    let known = frame.names().zip(&frame.params);
    for (name, value) in known {
        filled = filled.replace(&format!("{{{name}}}"), &value.to_string());
    }
    filled = filled.replace("{c}", &frame.width.to_string());
    filled.replace("{stride}", &frame.stride.to_string())
}
