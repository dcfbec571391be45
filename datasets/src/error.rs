//! What can be wrong with data, said so that it can be put right.

use crate::Format;
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
         are requests, name their columns with --columns arrival=COLUMN,…", .path.display()
    )]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// What the file holds.
        found: String,
    },
    /// No format was given and the content is like none that is known.
    #[error(
        "{}: the format is not recognised: {found}; name it with --format, or map the columns of a CSV with \
         --columns arrival=COLUMN,…", .path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What the file holds.
        found: String,
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
         give it as --trace with --columns arrival=COLUMN), or is the time in another unit (--columns unit=ms)?",
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
