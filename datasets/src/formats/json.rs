//! Values of JSON logs: numbers, numbers in quotes, `-` for none, and lists of attempts.

use crate::input::{number, time};
use crate::row::{DURATION, Fault, TIME, TOKENS};
use serde_json::value::RawValue;

/// A field of a JSON object, borrowed from the line.
pub(crate) type Field<'a> = Option<&'a RawValue>;

/// The bytes of a number or of a string without its quotes; empty for `null`, `-` and none.
/// Escapes are left alone: numbers, times and addresses have none.
pub(crate) fn bytes(field: Field<'_>) -> &[u8] {
    let bytes = field.map_or(&b""[..], |raw| raw.get().as_bytes());
    let bytes = bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(bytes);
    match bytes.trim_ascii() {
        b"null" | b"-" => b"",
        bytes => bytes,
    }
}

/// The last of several attempts: NGINX separates upstream values by `, ` and, after an internal
/// redirect, by ` : `.
pub(crate) fn last_attempt(bytes: &[u8]) -> &[u8] {
    let comma = memchr::memrchr(b',', bytes).map_or(0, |at| at + 1);
    let colon = memchr::memmem::rfind(bytes, b" : ").map_or(0, |at| at + 3);
    match bytes[comma.max(colon)..].trim_ascii() {
        b"-" => b"",
        last => last,
    }
}

/// A token count; 0 where there is none.
pub(crate) fn tokens(name: &'static str, field: Field<'_>) -> Result<u32, Fault> {
    let bytes = bytes(field);
    if bytes.is_empty() { Ok(0) } else { number::tokens(bytes).ok_or_else(|| Fault::new(name, bytes, TOKENS)) }
}

/// A duration of `unit_ns` nanoseconds each, in nanoseconds; `None` where there is none.
pub(crate) fn duration_ns(name: &'static str, bytes: &[u8], unit_ns: i64) -> Result<Option<i64>, Fault> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match number::nanoseconds(bytes, unit_ns) {
        Some(duration_ns) if duration_ns >= 0 => Ok(Some(duration_ns)),
        _ => Err(Fault::new(name, bytes, DURATION)),
    }
}

/// Nanoseconds as seconds; NaN for none.
pub(crate) fn seconds(duration_ns: Option<i64>) -> f32 {
    duration_ns.map_or(f32::NAN, |duration_ns| (duration_ns as f64 * 1e-9) as f32)
}

/// A time: a date or a number of `unit_ns` nanoseconds each.
pub(crate) fn time_ns(name: &'static str, bytes: &[u8], unit_ns: i64) -> Result<i64, Fault> {
    number::nanoseconds(bytes, unit_ns).or_else(|| time::iso8601(bytes)).ok_or_else(|| Fault::new(name, bytes, TIME))
}

/// What a line that is no such JSON object is.
pub(crate) fn fault(line: &[u8], error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    // The parser saw one line only, so that its line number would mislead.
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    Fault { field: format!("column {}", error.column()).into(), ..Fault::new("", line, format!("JSON ({message})")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_counts() {
        assert_eq!(last_attempt(b"10.0.0.1:80, 10.0.0.2:80"), b"10.0.0.2:80");
        assert_eq!(last_attempt(b"0.100, 0.020 : 0.300"), b"0.300");
        assert_eq!(last_attempt(b"0.100, -"), b"");
        assert_eq!(last_attempt(b"[::1]:8000"), b"[::1]:8000");
        assert_eq!(last_attempt(b""), b"");
    }
}
