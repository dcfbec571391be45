//! The HTTP filters: one for requests, before a host is chosen, and one for responses, in
//! the cluster's own filter chain.

use memchr::memmem;
use serde::{Deserialize, Deserializer};

use crate::envoy::FilterView;
use crate::feedback::{self, Claim, ORCA_HEADER};
use crate::fields::{self, ConfigError, HeaderName, NoFields};
use crate::openai;
use crate::outcome::GRPC_STATUS_HEADER;
use crate::prompt;
use crate::usage::Usage;
use crate::worker::Worker;

/// Most bytes of a request's body that are read, and that the request is held back for.
const BODY_BYTES: usize = 64 << 10;

/// A filter's configuration.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Measures prompts, and does what Envoy's panic mode does.
    Request(RequestOptions),
    /// Tells of responses as soon as they begin.
    Response,
}

/// Options of the request filter.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RequestOptions {
    /// Header that is set to the prompt's length in tokens.
    tokens: HeaderName,
    /// Header that is set to the key of the prompt's beginning.
    key: HeaderName,
    /// Header that is set to the model's name.
    class: HeaderName,
    /// Header that is set to the most tokens that may be generated.
    max_tokens: HeaderName,
    /// Percent of healthy hosts below which health is not believed; 0 for never.
    #[serde(deserialize_with = "percent")]
    panic_percent: u32,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            tokens: HeaderName::known("x-evenkeel-prompt-tokens"),
            key: HeaderName::known("x-evenkeel-prefix"),
            class: HeaderName::known("x-evenkeel-class"),
            max_tokens: HeaderName::known("x-evenkeel-max-tokens"),
            panic_percent: 0,
        }
    }
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    fields::number(deserializer, 0.0..=100.0, "0 to 100").map(|percent| percent as u32)
}

/// Reason for refusing a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("filter_name is {0:?}, expected \"request\" or \"response\"")]
    Name(String),
    #[error("filter_config: {0}")]
    Config(#[from] ConfigError),
}

impl Kind {
    pub(crate) fn parse(name: &[u8], json: &[u8]) -> Result<Self, FilterError> {
        match name {
            b"request" => Ok(Self::Request(fields::parse(json)?)),
            b"response" => {
                let NoFields {} = fields::parse(json)?;
                Ok(Self::Response)
            }
            _ => Err(FilterError::Name(String::from_utf8_lossy(name).into())),
        }
    }
}

/// A filter at work on one stream.
#[derive(Debug)]
pub(crate) enum Stream<'c> {
    Request { options: &'c RequestOptions, stage: Stage },
    Response(Option<Reply>),
}

/// Progress of a request through the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The request is held back until so many bytes of its body have come.
    Held { bytes: usize },
    /// The request has gone on; what is left of its body passes.
    Passed,
}

/// A response that is waited for, or under way.
#[derive(Debug)]
pub(crate) struct Reply {
    claim: Claim,
    /// Counts its tokens, if it is of a kind that has some.
    usage: Option<Usage>,
    /// Marks the first token, which has not come yet.
    first: Option<FirstToken>,
}

/// Mark of the first token in a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstToken {
    /// The first bytes.
    Bytes,
    /// The first event: comments before it keep the connection alive.
    Event,
}

impl FirstToken {
    fn of(content_type: &[u8]) -> Self {
        if media_type(content_type).eq_ignore_ascii_case(b"text/event-stream") { Self::Event } else { Self::Bytes }
    }

    fn is_in(self, piece: &[u8]) -> bool {
        match self {
            Self::Bytes => !piece.is_empty(),
            Self::Event => memmem::find(piece, b"data:").is_some(),
        }
    }
}

impl<'c> Stream<'c> {
    pub(crate) fn new(kind: &'c Kind) -> Self {
        match kind {
            Kind::Request(options) => Self::Request { options, stage: Stage::Passed },
            Kind::Response => Self::Response(None),
        }
    }

    /// Reads the head of a request. Returns `false` to hold it back until its body has come.
    pub(crate) fn request_headers(&mut self, view: FilterView<'_>, end_of_stream: bool) -> bool {
        match self {
            Self::Request { options, stage } => {
                if !end_of_stream && view.request_header(b"content-type").is_some_and(is_json) {
                    let announced =
                        view.request_header(b"content-length").map(|length| prompt::number(length) as usize);
                    let expects_continue = view.request_header(b"expect").is_some();
                    let bytes = bytes_to_wait_for(announced, expects_continue, view.buffer_limit());
                    *stage = bytes.map_or(Stage::Passed, |bytes| Stage::Held { bytes });
                }
                // What a client says of its own request is not believed.
                for name in [&options.tokens, &options.key, &options.class, &options.max_tokens] {
                    view.set_request_header(name.as_bytes(), None);
                }
                panic_mode(options, view);
                *stage == Stage::Passed
            }
            Self::Response(reply) => {
                let sent = view.cluster().zip(view.host_address());
                let claim = sent.and_then(|(cluster, host)| feedback::sent(cluster, host));
                *reply = claim.map(|claim| Reply { claim, usage: None, first: None });
                true
            }
        }
    }

