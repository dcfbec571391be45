//! The result of `GuideLLM`, as JSON: `guidellm benchmark … --output-path benchmarks.json`.
//!
//! Each of `benchmarks` has its `requests`: `successful`, `incomplete` and `errored` ones, with their
//! prompt and answer, which are stepped over. Newer releases call a request's times
//! `request_start_time` (s since 1970) and `request_latency` (s), older ones `start_time` and
//! `end_time`; `time_to_first_token_ms` is in both. The benchmarks of a sweep follow one another.

use super::bench::{Results, parse};
use super::timed::{Account, Measured};
use crate::row::Context;
use crate::{DataError, Format, Reason, input::Input};
use serde::Deserialize;

#[derive(Deserialize)]
struct Report {
    benchmarks: Vec<Benchmark>,
}

#[derive(Deserialize)]
struct Benchmark {
    requests: Requests,
    /// How many there were, of which the report may keep a sample; in older releases.
    request_totals: Option<Totals>,
    metrics: Option<Metrics>,
}

#[derive(Deserialize)]
struct Metrics {
    request_totals: Option<Totals>,
}

#[derive(Deserialize)]
struct Totals {
    successful: Option<f64>,
}

#[derive(Deserialize)]
struct Requests {
    #[serde(default)]
    successful: Vec<One>,
    incomplete: Option<Vec<One>>,
    errored: Option<Vec<One>>,
}

#[derive(Deserialize)]
struct One {
    request_start_time: Option<f64>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    request_latency: Option<f64>,
    time_to_first_token_ms: Option<f64>,
    prompt_tokens: Option<f64>,
    output_tokens: Option<f64>,
    info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    conversation_id: Option<String>,
}

/// The requests of a report, in order of arrival. Errored and unfinished ones are counted and left out.
pub(crate) fn requests(input: Input, context: &mut Context) -> Result<Results, DataError> {
    let path = input.path().to_owned();
    let report: Report = parse(
        input,
        Format::GuideLlm,
        "expected the JSON report of `guidellm benchmark`, with a list of requests in each of its benchmarks",
    )?;
    let mut account = Account { time: "seconds since 1970, by the format", ..Account::default() };
    let mut results = Vec::new();
    let (mut kept, mut all) = (0.0, 0.0);
    let benchmarks = report.benchmarks.len();
    for (number, benchmark) in (1..).zip(report.benchmarks) {
        let totals = benchmark.request_totals.or_else(|| benchmark.metrics?.request_totals);
        kept += benchmark.requests.successful.len() as f64;
        all += totals.and_then(|totals| totals.successful).unwrap_or(benchmark.requests.successful.len() as f64);
        let failed = [("errored", benchmark.requests.errored), ("incomplete", benchmark.requests.incomplete)];
        let failed = failed
            .into_iter()
            .flat_map(|(kind, list)| list.unwrap_or_default().into_iter().map(move |one| (kind, one)));
        let done = benchmark.requests.successful.into_iter().map(|one| ("", one));
        for (kind, one) in done.chain(failed) {
            if !kind.is_empty() && (!context.include().failures || one.start_s().1.is_none()) {
                context.count(Reason::Failure, || format!("{kind}, in benchmark {number}"));
                continue;
            }
            let measured = one.measured();
            results.push(measured.request(&mut account).map_err(|fault| fault.of_file(&path, Format::GuideLlm))?);
        }
    }
    if kept < all {
        account.assumed.push(format!(
            "the report holds a sample of {kept} of {all} requests: rates are lower than they were (run GuideLLM without \
             a limit of sampled requests)"
        ));
    }
    if benchmarks > 1 {
        account.assumed.push(format!("{benchmarks} benchmarks, which followed one another, are one trace"));
    }
    results.sort_by_key(|timed| timed.arrival_ns);
    Ok((results, account))
}

impl One {
    fn start_s(&self) -> (&'static str, Option<f64>) {
        match self.request_start_time {
            Some(_) => ("request_start_time", self.request_start_time),
            None => ("start_time", self.start_time),
        }
    }

    fn measured(self) -> Measured<'static> {
        let start_s = self.start_s();
        let whole_s = match self.request_latency {
            Some(_) => ("request_latency", self.request_latency),
            None => ("end_time", self.end_time.zip(start_s.1).map(|(end_s, start_s)| end_s - start_s)),
        };
        Measured {
            start_s,
            whole_s,
            first_byte_s: ("time_to_first_token_ms", self.time_to_first_token_ms.map(|ms| ms / 1e3)),
            prompt: ("prompt_tokens", self.prompt_tokens),
            output: ("output_tokens", self.output_tokens),
            session: ("info.conversation_id", self.info.and_then(|info| info.conversation_id)),
        }
    }
}
