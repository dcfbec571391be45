//! The format that a file is read in.

use crate::formats::sniff::{Sniffed, sniff, suggested_columns};
use crate::input::Input;
use crate::{DataError, Format, LoadOptions};

/// The format to read: the one asked for if the content does not contradict it, else the one
/// that the content looks like.
pub(crate) fn settle(input: &Input, asked: Option<Format>, options: &LoadOptions) -> Result<Format, DataError> {
    let Sniffed { format: looks_like, found } = sniff(input.head());
    let path = || input.path().to_owned();
    let columns = || suggested_columns(input.head());
    let is_csv =
        |format| matches!(format, Format::Azure | Format::BurstGpt | Format::Lake | Format::Series | Format::Csv);
    let is_json =
        input.head().trim_ascii_start().starts_with(b"{") || looks_like.is_some_and(|format| format == Format::Json);
    let map = options.columns.as_ref();
    // A map without a format names the columns of a file that no format fits.
    let asked = match (asked, map, looks_like) {
        (None, Some(_), None | Some(Format::Series)) => Some(if is_json { Format::Json } else { Format::Csv }),
        (asked, ..) => asked,
    };
    let needs_map = |format: Format| match map {
        Some(map) if !map.arrival.is_empty() || map.done.is_some() && map.took.is_some() => Ok(format),
        map => Err(DataError::Option {
            option: "columns",
            found: if map.is_some() { "no arrival" } else { "none" }.to_owned(),
            expected: "arrival=COLUMN,… with the formats csv and json, which have no columns of their own",
        }),
    };
    match (asked, looks_like) {
        (None, None) => Err(DataError::UnknownFormat { path: path(), found, columns: columns() }),
        (None, Some(Format::Series)) | (Some(Format::Series), _) => {
            Err(DataError::NotATrace { path: path(), found, columns: columns() })
        }
        (None, Some(format)) => Ok(format),
        (Some(Format::Csv), None | Some(_)) if looks_like.is_none_or(is_csv) => needs_map(Format::Csv),
        (Some(Format::Json), _) if is_json => needs_map(Format::Json),
        (Some(asked), Some(format)) if asked != format && !are_alike(asked, format) => Err(DataError::WrongFormat {
            path: path(),
            asked,
            found,
            advice: match format {
                Format::Series => "it looks like a rate series: give it as --series".to_owned(),
                format => format!("it looks like `{format}`: use --format {format}, or leave --format out"),
            },
        }),
        (Some(asked), None) if input.head().contains(&0) => Err(DataError::WrongFormat {
            path: path(),
            asked,
            found,
            advice: "is it compressed by something other than gzip and zstd? Unpack it first".to_owned(),
        }),
        (Some(asked), _) => Ok(asked),
    }
}

/// Formats that a file may both be of.
fn are_alike(a: Format, b: Format) -> bool {
    let is_one = |format| matches!(format, Format::Mooncake | Format::Bailian);
    is_one(a) && is_one(b)
}
