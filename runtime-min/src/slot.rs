//! What one balancer knows of one host: a slot of atomics in the caller's memory.
//!
//! Several threads or processes may share a slot. Counts are exact (atomic additions);
//! averages are updated by compare-and-swap. Fields are read one by one with relaxed
//! ordering: a decision may see a mixture of an older and a newer report, which is no
//! worse than a report that is a little older, and no field's meaning depends on another
//! having been written first.
//!
//! `learn` has what a request's life and a host's report change, `age` what time changes
//! while nothing comes, `hot` what decisions read.

mod age;
mod counts;
mod hot;
mod learn;

pub(crate) use age::{Ageing, FleetMeans};
pub(crate) use hot::{HOT_WORDS, word};
pub(crate) use learn::StepSample;

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::affinity::Cache;
use crate::clock::elapsed_s;
use crate::math;
use crate::telemetry::Telemetry;

/// Memory of the moving averages: after this many seconds without samples an old value
/// weighs 1/e. The same constant as Finagle's Peak-EWMA.
pub const AVERAGING_TIME_S: f32 = 10.0;

/// Least share that a host which has just come up has of its full one, as with Envoy's defaults:
/// less would leave it without any measurement.
const SLOW_START_SHARE_MIN: f32 = 0.1;

/// Parts of a request that a host's next one is counted in while it starts slowly.
const DUE_UNITS: u64 = 256;

/// Requests that such a host may get at once, having been passed over when they were due.
const DUE_AT_ONCE: u64 = 3;

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
/// What a decision reads stands together at the beginning (`hot`), in one cache line and a
/// half; what is written once a request or once a second stands behind it.
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
    /// The reported step, corrected by what was measured.
    telemetry_step_s: AtomicF32,
    /// Share of its full share of the requests that the host gets while it starts slowly; 1 if it
    /// is warm.
    full_share: AtomicF32,
    telemetry_us: AtomicU64,
    /// Time when the last response came, or the host was registered.
    last_sign_us: AtomicU64,
    /// Answers without work that still hold their place, as of the last sign of life.
    unworked: AtomicF32,
    /// Share of what own measurements can tell of the host that is known, 0 to 1.
    knowledge: AtomicF32,

    key: AtomicU64,
    /// Time when the host was registered.
    registered_us: AtomicU64,
    /// Time when the host came (back) up; 0 for one that is not known to have been down.
    restarted_us: AtomicU64,
    /// Turn at which a host that starts slowly gets its next request, in requests of the upstream times
    /// [`DUE_UNITS`].
    due: AtomicU64,
    sent: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    /// Time when a request was last sent there, and the requests that the upstream had had by then.
    tried_us: AtomicU64,
    tried_begun: AtomicU64,
    /// Times when the averages of step, latency and time to first token last got a sample.
    step_us: AtomicU64,
    latency_us: AtomicU64,
    ttft_us: AtomicU64,
    /// Time when the reported step was last news: another number, or that of a host at work.
    reported_step_us: AtomicU64,
    /// The reported step as it was claimed.
    claimed_step_s: AtomicF32,
    /// Measured steps that a claim was compared with.
    claims_checked: AtomicU32,
    /// Logarithm of how many times longer than claimed steps were measured to be.
    claim_error: AtomicF32,
    /// New tokens that the host's prefix cache took in, and wrap around.
    taken_in: AtomicU32,
}

impl HostSlot {
    /// Takes a free slot for a host. `weight` is its capacity relative to the others, as
    /// configured; it stands for the speed until one has been measured.
    pub(crate) fn occupy(&self, key: u64, weight: f32, now_us: u64) {
        self.set_weight(weight);
        self.full_share.store(1.0);
        self.last_sign_us.store(now_us, Relaxed);
        self.tried_us.store(now_us, Relaxed);
        self.registered_us.store(now_us, Relaxed);
        for count in [&self.sent, &self.done, &self.failed, &self.restarted_us, &self.tried_begun] {
            count.store(0, Relaxed);
        }
        self.in_flight_prompt_tokens.store(0, Relaxed);
        self.forget();
        // Whoever finds the key finds the fields above.
        self.key.store(key, Release);
    }

    /// Forgets what was learned and reported, but not what is under way.
    fn forget(&self) {
        self.forget_since_telemetry();
        for none in [&self.completions_per_s, &self.failure_share, &self.unworked, &self.knowledge, &self.claim_error] {
            none.store(0.0);
        }
        for unknown in [&self.latency_ewma_s, &self.peak_latency_s, &self.ttft_ewma_s, &self.local_step_s] {
            unknown.store(f32::NAN);
        }
        self.claimed_step_s.store(f32::NAN);
        self.claims_checked.store(0, Relaxed);
        self.store_telemetry(&Telemetry::UNKNOWN);
        for time in [&self.telemetry_us, &self.step_us, &self.latency_us, &self.ttft_us, &self.reported_step_us] {
            time.store(0, Relaxed);
        }
    }

