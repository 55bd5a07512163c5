//! The one store of parameters that all children of a space share.
//!
//! A child is a [`Plan`] whose offsets point into the store. A place is made, with fresh values, when a first
//! child needs it; the store only grows at its end, so that the plans of earlier children stay right. The fresh
//! values depend on the seed and on the name of the place alone, so when it is made makes no difference.
//!
//! A parameter that is cut (see [`place`](super::place)) has a copy in the store that the plan reads: before a
//! pass its pieces are put together there, after a backward pass the gradient there is taken apart again.
//!
//! Batch normalization always uses the statistics of the batch at hand, as in ENAS: running ones would be those
//! of a mixture of children.

use std::collections::BTreeMap;

use super::place::{Cut, Piece, cut};
use crate::device::{BackwardPass, Cpu, CpuWorkspace, Device, ForwardPass, RunConfig, Statistics};
use crate::graph::lower::Lowered;
use crate::graph::{Graph, Node, ParamKind};
use crate::network::{NamedTensor, fill_fresh};
use crate::plan::{Layout, Mode, Plan, Slot};
use crate::rng::{Purpose, stream};
use crate::search::identity::text_number;
use crate::train::{Rule, Sgd, clip_norm};

/// How a step moves the parameters of its child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descent {
    pub lr: f64,
    /// Of Nesterov's momentum.
    pub momentum: f64,
    /// Factor of the parameters in their gradient, added before it is clipped: a part of the loss.
    pub weight_decay: f64,
    pub clip_norm: Option<f64>,
}

/// Parameters, their gradients and their velocities.
#[derive(Debug)]
pub(super) struct SharedStore {
    seed: u64,
    pub(super) values: Vec<f32>,
    pub(super) gradients: Vec<f32>,
    velocities: Vec<f32>,
    places: BTreeMap<String, Place>,
    /// Where the cut parameters of a child are put together, by the names of their pieces.
    joined: BTreeMap<Vec<String>, Slot>,
    device: Cpu,
    workspace: CpuWorkspace,
    /// What passes leave of running statistics, which nobody reads.
    statistics: Vec<f32>,
}

/// Where a parameter, or a piece of one, has its values.
#[derive(Clone, Debug)]
struct Place {
    slot: Slot,
    shape: Vec<usize>,
}

/// A child in the store.
#[derive(Debug)]
pub(super) struct SharedChild {
    plan: Plan,
    /// The places of its parameters, in the order of its graph.
    own: Vec<Slot>,
    pub(super) cuts: Vec<Joined>,
}

/// A parameter in pieces.
#[derive(Debug)]
pub(super) struct Joined {
    /// Where the plan reads it.
    slot: Slot,
    outer: usize,
    inner: usize,
    /// The places of the pieces and their channels.
    pieces: Vec<(Slot, usize)>,
}

impl Joined {
    /// Ranges of numbers that are side by side in both the whole and a piece: first number in the whole, first
    /// in the store's place of the piece, how many.
    fn runs(&self) -> impl Iterator<Item = [usize; 3]> {
        let row = self.slot.len / self.outer;
        let starts = self.pieces.iter().scan(0, |start, (_, channels)| {
            *start += channels * self.inner;
            Some(*start - channels * self.inner)
        });
        self.pieces.iter().zip(starts).flat_map(move |((slot, channels), start)| {
            let len = channels * self.inner;
            (0..self.outer).map(move |index| {
                [self.slot.offset + index * row + start, slot.offset + index * len, len]
            })
        })
    }
}

impl SharedStore {
    /// A store without places.
    pub(super) fn new(seed: u64) -> Self {
        SharedStore {
            seed,
            values: Vec::new(),
            gradients: Vec::new(),
            velocities: Vec::new(),
            places: BTreeMap::new(),
            joined: BTreeMap::new(),
            device: Cpu::default(),
            workspace: CpuWorkspace::default(),
            statistics: Vec::new(),
        }
    }

