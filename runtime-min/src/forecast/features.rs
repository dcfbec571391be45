//! What the forecaster's network sees, defined once for training and serving.
//!
//! Values are divided by the scale, the mean of the last day, so that the network is the
//! same for a service of one request a second and one of ten thousand; 1 is taken away
//! to centre them. A missing value is replaced by the nearest known one that is older
//! (recent lags) or by the seasonal mean (seasonal lags), and the shares of missing ones
//! are features themselves.

use core::slice::IterMut;

use super::{Evidence, HORIZONS, Past, cycle};
use crate::math;

/// Width of the network's input.
pub const FORECAST_FEATURES: usize = 60;

/// Names of the features, in the order of the network's input columns.
#[rustfmt::skip]
pub const NAMES: [&str; FORECAST_FEATURES] = [
    // Of the past: the same at every horizon.
    "lag_0", "lag_1", "lag_2", "lag_3", "lag_4", "lag_5", "lag_6", "lag_7", "lag_8", "lag_9", "lag_10", "lag_11",
    "lag_12", "lag_13", "lag_14", "lag_15", "lag_16", "lag_17", "lag_18", "lag_19", "lag_20", "lag_21", "lag_22",
    "lag_23",
    "mean_eighth_day", "mean_half_day",
    "level_1_day_ago", "level_2_days_ago", "level_3_days_ago", "level_7_days_ago",
    "variation", "daily_change", "missing_recent", "ln_steps_per_day",
    // Of the target: days before it, with the steps before and after.
    "day_1_before", "day_1", "day_1_after", "day_2_before", "day_2", "day_2_after",
    "day_3_before", "day_3", "day_3_after", "day_7_before", "day_7", "day_7_after",
    "missing_seasonal", "season", "level_shape",
    "horizon_days", "horizon_inverse", "horizon_ln",
    "day_sin", "day_cos", "half_day_sin", "half_day_cos", "week_sin", "week_cos", "half_week_sin", "half_week_cos",
];

/// Changes whenever a feature's name, place or meaning changes: FNV-1a over the names and
/// [`MEANING`].
pub const SCHEMA_HASH: u64 = schema_hash();

/// To be raised when a feature's formula changes but its name does not.
const MEANING: u8 = 1;

const DAY_S: f64 = 86_400.0;
const WEEK_S: f64 = 7.0 * DAY_S;

/// Number of recent values that are features themselves.
const RECENT: usize = 24;

/// Seasonal lags in days, and how much each counts in the seasonal mean: the same weekday
/// most, then the more recent.
const SEASONS: [(usize, f32); 4] = [(1, 0.3), (2, 0.15), (3, 0.15), (7, 0.4)];

/// Scaled values are clipped to this, before 1 is taken away.
const SCALED_MAX: f32 = 10.0;

/// A service that stood still for a day still needs something to divide by.
const SCALE_MIN: f32 = 1e-6;

/// The present level counts at most this much more or less than the season's.
const LEVEL_RATIO_MAX: f32 = 4.0;

/// How a forecast's frame of reference was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Mean magnitude of the last day; what scaled units are multiples of.
    pub scale: f32,
    /// The simple rules' points at each horizon.
    pub bases: [Bases; HORIZONS],
    /// How much of the past was there.
    pub evidence: Evidence,
}

/// Point forecasts of the simple rules at one horizon, in scaled units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bases {
    /// The newest known value.
    pub last_value: f32,
    /// The value a day before the target.
    pub seasonal_naive: f32,
    /// The seasonal mean at the target, moved towards the present level the more the
    /// nearer the target is. After FLAIR (arXiv 2605.07222): level × shape.
    pub level_shape: f32,
}

/// Steps of a day, at least 2.
pub fn steps_per_day(step_s: f32) -> usize {
    ((DAY_S as f32 / step_s + 0.5) as usize).clamp(2, 1 << 20)
}

/// Length of the history that the features reach back: eight days.
pub fn history_len(step_s: f32) -> usize {
    8 * steps_per_day(step_s)
}

