//! What a step costs on paper: its kind of kernel, its multiply-adds and the bytes it must move.

use crate::graph::Window;

use super::step::Access;
use super::{Backward, Forward, Group, Plan, View};

/// The cost of one step for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Kind of kernel, such as `depthwise 5x5 /2`; a gradient's name ends in what it is of.
    pub kind: String,
    /// Multiply-adds of convolutions and dense layers, as [`crate::graph::cost`] counts them.
    pub macs: u64,
    /// Bytes of the views that it reads, writes, or reads and writes, each touched once.
    pub bytes: u64,
}

impl Plan {
    /// The cost of a step of the forward pass.
    pub fn forward_work(&self, kernel: &Forward) -> Work {
        let mut bytes = 0;
        kernel.visit(|view, access| bytes += self.bytes(view, access));
        Work { kind: forward_kind(kernel), macs: self.forward_macs(kernel), bytes }
    }

    /// The cost of a group of steps of the forward pass, if what lies between them is not kept.
    pub fn forward_group_work(&self, group: &Group) -> Work {
        let steps = &self.forward[group.steps.clone()];
        let works = steps.iter().map(|step| self.forward_work(&step.kernel));
        let whole = works.reduce(|a, b| Work {
            kind: format!("{} + {}", a.kind, b.kind),
            macs: a.macs + b.macs,
            bytes: a.bytes + b.bytes,
        });
        let mut whole = whole.expect("a group has steps");
        let mut written = Vec::new();
        for step in steps {
            step.kernel.visit(|view, access| match access {
                Access::Read if written.contains(&view) => {
                    whole.bytes -= 2 * self.bytes(view, Access::Read);
                }
                Access::Read | Access::Update => {}
                Access::Write => written.push(view),
            });
        }
        whole
    }

    /// The cost of a step of the backward pass.
    pub fn backward_work(&self, kernel: &Backward) -> Work {
        let mut bytes = 0;
        kernel.visit(|view, access| bytes += self.bytes(view, access));
        Work { kind: backward_kind(kernel), macs: self.backward_macs(kernel), bytes }
    }

    fn bytes(&self, view: View, access: Access) -> u64 {
        let times = match access {
            Access::Read | Access::Write => 1,
            Access::Update => 2,
        };
        (times * view.channels * self.area(view) * size_of::<f32>()) as u64
    }

    fn forward_macs(&self, kernel: &Forward) -> u64 {
        let macs = match kernel {
            Forward::Conv { window, groups, x, y, .. } => conv_macs(window, *groups, *x, y.view),
            Forward::DepthwiseConv { window, y, .. } => {
                y.channels * window.output_area() * window.taps()
            }
            Forward::Dense { x, y, .. } => x.channels * y.channels,
            Forward::Load { .. }
            | Forward::BatchNorm { .. }
            | Forward::GroupNorm { .. }
            | Forward::Relu { .. }
            | Forward::Relu6 { .. }
            | Forward::Sigmoid { .. }
            | Forward::Add { .. }
            | Forward::Mul { .. }
            | Forward::Copy { .. }
            | Forward::Mix { .. }
            | Forward::Zero { .. }
            | Forward::MaxPool { .. }
            | Forward::AvgPool { .. }
            | Forward::GlobalAvgPool { .. }
            | Forward::Dropout { .. }
            | Forward::DropPath { .. }
            | Forward::Shift { .. }
            | Forward::Shuffle { .. }
            | Forward::Store { .. } => 0,
        };
        macs as u64
    }

    fn backward_macs(&self, kernel: &Backward) -> u64 {
        let macs = match kernel {
            Backward::ConvData { window, groups, gy, gx, .. } => {
                conv_macs(window, *groups, gx.view, *gy)
            }
            Backward::ConvWeight { window, groups, x, gy, .. } => {
                conv_macs(window, *groups, *x, *gy)
            }
            Backward::DepthwiseData { window, gy, .. }
            | Backward::DepthwiseWeight { window, gy, .. } => {
                gy.channels * window.output_area() * window.taps()
            }
            Backward::Dense { x, gy, gx, .. } => {
                x.channels * gy.channels * (1 + usize::from(gx.is_some()))
            }
            Backward::Load { .. }
            | Backward::Zero { .. }
            | Backward::BatchNorm { .. }
            | Backward::GroupNorm { .. }
            | Backward::Relu { .. }
            | Backward::Relu6 { .. }
            | Backward::Sigmoid { .. }
            | Backward::Copy { .. }
            | Backward::Mix { .. }
            | Backward::Mul { .. }
            | Backward::MaxPool { .. }
            | Backward::AvgPool { .. }
            | Backward::GlobalAvgPool { .. }
            | Backward::Dropout { .. }
            | Backward::DropPath { .. }
            | Backward::Shift { .. }
            | Backward::Shuffle { .. }
            | Backward::Store { .. } => 0,
        };
        macs as u64
    }
}

