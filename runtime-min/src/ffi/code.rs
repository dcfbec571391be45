//! Return codes and their texts.

use core::ffi::{CStr, c_char};

use crate::artifact::ArtifactError;
use crate::reason::Reason;

/// Result of a function: 0 for success, a negative number for each way to fail. An
/// output is written only with `EK_CODE_OK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum EkCode {
    /// Success.
    Ok = 0,
    /// A pointer is NULL that must not be.
    NullPointer = -1,
    /// A pointer is not aligned as its type, or as the function's description, asks.
    Misaligned = -2,
    /// `struct_size` is smaller than the structure, or something that this version does
    /// not know is set beyond its end.
    StructSize = -3,
    /// A reserved field is not zero.
    Reserved = -4,
    /// The memory is smaller than what the `_size` function returns.
    MemorySize = -5,
    /// An enumeration has a value outside its range.
    Enumeration = -6,
    /// The number of hosts is 0 or above `EK_HOSTS_MAX`, or that of processes above
    /// `EK_PROCESSES_MAX`.
    MaxHosts = -7,
    /// The memory holds no upstream.
    UpstreamForeign = -8,
    /// The memory holds an upstream of another version of this library, or of other sizes.
    UpstreamLayout = -9,
    /// Host key 0 is reserved.
    HostKeyZero = -10,
    /// Every slot for hosts is taken.
    HostsFull = -11,
    /// There is no such host.
    HostUnknown = -12,
    /// No host is eligible.
    NoHost = -13,
    /// The ticket is not that of a request under way in this upstream.
    Ticket = -14,
    /// The report is older than what is known of the host.
    ReportStale = -15,
    /// The array has fewer elements than there are results, or more are asked for than may be.
    Capacity = -16,
    /// The pointer is not that of a loaded model.
    ModelForeign = -17,
    /// The model has no forecaster.
    NoForecaster = -18,
    /// The upstream has no room for the history that the model's forecaster needs.
    HistoryShort = -19,
    /// No forecast was made yet.
    NoForecast = -20,
    /// The report does not follow its format, or has nothing of use.
    ReportFormat = -21,
    /// The model does not say what a replica carries.
    NoScale = -31,
    /// A value of the scale is out of its range.
    ScaleRange = -32,
    /// The memory holds no ring for records, or was not initialised.
    RingForeign = -22,
    /// The memory holds a ring of another version of this library.
    RingLayout = -23,
    /// Another writer is at the same place of the ring.
    RingTaken = -24,
    /// The record is no longer in the ring.
    RecordGone = -25,
    /// Another process is in the way: call again.
    Busy = -26,
    /// There is no such process, or it has not joined; or processes share the upstream, and the
    /// call says none.
    ProcessUnknown = -27,
    /// The pointer is not that of a reader of a body.
    ReaderForeign = -28,
    /// Artifact: ends before what it announces.
    ArtifactTruncated = -100,
    /// Artifact: not an Evenkeel artifact.
    ArtifactMagic = -101,
    /// Artifact: format version not supported.
    ArtifactVersion = -102,
    /// Artifact: trained on other features.
    ArtifactSchema = -103,
    /// Artifact: length differs from the header.
    ArtifactLength = -104,
    /// Artifact: damaged.
    ArtifactChecksum = -105,
    /// Artifact: invalid section table.
    ArtifactSections = -106,
    /// Artifact: metadata is not UTF-8.
    ArtifactMetadata = -107,
    /// Artifact: service model out of range.
    ArtifactService = -108,
    /// Artifact: forecast calibration out of range.
    ArtifactCalibration = -109,
    /// Artifact: program exceeds the limits.
    ArtifactProgramLimits = -110,
    /// Artifact: unknown operation.
    ArtifactProgramOp = -111,
    /// Artifact: register used wrongly.
    ArtifactProgramRegister = -112,
    /// Artifact: operand widths do not fit.
    ArtifactProgramShape = -113,
    /// Artifact: weights out of bounds.
    ArtifactProgramWeights = -114,
    /// Artifact: wrong input or output width.
    ArtifactProgramInterface = -115,
    /// Artifact: a weight is not finite.
    ArtifactNotFinite = -116,
    /// Artifact: scale section out of range.
    ArtifactScale = -117,
    /// The artifact's guard section has a value out of range.
    ArtifactGuard = -118,
}

