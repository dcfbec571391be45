//! Formats that have a row a line: how a line falls into fields.

use super::json;
use super::mapper::{Found, Mapper};
use super::profile::{Profile, ROWS_MAX};
use crate::input::{Container, ROW_BYTES_MAX, Unwrapper, number, time};
use crate::row::{Context, Fault, Row};
use crate::{DataError, Format, LoadOptions};
use std::path::Path;

/// `10/Oct/2000:13:55:36 -0700`
const TIME_BYTES: usize = 26;

/// Reads lines of a format.
pub(crate) struct Lines {
    pub(crate) mapper: Mapper,
    container: Option<(Container, Unwrapper)>,
    /// Scratch memory for the names of nested fields.
    path: Vec<u8>,
    /// Numbers of the fields of a format without names.
    ids: Vec<u16>,
}

impl Lines {
    /// A reader for a file that begins with `head`, whole lines all of it.
    pub(crate) fn new(format: Format, head: &[u8], options: &LoadOptions, path: &Path) -> Result<Self, DataError> {
        let mut mapper = Mapper::new(format, options);
        let names: &[&str] = match format {
            Format::NginxCombined => &["time_local", "request", "status", "http_user_agent"],
            Format::EnvoyText => &[
                "start_time",
                "request",
                "response_code",
                "duration",
                "upstream_service_time",
                "user_agent",
                "upstream_host",
            ],
            _ => &[],
        };
        let ids = names.iter().map(|name| mapper.id(name.as_bytes())).collect();
        let container = container_of(head).map(|container| (container, Unwrapper::default()));
        let mut lines = Self { mapper, container, path: Vec::new(), ids };
        let mut profile = Profile::default();
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        for row in head.split(|&byte| byte == b'\n').take(ROWS_MAX) {
            lines.observe(row, &mut profile);
        }
        if let Some((_, unwrapper)) = &mut lines.container {
            *unwrapper = Unwrapper::default();
        }
        if let Some(name) = lines.mapper.missing_alias().filter(|_| profile.rows > 0) {
            let mut names: Vec<&str> = lines.mapper.names().collect();
            names.truncate(60);
            return Err(DataError::WrongFormat {
                path: path.to_owned(),
                asked: format,
                found: format!("there is no field `{name}`, the fields are {}", names.join(", ")),
                advice: "name fields that are there with --columns arrival=FIELD,…".to_owned(),
            });
        }
        profile.settle(&mut lines.mapper, options, path)?;
        Ok(lines)
    }

    fn observe(&mut self, row: &[u8], profile: &mut Profile) {
        let Self { mapper, container, path, ids } = self;
        let line = match container {
            Some((container, unwrapper)) => unwrapper.line(*container, row, ROW_BYTES_MAX),
            None => Some(row),
        };
        let Some(line) = line.filter(|line| !line.trim_ascii().is_empty()) else { return };
        let mut found = Found::new();
        if split(line, mapper, &mut found, path, ids).is_ok() {
            profile.observe(mapper, &found);
        }
    }

    /// The name of the wrapper around each line.
    pub(crate) fn wrapper(&self) -> Option<&'static str> {
        self.container.as_ref().map(|(container, _)| container.name())
    }

    /// Reads a line; `None` where it holds no row.
    pub(crate) fn parse(&mut self, line: &[u8], row: &mut Row, context: &mut Context) -> Option<Result<(), Fault>> {
        let Self { mapper, container, path, ids } = self;
        let line = match container {
            Some((container, unwrapper)) => unwrapper.line(*container, line, ROW_BYTES_MAX)?,
            None => line,
        };
        if line.trim_ascii_start().is_empty() {
            return None;
        }
        let mut found = Found::new();
        Some(split(line, mapper, &mut found, path, ids).and_then(|()| mapper.finish(&found, row, context)))
    }
}

/// The wrapper of a file's lines.
pub(crate) fn container_of(head: &[u8]) -> Option<Container> {
    let first = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    first.and_then(Container::of)
}

/// Hands the fields of a line to the mapper.
fn split<'a>(
    line: &'a [u8],
    mapper: &mut Mapper,
    found: &mut Found<'a>,
    path: &mut Vec<u8>,
    ids: &[u16],
) -> Result<(), Fault> {
    match mapper.format {
        Format::NginxCombined => combined(line, ids, |id, value| mapper.take_id(found, id, value)),
        Format::EnvoyText => envoy_text(line, ids, |id, value| mapper.take_id(found, id, value)),
        _ => json::fields(line, path, |name, value| mapper.take(found, name, value)),
    }
}

