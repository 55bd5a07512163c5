//! Dense layers on `[features, N]`.

use rayon::prelude::*;

use super::Kernels;
use super::matmul::{
    Left, Right, Rows, Target, pack_left, packed_len, panels_len, product, product_of_rows,
};
use super::scratch::with_scratch;
use super::simd::LANES;
use super::threads::min_tiles;

/// Rows of a weight that a task multiplies with a few images.
const ROWS: usize = 64;

impl Kernels {
    /// Dense layer: `y = weight x + bias`, or `y = weight x`.
    ///
    /// # Shapes
    /// - `x`: `[in, N]`, `weight`: `[out, in]`, `bias`: `[out]`
    /// - `y`: `[out, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn dense_forward(
        &self,
        n: usize,
        inputs: usize,
        outputs: usize,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) {
        assert_eq!(x.len(), inputs * n, "length of the input");
        assert_eq!(weight.len(), outputs * inputs, "length of the weight");
        assert_eq!(y.len(), outputs * n, "length of the output");
        if let Some(bias) = bias {
            assert_eq!(bias.len(), outputs, "length of the bias");
            for (y, bias) in y.chunks_exact_mut(n.max(1)).zip(bias) {
                y.fill(*bias);
            }
        }
        if n < LANES {
            if bias.is_none() {
                y.fill(0.0);
            }
            self.add_dots(n, inputs, x, weight, y);
            return;
        }
        let left = Left { data: weight, row: inputs, col: 1, scale: None };
        self.add_product(outputs, n, inputs, left, x, y, bias.is_some());
    }

    /// Adds the products of a few images with the rows of a weight where they lie: to pack it takes longer.
    fn add_dots(self, n: usize, inputs: usize, x: &[f32], weight: &[f32], y: &mut [f32]) {
        with_scratch(x.len(), |images| {
            for (image, features) in images.chunks_exact_mut(inputs.max(1)).enumerate() {
                for (to, from) in features.iter_mut().zip(x[image..].iter().step_by(n)) {
                    *to = *from;
                }
            }
            let images = &*images;
            let outputs = y.par_chunks_mut((ROWS * n).max(1));
            let blocks = outputs.zip(weight.par_chunks((ROWS * inputs).max(1)));
            blocks.with_min_len(min_tiles(weight.len() * n / 16)).for_each(|(y, weight)| {
                let rows = y.len() / n;
                let of = |data| Rows { data, row: inputs, len: inputs };
                product_of_rows(self, [rows, n], of(weight), of(images), false, y);
            });
        });
    }

    /// Gradients of [`Kernels::dense_forward`]: `gx` if wanted, with its own `accumulate`; those of
    /// the weight and of the bias, if there is one, are added to `gweight` and `gbias`.
    ///
    /// # Shapes
    /// - `x`, `gx`: `[in, N]`, `weight`, `gweight`: `[out, in]`, `gbias`: `[out]`
    /// - `gy`: `[out, N]`
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes its sizes and slices one by one")]
    pub fn dense_backward(
        &self,
        n: usize,
        inputs: usize,
        outputs: usize,
        x: &[f32],
        weight: &[f32],
        gy: &[f32],
        gx: Option<(&mut [f32], bool)>,
        gweight: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        assert_eq!(x.len(), inputs * n, "length of the input");
        assert_eq!(weight.len(), outputs * inputs, "length of the weight");
        assert_eq!(gy.len(), outputs * n, "length of the output's gradient");
        assert_eq!(gweight.len(), weight.len(), "length of the weight's gradient");
        if let Some((gx, accumulate)) = gx {
            assert_eq!(gx.len(), x.len(), "length of the input's gradient");
            let left = Left { data: weight, row: 1, col: inputs, scale: None };
            self.add_product(inputs, n, outputs, left, gy, gx, accumulate);
        }
        let of = |data| Rows { data, row: n, len: n };
        product_of_rows(*self, [outputs, inputs], of(gy), of(x), false, gweight);
        let Some(gbias) = gbias else { return };
        assert_eq!(gbias.len(), outputs, "length of the bias's gradient");
        for (gbias, gy) in gbias.iter_mut().zip(gy.chunks_exact(n.max(1))) {
            *gbias += gy.iter().sum::<f32>();
        }
    }

    #[expect(clippy::too_many_arguments, reason = "sizes and sides of a product")]
    fn add_product(
        self,
        m: usize,
        n: usize,
        k: usize,
        left: Left<'_>,
        right: &[f32],
        out: &mut [f32],
        accumulate: bool,
    ) {
        let sizes = [packed_len(self, m, k), panels_len(self, m, k)];
        with_scratch(sizes.iter().sum(), |buffer| {
            let (packed, panels) = buffer.split_at_mut(sizes[0]);
            pack_left(self, m, k, left, packed);
            let target = Target::whole(out, n).accumulate(accumulate);
            let right = Right { data: right, row: n, relu: false };
            product(self, [m, k], packed, right, target, panels);
        });
    }
}
