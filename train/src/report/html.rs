//! Writing HTML: a macro that appends, and the escaping of names.

use crate::metrics::Estimate;

/// Appends formatted text to a `String`.
macro_rules! put {
    ($out:expr, $($arguments:tt)*) => {{
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!($out, $($arguments)*);
    }};
}
pub(super) use put;

/// `text` as HTML content or as a quoted attribute value.
///
/// Names come from files and command lines: markup is escaped, control characters are
/// replaced.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// Typography for text which [`number`](super::number) wrote: a true minus sign, and a
/// narrow space that does not break before the unit.
pub(super) fn typeset(text: &str) -> String {
    escape(text).replace('-', "\u{2212}").replace(' ', "\u{202f}")
}

/// A cell of a table: a value over its interval.
pub(super) fn estimate_cell(estimate: &Estimate, format: fn(f64) -> String) -> String {
    let [low, high] = estimate.ci95.map(format);
    format!(
        "<td>{}<small>{}\u{2009}–\u{2009}{}</small></td>",
        typeset(&format(estimate.value)),
        typeset(&low),
        typeset(&high)
    )
}