    /// How many parameters children share so far.
    pub(super) fn params(&self) -> usize {
        self.places.values().map(|place| place.slot.len).sum()
    }

    /// A network as a child, for training and evaluation, from the graph as it is written and the simplified
    /// one.
    ///
    /// # Cost
    /// That of planning it: milliseconds.
    pub(super) fn child(&mut self, written: &Lowered, graph: &Graph) -> SharedChild {
        let (layout, own, cuts) = self.lay_out(written, graph);
        let mode = Mode::Train { dropout: true, drop_path: false, image_gradient: false };
        SharedChild { plan: Plan::with_layout(graph, mode, &layout), own, cuts }
    }

    /// Where a network's parameters are read, where they live, and which are put together.
    pub(super) fn lay_out(
        &mut self,
        written: &Lowered,
        graph: &Graph,
    ) -> (Layout, Vec<Slot>, Vec<Joined>) {
        let mut node_of: BTreeMap<&str, &Node> = BTreeMap::new();
        for node in &written.graph.nodes {
            let paths = node.params.iter().map(|id| written.graph.params[id.0].path.as_str());
            node_of.extend(paths.map(|path| (path, node)));
        }
        let (mut own, mut cuts) = (Vec::new(), Vec::new());
        let layout = Layout::in_store(graph, |param| {
            let Cut { outer, inner, pieces } = cut(written, node_of[param.path.as_str()], param);
            let slots: Vec<Slot> =
                pieces.iter().map(|piece| self.place(piece, param.kind)).collect();
            own.extend_from_slice(&slots);
            if let [whole] = slots[..] {
                return whole.offset;
            }
            let slot = self.join(&pieces, param.len());
            let channels = pieces.iter().map(|piece| piece.channels);
            cuts.push(Joined {
                slot,
                outer,
                inner,
                pieces: slots.into_iter().zip(channels).collect(),
            });
            slot.offset
        });
        (layout, own, cuts)
    }

    /// The place of a piece, a fresh one if there is none yet.
    fn place(&mut self, piece: &Piece, kind: ParamKind) -> Slot {
        if let Some(place) = self.places.get(&piece.key) {
            return place.slot;
        }
        let slot = self.grow(piece.shape.iter().product());
        let rng = &mut stream(self.seed, Purpose::Init, text_number(&piece.key));
        fill_fresh(kind, &piece.shape, &mut self.values[slot.range()], rng);
        self.places.insert(piece.key.clone(), Place { slot, shape: piece.shape.clone() });
        slot
    }

    /// Where these pieces are put together.
    fn join(&mut self, pieces: &[Piece], len: usize) -> Slot {
        let keys: Vec<String> = pieces.iter().map(|piece| piece.key.clone()).collect();
        if let Some(&slot) = self.joined.get(&keys) {
            return slot;
        }
        let slot = self.grow(len);
        self.joined.insert(keys, slot);
        slot
    }

    fn grow(&mut self, len: usize) -> Slot {
        let slot = Slot { offset: self.values.len(), len };
        for numbers in [&mut self.values, &mut self.gradients, &mut self.velocities] {
            numbers.resize(slot.range().end, 0.0);
        }
        slot
    }

    /// Logits `[N, classes]` of `batch` images `[N, C, H, W]`, by the statistics of the batch.
    pub(super) fn logits(
        &mut self,
        child: &SharedChild,
        images: &[f32],
        batch: usize,
        config: &RunConfig,
    ) -> Vec<f32> {
        for [whole, piece, len] in child.cuts.iter().flat_map(Joined::runs) {
            self.values.copy_within(piece..piece + len, whole);
        }
        let SharedStore { values, device, workspace, statistics, .. } = self;
        let plan = &child.plan;
        statistics.resize(plan.statistics_len, 0.0);
        device.prepare(plan, batch, workspace);
        let mut logits = vec![0.0; batch * plan.classes];
        let pass = ForwardPass {
            batch,
            params: &values[..plan.params_len],
            version: None,
            statistics: Statistics::Update(statistics),
            image: images,
            logits: &mut logits,
            aux: None,
        };
        device.forward(plan, workspace, config, pass);
        logits
    }