    /// Reads a piece of a request's body, or its end. Returns `false` to hold the request back
    /// until more has come.
    pub(crate) fn request_body(&mut self, view: FilterView<'_>, end_of_stream: bool) -> bool {
        let Self::Request { options, stage } = self else { return true };
        let Stage::Held { bytes: wanted } = *stage else { return true };
        let bytes = view.body_bytes();
        if !end_of_stream && bytes < wanted {
            return false;
        }
        *stage = Stage::Passed;
        let announced = view.request_header(b"content-length").map_or(0, prompt::number) as usize;
        let beginning = view.body_beginning(BODY_BYTES);
        let facts = openai::read(&beginning, bytes.max(announced));
        let tell = |name: &HeaderName, value: &[u8]| view.set_request_header(name.as_bytes(), Some(value));
        if facts.key != 0 {
            tell(&options.tokens, facts.prompt_tokens.to_string().as_bytes());
            tell(&options.key, format!("{:016x}", facts.key).as_bytes());
        }
        if let Some(model) = facts.model {
            tell(&options.class, model);
        }
        if facts.max_tokens != 0 {
            tell(&options.max_tokens, facts.max_tokens.to_string().as_bytes());
        }
        true
    }

    /// Reads the head of a response.
    pub(crate) fn response_headers(&mut self, view: FilterView<'_>, end_of_stream: bool) {
        let Self::Response(Some(reply)) = self else { return };
        if let Some(report) = view.response_header(ORCA_HEADER) {
            feedback::report(&reply.claim, report);
        }
        let content_type = view.response_header(b"content-type").unwrap_or_default();
        reply.usage = Usage::of(content_type);
        // Errors are quick, and have no tokens.
        let is_success = view.response_header(b":status").is_some_and(|status| status.starts_with(b"2"));
        let is_call_failed = view.response_header(GRPC_STATUS_HEADER).is_some_and(|status| status != b"0");
        reply.first = (is_success && !is_call_failed).then(|| FirstToken::of(content_type));
        if end_of_stream {
            self.response_end(view);
        }
    }

    /// Reads a piece of a response's body.
    pub(crate) fn response_body(&mut self, view: FilterView<'_>, end_of_stream: bool) {
        let Self::Response(Some(reply)) = self else { return };
        if reply.first.is_some() || reply.usage.is_some() {
            for piece in view.response_pieces() {
                if reply.first.is_some_and(|first| first.is_in(piece)) {
                    reply.first = None;
                    let after = feedback::first_token(&reply.claim);
                    view.set_metadata("first_token_ms", after.as_micros() as f64 * 1e-3);
                }
                if let Some(usage) = &mut reply.usage {
                    usage.read(piece);
                }
            }
        }
        if end_of_stream {
            self.response_end(view);
        }
    }

    /// Takes the end of a response.
    pub(crate) fn response_end(&self, view: FilterView<'_>) {
        let Self::Response(Some(Reply { claim, usage, .. })) = self else { return };
        let tokens = usage.as_ref().map_or(0, Usage::tokens);
        if tokens > 0 {
            view.set_metadata("output_tokens", f64::from(tokens));
        }
        feedback::response_ended(claim, tokens);
    }
}

/// Bytes of a request's body to hold it back for; `None` to let it go on at once.
///
/// Whatever this filter does not know about the body, nobody must notice: a client that waits
/// for an answer before it sends (more of) its body would wait for ever, and a body that is
/// held back beyond Envoy's `buffer_limit` (0 for none) would be refused with 413.
fn bytes_to_wait_for(announced: Option<usize>, expects_continue: bool, buffer_limit: u64) -> Option<usize> {
    if expects_continue {
        return None;
    }
    // Without a length there may be no more than one piece before an answer has come.
    let wanted = announced.map_or(1, |length| length.min(BODY_BYTES));
    let limit = usize::try_from(buffer_limit).unwrap_or(usize::MAX);
    Some(if limit == 0 { wanted } else { wanted.min(limit) })
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

fn is_json(content_type: &[u8]) -> bool {
    media_type(content_type).eq_ignore_ascii_case(b"application/json")
}

/// The type without its parameters.
pub(crate) fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_back_than_is_certain_to_come_and_may_be_kept() {
        let cases = [
            (Some(1_000), false, 1 << 20, Some(1_000)),
            (Some(1 << 20), false, 1 << 20, Some(BODY_BYTES)),
            (Some(1 << 20), false, 0, Some(BODY_BYTES)),
            (Some(1 << 20), false, 1_024, Some(1_024)),
            (None, false, 1 << 20, Some(1)),
            (Some(1_000), true, 1 << 20, None),
        ];
        for (announced, expects_continue, buffer_limit, bytes) in cases {
            assert_eq!(bytes_to_wait_for(announced, expects_continue, buffer_limit), bytes, "{announced:?}");
        }
    }
}
