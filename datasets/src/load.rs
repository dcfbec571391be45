//! Loading whole files.

use crate::{
    DataError, Format, LoadOptions, Reason, Request, Series, SeriesReport, ServiceSeen, Trace, Understanding, formats,
    input, stream_trace,
};
use std::path::Path;

/// Requests that are held in memory at most: some 10 GB.
const REQUESTS_MAX: u64 = 200_000_000;

/// Loads a whole trace; the format is recognised by content when `None`.
///
/// Requests are sorted by arrival, and the clock starts at the first one (with
/// [`LoadOptions::start_s`], that much after it). What is no work (failures, probes, other
/// protocols, answers without tokens where others have them) is left out, unless
/// [`LoadOptions::include`] takes it in.
///
/// # Errors
///
/// Everything that [`DataError`] names: an unreadable, damaged, empty or differently formatted
/// file, more bad rows than the options allow, options that contradict the file, units that the
/// file's own numbers contradict, requests to a language model without token counts.
pub fn load_trace(path: impl AsRef<Path>, format: Option<Format>, options: &LoadOptions) -> Result<Trace, DataError> {
    load_trace_with_report(path, format, options).map(|(trace, _)| trace)
}

/// [`load_trace`], and how the file was understood.
///
/// # Errors
///
/// As [`load_trace`].
pub fn load_trace_with_report(
    path: impl AsRef<Path>,
    format: Option<Format>,
    options: &LoadOptions,
) -> Result<(Trace, Understanding), DataError> {
    let path = path.as_ref();
    let mut stream = stream_trace(path, format, options)?;
    let too_many = |expected: f64| DataError::TooMany { path: path.to_owned(), requests_max: REQUESTS_MAX, expected };
    if let Some(expected) = stream.expected_requests().filter(|&expected| expected > REQUESTS_MAX as f64) {
        return Err(too_many(expected));
    }
    let sort = stream.is_unordered();
    if sort {
        // Where the trace starts is known when all of it is.
        stream.keep_all_times();
    }
    let mut trace =
        Trace { name: input::stem(path), prefix_block_tokens: stream.prefix_block_tokens(), ..Trace::default() };
    while let Some(request) = stream.next() {
        let mut request = request?;
        if request.prefix_len > 0 {
            request.prefix_begin = prefix_begin(&trace, path)?;
            trace.prefix_blocks.extend_from_slice(stream.prefix_blocks());
        }
        trace.requests.push(request);
        if trace.requests.len() as u64 > REQUESTS_MAX {
            return Err(too_many(REQUESTS_MAX as f64 / stream.progress().max(1e-6)));
        }
    }
    if !options.include.no_tokens {
        let left_out = without_tokens(&mut trace);
        stream.leave_out(Reason::NoTokens, left_out);
    }
    trace.start_epoch_s = stream.origin_epoch_s();
    trace.dropped_rows = stream.dropped_rows();
    trace.upstreams = stream.upstreams().to_vec();
    let understanding = stream.understanding();
    if understanding.service == ServiceSeen::WithoutTokens && !options.without_tokens {
        let (rows, sample) = stream.inference();
        let requests = understanding.requests;
        return Err(DataError::WithoutTokens { path: path.to_owned(), rows, requests, sample: sample.to_owned() });
    }
    if sort {
        sort_and_rebase(&mut trace);
        if options.start_s > 0.0 || options.end_s < trace.duration_s() {
            let dropped_rows = trace.dropped_rows;
            trace = Trace { dropped_rows, ..trace.slice(options.start_s, options.end_s) };
        }
    }
    if trace.requests.is_empty() {
        return Err(DataError::Option {
            option: "start and end",
            found: options.range(),
            expected: "a time in which the trace has requests",
        });
    }
    Ok((trace, understanding))
}

/// Leaves out answers without tokens where others have them; returns how many.
fn without_tokens(trace: &mut Trace) -> u64 {
    let has = |count: fn(&Request) -> u32| trace.requests.iter().any(|request| count(request) > 0);
    // Where no answer has a length (embeddings), prompts tell work from the rest.
    let tokens: fn(&Request) -> u32 = match (has(|r| r.output_tokens), has(|r| r.prompt_tokens)) {
        (true, _) => |request| request.output_tokens,
        (false, true) => |request| request.prompt_tokens,
        (false, false) => return 0,
    };
    let before = trace.requests.len();
    trace.requests.retain(|request| tokens(request) > 0);
    (before - trace.requests.len()) as u64
}

/// Loads a rate series, one for every column of values.
///
/// A CSV of a time and one or several numbers, at any constant step; [`LoadOptions::columns`] may
/// say which columns are meant. Missing points are NaN and listed in [`Series::gaps`]. Counters
/// become rates, rows that differ in their labels are combined, and rates whose unit is known are
/// rates per second ([`Series::unit`]).
///
/// # Errors
///
/// As [`load_trace`], and where the rows have no constant step.
pub fn load_series(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Vec<Series>, DataError> {
    load_series_with_report(path, options).map(|(series, _)| series)
}

/// [`load_series`], and what had to be mended: irregular, duplicate and dropped rows.
///
/// # Errors
///
/// As [`load_series`].
pub fn load_series_with_report(
    path: impl AsRef<Path>,
    options: &LoadOptions,
) -> Result<(Vec<Series>, SeriesReport), DataError> {
    formats::series::load(path.as_ref(), options)
}

fn prefix_begin(trace: &Trace, path: &Path) -> Result<u32, DataError> {
    u32::try_from(trace.prefix_blocks.len()).map_err(|_| DataError::Option {
        option: "start and end",
        found: path.display().to_string(),
        expected: "a part of the trace with fewer than 2^32 prefix blocks",
    })
}

/// Sorts by arrival, equal ones in the file's order, and starts the clock at the first.
fn sort_and_rebase(trace: &mut Trace) {
    trace.requests.sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
    let Some(first_s) = trace.requests.first().map(|request| request.arrival_s) else { return };
    for request in &mut trace.requests {
        request.arrival_s -= first_s;
    }
    trace.start_epoch_s = trace.start_epoch_s.map(|epoch_s| epoch_s + first_s);
}
