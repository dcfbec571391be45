//! Names of the columns of files in no known format.

use crate::{DataError, TimeUnit};
use std::str::FromStr;

/// Which column of a CSV, or field of JSON lines, holds what.
///
/// Written as `arrival=ts,prompt=in_tokens,output=out_tokens,service=seconds,unit=ms`. Keys:
///
/// | Key | Column |
/// |---|---|
/// | `arrival` (or `time`) | time of arrival: ISO 8601, or a number in `unit` |
/// | `prompt`, `output` | token counts |
/// | `service`, `first_byte` | response time and time to the first byte, numbers in `service_unit` |
/// | `upstream` | address of the host that served the request |
/// | `done` | time at which the request was done, where there is no `arrival`; needs `took` |
/// | `took` | duration of the request, by which the arrival precedes `done` |
/// | `session` | identifier of the conversation |
/// | `delay` | wait between the answer to the session's turn before and this turn, in `service_unit` |
/// | `blocks` | identifiers of the prompt's prefix blocks, an array of whole numbers |
/// | `status`, `method`, `path`, `protocol` | by which failures, probes and other protocols are left out |
/// | `value` | a value column of a series; may be repeated |
/// | `missing` | a column of a series that is 1 where the row's values are to be ignored |
/// | `unit` | not a column: `s`, `ms`, `us` or `ns`; by default told from the numbers |
/// | `service_unit` | the same for durations; by default as `unit` |
///
/// `arrival` (or `done` and `took`) is compulsory where the format is not known by itself; where it
/// is, the map replaces the format's own names. Nested fields of JSON are named by dots
/// between their names: `usage.prompt_tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap {
    /// Column of the arrival; empty where `done` and `took` stand for it.
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
    /// Column of the time at which the request was done.
    pub done: Option<String>,
    /// Column of the request's whole duration.
    pub took: Option<String>,
    /// Column of the conversation's identifier.
    pub session: Option<String>,
    /// Column of the wait before a turn.
    pub delay: Option<String>,
    /// Column of the prefix blocks.
    pub blocks: Option<String>,
    /// Column of the status.
    pub status: Option<String>,
    /// Column of the method.
    pub method: Option<String>,
    /// Column of the path.
    pub path: Option<String>,
    /// Column of the protocol.
    pub protocol: Option<String>,
    /// Unit of arrivals that are numbers; told from the numbers when `None`.
    pub unit: Option<TimeUnit>,
    /// Unit of durations; seconds when `None`.
    pub service_unit: Option<TimeUnit>,
}

impl FromStr for ColumnMap {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        const KEYS: &str = "key=column pairs with the keys arrival, prompt, output, service, first_byte, upstream, done, took, \
             session, delay, blocks, status, method, path, protocol, value, missing, unit, service_unit";
        let mut map = Self::default();
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
                "done" => map.done = Some(column),
                "took" => map.took = Some(column),
                "session" => map.session = Some(column),
                "delay" => map.delay = Some(column),
                "blocks" => map.blocks = Some(column),
                "status" => map.status = Some(column),
                "method" => map.method = Some(column),
                "path" => map.path = Some(column),
                "protocol" => map.protocol = Some(column),
                "unit" => map.unit = Some(column.parse()?),
                "service_unit" => map.service_unit = Some(column.parse()?),
                _ => return Err(wrong(KEYS)),
            }
        }
        map.service_unit = map.service_unit.or(map.unit);
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
        assert_eq!(map.service_unit, Some(TimeUnit::Milliseconds));
    }

    #[test]
    fn column_maps_are_checked() {
        let message = |text: &str| text.parse::<ColumnMap>().unwrap_err().to_string();
        insta::assert_snapshot!(message("arrival=a,unit=h"), @"time unit: found `h`, expected one of s, ms, us, ns");
        insta::assert_snapshot!(message("arrival=a,size=b"), @"columns: found `size=b`, expected key=column pairs with the keys arrival, prompt, output, service, first_byte, upstream, done, took, session, delay, blocks, status, method, path, protocol, value, missing, unit, service_unit");
    }
}
