//! The structures and enumerations that C sees.
//!
//! Times are in microseconds of one monotonic clock of the caller's choice, the same for
//! all calls on an upstream. NaN marks a number that is not known.

use super::body::EK_PREFIX_KEYS;
use super::memory::Extensible;
use crate::affinity::Guess;
use crate::body::request::{TOKENS_PER_AUDIO, TOKENS_PER_IMAGE};
use crate::outcome::{Status, Ticket};
use crate::reason::Reason;
use crate::telemetry::Telemetry;

/// Most hosts of an upstream.
pub const EK_HOSTS_MAX: u32 = 1024;

/// Most processes that share an upstream.
pub const EK_PROCESSES_MAX: u32 = 1024;

/// Most entries of a table of prefixes or classes.
pub const EK_ENTRIES_MAX: u32 = 1 << 24;

/// Most values of a demand's history.
pub const EK_HISTORY_VALUES_MAX: u32 = 1 << 24;

/// Marks an absent process.
pub const EK_NO_PROCESS: u32 = u32::MAX;

/// Marks a number of tokens that is not known, where 0 is one.
pub const EK_UNKNOWN_TOKENS: u32 = u32::MAX;

/// Tokens of an image, where nothing better is known: one of a megapixel at a token for 28 by 28
/// pixels, as Qwen2-VL has it.
pub const EK_TOKENS_PER_IMAGE: u32 = 1300;

/// Tokens of a piece of audio, where nothing better is known: half a minute at 25 tokens a second,
/// as Qwen2-Audio has it.
pub const EK_TOKENS_PER_AUDIO: u32 = 750;

const _: () = assert!(EK_TOKENS_PER_IMAGE == TOKENS_PER_IMAGE && EK_TOKENS_PER_AUDIO == TOKENS_PER_AUDIO);

/// Marks an absent host.
pub const EK_NO_HOST: u32 = u32::MAX;

/// Horizons of a forecast.
pub const EK_HORIZONS: usize = 16;

/// Quantiles of a forecast at each horizon: 0.1, 0.2 and so on to 0.9.
pub const EK_QUANTILES: usize = 9;

/// End of a request.
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

/// Reason of a choice.
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

/// Treatment of memory that holds something else than the upstream asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EkIfOther {
    /// Refuse it, and leave it alone.
    Refuse = 0,
    /// Make a new upstream of it.
    Initialise = 1,
}

/// The upstream that is wanted.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkUpstreamOptions {
    /// `sizeof(ek_upstream_options)`.
    pub struct_size: u32,
    /// Most hosts, 1 to `EK_HOSTS_MAX`.
    pub hosts_max: u32,
    /// Most processes that share it, up to `EK_PROCESSES_MAX`; 0 for memory of one process.
    pub processes_max: u32,
    /// Prefixes that are remembered, up to `EK_ENTRIES_MAX`, each with a host; 0 for none. A
    /// prompt has up to six.
    pub affinity_entries: u32,
    /// Classes of requests that are remembered, up to `EK_ENTRIES_MAX`; 0 for none.
    pub class_entries: u32,
    /// Values of the demand's history (`ek_model_history`); 0 for no forecasts.
    pub history_values: u32,
    /// An `ek_if_other`.
    pub if_other: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Seed of the random choices in a new upstream.
    pub seed: u64,
}

/// Facts of a request before a host is chosen: claims of a client. 0 stands for what is
/// not known.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkFacts {
    /// `sizeof(ek_facts)`.
    pub struct_size: u32,
    /// Prompt length in tokens, without what `text_bytes` tells.
    pub prompt_tokens: u32,
    /// Most tokens that the answer may have.
    pub output_tokens_max: u32,
    /// Text of the prompt in bytes, whose tokens nobody has counted: they are told by what engines say
    /// of other prompts (`ek_upstream_counted`).
    pub text_bytes: u32,
    /// Keys of the prompt's first 64, 256, 1024, 4096 and 16384 tokens, as a request's body has
    /// them (`ek_request_body`).
    pub prefix_keys: [u64; EK_PREFIX_KEYS],
    /// Key of the session that the request goes on from.
    pub session_key: u64,
    /// Key of requests whose answers are of a length, such as a model's name.
    pub class_key: u64,
}

/// The hosts that may be chosen: host `i` is bit `i % 64` of word `i / 64`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkEligible {
    /// `sizeof(ek_eligible)`.
    pub struct_size: u32,
    /// Words of each mask; hosts beyond have no bit.
    pub words: u32,
    /// Hosts that the proxy would take; NULL for all.
    pub hosts: *const u64,
    /// Of these, hosts that had the request before; NULL for none.
    pub tried: *const u64,
}

/// A host chosen for an attempt.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkChoice {
    /// `sizeof(ek_choice)`, set by the caller.
    pub struct_size: u32,
    /// Index of the host.
    pub host: u32,
    /// An `ek_reason`.
    pub reason: u32,
    /// The host's score, lower is better; NaN unless the reason is `EK_REASON_POLICY`.
    pub score: f32,
    /// Tokens of the prompt that the host probably has cached.
    pub cached_tokens: u32,
    /// Tokens that the answer is expected to have; 0 where nothing is known of its class.
    pub output_tokens: u32,
}

