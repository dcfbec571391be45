//! The demand forecaster: its network, how it is trained, calibrated and evaluated.
//!
//! ```text
//! series ─► Windows (features of the runtime) ─► fit ─► calibrate (validation) ─► evaluate (test)
//! ```
//!
//! One network learns from all series together. Each series is a service of its own: it
//! gets its own conformal offsets and, where a simple rule serves it better on validation
//! data, that rule. The artifact carries the calibration of the series if it is the only one.

pub mod baselines;
pub mod bootstrap;
pub mod calibrate;
pub mod dataset;
pub mod evaluate;
pub mod export;
pub mod fit;
pub mod network;
pub mod score;
pub mod serve;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, ensure};
use burn::prelude::Device;
use evenkeel_datasets::random::generator;
use evenkeel_datasets::{Series, Split};
use evenkeel_export::onnx::{BuildError, OnnxModel};
use evenkeel_runtime::forecast::{Calibration, HORIZONS};
use serde::{Deserialize, Serialize};

use crate::metrics::{CurvePoint, ForecastResult};
use crate::output::RunFolder;
use crate::progress::Stage;
use crate::stop::StopFlag;
use dataset::{Parts, Windows};
use fit::{Data, FitOptions};
use network::{ForecastNetwork, ForecastWeights};

/// How much to learn from, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Training windows of all series together, shared out equally.
    pub windows: usize,
    /// The fit itself.
    pub fit: FitOptions,
}

impl Options {
    /// A model to deploy.
    pub const FULL: Self = Self {
        windows: 24_000,
        fit: FitOptions { steps: 4000, batch: 512, learning_rate: 2e-3, checks: 20, patience: 10 },
    };
    /// A first look.
    pub const QUICK: Self =
        Self { windows: 3000, fit: FitOptions { steps: 400, batch: 512, learning_rate: 4e-3, checks: 4, patience: 4 } };
}

/// A trained forecaster.
#[derive(Clone, Debug)]
pub struct TrainedForecaster {
    /// The network's numbers.
    pub weights: ForecastWeights,
    /// What goes into the artifact: the calibration of the series if there is only one,
    /// otherwise none but the step of the first, for services that are new to the model.
    pub calibration: Calibration,
    /// Name of each series and what serves it.
    pub served_by: Vec<(String, &'static str)>,
    /// Loss over the fit.
    pub curve: Vec<CurvePoint>,
    network: ForecastNetwork,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    weights: ForecastWeights,
    curve: Vec<CurvePoint>,
}

const CHECKPOINT: &str = "forecast.json";

/// Streams of the run's generator, so that the stages draw independently.
const STREAM_WINDOWS: u64 = 11;
const STREAM_FIT: u64 = 12;

/// Trains the network on the training parts of all series and calibrates each on its
/// validation part. A run that has been through this stage takes up its result.
///
/// # Errors
/// If no series is long enough to learn from; [`crate::stop::Stopped`] once the user asks
/// to stop.
#[expect(clippy::too_many_arguments, reason = "the inputs of the stage, each on its own")]
pub fn train(
    folder: &RunFolder,
    series: &[Series],
    split: &Split,
    options: &Options,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    stage: &Stage<'_>,
) -> Result<TrainedForecaster> {
    let Checkpoint { weights, curve } = if let Some(checkpoint) = folder.load(CHECKPOINT)? {
        checkpoint
    } else {
        stage.set_steps(options.fit.steps);
        let fitted = fit_network(series, split, options, seed, device, stop, stage)?;
        folder.save(CHECKPOINT, &fitted)?;
        fitted
    };
    let network = ForecastNetwork::from_weights(&weights, device);
    let mut calibrations = Vec::new();
    for series in series {
        stop.check()?;
        let calibration = calibrate::calibrate(series, split, &|windows| network.predict(windows));
        calibrations.push((series.name.clone(), calibration));
    }
    let served_by = calibrations.iter().map(|(name, calibration)| (name.clone(), calibration.kind.name())).collect();
    let step_s = series.first().context("there is no series to forecast")?.step_s as f32;
    let calibration = match calibrations.as_slice() {
        [(_, only)] => *only,
        // Of several services none speaks for one to come.
        _ => Calibration::new(step_s),
    };
    Ok(TrainedForecaster { weights, calibration, served_by, curve, network })
}

fn fit_network(
    series: &[Series],
    split: &Split,
    options: &Options,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    stage: &Stage<'_>,
) -> Result<Checkpoint> {
    let mut rng = generator(seed, STREAM_WINDOWS);
    let quota = (options.windows / series.len().max(1)).max(100);
    let (mut training, mut validation) = (Data::default(), Data::default());
    for series in series {
        let parts = Parts::new(series, split);
        training.append(&Windows::sample(series, parts.training(), quota, &mut rng));
        validation.append(&Windows::spaced(series, parts.validation(), quota.div_ceil(8)));
    }
    ensure!(
        training.rows() > 0,
        "no series has enough values to learn forecasting from: the longest has {}, expected at least {}",
        series.iter().map(Series::len).max().unwrap_or(0),
        4 * HORIZONS
    );
    let fitted = fit::fit(
        &training,
        &validation,
        &options.fit,
        &mut generator(seed, STREAM_FIT),
        device,
        stop.as_atomic(),
        &mut |progress| {
            stage.at(progress.step);
            stage.loss(progress.loss);
        },
    )?;
    Ok(Checkpoint { weights: fitted.weights, curve: fitted.curve })
}

/// Evaluates an artifact's forecaster on the test part of each series, for a run's report.
///
/// # Errors
/// If the artifact is refused by the runtime or has no forecaster.
pub fn evaluate(artifact: &[u8], series: &[Series], split: &Split) -> Result<Vec<ForecastResult>> {
    let options = evaluate::Options { split: *split, ..evaluate::Options::default() };
    let results = evaluate::evaluate(artifact, series, &options)?;
    Ok(results.iter().map(evaluate::SeriesResult::summary).collect())
}

impl TrainedForecaster {
    /// The network as it is served, computed by burn: `[rows][FORECAST_FEATURES]` in,
    /// `[rows][QUANTILE_COUNT]` out.
    pub fn predict_rows(&self, features: &[f32], rows: usize) -> Vec<f32> {
        self.network.predict_rows(features, rows)
    }

    /// The network as an ONNX model.
    ///
    /// # Errors
    /// If a weight is not finite.
    pub fn onnx(&self) -> Result<OnnxModel, BuildError> {
        export::onnx(&self.weights, &[("producer", "evenkeel")])
    }

    /// One line for the log.
    pub fn describe(&self) -> String {
        let by_network = self.served_by.iter().filter(|(_, kind)| *kind == "network").count();
        let loss = self.curve.iter().filter_map(|point| point.validation).fold(f64::INFINITY, f64::min);
        format!(
            "{} weights, validation loss {loss:.4}; the network serves {by_network} of {} series",
            self.weights.count(),
            self.served_by.len()
        )
    }
}
