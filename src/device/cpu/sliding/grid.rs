//! Rows of numbers inside a larger buffer, and copies between them.

/// Rows of numbers: row `r`, column `i` at `r * row + i * stride`.
#[derive(Clone, Copy)]
pub(super) struct Grid<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    pub(super) stride: usize,
}

/// A [`Grid`] to write to.
pub(super) struct GridMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) row: usize,
    pub(super) stride: usize,
}

impl GridMut<'_> {
    /// `self = f(self, from)` for `height` rows of `width` numbers.
    #[inline(always)]
    pub(super) fn update(
        &mut self,
        from: Grid<'_>,
        height: usize,
        width: usize,
        f: impl Fn(f32, f32) -> f32 + Copy,
    ) {
        if width == 0 {
            return;
        }
        // The widths that maps often have are spelled out, so that a row is a few instructions and
        // no loop.
        match (self.stride, from.stride, width) {
            (1, 1, 2) => self.update_rows::<2>(from, height, f),
            (1, 1, 4) => self.update_rows::<4>(from, height, f),
            (1, 1, 8) => self.update_rows::<8>(from, height, f),
            (1, 1, 16) => self.update_rows::<16>(from, height, f),
            (1, 1, 32) => self.update_rows::<32>(from, height, f),
            (1, 1, _) => {
                for r in 0..height {
                    let to = &mut self.data[r * self.row..][..width];
                    let from = &from.data[r * from.row..][..width];
                    let (to, to_rest) = to.as_chunks_mut::<4>();
                    let (from, from_rest) = from.as_chunks::<4>();
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = each(*to, *from, f);
                    }
                    for (to, &from) in to_rest.iter_mut().zip(from_rest) {
                        *to = f(*to, from);
                    }
                }
            }
            (1, 2, _) => self.update_strided::<1, 2>(from, height, width, f),
            (2, 1, _) => self.update_strided::<2, 1>(from, height, width, f),
            _ => {
                for r in 0..height {
                    let to = self.data[r * self.row..].iter_mut().step_by(self.stride);
                    let from = from.data[r * from.row..].iter().step_by(from.stride);
                    for (to, &from) in to.zip(from).take(width) {
                        *to = f(*to, from);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn update_rows<const W: usize>(
        &mut self,
        from: Grid<'_>,
        height: usize,
        f: impl Fn(f32, f32) -> f32 + Copy,
    ) {
        for r in 0..height {
            let to = self.data[r * self.row..].first_chunk_mut::<W>();
            let from = from.data[r * from.row..].first_chunk::<W>();
            if let (Some(to), Some(from)) = (to, from) {
                *to = each(*to, *from, f);
            }
        }
    }

    /// [`GridMut::update`] for strides that are known.
    #[inline(always)]
    fn update_strided<const TO: usize, const FROM: usize>(
        &mut self,
        from: Grid<'_>,
        height: usize,
        width: usize,
        f: impl Fn(f32, f32) -> f32 + Copy,
    ) {
        for r in 0..height {
            let to = &mut self.data[r * self.row..];
            let from = &from.data[r * from.row..];
            // The last number need not be followed by a whole stride.
            let last = width - 1;
            to[last * TO] = f(to[last * TO], from[last * FROM]);
            let to = to[..last * TO].as_chunks_mut::<TO>().0;
            let from = from[..last * FROM].as_chunks::<FROM>().0;
            for (to, from) in to.iter_mut().zip(from) {
                to[0] = f(to[0], from[0]);
            }
        }
    }
}

/// `f` of each pair of numbers. On copies, so that no store stands between the loads.
#[inline(always)]
fn each<const W: usize>(a: [f32; W], b: [f32; W], f: impl Fn(f32, f32) -> f32) -> [f32; W] {
    let mut result = [0.0; W];
    for l in 0..W {
        result[l] = f(a[l], b[l]);
    }
    result
}
