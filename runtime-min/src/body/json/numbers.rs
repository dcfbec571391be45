//! Numbers: whole ones of at most seven digits at once, others digit by digit.

/// A number from here on counts as the largest.
const LARGE: u64 = 1 << 60;

/// Whether a byte may be part of a number.
#[inline]
pub(super) fn is_part(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// The number with one digit more.
#[inline]
pub(super) fn append(number: u64, digit: u8) -> u64 {
    if number < LARGE { number * 10 + u64::from(digit.wrapping_sub(b'0')) } else { u64::MAX }
}

/// A number of one to seven digits and nothing else, with the byte behind it in sight; and what
/// is behind the number.
///
/// The digits are found and added up eight at a time, without a branch on how many there are,
/// which in a list of token ids nothing could foresee (after Lemire, 2018).
#[inline]
pub(super) fn short(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = u64::from_le_bytes(*bytes.first_chunk::<8>()?) ^ u64::from_le_bytes([b'0'; 8]);
    // The top bit of each byte that is more than 9; beyond the first such, bits may be wrong.
    let others = (digits.wrapping_add(u64::from_le_bytes([0x76; 8])) | digits) & u64::from_le_bytes([0x80; 8]);
    let len = others.trailing_zeros() / 8;
    let rest = bytes.get(len as usize..)?;
    if !(1..8).contains(&len) || rest.first().is_none_or(|next| is_part(*next)) {
        return None;
    }
    // Zeros in front, then pairs, then fours.
    let digits = digits << (64 - len * 8);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let even = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(100 + (1_000_000 << 32));
    let odd = (pairs >> 16 & 0x0000_00FF_0000_00FF).wrapping_mul(1 + (10_000 << 32));
    Some((even.wrapping_add(odd) >> 32, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn short_numbers_are_their_values() {
        for number in (0..20_000).chain([99_999, 123_456, 1_000_000, 9_999_999]) {
            let text = format!("{number},12345678");
            assert_eq!(short(text.as_bytes()), Some((number, &text.as_bytes()[text.len() - 9..])), "{text}");
        }
        for text in ["12345678,", "1.5     ", "1e5     ", "-1      ", "1-      ", "12345", "x       ", ",       "] {
            assert_eq!(short(text.as_bytes()), None, "{text}");
        }
        assert_eq!(short(b"7\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), Some((7, &[0xFF; 7][..])));
    }

    #[test]
    fn long_numbers_are_the_largest() {
        let of = |text: &str| text.bytes().fold(0, append);
        assert_eq!(of("1152921504606846975"), 1_152_921_504_606_846_975);
        assert!(of("99999999999999999999999") > u64::from(u32::MAX));
    }
}
