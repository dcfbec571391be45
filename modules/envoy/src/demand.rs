//! The demand on a cluster, foreseen and in replica-equivalents.

use std::sync::{Mutex, PoisonError};

use evenkeel_runtime::Model;
use evenkeel_runtime::demand::{Demand, DemandReading, ScaleModel};
use evenkeel_runtime::forecast::{History, Rolling, features};

use crate::clock;
use crate::config::ScaleOptions;

/// A cluster's demand: counted by all workers, ticked by the main thread.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    demand: Demand,
    past: Mutex<Past>,
}

#[derive(Debug, Default)]
struct Past {
    values: Vec<f32>,
    pushed: u64,
    /// Errors of earlier forecasts, by which later ones are corrected.
    rolling: Box<Rolling>,
    scratch: Vec<f32>,
}

impl Forecast {
    /// A request came in.
    pub(crate) fn arrived(&self) {
        self.demand.arrived();
    }

    /// About once a second.
    pub(crate) fn tick(&self, model: &Model<'_>) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let past = &mut *past;
        if let Some(forecaster) = model.forecaster() {
            let needed = features::history_len(forecaster.calibration().step_s);
            if past.values.len() != needed {
                // Another step, which the values so far do not fit.
                past.values = vec![f32::NAN; needed];
                past.pushed = 0;
                *past.rolling = Rolling::new();
            }
            past.scratch.resize(forecaster.scratch_len(), 0.0);
        }
        let mut history = History::attach(&mut past.values, past.pushed).with_rolling(&mut past.rolling);
        let now_us = clock::now_us();
        self.demand.tick(model.forecaster(), &mut history, now_us, clock::unix_s(), &mut past.scratch);
        past.pushed = history.pushed();
    }

    /// Reads the present demand; replicas are NaN if neither artifact nor options say what one of
    /// them carries.
    pub(crate) fn read(&self, model: &Model<'_>, options: &ScaleOptions) -> DemandReading {
        let or_nan = |option: Option<f32>| option.unwrap_or(f32::NAN);
        let configured = ScaleModel {
            replica_requests_per_s: or_nan(options.capacity),
            lead_s: or_nan(options.lead),
            quantile: or_nan(options.quantile),
            headroom: or_nan(options.headroom),
            trend: or_nan(options.trend),
        };
        self.demand.read(model.forecaster(), &ScaleModel::merged(&configured, model.scale()))
    }
}
