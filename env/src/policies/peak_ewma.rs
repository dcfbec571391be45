//! Peak-EWMA over a few choices, as in Finagle, Linkerd and Envoy's contributed extension.

use evenkeel_runtime::{Outcome, Status};

use super::Parameter;
use super::grid::Grid;
use crate::policy::{Decision, Policy, RequestEvent, Setting};

/// Parameters of Peak-EWMA.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakEwmaOptions {
    /// Memory of the average, in seconds: Finagle's decay time.
    pub decay_s: f64,
    /// Hosts at random that are compared.
    pub choices: usize,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "decay_s", default: 10.0, min: 0.1, max: 100.0 },
    Parameter { name: "choices", default: 2.0, min: 2.0, max: 128.0 },
];

impl PeakEwmaOptions {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self { decay_s: p[0], choices: p[1] as usize }
    }
}

/// Of some hosts at random the one with the lowest product of peak-sensitive latency and
/// requests in flight.
#[derive(Clone, Debug)]
pub struct PeakEwma {
    options: PeakEwmaOptions,
    latencies: Grid<Latency>,
}

/// A peak-sensitive moving average, as of its last sample.
#[derive(Clone, Copy, Debug, Default)]
struct Latency {
    /// 0 before the first sample.
    value_s: f64,
    sampled_s: f64,
}

impl Latency {
    /// What is left of it: while nothing comes back it decays towards 0, so that a host that
    /// was once slow is tried again.
    fn at(&self, now_s: f64, decay_s: f64) -> f64 {
        self.value_s * libm::exp((self.sampled_s - now_s) / decay_s)
    }

    /// Finagle's average: a sample above it counts at once, one below only as time passes.
    fn sample(&mut self, now_s: f64, latency_s: f64, decay_s: f64) {
        let keep = libm::exp((self.sampled_s - now_s) / decay_s);
        let averaged_s = self.value_s * keep + latency_s * (1.0 - keep);
        self.value_s = if latency_s > self.value_s { latency_s } else { averaged_s };
        self.sampled_s = now_s;
    }
}

/// Finagle's cost: `latency · (in flight + 1)`. A host that was never used costs nothing,
/// so that it is tried; once tried it is expensive until it has answered.
fn cost(latency_s: f64, in_flight: u32) -> f64 {
    /// Finagle's penalty, in seconds, beyond any latency.
    const UNKNOWN_S: f64 = 1e9;
    let in_flight = f64::from(in_flight);
    if latency_s == 0.0 && in_flight > 0.0 { UNKNOWN_S + in_flight } else { latency_s * (in_flight + 1.0) }
}

impl PeakEwma {
    /// With these parameters.
    pub fn new(options: PeakEwmaOptions) -> Self {
        Self { options, latencies: Grid::default() }
    }
}

impl Policy for PeakEwma {
    fn name(&self) -> &'static str {
        "peak_ewma"
    }

    fn reset(&mut self, setting: &Setting) {
        self.latencies = Grid::new(setting, Latency::default());
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let (state, now_s, decay_s) = (decision.state, decision.now_s, self.options.decay_s);
        let latencies = self.latencies.row(decision.balancer);
        decision.choose_lowest_of(self.options.choices, |host| {
            let latency_s = latencies[host as usize].at(now_s, decay_s);
            state.host(host).map_or(f64::NAN, |slot| cost(latency_s, slot.in_flight()))
        })
    }

    fn on_done(&mut self, event: &RequestEvent, outcome: &Outcome) {
        let latency = self.latencies.at(event.balancer, event.host);
        // A failure counts only where it took longer than answers do.
        if outcome.status == Status::Success || event.elapsed_s > latency.value_s {
            latency.sample(event.now_s, event.elapsed_s, self.options.decay_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Latency, cost};

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let mut latency = Latency::default();
        latency.sample(1.0, 0.1, 10.0);
        latency.sample(2.0, 5.0, 10.0);
        assert_eq!(latency.value_s, 5.0);
        latency.sample(3.0, 0.1, 10.0);
        assert!((4.5..4.6).contains(&latency.value_s), "{}", latency.value_s);
        assert!(latency.at(33.0, 10.0) < 0.25, "silence makes it worth another try");
    }

    #[test]
    fn latency_is_multiplied_by_requests_in_flight() {
        assert_eq!(cost(0.2, 3), 0.8);
        assert_eq!(cost(0.0, 0), 0.0, "never used: try it");
        assert!(cost(0.0, 1) > cost(100.0, 100), "tried, and has not answered");
    }
}
