//! Summaries of traces and series, to be read (`Display`, at most 80 columns) or kept (`Serialize`).

mod arrivals;
mod gather;
mod quantiles;
mod seasonality;
mod sketch;
mod table;

pub use quantiles::Quantiles;
pub use seasonality::Seasonality;

use crate::{
    DataError, Format, LoadOptions, Reason, Series, SeriesUnit, Trace, Understanding, input, load_trace_with_report,
    stream_trace,
};
use gather::{Gathered, Source};
use serde::Serialize;
use std::path::Path;

/// The bin over which the peak rate of a trace is taken by default: one minute.
pub const BIN_S: f64 = 60.0;

/// What a trace is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceStats {
    /// The trace's name.
    pub name: String,
    /// Number of requests.
    pub rows: usize,
    /// Rows of the source that could not be read.
    pub dropped_rows: u64,
    /// Unix time of the start, where known.
    pub start_epoch_s: Option<f64>,
    /// Seconds from the start to the last arrival.
    pub span_s: f64,
    /// Requests per second over the span.
    pub mean_rate_per_s: f64,
    /// Length of the bins in which the peak was looked for.
    pub bin_s: f64,
    /// Requests per second in the busiest bin.
    pub peak_rate_per_s: f64,
    /// The peak over the mean.
    pub peak_to_mean: f64,
    /// Standard deviation of the inter-arrival times over their mean: 1 for a Poisson process,
    /// more where arrivals bunch. NaN for fewer than two requests.
    pub interarrival_cv: f64,
    /// Prompt lengths in tokens, where there are any.
    pub prompt_tokens: Option<Quantiles>,
    /// Output lengths in tokens, where there are any.
    pub output_tokens: Option<Quantiles>,
    /// Measured upstream response times in seconds, where there are any.
    pub service_s: Option<Quantiles>,
    /// Measured times to the first byte in seconds, where there are any.
    pub first_byte_s: Option<Quantiles>,
    /// Number of upstream hosts.
    pub upstreams: usize,
    /// Number of conversations, where the source tells them apart.
    pub sessions: Option<u64>,
    /// Share of prefix blocks that had been seen before in the trace, where there are any.
    pub repeated_blocks: Option<f64>,
    /// How the rate repeats itself.
    pub seasonality: Seasonality,
}

impl TraceStats {
    /// Summarises a trace; the peak rate is that of bins of `bin_s` seconds ([`BIN_S`] is usual).
    ///
    /// # Panics
    ///
    /// When `bin_s` is not a positive, finite number.
    pub fn new(trace: &Trace, bin_s: f64) -> Self {
        let source = Source {
            name: &trace.name,
            start_epoch_s: trace.start_epoch_s,
            dropped_rows: trace.dropped_rows,
            upstreams: trace.upstreams.len(),
        };
        Gathered::of(trace).finish(&source, bin_s)
    }

    /// Summarises a file as [`TraceStats::new`] does its trace, in bounded memory: the requests
    /// are read one by one. Beyond some millions of requests, quantiles are off by up to 0.3 %
    /// and distinct blocks and sessions are estimated.
    ///
    /// # Errors
    ///
    /// As [`load_trace`](crate::load_trace).
    ///
    /// # Panics
    ///
    /// As [`TraceStats::new`].
    pub fn of_file(
        path: impl AsRef<Path>,
        format: Option<Format>,
        options: &LoadOptions,
        bin_s: f64,
    ) -> Result<Self, DataError> {
        Self::of_file_with_report(path, format, options, bin_s, &mut |_, _| {}).map(|(stats, _)| stats)
    }

    /// [`of_file`](Self::of_file), and how the file was understood. `progress` is called from time
    /// to time with the share that has been read and the number of requests in it.
    ///
    /// Requests to a language model without token counts are summarised, not refused.
    ///
    /// # Errors
    ///
    /// As [`load_trace`](crate::load_trace).
    ///
    /// # Panics
    ///
    /// As [`TraceStats::new`].
    pub fn of_file_with_report(
        path: impl AsRef<Path>,
        format: Option<Format>,
        options: &LoadOptions,
        bin_s: f64,
        progress: &mut dyn FnMut(f64, u64),
    ) -> Result<(Self, Understanding), DataError> {
        let path = path.as_ref();
        let mut stream = stream_trace(path, format, options)?;
        let is_whole = options.start_s <= 0.0 && options.end_s == f64::INFINITY;
        if !is_whole && stream.is_unordered() {
            // Which requests are meant is known when all of them are sorted.
            let options = LoadOptions { without_tokens: true, ..options.clone() };
            let (trace, understanding) = load_trace_with_report(path, format, &options)?;
            return Ok((Self::new(&trace, bin_s), understanding));
        }
        // Answers with tokens, those whose prompts alone have some, and the rest: the file's
        // last row may show which of them are work.
        let mut gathered: [Gathered; 3] = Default::default();
        let mut counts = [0_u64; 3];
        while let Some(request) = stream.next() {
            let request = request?;
            let class = match (request.output_tokens, request.prompt_tokens) {
                _ if options.include.no_tokens => 0,
                (1.., _) => 0,
                (0, 1..) => 1,
                (0, 0) => 2,
            };
            counts[class] += 1;
            gathered[class].push(&request, stream.prefix_blocks());
            let requests = counts.iter().sum::<u64>();
            if requests.is_multiple_of(PROGRESS_REQUESTS) {
                progress(stream.progress(), requests);
            }
        }
        let source_path = input::stem(path);
        let first = gathered.iter().position(|gathered| !gathered.is_empty()).unwrap_or(0);
        stream.leave_out(Reason::NoTokens, counts[first + 1..].iter().sum());
        let source = Source {
            name: &source_path,
            start_epoch_s: stream.origin_epoch_s(),
            dropped_rows: stream.dropped_rows(),
            upstreams: stream.upstreams().len(),
        };
        let work = gathered.into_iter().nth(first).unwrap_or_default();
        Ok((work.finish(&source, bin_s), stream.understanding()))
    }
}

