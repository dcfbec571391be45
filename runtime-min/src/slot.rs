//! What one balancer knows of one host: a slot of atomics in the caller's memory.
//!
//! Several threads or processes may share a slot. Counts are exact (atomic additions);
//! averages are updated by compare-and-swap. Fields are read one by one with relaxed
//! ordering: a decision may see a mixture of an older and a newer report, which is no
//! worse than a report that is a little older, and no field's meaning depends on another
//! having been written first.

mod counts;
mod hot;

pub(crate) use hot::{HOT_WORDS, word};

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::math;

/// Memory of the moving averages: after this many seconds without samples an old value
/// weighs 1/e. The same constant as Finagle's Peak-EWMA.
pub const AVERAGING_TIME_S: f32 = 10.0;

/// What an outcome weighs in the share of failures.
const FAILURE_WEIGHT: f32 = 0.125;

/// At a host that has just come up, each request counts for at most so many: its share is a
/// tenth of the full one, as with Envoy's defaults.
const SLOW_START_MAX: f32 = 10.0;

/// A response whose time after the first byte is a smaller share of the whole came at once.
const STREAMED_SHARE_MIN: f32 = 0.05;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The host answered.
    Success,
    /// The host answered with an error, reset the connection, or could not be reached.
    Failure,
    /// The host did not answer in time.
    Timeout,
    /// The client went away: says nothing of the host but that it was not faster.
    ClientAbort,
}

/// The end of a request, as the balancer saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Tokens that were generated, 0 where unknown.
    pub output_tokens: u32,
}

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

impl Telemetry {
    /// Nothing reported.
    pub const UNKNOWN: Self = Self {
        running: f32::NAN,
        waiting: f32::NAN,
        pending_prefill_tokens: f32::NAN,
        kv_use: f32::NAN,
        step_s: f32::NAN,
    };

    /// Replaces what no host could mean (negative, infinite, absurdly large) by NaN:
    /// telemetry is untrusted input.
    fn plausible(self) -> Self {
        let within = |value: f32, max: f32| if (0.0..=max).contains(&value) { value } else { f32::NAN };
        Self {
            running: within(self.running, 1e6),
            waiting: within(self.waiting, 1e6),
            pending_prefill_tokens: within(self.pending_prefill_tokens, 1e9),
            kv_use: within(self.kv_use, 1.0),
            step_s: within(self.step_s, 1e4),
        }
    }
}

/// A request under way: what the balancer must remember until it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ticket {
    /// Host it was sent to.
    pub host: u32,
    /// Prompt tokens, as announced at the start.
    pub prompt_tokens: u32,
    /// When it was sent, in microseconds of the caller's monotonic clock.
    pub sent_us: u64,
    /// When its first byte came back; 0 before.
    pub first_byte_us: u64,
    /// Requests of this balancer at the host when it was sent, itself included.
    pub in_flight_at_send: u32,
}

/// An `f32` that is updated atomically.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct AtomicF32(AtomicU32);

impl AtomicF32 {
    pub(crate) const fn new(value: f32) -> Self {
        Self(AtomicU32::new(value.to_bits()))
    }

    pub(crate) fn load(&self) -> f32 {
        f32::from_bits(self.0.load(Relaxed))
    }

    pub(crate) fn store(&self, value: f32) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(crate) fn update(&self, f: impl Fn(f32) -> f32) {
        update_number(&self.0, f);
    }
}

/// Updates the number whose bits these are.
pub(crate) fn update_number(bits: &AtomicU32, f: impl Fn(f32) -> f32) {
    // The closure always returns a value, so the update cannot fail.
    let _ = bits.fetch_update(Relaxed, Relaxed, |bits| Some(f(f32::from_bits(bits)).to_bits()));
}

/// State of one host. All zeros is a free slot.
///
/// What a decision reads stands together at the beginning (`hot`); two cache lines in
/// all, which the processor's adjacent-line prefetcher fetches as one.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct HostSlot {
    in_flight: AtomicU32,
    in_flight_prompt_tokens: AtomicU32,
    sent_since_telemetry: AtomicU32,
    done_since_telemetry: AtomicU32,
    prompt_tokens_since_telemetry: AtomicU32,
    weight: AtomicF32,
    latency_ewma_s: AtomicF32,
    peak_latency_s: AtomicF32,
    ttft_ewma_s: AtomicF32,
    local_step_s: AtomicF32,
    completions_per_s: AtomicF32,
    failure_share: AtomicF32,
    running: AtomicF32,
    waiting: AtomicF32,
    pending_prefill_tokens: AtomicF32,
    kv_use: AtomicF32,
    telemetry_step_s: AtomicF32,
    /// How many requests each one there counts for while the host starts slowly; 1 if it is
    /// warm.
    slow_start: AtomicF32,
    telemetry_us: AtomicU64,
    /// When the last response came, or the host was registered.
    last_sign_us: AtomicU64,
    key: AtomicU64,
    /// When the host came (back) up; 0 for one that is not known to have been down.
    restarted_us: AtomicU64,
    sent: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
}

