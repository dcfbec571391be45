//! Which hosts probably have a prefix cached.

use core::ffi::c_void;

use super::code::{EkCode, run};
use super::{memory, table};
use crate::affinity::Affinity;
use crate::table::Set;

/// Alignment of the memory of an affinity table, in bytes.
pub const EK_AFFINITY_ALIGNMENT: usize = 64;

/// Most entries of an affinity table.
pub const EK_AFFINITY_ENTRIES_MAX: u32 = 1 << 24;

const _: () = assert!(align_of::<Set>() == EK_AFFINITY_ALIGNMENT && EK_AFFINITY_ENTRIES_MAX == table::ENTRIES_MAX);

/// Bytes of a table with room for about `entries` sessions or prefixes; 0 if that is none
/// or more than `EK_AFFINITY_ENTRIES_MAX`. Memory filled with zeros is an empty table: there
/// is nothing to initialise, and processes may share it.
#[unsafe(no_mangle)]
pub extern "C" fn ek_affinity_size(entries: u32) -> usize {
    table::size(entries)
}

/// Writes, for each host by its index, how many of the prompt's tokens it probably has
/// cached, for `ek_request.cached_tokens`. All of the array is written.
///
/// # Safety
/// - `memory` is NULL or points to `memory_size` initialised bytes, of which all users
///   give the same size.
/// - `cached_tokens` is NULL or points to `hosts` numbers that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_affinity_lookup(
    memory: *const c_void,
    memory_size: usize,
    key: u64,
    prompt_tokens: u32,
    now_us: u64,
    cached_tokens: *mut u32,
    hosts: usize,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let sets = unsafe { table::sets(memory, memory_size) }?;
        // SAFETY: forwarded to the caller.
        let cached_tokens = unsafe { memory::slice_mut(cached_tokens, hosts) }?;
        cached_tokens.fill(0);
        Affinity::new(sets).cached_tokens(key, prompt_tokens, now_us, cached_tokens);
        Ok(())
    })
}

/// Notes that a host has processed `tokens` tokens of this key.
///
/// # Safety
/// - `memory` is NULL or points to `memory_size` initialised bytes, of which all users
///   give the same size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_affinity_note(
    memory: *mut c_void,
    memory_size: usize,
    key: u64,
    host: u32,
    tokens: u32,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let sets = unsafe { table::sets(memory, memory_size) }?;
        Affinity::new(sets).note(key, host, tokens, now_us);
        Ok(())
    })
}
