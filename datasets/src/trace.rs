//! A trace: the requests of one service in order of arrival.

use crate::{Series, SeriesUnit, Split};

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Arrival, in seconds since the trace's start.
    pub arrival_s: f64,
    /// Prompt length in tokens; 0 where the source has none.
    pub prompt_tokens: u32,
    /// Output length in tokens; 0 where the source has none.
    pub output_tokens: u32,
    /// Measured upstream response time in seconds; NaN where unknown.
    pub service_s: f32,
    /// Measured time to the upstream's first byte in seconds; NaN where unknown.
    pub first_byte_s: f32,
    /// Index of the first prefix block in [`Trace::prefix_blocks`].
    pub prefix_begin: u32,
    /// Number of prefix blocks; 0 where the source has none.
    pub prefix_len: u16,
    /// Index into [`Trace::upstreams`]; [`Request::NO_UPSTREAM`] where unknown.
    pub upstream: u16,
    /// The conversation that the request is a turn of: equal for all its turns, and
    /// [`Request::NO_SESSION`] where unknown.
    pub session: u64,
    /// Seconds that the client waits between the answer to the session's turn before and this
    /// request, which is then sent in closed loop; NaN where the source has only arrivals.
    pub think_s: f32,
}

impl Request {
    /// The value of [`Request::upstream`] where the source names none.
    pub const NO_UPSTREAM: u16 = u16::MAX;

    /// The value of [`Request::session`] where the source names none.
    pub const NO_SESSION: u64 = 0;

    /// A request of which only the arrival and the token counts are known.
    pub const fn new(arrival_s: f64, prompt_tokens: u32, output_tokens: u32) -> Self {
        Self {
            arrival_s,
            prompt_tokens,
            output_tokens,
            service_s: f32::NAN,
            first_byte_s: f32::NAN,
            prefix_begin: 0,
            prefix_len: 0,
            upstream: Self::NO_UPSTREAM,
            session: Self::NO_SESSION,
            think_s: f32::NAN,
        }
    }
}

/// What of a trace's requests is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The requests themselves.
    Requests,
    /// Tokens of their prompts.
    PromptTokens,
    /// Tokens of their answers.
    OutputTokens,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Requests, Self::PromptTokens, Self::OutputTokens];

    /// Name of the rate, unit last, as a column of a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests_per_s",
            Self::PromptTokens => "prompt_tokens_per_s",
            Self::OutputTokens => "output_tokens_per_s",
        }
    }
}

/// The requests of one service, sorted by arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Where the trace came from: a file's name, or the generator and its seed.
    pub name: String,
    /// Unix time of the trace's start; `None` where the source has a clock of its own.
    pub start_epoch_s: Option<f64>,
    /// The requests, sorted by arrival.
    pub requests: Vec<Request>,
    /// Identifiers of prompt-prefix blocks, which requests refer to by range.
    pub prefix_blocks: Vec<u64>,
    /// Tokens a prefix block stands for; 0 where there are none (512 in Mooncake's traces).
    pub prefix_block_tokens: u32,
    /// Addresses of the upstream hosts that served the requests.
    pub upstreams: Vec<String>,
    /// Rows of the source that could not be read and were left out.
    pub dropped_rows: u64,
}

impl Trace {
    /// Seconds from the trace's start to the last arrival; 0 when empty.
    pub fn duration_s(&self) -> f64 {
        self.requests.last().map_or(0.0, |request| request.arrival_s)
    }

    /// Requests per second over [`Trace::duration_s`]; 0 when that is 0.
    pub fn mean_rate_per_s(&self) -> f64 {
        let duration_s = self.duration_s();
        if duration_s > 0.0 { self.requests.len() as f64 / duration_s } else { 0.0 }
    }

    /// Whether any request carries a token count.
    pub fn has_tokens(&self) -> bool {
        self.requests.iter().any(|request| request.prompt_tokens > 0 || request.output_tokens > 0)
    }

    /// The prefix blocks of one of this trace's requests.
    ///
    /// # Panics
    ///
    /// When the request belongs to another trace and points beyond this one's blocks.
    pub fn prefix(&self, request: &Request) -> &[u64] {
        let begin = request.prefix_begin as usize;
        &self.prefix_blocks[begin..begin + request.prefix_len as usize]
    }

    /// The arrival rate in requests per second, one value for every `step_s` seconds: the
    /// [`rates_of`](Self::rates_of) requests, under the trace's own name.
    ///
    /// # Panics
    ///
    /// When `step_s` is not a positive, finite number.
    pub fn rates(&self, step_s: f64) -> Series {
        Series { name: self.name.clone(), ..self.rates_of(Quantity::Requests, step_s) }
    }

