//! What the forecaster's network sees, defined once for training and serving.
//!
//! ```text
//! Recent (levels, last values, likeness of past days) ─┬─► 41 features, the same at every horizon
//!                                                      └─► Targets (past days at the target) ─► 37 features
//! ```
//!
//! Values are divided by the scale, the mean of the last day, so that the network is the
//! same for a service of one request a second and one of ten thousand. What is near in
//! time enters as its difference to the present level, what is near in season as its
//! difference to the base forecast, to which the network's output is added: a service that
//! grows or shrinks, or a day that resembles none before, looks to the network like any
//! other. Differences are compressed, so that outliers are no more
//! than that. A missing value is replaced by the
//! nearest known one that is older (recent lags) or by the base (seasonal lags), and the
//! shares of missing ones are features themselves.

use evenkeel_numbers::fnv::Fnv1a;

use super::day::steps_per_day;
use super::frame::{Bases, Frame};
use super::recent::Recent;
use super::targets::Targets;
use super::{Evidence, HORIZONS, Lanes, Past};

/// Width of the network's input.
pub const FORECAST_FEATURES: usize = 78;

/// Names of the features, in the order of the network's input columns.
#[rustfmt::skip]
pub const NAMES: [&str; FORECAST_FEATURES] = [
    // Of the past: the same at every horizon.
    "lag_0", "lag_1", "lag_2", "lag_3", "lag_4", "lag_5", "lag_6", "lag_7", "lag_8", "lag_9", "lag_10", "lag_11",
    "lag_12", "lag_13", "lag_14", "lag_15", "lag_16", "lag_17", "lag_18", "lag_19", "lag_20", "lag_21", "lag_22",
    "lag_23",
    "mean_eighth_day", "mean_half_day", "level",
    "level_1_day_ago", "level_2_days_ago", "level_3_days_ago", "level_7_days_ago", "level_14_days_ago",
    "variation", "daily_change", "missing_recent", "ln_steps_per_day",
    "unlike_1_day_ago", "unlike_2_days_ago", "unlike_7_days_ago", "unlike_14_days_ago", "unlike_least",
    // Of the target: days before it, some with the steps before and after.
    "day_1", "day_2", "day_3", "day_7", "day_14", "day_1_before", "day_1_after", "day_7_before", "day_7_after",
    "missing_seasonal", "season", "level_shape", "median", "median_shifted", "median_scaled", "least", "greatest",
    "spread", "spread_shifted",
    "alike", "alike_smooth", "alike_shifted", "alike_spread", "base", "base_change",
    "horizon_days", "horizon_inverse", "horizon_share", "horizon_ln",
    "day_sin", "day_cos", "half_day_sin", "half_day_cos", "week_sin", "week_cos", "half_week_sin", "half_week_cos",
];

/// Changes whenever a feature's name, place or meaning changes: FNV-1a over the names and
/// [`MEANING`].
pub const SCHEMA_HASH: u64 = schema_hash();

/// To be raised when a feature's formula changes but its name does not.
const MEANING: u8 = 2;

/// Length of the history that the features reach back: fifteen days.
pub fn history_len(step_s: f32) -> usize {
    15 * steps_per_day(step_s)
}

/// Computes the features of every horizon into `out`, column after column:
/// `[FORECAST_FEATURES][HORIZONS]`.
///
/// `past` has one value for each `step_s` seconds, `epoch_s` is the Unix time of its
/// newest. Returns `None` if the last day has no value at all, or `out` is too short.
pub fn fill(past: &Past<'_>, step_s: f32, horizons: &[u32; HORIZONS], epoch_s: f64, out: &mut [f32]) -> Option<Frame> {
    let columns: &mut [Lanes; FORECAST_FEATURES] = out.as_chunks_mut().0.first_chunk_mut()?;
    let recent = Recent::new(past, step_s)?;
    let targets = Targets::new(&recent, horizons);
    let times_s = horizons.map(|horizon| epoch_s + f64::from(horizon) * f64::from(step_s));
    let mut columns = columns.iter_mut();
    recent.write(&mut columns);
    targets.write(&recent, horizons, &times_s, &mut columns);
    let mut bases = [Bases { last_value: recent.newest(), ..Bases::default() }; HORIZONS];
    for (bases, (naive, shape)) in bases.iter_mut().zip(targets.seasonal_naive.into_iter().zip(targets.base)) {
        bases.seasonal_naive = naive;
        bases.level_shape = shape;
    }
    let missing_seasonal = targets.missing.iter().sum::<f32>() / HORIZONS as f32;
    let evidence = Evidence {
        history_days: past.len() as f32 / recent.day as f32,
        missing_share: 0.5 * (recent.missing_share + missing_seasonal),
    };
    Some(Frame { scale: recent.scale, bases, evidence })
}

const fn schema_hash() -> u64 {
    let mut hash = Fnv1a::new().byte(MEANING);
    let mut name = 0;
    while name < NAMES.len() {
        hash = hash.bytes(NAMES[name].as_bytes()).byte(0);
        name += 1;
    }
    hash.finish()
}
