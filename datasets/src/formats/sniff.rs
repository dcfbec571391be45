//! Recognises a format by a file's beginning.

use super::columns::time_ns;
use crate::Format;
use crate::input::{number, quoted, time};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a file's beginning looks like.
pub(crate) struct Sniffed {
    pub(crate) format: Option<Format>,
    /// For messages: what it begins with.
    pub(crate) found: String,
}

/// Looks at a file's (decompressed) beginning.
pub(crate) fn sniff(head: &[u8]) -> Sniffed {
    // POSIX tar has its magic at byte 257 of the first header.
    if head.get(257..262) == Some(b"ustar") {
        return Sniffed { format: Some(Format::ServeGen), found: "it is a tar archive".to_owned() };
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let second = lines.next();
    if first.contains(&0) {
        return Sniffed { format: None, found: "it is binary data".to_owned() };
    }
    let format = if first.starts_with(b"{") { json_lines(first) } else { text(first, second) };
    Sniffed { format, found: format!("it begins with {}", quoted(first)) }
}

fn json_lines(line: &[u8]) -> Option<Format> {
    let object: BTreeMap<&str, &RawValue> = serde_json::from_slice(line).ok()?;
    let has = |name| object.contains_key(name);
    if has("timestamp") && has("input_length") && has("output_length") {
        Some(Format::Mooncake)
    } else if has("start_time") {
        Some(Format::EnvoyJson)
    } else if has("request_time") && ["msec", "time_iso8601", "time"].into_iter().any(has) {
        Some(Format::NginxJson)
    } else {
        None
    }
}

fn text(first: &[u8], second: Option<&[u8]>) -> Option<Format> {
    let bracket = memchr::memchr(b'[', first).and_then(|at| first.get(at + 1..at + 27));
    if bracket.is_some_and(|field| time::time_local(field).is_some()) {
        return Some(Format::NginxCombined);
    }
    let delimiter = delimiter(first);
    let fields: Vec<&[u8]> = first.split(|&byte| byte == delimiter).map(unquoted).collect();
    let has = |name: &str| fields.iter().any(|field| field.eq_ignore_ascii_case(name.as_bytes()));
    if has("ContextTokens") && has("GeneratedTokens") {
        return Some(Format::Azure);
    }
    if has("Request tokens") && has("Response tokens") {
        return Some(Format::BurstGpt);
    }
    // A series: a time and numbers, with or without a header.
    let is_row = |line: &[u8]| {
        let mut fields = line.split(|&byte| byte == delimiter).map(unquoted);
        let is_value = |field: &[u8]| is_missing(field) || number::float(field).is_some();
        fields.next().is_some_and(|time| time_ns(time, 1).is_some()) && fields.next().is_some_and(is_value)
    };
    (is_row(first) || second.is_some_and(is_row)).then_some(Format::Series)
}

fn unquoted(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    field.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(field)
}

/// How a missing value of a series is written.
pub(crate) fn is_missing(field: &[u8]) -> bool {
    let spellings: [&[u8]; 5] = [b"", b"nan", b"na", b"null", b"none"];
    spellings.iter().any(|spelling| field.trim_ascii().eq_ignore_ascii_case(spelling))
}

/// The delimiter of a CSV by its first line: the most frequent of comma, semicolon and tab.
pub(crate) fn delimiter(line: &[u8]) -> u8 {
    let count = |delimiter: u8| memchr::memchr_iter(delimiter, line).count();
    [b'\t', b';', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised() {
        let format = |head: &str| sniff(head.as_bytes()).format;
        assert_eq!(format("\u{feff}TIMESTAMP,ContextTokens,GeneratedTokens\r\n"), Some(Format::Azure));
        assert_eq!(format("{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 2}"), Some(Format::Mooncake));
        assert_eq!(
            format("\n1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\""),
            Some(Format::NginxCombined)
        );
        assert_eq!(format("timestamp,value\n2014-07-01 00:00:00,10844\n"), Some(Format::Series));
        assert_eq!(format("0;1.5\n600;2\n"), Some(Format::Series));
        assert_eq!(format("when,what\nmonday,3\n"), None);
        assert_eq!(format("{\"level\":\"info\"}"), None);
    }
}
