//! Data sets of labelled images, whole in memory.
//!
//! [`load`] takes a [`DataSpec`] such as `cifar10:DIR` and gives a [`Dataset`]: training and test
//! [`Images`] as bytes `[N, C, H, W]` with a label each, and what [`Batches`] needs to turn them into
//! whitened `f32` batches. [`split()`] takes validation images away from the training images.
//!
//! Files come from outside and are not trusted: sizes are checked against the layout before anything
//! is stored, and whatever is wrong comes back as one [`Error::Data`] that names the file.

mod batches;
mod cifar10;
mod digits;
mod file;
mod idx;
mod images;
mod split;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use batches::{Augment, Batch, Batches};
pub use images::{Images, Whitening};
pub use split::{HoldOut, Split, split};

use crate::error::Error;

/// Which data set, and where its files are.
///
/// # Examples
/// ```
/// use cellc::data::DataSpec;
/// let spec: DataSpec = "cifar10:data/cifar-10-batches-bin".parse()?;
/// assert_eq!(spec, DataSpec::Cifar10("data/cifar-10-batches-bin".into()));
/// assert_eq!(spec.to_string(), "cifar10:data/cifar-10-batches-bin");
/// # Ok::<(), cellc::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSpec {
    /// `digits`: 1,797 handwritten digits of 8x8 pixels, part of the program.
    Digits,
    /// `cifar10:DIR`: CIFAR-10 in its binary layout.
    Cifar10(PathBuf),
    /// `idx:DIR`: MNIST, Fashion-MNIST or another set under MNIST's file names.
    Idx(PathBuf),
}

impl FromStr for DataSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownDataSet { spec: text.into() };
        if text == "digits" {
            return Ok(DataSpec::Digits);
        }
        match text.split_once(':').ok_or_else(unknown)? {
            (_, "") => Err(unknown()),
            ("cifar10", dir) => Ok(DataSpec::Cifar10(dir.into())),
            ("idx", dir) => Ok(DataSpec::Idx(dir.into())),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataSpec::Digits => f.write_str("digits"),
            DataSpec::Cifar10(dir) => write!(f, "cifar10:{}", dir.display()),
            DataSpec::Idx(dir) => write!(f, "idx:{}", dir.display()),
        }
    }
}

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name without a place: `digits`, `cifar10` or `idx`.
    pub name: &'static str,
    /// Images to learn from.
    pub train: Images,
    /// Images for the final test; of the same shape as the training images.
    pub test: Images,
    /// Number of classes; every label is below it.
    pub classes: usize,
    /// Mean and deviation of the training images.
    pub whitening: Whitening,
    /// The augmentation that is usual for this data set.
    pub augment: Augment,
}

/// Reads a data set.
///
/// # Errors
/// [`Error::Data`] names the file that is missing or malformed and says what is wrong with it;
/// [`Error::Read`] if the system refuses to read one.
pub fn load(spec: &DataSpec) -> Result<Dataset, Error> {
    let (name, [train, test], classes, augment) = match spec {
        DataSpec::Digits => ("digits", digits::load(), digits::CLASSES, Augment::NONE),
        DataSpec::Cifar10(dir) => {
            ("cifar10", cifar10::load(dir)?, cifar10::CLASSES, Augment::CROP_AND_FLIP)
        }
        DataSpec::Idx(dir) => {
            let (images, classes) = idx::load(dir)?;
            ("idx", images, classes, Augment::NONE)
        }
    };
    let whitening = Whitening::of(&train);
    Ok(Dataset { name, train, test, classes, whitening, augment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_round_trip() {
        for text in ["digits", "cifar10:some/dir", "idx:/a:b", "idx:."] {
            let spec: DataSpec = text.parse().expect("a known form");
            assert_eq!(spec.to_string(), text);
        }
        for text in ["", "digit", "digits:", "digits:x", "cifar10", "cifar10:", "CIFAR10:x", ":x"] {
            let error = text.parse::<DataSpec>().expect_err("not a known form");
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
