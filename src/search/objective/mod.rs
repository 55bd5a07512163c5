//! What a search is for: the largest reward, alone, within limits on what a network costs, or beside costs
//! as a Pareto front.
//!
//! | written | is |
//! |---|---|
//! | `params`, `macs` | trainable parameters, and multiply-adds for one image, of the child as it is trained |
//! | `latency` | milliseconds of a forward pass of that child on this machine, see [`latency`] |
//! | `params(6@768)` | the same of the children's net at that N@F, with the net's own images and classes |
//! | `params(imagenet 4@1056)` | the same of another net, as in a `require` of the language |
//! | `params <= 3.3M` | a [`Limit`] |
//!
//! A limit on parameters or multiply-adds is met by everything that is proposed: strategies draw again, as
//! for what the space requires, so that a child beyond it is never trained and takes no trial. If there is
//! none within it the search ends before it begins. A limit on latency needs a measurement; a child beyond
//! it is never trained either, but it is a failed trial, so that the measurement is in the ledger and a
//! resumed search goes by the same one.

mod appraisal;
pub mod latency;
mod limits;
pub mod pareto;

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::graph::cost::grouped;
use crate::graph::lower::Scale;
pub(super) use appraisal::Appraiser;
pub use appraisal::Costs;
pub(super) use limits::Counted;

/// What of a network is counted or measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeasureKind {
    /// Trainable parameters.
    Params,
    /// Multiply-adds for one image.
    Macs,
    /// Milliseconds of a forward pass.
    Latency,
}

impl MeasureKind {
    /// Its name in text, and in ledgers.
    pub fn name(self) -> &'static str {
        match self {
            MeasureKind::Params => "params",
            MeasureKind::Macs => "macs",
            MeasureKind::Latency => "latency",
        }
    }
}

/// A network of an architecture other than the child that is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetScale {
    /// The net; that of the children if `None`.
    pub net: Option<String>,
    /// N@F.
    pub scale: Scale,
}

/// Something that is counted or measured, and of which network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// What.
    pub kind: MeasureKind,
    /// Of which network; of the child as it is trained if `None`.
    pub at: Option<NetScale>,
}

/// The most that a cost may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The cost.
    pub measure: Measure,
    /// In units, multiply-adds or milliseconds; above 0.
    pub most: f64,
}

/// One coordinate of a Pareto front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The reward, the larger the better.
    Reward,
    /// A cost, the smaller the better.
    Cost(Measure),
}

/// What a search is for. By default the largest reward, whatever it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Objectives {
    /// What every architecture must keep to.
    pub limits: Vec<Limit>,
    /// The coordinates of a Pareto front, two or three; none for the largest reward alone.
    pub pareto: Vec<Objective>,
    /// Images in the batch of a forward pass that is timed.
    pub latency_batch: usize,
}

impl Default for Objectives {
    fn default() -> Self {
        Objectives { limits: Vec::new(), pareto: Vec::new(), latency_batch: 1 }
    }
}

impl Objectives {
    /// Every measure that limits and front ask for, each once.
    pub fn measures(&self) -> Vec<&Measure> {
        let limited = self.limits.iter().map(|limit| &limit.measure);
        let on_front = self.pareto.iter().filter_map(|objective| match objective {
            Objective::Reward => None,
            Objective::Cost(measure) => Some(measure),
        });
        let mut measures: Vec<&Measure> = Vec::new();
        for measure in limited.chain(on_front) {
            if !measures.contains(&measure) {
                measures.push(measure);
            }
        }
        measures
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] names the first that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |setting, value: String, reason: &str| {
            Err(Error::Config { setting, value, reason: reason.into() })
        };
        for limit in &self.limits {
            if !(limit.most.is_finite() && limit.most > 0.0) {
                return refuse("limit", format!("`{limit}`"), "it must be above 0");
            }
        }
        let pareto = || self.pareto.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        if !matches!(self.pareto.len(), 0 | 2 | 3) {
            return refuse("pareto", format!("`{}`", pareto()), "a front is of two or three");
        }
        for (index, objective) in self.pareto.iter().enumerate() {
            if self.pareto[..index].contains(objective) {
                let reason = format!("`{objective}` is there twice");
                return refuse("pareto", format!("`{}`", pareto()), &reason);
            }
        }
        if self.latency_batch == 0 {
            return refuse("latency_batch", "0".into(), "it must be at least 1");
        }
        Ok(())
    }

    /// All settings as TOML keys and values; none by default, so that a ledger of before there were
    /// objectives can be resumed.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let quoted = |texts: Vec<String>| {
            let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
            format!("[{}]", texts.join(", "))
        };
        let mut settings = Vec::new();
        if !self.limits.is_empty() {
            settings.push(("limits", quoted(self.limits.iter().map(Limit::to_string).collect())));
        }
        if !self.pareto.is_empty() {
            let names = self.pareto.iter().map(Objective::to_string).collect();
            settings.push(("pareto", quoted(names)));
        }
        if self.measures().iter().any(|measure| measure.kind == MeasureKind::Latency) {
            settings.push(("latency_batch", self.latency_batch.to_string()));
        }
        settings
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match &self.at {
            None => Ok(()),
            Some(NetScale { net: None, scale }) => write!(f, "({scale})"),
            Some(NetScale { net: Some(net), scale }) => write!(f, "({net} {scale})"),
        }
    }
}

