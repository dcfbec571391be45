//! The agent's telemetry file, as proxies read it.
//!
//! A proxy maps the file read-only and hands over the mapping; the layout is described in
//! `telemetry_file.rs`. Nothing is kept between two calls, so that a proxy may map anew
//! whenever it likes.

use core::ffi::{c_char, c_void};
use core::sync::atomic::AtomicU64;

use super::code::{EkCode, run};
use super::memory;
use super::upstream::{self, EkUpstream};
use crate::telemetry_file::{self, FileError, TelemetryFile};

impl From<FileError> for EkCode {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Truncated => Self::MemorySize,
            FileError::Magic | FileError::Version | FileError::Slots => Self::ReportFormat,
        }
    }
}

/// The key under which a host stands in the telemetry file, and should be registered: FNV-1a
/// of its address, as `10.0.0.1:8000` or `[::1]:8000`. 0 if `address` is NULL.
///
/// # Safety
/// - `address` is NULL or points to `address_len` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_key(address: *const c_char, address_len: usize) -> u64 {
    if address.is_null() {
        return 0;
    }
    // SAFETY: forwarded to the caller.
    let address = unsafe { memory::slice(address.cast::<u8>(), address_len) };
    address.map_or(0, telemetry_file::host_key)
}

/// Hands every host of the upstream its latest report from the telemetry file. Cheap enough for
/// a timer of some tens of milliseconds: a lookup for each host.
///
/// `file`: the file as mapped, 8-byte aligned, of `file_size` bytes, which may change at any
/// time. Returns `EK_CODE_REPORT_FORMAT` for what is no telemetry file, or of another
/// version, and `EK_CODE_MEMORY_SIZE` for one that is too short.
/// `taken`: how many reports were news; may be NULL.
///
/// # Safety
/// - `file` points to `file_size` bytes that can be read, and are written by atomic stores of
///   8 bytes alone, if at all.
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `taken` is NULL or points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_telemetry_file_apply(
    file: *const c_void,
    file_size: usize,
    upstream: *mut EkUpstream,
    now_us: u64,
    taken: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let file = unsafe { view(file, file_size) }?;
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        if !taken.is_null() {
            memory::check(taken)?;
        }
        let news = file.apply(upstream.state(), now_us);
        if !taken.is_null() {
            // SAFETY: checked above.
            unsafe { taken.write(news) };
        }
        Ok(())
    })
}

/// Reads when the agent last went round, in microseconds of the system's monotonic clock: whoever
/// maps the file sees from it whether the agent lives.
///
/// # Safety
/// - `file` is as for `ek_telemetry_file_apply`.
/// - `heartbeat_us` points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_telemetry_file_heartbeat(
    file: *const c_void,
    file_size: usize,
    heartbeat_us: *mut u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let file = unsafe { view(file, file_size) }?;
        memory::check(heartbeat_us)?;
        // SAFETY: checked above.
        unsafe { heartbeat_us.write(file.heartbeat_us()) };
        Ok(())
    })
}

/// Takes the mapping for words and checks their header.
///
/// # Safety
/// - If neither NULL nor misaligned, `file` points to `file_size` readable bytes during `'a`,
///   which are written by atomic stores alone.
unsafe fn view<'a>(file: *const c_void, file_size: usize) -> Result<TelemetryFile<'a>, EkCode> {
    // SAFETY: forwarded to the caller; atomics may be read from memory that is read-only.
    let words = unsafe { memory::slice(file.cast::<AtomicU64>(), file_size / size_of::<AtomicU64>()) }?;
    Ok(TelemetryFile::parse(words)?)
}
