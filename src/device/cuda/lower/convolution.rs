//! Convolutions other than depthwise, as matrix products.
//!
//! A 1x1 kernel at stride 1 multiplies the batch `[C_in, H * W * N]` where it lies; other windows, and maps that
//! are rectified on the way in, are gathered first, `im2col`, some places or channels at a time.

use super::super::command::{Arg, Matrix, Place, Product, Region};
use super::{Lowering, rows};
use crate::graph::Window;
use crate::plan::{Norm, Slot, Target, View};

/// Numbers that are gathered at a time, at most (unless one place or channel needs more): 64 MiB in single precision.
const COLUMNS: usize = 1 << 24;

/// The sizes of one convolution.
#[derive(Clone, Copy)]
struct Sizes {
    /// Channels and filters of a group.
    ci: usize,
    co: usize,
    groups: usize,
    taps: usize,
    /// Numbers of an input and of an output channel.
    input_row: usize,
    output_row: usize,
}

impl Sizes {
    /// Inputs of one output pixel.
    fn fan_in(self) -> usize {
        self.ci * self.taps
    }
}

fn sizes(w: &Window, n: usize, groups: usize, channels: [usize; 2]) -> Sizes {
    let [ci, co] = channels.map(|channels| channels / groups);
    let [input_row, output_row] = [w.input_area(), w.output_area()].map(|area| area * n);
    Sizes { ci, co, groups, taps: w.taps(), input_row, output_row }
}

/// True if the matrix of the windows is the input itself.
fn is_pointwise(w: &Window) -> bool {
    w.is_pointwise() && w.pad == [0, 0] && w.input == w.output
}

