//! The HTTP filter of responses, in the cluster's own filter chain: it reads them as they pass,
//! and neither keeps nor changes anything.

use evenkeel_runtime::body::{ResponseBody, ResponseKind, ResponseReader};
use serde::Deserialize;

use crate::clock;
use crate::envoy::FilterView;
use crate::feedback::{self, Claim, ORCA_HEADER};
use crate::fields;
use crate::outcome::GRPC_STATUS_HEADER;

/// Options of the filter.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ResponseOptions {
    /// Whether bodies are read.
    #[serde(deserialize_with = "fields::switch")]
    bodies: bool,
}

impl Default for ResponseOptions {
    fn default() -> Self {
        Self { bodies: true }
    }
}

/// The response to an attempt, which is waited for or under way.
#[derive(Debug)]
pub(crate) struct Reply {
    claim: Claim,
    /// What is understood of the body: none of other types, and of compressed ones.
    reader: Option<ResponseReader>,
    /// The body is a stream that is understood, whose first bytes may be no token.
    is_stream: bool,
    /// Time of the first byte of the body; 0 before.
    first_byte_us: u64,
    token: FirstToken,
}

/// The first token of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstToken {
    /// Errors are quick, and have none.
    Never,
    Awaited,
    Seen,
}

impl Reply {
    /// The one to the attempt whose request goes out now; `None` if the policy knows of none.
    pub(crate) fn awaited(view: FilterView<'_>) -> Option<Box<Self>> {
        let (cluster, host) = view.cluster().zip(view.host_address())?;
        let claim = feedback::sent(cluster, host)?;
        Some(Box::new(Self { claim, reader: None, is_stream: false, first_byte_us: 0, token: FirstToken::Never }))
    }

    /// Reads the head.
    pub(crate) fn headers(&mut self, options: ResponseOptions, view: FilterView<'_>) {
        if let Some(report) = view.response_header(ORCA_HEADER) {
            feedback::report(&self.claim, report);
        }
        let is_success = view.response_header(b":status").is_some_and(|status| status.starts_with(b"2"));
        let is_call_failed = view.response_header(GRPC_STATUS_HEADER).is_some_and(|status| status != b"0");
        if !is_success || is_call_failed {
            return;
        }
        self.token = FirstToken::Awaited;
        let header = |name| view.response_header(name).unwrap_or_default();
        let kind = ResponseKind::of(header(b"content-type"), header(b"content-encoding"));
        self.is_stream = options.bodies && kind == Some(ResponseKind::Events);
        self.reader = kind.filter(|_| options.bodies).map(ResponseReader::new);
    }

    /// Reads what has just come of the body.
    pub(crate) fn body(&mut self, view: FilterView<'_>) {
        if self.token == FirstToken::Seen && self.reader.is_none() {
            return;
        }
        for piece in view.response_pieces().filter(|piece| !piece.is_empty()) {
            let has_token = self.reader.as_mut().is_some_and(|reader| reader.feed(piece));
            if self.first_byte_us == 0 {
                self.first_byte_us = clock::now_us();
            }
            // What is no stream, or none that is understood, is taken for its tokens.
            if self.token == FirstToken::Awaited && (has_token || !self.is_stream) {
                self.token = FirstToken::Seen;
                let at_us = if has_token { clock::now_us() } else { self.first_byte_us };
                self.first_token(view, at_us);
            }
        }
    }

    fn first_token(&self, view: FilterView<'_>, at_us: u64) {
        let after = feedback::first_token(&self.claim, at_us);
        view.set_metadata("first_token_ms", after.as_micros() as f64 * 1e-3);
    }

    /// Takes the end.
    pub(crate) fn end(&mut self, view: FilterView<'_>) {
        let body = self.reader.as_ref().map_or(ResponseBody::default(), ResponseReader::body);
        if self.token == FirstToken::Awaited && self.first_byte_us != 0 && !body.is_error {
            // A stream in which no token was found.
            self.first_token(view, self.first_byte_us);
        }
        self.token = FirstToken::Seen;
        for (name, tokens) in [
            ("prompt_tokens", body.prompt_tokens),
            ("output_tokens", body.output_tokens),
            ("cached_tokens", body.cached_tokens),
        ] {
            if let Some(tokens) = tokens {
                view.set_metadata(name, f64::from(tokens));
            }
        }
        feedback::response_ended(&self.claim, body);
    }
}
