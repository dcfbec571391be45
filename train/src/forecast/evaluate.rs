//! Rolling-origin evaluation on the test split, with what the artifact holds.

use std::ops::RangeInclusive;

use anyhow::{Context, Result};
use evenkeel_datasets::{Series, Split};
use evenkeel_runtime::forecast::{
    Calibration, FORECAST_FEATURES, HORIZONS, QUANTILE_COUNT, QUANTILES, Quantiles, steps_per_day,
};
use evenkeel_runtime::{Model, Program};

use super::calibrate::calibrate;
use super::dataset::{Parts, Windows};
use crate::metrics::{ForecastPlot, ForecastResult};

/// Most origins that a series is evaluated at.
const ORIGINS_MAX: usize = 3000;

/// The plot shows forecasts made about this long before.
const PLOT_HORIZON_S: f64 = 3600.0;

/// Most points of a plot.
const PLOT_POINTS_MAX: usize = 700;

/// Evaluates an artifact's forecaster on the test part of each series, over all horizons.
///
/// The first series, which the artifact was calibrated for, is served with the artifact's
/// own calibration, the others with one made from their validation part.
///
/// # Errors
/// If the artifact is refused by the runtime or has no forecaster.
pub fn evaluate(artifact: &[u8], series: &[Series], split: &Split) -> Result<Vec<ForecastResult>> {
    let model = Model::parse(artifact)?;
    let forecaster = model.forecaster().context("the artifact has no forecaster")?;
    let predict = |windows: &Windows| run(forecaster.program(), windows);
    let evaluate_one = |(index, series): (usize, &Series)| {
        let calibration = if index == 0 { *forecaster.calibration() } else { calibrate(series, split, &predict) };
        evaluate_series(series, split, &calibration, &predict, 0.0..=f64::INFINITY)
    };
    Ok(series.iter().enumerate().map(evaluate_one).collect())
}

/// Evaluates one series at the horizons within `horizons_s`.
pub fn evaluate_series(
    series: &Series,
    split: &Split,
    calibration: &Calibration,
    predict: &dyn Fn(&Windows) -> Vec<Quantiles>,
    horizons_s: RangeInclusive<f64>,
) -> ForecastResult {
    let targets = Parts::new(series, split).test();
    let mut windows = Windows::spaced(series, targets.clone(), ORIGINS_MAX);
    for actual in &mut windows.actual {
        for (value, horizon) in actual.iter_mut().zip(calibration.horizons) {
            if !horizons_s.contains(&(f64::from(horizon) * series.step_s)) {
                *value = f32::NAN;
            }
        }
    }
    let outputs = predict(&windows);
    let all: Vec<usize> = (0..windows.len()).collect();
    let (mut score, mut naive) = (Score::default(), Score::default());
    score.add_windows(calibration, &windows, &outputs, &all);
    naive.add_seasonal_naive(&windows);
    ForecastResult {
        series: series.name.clone(),
        step_s: series.step_s,
        served_by: calibration.kind.name().to_owned(),
        wql: score.wql(),
        wql_over_seasonal_naive: score.wql() / naive.wql(),
        mase: score.median_error() / seasonal_error(series, split),
        coverage: score.coverage(),
        plot: plot(series, targets, calibration, predict),
    }
}

/// The compiled network's output at every horizon of every window.
pub fn run(program: &Program<'_>, windows: &Windows) -> Vec<Quantiles> {
    let mut scratch = vec![0.0; program.scratch_len(HORIZONS)];
    let mut outputs = vec![[[0.0; QUANTILE_COUNT]; HORIZONS]; windows.len()];
    for (window, output) in outputs.iter_mut().enumerate() {
        scratch[..FORECAST_FEATURES * HORIZONS].copy_from_slice(windows.features(window));
        let columns = program.run(HORIZONS, &mut scratch).unwrap_or_default();
        for (quantile, column) in columns.chunks_exact(HORIZONS).enumerate() {
            for (row, value) in output.iter_mut().zip(column) {
                row[quantile] = *value;
            }
        }
    }
    outputs
}

/// Sums of the errors of a forecast.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Twice the pinball loss, over all values and quantiles.
    loss_sum: f64,
    actual_sum: f64,
    median_error_sum: f64,
    covered: [u64; QUANTILE_COUNT],
    count: u64,
}

