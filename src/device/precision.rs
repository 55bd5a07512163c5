//! In what numbers a card computes.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// In what numbers a card computes and keeps maps. The processor takes no notice: it is in single precision.
///
/// Parameters and their gradients, running statistics, what the optimizer remembers, averages, images, logits and the
/// loss are in single precision whatever is chosen, and so is all arithmetic; sums over batches are in double
/// precision.
///
/// # Loss scaling
/// None is needed. Half precision (fp16) needs it since it has 5 bits of exponent, and gradients below 2^-24 become 0.
/// TF32 and bf16 have the 8 bits of single precision: what is a number there is one here, down to 2^-126, and what is
/// lost is digits, which no factor brings back.
///
/// # Examples
/// ```
/// use cellc::device::Precision;
///
/// assert_eq!("bf16".parse::<Precision>()?, Precision::Bf16);
/// assert_eq!(Precision::default().to_string(), "f32");
/// assert!("fp16".parse::<Precision>().is_err());
/// # Ok::<(), cellc::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// `f32`: single precision, 23 bits of mantissa.
    #[default]
    F32,
    /// `tf32`: matrix products, and so dense layers and all convolutions but depthwise ones, on the tensor cores of
    /// Ampere and later: their factors are rounded from 23 bits of mantissa to 10, sums keep 23. Results differ from
    /// the processor's in the third digit instead of the sixth. Older cards round nothing.
    ///
    /// # Source
    /// `CUBLAS_COMPUTE_32F_FAST_TF32` in the documentation of cuBLAS; `torch.backends.cuda.matmul.allow_tf32`.
    Tf32,
    /// `bf16`: maps and their gradients are stored with 7 bits of mantissa, in half the memory, and matrix products
    /// read them, and parameters rounded likewise, on the tensor cores of Ampere and later; their sums keep 23.
    /// Results differ from the processor's in the second or third digit. Older cards cannot.
    ///
    /// # Source
    /// D. Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, 2019, which trains without loss scaling.
    Bf16,
}

impl Precision {
    /// Bytes of one number of a map or of its gradient.
    pub fn value_bytes(self) -> usize {
        match self {
            Precision::F32 | Precision::Tf32 => 4,
            Precision::Bf16 => 2,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = [Precision::F32, Precision::Tf32, Precision::Bf16];
        known.into_iter().find(|precision| precision.to_string() == text).ok_or_else(|| {
            Error::Config {
                setting: "precision",
                value: text.into(),
                reason: "expected `f32`, `tf32` or `bf16`".into(),
            }
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        })
    }
}
