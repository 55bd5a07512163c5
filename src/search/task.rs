//! What another process must know to score as an evaluator does.
//!
//! A task is plain data: a file, a scale, settings. It names no path and no program. Data sets and tables it
//! names by hash, so that whoever takes it over knows whether it has the same ones.

use serde::{Deserialize, Serialize};

use super::architecture::ChildScale;
use super::proxy::ProxyKind;
use super::table::TableConfig;
use crate::train::TrainConfig;

/// How the points of a space are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The file of the space with everything it uses, formatted.
    pub file: String,
    /// [`space_hash`](super::space_hash) of its space.
    pub space_hash: String,
    /// Which networks its points are.
    pub scale: ChildScale,
    /// How one is scored.
    pub scoring: Scoring,
}

/// How a network is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scoring {
    /// It is trained.
    Train {
        /// Hash of the data set.
        data: String,
        /// Share of the training images held out for the reward.
        validation: f64,
        /// Seed of the choice of those.
        seed: u64,
        /// How it is trained.
        train: Box<TrainConfig>,
        /// The most memory that its training may take, in MiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_memory_mib: Option<usize>,
    },
    /// The fresh network is looked at.
    Proxy {
        /// Which score.
        kind: ProxyKind,
        /// Hash of the data set.
        data: String,
        /// Images that are looked at.
        images: usize,
        /// Seed of the choice of those.
        seed: u64,
    },
    /// It is looked up.
    Table {
        /// Hash of the table.
        table: String,
        /// Its columns.
        config: TableConfig,
    },
    /// The program of whoever takes it over is asked.
    Command,
}
