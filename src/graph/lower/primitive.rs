//! Primitives with their attributes: from static values to an operation of the graph.

use super::value::Static;
use super::{Frame, Lowering, MAX_CHANNELS};
use crate::check::MAX_KERNEL;
use crate::diagnostic::Code;
use crate::graph::{NodeId, Op, Padding, TensorType, Window};
use crate::ir::{AttrDefault, Primitive, Value};
use crate::source::Span;

impl Lowering<'_> {
    /// Wires a primitive with one operand.
    pub(super) fn primitive(
        &mut self,
        primitive: Primitive,
        attrs: &[Option<Value>],
        arg: NodeId,
        frame: &Frame,
        span: Span,
    ) -> Option<NodeId> {
        let ty = self.graph.ty(arg);
        let width = if frame.cell.is_some() { frame.width } else { ty.channels };
        let mut values = Vec::with_capacity(attrs.len());
        for (attr, spec) in attrs.iter().zip(primitive.attrs()) {
            let at = attr.as_ref().map_or(span, |value| value.span);
            let value = match (attr, spec.default) {
                (Some(value), _) => self.value(value, frame)?,
                (None, AttrDefault::One) => Static::Int(1),
                (None, AttrDefault::Width) => Static::Int(width as i64),
                (None, AttrDefault::Same) => Static::Padding(Padding::Same),
                (None, AttrDefault::True) => Static::Bool(true),
                (None, AttrDefault::Required) => {
                    unreachable!("check::exprs reports missing attributes")
                }
            };
            values.push((value, at));
        }
        let op = match primitive {
            Primitive::Conv => {
                let [k, s, out, pad, d, groups] = values[..] else {
                    unreachable!("attributes of conv")
                };
                let window = self.window(ty, k, s, d, around_convolution(pad), frame)?;
                let out_channels = self.channels(out, frame)?;
                Op::Conv { window, out_channels, groups: self.groups(groups, frame)? }
            }
            Primitive::DepthwiseConv => {
                let [k, s, pad, d] = values[..] else { unreachable!("attributes of dwconv") };
                let pad = around_convolution(pad);
                Op::DepthwiseConv { window: self.window(ty, k, s, d, pad, frame)? }
            }
            Primitive::MaxPool | Primitive::AvgPool => {
                let [k, s, pad] = values[..] else { unreachable!("attributes of a pool") };
                let window = self.window(ty, k, s, (Static::Int(1), span), pad, frame)?;
                if primitive == Primitive::MaxPool {
                    Op::MaxPool { window }
                } else {
                    Op::AvgPool { window }
                }
            }
            Primitive::Dense => {
                let [out, bias] = values[..] else { unreachable!("attributes of dense") };
                let out_features = self.channels(out, frame)?;
                Op::Dense { out_features, bias: self.flag(bias, frame)? }
            }
            Primitive::Shuffle => Op::Shuffle { groups: self.groups(values[0], frame)? },
            Primitive::Slice => {
                let [start, count] = values[..] else { unreachable!("attributes of slice") };
                let start = self.number("a slice's first channel", 0, start, frame)?;
                Op::Slice { start, count: self.channels(count, frame)? }
            }
            Primitive::Zero => Op::Zero { stride: self.sides("a stride", values[0], frame)? },
            Primitive::BatchNorm => Op::BatchNorm,
            Primitive::LayerNorm => Op::LayerNorm,
            Primitive::InstanceNorm => Op::InstanceNorm,
            Primitive::Relu => Op::Relu,
            Primitive::Relu6 => Op::Relu6,
            Primitive::Sigmoid => Op::Sigmoid,
            Primitive::GlobalAvgPool => Op::GlobalAvgPool,
            Primitive::Dropout => Op::Dropout,
            Primitive::Shift => Op::Shift,
            Primitive::Concat | Primitive::Mul | Primitive::Mix => {
                unreachable!("combinations are wired by Lowering::expr")
            }
        };
        self.wire(op, &[arg], &[None], frame, span)
    }

    /// A window from attributes.
    fn window(
        &mut self,
        ty: TensorType,
        kernel: (Static, Span),
        stride: (Static, Span),
        dilation: (Static, Span),
        padding: (Static, Span),
        frame: &Frame,
    ) -> Option<Window> {
        let kernel_at = kernel.1;
        let kernel = match kernel.0 {
            Static::Full => Some(ty.size()),
            other => self.sides("a kernel", (other, kernel.1), frame),
        };
        let stride = self.sides("a stride", stride, frame);
        let dilation = self.sides("a dilation", dilation, frame);
        let padding = match padding.0 {
            Static::Padding(padding) => Some(padding),
            other => self.wrong_kind("`same`, `zeros` or `valid`", other, padding.1, frame),
        };
        let (kernel, stride, dilation, padding) = (kernel?, stride?, dilation?, padding?);
        let window = Window::new(kernel, stride, dilation, padding, ty.size());
        if window.is_none() {
            let message = format!(
                "a {}x{} window does not fit into a map of {}x{}",
                kernel[0], kernel[1], ty.height, ty.width
            );
            self.fault(
                Code::WindowTooLarge,
                kernel_at,
                frame,
                message,
                "use a smaller kernel, `same` padding, or larger images",
            );
        }
        window
    }

    /// One or two sides of a window, each in range.
    fn sides(
        &mut self,
        what: &str,
        (value, span): (Static, Span),
        frame: &Frame,
    ) -> Option<[usize; 2]> {
        let sides = match value {
            Static::Int(side) => [side, side],
            Static::Pair(sides) => sides,
            other @ (Static::Bool(_) | Static::Padding(_) | Static::Full) => {
                return self.wrong_kind("a number or a pair", other, span, frame);
            }
        };
        if sides.iter().all(|side| (1..=MAX_KERNEL).contains(side)) {
            return Some(sides.map(|side| side as usize));
        }
        let message = format!("{what} is 1 to {MAX_KERNEL}, found {value}");
        self.fault(Code::AttributeOutOfRange, span, frame, message, "write a number in that range");
        None
    }

    pub(super) fn channels(
        &mut self,
        (value, span): (Static, Span),
        frame: &Frame,
    ) -> Option<usize> {
        match value {
            Static::Int(channels) if (1..=MAX_CHANNELS as i64).contains(&channels) => {
                Some(channels as usize)
            }
            Static::Int(channels) => {
                let message =
                    format!("a tensor has 1 to {MAX_CHANNELS} channels, found {channels}");
                self.fault(
                    Code::SizeOutOfRange,
                    span,
                    frame,
                    message,
                    "use another width or scale",
                );
                None
            }
            other @ (Static::Bool(_) | Static::Pair(_) | Static::Padding(_) | Static::Full) => {
                self.wrong_kind("a number", other, span, frame)
            }
        }
    }

    /// A number of groups.
    fn groups(&mut self, value: (Static, Span), frame: &Frame) -> Option<usize> {
        self.number("a number of groups", 1, value, frame)
    }

    /// A number that channels are counted with, at least `least`.
    fn number(
        &mut self,
        what: &str,
        least: usize,
        (value, span): (Static, Span),
        frame: &Frame,
    ) -> Option<usize> {
        match value {
            Static::Int(number) if (least as i64..=MAX_CHANNELS as i64).contains(&number) => {
                Some(number as usize)
            }
            Static::Int(number) => {
                let message = format!("{what} is {least} to {MAX_CHANNELS}, found {number}");
                let note = "write a number in that range";
                self.fault(Code::AttributeOutOfRange, span, frame, message, note);
                None
            }
            other @ (Static::Bool(_) | Static::Pair(_) | Static::Padding(_) | Static::Full) => {
                self.wrong_kind("a number", other, span, frame)
            }
        }
    }

    /// `true` or `false`.
    fn flag(&mut self, (value, span): (Static, Span), frame: &Frame) -> Option<bool> {
        match value {
            Static::Bool(flag) => Some(flag),
            other @ (Static::Int(_) | Static::Pair(_) | Static::Padding(_) | Static::Full) => {
                self.wrong_kind("`true` or `false`", other, span, frame)
            }
        }
    }
}

/// A convolution is padded with zeros anyway: two spellings of one network.
fn around_convolution((pad, span): (Static, Span)) -> (Static, Span) {
    match pad {
        Static::Padding(Padding::Zeros) => (Static::Padding(Padding::Same), span),
        Static::Padding(Padding::Same | Padding::Valid)
        | Static::Int(_)
        | Static::Bool(_)
        | Static::Pair(_)
        | Static::Full => (pad, span),
    }
}
