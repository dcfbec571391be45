//! Numbers as dashboards and spreadsheets write them: `1,709`, `40,396`, `42.2 K`, `40.6 req/s`.

use crate::{SeriesUnit, ValueUnit};

/// Larger values are no rate of any service.
pub(crate) const VALUE_MAX: f64 = 1e15;

/// How a file writes numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Marks {
    /// `1,709.5`: points for decimals, commas for thousands.
    #[default]
    Point,
    /// `1.709,5`: commas for decimals, points for thousands.
    Comma,
}

/// A number and what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantity {
    pub(crate) value: f64,
    pub(crate) unit: Option<ValueUnit>,
}

/// Reads a number with its suffix; `None` where it is none.
pub(crate) fn parse(field: &[u8], marks: Marks) -> Option<Quantity> {
    let text = std::str::from_utf8(field).ok()?.trim();
    let (number, suffix) = with_exponent(text).unwrap_or_else(|| {
        let end = text.find(|c: char| c.is_alphabetic() || c == '%' || c == '/').unwrap_or(text.len());
        (text[..end].trim_end(), &text[end..])
    });
    suffixed(grouped(number, marks)?, suffix.trim())
}

/// Whether a field is a number in any way of writing it.
pub(crate) fn looks_like_number(field: &[u8]) -> bool {
    parse(field, Marks::Point).is_some() || parse(field, Marks::Comma).is_some()
}

fn finite(value: f64, unit: Option<ValueUnit>) -> Option<Quantity> {
    value.is_finite().then_some(Quantity { value, unit })
}

/// A number in scientific notation and what follows it.
fn with_exponent(text: &str) -> Option<(&str, &str)> {
    let at = text.find(['e', 'E'])?;
    let rest = &text[at + 1..];
    let sign = usize::from(rest.starts_with(['+', '-']));
    let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0 && text[..at].ends_with(|c: char| c.is_ascii_digit()))
        .then(|| (&text[..at + 1 + sign + digits], text[at + 1 + sign + digits..].trim()))
}

/// A number whose thousands may be marked.
fn grouped(text: &str, marks: Marks) -> Option<f64> {
    let (decimal, thousands) = match marks {
        Marks::Point => ('.', ','),
        Marks::Comma => (',', '.'),
    };
    let (whole, fraction) = text.split_once(decimal).map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let is_mark = |c: char| c == thousands || matches!(c, '\'' | ' ' | '\u{a0}' | '\u{202f}');
    let mut groups = whole.split(is_mark);
    let first = groups.next()?;
    let mut plain = first.to_owned();
    let mut is_grouped = false;
    for group in groups {
        if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        is_grouped = true;
        plain.push_str(group);
    }
    if is_grouped && (first.trim_start_matches(['+', '-']).is_empty() || first.len() > 4) {
        return None;
    }
    if let Some(fraction) = fraction {
        plain.push('.');
        plain.push_str(fraction);
    }
    if plain.bytes().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E')) {
        return None;
    }
    plain.parse().ok()
}

/// Applies a suffix: a scale (`K`, `Mil`), a unit (`req/s`), or both.
fn suffixed(value: f64, suffix: &str) -> Option<Quantity> {
    const SCALES: [(&str, f64); 13] = [
        ("Mil", 1e6),
        ("Bil", 1e9),
        ("Tri", 1e12),
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("K", 1e3),
        ("k", 1e3),
        ("M", 1e6),
        ("B", 1e9),
        ("G", 1e9),
        ("T", 1e12),
        ("", 1.0),
    ];
    SCALES.iter().find_map(|(scale, factor)| {
        let unit = suffix.strip_prefix(scale)?.trim();
        let unit = match unit_of(unit) {
            Behind::Unit(unit) => Some(unit),
            Behind::Thing => None,
            Behind::Nothing if unit.is_empty() => None,
            Behind::Nothing => return None,
        };
        finite(value * factor, unit)
    })
}

