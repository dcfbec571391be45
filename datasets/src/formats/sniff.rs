//! Recognises a format by a file's beginning.

use super::lines::container_of;
use super::moment;
use super::series::quantity;
use crate::Format;
use crate::input::date::DayOrder;
use crate::input::{ROW_BYTES_MAX, Unwrapper, number, quoted, time};
use std::collections::BTreeSet;

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
    if let Some(container) = container_of(head) {
        return wrapped(head, container);
    }
    bare(head)
}

/// What the lines within a wrapper look like.
fn wrapped(head: &[u8], container: crate::input::Container) -> Sniffed {
    let mut unwrapper = Unwrapper::default();
    let rows = head.split(|&byte| byte == b'\n').take(50);
    for row in rows.filter(|row| !row.trim_ascii().is_empty()) {
        let sniffed = unwrapper.line(container, row, ROW_BYTES_MAX).map(bare);
        if let Some(sniffed) = sniffed.filter(|sniffed| sniffed.format.is_some()) {
            return sniffed;
        }
    }
    Sniffed { format: None, found: format!("its lines are wrapped by {}, but hold no known format", container.name()) }
}

fn bare(head: &[u8]) -> Sniffed {
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if first.contains(&0) {
        return Sniffed { format: None, found: "it is binary data".to_owned() };
    }
    let format = if let Some(format) = whole_json(first, head) {
        Some(format)
    } else if first.starts_with(b"{") {
        // Programs that log requests say other things when they start.
        let mut all = std::iter::once(first).chain(lines).filter(|line| line.starts_with(b"{")).take(JSON_LINES_MAX);
        all.find_map(|line| json_lines(line, head))
    } else {
        text(first, lines)
    };
    Sniffed { format, found: format!("it begins with {}", quoted(first)) }
}

/// Formats of JSON whose objects may go over many lines.
fn whole_json(first: &[u8], head: &[u8]) -> Option<Format> {
    let has = |name: &str| memchr::memmem::find(head, format!("\"{name}\"").as_bytes()).is_some();
    match first.first()? {
        b'[' if has("start_time") && has("end_time") && has("info") => Some(Format::InferencePerf),
        b'{' if has("input_lens") && has("output_lens") => Some(Format::VllmBench),
        b'{' if has("benchmarks") && (has("successful") || has("guidellm_version")) => Some(Format::GuideLlm),
        b'{' if has("requests") && has("in") && has("out") && has("t") && (has("hash_ids") || has("block_size")) => {
            Some(Format::Weka)
        }
        _ => None,
    }
}

/// Lines of JSON that are tried.
const JSON_LINES_MAX: usize = 50;

fn json_lines(line: &[u8], head: &[u8]) -> Option<Format> {
    let has_text = |needle: &str| memchr::memmem::find(head, needle.as_bytes()).is_some();
    if has_text("\"resourceSpans\"") || has_text("\"resource_spans\"") {
        return Some(Format::Otel);
    }
    let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
    super::json::fields(line, &mut Vec::new(), |name, _| {
        names.insert(name.to_vec());
    })
    .ok()?;
    let has = |name: &str| names.contains(name.as_bytes());
    let starts = |prefix: &str| names.iter().any(|name| name.starts_with(prefix.as_bytes()));
    if has("input_tokens_total") && has("timing_events") {
        Some(Format::TraceLab)
    } else if starts("attributes.gen_ai.") || starts("attributes.llm.") {
        Some(Format::Otel)
    } else if starts("metadata.request_start_ns") && starts("metrics.") {
        Some(Format::AiPerf)
    } else if has("chat_id") && has("parent_chat_id") && has("timestamp") && has("input_length") {
        Some(Format::Bailian)
    } else if has("input_length") && has("output_length") && (has("timestamp") || has("session_id")) {
        Some(Format::Mooncake)
    } else if has("request_time") && NGINX_TIMES.into_iter().any(has) {
        Some(Format::NginxJson)
    } else if has("start_time") || has("duration") && NGINX_TIMES.into_iter().any(has) && has_envoy_name(&names) {
        Some(Format::EnvoyJson)
    } else {
        None
    }
}