impl Score {
    /// Adds a calibrated forecast of some windows.
    pub fn add_windows(
        &mut self,
        calibration: &Calibration,
        windows: &Windows,
        outputs: &[Quantiles],
        chosen: &[usize],
    ) {
        let mut forecast = [[0.0; QUANTILE_COUNT]; HORIZONS];
        for window in chosen {
            calibration.apply(&windows.frames[*window], &outputs[*window], &mut forecast);
            for (quantiles, actual) in forecast.iter().zip(&windows.actual[*window]) {
                self.add(quantiles, *actual);
            }
        }
    }

    /// Adds the value of a day before as a point forecast: each quantile is that value.
    pub fn add_seasonal_naive(&mut self, windows: &Windows) {
        for (frame, actual) in windows.frames.iter().zip(&windows.actual) {
            for (bases, actual) in frame.bases.iter().zip(actual) {
                self.add(&[bases.seasonal_naive * frame.scale; QUANTILE_COUNT], *actual);
            }
        }
    }

    fn add(&mut self, quantiles: &[f32; QUANTILE_COUNT], actual: f32) {
        if actual.is_nan() {
            return;
        }
        for ((quantile, probability), covered) in quantiles.iter().zip(QUANTILES).zip(&mut self.covered) {
            let error = f64::from(actual) - f64::from(*quantile);
            let probability = f64::from(probability);
            self.loss_sum += 2.0 * (probability * error).max((probability - 1.0) * error);
            *covered += u64::from(actual <= *quantile);
        }
        self.actual_sum += f64::from(actual.abs());
        self.median_error_sum += f64::from((actual - quantiles[QUANTILE_COUNT / 2]).abs());
        self.count += 1;
    }

    /// Weighted quantile loss: the mean over quantiles of twice the pinball loss, over the
    /// sum of the actual values.
    pub fn wql(&self) -> f64 {
        self.loss_sum / QUANTILE_COUNT as f64 / self.actual_sum
    }

    /// Mean absolute error of the median.
    pub fn median_error(&self) -> f64 {
        self.median_error_sum / self.count as f64
    }

    /// Share of the actual values at or under each quantile.
    pub fn coverage(&self) -> [f64; QUANTILE_COUNT] {
        self.covered.map(|covered| covered as f64 / self.count as f64)
    }
}

/// Mean absolute difference to the day before within the training part.
fn seasonal_error(series: &Series, split: &Split) -> f64 {
    let day = steps_per_day(series.step_s as f32);
    let [training, ..] = series.split(split);
    let values = &training.values;
    let errors = values.iter().zip(values.iter().skip(day)).map(|(old, new)| f64::from((new - old).abs()));
    let (sum, count) =
        errors.filter(|error| !error.is_nan()).fold((0.0, 0), |(sum, count), error| (sum + error, count + 1));
    sum / f64::from(count)
}

/// Forecasts of the first stretch of the test part, each made the plotted horizon before.
fn plot(
    series: &Series,
    targets: std::ops::Range<usize>,
    calibration: &Calibration,
    predict: &dyn Fn(&Windows) -> Vec<Quantiles>,
) -> ForecastPlot {
    let distance = |horizon: u32| (f64::from(horizon) * series.step_s - PLOT_HORIZON_S).abs();
    let horizons = calibration.horizons.into_iter().enumerate();
    let Some((row, horizon)) = horizons.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))) else {
        return ForecastPlot::default();
    };
    let end = targets.end.min(targets.start + PLOT_POINTS_MAX + horizon as usize);
    let windows = Windows::spaced(series, targets.start..end, usize::MAX);
    let outputs = predict(&windows);
    let mut plot = ForecastPlot { horizon_s: f64::from(horizon) * series.step_s, ..ForecastPlot::default() };
    let mut forecast = [[0.0; QUANTILE_COUNT]; HORIZONS];
    for (window, origin) in windows.origins.iter().enumerate() {
        let target = origin + horizon as usize;
        if target >= end {
            break;
        }
        calibration.apply(&windows.frames[window], &outputs[window], &mut forecast);
        let quantiles = forecast[row].map(f64::from);
        let actual = series.values[target];
        plot.time_s.push(series.time_s(target));
        plot.actual.push((!actual.is_nan()).then_some(f64::from(actual)));
        plot.q10.push(quantiles[0]);
        plot.q50.push(quantiles[QUANTILE_COUNT / 2]);
        plot.q90.push(quantiles[QUANTILE_COUNT - 1]);
    }
    plot
}