impl From<ArtifactError> for EkCode {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Truncated => Self::ArtifactTruncated,
            ArtifactError::Magic => Self::ArtifactMagic,
            ArtifactError::Version => Self::ArtifactVersion,
            ArtifactError::Schema => Self::ArtifactSchema,
            ArtifactError::Length => Self::ArtifactLength,
            ArtifactError::Checksum => Self::ArtifactChecksum,
            ArtifactError::Sections => Self::ArtifactSections,
            ArtifactError::Metadata => Self::ArtifactMetadata,
            ArtifactError::Service => Self::ArtifactService,
            ArtifactError::Calibration => Self::ArtifactCalibration,
            ArtifactError::ProgramLimits => Self::ArtifactProgramLimits,
            ArtifactError::ProgramOp => Self::ArtifactProgramOp,
            ArtifactError::ProgramRegister => Self::ArtifactProgramRegister,
            ArtifactError::ProgramShape => Self::ArtifactProgramShape,
            ArtifactError::ProgramWeights => Self::ArtifactProgramWeights,
            ArtifactError::ProgramInterface => Self::ArtifactProgramInterface,
            ArtifactError::NotFinite => Self::ArtifactNotFinite,
            ArtifactError::Scale => Self::ArtifactScale,
            ArtifactError::Guard => Self::ArtifactGuard,
        }
    }
}

/// Runs the body of a function and turns its result into a code.
pub(super) fn run(body: impl FnOnce() -> Result<(), EkCode>) -> EkCode {
    body().err().unwrap_or(EkCode::Ok)
}

/// Version of the library: major * 10000 + minor * 100 + patch. Compare it with
/// `EVENKEEL_VERSION`, the header's.
#[unsafe(no_mangle)]
pub extern "C" fn ek_version() -> u32 {
    const VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) * 10000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 100
        + number(env!("CARGO_PKG_VERSION_PATCH"));
    VERSION
}

/// Describes a code and what to do, in English: a static string, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn ek_strerror(code: i32) -> *const c_char {
    TEXTS.iter().find(|(known, _)| *known as i32 == code).map_or(c"unknown code", |(_, text)| text).as_ptr()
}

/// Name of an `ek_reason` in logs and metrics, such as `no_policy`: a static string, never
/// NULL; `unknown` for what is no reason.
#[unsafe(no_mangle)]
pub extern "C" fn ek_reason_name(reason: u32) -> *const c_char {
    Reason::ALL.get(reason as usize).map_or(c"unknown", |reason| reason.c_name()).as_ptr()
}

/// The artifact errors' own messages, with the zero byte that C wants.
macro_rules! c_message {
    ($error:expr) => {{
        const TEXT: &str = $error.message();
        const BYTES: [u8; TEXT.len() + 1] = {
            let mut bytes = [0; TEXT.len() + 1];
            let mut at = 0;
            while at < TEXT.len() {
                bytes[at] = TEXT.as_bytes()[at];
                at += 1;
            }
            bytes
        };
        const C_TEXT: &CStr = match CStr::from_bytes_with_nul(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("a message has a zero byte"),
        };
        C_TEXT
    }};
}

