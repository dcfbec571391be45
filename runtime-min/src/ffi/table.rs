//! Tables in the caller's memory (see [`crate::table`]), as C hands them over.

use core::ffi::c_void;

use super::code::EkCode;
use super::memory;
use crate::table::{Set, WAYS};

/// Most entries of a table.
pub(super) const ENTRIES_MAX: u32 = 1 << 24;

/// Bytes of a table with room for about so many entries; 0 for none or too many.
pub(super) fn size(entries: u32) -> usize {
    if (1..=ENTRIES_MAX).contains(&entries) { (entries as usize).div_ceil(WAYS) * size_of::<Set>() } else { 0 }
}

/// The sets of a table.
///
/// # Safety
/// - If neither NULL nor misaligned, `memory` points to `memory_size` initialised bytes,
///   which are changed by tables alone.
pub(super) unsafe fn sets<'a>(memory: *const c_void, memory_size: usize) -> Result<&'a [Set], EkCode> {
    // SAFETY: forwarded to the caller; every bit pattern is valid, and all of it is atomic.
    unsafe { memory::slice(memory.cast::<Set>(), memory_size / size_of::<Set>()) }
}
