//! The demand on a cluster, foreseen and in replica-equivalents.

use std::sync::{Mutex, PoisonError};

use evenkeel_runtime::Model;
use evenkeel_runtime::demand::{Demand, DemandReading, ScaleModel};
use evenkeel_runtime::forecast::{History, Rolling, features};

use crate::clock;
use crate::config::ScaleOptions;

/// Defaults for figures that the artifact lacks: a lead of two minutes, the quantile and the room that
/// `evenkeel train` defaults to.
const LEAD_S: f32 = 120.0;
const QUANTILE: f32 = 0.9;
const HEADROOM: f32 = 1.1;
const TREND: f32 = 0.5;

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
        let trained = model.scale();
        let pick = |option: Option<f32>, trained: Option<f32>, otherwise: f32| option.or(trained).unwrap_or(otherwise);
        let scale = ScaleModel {
            replica_requests_per_s: pick(options.capacity, trained.map(|scale| scale.replica_requests_per_s), f32::NAN),
            lead_s: pick(options.lead, trained.map(|scale| scale.lead_s), LEAD_S),
            quantile: pick(options.quantile, trained.map(|scale| scale.quantile), QUANTILE),
            headroom: pick(options.headroom, trained.map(|scale| scale.headroom), HEADROOM),
            trend: pick(options.trend, trained.map(|scale| scale.trend), TREND),
        };
        self.demand.read(model.forecaster(), &scale)
    }
}
