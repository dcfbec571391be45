//! An incremental scanner of JSON (RFC 8259) that builds no tree.
//!
//! It knows where in a document it is by a *place* per open container, which the
//! [`Visitor`] chooses from names as they come; what the visitor does not care for is passed
//! over. It is lenient: commas and colons are not checked, and bytes that have no meaning are
//! skipped, since a proxy reads what it does not answer for.
//!
//! Why it is fast: runs inside of strings are searched by blocks; names and short strings
//! are compared where they lie, and copied only when a piece ends inside of them; containers
//! of no interest are passed over without looking at their names.

mod numbers;
mod strings;

use super::escape::Escape;

/// Containers inside of each other that are looked into. What lies deeper is passed over.
pub(super) const DEPTH_MAX: usize = 64;

/// Most bytes of a name, or of a string that is wanted whole.
const KEPT_BYTES: usize = 32;

/// What to do with a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Pass over it.
    Skip,
    /// Say whether it has a character.
    Begin,
    /// Hand it over whole if it is short.
    Short,
    /// Hand over its characters as they come, without escapes.
    Text,
    /// Hand over its bytes as they come, with escapes.
    Bytes,
}

/// Takes a document's values as they are found.
pub(super) trait Visitor {
    /// What a container or a value is to the visitor. The default is of no interest, and
    /// nor is what it contains.
    type Place: Copy + Default + PartialEq;

    /// The place of the document's own value.
    const ROOT: Self::Place;

    /// The place of a member's value. The container's own place may change.
    fn member(&mut self, inside: &mut Self::Place, name: &[u8]) -> Self::Place;

    /// The place of an item of a list.
    fn item(&mut self, inside: Self::Place) -> Self::Place;

    /// Takes the beginning of a container; returns the place that its contents see.
    fn open(&mut self, place: Self::Place, inside: Self::Place, is_list: bool) -> Self::Place;

    /// What a string in this place is read for; called once at its beginning.
    fn string(&mut self, place: Self::Place, inside: &mut Self::Place) -> Interest;

    /// Takes the next characters or bytes of a string; for [`Interest::Begin`], all that is
    /// there from the first character on, whatever of it belongs to the string.
    fn piece(&mut self, place: Self::Place, piece: &[u8]);

    /// Takes a short string whole; one of more than 32 bytes is handed over as empty.
    fn short(&mut self, place: Self::Place, inside: &mut Self::Place, value: &[u8]);

    /// Takes the end of a string that was handed over in pieces.
    fn string_end(&mut self, place: Self::Place);

    /// Takes a number: its value if it is written as digits alone, at most `u64::MAX`.
    fn number(&mut self, place: Self::Place, value: Option<u64>);

    /// Takes `true`, `false` or `null`, by its first letter.
    fn literal(&mut self, place: Self::Place, inside: &mut Self::Place, first: u8);

    /// Whether the contents of this place are text as they stand: every byte between
    /// strings but whitespace is handed over too, quotes and names included.
    fn is_verbatim(place: Self::Place) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Between,
    Name,
    /// A string; `true` behind a backslash.
    Skip(bool),
    Begin,
    Short,
    Text,
    Bytes(bool),
    Number,
    Literal,
}

/// Where in a document the scanner is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<P> {
    mode: Mode,
    /// The next string of an object is a name.
    is_name_next: bool,
    is_number_plain: bool,
    depth: u32,
    /// Bit `d` is set if the container at depth `d + 1` is a list.
    lists: u64,
    /// Place of the value that comes or is being read.
    value: P,
    number: u64,
    escape: Escape,
    kept: [u8; KEPT_BYTES],
    kept_len: usize,
    places: [P; DEPTH_MAX],
}

