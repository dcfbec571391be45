//! The HTTP filters: one for requests, before a host is chosen, and one for responses, in
//! the cluster's own filter chain.

use serde_json::Value;

use crate::config::{self, ConfigError};
use crate::envoy::FilterView;
use crate::feedback::{self, Claim, ORCA_HEADER};
use crate::openai;
use crate::prompt;
use crate::usage::Usage;
use crate::worker::Worker;

/// As much of a body is looked at, and waited for.
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
#[derive(Debug)]
pub(crate) struct RequestOptions {
    /// Header that is set to the prompt's length in tokens.
    tokens: Box<str>,
    /// Header that is set to the key of the prompt's beginning.
    key: Box<str>,
    /// Header that is set to the model's name.
    class: Box<str>,
    /// Header that is set to the most tokens that may be generated.
    max_tokens: Box<str>,
    /// Percent of healthy hosts below which health is not believed; 0 for never.
    panic_percent: u32,
}

/// Why a configuration is refused.
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
            b"request" => Ok(Self::Request(RequestOptions::parse(json)?)),
            b"response" => {
                config::object(json, &[])?;
                Ok(Self::Response)
            }
            _ => Err(FilterError::Name(String::from_utf8_lossy(name).into())),
        }
    }
}

impl RequestOptions {
    fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let fields = config::object(json, &["tokens", "key", "class", "max_tokens", "panic_percent"])?;
        let header = |field, otherwise: &str| {
            config::header_name(&fields, field).map(|name| name.unwrap_or_else(|| otherwise.into()))
        };
        let panic_percent = match fields.get("panic_percent") {
            None => 0,
            Some(value) => percent(value).ok_or_else(|| ConfigError::Value {
                field: "panic_percent",
                found: value.to_string(),
                expected: "0 to 100",
            })?,
        };
        Ok(Self {
            tokens: header("tokens", "x-evenkeel-prompt-tokens")?,
            key: header("key", "x-evenkeel-prefix")?,
            class: header("class", "x-evenkeel-class")?,
            max_tokens: header("max_tokens", "x-evenkeel-max-tokens")?,
            panic_percent,
        })
    }
}

fn percent(value: &Value) -> Option<u32> {
    let percent = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    percent.filter(|percent| (0.0..=100.0).contains(percent)).map(|percent| percent as u32)
}

/// What a filter does with one stream.
#[derive(Debug)]
pub(crate) enum Stream<'c> {
    Request(&'c RequestOptions),
    Response(Option<Reply>),
}

/// A response that is waited for, or under way.
#[derive(Debug)]
pub(crate) struct Reply {
    claim: Claim,
    /// Counts its tokens, if it is of a kind that has some.
    usage: Option<Usage>,
}

impl<'c> Stream<'c> {
    pub(crate) fn new(kind: &'c Kind) -> Self {
        match kind {
            Kind::Request(options) => Self::Request(options),
            Kind::Response => Self::Response(None),
        }
    }

    /// The head of a request. Whether to go on at once, rather than wait for the body.
    pub(crate) fn request_headers(&mut self, view: FilterView<'_>, end_of_stream: bool) -> bool {
        match self {
            Self::Request(options) => {
                let has_json = view.request_header(b"content-type").is_some_and(is_json);
                // What a client says of its own request is not believed.
                for name in [&options.tokens, &options.key, &options.class, &options.max_tokens] {
                    view.set_request_header(name.as_bytes(), None);
                }
                panic_mode(options, view);
                end_of_stream || !has_json
            }
            Self::Response(reply) => {
                let sent = view.cluster().zip(view.host_address());
                let claim = sent.and_then(|(cluster, host)| feedback::sent(cluster, host));
                *reply = claim.map(|claim| Reply { claim, usage: None });
                true
            }
        }
    }

    /// A piece of a request's body, or its end. Whether to go on, rather than wait for more.
    pub(crate) fn request_body(&mut self, view: FilterView<'_>, end_of_stream: bool) -> bool {
        let Self::Request(options) = self else { return true };
        let bytes = view.body_bytes();
        if !end_of_stream && bytes < BODY_BYTES {
            return false;
        }
        let announced = view.request_header(b"content-length").map_or(0, prompt::number) as usize;
        let beginning = view.body_beginning(BODY_BYTES);
        let facts = openai::read(&beginning, bytes.max(announced));
        let tell = |name: &str, value: &[u8]| view.set_request_header(name.as_bytes(), Some(value));
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

    /// The head of a response.
    pub(crate) fn response_headers(&mut self, view: FilterView<'_>) {
        let Self::Response(Some(reply)) = self else { return };
        feedback::first_byte(&reply.claim, view.response_header(ORCA_HEADER));
        reply.usage = view.response_header(b"content-type").and_then(Usage::of);
    }

    /// A piece of a response's body.
    pub(crate) fn response_body(&mut self, view: FilterView<'_>, end_of_stream: bool) {
        let Self::Response(Some(Reply { usage: Some(usage), .. })) = self else { return };
        view.response_pieces().for_each(|piece| usage.read(piece));
        if end_of_stream {
            self.response_end();
        }
    }

    /// A response is over.
    pub(crate) fn response_end(&self) {
        if let Self::Response(Some(Reply { claim, usage: Some(usage) })) = self {
            feedback::generated(claim, usage.tokens());
        }
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

fn is_json(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json")
}
