//! A service to be scaled: its demand, and what the artifact foresees of it.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use evenkeel_datasets::{Series, SeriesUnit, Split};
use evenkeel_env::scale::{Bill, Demand, ReplicaOptions, Scaler, run};
use evenkeel_runtime::Model;
use evenkeel_runtime::forecast::Forecaster;

use super::Foreseen;
use super::needed::{Needed, needed};
use crate::forecast::calibrate::calibrate;
use crate::forecast::dataset::Parts;
use crate::forecast::evaluate;
use crate::forecast::serve::serve;

/// One part of a series.
#[derive(Clone, Debug)]
pub struct Part {
    demand: Demand,
    foreseen: Foreseen,
}

/// A service, its demand in replicas.
#[derive(Clone, Debug)]
pub struct Service {
    /// The series' name.
    pub name: String,
    /// Requests a second that a replica carries.
    pub replica_per_s: f64,
    /// What scalers are tuned on.
    pub validation: Part,
    /// What they are compared on.
    pub test: Part,
}

impl Service {
    /// A service whose mean demand, in the training part, takes `mean_replicas` replicas.
    /// The artifact's forecaster is calibrated on the validation part, as in production.
    ///
    /// # Errors
    /// If the artifact is refused or has no forecaster, or the series has no demand.
    pub fn new(artifact: &[u8], series: &Series, mean_replicas: f64) -> Result<Self> {
        let model = Model::parse(artifact)?;
        let split = Split::default();
        let forecaster = calibrated(&model, series, &split)?;
        let parts = Parts::new(series, &split);
        let training = &series.values[parts.training()];
        let known = training.iter().filter(|value| value.is_finite()).count();
        let mean = training.iter().filter(|value| value.is_finite()).map(|v| f64::from(*v)).sum::<f64>() / known as f64;
        ensure!(mean > 0.0, "series {}: the training part has no demand to scale for", series.name);
        ensure!(
            series.unit != SeriesUnit::Level,
            "series {}: holds a level, expected requests over time; --series-unit says otherwise",
            series.name
        );
        // Values to requests a second.
        let factor = series.per_step() / series.step_s;
        // What rolls settles in the day before.
        let part = |range: Range<usize>| {
            let origins: Vec<usize> = (range.start - 1..range.end - 1).collect();
            let settle = (86_400.0 / series.step_s) as usize;
            let forecasts = serve(&forecaster, series, origins[0].saturating_sub(settle), &origins);
            let mut known = series.clone();
            known.values.truncate(range.end);
            Part {
                demand: Demand::new(&known, range.start, factor),
                foreseen: Foreseen::new(forecasts, forecaster.calibration().horizons, series.step_s, factor),
            }
        };
        Ok(Self {
            name: series.name.clone(),
            replica_per_s: mean * factor / mean_replicas,
            validation: part(parts.validation()),
            test: part(parts.test()),
        })
    }

    /// The same service with replicas that carry so many requests a second.
    #[must_use]
    pub fn with_replica_capacity(self, replica_per_s: f64) -> Self {
        Self { replica_per_s, ..self }
    }

    /// What replicas of this service are like.
    pub fn replicas(&self, cold_start_s: f64) -> ReplicaOptions {
        ReplicaOptions::new(self.replica_per_s, cold_start_s)
    }
}

/// The capacity that each kind of prediction would have needed on the test part, with so
/// many steps of lead.
///
/// # Errors
/// If the artifact is refused or has no forecaster.
pub fn needed_capacity(artifact: &[u8], series: &Series, lead_steps: usize) -> Result<Vec<Needed>> {
    let (model, split) = (Model::parse(artifact)?, Split::default());
    Ok(needed(series, &split, &calibrated(&model, series, &split)?, lead_steps))
}

/// An artifact's forecaster, calibrated on the validation part as in production.
fn calibrated<'a>(model: &'a Model<'a>, series: &Series, split: &Split) -> Result<Forecaster<'a>> {
    let forecaster = model.forecaster().context("the artifact has no forecaster")?;
    let calibration = calibrate(series, split, &|windows| evaluate::run(forecaster.program(), windows));
    Ok(forecaster.with_calibration(calibration))
}

impl Part {
    /// Lets a scaler run.
    pub fn run(&self, options: &ReplicaOptions, scaler: &mut dyn Scaler, seed: u64) -> Bill {
        run(&self.demand, &self.foreseen, options, scaler, seed)
    }
}