/// Computes the features of every horizon into `out`, column after column:
/// `[FORECAST_FEATURES][HORIZONS]`.
///
/// `past` has one value for each `step_s` seconds, `epoch_s` is the Unix time of its
/// newest. Returns `None` if the last day has no value at all, or `out` is too short.
pub fn fill(past: &Past<'_>, step_s: f32, horizons: &[u32; HORIZONS], epoch_s: f64, out: &mut [f32]) -> Option<Frame> {
    let columns: &mut [[f32; HORIZONS]; FORECAST_FEATURES] = out.as_chunks_mut().0.first_chunk_mut()?;
    let recent = Recent::new(past, step_s)?;
    let mut targets = [Target::default(); HORIZONS];
    for (target, horizon) in targets.iter_mut().zip(horizons) {
        *target = Target::new(&recent, *horizon as usize, epoch_s + f64::from(*horizon) * f64::from(step_s));
    }
    let mut columns = columns.iter_mut();
    recent.write(&mut columns);
    for (index, column) in columns.enumerate() {
        for (place, target) in column.iter_mut().zip(&targets) {
            *place = target.features.get(index).copied().unwrap_or(0.0);
        }
    }
    let seasonal_missing = targets.iter().map(|target| target.missing_share).sum::<f32>() / HORIZONS as f32;
    let evidence = Evidence {
        history_days: past.len() as f32 / recent.day as f32,
        missing_share: 0.5 * (recent.missing_share + seasonal_missing),
    };
    Some(Frame { scale: recent.scale, bases: targets.map(|target| target.bases), evidence })
}

/// What does not depend on the horizon.
struct Recent<'a> {
    past: &'a Past<'a>,
    day: usize,
    scale: f32,
    /// Newest first, scaled, gaps closed.
    lags: [f32; RECENT],
    missing_share: f32,
    /// Mean of the last hour or so, scaled.
    level: f32,
    /// The same so many days ago; NaN where unknown.
    season_levels: [f32; SEASONS.len()],
    mean_eighth_day: f32,
    mean_half_day: f32,
    variation: f32,
    daily_change: f32,
}

impl<'a> Recent<'a> {
    fn new(past: &'a Past<'a>, step_s: f32) -> Option<Self> {
        let day = steps_per_day(step_s);
        let (sum, known) = past.sum(0, day, f32::abs);
        if known == 0 {
            return None;
        }
        let scale = (sum / known as f32).clamp(SCALE_MIN, f32::MAX);
        let scaled = |value: f32| bounded(value / scale);

        let mut lags = [0.0; RECENT];
        let (mut nearest, mut missing) = (1.0, 0);
        for (lag, place) in lags.iter_mut().enumerate().rev() {
            let value = past.at(lag);
            if value.is_nan() {
                missing += 1;
            } else {
                nearest = scaled(value);
            }
            *place = nearest;
        }
        // Where the history begins within the lags, its first value stands for what was before.
        let first = RECENT.min(past.len()).saturating_sub(1);
        let oldest = lags.get(first).copied().unwrap_or(nearest);
        for place in lags.iter_mut().skip(first + 1) {
            *place = oldest;
        }

        let window = (day / 24).clamp(3, 64);
        let mean = |lag: usize, count: usize| past.mean(lag, count).map(scaled);
        let level = mean(0, window).unwrap_or(nearest);
        let (change, changes) = (0..RECENT)
            .map(|lag| (past.at(lag) - past.at(lag + day)).abs())
            .filter(|change| !change.is_nan())
            .fold((0.0, 0), |(sum, count), change| (sum + change, count + 1));
        let variation = lags.iter().zip(lags.iter().skip(1)).map(|(new, old)| (new - old).abs()).sum::<f32>();
        Some(Self {
            past,
            day,
            scale,
            lags,
            missing_share: missing as f32 / RECENT as f32,
            level,
            season_levels: SEASONS.map(|(days, _)| mean(days * day, window).unwrap_or(f32::NAN)),
            mean_eighth_day: mean(0, day.div_ceil(8)).unwrap_or(level),
            mean_half_day: mean(0, day.div_ceil(2)).unwrap_or(level),
            variation: variation / (RECENT - 1) as f32,
            daily_change: bounded(if changes == 0 { scale } else { change / changes as f32 } / scale),
        })
    }

    fn write(&self, columns: &mut IterMut<'_, [f32; HORIZONS]>) {
        let centred = self.lags.into_iter().chain([self.mean_eighth_day, self.mean_half_day]);
        let levels = self.season_levels.into_iter().map(|level| known(level, self.level));
        let others = [self.variation, self.daily_change, self.missing_share, 0.25 * math::ln(self.day as f32 / 144.0)];
        for value in centred.chain(levels).map(|value| value - 1.0).chain(others) {
            if let Some(column) = columns.next() {
                *column = [value; HORIZONS];
            }
        }
    }
}

