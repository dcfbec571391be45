//! Numbers in text, read without copying.

/// A count of tokens: a whole number of at least 0, also when written with zeros after a point.
pub(crate) fn tokens(field: &[u8]) -> Option<u32> {
    let field = field.trim_ascii();
    let whole = match memchr::memchr(b'.', field) {
        Some(point) if field[point + 1..].iter().all(|&byte| byte == b'0') => &field[..point],
        Some(_) => return None,
        None => field,
    };
    digits(whole).and_then(|value| u32::try_from(value).ok())
}

/// A run of decimal digits and nothing else.
pub(crate) fn digits(field: &[u8]) -> Option<u64> {
    if field.is_empty() || field.len() > 19 {
        return None;
    }
    field.iter().try_fold(0_u64, |value, &byte| {
        byte.is_ascii_digit().then(|| value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')))
    })
}

/// A finite decimal number.
pub(crate) fn float(field: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(field.trim_ascii()).ok()?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A decimal number of `unit_ns` nanoseconds each, in nanoseconds: exact to the last digit where
/// it is written without an exponent, which a float of seconds since 1970 is not.
pub(crate) fn nanoseconds(field: &[u8], unit_ns: i64) -> Option<i64> {
    let field = field.trim_ascii();
    let (negative, unsigned) = match field.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, field),
    };
    let (whole, fraction) = match memchr::memchr(b'.', unsigned) {
        Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
        None => (unsigned, &b""[..]),
    };
    let Some(whole) = digits(whole) else { return inexact(field, unit_ns) };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return inexact(field, unit_ns);
    }
    let mut scale = unit_ns;
    let mut part = 0;
    for digit in fraction {
        scale /= 10;
        part += i64::from(digit - b'0') * scale;
    }
    let magnitude = i64::try_from(whole).ok()?.checked_mul(unit_ns)?.checked_add(part)?;
    Some(if negative { -magnitude } else { magnitude })
}

fn inexact(field: &[u8], unit_ns: i64) -> Option<i64> {
    let value = float(field)? * unit_ns as f64;
    (value.abs() < 9e18).then_some(value.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_whole_and_not_negative() {
        assert_eq!(tokens(b"4808"), Some(4808));
        assert_eq!(tokens(b" 12.0 "), Some(12));
        for wrong in [&b"-1"[..], b"1.5", b"", b"4294967296", b"1e3", b"99999999999999999999", b"."] {
            assert_eq!(tokens(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn times_are_exact() {
        const S: i64 = 1_000_000_000;
        assert_eq!(nanoseconds(b"1700000000.123456789", S), Some(1_700_000_000_123_456_789));
        assert_eq!(nanoseconds(b"-0.5", S), Some(-500_000_000));
        assert_eq!(nanoseconds(b"27482", 1_000_000), Some(27_482_000_000));
        assert_eq!(nanoseconds(b"1.5e3", 1_000_000), Some(1_500_000_000));
        for wrong in [&b""[..], b"-", b"1.2.3", b"12:30", b"nan", b"99999999999999999", b"1e300"] {
            assert_eq!(nanoseconds(wrong, S), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
