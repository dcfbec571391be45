//! NGINX's predefined log format `combined`, which is Apache's, too.
//!
//! ```text
//! $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"
//! ```
//!
//! It tells arrivals to the second, and nothing about upstreams and tokens. The time is that of
//! the log entry, which is when the request was done; how long it took is not known, so that it
//! stands for the arrival. What follows the number of bytes is not looked at.

use crate::input::{number, time};
use crate::row::{Fault, LineParser, Row, Upstreams};

/// `10/Oct/2000:13:55:36 -0700`
const TIME_BYTES: usize = 26;

#[derive(Default)]
pub(crate) struct NginxCombined {
    /// The time read last: lines of the same second follow each other.
    last: ([u8; TIME_BYTES], i64),
}

impl LineParser for NginxCombined {
    fn parse(&mut self, line: &[u8], row: &mut Row, _upstreams: &mut Upstreams) -> Result<(), Fault> {
        const FORMAT: &str = "a line of the format `combined`: ADDRESS - USER [TIME] \"REQUEST\" STATUS BYTES …";
        let malformed = || Fault::new("line", line, FORMAT);
        let begin = memchr::memchr(b'[', line).ok_or_else(malformed)? + 1;
        let (time, rest) = line[begin..].split_first_chunk::<TIME_BYTES>().ok_or_else(malformed)?;
        row.arrival_ns = self.time_ns(time)?;
        let rest = rest.strip_prefix(b"] \"").ok_or_else(malformed)?;
        // A quote within the request is escaped as \x22, so that the next one ends it.
        let end = memchr::memchr(b'"', rest).ok_or_else(malformed)?;
        let &[b' ', s0, s1, s2, b' ', ref rest @ ..] = &rest[end + 1..] else { return Err(malformed()) };
        if number::digits(&[s0, s1, s2]).is_none() {
            return Err(Fault::new("status", &[s0, s1, s2], "three digits"));
        }
        let bytes = &rest[..memchr::memchr(b' ', rest).unwrap_or(rest.len())];
        if bytes != b"-" && number::digits(bytes).is_none() {
            return Err(Fault::new("body_bytes_sent", bytes, "a number of bytes"));
        }
        Ok(())
    }
}

impl NginxCombined {
    fn time_ns(&mut self, field: &[u8; TIME_BYTES]) -> Result<i64, Fault> {
        if self.last.0 != *field {
            let time_ns = time::time_local(field)
                .ok_or_else(|| Fault::new("time_local", field, "a time as in 10/Oct/2000:13:55:36 -0700"))?;
            self.last = (*field, time_ns);
        }
        Ok(self.last.1)
    }
}