/// Number of features that depend on the horizon.
const TARGET_FEATURES: usize = 26;

/// One horizon.
#[derive(Clone, Copy)]
struct Target {
    features: [f32; TARGET_FEATURES],
    missing_share: f32,
    bases: Bases,
}

impl Default for Target {
    fn default() -> Self {
        Self { features: [0.0; TARGET_FEATURES], missing_share: 1.0, bases: Bases::default() }
    }
}

impl Target {
    fn new(recent: &Recent<'_>, horizon: usize, time_s: f64) -> Self {
        // Before, at and after the target, so many days earlier.
        let seasons = SEASONS.map(|(days, _)| {
            [-1isize, 0, 1].map(|neighbour| {
                let lag = (days * recent.day).checked_sub(horizon).and_then(|lag| lag.checked_add_signed(-neighbour));
                lag.map_or(f32::NAN, |lag| bounded(recent.past.at(lag) / recent.scale))
            })
        });
        let values = seasons.as_flattened();
        let missing_share = values.iter().filter(|value| value.is_nan()).count() as f32 / values.len() as f32;
        let (season, season_level) = seasonal_mean(&seasons, &recent.season_levels);
        let near = 1.0 / (1.0 + 4.0 * horizon as f32 / recent.day as f32);
        let ratio = (recent.level / season_level.max(1e-3)).clamp(1.0 / LEVEL_RATIO_MAX, LEVEL_RATIO_MAX);
        let level_shape = if season.is_nan() {
            recent.level
        } else if season_level.is_nan() {
            season
        } else {
            bounded(season * (1.0 + (ratio - 1.0) * near))
        };
        let season = known(season, recent.level);
        let [yesterday, ..] = seasons;
        let seasonal_naive = known(yesterday[1], season);

        let day = cycle::phase(time_s, DAY_S);
        let week = cycle::phase(time_s, WEEK_S);
        let twice = |phase: f32| if phase < 0.5 { 2.0 * phase } else { 2.0 * phase - 1.0 };
        let horizon_days = horizon as f32 / recent.day as f32;
        let horizon_ln = math::ln(horizon as f32) / math::ln(recent.day as f32);
        let cycles = [day, twice(day), week, twice(week)].map(cycle::sin_cos);
        let centred = values.iter().map(|value| known(*value, season) - 1.0);
        let rest =
            [missing_share, season - 1.0, level_shape - 1.0, horizon_days, 1.0 / horizon.max(1) as f32, horizon_ln];
        let mut features = [0.0; TARGET_FEATURES];
        for (place, value) in features.iter_mut().zip(centred.chain(rest).chain(cycles.as_flattened().iter().copied()))
        {
            *place = value;
        }
        let [newest, ..] = recent.lags;
        Self { features, missing_share, bases: Bases { last_value: newest, seasonal_naive, level_shape } }
    }
}

/// Weighted mean over the days of the value at the target (smoothed with its neighbours)
/// and of the level then; NaN where no day is known.
fn seasonal_mean(seasons: &[[f32; 3]; SEASONS.len()], levels: &[f32; SEASONS.len()]) -> (f32, f32) {
    let (mut value_sum, mut level_sum, mut weight_sum, mut level_weight_sum) = (0.0, 0.0, 0.0, 0.0);
    for (([before, at, after], level), (_, weight)) in seasons.iter().zip(levels).zip(SEASONS) {
        if at.is_nan() {
            continue;
        }
        value_sum += weight * (0.25 * known(*before, *at) + 0.5 * at + 0.25 * known(*after, *at));
        weight_sum += weight;
        if !level.is_nan() {
            level_sum += weight * level;
            level_weight_sum += weight;
        }
    }
    // 0 / 0 is the NaN that says so.
    (value_sum / weight_sum, level_sum / level_weight_sum)
}

fn known(value: f32, otherwise: f32) -> f32 {
    if value.is_nan() { otherwise } else { value }
}

/// Scaled values within what the network has seen; NaN stays NaN.
fn bounded(scaled: f32) -> f32 {
    scaled.clamp(-SCALED_MAX, SCALED_MAX)
}

const fn schema_hash() -> u64 {
    let mut hash = fnv(0xcbf2_9ce4_8422_2325, MEANING);
    let mut name = 0;
    while name < NAMES.len() {
        let bytes = NAMES[name].as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            hash = fnv(hash, bytes[at]);
            at += 1;
        }
        hash = fnv(hash, 0);
        name += 1;
    }
    hash
}

const fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}
