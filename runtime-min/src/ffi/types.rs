//! The structures and enumerations that C sees.
//!
//! Times are in microseconds of one monotonic clock of the caller's choice, the same for
//! all calls on a state. NaN marks a number that is not known.

use super::memory::Extensible;
use crate::decide::Reason;
use crate::slot::{Outcome, Status, Telemetry, Ticket};

/// Most hosts of a state.
pub const EK_HOSTS_MAX: u32 = 1024;

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
}

/// What is known of a request before a host is chosen.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkRequest {
    /// `sizeof(ek_request)`.
    pub struct_size: u32,
    /// Prompt length in tokens, 0 where unknown.
    pub prompt_tokens: u32,
    /// Of each host, by index: tokens of the prompt's prefix that it probably has cached.
    /// May be NULL if `cached_tokens_len` is 0.
    pub cached_tokens: *const u32,
    /// Elements of `cached_tokens`; hosts beyond have none cached.
    pub cached_tokens_len: u32,
    /// Must be 0.
    pub reserved: u32,
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
    pub first_byte_us: u64,
    /// Requests of this state at the host when it was sent, itself included.
    pub in_flight_at_send: u32,
    /// 1 from `ek_begin` to `ek_finish`, then 0.
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
    /// Share of recent requests that failed, 0 to 1.
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
    /// 0.
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
    assert!(EkReason::Policy as u32 == Reason::Policy as u32);
    assert!(EkReason::OnlyHost as u32 == Reason::OnlyHost as u32);
    assert!(EkReason::NoPolicy as u32 == Reason::NoPolicy as u32);
    assert!(EkReason::NoScore as u32 == Reason::NoScore as u32);
    assert!(EkReason::NoHost as u32 == Reason::NoHost as u32);
    assert!(Reason::COUNT == 5);
    assert!(EK_HORIZONS == crate::forecast::HORIZONS && EK_QUANTILES == crate::forecast::QUANTILE_COUNT);
    // No padding, which C could leave uninitialised.
    assert!(size_of::<EkOutcome>() == 16 && size_of::<EkTelemetry>() == 24 && size_of::<EkDecision>() == 16);
    assert!(size_of::<EkTicket>() == 32 && size_of::<EkStats>() == 104 && size_of::<EkHostScore>() == 16);
};

impl EkOutcome {
    /// The runtime's form; `None` if the status is outside its enumeration.
    pub(super) fn to_runtime(self) -> Option<Outcome> {
        let status = match self.status {
            status if status == EkStatus::Success as u32 => Status::Success,
            status if status == EkStatus::Failure as u32 => Status::Failure,
            status if status == EkStatus::Timeout as u32 => Status::Timeout,
            status if status == EkStatus::ClientAbort as u32 => Status::ClientAbort,
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

impl EkTicket {
    pub(super) fn from_runtime(ticket: &Ticket) -> Self {
        Self {
            host: ticket.host,
            prompt_tokens: ticket.prompt_tokens,
            sent_us: ticket.sent_us,
            first_byte_us: ticket.first_byte_us,
            in_flight_at_send: ticket.in_flight_at_send,
            under_way: 1,
        }
    }

    pub(super) fn to_runtime(self) -> Ticket {
        Ticket {
            host: self.host,
            prompt_tokens: self.prompt_tokens,
            sent_us: self.sent_us,
            first_byte_us: self.first_byte_us,
            in_flight_at_send: self.in_flight_at_send,
        }
    }
}
