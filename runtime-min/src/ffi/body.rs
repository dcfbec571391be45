//! Readers of HTTP bodies.
//!
//! A request: `ek_body_request_accepts` says from the headers whether its body can be read;
//! then `init`, `feed` piece by piece, `read`. A response: `ek_body_response_kind`, and the
//! same. A reader changes nothing, keeps no piece, and needs no end: memory that held one is
//! simply used again.

use core::ffi::{c_char, c_void};

use super::code::{EkCode, run};
use super::memory::{self, Extensible};
use crate::body::{self, RequestBody, RequestReader, ResponseBody, ResponseKind, ResponseReader, request};

/// Alignment of the memory of a reader, in bytes.
pub const EK_BODY_ALIGNMENT: usize = 8;

/// Number of prefix keys of a request.
pub const EK_PREFIX_KEYS: usize = 5;

/// Most bytes of a request's body that are looked at.
pub const EK_BODY_REQUEST_BYTES_MAX: u64 = 1 << 20;

/// Marks a number of tokens, or the length of a body, that is not known.
pub const EK_UNKNOWN: u64 = u64::MAX;

const _: () = assert!(
    EK_PREFIX_KEYS == request::PREFIX_BYTES.len()
        && EK_BODY_REQUEST_BYTES_MAX == request::READ_BYTES_MAX
        && align_of::<EkRequestReader>() == EK_BODY_ALIGNMENT
        && align_of::<EkResponseReader>() == EK_BODY_ALIGNMENT
);

/// Mark a reader that was initialised.
const REQUEST_MARK: u64 = u64::from_le_bytes(*b"EKbodreq");
const RESPONSE_MARK: u64 = u64::from_le_bytes(*b"EKbodres");

/// Kind of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EkBodyKind {
    /// One that is not read: of another type, or compressed.
    None = 0,
    /// One JSON document.
    Json = 1,
    /// Server-sent events.
    Events = 2,
}

/// A reader of one request's body, in memory of the caller. Functions return
/// `EK_CODE_READER_FOREIGN` for memory that holds none.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct EkRequestReader {
    mark: u64,
    reader: RequestReader,
}

/// A reader of one response's body, in memory of the caller. Functions return
/// `EK_CODE_READER_FOREIGN` for memory that holds none.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct EkResponseReader {
    mark: u64,
    reader: ResponseReader,
}

/// Contents of a request's body.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkRequestBody {
    /// `sizeof(ek_request_body)`, set by the caller.
    pub struct_size: u32,
    /// Images, a video counting as one.
    pub images: u32,
    /// Pieces of audio.
    pub audios: u32,
    /// Most tokens that each answer may have, the smallest of those named; 0 if nothing, or no
    /// positive whole number, is said.
    pub max_tokens: u32,
    /// Answers that are asked for (`n`), at least 1.
    pub choices: u32,
    /// 1 if the answer is to be streamed.
    pub is_stream: u32,
    /// 1 if not all of the body was seen: it ended early, or is longer than what is looked at.
    pub truncated: u32,
    /// 0.
    pub reserved: u32,
    /// Bytes of the prompt's text in UTF-8, what was not seen included.
    pub text_bytes: u64,
    /// Tokens of the prompt that are given by number, what was not seen included.
    pub token_ids: u64,
    /// `ek_host_key` of the model's name, or of its first 256 bytes; 0 for none.
    pub model_hash: u64,
    /// `ek_host_key` of `prompt_cache_key`, else of `user`, else of `metadata.user_id`; 0 for
    /// none.
    pub session_hash: u64,
    /// Keys of the rendered prompt's first 256, 1024, 4096, 16384 and 65536 bytes, or 64, 256,
    /// 1024, 4096 and 16384 token ids; 0 where it is shorter, or was not seen. The model is not
    /// part of them.
    pub prefix_keys: [u64; EK_PREFIX_KEYS],
}

