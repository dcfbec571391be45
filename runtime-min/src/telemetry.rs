//! A host's own report, an untrusted claim.

/// A host's own report: from response headers, probes, or scraped metrics. NaN marks
/// what the host does not report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Telemetry {
    /// Requests being processed (`vllm:num_requests_running`).
    pub running: f32,
    /// Requests waiting (`vllm:num_requests_waiting`).
    pub waiting: f32,
    /// Prompt tokens of the waiting requests.
    pub pending_prefill_tokens: f32,
    /// Share of the KV cache in use (`vllm:kv_cache_usage_perc`), 0 to 1.
    pub kv_use: f32,
    /// Present time per output token (LLM), or mean service time (FIFO), in seconds.
    pub step_s: f32,
}

/// Telemetry older than this says nothing of the present load.
pub const TELEMETRY_STALE_S: f32 = 30.0;

/// Shortest and longest step that a host may claim, in seconds: a step of a microsecond is the
/// speed of light over a few hundred metres.
const STEP_MIN_S: f32 = 1e-6;
const STEP_MAX_S: f32 = 1e4;

impl Telemetry {
    /// Nothing reported.
    pub const UNKNOWN: Self = Self {
        running: f32::NAN,
        waiting: f32::NAN,
        pending_prefill_tokens: f32::NAN,
        kv_use: f32::NAN,
        step_s: f32::NAN,
    };

    /// Replaces by NaN what no host could mean (negative, infinite, absurdly large).
    pub(crate) fn plausible(self) -> Self {
        let within = |value: f32, range: core::ops::RangeInclusive<f32>| {
            if range.contains(&value) { value } else { f32::NAN }
        };
        Self {
            running: within(self.running, 0.0..=1e6),
            waiting: within(self.waiting, 0.0..=1e6),
            pending_prefill_tokens: within(self.pending_prefill_tokens, 0.0..=1e9),
            kv_use: within(self.kv_use, 0.0..=1.0),
            step_s: within(self.step_s, STEP_MIN_S..=STEP_MAX_S),
        }
    }

    /// Whether the host reports that it has no requests; one that reports no number may have.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = if self.waiting.is_nan() { 0.0 } else { self.waiting };
        self.running + waiting < 1.0
    }
}