/// Seconds from one reading of the clock to a later one; 0 if it went backwards.
#[inline]
pub(crate) fn elapsed_s(from_us: u64, to_us: u64) -> f32 {
    to_us.saturating_sub(from_us) as f32 * 1e-6
}

impl HostSlot {
    /// Takes a free slot for a host. `weight` is its capacity relative to the others, as
    /// configured; it stands for the speed until one has been measured.
    pub(crate) fn occupy(&self, key: u64, weight: f32, now_us: u64) {
        self.set_weight(weight);
        self.slow_start.store(1.0);
        self.last_sign_us.store(now_us, Relaxed);
        for count in [&self.sent, &self.done, &self.failed, &self.telemetry_us, &self.restarted_us] {
            count.store(0, Relaxed);
        }
        self.forget_since_telemetry();
        self.in_flight_prompt_tokens.store(0, Relaxed);
        self.completions_per_s.store(0.0);
        self.failure_share.store(0.0);
        for unknown in [&self.latency_ewma_s, &self.peak_latency_s, &self.ttft_ewma_s, &self.local_step_s] {
            unknown.store(f32::NAN);
        }
        self.store_telemetry(&Telemetry::UNKNOWN);
        // Whoever finds the key finds the fields above.
        self.key.store(key, Release);
    }

    /// Sets the configured capacity; one that makes no sense counts as 1.
    pub(crate) fn set_weight(&self, weight: f32) {
        self.weight.store(if (1e-3..=1e3).contains(&weight) { weight } else { 1.0 });
    }

    /// The host came (back) up: neither failures nor reports from before say anything of it.
    /// From now on it [warms](Self::warm).
    pub(crate) fn restarted(&self, slow_start_us: u64, now_us: u64) {
        self.restarted_us.store(now_us.max(1), Relaxed);
        self.failure_share.store(0.0);
        self.store_telemetry(&Telemetry::UNKNOWN);
        self.forget_since_telemetry();
        self.telemetry_us.store(0, Relaxed);
        self.warm(slow_start_us, now_us);
    }

    /// Sets how many requests each one there counts for: the inverse of the share of its slow
    /// start that the host has behind it. 1 for a host that never restarted, and for a time
    /// of 0.
    pub(crate) fn warm(&self, slow_start_us: u64, now_us: u64) {
        let restarted_us = self.restarted_us.load(Relaxed);
        let elapsed_us = now_us.saturating_sub(restarted_us);
        let is_warm = restarted_us == 0 || elapsed_us >= slow_start_us;
        let count = if is_warm { 1.0 } else { (slow_start_us as f32 / elapsed_us as f32).clamp(1.0, SLOW_START_MAX) };
        self.slow_start.store(count);
    }

    /// Key under which the host was registered; 0 for a free slot.
    pub fn key(&self) -> u64 {
        self.key.load(Acquire)
    }

    /// Frees the slot. Requests still under way there are counted out as they end; only
    /// then is the slot given to another host.
    pub(crate) fn vacate(&self) {
        self.key.store(0, Release);
    }

    /// Counts a request in.
    pub(crate) fn begin(&self, host: u32, prompt_tokens: u32, now_us: u64) -> Ticket {
        let in_flight_at_send = self.in_flight.fetch_add(1, AcqRel).saturating_add(1);
        self.in_flight_prompt_tokens.fetch_add(prompt_tokens, Relaxed);
        self.sent.fetch_add(1, Relaxed);
        count_up(&self.sent_since_telemetry, 1);
        count_up(&self.prompt_tokens_since_telemetry, prompt_tokens);
        Ticket { host, prompt_tokens, sent_us: now_us, first_byte_us: 0, in_flight_at_send }
    }

    /// Notes the first byte of a response.
    pub(crate) fn first_byte(&self, ticket: &mut Ticket, now_us: u64) {
        if ticket.first_byte_us != 0 {
            return;
        }
        ticket.first_byte_us = now_us.max(1);
        let ttft_s = elapsed_s(ticket.sent_us, now_us);
        let keep = self.keep(now_us);
        self.ttft_ewma_s.update(|old| blend(old, ttft_s, keep));
        let fading = self.fading(now_us);
        self.failure_share.update(|old| old * fading);
        self.last_sign_us.fetch_max(now_us, Relaxed);
    }

