//! The file that the telemetry agent writes.
//!
//! It is read rather than mapped: a few kilobytes fifty times a second, on the main thread,
//! and a file that is replaced or cut short does no harm. A slot that was being written is
//! not believed, as the file's format provides.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use evenkeel_runtime::telemetry_file::{FileError, SLOTS_MAX, TelemetryFile, words};

use crate::clock;
use crate::region::Region;

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("telemetry file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("telemetry file is larger than any")]
    TooLarge,
    #[error("telemetry file is refused: {0:?}")]
    Refused(FileError),
}

/// Hands the hosts of a cluster what the file says of them. Returns how many were news.
pub(crate) fn read(path: &Path, region: &Region) -> Result<u32, TelemetryError> {
    let bytes_max = words(SLOTS_MAX) as u64 * 8;
    if std::fs::metadata(path)?.len() > bytes_max {
        return Err(TelemetryError::TooLarge);
    }
    let bytes = std::fs::read(path)?;
    let words: Vec<AtomicU64> =
        bytes.as_chunks::<8>().0.iter().map(|word| AtomicU64::new(u64::from_ne_bytes(*word))).collect();
    let file = TelemetryFile::parse(&words).map_err(TelemetryError::Refused)?;
    Ok(file.apply(&region.state(), clock::now_us()))
}