impl<P: Copy + Default + PartialEq> Scanner<P> {
    /// A scanner before a document whose value has this place.
    pub(super) fn new(root: P) -> Self {
        Self {
            mode: Mode::Between,
            is_name_next: false,
            is_number_plain: true,
            depth: 0,
            lists: 0,
            value: root,
            number: 0,
            escape: Escape::default(),
            kept: [0; KEPT_BYTES],
            kept_len: 0,
            places: [P::default(); DEPTH_MAX],
        }
    }

    /// Begins a new document.
    pub(super) fn reset(&mut self, root: P) {
        self.mode = Mode::Between;
        self.is_name_next = false;
        self.depth = 0;
        self.value = root;
        self.escape = Escape::default();
    }

    /// Whether the next byte is the first of a document.
    pub(super) fn is_fresh(&self, root: P) -> bool {
        self.mode == Mode::Between && self.depth == 0 && !self.is_name_next && self.value == root
    }

    /// Looks at the next bytes, up to the end of a document that is an object or a list.
    /// Returns how many that were and whether it ended.
    pub(super) fn feed<V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &[u8]) -> (usize, bool) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.mode {
                Mode::Between => {
                    let (after, ended) = self.between(visitor, rest);
                    if ended {
                        self.reset(V::ROOT);
                        return (bytes.len() - after.len(), true);
                    }
                    after
                }
                Mode::Name => self.name(visitor, rest),
                Mode::Skip(is_escaped) => self.skip(rest, is_escaped),
                Mode::Begin => self.begin(visitor, rest),
                Mode::Short => self.short(visitor, rest),
                Mode::Text => self.text(visitor, rest),
                Mode::Bytes(is_escaped) => self.bytes(visitor, rest, is_escaped),
                Mode::Number => self.number(visitor, rest),
                Mode::Literal => self.literal(rest),
            };
        }
        (bytes.len(), false)
    }

    /// Place of the innermost container.
    #[inline]
    fn inside(&self) -> P {
        match self.depth {
            0 => P::default(),
            depth => self.places.get(depth as usize - 1).copied().unwrap_or_default(),
        }
    }

    /// Calls with the innermost container's place, which may change.
    #[inline]
    fn with_inside<R>(&mut self, call: impl FnOnce(&mut P) -> R) -> R {
        match self.places.get_mut((self.depth as usize).wrapping_sub(1)) {
            Some(place) => call(place),
            None => call(&mut P::default()),
        }
    }

    #[inline]
    fn is_in_list(&self) -> bool {
        let depth = self.depth as usize;
        depth != 0 && depth <= DEPTH_MAX && self.lists >> (depth - 1) & 1 != 0
    }

    /// Looks at what stands between strings, numbers and words.
    fn between<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &'b [u8]) -> (&'b [u8], bool) {
        let mut inside = self.inside();
        if V::is_verbatim(inside) {
            return (self.verbatim(visitor, bytes, inside), false);
        }
        let mut is_of_interest = inside != P::default() || self.depth == 0;
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'"' if !is_of_interest => {
                    self.mode = Mode::Skip(false);
                    return (rest, false);
                }
                b'"' => {
                    rest = self.quote(visitor, rest);
                    if self.mode != Mode::Between {
                        return (rest, false);
                    }
                    // A name or a string that lay whole in the piece may have changed it.
                    inside = self.inside();
                }
                b'{' | b'[' => {
                    self.open(visitor, *byte == b'[');
                    inside = self.inside();
                    is_of_interest = inside != P::default();
                    if V::is_verbatim(inside) {
                        return (self.verbatim(visitor, rest, inside), false);
                    }
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (rest, true);
                    }
                    inside = self.inside();
                    is_of_interest = inside != P::default();
                    self.is_name_next = false;
                    if V::is_verbatim(inside) {
                        return (self.verbatim(visitor, rest, inside), false);
                    }
                }
                b',' if is_of_interest && self.depth > 0 => {
                    self.is_name_next = !self.is_in_list();
                    if !self.is_name_next {
                        self.value = visitor.item(inside);
                    }
                }
                b'0'..=b'9' | b'-' if is_of_interest => {
                    let begin = prefixed(bytes, rest);
                    if let Some((number, after)) = numbers::short(begin) {
                        visitor.number(self.value, Some(number));
                        rest = after;
                        continue;
                    }
                    (self.mode, self.number, self.is_number_plain) = (Mode::Number, 0, true);
                    rest = self.number(visitor, begin);
                    if self.mode != Mode::Between {
                        return (rest, false);
                    }
                }
                b'a'..=b'z' if is_of_interest => {
                    let (place, first) = (self.value, *byte);
                    self.with_inside(|inside| visitor.literal(place, inside, first));
                    self.mode = Mode::Literal;
                    rest = self.literal(rest);
                    if self.mode != Mode::Between {
                        return (rest, false);
                    }
                }
                _ => {}
            }
        }
        (rest, false)
    }

    fn open<V: Visitor<Place = P>>(&mut self, visitor: &mut V, is_list: bool) {
        let inside = self.inside();
        let is_known = self.depth == 0 || (inside != P::default() && self.value != P::default());
        let place = if is_known { visitor.open(self.value, inside, is_list) } else { P::default() };
        if V::is_verbatim(place) && !V::is_verbatim(inside) {
            visitor.piece(place, if is_list { b"[" } else { b"{" });
        }
        self.descend(place, is_list);
        let is_seen = is_list && place != P::default();
        self.value = if is_seen { visitor.item(place) } else { P::default() };
    }

    /// Goes into a container of this place.
    #[inline]
    fn descend(&mut self, place: P, is_list: bool) {
        if let Some(slot) = self.places.get_mut(self.depth as usize) {
            *slot = place;
            let bit = 1 << self.depth;
            self.lists = if is_list { self.lists | bit } else { self.lists & !bit };
        }
        self.depth = self.depth.saturating_add(1);
        self.is_name_next = !is_list;
    }

    /// Hands over what stands between strings of a container that is text as it stands, with
    /// the quotes, up to the container's end.
    fn verbatim<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &'b [u8], place: P) -> &'b [u8] {
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let end = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => at,
                b'{' | b'[' => {
                    self.descend(place, *byte == b'[');
                    if V::is_verbatim(self.inside()) {
                        continue;
                    }
                    // Too deep: passed over from here on.
                    at + 1
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_name_next = false;
                    if V::is_verbatim(self.inside()) {
                        continue;
                    }
                    at + 1
                }
                b'"' => at + 1,
                _ => continue,
            };
            if end > from {
                visitor.piece(place, bytes.get(from..end).unwrap_or_default());
            }
            from = at + 1;
            if *byte == b'"' {
                (self.mode, self.value) = (Mode::Text, place);
            }
            if end > at {
                return bytes.get(from..).unwrap_or_default();
            }
        }
        if bytes.len() > from {
            visitor.piece(place, bytes.get(from..).unwrap_or_default());
        }
        &[]
    }

    #[inline]
    fn number<'b, V: Visitor<Place = P>>(&mut self, visitor: &mut V, bytes: &'b [u8]) -> &'b [u8] {
        let len = bytes.iter().position(|byte| !numbers::is_part(*byte));
        let (number, rest) = bytes.split_at_checked(len.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
        for byte in number {
            self.is_number_plain &= byte.is_ascii_digit();
            self.number = numbers::append(self.number, *byte);
        }
        if len.is_some() {
            self.mode = Mode::Between;
            visitor.number(self.value, self.is_number_plain.then_some(self.number));
        }
        rest
    }

    #[inline]
    fn literal<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let len = bytes.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let rest = bytes.get(len..).unwrap_or_default();
        if !rest.is_empty() {
            self.mode = Mode::Between;
        }
        rest
    }
}

/// The rest and the byte before it.
#[inline]
fn prefixed<'b>(all: &'b [u8], rest: &[u8]) -> &'b [u8] {
    all.get(all.len() - rest.len() - 1..).unwrap_or_default()
}