    /// Counts a request out and learns from its end. Returns the step that it measured.
    pub(crate) fn finish(&self, ticket: &Ticket, outcome: &Outcome, step: &StepSample, now_us: u64) -> Option<f32> {
        let _ = self.in_flight.fetch_update(AcqRel, Relaxed, |n| n.checked_sub(1));
        let _ = self
            .in_flight_prompt_tokens
            .fetch_update(Relaxed, Relaxed, |n| Some(n.saturating_sub(ticket.prompt_tokens)));
        self.done.fetch_add(1, Relaxed);
        count_up(&self.done_since_telemetry, 1);
        let (keep, fading) = (self.keep(now_us), self.fading(now_us));
        let latency_s = elapsed_s(ticket.sent_us, now_us);
        let mut measured_s = None;
        match outcome.status {
            Status::Success => {
                self.failure_share.update(|old| old * fading * (1.0 - FAILURE_WEIGHT));
                self.latency_ewma_s.update(|old| blend(old, latency_s, keep));
                self.peak_latency_s.update(|old| if old > latency_s { blend(old, latency_s, keep) } else { latency_s });
                measured_s = step.step_s(ticket, outcome, now_us);
                if let Some(step_s) = measured_s {
                    self.local_step_s.update(|old| blend(old, step_s, keep));
                }
                self.completions_per_s.update(|old| old * keep + 1.0 / AVERAGING_TIME_S);
            }
            Status::Failure | Status::Timeout => {
                self.failed.fetch_add(1, Relaxed);
                self.failure_share.update(|old| old * fading + (1.0 - old * fading) * FAILURE_WEIGHT);
                // A failure may only ever make the host look slower.
                self.latency_ewma_s.update(|old| if latency_s > old { blend(old, latency_s, keep) } else { old });
            }
            Status::ClientAbort => {
                self.failure_share.update(|old| old * fading);
                self.latency_ewma_s.update(|old| if latency_s > old { blend(old, latency_s, keep) } else { old });
            }
        }
        self.last_sign_us.fetch_max(now_us, Relaxed);
        measured_s
    }

    /// Takes over a report measured at `measured_us`. One that is older than what is
    /// known is dropped (returns `false`).
    pub(crate) fn report(&self, telemetry: &Telemetry, measured_us: u64) -> bool {
        if measured_us < self.telemetry_us.load(Relaxed) {
            return false;
        }
        self.store_telemetry(&telemetry.plausible());
        self.forget_since_telemetry();
        self.telemetry_us.store(measured_us.max(1), Relaxed);
        true
    }

    fn forget_since_telemetry(&self) {
        self.sent_since_telemetry.store(0, Relaxed);
        self.done_since_telemetry.store(0, Relaxed);
        self.prompt_tokens_since_telemetry.store(0, Relaxed);
    }

    fn store_telemetry(&self, telemetry: &Telemetry) {
        self.running.store(telemetry.running);
        self.waiting.store(telemetry.waiting);
        self.pending_prefill_tokens.store(telemetry.pending_prefill_tokens);
        self.kv_use.store(telemetry.kv_use);
        self.telemetry_step_s.store(telemetry.step_s);
    }

    /// What an average keeps of itself when a sample arrives now.
    fn keep(&self, now_us: u64) -> f32 {
        // At least a little of each sample counts, however fast they come.
        self.fading(now_us).min(0.98)
    }

    /// What is left of a memory since the host's last sign of life.
    fn fading(&self, now_us: u64) -> f32 {
        math::exp(-self.silence_s(now_us) / AVERAGING_TIME_S)
    }

