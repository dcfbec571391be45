//! Envoy's JSON access log, one object a line.
//!
//! ```yaml
//! json_format:
//!   start_time: "%START_TIME%"
//!   duration: "%DURATION%"
//!   response_duration: "%RESPONSE_DURATION%"
//!   upstream_host: "%UPSTREAM_HOST%"
//!   upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"
//!   prompt_tokens: "%RESP(X-PROMPT-TOKENS)%"
//!   output_tokens: "%RESP(X-OUTPUT-TOKENS)%"
//! ```
//!
//! These are also the names in Istio's default log. `start_time` is the arrival, in ISO 8601 or
//! seconds since 1970; durations are milliseconds. The response time is `duration`; the first byte
//! came after `response_duration`, or, where that is not logged, after `upstream_service_time`.
//! Only `start_time` is compulsory; token counts are also found under `input_tokens` and
//! `completion_tokens`. Fields beyond these, and their order, do not matter.

use super::json::{self, Field};
use crate::row::{Fault, LineParser, Row, TIME, Upstreams};
use serde::Deserialize;

const MILLISECOND_NS: i64 = 1_000_000;

pub(crate) struct EnvoyJson;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    start_time: Field<'a>,
    #[serde(borrow)]
    duration: Field<'a>,
    #[serde(borrow)]
    response_duration: Field<'a>,
    #[serde(borrow)]
    upstream_service_time: Field<'a>,
    #[serde(borrow)]
    upstream_host: Field<'a>,
    #[serde(borrow, alias = "input_tokens")]
    prompt_tokens: Field<'a>,
    #[serde(borrow, alias = "completion_tokens")]
    output_tokens: Field<'a>,
}

impl LineParser for EnvoyJson {
    fn parse(&mut self, line: &[u8], row: &mut Row, upstreams: &mut Upstreams) -> Result<(), Fault> {
        let fields: Line<'_> = serde_json::from_slice(line).map_err(|error| json::fault(line, &error))?;
        if fields.start_time.is_none() {
            return Err(Fault::new("start_time", b"", TIME));
        }
        row.arrival_ns = json::time_ns("start_time", json::bytes(fields.start_time), 1000 * MILLISECOND_NS)?;
        let duration = |name, field| json::duration_ns(name, json::bytes(field), MILLISECOND_NS);
        let response = duration("response_duration", fields.response_duration)?;
        let upstream = duration("upstream_service_time", fields.upstream_service_time)?;
        row.request.first_byte_s = json::seconds(response.or(upstream));
        row.request.service_s = json::seconds(duration("duration", fields.duration)?);
        row.request.upstream = upstreams.index(json::bytes(fields.upstream_host))?;
        row.request.prompt_tokens = json::tokens("prompt_tokens", fields.prompt_tokens)?;
        row.request.output_tokens = json::tokens("output_tokens", fields.output_tokens)?;
        Ok(())
    }
}
