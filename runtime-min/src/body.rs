//! Readers of HTTP bodies: what a request asks for, and what a response says it took.
//!
//! A proxy hands over pieces of a body as they pass. A reader keeps a small state of fixed
//! size in the caller's memory, changes nothing, allocates nothing, refuses nothing: what it
//! does not understand counts for nothing. Results do not depend on how a body is cut.
//!
//! | Part | What it is |
//! |---|---|
//! | [`request`] | prompt's length, images, limits, model, keys of the prompt's beginning |
//! | [`response`] | output, prompt and cached tokens; first token; error; end |
//!
//! Both stand on one incremental JSON scanner (`json`), which never builds a tree.
//! Compressed bodies and gRPC are not read: [`is_request_read`] and [`ResponseKind::of`] say
//! which are.

mod chain;
mod escape;
mod events;
mod find;
mod json;
pub mod request;
pub mod response;

pub use request::{RequestBody, RequestReader};
pub use response::{ResponseBody, ResponseKind, ResponseReader};

/// Returns whether a request with these header values has a body that [`RequestReader`]
/// reads: not compressed, and JSON or of a type that says nothing.
///
/// A missing header is an empty value. Engines that do not look at the type take JSON under
/// the one that `curl -d` sends, `application/x-www-form-urlencoded`, so that it is read; if
/// it is a form after all, the reader finds nothing in it.
pub fn is_request_read(content_type: &[u8], content_encoding: &[u8]) -> bool {
    let kind = media_type(content_type);
    let unspecific: [&[u8]; 3] = [b"", b"text/plain", b"application/x-www-form-urlencoded"];
    is_identity(content_encoding) && (is_json(kind) || unspecific.iter().any(|known| kind.eq_ignore_ascii_case(known)))
}

/// Returns whether a `Content-Type` value is that of JSON: `application/json`, `text/json`, or a
/// type that ends in `+json`.
pub fn is_json(content_type: &[u8]) -> bool {
    let kind = media_type(content_type);
    let known: [&[u8]; 2] = [b"application/json", b"text/json"];
    let suffix = kind.len().checked_sub(5).and_then(|at| kind.get(at..));
    known.iter().any(|known| kind.eq_ignore_ascii_case(known))
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

/// The type and subtype of a `Content-Type` value, without its parameters.
fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// No `Content-Encoding`, or the one that changes nothing.
fn is_identity(content_encoding: &[u8]) -> bool {
    let encoding = content_encoding.trim_ascii();
    encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
}
