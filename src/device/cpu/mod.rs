//! Kernels for the CPU, forward and backward, on plain slices of `f32`, and the device that runs plans on them.
//!
//! Every kernel is a method of [`Kernels`], a value that stands for one instruction set and is
//! chosen once. Slices go in and slices come out; lengths are asserted at entry and nothing else
//! can fail.
//!
//! # Shapes
//! Inside a plan a batch of maps has its channels outermost and its images innermost, `[C, H, W, N]`: a
//! channel is one contiguous row of `H * W * N` numbers. A 1x1 convolution over the batch is then one
//! matrix product, the statistics of batch normalization are sums over contiguous numbers, and a
//! concatenation is adjacent blocks. A vector register holds one place of a map for several images, so
//! that windows slide over maps of any size without a number being shifted inside a register. Weights are
//! `[C_out, C_in, KH, KW]` (convolution), `[C, KH, KW]` (depthwise) and `[out, in]` (dense).
//!
//! # Conventions
//! - A gradient of the input is written, or added to what is there if `accumulate` is set.
//! - A gradient of a parameter is always added to what is there.
//! - `relu_in` applies `max(x, 0)` to the input on the way in, so the rectified map is never stored.
//!
//! # Determinism
//! Work is cut into tiles by shapes alone, and partial sums are added in the order of the tiles, so
//! a result has the same bits for any number of threads. The loops are written once and compiled
//! for each instruction set. Sums of products (convolutions, dense layers) use fused multiply-add
//! where the processor has it, and so differ in their last bits between [`Isa::Portable`] and the
//! others; all other kernels give the same bits on every instruction set.

#![expect(
    unsafe_code,
    reason = "code for detected instruction sets; memory that several threads write to; large pages"
)]

mod batch_norm;
mod convolution;
mod dense;
mod depthwise;
mod elementwise;
mod executor;
mod group_norm;
mod im2col;
mod isa;
mod matmul;
mod memory;
mod mix;
mod pages;
mod permutation;
mod pool;
mod scratch;
mod separable;
mod simd;
mod sliding;
mod threads;

pub use convolution::{Affine, ConvSizes};
pub use executor::{Cpu, CpuWorkspace};
pub use group_norm::GroupSizes;
pub use isa::Isa;

/// The kernels of one instruction set.
///
/// # Examples
/// ```
/// use cellc::device::cpu::Kernels;
///
/// let mut y = [0.0; 3];
/// Kernels::detect().relu_forward(&[-1.0, 0.0, 2.0], &mut y);
/// assert_eq!(y, [0.0, 0.0, 2.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    // Private, so that a value is proof that this processor has the instruction set.
    isa: Isa,
}

impl Kernels {
    /// The kernels of the widest instruction set that this processor has, or of the one that the environment
    /// asks for, see [`Isa::detect`].
    pub fn detect() -> Kernels {
        Kernels { isa: Isa::detect() }
    }

    /// The kernels of a given instruction set.
    ///
    /// # Panics
    /// If this processor does not have it; see [`Isa::is_available`].
    pub fn with(isa: Isa) -> Kernels {
        assert!(isa.is_available(), "this processor has no {isa}");
        Kernels { isa }
    }

    /// The instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }
}
