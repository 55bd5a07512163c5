//! What a comparison finds, as data; `text` beside this file writes it for people.

use serde::Serialize;

use crate::graph::cost::Counts;

/// The difference between two files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// What it comes to.
    pub verdict: Verdict,
    /// What changed, cell by cell in the order of the new file, then everything else.
    pub changes: Vec<Change>,
    /// Counts of the networks, if at least one of the files is a network.
    pub network: Option<Network>,
    /// Sizes of the search spaces, if at least one of the files is one.
    pub space: Option<Points>,
    /// Why the old file does not compile.
    pub old_fault: Option<String>,
    /// Why the new file does not compile.
    pub new_fault: Option<String>,
    /// Why a file that is understood has no counts.
    pub uncounted: Option<String>,
    /// Differing lines, if a file does not parse: `-` or `+`, then the line.
    pub lines: Vec<String>,
}

/// What a difference comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The texts are equal.
    Identical,
    /// Only layout and comments differ.
    SameMeaning,
    /// Names, order or way of writing differ; the networks are equal up to their canonical hash.
    SameArchitecture,
    /// Anything else.
    Different,
}

impl Verdict {
    /// True unless the architecture may differ.
    pub fn is_same(self) -> bool {
        match self {
            Verdict::Identical | Verdict::SameMeaning | Verdict::SameArchitecture => true,
            Verdict::Different => false,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Where, in names of the new file: `normal.n3.left`, `op sep`, `net cifar.stack`.
    pub place: String,
    /// What kind of change.
    pub kind: ChangeKind,
    /// What stood there, if anything did.
    pub before: Option<String>,
    /// What stands there, if anything does.
    pub after: Option<String>,
    /// What it does to the counts; none if nothing, or if that cannot be said.
    pub effect: Option<Effect>,
}

impl Change {
    pub(super) fn new(place: impl Into<String>, kind: ChangeKind) -> Change {
        Change { place: place.into(), kind, before: None, after: None, effect: None }
    }

    pub(super) fn before(self, text: impl Into<String>) -> Change {
        Change { before: Some(text.into()), ..self }
    }

    pub(super) fn after(self, text: impl Into<String>) -> Change {
        Change { after: Some(text.into()), ..self }
    }
}

/// Kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A block, cell or definition is new.
    Added,
    /// A block, cell or definition is gone.
    Removed,
    /// It is another than before.
    Changed,
    /// It has another name.
    Renamed,
    /// Something is concatenated, or may be chosen, that was not.
    OperandAdded,
    /// Something is no longer concatenated, or can no longer be chosen.
    OperandRemoved,
    /// Blocks, or the operands of a commutative combination, stand in another order.
    Reordered,
    /// Tensors are concatenated, or options listed, in another order.
    Permuted,
}

impl ChangeKind {
    /// True if it never changes what is computed.
    pub fn is_layout(self) -> bool {
        match self {
            ChangeKind::Renamed | ChangeKind::Reordered => true,
            ChangeKind::Added
            | ChangeKind::Removed
            | ChangeKind::Changed
            | ChangeKind::OperandAdded
            | ChangeKind::OperandRemoved
            | ChangeKind::Permuted => false,
        }
    }

    /// How much of a change it is, where matchings of blocks are compared.
    pub(super) fn weight(self) -> f64 {
        match self {
            ChangeKind::Added | ChangeKind::Removed => 2.0,
            ChangeKind::Changed | ChangeKind::OperandAdded | ChangeKind::OperandRemoved => 1.0,
            ChangeKind::Permuted => 0.5,
            ChangeKind::Renamed | ChangeKind::Reordered => 0.25,
        }
    }
}

/// What one change does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Effect {
    /// To a network.
    Counts {
        /// Trainable parameters gained.
        params: i64,
        /// Multiply-adds gained for one image.
        macs: i64,
        /// True if the old network was counted with this change alone, or the change is a block that
        /// came or went. False if the change needs others to compile; then the counts are those of the
        /// changed part.
        is_exact: bool,
    },
    /// To a search space.
    Points {
        /// Points after for each point before.
        factor: f64,
    },
}

/// The two networks that were counted, at one base width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The net.
    pub net: String,
    /// N: normal cells a stage.
    pub n: usize,
    /// Base width.
    pub base: usize,
    /// Counts before, if the old file is a network.
    pub before: Option<Counts>,
    /// Counts after, if the new file is a network.
    pub after: Option<Counts>,
}

/// The sizes of two search spaces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Points {
    /// Architectures before, if the old file is a space.
    pub before: Option<f64>,
    /// Architectures after, if the new file is a space.
    pub after: Option<f64>,
}
