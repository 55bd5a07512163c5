//! Depthwise convolutions: the tiles of their kernels.

use super::super::command::{Arg, Region};
use super::{BLOCK, Lowering, MAX_GRID_Y, WARP, rows, splits, threads};
use crate::graph::Window;
use crate::plan::{Slot, Target, View};

/// Outputs of a row that a thread computes together, `OUTPUTS` in the kernels.
const OUTPUTS: usize = 4;

/// Numbers of shared memory that a block may have on every card without asking: 48 KiB.
const SHARED: usize = 12 << 10;

/// Outputs of a tile, about: eight for each thread.
const TILE: usize = 8 * BLOCK;

/// How a block covers the outputs.
struct Tile {
    /// Images, a power of two.
    lanes: usize,
    height: usize,
    width: usize,
    /// Numbers of shared memory: the inputs of all outputs, and the weights.
    shared: usize,
}

/// The tile for `n` images, or none if the windows of the smallest one do not fit shared memory.
fn tile(w: &Window, n: usize) -> Option<Tile> {
    let mut lanes = n.next_power_of_two().min(WARP);
    // Near squares have the shortest borders.
    let side = ((TILE / lanes) as f64).sqrt() as usize;
    let mut height = side.min(w.output[0]).max(1);
    let mut width = side.min(w.output[1]).max(1).next_multiple_of(OUTPUTS);
    loop {
        let inputs = |axis: usize, outputs: usize| {
            (outputs - 1) * w.stride[axis] + (w.kernel[axis] - 1) * w.dilation[axis] + 1
        };
        let shared = inputs(0, height) * inputs(1, width) * lanes + w.taps();
        if shared <= SHARED {
            return Some(Tile { lanes, height, width, shared });
        }
        if height > width || (width == OUTPUTS && height > 1) {
            height = height.div_ceil(2);
        } else if width > OUTPUTS {
            width = (width / 2).next_multiple_of(OUTPUTS);
        } else if lanes > 1 {
            lanes /= 2;
        } else {
            return None;
        }
    }
}

/// The kernel of a window: those that are common are compiled for their size.
fn kernel_of(w: &Window) -> &'static str {
    match (w.kernel, w.stride, w.dilation) {
        ([_, 3], [1, 1], [_, 1]) => "depthwise_3",
        ([_, 5], [1, 1], [_, 1]) => "depthwise_5",
        ([_, 7], [1, 1], [_, 1]) => "depthwise_7",
        ([_, 3], [2, 2], [_, 1]) => "depthwise_3_stride_2",
        ([_, 5], [2, 2], [_, 1]) => "depthwise_5_stride_2",
        ([_, 7], [2, 2], [_, 1]) => "depthwise_7_stride_2",
        _ => "depthwise_any",
    }
}

/// The window with which the gradient of a convolution of stride 1 is a convolution of the outputs' gradient.
fn gradient_window(w: &Window) -> Window {
    let pad = [0, 1].map(|axis| (w.kernel[axis] - 1) * w.dilation[axis] - w.pad[axis]);
    Window { pad, input: w.output, output: w.input, zeros: false, ..*w }
}

/// What a launch of the forward kernels has besides window and sizes.
struct Operands {
    x: Region,
    weight: Region,
    relu_in: bool,
    flip: bool,
    mask: Option<Region>,
    y: Region,
    accumulate: bool,
}

impl Lowering<'_> {
    pub(super) fn depthwise(&mut self, w: &Window, x: View, relu_in: bool, weight: Slot, y: View) {
        let (c, weight) = (y.channels, Self::param(weight));
        let (x, y) = (self.at(x), self.at(y));
        let operands =
            Operands { x, weight, relu_in, flip: false, mask: None, y, accumulate: false };
        self.slide_windows(w, c, operands);
    }

    pub(super) fn depthwise_data(
        &mut self,
        w: &Window,
        mask: Option<View>,
        weight: Slot,
        gy: View,
        gx: Target,
    ) {
        let (c, n, row) = (gy.channels, self.n, self.row(gx.view));
        let (weight, mask) = (Self::param(weight), mask.map(|mask| self.at(mask)));
        let (x, y, accumulate) = (self.at(gy), self.at(gx.view), gx.accumulate);
        // A window that reaches beyond its own kernel's span pads by less than nothing, turned around.
        let is_dense = w.stride == [1, 1]
            && (0..2).all(|axis| w.pad[axis] <= (w.kernel[axis] - 1) * w.dilation[axis]);
        if is_dense {
            let operands = Operands { x, weight, relu_in: false, flip: true, mask, y, accumulate };
            return self.slide_windows(&gradient_window(w), c, operands);
        }
        let operands = [x.into(), weight.into(), mask.into(), y.into(), accumulate.into()];
        let args = [&[w.into(), n.into(), c.into()][..], &operands].concat();
        self.launch("depthwise_backward_strided", rows(c, row), &args);
    }

    fn slide_windows(&mut self, w: &Window, c: usize, operands: Operands) {
        let Operands { x, weight, relu_in, flip, mask, y, accumulate } = operands;
        let n = self.n;
        let sizes: [Arg; 3] = [w.into(), n.into(), c.into()];
        let operands =
            [x.into(), weight.into(), relu_in.into(), flip.into(), mask.into(), y.into()];
        let Some(Tile { lanes, height, width, shared }) = tile(w, n) else {
            let args = [&sizes[..], &operands, &[accumulate.into()]].concat();
            return self.launch("depthwise_direct", rows(c, w.output_area() * n), &args);
        };
        let tiles = w.output[0].div_ceil(height) * w.output[1].div_ceil(width);
        let grid = [(tiles * n.div_ceil(lanes)) as u32, c.min(MAX_GRID_Y) as u32];
        let block = [lanes as u32, (BLOCK / lanes) as u32];
        let args = [&sizes[..], &operands, &[height.into(), width.into(), accumulate.into()]];
        let bytes = (shared * size_of::<f32>()) as u32;
        self.launch_with_shared(kernel_of(w), [grid, block], bytes, &args.concat());
    }

    pub(super) fn depthwise_weight(
        &mut self,
        w: &Window,
        x: View,
        relu_in: bool,
        gy: View,
        weight: Slot,
    ) {
        let (c, n, taps) = (gy.channels, self.n, w.taps());
        let splits = splits(c, self.row(gy));
        let partial = self.scratch(c * splits * taps);
        let (x, gy) = (self.at(x), self.at(gy));
        let operands = [x.into(), gy.into(), relu_in.into(), partial.into()];
        let args = [&[w.into(), n.into(), c.into()][..], &operands].concat();
        let grid = [splits, c.min(MAX_GRID_Y)];
        self.launch("depthwise_backward_weight", [grid, [BLOCK, 1]], &args);
        let to = Self::gradient(weight);
        let args = [partial.into(), to.into(), c.into(), splits.into(), taps.into()];
        self.launch("add_partial_sums", threads(c * taps), &args);
    }
}
