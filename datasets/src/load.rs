//! The entry points of loading.

use crate::{DataError, Format, LoadOptions, Request, Series, Trace};
use std::path::Path;

/// Loads a whole trace; the format is recognised by content when `None`.
pub fn load_trace(path: impl AsRef<Path>, format: Option<Format>, options: &LoadOptions) -> Result<Trace, DataError> {
    let mut trace = Trace::default();
    for request in stream_trace(path, format, options)? {
        trace.requests.push(request?);
    }
    Ok(trace)
}

/// Loads every value column of a rate series.
pub fn load_series(path: impl AsRef<Path>, _options: &LoadOptions) -> Result<Vec<Series>, DataError> {
    Err(DataError::UnknownFormat { path: path.as_ref().to_owned(), found: String::new() })
}

/// Opens a trace to be read request by request.
pub fn stream_trace(
    path: impl AsRef<Path>,
    _format: Option<Format>,
    _options: &LoadOptions,
) -> Result<TraceStream, DataError> {
    Err(DataError::UnknownFormat { path: path.as_ref().to_owned(), found: String::new() })
}

/// The requests of a file, in the file's order.
pub struct TraceStream;

impl Iterator for TraceStream {
    type Item = Result<Request, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
