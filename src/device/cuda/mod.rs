//! NVIDIA cards.
//!
//! [`Cuda`] runs the same plans as [`Cpu`](super::Cpu), on the same layout `[C, H, W, N]`: each step of a [`Plan`]
//! becomes [`Command`]s, launches of kernels and matrix products, by a [`Program`] that needs no card to be made. The
//! kernels are CUDA C in `kernels/`, compiled by NVRTC for the card that is found and kept on disk; the products are
//! cuBLAS's. The driver, NVRTC and cuBLAS are loaded when a card is opened: the program is the same for all machines.
//!
//! A program that comes again is recorded as a CUDA graph and started by one call. A single pass copies parameters, the
//! batch and gradients from and to the host; [`Training`] keeps all of them on the card but the batch, and runs a whole
//! step as one program: passes, loss, clipping, the optimizer's rule and averages.
//!
//! # Memory
//! A workspace is one allocation, planned before: the arena, the parameters, the batch and what steps need for
//! themselves, each on a border of 256 bytes.
//!
//! # Precision
//! In bf16, values and gradients of maps lie in memory in 16 bits, and so does what is gathered of them and a copy of the
//! parameters for products to read, which every forward pass rounds anew; see [`Precision`] for what stays in single
//! precision, which is the arithmetic, and for why gradients need no scaling. A kernel rounds each number once, when it
//! stores it. Rounded twice are sums in several parts: a gradient of several uses, when each is added to the others, a
//! result that is normalized behind its convolution, and gradients of gathered windows, before they are added up.
//! Moments of single images are rounded, too, since they lie among the maps.
//!
//! # Determinism
//! Sums are taken in an order that shapes alone fix, without atomic operations. Masks and shares are drawn on the
//! host and are those of the CPU. Results are the same bits on the same card with the same libraries; other cards and
//! versions of cuBLAS differ in the last ones.

#![expect(unsafe_code, reason = "the driver, NVRTC and cuBLAS are C")]

mod command;
mod compiler;
mod driver;
mod fault;
mod group;
mod lower;
mod member;
mod recording;
mod source;
mod staging;
mod training;
mod workspace;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{BackwardPass, CardOptions, Device, ForwardPass, Precision, RunConfig, Statistics};
use crate::plan::Plan;
use driver::Card;

pub use command::{Arg, Command, Launch, Matrix, Place, Product, Region, window_fields};
pub use fault::CudaFault;
pub use lower::{Draw, Program};
pub use member::factors;
pub use source::{kernel_names, source};
pub use training::{Kept, StepInput, Training};
pub use workspace::CudaWorkspace;

/// A card. Clones are the same card; passes on it run one after the other.
#[derive(Clone, Debug)]
pub struct Cuda {
    card: Arc<Mutex<Card>>,
    number: usize,
    name: Arc<str>,
    precision: Precision,
    /// Those that it trains with, itself among them, if there are others.
    group: Option<Arc<group::Group>>,
}

