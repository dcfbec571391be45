//! The file that the telemetry agent writes.
//!
//! It is read rather than mapped: a few kilobytes fifty times a second, on the main thread,
//! and a file that is replaced or cut short does no harm. A slot that was being written is
//! not believed, as the file's format provides.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use evenkeel_runtime::telemetry_file::{FileError, SLOTS_MAX, TelemetryFile, words};

use crate::clock;
use crate::region::Region;
use crate::regular_file::{self, OpenError};

/// Larger than any of them.
const BYTES_MAX: u64 = words(SLOTS_MAX) as u64 * 8;

/// Reason for not taking a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("telemetry file {0}")]
    Open(#[from] OpenError),
    #[error("telemetry file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("telemetry file has {0} bytes, more than any ({BYTES_MAX})")]
    TooLarge(u64),
    #[error("telemetry file is refused: {0:?}")]
    Refused(FileError),
}

/// Hands the hosts of a cluster what the file says of them. Returns how many were news.
pub(crate) fn read(path: &Path, region: &Region) -> Result<u32, TelemetryError> {
    let (file, metadata) = regular_file::open(path)?;
    if metadata.len() > BYTES_MAX {
        return Err(TelemetryError::TooLarge(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let words: Vec<AtomicU64> =
        bytes.as_chunks::<8>().0.iter().map(|word| AtomicU64::new(u64::from_ne_bytes(*word))).collect();
    let file = TelemetryFile::parse(&words).map_err(TelemetryError::Refused)?;
    Ok(file.apply(region.upstream().state(), clock::now_us()))
}
