//! Sliding windows along one axis, and the windows that their gradients are.

use std::ops::Range;

use crate::graph::Window;

/// A sliding window along one axis: tap `k` of output `i` reads position `i * stride + k * step`,
/// and the map lies at positions `pad .. pad + input`; all other positions are padding.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Axis {
    pub(in super::super) taps: usize,
    pub(in super::super) step: usize,
    pub(in super::super) stride: usize,
    /// Negative if the first numbers of the map are never read.
    pub(in super::super) pad: isize,
    pub(in super::super) input: usize,
    pub(in super::super) output: usize,
}

impl Axis {
    /// One axis of a window.
    pub(in super::super) fn forward(w: &Window, axis: usize) -> Axis {
        Axis {
            taps: w.kernel[axis],
            step: w.dilation[axis],
            stride: w.stride[axis],
            pad: w.pad[axis] as isize,
            input: w.input[axis],
            output: w.output[axis],
        }
    }

    /// For some of the outputs.
    pub(in super::super) fn part(&self, outputs: &Range<usize>) -> Axis {
        let pad = self.pad - (outputs.start * self.stride) as isize;
        Axis { pad, output: outputs.len(), ..*self }
    }

    /// Position of the last tap of output 0.
    pub(super) fn last_tap(&self) -> usize {
        (self.taps - 1) * self.step
    }

    /// Numbers of the map in front of position 0.
    pub(super) fn hidden(&self) -> usize {
        self.pad.min(0).unsigned_abs().min(self.input)
    }
}

/// The part of a data gradient along one axis that belongs to one remainder of the position.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Phase {
    /// Slides over the gradient of the output; `taps` is 0 if nothing was read at these positions.
    pub(in super::super) axis: Axis,
    /// Index in the input map of output 0 of `axis`; the others follow at the window's stride.
    pub(in super::super) first: usize,
    last_tap: usize,
    tap_step: usize,
}

impl Phase {
    /// The phase of remainder `phase < stride` along one axis of a window.
    pub(in super::super) fn of(w: &Window, axis: usize, phase: usize) -> Phase {
        let (stride, dilation, pad) = (w.stride[axis], w.dilation[axis], w.pad[axis]);
        // Position i * stride + phase is inside the map for `from <= i < to`.
        let from = (pad + stride - 1 - phase) / stride;
        let to = (pad + w.input[axis] + stride - 1 - phase) / stride;
        let meets = |tap: &usize| tap * dilation % stride == phase;
        let taps = (0..w.kernel[axis]).filter(meets).count();
        let last_tap = (0..w.kernel[axis]).rfind(meets).unwrap_or(0);
        let tap_step = (1..stride).find(|taps| taps * dilation % stride == 0).unwrap_or(stride);
        // At this position, tap k belongs to output i - (k * dilation - phase) / stride.
        let back = (last_tap * dilation).saturating_sub(phase) / stride;
        let axis = Axis {
            taps,
            step: tap_step * dilation / stride,
            stride: 1,
            pad: back as isize - from as isize,
            input: w.output[axis],
            output: to - from,
        };
        Phase { axis, first: from * stride + phase - pad, last_tap, tap_step }
    }

    /// The tap of the window that is tap `tap` of `axis`.
    pub(in super::super) fn window_tap(&self, tap: usize) -> usize {
        self.last_tap - tap * self.tap_step
    }
}
