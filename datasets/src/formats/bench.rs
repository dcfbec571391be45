//! The result of vLLM's serving benchmark, written with `--save-result --save-detailed`.
//!
//! One JSON object whose lists have an entry a request: `start_times` (s, on a clock of its own),
//! `input_lens`, `output_lens`, `ttfts` (s), `itls` (the gaps between tokens, in s), `errors`.

use super::timed::{Account, Timed};
use crate::input::{Input, read_failure};
use crate::row::Context;
use crate::{DataError, Format, Reason, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{BufReader, Read as _};

const BUFFER_BYTES: usize = 256 * 1024;

/// A result larger than this is not read.
const BYTES_MAX: u64 = 512 * 1024 * 1024;

#[derive(Deserialize)]
struct Result_ {
    input_lens: Vec<u32>,
    output_lens: Vec<u32>,
    #[serde(default)]
    start_times: Vec<f64>,
    #[serde(default)]
    ttfts: Vec<f64>,
    #[serde(default)]
    itls: Vec<Vec<f64>>,
    #[serde(default)]
    errors: Vec<String>,
}

/// Requests in order of arrival, and an account of them.
pub(crate) type Results = (Vec<Timed>, Account);

/// Reads a result as a whole; texts within it that nothing here asks for are stepped over.
pub(crate) fn parse<T: DeserializeOwned>(input: Input, asked: Format, expected: &str) -> Result<T, DataError> {
    let path = input.path().to_owned();
    let kind = input.kind();
    serde_json::from_reader(BufReader::with_capacity(BUFFER_BYTES, input)).map_err(|error| {
        let line = error.line() as u64;
        if error.is_io() {
            return read_failure(&path, kind, line.saturating_sub(1), error.into());
        }
        DataError::WrongFormat { path, asked, found: error.to_string(), advice: expected.to_owned() }
    })
}

/// The requests of a result, in order of arrival. Failed ones are counted and left out.
pub(crate) fn requests(mut input: Input, context: &mut Context) -> Result<Results, DataError> {
    let path = input.path().to_owned();
    let wrong = |found: String, advice: &str| DataError::WrongFormat {
        path: path.clone(),
        asked: Format::VllmBench,
        found,
        advice: advice.to_owned(),
    };
    let mut bytes = Vec::new();
    if let Err(error) = (&mut input).take(BYTES_MAX + 1).read_to_end(&mut bytes) {
        return Err(input.failed(0, error));
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong(format!("it is longer than {BYTES_MAX} bytes"), "split the benchmark into shorter ones"));
    }
    let result: Result_ = serde_json::from_slice(&bytes).map_err(|error| {
        wrong(
            error.to_string(),
            "write it with --save-result --save-detailed, which gives lists with an entry a request",
        )
    })?;
    let count = result.input_lens.len();
    let lists = [
        ("output_lens", result.output_lens.len(), true),
        ("start_times", result.start_times.len(), true),
        ("ttfts", result.ttfts.len(), !result.ttfts.is_empty()),
        ("itls", result.itls.len(), !result.itls.is_empty()),
        ("errors", result.errors.len(), !result.errors.is_empty()),
    ];
    for (name, len, is_needed) in lists {
        if is_needed && len != count {
            return Err(wrong(
                format!("{name}: found {len} entries, expected {count}, as in input_lens"),
                "run the benchmark again with --save-detailed and a release that writes start_times",
            ));
        }
    }
    let mut requests = Vec::with_capacity(count);
    for index in 0..count {
        let start_s = result.start_times[index];
        if !(start_s.is_finite() && start_s.abs() < 1e10) {
            return Err(wrong(format!("start_times: found {start_s} at entry {index}"), "expected seconds"));
        }
        let error = result.errors.get(index).map_or("", String::as_str);
        if (!error.is_empty() || result.output_lens[index] == 0) && !context.include().failures {
            context.count(Reason::Failure, || error.lines().last().unwrap_or_default().chars().take(60).collect());
            continue;
        }
        let ttft_s = result.ttfts.get(index).copied().filter(|ttft_s| (0.0..1e6).contains(ttft_s));
        let gaps_s = result.itls.get(index).map(|gaps| gaps.iter().sum::<f64>());
        let whole_s = ttft_s.zip(gaps_s).map(|(ttft_s, gaps_s)| ttft_s + gaps_s);
        let seconds = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32);
        let request = Request {
            first_byte_s: seconds(ttft_s),
            service_s: seconds(whole_s),
            ..Request::new(0.0, result.input_lens[index], result.output_lens[index])
        };
        requests.push(Timed::new((start_s * 1e9) as i64, request));
    }
    requests.sort_by_key(|timed| timed.arrival_ns);
    let account = Account { time: "seconds on the benchmark's own clock", ..Account::default() };
    Ok((requests, account))
}
