//! A Kalman filter with a constant trend, extrapolated 180 s ahead as a floor, beside the
//! present demand: the shape of NVIDIA Dynamo's planner.

use super::window::Window;
use super::{Scaler, Seen};
use crate::policies::Parameter;
use crate::scale::TICK_S;

/// What it can be tuned by.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "target_utilisation", default: 0.7, min: 0.3, max: 1.0 },
    Parameter { name: "ahead_s", default: 180.0, min: 15.0, max: 1800.0 },
    Parameter { name: "trend_noise", default: 0.01, min: 0.0001, max: 1.0 },
    Parameter { name: "down_window_s", default: 300.0, min: 0.0, max: 1800.0 },
    Parameter { name: "metrics_window_s", default: 60.0, min: 15.0, max: 900.0 },
];

/// The autoscaler.
#[derive(Clone, Debug)]
pub struct Kalman {
    target: f64,
    ahead_s: f64,
    trend_noise: f64,
    down_window_s: f64,
    metrics_window_s: f64,
    /// Level, trend a tick, and their covariance (level, both, trend), in units of the
    /// measurement's variance.
    state: Option<[f64; 5]>,
    window: Window,
}

impl Kalman {
    pub(super) fn new(parameters: &[f64]) -> Self {
        let [target, ahead_s, trend_noise, down_window_s, metrics_window_s] = parameters[..] else {
            unreachable!("the registry counts them")
        };
        Self { target, ahead_s, trend_noise, down_window_s, metrics_window_s, state: None, window: Window::default() }
    }

    /// Predicts a tick, corrects by a measurement, and returns the level `ahead_s` from now.
    fn filter(&mut self, measured: f64) -> f64 {
        let [level, trend, p_level, p_both, p_trend] = self.state.unwrap_or([measured, 0.0, 1.0, 0.0, 1.0]);
        let level = level + trend;
        let p_level = p_level + 2.0 * p_both + p_trend + self.trend_noise / 4.0;
        let p_both = p_both + p_trend + self.trend_noise / 2.0;
        let p_trend = p_trend + self.trend_noise;
        let (gain_level, gain_trend) = (p_level / (p_level + 1.0), p_both / (p_level + 1.0));
        let surprise = measured - level;
        let (level, trend) = (level + gain_level * surprise, trend + gain_trend * surprise);
        self.state = Some([
            level,
            trend,
            (1.0 - gain_level) * p_level,
            (1.0 - gain_level) * p_both,
            p_trend - gain_trend * p_both,
        ]);
        level + trend * self.ahead_s / TICK_S
    }
}

impl Scaler for Kalman {
    fn name(&self) -> &'static str {
        "kalman"
    }

    fn reset(&mut self) {
        self.state = None;
        self.window.clear();
    }

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let present_per_s = seen.mean_per_s(self.metrics_window_s);
        let floor_per_s = self.filter(present_per_s);
        let replicas = (seen.replicas(floor_per_s.max(present_per_s)) / self.target).ceil() as u32;
        self.window.most(seen.now_s, self.down_window_s, replicas)
    }
}
