//! Decimal numbers in headers and queries: somebody's claims.

/// Larger numbers are taken for this one.
const MAX: u32 = 0x7FFF_FFFF;

/// A decimal number; 0 for what is none, and the largest for what is too large.
pub(crate) fn parse(text: &[u8]) -> u32 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let add = |number: u32, digit: &u8| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    text.iter().fold(0, add).min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_counts_as_none() {
        for text in ["", "-1", "+1", " 1", "1e9", "0x10", "many", "1.5", "\u{0}"] {
            assert_eq!(parse(text.as_bytes()), 0, "{text:?}");
        }
        assert_eq!(parse(b"321"), 321);
        assert_eq!(parse(&[b'9'; 1000]), MAX);
    }
}
