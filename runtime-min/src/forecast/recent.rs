//! What a forecast knows whatever its horizon: the last values, levels, and which past
//! days the last one resembles.

use core::array;
use core::slice::IterMut;

use super::day::steps_per_day;
use super::scaled::{DAYS, bounded, compressed, known};
use super::{HORIZONS, Lanes, Past};
use crate::math;

/// Number of recent values that are features themselves.
const RECENT: usize = 24;

/// Values of the last day that are compared with those of past days.
const SAMPLES: usize = 32;

/// How much a past day counts before it is looked at: yesterday and the same weekday most.
const PRIORS: [f32; DAYS.len()] = [1.0, 0.6, 0.5, 0.4, 0.4, 0.4, 1.0, 0.7];

/// Likeness this near, in scaled units, is as good as perfect.
const UNLIKE_MIN: f32 = 0.02;

/// A service that stood still for a day still needs something to divide by.
const SCALE_MIN: f32 = 1e-6;

/// What does not depend on the horizon, in scaled units.
pub(super) struct Recent<'a> {
    pub(super) past: &'a Past<'a>,
    pub(super) day: usize,
    pub(super) scale: f32,
    pub(super) missing_share: f32,
    /// Mean of the last hour or so.
    pub(super) level: f32,
    /// The same so many days ago; NaN where unknown.
    pub(super) past_levels: [f32; DAYS.len()],
    /// How much each past day counts, by its likeness to the last.
    pub(super) weights: [f32; DAYS.len()],
    /// Mean change against the day before.
    pub(super) daily_change: f32,
    /// Newest first, gaps closed.
    lags: [f32; RECENT],
    /// Mean difference between the last day and each past one; NaN where unknown.
    unlike: [f32; DAYS.len()],
    mean_eighth_day: f32,
    mean_half_day: f32,
    /// Mean change from step to step.
    variation: f32,
}

impl<'a> Recent<'a> {
    pub(super) fn new(past: &'a Past<'a>, step_s: f32) -> Option<Self> {
        let day = steps_per_day(step_s);
        let (sum, count) = past.sum(0, day, f32::abs);
        if count == 0 {
            return None;
        }
        let scale = (sum / count as f32).clamp(SCALE_MIN, f32::MAX);
        let (lags, missing) = closed_lags(past, scale);
        let [newest, ..] = lags;
        let mean = |lag: usize, count: usize| past.mean(lag, count).map(|value| bounded(value / scale));
        let window = (day / 24).clamp(3, 64);
        let level = mean(0, window).unwrap_or(newest);
        let variation = lags.iter().zip(lags.iter().skip(1)).map(|(new, old)| (new - old).abs()).sum::<f32>();
        let (unlike, daily_change) = unlikeness(past, day, scale);
        Some(Self {
            past,
            day,
            scale,
            missing_share: missing as f32 / RECENT as f32,
            level,
            past_levels: DAYS.map(|days| mean(days * day, window).unwrap_or(f32::NAN)),
            weights: weights(&unlike),
            daily_change,
            lags,
            unlike,
            mean_eighth_day: mean(0, day.div_ceil(8)).unwrap_or(level),
            mean_half_day: mean(0, day.div_ceil(2)).unwrap_or(level),
            variation: variation / (RECENT - 1) as f32,
        })
    }

    /// The newest known value.
    pub(super) fn newest(&self) -> f32 {
        let [newest, ..] = self.lags;
        newest
    }

