//! Arguments that say how traces and series are read.

use anyhow::{Context, Result};
use clap::Args;
use evenkeel_datasets::{DataError, Format, LoadOptions};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How input files are read. Everything is told from the contents where nothing is said; the
/// account that is printed says what was found. See docs/data.md.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct InputArgs {
    /// Format of the traces [default: found from the contents].
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub format: Option<Format>,
    /// Which column of a CSV, or field of JSON lines, holds what, e.g.
    /// `arrival=ts,prompt=in_tokens,output=usage.out`.
    #[arg(long, value_name = "MAP")]
    pub columns: Option<String>,
    /// Unit of times that are plain numbers: s, ms, us or ns [default: told from the numbers].
    #[arg(long, value_name = "UNIT")]
    pub time_unit: Option<String>,
    /// Unit of durations that are plain numbers [default: the format's].
    #[arg(long, value_name = "UNIT")]
    pub duration_unit: Option<String>,
    /// Tokens that a prefix block stands for [default: told from the prompts' lengths].
    #[arg(long, value_name = "N")]
    pub block_tokens: Option<u32>,
    /// Time zone of times that have none, such as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "NAME")]
    pub time_zone: Option<String>,
    /// Order of day and month in dates like 04/11/2025: day-first or month-first.
    #[arg(long, value_name = "ORDER")]
    pub date_order: Option<String>,
    /// Read only requests that meet these conditions, e.g. `status=2xx,method=POST,path=/v1/*`;
    /// also on `protocol`.
    #[arg(long = "where", value_name = "CONDITIONS")]
    pub wanted: Option<String>,
    /// Take in what is otherwise left out: failures, probes, protocols, no-tokens, or all.
    #[arg(long, value_name = "WORDS")]
    pub include: Option<String>,
    /// Take requests to a language model whose tokens are not logged for those of a service
    /// without tokens (FIFO) instead of refusing them.
    #[arg(long)]
    pub without_tokens: bool,
    /// How rows of a series that differ in their labels become one value: sum, mean or max
    /// [default: sum].
    #[arg(long, value_name = "HOW")]
    pub combine: Option<String>,
    /// Unit of a series' values: per-second, per-minute, per-hour, per-step, counter or level
    /// [default: told from the header].
    #[arg(long, value_name = "UNIT")]
    pub series_unit: Option<String>,
    /// Leave out what is earlier than this many seconds after the start.
    #[arg(long, value_name = "SECONDS")]
    pub start: Option<f64>,
    /// Leave out what is later than this many seconds after the start.
    #[arg(long, value_name = "SECONDS")]
    pub end: Option<f64>,
    /// Take this share of the requests, at random; ServeGen's rates may also be raised.
    #[arg(long, value_name = "FACTOR")]
    pub rate_scale: Option<f64>,
    /// Tolerate this many unreadable rows in each file; they are counted and reported by kind.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_bad_rows: u64,
    /// Sort the requests by arrival instead of refusing time that goes backwards.
    #[arg(long)]
    pub sort: bool,
}

impl InputArgs {
    /// The options of the loaders, with a seed for what is drawn at random.
    pub fn options(&self, seed: u64) -> Result<LoadOptions> {
        fn parsed<T: FromStr<Err = DataError>>(option: &'static str, text: Option<&String>) -> Result<Option<T>> {
            text.map(|text| text.parse::<T>()).transpose().context(option)
        }
        let plain = LoadOptions::default();
        Ok(LoadOptions {
            max_bad_rows: self.max_bad_rows,
            columns: parsed("--columns", self.columns.as_ref())?,
            time_unit: parsed("--time-unit", self.time_unit.as_ref())?,
            duration_unit: parsed("--duration-unit", self.duration_unit.as_ref())?,
            block_tokens: self.block_tokens,
            time_zone: self.time_zone.clone(),
            date_order: parsed("--date-order", self.date_order.as_ref())?,
            include: parsed("--include", self.include.as_ref())?.unwrap_or(plain.include),
            wanted: parsed("--where", self.wanted.as_ref())?.unwrap_or(plain.wanted),
            without_tokens: self.without_tokens,
            combine: parsed("--combine", self.combine.as_ref())?,
            value_unit: parsed("--series-unit", self.series_unit.as_ref())?,
            seed,
            start_s: self.start.unwrap_or(plain.start_s),
            end_s: self.end.unwrap_or(plain.end_s),
            rate_scale: self.rate_scale.unwrap_or(plain.rate_scale),
            sort: self.sort,
        })
    }
}
