//! AWS's predictive scaling: an hourly forecast from the same hour of past days, some lead
//! time early; the larger of it and the present demand is served.

use super::window::Window;
use super::{Scaler, Seen};
use crate::policies::Parameter;

/// What it can be tuned by.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "target_utilisation", default: 0.7, min: 0.3, max: 1.0 },
    Parameter { name: "lead_s", default: 300.0, min: 0.0, max: 3600.0 },
    Parameter { name: "forecast_factor", default: 1.0, min: 0.5, max: 1.5 },
    Parameter { name: "down_window_s", default: 300.0, min: 0.0, max: 1800.0 },
    Parameter { name: "metrics_window_s", default: 60.0, min: 15.0, max: 900.0 },
];

const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;
/// Up to two weeks of history, as AWS looks at.
const DAYS_MAX: usize = 14;

/// The autoscaler.
#[derive(Clone, Debug)]
pub struct Predictive {
    target: f64,
    lead_s: f64,
    factor: f64,
    down_window_s: f64,
    metrics_window_s: f64,
    /// Number of the hour, and what was forecast for it.
    forecast: Option<(i64, f64)>,
    window: Window,
}

impl Predictive {
    pub(super) fn new(parameters: &[f64]) -> Self {
        let [target, lead_s, factor, down_window_s, metrics_window_s] = parameters[..] else {
            unreachable!("the registry counts them")
        };
        Self { target, lead_s, factor, down_window_s, metrics_window_s, forecast: None, window: Window::default() }
    }

    /// The most of an hour: a week ago and the day before, averaged, where they are known.
    fn hour_per_s(&mut self, seen: &Seen<'_>, hour: i64) -> f64 {
        if let Some((known, per_s)) = self.forecast
            && known == hour
        {
            return per_s;
        }
        let begin_s = hour as f64 * HOUR_S;
        let past = |days: usize| {
            let then_s = begin_s - days as f64 * DAY_S;
            // The hour has to be over.
            let is_known = seen.demand.knows(then_s) && then_s + HOUR_S <= seen.now_s;
            is_known.then(|| seen.demand.most_per_s(then_s, then_s + HOUR_S))
        };
        // Days of the same kind weigh more: a week is seven days.
        let same_weekday = (1..=DAYS_MAX).filter(|days| days % 7 == 0).filter_map(past);
        let mut known: Vec<f64> = same_weekday.collect();
        if known.is_empty() {
            known = (1..=DAYS_MAX).filter_map(past).take(3).collect();
        }
        let per_s = if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        self.forecast = Some((hour, per_s));
        per_s
    }
}

impl Scaler for Predictive {
    fn name(&self) -> &'static str {
        "predictive"
    }

    fn reset(&mut self) {
        self.forecast = None;
        self.window.clear();
    }

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let hour = ((seen.now_s + self.lead_s) / HOUR_S).floor() as i64;
        let forecast_per_s = self.hour_per_s(seen, hour) * self.factor;
        let replicas =
            (seen.replicas(forecast_per_s.max(seen.mean_per_s(self.metrics_window_s))) / self.target).ceil() as u32;
        self.window.most(seen.now_s, self.down_window_s, replicas)
    }
}
