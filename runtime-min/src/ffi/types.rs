//! The structures and enumerations that C sees.
//!
//! Times are in microseconds of one monotonic clock of the caller's choice, the same for
//! all calls on a state. NaN marks a number that is not known.

use super::memory::Extensible;
use crate::outcome::{Outcome, Status, Ticket};
use crate::reason::Reason;
use crate::telemetry::Telemetry;

/// Most hosts of a state.
pub const EK_HOSTS_MAX: u32 = 1024;

/// Most processes that share a state.
pub const EK_PROCESSES_MAX: u32 = 1024;

/// Marks an absent host.
pub const EK_NO_HOST: u32 = u32::MAX;

/// Horizons of a forecast.
pub const EK_HORIZONS: usize = 16;

/// Quantiles of a forecast at each horizon: 0.1, 0.2 and so on to 0.9.
pub const EK_QUANTILES: usize = 9;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EkStatus {
    /// The host answered.
    Success = 0,
    /// The host answered with an error, reset the connection, or could not be reached.
    Failure = 1,
    /// The host did not answer in time.
    Timeout = 2,
    /// The client went away.
    ClientAbort = 3,
    /// The host answered without working: a redirect, a refusal of the request (4xx but 429), a
    /// gRPC error, an answer to `HEAD`, a protocol switch. Nothing is learned from it.
    NoWork = 4,
}

/// Why a host was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EkReason {
    /// It had the lowest score.
    Policy = 0,
    /// It was the only one.
    OnlyHost = 1,
    /// No policy is loaded: fewer requests in flight, of two at random.
    NoPolicy = 2,
    /// A score was not finite or scratch memory was short: as without a policy.
    NoScore = 3,
    /// None was chosen: no host is eligible.
    NoHost = 4,
    /// It had not been tried for so long that nothing is known of it any more.
    Untried = 5,
}

/// What to do with memory that holds something else than the state asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EkIfOther {
    /// Refuse it, and leave it alone.
    Refuse = 0,
    /// Make a new state of it.
    Initialise = 1,
}

/// What state is wanted.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkStateOptions {
    /// `sizeof(ek_state_options)`.
    pub struct_size: u32,
    /// Most hosts, 1 to `EK_HOSTS_MAX`.
    pub hosts_max: u32,
    /// Most processes that share it, up to `EK_PROCESSES_MAX`; 0 for a state without
    /// `ek_process_join`.
    pub processes_max: u32,
    /// An `ek_if_other`.
    pub if_other: u32,
    /// What random choices follow from, in a new state.
    pub seed: u64,
}

/// What is known of a request before a host is chosen.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkRequest {
    /// `sizeof(ek_request)`.
    pub struct_size: u32,
    /// Prompt length in tokens, 0 where unknown: then the service's mean stands.
    pub prompt_tokens: u32,
    /// Of each host, by index: tokens of the prompt's prefix that it probably has cached.
    /// May be NULL if `cached_tokens_len` is 0.
    pub cached_tokens: *const u32,
    /// Elements of `cached_tokens`; hosts beyond have none cached.
    pub cached_tokens_len: u32,
    /// Tokens that the request will probably generate (`ek_classes_expected`); 0 stands for
    /// the service's mean.
    pub output_tokens: u32,
}

/// A decision.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkDecision {
    /// `sizeof(ek_decision)`, set by the caller.
    pub struct_size: u32,
    /// Index of the chosen host.
    pub host: u32,
    /// An `ek_reason`.
    pub reason: u32,
    /// The host's score, lower is better; NaN unless the reason is `EK_REASON_POLICY`.
    pub score: f32,
}

/// A request under way: kept by the caller from `ek_begin` to `ek_finish`, and changed by
/// this library alone.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkTicket {
    /// Host that the request was sent to.
    pub host: u32,
    /// Prompt tokens, as announced at the start.
    pub prompt_tokens: u32,
    /// When it was sent.
    pub sent_us: u64,
    /// When its first byte came back; 0 before.
    pub first_token_us: u64,
    /// Requests of this state at the host when it was sent, itself included.
    pub in_flight_at_send: u32,
    /// Not 0 from `ek_begin` or `ek_process_begin` to `ek_finish`, then 0.
    pub under_way: u32,
}

