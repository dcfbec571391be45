//! Gathering the summary of a trace request by request, so that a log of any length is
//! summarised without holding its requests.

use super::quantiles::Quantiles;
use super::seasonality::Seasonality;
use super::{TraceStats, rates};
use crate::{Request, Trace};

/// What a summary needs of the requests seen so far: about 8 bytes for the arrival and 4 for
/// each measure that the source has.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    arrivals_s: Vec<f64>,
    prompt_tokens: Tokens,
    output_tokens: Tokens,
    service_s: Vec<f32>,
    first_byte_s: Vec<f32>,
    blocks: Vec<u64>,
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
        self.arrivals_s.push(request.arrival_s);
        self.prompt_tokens.push(request.prompt_tokens);
        self.output_tokens.push(request.output_tokens);
        for (sample, value) in
            [(&mut self.service_s, request.service_s), (&mut self.first_byte_s, request.first_byte_s)]
        {
            if !value.is_nan() {
                sample.push(value);
            }
        }
        self.blocks.extend_from_slice(blocks);
    }

    /// The summary; the peak rate is that of bins of `bin_s` seconds.
    pub(super) fn finish(mut self, source: &Source<'_>, bin_s: f64) -> TraceStats {
        // A proxy logs a request when it ends.
        self.arrivals_s.sort_unstable_by(f64::total_cmp);
        let first_s = self.arrivals_s.first().copied().unwrap_or(0.0);
        // Where rows come in another order, the clock started at the first row.
        let offset_s = if first_s < 0.0 { first_s } else { 0.0 };
        for arrival_s in &mut self.arrivals_s {
            *arrival_s -= offset_s;
        }
        let rows = self.arrivals_s.len();
        let span_s = self.arrivals_s.last().copied().unwrap_or(0.0);
        let mean_rate_per_s = if span_s > 0.0 { rows as f64 / span_s } else { 0.0 };
        let peak_rate_per_s = f64::from(rates(&self.arrivals_s, bin_s).into_iter().fold(0.0, f32::max));
        TraceStats {
            name: source.name.to_owned(),
            rows,
            dropped_rows: source.dropped_rows,
            start_epoch_s: source.start_epoch_s.map(|epoch_s| epoch_s + offset_s),
            span_s,
            mean_rate_per_s,
            bin_s,
            peak_rate_per_s,
            peak_to_mean: peak_rate_per_s / mean_rate_per_s,
            interarrival_cv: interarrival_cv(&self.arrivals_s),
            prompt_tokens: self.prompt_tokens.quantiles(),
            output_tokens: self.output_tokens.quantiles(),
            service_s: Quantiles::new(self.service_s),
            first_byte_s: Quantiles::new(self.first_byte_s),
            upstreams: source.upstreams,
            repeated_blocks: repeated(self.blocks),
            seasonality: Seasonality::of_arrivals(&self.arrivals_s),
        }
    }
}

/// Token counts; zeros are counted, not kept, since most logs have nothing else.
#[derive(Debug, Default)]
struct Tokens {
    zeros: usize,
    others: Vec<u32>,
}

impl Tokens {
    fn push(&mut self, tokens: u32) {
        if tokens == 0 {
            self.zeros += 1;
        } else {
            self.others.push(tokens);
        }
    }

    /// `None` where all are zero: a column that the source does not have.
    fn quantiles(mut self) -> Option<Quantiles> {
        if self.others.is_empty() {
            return None;
        }
        self.others.resize(self.others.len() + self.zeros, 0);
        Quantiles::new(self.others)
    }
}

fn interarrival_cv(arrivals_s: &[f64]) -> f64 {
    let (mut count, mut mean, mut square) = (0.0, 0.0, 0.0);
    // Welford's recurrence: stable where the mean is much larger than the deviation.
    for gap in arrivals_s.windows(2).map(|pair| pair[1] - pair[0]) {
        count += 1.0;
        let step = gap - mean;
        mean += step / count;
        square += step * (gap - mean);
    }
    if count > 0.0 { (square / count).sqrt() / mean } else { f64::NAN }
}

fn repeated(mut blocks: Vec<u64>) -> Option<f64> {
    let all = blocks.len();
    blocks.sort_unstable();
    blocks.dedup();
    (all > 0).then(|| (all - blocks.len()) as f64 / all as f64)
}