fn conv_macs(window: &Window, groups: usize, x: View, y: View) -> usize {
    y.channels * window.output_area() * x.channels / groups * window.taps()
}

/// A name with the window's size and, where there is one, its stride and its dilation.
fn windowed(name: &str, window: &Window) -> String {
    let mut kind = format!("{name} {}x{}", window.kernel[0], window.kernel[1]);
    if window.stride != [1, 1] {
        kind += &format!(" /{}", window.stride[0].max(window.stride[1]));
    }
    if window.dilation != [1, 1] {
        kind += &format!(" dilated {}", window.dilation[0].max(window.dilation[1]));
    }
    kind
}

fn forward_kind(kernel: &Forward) -> String {
    match kernel {
        Forward::Conv { window, .. } => windowed("conv", window),
        Forward::DepthwiseConv { window, .. } => windowed("depthwise", window),
        Forward::MaxPool { window, .. } => windowed("max pool", window),
        Forward::AvgPool { window, .. } => windowed("avg pool", window),
        Forward::Load { .. } | Forward::Store { .. } => "load and store".into(),
        Forward::BatchNorm { .. } => "batch norm".into(),
        Forward::GroupNorm { .. } => "group norm".into(),
        Forward::Relu { .. } | Forward::Relu6 { .. } => "relu".into(),
        Forward::Sigmoid { .. } => "sigmoid".into(),
        Forward::Add { .. } => "add".into(),
        Forward::Mul { .. } => "mul".into(),
        Forward::Copy { .. } => "copy".into(),
        Forward::Mix { .. } => "mix".into(),
        Forward::Zero { .. } => "zero".into(),
        Forward::GlobalAvgPool { .. } => "global avg pool".into(),
        Forward::Dense { .. } => "dense".into(),
        Forward::Dropout { .. } => "dropout".into(),
        Forward::DropPath { .. } => "drop path".into(),
        Forward::Shift { .. } => "shift".into(),
        Forward::Shuffle { .. } => "shuffle".into(),
    }
}

fn backward_kind(kernel: &Backward) -> String {
    match kernel {
        Backward::ConvData { window, .. } => windowed("conv", window) + " gx",
        Backward::ConvWeight { window, .. } => windowed("conv", window) + " gweight",
        Backward::DepthwiseData { window, .. } => windowed("depthwise", window) + " gx",
        Backward::DepthwiseWeight { window, .. } => windowed("depthwise", window) + " gweight",
        Backward::MaxPool { window, .. } => windowed("max pool", window) + " gx",
        Backward::AvgPool { window, .. } => windowed("avg pool", window) + " gx",
        Backward::Load { .. } | Backward::Store { .. } => "load and store gx".into(),
        Backward::Zero { .. } => "zero gx".into(),
        Backward::BatchNorm { .. } => "batch norm gx".into(),
        Backward::GroupNorm { .. } => "group norm gx".into(),
        Backward::Relu { .. } | Backward::Relu6 { .. } => "relu gx".into(),
        Backward::Sigmoid { .. } => "sigmoid gx".into(),
        Backward::Copy { .. } => "copy gx".into(),
        Backward::Mix { .. } => "mix gx".into(),
        Backward::Mul { .. } => "mul gx".into(),
        Backward::GlobalAvgPool { .. } => "global avg pool gx".into(),
        Backward::Dense { .. } => "dense gx".into(),
        Backward::Dropout { .. } => "dropout gx".into(),
        Backward::DropPath { .. } => "drop path gx".into(),
        Backward::Shift { .. } => "shift gx".into(),
        Backward::Shuffle { .. } => "shuffle gx".into(),
    }
}
