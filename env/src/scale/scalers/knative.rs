//! Knative's pod autoscaler (KPA): the mean of a stable window, and of a tenth of it in a
//! panic, during which nothing is taken away.

use super::{Scaler, Seen};
use crate::policies::Parameter;

/// What it can be tuned by.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "target_utilisation", default: 0.7, min: 0.3, max: 1.0 },
    Parameter { name: "stable_window_s", default: 60.0, min: 30.0, max: 900.0 },
    Parameter { name: "panic_threshold", default: 2.0, min: 1.1, max: 4.0 },
];

/// The autoscaler.
#[derive(Clone, Debug)]
pub struct Knative {
    target: f64,
    stable_window_s: f64,
    panic_threshold: f64,
    panics_until_s: f64,
    most_in_panic: u32,
}

impl Knative {
    pub(super) fn new(parameters: &[f64]) -> Self {
        let [target, stable_window_s, panic_threshold] = parameters[..] else {
            unreachable!("the registry counts them")
        };
        Self { target, stable_window_s, panic_threshold, panics_until_s: f64::NEG_INFINITY, most_in_panic: 0 }
    }
}

impl Scaler for Knative {
    fn name(&self) -> &'static str {
        "knative"
    }

    fn reset(&mut self) {
        (self.panics_until_s, self.most_in_panic) = (f64::NEG_INFINITY, 0);
    }

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let replicas = |window_s: f64| (seen.replicas(seen.mean_per_s(window_s)) / self.target).ceil() as u32;
        let stable = replicas(self.stable_window_s);
        let panic = replicas(self.stable_window_s / 10.0);
        if f64::from(panic) >= self.panic_threshold * f64::from(seen.ready.max(1)) {
            self.panics_until_s = seen.now_s + self.stable_window_s;
        }
        if seen.now_s < self.panics_until_s {
            self.most_in_panic = self.most_in_panic.max(panic).max(seen.asked());
            return self.most_in_panic;
        }
        self.most_in_panic = 0;
        stable
    }
}
