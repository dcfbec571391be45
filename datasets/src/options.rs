//! How a file is to be read.

use crate::{DataError, Format};
use std::str::FromStr;

/// Options of the loaders; the default reads everything and tolerates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Rows that may be unreadable before loading fails; those left out are counted.
    pub max_bad_rows: u64,
    /// The columns of a CSV of no known format; selects [`Format::Csv`] where no format is given.
    pub columns: Option<ColumnMap>,
    /// Seed of what is drawn at random: the requests of [`Format::ServeGen`], and thinning.
    pub seed: u64,
    /// Leaves out what arrives earlier than this many seconds after the start.
    pub start_s: f64,
    /// Leaves out what arrives later than this many seconds after the start.
    pub end_s: f64,
    /// Multiplies the arrival rate. Recorded requests are thinned at random, so that for them
    /// it is at most 1; [`Format::ServeGen`] takes any positive factor.
    pub rate_scale: f64,
    /// Sorts rows that are out of order instead of calling them bad. Access logs, which are
    /// written on completion, are always sorted.
    pub sort: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            max_bad_rows: 0,
            columns: None,
            seed: 0,
            start_s: 0.0,
            end_s: f64::INFINITY,
            rate_scale: 1.0,
            sort: false,
        }
    }
}

impl LoadOptions {
    /// The range of time, for messages.
    pub(crate) fn range(&self) -> String {
        let end = if self.end_s.is_finite() { format!("{} s", self.end_s) } else { "the end".to_owned() };
        format!("{} s to {end}", self.start_s)
    }

    /// Refuses values that mean nothing.
    pub(crate) fn check(&self, format: Format) -> Result<(), DataError> {
        let refuse = |option: &'static str, found: String, expected: &'static str| {
            Err(DataError::Option { option, found, expected })
        };
        if !(self.start_s >= 0.0 && self.start_s < self.end_s) {
            return refuse("start and end", self.range(), "0 <= start < end");
        }
        if !(self.rate_scale > 0.0 && self.rate_scale.is_finite()) {
            return refuse("rate scale", self.rate_scale.to_string(), "a positive number");
        }
        if self.rate_scale > 1.0 && format != Format::ServeGen {
            let expected = "at most 1: recorded requests can be thinned, not multiplied (servegen takes any factor)";
            return refuse("rate scale", self.rate_scale.to_string(), expected);
        }
        Ok(())
    }
}

/// Unit of times that are plain numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// Nanoseconds in one unit.
    pub const fn nanoseconds(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

impl FromStr for TimeUnit {
    type Err = DataError;

    fn from_str(unit: &str) -> Result<Self, DataError> {
        match unit {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            "us" | "µs" => Ok(Self::Microseconds),
            "ns" => Ok(Self::Nanoseconds),
            other => {
                Err(DataError::Option { option: "unit", found: other.to_owned(), expected: "one of s, ms, us, ns" })
            }
        }
    }
}

/// Which column of a CSV holds what.
///
/// Written as `arrival=ts,prompt=in_tokens,output=out_tokens,service=seconds,unit=ms`. Keys:
///
/// | Key | Column |
/// |---|---|
/// | `arrival` (or `time`) | time of arrival: ISO 8601, or a number in `unit` |
/// | `prompt`, `output` | token counts |
/// | `service`, `first_byte` | response time and time to the first byte, numbers in `service_unit` |
/// | `upstream` | address of the host that served the request |
/// | `value` | a value column of a series; may be repeated |
/// | `missing` | a column of a series that is 1 where the row's values are to be ignored |
/// | `unit` | not a column: `s` (default), `ms`, `us` or `ns` |
/// | `service_unit` | the same for durations; by default as `unit` |
///
/// Only `arrival` is compulsory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap {
    /// Column of the arrival.
    pub arrival: String,
    /// Column of the prompt's tokens.
    pub prompt: Option<String>,
    /// Column of the output's tokens.
    pub output: Option<String>,
    /// Column of the response time.
    pub service: Option<String>,
    /// Column of the time to the first byte.
    pub first_byte: Option<String>,
    /// Column of the host that served the request.
    pub upstream: Option<String>,
    /// Value columns of a series; all of them when empty.
    pub values: Vec<String>,
    /// Column of a series that marks missing rows.
    pub missing: Option<String>,
    /// Unit of arrivals that are numbers.
    pub unit: TimeUnit,
    /// Unit of durations.
    pub service_unit: TimeUnit,
}

impl FromStr for ColumnMap {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        const KEYS: &str = "key=column pairs with the keys arrival, prompt, output, service, first_byte, upstream, value, missing, \
             unit, service_unit";
        let mut map = Self::default();
        let mut service_unit = None;
        for pair in text.split(',') {
            let wrong = |expected| DataError::Option { option: "columns", found: pair.to_owned(), expected };
            let (key, column) = pair.split_once('=').ok_or_else(|| wrong(KEYS))?;
            let column = column.trim().to_owned();
            match key.trim() {
                "arrival" | "time" => map.arrival = column,
                "prompt" => map.prompt = Some(column),
                "output" => map.output = Some(column),
                "service" => map.service = Some(column),
                "first_byte" => map.first_byte = Some(column),
                "upstream" => map.upstream = Some(column),
                "value" => map.values.push(column),
                "missing" => map.missing = Some(column),
                "unit" => map.unit = column.parse()?,
                "service_unit" => service_unit = Some(column.parse()?),
                _ => return Err(wrong(KEYS)),
            }
        }
        if map.arrival.is_empty() {
            return Err(DataError::Option {
                option: "columns",
                found: text.to_owned(),
                expected: "an `arrival=COLUMN` among the pairs",
            });
        }
        map.service_unit = service_unit.unwrap_or(map.unit);
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_maps_parse() {
        let map: ColumnMap = "arrival=ts,prompt=in_tokens,output=out_tokens,service=took,unit=ms".parse().unwrap();
        assert_eq!(map.arrival, "ts");
        assert_eq!(map.output.as_deref(), Some("out_tokens"));
        assert_eq!(map.service_unit, TimeUnit::Milliseconds);
    }

    #[test]
    fn column_maps_are_checked() {
        let message = |text: &str| text.parse::<ColumnMap>().unwrap_err().to_string();
        insta::assert_snapshot!(message("prompt=a"), @"columns: found `prompt=a`, expected an `arrival=COLUMN` among the pairs");
        insta::assert_snapshot!(message("arrival=a,unit=h"), @"unit: found `h`, expected one of s, ms, us, ns");
        insta::assert_snapshot!(message("arrival=a,size=b"), @"columns: found `size=b`, expected key=column pairs with the keys arrival, prompt, output, service, first_byte, upstream, value, missing, unit, service_unit");
    }
}
