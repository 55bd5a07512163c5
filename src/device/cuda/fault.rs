//! What can be wrong with a card, its driver or CUDA.

/// Why a card cannot be used, or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaFault {
    /// The driver's library is missing.
    #[error(
        "no NVIDIA driver is installed: libcuda is not found; use `--device cpu` or install the driver"
    )]
    NoDriver,
    /// There is a driver, but it finds no card.
    #[error("the NVIDIA driver finds no card (code {code}); use `--device cpu`")]
    NoCard {
        /// What the driver said.
        code: u32,
    },
    /// A card of that number does not exist.
    #[error("there is no cuda:{card}: the driver finds {count}, counted from 0")]
    NoSuchCard {
        /// The number asked for.
        card: usize,
        /// How many there are.
        count: usize,
    },
    /// A library of CUDA is missing.
    #[error(
        "CUDA is not installed: {library} is not found beside the driver; install CUDA 12 or 13, or put its \
         libraries on the loader's path"
    )]
    NoCuda {
        /// The library.
        library: &'static str,
    },
    /// NCCL is missing, which several cards need.
    #[error(
        "NCCL is not installed: there is no libnccl.so where the loader looks, and several cards that train together \
         need it; install its development package, or link that name to its libnccl.so.2"
    )]
    NoNccl,
    /// The driver is older than the compiler whose code it would have to take, or than what is called of it.
    #[error(
        "the NVIDIA driver is too old: it runs CUDA {}.{}, and {}.{} is needed; update the driver",
        driver[0], driver[1], needed[0], needed[1]
    )]
    DriverTooOld {
        /// Version of CUDA that the driver runs.
        driver: [u32; 2],
        /// Version of NVRTC, or the oldest that has graphs as they are used here.
        needed: [u32; 2],
    },
    /// The card is older than Ampere, whose products are the first of bf16.
    #[error(
        "bf16 needs a card of compute capability 8.0 or later, and this one has {}.{}; use `--precision f32`",
        capability / 10, capability % 10
    )]
    NoBf16 {
        /// Compute capability without its dot.
        capability: u32,
    },
    /// The kernels do not compile.
    #[error("the CUDA kernels do not compile for sm_{arch}: {log}")]
    Compile {
        /// Compute capability without its dot.
        arch: u32,
        /// What the compiler said.
        log: String,
    },
    /// The card's memory is too small.
    #[error("the card has no {} MiB of memory left; use a smaller batch", bytes >> 20)]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A call failed for another reason.
    #[error("the card failed: {call} gave code {code}")]
    Failed {
        /// The call.
        call: &'static str,
        /// Its code.
        code: u32,
    },
}