    /// How much of something arrives per second, one value for every `step_s` seconds. The
    /// series is named after the trace and the quantity.
    ///
    /// The last step may lie partly beyond the last arrival; it still counts as a whole one, so
    /// that the values times `step_s` add up to the whole.
    ///
    /// # Panics
    ///
    /// When `step_s` is not a positive, finite number.
    pub fn rates_of(&self, quantity: Quantity, step_s: f64) -> Series {
        assert!(step_s.is_finite() && step_s > 0.0, "the step of a series must be positive, not {step_s}");
        let bin = |request: &Request| (request.arrival_s / step_s) as usize;
        let mut sums = vec![0_u64; self.requests.last().map_or(0, |last| bin(last) + 1)];
        for request in &self.requests {
            sums[bin(request)] += match quantity {
                Quantity::Requests => 1,
                Quantity::PromptTokens => u64::from(request.prompt_tokens),
                Quantity::OutputTokens => u64::from(request.output_tokens),
            };
        }
        Series {
            name: format!("{} {}", self.name, quantity.name()),
            start_epoch_s: self.start_epoch_s.unwrap_or(0.0),
            step_s,
            values: sums.into_iter().map(|sum| (sum as f64 / step_s) as f32).collect(),
            gaps: Vec::new(),
            unit: SeriesUnit::PerSecond,
        }
    }

    /// Splits the trace in time order into training, validation and test parts.
    ///
    /// Each part's clock starts at its boundary, and its `start_epoch_s` moves along. The rows
    /// that were dropped stay on the first part's account.
    pub fn split(&self, split: &Split) -> [Self; 3] {
        let duration_s = self.duration_s();
        let train_end_s = duration_s * split.train;
        let validation_end_s = duration_s * (split.train + split.validation);
        let parts = [(0.0, train_end_s), (train_end_s, validation_end_s), (validation_end_s, f64::INFINITY)];
        let mut parts = parts.map(|(begin_s, end_s)| self.slice(begin_s, end_s));
        parts[0].dropped_rows = self.dropped_rows;
        parts
    }

    /// The requests with `start_s <= arrival_s < end_s`, their arrivals counted from `start_s`.
    #[must_use]
    pub fn slice(&self, start_s: f64, end_s: f64) -> Self {
        let start_s = start_s.max(0.0);
        let begin = self.requests.partition_point(|request| request.arrival_s < start_s);
        let end = self.requests.partition_point(|request| request.arrival_s < end_s).max(begin);
        let mut prefix_blocks = Vec::new();
        let requests = self.requests[begin..end].iter().map(|request| {
            let prefix_begin = prefix_blocks.len() as u32;
            prefix_blocks.extend_from_slice(self.prefix(request));
            Request { arrival_s: request.arrival_s - start_s, prefix_begin, ..*request }
        });
        Self {
            name: self.name.clone(),
            start_epoch_s: self.start_epoch_s.map(|epoch_s| epoch_s + start_s),
            requests: requests.collect(),
            prefix_blocks,
            prefix_block_tokens: self.prefix_block_tokens,
            upstreams: self.upstreams.clone(),
            dropped_rows: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let mut trace = Trace { start_epoch_s: Some(1000.0), prefix_block_tokens: 512, ..Trace::default() };
        for i in 0..10_u32 {
            trace.prefix_blocks.extend([u64::from(i), u64::from(i) + 100]);
            trace.requests.push(Request {
                prefix_begin: 2 * i,
                prefix_len: 2,
                ..Request::new(f64::from(i), 10 + i, 20 + i)
            });
        }
        trace
    }

    #[test]
    fn slicing_keeps_prefixes_and_the_clock() {
        let slice = trace().slice(3.0, 5.0);
        assert_eq!(slice.start_epoch_s, Some(1003.0));
        assert_eq!(slice.requests.iter().map(|r| r.arrival_s).collect::<Vec<_>>(), [0.0, 1.0]);
        assert_eq!(slice.prefix(&slice.requests[1]), [4, 104]);
    }

    #[test]
    fn splitting_follows_time_and_loses_nothing() {
        let [train, validation, test] = trace().split(&Split { train: 0.5, validation: 0.25 });
        let counts = [&train, &validation, &test].map(|part| part.requests.len());
        assert_eq!(counts, [5, 2, 3]);
        assert_eq!(test.start_epoch_s, Some(1006.75));
        assert_eq!(test.requests[0].arrival_s, 0.25);
    }

    #[test]
    fn rates_add_up() {
        let rates = trace().rates(4.0);
        assert_eq!(rates.values, [1.0, 1.0, 0.5]);
        let tokens = trace().requests.iter().map(|request| f64::from(request.output_tokens)).sum::<f64>();
        let series = trace().rates_of(Quantity::OutputTokens, 4.0);
        assert_eq!(series.values.iter().map(|rate| f64::from(*rate) * 4.0).sum::<f64>(), tokens);
        assert!(series.name.ends_with("output_tokens_per_s"), "{}", series.name);
    }
}