/// As in a file: `params(cifar 6@768)`.
impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, at) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => {
                let inside = rest.strip_suffix(')');
                let inside = inside.ok_or_else(|| format!("`{text}` has no `)` at its end"))?;
                let (net, scale) = match inside.trim().rsplit_once(char::is_whitespace) {
                    None => (None, inside.trim()),
                    Some((net, scale)) => (Some(net.trim().to_owned()), scale),
                };
                (name.trim_end(), Some(NetScale { net, scale: scale.parse()? }))
            }
        };
        let kind = match name {
            "params" => MeasureKind::Params,
            "macs" => MeasureKind::Macs,
            "latency" => MeasureKind::Latency,
            _ => return Err(format!("`{name}` is none of `params`, `macs` and `latency`")),
        };
        Ok(Measure { kind, at })
    }
}

impl MeasureKind {
    /// A value of it with its unit, such as `3,346,538` and `4.73 ms`; `separator` is between groups of
    /// digits.
    pub fn text(self, value: f64, separator: char) -> String {
        match self {
            MeasureKind::Params | MeasureKind::Macs => grouped(value as u64, separator),
            MeasureKind::Latency => format!("{value:.3} ms"),
        }
    }
}

/// `params <= 3_300_000`, `latency(6@768) <= 5 ms`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { measure, most } = self;
        match measure.kind {
            MeasureKind::Params | MeasureKind::Macs => {
                write!(f, "{measure} <= {}", grouped(*most as u64, '_'))
            }
            MeasureKind::Latency => write!(f, "{measure} <= {most} ms"),
        }
    }
}

/// As displayed; numbers may be as in `3.3M`, with `k`, `M` or `B`, and times in `us`, `ms` or `s`.
impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (measure, most) = text
            .split_once("<=")
            .ok_or_else(|| format!("`{text}` is no limit: expected one such as `params<=3.3M`"))?;
        let measure: Measure = measure.parse()?;
        let most = most.trim().replace('_', "");
        let (units, example): (&[(&str, f64)], _) = match measure.kind {
            MeasureKind::Params | MeasureKind::Macs => {
                (&[("k", 1e3), ("M", 1e6), ("B", 1e9), ("", 1.0)], "3.3M or 3_300_000")
            }
            MeasureKind::Latency => (&[("us", 1e-3), ("ms", 1.0), ("s", 1e3)], "5ms"),
        };
        let read = |(unit, factor): &(&str, f64)| {
            let number: f64 = most.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.is_finite().then_some((number, *factor))
        };
        let (number, factor) = units
            .iter()
            .find_map(read)
            .ok_or_else(|| format!("`{most}` in `{text}` is no number such as {example}"))?;
        let most = match measure.kind {
            // Units are counted whole: 3.3 times a million is a little less in binary.
            MeasureKind::Params | MeasureKind::Macs => (number * factor).round(),
            MeasureKind::Latency => number * factor,
        };
        Ok(Limit { measure, most })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objective::Reward => f.write_str("accuracy"),
            Objective::Cost(measure) => write!(f, "{measure}"),
        }
    }
}

/// `accuracy`, or a [`Measure`].
impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "accuracy" => Ok(Objective::Reward),
            text => text.parse().map(Objective::Cost).map_err(|fault| {
                fault.replace("is none of `params`", "is none of `accuracy`, `params`")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        for (text, displayed) in [
            ("params<=3.3M", "params <= 3_300_000"),
            ("macs <= 300M", "macs <= 300_000_000"),
            ("macs(imagenet 4@1056) <= 0.564B", "macs(imagenet 4@1056) <= 564_000_000"),
            ("params( 6@768 )<=3_346_538", "params(6@768) <= 3_346_538"),
            ("latency <= 5ms", "latency <= 5 ms"),
            ("latency(6@768) <= 0.25 s", "latency(6@768) <= 250 ms"),
            ("latency <= 800us", "latency <= 0.8 ms"),
        ] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!(limit.to_string(), displayed);
            assert_eq!(displayed.parse::<Limit>().unwrap(), limit);
        }
        for (text, fault) in [
            ("params < 3M", "`params < 3M` is no limit: expected one such as `params<=3.3M`"),
            ("flops <= 3M", "`flops` is none of `params`, `macs` and `latency`"),
            ("params <= 3m", "`3m` in `params <= 3m` is no number such as 3.3M or 3_300_000"),
            ("latency <= 5", "`5` in `latency <= 5` is no number such as 5ms"),
            ("latency <= infs", "`infs` in `latency <= infs` is no number such as 5ms"),
            ("params(6@768 <= 3M", "`params(6@768` has no `)` at its end"),
            ("params(6) <= 3M", "`6` is not a scale: expected N@F such as 6@768"),
        ] {
            assert_eq!(text.parse::<Limit>().unwrap_err(), fault);
        }
    }

    #[test]
    fn a_front_is_of_two_or_three_different_objectives() {
        let fault = |pareto: &[&str]| {
            let pareto = pareto.iter().map(|text| text.parse().unwrap()).collect();
            Objectives { pareto, ..Objectives::default() }.check().map_err(|e| e.to_string())
        };
        assert_eq!(fault(&[]), Ok(()));
        assert_eq!(fault(&["accuracy", "params"]), Ok(()));
        // Another network's count is another objective.
        assert_eq!(fault(&["accuracy", "params", "params(6@768)"]), Ok(()));
        assert!(fault(&["accuracy"]).unwrap_err().contains("two or three"));
        let twice = fault(&["accuracy", "macs", "macs"]).unwrap_err();
        assert_eq!(twice, "pareto is `accuracy,macs,macs`: `macs` is there twice");
        let unknown = "size".parse::<Objective>().unwrap_err();
        assert_eq!(unknown, "`size` is none of `accuracy`, `params`, `macs` and `latency`");
    }
}
