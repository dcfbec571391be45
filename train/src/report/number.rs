//! Numbers as text: three significant digits, one unit for a column, aligned points.

/// What stands for a number that is missing or not finite.
pub(crate) const MISSING: &str = "\u{2013}";

/// `value` with three significant digits; large whole numbers keep theirs.
pub(crate) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return MISSING.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.2e}");
    // Taken after rounding, so that 9.996 counts as 10.0.
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let decimals = (2 - exponent).max(0) as usize;
        format!("{value:.decimals$}")
    } else {
        scientific
    }
}

/// A relative change such as `+4.1 %` or `-38 %`.
pub(crate) fn change(relative: f64) -> String {
    if !relative.is_finite() {
        return MISSING.to_owned();
    }
    let percent = relative * 100.0;
    let text = if percent.abs() < 9.95 { format!("{percent:+.1} %") } else { format!("{percent:+.0} %") };
    match text.as_str() {
        "+0.0 %" | "-0.0 %" => "0.0 %".to_owned(),
        _ => text,
    }
}

/// A share as a percentage, such as `91.3 %`.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{} %", significant(share * 100.0)) } else { MISSING.to_owned() }
}

/// A load such as `70 %`: no more digits than it needs.
pub(crate) fn load(share: f64) -> String {
    if share.is_finite() { format!("{} %", (share * 1000.0).round() / 10.0) } else { MISSING.to_owned() }
}

/// A time with the unit that suits it, such as `12.4 s` or `813 ms`.
pub(crate) fn seconds(value_s: f64) -> String {
    if !value_s.is_finite() {
        return MISSING.to_owned();
    }
    match value_s.abs() {
        0.0 => "0 s".to_owned(),
        size if size < 0.9995e-3 => format!("{} µs", significant(value_s * 1e6)),
        size if size < 0.9995 => format!("{} ms", significant(value_s * 1e3)),
        _ => format!("{} s", significant(value_s)),
    }
}

/// A round time for a tick, such as `500 ms` or `2 s`.
pub(crate) fn seconds_short(value_s: f64) -> String {
    let (value, unit) = match value_s.abs() {
        0.0 => (0.0, "s"),
        size if size < 0.9995e-3 => (value_s * 1e6, "µs"),
        size if size < 0.9995 => (value_s * 1e3, "ms"),
        _ => (value_s, "s"),
    };
    format!("{} {unit}", plain(value))
}

/// A round number for a tick: no digits that say nothing.
pub(crate) fn plain(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A round number for a tick, thousands as `k`, millions as `M`.
pub(crate) fn compact(value: f64) -> String {
    match value.abs() {
        size if size >= 1e9 => format!("{}G", plain(value / 1e9)),
        size if size >= 1e6 => format!("{}M", plain(value / 1e6)),
        size if size >= 1e4 => format!("{}k", plain(value / 1e3)),
        _ => plain(value),
    }
}

/// A span in the largest unit that keeps it whole, such as `30 min`.
pub(crate) fn span(value_s: f64) -> String {
    if !value_s.is_finite() {
        return MISSING.to_owned();
    }
    [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")]
        .into_iter()
        .find(|(unit_s, _)| value_s >= *unit_s && value_s % unit_s == 0.0)
        .map_or_else(|| seconds(value_s), |(unit_s, name)| format!("{} {name}", value_s / unit_s))
}

/// The unit shared by a column of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit {
    /// Its symbol.
    pub(crate) symbol: &'static str,
    /// How many of it make a second, or a whole.
    pub(crate) per_base: f64,
}

impl Unit {
    /// Per cent.
    pub(crate) const PERCENT: Self = Self { symbol: "%", per_base: 100.0 };

    /// Milliseconds where all of `values_s` are under a second, otherwise seconds.
    pub(crate) fn of_seconds(values_s: impl IntoIterator<Item = f64>) -> Self {
        let largest_s = values_s
            .into_iter()
            .filter(|value| value.is_finite())
            .fold(0.0, |largest: f64, value| largest.max(value.abs()));
        if largest_s < 0.9995 { Self { symbol: "ms", per_base: 1e3 } } else { Self { symbol: "s", per_base: 1.0 } }
    }

    /// `value` in this unit with three significant digits, without the symbol.
    pub(crate) fn format(self, value: f64) -> String {
        significant(value * self.per_base)
    }
}

/// Pads numbers on the right so that, set flush right, their decimal points align.
/// `point` and `digit` are spaces as wide as a point and as a digit.
pub(crate) fn align_points(numbers: &mut [String], point: char, digit: char) {
    let decimals = |number: &str| number.split_once('.').map(|(_, tail)| tail.chars().count());
    let widest = numbers.iter().filter_map(|number| decimals(number)).max();
    let Some(widest) = widest else { return };
    for number in numbers {
        let missing = if let Some(have) = decimals(number) {
            widest - have
        } else {
            number.push(point);
            widest
        };
        number.extend(std::iter::repeat_n(digit, missing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_kept() {
        let cases = [
            (0.0, "0"),
            (0.0123456, "0.0123"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (1234.5, "1234"),
            (-0.5, "-0.500"),
            (1.5e-7, "1.50e-7"),
            (f64::NAN, MISSING),
            (f64::INFINITY, MISSING),
        ];
        for (value, text) in cases {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn changes_carry_their_sign() {
        assert_eq!(change(-0.381), "-38 %");
        assert_eq!(change(0.0412), "+4.1 %");
        assert_eq!(change(-0.00001), "0.0 %");
        assert_eq!(change(f64::NAN), MISSING);
    }

    #[test]
    fn spans_and_times_choose_their_unit() {
        assert_eq!(seconds(0.0), "0 s");
        assert_eq!(seconds(0.000_25), "250 µs");
        assert_eq!(seconds(0.813), "813 ms");
        assert_eq!(seconds(0.9999), "1.00 s");
        assert_eq!(span(1800.0), "30 min");
        assert_eq!(span(5400.0), "90 min");
        assert_eq!(span(0.5), "500 ms");
        assert_eq!(load(0.7), "70 %");
        assert_eq!(load(0.925), "92.5 %");
    }

    #[test]
    fn points_align() {
        let mut numbers = ["12.4", "0.813", "5", MISSING].map(str::to_owned);
        align_points(&mut numbers, ' ', ' ');
        assert_eq!(numbers, ["12.4  ", "0.813", "5    ", "\u{2013}    "]);
    }
}
