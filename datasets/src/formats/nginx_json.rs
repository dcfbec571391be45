//! NGINX's access log as JSON, one object a line.
//!
//! The log format is in this crate's README.
//!
//! A line is written when its request is done, so that the arrival is `msec` less
//! `request_time`. Of several attempts the last is taken, which is the one that answered. The
//! token counts are optional: any response header or variable that has them may stand there.
//! Fields beyond these, and their order, do not matter.

use super::json;
use crate::row::{Fault, LineParser, Row, TIME, Upstreams};

const SECOND_NS: i64 = 1_000_000_000;

pub(crate) struct NginxJson;

/// The fields of interest; empty where there are none.
#[derive(Default)]
struct Line<'a> {
    msec: &'a [u8],
    request_time: &'a [u8],
    upstream_addr: &'a [u8],
    upstream_header_time: &'a [u8],
    upstream_response_time: &'a [u8],
    prompt_tokens: &'a [u8],
    output_tokens: &'a [u8],
}

impl LineParser for NginxJson {
    fn parse(&mut self, line: &[u8], row: &mut Row, upstreams: &mut Upstreams) -> Result<(), Fault> {
        let mut found = Line::default();
        json::fields(line, |name, value| match name {
            b"msec" | b"time_iso8601" | b"time" => found.msec = value,
            b"request_time" => found.request_time = value,
            b"upstream_addr" => found.upstream_addr = value,
            b"upstream_header_time" => found.upstream_header_time = value,
            b"upstream_response_time" => found.upstream_response_time = value,
            b"prompt_tokens" => found.prompt_tokens = value,
            b"output_tokens" => found.output_tokens = value,
            _ => {}
        })?;
        if found.msec.is_empty() {
            return Err(Fault::new("msec", b"", TIME));
        }
        let done_ns = json::time_ns("msec", found.msec, SECOND_NS)?;
        let request_ns = json::duration_ns("request_time", found.request_time, SECOND_NS)?
            .ok_or_else(|| Fault::new("request_time", b"", "seconds from the request's first byte to the log entry"))?;
        row.arrival_ns = done_ns.saturating_sub(request_ns);
        let attempt = |name, field| json::duration_ns(name, json::last_attempt(field), SECOND_NS).map(json::seconds);
        row.request.first_byte_s = attempt("upstream_header_time", found.upstream_header_time)?;
        row.request.service_s = attempt("upstream_response_time", found.upstream_response_time)?;
        row.request.upstream = upstreams.index(json::last_attempt(found.upstream_addr))?;
        row.request.prompt_tokens = json::tokens("prompt_tokens", found.prompt_tokens)?;
        row.request.output_tokens = json::tokens("output_tokens", found.output_tokens)?;
        Ok(())
    }
}
