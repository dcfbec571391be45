//! Rolling-origin evaluation on the test split, with what the artifact holds.

use std::path::Path;

use anyhow::{Context, Result};
use evenkeel_datasets::{Series, Split};
use evenkeel_runtime::forecast::{
    Calibration, FORECAST_FEATURES, Forecaster, HORIZONS, QUANTILE_COUNT, Quantiles, steps_per_day,
};
use evenkeel_runtime::{Model, Program};
use rayon::prelude::*;

use super::baselines::{self, External, mean_of_last, seasonal_naive};
use super::bootstrap::{Pair, estimates};
use super::calibrate::calibrate;
use super::dataset::{Parts, Windows};
use super::score::{FIGURES, Score, seasonal_error};
use super::serve::serve;
use crate::metrics::{Estimate, ForecastPlot, ForecastResult};

/// Name of the trained model in results.
pub const TRAINED: &str = "evenkeel";
/// Name of the trained model with its network in 8-bit integers.
pub const TRAINED_INT8: &str = "evenkeel_int8";
/// Name of the rule that others are compared with.
pub const SEASONAL_NAIVE: &str = "seasonal_naive";

/// Most origins that a series is evaluated at, unless told otherwise.
pub const ORIGINS_MAX: usize = 3000;

/// The plot shows forecasts made about this long before.
const PLOT_HORIZON_S: f64 = 3600.0;

/// Most points of a plot.
const PLOT_POINTS_MAX: usize = 700;

/// How to evaluate.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// How each series is split in time; only the last part is scored.
    pub split: Split,
    /// Most origins of a series, evenly spaced.
    pub origins_max: usize,
    /// Whether a series gets a calibration of its own from its validation part, as the
    /// trainer would give it. Otherwise the artifact's is used: a new service, zero-shot.
    pub calibrate: bool,
    /// Whether to evaluate the network in 8-bit integers too.
    pub int8: bool,
    /// Forecasts of other models.
    pub others: &'a [(String, External)],
    /// Where to write the windows for other models.
    pub export: Option<&'a Path>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            split: Split::default(),
            origins_max: ORIGINS_MAX,
            calibrate: true,
            int8: false,
            others: &[],
            export: None,
        }
    }
}

/// All models on one series.
#[derive(Clone, Debug)]
pub struct SeriesResult {
    /// Name of the series.
    pub series: String,
    /// Seconds between points.
    pub step_s: f64,
    /// Number of windows that all models were scored on.
    pub origins: usize,
    /// What serves the series: the network, or a rule that did better on validation data.
    pub served_by: &'static str,
    /// Each model's name and [`FIGURES`], the trained one first.
    pub models: Vec<(String, [Estimate; FIGURES.len()])>,
    /// A stretch of the test part.
    pub plot: ForecastPlot,
}

impl SeriesResult {
    /// The trained model's figure of this name.
    ///
    /// # Panics
    /// If there is no such figure.
    pub fn figure(&self, name: &str) -> Estimate {
        let index = FIGURES.iter().position(|known| *known == name).expect("a name out of FIGURES");
        self.models[0].1[index]
    }

    /// The form in which a run's report shows it.
    pub fn summary(&self) -> ForecastResult {
        let figures = self.models[0].1.map(|estimate| estimate.value);
        ForecastResult {
            series: self.series.clone(),
            step_s: self.step_s,
            served_by: self.served_by.to_owned(),
            wql: figures[0],
            wql_over_seasonal_naive: figures[1],
            mase: figures[2],
            coverage: std::array::from_fn(|index| figures[FIGURES.len() - QUANTILE_COUNT + index]),
            plot: self.plot.clone(),
        }
    }
}

/// Evaluates an artifact's forecaster and its rivals on the test part of each series, over
/// all horizons, at the same origins.
///
/// # Errors
/// If the artifact is refused by the runtime or has no forecaster, and what other models'
/// files and the export of windows refuse.
pub fn evaluate(artifact: &[u8], series: &[Series], options: &Options<'_>) -> Result<Vec<SeriesResult>> {
    let model = Model::parse(artifact)?;
    let forecaster = model.forecaster().context("the artifact has no forecaster")?;
    let rounded = options.int8.then(|| evenkeel_export::with_int8_forecaster(artifact)).transpose()?;
    let rounded = rounded.as_deref().map(Model::parse).transpose()?;
    let rounded = rounded.as_ref().and_then(Model::forecaster);
    let one = |(index, series): (usize, &Series)| evaluate_series(forecaster, rounded, index, series, options);
    series.par_iter().enumerate().map(one).collect()
}

