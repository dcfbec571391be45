//! Raw pointers in, references or codes out. All that is taken on trust from C is taken
//! here: that a pointer which is neither NULL nor misaligned points to as much
//! initialised memory as the caller says.

use super::code::EkCode;

/// Largest `struct_size` that is believed: beyond it the field is garbage.
const STRUCT_SIZE_MAX: usize = 4096;

/// A structure that may grow in later versions.
///
/// # Safety
/// The type is `repr(C)`, its first field is `struct_size: u32`, and every bit pattern of
/// it is valid.
pub(super) unsafe trait Extensible: Copy {}

/// Refuses NULL and misaligned pointers.
pub(super) fn check<T>(pointer: *const T) -> Result<(), EkCode> {
    if pointer.is_null() {
        Err(EkCode::NullPointer)
    } else if pointer.is_aligned() {
        Ok(())
    } else {
        Err(EkCode::Misaligned)
    }
}

/// Reads a structure that the caller filled in. A caller built against a newer header may
/// hand over a longer one, so long as it is zero beyond what this version knows.
///
/// # Safety
/// - If neither NULL nor misaligned, `pointer` points to a `u32`, and to as many
///   initialised bytes as this says.
pub(super) unsafe fn input<T: Extensible>(pointer: *const T) -> Result<T, EkCode> {
    // SAFETY: forwarded to the caller.
    let size = unsafe { struct_size(pointer) }?;
    // SAFETY: the caller vouches for `size` initialised bytes.
    let bytes = unsafe { core::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    if bytes[size_of::<T>()..].iter().any(|byte| *byte != 0) {
        return Err(EkCode::StructSize);
    }
    // SAFETY: checked, aligned, and at least as long as `T`; every bit pattern is valid.
    Ok(unsafe { pointer.read() })
}

/// Size that the caller gives for a structure: at least that of `T`.
///
/// # Safety
/// - If neither NULL nor misaligned, `pointer` points to an initialised `u32`.
pub(super) unsafe fn struct_size<T: Extensible>(pointer: *const T) -> Result<usize, EkCode> {
    check(pointer)?;
    // SAFETY: `Extensible` types begin with a `u32`, which the caller initialised.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    if (size_of::<T>()..=STRUCT_SIZE_MAX).contains(&size) { Ok(size) } else { Err(EkCode::StructSize) }
}

/// Takes a pointer to an array; NULL is an empty one if `len` is 0.
///
/// # Safety
/// - If neither NULL nor misaligned, `pointer` points to `len` initialised `T`s which
///   nobody writes to during `'a`.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], EkCode> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer)?;
    fits::<T>(len)?;
    // SAFETY: checked above; length and lifetime are the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(pointer, len) })
}

/// Takes a pointer to an array that is written to; NULL is an empty one if `len` is 0.
///
/// # Safety
/// - If neither NULL nor misaligned, `pointer` points to `len` initialised `T`s which
///   nobody else uses during `'a`.
pub(super) unsafe fn slice_mut<'a, T>(pointer: *mut T, len: usize) -> Result<&'a mut [T], EkCode> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(pointer)?;
    fits::<T>(len)?;
    // SAFETY: checked above; length and exclusiveness are the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer, len) })
}

/// Refuses a length that no array in memory can have.
fn fits<T>(len: usize) -> Result<(), EkCode> {
    let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| isize::try_from(*bytes).is_ok());
    bytes.map(|_| ()).ok_or(EkCode::MemorySize)
}
