//! Settings of nodes, and constant values.

use super::proto::{AttributeProto, AttributeType, FLOAT, INT64, TensorProto};
use crate::graph::Window;

/// A setting that is an integer.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    let (i, r#type) = (Some(value), AttributeType::Int as i32);
    AttributeProto { name: name.into(), i, r#type, ..AttributeProto::default() }
}

/// A setting that is a number.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    let (f, r#type) = (Some(value), AttributeType::Float as i32);
    AttributeProto { name: name.into(), f, r#type, ..AttributeProto::default() }
}

/// A setting that is a list of integers.
pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let (ints, r#type) = (dims(values), AttributeType::Ints as i32);
    AttributeProto { name: name.into(), ints, r#type, ..AttributeProto::default() }
}

/// What a window covers beyond the map: rows above, columns to the left, rows below, columns to the right.
pub(super) fn pads(window: &Window) -> [usize; 4] {
    let below = [0, 1].map(|axis| {
        let span = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let covered = (window.output[axis] - 1) * window.stride[axis] + span;
        covered.saturating_sub(window.input[axis] + window.pad[axis])
    });
    [window.pad[0], window.pad[1], below[0], below[1]]
}

/// The settings of a convolution or pool over this window. Padding is explicit.
pub(super) fn window(window: &Window) -> Vec<AttributeProto> {
    let mut attributes = vec![
        ints("kernel_shape", &window.kernel),
        ints("strides", &window.stride),
        ints("pads", &pads(window)),
    ];
    if window.dilation != [1, 1] {
        attributes.push(ints("dilations", &window.dilation));
    }
    attributes
}

/// A constant of 32-bit numbers.
pub(super) fn floats_tensor(name: String, shape: &[usize], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { dims: dims(shape), data_type: FLOAT, name, raw_data }
}

/// A constant list of integers.
pub(super) fn ints_tensor(name: String, values: &[i64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { dims: vec![values.len() as i64], data_type: INT64, name, raw_data }
}

/// Sizes as ONNX has them.
pub(super) fn dims(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| size as i64).collect()
}
