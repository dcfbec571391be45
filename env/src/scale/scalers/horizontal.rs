//! Kubernetes' horizontal pod autoscaler, and KEDA, which feeds it.
//!
//! `desired = ceil(ready · utilisation / target)`, unless the ratio is within the tolerance
//! of 1; down only to the most recommended within the window.

use super::window::Window;
use super::{Scaler, Seen};
use crate::policies::Parameter;

/// What both can be tuned by.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "target_utilisation", default: 0.7, min: 0.3, max: 1.0 },
    Parameter { name: "tolerance", default: 0.1, min: 0.0, max: 0.2 },
    Parameter { name: "down_window_s", default: 300.0, min: 0.0, max: 1800.0 },
    Parameter { name: "metrics_window_s", default: 60.0, min: 15.0, max: 900.0 },
];

/// The autoscaler.
#[derive(Clone, Debug)]
pub struct Horizontal {
    name: &'static str,
    polled_every_s: f64,
    target: f64,
    tolerance: f64,
    down_window_s: f64,
    metrics_window_s: f64,
    polled: Option<(f64, f64)>,
    window: Window,
}

impl Horizontal {
    /// Kubernetes' own: metrics at every tick.
    pub fn kubernetes(parameters: &[f64]) -> Self {
        Self::new("hpa", 0.0, parameters)
    }

    /// With KEDA's polling interval of 30 s.
    pub fn keda(parameters: &[f64]) -> Self {
        Self::new("keda", 30.0, parameters)
    }

    fn new(name: &'static str, polled_every_s: f64, parameters: &[f64]) -> Self {
        let [target, tolerance, down_window_s, metrics_window_s] = parameters[..] else {
            unreachable!("the registry counts them")
        };
        Self {
            name,
            polled_every_s,
            target,
            tolerance,
            down_window_s,
            metrics_window_s,
            polled: None,
            window: Window::default(),
        }
    }

    /// Replicas for a demand, without windows.
    pub(super) fn recommended(&self, seen: &Seen<'_>, demand_per_s: f64) -> u32 {
        let wanted = seen.replicas(demand_per_s) / self.target;
        let ratio = wanted / f64::from(seen.ready.max(1));
        if (ratio - 1.0).abs() <= self.tolerance { seen.ready.max(1) } else { wanted.ceil() as u32 }
    }
}

impl Scaler for Horizontal {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reset(&mut self) {
        self.polled = None;
        self.window.clear();
    }

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let (_, demand_per_s) = *match &mut self.polled {
            Some(polled) if seen.now_s - polled.0 < self.polled_every_s => polled,
            polled => polled.insert((seen.now_s, seen.mean_per_s(self.metrics_window_s))),
        };
        let recommended = self.recommended(seen, demand_per_s);
        self.window.most(seen.now_s, self.down_window_s, recommended)
    }
}
