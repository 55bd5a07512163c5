//! What a plan becomes on a card, as data: launches of kernels and matrix products, with what they read and
//! write as ranges of the memories that a pass has.

use crate::device::Precision;
use crate::graph::Window;

/// A memory that commands point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Values and gradients, where the plan places them.
    Arena,
    /// Means and inverse deviations of batch normalizations.
    Fixed,
    /// Values that one step needs for itself: gathered windows, results that are not normalized yet.
    ScratchValues,
    /// Other numbers that one step needs for itself: partial sums, winners.
    Scratch,
    /// What is drawn at random for the pass, see [`Draw`](super::Draw).
    Draws,
    /// The flat store of parameters.
    Params,
    /// The parameters as products read them in bf16. In other precisions it is empty, and they read [`Place::Params`].
    RoundedParams,
    /// Their gradients.
    Gradients,
    /// The running statistics.
    Statistics,
    /// The images, `[N, C, H, W]`.
    Image,
    /// Their gradients.
    ImageGradient,
    /// The logits, `[N, classes]`.
    Logits,
    /// Their gradients.
    LogitsGradient,
    /// The auxiliary logits, `[N, classes]`.
    Aux,
    /// Their gradients.
    AuxGradient,
    /// The label of each image, `[N]`, in training.
    Labels,
    /// What a training step finds out.
    Report,
    /// What a training step's number comes to.
    Scalars,
    /// The weight decay of each parameter, -1 for frozen ones.
    Factors,
    /// What the optimizer remembers.
    States,
    /// The averages of the parameters.
    AverageParams,
    /// The averages of the running statistics.
    AverageStatistics,
    /// What the next training step begins with.
    Staging,
}

impl Place {
    /// All of them, in order.
    pub const ALL: [Place; 23] = [
        Place::Arena,
        Place::Fixed,
        Place::ScratchValues,
        Place::Scratch,
        Place::Draws,
        Place::Params,
        Place::RoundedParams,
        Place::Gradients,
        Place::Statistics,
        Place::Image,
        Place::ImageGradient,
        Place::Logits,
        Place::LogitsGradient,
        Place::Aux,
        Place::AuxGradient,
        Place::Labels,
        Place::Report,
        Place::Scalars,
        Place::Factors,
        Place::States,
        Place::AverageParams,
        Place::AverageStatistics,
        Place::Staging,
    ];

    /// Whether what lies there is stored as the precision says. Everything else is of 32 bits, or of two such words.
    pub fn holds_values(self) -> bool {
        matches!(self, Place::Arena | Place::ScratchValues | Place::RoundedParams)
    }

    /// Bytes of one number.
    pub fn number_bytes(self, precision: Precision) -> usize {
        if self.holds_values() { precision.value_bytes() } else { size_of::<f32>() }
    }
}

/// A range of numbers of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// The memory.
    pub place: Place,
    /// First number.
    pub start: usize,
    /// How many.
    pub len: usize,
}

impl Region {
    /// A part of it.
    ///
    /// # Panics
    /// If it is not inside.
    pub fn part(self, start: usize, len: usize) -> Region {
        assert!(start + len <= self.len, "a part of a region lies inside of it");
        Region { start: self.start + start, len, ..self }
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg {
    /// The address of a region, or null.
    Region(Option<Region>),
    /// `int`
    Int(i32),
    /// `unsigned int`
    Word(u32),
    /// `size_t`
    Len(u64),
    /// `float`
    Float(f32),
    /// `struct Window`
    Window(Window),
}

impl From<Region> for Arg {
    fn from(region: Region) -> Arg {
        Arg::Region(Some(region))
    }
}

impl From<Option<Region>> for Arg {
    fn from(region: Option<Region>) -> Arg {
        Arg::Region(region)
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Arg {
        Arg::Int(int(number))
    }
}

impl From<bool> for Arg {
    fn from(flag: bool) -> Arg {
        Arg::Int(flag.into())
    }
}

impl From<u32> for Arg {
    fn from(word: u32) -> Arg {
        Arg::Word(word)
    }
}

impl From<u64> for Arg {
    fn from(len: u64) -> Arg {
        Arg::Len(len)
    }
}

impl From<f32> for Arg {
    fn from(number: f32) -> Arg {
        Arg::Float(number)
    }
}

impl From<&Window> for Arg {
    fn from(window: &Window) -> Arg {
        Arg::Window(*window)
    }
}

/// A size as CUDA and cuBLAS take it. What has 2^31 numbers in one channel, or as many channels, fits no card.
pub(super) fn int(number: usize) -> i32 {
    i32::try_from(number).expect("sizes of a channel and numbers of channels fit 31 bits")
}

/// The fields of `struct Window` in the kernels' prelude, in their order.
pub fn window_fields(w: &Window) -> [i32; 13] {
    let pairs =
        [w.kernel, w.stride, w.dilation, w.pad, w.input, w.output].map(|pair| pair.map(int));
    let [[a, b], [c, d], [e, f], [g, h], [i, j], [k, l]] = pairs;
    [a, b, c, d, e, f, g, h, i, j, k, l, i32::from(w.zeros)]
}

/// A launch of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Blocks along x and y.
    pub grid: [u32; 2],
    /// Threads of a block along x and y.
    pub block: [u32; 2],
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
    /// The arguments, in order.
    pub args: Vec<Arg>,
}

/// A side of a product, row by row; of several products, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Where it lies, all products together.
    pub region: Region,
    /// Numbers from one row to the next.
    pub row: usize,
    /// True if what lies there is the transposed side.
    pub transposed: bool,
    /// Numbers from one product's side to the next one's.
    pub stride: usize,
}

/// `c = a b`, or `c += a b`, `batch` times: of `[m, k]` by `[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "explained together above")]
pub struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub batch: usize,
    pub a: Matrix,
    pub b: Matrix,
    pub c: Matrix,
    pub accumulate: bool,
}

/// One thing that a card is told to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A kernel of ours.
    Launch(Launch),
    /// A matrix product, cuBLAS's.
    Product(Product),
}

impl Command {
    /// The memory that it reads and writes.
    pub fn regions(&self) -> Vec<Region> {
        match self {
            Command::Launch(launch) => {
                let region = |arg: &Arg| match *arg {
                    Arg::Region(region) => region,
                    Arg::Int(_) | Arg::Word(_) | Arg::Len(_) | Arg::Float(_) | Arg::Window(_) => {
                        None
                    }
                };
                launch.args.iter().filter_map(region).collect()
            }
            Command::Product(product) => {
                [product.a, product.b, product.c].map(|side| side.region).into()
            }
        }
    }
}