/// Requests between two calls for progress.
const PROGRESS_REQUESTS: u64 = 100_000;

/// What a series is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesStats {
    /// The series' name.
    pub name: String,
    /// Number of values, missing ones included.
    pub rows: usize,
    /// Number of missing values.
    pub missing: usize,
    /// Number of runs of missing values.
    pub gaps: usize,
    /// Length of the longest run of missing values.
    pub longest_gap: usize,
    /// Unix time of the first value.
    pub start_epoch_s: f64,
    /// Seconds between two values.
    pub step_s: f64,
    /// Length in seconds.
    pub span_s: f64,
    /// The unit of the values.
    pub unit: SeriesUnit,
    /// Mean value.
    pub mean: f64,
    /// Largest value.
    pub peak: f64,
    /// The peak over the mean.
    pub peak_to_mean: f64,
    /// Standard deviation of the values over their mean.
    pub cv: f64,
    /// Quantiles of the values; `None` when all are missing.
    pub values: Option<Quantiles>,
    /// How the series repeats itself.
    pub seasonality: Seasonality,
}

impl SeriesStats {
    /// Summarises a series.
    pub fn new(series: &Series) -> Self {
        let values = Quantiles::new(series.values.clone());
        let mean = series.mean();
        let peak = values.map_or(f64::NAN, |values| values.max);
        let present = series.values.iter().filter(|value| !value.is_nan()).map(|&value| f64::from(value));
        let (count, square) =
            present.fold((0.0, 0.0), |(count, square), value| (count + 1.0, square + (value - mean) * (value - mean)));
        Self {
            name: series.name.clone(),
            rows: series.len(),
            missing: series.missing(),
            gaps: series.gaps.len(),
            longest_gap: series.gaps.iter().map(|gap| gap.len).max().unwrap_or(0),
            start_epoch_s: series.start_epoch_s,
            step_s: series.step_s,
            span_s: series.duration_s(),
            unit: series.unit,
            mean,
            peak,
            peak_to_mean: peak / mean,
            cv: (square / count).sqrt() / mean,
            values,
            seasonality: Seasonality::of_series(series),
        }
    }
}

/// The rate of sorted arrivals per second, one value for every `step_s` seconds from 0.
fn rates(arrivals_s: &[f64], step_s: f64) -> Vec<f32> {
    assert!(step_s.is_finite() && step_s > 0.0, "the bins of a rate must be longer than 0, not {step_s}");
    let bin = |arrival_s: f64| (arrival_s / step_s) as usize;
    let mut counts = vec![0_u32; arrivals_s.last().map_or(0, |last| bin(*last) + 1)];
    for arrival_s in arrivals_s {
        counts[bin(*arrival_s)] += 1;
    }
    counts.into_iter().map(|count| (f64::from(count) / step_s) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::Service;

    #[test]
    fn a_trace_is_summarised() {
        let mut trace = Trace::default();
        for i in 0..100_u32 {
            // Pairs, a second apart each: the mean gap is about 1/2, its CV about 1.
            trace.requests.push(crate::Request::new(f64::from(i / 2), i, 0));
        }
        let stats = TraceStats::new(&trace, 7.0);
        assert_eq!((stats.rows, stats.span_s), (100, 49.0));
        assert_eq!(stats.peak_rate_per_s, 2.0);
        assert!((stats.interarrival_cv - 1.0).abs() < 0.02);
        let prompt = stats.prompt_tokens.unwrap();
        assert_eq!((prompt.mean, prompt.p50, prompt.p90, prompt.max), (49.5, 49.0, 89.0, 99.0));
        assert_eq!((stats.output_tokens, stats.service_s), (None, None));
    }

    #[test]
    fn an_empty_trace_is_no_trouble() {
        let stats = TraceStats::new(&Trace::default(), BIN_S);
        assert!(stats.to_string().contains("0 requests"));
        assert!(SeriesStats::new(&Series { step_s: 1.0, ..Series::default() }).to_string().contains("0 values"));
    }

    #[test]
    fn the_summary_fits_the_screen() {
        let service = Service::new(2);
        let trace = TraceStats::new(&service.trace(9.0 * 3600.0, 1800.0), BIN_S).to_string();
        let series = SeriesStats::new(&service.series(600.0, 21.0)).to_string();
        for line in trace.lines().chain(series.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        println!("{trace}\n{series}");
    }
}