/// Contents of a response's body.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkResponseBody {
    /// `sizeof(ek_response_body)`, set by the caller.
    pub struct_size: u32,
    /// Events that carry generated content; 0 for one JSON document.
    pub content_events: u32,
    /// 1 if `output_tokens` is the number of these events, since the engine did not say it.
    pub is_counted: u32,
    /// 1 if the engine reported an error inside of the body.
    pub is_error: u32,
    /// 1 if the body came to its own end: the end mark of a stream, or a document's last byte.
    pub is_complete: u32,
    /// 0.
    pub reserved: u32,
    /// Tokens generated, or `EK_UNKNOWN`.
    pub output_tokens: u64,
    /// Tokens of the prompt, cached ones included, or `EK_UNKNOWN`.
    pub prompt_tokens: u64,
    /// Of these, tokens that came from a cache, or `EK_UNKNOWN`.
    pub cached_tokens: u64,
}

// SAFETY: `repr(C)`, begins with `struct_size: u32`, numbers alone.
unsafe impl Extensible for EkRequestBody {}
// SAFETY: `repr(C)`, begins with `struct_size: u32`, numbers alone.
unsafe impl Extensible for EkResponseBody {}

/// Returns 1 if a request with these header values has a body that can be read: not
/// compressed, and JSON or of a type that says nothing, such as none; else 0. A missing header
/// is NULL with length 0.
///
/// # Safety
/// - Each value is NULL with length 0, or points to as many initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_request_accepts(
    content_type: *const c_char,
    content_type_len: usize,
    content_encoding: *const c_char,
    content_encoding_len: usize,
) -> u32 {
    // SAFETY: forwarded to the caller.
    let headers = unsafe { headers(content_type, content_type_len, content_encoding, content_encoding_len) };
    headers.map_or(0, |(kind, encoding)| u32::from(body::is_request_read(kind, encoding)))
}

/// Bytes of a reader of a request.
#[unsafe(no_mangle)]
pub extern "C" fn ek_body_request_size() -> usize {
    size_of::<EkRequestReader>()
}

/// Makes a reader before the first byte of a request's body, whatever was in the memory.
///
/// # Safety
/// - `memory` is NULL or points to `memory_size` bytes that nobody else uses as long as the
///   reader is used.
/// - `reader` is NULL or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_request_init(
    memory: *mut c_void,
    memory_size: usize,
    reader: *mut *mut EkRequestReader,
) -> EkCode {
    let made = EkRequestReader { mark: REQUEST_MARK, reader: RequestReader::new() };
    // SAFETY: forwarded to the caller.
    run(|| unsafe { place(memory, memory_size, made, reader) })
}

/// Looks at the next piece of a request's body.
///
/// `wants_more`: gets 1 if further pieces would be looked at, 0 behind the document's end or
/// beyond `EK_BODY_REQUEST_BYTES_MAX` bytes; may be NULL. The caller may stop earlier. Members
/// behind what it has fed are then unknown: some clients send `model` and `max_tokens` after
/// the prompt.
///
/// # Safety
/// - `reader` comes from `ek_body_request_init`, its memory still in place.
/// - `piece` is NULL with `piece_len` 0, or points to as many initialised bytes.
/// - `wants_more` is NULL or points to a number that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_request_feed(
    reader: *mut EkRequestReader,
    piece: *const c_void,
    piece_len: usize,
    wants_more: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let reader = unsafe { marked(reader, REQUEST_MARK) }?;
        // SAFETY: forwarded to the caller.
        let piece = unsafe { memory::slice(piece.cast::<u8>(), piece_len) }?;
        if !wants_more.is_null() {
            memory::check(wants_more)?;
        }
        let more = reader.reader.feed(piece);
        if !wants_more.is_null() {
            // SAFETY: checked above.
            unsafe { wants_more.write(u32::from(more)) };
        }
        Ok(())
    })
}

/// Gives what a request's body says, as far as it was seen; may be called at any time.
///
/// `content_length`: the whole body's length, or `EK_UNKNOWN`. What was not seen of it is taken
/// to hold as much text, and as many token ids, as what was seen did outside of the data of
/// images and audio; and to hold neither, if what was seen ends inside of such data.
///
/// # Safety
/// - `reader` comes from `ek_body_request_init`, its memory still in place.
/// - `body` is NULL or points to a structure whose `struct_size` is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_request_read(
    reader: *const EkRequestReader,
    content_length: u64,
    body: *mut EkRequestBody,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let reader = unsafe { marked(reader.cast_mut(), REQUEST_MARK) }?;
        // SAFETY: forwarded to the caller.
        let size = unsafe { memory::struct_size(body.cast_const()) }?;
        let found = reader.reader.body((content_length != EK_UNKNOWN).then_some(content_length));
        // SAFETY: checked above.
        unsafe { body.write(EkRequestBody { struct_size: size as u32, ..found.into() }) };
        Ok(())
    })
}

