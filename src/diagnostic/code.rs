//! Every rule of the language that a file can break, with its number.

use std::fmt;
use std::str::FromStr;

/// Declares [`Code`]: the variants with their numbers and titles, in order of number. What a number
/// stands for in full is in `explain/`.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $title:literal;)*) => {
        /// A rule of the language. E01xx syntax, E02xx names, E03xx shapes, E04xx attributes,
        /// E05xx choices, E06xx claims, nets and scales.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes in order of number.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The number, `E0101`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $number,)*
                }
            }

            /// The rule's breach in a few words, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self {
                    $(Code::$variant => $title,)*
                }
            }

            /// The rule and the reason for it, with a file that breaks it and then one that does
            /// not, as Markdown. The first file has faults of this code alone.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Code::$variant => include_str!(concat!("explain/", $number, ".md")),)*
                }
            }
        }
    };
}

codes! {
    /// A token stands where the grammar has none.
    UnexpectedToken = "E0101", "unexpected token";
    /// Brackets, chains of operators or the whole file beyond what is read.
    TooLarge = "E0102", "nesting too deep or text too long";
    /// A number does not fit into 64 bits.
    NumberTooLarge = "E0103", "number too large";
    /// A string has no closing quote on its line.
    UnterminatedString = "E0104", "unterminated text";
    /// A statement of an operation stands where its body has no place for it.
    MisplacedStatement = "E0105", "statement out of order";
    /// A name that could never be used, because it reads as something else.
    UnusableName = "E0106", "name that reads as something else";

    /// A name that nothing defines.
    UnknownName = "E0201", "unknown name";
    /// Two definitions of one name.
    DuplicateName = "E0202", "name defined twice";
    /// Definitions that need each other.
    CyclicDefinition = "E0203", "definitions refer to each other in a cycle";
    /// A block that is used above its binding.
    UsedBeforeBound = "E0204", "block used before it is bound";
    /// A `use` of a file that cannot be read.
    NoUsedFile = "E0205", "used file cannot be read";
    /// A `use` of a file that does not compile.
    FaultyUsedFile = "E0206", "used file has faults";
    /// Two used files that mean different things by one name.
    ClashingUses = "E0207", "used files define one name";

    /// Operands that should have one shape.
    ShapeMismatch = "E0301", "operands of different shapes";
    /// A kernel larger than the map it slides over.
    WindowTooLarge = "E0302", "window does not fit the map";
    /// A dense layer on a map that still has a height and a width.
    DenseOnMap = "E0303", "dense layer on a map that is not 1x1";
    /// A width, height or channel count of zero, or beyond all use.
    SizeOutOfRange = "E0304", "width or size is zero or too large";
    /// Channels that do not fall into equal groups, or a slice that is not all inside of them.
    ChannelsDoNotFit = "E0305", "channels do not divide, or a slice leaves them";

    /// An attribute that the operation does not have.
    UnknownAttribute = "E0401", "unknown attribute";
    /// An attribute without default that is not given.
    MissingAttribute = "E0402", "missing attribute";
    /// An attribute given twice, or more attributes than there are.
    RepeatedAttribute = "E0403", "attribute given twice or too many";
    /// An attribute whose value the operation does not accept.
    AttributeOutOfRange = "E0404", "attribute out of range";
    /// A value of one kind where another is needed.
    WrongKind = "E0405", "wrong kind of value";
    /// Too few or too many tensors for an operation.
    WrongArgumentCount = "E0406", "wrong number of tensor arguments";
    /// A condition of the operation's author.
    RequirementNotMet = "E0407", "requirement of an operation not met";
    /// Arms that leave a case open.
    NoArmHolds = "E0408", "no `when` arm holds";
    /// A value that has no meaning at this place.
    NotAvailableHere = "E0409", "name not available here";

    /// A hole in a text that must be concrete.
    HoleOutsideSpace = "E0501", "hole outside a space";
    /// A hole with nothing to choose from.
    EmptyHole = "E0502", "hole without options";
    /// A choice of an earlier block where there is none.
    NothingEarlier = "E0503", "`?earlier` with nothing earlier";
    /// A space that cannot be enumerated.
    MalformedSpace = "E0504", "space too large or malformed";
    /// `unused` anywhere but in the output.
    MisplacedUnused = "E0505", "`unused` outside `out concat`";

    /// A claim that is not so.
    ClaimFails = "E0601", "claim does not hold";
    /// A claim about a count that does not exist.
    UnknownClaim = "E0602", "unknown claim";
    /// F that the net cannot reach with a whole base width.
    FiltersDoNotDivide = "E0603", "F does not divide";
    /// A net without one of its parts, or with a part twice or out of place.
    MalformedNet = "E0604", "malformed net";
    /// A cell without output or blocks.
    MalformedCell = "E0605", "malformed cell";
    /// N or F beyond what is accepted.
    ScaleOutOfRange = "E0606", "scale out of range";
}

impl Code {
    /// Whether some of its faults have a replacement that [`fix`](crate::fix::fix) applies.
    pub fn is_fixable(self) -> bool {
        use Code::*;
        match self {
            UnexpectedToken | UnterminatedString | MisplacedStatement | UnknownName
            | DuplicateName | CyclicDefinition | UnknownAttribute | RepeatedAttribute
            | UnknownClaim | MalformedCell => true,
            TooLarge | NumberTooLarge | UnusableName | UsedBeforeBound | NoUsedFile
            | FaultyUsedFile | ClashingUses | ShapeMismatch | WindowTooLarge | DenseOnMap
            | SizeOutOfRange | ChannelsDoNotFit | MissingAttribute | AttributeOutOfRange
            | WrongKind | WrongArgumentCount | RequirementNotMet | NoArmHolds
            | NotAvailableHere | HoleOutsideSpace | EmptyHole | NothingEarlier | MalformedSpace
            | MisplacedUnused | ClaimFails | FiltersDoNotDivide | MalformedNet
            | ScaleOutOfRange => false,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown code `{0}`: codes run from `E0101` to `E0606`")]
pub struct UnknownCode(String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let found = Code::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(text.trim()));
        found.copied().ok_or_else(|| UnknownCode(text.to_owned()))
    }
}
