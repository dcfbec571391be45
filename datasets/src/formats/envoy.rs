//! Envoy's JSON access log, one object a line.
//!
//! The log format is in this crate's README. Its names are also those of Istio's default log.
//! `start_time` is the arrival, in ISO 8601 or
//! seconds since 1970; durations are milliseconds. The response time is `duration`; the first byte
//! came after `response_duration`, or, where that is not logged, after `upstream_service_time`.
//! Only `start_time` is compulsory; token counts are also found under `input_tokens` and
//! `completion_tokens`. Fields beyond these, and their order, do not matter.

use super::json;
use crate::row::{Fault, LineParser, Row, TIME, Upstreams};

const MILLISECOND_NS: i64 = 1_000_000;

pub(crate) struct EnvoyJson;

/// The fields of interest; empty where there are none.
#[derive(Default)]
struct Line<'a> {
    start_time: &'a [u8],
    duration: &'a [u8],
    response_duration: &'a [u8],
    upstream_service_time: &'a [u8],
    upstream_host: &'a [u8],
    prompt_tokens: &'a [u8],
    output_tokens: &'a [u8],
}

impl LineParser for EnvoyJson {
    fn parse(&mut self, line: &[u8], row: &mut Row, upstreams: &mut Upstreams) -> Result<(), Fault> {
        let mut found = Line::default();
        json::fields(line, |name, value| match name {
            b"start_time" => found.start_time = value,
            b"duration" => found.duration = value,
            b"response_duration" => found.response_duration = value,
            b"upstream_service_time" => found.upstream_service_time = value,
            b"upstream_host" => found.upstream_host = value,
            b"prompt_tokens" | b"input_tokens" => found.prompt_tokens = value,
            b"output_tokens" | b"completion_tokens" => found.output_tokens = value,
            _ => {}
        })?;
        if found.start_time.is_empty() {
            return Err(Fault::new("start_time", b"", TIME));
        }
        row.arrival_ns = json::time_ns("start_time", found.start_time, 1000 * MILLISECOND_NS)?;
        let duration = |name, field| json::duration_ns(name, field, MILLISECOND_NS);
        let response = duration("response_duration", found.response_duration)?;
        let upstream = duration("upstream_service_time", found.upstream_service_time)?;
        row.request.first_byte_s = json::seconds(response.or(upstream));
        row.request.service_s = json::seconds(duration("duration", found.duration)?);
        row.request.upstream = upstreams.index(found.upstream_host)?;
        row.request.prompt_tokens = json::tokens("prompt_tokens", found.prompt_tokens)?;
        row.request.output_tokens = json::tokens("output_tokens", found.output_tokens)?;
        Ok(())
    }
}
