//! Dates and times as people and programs write them, beyond ISO 8601.

use super::number::digits;
use super::time::{Written, at_most, days, fraction, zone_seconds};

const SECOND_NS: i64 = 1_000_000_000;

/// Order of day and month in a date of three numbers that ends with the year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DayOrder {
    /// `24/11/2025` and `24.11.2025`.
    DayFirst,
    /// `11/24/2025`.
    #[default]
    MonthFirst,
}

/// A date, with or without a time of the day and a zone:
///
/// - `2025/11/24 16:00:00`, `2025-11-24 04:00:00 PM`
/// - `11/24/2025 04:00:00 PM`, `24.11.2025 16:00` (by `order`; with points the day comes first)
/// - `24/Nov/2025:16:00:00 +0000`, `24 Nov 2025 16:00`, `Nov 24, 2025 4:00 PM`,
///   `Mon, 24 Nov 2025 16:00:00 GMT`
pub(crate) fn written(field: &[u8], order: DayOrder) -> Option<Written> {
    let field = without_weekday(field.trim_ascii());
    let (date, rest) = date(field, order)?;
    let rest = match rest {
        [] => return Some(Written { time_ns: date * 86_400 * SECOND_NS, has_zone: false }),
        [b',', b' ', rest @ ..] | [b' ' | b'T' | b':' | b',', rest @ ..] => rest,
        _ => return None,
    };
    let (clock_ns, rest) = clock(rest.trim_ascii_start())?;
    let zone_s = zone_seconds(rest)?;
    Some(Written { time_ns: (date * 86_400 - zone_s) * SECOND_NS + clock_ns, has_zone: !rest.trim_ascii().is_empty() })
}

/// The order that a date of three numbers shows: `None` where it fits both, or is no such date.
pub(crate) fn order_of(field: &[u8]) -> Option<DayOrder> {
    let field = without_weekday(field.trim_ascii());
    let (first, separator, rest) = number_and(field)?;
    let (second, _, _) = number_and(rest)?;
    match (first.len() <= 2, separator, digits(first)?, digits(second)?) {
        (false, ..) => None,
        (_, b'.', ..) | (_, _, 13.., _) => Some(DayOrder::DayFirst),
        (_, _, _, 13..) => Some(DayOrder::MonthFirst),
        _ => None,
    }
}

/// Whether a date is of the kind of which day and month may be mistaken for each other.
pub(crate) fn has_order(field: &[u8]) -> bool {
    let field = without_weekday(field.trim_ascii());
    let parts = number_and(field).and_then(|(first, separator, rest)| Some((first, separator, number_and(rest)?)));
    matches!(parts, Some((first, b'/' | b'-', (second, b'/' | b'-', _))) if first.len() <= 2 && second.len() <= 2)
}

/// `Mon, ` and `Monday ` say nothing that the date does not.
fn without_weekday(field: &[u8]) -> &[u8] {
    const DAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
    let letters = field.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let is_day = letters >= 3 && DAYS.iter().any(|day| field[..3].eq_ignore_ascii_case(day));
    if !is_day {
        return field;
    }
    let rest = &field[letters..];
    rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start()
}

/// Digits, the byte after them, and the rest.
fn number_and(field: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let len = field.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (len > 0 && len < field.len()).then(|| (&field[..len], field[len], &field[len + 1..]))
}

/// Days since 1970, and what follows the date.
fn date(field: &[u8], order: DayOrder) -> Option<(i64, &[u8])> {
    if field.first()?.is_ascii_alphabetic() {
        // Nov 24, 2025
        let (name, rest) = word(field);
        let (day, rest) = number(rest.trim_ascii_start())?;
        let rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let (year, rest) = number(rest)?;
        return Some((days(year, month(name)?, day)?, rest));
    }
    let (first, separator, rest) = number_and(field)?;
    if rest.first()?.is_ascii_alphabetic() {
        // 24 Nov 2025, 24/Nov/2025
        let (name, rest) = word(rest);
        let (year, rest) = number(rest.strip_prefix(&[separator])?)?;
        return Some((days(year, month(name)?, digits(first)?)?, rest));
    }
    let (second, other, rest) = number_and(rest)?;
    if !matches!(separator, b'/' | b'-' | b'.') || other != separator {
        return None;
    }
    let (third, rest) = number(rest)?;
    let [a, b] = [digits(first)?, digits(second)?];
    let (year, month, day) = match (first.len(), separator, order) {
        (4, ..) => (a, b, third),
        (_, b'.', _) | (_, _, DayOrder::DayFirst) => (third, b, a),
        (_, _, DayOrder::MonthFirst) => (third, a, b),
    };
    let year = if year < 100 { year + 2000 } else { year };
    Some((days(year, month, day)?, rest))
}