/// The end of a request.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkOutcome {
    /// `sizeof(ek_outcome)`.
    pub struct_size: u32,
    /// An `ek_status`.
    pub status: u32,
    /// Tokens that were generated, 0 where unknown.
    pub output_tokens: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// A host's own report. NaN marks what it does not report; implausible values count as
/// such.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkTelemetry {
    /// `sizeof(ek_telemetry)`.
    pub struct_size: u32,
    /// Requests being processed (`vllm:num_requests_running`).
    pub running: f32,
    /// Requests waiting (`vllm:num_requests_waiting`).
    pub waiting: f32,
    /// Prompt tokens of the waiting requests.
    pub pending_prefill_tokens: f32,
    /// Share of the KV cache in use (`vllm:kv_cache_usage_perc`), 0 to 1.
    pub kv_use: f32,
    /// Present time per output token, or mean service time, in seconds.
    pub step_s: f32,
}

/// What a decision would see in one host.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkHostScore {
    /// Index of the host.
    pub host: u32,
    /// Score by the policy, lower is better; NaN where the model has no policy.
    pub score: f32,
    /// Analytic estimate of the request's cost at the host, in seconds: its expected
    /// completion time and the delay it inflicts on those already there.
    pub estimate_s: f32,
    /// Requests of this state in flight at the host.
    pub in_flight: u32,
}

/// One host as a decision sees it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkHostExplanation {
    /// Index of the host.
    pub host: u32,
    /// 1 if it may be chosen, else 0.
    pub eligible: u32,
    /// Requests of this state in flight at the host.
    pub in_flight: u32,
    /// Analytic estimate of the request's cost at the host, in seconds: its expected
    /// completion time and the delay it inflicts on those already there. NaN without a
    /// model.
    pub estimate_s: f32,
    /// What the network adds to the natural logarithm of the estimate; NaN without a score.
    pub residual: f32,
    /// Score by the policy, lower is better; NaN if not eligible or without a policy.
    pub score: f32,
    /// Age of the host's last report in seconds, NaN if there was none.
    pub telemetry_age_s: f32,
    /// 0.
    pub reserved: u32,
}

/// A decision, explained.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkExplanation {
    /// `sizeof(ek_explanation)`, set by the caller.
    pub struct_size: u32,
    /// `sizeof(ek_host_explanation)`, set by the caller.
    pub host_size: u32,
    /// The caller's array, set by the caller: gets every registered host, in order of the
    /// hosts' indices.
    pub hosts: *mut EkHostExplanation,
    /// Elements of the array, set by the caller. As many as the state has hosts are always
    /// enough.
    pub hosts_len: u32,
    /// Elements filled in.
    pub hosts_written: u32,
    /// An `ek_reason`: why the decision would be made as it would.
    pub reason: u32,
    /// Index of the favoured host: the lowest score, or the only host; `EK_NO_HOST` where
    /// it would be drawn at random, or where there is none.
    pub best: u32,
    /// Index of the host with the second-lowest score; `EK_NO_HOST` without one.
    pub runner_up: u32,
    /// Score of the runner-up minus that of the best; NaN without two.
    pub margin: f32,
}

/// What a state has counted, each step of the fallback ladder on its own.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkCounters {
    /// `sizeof(ek_counters)`, set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Decisions by the policy: the lowest score.
    pub policy: u64,
    /// Of these: for a host whose telemetry was stale or missing, so that this balancer's
    /// own measurements had to do.
    pub stale_telemetry: u64,
    /// Decisions where a single host was eligible.
    pub only_host: u64,
    /// Decisions without a model, or with one that has no policy: least request of two.
    pub no_policy: u64,
    /// Decisions without a finite score, or with short scratch memory: least request of two.
    pub no_score: u64,
    /// Decisions for no host, since none was eligible.
    pub no_host: u64,
    /// Requests of killed processes that were taken back.
    pub taken_back: u64,
    /// Decisions for a host because it had not been tried for long.
    pub untried: u64,
}

