//! Escapes of JSON strings (RFC 8259, section 7), one byte at a time.

/// Half of a character outside the basic plane, alone: what it stands for is not known.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// An escape that is being read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Escape {
    step: Step,
    /// Value of the hexadecimal digits so far.
    unit: u16,
    /// First half of a pair of surrogates that waits for the second; 0 if there is none.
    high: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    None,
    Backslash,
    /// This many hexadecimal digits are missing.
    Digits(u8),
}

/// UTF-8 of at most two characters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decoded {
    bytes: [u8; 8],
    len: usize,
}

impl Decoded {
    /// Adds a character (`char::encode_utf8` could panic, as far as the compiler knows).
    fn add(&mut self, character: char) {
        let code = u32::from(character);
        let continued = |shift: u32| 0x80 | (code >> shift) as u8 & 0x3F;
        match code {
            0..0x80 => self.push(&[code as u8]),
            0x80..0x800 => self.push(&[0xC0 | (code >> 6) as u8, continued(0)]),
            0x800..0x10000 => self.push(&[0xE0 | (code >> 12) as u8, continued(6), continued(0)]),
            _ => self.push(&[0xF0 | (code >> 18) as u8, continued(12), continued(6), continued(0)]),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Escape {
    /// Whether the next byte belongs to an escape.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.step != Step::None
    }

    /// Whether something waits for what comes next.
    #[inline]
    pub(super) fn is_clear(&self) -> bool {
        self.step == Step::None && self.high == 0
    }

    /// Takes a backslash.
    pub(super) fn begin(&mut self) {
        self.step = Step::Backslash;
    }

    /// Takes a byte of an open escape. The second result is whether it was part of it: a
    /// quote in the place of a digit ends the string.
    pub(super) fn take(&mut self, byte: u8) -> (Decoded, bool) {
        let mut decoded = Decoded::default();
        match self.step {
            Step::None => return (decoded, false),
            Step::Backslash if byte == b'u' => (self.step, self.unit) = (Step::Digits(4), 0),
            Step::Backslash => {
                self.step = Step::None;
                self.flush(&mut decoded);
                decoded.add(match byte {
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    // Quote, backslash and slash stand for themselves; others are no JSON.
                    0..=0x7F => char::from(byte),
                    _ => REPLACEMENT,
                });
            }
            Step::Digits(missing) => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    self.step = Step::None;
                    self.flush(&mut decoded);
                    decoded.add(REPLACEMENT);
                    return (decoded, false);
                };
                self.unit = self.unit << 4 | digit as u16;
                self.step = if missing > 1 { Step::Digits(missing - 1) } else { Step::None };
                if missing == 1 {
                    self.unit(&mut decoded);
                }
            }
        }
        (decoded, true)
    }

    /// What is left when something else than an escape comes.
    pub(super) fn rest(&mut self) -> Decoded {
        let mut decoded = Decoded::default();
        self.flush(&mut decoded);
        decoded
    }

    /// Takes a whole UTF-16 unit.
    fn unit(&mut self, decoded: &mut Decoded) {
        match self.unit {
            0xD800..=0xDBFF => {
                self.flush(decoded);
                self.high = self.unit;
            }
            0xDC00..=0xDFFF if self.high != 0 => {
                let code = 0x10000 + (u32::from(self.high & 0x3FF) << 10 | u32::from(self.unit & 0x3FF));
                self.high = 0;
                decoded.add(char::from_u32(code).unwrap_or(REPLACEMENT));
            }
            unit => {
                self.flush(decoded);
                decoded.add(char::from_u32(u32::from(unit)).unwrap_or(REPLACEMENT));
            }
        }
    }

    fn flush(&mut self, decoded: &mut Decoded) {
        if self.high != 0 {
            self.high = 0;
            decoded.add(REPLACEMENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn decode(escapes: &str) -> String {
        let (mut escape, mut text) = (Escape::default(), String::new());
        for byte in escapes.bytes() {
            if byte == b'\\' && !escape.is_open() {
                escape.begin();
            } else {
                let (decoded, _) = escape.take(byte);
                text.push_str(std::str::from_utf8(decoded.bytes()).expect("UTF-8"));
            }
        }
        text.push_str(std::str::from_utf8(escape.rest().bytes()).expect("UTF-8"));
        text
    }

    #[test]
    fn escapes_are_what_the_standard_says() {
        assert_eq!(decode(r#"\"\\\/\b\f\n\r\t"#), "\"\\/\u{8}\u{c}\n\r\t");
        assert_eq!(decode(r"\u0041\u00e9\u20AC\ud83d\ude00"), "Aé€😀");
    }

    #[test]
    fn halves_of_pairs_are_replaced() {
        assert_eq!(decode(r"\ud83d"), "\u{FFFD}");
        assert_eq!(decode(r"\ude00"), "\u{FFFD}");
        assert_eq!(decode(r"\ud83d\ud83d\ude00"), "\u{FFFD}😀");
        assert_eq!(decode(r"\ud83d\n"), "\u{FFFD}\n");
    }
}
