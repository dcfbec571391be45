//! Load reports in response headers: ORCA's `endpoint-load-metrics`, as text and as JSON.
//!
//! ```text
//! TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=2
//! JSON {"named_metrics": {"kv_cache_usage_perc": 0.4, "num_requests_waiting": 2}}
//! ```
//!
//! That is what vLLM sends on demand; the format is Envoy's, after the xDS message
//! `OrcaLoadReport`. Metrics of other names are skipped. The header is a host's, and so
//! untrusted: what does not follow the format is refused as a whole, and no input takes
//! more than one pass.

use crate::telemetry::Telemetry;

/// Longest header that is looked at, in bytes.
pub const LEN_MAX: usize = 4096;

/// Objects within objects: the report, and its named metrics.
const DEPTH_MAX: usize = 8;

/// Reads a header's value. `None` if it does not follow the format, or has no metric that
/// the features know.
pub fn parse(header: &[u8]) -> Option<Telemetry> {
    if header.len() > LEN_MAX {
        return None;
    }
    let mut report = Report { telemetry: Telemetry::UNKNOWN, known: false };
    let header = header.trim_ascii();
    if let Some(json) = after_format(header, b"JSON").or(header.starts_with(b"{").then_some(header)) {
        parse_json(json, &mut report)?;
    } else {
        parse_text(after_format(header, b"TEXT").unwrap_or(header), &mut report)?;
    }
    report.known.then_some(report.telemetry)
}

/// What follows the name of a format and a space.
fn after_format<'a>(header: &'a [u8], format: &[u8]) -> Option<&'a [u8]> {
    let (name, rest) = header.split_at_checked(format.len())?;
    let rest = rest.strip_prefix(b" ")?;
    name.eq_ignore_ascii_case(format).then_some(rest)
}

struct Report {
    telemetry: Telemetry,
    known: bool,
}

impl Report {
    /// Takes over a metric; `name` without the path to it.
    fn set(&mut self, name: &[u8], value: f32) {
        let name = name.strip_prefix(b"vllm:").unwrap_or(name);
        let field = match name {
            b"num_requests_running" => &mut self.telemetry.running,
            b"num_requests_waiting" => &mut self.telemetry.waiting,
            b"pending_prefill_tokens" => &mut self.telemetry.pending_prefill_tokens,
            b"kv_cache_usage_perc" | b"kv_cache_utilization" | b"gpu_cache_usage_perc" => &mut self.telemetry.kv_use,
            b"time_per_output_token_seconds" => &mut self.telemetry.step_s,
            _ => return,
        };
        *field = value;
        self.known = true;
    }
}

/// `path.name=number, path.name=number`
fn parse_text(text: &[u8], report: &mut Report) -> Option<()> {
    for pair in text.split(|byte| *byte == b',') {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (sides.next()?.trim_ascii(), sides.next()?.trim_ascii());
        let number = number(value)?;
        report.set(name.strip_prefix(b"named_metrics.").unwrap_or(name), number);
    }
    Some(())
}

/// An object of numbers, and of further objects of numbers.
fn parse_json(json: &[u8], report: &mut Report) -> Option<()> {
    let mut depth = 0;
    let mut rest = open(json, &mut depth)?;
    loop {
        // At the start of a member.
        let (name, after) = string(rest)?;
        rest = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        if rest.starts_with(b"{") {
            rest = open(rest, &mut depth)?;
            if !rest.starts_with(b"}") {
                continue;
            }
        } else {
            let end = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
            let (value, after) = rest.split_at_checked(end)?;
            report.set(name, number(value.trim_ascii())?);
            rest = after;
        }
        // Behind a member's value, or in an object without members.
        while let Some(after) = rest.strip_prefix(b"}") {
            rest = after.trim_ascii_start();
            depth -= 1;
            if depth == 0 {
                return rest.is_empty().then_some(());
            }
        }
        rest = rest.strip_prefix(b",")?.trim_ascii_start();
    }
}

/// Enters an object.
fn open<'a>(json: &'a [u8], depth: &mut usize) -> Option<&'a [u8]> {
    *depth += 1;
    if *depth > DEPTH_MAX {
        return None;
    }
    Some(json.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start())
}

/// A string's content, without resolving escapes: no name that is known has any.
fn string(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = json.strip_prefix(b"\"")?;
    let mut escaped = false;
    for (at, byte) in content.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let (content, rest) = content.split_at_checked(at)?;
                return Some((content, rest.strip_prefix(b"\"")?));
            }
            0..0x20 => return None,
            _ => {}
        }
    }
    None
}

/// A decimal number, with an exponent or without. Digits beyond an `f64`'s precision do
/// not matter here; what is out of range becomes infinite, which no report may contain.
fn number(text: &[u8]) -> Option<f32> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut value = 0.0_f64;
    let mut scale = 1.0_f64;
    let mut seen = false;
    let mut fraction = false;
    let mut exponent = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let digit = f64::from(byte - b'0');
                seen = true;
                if fraction {
                    scale *= 0.1;
                    value += digit * scale;
                } else {
                    value = value * 10.0 + digit;
                }
            }
            b'.' if !fraction => fraction = true,
            b'e' | b'E' => {
                exponent = Some(digits.get(at + 1..)?);
                break;
            }
            _ => return None,
        }
    }
    if !seen {
        return None;
    }
    if let Some(exponent) = exponent {
        value *= power_of_ten(exponent)?;
    }
    let value = if negative { -value } else { value } as f32;
    value.is_finite().then_some(value)
}

