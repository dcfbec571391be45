//! How many tokens requests of a class generate.

use core::ffi::c_void;

use super::code::{EkCode, run};
use super::{memory, table};
use crate::classes::Classes;
use crate::table::Set;

/// Alignment of the memory of a class table, in bytes.
pub const EK_CLASSES_ALIGNMENT: usize = 64;

/// Most entries of a class table.
pub const EK_CLASSES_ENTRIES_MAX: u32 = 1 << 24;

const _: () = assert!(align_of::<Set>() == EK_CLASSES_ALIGNMENT && EK_CLASSES_ENTRIES_MAX == table::ENTRIES_MAX);

/// Bytes of a table with room for about `entries` classes of requests; 0 if that is none
/// or more than `EK_CLASSES_ENTRIES_MAX`. Memory filled with zeros is an empty table: there
/// is nothing to initialise, and processes may share it.
#[unsafe(no_mangle)]
pub extern "C" fn ek_classes_size(entries: u32) -> usize {
    table::size(entries)
}

/// Tokens that a request of this class will probably generate, for
/// `ek_request.output_tokens`: the mean over responses that were noted for the class.
///
/// `class_key`: any number but 0 that stands for what tells requests apart before they are
/// answered (a model's name, an adapter, a route, a priority), such as `ek_host_key` of its
/// text.
/// `output_tokens`: gets the mean, or 0 for a class that fewer than 8 responses were noted
/// for.
///
/// # Safety
/// - `memory` is NULL or points to `memory_size` initialised bytes, of which all users
///   give the same size.
/// - `output_tokens` points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_classes_expected(
    memory: *const c_void,
    memory_size: usize,
    class_key: u64,
    output_tokens: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let sets = unsafe { table::sets(memory, memory_size) }?;
        memory::check(output_tokens)?;
        // SAFETY: checked above.
        unsafe { output_tokens.write(Classes::new(sets).expected_output_tokens(class_key).unwrap_or(0)) };
        Ok(())
    })
}

/// Notes how many tokens a response of this class had; 0 says nothing and changes nothing.
/// The class that was noted longest ago makes room for a new one.
///
/// # Safety
/// - `memory` is NULL or points to `memory_size` initialised bytes, of which all users
///   give the same size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_classes_note(
    memory: *mut c_void,
    memory_size: usize,
    class_key: u64,
    output_tokens: u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let sets = unsafe { table::sets(memory, memory_size) }?;
        Classes::new(sets).note(class_key, output_tokens);
        Ok(())
    })
}
