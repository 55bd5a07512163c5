//! The operations that text cannot define: what a kernel exists for.
//!
//! To add one: a variant here, a variant of [`graph::Op`](crate::graph::Op), and a kernel; the
//! compiler's exhaustive matches name every other place.

/// A built-in operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Primitive {
    /// `conv<k, s = 1, out = c, pad = same, d = 1>`
    Conv,
    /// `dwconv<k, s = 1, pad = same, d = 1>`
    DepthwiseConv,
    /// `bn`
    BatchNorm,
    /// `relu`
    Relu,
    /// `sigmoid`
    Sigmoid,
    /// `maxpool<k, s = 1, pad = same>`
    MaxPool,
    /// `avgpool<k, s = 1, pad = same>`
    AvgPool,
    /// `gap`
    GlobalAvgPool,
    /// `dense<out>`
    Dense,
    /// `dropout`
    Dropout,
    /// `shift`
    Shift,
    /// `concat(x, y, ...)`
    Concat,
    /// `mul(x, y)`
    Mul,
}

/// An attribute of a primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrSpec {
    /// Its name.
    pub name: &'static str,
    /// Its value where a use gives none.
    pub default: AttrDefault,
}

/// What an attribute is where a use gives no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrDefault {
    /// It must be given.
    Required,
    /// 1.
    One,
    /// The width `c`.
    Width,
    /// `same`.
    Same,
}

const KERNEL: AttrSpec = AttrSpec { name: "k", default: AttrDefault::Required };
const STRIDE: AttrSpec = AttrSpec { name: "s", default: AttrDefault::One };
const OUT: AttrSpec = AttrSpec { name: "out", default: AttrDefault::Width };
const PAD: AttrSpec = AttrSpec { name: "pad", default: AttrDefault::Same };
const DILATION: AttrSpec = AttrSpec { name: "d", default: AttrDefault::One };
const FEATURES: AttrSpec = AttrSpec { name: "out", default: AttrDefault::Required };

impl Primitive {
    /// Every primitive.
    pub const ALL: [Primitive; 13] = [
        Primitive::Conv,
        Primitive::DepthwiseConv,
        Primitive::BatchNorm,
        Primitive::Relu,
        Primitive::Sigmoid,
        Primitive::MaxPool,
        Primitive::AvgPool,
        Primitive::GlobalAvgPool,
        Primitive::Dense,
        Primitive::Dropout,
        Primitive::Shift,
        Primitive::Concat,
        Primitive::Mul,
    ];

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Primitive::Conv => "conv",
            Primitive::DepthwiseConv => "dwconv",
            Primitive::BatchNorm => "bn",
            Primitive::Relu => "relu",
            Primitive::Sigmoid => "sigmoid",
            Primitive::MaxPool => "maxpool",
            Primitive::AvgPool => "avgpool",
            Primitive::GlobalAvgPool => "gap",
            Primitive::Dense => "dense",
            Primitive::Dropout => "dropout",
            Primitive::Shift => "shift",
            Primitive::Concat => "concat",
            Primitive::Mul => "mul",
        }
    }

    /// The primitive of this name.
    pub fn of(name: &str) -> Option<Primitive> {
        Primitive::ALL.into_iter().find(|primitive| primitive.name() == name)
    }

    /// Its attributes in positional order.
    pub fn attrs(self) -> &'static [AttrSpec] {
        match self {
            Primitive::Conv => &[KERNEL, STRIDE, OUT, PAD, DILATION],
            Primitive::DepthwiseConv => &[KERNEL, STRIDE, PAD, DILATION],
            Primitive::MaxPool | Primitive::AvgPool => &[KERNEL, STRIDE, PAD],
            Primitive::Dense => &[FEATURES],
            Primitive::BatchNorm
            | Primitive::Relu
            | Primitive::Sigmoid
            | Primitive::GlobalAvgPool
            | Primitive::Dropout
            | Primitive::Shift
            | Primitive::Concat
            | Primitive::Mul => &[],
        }
    }

    /// The fewest and the most tensor arguments it takes.
    pub fn arity(self) -> (usize, usize) {
        match self {
            Primitive::Concat => (1, usize::MAX),
            Primitive::Mul => (2, 2),
            Primitive::Conv
            | Primitive::DepthwiseConv
            | Primitive::BatchNorm
            | Primitive::Relu
            | Primitive::Sigmoid
            | Primitive::MaxPool
            | Primitive::AvgPool
            | Primitive::GlobalAvgPool
            | Primitive::Dense
            | Primitive::Dropout
            | Primitive::Shift => (1, 1),
        }
    }
}
