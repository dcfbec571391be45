//! The HTTP filters: one for requests, before a host is chosen, and one for responses, in
//! the cluster's own filter chain.

use crate::envoy::FilterView;
use crate::fields::{self, ConfigError};
use crate::request_filter::{self, RequestOptions, Stage};
use crate::response_filter::{Reply, ResponseOptions};

/// A filter's configuration.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Reads requests, and does what Envoy's panic mode does.
    Request(RequestOptions),
    /// Reads responses.
    Response(ResponseOptions),
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
            b"response" => Ok(Self::Response(fields::parse(json)?)),
            _ => Err(FilterError::Name(String::from_utf8_lossy(name).into())),
        }
    }
}

/// A filter at work on one stream.
#[derive(Debug)]
pub(crate) enum Stream<'c> {
    Request { options: &'c RequestOptions, stage: Stage },
    Response { options: ResponseOptions, reply: Option<Box<Reply>> },
}

impl<'c> Stream<'c> {
    pub(crate) fn new(kind: &'c Kind) -> Self {
        match kind {
            Kind::Request(options) => Self::Request { options, stage: Stage::Passed },
            Kind::Response(options) => Self::Response { options: *options, reply: None },
        }
    }

    /// Reads the head of a request. Returns `false` to hold it back until its body has come.
    pub(crate) fn request_headers(&mut self, view: FilterView<'_>, end_of_stream: bool) -> bool {
        match self {
            Self::Request { options, stage } => {
                *stage = request_filter::headers(options, view, end_of_stream);
                *stage == Stage::Passed
            }
            Self::Response { reply, .. } => {
                *reply = Reply::awaited(view);
                true
            }
        }
    }

    /// Reads a piece of a request's body, or its end. Returns `false` to hold the request back
    /// until more has come.
    pub(crate) fn request_body(&mut self, view: FilterView<'_>, end_of_stream: bool) -> bool {
        let Self::Request { stage, .. } = self else { return true };
        *stage = request_filter::body(*stage, view, end_of_stream);
        *stage == Stage::Passed
    }

    /// Reads the head of a response.
    pub(crate) fn response_headers(&mut self, view: FilterView<'_>, end_of_stream: bool) {
        let Self::Response { options, reply: Some(reply) } = self else { return };
        reply.headers(*options, view);
        if end_of_stream {
            reply.end(view);
        }
    }

    /// Reads a piece of a response's body.
    pub(crate) fn response_body(&mut self, view: FilterView<'_>, end_of_stream: bool) {
        let Self::Response { reply: Some(reply), .. } = self else { return };
        reply.body(view);
        if end_of_stream {
            reply.end(view);
        }
    }

    /// Takes the end of a response.
    pub(crate) fn response_end(&mut self, view: FilterView<'_>) {
        if let Self::Response { reply: Some(reply), .. } = self {
            reply.end(view);
        }
    }
}
