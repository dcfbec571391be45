//! Least time, as NGINX's `least_time`: average response time and requests in flight.

use evenkeel_runtime::{Outcome, Status};

use super::Parameter;
use super::grid::{Grid, average};
use crate::policy::{Decision, Policy, RequestEvent, Setting};

/// Parameters of least time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeastTimeOptions {
    /// Whether the time to the first byte counts (`header`) or to the last (`last_byte`).
    pub to_first_byte: bool,
    /// Whether the age of requests under way counts (`inflight`): it can only make a host
    /// look slower.
    pub counts_ages: bool,
    /// What a response weighs in the average.
    pub sample_weight: f64,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "to_first_byte", default: 0.0, min: 0.0, max: 1.0 },
    Parameter { name: "counts_ages", default: 0.0, min: 0.0, max: 1.0 },
    Parameter { name: "sample_weight", default: 0.1, min: 0.01, max: 0.5 },
];

impl LeastTimeOptions {
    /// From numbers in the order of the registry's parameters; switches are on from 0.5.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self { to_first_byte: p[0] >= 0.5, counts_ages: p[1] >= 0.5, sample_weight: p[2] }
    }
}

/// The host with the lowest product of average response time and requests in flight, over
/// its configured weight. Looks at all of them.
#[derive(Clone, Debug)]
pub struct LeastTime {
    options: LeastTimeOptions,
    known: Grid<Known>,
}

/// What a balancer knows of a host.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Average response time; NaN before the first response.
    average_s: f64,
    /// Of the requests under way: how many, and the sum of the times when they were sent.
    under_way: f64,
    sent_sum_s: f64,
}

impl Known {
    const NOTHING: Self = Self { average_s: f64::NAN, under_way: 0.0, sent_sum_s: 0.0 };

    /// Mean age of the requests under way.
    fn age_s(&self, now_s: f64) -> f64 {
        if self.under_way > 0.0 { now_s - self.sent_sum_s / self.under_way } else { 0.0 }
    }
}

/// `time · (in flight + 1) / weight`. A host that never answered counts as instant, so that
/// it is tried; of several the one with the fewest requests.
fn score(time_s: f64, in_flight: u32, weight: f32) -> f64 {
    /// Below any real response time.
    const UNKNOWN_S: f64 = 1e-9;
    let time_s = if time_s.is_nan() { UNKNOWN_S } else { time_s };
    time_s * (f64::from(in_flight) + 1.0) / f64::from(weight)
}

impl LeastTime {
    /// With these parameters.
    pub fn new(options: LeastTimeOptions) -> Self {
        Self { options, known: Grid::default() }
    }

    fn learn(&mut self, event: &RequestEvent) {
        let known = self.known.at(event.balancer, event.host);
        known.average_s = average(known.average_s, event.elapsed_s, self.options.sample_weight);
    }
}

impl Policy for LeastTime {
    fn name(&self) -> &'static str {
        "least_time"
    }

    fn reset(&mut self, setting: &Setting) {
        self.known = Grid::new(setting, Known::NOTHING);
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let known = self.known.row(decision.balancer);
        let (state, now_s, counts_ages) = (decision.state, decision.now_s, self.options.counts_ages);
        decision.choose_lowest(|host| {
            let of_host = &known[host as usize];
            // `max` ignores the NaN of a host that never answered.
            let time_s = if counts_ages { of_host.average_s.max(of_host.age_s(now_s)) } else { of_host.average_s };
            state.host(host).map_or(f64::NAN, |slot| score(time_s, slot.in_flight(), slot.weight()))
        })
    }

    fn on_sent(&mut self, event: &RequestEvent) {
        let known = self.known.at(event.balancer, event.host);
        known.under_way += 1.0;
        known.sent_sum_s += event.now_s;
    }

    fn on_first_token(&mut self, event: &RequestEvent) {
        if self.options.to_first_byte {
            self.learn(event);
        }
    }

    fn on_done(&mut self, event: &RequestEvent, outcome: &Outcome) {
        let known = self.known.at(event.balancer, event.host);
        known.under_way -= 1.0;
        known.sent_sum_s -= event.now_s - event.elapsed_s;
        // A failure counts only where it took longer than answers do.
        let is_slow_failure = outcome.status != Status::Success && event.elapsed_s > known.average_s;
        if is_slow_failure || (outcome.status == Status::Success && !self.options.to_first_byte) {
            self.learn(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, score};

    #[test]
    fn a_fast_host_may_have_more_in_flight() {
        assert!(score(0.1, 3, 1.0) < score(0.5, 0, 1.0));
        assert!(score(0.1, 5, 1.0) > score(0.5, 0, 1.0));
        assert_eq!(score(0.2, 1, 2.0), score(0.1, 1, 1.0), "a weight of 2 is worth twice the time");
    }

    #[test]
    fn hosts_that_never_answered_are_tried_first() {
        assert!(score(f64::NAN, 2, 1.0) < score(0.001, 0, 1.0));
        assert!(score(f64::NAN, 2, 1.0) > score(f64::NAN, 1, 1.0));
    }

    #[test]
    fn ages_are_those_of_the_requests_under_way() {
        let known = Known { under_way: 2.0, sent_sum_s: 3.0 + 5.0, ..Known::NOTHING };
        assert_eq!(known.age_s(10.0), 6.0);
        assert_eq!(Known::NOTHING.age_s(10.0), 0.0);
    }
}
