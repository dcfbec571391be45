//! Times of a field, in whatever of the known spellings.

use crate::input::date::{self, DayOrder};
use crate::input::time::Written;
use crate::input::zone::Zone;
use crate::input::{number, time};

/// Longest text of a time that is remembered.
const MEMO_BYTES: usize = 40;

/// Reads a field's times.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Nanoseconds in a unit of times that are numbers.
    pub(crate) unit_ns: i64,
    pub(crate) order: DayOrder,
    pub(crate) zone: Option<Zone>,
    /// The text read last and its time: in logs the lines of a second follow each other.
    memo: ([u8; MEMO_BYTES], usize, i64),
}

impl Moments {
    pub(crate) fn new(unit_ns: i64, order: DayOrder, zone: Option<Zone>) -> Self {
        Self { unit_ns, order, zone, memo: ([0; MEMO_BYTES], 0, 0) }
    }

    /// Nanoseconds of a time, since 1970 or the source's zero. `previous_ns` is the time of the
    /// row before, which tells the two halves of an autumn's repeated hour apart.
    pub(crate) fn time_ns(&mut self, field: &[u8], previous_ns: Option<i64>) -> Option<i64> {
        if let Some(time_ns) = number::nanoseconds(field, self.unit_ns) {
            return Some(time_ns);
        }
        let (memo, len, time_ns) = &self.memo;
        if *len == field.len() && &memo[..*len] == field && self.zone.is_none() {
            return Some(*time_ns);
        }
        let Written { time_ns, has_zone } = written(field, self.order)?;
        let time_ns = match &self.zone {
            Some(zone) if !has_zone => zone.utc_ns(time_ns, previous_ns)?,
            _ => time_ns,
        };
        if field.len() <= MEMO_BYTES {
            self.memo.0[..field.len()].copy_from_slice(field);
            self.memo.1 = field.len();
            self.memo.2 = time_ns;
        }
        Some(time_ns)
    }
}

/// A date with or without a time of the day.
pub(crate) fn written(field: &[u8], order: DayOrder) -> Option<Written> {
    time::written(field).or_else(|| date::written(field, order))
}
