//! What serves a series, chosen by living through its validation part.

use evenkeel_datasets::{Series, Split};
use evenkeel_numbers::quantile::predicted;
use evenkeel_runtime::forecast::{Calibration, HORIZONS, Kind, QUANTILE_COUNT, QUANTILES, Quantiles, Rolling};

use super::dataset::{Parts, Windows};
use super::score::Score;

/// The network's output at every horizon of every window.
pub type Predict<'a> = &'a dyn Fn(&Windows) -> Vec<Quantiles>;

/// Longest stretch of the validation part that is lived through, in steps; its end counts.
const STEPS_MAX: usize = 3000;

/// With fewer steps the validation part is too short to say anything; the end of the
/// training part is taken with it.
const STEPS_MIN: usize = 64;

/// Most windows of the training part that the residuals of a rule are taken from.
const RESIDUAL_WINDOWS_MAX: usize = 1000;

/// The first third of the steps settles the rolling calibration and is not scored.
const SETTLING: usize = 3;

/// A rule serves a series only if its loss is below this share of the network's: a
/// validation part is short, and the rolling calibration follows yesterday's value anyway
/// where that is better.
const RULE_MUST_REACH: f64 = 0.9;

/// Calibrates the forecaster for one series: the network, or a rule with the quantiles of
/// its residuals in the training part.
///
/// Each is served with rolling calibration through the validation part, as it would be in
/// production, and the least weighted quantile loss wins. The network's offsets stay 0: the
/// rolling calibration knows the present better than any fixed table does.
pub fn calibrate(series: &Series, split: &Split, predict: Predict<'_>) -> Calibration {
    let parts = Parts::new(series, split);
    let mut targets = parts.validation();
    let training = parts.training();
    if targets.len() < STEPS_MIN {
        targets.start = training.start.max(targets.end.saturating_sub(4 * STEPS_MIN)).min(targets.end);
    }
    targets.start = targets.start.max(targets.end.saturating_sub(STEPS_MAX));
    let windows = Windows::spaced(series, targets, usize::MAX);
    let outputs = predict(&windows);
    let network = Calibration::new(series.step_s as f32);
    let network_loss = live(series, &network, &windows, &outputs);
    let earlier = Windows::spaced(series, training, RESIDUAL_WINDOWS_MAX);
    let rules = [Kind::SeasonalNaive, Kind::LastValue, Kind::LevelShape].map(|kind| {
        let mut rule = Calibration::new(series.step_s as f32);
        rule.kind = kind;
        rule.residuals = residuals(kind, &earlier);
        (live(series, &rule, &windows, &outputs), rule)
    });
    match rules.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((loss, rule)) if loss < RULE_MUST_REACH * network_loss && rule.is_valid() => rule,
        _ => network,
    }
}

/// Weighted quantile loss of a life through these windows.
fn live(series: &Series, calibration: &Calibration, windows: &Windows, outputs: &[Quantiles]) -> f64 {
    let mut rolling = Rolling::new();
    let mut score = Score::default();
    let mut forecast = [[0.0; QUANTILE_COUNT]; HORIZONS];
    let mut settled = windows.origins.first().copied().unwrap_or(0);
    for (window, origin) in windows.origins.iter().enumerate() {
        for index in settled..=*origin {
            rolling.settle(index as u64 + 1, series.values[index]);
        }
        settled = origin + 1;
        let frame = &windows.frames[window];
        calibration.apply(frame, &outputs[window], &mut forecast);
        rolling.serve(*origin as u64 + 1, calibration, frame, &mut forecast);
        if window >= windows.len() / SETTLING {
            score += Score::of(&forecast, &windows.actual[window]);
        }
    }
    score.wql()
}

/// Quantiles of a rule's errors, in scaled units.
fn residuals(kind: Kind, windows: &Windows) -> Quantiles {
    let mut residuals = [[0.0; QUANTILE_COUNT]; HORIZONS];
    for (horizon, row) in residuals.iter_mut().enumerate() {
        // Neighbouring horizons err alike: three together make a steadier estimate.
        let near = horizon.saturating_sub(1)..(horizon + 2).min(HORIZONS);
        let mut errors: Vec<f32> = near
            .flat_map(|near| {
                let windows = windows.frames.iter().zip(&windows.actual);
                windows.map(move |(frame, actual)| actual[near] / frame.scale - kind.base(&frame.bases[near]))
            })
            .filter(|error| !error.is_nan())
            .collect();
        errors.sort_unstable_by(f32::total_cmp);
        *row =
            QUANTILES.map(|probability| if errors.is_empty() { 0.0 } else { predicted(&errors, probability) as f32 });
    }
    residuals
}
