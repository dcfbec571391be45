//! Dates and times in text, as nanoseconds since 1970 in UTC.

use super::number::digits;

const SECOND_NS: i64 = 1_000_000_000;

/// A date and time as written, and whether it says in which zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Nanoseconds since 1970, in UTC where the zone is written, else on the clock of an unknown zone.
    pub(crate) time_ns: i64,
    pub(crate) has_zone: bool,
}

/// An ISO 8601 date and time: `2023-11-16 18:17:03.9799600`, `2024-05-10T00:00:00.009930+00:00`,
/// `2020-11-25T21:26:18.409Z`, `2015-03-26 14:00` or `2015-03-26`. UTC where no zone is given.
#[cfg(test)]
pub(crate) fn iso8601(field: &[u8]) -> Option<i64> {
    written(field).map(|written| written.time_ns)
}

/// Reads a date of ISO 8601, and whether it has a zone; `UTC` and `GMT` behind a space are zones, too.
pub(crate) fn written(field: &[u8]) -> Option<Written> {
    let field = field.trim_ascii();
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, ref clock @ ..] = field else { return None };
    let day = days(digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?)?;
    let seconds = day * 86_400;
    let clock = match clock {
        [] => return Some(Written { time_ns: seconds * SECOND_NS, has_zone: false }),
        [b' ' | b'T', clock @ ..] => clock,
        _ => return None,
    };
    let &[h0, h1, b':', m0, m1, ref clock @ ..] = clock else { return None };
    let minutes = at_most(&[h0, h1], 23)? * 60 + at_most(&[m0, m1], 59)?;
    let (second, clock) = match clock {
        &[b':', s0, s1, ref clock @ ..] => (at_most(&[s0, s1], 60)?, clock),
        clock => (0, clock),
    };
    let (fraction_ns, zone) = match clock {
        [b'.' | b',', clock @ ..] => fraction(clock)?,
        clock => (0, clock),
    };
    let zone_s = zone_seconds(zone)?;
    let time_ns = (seconds + minutes * 60 + second - zone_s) * SECOND_NS + fraction_ns;
    Some(Written { time_ns, has_zone: !zone.is_empty() })
}

/// NGINX's and Apache's `$time_local`: `10/Oct/2000:13:55:36 -0700`.
pub(crate) fn time_local(field: &[u8]) -> Option<i64> {
    let &[d0, d1, b'/', a, b, c, b'/', y0, y1, y2, y3, b':', ref clock @ ..] = field else { return None };
    let month = match &[a, b, c] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let day = days(digits(&[y0, y1, y2, y3])?, month, digits(&[d0, d1])?)?;
    let &[h0, h1, b':', m0, m1, b':', s0, s1, b' ', ref zone @ ..] = clock else { return None };
    let seconds = at_most(&[h0, h1], 23)? * 3600 + at_most(&[m0, m1], 59)? * 60 + at_most(&[s0, s1], 60)?;
    Some((day * 86_400 + seconds - zone_seconds(zone)?) * SECOND_NS)
}

pub(super) fn at_most(field: &[u8], max: u64) -> Option<i64> {
    digits(field).filter(|&value| value <= max).map(|value| value as i64)
}

/// The fraction of a second as nanoseconds, and what follows it.
pub(super) fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut scale = SECOND_NS;
    let mut sum = 0;
    for digit in &text[..len] {
        scale /= 10;
        sum += i64::from(digit - b'0') * scale;
    }
    (len > 0).then_some((sum, &text[len..]))
}

/// Seconds east of Greenwich: nothing, `Z`, ` UTC`, `+hh:mm`, `+hhmm` or `+hh`.
pub(super) fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, h0, h1, m0, m1) = match *zone.trim_ascii_start() {
        [] | [b'Z' | b'z'] | [b'U', b'T', b'C'] | [b'G', b'M', b'T'] => return Some(0),
        [sign, h0, h1] => (sign, h0, h1, b'0', b'0'),
        [sign, h0, h1, b':', m0, m1] | [sign, h0, h1, m0, m1] => (sign, h0, h1, m0, m1),
        _ => return None,
    };
    let seconds = at_most(&[h0, h1], 23)? * 3600 + at_most(&[m0, m1], 59)? * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant, "chrono-compatible
/// low-level date algorithms", `days_from_civil`); years 1678 to 2261, which nanoseconds in 64
/// bits can hold.
pub(super) fn days(year: u64, month: u64, day: u64) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => return None,
    };
    if !(1678..=2261).contains(&year) || day == 0 || day > last {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era) as i64 - 719_468)
}

/// A Unix time as text: `2023-11-16 18:17:03 UTC` (Hinnant's `civil_from_days`).
pub(crate) fn utc(epoch_s: f64) -> String {
    let seconds = epoch_s.floor() as i64;
    let day = seconds.div_euclid(86_400) + 719_468;
    let of_day = seconds.rem_euclid(86_400);
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60];
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_times_round_trip() {
        for day in (-100_000..100_000_i64).step_by(13) {
            let epoch_s = day * 86_400 + 12_345;
            let text = utc(epoch_s as f64);
            assert_eq!(iso8601(text.trim_end_matches(" UTC").as_bytes()), Some(epoch_s * SECOND_NS), "{text}");
        }
    }

    #[test]
    fn iso_times() {
        assert_eq!(iso8601(b"1970-01-01"), Some(0));
        assert_eq!(iso8601(b"2023-11-16 18:17:03.9799600"), Some(1_700_158_623_979_960_000));
        assert_eq!(iso8601(b"2024-05-10 00:00:00.009930+00:00"), Some(1_715_299_200_009_930_000));
        assert_eq!(iso8601(b"2020-11-25T21:26:18.409Z"), Some(1_606_339_578_409_000_000));
        assert_eq!(iso8601(b"2000-02-29T23:59+01:30"), Some(951_863_340_000_000_000));
        assert_eq!(iso8601(b"1969-12-31 23:59:59"), Some(-SECOND_NS));
    }

    #[test]
    fn impossible_times_are_refused() {
        for wrong in [
            "2023-02-29",
            "2023-13-01",
            "2023-1-1",
            "2023-01-01 24:00",
            "2023-01-01T",
            "2023-01-01 10:00:00.",
            "now",
            "",
        ] {
            assert_eq!(iso8601(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn log_times() {
        assert_eq!(time_local(b"10/Oct/2000:13:55:36 -0700"), Some(971_211_336_000_000_000));
        assert_eq!(time_local(b"10/Okt/2000:13:55:36 -0700"), None);
        assert_eq!(time_local(b"10/Oct/2000:13:55:36"), None);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = days(1678, 1, 1).unwrap();
        for year in 1678..=2261 {
            for month in 1..=12 {
                for day in (1..=31).filter_map(|day| days(year, month, day)) {
                    assert_eq!(day, expected);
                    expected += 1;
                }
            }
        }
    }
}
