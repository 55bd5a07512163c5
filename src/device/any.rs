//! A device that is chosen at run time.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "cuda")]
use super::cuda::{Cuda, CudaWorkspace};
use super::{BackwardPass, Cpu, CpuWorkspace, Device, ForwardPass, Precision, RunConfig};
use crate::error::Error;
use crate::plan::Plan;

/// What the user asks for: `auto`, `cpu`, `cuda` or `cuda:N`.
///
/// # Examples
/// ```
/// use cellc::device::DeviceSpec;
///
/// assert_eq!("cuda".parse::<DeviceSpec>()?, DeviceSpec::Cuda(0));
/// assert_eq!(DeviceSpec::Cuda(1).to_string(), "cuda:1");
/// assert!("gpu".parse::<DeviceSpec>().is_err());
/// # Ok::<(), cellc::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The first card, or the processor where there is none that can be used.
    Auto,
    /// The processor.
    Cpu,
    /// A card by its number.
    Cuda(usize),
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let card = |number: &str| number.parse().ok().map(DeviceSpec::Cuda);
        let spec = match text {
            "auto" => Some(DeviceSpec::Auto),
            "cpu" => Some(DeviceSpec::Cpu),
            "cuda" => Some(DeviceSpec::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(card),
        };
        spec.ok_or_else(|| Error::Config {
            setting: "device",
            value: text.into(),
            reason: "expected `auto`, `cpu`, `cuda` or a card such as `cuda:1`".into(),
        })
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Auto => f.write_str("auto"),
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(card) => write!(f, "cuda:{card}"),
        }
    }
}

/// How cards compute. The processor takes no notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardOptions {
    /// In what numbers.
    pub precision: Precision,
}

/// The processor or a card.
#[derive(Clone, Debug)]
pub enum AnyDevice {
    /// The processor.
    Cpu(Cpu),
    /// A card.
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

impl AnyDevice {
    /// The device that is asked for.
    ///
    /// # Errors
    /// [`Error::Cuda`] if a card is asked for by its number and cannot be used; [`Error::Config`] if this program
    /// knows no cards.
    ///
    /// # Cost
    /// The first use of a card by a version of this program compiles the kernels.
    pub fn open(spec: DeviceSpec) -> Result<AnyDevice, Error> {
        AnyDevice::open_with(spec, CardOptions::default())
    }

    /// As [`open`](Self::open), with options for a card.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(spec: DeviceSpec, options: CardOptions) -> Result<AnyDevice, Error> {
        match spec {
            DeviceSpec::Auto => Ok(AnyDevice::cuda(0, options).unwrap_or_default()),
            DeviceSpec::Cpu => Ok(AnyDevice::default()),
            DeviceSpec::Cuda(card) => AnyDevice::cuda(card, options),
        }
    }

    /// Devices that train together, each an equal part of every batch.
    ///
    /// # Errors
    /// [`Error::Config`] for several that are not all cards; those of `Cuda::together`.
    ///
    /// # Panics
    /// If there are none.
    pub fn together(mut devices: Vec<AnyDevice>) -> Result<AnyDevice, Error> {
        if devices.len() == 1 {
            return Ok(devices.remove(0));
        }
        AnyDevice::group(devices)
    }

    #[cfg(feature = "cuda")]
    fn group(devices: Vec<AnyDevice>) -> Result<AnyDevice, Error> {
        let card = |device| match device {
            AnyDevice::Cuda(cuda) => Ok(cuda),
            AnyDevice::Cpu(_) => Err(not_together()),
        };
        let cards = devices.into_iter().map(card).collect::<Result<_, _>>()?;
        Ok(AnyDevice::Cuda(Cuda::together(cards)?))
    }

    #[cfg(not(feature = "cuda"))]
    fn group(_: Vec<AnyDevice>) -> Result<AnyDevice, Error> {
        Err(not_together())
    }

    /// Into how many equal parts training divides a batch.
    pub fn parts(&self) -> usize {
        match self {
            AnyDevice::Cpu(_) => 1,
            #[cfg(feature = "cuda")]
            AnyDevice::Cuda(cuda) => cuda.cards(),
        }
    }