/// NGINX's predefined log format `combined`, which is Apache's, too.
///
/// ```text
/// $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"
/// ```
///
/// It tells arrivals to the second, and nothing about upstreams and tokens. The time is that of
/// the log entry, which is when the request was done; how long it took is not known, so that it
/// stands for the arrival.
fn combined<'a>(line: &'a [u8], ids: &[u16], mut each: impl FnMut(u16, &'a [u8])) -> Result<(), Fault> {
    const FORMAT: &str = "a line of the format `combined`: ADDRESS - USER [TIME] \"REQUEST\" STATUS BYTES …";
    let malformed = || Fault::new("line", line, FORMAT);
    let begin = memchr::memchr(b'[', line).ok_or_else(malformed)? + 1;
    let (time, rest) = line[begins(line, begin)..].split_at_checked(TIME_BYTES).ok_or_else(malformed)?;
    if rest.first() != Some(&b']') && time::time_local(time).is_none() {
        return Err(Fault::new("time_local", time, "a time as in 10/Oct/2000:13:55:36 -0700"));
    }
    let rest = rest.strip_prefix(b"] \"").ok_or_else(malformed)?;
    // A quote within the request is escaped as \x22, so that the next one ends it.
    let end = memchr::memchr(b'"', rest).ok_or_else(malformed)?;
    let request = &rest[..end];
    let &[b' ', s0, s1, s2, b' ', ref rest @ ..] = &rest[end + 1..] else { return Err(malformed()) };
    let status = &line[line.len() - rest.len() - 4..line.len() - rest.len() - 1];
    if number::digits(&[s0, s1, s2]).is_none() {
        return Err(Fault::new("status", status, "three digits"));
    }
    let bytes = &rest[..memchr::memchr(b' ', rest).unwrap_or(rest.len())];
    if bytes != b"-" && number::digits(bytes).is_none() {
        return Err(Fault::new("body_bytes_sent", bytes, "a number of bytes"));
    }
    each(ids[0], time);
    each(ids[1], request);
    each(ids[2], status);
    let mut quotes = rest.split(|&byte| byte == b'"');
    each(ids[3], quotes.nth(3).unwrap_or_default());
    Ok(())
}

fn begins(line: &[u8], begin: usize) -> usize {
    begin.min(line.len())
}

/// Envoy's access log as text, in its own default format or Istio's:
///
/// ```text
/// [START_TIME] "METHOD PATH PROTOCOL" CODE FLAGS [DETAILS TERMINATION "FAILURE"] RECEIVED SENT DURATION
/// UPSTREAM_SERVICE_TIME "FORWARDED_FOR" "USER_AGENT" "REQUEST_ID" "AUTHORITY" "UPSTREAM_HOST" …
/// ```
///
/// What is in square brackets here is Istio's alone.
fn envoy_text<'a>(line: &'a [u8], ids: &[u16], mut each: impl FnMut(u16, &'a [u8])) -> Result<(), Fault> {
    const FORMAT: &str = "a line of Envoy's or Istio's default format: [TIME] \"METHOD PATH PROTOCOL\" CODE FLAGS …";
    let malformed = || Fault::new("line", line, FORMAT);
    let rest = line.trim_ascii_start().strip_prefix(b"[").ok_or_else(malformed)?;
    let end = memchr::memchr(b']', rest).ok_or_else(malformed)?;
    let (time, rest) = (&rest[..end], &rest[end + 1..]);
    let mut words = Words { rest };
    let mut word = || words.next().ok_or_else(malformed);
    let request = word()?;
    let (code, _flags, third) = (word()?, word()?, word()?);
    // Where Envoy has a number of bytes, Istio has the details of the response.
    if !third.iter().all(u8::is_ascii_digit) {
        let (_termination, _failure, _received) = (word()?, word()?, word()?);
    }
    let _sent = word()?;
    let (duration, service) = (word()?, word()?);
    let (_forwarded, agent, _id, _authority, host) = (word()?, word()?, word()?, word()?, word()?);
    for (id, value) in ids.iter().zip([time, request, code, duration, service, agent, host]) {
        each(*id, if value == b"-" { b"" } else { value });
    }
    Ok(())
}

/// Words with spaces between them, some in quotes.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.trim_ascii_start();
        if let Some(inner) = rest.strip_prefix(b"\"") {
            let end = memchr::memchr(b'"', inner)?;
            self.rest = &inner[end + 1..];
            return Some(&inner[..end]);
        }
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        self.rest = &rest[end..];
        (end > 0).then(|| &rest[..end])
    }
}