/// What stands behind a number.
enum Behind {
    Unit(ValueUnit),
    /// What is counted, which is no unit of time.
    Thing,
    /// No word that is known.
    Nothing,
}

/// The unit behind a number.
fn unit_of(text: &str) -> Behind {
    let text = text.to_ascii_lowercase();
    if matches!(text.as_str(), "req" | "reqs" | "requests" | "calls" | "tokens" | "tok") {
        return Behind::Thing;
    }
    if matches!(text.as_str(), "%" | "percent" | "ms" | "s" | "sec" | "us" | "µs" | "ns" | "min") {
        return Behind::Unit(ValueUnit::Level);
    }
    let is_rate = |ends: &[&str]| ends.iter().any(|end| text.ends_with(end));
    let unit = if is_rate(&["/s", "/sec", "rps", "qps", "reqps", "ops", "cps", "per second"]) {
        ValueUnit::PerSecond
    } else if is_rate(&["/m", "/min", "rpm", "per minute", "reqpm", "opm", "cpm"]) {
        ValueUnit::PerMinute
    } else if is_rate(&["/h", "/hour", "rph", "per hour"]) {
        ValueUnit::PerHour
    } else {
        return Behind::Nothing;
    };
    Behind::Unit(unit)
}

/// The unit that a column's name states.
pub(crate) fn unit_of_name(name: &str) -> Option<ValueUnit> {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let word = |list: &[&str]| list.iter().any(|one| words.contains(one));
    let pair = |a: &str, list: &[&str]| words.windows(2).any(|pair| pair[0] == a && list.contains(&pair[1]));
    if has(&[
        "latency",
        "duration",
        "util",
        "percent",
        "queue",
        "waiting",
        "running",
        "cache_usage",
        "temperature",
        "inflight",
        "in-flight",
    ]) || name.contains('%')
    {
        return Some(ValueUnit::Level);
    }
    let second = ["s", "sec", "second", "seconds"];
    let minute = ["m", "min", "minute"];
    let hour = ["h", "hour"];
    if pair("per", &second)
        || pair("je", &["s", "sekunde"])
        || pair("par", &["s", "seconde"])
        || pair("pro", &["s", "sekunde"])
        || has(&["/s", "persecond", "rate(", "irate("])
        || word(&["rps", "qps", "reqps", "tps"])
    {
        return Some(ValueUnit::PerSecond);
    }
    if pair("per", &minute) || has(&["/min", "perminute"]) || word(&["rpm", "qpm", "reqpm"]) {
        return Some(ValueUnit::PerMinute);
    }
    if pair("per", &hour) || has(&["/h", "perhour"]) || word(&["rph"]) {
        return Some(ValueUnit::PerHour);
    }
    if pair("per", &["step", "interval", "period", "bin"]) || has(&["(sum)", "samplecount"]) {
        return Some(ValueUnit::PerStep);
    }
    None
}

/// What a unit becomes, and the factor to it, at a step.
pub(crate) fn to_series_unit(unit: Option<ValueUnit>, step_s: f64) -> (SeriesUnit, f64) {
    match unit {
        Some(ValueUnit::PerSecond | ValueUnit::Counter) => (SeriesUnit::PerSecond, 1.0),
        Some(ValueUnit::PerMinute) => (SeriesUnit::PerSecond, 1.0 / 60.0),
        Some(ValueUnit::PerHour) => (SeriesUnit::PerSecond, 1.0 / 3600.0),
        Some(ValueUnit::PerStep) => (SeriesUnit::PerSecond, 1.0 / step_s),
        Some(ValueUnit::Level) => (SeriesUnit::Level, 1.0),
        None => (SeriesUnit::Unknown, 1.0),
    }
}

