//! Log lines that are one flat JSON object: fields as slices of the line, and their values.
//!
//! A general parser takes several times as long as the rest of reading a log. What is needed of
//! a line is little: where its fields begin and end. Nested values are stepped over; escapes in
//! strings are left as they are, since numbers, times and addresses have none.

use crate::input::{number, time};
use crate::row::{DURATION, Fault, TIME, TOKENS};

/// Calls `each` with the name and the value of every field of the object in `line`: a string
/// without its quotes, or a number; empty for `null`, `-` and nested values.
pub(crate) fn fields<'a>(line: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), Fault> {
    let mut scan = Scan { line, at: 0 };
    scan.expect(b'{')?;
    if scan.peek() == Some(b'}') {
        scan.at += 1;
    } else {
        loop {
            scan.expect(b'"')?;
            let name = scan.string()?;
            scan.expect(b':')?;
            each(name, scan.value()?);
            match scan.peek() {
                Some(b',') => scan.at += 1,
                Some(b'}') => break scan.at += 1,
                _ => return Err(scan.fault("`,` or `}`")),
            }
        }
    }
    if scan.peek().is_some() { Err(scan.fault("the end of the line")) } else { Ok(()) }
}

struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.line.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.fault(match byte {
            b'{' => "a JSON object, which begins with `{`",
            b':' => "`:`",
            _ => "a field's name in quotes",
        }))
    }

    /// The rest of a string whose first quote was read.
    fn string(&mut self) -> Result<&'a [u8], Fault> {
        let begin = self.at;
        // The strings of a log are so short that a plain loop beats searching with SIMD.
        while let Some(found) = self.line[self.at..].iter().position(|&byte| matches!(byte, b'"' | b'\\')) {
            self.at += found + 1;
            if self.line[self.at - 1] == b'"' {
                return Ok(&self.line[begin..self.at - 1]);
            }
            // An escaped byte is never the end.
            self.at = (self.at + 1).min(self.line.len());
        }
        self.at = self.line.len();
        Err(self.fault("a closing quote"))
    }

    fn value(&mut self) -> Result<&'a [u8], Fault> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let string = self.string()?.trim_ascii();
                Ok(if string == b"-" { b"" } else { string })
            }
            Some(b'{' | b'[') => {
                self.step_over_nested()?;
                Ok(b"")
            }
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                let rest = &self.line[self.at..];
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                let value = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
                self.at += value.len();
                Ok(if value == b"null" { b"" } else { value })
            }
            _ => Err(self.fault("a value")),
        }
    }

    fn step_over_nested(&mut self) -> Result<(), Fault> {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.fault("a closing bracket"))
    }

    fn fault(&self, expected: &'static str) -> Fault {
        let found = self.line.get(self.at..).unwrap_or_default();
        let mut fault = Fault::new(format!("column {}", self.at + 1), found, expected);
        if found.is_empty() {
            "the end of the line".clone_into(&mut fault.found);
        }
        fault
    }
}

/// The last of several attempts: NGINX separates upstream values by `, ` and, after an internal
/// redirect, by ` : `.
pub(crate) fn last_attempt(bytes: &[u8]) -> &[u8] {
    let comma = memchr::memrchr(b',', bytes).map_or(0, |at| at + 1);
    let space = memchr::memrchr(b' ', bytes).map_or(0, |at| at + 1);
    match &bytes[comma.max(space)..] {
        b"-" => b"",
        last => last,
    }
}

/// A token count; 0 where there is none.
pub(crate) fn tokens(name: &'static str, bytes: &[u8]) -> Result<u32, Fault> {
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
    duration_ns.map_or(f32::NAN, |duration_ns| (duration_ns as f64 / 1e9) as f32)
}

/// A time: a date or a number of `unit_ns` nanoseconds each.
pub(crate) fn time_ns(name: &'static str, bytes: &[u8], unit_ns: i64) -> Result<i64, Fault> {
    time::iso8601(bytes).or_else(|| number::nanoseconds(bytes, unit_ns)).ok_or_else(|| Fault::new(name, bytes, TIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &str) -> Result<Vec<(String, String)>, Fault> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = Vec::new();
        fields(line.as_bytes(), |name, value| found.push((text(name), text(value))))?;
        Ok(found)
    }

    #[test]
    fn fields_of_flat_objects() {
        let found = all(r#" { "a":1.5 , "b" : "x\"y", "c":{"a":[2,"]"]}, "d":null,"e":"-","f":true } "#).unwrap();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "1.5"), ("b", "x\\\"y"), ("c", ""), ("d", ""), ("e", ""), ("f", "true")]);
        assert!(all("{}").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let wrong =
            ["", "[]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{\"a\":\"x\\\"}", "{\"a\":[1}", "{}x"];
        for line in wrong {
            assert!(all(line).is_err(), "{line}");
        }
        let fault = all("{\"a\": hello}").unwrap_err();
        assert_eq!((fault.field.as_ref(), fault.found.as_str()), ("column 7", "`hello}`"));
    }

    #[test]
    fn agrees_with_a_general_parser() {
        let line = r#"{"msec":1741770003.500,"upstream_addr":"10.0.0.1:8000","status":200,"note":"a\\b"}"#;
        let general: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        assert_eq!(all(line).unwrap().len(), general.len());
        assert!(all(line).unwrap().iter().all(|(name, _)| general.contains_key(name)));
    }

    #[test]
    fn the_last_attempt_counts() {
        assert_eq!(last_attempt(b"10.0.0.1:80, 10.0.0.2:80"), b"10.0.0.2:80");
        assert_eq!(last_attempt(b"0.100, 0.020 : 0.300"), b"0.300");
        assert_eq!(last_attempt(b"0.100, -"), b"");
        assert_eq!(last_attempt(b"[::1]:8000"), b"[::1]:8000");
        assert_eq!(last_attempt(b""), b"");
    }
}
