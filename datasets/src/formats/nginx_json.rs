//! NGINX's access log as JSON, one object a line.
//!
//! ```nginx
//! log_format evenkeel escape=json
//!     '{"msec":$msec,"request_time":$request_time,"status":$status,'
//!     '"upstream_addr":"$upstream_addr",'
//!     '"upstream_header_time":"$upstream_header_time",'
//!     '"upstream_response_time":"$upstream_response_time",'
//!     '"request_length":$request_length,"bytes_sent":$bytes_sent,'
//!     '"prompt_tokens":"$upstream_http_x_prompt_tokens",'
//!     '"output_tokens":"$upstream_http_x_output_tokens"}';
//! access_log /var/log/nginx/evenkeel.json evenkeel;
//! ```
//!
//! A line is written when its request is done, so that the arrival is `msec` less
//! `request_time`. Of several attempts the last is taken, which is the one that answered. The
//! token counts are optional: any response header or variable that has them may stand there.
//! Fields beyond these, and their order, do not matter.

use super::json::{self, Field};
use crate::row::{Fault, LineParser, Row, TIME, Upstreams};
use serde::Deserialize;

const SECOND_NS: i64 = 1_000_000_000;

pub(crate) struct NginxJson;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, alias = "time_iso8601", alias = "time")]
    msec: Field<'a>,
    #[serde(borrow)]
    request_time: Field<'a>,
    #[serde(borrow)]
    upstream_addr: Field<'a>,
    #[serde(borrow)]
    upstream_header_time: Field<'a>,
    #[serde(borrow)]
    upstream_response_time: Field<'a>,
    #[serde(borrow)]
    prompt_tokens: Field<'a>,
    #[serde(borrow)]
    output_tokens: Field<'a>,
}

impl LineParser for NginxJson {
    fn parse(&mut self, line: &[u8], row: &mut Row, upstreams: &mut Upstreams) -> Result<(), Fault> {
        let fields: Line<'_> = serde_json::from_slice(line).map_err(|error| json::fault(line, &error))?;
        let missing = |field: &'static str, expected| Fault::new(field, b"", expected);
        if fields.msec.is_none() {
            return Err(missing("msec", TIME));
        }
        let done_ns = json::time_ns("msec", json::bytes(fields.msec), SECOND_NS)?;
        let request_ns = json::duration_ns("request_time", json::bytes(fields.request_time), SECOND_NS)?
            .ok_or_else(|| missing("request_time", "seconds from the request's first byte to the log entry"))?;
        row.arrival_ns = done_ns.saturating_sub(request_ns);
        let attempt =
            |name, field| json::duration_ns(name, json::last_attempt(json::bytes(field)), SECOND_NS).map(json::seconds);
        row.request.first_byte_s = attempt("upstream_header_time", fields.upstream_header_time)?;
        row.request.service_s = attempt("upstream_response_time", fields.upstream_response_time)?;
        row.request.upstream = upstreams.index(json::last_attempt(json::bytes(fields.upstream_addr)))?;
        row.request.prompt_tokens = json::tokens("prompt_tokens", fields.prompt_tokens)?;
        row.request.output_tokens = json::tokens("output_tokens", fields.output_tokens)?;
        Ok(())
    }
}
