//! The commands of the steps of a forward pass.

use super::super::command::{Arg, Command, Matrix, Place, Product, Region};
use super::{BLOCK, Draw, Lowering, WARP, columns, flat, rows};
use crate::device::Precision;
use crate::device::draws::dropout_threshold;
use crate::plan::{Forward, Output, View};

impl Lowering<'_> {
    pub(super) fn forward(&mut self, kernel: &Forward) {
        let n = self.n;
        match *kernel {
            Forward::Load { y } => {
                self.round_params();
                let row = y.channels * self.plan.area(y);
                self.load(Self::whole(Place::Image, n * row), self.at(y), row, false);
            }
            Forward::Conv { window, groups, x, relu_in, weight, norm, y } => {
                self.conv(&window, groups, x, relu_in, weight, norm, y);
            }
            Forward::DepthwiseConv { window, x, relu_in, weight, y } => {
                self.depthwise(&window, x, relu_in, weight, y);
            }
            Forward::BatchNorm { x, norm, saved, fixed, y } => {
                self.batch_norm(x, norm, saved, fixed, y);
            }
            Forward::GroupNorm { groups, x, gamma, beta, moments, y } => {
                self.group_norm(groups, x, [gamma, beta], moments, y);
            }
            Forward::Relu { x, y } => self.unary("relu_forward", x, y),
            Forward::Relu6 { x, y } => self.unary("relu6_forward", x, y),
            Forward::Sigmoid { x, y } => self.unary("sigmoid_forward", x, y),
            Forward::Add { a, b, y } => {
                let (a, b, y) = (self.at(a), self.at(b), self.at(y));
                self.launch("add_forward", flat(y.len), &[a.into(), b.into(), y.into(), len(y)]);
            }
            Forward::Mul { a, b, y } => self.multiply(a, b, self.at(y), self.plan.area(y), false),
            Forward::Copy { x, y } => self.copy(self.at(x), self.at(y), false),
            Forward::Mix { stream, a, b, y } => {
                let draw = match self.is_training {
                    true => Draw::Shares { stream, is_backward: false },
                    false => Draw::Even,
                };
                let shares = self.draw(draw);
                let (c, row) = (y.channels, self.row(y));
                let (a, b, y) = (self.at(a), self.at(b), self.at(y));
                let args =
                    [a.into(), b.into(), shares.into(), y.into(), c.into(), row.into(), n.into()];
                self.launch("mix_forward", rows(c, row), &args);
            }
            Forward::Zero { y } => self.zero(self.at(y)),
            Forward::MaxPool { window, x, y } => {
                let (c, row) = (y.channels, self.row(y));
                let (x, y) = (self.at(x), self.at(y));
                let args =
                    [(&window).into(), n.into(), c.into(), x.into(), y.into(), Arg::Region(None)];
                self.launch("max_pool", rows(c, row), &args);
            }
            Forward::AvgPool { window, x, y } => {
                let (c, row) = (x.channels, self.row(y.view));
                let (x, to) = (self.at(x), self.at(y.view));
                let sizes = [(&window).into(), n.into(), c.into()];
                let args = [&sizes[..], &[x.into(), to.into(), y.accumulate.into()]].concat();
                self.launch("average_pool", rows(c, row), &args);
            }
            Forward::GlobalAvgPool { x, y } => {
                let area = self.plan.area(x);
                let factor = 1.0 / area as f32;
                self.dot(
                    [self.at(x), self.at(x)],
                    true,
                    factor,
                    self.at(y),
                    x.channels,
                    area,
                    false,
                );
            }
            Forward::Dense { x, weight, bias, y } => {
                let (inputs, outputs) = (x.channels, y.channels);
                let (x, y) = (self.at(x), self.at(y));
                if let Some(bias) = bias {
                    let args = [Self::param(bias).into(), y.into(), outputs.into(), n.into()];
                    self.launch("fill_rows", flat(y.len), &args);
                }
                let a = Matrix::of(self.weight(weight), inputs);
                let (b, c) = (Matrix::of(x, n), Matrix::of(y, n));
                let accumulate = bias.is_some();
                let [m, k] = [outputs, inputs];
                self.product(Product { m, n, k, batch: 1, a, b, c, accumulate });
            }
            Forward::Dropout { stream, x, y } if self.is_training => {
                self.dropout(stream, self.at(x), self.at(y), false);
            }
            Forward::DropPath { stream, depth, x, y } if self.is_training => {
                let kept = self.draw(Draw::Kept { stream, depth });
                let (c, row) = (x.channels, self.row(x));
                self.scale("scale_images", self.at(x), kept, self.at(y), c, row, false);
            }
            Forward::Dropout { x, y, .. } | Forward::DropPath { x, y, .. } => {
                self.copy(self.at(x), self.at(y), false);
            }
            Forward::Shift { x, y } => self.shift(x, self.at(y), false, false),
            Forward::Shuffle { groups, x, y } => self.shuffle(groups, x, self.at(y), false),
            Forward::Store { output, x } => {
                let row = x.channels * self.plan.area(x);
                let to = match output {
                    Output::Logits => Place::Logits,
                    Output::Aux => Place::Aux,
                };
                self.store(self.at(x), Self::whole(to, n * row), row, false);
            }
        }
    }

    fn unary(&mut self, kernel: &'static str, x: View, y: View) {
        let (x, y) = (self.at(x), self.at(y));
        self.launch(kernel, flat(y.len), &[x.into(), y.into(), len(y)]);
    }

    pub(super) fn zero(&mut self, y: Region) {
        let kernel = if y.place.holds_values() { "zero_values" } else { "zero_words" };
        self.launch(kernel, flat(y.len), &[y.into(), len(y)]);
    }

    /// The copy of the parameters that products read, if it is another one.
    fn round_params(&mut self) {
        if self.precision == Precision::Bf16 {
            let [params, rounded] = [Place::Params, Place::RoundedParams]
                .map(|place| Self::whole(place, self.plan.params_len));
            let args = [params.into(), rounded.into(), len(params)];
            self.launch("round_params", flat(params.len), &args);
        }
    }

    pub(super) fn copy(&mut self, x: Region, y: Region, accumulate: bool) {
        let args = [x.into(), y.into(), len(y), accumulate.into()];
        self.launch("copy_or_add", flat(y.len), &args);
    }

    /// `a * b` to a place of maps of `area` numbers, one of the two broadcast if its maps are of one number.
    pub(super) fn multiply(&mut self, a: View, b: View, y: Region, area: usize, accumulate: bool) {
        let (c, row) = (a.channels, area * self.n);
        let (maps, factors) = if self.plan.area(a) == area { (a, b) } else { (b, a) };
        let is_broadcast = self.plan.area(factors) != area;
        let (maps, factors) = (self.at(maps), self.at(factors));
        if is_broadcast {
            self.scale("scale_maps", maps, factors, y, c, row, accumulate);
        } else {
            let args = [maps.into(), factors.into(), y.into(), len(y), accumulate.into()];
            self.launch("multiply", flat(y.len), &args);
        }
    }

    /// `x` times factors, as the kernel takes them: `scale_maps`, `scale_images` or `scale_images_by_rest`.
    #[expect(clippy::too_many_arguments, reason = "the kernel's operands and sizes")]
    pub(super) fn scale(
        &mut self,
        kernel: &'static str,
        x: Region,
        factors: Region,
        y: Region,
        c: usize,
        row: usize,
        accumulate: bool,
    ) {
        let sizes = [c.into(), row.into(), self.n.into(), accumulate.into()];
        let args = [&[x.into(), factors.into(), y.into()][..], &sizes].concat();
        self.launch(kernel, rows(c, row), &args);
    }

    /// Sums over the maps of `a * b`, or of `a` alone.
    #[expect(clippy::too_many_arguments, reason = "the kernel's operands and sizes")]
    pub(super) fn dot(
        &mut self,
        [a, b]: [Region; 2],
        is_alone: bool,
        factor: f32,
        y: Region,
        c: usize,
        area: usize,
        accumulate: bool,
    ) {
        let (n, b) = (self.n, if is_alone { None } else { Some(b) });
        let sizes = [c.into(), area.into(), n.into(), accumulate.into()];
        let args = [&[a.into(), b.into(), factor.into(), y.into()][..], &sizes].concat();
        self.launch("dot_maps", columns(c, n), &args);
    }

    pub(super) fn dropout(&mut self, stream: u64, x: Region, y: Region, accumulate: bool) {
        let seed = self.draw(Draw::Seed { stream });
        let rate = self.config.dropout;
        let (threshold, scale) = (dropout_threshold(rate), 1.0 / (1.0 - rate));
        let settings = [seed.into(), threshold.into(), scale.into(), accumulate.into()];
        let args = [&[x.into(), y.into(), len(y)][..], &settings].concat();
        self.launch("dropout", flat(y.len), &args);
    }

    pub(super) fn shift(&mut self, x: View, y: Region, back: bool, accumulate: bool) {
        let [height, width] = self.plan.size(x);
        let (c, row, n) = (x.channels, self.row(x), self.n);
        let sizes = [c, height, width, n].map(Arg::from);
        let args = [&[self.at(x).into(), y.into()][..], &sizes, &[back.into(), accumulate.into()]];
        self.launch("shift", rows(c, row), &args.concat());
    }

    pub(super) fn shuffle(&mut self, groups: usize, x: View, y: Region, accumulate: bool) {
        let (c, row) = (x.channels, self.row(x));
        let sizes = [groups.into(), c.into(), row.into(), accumulate.into()];
        let args = [&[self.at(x).into(), y.into()][..], &sizes].concat();
        self.launch("shuffle", rows(c, row), &args);
    }

    /// `[N, row]`, as the host has it, to maps.
    pub(super) fn load(&mut self, x: Region, y: Region, row: usize, accumulate: bool) {
        self.transpose("load_maps", [self.n, row], x, y, accumulate);
    }

    /// Maps to `[N, row]`.
    pub(super) fn store(&mut self, x: Region, y: Region, row: usize, accumulate: bool) {
        self.transpose("store_maps", [row, self.n], x, y, accumulate);
    }

    /// `[a, b]` to `[b, a]`.
    fn transpose(
        &mut self,
        kernel: &'static str,
        [a, b]: [usize; 2],
        x: Region,
        y: Region,
        accumulate: bool,
    ) {
        let args = [x.into(), y.into(), a.into(), b.into(), accumulate.into()];
        let grid = [b.div_ceil(WARP), a.div_ceil(WARP)];
        self.launch(kernel, [grid, [WARP, BLOCK / WARP]], &args);
    }

    pub(super) fn product(&mut self, product: Product) {
        let Product { m, n, k, batch, .. } = product;
        if m * n * k * batch > 0 {
            self.push(Command::Product(product));
        }
    }
}

impl Matrix {
    /// Of one product, rows one after the other.
    pub(super) fn of(region: Region, row: usize) -> Matrix {
        Matrix { region, row, transposed: false, stride: 0 }
    }

    /// What lies there is the transposed side.
    pub(super) fn transposed(self) -> Matrix {
        Matrix { transposed: true, ..self }
    }

    /// Of several products.
    pub(super) fn strided(self, stride: usize) -> Matrix {
        Matrix { stride, ..self }
    }
}

pub(super) fn len(region: Region) -> Arg {
    Arg::Len(region.len as u64)
}