impl Cuda {
    /// Opens the card of a number, counted from 0.
    ///
    /// # Errors
    /// [`CudaFault`], one for each thing that may be missing: driver, card, CUDA, or a driver new enough for it.
    ///
    /// # Cost
    /// Compiles the kernels once for each kind of card and version of NVRTC; the result is kept in
    /// `$XDG_CACHE_HOME/cellc` or `~/.cache/cellc`.
    pub fn open(number: usize) -> Result<Cuda, CudaFault> {
        Cuda::open_with(number, CardOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`CudaFault::NoBf16`].
    pub fn open_with(number: usize, options: CardOptions) -> Result<Cuda, CudaFault> {
        let card = Card::open(number, options)?;
        let (name, precision) = (card.name()?.into(), options.precision);
        Ok(Cuda { card: Arc::new(Mutex::new(card)), number, name, precision, group: None })
    }

    /// Cards that train together, each an equal part of every batch, see [`Training`]. Single passes run on the one of
    /// the smallest number.
    ///
    /// # Errors
    /// [`CudaFault::NoNccl`]; [`CudaFault::Failed`] if the cards cannot be connected.
    ///
    /// # Panics
    /// If there are none, or one is there twice.
    pub fn together(cards: Vec<Cuda>) -> Result<Cuda, CudaFault> {
        let first = cards.iter().min_by_key(|card| card.number).expect("at least one card");
        let first = first.clone();
        if cards.len() == 1 {
            return Ok(first);
        }
        Ok(Cuda { group: Some(Arc::new(group::Group::new(cards)?)), ..first })
    }

    /// How many cards train together.
    pub fn cards(&self) -> usize {
        self.group.as_ref().map_or(1, |group| group.cards.len())
    }

    /// In what numbers it computes.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// How many cards there are.
    ///
    /// # Errors
    /// [`CudaFault`] if there is no driver or no card.
    pub fn count() -> Result<usize, CudaFault> {
        driver::count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Card> {
        self.card.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(group) = &self.group else {
            return write!(f, "cuda:{} ({})", self.number, self.name);
        };
        for (index, card) in group.cards.iter().enumerate() {
            write!(f, "{}{card}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

const PREPARED: &str = "the workspace was prepared for the plan and the batch";

impl Device for Cuda {
    type Workspace = CudaWorkspace;
    type Error = CudaFault;

    fn prepare(
        &self,
        plan: &Plan,
        batch: usize,
        workspace: &mut CudaWorkspace,
    ) -> Result<(), CudaFault> {
        workspace.prepare(self, plan, batch)
    }

    fn forward(
        &self,
        plan: &Plan,
        workspace: &mut CudaWorkspace,
        config: &RunConfig,
        pass: ForwardPass<'_>,
    ) -> Result<(), CudaFault> {
        let n = pass.batch;
        let is_training = matches!(pass.statistics, Statistics::Update(_));
        let program = Program::forward(plan, n, config, is_training, self.precision);
        let prepared = workspace.prepared().expect(PREPARED);
        let card = self.lock();
        card.bind()?;
        let statistics = match &pass.statistics {
            Statistics::Update(running) => &**running,
            Statistics::Running(running) => running,
        };
        // What inference computes with stays there for passes with the same.
        let version = pass.version.filter(|_| !is_training);
        let memory = &prepared.memory;
        if version.is_none() || prepared.version.take() != version {
            memory.upload(&card, Place::Params, pass.params)?;
            memory.upload(&card, Place::Statistics, statistics)?;
        }
        memory.upload(&card, Place::Image, pass.image)?;
        memory.upload(&card, Place::Draws, &program.draw(n, config))?;
        prepared.run(&card, program)?;
        prepared.version = version;
        let memory = &prepared.memory;
        memory.download(&card, Place::Logits, pass.logits)?;
        if let Some(aux) = pass.aux {
            memory.download(&card, Place::Aux, aux)?;
        }
        if let Statistics::Update(running) = pass.statistics {
            memory.download(&card, Place::Statistics, running)?;
        }
        card.wait()
    }

    fn backward(
        &self,
        plan: &Plan,
        workspace: &mut CudaWorkspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
    ) -> Result<(), CudaFault> {
        let n = pass.batch;
        let program = Program::backward(plan, n, config, self.precision);
        let prepared = workspace.prepared().expect(PREPARED);
        let card = self.lock();
        card.bind()?;
        let memory = &prepared.memory;
        // The parameters are still there, rounded ones too: they have not changed since the forward pass.
        memory.upload(&card, Place::LogitsGradient, pass.logits)?;
        if let Some(aux) = pass.aux {
            memory.upload(&card, Place::AuxGradient, aux)?;
        }
        memory.upload(&card, Place::Gradients, &*pass.gradients)?;
        if let Some(image) = &pass.image {
            memory.upload(&card, Place::ImageGradient, image)?;
        }
        memory.upload(&card, Place::Draws, &program.draw(n, config))?;
        prepared.run(&card, program)?;
        let memory = &prepared.memory;
        memory.download(&card, Place::Gradients, pass.gradients)?;
        if let Some(image) = pass.image {
            memory.download(&card, Place::ImageGradient, image)?;
        }
        card.wait()
    }
}
