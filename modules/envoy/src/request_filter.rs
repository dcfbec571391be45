//! The HTTP filter of requests, before a host is chosen: it reads what their bodies say, and does
//! what Envoy's panic mode does.

use evenkeel_runtime::affinity::Keys;
use evenkeel_runtime::body::request::{BYTES_PER_TOKEN, TOKENS_PER_AUDIO, TOKENS_PER_IMAGE};
use evenkeel_runtime::body::{self, RequestBody, RequestReader};
use evenkeel_runtime::upstream::Facts;
use serde::{Deserialize, Deserializer};

use crate::decimal;
use crate::envoy::FilterView;
use crate::facts;
use crate::fields;
use crate::worker::Worker;

/// Most bytes of a request's body that are read, and that the request is held back for.
const BODY_BYTES: usize = 64 << 10;

/// Options of the filter.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RequestOptions {
    /// Whether bodies are read.
    #[serde(deserialize_with = "fields::switch")]
    bodies: bool,
    /// Percent of healthy hosts below which health is not believed; 0 for never.
    #[serde(deserialize_with = "percent")]
    panic_percent: u32,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self { bodies: true, panic_percent: 0 }
    }
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    fields::number(deserializer, 0.0..=100.0, "0 to 100").map(|percent| percent as u32)
}

/// Progress of a request through the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The request is held back until so many bytes of its body have come.
    Held { bytes: usize },
    /// The request has gone on; what is left of its body passes.
    Passed,
}

/// Reads the head of a request.
pub(crate) fn headers(options: &RequestOptions, view: FilterView<'_>, end_of_stream: bool) -> Stage {
    let is_read = options.bodies && !end_of_stream;
    let bytes = is_read.then(|| Announcement::of(view).bytes_to_wait_for()).flatten();
    // Set by nobody but this filter.
    view.set_request_header(facts::HEADER, None);
    panic_mode(options, view);
    bytes.map_or(Stage::Passed, |bytes| Stage::Held { bytes })
}

/// Reads a piece of a request's body, or its end.
pub(crate) fn body(stage: Stage, view: FilterView<'_>, end_of_stream: bool) -> Stage {
    let Stage::Held { bytes: wanted } = stage else { return stage };
    let bytes = view.body_bytes();
    if !end_of_stream && bytes < wanted {
        return stage;
    }
    let announced = view.request_header(b"content-length").map_or(0, decimal::parse) as usize;
    let read = read(view, bytes.max(announced));
    let facts = facts_of(&read);
    if facts != Facts::default() {
        view.set_request_header(facts::HEADER, Some(facts::encode(&facts).as_bytes()));
    }
    // Until the engine has counted them.
    let estimated = read.prompt_tokens(BYTES_PER_TOKEN, TOKENS_PER_IMAGE, TOKENS_PER_AUDIO);
    if estimated > 0 {
        view.set_metadata("prompt_tokens", f64::from(estimated));
    }
    Stage::Passed
}

/// Reads the beginning of a body of so many bytes.
fn read(view: FilterView<'_>, body_bytes: usize) -> RequestBody {
    let mut reader = RequestReader::new();
    let mut room = BODY_BYTES;
    for piece in view.request_pieces() {
        let piece = piece.get(..room).unwrap_or(piece);
        room -= piece.len();
        if !reader.feed(piece) || room == 0 {
            break;
        }
    }
    reader.body(Some(body_bytes as u64))
}

fn facts_of(body: &RequestBody) -> Facts {
    Facts {
        prompt_tokens: body.other_tokens(TOKENS_PER_IMAGE, TOKENS_PER_AUDIO),
        text_bytes: u32::try_from(body.text_bytes).unwrap_or(u32::MAX),
        output_tokens_max: body.max_tokens,
        keys: Keys { prefixes: body.prefix_keys, session: body.session_hash },
        class: body.model_hash,
    }
}

/// The body that the head of a request announces.
///
/// Whatever this filter does not know about the body, nobody must notice: a client that waits
/// for an answer before it sends (more of) its body would wait for ever, and a body that is held
/// back beyond what Envoy buffers would be refused with 413.
#[derive(Clone, Copy, Debug)]
struct Announcement {
    /// It may be one that the reader understands.
    is_read: bool,
    /// It is JSON by its type, and not one of the types under which some clients send it.
    is_json: bool,
    /// Bytes of the body, where that is said.
    length: Option<usize>,
    /// The client waits for an answer first, or asks for a connection in place of an answer.
    waits: bool,
    /// Bytes that Envoy buffers; 0 for any number.
    buffer_limit: u64,
}

impl Announcement {
    fn of(view: FilterView<'_>) -> Self {
        let header = |name| view.request_header(name).unwrap_or_default();
        let (kind, encoding) = (header(b"content-type"), header(b"content-encoding"));
        let waits = [&b"expect"[..], b"upgrade"].into_iter().any(|name| view.request_header(name).is_some());
        Self {
            is_read: body::is_request_read(kind, encoding),
            is_json: body::is_json(kind),
            length: view.request_header(b"content-length").map(|length| decimal::parse(length) as usize),
            waits: waits || header(b":method") == b"CONNECT",
            buffer_limit: view.buffer_limit(),
        }
    }

    /// Bytes of the body to hold the request back for; `None` to let it go on at once.
    fn bytes_to_wait_for(&self) -> Option<usize> {
        if !self.is_read || self.waits || self.length.is_none() && !self.is_json {
            return None;
        }
        // Without a length there may be no more than one piece before an answer has come.
        let wanted = self.length.map_or(1, |length| length.min(BODY_BYTES));
        let limit = usize::try_from(self.buffer_limit).unwrap_or(usize::MAX);
        let bytes = if limit == 0 { wanted } else { wanted.min(limit) };
        (bytes > 0).then_some(bytes)
    }
}

fn panic_mode(options: &RequestOptions, view: FilterView<'_>) {
    if options.panic_percent == 0 {
        return;
    }
    if let Some(worker) = view.cluster().and_then(Worker::find)
        && let Some(host) = worker.panic_mode.borrow_mut().host(options.panic_percent)
    {
        view.prefer_host(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: Announcement =
        Announcement { is_read: true, is_json: true, length: Some(1_000), waits: false, buffer_limit: 1 << 20 };

    #[test]
    fn no_more_is_held_back_than_is_certain_to_come_and_may_be_kept() {
        let long = Announcement { length: Some(1 << 20), ..BODY };
        let chunked = Announcement { length: None, ..BODY };
        for (announced, bytes) in [
            (BODY, Some(1_000)),
            (long, Some(BODY_BYTES)),
            (Announcement { buffer_limit: 0, ..long }, Some(BODY_BYTES)),
            (Announcement { buffer_limit: 1_024, ..long }, Some(1_024)),
            (Announcement { length: Some(0), ..BODY }, None),
            (Announcement { is_json: false, ..BODY }, Some(1_000)),
            (Announcement { is_read: false, ..BODY }, None),
            (Announcement { waits: true, ..BODY }, None),
            (chunked, Some(1)),
            (Announcement { is_json: false, ..chunked }, None),
        ] {
            assert_eq!(announced.bytes_to_wait_for(), bytes, "{announced:?}");
        }
    }
}
