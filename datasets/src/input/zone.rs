//! Time zones by name, for times that are written without one.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A time zone of the IANA database, a copy of which is built in.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// The zone of a name such as `Europe/Berlin`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Nanoseconds since 1970 in UTC of a time on the zone's clock. A time that the clock shows
    /// twice, in the hour that is repeated in autumn, is the first one that is not before
    /// `previous_ns`, the time of the row before.
    pub(crate) fn utc_ns(&self, local_ns: i64, previous_ns: Option<i64>) -> Option<i64> {
        let civil = DateTime::new(1970, 1, 1, 0, 0, 0, 0).ok()?;
        let civil = civil.checked_add(SignedDuration::from_nanos(local_ns)).ok()?;
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(civil).ok().and_then(nanoseconds);
        match self.0.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Gap { before, .. } => at(before),
            AmbiguousOffset::Fold { before, after } => {
                let early = at(before)?;
                if previous_ns.is_some_and(|previous_ns| early <= previous_ns) { at(after) } else { Some(early) }
            }
        }
    }
}

fn nanoseconds(timestamp: Timestamp) -> Option<i64> {
    i64::try_from(timestamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3600 * 1_000_000_000;

    #[test]
    fn the_repeated_hour_is_two_hours() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        // 2025-10-26 02:30 on the clock: 00:30 UTC in summer time, 01:30 UTC after it.
        let local_ns = 1_761_445_800 * 1_000_000_000;
        let early = zone.utc_ns(local_ns, None).unwrap();
        assert_eq!(early, local_ns - 2 * HOUR_NS);
        assert_eq!(zone.utc_ns(local_ns, Some(early)), Some(local_ns - HOUR_NS));
        assert_eq!(zone.utc_ns(local_ns, Some(early - 1)), Some(early));
        assert_eq!(Zone::named("UTC").unwrap().utc_ns(local_ns, None), Some(local_ns));
        assert!(Zone::named("Europe/Nowhere").is_none());
    }
}
