//! The identity of a model: what pages, metrics and logs call it by.

use core::ffi::c_char;

use super::code::{EkCode, run};
use super::memory::{self, Extensible};
use super::model::{self, EkModel};
use crate::artifact::Origin;

/// Bytes of a text of an identity, with the zero byte that ends it.
pub const EK_IDENTITY_TEXT: usize = 64;

/// The identity of a model. Texts are printable ASCII without quotation marks and backslashes, cut
/// where they are longer, and end with a zero byte; what the artifact does not say is empty.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkIdentity {
    /// `sizeof(ek_identity)`, set by the caller.
    pub struct_size: u32,
    /// CRC-32 of the artifact, as `evenkeel inspect` prints it.
    pub checksum: u32,
    /// Name of the artifact.
    pub name: [c_char; EK_IDENTITY_TEXT],
    /// Version of the artifact.
    pub version: [c_char; EK_IDENTITY_TEXT],
    /// Program and version that made it.
    pub made_by: [c_char; EK_IDENTITY_TEXT],
    /// Date of its making.
    pub date: [c_char; EK_IDENTITY_TEXT],
    /// The first trace that its policy was trained on.
    pub trace: [c_char; EK_IDENTITY_TEXT],
    /// Further traces that it was trained on.
    pub more_traces: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkIdentity {}

const _: () = assert!(size_of::<EkIdentity>() == 16 + 5 * EK_IDENTITY_TEXT);

/// Reads what a model is called by.
///
/// `identity`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `model` comes from `ek_model_load`, its storage and bytes still in place.
/// - `identity` points to `identity->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_identity(model: *const EkModel, identity: *mut EkIdentity) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::required(model) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(identity) }? as u32;
        let Origin { name, version, made_by, date, trace, more_traces } = Origin::read(model.metadata_json());
        let answer = EkIdentity {
            struct_size,
            checksum: model.checksum(),
            name: printable(name),
            version: printable(version),
            made_by: printable(made_by),
            date: printable(date),
            trace: printable(trace),
            more_traces,
            reserved: 0,
        };
        // SAFETY: checked above.
        unsafe { identity.write(answer) };
        Ok(())
    })
}

/// A text that can stand in JSON, in a label and in a log as it is.
fn printable(text: &str) -> [c_char; EK_IDENTITY_TEXT] {
    let mut cut = [0; EK_IDENTITY_TEXT];
    for (place, byte) in cut.iter_mut().take(EK_IDENTITY_TEXT - 1).zip(text.bytes()) {
        let is_plain = (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
        *place = if is_plain { byte } else { b'_' } as c_char;
    }
    cut
}
