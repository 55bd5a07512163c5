//! Several devices at a time.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "cuda")]
use super::cuda::Cuda;
use super::{AnyDevice, CardOptions, DeviceSpec};
use crate::error::Error;

/// What the user asks for: `cpu`, `cuda` for all cards, `auto` for all cards or the processor where there is none that
/// can be used, or some cards, `cuda:0,cuda:2`.
///
/// # Examples
/// ```
/// use cellc::device::{DeviceList, DeviceSpec};
///
/// assert_eq!("cuda".parse::<DeviceList>()?, DeviceList::AllCards);
/// let two = DeviceList::Some(vec![DeviceSpec::Cuda(0), DeviceSpec::Cuda(2)]);
/// assert_eq!("cuda:0,cuda:2".parse::<DeviceList>()?, two);
/// assert_eq!(two.to_string(), "cuda:0,cuda:2");
/// assert!("cpu,cuda:0".parse::<DeviceList>().is_err());
/// # Ok::<(), cellc::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceList {
    /// All cards, or the processor where there is none that can be used.
    Auto,
    /// All cards.
    AllCards,
    /// The processor, or some cards.
    Some(Vec<DeviceSpec>),
}

impl FromStr for DeviceList {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => return Ok(DeviceList::Auto),
            "cuda" => return Ok(DeviceList::AllCards),
            _ => {}
        }
        let specs = text.split(',').map(str::parse).collect::<Result<Vec<DeviceSpec>, Error>>()?;
        let is_card = |(index, spec): (usize, &DeviceSpec)| {
            matches!(spec, DeviceSpec::Cuda(_)) && !specs[..index].contains(spec)
        };
        if specs != [DeviceSpec::Cpu] && !specs.iter().enumerate().all(is_card) {
            return Err(Error::Config {
                setting: "device",
                value: text.into(),
                reason: "expected `auto`, `cpu`, `cuda` for all cards, or different cards such as \
                         `cuda:0,cuda:1`"
                    .into(),
            });
        }
        Ok(DeviceList::Some(specs))
    }
}

impl fmt::Display for DeviceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceList::Auto => f.write_str("auto"),
            DeviceList::AllCards => f.write_str("cuda"),
            DeviceList::Some(specs) => {
                let specs: Vec<String> = specs.iter().map(DeviceSpec::to_string).collect();
                f.write_str(&specs.join(","))
            }
        }
    }
}

impl DeviceList {
    /// The devices, at least one.
    ///
    /// # Errors
    /// As [`AnyDevice::open`].
    ///
    /// # Cost
    /// As [`AnyDevice::open`], for each.
    pub fn open(&self, options: CardOptions) -> Result<Vec<AnyDevice>, Error> {
        match self {
            DeviceList::Auto => {
                Ok(all_cards(options).unwrap_or_else(|_| vec![AnyDevice::default()]))
            }
            DeviceList::AllCards => all_cards(options),
            DeviceList::Some(specs) => {
                specs.iter().map(|&spec| AnyDevice::open_with(spec, options)).collect()
            }
        }
    }
}

#[cfg(feature = "cuda")]
fn all_cards(options: CardOptions) -> Result<Vec<AnyDevice>, Error> {
    let cards = 0..Cuda::count()?;
    cards.map(|card| AnyDevice::open_with(DeviceSpec::Cuda(card), options)).collect()
}

#[cfg(not(feature = "cuda"))]
fn all_cards(options: CardOptions) -> Result<Vec<AnyDevice>, Error> {
    // It says why there are none.
    AnyDevice::open_with(DeviceSpec::Cuda(0), options).map(|device| vec![device])
}
