//! The names by which a user calls data sets.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// `cifar100:DIR`: CIFAR-100 in its binary layout, with its 100 fine classes.
    Cifar100(PathBuf),
    /// `idx:DIR`: MNIST, Fashion-MNIST or another set under MNIST's file names.
    Idx(PathBuf),
    /// `folder:DIR`: PNG and JPEG files in folders named by their class, as `ImageNet` has them.
    Folder(PathBuf),
    /// `parquet:DIR` or `parquet:FILE,FILE`: images in Parquet files, as Hugging Face ships them. A
    /// path has no comma.
    Parquet(Vec<PathBuf>),
}

impl DataSpec {
    /// The word before the place, such as `cifar10`.
    pub fn kind(&self) -> &'static str {
        match self {
            DataSpec::Digits => "digits",
            DataSpec::Cifar10(_) => "cifar10",
            DataSpec::Cifar100(_) => "cifar100",
            DataSpec::Idx(_) => "idx",
            DataSpec::Folder(_) => "folder",
            DataSpec::Parquet(_) => "parquet",
        }
    }

    /// The largest value of a pixel: 255 but for the digits, which have 16 shades and none.
    pub fn largest_pixel(&self) -> u8 {
        match self {
            DataSpec::Digits => 16,
            DataSpec::Cifar10(_)
            | DataSpec::Cifar100(_)
            | DataSpec::Idx(_)
            | DataSpec::Folder(_)
            | DataSpec::Parquet(_) => 255,
        }
    }

    /// True if the images may have any size, so that they can be resized to a wanted one.
    pub fn is_resizable(&self) -> bool {
        match self {
            DataSpec::Digits | DataSpec::Cifar10(_) | DataSpec::Cifar100(_) | DataSpec::Idx(_) => {
                false
            }
            DataSpec::Folder(_) | DataSpec::Parquet(_) => true,
        }
    }
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
            ("cifar100", dir) => Ok(DataSpec::Cifar100(dir.into())),
            ("idx", dir) => Ok(DataSpec::Idx(dir.into())),
            ("folder", dir) => Ok(DataSpec::Folder(dir.into())),
            ("parquet", paths) if paths.split(',').all(|path| !path.is_empty()) => {
                Ok(DataSpec::Parquet(paths.split(',').map(PathBuf::from).collect()))
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            DataSpec::Digits => Ok(()),
            DataSpec::Cifar10(dir)
            | DataSpec::Cifar100(dir)
            | DataSpec::Idx(dir)
            | DataSpec::Folder(dir) => write!(f, ":{}", dir.display()),
            DataSpec::Parquet(paths) => {
                for (index, path) in paths.iter().enumerate() {
                    let separator = if index == 0 { ':' } else { ',' };
                    write!(f, "{separator}{}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_round_trip() {
        for text in [
            "digits",
            "cifar10:some/dir",
            "cifar100:c",
            "idx:/a:b",
            "idx:.",
            "folder:a,b",
            "parquet:dir",
            "parquet:a/train-0.parquet,b/test-0.parquet",
        ] {
            let spec: DataSpec = text.parse().expect("a known form");
            assert_eq!(spec.to_string(), text);
            assert!(text.starts_with(spec.kind()));
        }
        for text in [
            "",
            "digit",
            "digits:",
            "digits:x",
            "cifar10",
            "cifar10:",
            "CIFAR10:x",
            ":x",
            "folder",
            "folder:",
            "parquet:",
            "parquet:,",
            "parquet:a,,b",
            "parquet:a,",
        ] {
            let error = text.parse::<DataSpec>().expect_err("not a known form");
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
