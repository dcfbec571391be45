//! Gathering the summary of a trace request by request, so that a log of any length is
//! summarised in bounded memory.

use super::TraceStats;
use super::arrivals::Arrivals;
use super::seasonality::Seasonality;
use super::sketch::{Distinct, Sample};
use crate::{Request, Trace};

/// What a summary needs of the requests seen so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    arrivals: Arrivals,
    prompt_tokens: Sample,
    output_tokens: Sample,
    service_s: Sample,
    first_byte_s: Sample,
    blocks: Distinct,
    sessions: Distinct,
}

/// What a summary takes from the trace as a whole.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) start_epoch_s: Option<f64>,
    pub(super) dropped_rows: u64,
    pub(super) upstreams: usize,
}

impl Gathered {
    /// A whole trace.
    pub(super) fn of(trace: &Trace) -> Self {
        let mut gathered = Self::default();
        for request in &trace.requests {
            gathered.push(request, trace.prefix(request));
        }
        gathered
    }

    /// Adds a request and its prefix blocks, in any order of arrival.
    pub(super) fn push(&mut self, request: &Request, blocks: &[u64]) {
        self.arrivals.push(request.arrival_s);
        self.prompt_tokens.push(f64::from(request.prompt_tokens));
        self.output_tokens.push(f64::from(request.output_tokens));
        self.service_s.push(f64::from(request.service_s));
        self.first_byte_s.push(f64::from(request.first_byte_s));
        for &block in blocks {
            self.blocks.push(block);
        }
        if request.session != Request::NO_SESSION {
            self.sessions.push(request.session);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// The summary; the peak rate is that of bins of `bin_s` seconds.
    pub(super) fn finish(self, source: &Source<'_>, bin_s: f64) -> TraceStats {
        let arrivals = self.arrivals.finish();
        let span_s = arrivals.span_s;
        let mean_rate_per_s = if span_s > 0.0 { arrivals.count as f64 / span_s } else { 0.0 };
        let peak_rate_per_s = f64::from(arrivals.counts.rates(bin_s).into_iter().fold(0.0, f32::max));
        // All zeros: a column that the source does not have.
        let tokens = |sample: Sample| if sample.is_empty() { None } else { sample.quantiles() };
        let all_blocks = self.blocks.all;
        let all_turns = self.sessions.all;
        let repeated = |distinct: u64| 1.0 - (distinct as f64 / all_blocks as f64).min(1.0);
        TraceStats {
            name: source.name.to_owned(),
            rows: arrivals.count as usize,
            dropped_rows: source.dropped_rows,
            start_epoch_s: source.start_epoch_s.map(|epoch_s| epoch_s + arrivals.offset_s),
            span_s,
            mean_rate_per_s,
            bin_s,
            peak_rate_per_s,
            peak_to_mean: peak_rate_per_s / mean_rate_per_s,
            interarrival_cv: arrivals.interarrival_cv,
            prompt_tokens: tokens(self.prompt_tokens),
            output_tokens: tokens(self.output_tokens),
            service_s: self.service_s.quantiles(),
            first_byte_s: self.first_byte_s.quantiles(),
            upstreams: source.upstreams,
            sessions: (all_turns > 0).then(|| self.sessions.count()),
            repeated_blocks: (all_blocks > 0).then(|| repeated(self.blocks.count())),
            seasonality: Seasonality::of_counts(&arrivals.counts, span_s),
        }
    }
}
