//! The frame of server-sent events (WHATWG HTML, section 9.2), one piece at a time.
//!
//! Lines end with a line feed, a carriage return, or both. Of the fields, `data` is handed
//! over; that an event is called `error`, and llama.cpp's field `error`, are noticed.

use super::find::until_line_end;

/// The end mark of OpenAI's streams.
const DONE: &[u8] = b"[DONE]";
const ERROR: &[u8] = b"error";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'b> {
    /// The next bytes of an event's data, without line ends.
    Data(&'b [u8]),
    /// The data is `[DONE]`.
    Done,
    /// The event is an error.
    Error,
    /// The empty line behind an event.
    EventEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// At the beginning of a line, or in its field's name.
    Name,
    Data,
    Event,
    /// Nothing that counts.
    Other,
}

/// Where in a stream the reader is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Events {
    field: Field,
    /// The field's name so far; longer ones are not known.
    name: [u8; 8],
    name_len: usize,
    /// A space would be the one behind the colon.
    is_space_due: bool,
    /// Bytes of the value that are those of what it is compared with; `None` once one is not.
    like: Option<usize>,
    /// The last byte was a carriage return.
    after_return: bool,
    /// Bytes of a mark at the very beginning that have been passed over; `None` behind it.
    mark: Option<usize>,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self {
            field: Field::Name,
            name: [0; 8],
            name_len: 0,
            is_space_due: false,
            like: Some(0),
            after_return: false,
            mark: Some(0),
        }
    }

    /// Looks at the next piece.
    pub(super) fn feed<'b>(&mut self, piece: &'b [u8], mut take: impl FnMut(Line<'b>)) {
        let mut rest = self.without_mark(piece);
        while let Some(first) = rest.first() {
            let is_at_line_begin = self.field == Field::Name && self.name_len == 0;
            if is_at_line_begin && self.after_return && *first == b'\n' {
                self.after_return = false;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            self.after_return = false;
            let (line, after) = rest.split_at_checked(until_line_end(rest)).unwrap_or((rest, &[]));
            if !line.is_empty() {
                self.part(line, &mut take);
            }
            let Some((end, after)) = after.split_first() else { return };
            self.line_end(&mut take);
            self.after_return = *end == b'\r';
            rest = after;
        }
    }

    /// Passes over a byte order mark at the beginning.
    fn without_mark<'b>(&mut self, mut piece: &'b [u8]) -> &'b [u8] {
        while let (Some(seen), Some(byte)) = (self.mark, piece.first()) {
            if BYTE_ORDER_MARK.get(seen) == Some(byte) {
                self.mark = Some(seen + 1);
                piece = piece.get(1..).unwrap_or_default();
            } else {
                self.mark = None;
            }
        }
        piece
    }

    /// Takes a part of a line.
    fn part<'b>(&mut self, part: &'b [u8], take: &mut impl FnMut(Line<'b>)) {
        let value = if self.field == Field::Name { self.name(part, take) } else { part };
        let Some((first, rest)) = value.split_first() else { return };
        let value = if self.is_space_due && *first == b' ' { rest } else { value };
        self.is_space_due = false;
        match self.field {
            Field::Data => {
                if self.compare(DONE, value) {
                    take(Line::Done);
                }
                if !value.is_empty() {
                    take(Line::Data(value));
                }
            }
            Field::Event => _ = self.compare(ERROR, value),
            Field::Name | Field::Other => {}
        }
    }

    /// Compares the next part of the value with `whole`, which the value is so far if `like`
    /// is its length. Returns whether its last byte was reached just now.
    #[inline]
    fn compare(&mut self, whole: &[u8], value: &[u8]) -> bool {
        let Some(seen) = self.like else { return false };
        let missing = whole.get(seen..).unwrap_or_default();
        let next = value.get(..missing.len()).unwrap_or(value);
        let (is_like, seen) = (missing.starts_with(next), seen + next.len());
        self.like = (is_like && value.len() <= missing.len()).then_some(seen);
        is_like && !missing.is_empty() && seen == whole.len()
    }

    fn line_end<'b>(&mut self, take: &mut impl FnMut(Line<'b>)) {
        if self.field == Field::Name && self.name_len == 0 {
            take(Line::EventEnd);
        }
        if self.field == Field::Event && self.like == Some(ERROR.len()) {
            take(Line::Error);
        }
        (self.field, self.name_len) = (Field::Name, 0);
    }

    /// Takes a part of a field's name; returns what is behind the colon.
    fn name<'b>(&mut self, part: &'b [u8], take: &mut impl FnMut(Line<'b>)) -> &'b [u8] {
        if self.name_len == 0
            && let Some(value) = part.strip_prefix(b"data:")
        {
            self.begin(Field::Data);
            return value;
        }
        for (at, byte) in part.iter().enumerate() {
            if *byte == b':' {
                let field = match self.name.get(..self.name_len) {
                    Some(b"data") => Field::Data,
                    Some(b"event") => Field::Event,
                    Some(b"error") => {
                        take(Line::Error);
                        Field::Other
                    }
                    _ => Field::Other,
                };
                self.begin(field);
                return part.get(at + 1..).unwrap_or_default();
            }
            let Some(place) = self.name.get_mut(self.name_len) else {
                self.begin(Field::Other);
                return &[];
            };
            *place = *byte;
            self.name_len += 1;
        }
        &[]
    }

    fn begin(&mut self, field: Field) {
        (self.field, self.is_space_due, self.like) = (field, true, Some(0));
    }
}