/// How numbers are written, by a sample of them and the delimiter between columns; `None` where
/// `1,709` may be a thousand and some, or one and some.
pub(crate) fn marks<'a>(fields: impl Iterator<Item = &'a [u8]>, delimiter: u8) -> Option<Marks> {
    let mut has_comma = false;
    for field in fields {
        let Some(comma) = memchr::memrchr(b',', field) else { continue };
        has_comma = true;
        if let Some(point) = memchr::memrchr(b'.', field) {
            return Some(if comma > point { Marks::Comma } else { Marks::Point });
        }
        let digits = field[comma + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let before = field[..comma].iter().filter(|byte| byte.is_ascii_digit()).count();
        let count = memchr::memchr_iter(b',', field).count();
        if count > 1 {
            return Some(Marks::Point);
        }
        if digits != 3 || before > 3 || field.starts_with(b"0,") {
            return Some(Marks::Comma);
        }
    }
    match (has_comma, delimiter) {
        (false, _) | (true, b',') => Some(Marks::Point),
        // Semicolons separate columns where the comma is taken.
        (true, b';') => Some(Marks::Comma),
        (true, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_many_spellings() {
        let value = |text: &str, marks| parse(text.as_bytes(), marks).map(|q| q.value);
        for (text, expected) in [
            ("1709", 1709.0),
            ("1,709", 1709.0),
            ("1,234,567.5", 1_234_567.5),
            ("1 709", 1709.0),
            ("42.2 K", 42_200.0),
            ("42.2K", 42_200.0),
            ("1.5 Mil", 1.5e6),
            ("1.764e+09", 1.764e9),
            ("40.6 req/s", 40.6),
            ("4.2 K req/s", 4200.0),
            ("-3", -3.0),
            ("55%", 55.0),
        ] {
            assert_eq!(value(text, Marks::Point), Some(expected), "{text}");
        }
        for (text, expected) in [("40,396", 40.396), ("1.709,5", 1709.5), ("42,2 K", 42_200.0), ("7", 7.0)] {
            assert_eq!(value(text, Marks::Comma), Some(expected), "{text}");
        }
        for wrong in
            ["", "abc", "10.0.0.1", "10.0.0.1:8000", "1,2,3", "12:30", "2025-11-24", "1e300e", "inf", "NaN", "3 apples"]
        {
            assert_eq!(value(wrong, Marks::Point), None, "{wrong}");
        }
    }

    #[test]
    fn units_of_suffixes_and_names() {
        assert_eq!(parse(b"40.6 req/s", Marks::Point).unwrap().unit, Some(ValueUnit::PerSecond));
        assert_eq!(parse(b"40.6 req/min", Marks::Point).unwrap().unit, Some(ValueUnit::PerMinute));
        for name in ["req/s", "requests_per_s", "Anfragen je s", "rps", "rate(http_requests_total[5m])"] {
            assert_eq!(unit_of_name(name), Some(ValueUnit::PerSecond), "{name}");
        }
        assert_eq!(unit_of_name("RequestCount (Sum)"), Some(ValueUnit::PerStep));
        assert_eq!(unit_of_name("requests per minute"), Some(ValueUnit::PerMinute));
        assert_eq!(unit_of_name("queue"), Some(ValueUnit::Level));
        assert_eq!(unit_of_name("requests"), None);
        assert_eq!(unit_of_name("sessions"), None);
    }

    #[test]
    fn marks_are_told_or_not() {
        let told = |fields: &[&str], delimiter| marks(fields.iter().map(|field| field.as_bytes()), delimiter);
        assert_eq!(told(&["1,709", "999"], b','), Some(Marks::Point));
        assert_eq!(told(&["40,396", "41,394"], b';'), Some(Marks::Comma));
        assert_eq!(told(&["40,39", "41,394"], b','), Some(Marks::Comma));
        assert_eq!(told(&["1,709", "2,001"], b'\t'), None);
        assert_eq!(told(&["1.709,25"], b'\t'), Some(Marks::Comma));
    }
}