    /// Moves the parameters of the child whose [`logits`](Self::logits) were computed last, given the gradient
    /// of these. The others stay as they are, their velocities too: to a child they are not there. Gives the
    /// norm of the gradient with its decay; where that is no finite number nothing moves.
    pub(super) fn learn(
        &mut self,
        child: &SharedChild,
        logits: &[f32],
        batch: usize,
        config: &RunConfig,
        descent: &Descent,
    ) -> f64 {
        let SharedStore { values, gradients, velocities, device, workspace, .. } = self;
        let plan = &child.plan;
        for slot in child.own.iter().chain(child.cuts.iter().map(|cut| &cut.slot)) {
            gradients[slot.range()].fill(0.0);
        }
        let pass = BackwardPass {
            batch,
            params: &values[..plan.params_len],
            logits,
            aux: None,
            gradients: &mut gradients[..plan.params_len],
            image: None,
        };
        device.backward(plan, workspace, config, pass);
        for [whole, piece, len] in child.cuts.iter().flat_map(Joined::runs) {
            gradients.copy_within(whole..whole + len, piece);
        }

        let gather = |from: &[f32]| -> Vec<f32> {
            child.own.iter().flat_map(|slot| &from[slot.range()]).copied().collect()
        };
        let (mut params, mut gradient) = (gather(values), gather(gradients));
        for (g, p) in gradient.iter_mut().zip(&params) {
            *g += descent.weight_decay as f32 * p;
        }
        let norm = clip_norm(&mut gradient, descent.clip_norm);
        if !norm.is_finite() {
            return norm;
        }
        let mut rule = Sgd::new(descent.momentum, true, params.len());
        for (_, velocity) in rule.state_mut() {
            velocity.copy_from_slice(&gather(velocities));
        }
        rule.step(&mut params, &gradient, descent.lr, 0);
        let scatter = |from: &[f32], to: &mut Vec<f32>| {
            let mut rest = from;
            for slot in &child.own {
                let (own, others) = rest.split_at(slot.len);
                to[slot.range()].copy_from_slice(own);
                rest = others;
            }
        };
        scatter(&params, values);
        for (_, velocity) in rule.state() {
            scatter(velocity, velocities);
        }
        norm
    }

    /// What the store holds, by the names of its places: values under `value.` and velocities under
    /// `velocity.`
    pub(super) fn state(&self) -> BTreeMap<String, NamedTensor> {
        let mut state = BTreeMap::new();
        for (key, Place { slot, shape }) in &self.places {
            for (part, numbers) in [("value", &self.values), ("velocity", &self.velocities)] {
                let values = numbers[slot.range()].to_vec();
                state.insert(format!("{part}.{key}"), NamedTensor { shape: shape.clone(), values });
            }
        }
        state
    }

    /// Takes over the places of another store; this one must have none.
    ///
    /// # Errors
    /// The name of a place that has values and no velocities of the same shape.
    pub(super) fn load_state(
        &mut self,
        state: &BTreeMap<String, NamedTensor>,
    ) -> Result<(), String> {
        assert!(self.places.is_empty(), "only a fresh store takes over another");
        for (name, NamedTensor { shape, values }) in state {
            let Some(key) = name.strip_prefix("value.") else { continue };
            let velocity = state.get(&format!("velocity.{key}"));
            let Some(velocity) = velocity.filter(|velocity| velocity.shape == *shape) else {
                return Err(format!("the velocity of `{key}` is missing"));
            };
            let slot = self.grow(values.len());
            self.values[slot.range()].copy_from_slice(values);
            self.velocities[slot.range()].copy_from_slice(&velocity.values);
            self.places.insert(key.to_owned(), Place { slot, shape: shape.clone() });
        }
        Ok(())
    }
}
