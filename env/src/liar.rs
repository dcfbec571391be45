//! Hosts that mislead balancers: broken exporters, and hosts that answer faster than others
//! work.

use evenkeel_runtime::Telemetry;

/// A host that looks better, or other, than it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Liar {
    /// Index of the host.
    pub host: usize,
    /// What it does.
    pub lie: Lie,
}

/// How a host misleads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lie {
    /// It works as well as the others, but every report says that it is idle: polled,
    /// piggybacked and probed alike.
    ReportsIdle,
    /// It works as well as the others, but reports a step of so many times the true one, 0 to
    /// 10⁶: 0 by a broken exporter, 10⁻³ or 1000 by a wrong unit, 10⁻⁶ by a hostile host.
    ReportsStep {
        /// What the true step is multiplied by.
        factor: f64,
    },
    /// It works as well as the others, but says the same for so long, in seconds, above 0,
    /// before it looks again; infinite for what it said first, for ever.
    RepeatsReport {
        /// How long a report is repeated.
        for_s: f64,
    },
    /// It answers requests with an error at once instead of working on them, so that few
    /// are ever in flight there. As with NGINX's default of `proxy_next_upstream`, an error
    /// that a host answers is passed on to the client: it is neither tried again elsewhere
    /// (unless [`Retries::on_error`](crate::life::Retries::on_error) says so) nor a reason to
    /// leave the host out.
    FailsFast {
        /// Share of the requests that fail so, at random, 0 to 1.
        share: f64,
        /// How long the error takes, in seconds.
        after_s: f64,
    },
    /// It answers requests without work: a redirect, `404 Not Found`, another refusal. That
    /// is the client's affair, neither a success nor a failure.
    NoWork {
        /// Share of the requests that are answered so, at random, 0 to 1.
        share: f64,
        /// How long the answer takes, in seconds.
        after_s: f64,
    },
}

impl Lie {
    /// Every request fails within 5 ms.
    pub const FAILS_FAST: Self = Self::FailsFast { share: 1.0, after_s: 0.005 };

    /// Every request is refused within 4 ms.
    pub const NO_WORK: Self = Self::NoWork { share: 1.0, after_s: 0.004 };

    /// Whether its numbers are in their bounds.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::ReportsIdle => true,
            Self::ReportsStep { factor } => (0.0..=1e6).contains(&factor),
            Self::RepeatsReport { for_s } => for_s > 0.0,
            Self::FailsFast { share, after_s } | Self::NoWork { share, after_s } => {
                (0.0..=1.0).contains(&share) && (0.0..f64::INFINITY).contains(&after_s)
            }
        }
    }
}

/// What a host says that claims to be idle: nothing to do, and the step of an empty host.
pub(crate) fn idle_report(idle_step_s: f64) -> Telemetry {
    Telemetry { running: 0.0, waiting: 0.0, pending_prefill_tokens: 0.0, kv_use: 0.0, step_s: idle_step_s as f32 }
}
