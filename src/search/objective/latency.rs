//! How long a forward pass of a network takes on this machine.
//!
//! The network is compiled for inference and run on one thread, on a batch of images that are all zero, with
//! fresh parameters: neither changes what is computed. The fastest of some passes counts, because whatever
//! else the machine does only ever makes a pass longer. A search measures while none of its workers is at
//! work.

use std::time::Duration;

use dfdx::prelude::{Cpu, Module, ZerosTensor};
use rayon::ThreadPoolBuilder;

use super::super::Clock;
use crate::error::Error;
use crate::graph::{Graph, TensorType};
use crate::network::Network;

/// Passes before the first that is timed: they touch the memory.
const WARM_UP: usize = 1;

/// Passes that are timed at least.
const LEAST_PASSES: usize = 3;

/// Passes that are timed at most.
const MOST_PASSES: usize = 50;

/// After this much of timed passes no other is begun.
const ENOUGH: Duration = Duration::from_millis(100);

/// Milliseconds of the fastest of some forward passes on `batch` images, on one thread.
///
/// # Errors
/// [`Error::Device`]; [`Error::Threads`] if its thread cannot be started.
pub fn latency_ms(graph: &Graph, batch: usize, clock: Clock<'_>) -> Result<f64, Error> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|error| Error::Threads { threads: 1, source: std::io::Error::other(error) })?;
    pool.install(|| {
        let network = Network::new(graph, 0);
        let TensorType { channels, height, width } = graph.ty(graph.input);
        let images = Cpu::default().try_zeros_like(&(batch, channels, height, width))?;
        for _ in 0..WARM_UP {
            network.try_forward(images.clone())?;
        }
        let (mut fastest, mut total) = (Duration::MAX, Duration::ZERO);
        for pass in 0..MOST_PASSES {
            if pass >= LEAST_PASSES && total >= ENOUGH {
                break;
            }
            let start = clock();
            network.try_forward(images.clone())?;
            let time = clock().saturating_sub(start);
            fastest = fastest.min(time);
            total += time;
        }
        Ok(fastest.as_secs_f64() * 1e3)
    })
}
