//! Models in the caller's memory.

use core::ffi::{c_char, c_void};

use super::code::{EkCode, run};
use super::memory;
use crate::artifact::Model;

/// Alignment in bytes of the storage of a model.
pub const EK_MODEL_ALIGNMENT: usize = 64;

const MAGIC: u64 = u64::from_le_bytes(*b"EKmodel1");

/// A loaded model. It lives in storage of the caller and refers to the artifact's bytes:
/// both must stay in place, unchanged, as long as it is used. Any number of threads may
/// use it at once.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct EkModel {
    /// First, so that of memory that is something else no more than this is read.
    magic: u64,
    model: Model<'static>,
}

const _: () = assert!(align_of::<EkModel>() == EK_MODEL_ALIGNMENT);

/// Size in bytes of the storage of a model.
#[unsafe(no_mangle)]
pub extern "C" fn ek_model_size() -> usize {
    size_of::<EkModel>()
}

/// Validates an artifact and makes a model of it, once; what uses the model afterwards
/// cannot fail.
///
/// `bytes`: the artifact, `bytes_len` long. They must outlive the model. For speed, align
/// them to 64 bytes.
/// `storage`: `ek_model_size()` bytes or more, aligned to `EK_MODEL_ALIGNMENT`.
/// `model`: gets the model, which is the storage itself.
///
/// # Safety
/// - `bytes` points to `bytes_len` bytes that outlive the model and are not written to.
/// - `storage` points to `storage_size` bytes which are the model's as long as it is used.
/// - `model` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_load(
    bytes: *const c_void,
    bytes_len: usize,
    storage: *mut c_void,
    storage_size: usize,
    model: *mut *const EkModel,
) -> EkCode {
    run(|| {
        let place = storage.cast::<EkModel>();
        memory::check(bytes)?;
        memory::check(place)?;
        memory::check(model)?;
        if storage_size < size_of::<EkModel>() {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: the bytes outlive the model, says the caller; "static" stands for that.
        let artifact: &'static [u8] = unsafe { memory::slice(bytes.cast(), bytes_len) }?;
        let loaded = EkModel { magic: MAGIC, model: Model::parse(artifact)? };
        // SAFETY: `place` is aligned and large enough, and the caller's to give.
        unsafe { place.write(loaded) };
        // SAFETY: checked above.
        unsafe { model.write(place) };
        Ok(())
    })
}

/// Reads the origin of a model: training data, seed, date, tool version, figures, as JSON.
///
/// `json`: gets the text, UTF-8, *not* ended by a zero byte, part of the artifact's bytes.
/// `json_len`: gets its length in bytes.
///
/// # Safety
/// - `model` comes from `ek_model_load`, its storage and bytes still in place.
/// - `json` points to a pointer, `json_len` to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_metadata(
    model: *const EkModel,
    json: *mut *const c_char,
    json_len: *mut usize,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { required(model) }?;
        memory::check(json)?;
        memory::check(json_len)?;
        let text = model.metadata_json();
        // SAFETY: checked above.
        unsafe { json.write(text.as_ptr().cast()) };
        // SAFETY: checked above.
        unsafe { json_len.write(text.len()) };
        Ok(())
    })
}

/// The model behind a pointer; NULL is refused.
///
/// # Safety
/// - If neither NULL nor misaligned, `model` points to as many readable bytes as an
///   [`EkModel`] has, and comes from `ek_model_load` if it carries its mark.
pub(super) unsafe fn required<'a>(model: *const EkModel) -> Result<&'a Model<'static>, EkCode> {
    memory::check(model)?;
    // SAFETY: aligned, and the caller vouches for the bytes. Only the mark is read yet.
    if unsafe { (&raw const (*model).magic).read() } != MAGIC {
        return Err(EkCode::ModelForeign);
    }
    // SAFETY: it carries the mark, so `ek_model_load` wrote all of it.
    Ok(unsafe { &(*model).model })
}

/// The model behind a pointer; `None` for NULL.
///
/// # Safety
/// - As [`required`].
pub(super) unsafe fn optional<'a>(model: *const EkModel) -> Result<Option<&'a Model<'static>>, EkCode> {
    if model.is_null() {
        return Ok(None);
    }
    // SAFETY: forwarded to the caller.
    unsafe { required(model) }.map(Some)
}
