//! Reverse mode on the graph: backward kernels in order, and the buffers of the gradients.
//!
//! Nodes are visited last to first. When a node's turn comes, all its users have added to its gradient.
//! Gradients lie as values do: that of a concatenation's operand is a range of its channels, so a
//! concatenation needs no backward kernel for operands computed in place. The first step that writes a
//! channel stores, later ones add; where a write meets both kinds of channels, the untouched ones are
//! zeroed before. Which of these holds is known here, statically.

use crate::graph::{Graph, NodeId, Op};

use super::forward::{Values, depth, parts, sliced};
use super::wiring::Wiring;
use super::{Backward, BufferId, Content, Output, Plan, Step, Target, View};

/// Appends gradient buffers and backward steps to the plan.
pub(super) fn emit(
    plan: &mut Plan,
    graph: &Graph,
    wiring: &Wiring,
    values: &Values,
    image_gradient: bool,
) {
    let nodes = graph.nodes.len();
    let mut pass = Pass {
        plan,
        graph,
        wiring,
        values,
        wanted: wanted(graph, wiring, image_gradient),
        buffers: vec![None; nodes],
        written: Vec::new(),
    };
    let outputs = [(Output::Logits, Some(wiring.output)), (Output::Aux, wiring.aux)];
    for (output, node) in outputs {
        if let Some(node) = node {
            let gy = pass.target(node, node);
            pass.push(node, Backward::Load { output, gy });
        }
    }
    for id in wiring.live_nodes().rev() {
        if pass.wanted[id.0] {
            pass.node(id);
        }
    }
}

/// For each node whether its gradient is needed: a parameter lies before it, or a wanted image.
fn wanted(graph: &Graph, wiring: &Wiring, image_gradient: bool) -> Vec<bool> {
    let mut wanted = vec![false; graph.nodes.len()];
    for id in wiring.live_nodes() {
        let node = graph.node(id);
        wanted[id.0] = !node.params.is_empty()
            || (matches!(node.op, Op::Input) && image_gradient)
            || wiring.operands[id.0].iter().any(|operand| wanted[operand.node.0]);
    }
    wanted
}

struct Pass<'a> {
    plan: &'a mut Plan,
    graph: &'a Graph,
    wiring: &'a Wiring,
    values: &'a Values,
    wanted: Vec<bool>,
    /// Gradient buffers by the node they were made for.
    buffers: Vec<Option<BufferId>>,
    /// For each buffer the channels that hold a gradient already; empty for buffers of values.
    written: Vec<Vec<bool>>,
}