/// A request under way: kept by the caller from `ek_upstream_begin` to `ek_upstream_finish`, and
/// changed by this library alone.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkTicket {
    /// Host that the request was sent to.
    pub host: u32,
    /// Prompt tokens that were booked at the host.
    pub prompt_tokens: u32,
    /// Time when it was sent.
    pub sent_us: u64,
    /// Time when its first token came back; 0 before.
    pub first_token_us: u64,
    /// Requests of this upstream at the host when it was sent, itself included.
    pub in_flight_at_send: u32,
    /// Tokens of the prompt that the host had been sent before.
    pub cached_tokens: u32,
    /// New tokens that the host took in since then.
    pub cached_age: u32,
    /// The process that sent it, in this library's form; 0 for none.
    pub owner: u32,
    /// 1 from `ek_upstream_begin` to `ek_upstream_finish`, then 0.
    pub under_way: u32,
    /// Reserved.
    pub reserved: u32,
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
    /// Tokens of the prompt that the engine says it had cached, or `EK_UNKNOWN_TOKENS`.
    pub cached_tokens: u32,
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

/// One host as a decision sees it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkHostExplanation {
    /// Index of the host.
    pub host: u32,
    /// 1 if it may be chosen, else 0.
    pub eligible: u32,
    /// Requests of this upstream in flight at the host.
    pub in_flight: u32,
    /// Analytic estimate of the request's cost at the host, in seconds: its expected
    /// completion time and the delay it inflicts on those already there. NaN without a
    /// model.
    pub estimate_s: f32,
    /// Addition of the network to the natural logarithm of the estimate; NaN without a score.
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
    /// Elements of the array, set by the caller. As many as the upstream has hosts are always
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

/// Counts of an upstream, each step of the fallback ladder on its own.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EkCounters {
    /// `sizeof(ek_counters)`, set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Decisions by the policy: the lowest score.
    pub policy: u64,
    /// Of these: for a host whose reports have stopped, so that this balancer's own
    /// measurements had to do. A host that never reported does not count.
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
    /// Sum of the choices' times (`ek_upstream_timed`), in nanoseconds.
    pub choice_time_sum_ns: u64,
    /// The time that 99 % of the choices did not exceed, rounded up to within a quarter; 0 before
    /// the first.
    pub choice_time_p99_ns: u64,
}

/// Counts of a ring of recorded decisions.
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

/// State of a host as it is known.
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
    /// Share of its full share of the requests that the host gets, since it has just come up; 1
    /// for one that is warm.
    pub full_share: f32,
    /// Share of what own measurements can tell of the host that is known, 0 (nothing) to 1.
    pub knowledge: f32,
    /// Reserved, 0.
    pub reserved: u32,
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
    /// Seconds of a step.
    pub step_s: f32,
    /// 0.
    pub reserved: u32,
    /// Horizons, in steps after the last whole one, increasing.
    pub horizons: [u32; EK_HORIZONS],
    /// Quantiles at each horizon, sorted, not negative, in requests a second.
    pub quantiles: [[f32; EK_QUANTILES]; EK_HORIZONS],
}

// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkUpstreamOptions {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkFacts {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkCounters {}
// SAFETY: `repr(C)`, `struct_size` first, numbers and a raw pointer only.
unsafe impl Extensible for EkExplanation {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkRingCounts {}
// SAFETY: `repr(C)`, `struct_size` first, numbers and a raw pointer only.
unsafe impl Extensible for EkEligible {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkChoice {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkOutcome {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkTelemetry {}
// SAFETY: `repr(C)`, `struct_size` first, numbers only.
unsafe impl Extensible for EkStats {}
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
    assert!(size_of::<EkOutcome>() == 16 && size_of::<EkTelemetry>() == 24 && size_of::<EkChoice>() == 24);
    assert!(size_of::<EkUpstreamOptions>() == 40 && size_of::<EkFacts>() == 72 && size_of::<EkEligible>() == 24);
    assert!(size_of::<EkCounters>() == 88 && size_of::<EkRingCounts>() == 32);
    assert!(size_of::<EkHostExplanation>() == 32 && size_of::<EkExplanation>() == 40);
    assert!(EK_NO_HOST == crate::record::NO_HOST);
    assert!(size_of::<EkTicket>() == 48 && size_of::<EkStats>() == 112 && size_of::<EkForecast>() == 656);
    assert!(EK_PREFIX_KEYS == crate::affinity::PREFIX_TOKENS.len());
};

impl EkOutcome {
    /// Gives the end as the runtime has it; `None` outside of the enumeration.
    pub(super) fn status(&self) -> Option<Status> {
        match self.status {
            status if status == EkStatus::Success as u32 => Some(Status::Success),
            status if status == EkStatus::Failure as u32 => Some(Status::Failure),
            status if status == EkStatus::Timeout as u32 => Some(Status::Timeout),
            status if status == EkStatus::ClientAbort as u32 => Some(Status::ClientAbort),
            status if status == EkStatus::NoWork as u32 => Some(Status::NoWork),
            _ => None,
        }
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
            first_token_us: ticket.first_token_us,
            in_flight_at_send: ticket.in_flight_at_send,
            cached_tokens: ticket.cached.tokens,
            cached_age: ticket.cached.age,
            owner: ticket.owner,
            under_way: 1,
            reserved: 0,
        }
    }

    pub(super) fn to_runtime(self) -> Ticket {
        Ticket {
            host: self.host,
            prompt_tokens: self.prompt_tokens,
            sent_us: self.sent_us,
            first_token_us: self.first_token_us,
            in_flight_at_send: self.in_flight_at_send,
            cached: Guess { tokens: self.cached_tokens, age: self.cached_age },
            owner: self.owner,
        }
    }
}
