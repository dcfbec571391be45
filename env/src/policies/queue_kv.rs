//! The endpoint pickers' scorer: waiting requests, KV cache and cached prefix.
//!
//! A weighted sum of scores between 0 and 1, the highest wins, ties break at random, as in
//! the Gateway API Inference Extension and llm-d: the queue scorer is 1 for the shortest
//! queue of waiting requests and 0 for the longest, the KV scorer is the free share of the
//! cache, the prefix scorer the share of the prompt that is probably cached. llm-d's default
//! weights are 2, 2 and 3. Reports are taken as they are, however old.

use evenkeel_runtime::{HostSlot, Telemetry};

use super::Parameter;
use crate::policy::{Decision, Policy};

/// Weights of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueKvWeights {
    /// Of the queue.
    pub queue: f64,
    /// Of the KV cache.
    pub kv: f64,
    /// Of the cached prefix.
    pub prefix: f64,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "queue_weight", default: 2.0, min: 0.0, max: 10.0 },
    Parameter { name: "kv_weight", default: 2.0, min: 0.0, max: 10.0 },
    Parameter { name: "prefix_weight", default: 3.0, min: 0.0, max: 10.0 },
];

/// The host with the highest weighted sum of scores.
#[derive(Clone, Copy, Debug)]
pub struct QueueKv {
    weights: QueueKvWeights,
}

/// Shortest and longest queue of the hosts that may be chosen.
#[derive(Clone, Copy, Debug)]
struct Queues {
    shortest: f64,
    longest: f64,
}

impl Queues {
    const NONE: Self = Self { shortest: f64::INFINITY, longest: 0.0 };

    fn with(self, waiting: f64) -> Self {
        Self { shortest: self.shortest.min(waiting), longest: self.longest.max(waiting) }
    }
}

/// Waiting requests and free share of the KV cache; a host that reports nothing counts as
/// free.
fn known(telemetry: &Telemetry) -> (f64, f64) {
    let or_zero = |value: f32| if value.is_nan() { 0.0 } else { f64::from(value) };
    (or_zero(telemetry.waiting), 1.0 - or_zero(telemetry.kv_use))
}

/// The weighted sum; higher is better.
fn score(weights: &QueueKvWeights, queues: Queues, telemetry: &Telemetry, cached_share: f64) -> f64 {
    let (waiting, kv_free) = known(telemetry);
    let queue = if queues.longest > queues.shortest {
        (queues.longest - waiting) / (queues.longest - queues.shortest)
    } else {
        1.0
    };
    weights.queue * queue + weights.kv * kv_free + weights.prefix * cached_share
}

impl QueueKv {
    /// With these weights.
    pub fn new(weights: QueueKvWeights) -> Self {
        Self { weights }
    }
}

impl Policy for QueueKv {
    fn name(&self) -> &'static str {
        "queue_kv"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let (state, request) = (decision.state, decision.request);
        let telemetry = |host: u32| state.host(host).map_or(Telemetry::UNKNOWN, HostSlot::telemetry);
        let waiting = decision.eligible.iter().map(|host| known(&telemetry(*host)).0);
        let queues = waiting.fold(Queues::NONE, Queues::with);
        decision.choose_lowest(|host| -score(&self.weights, queues, &telemetry(host), cached_share(request, host)))
    }
}

/// Share of a prompt that a host probably has cached.
pub(super) fn cached_share(request: &evenkeel_runtime::Request<'_>, host: u32) -> f64 {
    let cached = request.cached_tokens.get(host as usize).copied().unwrap_or(0);
    f64::from(cached) / f64::from(request.prompt_tokens.max(1))
}

#[cfg(test)]
mod tests {
    use super::{QueueKvWeights, Queues, score};
    use evenkeel_runtime::Telemetry;

    const WEIGHTS: QueueKvWeights = QueueKvWeights { queue: 2.0, kv: 2.0, prefix: 3.0 };
    const QUEUES: Queues = Queues { shortest: 0.0, longest: 10.0 };

    fn host(waiting: f32, kv_use: f32) -> Telemetry {
        Telemetry { waiting, kv_use, ..Telemetry::UNKNOWN }
    }

    #[test]
    fn queue_cache_and_prefix_add_up() {
        assert_eq!(score(&WEIGHTS, QUEUES, &host(0.0, 0.0), 0.0), 4.0);
        assert_eq!(score(&WEIGHTS, QUEUES, &host(10.0, 0.5), 0.0), 1.0);
        assert_eq!(score(&WEIGHTS, QUEUES, &host(5.0, 1.0), 1.0), 4.0);
        let equal = Queues { shortest: 3.0, longest: 3.0 };
        assert_eq!(score(&WEIGHTS, equal, &host(3.0, 1.0), 0.0), 2.0, "equal queues are all the shortest");
        assert_eq!(score(&WEIGHTS, QUEUES, &Telemetry::UNKNOWN, 0.0), 4.0);
    }
}
