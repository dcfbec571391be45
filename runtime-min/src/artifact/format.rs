//! Constants of the file format, shared with the encoder.

/// First bytes of every artifact.
pub const MAGIC: [u8; 8] = *b"EVENKEEL";
/// Version of the layout described in the parent module.
pub const VERSION: u32 = 1;
/// Sections begin on multiples of this.
pub const ALIGNMENT: usize = 64;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a section-table entry.
pub const SECTION_ENTRY_BYTES: usize = 24;
/// Most sections of a file.
pub const SECTIONS_MAX: usize = 16;

/// Section kind: metadata, UTF-8 JSON.
pub const METADATA: u32 = 1;
/// Section kind: the service model ([`crate::ServiceModel`]).
pub const SERVICE: u32 = 2;
/// Section kind: the policy's program.
pub const POLICY: u32 = 3;
/// Section kind: the forecaster's program.
pub const FORECAST: u32 = 4;
/// Section kind: the forecaster's horizons and calibration ([`crate::forecast::Calibration`]).
pub const CALIBRATION: u32 = 5;
/// Section kind: what a replica carries ([`crate::demand::ScaleModel`]).
pub const SCALE: u32 = 6;
/// Section kind: limits of the trust in the policy ([`crate::policy::Guard`]).
pub const GUARD: u32 = 7;
