//! Where plans run.
//!
//! A [`Device`] takes a [`Plan`], the numbers it works on (parameters, running statistics, a batch of
//! images) and a workspace, and gives logits and gradients. [`Cpu`] is the one that is always there;
//! [`AnyDevice`] is one that is chosen at run time.

mod any;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod draws;
mod list;
mod precision;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;

pub use any::{AnyDevice, AnyWorkspace, CardOptions, DeviceSpec};
pub use cpu::{Cpu, CpuWorkspace};
pub use list::DeviceList;
pub use precision::Precision;

/// Settings of a run that the architecture does not fix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunConfig {
    /// Added to the variance in every normalization.
    pub bn_eps: f32,
    /// Share of the batch's statistics in `running * (1 - momentum) + batch * momentum`.
    pub bn_momentum: f32,
    /// Share of elements that a dropout node zeroes in training, at least 0 and below 1.
    pub dropout: f32,
    /// Share of images that a drop-path node drops in training, at least 0 and below 1: in the last cell,
    /// if `drop_path_by_depth`, and in every cell otherwise.
    pub drop_path: f32,
    /// Cell `i` of `n` drops `i / n` of that share instead of all of it.
    pub drop_path_by_depth: bool,
    /// Seed of the dropout and drop-path masks and of the shares of stochastic mixes.
    pub dropout_seed: u64,
}

impl RunConfig {
    /// Probability that drop path keeps an image in the cell `cell`, counted from 1, of `cells`.
    ///
    /// # Source
    /// `_apply_drop_path` in slim's `nasnet_utils.py`, whose version 1 does not scale by the depth.
    pub fn drop_path_keep(&self, [cell, cells]: [usize; 2]) -> f32 {
        let share = if self.drop_path_by_depth { cell as f32 / cells as f32 } else { 1.0 };
        1.0 - share * self.drop_path
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            bn_eps: 1e-5,
            bn_momentum: 0.1,
            dropout: 0.0,
            drop_path: 0.0,
            drop_path_by_depth: true,
            dropout_seed: 0,
        }
    }
}

/// The running statistics of a forward pass, and with them what batch normalization, dropout, drop path and mixes do.
#[derive(Debug)]
pub enum Statistics<'a> {
    /// Training: the batch's statistics are used and these are moved towards them; dropout and drop path act
    /// and mixes draw their shares.
    Update(&'a mut [f32]),
    /// Evaluation: these are used; dropout and drop path do nothing and mixes are even.
    Running(&'a [f32]),
}

/// Stands for a state of the numbers that an inference computes with: parameters, running statistics and settings.
/// States with the same version are equal; equal ones may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// One that no other state has.
    pub fn fresh() -> Version {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Version(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a forward pass reads and writes outside its workspace.
#[derive(Debug)]
pub struct ForwardPass<'a> {
    /// Number of images N.
    pub batch: usize,
    /// The flat store of parameters.
    pub params: &'a [f32],
    /// If it is given, passes of one plan in one workspace that have the same version compute with the same parameters,
    /// statistics and settings, and what a device made of them for one of these passes serves the others. Plans for
    /// training make no use of it.
    pub version: Option<Version>,
    /// The flat store of running statistics.
    pub statistics: Statistics<'a>,
    /// `[N, C, H, W]`.
    pub image: &'a [f32],
    /// `[N, classes]`, overwritten.
    pub logits: &'a mut [f32],
    /// `[N, classes]`, overwritten; needed if and only if the plan has auxiliary logits.
    pub aux: Option<&'a mut [f32]>,
}

/// What a backward pass reads and writes outside its workspace.
#[derive(Debug)]
pub struct BackwardPass<'a> {
    /// Number of images N, as in the forward pass.
    pub batch: usize,
    /// The flat store of parameters, unchanged since the forward pass.
    pub params: &'a [f32],
    /// Gradient of the logits, `[N, classes]`.
    pub logits: &'a [f32],
    /// Gradient of the auxiliary logits, `[N, classes]`, if the plan has them.
    pub aux: Option<&'a [f32]>,
    /// Gradient of the parameters, added to.
    pub gradients: &'a mut [f32],
    /// Gradient of the image, `[N, C, H, W]`, added to; needed if and only if the plan computes it.
    pub image: Option<&'a mut [f32]>,
}

/// Something that runs plans.
///
/// # Errors
/// The methods fail if the device does; [`Cpu`] does not.
///
/// # Panics
/// The methods panic if a slice does not have the length that the plan and the batch ask for, if a
/// workspace was not prepared for them, or if a backward pass does not follow a forward pass with
/// [`Statistics::Update`] of the same plan and batch in the same workspace: all of these are mistakes
/// of the calling code, not of a user.
pub trait Device {
    /// The memory that a run of a plan needs: intermediate values and gradients.
    type Workspace: Default + Send + 'static;

    /// How the device fails.
    type Error;

    /// Makes a workspace large enough for `batch` images; does nothing if it is already.
    fn prepare(
        &self,
        plan: &Plan,
        batch: usize,
        workspace: &mut Self::Workspace,
    ) -> Result<(), Self::Error>;

    /// Runs the forward pass.
    fn forward(
        &self,
        plan: &Plan,
        workspace: &mut Self::Workspace,
        config: &RunConfig,
        pass: ForwardPass<'_>,
    ) -> Result<(), Self::Error>;

    /// Runs the backward pass on what the forward pass left in the workspace.
    fn backward(
        &self,
        plan: &Plan,
        workspace: &mut Self::Workspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
    ) -> Result<(), Self::Error>;
}
