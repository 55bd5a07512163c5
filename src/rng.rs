//! Named random streams.
//!
//! Every random number of `cellc` comes from a [`Pcg64`] made here from a seed and a purpose, so that
//! adding draws to one purpose never shifts another, and the same seed gives the same bytes anywhere.

use rand::SeedableRng;
pub use rand_pcg::Pcg64;

/// What a random stream is used for; part of the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights of a network.
    Init,
    /// Splitting a data set into training and validation images.
    Split,
    /// Order of the training images, one stream per epoch.
    Shuffle,
    /// Augmentation of training images, one stream per epoch.
    Augment,
    /// Dropout masks, one stream per step.
    Dropout,
    /// Initial weights of the controller.
    Controller,
    /// Sampling of genotypes, one stream per trial.
    Sample,
    /// Minibatch order inside a policy update.
    Update,
    /// The training run of one trial; its stream seeds the child's own purposes.
    Trial,
    /// Shares of stochastic mixes, one stream for each node and direction.
    Mix,
    /// Images that drop path drops, one stream for each node.
    DropPath,
    /// Images and labels that timings run on.
    Bench,
    /// Images that scores of fresh networks look at.
    Proxy,
    /// Children that train shared weights, one stream for each step, and the order of their images.
    Share,
    /// Children that train a controller by shared weights, one stream for each, and the order of the images
    /// that reward them.
    Reward,
}

/// A generator for `purpose`, number `index` within it, under `seed`.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> Pcg64 {
    let mut state = mix(seed ^ 0x6365_6c6c_6321_0001);
    state = mix(state ^ (purpose as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    state = mix(state ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03));
    Pcg64::seed_from_u64(state)
}

/// A new seed derived from `seed` for a sub-run, such as the training of one trial.
pub fn derive(seed: u64, purpose: Purpose, index: u64) -> u64 {
    use rand::RngCore;
    stream(seed, purpose, index).next_u64()
}

/// The finalizer of `SplitMix64`: a bijection whose output bits all depend on all input bits.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn streams_are_stable_and_distinct() {
        let first = |seed, purpose, index| stream(seed, purpose, index).next_u64();
        assert_eq!(first(7, Purpose::Init, 0), first(7, Purpose::Init, 0));
        assert_ne!(first(7, Purpose::Init, 0), first(7, Purpose::Shuffle, 0));
        assert_ne!(first(7, Purpose::Init, 0), first(7, Purpose::Init, 1));
        assert_ne!(first(7, Purpose::Init, 0), first(8, Purpose::Init, 0));
    }
}