/// Nanoseconds since midnight, and what follows: `16:00`, `4:00:00.5 PM`.
fn clock(field: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = number(field)?;
    let (minute, rest) = rest.strip_prefix(b":")?.split_at_checked(2)?;
    let minute = at_most(minute, 59)?;
    let (second, rest) = match rest {
        &[b':', s0, s1, ref rest @ ..] => (at_most(&[s0, s1], 60)?, rest),
        rest => (0, rest),
    };
    let (fraction_ns, rest) = match rest {
        [b'.' | b',', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    let text = rest.trim_ascii_start();
    let (hour, rest) = match text {
        [half @ (b'A' | b'a' | b'P' | b'p'), b'M' | b'm', rest @ ..] if (1..=12).contains(&hour) => {
            let afternoon = half.eq_ignore_ascii_case(&b'p');
            (hour % 12 + if afternoon { 12 } else { 0 }, rest)
        }
        _ if hour <= 23 => (hour, rest),
        _ => return None,
    };
    Some(((hour as i64 * 3600 + minute * 60 + second) * SECOND_NS + fraction_ns, rest))
}

fn number(field: &[u8]) -> Option<(u64, &[u8])> {
    let len = field.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some((digits(&field[..len])?, &field[len..]))
}

fn word(field: &[u8]) -> (&[u8], &[u8]) {
    field.split_at(field.iter().take_while(|byte| byte.is_ascii_alphabetic()).count())
}

fn month(name: &[u8]) -> Option<u64> {
    const MONTHS: [&[u8]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let is_it = |month: &&[u8]| name.len() >= 3 && name[..3].eq_ignore_ascii_case(month);
    MONTHS.iter().position(is_it).map(|index| index as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_time_in_many_spellings() {
        let at = |text: &str, order| written(text.as_bytes(), order).map(|written| written.time_ns / SECOND_NS);
        for text in [
            "2025/11/24 16:00:00",
            "2025-11-24 04:00:00 PM",
            "11/24/2025 04:00:00 PM",
            "11/24/2025, 4:00 PM",
            "24.11.2025 16:00",
            "24/Nov/2025:16:00:00 +0000",
            "24/Nov/2025:17:00:00 +0100",
            "24 Nov 2025 16:00",
            "Nov 24, 2025 4:00 PM",
            "Mon, 24 Nov 2025 16:00:00 GMT",
        ] {
            assert_eq!(at(text, DayOrder::MonthFirst), Some(1_764_000_000), "{text}");
        }
        assert_eq!(at("24/11/2025 16:00", DayOrder::DayFirst), Some(1_764_000_000));
        assert_eq!(at("12/01/2025 12:30 AM", DayOrder::MonthFirst), Some(1_764_549_000));
        for wrong in ["24/11/2025 16:00", "11/24/2025 13:00 PM", "16:00", "Nov", "11-24/2025", "10.0.0.1", "1/2"] {
            assert_eq!(at(wrong, DayOrder::MonthFirst), None, "{wrong}");
        }
    }

    #[test]
    fn order_is_told_from_days_above_twelve() {
        assert_eq!(order_of(b"11/24/2025 4:00 PM"), Some(DayOrder::MonthFirst));
        assert_eq!(order_of(b"24/11/2025"), Some(DayOrder::DayFirst));
        assert_eq!(order_of(b"04/11/2025"), None);
        assert!(has_order(b"04/11/2025") && !has_order(b"2025/11/04") && !has_order(b"1764000000"));
    }
}
