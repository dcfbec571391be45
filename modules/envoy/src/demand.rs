//! The demand on a cluster, foreseen and in replica-equivalents.

use std::time::Duration;

use evenkeel_runtime::Model;
use evenkeel_runtime::demand::{DemandReading, ScaleModel};
use evenkeel_runtime::forecast::{History, Rolling, features};
use evenkeel_runtime::upstream::{Clock, Upstream};

use crate::clock;
use crate::config::ScaleOptions;

/// A cluster's past demand, in steps of the forecaster. The main thread ticks it.
#[derive(Debug, Default)]
pub(crate) struct Past {
    step_s: f32,
    values: Vec<f32>,
    pushed: u64,
    /// Errors of earlier forecasts, by which later ones are corrected.
    rolling: Box<Rolling>,
    scratch: Vec<f32>,
}

impl Past {
    /// Notes the time, about once a second.
    pub(crate) fn tick(&mut self, upstream: &Upstream<'_>, model: &Model<'_>, slow_start: Duration) {
        if let Some(forecaster) = model.forecaster() {
            let step_s = forecaster.calibration().step_s;
            if step_s.to_bits() != self.step_s.to_bits() {
                // The values so far do not fit.
                self.step_s = step_s;
                self.values = vec![f32::NAN; features::history_len(step_s)];
                self.pushed = 0;
                *self.rolling = Rolling::new();
                upstream.demand().restart();
            }
            self.scratch.resize(forecaster.scratch_len(), 0.0);
        }
        let mut history = History::attach(&mut self.values, self.pushed).with_rolling(&mut self.rolling);
        let clock =
            Clock { now_us: clock::now_us(), epoch_s: clock::unix_s(), slow_start_us: slow_start.as_micros() as u64 };
        upstream.tick(&clock, Some(model), &mut history, &mut self.scratch);
        self.pushed = history.pushed();
    }
}

/// Reads the present demand; replicas are NaN if neither artifact nor options say what one of
/// them carries.
pub(crate) fn read(upstream: &Upstream<'_>, model: &Model<'_>, options: &ScaleOptions) -> DemandReading {
    let or_nan = |option: Option<f32>| option.unwrap_or(f32::NAN);
    let configured = ScaleModel {
        replica_requests_per_s: or_nan(options.capacity),
        lead_s: or_nan(options.lead),
        quantile: or_nan(options.quantile),
        headroom: or_nan(options.headroom),
        trend: or_nan(options.trend),
    };
    upstream.demand().read(model.forecaster(), &ScaleModel::merged(&configured, model.scale()))
}
