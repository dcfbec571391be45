//! How balancers learn of the hosts' load.

use evenkeel_runtime::Telemetry;

/// Polled reports, reports piggybacked on responses, and probes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TelemetryOptions {
    /// What reports hold, however they come.
    pub kind: TelemetryKind,
    /// Every balancer polls every host this often, in seconds, each at its own phase;
    /// infinite for never, 0 for perfect knowledge at every decision.
    pub period_s: f64,
    /// From the measurement at the host to the balancer's knowing, in seconds.
    pub delay_s: f64,
    /// Share of polled reports and of probes that get lost, each host and balancer alone.
    pub loss: f64,
    /// Whether responses carry the host's report: with the first token and with the last.
    pub piggyback: bool,
    /// Probes sent after each request, to different hosts at random.
    pub probes_per_request: u32,
    /// A probe's round trip, in seconds; it measures half-way.
    pub probe_round_trip_s: f64,
}

impl TelemetryOptions {
    /// Polled every `period_s` only.
    pub fn polled(period_s: f64) -> Self {
        Self {
            kind: TelemetryKind::Full,
            period_s,
            delay_s: 0.002,
            loss: 0.0,
            piggyback: false,
            probes_per_request: 0,
            probe_round_trip_s: 0.001,
        }
    }

    /// Every host's true state at every decision, without delay.
    pub fn instant() -> Self {
        Self { delay_s: 0.0, ..Self::polled(0.0) }
    }

    /// Nothing at all: balancers see only their own requests.
    pub fn none() -> Self {
        Self::polled(f64::INFINITY)
    }
}

impl Default for TelemetryOptions {
    /// Polled every 250 ms, piggybacked, and 3 probes a request.
    fn default() -> Self {
        Self { piggyback: true, probes_per_request: 3, ..Self::polled(0.25) }
    }
}

/// What a host's report holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TelemetryKind {
    /// All that the runtime can use.
    #[default]
    Full,
    /// What vLLM's metrics tell: requests running and waiting, the KV cache's use, and, by the
    /// histogram of the time between tokens, the step time, but not the prompt tokens that wait.
    Vllm,
}

impl TelemetryKind {
    /// The part of a report that is told.
    #[must_use]
    pub fn of(self, report: Telemetry) -> Telemetry {
        match self {
            Self::Full => report,
            Self::Vllm => Telemetry { pending_prefill_tokens: f32::NAN, ..report },
        }
    }
}

/// How a report reached a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The balancer polls.
    Poll,
    /// It came with a response.
    Piggyback,
    /// It answers a probe.
    Probe,
}
