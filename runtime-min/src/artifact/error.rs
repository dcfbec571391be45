//! Reasons to refuse an artifact.

use core::fmt;

/// Reason to refuse an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file ends before what it announces.
    Truncated,
    /// The first bytes are not those of an artifact.
    Magic,
    /// Written in a format version that this runtime does not read.
    Version,
    /// Trained on other features than this runtime computes.
    Schema,
    /// The length in the header is not the file's.
    Length,
    /// The checksum does not match: the file is damaged.
    Checksum,
    /// The section table is out of order, out of bounds, or names a section twice.
    Sections,
    /// The metadata is not UTF-8.
    Metadata,
    /// The service model has a value out of its range.
    Service,
    /// The forecaster's calibration has a value out of its range.
    Calibration,
    /// What is said of replicas has a value out of its range.
    Scale,
    /// The policy's guard has a value out of its range.
    Guard,
    /// A program has too many registers, instructions or weights, or none.
    ProgramLimits,
    /// A program has an operation code that this runtime does not know.
    ProgramOp,
    /// A program reads or writes a register that it must not.
    ProgramRegister,
    /// Widths of an instruction's operands do not fit together.
    ProgramShape,
    /// An instruction's weights lie outside the program's.
    ProgramWeights,
    /// A program's input or output is not of the width that its use needs.
    ProgramInterface,
    /// A weight or constant is infinite or not a number.
    NotFinite,
}

impl ArtifactError {
    /// What happened and what to do, for a log line.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Truncated => "artifact is truncated: copy it again",
            Self::Magic => "not an Evenkeel artifact: expected a file made by `evenkeel train` or `evenkeel compile`",
            Self::Version => {
                "artifact format version is not supported: compile it with this release's `evenkeel compile`"
            }
            Self::Schema => {
                "artifact was trained on other features than this runtime computes: train it again with this release"
            }
            Self::Length => "artifact length differs from its header: copy it again",
            Self::Checksum => "artifact checksum does not match: the file is damaged, copy it again",
            Self::Sections => "artifact section table is invalid",
            Self::Metadata => "artifact metadata is not UTF-8",
            Self::Service => "artifact service model has a value out of range",
            Self::Calibration => "artifact forecast calibration has a value out of range",
            Self::Scale => "artifact scale section has a value out of range",
            Self::Guard => "artifact guard section has a value out of range",
            Self::ProgramLimits => "artifact program exceeds the runtime's limits",
            Self::ProgramOp => "artifact program has an unknown operation",
            Self::ProgramRegister => "artifact program uses a register wrongly",
            Self::ProgramShape => "artifact program has operands whose widths do not fit",
            Self::ProgramWeights => "artifact program refers to weights outside its own",
            Self::ProgramInterface => "artifact program has an input or output of the wrong width",
            Self::NotFinite => "artifact has a weight or constant that is not finite",
        }
    }
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for ArtifactError {}
