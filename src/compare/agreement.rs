//! When a count and a printed figure agree.
//!
//! A figure is printed in steps: 3.3M in steps of 100,000. A count agrees if rounding it to steps gives the
//! figure, half a step up, or else if cutting off what is less than a step does. Papers do both, and do not say
//! which. Neither do they say whether parameters are the trainable ones or all that a checkpoint holds, which
//! has the means and variances of batch normalization too; each count is compared for itself. Auxiliary heads
//! are in neither.

use serde::Serialize;

use super::Row;
use crate::syntax::ast::Figure;

/// How a count goes with a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// It rounds to the figure.
    Rounded,
    /// It is cut off to the figure, and rounds to the next.
    Truncated,
    /// It gives another figure.
    None,
}

impl Agreement {
    /// Compares a count with a figure.
    pub fn of(count: u64, figure: Figure) -> Agreement {
        let step = figure.step();
        let (whole, rest) = (count / step, count % step);
        if whole + u64::from(rest >= step.div_ceil(2)) == figure.digits {
            Agreement::Rounded
        } else if whole == figure.digits {
            Agreement::Truncated
        } else {
            Agreement::None
        }
    }

    /// True unless the count gives another figure.
    pub fn is_some(self) -> bool {
        match self {
            Agreement::Rounded | Agreement::Truncated => true,
            Agreement::None => false,
        }
    }
}

/// Printed parameters beside those of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParamsBeside {
    /// The figure as it is printed.
    pub figure: String,
    /// Its value.
    pub value: u64,
    /// Whether the trainable parameters give it.
    pub trainable: Agreement,
    /// Whether those with batch-norm statistics do.
    pub with_statistics: Agreement,
    /// By how much the trainable parameters are more than the figure, as a share of it.
    pub deviation: f64,
}

impl ParamsBeside {
    pub(super) fn of(figure: Figure, row: &Row) -> ParamsBeside {
        ParamsBeside {
            figure: figure.to_string(),
            value: figure.value(),
            trainable: Agreement::of(row.params, figure),
            with_statistics: Agreement::of(row.params_with_statistics, figure),
            deviation: deviation(row.params, figure),
        }
    }

    /// True if one of the two counts gives the figure.
    pub fn agrees(&self) -> bool {
        self.trainable.is_some() || self.with_statistics.is_some()
    }
}

/// Printed multiply-adds beside those of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MacsBeside {
    /// The figure as it is printed.
    pub figure: String,
    /// Its value.
    pub value: u64,
    /// Whether the multiply-adds give it.
    pub agreement: Agreement,
    /// By how much they are more than the figure, as a share of it.
    pub deviation: f64,
}

impl MacsBeside {
    pub(super) fn of(figure: Figure, row: &Row) -> MacsBeside {
        MacsBeside {
            figure: figure.to_string(),
            value: figure.value(),
            agreement: Agreement::of(row.macs, figure),
            deviation: deviation(row.macs, figure),
        }
    }

    /// True if the count gives the figure.
    pub fn agrees(&self) -> bool {
        self.agreement.is_some()
    }
}

/// Against a figure of zero, any count is the whole more.
fn deviation(count: u64, figure: Figure) -> f64 {
    let printed = figure.value().max(1) as f64;
    (count as f64 - figure.value() as f64) / printed
}