impl Lowering<'_> {
    /// A convolution; a normalization of its results is a pass of its own over them here.
    #[expect(clippy::too_many_arguments, reason = "the operands of the step")]
    pub(super) fn conv(
        &mut self,
        w: &Window,
        groups: usize,
        x: View,
        relu_in: bool,
        weight: Slot,
        norm: Option<Norm>,
        y: Target,
    ) {
        let s = sizes(w, self.n, groups, [x.channels, y.view.channels]);
        let a = Matrix::of(self.weight(weight), s.fan_in()).strided(s.co * s.fan_in());
        let to = self.at(y.view);
        // What is normalized before it is added has to lie apart.
        let results = if norm.is_some() && y.accumulate { self.scratch_values(to.len) } else { to };
        let accumulate = norm.is_none() && y.accumulate;
        self.for_windows(w, s, x, relu_in, |this, columns, first, len| {
            let (b, c) = (columns, output(results, s, first));
            let [m, k] = [s.co, s.fan_in()];
            this.product(Product { m, n: len, k, batch: groups, a, b, c, accumulate });
        });
        if let Some(norm) = norm {
            self.normalize_by_running(results, norm, y);
        }
    }

    pub(super) fn conv_weight(
        &mut self,
        w: &Window,
        groups: usize,
        x: View,
        relu_in: bool,
        gy: View,
        weight: Slot,
    ) {
        let s = sizes(w, self.n, groups, [x.channels, gy.channels]);
        let c = Matrix::of(Self::gradient(weight), s.fan_in()).strided(s.co * s.fan_in());
        let gy = self.at(gy);
        self.for_windows(w, s, x, relu_in, |this, columns, first, len| {
            let (a, b) = (output(gy, s, first), columns.transposed());
            let [m, n] = [s.co, s.fan_in()];
            this.product(Product { m, n, k: len, batch: groups, a, b, c, accumulate: true });
        });
    }

    /// Calls `f` with the gathered windows `[fan_in, len]` of one group after the other, for all places: the
    /// matrix, the first of its columns in a channel of the output, and their number.
    fn for_windows(
        &mut self,
        w: &Window,
        s: Sizes,
        x: View,
        relu_in: bool,
        mut f: impl FnMut(&mut Self, Matrix, usize, usize),
    ) {
        let (n, channels, x) = (self.n, s.ci * s.groups, self.at(x));
        if is_pointwise(w) && !relu_in {
            let matrix = Matrix::of(x, s.output_row).strided(s.ci * s.output_row);
            return f(self, matrix, 0, s.output_row);
        }
        let lines = channels * s.taps;
        let at_once = (COLUMNS / (lines * n).max(1)).clamp(1, w.output_area().max(1));
        let columns = self.scratch_values(lines * at_once * n);
        for first in (0..w.output_area()).step_by(at_once) {
            let places = at_once.min(w.output_area() - first);
            let (len, columns) = (places * n, columns.part(0, lines * places * n));
            let operands = [x.into(), relu_in.into(), first.into(), places.into(), columns.into()];
            let args = [&[w.into(), n.into(), channels.into()][..], &operands].concat();
            self.launch("im2col", rows(lines, len), &args);
            let matrix = Matrix::of(columns, len).strided(s.fan_in() * len);
            f(self, matrix, first * n, len);
        }
    }

    pub(super) fn conv_data(
        &mut self,
        w: &Window,
        groups: usize,
        mask: Option<View>,
        weight: Slot,
        gy: View,
        gx: Target,
    ) {
        let s = sizes(w, self.n, groups, [gx.view.channels, gy.channels]);
        let (mask, gy, to) = (mask.map(|mask| self.at(mask)), self.at(gy), self.at(gx.view));
        let weight = self.weight(weight);
        if is_pointwise(w) && mask.is_none() {
            let a = Matrix::of(weight, s.ci).transposed().strided(s.co * s.ci);
            let b = Matrix::of(gy, s.output_row).strided(s.co * s.output_row);
            let c = Matrix::of(to, s.output_row).strided(s.ci * s.output_row);
            let [m, n, k] = [s.ci, s.output_row, s.co];
            let accumulate = gx.accumulate;
            return self.product(Product { m, n, k, batch: groups, a, b, c, accumulate });
        }
        // Whole groups at a time if they all fit, otherwise some channels of one group.
        let fits = groups * s.fan_in() * s.output_row <= COLUMNS;
        let batch = if fits { groups } else { 1 };
        let block = match fits {
            true => s.ci,
            false => (COLUMNS / (s.taps * s.output_row).max(1)).clamp(1, s.ci),
        };
        let columns = self.scratch_values(batch * block * s.taps * s.output_row);
        for group in (0..groups).step_by(batch) {
            for first in (0..s.ci).step_by(block) {
                let ci = block.min(s.ci - first);
                let lines = ci * s.taps;
                let from = group * s.co * s.fan_in() + first * s.taps;
                let side = weight.part(from, (batch * s.co - 1) * s.fan_in() + lines);
                let a = Matrix::of(side, s.fan_in()).transposed().strided(s.co * s.fan_in());
                let gradients = group * s.co * s.output_row;
                let side = gy.part(gradients, batch * s.co * s.output_row);
                let b = Matrix::of(side, s.output_row).strided(s.co * s.output_row);
                let columns = columns.part(0, batch * lines * s.output_row);
                let c = Matrix::of(columns, s.output_row).strided(lines * s.output_row);
                let [m, n, k] = [lines, s.output_row, s.co];
                self.product(Product { m, n, k, batch, a, b, c, accumulate: false });
                let (start, channels) = (group * s.ci + first, batch * ci);
                let part =
                    |region: Region| region.part(start * s.input_row, channels * s.input_row);
                let (n, accumulate) = (Arg::from(self.n), gx.accumulate.into());
                let operands = [columns.into(), mask.map(part).into(), part(to).into(), accumulate];
                let args = [&[w.into(), n, channels.into()][..], &operands].concat();
                self.launch("col2im", rows(channels, s.input_row), &args);
            }
        }
    }
}

/// Columns of a map of outputs, or of their gradients, from column `first` on: `[co, ..]` of each group.
fn output(region: Region, s: Sizes, first: usize) -> Matrix {
    debug_assert!(
        matches!(region.place, Place::Arena | Place::ScratchValues),
        "outputs lie in the arena, or apart for the time of a step"
    );
    let region = region.part(first, region.len - first);
    Matrix::of(region, s.output_row).strided(s.co * s.output_row)
}
