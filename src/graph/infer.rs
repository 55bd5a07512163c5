//! Shapes that follow from an operation and its operands: of its result, and of its parameters.

use super::{Op, ParamKind, TensorType, Window};

/// Why an operation cannot be applied to operands of these shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShapeFault {
    /// Addition, multiplication or mix of tensors that differ.
    Differ {
        /// Shape of the left operand.
        left: TensorType,
        /// Shape of the right operand.
        right: TensorType,
    },
    /// Concatenation of maps that differ in size.
    Sizes {
        /// Shape of the first operand.
        first: TensorType,
        /// Index of the first operand that differs.
        index: usize,
        /// Its shape.
        other: TensorType,
    },
    /// A dense layer on a map that is not 1x1.
    NotFlat {
        /// Shape of the operand.
        operand: TensorType,
    },
    /// Channels that cannot be divided into equal groups.
    Indivisible {
        /// The channels: those of the operand, or a convolution's filters.
        channels: usize,
        /// The number of groups.
        groups: usize,
        /// True for the filters.
        is_output: bool,
    },
    /// A slice beyond the channels of its operand.
    OutOfRange {
        /// Shape of the operand.
        operand: TensorType,
        /// The slice's first channel.
        start: usize,
        /// How many it has.
        count: usize,
    },
}

/// Shape of an operation's result.
pub(super) fn infer(op: &Op, operands: &[TensorType]) -> Result<TensorType, ShapeFault> {
    let first = *operands.first().expect("every operation but the input has an operand");
    let windowed = |window: &Window, channels: usize| {
        assert_eq!(window.input, first.size(), "a window is made for its operand's size");
        TensorType::new(channels, window.output[0], window.output[1])
    };
    let arity = |n: usize| assert_eq!(operands.len(), n, "operands of `{}`", op.name());
    Ok(match op {
        Op::Input => unreachable!("the input is made by Graph::new"),
        Op::Conv { window, out_channels, groups } => {
            arity(1);
            divides(*groups, first.channels, false)?;
            divides(*groups, *out_channels, true)?;
            windowed(window, *out_channels)
        }
        Op::DepthwiseConv { window } | Op::MaxPool { window } | Op::AvgPool { window } => {
            arity(1);
            windowed(window, first.channels)
        }
        Op::BatchNorm
        | Op::LayerNorm
        | Op::InstanceNorm
        | Op::Relu
        | Op::Relu6
        | Op::Sigmoid
        | Op::Dropout
        | Op::DropPath
        | Op::Shift => {
            arity(1);
            first
        }
        Op::Shuffle { groups } => {
            arity(1);
            divides(*groups, first.channels, false)?;
            first
        }
        Op::Slice { start, count } => {
            arity(1);
            let (start, count) = (*start, *count);
            if count == 0 || start >= first.channels || count > first.channels - start {
                return Err(ShapeFault::OutOfRange { operand: first, start, count });
            }
            TensorType::new(count, first.height, first.width)
        }
        Op::Zero { stride } => {
            arity(1);
            let [height, width] = [0, 1].map(|axis| first.size()[axis].div_ceil(stride[axis]));
            TensorType::new(first.channels, height, width)
        }
        Op::Add | Op::Mix => {
            arity(2);
            if operands[1] != first {
                return Err(ShapeFault::Differ { left: first, right: operands[1] });
            }
            first
        }
        Op::Mul => {
            arity(2);
            let second = operands[1];
            if first.channels != second.channels
                || (first.size() != second.size() && first.area() != 1 && second.area() != 1)
            {
                return Err(ShapeFault::Differ { left: first, right: second });
            }
            if first.area() == 1 { second } else { first }
        }
        Op::Concat => {
            if let Some(index) = operands.iter().position(|ty| ty.size() != first.size()) {
                return Err(ShapeFault::Sizes { first, index, other: operands[index] });
            }
            TensorType::new(operands.iter().map(|ty| ty.channels).sum(), first.height, first.width)
        }
        Op::GlobalAvgPool => {
            arity(1);
            TensorType::new(first.channels, 1, 1)
        }
        Op::Dense { out_features, .. } => {
            arity(1);
            if first.area() != 1 {
                return Err(ShapeFault::NotFlat { operand: first });
            }
            TensorType::new(*out_features, 1, 1)
        }
    })
}

/// Refuses channels that do not fall into groups of one size.
fn divides(groups: usize, channels: usize, is_output: bool) -> Result<(), ShapeFault> {
    if channels.checked_rem(groups) == Some(0) {
        return Ok(());
    }
    Err(ShapeFault::Indivisible { channels, groups, is_output })
}

/// Names, shapes and kinds of an operation's parameters and statistics.
pub(super) fn param_shapes(
    op: &Op,
    operands: &[TensorType],
) -> Vec<(&'static str, Vec<usize>, ParamKind)> {
    let channels = operands.first().map_or(0, |ty| ty.channels);
    match op {
        Op::Conv { window, out_channels, groups } => {
            let [kh, kw] = window.kernel;
            let shape = vec![*out_channels, channels / groups, kh, kw];
            vec![("weight", shape, ParamKind::Weight)]
        }
        Op::DepthwiseConv { window } => {
            let [kh, kw] = window.kernel;
            vec![("weight", vec![channels, 1, kh, kw], ParamKind::Weight)]
        }
        Op::BatchNorm => vec![
            ("weight", vec![channels], ParamKind::Gamma),
            ("bias", vec![channels], ParamKind::Beta),
            ("running_mean", vec![channels], ParamKind::RunningMean),
            ("running_var", vec![channels], ParamKind::RunningVar),
        ],
        Op::LayerNorm | Op::InstanceNorm => vec![
            ("weight", vec![channels], ParamKind::Gamma),
            ("bias", vec![channels], ParamKind::Beta),
        ],
        Op::Dense { out_features, bias } => {
            let mut params = vec![("weight", vec![*out_features, channels], ParamKind::Weight)];
            if *bias {
                params.push(("bias", vec![*out_features], ParamKind::Bias));
            }
            params
        }
        Op::Input
        | Op::Relu
        | Op::Relu6
        | Op::Sigmoid
        | Op::Add
        | Op::Mul
        | Op::Concat
        | Op::MaxPool { .. }
        | Op::AvgPool { .. }
        | Op::GlobalAvgPool
        | Op::Dropout
        | Op::DropPath
        | Op::Shift
        | Op::Shuffle { .. }
        | Op::Slice { .. }
        | Op::Mix
        | Op::Zero { .. } => Vec::new(),
    }
}