/// What a ring of recorded decisions has seen.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkRingCounts {
    /// `sizeof(ek_ring_counts)`, set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Records begun; the last ones are in the ring.
    pub begun: u64,
    /// Decisions left out since more hosts were eligible than a record holds.
    pub too_many_hosts: u64,
    /// Decisions left out since another writer was at their place.
    pub place_taken: u64,
}

/// What is known of a host.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkStats {
    /// `sizeof(ek_stats)`, set by the caller.
    pub struct_size: u32,
    /// Requests under way.
    pub in_flight: u32,
    /// Key under which the host was registered.
    pub key: u64,
    /// Requests sent since it was registered.
    pub sent_total: u64,
    /// Requests ended since it was registered.
    pub done_total: u64,
    /// Requests that failed or timed out since it was registered.
    pub failed_total: u64,
    /// Prompt tokens of the requests under way.
    pub in_flight_prompt_tokens: u32,
    /// Capacity relative to the other hosts, as configured.
    pub weight: f32,
    /// Average latency in seconds.
    pub latency_ewma_s: f32,
    /// Peak-sensitive average latency in seconds, as of now.
    pub peak_latency_s: f32,
    /// Average time to first byte in seconds.
    pub ttft_ewma_s: f32,
    /// Measured time per output token, or service time, in seconds.
    pub local_step_s: f32,
    /// Successful responses a second.
    pub completions_per_s: f32,
    /// Share of recent requests that failed, 0 to 1, as of now.
    pub failure_share: f32,
    /// Seconds since the last sign of life.
    pub silence_s: f32,
    /// Age of the last report in seconds, NaN if there was none.
    pub telemetry_age_s: f32,
    /// Last report: requests being processed.
    pub running: f32,
    /// Last report: requests waiting.
    pub waiting: f32,
    /// Last report: prompt tokens of the waiting requests.
    pub pending_prefill_tokens: f32,
    /// Last report: share of the KV cache in use.
    pub kv_use: f32,
    /// Last report: time per output token, or service time, in seconds.
    pub step_s: f32,
    /// How many requests each one at the host counts for, since it has just come up; 1 for one
    /// that is warm.
    pub slow_start: f32,
    /// How much is known of the host by own measurements, 0 (nothing) to 1.
    pub knowledge: f32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// What a model forecasts.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkHorizons {
    /// `sizeof(ek_horizons)`, set by the caller.
    pub struct_size: u32,
    /// Seconds between two values of the history.
    pub step_s: f32,
    /// Values of the history that the model can use.
    pub history_values: u32,
    /// 0.
    pub reserved: u32,
    /// How many steps after the newest value each forecast is for, increasing.
    pub steps: [u32; EK_HORIZONS],
}

/// A forecast of the demand.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkForecast {
    /// `sizeof(ek_forecast)`, set by the caller.
    pub struct_size: u32,
    /// Days of history. Under 1, no seasonal value was known and the forecast is a guess
    /// from the present level; from 7 on, all of them were.
    pub history_days: f32,
    /// Share of the values which the forecast rests on that were missing, 0 to 1.
    pub missing_share: f32,
    /// 0.
    pub reserved: u32,
    /// Quantiles at each horizon, sorted, not negative, in the unit of the history.
    pub quantiles: [[f32; EK_QUANTILES]; EK_HORIZONS],
}

// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkStateOptions {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkCounters {}
// SAFETY: `repr(C)`, `struct_size` first, numbers and a raw pointer only.
unsafe impl Extensible for EkExplanation {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkRingCounts {}
// SAFETY: `repr(C)`, `struct_size` first, numbers and a raw pointer only.
unsafe impl Extensible for EkRequest {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkDecision {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkOutcome {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkTelemetry {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkStats {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkHorizons {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkForecast {}

// The interface's numbers are the runtime's.
const _: () = {
    assert!(EK_HOSTS_MAX as usize == crate::state::HOSTS_MAX);
    assert!(EK_PROCESSES_MAX as usize == crate::ledger::PROCESSES_MAX);
    assert!(EkReason::Policy as u32 == Reason::Policy as u32);
    assert!(EkReason::OnlyHost as u32 == Reason::OnlyHost as u32);
    assert!(EkReason::NoPolicy as u32 == Reason::NoPolicy as u32);
    assert!(EkReason::NoScore as u32 == Reason::NoScore as u32);
    assert!(EkReason::NoHost as u32 == Reason::NoHost as u32);
    assert!(Reason::COUNT == 6 && EkReason::Untried as u32 == Reason::Untried as u32);
    assert!(EK_HORIZONS == crate::forecast::HORIZONS && EK_QUANTILES == crate::forecast::QUANTILE_COUNT);
    // No padding, which C could leave uninitialised.
    assert!(size_of::<EkOutcome>() == 16 && size_of::<EkTelemetry>() == 24 && size_of::<EkDecision>() == 16);
    assert!(size_of::<EkStateOptions>() == 24 && size_of::<EkCounters>() == 72 && size_of::<EkRingCounts>() == 32);
    assert!(size_of::<EkHostExplanation>() == 32 && size_of::<EkExplanation>() == 40);
    assert!(EK_NO_HOST == crate::record::NO_HOST);
    assert!(size_of::<EkTicket>() == 32 && size_of::<EkStats>() == 112 && size_of::<EkHostScore>() == 16);
};

impl EkOutcome {
    /// The runtime's form; `None` if the status is outside its enumeration.
    pub(super) fn to_runtime(self) -> Option<Outcome> {
        let status = match self.status {
            status if status == EkStatus::Success as u32 => Status::Success,
            status if status == EkStatus::Failure as u32 => Status::Failure,
            status if status == EkStatus::Timeout as u32 => Status::Timeout,
            status if status == EkStatus::ClientAbort as u32 => Status::ClientAbort,
            status if status == EkStatus::NoWork as u32 => Status::NoWork,
            _ => return None,
        };
        Some(Outcome { status, output_tokens: self.output_tokens })
    }
}

impl EkTelemetry {
    pub(super) fn to_runtime(self) -> Telemetry {
        Telemetry {
            running: self.running,
            waiting: self.waiting,
            pending_prefill_tokens: self.pending_prefill_tokens,
            kv_use: self.kv_use,
            step_s: self.step_s,
        }
    }
}

/// What [`EkTicket::under_way`] says of a request in a state that processes share: 1, the
/// process's number plus one, and the low bits of its generation.
const PROCESS_SHIFT: u32 = 1;
const GENERATION_SHIFT: u32 = 12;
const PROCESS_MASK: u32 = (1 << (GENERATION_SHIFT - PROCESS_SHIFT)) - 1;

const _: () = assert!(EK_PROCESSES_MAX < PROCESS_MASK && crate::ledger::GENERATIONS == 1 << (32 - GENERATION_SHIFT));

impl EkTicket {
    pub(super) fn from_runtime(ticket: &Ticket) -> Self {
        Self {
            host: ticket.host,
            prompt_tokens: ticket.prompt_tokens,
            sent_us: ticket.sent_us,
            first_token_us: ticket.first_token_us,
            in_flight_at_send: ticket.in_flight_at_send,
            under_way: 1,
        }
    }

    pub(super) fn from_process(ticket: &Ticket, process: u32, generation: u32) -> Self {
        let under_way = 1 | (process + 1) << PROCESS_SHIFT | generation << GENERATION_SHIFT;
        Self { under_way, ..Self::from_runtime(ticket) }
    }

    /// Number and generation of the process that began the request; `None` in a state that
    /// is not shared.
    pub(super) fn process(self) -> Option<(u32, u32)> {
        let process = (self.under_way >> PROCESS_SHIFT & PROCESS_MASK).checked_sub(1)?;
        Some((process, self.under_way >> GENERATION_SHIFT))
    }

    pub(super) fn to_runtime(self) -> Ticket {
        Ticket {
            host: self.host,
            prompt_tokens: self.prompt_tokens,
            sent_us: self.sent_us,
            first_token_us: self.first_token_us,
            in_flight_at_send: self.in_flight_at_send,
        }
    }
}
