//! A service's life, replayed: the runtime's forecaster along a series.

use evenkeel_datasets::Series;
use evenkeel_runtime::forecast::features::history_len;
use evenkeel_runtime::forecast::{Forecaster, HORIZONS, History, QUANTILE_COUNT, Quantiles, Rolling};

/// Pushes the values of a series one by one, as a proxy would, and forecasts at each step
/// from `begin` on, where its life with the forecaster begins. What is returned are the
/// forecasts at `origins` (increasing indices of the newest known value).
///
/// What is forecast where the last day has no value is the newest value as a point, 0 if
/// there is none: a proxy would go on with what it sees.
pub fn serve(forecaster: &Forecaster<'_>, series: &Series, begin: usize, origins: &[usize]) -> Vec<Quantiles> {
    let step_s = series.step_s as f32;
    let mut memory = vec![0.0; history_len(step_s)];
    let mut rolling = Rolling::new();
    let mut history = History::new(&mut memory).with_rolling(&mut rolling);
    let mut scratch = vec![0.0; forecaster.scratch_len()];
    let mut origins = origins.iter().peekable();
    let mut newest = 0.0;
    let mut forecasts = Vec::with_capacity(origins.len());
    for (index, value) in series.values.iter().enumerate() {
        history.push(*value);
        newest = if value.is_nan() { newest } else { *value };
        if index < begin {
            continue;
        }
        let mut quantiles = [[newest; QUANTILE_COUNT]; HORIZONS];
        forecaster.forecast(&mut history, series.time_s(index), &mut scratch, &mut quantiles);
        if origins.next_if_eq(&&index).is_some() {
            forecasts.push(quantiles);
        }
    }
    forecasts
}