static TEXTS: [(EkCode, &CStr); 50] = [
    (EkCode::Ok, c"success"),
    (EkCode::NullPointer, c"a pointer is NULL"),
    (EkCode::Misaligned, c"a pointer is not aligned"),
    (EkCode::StructSize, c"struct_size is too small, or sets what this version of the library does not know"),
    (EkCode::Reserved, c"a reserved field is not zero"),
    (EkCode::MemorySize, c"the memory is smaller than its _size function asks for"),
    (EkCode::Enumeration, c"a value is outside its enumeration"),
    (EkCode::MaxHosts, c"the number of hosts is 0 or above EK_HOSTS_MAX, or that of processes above EK_PROCESSES_MAX"),
    (EkCode::UpstreamForeign, c"the memory holds no upstream: call ek_upstream_open first"),
    (EkCode::UpstreamLayout, c"the memory holds an upstream of another version of the library, or of other sizes"),
    (EkCode::HostKeyZero, c"host key 0 is reserved"),
    (EkCode::HostsFull, c"every slot for hosts is taken: open the upstream with more"),
    (EkCode::HostUnknown, c"there is no such host"),
    (EkCode::NoHost, c"no host is eligible"),
    (EkCode::Ticket, c"the ticket is not that of a request under way"),
    (EkCode::ReportStale, c"the report is older than what is known"),
    (EkCode::Capacity, c"the array has fewer elements than there are results, or more are asked for than may be"),
    (EkCode::ModelForeign, c"the pointer is not that of a loaded model"),
    (EkCode::NoForecaster, c"the model has no forecaster"),
    (
        EkCode::HistoryShort,
        c"the upstream has no room for the forecaster's history: open it with ek_model_history values",
    ),
    (EkCode::NoForecast, c"no forecast was made yet"),
    (EkCode::ReportFormat, c"the report does not follow its format, or has nothing of use"),
    (EkCode::NoScale, c"the model does not say what a replica carries"),
    (EkCode::ScaleRange, c"a value of the scale is out of its range"),
    (EkCode::RingForeign, c"the memory holds no ring: call ek_record_init first"),
    (EkCode::RingLayout, c"the ring was made by another version of the library: initialise it again"),
    (EkCode::RingTaken, c"another writer is at this place of the ring: give it more records"),
    (EkCode::RecordGone, c"the record is no longer in the ring: give it more records"),
    (EkCode::Busy, c"another process is in the way: call again"),
    (EkCode::ProcessUnknown, c"there is no such process, or it has not joined: call ek_upstream_join first"),
    (EkCode::ReaderForeign, c"the pointer is not that of a reader of a body: initialise it first"),
    (EkCode::ArtifactTruncated, c_message!(ArtifactError::Truncated)),
    (EkCode::ArtifactMagic, c_message!(ArtifactError::Magic)),
    (EkCode::ArtifactVersion, c_message!(ArtifactError::Version)),
    (EkCode::ArtifactSchema, c_message!(ArtifactError::Schema)),
    (EkCode::ArtifactLength, c_message!(ArtifactError::Length)),
    (EkCode::ArtifactChecksum, c_message!(ArtifactError::Checksum)),
    (EkCode::ArtifactSections, c_message!(ArtifactError::Sections)),
    (EkCode::ArtifactMetadata, c_message!(ArtifactError::Metadata)),
    (EkCode::ArtifactService, c_message!(ArtifactError::Service)),
    (EkCode::ArtifactCalibration, c_message!(ArtifactError::Calibration)),
    (EkCode::ArtifactProgramLimits, c_message!(ArtifactError::ProgramLimits)),
    (EkCode::ArtifactProgramOp, c_message!(ArtifactError::ProgramOp)),
    (EkCode::ArtifactProgramRegister, c_message!(ArtifactError::ProgramRegister)),
    (EkCode::ArtifactProgramShape, c_message!(ArtifactError::ProgramShape)),
    (EkCode::ArtifactProgramWeights, c_message!(ArtifactError::ProgramWeights)),
    (EkCode::ArtifactProgramInterface, c_message!(ArtifactError::ProgramInterface)),
    (EkCode::ArtifactNotFinite, c_message!(ArtifactError::NotFinite)),
    (EkCode::ArtifactScale, c_message!(ArtifactError::Scale)),
    (EkCode::ArtifactGuard, c_message!(ArtifactError::Guard)),
];

const fn number(digits: &str) -> u32 {
    let mut value = 0;
    let mut at = 0;
    while at < digits.len() {
        value = value * 10 + (digits.as_bytes()[at] - b'0') as u32;
        at += 1;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_text() {
        for (index, (code, text)) in TEXTS.iter().enumerate() {
            assert!(!text.is_empty());
            assert!(TEXTS[..index].iter().all(|(other, other_text)| other != code && other_text != text), "{code:?}");
        }
    }

    #[test]
    fn an_artifact_error_keeps_its_message() {
        let error = ArtifactError::Checksum;
        let text = TEXTS.iter().find(|(code, _)| *code == error.into()).map(|(_, text)| text.to_str());
        assert_eq!(text, Some(Ok(error.message())));
    }
}
