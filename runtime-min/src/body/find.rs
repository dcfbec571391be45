//! Search for the few bytes that end a run of others.
//!
//! Long runs go by blocks, which the compiler turns into vector instructions; the end of a
//! run is found by words (the zero-byte test of Mycroft, 1987: `(v − 0x01…) & !v & 0x80…`
//! has its lowest bit at the first zero byte of `v`).

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
const BLOCK: usize = 32;

/// Number of bytes before the first quote or backslash; all of them if there is none.
#[inline]
pub(super) fn until_quote_or_backslash(bytes: &[u8]) -> usize {
    until_either::<b'"', b'\\'>(bytes)
}

/// Number of bytes before the first line feed or carriage return; all of them if there is
/// none.
#[inline]
pub(super) fn until_line_end(bytes: &[u8]) -> usize {
    until_either::<b'\n', b'\r'>(bytes)
}

#[inline]
fn until_either<const A: u8, const B: u8>(bytes: &[u8]) -> usize {
    // Most runs are short: two words before blocks are worth it.
    let mut at = 0;
    let (words, _) = bytes.as_chunks::<8>();
    for word in words.iter().take(2) {
        let marks = marks::<A, B>(*word);
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let (blocks, _) = rest.as_chunks::<BLOCK>();
    for block in blocks {
        if has_either::<A, B>(block) {
            break;
        }
        at += BLOCK;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let (words, last) = rest.as_chunks::<8>();
    for word in words {
        let marks = marks::<A, B>(*word);
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + last.iter().position(|byte| *byte == A || *byte == B).unwrap_or(last.len())
}

/// The top bit of the first byte that is either; beyond it, bits may be wrong.
#[inline]
fn marks<const A: u8, const B: u8>(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let (a, b) = (word ^ u64::from_le_bytes([A; 8]), word ^ u64::from_le_bytes([B; 8]));
    ((a.wrapping_sub(ONES) & !a) | (b.wrapping_sub(ONES) & !b)) & TOPS
}

#[inline]
fn has_either<const A: u8, const B: u8>(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(0, |found, byte| found | u8::from(*byte == A) | u8::from(*byte == B)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn the_first_is_found_wherever_it_stands() {
        for len in 0..150 {
            for first in 0..len {
                for end in [b'"', b'\\'] {
                    // Neighbours of the bytes sought, and bytes with the top bit, around it.
                    let mut bytes = vec![b'"' + 1; len];
                    bytes.iter_mut().step_by(3).for_each(|byte| *byte = 0xA2);
                    bytes[first] = end;
                    bytes[first + (len - first) / 2] = b'"';
                    let naive = bytes.iter().position(|byte| *byte == b'"' || *byte == b'\\');
                    assert_eq!(Some(until_quote_or_backslash(&bytes)), naive, "{first} of {len}");
                }
            }
            assert_eq!(until_quote_or_backslash(&vec![b'!'; len]), len);
            assert_eq!(until_line_end(&vec![0x8A; len]), len);
        }
        assert_eq!(until_line_end(b"data: x\r\n"), 7);
    }
}
