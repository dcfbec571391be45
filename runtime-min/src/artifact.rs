//! The artifact `evenkeel.ekm`: untrusted bytes in, a validated [`Model`] out.
//!
//! ```text
//! 0    8 bytes magic "EVENKEEL"
//! 8    u32 format version          u32 sections
//! 16   u64 feature-schema hash     u64 length of the file
//! 32   u32 CRC-32 (IEEE) of everything from byte 64 on      28 bytes zero
//! 64   sections × { u32 kind, u32 zero, u64 begin, u64 length }      (zero to 64)
//! …    the sections, each on a 64-byte boundary
//! ```
//!
//! All numbers are little-endian. Each kind of section stands at most once.

mod crc32;
pub(crate) mod error;
pub mod format;
mod origin;

pub use crc32::crc32;
pub use error::ArtifactError;
pub use origin::Origin;

use crate::demand::ScaleModel;
use crate::forecast::Forecaster;
use crate::policy::Policy;
use crate::program::Program;
use crate::service::ServiceModel;
use crate::simd::Level;

/// A validated artifact, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    checksum: u32,
    metadata: &'a str,
    service: ServiceModel,
    policy: Option<Policy<'a>>,
    forecaster: Option<Forecaster<'a>>,
    scale: Option<ScaleModel>,
}

impl<'a> Model<'a> {
    /// Validates everything in one pass; afterwards nothing of it can fail.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        let sections = Sections::parse(bytes)?;
        let metadata = match sections.find(format::METADATA) {
            Some(bytes) => core::str::from_utf8(bytes).map_err(|_| ArtifactError::Metadata)?,
            None => "{}",
        };
        let service = ServiceModel::decode(sections.find(format::SERVICE).ok_or(ArtifactError::Service)?)?;
        let program = sections.find(format::POLICY).map(Program::parse).transpose()?;
        let policy = program.map(|program| Policy::new(&program, sections.find(format::GUARD))).transpose()?;
        let forecaster = match (sections.find(format::FORECAST), sections.find(format::CALIBRATION)) {
            (Some(program), Some(calibration)) => Some(Forecaster::parse(program, calibration)?),
            (None, None) => None,
            _ => return Err(ArtifactError::Sections),
        };
        let scale = sections.find(format::SCALE).map(ScaleModel::decode).transpose()?;
        Ok(Self { checksum: sections.checksum(), metadata, service, policy, forecaster, scale })
    }

    /// Checksum of the artifact: which one of several this is, in records and log lines.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The same model on narrower vectors; the results are the same bits.
    #[must_use]
    pub fn with_level(self, level: Level) -> Self {
        let policy = self.policy.map(|policy| policy.with_level(level));
        let forecaster = self.forecaster.map(|forecaster| forecaster.with_level(level));
        Self { policy, forecaster, ..self }
    }

    /// Where the model comes from: training data, seed, date, tool version, figures. JSON.
    pub fn metadata_json(&self) -> &'a str {
        self.metadata
    }

    /// The service that the policy was trained for.
    pub fn service(&self) -> &ServiceModel {
        &self.service
    }

    /// The balancing policy, where the artifact has one.
    pub fn policy(&self) -> Option<&Policy<'a>> {
        self.policy.as_ref()
    }

    /// The demand forecaster, where the artifact has one.
    pub fn forecaster(&self) -> Option<&Forecaster<'a>> {
        self.forecaster.as_ref()
    }

    /// What one replica carries and how far ahead demand is looked for, where the artifact
    /// says so.
    pub fn scale(&self) -> Option<&ScaleModel> {
        self.scale.as_ref()
    }
}

/// The section table of a file whose header has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a> {
    bytes: &'a [u8],
    table: &'a [[u8; format::SECTION_ENTRY_BYTES]],
}

impl<'a> Sections<'a> {
    /// Checks header, checksum and section table.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        let (header, _) = bytes.split_at_checked(format::HEADER_BYTES).ok_or(ArtifactError::Truncated)?;
        if header[..8] != format::MAGIC {
            return Err(ArtifactError::Magic);
        }
        if word(header, 8) != format::VERSION {
            return Err(ArtifactError::Version);
        }
        if long(header, 24) != bytes.len() as u64 {
            let shorter = (bytes.len() as u64) < long(header, 24);
            return Err(if shorter { ArtifactError::Truncated } else { ArtifactError::Length });
        }
        let body = &bytes[format::HEADER_BYTES..];
        if word(header, 32) != crc32(body) {
            return Err(ArtifactError::Checksum);
        }
        if long(header, 16) != crate::features::SCHEMA_HASH {
            return Err(ArtifactError::Schema);
        }
        let count = word(header, 12) as usize;
        if count > format::SECTIONS_MAX {
            return Err(ArtifactError::Sections);
        }
        let table = body.get(..count * format::SECTION_ENTRY_BYTES).ok_or(ArtifactError::Truncated)?;
        let sections = Self { bytes, table: table.as_chunks().0 };
        sections.check()?;
        Ok(sections)
    }

    /// Kind and contents of every section, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'a [u8])> + '_ {
        self.table.iter().filter_map(|entry| Some((word(entry, 0), self.contents(entry)?)))
    }

    fn checksum(&self) -> u32 {
        word(self.bytes, 32)
    }

    fn find(&self, kind: u32) -> Option<&'a [u8]> {
        self.iter().find_map(|(k, contents)| (k == kind).then_some(contents))
    }

    fn contents(&self, entry: &[u8; format::SECTION_ENTRY_BYTES]) -> Option<&'a [u8]> {
        let begin = usize::try_from(long(entry, 8)).ok()?;
        let end = begin.checked_add(usize::try_from(long(entry, 16)).ok()?)?;
        self.bytes.get(begin..end)
    }

    fn check(&self) -> Result<(), ArtifactError> {
        let table_end = format::HEADER_BYTES + size_of_val(self.table);
        for (index, entry) in self.table.iter().enumerate() {
            let begin = long(entry, 8);
            let placed = begin >= table_end as u64 && begin.is_multiple_of(format::ALIGNMENT as u64);
            let twice = self.table.iter().take(index).any(|other| word(other, 0) == word(entry, 0));
            if !placed || twice || self.contents(entry).is_none() {
                return Err(ArtifactError::Sections);
            }
        }
        Ok(())
    }
}

/// Little-endian `u32` at a byte offset; 0 where the bytes end before it.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Little-endian `u64` at a byte offset; 0 where the bytes end before it.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}
