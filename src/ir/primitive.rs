//! The operations that text cannot define: what a kernel exists for.
//!
//! To add one: a variant here, a variant of [`graph::Op`](crate::graph::Op), and a kernel; the
//! compiler's exhaustive matches name every other place.

/// A built-in operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Primitive {
    /// `conv<k, s = 1, out = c, pad = same, d = 1, groups = 1>`
    Conv,
    /// `dwconv<k, s = 1, pad = same, d = 1>`
    DepthwiseConv,
    /// `bn`
    BatchNorm,
    /// `layernorm`
    LayerNorm,
    /// `instancenorm`
    InstanceNorm,
    /// `relu`
    Relu,
    /// `relu6`
    Relu6,
    /// `sigmoid`
    Sigmoid,
    /// `maxpool<k, s = 1, pad = same>`
    MaxPool,
    /// `avgpool<k, s = 1, pad = same>`
    AvgPool,
    /// `gap`
    GlobalAvgPool,
    /// `dense<out, bias = true>`
    Dense,
    /// `dropout`
    Dropout,
    /// `shift`
    Shift,
    /// `shuffle<g>`
    Shuffle,
    /// `slice<start, count>`
    Slice,
    /// `zero<s = 1>`
    Zero,
    /// `concat(x, y, ...)`
    Concat,
    /// `mul(x, y)`
    Mul,
    /// `mix(x, y)`
    Mix,
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
    /// `true`.
    True,
}

const KERNEL: AttrSpec = AttrSpec { name: "k", default: AttrDefault::Required };
const STRIDE: AttrSpec = AttrSpec { name: "s", default: AttrDefault::One };
const OUT: AttrSpec = AttrSpec { name: "out", default: AttrDefault::Width };
const PAD: AttrSpec = AttrSpec { name: "pad", default: AttrDefault::Same };
const DILATION: AttrSpec = AttrSpec { name: "d", default: AttrDefault::One };
const GROUPS: AttrSpec = AttrSpec { name: "groups", default: AttrDefault::One };
const FEATURES: AttrSpec = AttrSpec { name: "out", default: AttrDefault::Required };
const BIAS: AttrSpec = AttrSpec { name: "bias", default: AttrDefault::True };
const SHUFFLED: AttrSpec = AttrSpec { name: "g", default: AttrDefault::Required };
const START: AttrSpec = AttrSpec { name: "start", default: AttrDefault::Required };
const COUNT: AttrSpec = AttrSpec { name: "count", default: AttrDefault::Required };

impl Primitive {
    /// Every primitive.
    pub const ALL: [Primitive; 20] = [
        Primitive::Conv,
        Primitive::DepthwiseConv,
        Primitive::BatchNorm,
        Primitive::LayerNorm,
        Primitive::InstanceNorm,
        Primitive::Relu,
        Primitive::Relu6,
        Primitive::Sigmoid,
        Primitive::MaxPool,
        Primitive::AvgPool,
        Primitive::GlobalAvgPool,
        Primitive::Dense,
        Primitive::Dropout,
        Primitive::Shift,
        Primitive::Shuffle,
        Primitive::Slice,
        Primitive::Zero,
        Primitive::Concat,
        Primitive::Mul,
        Primitive::Mix,
    ];

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Primitive::Conv => "conv",
            Primitive::DepthwiseConv => "dwconv",
            Primitive::BatchNorm => "bn",
            Primitive::LayerNorm => "layernorm",
            Primitive::InstanceNorm => "instancenorm",
            Primitive::Relu => "relu",
            Primitive::Relu6 => "relu6",
            Primitive::Sigmoid => "sigmoid",
            Primitive::MaxPool => "maxpool",
            Primitive::AvgPool => "avgpool",
            Primitive::GlobalAvgPool => "gap",
            Primitive::Dense => "dense",
            Primitive::Dropout => "dropout",
            Primitive::Shift => "shift",
            Primitive::Shuffle => "shuffle",
            Primitive::Slice => "slice",
            Primitive::Zero => "zero",
            Primitive::Concat => "concat",
            Primitive::Mul => "mul",
            Primitive::Mix => "mix",
        }
    }

    /// The primitive of this name.
    pub fn of(name: &str) -> Option<Primitive> {
        Primitive::ALL.into_iter().find(|primitive| primitive.name() == name)
    }

    /// Its attributes in positional order.
    pub fn attrs(self) -> &'static [AttrSpec] {
        match self {
            Primitive::Conv => &[KERNEL, STRIDE, OUT, PAD, DILATION, GROUPS],
            Primitive::DepthwiseConv => &[KERNEL, STRIDE, PAD, DILATION],
            Primitive::MaxPool | Primitive::AvgPool => &[KERNEL, STRIDE, PAD],
            Primitive::Dense => &[FEATURES, BIAS],
            Primitive::Shuffle => &[SHUFFLED],
            Primitive::Slice => &[START, COUNT],
            Primitive::Zero => &[STRIDE],
            Primitive::BatchNorm
            | Primitive::LayerNorm
            | Primitive::InstanceNorm
            | Primitive::Relu
            | Primitive::Relu6
            | Primitive::Sigmoid
            | Primitive::GlobalAvgPool
            | Primitive::Dropout
            | Primitive::Shift
            | Primitive::Concat
            | Primitive::Mul
            | Primitive::Mix => &[],
        }
    }

    /// The fewest and the most tensor arguments it takes.
    pub fn arity(self) -> (usize, usize) {
        match self {
            Primitive::Concat => (1, usize::MAX),
            Primitive::Mul | Primitive::Mix => (2, 2),
            Primitive::Conv
            | Primitive::DepthwiseConv
            | Primitive::BatchNorm
            | Primitive::LayerNorm
            | Primitive::InstanceNorm
            | Primitive::Relu
            | Primitive::Relu6
            | Primitive::Sigmoid
            | Primitive::MaxPool
            | Primitive::AvgPool
            | Primitive::GlobalAvgPool
            | Primitive::Dense
            | Primitive::Dropout
            | Primitive::Shift
            | Primitive::Shuffle
            | Primitive::Slice
            | Primitive::Zero => (1, 1),
        }
    }
}
