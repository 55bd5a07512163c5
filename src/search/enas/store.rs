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
//!
//! # On a card
//! The store stays on the host, where steps move it. A card runs the passes, of a plan whose offsets are those of the
//! child alone: the child's parameters are copied to it before a forward pass, with the batch, and their gradient to
//! and from it with a backward pass. The whole store may be a hundred times as large.

use std::collections::BTreeMap;

use super::place::{Cut, Piece, cut};
use crate::device::{
    AnyDevice, AnyWorkspace, BackwardPass, Device, ForwardPass, RunConfig, Statistics,
};
use crate::error::Error;
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
    device: AnyDevice,
    workspace: AnyWorkspace,
    /// What a card is given of the store, and what it gives back.
    copied: Copied,
    /// What passes leave of running statistics, which nobody reads.
    statistics: Vec<f32>,
}

/// Numbers of the child at hand alone, where its plan does not point into the store.
#[derive(Debug, Default)]
struct Copied {
    params: Vec<f32>,
    gradients: Vec<f32>,
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
    /// Each parameter in the store and where the plan has it, if that is elsewhere.
    copies: Option<Vec<[Slot; 2]>>,
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
    /// A store without places, for passes on a device.
    pub(super) fn new(seed: u64, device: AnyDevice) -> Self {
        SharedStore {
            seed,
            values: Vec::new(),
            gradients: Vec::new(),
            velocities: Vec::new(),
            places: BTreeMap::new(),
            joined: BTreeMap::new(),
            device,
            workspace: AnyWorkspace::default(),
            copied: Copied::default(),
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
        if matches!(self.device, AnyDevice::Cpu(_)) {
            let plan = Plan::with_layout(graph, mode, &layout);
            return SharedChild { plan, own, cuts, copies: None };
        }
        let alone = Layout::of(graph);
        let both = layout.entries().iter().zip(alone.entries());
        let trained = both.filter(|(entry, _)| entry.kind.is_trainable());
        let copies = Some(trained.map(|(there, here)| [there.slot, here.slot]).collect());
        SharedChild { plan: Plan::with_layout(graph, mode, &alone), own, cuts, copies }
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
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn logits(
        &mut self,
        child: &SharedChild,
        images: &[f32],
        batch: usize,
        config: &RunConfig,
    ) -> Result<Vec<f32>, Error> {
        for [whole, piece, len] in child.cuts.iter().flat_map(Joined::runs) {
            self.values.copy_within(piece..piece + len, whole);
        }
        let SharedStore { values, device, workspace, copied, statistics, .. } = self;
        let plan = &child.plan;
        statistics.resize(plan.statistics_len, 0.0);
        device.prepare(plan, batch, workspace)?;
        let params = match &child.copies {
            None => &values[..plan.params_len],
            Some(copies) => {
                copied.params.resize(plan.params_len, 0.0);
                for [there, here] in copies {
                    copied.params[here.range()].copy_from_slice(&values[there.range()]);
                }
                &copied.params
            }
        };
        let mut logits = vec![0.0; batch * plan.classes];
        let pass = ForwardPass {
            batch,
            params,
            version: None,
            statistics: Statistics::Update(statistics),
            image: images,
            logits: &mut logits,
            aux: None,
        };
        device.forward(plan, workspace, config, pass)?;
        Ok(logits)
    }

    /// Moves the parameters of the child whose [`logits`](Self::logits) were computed last, given the gradient
    /// of these. The others stay as they are, their velocities too: to a child they are not there. Gives the
    /// norm of the gradient with its decay; where that is no finite number nothing moves.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn learn(
        &mut self,
        child: &SharedChild,
        logits: &[f32],
        batch: usize,
        config: &RunConfig,
        descent: &Descent,
    ) -> Result<f64, Error> {
        let SharedStore { values, gradients, velocities, device, workspace, copied, .. } = self;
        let plan = &child.plan;
        let (params, sums) = match &child.copies {
            None => {
                for slot in child.own.iter().chain(child.cuts.iter().map(|cut| &cut.slot)) {
                    gradients[slot.range()].fill(0.0);
                }
                (&values[..plan.params_len], &mut gradients[..plan.params_len])
            }
            Some(_) => {
                copied.gradients.clear();
                copied.gradients.resize(plan.params_len, 0.0);
                (&copied.params[..plan.params_len], &mut copied.gradients[..])
            }
        };
        let (aux, image) = (None, None);
        let pass = BackwardPass { batch, params, logits, aux, gradients: sums, image };
        device.backward(plan, workspace, config, pass)?;
        for [there, here] in child.copies.iter().flatten() {
            gradients[there.range()].copy_from_slice(&copied.gradients[here.range()]);
        }
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
            return Ok(norm);
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
        Ok(norm)
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