impl Pass<'_> {
    fn push(&mut self, node: NodeId, kernel: Backward) {
        self.plan.backward.push(Step { kernel, node });
    }

    /// Where the gradient of a node is.
    fn gradient(&mut self, id: NodeId) -> View {
        if let Some(sum) = self.sum_to_share(id) {
            return self.gradient(sum);
        }
        let place = self.values.places[id.0].expect("every live node has a place");
        let channels = self.graph.ty(id).channels;
        if place.root != id {
            let root = self.gradient(place.root);
            return View { channel: root.channel + place.channel, channels, ..root };
        }
        let buffer = match self.buffers[id.0] {
            Some(buffer) => buffer,
            None => self.plan.buffer(id, Content::Gradient, self.graph.ty(id)),
        };
        self.buffers[id.0] = Some(buffer);
        self.plan.whole(buffer)
    }

    /// The sum whose gradient is this operand's gradient too, if the operand has no other user.
    ///
    /// Nobody writes to a shared gradient after the sum's turn: only users of the sum write it, and they
    /// come before. A concatenation must not share, since other users of its operands would add to
    /// their channels.
    fn sum_to_share(&self, id: NodeId) -> Option<NodeId> {
        let [user] = self.wiring.users[id.0][..] else { return None };
        let shares = matches!(self.graph.node(user).op, Op::Add)
            && !matches!(self.graph.node(id).op, Op::Concat)
            && !self.wiring.is_output(id);
        shares.then_some(user)
    }

    /// Claims a node's gradient as the place a step of `user` writes.
    fn target(&mut self, node: NodeId, user: NodeId) -> Target {
        let view = self.gradient(node);
        self.claim(view, user)
    }

    /// Claims a range of channels of gradients as the place a step of `user` writes.
    fn claim(&mut self, view: View, user: NodeId) -> Target {
        let accumulate = self.some_written(view);
        if accumulate {
            self.zero_gaps(view, user);
        } else {
            self.mark(view);
        }
        Target { view, accumulate }
    }

    /// The same, if the gradient is wanted.
    fn wanted_target(&mut self, node: NodeId, user: NodeId) -> Option<Target> {
        self.wanted[node.0].then(|| self.target(node, user))
    }

    fn channels_of(&mut self, view: View) -> &mut [bool] {
        let channels = self.plan.buffers[view.buffer.0].ty.channels;
        if self.written.len() <= view.buffer.0 {
            self.written.resize(view.buffer.0 + 1, Vec::new());
        }
        let written = &mut self.written[view.buffer.0];
        written.resize(channels, false);
        &mut written[view.channel..view.channel + view.channels]
    }

    fn some_written(&mut self, view: View) -> bool {
        self.channels_of(view).contains(&true)
    }

    fn mark(&mut self, view: View) {
        self.channels_of(view).fill(true);
    }

    /// Zeroes the channels of a view that hold no gradient yet.
    fn zero_gaps(&mut self, view: View, user: NodeId) {
        let written = self.channels_of(view).to_vec();
        let mut channel = 0;
        for run in written.chunk_by(|a, b| a == b) {
            if !run[0] {
                let gap = View { channel: view.channel + channel, channels: run.len(), ..view };
                self.mark(gap);
                self.push(user, Backward::Zero { gx: gap });
            }
            channel += run.len();
        }
    }

    /// The backward kernels of one node.
    fn node(&mut self, id: NodeId) {
        let gy = self.gradient(id);
        if !self.some_written(gy) {
            // Nothing that the outputs depend on hands a gradient back.
            return;
        }
        self.zero_gaps(gy, id);
        let (graph, values) = (self.graph, self.values);
        let operands: Vec<NodeId> =
            self.wiring.operands[id.0].iter().map(|operand| operand.node).collect();
        let relu_in = self.wiring.operands[id.0].first().is_some_and(|operand| operand.relu);
        let slots = &values.params[id.0];
        let y = values.view(id);
        match &graph.node(id).op {
            Op::Input => self.push(id, Backward::Store { gx: gy }),
            Op::Conv { window, groups, .. } => {
                let (window, weight, x) = (*window, slots[0], values.view(operands[0]));
                let groups = *groups;
                // The weight first: without a mask the input may then be overwritten.
                self.push(id, Backward::ConvWeight { window, groups, x, relu_in, gy, weight });
                if let Some(gx) = self.wanted_target(operands[0], id) {
                    let mask = relu_in.then_some(x);
                    self.push(id, Backward::ConvData { window, groups, mask, weight, gy, gx });
                }
            }
            Op::DepthwiseConv { window } => {
                let (window, weight, x) = (*window, slots[0], values.view(operands[0]));
                self.push(id, Backward::DepthwiseWeight { window, x, relu_in, gy, weight });
                if let Some(gx) = self.wanted_target(operands[0], id) {
                    let mask = relu_in.then_some(x);
                    self.push(id, Backward::DepthwiseData { window, mask, weight, gy, gx });
                }
            }
            Op::BatchNorm => {
                let saved = values.saved[id.0].expect("a training plan keeps the statistics");
                // One kernel gives all three gradients, so the input's is made even if nobody wants it.
                let gx = self.target(operands[0], id);
                let (x, gamma, beta) = (values.view(operands[0]), slots[0], slots[1]);
                let fixed = false;
                self.push(id, Backward::BatchNorm { x, gamma, beta, saved, fixed, gy, gx });
            }
            Op::LayerNorm | Op::InstanceNorm => {
                let gx = self.target(operands[0], id);
                let (x, moments) = (values.view(operands[0]), values.moments(id));
                let (groups, gamma, beta) = (moments.channels / 2, slots[0], slots[1]);
                let kernel = Backward::GroupNorm { groups, x, gamma, beta, moments, gy, gx };
                self.push(id, kernel);
            }
            Op::Add => {
                for &operand in &operands {
                    if self.sum_to_share(operand).is_none() {
                        self.unary(id, operand, |gx| Backward::Copy { gy, gx });
                    }
                }
            }
            Op::Mul => self.product(id, operands[0], operands[1], gy),
            Op::Concat => self.concatenation(id, &operands, y, gy),
            Op::Dense { .. } => {
                let gx = self.wanted_target(operands[0], id);
                let (x, weight, bias) = (values.view(operands[0]), slots[0], slots.get(1).copied());
                self.push(id, Backward::Dense { x, weight, bias, gy, gx });
            }
            Op::Relu => {
                let x = values.view(operands[0]);
                self.unary(id, operands[0], |gx| Backward::Relu { x, gy, gx });
            }
            Op::Relu6 => {
                let x = values.view(operands[0]);
                self.unary(id, operands[0], |gx| Backward::Relu6 { x, gy, gx });
            }
            Op::Sigmoid => self.unary(id, operands[0], |gx| Backward::Sigmoid { y, gy, gx }),
            Op::MaxPool { window } => {
                let x = values.view(operands[0]);
                self.unary(id, operands[0], |gx| Backward::MaxPool { window: *window, x, gy, gx });
            }
            Op::AvgPool { window } => {
                self.unary(id, operands[0], |gx| Backward::AvgPool { window: *window, gy, gx });
            }
            Op::GlobalAvgPool => {
                self.unary(id, operands[0], |gx| Backward::GlobalAvgPool { gy, gx });
            }
            Op::Dropout => {
                let stream = id.0 as u64;
                self.unary(id, operands[0], |gx| Backward::Dropout { stream, gy, gx });
            }
            Op::DropPath => {
                let (stream, depth) = (id.0 as u64, depth(self.graph, id));
                self.unary(id, operands[0], |gx| Backward::DropPath { stream, depth, gy, gx });
            }
            Op::Shift => self.unary(id, operands[0], |gx| Backward::Shift { gy, gx }),
            Op::Shuffle { groups } => {
                self.unary(id, operands[0], |gx| Backward::Shuffle { groups: *groups, gy, gx });
            }
            Op::Slice { start, .. } => {
                if self.wanted[operands[0].0] {
                    let whole = self.gradient(operands[0]);
                    let gx = self.claim(sliced(whole, *start, gy), id);
                    self.push(id, Backward::Copy { gy, gx });
                }
            }
            Op::Mix => {
                let stream = id.0 as u64;
                for (operand, is_first) in operands.into_iter().zip([true, false]) {
                    self.unary(id, operand, |gx| Backward::Mix { stream, is_first, gy, gx });
                }
            }
            Op::Zero { .. } => unreachable!("nothing before zeros wants a gradient"),
        }
    }

    /// A kernel that only gives the gradient of one operand.
    fn unary(&mut self, id: NodeId, operand: NodeId, kernel: impl FnOnce(Target) -> Backward) {
        if let Some(gx) = self.wanted_target(operand, id) {
            self.push(id, kernel(gx));
        }
    }

    /// One kernel for both factors, or two if the factors share memory, as in `x * x`.
    fn product(&mut self, id: NodeId, left: NodeId, right: NodeId, gy: View) {
        let (a, b) = (self.values.view(left), self.values.view(right));
        if a.overlaps(&b) {
            self.unary(id, left, |ga| Backward::Mul { a, b, gy, ga: Some(ga), gb: None });
            self.unary(id, right, |gb| Backward::Mul { a, b, gy, ga: None, gb: Some(gb) });
            return;
        }
        let ga = self.wanted_target(left, id);
        let gb = self.wanted_target(right, id);
        if ga.is_some() || gb.is_some() {
            self.push(id, Backward::Mul { a, b, gy, ga, gb });
        }
    }

    /// Hands back the gradients of those operands that were copied.
    fn concatenation(&mut self, id: NodeId, operands: &[NodeId], y: View, gy: View) {
        let channels = || operands.iter().map(|&operand| self.graph.ty(operand).channels);
        let places: Vec<(View, View)> = parts(channels(), y).zip(parts(channels(), gy)).collect();
        for (&operand, (y, gy)) in operands.iter().zip(places) {
            if self.values.view(operand) != y {
                self.unary(id, operand, |gx| Backward::Copy { gy, gx });
            }
        }
    }
}