/// Ten to the power of a small integer.
fn power_of_ten(text: &[u8]) -> Option<f64> {
    let (base, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (0.1, digits),
        None => (10.0, text.strip_prefix(b"+").unwrap_or(text)),
    };
    if digits.is_empty() || digits.len() > 2 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some((0..exponent).fold(1.0, |power, _| power * base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::ToString;

    fn assert_parsed(header: &str, kv_use: f32, waiting: f32) {
        let telemetry = parse(header.as_bytes()).unwrap_or_else(|| panic!("refused: {header}"));
        let close = |a: f32, b: f32| (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * b.abs();
        assert!(close(telemetry.kv_use, kv_use) && close(telemetry.waiting, waiting), "{header}: {telemetry:?}");
        assert!(telemetry.running.is_nan());
    }

    #[test]
    fn what_vllm_sends_is_read() {
        assert_parsed("TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=2.0", 0.4, 2.0);
        assert_parsed(r#"JSON {"named_metrics": {"kv_cache_usage_perc": 0.4, "num_requests_waiting": 2.0}}"#, 0.4, 2.0);
    }

    #[test]
    fn variations_are_read() {
        assert_parsed("text kv_cache_utilization=4e-1,vllm:num_requests_waiting=2", 0.4, 2.0);
        assert_parsed(r#"{"cpu_utilization":0.5,"named_metrics":{"kv_cache_usage_perc":1}}"#, 1.0, f32::NAN);
        assert_parsed(r#"json { "x\"}" : { } , "num_requests_waiting" : 12E+1 } "#, f32::NAN, 120.0);
        assert_parsed("named_metrics.num_requests_waiting=3, cpu_utilization=0.3", f32::NAN, 3.0);
    }

    #[test]
    fn what_is_broken_is_refused() {
        let depth = format!("JSON {}", r#"{"a":"#.repeat(1000));
        let broken = [
            "",
            " ",
            "TEXT",
            "TEXT ",
            "TEXT =",
            "TEXT ,",
            "TEXT kv_cache_usage_perc",
            "TEXT kv_cache_usage_perc=",
            "TEXT kv_cache_usage_perc=nan",
            "TEXT kv_cache_usage_perc=inf",
            "TEXT kv_cache_usage_perc=1e99",
            "TEXT kv_cache_usage_perc=1e999999999999",
            "TEXT kv_cache_usage_perc=0x10",
            "TEXT kv_cache_usage_perc=1.2.3",
            "TEXT kv_cache_usage_perc=0.5;",
            "TEXT kv_cache_usage_perc=0.5,",
            "TEXT unknown=1",
            "JSON",
            "JSON {",
            "JSON {}",
            "JSON []",
            "JSON {\"",
            "JSON {\"kv_cache_usage_perc\"",
            "JSON {\"kv_cache_usage_perc\":",
            "JSON {\"kv_cache_usage_perc\":0.5",
            "JSON {\"kv_cache_usage_perc\":\"0.5\"}",
            "JSON {\"kv_cache_usage_perc\":0.5}}",
            "JSON {\"kv_cache_usage_perc\":0.5,}",
            "JSON {\"kv_cache_usage_perc\":[0.5]}",
            "BIN CgQIARAB",
            depth.as_str(),
        ];
        for header in broken {
            assert_eq!(parse(header.as_bytes()).map(|telemetry| telemetry.kv_use.to_string()), None, "{header}");
        }
        assert!(parse(&[b' '; LEN_MAX + 1]).is_none());
        assert!(parse(&[0xFF; 64]).is_none());
    }

    proptest! {
        #[test]
        fn no_input_stops_the_parser(header in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&header);
        }

        #[test]
        fn nothing_like_a_report_stops_the_parser(header in r#"(TEXT |JSON )?[{}":,=. a-z0-9eE+\\-]{0,80}"#) {
            let _ = parse(header.as_bytes());
        }

        #[test]
        fn numbers_come_back(kv_use in 0.0_f32..1.0, waiting in 0_u32..1_000_000) {
            let text = format!("TEXT named_metrics.kv_cache_usage_perc={kv_use}, num_requests_waiting={waiting}");
            let json = format!(r#"JSON {{"named_metrics":{{"kv_cache_usage_perc":{kv_use:e},"num_requests_waiting":{waiting}}}}}"#);
            for header in [text, json] {
                let telemetry = parse(header.as_bytes()).expect("a valid report");
                prop_assert!((telemetry.kv_use - kv_use).abs() <= 1e-6 * kv_use + 1e-9);
                prop_assert!((telemetry.waiting - waiting as f32).abs() <= 1e-6 * waiting as f32);
            }
        }
    }
}