/// The length in tokens of the prompt that a body says: token ids, text at `bytes_per_token`
/// (4 if that is no positive number), and so many tokens for each image and piece of audio. 0
/// only if there is nothing of these.
///
/// # Safety
/// - `body` is NULL or points to a structure that `ek_body_request_read` has filled in.
/// - `prompt_tokens` is NULL or points to a number that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_request_tokens(
    body: *const EkRequestBody,
    bytes_per_token: f32,
    tokens_per_image: u32,
    tokens_per_audio: u32,
    prompt_tokens: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let EkRequestBody { text_bytes, token_ids, images, audios, .. } = unsafe { memory::input(body) }?;
        memory::check(prompt_tokens)?;
        let body = RequestBody { text_bytes, token_ids, images, audios, ..RequestBody::default() };
        // SAFETY: checked above.
        unsafe { prompt_tokens.write(body.prompt_tokens(bytes_per_token, tokens_per_image, tokens_per_audio)) };
        Ok(())
    })
}

/// An `ek_body_kind` of a response with these header values. A missing header is NULL with
/// length 0.
///
/// # Safety
/// - Each value is NULL with length 0, or points to as many initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_response_kind(
    content_type: *const c_char,
    content_type_len: usize,
    content_encoding: *const c_char,
    content_encoding_len: usize,
) -> u32 {
    // SAFETY: forwarded to the caller.
    let headers = unsafe { headers(content_type, content_type_len, content_encoding, content_encoding_len) };
    let kind = headers.and_then(|(kind, encoding)| ResponseKind::of(kind, encoding));
    match kind {
        None => EkBodyKind::None as u32,
        Some(ResponseKind::Json) => EkBodyKind::Json as u32,
        Some(ResponseKind::Events) => EkBodyKind::Events as u32,
    }
}

/// Bytes of a reader of a response.
#[unsafe(no_mangle)]
pub extern "C" fn ek_body_response_size() -> usize {
    size_of::<EkResponseReader>()
}

/// Makes a reader before the first byte of a response's body, whatever was in the memory.
///
/// `kind`: an `ek_body_kind`. Returns `EK_CODE_ENUMERATION` for `EK_BODY_KIND_NONE`, whose bodies
/// are not read.
///
/// # Safety
/// - `memory` is NULL or points to `memory_size` bytes that nobody else uses as long as the
///   reader is used.
/// - `reader` is NULL or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_response_init(
    memory: *mut c_void,
    memory_size: usize,
    kind: u32,
    reader: *mut *mut EkResponseReader,
) -> EkCode {
    run(|| {
        let kind = match kind {
            kind if kind == EkBodyKind::Json as u32 => ResponseKind::Json,
            kind if kind == EkBodyKind::Events as u32 => ResponseKind::Events,
            _ => return Err(EkCode::Enumeration),
        };
        let made = EkResponseReader { mark: RESPONSE_MARK, reader: ResponseReader::new(kind) };
        // SAFETY: forwarded to the caller.
        unsafe { place(memory, memory_size, made, reader) }
    })
}

/// Looks at the next piece of a response's body.
///
/// `is_first_token`: gets 1 if the first generated content is in this piece, else 0; may be
/// NULL. That is so once, and for streams alone; roles, empty texts, comments and pings are
/// no content.
///
/// # Safety
/// - `reader` comes from `ek_body_response_init`, its memory still in place.
/// - `piece` is NULL with `piece_len` 0, or points to as many initialised bytes.
/// - `is_first_token` is NULL or points to a number that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_response_feed(
    reader: *mut EkResponseReader,
    piece: *const c_void,
    piece_len: usize,
    is_first_token: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let reader = unsafe { marked(reader, RESPONSE_MARK) }?;
        // SAFETY: forwarded to the caller.
        let piece = unsafe { memory::slice(piece.cast::<u8>(), piece_len) }?;
        if !is_first_token.is_null() {
            memory::check(is_first_token)?;
        }
        let is_first = reader.reader.feed(piece);
        if !is_first_token.is_null() {
            // SAFETY: checked above.
            unsafe { is_first_token.write(u32::from(is_first)) };
        }
        Ok(())
    })
}

