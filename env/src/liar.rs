//! Hosts that mislead balancers: broken exporters, and hosts that fail faster than others
//! work.

use evenkeel_runtime::Telemetry;

/// A host that looks better than it is.
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
    /// It answers requests with an error at once instead of working on them, so that few
    /// are ever in flight there. As with NGINX's default of `proxy_next_upstream`, an error
    /// that a host answers is passed on to the client: it is neither tried again elsewhere
    /// nor a reason to leave the host out.
    FailsFast {
        /// Share of the requests that fail so, at random, 0 to 1.
        share: f64,
        /// How long the error takes, in seconds.
        after_s: f64,
    },
}

impl Lie {
    /// Every request fails within 5 ms.
    pub const FAILS_FAST: Self = Self::FailsFast { share: 1.0, after_s: 0.005 };
}

/// What a host says that claims to be idle: nothing to do, and the step of an empty host.
pub(crate) fn idle_report(idle_step_s: f64) -> Telemetry {
    Telemetry { running: 0.0, waiting: 0.0, pending_prefill_tokens: 0.0, kv_use: 0.0, step_s: idle_step_s as f32 }
}
