//! Peak-EWMA over two choices, as in Finagle, Linkerd and Envoy's contributed extension.

use evenkeel_runtime::HostSlot;

use crate::policy::{Decision, Policy};

/// Of two hosts at random the one with the lower product of peak-sensitive latency and
/// requests in flight.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeakEwma;

/// Cost of a host that has requests but never answered: Finagle's penalty, in seconds,
/// beyond any latency.
const UNKNOWN_S: f64 = 1e9;

/// Finagle's cost: `latency · (in flight + 1)`. A host that was never used costs nothing,
/// so that it is tried; once tried it is expensive until it has answered.
fn cost(slot: &HostSlot, now_us: u64) -> f64 {
    let in_flight = f64::from(slot.in_flight());
    let latency_s = f64::from(slot.peak_latency_s(now_us));
    if latency_s.is_nan() {
        return if in_flight == 0.0 { 0.0 } else { UNKNOWN_S + in_flight };
    }
    latency_s * (in_flight + 1.0)
}

impl Policy for PeakEwma {
    fn name(&self) -> &'static str {
        "peak_ewma"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let (a, b) = decision.draw_two();
        let cost = |host| decision.state.host(host).map_or(f64::INFINITY, |slot| cost(slot, decision.now_us));
        if cost(b) < cost(a) { b as usize } else { a as usize }
    }
}
