//! C3's replica ranking (Suresh, Canini, Schmid and Feldmann, "C3: cutting tail latency in
//! cloud data stores via adaptive replica selection", NSDI 2015).
//!
//! `Ψ = R − 1/μ + q̂³/μ` with `q̂ = 1 + os·n + q`: R is the average response time that the
//! balancer saw, 1/μ the average service time and q the average queue that the host
//! reported, os what this balancer has outstanding there, and n the number of balancers.
//! The cube keeps a fast host from being given a long queue; `os·n` takes the others to
//! behave as this balancer does, which keeps them from herding. Averages weigh a new sample
//! by 0.3, as Elasticsearch's adaptive replica selection does. The paper's rate control,
//! which sheds load on overload, is no part of choosing a host, and left out.

use evenkeel_runtime::{Outcome, ServiceKind, ServiceModel, Status};

use super::Parameter;
use super::grid::{Grid, average};
use crate::policy::{Decision, Policy, RequestEvent, Setting, TelemetryEvent};

/// Parameters of C3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct C3Options {
    /// Power of the queue.
    pub exponent: f64,
    /// What of the number of balancers counts in the concurrency compensation.
    pub concurrency_weight: f64,
    /// What a sample weighs in the averages.
    pub sample_weight: f64,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "exponent", default: 3.0, min: 1.0, max: 5.0 },
    Parameter { name: "concurrency_weight", default: 1.0, min: 0.0, max: 2.0 },
    Parameter { name: "sample_weight", default: 0.3, min: 0.02, max: 0.95 },
];

impl C3Options {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self { exponent: p[0], concurrency_weight: p[1], sample_weight: p[2] }
    }
}

/// C3; looks at all hosts.
#[derive(Clone, Debug)]
pub struct C3 {
    options: C3Options,
    /// The service and the number of balancers.
    setting: Option<(ServiceModel, f64)>,
    known: Grid<Known>,
}

/// Averages of a host, NaN before the first sample.
#[derive(Clone, Copy, Debug)]
struct Known {
    response_s: f64,
    service_s: f64,
    queue: f64,
}

impl Known {
    const NOTHING: Self = Self { response_s: f64::NAN, service_s: f64::NAN, queue: f64::NAN };
}

/// The paper's Ψ in seconds; what is unknown counts as nothing, a service time as 1 s.
fn score(known: &Known, outstanding: f64, exponent: f64) -> f64 {
    let or = |value: f64, otherwise: f64| if value.is_nan() { otherwise } else { value };
    let service_s = or(known.service_s, 1.0);
    let queue = 1.0 + outstanding + or(known.queue, 0.0);
    or(known.response_s, service_s) - service_s + libm::pow(queue, exponent) * service_s
}

/// Time that a request takes alone on a host with this step.
fn service_s(service: &ServiceModel, step_s: f32) -> f64 {
    let steps = match service.kind() {
        ServiceKind::Llm => service.output_tokens_mean,
        ServiceKind::Fifo => 1.0,
    };
    f64::from(step_s * steps)
}

impl C3 {
    /// With these parameters.
    pub fn new(options: C3Options) -> Self {
        Self { options, setting: None, known: Grid::default() }
    }
}

impl Policy for C3 {
    fn name(&self) -> &'static str {
        "c3"
    }

    fn reset(&mut self, setting: &Setting) {
        self.setting = Some((setting.service, setting.balancers as f64));
        self.known = Grid::new(setting, Known::NOTHING);
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let balancers = self.setting.map_or(1.0, |(_, balancers)| balancers);
        let compensation = self.options.concurrency_weight * balancers;
        let (state, known) = (decision.state, self.known.row(decision.balancer));
        decision.choose_lowest(|host| {
            let outstanding = state.host(host).map_or(f64::NAN, |slot| f64::from(slot.in_flight()));
            score(&known[host as usize], outstanding * compensation, self.options.exponent)
        })
    }

    fn on_done(&mut self, event: &RequestEvent, outcome: &Outcome) {
        let known = self.known.at(event.balancer, event.host);
        // A failure counts only where it took longer than answers do.
        if outcome.status == Status::Success || event.elapsed_s > known.response_s {
            known.response_s = average(known.response_s, event.elapsed_s, self.options.sample_weight);
        }
    }

    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        let Some((service, _)) = &self.setting else { return };
        let known = self.known.at(event.balancer, event.host);
        let weight = self.options.sample_weight;
        let queue = f64::from(event.telemetry.running + event.telemetry.waiting);
        if !queue.is_nan() {
            known.queue = average(known.queue, queue, weight);
        }
        if !event.telemetry.step_s.is_nan() {
            known.service_s = average(known.service_s, service_s(service, event.telemetry.step_s), weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, score};

    fn known(service_s: f64, queue: f64) -> Known {
        Known { response_s: 2.0 * service_s, service_s, queue }
    }

    #[test]
    fn the_queue_counts_by_its_cube() {
        // Four times as fast: a linear rule would give it four times the queue.
        let (slow, fast) = (known(0.4, 9.0), known(0.1, 27.0));
        assert!(score(&fast, 0.0, 1.0) < score(&slow, 0.0, 1.0));
        assert!(score(&fast, 0.0, 3.0) > score(&slow, 0.0, 3.0));
        assert_eq!(score(&known(0.1, 1.0), 0.0, 3.0), 0.2 - 0.1 + 8.0 * 0.1);
    }

    #[test]
    fn outstanding_requests_count_before_the_host_reports_them() {
        assert_eq!(score(&known(0.1, 3.0), 4.0, 3.0), score(&known(0.1, 7.0), 0.0, 3.0));
    }

    #[test]
    fn what_is_unknown_is_tried() {
        assert!(score(&Known::NOTHING, 0.0, 3.0) < score(&known(1.0, 1.0), 0.0, 3.0));
    }
}