    /// Sets the configured capacity; one that makes no sense counts as 1.
    pub(crate) fn set_weight(&self, weight: f32) {
        self.weight.store(if (1e-3..=1e3).contains(&weight) { weight } else { 1.0 });
    }

    /// The host came (back) up: nothing that was learned or reported before says anything of
    /// it. From now on it [warms](Self::warm), which the result says. `begun` is how many requests
    /// the upstream has had.
    pub(crate) fn restarted(&self, slow_start_us: u64, begun: u64, now_us: u64) -> bool {
        self.restarted_us.store(now_us.max(1), Relaxed);
        self.due.store(begun.saturating_mul(DUE_UNITS), Relaxed);
        self.forget();
        self.warm(slow_start_us, now_us)
    }

    /// Sets the share of its slow start that the host has behind it: 1 for a host that never
    /// restarted, and for a time of 0. Returns whether it is still starting.
    pub(crate) fn warm(&self, slow_start_us: u64, now_us: u64) -> bool {
        let restarted_us = self.restarted_us.load(Relaxed);
        let elapsed_us = now_us.saturating_sub(restarted_us);
        let is_warm = restarted_us == 0 || elapsed_us >= slow_start_us;
        let share = if is_warm { 1.0 } else { elapsed_us as f32 / slow_start_us as f32 };
        self.full_share.store(share.max(SLOW_START_SHARE_MIN));
        !is_warm
    }

    /// Counts a request against the share of a host that starts slowly: the next one is due when
    /// the upstream has had as many more as its share is smaller than `fleet_weight`, that of all.
    #[inline(never)]
    pub(crate) fn pace(&self, fleet_weight: f32, begun: u64) {
        let share = self.weight() * self.full_share();
        if self.full_share() < 1.0 {
            let interval = (fleet_weight / share * DUE_UNITS as f32) as u64;
            let now = begun.saturating_mul(DUE_UNITS);
            let earliest = now.saturating_sub(interval.saturating_mul(DUE_AT_ONCE));
            // What it was given before its time, where there was no other, is not held against it.
            let next = |due: u64| Some(due.max(earliest).min(now).saturating_add(interval));
            let _ = self.due.fetch_update(Relaxed, Relaxed, next);
        }
    }

    /// Wait of a host that starts slowly for its next request, in parts of requests of the
    /// upstream, which has had `begun`; 0 for one that need not wait.
    pub(crate) fn wait(&self, begun: u64) -> u64 {
        if self.full_share() < 1.0 { self.due.load(Relaxed).saturating_sub(begun.saturating_mul(DUE_UNITS)) } else { 0 }
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

    /// Share that is left of a memory since the host's last sign of life.
    #[inline(never)]
    fn fading(&self, now_us: u64) -> f32 {
        math::decay(self.silence_s(now_us) / AVERAGING_TIME_S)
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

    /// Share of its full share of the requests that the host gets, 0.1 to 1: less than 1 while it
    /// has just come up.
    pub fn full_share(&self) -> f32 {
        self.full_share.load()
    }

    /// Gives the history of the host's prefix cache: it was empty when the host was registered, in
    /// the place of another one perhaps, and when it came back up.
    pub(crate) fn cache(&self) -> Cache {
        let since_us = self.restarted_us.load(Relaxed).max(self.registered_us.load(Relaxed));
        Cache { since_us, taken_in: self.taken_in.load(Relaxed) }
    }

    /// Counts new tokens into the host's prefix cache.
    pub(crate) fn take_in(&self, tokens: u32) {
        self.taken_in.fetch_add(tokens, Relaxed);
    }

    /// Share of what own measurements can tell of the host that is known, 0 (nothing) to 1.
    pub fn knowledge(&self) -> f32 {
        self.knowledge.load()
    }

    /// Answers without work, and failures, that still hold the place that a request with work
    /// would: each fades over `latency_s`, the typical latency (as an exponential whose inverse is
    /// cut after the square, so that decisions need none).
    pub(crate) fn unworked(&self, latency_s: f32, now_us: u64) -> f32 {
        let faded = self.silence_s(now_us) / latency_s;
        self.unworked.load() / ((0.5 * faded + 1.0) * faded + 1.0)
    }

    /// Requests of this balancer at the host with one more, for its weight: what least
    /// request goes by.
    pub(crate) fn requests_for_weight(&self) -> f32 {
        (self.in_flight() as f32 + 1.0) / self.weight()
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

    /// Average time to first token in seconds; NaN before the first response.
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

    /// The last report, its step corrected by what was measured; fields that were never
    /// reported are NaN.
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
