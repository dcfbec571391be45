//! Prometheus' text format and `OpenMetrics`', line by line.
//!
//! Pages are a host's, and so untrusted: a line that makes no sense is skipped, no line is
//! looked at twice, nothing is copied.

use memchr::{memchr, memchr_iter};

/// A line that has the form of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'p> {
    /// The metric's name as it stands in the page.
    pub name: &'p [u8],
    /// The text between the braces.
    pub labels: &'p [u8],
    /// The first word behind them.
    pub value: &'p [u8],
}

/// The lines of a page, without their ends.
pub fn lines(page: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr_iter(b'\n', page).chain([page.len()]).map(move |end| {
        let line = &page[begin..end];
        begin = end + 1;
        line
    })
}

/// The name at the beginning of a line, and what follows it. `None` for comments and for what
/// begins like no name.
pub fn name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t' | b'\r')).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let first = *name.first()?;
    (first.is_ascii_alphabetic() || first == b'_' || first == b':').then_some((name, rest))
}

impl<'p> Sample<'p> {
    /// Reads what follows a name. A timestamp or an exemplar behind the value is left out.
    pub fn new(name: &'p [u8], rest: &'p [u8]) -> Option<Self> {
        let rest = rest.trim_ascii_start();
        let (labels, value) = match rest.strip_prefix(b"{") {
            None => (&rest[..0], rest),
            Some(inner) => {
                let end = closing_brace(inner)?;
                (&inner[..end], inner[end + 1..].trim_ascii_start())
            }
        };
        let value = &value[..value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len())];
        (!value.is_empty()).then_some(Self { name, labels, value })
    }

    /// The value as a number, which may be infinite or not a number; `None` for other words.
    pub fn number(&self) -> Option<f64> {
        std::str::from_utf8(self.value).ok()?.parse().ok()
    }
}

/// Names and values of labels, the values with their escapes. Ends early where the text makes
/// no sense.
pub fn labels(mut text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let begin = text.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b',')?;
        let equals = begin + memchr(b'=', &text[begin..])?;
        let name = text[begin..equals].trim_ascii();
        let value = text[equals + 1..].trim_ascii_start().strip_prefix(b"\"")?;
        let end = closing_quote(value)?;
        text = &value[end + 1..];
        Some((name, &value[..end]))
    })
}

/// Finds the end of the labels: braces within quotes do not count.
fn closing_brace(inner: &[u8]) -> Option<usize> {
    let first = memchr(b'}', inner)?;
    if memchr(b'"', &inner[..first]).is_none() {
        return Some(first);
    }
    let (mut quoted, mut escaped) = (false, false);
    inner.iter().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' => return !quoted,
            _ => {}
        }
        false
    })
}

fn closing_quote(value: &[u8]) -> Option<usize> {
    let mut escaped = false;
    value.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::{Sample, labels, lines, name};

    /// Names and values of labels.
    type Pairs = Vec<(String, String)>;

    fn sample(line: &str) -> Option<(String, Pairs, Option<f64>)> {
        let (name, rest) = name(line.as_bytes())?;
        let sample = Sample::new(name, rest)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let labels = labels(sample.labels).map(|(name, value)| (text(name), text(value))).collect();
        Some((text(sample.name), labels, sample.number()))
    }

    #[test]
    fn samples_of_all_forms_are_read() {
        let pairs = |pairs: &[(&str, &str)]| -> Pairs {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (line, name, labels, value) in [
            ("a 1", "a", pairs(&[]), 1.0),
            ("a:b_c 1.5e3 1700000000000", "a:b_c", pairs(&[]), 1500.0),
            ("a{} 2\r", "a", pairs(&[]), 2.0),
            ("a {x=\"1\"} 2", "a", pairs(&[("x", "1")]), 2.0),
            ("a{ x = \"1\" , y=\"2\", } 2", "a", pairs(&[("x", "1"), ("y", "2")]), 2.0),
            ("a{x=\"b{c}\\\"\",y=\"\"} 3", "a", pairs(&[("x", "b{c}\\\""), ("y", "")]), 3.0),
            ("a_total{x=\"1\"} 4 # {trace=\"9\"} 0.5 1.7e9", "a_total", pairs(&[("x", "1")]), 4.0),
            ("a +Inf", "a", pairs(&[]), f64::INFINITY),
        ] {
            assert_eq!(sample(line), Some((name.to_owned(), labels, Some(value))), "{line}");
        }
        assert!(sample("a NaN").unwrap().2.unwrap().is_nan());
        assert_eq!(sample("a x").unwrap().2, None);
    }

    #[test]
    fn what_is_no_sample_is_skipped() {
        for line in ["", "# HELP a b", "# EOF", "{} 1", "} 1", "a", "a{ 1", "a{x=\"} 1", "<html>", "  ", "[{\"a\": 1}]"]
        {
            assert_eq!(sample(line), None, "{line:?}");
        }
        assert_eq!(labels(b"x,y=\"1\"").count(), 1, "a name with a comma in it is nobody's, but harmless");
        assert_eq!(labels(b"x=1").count(), 0);
        assert_eq!(lines(b"a\nb\n\nc").collect::<Vec<_>>(), [&b"a"[..], b"b", b"", b"c"]);
    }
}
