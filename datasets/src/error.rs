//! What can be wrong with data, said so that it can be put right.

use crate::Format;
use serde::Serialize;
use std::{fmt, io, path::PathBuf};

/// Why data could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file could not be opened or read.
    #[error("{}: cannot be read: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The compressed data or the archive ends too early or is corrupt.
    #[error(
        "{}: the {kind} data is damaged or ends too early ({source}), after {lines} good lines; \
         fetch or copy the file again", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// `gzip`, `zstd` or `tar`.
        kind: &'static str,
        /// Lines read before the damage.
        lines: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// A row never ends, or is longer than any row of a trace.
    #[error(
        "{}:{line}: the row that begins here is longer than {bytes_max} bytes; is a quote opened there and never \
         closed, or is it no text? Close the quote, or remove that row", .path.display()
    )]
    LongRow {
        /// The file.
        path: PathBuf,
        /// Line at which the row begins, counted from 1.
        line: u64,
        /// The length that is allowed.
        bytes_max: usize,
    },
    /// The numbers of a file contradict the unit that they would have, or allow several.
    #[error("{}: {field}: {found}; {advice}", .path.display())]
    Unit {
        /// The file.
        path: PathBuf,
        /// Column or field.
        field: String,
        /// The contradiction, with a value.
        found: String,
        /// The option that settles it.
        advice: String,
    },
    /// Requests to a language model, but no token counts.
    #[error(
        "{}: {rows} of {requests} requests went to paths of a language model ({sample}), but no field holds token counts; \
         name them with --columns prompt=FIELD,output=FIELD,… or log them (see docs/data.md), or take the log for that \
         of a service without tokens with --without-tokens", .path.display()
    )]
    WithoutTokens {
        /// The file.
        path: PathBuf,
        /// Requests to such paths.
        rows: u64,
        /// All requests.
        requests: u64,
        /// One of the paths.
        sample: String,
    },
    /// Every row of a file was left out.
    #[error(
        "{}: none of its {rows} rows is a request that the service answered and that --where asks for (most of them: \
         {sample}); --include takes in failures, probes, protocols", .path.display()
    )]
    AllLeftOut {
        /// The file.
        path: PathBuf,
        /// Rows left out.
        rows: u64,
        /// What most of them showed.
        sample: String,
    },
    /// More requests than fit into memory.
    #[error(
        "{}: holds more than {requests_max} requests ({expected:.2e} expected), too many to hold in memory; take a part \
         with --start SECONDS and --end SECONDS, or a share with --rate-scale SHARE", .path.display()
    )]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The bound.
        requests_max: u64,
        /// How many there would be.
        expected: f64,
    },
    /// There is nothing in the file.
    #[error("{}: holds no {what}; is it the right file, and was it copied whole?", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        what: &'static str,
    },
    /// The content is not of the format that was asked for.
    #[error("{}: is not in the format `{asked}`: {found}; {advice}", .path.display())]
    WrongFormat {
        /// The file.
        path: PathBuf,
        /// The format that was asked for.
        asked: Format,
        /// What the file holds.
        found: String,
        /// What to do instead.
        advice: String,
    },
    /// A rate series was given as a trace.
    #[error(
        "{}: looks like a rate series, not like a trace of requests: {found}; give it as --series, or, if its rows \
         are requests, name their columns with --columns {columns}", .path.display()
    )]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// What the file holds.
        found: String,
        /// A map of columns that its header suggests.
        columns: String,
    },
    /// No format was given and the content is like none that is known.
    #[error(
        "{}: the format is not recognised: {found}; name it with --format, or map the columns of a CSV, or the fields of \
         JSON lines, with --columns {columns}", .path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What the file holds.
        found: String,
        /// A map of columns or fields that their names suggest.
        columns: String,
    },
    /// Rows are unreadable, and more of them than was allowed.
    #[error("{first}{}", tolerated(*.allowed))]
    BadRows {
        /// How many bad rows were allowed.
        allowed: u64,
        /// The first bad row.
        first: Box<BadRow>,
    },
    /// The rows of a series have no constant step.
    #[error(
        "{}: the rows have no constant step: the median is {step_s} s, but {found}; is it a trace of requests (then \
         give it as --trace with --columns arrival=COLUMN), or is the time in another unit (--time-unit ms)?",
        .path.display()
    )]
    NoStep {
        /// The file.
        path: PathBuf,
        /// The median distance of two rows, in seconds.
        step_s: f64,
        /// How the rows contradict it.
        found: String,
    },
    /// A file that belongs to another one is missing.
    #[error("{}: needs {} beside it, which is not there; fetch it too", .path.display(), .missing.display())]
    Companion {
        /// The file that was given.
        path: PathBuf,
        /// The file that is missing.
        missing: PathBuf,
    },
    /// An option has a value that cannot be.
    #[error("{option}: found `{found}`, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// The second sentence of [`DataError::BadRows`].
fn tolerated(allowed: u64) -> String {
    match allowed {
        0 => " (--max-bad-rows N leaves out up to N such rows)".to_owned(),
        n => format!(" (the first of more than {n} bad rows, which is all that --max-bad-rows allows)"),
    }
}

/// One row that cannot be used: where it is, what was found and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The file, and the member where the file is an archive.
    pub file: String,
    /// Line, counted from 1.
    pub line: u64,
    /// Column or field.
    pub field: String,
    /// What was found, shortened.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, field, found, expected } = self;
        write!(f, "{file}:{line}: {field}: found {found}, expected {expected}")
    }
}
