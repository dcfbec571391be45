//! The host with the fewest requests of this balancer.

use crate::policy::{Decision, Policy};

/// Looks at all hosts; ties break at random.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastRequest;

impl Policy for LeastRequest {
    fn name(&self) -> &'static str {
        "least_request"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let state = decision.state;
        decision.choose_lowest(|host| state.host(host).map_or(f64::NAN, |slot| f64::from(slot.in_flight())))
    }
}
