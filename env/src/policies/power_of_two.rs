//! The one with fewer requests, of two hosts at random (Mitzenmacher, IEEE TPDS 2001).

use evenkeel_runtime::HostSlot;

use crate::policy::{Decision, Policy};

/// Power of two choices on this balancer's own requests in flight.
#[derive(Clone, Copy, Debug, Default)]
pub struct PowerOfTwo;

impl Policy for PowerOfTwo {
    fn name(&self) -> &'static str {
        "p2c"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let (a, b) = decision.draw_two();
        let in_flight = |host| decision.state.host(host).map_or(u32::MAX, HostSlot::in_flight);
        if in_flight(b) < in_flight(a) { b as usize } else { a as usize }
    }
}
