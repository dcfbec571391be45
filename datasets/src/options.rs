//! How a file is to be read.

use crate::input::zone::Zone;
use crate::{ColumnMap, Combine, DataError, DateOrder, Format, Include, TimeUnit, ValueUnit, Where};

/// Options of the loaders; the default reads everything and tolerates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Rows that may be unreadable before loading fails; those left out are counted.
    pub max_bad_rows: u64,
    /// The columns of a CSV, or fields of JSON lines, of no known format; selects [`Format::Csv`]
    /// or [`Format::Json`] where no format is given.
    pub columns: Option<ColumnMap>,
    /// Unit of times that are plain numbers; told from the numbers when `None`.
    pub time_unit: Option<TimeUnit>,
    /// Unit of durations that are plain numbers; that of the format when `None`.
    pub duration_unit: Option<TimeUnit>,
    /// Tokens that a prefix block stands for; told from the prompts' lengths when `None`.
    pub block_tokens: Option<u32>,
    /// Name of the time zone of times that have none, such as `Europe/Berlin`; UTC when `None`.
    pub time_zone: Option<String>,
    /// Order of day and month in dates like `04/11/2025`; told from the dates when `None`.
    pub date_order: Option<DateOrder>,
    /// What is taken in although it is no work.
    pub include: Include,
    /// Which rows are wanted.
    pub wanted: Where,
    /// Takes requests to a language model without token counts for those of a service without
    /// tokens, instead of refusing them.
    pub without_tokens: bool,
    /// How rows of a series that differ in their labels become one value.
    pub combine: Option<Combine>,
    /// Unit of a series' values; told from the header when `None`.
    pub value_unit: Option<ValueUnit>,
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
        Self::new()
    }
}

impl LoadOptions {
    /// Options that read everything and tolerate nothing.
    pub const fn new() -> Self {
        Self {
            max_bad_rows: 0,
            columns: None,
            time_unit: None,
            duration_unit: None,
            block_tokens: None,
            time_zone: None,
            date_order: None,
            include: Include::NONE,
            wanted: Where::ANYTHING,
            without_tokens: false,
            combine: None,
            value_unit: None,
            seed: 0,
            start_s: 0.0,
            end_s: f64::INFINITY,
            rate_scale: 1.0,
            sort: false,
        }
    }

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
        if self.block_tokens == Some(0) {
            return refuse("block tokens", "0".to_owned(), "at least 1");
        }
        self.zone().map(drop)
    }

    /// The time zone of times that have none.
    pub(crate) fn zone(&self) -> Result<Option<Zone>, DataError> {
        let zone = |name: &String| {
            Zone::named(name).ok_or_else(|| DataError::Option {
                option: "time zone",
                found: name.clone(),
                expected: "a name of the IANA time zone database, such as Europe/Berlin or UTC",
            })
        };
        self.time_zone.as_ref().map(zone).transpose()
    }

    /// The unit of times that the options name.
    pub(crate) fn asked_time_unit(&self) -> Option<TimeUnit> {
        self.time_unit.or_else(|| self.columns.as_ref().and_then(|map| map.unit))
    }

    /// The unit of durations that the options name.
    pub(crate) fn asked_duration_unit(&self) -> Option<TimeUnit> {
        self.duration_unit.or_else(|| self.columns.as_ref().and_then(|map| map.service_unit))
    }
}
