//! The host with the fewest requests of this balancer, for its weight.

use evenkeel_runtime::HostSlot;

use super::Parameter;
use crate::policy::{Decision, Policy};

/// Least request, as NGINX's `least_conn` and Envoy's `LEAST_REQUEST`; ties break at random.
#[derive(Clone, Copy, Debug)]
pub struct LeastRequest {
    /// Hosts at random that are compared; all of them if there are no more.
    choices: usize,
}

/// NGINX looks at all hosts, Envoy by default at 2, which is `p2c`.
pub(super) const PARAMETERS: &[Parameter] = &[Parameter { name: "choices", default: 128.0, min: 2.0, max: 128.0 }];

impl LeastRequest {
    /// Compares so many hosts at random.
    pub fn new(choices: usize) -> Self {
        Self { choices }
    }
}

impl Default for LeastRequest {
    /// Compares all hosts.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

/// Requests in flight over the configured weight.
fn score(slot: &HostSlot) -> f64 {
    f64::from(slot.in_flight()) / f64::from(slot.weight())
}

impl Policy for LeastRequest {
    fn name(&self) -> &'static str {
        "least_request"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let state = decision.state;
        decision.choose_lowest_of(self.choices, |host| state.host(host).map_or(f64::NAN, score))
    }
}
