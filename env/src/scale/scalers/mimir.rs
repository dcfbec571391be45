//! Grafana Mimir's rule: beside the HPA's recommendation, what a week ago was needed in the
//! half hour to come, `max_over_time(…[30m] offset 6d23h30m)`. It only adds.

use super::horizontal::Horizontal;
use super::{Scaler, Seen};
use crate::policies::Parameter;

/// What it can be tuned by: as the HPA, and how much of the week before counts.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "target_utilisation", default: 0.7, min: 0.3, max: 1.0 },
    Parameter { name: "tolerance", default: 0.1, min: 0.0, max: 0.2 },
    Parameter { name: "down_window_s", default: 300.0, min: 0.0, max: 1800.0 },
    Parameter { name: "metrics_window_s", default: 60.0, min: 15.0, max: 900.0 },
    Parameter { name: "week_before_factor", default: 1.0, min: 0.5, max: 1.5 },
];

const WEEK_S: f64 = 7.0 * 86_400.0;
const AHEAD_S: f64 = 1800.0;

/// The autoscaler.
#[derive(Clone, Debug)]
pub struct Mimir {
    reactive: Horizontal,
    target: f64,
    factor: f64,
}

impl Mimir {
    pub(super) fn new(parameters: &[f64]) -> Self {
        let (reactive, factor) = parameters.split_at(4);
        Self { reactive: Horizontal::kubernetes(reactive), target: parameters[0], factor: factor[0] }
    }
}

impl Scaler for Mimir {
    fn name(&self) -> &'static str {
        "mimir"
    }

    fn reset(&mut self) {
        self.reactive.reset();
    }

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let reactive = self.reactive.desired(seen);
        let then_s = seen.now_s - WEEK_S;
        if !seen.demand.knows(then_s) {
            return reactive;
        }
        let week_before_per_s = seen.demand.most_per_s(then_s, then_s + AHEAD_S) * self.factor;
        reactive.max((seen.replicas(week_before_per_s) / self.target).ceil() as u32)
    }
}