fn evaluate_series(
    forecaster: &Forecaster<'_>,
    rounded: Option<&Forecaster<'_>>,
    index: usize,
    series: &Series,
    options: &Options<'_>,
) -> Result<SeriesResult> {
    let calibration = if options.calibrate {
        calibrate(series, &options.split, &|windows| run(forecaster.program(), windows))
    } else {
        let Calibration { offsets, residuals, kind, .. } = *forecaster.calibration();
        Calibration { offsets, residuals, kind, ..Calibration::new(series.step_s as f32) }
    };
    let forecaster = forecaster.with_calibration(calibration);
    let parts = Parts::new(series, &options.split);
    let targets = parts.test();
    // What rolls has the validation part to settle in.
    let begin = parts.validation().start.saturating_sub(1);
    let windows = Windows::spaced(series, targets.clone(), options.origins_max);
    let horizons = calibration.horizons;
    if let Some(folder) = options.export {
        baselines::export(folder, index, series, &windows, &horizons)?;
    }
    let at_origins =
        |forecast: &dyn Fn(usize) -> Quantiles| windows.origins.iter().map(|origin| forecast(*origin)).collect();
    let naive: Vec<Quantiles> = at_origins(&|origin| seasonal_naive(series, origin, &horizons));
    let mut forecasts = vec![
        (TRAINED.to_owned(), serve(&forecaster, series, begin, &windows.origins)),
        (SEASONAL_NAIVE.to_owned(), naive.clone()),
        ("mean_of_last_6".to_owned(), at_origins(&|origin| mean_of_last(series, origin))),
    ];
    if let Some(rounded) = rounded {
        let forecaster = rounded.with_calibration(calibration);
        forecasts.push((TRAINED_INT8.to_owned(), serve(&forecaster, series, begin, &windows.origins)));
    }
    for (name, external) in options.others {
        if let Some(found) = external.at(&series.name, &windows.origins).with_context(|| name.clone())? {
            forecasts.push((name.clone(), found));
        }
    }
    let error = seasonal_error(series, &options.split);
    // Origins may be spaced: as many of them as make a day.
    let spacing = windows.origins.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1);
    let per_day = steps_per_day(series.step_s as f32).div_ceil(spacing.max(1));
    let figures = |forecasts: &[Quantiles]| {
        let pairs: Vec<Pair> = forecasts
            .iter()
            .zip(&naive)
            .zip(&windows.actual)
            .map(|((own, naive), actual)| [Score::of(own, actual), Score::of(naive, actual)])
            .collect();
        estimates(&pairs, per_day, error)
    };
    Ok(SeriesResult {
        series: series.name.clone(),
        step_s: series.step_s,
        origins: windows.len(),
        served_by: calibration.kind.name(),
        models: forecasts.iter().map(|(name, forecasts)| (name.clone(), figures(forecasts))).collect(),
        plot: plot(series, targets, begin, &forecaster),
    })
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

/// Forecasts of the first stretch of the test part, each made the plotted horizon before.
fn plot(series: &Series, targets: std::ops::Range<usize>, begin: usize, forecaster: &Forecaster<'_>) -> ForecastPlot {
    let distance = |horizon: u32| (f64::from(horizon) * series.step_s - PLOT_HORIZON_S).abs();
    let horizons = forecaster.calibration().horizons.into_iter().enumerate();
    let Some((row, horizon)) = horizons.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))) else {
        return ForecastPlot::default();
    };
    let first = targets.start.saturating_sub(horizon as usize);
    let end = targets.end.min(targets.start + PLOT_POINTS_MAX).saturating_sub(horizon as usize);
    let origins: Vec<usize> = (first..end).collect();
    let mut plot = ForecastPlot { horizon_s: f64::from(horizon) * series.step_s, ..ForecastPlot::default() };
    for (origin, forecast) in origins.iter().zip(serve(forecaster, series, begin, &origins)) {
        let target = origin + horizon as usize;
        let (quantiles, actual) = (forecast[row].map(f64::from), series.values[target]);
        plot.time_s.push(series.time_s(target));
        plot.actual.push((!actual.is_nan()).then_some(f64::from(actual)));
        plot.q10.push(quantiles[0]);
        plot.q50.push(quantiles[QUANTILE_COUNT / 2]);
        plot.q90.push(quantiles[QUANTILE_COUNT - 1]);
    }
    plot
}
