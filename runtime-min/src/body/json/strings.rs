//! Names and strings: passed over, kept if they are short, or handed over as they come.

use super::{Interest, KEPT_BYTES, Mode, Scanner, Visitor};
use crate::body::escape::Escape;
use crate::body::find::until_quote_or_backslash;

impl<P: Copy + Default + PartialEq> Scanner<P> {
    /// Begins the string or name whose opening quote has been read.
    #[inline]
    pub(super) fn quote<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, rest: &'b [u8]) -> &'b [u8] {
        self.kept_len = 0;
        if self.is_name_next {
            self.mode = Mode::Name;
            return self.name(visitor, rest);
        }
        let place = self.value;
        let is_of_interest = place != P::default();
        let interest =
            if is_of_interest { self.with_inside(|inside| visitor.string(place, inside)) } else { Interest::Skip };
        match interest {
            Interest::Skip => {
                self.mode = Mode::Skip(false);
                self.skip(rest, false)
            }
            Interest::Begin => {
                self.mode = Mode::Begin;
                self.begin(visitor, rest)
            }
            Interest::Short => {
                self.mode = Mode::Short;
                self.short(visitor, rest)
            }
            Interest::Text => {
                self.mode = Mode::Text;
                rest
            }
            Interest::Bytes => {
                self.mode = Mode::Bytes(false);
                rest
            }
        }
    }

    /// Reads a name, where it lies if it lies there whole and without escapes.
    #[inline]
    pub(super) fn name<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &'b [u8]) -> &'b [u8] {
        let (rest, is_whole) = self.keep(bytes, |scanner, name| {
            scanner.value = scanner.with_inside(|inside| visitor.member(inside, name));
        });
        if is_whole {
            (self.mode, self.is_name_next) = (Mode::Between, false);
        }
        rest
    }

    #[inline]
    pub(super) fn short<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &'b [u8]) -> &'b [u8] {
        let place = self.value;
        let (rest, is_whole) = self.keep(bytes, |scanner, value| {
            scanner.with_inside(|inside| visitor.short(place, inside, value));
        });
        if is_whole {
            self.mode = Mode::Between;
        }
        rest
    }

    /// Gathers a short string. Calls `take` once it is whole; a long one is empty.
    #[inline]
    fn keep<'b>(&mut self, bytes: &'b [u8], take: impl FnOnce(&mut Self, &[u8])) -> (&'b [u8], bool) {
        let len = until_quote_or_backslash(bytes);
        if self.kept_len == 0
            && self.escape.is_clear()
            && let Some((string, [b'"', rest @ ..])) = bytes.split_at_checked(len)
        {
            take(self, if len <= KEPT_BYTES { string } else { &[] });
            return (rest, true);
        }
        let mut whole = false;
        let mut kept = Kept { bytes: self.kept, len: self.kept_len };
        let rest = unescape(&mut self.escape, bytes, &mut whole, |piece| kept.add(piece));
        (self.kept, self.kept_len) = (kept.bytes, kept.len);
        if whole {
            let string = kept.bytes.get(..kept.len).unwrap_or_default();
            take(self, string);
            self.kept_len = 0;
        }
        (rest, whole)
    }

    pub(super) fn text<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &'b [u8]) -> &'b [u8] {
        let (place, mut whole) = (self.value, false);
        let rest = unescape(&mut self.escape, bytes, &mut whole, |piece| visitor.piece(place, piece));
        if whole {
            self.mode = Mode::Between;
            if V::is_verbatim(self.inside()) {
                self.is_name_next = false;
                visitor.piece(place, b"\"");
            } else {
                visitor.string_end(place);
            }
        }
        rest
    }

    #[inline]
    pub(super) fn begin<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &'b [u8]) -> &'b [u8] {
        match bytes.first() {
            None => return bytes,
            Some(b'"') => {}
            Some(_) => visitor.piece(self.value, bytes),
        }
        self.mode = Mode::Skip(false);
        self.skip(bytes, false)
    }

    /// Passes over a string.
    #[inline]
    pub(super) fn skip<'b>(&mut self, mut bytes: &'b [u8], is_escaped: bool) -> &'b [u8] {
        if is_escaped {
            bytes = bytes.get(1..).unwrap_or_default();
        }
        loop {
            let end = until_quote_or_backslash(bytes);
            match bytes.get(end..) {
                Some([b'"', rest @ ..]) => {
                    self.mode = Mode::Between;
                    return rest;
                }
                Some([_, _, rest @ ..]) => bytes = rest,
                Some([_]) => {
                    self.mode = Mode::Skip(true);
                    return &[];
                }
                _ => {
                    self.mode = Mode::Skip(false);
                    return &[];
                }
            }
        }
    }

    pub(super) fn bytes<'b, V: Visitor<Place = P>>(
        &mut self,
        visitor: &mut V,
        bytes: &'b [u8],
        is_escaped: bool,
    ) -> &'b [u8] {
        let place = self.value;
        let rest = self.skip(bytes, is_escaped);
        let taken = bytes.len() - rest.len();
        match self.mode {
            Mode::Between => {
                visitor.piece(place, bytes.get(..taken.saturating_sub(1)).unwrap_or_default());
                visitor.string_end(place);
            }
            mode => {
                visitor.piece(place, bytes);
                self.mode = Mode::Bytes(mode == Mode::Skip(true));
            }
        }
        rest
    }
}

/// Hands over a string's characters up to the end of the piece or of the string; in the
/// latter case, `whole` is set.
fn unescape<'b>(escape: &mut Escape, mut bytes: &'b [u8], whole: &mut bool, mut take: impl FnMut(&[u8])) -> &'b [u8] {
    loop {
        while escape.is_open() {
            let Some((byte, rest)) = bytes.split_first() else { return bytes };
            let (decoded, is_part) = escape.take(*byte);
            if !decoded.bytes().is_empty() {
                take(decoded.bytes());
            }
            if is_part {
                bytes = rest;
            }
        }
        let len = until_quote_or_backslash(bytes);
        let (plain, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        let next = rest.first();
        if !escape.is_clear() && (len > 0 || next == Some(&b'"')) {
            take(escape.rest().bytes());
        }
        if len > 0 {
            take(plain);
        }
        bytes = rest.get(1..).unwrap_or_default();
        match next {
            None => return bytes,
            Some(b'"') => {
                *whole = true;
                return bytes;
            }
            Some(_) => match (simple(bytes), escape.is_clear()) {
                // Most escapes are of one letter.
                (Some((character, rest)), true) => {
                    take(&[character]);
                    bytes = rest;
                }
                _ => escape.begin(),
            },
        }
    }
}

/// The character that an escape of one letter stands for, and what is behind it.
#[inline]
fn simple(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (letter, rest) = bytes.split_first()?;
    let character = match letter {
        b'n' => b'\n',
        b'"' | b'\\' | b'/' => *letter,
        b't' => b'\t',
        b'r' => b'\r',
        _ => return None,
    };
    Some((character, rest))
}

/// The beginning of a short string.
struct Kept {
    bytes: [u8; KEPT_BYTES],
    len: usize,
}

impl Kept {
    /// Adds a piece. One that does not fit leaves nothing, for good.
    fn add(&mut self, piece: &[u8]) {
        let end = self.len.saturating_add(piece.len());
        match self.bytes.get_mut(self.len..end) {
            Some(room) => {
                room.iter_mut().zip(piece).for_each(|(place, byte)| *place = *byte);
                self.len = end;
            }
            None => self.len = KEPT_BYTES + 1,
        }
    }
}
