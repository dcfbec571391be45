//! Conformal offsets, and what serves a series: both from validation data.

use evenkeel_datasets::{Series, Split};
use evenkeel_runtime::forecast::{Calibration, HORIZONS, Kind, QUANTILE_COUNT, QUANTILES, Quantiles};

use super::dataset::{Parts, Windows};
use super::score::Score;

/// The network's output at every horizon of every window.
pub type Predict<'a> = &'a dyn Fn(&Windows) -> Vec<Quantiles>;

/// Most windows that a calibration rests on.
const WINDOWS_MAX: usize = 3000;

/// With fewer windows the validation part is too short to say anything; the end of the
/// training part is taken with it.
const WINDOWS_MIN: usize = 64;

/// A rule serves a series only if its loss is below this share of the network's: the
/// network keeps adapting where a rule does not.
const RULE_MUST_REACH: f64 = 0.98;

/// Calibrates the forecaster for one series on its validation part.
///
/// What serves the series is chosen by weighted quantile loss: each half of the windows
/// is scored by a calibration from the other half, so that nothing is scored on what it
/// was fitted to. The offsets that are kept come from all windows.
pub fn calibrate(series: &Series, split: &Split, predict: Predict<'_>) -> Calibration {
    let parts = Parts::new(series, split);
    let mut targets = parts.validation();
    if targets.len() < WINDOWS_MIN {
        let training = parts.training();
        targets.start = training.start.max(targets.end.saturating_sub(4 * WINDOWS_MIN)).min(targets.end);
    }
    let windows = Windows::spaced(series, targets, WINDOWS_MAX);
    let outputs = predict(&windows);
    let step_s = series.step_s as f32;
    let all: Vec<usize> = (0..windows.len()).collect();
    let (early, late) = all.split_at(all.len() / 2);
    let loss = |kind: Kind| {
        let mut score = Score::default();
        for (fitted, scored) in [(early, late), (late, early)] {
            let calibration = fit(kind, step_s, &windows, &outputs, fitted);
            score.add_windows(&calibration, &windows, &outputs, scored);
        }
        score.wql()
    };
    let network_loss = loss(Kind::Network);
    let rules = [Kind::SeasonalNaive, Kind::LastValue, Kind::LevelShape];
    let best_rule = rules.map(|kind| (loss(kind), kind)).into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    let kind = match best_rule {
        Some((loss, kind)) if loss < RULE_MUST_REACH * network_loss => kind,
        _ => Kind::Network,
    };
    let calibration = fit(kind, step_s, &windows, &outputs, &all);
    if calibration.is_valid() { calibration } else { Calibration::new(step_s) }
}

/// The calibration of a kind from some of the windows.
fn fit(kind: Kind, step_s: f32, windows: &Windows, outputs: &[Quantiles], chosen: &[usize]) -> Calibration {
    let mut calibration = Calibration { kind, ..Calibration::new(step_s) };
    for horizon in 0..HORIZONS {
        for (quantile, probability) in QUANTILES.into_iter().enumerate() {
            // Neighbouring horizons err alike: three together make a steadier estimate.
            let mut errors: Vec<f32> = (horizon.saturating_sub(1)..(horizon + 2).min(HORIZONS))
                .flat_map(|near| chosen.iter().map(move |window| (*window, near)))
                .filter_map(|(window, near)| error(kind, windows, outputs, window, near, quantile))
                .collect();
            errors.sort_unstable_by(f32::total_cmp);
            let table = if kind == Kind::Network { &mut calibration.offsets } else { &mut calibration.residuals };
            table[horizon][quantile] = quantile_of(&errors, probability);
        }
    }
    calibration
}

/// What came less what was said before calibration, in scaled units; `None` where missing.
fn error(
    kind: Kind,
    windows: &Windows,
    outputs: &[Quantiles],
    window: usize,
    horizon: usize,
    quantile: usize,
) -> Option<f32> {
    let frame = &windows.frames[window];
    let actual = windows.actual[window][horizon] / frame.scale;
    let added = if kind == Kind::Network {
        let mut sorted: [f32; QUANTILE_COUNT] = outputs[window][horizon];
        sorted.sort_unstable_by(f32::total_cmp);
        sorted[quantile]
    } else {
        0.0
    };
    let error = actual - kind.base(&frame.bases[horizon]) - added;
    (!error.is_nan()).then_some(error)
}

/// The empirical quantile of sorted numbers at rank `probability · (n + 1)`, which is
/// what a new number exceeds with exactly the promised probability; 0 of none.
fn quantile_of(sorted: &[f32], probability: f32) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let rank = (f64::from(probability) * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, last as f64);
    let below = rank.floor() as usize;
    let above = (below + 1).min(last);
    let share = (rank - below as f64) as f32;
    sorted[below] + (sorted[above] - sorted[below]) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_and_stay_in_range() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile_of(&sorted, 0.5), 2.5);
        assert_eq!(quantile_of(&sorted, 0.1), 1.0);
        assert_eq!(quantile_of(&sorted, 0.9), 4.0);
        assert_eq!(quantile_of(&[], 0.5), 0.0);
    }
}
