//! Geometry of convolution and pooling windows: kernel, stride, dilation, padding, and the sizes
//! that follow. Heights come before widths in every pair.

use std::fmt;

/// How the border of a map is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Padding {
    /// Output size `ceil(n / stride)`; total padding `max((out - 1) * stride + span - n, 0)`, the
    /// smaller half first (TensorFlow's SAME).
    Same,
    /// The sizes of [`Padding::Same`], but to a pool the padding is zeros like any other: they can be the
    /// largest, and are counted in a mean (Keras's `ZeroPadding2D` before a pool without padding). To a
    /// convolution padding always is zeros.
    Zeros,
    /// No padding; output size `(n - span) / stride + 1`.
    Valid,
}

/// A sliding window over a map of known size.
///
/// # Shapes
/// - input map `[H, W]` = `input`
/// - output map `[H', W']` = `output`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Stride, vertical and horizontal.
    pub stride: [usize; 2],
    /// Dilation, vertical and horizontal; 1 is dense.
    pub dilation: [usize; 2],
    /// Rows above and columns to the left of the map that the first window covers.
    pub pad: [usize; 2],
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// True if a pool takes what it covers beyond the map for zeros; else that has no part in it. False if
    /// no window reaches beyond the map.
    pub zeros: bool,
}

impl Window {
    /// The window of a kernel over a map, or `None` if a valid window does not fit into the map.
    ///
    /// # Panics
    /// If a kernel, stride, dilation or input size is zero; `check` and `lower` refuse those before.
    pub fn new(
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        padding: Padding,
        input: [usize; 2],
    ) -> Option<Window> {
        let mut pad = [0; 2];
        let mut output = [0; 2];
        let mut reaches_out = false;
        for axis in 0..2 {
            let (n, s) = (input[axis], stride[axis]);
            assert!(kernel[axis] * s * dilation[axis] * n > 0, "window sizes are positive");
            let span = (kernel[axis] - 1) * dilation[axis] + 1;
            match padding {
                Padding::Same | Padding::Zeros => {
                    output[axis] = n.div_ceil(s);
                    let beyond = ((output[axis] - 1) * s + span).saturating_sub(n);
                    pad[axis] = beyond / 2;
                    reaches_out |= beyond > 0;
                }
                Padding::Valid => {
                    output[axis] = n.checked_sub(span)? / s + 1;
                }
            }
        }
        let zeros = padding == Padding::Zeros && reaches_out;
        Some(Window { kernel, stride, dilation, pad, input, output, zeros })
    }

    /// True for a 1x1 kernel at stride 1: the map is only mixed across channels.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1]
    }

    /// Number of taps, `kernel height * kernel width`.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Pixels of the input map.
    pub fn input_area(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Pixels of the output map.
    pub fn output_area(&self) -> usize {
        self.output[0] * self.output[1]
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.kernel[0], self.kernel[1])?;
        if self.stride != [1, 1] {
            write!(f, " s={}x{}", self.stride[0], self.stride[1])?;
        }
        if self.dilation != [1, 1] {
            write!(f, " d={}x{}", self.dilation[0], self.dilation[1])?;
        }
        if self.pad != [0, 0] {
            write!(f, " pad={},{}", self.pad[0], self.pad[1])?;
        }
        if self.zeros {
            write!(f, " zeros")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(k: usize, s: usize, n: usize) -> (usize, usize) {
        let window = Window::new([k, k], [s, s], [1, 1], Padding::Same, [n, n]).expect("same fits");
        (window.pad[0], window.output[0])
    }

    #[test]
    fn same_padding_is_tensorflows() {
        // facts: even n at stride 2: k=3 pads (0,1), k=5 (1,2), k=7 (2,3); odd n, k=3 pads (1,1).
        assert_eq!(same(3, 2, 32), (0, 16));
        assert_eq!(same(5, 2, 32), (1, 16));
        assert_eq!(same(7, 2, 32), (2, 16));
        assert_eq!(same(3, 2, 7), (1, 4));
        assert_eq!(same(3, 1, 8), (1, 8));
        assert_eq!(same(1, 2, 8), (0, 4));
    }

    #[test]
    fn zeros_are_the_padding_of_same_where_there_is_any() {
        let window = |padding, n| {
            Window::new([3, 3], [2, 2], [1, 1], padding, [n, n]).expect("padded windows fit")
        };
        for n in [7, 8] {
            let zeros = window(Padding::Zeros, n);
            assert!(zeros.zeros);
            assert_eq!(Window { zeros: false, ..zeros }, window(Padding::Same, n));
        }
        let inside = Window::new([2, 2], [2, 2], [1, 1], Padding::Zeros, [8, 8]);
        assert!(!inside.expect("it fits").zeros);
    }

    #[test]
    fn valid_needs_room() {
        let valid = |k, s, n| Window::new([k, k], [s, s], [1, 1], Padding::Valid, [n, n]);
        assert_eq!(valid(5, 3, 8).map(|w| w.output), Some([2, 2]));
        assert_eq!(valid(5, 3, 4), None);
    }
}
