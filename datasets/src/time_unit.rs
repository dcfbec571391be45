//! Units of times.

use crate::DataError;
use std::str::FromStr;

/// Order of day and month in dates that end with the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    /// `24/11/2025`.
    DayFirst,
    /// `11/24/2025`.
    MonthFirst,
}

impl FromStr for DateOrder {
    type Err = DataError;

    fn from_str(order: &str) -> Result<Self, DataError> {
        match order {
            "day-first" => Ok(Self::DayFirst),
            "month-first" => Ok(Self::MonthFirst),
            other => Err(DataError::Option {
                option: "date order",
                found: other.to_owned(),
                expected: "day-first or month-first",
            }),
        }
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
    /// The usual abbreviation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        }
    }

    /// All units, longest first.
    pub const ALL: [Self; 4] = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

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
            other => Err(DataError::Option {
                option: "time unit",
                found: other.to_owned(),
                expected: "one of s, ms, us, ns",
            }),
        }
    }
}
