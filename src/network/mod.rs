//! A compiled network: plans of one graph together with its parameters, as a dfdx module.
//!
//! [`Network`] follows the conventions of dfdx's `BatchNorm2D`: [`Module`](dfdx::nn::Module) on a tensor
//! without tape is inference with running statistics, [`ModuleMut`](dfdx::nn::ModuleMut) on a tensor with
//! a tape is training with batch statistics, and the other two combinations do not compile. The whole
//! forward pass is one operation on the tape and the whole backward pass its reverse, so dfdx's losses,
//! optimizers, tapes and other modules work with it as with a module of its own.
//!
//! Parameters have paths such as `cells.3.n2.left.dw1.weight` and live in one flat tensor; running
//! statistics live beside it.

mod checkpoint;
mod freeze;
mod init;
mod module;
mod on_device;
mod params;
mod session;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection, TensorOptions};
use dfdx::shapes::Dtype;
use dfdx::tensor::{Cpu, CpuError, TensorFromVec};

use crate::device::{AnyDevice, RunConfig, Version};
use crate::error::Error;
use crate::graph::Graph;
use crate::plan::{Layout, LayoutEntry, Mode, Plan};

pub use checkpoint::{NamedTensor, StateFault};
pub(crate) use checkpoint::{read_safetensors, write_safetensors};
pub use freeze::Freeze;
pub(crate) use init::fill as fill_fresh;
pub use module::{Images, Logits};
#[cfg(feature = "dfdx-cuda")]
pub use on_device::NetworkOnCuda;
pub use on_device::{ImagesOn, LogitsOn, NetworkOn};
pub use params::{Len, Params};

use freeze::Frozen;
use session::Engine;

/// A graph that runs and learns.
///
/// # Examples
/// ```
/// use cellc::graph::{Graph, Op, TensorType};
/// use cellc::network::Network;
/// use dfdx::prelude::*;
///
/// let mut graph = Graph::new(TensorType::new(3, 4, 4));
/// let head = graph.section("head", None);
/// let pooled = graph.wire(Op::GlobalAvgPool, &[graph.input], head, "head.pool").unwrap();
/// let dense = Op::Dense { out_features: 10, bias: true };
/// graph.output = graph.wire(dense, &[pooled], head, "head.fc").unwrap();
///
/// let network = Network::new(&graph, 0);
/// let images = Cpu::default().zeros_like(&(2, 3, 4, 4));
/// assert_eq!(network.forward(images).shape(), &(2, 10));
/// assert_eq!(network.num_trainable_params(), 3 * 10 + 10);
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    graph: Arc<Graph>,
    layout: Arc<Layout>,
    params: Params<f32, Cpu>,
    statistics: Vec<f32>,
    config: RunConfig,
    wants_image_gradient: bool,
    training_steps: u64,
    frozen: Arc<Frozen>,
    device: AnyDevice,
    // Shared with the tapes that are still to run, whose own errors are dfdx's.
    fault: Arc<Mutex<Option<Error>>>,
    // Of parameters, statistics and settings: another one whenever they may have changed.
    version: Version,
    // Made when first needed; clones share them, the idle memory too.
    infer: Arc<OnceLock<Arc<Engine>>>,
    train: Option<Arc<Engine>>,
}

impl Network {
    /// A network with fresh parameters.
    ///
    /// # Determinism
    /// The same graph and seed give the same parameters.
    pub fn new(graph: &Graph, seed: u64) -> Network {
        let layout = Layout::of(graph);
        let (params, statistics) = init::initial(&layout, seed);
        let len = Len(params.len());
        Network {
            graph: Arc::new(graph.clone()),
            layout: Arc::new(layout),
            params: Params { flat: Cpu::default().tensor_from_vec(params, (len,)) },
            statistics,
            config: RunConfig::default(),
            wants_image_gradient: true,
            training_steps: 0,
            frozen: Arc::default(),
            device: AnyDevice::default(),
            fault: Arc::default(),
            version: Version::fresh(),
            infer: Arc::default(),
            train: None,
        }
    }

    /// The graph it was made from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where each parameter and statistic lies in [`Network::params`] and [`Network::statistics`].
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The trained parameters.
    pub fn params(&self) -> &Params<f32, Cpu> {
        &self.params
    }

    /// The trained parameters, for optimizers.
    pub fn params_mut(&mut self) -> &mut Params<f32, Cpu> {
        self.version = Version::fresh();
        &mut self.params
    }

    /// The running statistics of batch normalization.
    pub fn statistics(&self) -> &[f32] {
        &self.statistics
    }

    /// The running statistics, to overwrite them.
    pub fn statistics_mut(&mut self) -> &mut [f32] {
        self.version = Version::fresh();
        &mut self.statistics
    }