    /// Requests of this balancer under way at the host.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Acquire)
    }

    /// Prompt tokens of the requests under way.
    pub fn in_flight_prompt_tokens(&self) -> u32 {
        self.in_flight_prompt_tokens.load(Relaxed)
    }

    /// Requests sent since the host was registered.
    pub fn sent_total(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Requests ended since the host was registered.
    pub fn done_total(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Requests that failed or timed out since the host was registered.
    pub fn failed_total(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Capacity relative to the other hosts, as configured.
    pub fn weight(&self) -> f32 {
        self.weight.load()
    }

    /// How many requests each one at the host counts for, 1 to 10, since it has just come up.
    pub fn slow_start(&self) -> f32 {
        self.slow_start.load()
    }

    /// Requests of this balancer at the host with one more, for its weight: what least
    /// request goes by.
    pub(crate) fn requests_for_weight(&self) -> f32 {
        (self.in_flight() as f32 * self.slow_start() + 1.0) / self.weight()
    }

    /// Average latency in seconds; NaN before the first response.
    pub fn latency_ewma_s(&self) -> f32 {
        self.latency_ewma_s.load()
    }

    /// Peak-sensitive average latency in seconds as of now: rises at once, decays towards
    /// zero while nothing comes back (Finagle's Peak-EWMA). NaN before the first response.
    pub fn peak_latency_s(&self, now_us: u64) -> f32 {
        self.peak_latency_s.load() * self.fading(now_us)
    }

    /// Average time to first token (or byte) in seconds; NaN before the first response.
    pub fn ttft_ewma_s(&self) -> f32 {
        self.ttft_ewma_s.load()
    }

    /// Time per output token (LLM) or service time (FIFO) in seconds, as this balancer
    /// measured it itself; NaN before the first response.
    pub fn local_step_s(&self) -> f32 {
        self.local_step_s.load()
    }

    /// Successful responses a second, averaged.
    pub fn completions_per_s(&self, now_us: u64) -> f32 {
        self.completions_per_s.load() * self.fading(now_us)
    }

    /// Share of recent requests that failed, 0 to 1, as of now. It fades while nothing comes
    /// back, so that a host which is avoided for its failures is tried again: half a minute
    /// after its last failure, one that had failed every time counts as one that fails every
    /// twentieth time.
    pub fn failure_share(&self, now_us: u64) -> f32 {
        self.failure_share.load() * self.fading(now_us)
    }

    /// Seconds since the host last gave a sign of life (or was registered).
    pub fn silence_s(&self, now_us: u64) -> f32 {
        elapsed_s(self.last_sign_us.load(Relaxed), now_us)
    }

    /// The last report; fields that were never reported are NaN.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry {
            running: self.running.load(),
            waiting: self.waiting.load(),
            pending_prefill_tokens: self.pending_prefill_tokens.load(),
            kv_use: self.kv_use.load(),
            step_s: self.telemetry_step_s.load(),
        }
    }

    /// Age of the last report in seconds; `None` if there was none.
    pub fn telemetry_age_s(&self, now_us: u64) -> Option<f32> {
        let measured_us = self.telemetry_us.load(Relaxed);
        (measured_us != 0).then(|| elapsed_s(measured_us, now_us))
    }

    /// Requests sent since the last report.
    pub fn sent_since_telemetry(&self) -> u32 {
        self.sent_since_telemetry.load(Relaxed)
    }

    /// Requests ended since the last report.
    pub fn done_since_telemetry(&self) -> u32 {
        self.done_since_telemetry.load(Relaxed)
    }

    /// Prompt tokens sent since the last report; no more than about 2³¹ are counted.
    pub fn prompt_tokens_since_telemetry(&self) -> u32 {
        self.prompt_tokens_since_telemetry.load(Relaxed)
    }
}

/// Counts up, but not around: where reports never come, a count stops at about 2³¹.
fn count_up(count: &AtomicU32, by: u32) {
    const FULL: u32 = 1 << 31;
    // No prompt is longer; so many threads would have to pass here at once for the count
    // to go around that the check below comes in time.
    const STEP_MAX: u32 = 1 << 24;
    if count.fetch_add(by.min(STEP_MAX), Relaxed) >= FULL {
        count.store(FULL, Relaxed);
    }
}

/// How a finished request tells the host's step (LLM) or service time (FIFO).
#[derive(Clone, Copy, Debug)]
pub(crate) enum StepSample {
    /// Time after the first token over the tokens generated (`tokens_mean` if unknown).
    PerToken { tokens_mean: f32 },
    /// Latency over the rounds that a request waits with so many before it.
    PerRound { servers: f32 },
}

impl StepSample {
    fn step_s(self, ticket: &Ticket, outcome: &Outcome, now_us: u64) -> Option<f32> {
        match self {
            Self::PerToken { tokens_mean } => {
                let tokens = if outcome.output_tokens > 0 { outcome.output_tokens as f32 } else { tokens_mean };
                if ticket.first_byte_us == 0 || tokens <= 1.0 {
                    return None;
                }
                let (total_s, after_first_s) =
                    (elapsed_s(ticket.sent_us, now_us), elapsed_s(ticket.first_byte_us, now_us));
                // A response that comes all at once was not streamed: its first byte says
                // nothing of when generation began.
                let streamed = after_first_s > STREAMED_SHARE_MIN * total_s;
                Some(if streamed { after_first_s / (tokens - 1.0) } else { total_s / tokens })
            }
            Self::PerRound { servers } => {
                let rounds = (ticket.in_flight_at_send as f32 / servers).max(1.0);
                Some(elapsed_s(ticket.sent_us, now_us) / rounds)
            }
        }
    }
}

/// Moving average; the first sample replaces the unknown.
fn blend(old: f32, sample: f32, keep: f32) -> f32 {
    if old.is_nan() { sample } else { old * keep + sample * (1.0 - keep) }
}