    pub(super) fn write(&self, columns: &mut IterMut<'_, Lanes>) {
        let mut put = |value: f32| put(columns, value);
        for value in self.lags.into_iter().chain([self.mean_eighth_day, self.mean_half_day]) {
            put(compressed(value - self.level));
        }
        put(compressed(self.level - 1.0));
        let [one, two, three, _, _, _, seven, fourteen] = self.past_levels;
        for level in [one, two, three, seven, fourteen] {
            put(compressed(known(level, self.level) - self.level));
        }
        for value in [self.variation, self.daily_change, self.missing_share] {
            put(compressed(value));
        }
        put(0.25 * math::ln_called(self.day as f32 / 144.0));
        let (mut sum, mut count, mut least) = (0.0, 0.0, f32::INFINITY);
        for unlike in self.unlike.into_iter().filter(|unlike| !unlike.is_nan()) {
            sum += unlike;
            count += 1.0;
            least = unlike.min(least);
        }
        let usual = if count > 0.0 { sum / count } else { self.daily_change };
        let [one, two, _, _, _, _, seven, fourteen] = self.unlike;
        for unlike in [one, two, seven, fourteen] {
            put(compressed(known(unlike, usual).min(3.0)));
        }
        put(compressed(if least.is_finite() { least } else { self.daily_change }.min(3.0)));
    }
}

/// Writes the next column: the same at each horizon.
#[inline(never)]
fn put(columns: &mut IterMut<'_, Lanes>, value: f32) {
    if let Some(column) = columns.next() {
        *column = [value; HORIZONS];
    }
}

/// The last values, scaled, newest first, and how many of them were missing. A gap is
/// closed with the nearest older value; before the history, its first stands for all.
fn closed_lags(past: &Past<'_>, scale: f32) -> ([f32; RECENT], usize) {
    let mut lags = [0.0; RECENT];
    let (mut nearest, mut missing) = (f32::NAN, 0);
    for (lag, place) in lags.iter_mut().enumerate().rev() {
        let value = past.at(lag);
        missing += usize::from(value.is_nan());
        nearest = known(bounded(value / scale), nearest);
        *place = nearest;
    }
    // Newest to oldest: what had nothing older takes what is newer.
    let mut newer = 1.0;
    for place in &mut lags {
        *place = known(*place, newer);
        newer = *place;
    }
    (lags, missing)
}

/// Mean difference between now and each past day, in scaled units: half of it over the
/// last steps, half over samples of the whole last day. And that of the last steps to
/// yesterday alone, 1 where unknown.
fn unlikeness(past: &Past<'_>, day: usize, scale: f32) -> ([f32; DAYS.len()], f32) {
    let samples = SAMPLES.min(day);
    let inverse = 1.0 / scale;
    let scaled = |lag: usize| bounded(past.at(lag) * inverse);
    let steps: [usize; RECENT] = array::from_fn(|index| index);
    let spaced: [usize; SAMPLES] = array::from_fn(|index| index * day / samples);
    let spaced = spaced.get(..samples).unwrap_or_default();
    let (now_steps, now_spaced) =
        (steps.map(scaled), array::from_fn::<f32, SAMPLES, _>(|index| scaled(index * day / samples)));
    let mut yesterday = f32::NAN;
    let unlike = DAYS.map(|days| {
        let mean = |lags: &[usize], now: &[f32], known_min: u32| {
            let (mut sum, mut count) = (0.0, 0);
            for (lag, now) in lags.iter().zip(now) {
                let change = (now - scaled(lag + days * day)).abs();
                sum += if change.is_nan() { 0.0 } else { change };
                count += u32::from(!change.is_nan());
            }
            if count >= known_min { sum / count as f32 } else { f32::NAN }
        };
        let (near, whole) = (mean(&steps, &now_steps, 3), mean(spaced, &now_spaced, 4));
        if days == 1 {
            yesterday = near;
        }
        0.5 * (known(near, whole) + known(whole, near))
    });
    (unlike, known(yesterday, 1.0))
}

/// Weights by likeness: inverse squares, as a mean of equally biased guesses wants them.
fn weights(unlike: &[f32; DAYS.len()]) -> [f32; DAYS.len()] {
    let mut weights = PRIORS;
    if unlike.iter().any(|unlike| !unlike.is_nan()) {
        for (weight, unlike) in weights.iter_mut().zip(unlike) {
            let distance = unlike + UNLIKE_MIN;
            // A day that cannot be compared hardly counts, but it does if it is the only one.
            *weight = if unlike.is_nan() { 1e-9 } else { *weight / (distance * distance) };
        }
    }
    weights
}