    /// In what numbers it computes.
    pub fn precision(&self) -> Precision {
        match self {
            AnyDevice::Cpu(_) => Precision::F32,
            #[cfg(feature = "cuda")]
            AnyDevice::Cuda(cuda) => cuda.precision(),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda(card: usize, options: CardOptions) -> Result<AnyDevice, Error> {
        Ok(AnyDevice::Cuda(Cuda::open_with(card, options)?))
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(card: usize, _: CardOptions) -> Result<AnyDevice, Error> {
        Err(Error::Config {
            setting: "device",
            value: DeviceSpec::Cuda(card).to_string(),
            reason: "this program was built without the feature `cuda`".into(),
        })
    }
}

fn not_together() -> Error {
    Error::Config {
        setting: "devices",
        value: "the processor beside others".into(),
        reason: "only cards train together".into(),
    }
}

impl Default for AnyDevice {
    fn default() -> Self {
        AnyDevice::Cpu(Cpu::default())
    }
}

impl From<Cpu> for AnyDevice {
    fn from(cpu: Cpu) -> Self {
        AnyDevice::Cpu(cpu)
    }
}

#[cfg(feature = "cuda")]
impl From<Cuda> for AnyDevice {
    fn from(cuda: Cuda) -> Self {
        AnyDevice::Cuda(cuda)
    }
}

impl fmt::Display for AnyDevice {
    /// As [`DeviceSpec`] spells it, a card with its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyDevice::Cpu(_) => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            AnyDevice::Cuda(cuda) => write!(f, "{cuda}"),
        }
    }
}

/// Memory of a run on [`AnyDevice`]; it becomes that of a device when it is prepared for it.
#[derive(Debug)]
pub enum AnyWorkspace {
    /// Of the processor.
    Cpu(CpuWorkspace),
    /// Of a card.
    #[cfg(feature = "cuda")]
    Cuda(Box<CudaWorkspace>),
}

impl Default for AnyWorkspace {
    fn default() -> Self {
        AnyWorkspace::Cpu(CpuWorkspace::default())
    }
}

impl AnyWorkspace {
    fn cpu(&mut self) -> &mut CpuWorkspace {
        #[cfg(feature = "cuda")]
        if !matches!(self, AnyWorkspace::Cpu(_)) {
            *self = AnyWorkspace::default();
        }
        match self {
            AnyWorkspace::Cpu(workspace) => workspace,
            #[cfg(feature = "cuda")]
            AnyWorkspace::Cuda(_) => unreachable!("made the processor's above"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda(&mut self) -> &mut CudaWorkspace {
        if !matches!(self, AnyWorkspace::Cuda(_)) {
            *self = AnyWorkspace::Cuda(Box::default());
        }
        match self {
            AnyWorkspace::Cuda(workspace) => workspace,
            AnyWorkspace::Cpu(_) => unreachable!("made a card's above"),
        }
    }
}

impl Device for AnyDevice {
    type Workspace = AnyWorkspace;
    type Error = Error;

    fn prepare(
        &self,
        plan: &Plan,
        batch: usize,
        workspace: &mut AnyWorkspace,
    ) -> Result<(), Error> {
        match self {
            AnyDevice::Cpu(cpu) => {
                let Ok(()) = cpu.prepare(plan, batch, workspace.cpu());
            }
            #[cfg(feature = "cuda")]
            AnyDevice::Cuda(cuda) => cuda.prepare(plan, batch, workspace.cuda())?,
        }
        Ok(())
    }

    fn forward(
        &self,
        plan: &Plan,
        workspace: &mut AnyWorkspace,
        config: &RunConfig,
        pass: ForwardPass<'_>,
    ) -> Result<(), Error> {
        match self {
            AnyDevice::Cpu(cpu) => {
                let Ok(()) = cpu.forward(plan, workspace.cpu(), config, pass);
            }
            #[cfg(feature = "cuda")]
            AnyDevice::Cuda(cuda) => cuda.forward(plan, workspace.cuda(), config, pass)?,
        }
        Ok(())
    }

    fn backward(
        &self,
        plan: &Plan,
        workspace: &mut AnyWorkspace,
        config: &RunConfig,
        pass: BackwardPass<'_>,
    ) -> Result<(), Error> {
        match self {
            AnyDevice::Cpu(cpu) => {
                let Ok(()) = cpu.backward(plan, workspace.cpu(), config, pass);
            }
            #[cfg(feature = "cuda")]
            AnyDevice::Cuda(cuda) => cuda.backward(plan, workspace.cuda(), config, pass)?,
        }
        Ok(())
    }
}