/// A map of columns or fields that a file's names suggest, for messages: `arrival=ts,prompt=in_tokens`.
pub(crate) fn suggested_columns(head: &[u8]) -> String {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.find(|line| !line.starts_with(b"sep=")).unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &[u8]| names.push(String::from_utf8_lossy(name).into_owned());
    if first.starts_with(b"{") {
        let _ = super::json::fields(first, &mut Vec::new(), |name, _| add(name));
    } else {
        fields_of(first, delimiter(first)).map(unquoted).for_each(&mut add);
    }
    let find = |is_it: &dyn Fn(&str) -> bool| names.iter().find(|name| is_it(&name.to_lowercase()));
    let has = |name: &str, words: &[&str]| words.iter().any(|word| name.contains(word));
    let is_count = |name: &str| has(name, &["token", "len", "size"]) && !has(name, &["total", "byte"]);
    let times = ["arrival", "timestamp", "start", "time", "date", "ts"];
    let arrival = times.iter().find_map(|word| find(&|name| name.contains(word) && !is_count(name)));
    let prompt = find(&|name| is_count(name) && has(name, &["prompt", "input", "in_", "context", "request", "query"]));
    let output = find(&|name| is_count(name) && has(name, &["output", "out_", "completion", "generat", "response"]));
    let Some(arrival) = arrival else { return "arrival=NAME,prompt=NAME,output=NAME".to_owned() };
    let pair = |key: &str, name: Option<&String>| name.map_or(String::new(), |name| format!(",{key}={name}"));
    format!("arrival={arrival}{}{}", pair("prompt", prompt), pair("output", output))
}

/// Whether a log without `start_time` has other names of Envoy's.
fn has_envoy_name(names: &BTreeSet<Vec<u8>>) -> bool {
    ["response_code", "upstream_host", "response_flags", "upstream_cluster"]
        .into_iter()
        .any(|name| names.contains(name.as_bytes()))
}

/// Names of the time in NGINX's logs.
const NGINX_TIMES: [&str; 10] =
    ["msec", "time_msec", "timestamp", "ts", "@timestamp", "time_iso8601", "time", "time_local", "date", "start_time"];

fn text<'a>(first: &'a [u8], mut lines: impl Iterator<Item = &'a [u8]>) -> Option<Format> {
    // Spreadsheets' own line, which names the delimiter.
    let (first, stated) = match first.strip_prefix(b"sep=") {
        Some(stated) => (lines.next()?, stated.first().copied()),
        None => (first, None),
    };
    let bracket = memchr::memchr(b'[', first).and_then(|at| first.get(at + 1..at + 27));
    let is_envoy = || {
        let end = memchr::memchr(b']', first)?;
        time::written(first.strip_prefix(b"[")?.get(..end - 1)?)?;
        Some(first[end..].starts_with(b"] \""))
    };
    if is_envoy() == Some(true) {
        return Some(Format::EnvoyText);
    }
    if bracket.is_some_and(|field| time::time_local(field).is_some()) {
        return Some(Format::NginxCombined);
    }
    let delimiter = stated.unwrap_or_else(|| delimiter(first));
    let fields: Vec<&[u8]> = first.split(|&byte| byte == delimiter).map(unquoted).collect();
    let has = |name: &str| fields.iter().any(|field| field.eq_ignore_ascii_case(name.as_bytes()));
    if has("ContextTokens") && has("GeneratedTokens") {
        return Some(Format::Azure);
    }
    if has("Request tokens") && has("Response tokens") {
        return Some(Format::BurstGpt);
    }
    if has("arrival_s") && has("window") && has("prompt_tokens") && has("output_tokens") {
        return Some(Format::Lake);
    }
    looks_like_series(first, lines, delimiter).then_some(Format::Series)
}

/// Whether a row among the first has a time and a number besides.
fn looks_like_series<'a>(first: &'a [u8], rest: impl Iterator<Item = &'a [u8]>, delimiter: u8) -> bool {
    let is_time =
        |field: &[u8]| moment::written(field, DayOrder::DayFirst).or(moment::written(field, DayOrder::MonthFirst));
    let is_row = |line: &[u8]| {
        let fields: Vec<&[u8]> = fields_of(line, delimiter).map(unquoted).collect();
        let is_number = |field: &&[u8]| is_missing(field) || quantity::looks_like_number(field);
        let times = fields.iter().filter(|field| is_time(field).is_some()).count();
        let numbers = fields.iter().filter(|field| number::float(field).is_some()).count();
        fields.len() >= 2 && (times == 1 && fields.iter().any(is_number) || numbers >= 2)
    };
    std::iter::once(first).chain(rest.take(12)).any(is_row)
}

/// The fields of a line of CSV, quotes around them.
fn fields_of(line: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    line.split(move |&byte| {
        is_quoted ^= byte == b'"';
        byte == delimiter && !is_quoted
    })
}

fn unquoted(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    field.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(field)
}

/// How a missing value of a series is written.
pub(crate) fn is_missing(field: &[u8]) -> bool {
    let spellings: [&[u8]; 9] = [b"", b"nan", b"na", b"n/a", b"null", b"none", b"-", b"--", b"undefined"];
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
