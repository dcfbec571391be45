//! Log lines that are one JSON object: fields as slices of the line, and their values.
//!
//! A general parser takes several times as long as the rest of reading a log. What is needed of
//! a line is little: where its fields begin and end. Fields of nested objects are named by dots
//! between the names; arrays are handed out whole; escapes in strings are left as they are, since
//! numbers, times and addresses have none.
//!
//! Values without quotes may be lists (`0.001, 0.300`, `-`): NGINX writes them so where its log
//! format has no quotes around the variables of upstreams.

use crate::row::Fault;

/// Objects nested deeper than this are stepped over.
const DEPTH_MAX: usize = 8;

/// Calls `each` with the name and the value of every field of the object in `line`: a string
/// without its quotes, a number or an array; empty for `null` and `-`. `path` is scratch memory.
pub(crate) fn fields<'a>(
    line: &'a [u8],
    path: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], &'a [u8]),
) -> Result<(), Fault> {
    let mut scan = Scan { line, at: 0 };
    path.clear();
    scan.expect(b'{')?;
    scan.object(path, 0, &mut each)?;
    if scan.peek().is_some() { Err(scan.fault("the end of the line")) } else { Ok(()) }
}

struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// The fields of an object whose first bracket was read.
    fn object(
        &mut self,
        path: &mut Vec<u8>,
        depth: usize,
        each: &mut impl FnMut(&[u8], &'a [u8]),
    ) -> Result<(), Fault> {
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let outer = path.len();
        loop {
            self.expect(b'"')?;
            let name = self.string()?;
            self.expect(b':')?;
            let is_nested = self.peek() == Some(b'{') && depth < DEPTH_MAX;
            if is_nested {
                self.at += 1;
                path.extend_from_slice(name);
                path.push(b'.');
                self.object(path, depth + 1, each)?;
            } else if outer == 0 {
                each(name, self.value()?);
            } else {
                path.extend_from_slice(name);
                each(path, self.value()?);
            }
            path.truncate(outer);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break self.at += 1,
                _ => return Err(self.fault("`,` or `}`")),
            }
        }
        Ok(())
    }

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
                let begin = self.at;
                self.step_over_nested()?;
                Ok(if self.line[begin] == b'[' { &self.line[begin..self.at] } else { b"" })
            }
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                let value = self.bare()?;
                Ok(if matches!(value, b"null" | b"-") { b"" } else { value })
            }
            _ => Err(self.fault("a value")),
        }
    }

    /// A value without quotes, up to the comma before the next field's name or the closing bracket.
    fn bare(&mut self) -> Result<&'a [u8], Fault> {
        let rest = &self.line[self.at..];
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
        let mut len = rest.iter().position(is_end).unwrap_or(rest.len());
        // Usually that was all; else the value is a list.
        while let Some(&byte) = rest.get(len) {
            let next = rest[len + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
            match byte {
                b'}' | b']' => break,
                b',' if next == Some(&b'"') => break,
                b'"' => {
                    self.at += len;
                    return Err(self.fault("`,` or `}`"));
                }
                _ => len += 1,
            }
        }
        let value = rest[..len].trim_ascii_end();
        self.at += value.len();
        if value.ends_with(b",") {
            return Err(self.fault("a field's name in quotes"));
        }
        Ok(value)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &str) -> Result<Vec<(String, String)>, Fault> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = Vec::new();
        fields(line.as_bytes(), &mut Vec::new(), |name, value| found.push((text(name), text(value))))?;
        Ok(found)
    }

    #[test]
    fn fields_of_flat_objects() {
        let found = all(r#" { "a":1.5 , "b" : "x\"y", "c":{"a":[2,"]"]}, "d":null,"e":"-","f":true } "#).unwrap();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "1.5"), ("b", "x\\\"y"), ("c.a", "[2,\"]\"]"), ("d", ""), ("e", ""), ("f", "true")]);
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
    fn lists_without_quotes_are_values() {
        let found = all(r#"{"a":0.001, 0.300,"b":-, -,"c":-,"d":0.1 : 0.2}"#).unwrap();
        let found: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(found, ["0.001, 0.300", "-, -", "", "0.1 : 0.2"]);
        assert!(all(r#"{"a":1 "b":2}"#).is_err());
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
