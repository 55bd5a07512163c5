//! What a pass draws at random, the same for every device.

use rand::RngCore;

use super::RunConfig;
use crate::rng::{Pcg64, Purpose, derive, stream};

/// Which of a mix's two draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward = 0,
    Backward = 1,
}

/// The seed of a dropout node's mask.
pub(super) fn seed(config: &RunConfig, node: u64) -> u64 {
    derive(config.dropout_seed, Purpose::Dropout, node)
}

/// Draws the shares of a mix's first operand, one image after the other, for a direction.
pub(super) fn shares(
    config: &RunConfig,
    node: u64,
    direction: Direction,
) -> impl FnMut() -> f32 + use<> {
    let mut rng = stream(config.dropout_seed, Purpose::Mix, 2 * node + direction as u64);
    move || unit(&mut rng)
}

/// Draws what a drop-path node multiplies each image by: 0, or what keeps the mean as it is.
pub(super) fn kept(
    config: &RunConfig,
    node: u64,
    depth: [usize; 2],
) -> impl FnMut() -> f32 + use<> {
    let keep = config.drop_path_keep(depth);
    let mut rng = stream(config.dropout_seed, Purpose::DropPath, node);
    move || if unit(&mut rng) < keep { 1.0 / keep } else { 0.0 }
}

/// The 32-bit hashes of a dropout's mask that drop lie below it; all rates below 1 give one below 2^32.
pub(super) fn dropout_threshold(rate: f32) -> u32 {
    (f64::from(rate) * 4_294_967_296.0) as u32
}

/// A number from 0 up to, but without, 1, with all 24 bits that such a number can have.
fn unit(rng: &mut Pcg64) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}
