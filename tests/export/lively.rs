//! Networks whose parameters and statistics hide no mistake, and images for them.

use cellc::device::RunConfig;
use cellc::graph::{Graph, ParamKind, TensorType};
use cellc::network::{Images, Network};
use cellc::rng::{Purpose, stream};
use dfdx::nn::ModuleMut;
use dfdx::tensor::{Cpu, TensorFromVec, Trace};
use rand::RngCore;

/// How many images the running statistics are those of.
const BATCH: usize = 4;

/// A network in which no scale is 1, no shift 0, and the running statistics are those of a batch.
pub fn lively(graph: &Graph, seed: u64) -> Network {
    let mut network = Network::new(graph, seed);
    let mut state = network.state_dict();
    for (index, param) in graph.params.iter().enumerate() {
        let tensor = state.get_mut(&param.path).expect("every parameter is in the state");
        let noise = noise(seed, index as u64, param.len());
        match param.kind {
            ParamKind::Weight | ParamKind::RunningMean | ParamKind::RunningVar => {}
            ParamKind::Gamma => {
                tensor.values = noise.iter().map(|noise| 1.0 + 0.25 * noise).collect();
            }
            ParamKind::Bias | ParamKind::Beta => {
                tensor.values = noise.iter().map(|noise| 0.25 * noise).collect();
            }
        }
    }
    network.load_state_dict(&state).expect("the network's own paths");
    let fresh = RunConfig { bn_momentum: 1.0, ..RunConfig::default() };
    network.set_config(fresh).expect("a momentum of 1 is allowed");
    let images = images(graph.ty(graph.input), BATCH, seed);
    network.forward_mut(images.leaky_trace());
    network.set_config(RunConfig::default()).expect("the defaults are allowed");
    network
}

/// Images of numbers uniform in [-1, 1).
pub fn images(ty: TensorType, batch: usize, seed: u64) -> Images {
    let pixels = noise(seed, u64::MAX - batch as u64, batch * ty.elements());
    Cpu::default().tensor_from_vec(pixels, (batch, ty.channels, ty.height, ty.width))
}

/// Numbers uniform in [-1, 1).
fn noise(seed: u64, index: u64, count: usize) -> Vec<f32> {
    let mut rng = stream(seed, Purpose::Augment, index);
    (0..count).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}