/// Gives what a response's body says so far; may be called at any time.
///
/// # Safety
/// - `reader` comes from `ek_body_response_init`, its memory still in place.
/// - `body` is NULL or points to a structure whose `struct_size` is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_body_response_read(reader: *const EkResponseReader, body: *mut EkResponseBody) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let reader = unsafe { marked(reader.cast_mut(), RESPONSE_MARK) }?;
        // SAFETY: forwarded to the caller.
        let size = unsafe { memory::struct_size(body.cast_const()) }?;
        let found = reader.reader.body();
        // SAFETY: checked above.
        unsafe { body.write(EkResponseBody { struct_size: size as u32, ..found.into() }) };
        Ok(())
    })
}

impl From<RequestBody> for EkRequestBody {
    fn from(body: RequestBody) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            images: body.images,
            audios: body.audios,
            max_tokens: body.max_tokens,
            choices: body.choices,
            is_stream: u32::from(body.is_stream),
            truncated: u32::from(body.truncated),
            reserved: 0,
            text_bytes: body.text_bytes,
            token_ids: body.token_ids,
            model_hash: body.model_hash,
            session_hash: body.session_hash,
            prefix_keys: body.prefix_keys,
        }
    }
}

impl From<ResponseBody> for EkResponseBody {
    fn from(body: ResponseBody) -> Self {
        let or_unknown = |tokens: Option<u32>| tokens.map_or(EK_UNKNOWN, u64::from);
        Self {
            struct_size: size_of::<Self>() as u32,
            content_events: body.content_events,
            is_counted: u32::from(body.is_counted),
            is_error: u32::from(body.is_error),
            is_complete: u32::from(body.is_complete),
            reserved: 0,
            output_tokens: or_unknown(body.output_tokens),
            prompt_tokens: or_unknown(body.prompt_tokens),
            cached_tokens: or_unknown(body.cached_tokens),
        }
    }
}

/// Puts a new reader into the caller's memory.
///
/// # Safety
/// - If neither NULL nor misaligned, `memory` points to `memory_size` bytes that nobody else
///   uses, and `reader` to a pointer that may be written.
unsafe fn place<R>(memory: *mut c_void, memory_size: usize, made: R, reader: *mut *mut R) -> Result<(), EkCode> {
    let room = memory.cast::<R>();
    memory::check(room)?;
    memory::check(reader)?;
    if memory_size < size_of::<R>() {
        return Err(EkCode::MemorySize);
    }
    // SAFETY: checked above.
    unsafe { room.write(made) };
    // SAFETY: checked above.
    unsafe { reader.write(room) };
    Ok(())
}

/// A reader of the caller's.
///
/// # Safety
/// - `R` is `repr(C)`, and its first field is its mark, a `u64`.
/// - If neither NULL nor misaligned, `reader` points to as many readable bytes as an `R` has,
///   and is one that nobody else uses during `'a` if it carries the mark.
unsafe fn marked<'a, R>(reader: *mut R, mark: u64) -> Result<&'a mut R, EkCode> {
    memory::check(reader)?;
    // SAFETY: aligned, and the caller vouches for the bytes. Only the mark is read yet.
    if unsafe { reader.cast::<u64>().read() } != mark {
        return Err(EkCode::ReaderForeign);
    }
    // SAFETY: it carries the mark, so that `place` wrote all of it.
    Ok(unsafe { &mut *reader })
}

/// The values of two headers.
///
/// # Safety
/// - Each value is NULL with length 0, or points to as many initialised bytes.
unsafe fn headers<'a>(
    content_type: *const c_char,
    content_type_len: usize,
    content_encoding: *const c_char,
    content_encoding_len: usize,
) -> Option<(&'a [u8], &'a [u8])> {
    // SAFETY: forwarded to the caller.
    let content_type = unsafe { memory::slice(content_type.cast::<u8>(), content_type_len) }.ok()?;
    // SAFETY: forwarded to the caller.
    let content_encoding = unsafe { memory::slice(content_encoding.cast::<u8>(), content_encoding_len) }.ok()?;
    Some((content_type, content_encoding))
}