    /// The settings of the run.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Changes the settings of the run.
    ///
    /// # Errors
    /// [`Error::Config`] if the share of dropout or drop path is not in `0 <= share < 1`, the momentum not in
    /// `0 <= momentum <= 1` or eps not positive.
    pub fn set_config(&mut self, config: RunConfig) -> Result<(), Error> {
        let fault = |setting, value: f32, reason: &str| Error::Config {
            setting,
            value: value.to_string(),
            reason: reason.into(),
        };
        if !(0.0..1.0).contains(&config.dropout) {
            return Err(fault("dropout", config.dropout, "must be at least 0 and below 1"));
        }
        if !(0.0..1.0).contains(&config.drop_path) {
            return Err(fault("drop_path", config.drop_path, "must be at least 0 and below 1"));
        }
        if !(0.0..=1.0).contains(&config.bn_momentum) {
            return Err(fault("bn_momentum", config.bn_momentum, "must be between 0 and 1"));
        }
        if config.bn_eps.is_nan() || config.bn_eps <= 0.0 {
            return Err(fault("bn_eps", config.bn_eps, "must be positive"));
        }
        self.config = config;
        self.version = Version::fresh();
        Ok(())
    }

    /// Whether training hands a gradient back to the image, as a network in the middle of a model must.
    /// It does until told otherwise; a network that is a whole model saves time and memory without.
    pub fn set_image_gradient(&mut self, wanted: bool) {
        self.wants_image_gradient = wanted;
    }

    /// How many forward passes in training there were. Each has its own dropout masks, drawn from
    /// [`RunConfig::dropout_seed`] and this number.
    pub fn training_steps(&self) -> u64 {
        self.training_steps
    }

    /// Continues the count of an earlier run.
    pub fn set_training_steps(&mut self, steps: u64) {
        self.training_steps = steps;
    }

    /// Where it runs.
    pub fn device(&self) -> &AnyDevice {
        &self.device
    }

    /// Runs on another device, such as a card, or the processor with portable kernels. Parameters stay on the
    /// host.
    pub fn set_device(&mut self, device: impl Into<AnyDevice>) {
        self.device = device.into();
        // A clone that stays on the other device keeps the faults of that one.
        self.fault = Arc::default();
    }

    /// The fault of the device behind an error of a forward or backward pass, for which dfdx's errors have no
    /// word; or that error.
    pub fn fault_behind(&self, error: CpuError) -> Error {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        fault.unwrap_or(Error::Device(error))
    }

    /// All parameters and statistics by path.
    pub fn state_dict(&self) -> BTreeMap<String, NamedTensor> {
        let mut params = vec![0.0; self.layout.params_len()];
        self.params.flat.copy_into(&mut params);
        let tensor = |entry: &LayoutEntry| {
            let store = if entry.kind.is_trainable() { &params } else { &self.statistics };
            let values = store[entry.slot.range()].to_vec();
            (entry.path.clone(), NamedTensor { shape: entry.shape.clone(), values })
        };
        self.layout.entries().iter().map(tensor).collect()
    }

    /// Takes all parameters and statistics from `state`, which must have exactly this network's paths.
    ///
    /// # Errors
    /// The first [`StateFault`] in the order of the paths; the network is then unchanged.
    pub fn load_state_dict(
        &mut self,
        state: &BTreeMap<String, NamedTensor>,
    ) -> Result<(), StateFault> {
        checkpoint::compare(&self.layout, state)?;
        self.version = Version::fresh();
        let mut params = vec![0.0; self.layout.params_len()];
        for entry in self.layout.entries() {
            let store = if entry.kind.is_trainable() { &mut params } else { &mut self.statistics };
            store[entry.slot.range()].copy_from_slice(&state[&entry.path].values);
        }
        self.params.flat.copy_from(&params);
        Ok(())
    }

    fn inference_engine(&self) -> Arc<Engine> {
        let engine = || Arc::new(Engine::new(self.plan(Mode::Infer)));
        self.infer.get_or_init(engine).clone()
    }

    /// The plan of the next training step. It is the same one as long as the settings ask for the same.
    #[cfg(feature = "cuda")]
    pub(crate) fn training_plan(&mut self) -> Arc<Plan> {
        self.training_engine().plan.clone()
    }

    fn training_engine(&mut self) -> Arc<Engine> {
        let mode = Mode::Train {
            dropout: self.config.dropout > 0.0,
            drop_path: self.config.drop_path > 0.0,
            image_gradient: self.wants_image_gradient,
        };
        if let Some(engine) = self.train.as_ref().filter(|engine| engine.plan.mode == mode) {
            return engine.clone();
        }
        let mut plan = self.plan(mode);
        plan.fix_norms(|node| self.frozen.norms.contains(&node));
        let engine = Arc::new(Engine::new(plan));
        self.train.insert(engine).clone()
    }

    fn plan(&self, mode: Mode) -> Plan {
        Plan::with_layout(&self.graph, mode, &self.layout)
    }
}

/// The trained parameters alone: what [`Params`] visits. Converted to another device or number type, a
/// network is its [`Params`] there.
impl TensorCollection<f32, Cpu> for Network {
    type To<E2: Dtype, D2: dfdx::tensor_ops::Device<E2>> = Params<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, f32, Cpu>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let options = TensorOptions::reset_with(|_| Ok(()));
        visitor.visit_fields(
            Self::tensor("flat", |n| &n.params.flat, |n| &mut n.params_mut().flat, options),
            |flat| Params { flat },
        )
    }
}
